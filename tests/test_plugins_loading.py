"""Hostile plugins, each an installed distribution as pip leaves one, loaded by a fresh interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from facefeat.plugins.loading import PluginProblem
from facefeat.plugins.registry import warn

GOOD = """
from facefeat import Component, hookimpl

def build(**config):
    return config

@hookimpl
def facefeat_backbones():
    return [Component("{name}", build, "a good one")]
"""
HEAD = "from facefeat import Component, hookimpl\ndef build(**config): return config\n"


def heads(body: str) -> str:
    """A plugin whose hook for heads is this body, in one line."""
    return f"{HEAD}@hookimpl\ndef facefeat_heads(): {body}"


ASKS = """@hookimpl
def facefeat_heads():
  from facefeat.plugins.registry import get_registry
  get_registry()"""
REPORT = """
import json, sys
from facefeat.plugins.registry import get_registry
r = get_registry()
own = [i for i in r.all() if i.distribution != "facefeat"]
print(json.dumps(dict(
    components=[[i.kind, i.qualified, i.version] for i in own],
    builtin=len(r.all()) - len(own),
    names={k: r.names(k) for k in ("detector", "backbone", "head")},
    problems=[dict(distribution=p.distribution, version=p.version, entry_point=p.entry_point,
                   reason=p.reason, traceback=p.traceback) for p in r.problems],
)))
"""


class Site:
    """A folder on the path with distributions in it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def install(
        self,
        name: str,
        source: str,
        *,
        version: str = "1.0",
        entry: str | None = None,
        points: str | None = None,
        requires: str = "",
    ) -> None:
        """A distribution of one module. entry: the entry point's name; points: the whole of entry_points.txt.

        requires: what it asks for, such as "facefeat>=99".
        """
        module = name.replace("-", "_")
        (self.root / f"{module}.py").write_text(source, "utf-8")
        info = self.root / f"{module}-{version}.dist-info"
        info.mkdir()
        asks = f"Requires-Dist: {requires}\n" if requires else ""
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{asks}"
        (info / "METADATA").write_text(metadata, "utf-8")
        text = f"[facefeat]\n{entry or name} = {module}\n" if points is None else points
        (info / "entry_points.txt").write_text(text, "utf-8")

    def run(self, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        """A fresh interpreter that has this folder on its path."""
        path = [str(self.root), *(os.path.abspath(p) for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p)]
        clean = {k: v for k, v in os.environ.items() if not k.startswith("FACEFEAT_")}
        return subprocess.run(
            [sys.executable, *args], capture_output=True, text=True, timeout=60, cwd=self.root,
            env={**clean, "PYTHONPATH": os.pathsep.join(path), "PYTHONDONTWRITEBYTECODE": "1", **env},
        )  # fmt: skip

    def facefeat(self, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        """The command line."""
        return self.run("-m", "facefeat", *args, **env)

    def report(self, **env: str) -> Report:
        """What a fresh registry holds."""
        done = self.run("-c", REPORT, **env)
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        assert len(lines) == 1, f"a plugin wrote to standard output: {lines[:-1]}"
        return Report(stderr=done.stderr, **json.loads(lines[0]))


@dataclass(frozen=True)
class Report:
    components: list[list[str]]
    builtin: int
    names: dict[str, list[str]]
    problems: list[dict[str, str]]
    stderr: str


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_good_plugin_is_found(site: Site) -> None:
    site.install("facefeat-good", GOOD.format(name="good-net"), version="2.3")
    seen = site.report()
    assert seen.components == [["backbone", "facefeat-good:good-net", "2.3"]]
    assert "good-net" in seen.names["backbone"]
    assert seen.problems == [] and seen.stderr == ""


# name -> source, and what the reason must say
BROKEN: dict[str, tuple[str, str]] = {
    "raises-at-import": ("raise RuntimeError('no luck')", "RuntimeError: no luck"),
    "raises-many-lines": ("raise RuntimeError('one\\ntwo\\x1b[31mthree')", "RuntimeError: one two [31mthree"),
    "raises-unprintable": ("class E(Exception):\n  def __str__(self): raise ValueError\nraise E", "E: (no message"),
    "raises-base": ("class B(BaseException): pass\nraise B('beyond Exception')", "beyond Exception"),
    "exits-at-import": ("import sys; sys.exit('bye')", "SystemExit: bye"),
    "has-no-syntax": ("def (:", "SyntaxError"),
    "needs-what-is-not-there": ("import no_such_module_anywhere", "No module named 'no_such_module_anywhere'"),
    "recurses": ("def f(): f()\nf()", "RecursionError"),
    "has-no-hook": ("x = 1", "it has no hook"),
    "misspells-a-hook": (HEAD + "@hookimpl\ndef facefeat_backbone(): return []", "unknown hook 'facefeat_backbone'"),
    "wants-an-argument": (HEAD + "@hookimpl\ndef facefeat_backbones(size): return []", "size"),
    "returns-none": (HEAD + "@hookimpl\ndef facefeat_backbones(): [Component('x', build, '')]", "returned None"),
    "returns-a-number": (HEAD + "@hookimpl\ndef facefeat_backbones(): return 7", "Received: 7"),
    "returns-a-string": (HEAD + "@hookimpl\ndef facefeat_backbones(): return 'abc'", "Received: 'abc'"),
    "returns-one-component": (heads("return Component('x', build, '')"), "iterable"),
    "returns-tuples": (heads("return [('x', build)]"), "must give Component"),
    "raises-in-a-hook": (heads("return 1 / 0"), "ZeroDivisionError"),
    "exits-in-a-hook": (HEAD + "import sys\n@hookimpl\ndef facefeat_heads(): sys.exit(3)", "SystemExit: 3"),
    "raises-in-a-generator": (HEAD + "@hookimpl\ndef facefeat_heads():\n  yield 1 / 0", "ZeroDivisionError"),
    "never-ends": (
        HEAD + "@hookimpl\ndef facefeat_heads():\n  while True: yield Component('x', build, '')",
        "more than 1000",
    ),
    "asks-for-the-registry": (HEAD + ASKS, "while plugins were being loaded"),
    "has-a-bad-name": (heads("return [Component('Bad Name', build, '')]"), "Bad Name"),
    "has-an-empty-name": (heads("return [Component('', build, '')]"), "a name is"),
    "has-a-colon": (heads("return [Component('a:b', build, '')]"), "a name is"),
    "has-no-build": (heads("return [Component('x', None, '')]"), "build must be"),
    "requires-a-string": (
        heads("return [Component('x', build, '', requires='umap')]"),
        "requires must be a tuple",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_broken_plugin_is_one_line_and_breaks_nothing_else(site: Site, name: str) -> None:
    source, says = BROKEN[name]
    site.install(name, source, version="0.9")
    # One that sorts before it and one after.
    site.install("a-first", GOOD.format(name="first-net"))
    site.install("zz-last", GOOD.format(name="last-net"))
    seen = site.report()
    assert [p["distribution"] for p in seen.problems] == [name]
    (problem,) = seen.problems
    assert says in problem["reason"] and "\n" not in problem["reason"] and "\x1b" not in problem["reason"]
    assert (problem["version"], problem["entry_point"]) == ("0.9", name)
    assert [c[1] for c in seen.components] == ["a-first:first-net", "zz-last:last-net"]
    assert seen.builtin > 0
    (line,) = seen.stderr.splitlines()
    assert line.startswith(f"facefeat: plugin {name} 0.9") and "facefeat plugins --problems" in line


def test_what_a_plugin_prints_goes_to_standard_error(site: Site) -> None:
    site.install("chatty", "print('loading!')" + GOOD.format(name="chatty-net"))
    assert "loading!" in site.report().stderr


def test_a_bad_component_does_not_cost_the_good_ones(site: Site) -> None:
    source = heads("return [7, Component('fine', build, ''), Component('No', build, '')]")
    site.install("mixed", source)
    seen = site.report()
    assert [c[1] for c in seen.components] == ["mixed:fine"]
    assert len(seen.problems) == 2


def test_a_hook_that_fails_does_not_cost_the_others_of_its_plugin(site: Site) -> None:
    source = GOOD.format(name="fine-net") + "@hookimpl\ndef facefeat_heads(): raise OSError('gone')\n"
    site.install("half", source)
    seen = site.report()
    assert [c[1] for c in seen.components] == ["half:fine-net"]
    assert "facefeat_heads" in seen.problems[0]["reason"]


def test_a_wrapper_sees_no_other_plugins_components(site: Site) -> None:
    wrapper = HEAD + "@hookimpl(wrapper=True)\ndef facefeat_backbones():\n  yield\n  return []\n"
    site.install("a-wrapper", wrapper)
    site.install("zz-last", GOOD.format(name="last-net"))
    seen = site.report()
    assert "last-net" in seen.names["backbone"] and seen.builtin > 0


def test_two_distributions_with_one_entry_point_name_both_load(site: Site) -> None:
    site.install("one-dist", GOOD.format(name="one-net"), entry="same")
    site.install("two-dist", GOOD.format(name="two-net"), entry="same")
    seen = site.report()
    assert [c[1] for c in seen.components] == ["one-dist:one-net", "two-dist:two-net"]
    assert seen.problems == []


def test_two_components_of_one_name_stay_reachable_by_their_full_names(site: Site) -> None:
    site.install("one-dist", GOOD.format(name="same-net"))
    site.install("two-dist", GOOD.format(name="same-net"))
    seen = site.report()
    assert {"one-dist:same-net", "two-dist:same-net"} < set(seen.names["backbone"])
    assert "same-net" not in seen.names["backbone"]
    (problem,) = seen.problems
    assert (problem["distribution"], problem["version"]) == ("two-dist", "1.0")
    assert "has the name of one of one-dist 1.0; write 'one-dist:same-net' or 'two-dist:same-net'" in problem["reason"]
    assert site.facefeat("plugins", "check").returncode == 1
    ask = "from facefeat.plugins.registry import get_registry; get_registry().get('backbone', 'same-net')"
    failed = site.run("-c", ask).stderr.splitlines()[-1]
    assert "AmbiguousComponentError" in failed
    assert "'one-dist:same-net'" in failed and "'two-dist:same-net'" in failed


def test_a_component_with_a_builtins_name_is_reported_and_the_builtin_keeps_it(site: Site) -> None:
    site.install("shadow", GOOD.format(name="compact"))
    seen = site.report()
    assert {"compact", "shadow:compact"} < set(seen.names["backbone"])
    assert "has the name of a built-in" in seen.problems[0]["reason"]


def test_a_second_component_of_the_same_distribution_is_left_out(site: Site) -> None:
    source = heads("return [Component('x', build, '1'), Component('x', build, '2')]")
    site.install("twice", source)
    seen = site.report()
    assert [c[1] for c in seen.components] == ["twice:x"]
    assert "registered twice" in seen.problems[0]["reason"]


def test_malformed_metadata_of_another_distribution_hides_no_plugin(site: Site) -> None:
    site.install("a-mangled", "", points="[facefeat]\nthis line has no equals sign\n")
    site.install("unrelated", "", points="[console_scripts]\nbroken\n")
    site.install("zz-last", GOOD.format(name="last-net"))
    seen = site.report()
    assert [c[1] for c in seen.components] == ["zz-last:last-net"]
    assert [p["distribution"] for p in seen.problems] == ["a-mangled"]


def test_an_entry_point_to_a_missing_module_or_name_is_a_problem(site: Site) -> None:
    site.install("absent-module", "", points="[facefeat]\nx = not_there_at_all\n")
    site.install("absent-name", "", points="[facefeat]\nx = absent_name:nope\n")
    assert [p["distribution"] for p in site.report().problems] == ["absent-module", "absent-name"]


def test_an_instance_may_be_a_plugin(site: Site) -> None:
    source = HEAD + (
        "class P:\n  @hookimpl\n  def facefeat_heads(self): yield Component('from-instance', build, '')\nplugin = P()\n"
    )
    site.install("instance", source, points="[facefeat]\nx = instance:plugin\n")
    seen = site.report()
    assert [c[1] for c in seen.components] == ["instance:from-instance"] and seen.problems == []


def test_facefeat_plugins_restricts_what_loads(site: Site) -> None:
    site.install("one-dist", GOOD.format(name="one-net"), entry="first")
    site.install("two-dist", "raise RuntimeError('must not be imported')", entry="second")
    for value in ("one-dist", "One_Dist", "first", " first , "):
        seen = site.report(FACEFEAT_PLUGINS=value)
        assert [c[1] for c in seen.components] == ["one-dist:one-net"], value
        assert seen.problems == [] and seen.builtin > 0
    assert site.report(FACEFEAT_PLUGINS="").components == []
    assert "not installed" in site.report(FACEFEAT_PLUGINS="nope").problems[0]["reason"]


def test_no_name_of_a_plugin_reaches_the_terminal_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    warn(PluginProblem("\x1b]0;owned\x07", "", "", "two\nlines."))
    assert capsys.readouterr().err == "facefeat: plugin ]0;owned : two lines. See: facefeat plugins --problems\n"


def test_strict_turns_a_problem_into_an_error(site: Site) -> None:
    site.install("raises", "raise RuntimeError('no luck')")
    done = site.run("-c", REPORT, FACEFEAT_STRICT="1")
    assert done.returncode == 1 and "PluginError" in done.stderr and "no luck" in done.stderr
    assert site.run("-c", REPORT, FACEFEAT_STRICT="0").returncode == 0
    shown = site.facefeat("plugins", FACEFEAT_STRICT="1")
    assert shown.returncode == 1 and "Traceback" not in shown.stderr and "no luck" in shown.stderr


# ---------------------------------------------------------------- the command line


def test_plugins_lists_checks_and_explains(site: Site) -> None:
    assert site.facefeat("plugins", "check").returncode == 0
    site.install("good-dist", GOOD.format(name="good-net"), version="4.5")
    listed = site.facefeat("plugins")
    assert listed.returncode == 0
    (line,) = [row for row in listed.stdout.splitlines() if "good-net" in row]
    assert line.split()[:4] == ["backbone", "good-net", "good-dist", "4.5"]
    site.install("raises", "raise RuntimeError('no luck')")
    checked = site.facefeat("plugins", "check")
    assert checked.returncode == 1 and "no luck" in checked.stdout
    explained = site.facefeat("plugins", "--problems").stdout
    assert "Traceback (most recent call last)" in explained and "raises.py" in explained
    as_json = json.loads(site.facefeat("plugins", "--json").stdout)
    assert "good-net" in [c["name"] for c in as_json["components"]]
    assert [p["distribution"] for p in as_json["problems"]] == ["raises"]


COMMAND = """
import click
from facefeat import hookimpl

@hookimpl
def facefeat_commands(cli):
    @cli.command()
    @click.option("--times", default=1)
    def greet(times):
        "Say hello."
        click.echo("hello " * times)

    @cli.command()
    def fail():
        "Fail."
        raise KeyError("deep inside")
"""


def test_a_plugins_commands_run_and_show_in_the_help(site: Site) -> None:
    site.install("greeter", COMMAND)
    shown = site.facefeat("--help").stdout
    assert "Say hello. [greeter]" in shown and "predict" in shown
    assert site.facefeat("greet", "--times", "2").stdout == "hello hello \n"
    failed = site.facefeat("fail")
    assert failed.returncode == 1 and "Traceback" not in failed.stderr
    assert "command 'fail' of plugin greeter 1.0 failed: KeyError: 'deep inside'" in failed.stderr
    assert "Traceback" in site.facefeat("-v", "fail").stderr


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("cli.command('predict')(lambda: None)", "command 'predict' is facefeat's already"),
        ("raise OSError('not today')", "OSError: not today"),
        ("raise SystemExit(5)", "SystemExit: 5"),
        ("cli.commands['odd'] = 7", "command 'odd' is no click command"),
        ("del cli.commands", "AttributeError"),
        ("cli.command('a\\x1b[2J')(lambda: None)", "a name has letters, digits"),
    ],
)
def test_a_broken_commands_hook_costs_only_its_own_commands(site: Site, body: str, says: str) -> None:
    site.install("broken", f"from facefeat import hookimpl\n@hookimpl\ndef facefeat_commands(cli):\n    {body}\n")
    site.install("greeter", COMMAND)
    shown = site.facefeat("--help")
    assert shown.returncode == 0 and "greet" in shown.stdout and says in shown.stderr
    assert "photos" in next(row for row in shown.stdout.splitlines() if " predict" in row)
    checked = site.facefeat("plugins", "check")
    assert checked.returncode == 1 and says in checked.stdout


def test_a_plugin_does_not_slow_or_break_what_needs_none(site: Site) -> None:
    site.install("exits", "import sys; sys.exit(9)")
    assert site.facefeat("--version").returncode == 0
    done = site.run("-c", "import facefeat; print(facefeat.__version__)")
    assert (done.returncode, done.stderr) == (0, "")


def test_report_is_what_the_tests_think(site: Site) -> None:
    seen: Any = site.report()
    assert seen.components == [] and seen.problems == [] and seen.stderr == ""
