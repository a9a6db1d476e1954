"""A throwaway environment for one plugin: installs a project into it without a network, and runs commands there."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
from collections.abc import Sequence
from pathlib import Path

SECONDS = 240


class Sandbox:
    """A virtual environment that sees the packages of this one, beside those installed into it, and an empty home."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        venv.create(self.root / "venv", with_pip=False, symlinks=os.name != "nt")
        base = {"base": str(self.root / "venv"), "platbase": str(self.root / "venv")}
        self.site = Path(sysconfig.get_path("purelib", "venv", base))
        self.python = Path(sysconfig.get_path("scripts", "venv", base)) / Path(sys.executable).name
        # Not a plain path: the .pth files of that folder count, too, where facefeat itself is an editable install.
        outer = sysconfig.get_path("purelib")
        (self.site / "outer.pth").write_text(f"import site; site.addsitedir({outer!r})\n", "utf-8")
        self.home = self.root / "home"
        self.home.mkdir()

    def install(self, project: Path) -> None:
        """What `pip install -e` leaves behind with hatchling: metadata, and a .pth file with the folder of the sources.

        A build tool is not called: it would be fetched, and a test has no network. Dependencies must be there already.
        """
        config = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))
        meta = config["project"]
        packages = config.get("tool", {}).get("hatch", {}).get("build", {}).get("targets", {}).get("wheel", {})
        sources = (project / packages.get("packages", ["."])[0] / "x").resolve().parent
        if "packages" in packages:
            assert (sources / "__init__.py").is_file(), f"{sources} is no package"
            sources = sources.parent
        stem = meta["name"].replace("-", "_")
        info = self.site / f"{stem}-{meta['version']}.dist-info"
        info.mkdir(exist_ok=True)
        lines = ["Metadata-Version: 2.1", f"Name: {meta['name']}", f"Version: {meta['version']}"]
        lines += [f"Requires-Dist: {d}" for d in meta.get("dependencies", ())]
        (info / "METADATA").write_text("\n".join(lines) + "\n", "utf-8")
        points = "".join(
            f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
            for group, entries in meta.get("entry-points", {}).items()
        )
        (info / "entry_points.txt").write_text(points, "utf-8")
        (self.site / f"{stem}.pth").write_text(f"{sources}\n", "utf-8")

    def run(self, words: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
        """A command line in a folder: `facefeat`, `pytest`, `python`, or `pip install -e .`, which `install` does.

        Standard error goes to standard output. Raises AssertionError for another command.
        """
        program, *rest = words
        if program == "pip":
            assert rest[:2] == ["install", "-e"] and rest[2].split("[")[0] == ".", words
            self.install(folder)
            return subprocess.CompletedProcess(words, 0, "", "")
        start = {"python": [], "facefeat": ["-m", "facefeat"], "pytest": ["-m", "pytest", "-p", "no:cacheprovider"]}
        assert program in start, f"this cannot be tested here: {words}"
        env = {k: v for k, v in os.environ.items() if not k.startswith(("FACEFEAT_", "PYTEST_", "XDG_"))}
        path = [os.path.abspath(p) for p in env.get("PYTHONPATH", "").split(os.pathsep) if p]
        homes = {k: str(self.home) for k in ("HOME", "USERPROFILE")}
        env |= {**homes, "PYTHONPATH": os.pathsep.join(path), "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "160"}
        return subprocess.run(
            [str(self.python), *start[program], *rest], cwd=folder, env=env, timeout=SECONDS, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
