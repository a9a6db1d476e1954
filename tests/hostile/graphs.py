"""Presets again: graphs that never end or contradict themselves, weights files of no numbers, archives that lie."""

from __future__ import annotations

import io
import json
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hostile.case import Case
from hostile.pictures import encoded
from hostile.presets import EDIT, READ, graph, npz, preset, sign


def cases() -> list[Case]:
    """See the module."""
    out: list[Case] = []

    def add(name: str, make: Callable[[Path], object], *command: str, **options: Any) -> None:
        def whole(folder: Path) -> None:
            (folder / "a.png").write_bytes(encoded("png", "RGB"))
            preset(folder / "p")
            make(folder / "p")

        given = {"exit": (1,), "never": ("age ?", "age nan", "NaN%"), **options}
        out.append(Case("presets", f"graph-{name}", whole, command or READ, **given))

    def edited(name: str, edit: Callable[[Any], Any], file: str = "head.onnx", **options: Any) -> None:
        add(name, lambda folder: graph(folder, file, edit), **options)

    def before_output(*nodes: Any, **constants: np.ndarray) -> Callable[[Any], Any]:
        """Edit of a graph: nodes that make "more" (a number), which is added to the first output."""

        def edit(model: Any) -> None:
            from onnx import helper, numpy_helper

            first = model.graph.output[0].name
            for node in model.graph.node:
                node.output[:] = ["was" if n == first else n for n in node.output]
                node.input[:] = ["was" if n == first else n for n in node.input]
            model.graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in constants.items())
            model.graph.node.extend([*nodes, helper.make_node("Add", ["was", "more"], [first])])

        return edit

    def loop(count: int) -> Callable[[Any], Any]:
        from onnx import TensorProto, helper

        value = helper.make_tensor_value_info
        body = helper.make_graph(
            [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["v", "v"], ["w"])],
            "body",
            [value("i", TensorProto.INT64, []), value("go", TensorProto.BOOL, []), value("v", TensorProto.FLOAT, [])],
            [value("on", TensorProto.BOOL, []), value("w", TensorProto.FLOAT, [])],
        )
        node = helper.make_node("Loop", ["count", "yes", "zero"], ["more"], body=body)
        return before_output(node, count=np.array(count, "int64"), yes=np.array(True), zero=np.array(0.0, "float32"))

    def circle(model: Any) -> None:
        model.graph.node[0].input[0] = model.graph.node[-1].output[0]

    def deep(model: Any) -> None:
        from onnx import helper

        inner = helper.make_graph([], "g", [], [])
        for _ in range(28):  # three messages in each other each; protobuf reads 100
            inner = helper.make_graph([helper.make_node("If", ["c"], ["x"], then_branch=inner)], "g", [], [])
        model.graph.node.append(helper.make_node("If", ["c"], ["x"], then_branch=inner))

    def function(model: Any) -> None:
        from onnx import helper

        made = helper.make_function(
            "mine", "F", ["a"], ["b"], [helper.make_node("Identity", ["a"], ["b"])], [helper.make_opsetid("", 15)]
        )
        model.functions.append(made)
        model.opset_import.append(helper.make_opsetid("mine", 1))

    def tensor(**fields: Any) -> Callable[[Any], Any]:
        def edit(model: Any) -> None:
            first = model.graph.initializer[0]
            for key, value in fields.items():
                if isinstance(value, list):
                    del getattr(first, key)[:]
                    getattr(first, key).extend(value)
                else:
                    setattr(first, key, value)

        return edit

    def shape(which: str, dims: list[int | str]) -> Callable[[Any], Any]:
        def edit(model: Any) -> None:
            found = getattr(model.graph, which)[0].type.tensor_type.shape
            del found.dim[:]
            for value in dims:
                one = found.dim.add()
                if isinstance(value, int):
                    one.dim_value = value
                else:
                    one.dim_param = value

        return edit

    def many(model: Any) -> None:
        from onnx import helper

        name = model.graph.output[0].name
        for node in model.graph.node:
            node.output[:] = ["x0" if n == name else n for n in node.output]
            node.input[:] = ["x0" if n == name else n for n in node.input]
        model.graph.node.extend(helper.make_node("Neg", [f"x{i}"], [f"x{i + 1}"]) for i in range(100_000))
        model.graph.node.append(helper.make_node("Neg", ["x100000"], [name]))

    edited("loop", loop(2**40), seconds=30.0)
    edited("loop-short", loop(3), exit=(0, 1))
    edited("circle", circle)
    edited("if-deep", deep)
    edited("function", function, exit=(0, 1))
    edited("nodes-100000", many, exit=(0, 1))
    edited("no-nodes", lambda m: m.graph.ClearField("node"))
    edited("no-weights", lambda m: m.graph.ClearField("initializer"))
    edited("no-output", lambda m: m.graph.ClearField("output"))
    edited("no-input", lambda m: m.graph.ClearField("input"))
    edited(
        "outputs-1000", lambda m: [m.graph.output.add().CopyFrom(m.graph.output[0]) for _ in range(1000)], exit=(0, 1)
    )
    edited("output-renamed", lambda m: setattr(m.graph.output[0], "name", "\x1b[2J"))
    edited("node-renamed", lambda m: [setattr(n, "name", "\x1b[2J" * 50) for n in m.graph.node], exit=(0, 1))
    edited("operator", lambda m: setattr(m.graph.node[-1], "op_type", "\x1b[2JEvil"))
    edited("opset-99", lambda m: setattr(m.opset_import[0], "version", 99))
    edited("opset-negative", lambda m: setattr(m.opset_import[0], "version", -1))
    edited("version-99", lambda m: setattr(m, "ir_version", 99))
    edited("metadata", lambda m: m.metadata_props.add(key="\x1b[2J", value="\x1b[2J" * 1000), exit=(0, 1))
    edited("text-large", lambda m: setattr(m, "doc_string", "x" * 50_000_000), exit=(0, 1))
    for number, fields in enumerate(
        (
            {"dims": [2**40, 2**20]},
            {"dims": [-1, -1]},
            {"dims": [0]},
            {"dims": []},
            {"dims": [1] * 5000},
            {"data_type": 8},
            {"data_type": 14},
            {"data_type": 22},
            {"data_type": 99},
            {"data_type": 0},
            {"raw_data": b""},
            {"raw_data": b"x"},
            {"name": ""},
            {"float_data": [1.0] * 9},
        )
    ):
        edited(f"tensor-{number}", tensor(**fields), exit=(0, 1) if number == 13 else (1,))
        edited(f"tensor-{number}-backbone", tensor(**fields), "backbone.onnx", exit=(0, 1) if number == 13 else (1,))
    for which in ("input", "output"):
        for number, dims in enumerate(([], [1], [-1, -1], [2**40, 2**40], [0, 0], ["N"], ["N", 3], ["N", 99_999, 9])):
            edited(f"shape-{which}-{number}", shape(which, dims), exit=(0, 1))
    large = np.array([40_000, 40_000], "int64")
    for op in ("ConstantOfShape", "Expand", "Tile"):
        from onnx import helper

        words = {"ConstantOfShape": ["large"], "Expand": ["one", "large"], "Tile": ["one", "large"]}[op]
        nodes = (helper.make_node(op, words, ["t"]), helper.make_node("ReduceMax", ["t"], ["more"], keepdims=0))
        edited(f"bomb-{op}", before_output(*nodes, large=large, one=np.ones((1, 1), "float32")), megabytes=3000)
    from onnx import helper

    numbers = {"a": np.array(0, "int64"), "b": np.array(2**50, "int64"), "c": np.array(1, "int64")}
    span = (
        helper.make_node("Range", ["a", "b", "c"], ["t"]),
        helper.make_node("ReduceMax", ["t"], ["u"], keepdims=0),
        helper.make_node("Cast", ["u"], ["more"], to=1),
    )
    edited("bomb-Range", before_output(*span, **numbers), megabytes=3000)
    random = helper.make_node("RandomNormal", [], ["t"], shape=[1])
    edited("random", before_output(random, helper.make_node("ReduceMax", ["t"], ["more"], keepdims=0)), exit=(0, 1))
    not_a_number = helper.make_node("Div", ["zero", "zero"], ["more"])
    edited("gives-nan", before_output(not_a_number, zero=np.array(0.0, "float32")))

    # ---- weights files, read by Keras

    def weights(name: str, edit: Callable[[Any], Any], **options: Any) -> None:
        def make(folder: Path) -> None:
            import h5py

            with h5py.File(folder / "head.weights.h5", "r+") as file:
                edit(file)
            sign(folder)

        add(f"h5-{name}", make, *READ, "--runtime", "keras", **options)

    def first(file: Any) -> str:
        import h5py

        found: list[str] = []
        file.visititems(lambda n, item: found.append(n) if isinstance(item, h5py.Dataset) and item.size > 8 else None)
        return found[0]

    def swapped(make: Callable[[Any, str, tuple[int, ...]], Any]) -> Callable[[Any], Any]:
        def edit(file: Any) -> None:
            name = first(file)
            form = file[name].shape
            del file[name]
            make(file, name, form)

        return edit

    def virtual(file: Any, name: str, form: tuple[int, ...]) -> None:
        import h5py

        layout = h5py.VirtualLayout(form, "f4")
        layout[:] = h5py.VirtualSource("/etc/passwd", "x", form)
        file.create_virtual_dataset(name, layout)

    def external(file: Any, name: str, form: tuple[int, ...]) -> None:
        file.create_dataset(name, form, "f4", external=[("/etc/passwd", 0, 2**40)])

    def link(file: Any, name: str, form: tuple[int, ...]) -> None:
        import h5py

        file[name] = h5py.ExternalLink("/etc/passwd", "/x")

    def references(file: Any, name: str, form: tuple[int, ...]) -> None:
        import h5py

        made = file.create_dataset(name, form, h5py.ref_dtype)
        made[...] = file.ref

    def texts(file: Any, name: str, form: tuple[int, ...]) -> None:
        import h5py

        file.create_dataset(name, form, h5py.string_dtype())[...] = "x" * 99

    def lists(file: Any, name: str, form: tuple[int, ...]) -> None:
        import h5py

        file.create_dataset(name, form, h5py.vlen_dtype("f4"))

    for name, make in {
        "virtual": virtual,
        "external": external,
        "link": link,
        "references": references,
        "texts": texts,
        "lists": lists,
        "compound": lambda f, n, s: f.create_dataset(n, s, np.dtype([("a", "f4"), ("b", "i8")])),
        "void": lambda f, n, s: f.create_dataset(n, s, "V4"),
        "bytes": lambda f, n, s: f.create_dataset(n, s, "S9"),
        "complex": lambda f, n, s: f.create_dataset(n, s, "c8"),
        "none": lambda f, n, s: f.create_dataset(n, dtype="f4"),
        "empty": lambda f, n, s: f.create_dataset(n, (0,), "f4"),
        "group": lambda f, n, s: f.create_group(n),
        "packed": lambda f, n, s: f.create_dataset(n, (3 * 10**8,), "f4", compression="gzip", chunks=(10**7,)),
        "nan": lambda f, n, s: f.create_dataset(n, s, "f4", fillvalue=np.nan),
    }.items():
        weights(name, swapped(make))
    weights("itself", lambda f: f.__setitem__("again", f["/"]))
    weights("groups", lambda f: [f.create_group(f"g{i}") for i in range(30_000)], exit=(0, 1))
    weights("names", lambda f: f.create_group("\x1b[2J"), exit=(0, 1))

    # ---- configuration, list of files, directions

    def text(edit: Callable[[str], str], name: str = "config.json") -> Callable[[Path], object]:
        def make(folder: Path) -> None:
            (folder / name).write_text(edit((folder / name).read_text("utf-8")), "utf-8")
            if name != "SHA256SUMS":
                sign(folder)

        return make

    add("config-twice", text(lambda t: '{"image_size": 9,' + t.lstrip()[1:]), exit=(0, 1))
    add("config-twice-last", text(lambda t: t.rstrip()[:-1] + ',"image_size": 9}'))
    add("config-bom", text(lambda t: "\ufeff" + t), exit=(0, 1))
    add("config-after", text(lambda t: t + t))
    add("config-surrogate", text(lambda t: t.rstrip()[:-1] + ',"summary": "\\ud800\\udfff\\ud800"}'), exit=(0, 1))
    add("config-surrogate-name", text(lambda t: t.rstrip()[:-1] + ',"name": "\\ud800"}'), exit=(0, 1))
    add("config-nul", text(lambda t: t.rstrip()[:-1] + ',"name": "a\\u0000b"}'), exit=(0, 1))
    add(
        "config-keys",
        text(lambda t: t.rstrip()[:-1] + "".join(f',"k{i}": 1' for i in range(50_000)) + "}"),
        exit=(0, 1),
    )
    for key in (
        "schema",
        "alignment",
        "backbone",
        "head",
        "decoder",
        "feature_shape",
        "image_size",
        "calibration",
        "format",
        "name",
    ):
        for number, value in enumerate((None, [], {}, 7, "x", True, [[[]]], {"a": {}}, -1e308)):
            edit = lambda t, k=key, v=value: json.dumps({**json.loads(t), k: v})  # noqa: E731
            add(f"config-{key}-{number}", text(edit), exit=(0, 1))
    for number, line in enumerate(
        ("../x", "/etc/passwd", "a/b", "", ".", "..", "x\0y", "p" * 5000, "con", "config.json")
    ):
        add(f"sums-{number}", text(lambda t, n=line: t + f"{'0' * 64}  {n}\n", "SHA256SUMS"))
    add("sums-many", text(lambda t: t + "".join(f"{'0' * 64}  f{i}\n" for i in range(13_000)), "SHA256SUMS"))
    add("sums-upper", text(lambda t: t.upper(), "SHA256SUMS"))
    add("sums-unlisted", lambda f: (f / "more.bin").write_bytes(b"x"), exit=(0, 1))

    def directions(data: bytes) -> Callable[[Path], object]:
        return lambda folder: ((folder / "directions.npz").write_bytes(data), sign(folder))

    def member(head: bytes, body: bytes = b"", version: bytes = b"\1\0") -> bytes:
        packed = io.BytesIO()
        stored = npz(lambda a: a.pop("mean"))
        with zipfile.ZipFile(io.BytesIO(stored)) as old, zipfile.ZipFile(packed, "w") as new:
            for info in old.infolist():
                new.writestr(info.filename, old.read(info))
            length = struct.pack("<H" if version == b"\1\0" else "<I", len(head))
            new.writestr("mean.npy", b"\x93NUMPY" + version + length + head + body)
        return packed.getvalue()

    for number, head in enumerate(
        (
            b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,)}",
            b"{'descr': '<f4', 'shape': (4,)}",
            b"{'descr': '<f4', 'fortran_order': False, 'shape': (-4,)}",
            b"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
            b"{'descr': '|V2000000000', 'fortran_order': False, 'shape': (0,)}",
            b"{'descr': '<U5', 'fortran_order': 7, 'shape': 4}",
            b"__import__('os')",
            b"(" * 5000,
            b"{" * 60_000,
            b"9" * 60_000,
            b"[" * 900 + b"]" * 900,
            b"",
            b"\xff\xfe",
            b"{'descr': [('a', '<f4'), ('b', '|O')], 'fortran_order': False, 'shape': (1,)}",
            b"{'descr': '<M8[ns]', 'fortran_order': False, 'shape': (1,)}",
            b"{'descr': '<f4', 'fortran_order': False, 'shape': (" + b"0," * 900 + b")}",
            b"{'descr': '<f4', 'fortran_order': False, 'shape': (True,)}",
            b"{'descr': '<f4', 'fortran_order': False, 'shape': (1.5,)}",
        )
    ):
        add(f"npy-{number}", directions(member(head, bytes(64))), *EDIT)
    add(
        "npy-version-3",
        directions(member(b"{'descr': '<f4', 'fortran_order': False, 'shape': (4,)}", bytes(16), b"\3\0")),
        *EDIT,
    )
    add("npy-version-9", directions(member(b"x", b"", b"\x09\0")), *EDIT)
    add("npy-length", directions(member(b"x" * 9, b"", b"\2\0").replace(b"\x09\0\0\0x", b"\xff\xff\xff\x7fx")), *EDIT)

    def with_members(*members: tuple[str, bytes]) -> Callable[[Path], object]:
        def make(folder: Path) -> None:
            data = io.BytesIO(npz(lambda a: None))
            with warnings.catch_warnings(), zipfile.ZipFile(data, "a") as archive:
                warnings.simplefilter("ignore")  # of the names that come twice
                for name, content in members:
                    archive.writestr(name, content)
            directions(data.getvalue())(folder)

        return make

    add("npz-twice", with_members(("../../mean.npy", b"x"), *[("mean.npy", b"x")] * 3), *EDIT)
    add("npz-members", with_members(*((f"m{i}", b"") for i in range(30_000))), *EDIT, exit=(0, 1))
    return out
