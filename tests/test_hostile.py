"""All hostile neighbours at once, in one environment: what worked without them still works, and each is named."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet

import facefeat
from facefeat.plugins.loading import _plainly_met
from test_plugins_loading import BROKEN, COMMAND, GOOD, HEAD, Site

# A component of every kind under the name that facefeat itself uses when nobody says anything.
SHADOWS = HEAD + "".join(
    f"@hookimpl\ndef facefeat_{kind}s(): return [Component({name!r}, build, 'not the one you want')]\n"
    for kind, name in (
        ("detector", "mtcnn"),
        ("backbone", "compact"),
        ("head", "mlp"),
        ("preset", "mobilenet-112-utkface"),
    )
)
NEWER = HEAD + "from facefeat import what_is_not_there_yet\n"
OTHERS = {
    "shadows": (SHADOWS, "has the name of a built-in", ""),
    "for-a-newer-facefeat": (NEWER, "it needs facefeat >=99, and this is facefeat", "facefeat>=99"),
    "for-an-older-facefeat": (NEWER, "it needs facefeat <0.0.1", "facefeat (<0.0.1)"),
    "has-a-newer-hook": (HEAD + "@hookimpl\ndef facefeat_dreams(): return []", "unknown hook 'facefeat_dreams'", ""),
}


def fill(site: Site) -> dict[str, str]:
    """Install them all, and two good ones; gives what the line of each must say."""
    says = {}
    for name, (source, reason) in BROKEN.items():
        site.install(name, source, version="6.6.6")
        says[name] = reason
    for name, (source, reason, requires) in OTHERS.items():
        site.install(name, source, version="6.6.6", requires=requires)
        says[name] = reason
    site.install("good-dist", GOOD.format(name="good-net"), requires=f"facefeat>=0.1,<{facefeat.__version__}1")
    site.install("greeter", COMMAND, requires="facefeat")
    # Two components of one name, and two entry points of one name, which is no fault: both load.
    site.install("one-of-two", GOOD.format(name="same-net"), entry="same")
    site.install("two-of-two", GOOD.format(name="same-net"), version="6.6.6", entry="same")
    says["two-of-two"] = "has the name of one of one-of-two 1.0"
    return says


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, dict[str, str]]:
    site = Site(tmp_path_factory.mktemp("crowd"))
    return site, fill(site)


def test_check_names_each_culprit_with_its_version_and_fails(crowd: tuple[Site, dict[str, str]]) -> None:
    site, says = crowd
    done = site.facefeat("plugins", "check")
    assert done.returncode == 1
    for name, reason in says.items():
        lines = [line for line in done.stdout.splitlines() if line.startswith(f"plugin {name} 6.6.6")]
        assert lines and any(reason in line for line in lines), name
    assert not any("good-dist" in line or "greeter" in line for line in done.stdout.splitlines())


def test_the_good_ones_and_the_builtins_are_all_there(crowd: tuple[Site, dict[str, str]]) -> None:
    site, _ = crowd
    seen = site.report()
    assert ["backbone", "good-dist:good-net", "1.0"] in seen.components
    assert {"compact", "shadows:compact", "vggface", "good-net", "one-of-two:same-net", "two-of-two:same-net"} <= set(
        seen.names["backbone"]
    )
    assert site.facefeat("greet").stdout == "hello \n"


def test_a_photo_is_read_as_without_them(crowd: tuple[Site, dict[str, str]], repo: Path) -> None:
    site, _ = crowd
    done = site.facefeat("predict", str(repo / "docs" / "assets" / "portrait.jpg"), "--json")
    assert done.returncode == 0, done.stderr
    (face,) = json.loads(done.stdout)[0]["faces"]
    assert set(face["attributes"]) == {"age", "gender", "race"}


def test_what_another_facefeat_is_for_is_not_even_imported(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.install("newer", "raise RuntimeError('imported')", requires='facefeat[jax]>=99; python_version > "3"')
    (problem,) = site.report().problems
    assert problem["reason"].startswith("PluginError: it needs facefeat >=99")
    assert "Next: pip install -U facefeat newer" in problem["reason"]


@pytest.mark.parametrize(
    "requires",
    [
        "facefeat",
        "facefeat>=0.0.1",
        "facefeat!=0.0.1",
        "facefeat>=0.0.1.dev0",
        "facefeat>=99; extra == 'dreams'",
        "facefeat>=99; python_version < '3'",
        "facefeat-extra>=99",
        "~~~",
    ],
)
def test_a_requirement_that_is_met_or_anothers_is_no_obstacle(tmp_path: Path, requires: str) -> None:
    site = Site(tmp_path)
    site.install("good-dist", GOOD.format(name="good-net"), requires=requires)
    seen = site.report()
    assert [c[1] for c in seen.components] == ["good-dist:good-net"] and seen.problems == []


_VERSION = st.lists(st.integers(0, 3), min_size=1, max_size=3).map(lambda parts: ".".join(map(str, parts)))
_CLAUSE = st.tuples(st.sampled_from([">=", "<", "<=", "==", "~=", ">"]), _VERSION).filter(
    lambda c: c[0] != "~=" or "." in c[1]
)


@given(st.lists(_CLAUSE, min_size=1, max_size=3).map(lambda cs: ",".join(a + b for a, b in cs)), _VERSION)
def test_the_short_way_to_compare_versions_never_says_yes_where_the_long_one_says_no(spec: str, version: str) -> None:
    truth = SpecifierSet(spec).contains(version)
    assert truth or not _plainly_met(spec, version)
    if set(spec) <= set("0123456789.,>=") and "==" not in spec and spec.count(">") == spec.count("="):
        assert _plainly_met(spec, version) == truth


def wheel(folder: Path, name: str, source: str, *, version: str = "6.6.6", entry: str = "", requires: str = "") -> Path:
    """A wheel of one module, as a build tool would write it."""
    module, info = name.replace("-", "_"), f"{name.replace('-', '_')}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Dist: {requires or 'facefeat'}\n"
    files = {
        f"{module}.py": source,
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[facefeat]\n{entry or name} = {module}\n",
    }
    record = ""
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(text.encode())}\n"
    out = folder / f"{module}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(out, "w") as archive:
        for path, text in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            archive.writestr(path, text)
    return out


def test_wheels_that_pip_or_uv_installed(tmp_path: Path) -> None:
    if importlib.util.find_spec("pip"):
        installer = [sys.executable, "-m", "pip", "install", "--no-compile"]
    elif shutil.which("uv"):
        installer = ["uv", "pip", "install", "--python", sys.executable]
    else:
        pytest.skip("neither pip nor uv is here to install a wheel")
    wheels = [
        wheel(tmp_path, "good-dist", GOOD.format(name="good-net")),
        wheel(tmp_path, "one-of-two", GOOD.format(name="same-net"), version="1.0", entry="same"),
        wheel(tmp_path, "two-of-two", GOOD.format(name="same-net"), entry="same"),
        *(wheel(tmp_path, name, source) for name, (source, _) in BROKEN.items()),
        *(wheel(tmp_path, name, source, requires=requires) for name, (source, _, requires) in OTHERS.items()),
    ]
    target = tmp_path / "target"
    command = [*installer, "--quiet", "--target", str(target), "--no-deps", "--no-index", *map(str, wheels)]
    subprocess.run(command, check=True, timeout=120)
    says = {name: told[1] for name, told in {**BROKEN, **OTHERS}.items()}
    says["two-of-two"] = "has the name of one of one-of-two 1.0"
    seen = Site(target).report()
    good = {c[1] for c in seen.components} - {
        f"shadows:{n}" for n in ("mtcnn", "compact", "mlp", "mobilenet-112-utkface")
    }
    assert good == {"good-dist:good-net", "one-of-two:same-net", "two-of-two:same-net"}
    assert {(p["distribution"], p["version"]) for p in seen.problems} == {(name, "6.6.6") for name in says}
    for name, reason in says.items():
        assert any(reason in p["reason"] for p in seen.problems if p["distribution"] == name), name


def test_fifty_plugins_are_found_and_none_is_lost(tmp_path: Path) -> None:
    # How long that takes is no matter for a test on a busy machine: docs/benchmarks.md has the figure and its command.
    site = Site(tmp_path)
    for i in range(50):
        site.install(f"dist-{i}", GOOD.format(name=f"net-{i}"), requires="facefeat>=0.1")
    seen = site.report()
    assert len(seen.components) == 50 and seen.problems == []
