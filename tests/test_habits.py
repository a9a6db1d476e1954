"""What the repository says of itself, outside the code: workflows, forms, citation, and the versions in all of them."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import facefeat

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed: pip install 'facefeat[test]'")

REPO = Path(__file__).resolve().parent.parent
GITHUB = REPO / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
YAML = [REPO / ".pre-commit-config.yaml", REPO / "CITATION.cff", *sorted(GITHUB.rglob("*.yml"))]


def load(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text("utf-8"))


def sessions() -> dict[str, ast.FunctionDef]:
    """Name -> function of every session of noxfile.py."""
    tree = ast.parse((REPO / "noxfile.py").read_text("utf-8"))
    functions = [n for n in tree.body if isinstance(n, ast.FunctionDef)]
    return {f.name: f for f in functions if any("nox.session" in ast.unparse(d) for d in f.decorator_list)}


def jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in WORKFLOWS:
        for name, job in load(path)["jobs"].items():
            yield f"{path.name}: {name}", job


def called(job: dict[str, Any]) -> set[str]:
    """The sessions that a job's steps call, with the values of its matrix put in."""
    found: set[str] = set()
    matrix = job.get("strategy", {}).get("matrix", {})
    for step in job["steps"]:
        for line in step.get("run", "").splitlines():
            if match := re.match(r"nox -s (.*)", line.strip()):
                key = re.fullmatch(r"\$\{\{ matrix\.(\w+) \}\}", match[1])
                for words in matrix[key[1]] if key else [match[1]]:
                    found |= set(words.split())
    return found


@pytest.mark.parametrize("path", YAML, ids=lambda p: str(p.relative_to(REPO)))
def test_every_yaml_file_is_valid(path: Path) -> None:
    assert isinstance(load(path), dict)


def test_workflows_call_sessions_that_exist() -> None:
    calls = {name: called(job) for name, job in jobs()}
    assert {s for found in calls.values() for s in found} <= set(sessions()), calls


def test_workflows_call_every_session_but_those_that_are_named() -> None:
    text = (GITHUB / "workflows" / "tests.yml").read_text("utf-8")
    never = {"bench", "gpu", "screenshots"}
    assert {s for _, job in jobs() for s in called(job)} == set(sessions()) - never
    assert all(f"`{name}`" in text for name in never)


def test_session_of_lowest_versions_runs_tests_that_exist() -> None:
    tree = ast.parse((REPO / "noxfile.py").read_text("utf-8"))
    (found,) = [n.value for n in tree.body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "MINIMUMS"]
    assert isinstance(found, ast.ListComp)
    names = [n.value for n in ast.walk(found.generators[0].iter) if isinstance(n, ast.Constant)]
    assert names and [n for n in names if not (REPO / "tests" / f"test_{n}.py").is_file()] == []


def test_supported_pythons_and_systems_are_tested() -> None:
    project = tomllib.loads((REPO / "pyproject.toml").read_text("utf-8"))["project"]
    minors = {c.rsplit(" ", 1)[1] for c in project["classifiers"] if re.search(r":: 3\.\d+$", c)}
    matrix = load(GITHUB / "workflows" / "tests.yml")["jobs"]["tests"]["strategy"]["matrix"]
    inference = load(GITHUB / "workflows" / "tests.yml")["jobs"]["inference"]["strategy"]["matrix"]
    assert minors == {*matrix["python"], *inference["python"]}
    assert project["requires-python"] == ">=" + min(minors, key=lambda v: int(v.split(".")[1]))
    systems = {*matrix["os"], *(i["os"] for i in matrix["include"])}
    assert {s.split("-")[0] for s in systems} == {"ubuntu", "macos", "windows"}


def test_jobs_are_bounded_and_actions_pinned() -> None:
    for name, job in jobs():
        assert job["timeout-minutes"] <= 90, name
        for step in job["steps"]:
            if action := step.get("uses"):
                assert re.search(r"@[0-9a-f]{40}$", action), f"{name}: {action} is not pinned to a commit"


def test_workflows_may_read_alone_unless_a_job_says_more() -> None:
    assert all(load(path)["permissions"] == {"contents": "read"} for path in WORKFLOWS)
    assert [name for name, job in jobs() if "permissions" in job] == ["release.yml: publish"]


@pytest.mark.parametrize("name", ["bug", "feature", "plugin"])
def test_issue_forms_have_what_github_wants(name: str) -> None:
    form = load(GITHUB / "ISSUE_TEMPLATE" / f"{name}.yml")
    assert form["name"] and form["description"]
    fields = [f for f in form["body"] if f["type"] != "markdown"]
    assert all(f["attributes"]["label"] for f in fields)
    assert len({f["id"] for f in fields}) == len(fields)
    assert any(f.get("validations", {}).get("required") for f in fields)


def test_citation_has_the_version_and_licence_of_the_package() -> None:
    citation = load(REPO / "CITATION.cff")
    project = tomllib.loads((REPO / "pyproject.toml").read_text("utf-8"))["project"]
    assert citation["version"] == facefeat.__version__
    assert (citation["title"], citation["license"]) == (project["name"], project["license"])
    assert {"cff-version", "message", "authors"} <= set(citation)


@pytest.mark.parametrize("plugin", sorted((REPO / "plugins").glob("*/pyproject.toml")), ids=lambda p: p.parent.name)
def test_plugins_accept_this_version_of_facefeat(plugin: Path) -> None:
    from packaging.requirements import Requirement

    wanted = [Requirement(r) for r in tomllib.loads(plugin.read_text("utf-8"))["project"]["dependencies"]]
    (ours,) = [r for r in wanted if r.name == "facefeat"]
    assert ours.specifier.contains(facefeat.__version__, prereleases=True)


def test_formatter_of_the_hooks_is_one_that_the_lint_session_allows() -> None:
    from packaging.requirements import Requirement

    (ruff,) = [r for r in load(REPO / ".pre-commit-config.yaml")["repos"] if r["repo"].endswith("ruff-pre-commit")]
    (lint,) = tomllib.loads((REPO / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]["lint"]
    assert Requirement(lint).specifier.contains(ruff["rev"].removeprefix("v"))


def test_links_of_the_pages_beside_the_readme_lead_somewhere() -> None:
    for name in ("SECURITY.md", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "docs/releasing.md"):
        page = REPO / name
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{name}: {target}"
