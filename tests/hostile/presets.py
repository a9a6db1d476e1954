"""Presets of strangers: every file damaged, swapped for a link or a pipe, larger than it says, with numbers of none."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hostile.case import Case, rng
from hostile.pictures import encoded

ASSETS = Path(__file__).resolve().parents[2] / "src" / "facefeat" / "assets" / "presets" / "mobilenet-112-utkface"
FILES = ("config.json", "SHA256SUMS", "model_card.md", "training.json", "backbone.onnx", "head.onnx", "directions.npz",
         "decoder.onnx", "head.weights.h5")  # fmt: skip
READ = ("predict", "a.png", "--detector", "whole-image", "--preset", "p")
EDIT = ("compose", "--preset", "p", "--output", "x.png", "--age", "30")


def preset(folder: Path) -> Path:
    """A copy of the bundled preset."""
    shutil.copytree(ASSETS, folder)
    return folder


def sign(folder: Path) -> None:
    """Write SHA256SUMS anew: whoever makes a hostile preset can do that, too."""
    names = sorted(p.name for p in folder.iterdir() if p.is_file() and p.name != "SHA256SUMS")
    lines = [f"{hashlib.sha256((folder / n).read_bytes()).hexdigest()}  {n}\n" for n in names]
    (folder / "SHA256SUMS").write_text("".join(lines), "utf-8", errors="surrogateescape")


def changed(folder: Path, edit: Callable[[dict[str, Any]], Any], card: str | None = None) -> Path:
    """The preset with its configuration edited, and signed."""
    config = json.loads((folder / "config.json").read_text("utf-8"))
    edit(config)
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    if card is not None:
        (folder / "model_card.md").write_text(card, "utf-8")
    sign(folder)
    return folder


def calibrated(config: dict[str, Any], attribute: str, **values: Any) -> None:
    """Give a configuration the calibration of one attribute."""
    config.pop("temperatures", None)
    config["calibration"] = {attribute: values}


def graph(folder: Path, name: str, edit: Callable[[Any], Any]) -> None:
    """One of the preset's graphs edited, and signed."""
    import onnx

    model = onnx.load(folder / name)
    edit(model)
    (folder / name).write_bytes(model.SerializeToString())
    sign(folder)


def weights(value: float, share: float = 1.0) -> Callable[[Any], Any]:
    """Edit of a graph: the large tensors get a value, as a share of their numbers."""

    def edit(model: Any) -> None:
        from onnx import numpy_helper

        for tensor in model.graph.initializer:
            array = numpy_helper.to_array(tensor)
            if array.dtype.kind == "f" and array.size >= 64:
                flat = array.astype("float32").reshape(-1)
                flat[: max(1, int(share * flat.size))] = value
                tensor.CopyFrom(numpy_helper.from_array(flat.reshape(array.shape).astype(array.dtype), tensor.name))

    return edit


def bomb(model: Any) -> None:
    """Edit of a graph: two vectors of 200 kB, of which a product takes 10 GB."""
    from onnx import TensorProto, helper, numpy_helper

    (given,), outputs = list(model.graph.input), list(model.graph.output)
    first = outputs[0].name
    for node in model.graph.node:
        node.output[:] = ["was" if n == first else n for n in node.output]
        node.input[:] = ["was" if n == first else n for n in node.input]
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(np.ones((50_000, 1), "float32"), "left"),
            numpy_helper.from_array(np.ones((1, 50_000), "float32"), "right"),
        ]
    )
    model.graph.node.extend(
        [
            helper.make_node("MatMul", ["left", "right"], ["large"]),
            helper.make_node("ReduceMean", ["large"], ["mean"], keepdims=0),
            helper.make_node("Add", ["was", "mean"], [first]),
        ]
    )
    assert given.type.tensor_type.elem_type in (TensorProto.FLOAT, TensorProto.UINT8)


def npz(edit: Callable[[dict[str, np.ndarray]], Any]) -> bytes:
    """The bundled directions, edited."""
    with np.load(ASSETS / "directions.npz", allow_pickle=False) as stored:
        arrays = {n: stored[n] for n in stored.files}
    edit(arrays)
    out = io.BytesIO()
    np.savez(out, **arrays)  # type: ignore[arg-type]
    return out.getvalue()


def cases(seed: int) -> list[Case]:
    """See the module."""
    out: list[Case] = []

    def add(name: str, make: Callable[[Path], object], *command: str, **options: Any) -> None:
        def whole(folder: Path) -> None:
            (folder / "a.png").write_bytes(encoded("png", "RGB"))
            preset(folder / "p")
            make(folder / "p")

        options = {"never": ("age ?", "age nan", "NaN%"), **options} if not command or command == READ else options
        out.append(Case("presets", name, whole, command or READ, **options))

    for name in FILES:
        ways = {"config.json": READ, "model_card.md": ("presets", "p"), "directions.npz": EDIT, "decoder.onnx": EDIT}
        command = ways.get(name, READ)

        def swap(target: str, name: str = name) -> Callable[[Path], object]:
            def make(folder: Path) -> None:
                (folder / name).unlink()
                (folder / name).symlink_to(target)

            return make

        add(f"{name}-to-passwd", swap("/etc/passwd"), *command)
        add(f"{name}-to-zero", swap("/dev/zero"), *command, seconds=30.0)

        def pipe(folder: Path, name: str = name) -> None:
            (folder / name).unlink()
            os.mkfifo(folder / name)

        add(f"{name}-pipe", pipe, *command, seconds=30.0)
        add(f"{name}-missing", lambda f, n=name: (f / n).unlink(), *command, exit=(0, 1, 2))

        def damaged(folder: Path, name: str = name) -> None:
            data = bytearray((folder / name).read_bytes())
            random = rng(seed, name)
            for _ in range(50):
                data[random.randrange(len(data))] ^= 1 << random.randrange(8)
            (folder / name).write_bytes(bytes(data))

        add(f"{name}-damaged", damaged, *command)

        def signed(folder: Path, name: str = name, then: Callable[..., None] = damaged) -> None:
            then(folder)
            if name != "SHA256SUMS":
                sign(folder)

        add(f"{name}-damaged-signed", signed, *command, exit=(0, 1, 2))

        def cut(folder: Path, name: str = name) -> None:
            data = (folder / name).read_bytes()
            (folder / name).write_bytes(data[: rng(seed, f"cut{name}").randrange(len(data))])
            if name != "SHA256SUMS":
                sign(folder)

        add(f"{name}-cut-signed", cut, *command, exit=(0, 1, 2) if name == "model_card.md" else (1, 2, 0))

    def text(value: str) -> Callable[[Path], object]:
        def make(folder: Path) -> None:
            (folder / "config.json").write_text(value, "utf-8")
            sign(folder)

        return make

    add("config-deep", text("[" * 200_000))
    add("config-deep-closed", text("[" * 50_000 + "]" * 50_000))
    add("config-deep-table", text('{"a":' * 20_000 + "1" + "}" * 20_000))
    add("config-huge-number", text('{"format": ' + "9" * 5000 + "}"))
    add("config-list", text("[]"))
    add("config-null", text("null"))
    add("config-nan", text('{"format": NaN}'))
    add("training-deep", lambda f: ((f / "training.json").write_text("[" * 100_000), sign(f)), exit=(0, 1))
    for value in (float("nan"), float("inf"), -float("inf"), 0.0, -1.0, 1e-9, 1e9, "1", None, [], True):
        edit = lambda c, v=value: calibrated(c, "gender", temperature=v)  # noqa: E731
        add(f"temperature-{value}", lambda f, e=edit: changed(f, e), exit=(0, 1) if value in ("1", True) else (1,))
    for value in (float("nan"), float("inf"), 1e9, "x", None):
        edit = lambda c, v=value: calibrated(c, "gender", bias=[v, 0.0])  # noqa: E731
        add(f"bias-{value}", lambda f, e=edit: changed(f, e))
    edit = lambda c: calibrated(c, "age", interval={"coverage": 0.9, "low": -1e9, "high": 1e9})  # noqa: E731
    add("interval-wide", lambda f, e=edit: changed(f, e))
    for size in (0, -1, 100_000, 2**40, 1.5, "112", None, True, float("nan")):
        add(f"image-size-{size}", lambda f, s=size: changed(f, lambda c: c.update(image_size=s)))
    for shape in ([10**9, 1, 1], [0, 0, 0], [1, 2], ["a", 1, 1], [-1, -1, -1], None):
        add(f"feature-shape-{shape}", lambda f, s=shape: changed(f, lambda c: c.update(feature_shape=s)), exit=(0, 1))
    add("parameters", lambda f: changed(f, lambda c: c.update(parameters=10**400)), exit=(0, 1))
    marks = [[float("nan")] * 2] * 5, [[0.5, 0.5]] * 5, [[1e300, 0]] * 5, [[0, 0]], [[i / 5, i / 5] for i in range(5)]
    for number, found in enumerate(marks):
        # Cropping by the alignment needs a detector with landmarks.
        add(f"alignment-{number}", lambda f, m=found: changed(f, lambda c: c["alignment"].update(landmarks=m)),
            exit=(0, 1))  # fmt: skip
    add("years-wide", lambda f: changed(f, lambda c: c["schema"]["attributes"]["age"].update(years=[[0, 10**9]])))
    many = {f"a{i}": {"classes": ["x", "y"]} for i in range(20_000)}
    add("attributes-many", lambda f: changed(f, lambda c: c["schema"].update(attributes=many)))
    classes = [f"c{i}" for i in range(40_000)]
    add("classes-many", lambda f: changed(f, lambda c: c["schema"]["attributes"]["gender"].update(classes=classes)))
    for name in ("backbone.onnx", "head.onnx"):
        for value in (float("nan"), float("inf"), 6e4, 1e30):
            if value == 6e4 and name == "backbone.onnx":
                continue
            for share in (1.0, 0.001):
                add(f"{name}-weights-{value:g}-{share}", lambda f, n=name, v=value, s=share: graph(f, n, weights(v, s)),
                    exit=(0, 1) if value == 6e4 else (1,))  # fmt: skip
        add(f"{name}-bomb", lambda f, n=name: graph(f, n, bomb), megabytes=3000)

    def external(model: Any) -> None:
        from onnx import TensorProto

        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", "/etc/passwd"), ("offset", "0"), ("length", "16")):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value

    add("onnx-external", lambda f: graph(f, "head.onnx", external))
    add("onnx-domain", lambda f: graph(f, "head.onnx", lambda m: m.opset_import.add(domain="evil", version=1)))
    for name in ("gz", "elf", "text"):
        data = {"gz": b"\x1f\x8b" * 99, "elf": b"\x7fELF" * 99, "text": b"hello " * 99}[name]
        add(f"onnx-{name}", lambda f, d=data: ((f / "head.onnx").write_bytes(d), sign(f)))
    for number in range(8):
        data = rng(seed, f"onnx{number}").randbytes(2000)
        add(f"onnx-random-{number}", lambda f, d=data: ((f / "head.onnx").write_bytes(d), sign(f)))

    directions = lambda data: lambda f: ((f / "directions.npz").write_bytes(data), sign(f))  # noqa: E731
    for value in (float("nan"), float("inf"), 1e30):
        for array in ("mean", "weights"):
            edit = lambda a, v=value, n=array: a.update({n: np.full_like(a[n], v)})  # noqa: E731
            add(f"directions-{array}-{value:g}", directions(npz(edit)), *EDIT)
    add("directions-objects", directions(npz(lambda a: a.update(faces=np.array([{}], dtype=object)))), *EDIT)
    add("directions-wide", directions(npz(lambda a: a.update(mean=np.zeros(5_000_000, "float32")))), *EDIT)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mean.npy", bytes(200_000_000))
    add("directions-bomb", directions(packed.getvalue()), *EDIT)
    for method, name in ((99, "method"), (14, "lzma"), (12, "bzip2")):
        data = bytearray(npz(lambda a: None))
        for mark in (b"PK\x03\x04", b"PK\x01\x02"):
            at, step = data.find(mark), 8 if mark[2] == 3 else 10
            while at >= 0:
                data[at + step : at + step + 2] = struct.pack("<H", method)
                at = data.find(mark, at + 4)
        add(f"directions-{name}", directions(bytes(data)), *EDIT)
    data = bytearray(npz(lambda a: None))
    for mark, step in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(mark)
        while at >= 0:
            data[at + step] |= 1
            at = data.find(mark, at + 4)
    add("directions-encrypted", directions(bytes(data)), *EDIT)
    return out
