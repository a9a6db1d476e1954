"""Imports go down only: the design's table, read from the source with ast."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "src" / "facefeat"

# From the bottom up. A room may import those of lower rows, and its own row's (but see the tests below).
LAYERS = (
    ("errors", "_version"),
    ("utils",),
    ("types",),
    ("plugins",),
    ("schema",),
    ("image",),
    ("builtin",),
    ("data",),
    ("networks",),
    ("pipeline",),
    ("presets",),
    ("evaluation", "export"),
    ("latent", "index"),
    ("training",),
    ("model",),
    ("batch",),
    ("testing",),
    ("cli", "__main__"),
)
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
BUILTIN_MAY = {"plugins", "errors", "utils", "types", "schema", "image"}
HEAVY = ("keras", "tensorflow", "pandas", "matplotlib", "sklearn", "scipy", "jax", "torch", "mtcnn", "PIL", "h5py")


def room_of(path: Path) -> str:
    """The top-level module or package of facefeat that a file belongs to."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(path: Path, tree: ast.Module) -> Iterator[tuple[str, int]]:
    """(room, line) of every import of facefeat in a file; those for types alone do not run, and do not count."""
    skipped = {id(n) for block in ast.walk(tree) if _for_types(block) for n in ast.walk(block)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            for name in node.names:
                if name.name.split(".")[0] == "facefeat":
                    yield [*name.name.split("."), "__init__"][1], node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write the import in full, from facefeat"
            parts = (node.module or "").split(".")
            if parts[0] == "facefeat":
                yield from (
                    [(parts[1], node.lineno)] if len(parts) > 1 else [(n.name, node.lineno) for n in node.names]
                )


def _for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


@functools.cache
def files() -> tuple[Path, ...]:
    return tuple(sorted(p for p in SOURCE.rglob("*.py") if p != SOURCE / "__init__.py"))


@functools.cache
def parsed(source: str) -> ast.Module:
    """The tree of a file's text: the tests ask for each several times."""
    return ast.parse(source)


def faults(path: Path, source: str) -> list[str]:
    """A line for each import of a file that goes up, or that a built-in may not have."""
    room = room_of(path)
    out = []
    for target, line in imports(path, parsed(source)):
        where = f"{path.relative_to(SOURCE)}:{line}: {room} imports {target}"
        if target in ("__version__", "__init__"):
            continue  # the version is a constant of the package itself
        if target == room:
            continue
        if room == "cli" and target not in LEVEL:
            continue  # a name of the public API, such as `from facefeat import FaceFeatureModel`
        if target not in LEVEL:
            out.append(f"{where}, which is in no layer")
        elif room == "builtin":
            if target not in BUILTIN_MAY:
                out.append(f"{where}; a built-in may use only {', '.join(sorted(BUILTIN_MAY))}")
        elif target == "builtin":
            out.append(f"{where}; built-ins are asked for by name, through the registry")
        elif LEVEL[target] > LEVEL[room]:
            out.append(f"{where}, which lies above it")
    return out


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_go_down_only(path: Path) -> None:
    assert room_of(path) in LEVEL, f"{path.name} is in no layer: add it to the table and to the design"
    assert faults(path, path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("errors.py", "from facefeat.errors import InputError\nfrom facefeat.model import FaceFeatureModel"),
        ("utils/atomic.py", "def f():\n    from facefeat.plugins.registry import get_registry"),
        ("builtin/heads/single.py", "from facefeat.data import FaceDataset"),
        ("presets/store.py", "import facefeat.model"),
        ("training/trainer.py", "from facefeat.builtin.heads import COMPONENTS"),
        ("data/table.py", "from facefeat import FaceFeatureModel"),
        ("data/table.py", "from facefeat.cli import main"),
    ],
)
def test_the_check_itself_sees_an_import_that_goes_up(room: str, source: str) -> None:
    assert len(faults(SOURCE / room, source)) == 1


def _module_of(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(("facefeat", *(parts[:-1] if parts[-1] == "__init__" else parts)))


def _edges() -> dict[str, set[str]]:
    """Module -> the modules of facefeat that it imports, those inside functions too; imports for types do not run."""
    modules = {_module_of(p): p for p in files()}
    edges: dict[str, set[str]] = {}
    for name, path in modules.items():
        tree = parsed(path.read_text("utf-8"))
        skipped = {id(n) for block in ast.walk(tree) if _for_types(block) for n in ast.walk(block)}
        found: set[str] = set()
        for node in ast.walk(tree):
            if id(node) in skipped:
                continue
            if isinstance(node, ast.Import):
                found |= {a.name for a in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found |= {f"{node.module}.{a.name}" for a in node.names}
                found.add(node.module)
        # A package's own __init__ collects its modules: that a module imports its package is no circle of ideas.
        edges[name] = {m for m in found & modules.keys() if m != name and not name.startswith(f"{m}.")}
    return edges


def test_no_file_imports_itself_through_others() -> None:
    edges = _edges()
    done: set[str] = set()

    def circle_from(name: str, path: tuple[str, ...]) -> tuple[str, ...]:
        if name in path:
            return (*path[path.index(name) :], name)
        if name in done:
            return ()
        for other in sorted(edges[name]):
            found = circle_from(other, (*path, name))
            if found:
                return found
        done.add(name)
        return ()

    assert [c for c in (circle_from(n, ()) for n in sorted(edges)) if c] == []


def test_few_modules_lie_at_the_top() -> None:
    assert len([p for p in SOURCE.glob("*.py") if p.name != "__init__.py"]) <= 7


def test_an_import_for_types_alone_may_go_up() -> None:
    source = "if TYPE_CHECKING:\n    from facefeat.model import FaceFeatureModel"
    assert faults(SOURCE / "errors.py", source) == []


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_private_names_stay_in_their_room(path: Path) -> None:
    found = []
    for node in ast.walk(parsed(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("facefeat."):
            elsewhere = (node.module or "").split(".")[1] != room_of(path)
            found += [f"{node.module}.{n.name}" for n in node.names if elsewhere and _is_private(n.name)]
        # The commands hold models and data sets, which are not theirs.
        if isinstance(node, ast.Attribute) and _is_private(node.attr) and room_of(path) == "cli":
            own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            found += [] if own else [ast.unparse(node)]
    assert found == []


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_heavy_packages_are_imported_inside_functions(path: Path) -> None:
    tree = parsed(path.read_text("utf-8"))
    top = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
    names = {(n.module or "") if isinstance(n, ast.ImportFrom) else a.name for n in top for a in n.names}
    early = sorted(n for n in names if n.split(".")[0] in HEAVY)
    assert not early or _is_lazy_module(path), f"{path.name} imports {early} at its top"


def _is_lazy_module(path: Path) -> bool:
    """A module of Keras layers needs its base class at once; nothing may import it at its own top."""
    name = ".".join(("facefeat", *path.relative_to(SOURCE).with_suffix("").parts))
    for other in files():
        for node in parsed(other.read_text("utf-8")).body:
            if isinstance(node, ast.ImportFrom) and node.module == name:
                return False
    return True


def test_tensorflow_is_imported_on_a_tensorflow_only_path_alone() -> None:
    found = []
    for path in files():
        for node in ast.walk(parsed(path.read_text("utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(n.split(".")[0] == "tensorflow" for n in names):
                found.append(str(path.relative_to(SOURCE)))
    # LiteRT's interpreter; and, asked only where the backend is TensorFlow, devices, gradients and the export to ONNX.
    assert set(found) <= {
        "networks/keras_backend.py",
        "networks/onnx_graph.py",
        "export/runtimes.py",
        "latent/explain.py",
    }


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_no_file_is_longer_than_600_lines(path: Path) -> None:
    length = len(path.read_text("utf-8").splitlines())
    assert length <= 600, f"{length} lines: two ideas in one file want to be two files"
