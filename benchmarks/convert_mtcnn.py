"""Write MTCNN's three networks as ONNX graphs, from the weights in the `mtcnn` distribution (MIT).

    pip install "mtcnn==1.0.0" onnx
    python convert_mtcnn.py OUT

writes OUT/mtcnn-pnet.onnx, OUT/mtcnn-rnet.onnx and OUT/mtcnn-onet.onnx; neither TensorFlow nor Keras is imported. The
same weights give the same bytes.

    mtcnn-pnet.onnx   pixels (B, H, W, 3) uint8 RGB, H and W >= 12
                      -> shift (B, h, w, 4), probability (B, h, w); h = (H - 1) // 2 - 4
    mtcnn-rnet.onnx   pixels (N, 3, 24, 24) float32 from -1 to 1 -> shift (N, 4), probability (N,)
    mtcnn-onet.onnx   pixels (N, 3, 48, 48) float32 from -1 to 1 -> shift (N, 4), landmarks (N, 10), probability (N,)

The graphs say what the Keras networks say, to rounding; three things are written differently because it is faster:
  * pixels -> -1..1 is folded into the first convolution of the first network, so that it takes bytes;
  * the softmax over two classes is the sigmoid of their difference;
  * the first layer's rectifier is part of its convolution (`first_layer`).
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np

OPSET, IR_VERSION = 17, 8
SHA256 = {
    "pnet": "ea6b0c3e685ebee3165326ad6484acc95f2ef78f1c94fbf40a55704fa989f7b5",
    "rnet": "cb00e6460f3c98b0bfafaba3c0a0ded4bdf6e62cee7174d969e8670d7e757fee",
    "onet": "94f6ea2f4cf985275ee958cdd762d17b6009348a4fb9d8c6be39ba73ffd22ca3",
}
SIDES = {"pnet": None, "rnet": 24, "onet": 48}
# Of each convolution: the max pooling after it (side, whether it is padded at the end as TensorFlow's "SAME"), or None.
POOLS: dict[str, list[tuple[int, bool] | None]] = {
    "pnet": [(2, True), None, None],
    "rnet": [(3, True), (3, False), None],
    "onet": [(3, True), (3, False), (2, True), None],
}


def load(net: str) -> list[np.ndarray]:
    """The arrays of one network. The file is a pickle, so its hash is checked before it is opened."""
    import joblib  # with lz4, a requirement of mtcnn

    spec = importlib.util.find_spec("mtcnn")  # found, not imported: importing it would import TensorFlow
    if spec is None or not spec.submodule_search_locations:
        sys.exit("mtcnn is not installed. Next: pip install 'mtcnn==1.0.0'")
    path = Path(spec.submodule_search_locations[0]) / "assets" / "weights" / f"{net}.lz4"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != SHA256[net]:
        sys.exit(f"{path} is not the file of mtcnn 1.0.0. Received: SHA-256 {digest}.")
    return [np.asarray(a, "float32") for a in joblib.load(path)]


class Graph:
    """Nodes and weights, collected in order; names are numbered, so that the bytes are the same on each run."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def add(self, op: str, *inputs: str, out: str = "", **attributes: Any) -> str:
        from onnx import helper

        out = out or f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [out], name=f"{op}_{len(self.nodes)}", **attributes))
        return out

    def constant(self, value: np.ndarray) -> str:
        from onnx import numpy_helper

        name = f"weight_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def conv(self, x: str, kernel: np.ndarray, bias: np.ndarray) -> str:
        """kernel (h, w, in, out), as Keras has it."""
        weights = kernel.transpose(3, 2, 0, 1).astype("float32")
        return self.add(
            "Conv", x, self.constant(weights), self.constant(bias.astype("float32")), kernel_shape=kernel.shape[:2]
        )

    def pool(self, x: str, side: int, padded: bool) -> str:
        """TensorFlow's max pooling of stride 2. Its "SAME" pads at the end first; ONNX's SAME_UPPER is the same."""
        pads: dict[str, Any] = {"auto_pad": "SAME_UPPER"} if padded else {"pads": [0, 0, 0, 0]}
        return self.add("MaxPool", x, kernel_shape=[side, side], strides=[2, 2], **pads)


def build(net: str, w: list[np.ndarray]) -> Any:
    """w: the arrays in order, kernel, bias and slope of each layer, then kernel and bias of each output."""
    from onnx import TensorProto, checker, helper

    g, side = Graph(), SIDES[net]
    x = "pixels"
    if net == "pnet":
        kernel, bias = w[0].astype("float64"), w[1].astype("float64")
        w = [kernel / 128, bias - kernel.sum(axis=(0, 1, 2)) * 127.5 / 128, *w[2:]]
        x = g.add("Transpose", g.add("Cast", x, to=TensorProto.FLOAT), perm=[0, 3, 1, 2])
    x, mix = first_layer(g, x, *w[:3])
    layers = len(POOLS[net])
    for i, pool in enumerate(POOLS[net]):
        if i:
            kernel, bias, slope = w[3 * i : 3 * i + 3]
            if i == 1:
                kernel = np.einsum("pc,hwco->hwpo", mix, kernel)
            x = g.add("PRelu", g.conv(x, kernel, bias), g.constant(slope.reshape(-1, 1, 1)))
        if pool:
            x = g.pool(x, *pool)

    rest = w[3 * layers :]
    if net != "pnet":
        # Keras flattens (h, w, C); these weights count columns first, so (w, h, C): here from (C, h, w).
        x = g.add("Flatten", g.add("Transpose", x, perm=[0, 3, 2, 1]), axis=1)
        x = g.add("Gemm", x, g.constant(rest[0]), g.constant(rest[1]))
        x = g.add("PRelu", x, g.constant(rest[2]))
        rest = rest[3:]
    kernels = [*rest[:-2:2], rest[-2][..., 1:] - rest[-2][..., :1]]
    biases = [*rest[1:-2:2], rest[-1][1:] - rest[-1][:1]]
    widths = [len(b) for b in biases]
    kernel, bias = np.concatenate(kernels, axis=-1), np.concatenate(biases)
    if net == "pnet":
        x = g.add("Transpose", g.conv(x, kernel, bias), perm=[0, 2, 3, 1])
    else:
        x = g.add("Gemm", x, g.constant(kernel), g.constant(bias))
    names = ["shift", "landmarks"][: len(widths) - 1]
    splits = g.constant(np.array(widths, "int64"))
    g.nodes.append(helper.make_node("Split", [x, splits], [*names, "logit"], name="Split", axis=-1))
    g.add("Sigmoid", g.add("Squeeze", "logit", g.constant(np.array([-1], "int64"))), out="probability")

    info, inner = helper.make_tensor_value_info, [] if side else ["rows", "columns"]
    if side:
        pixels = info("pixels", TensorProto.FLOAT, ["batch", 3, side, side])
    else:
        pixels = info("pixels", TensorProto.UINT8, ["batch", "height", "width", 3])
    outputs = [info(n, TensorProto.FLOAT, ["batch", *inner, k]) for n, k in zip(names, widths, strict=False)]
    outputs.append(info("probability", TensorProto.FLOAT, ["batch", *inner]))
    graph = helper.make_graph(g.nodes, f"mtcnn-{net}", [pixels], outputs, g.weights)
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION, producer_name="facefeat")
    checker.check_model(model, full_check=True)
    return model


def first_layer(g: Graph, x: str, kernel: np.ndarray, bias: np.ndarray, slope: np.ndarray) -> tuple[str, np.ndarray]:
    """The first convolution and its rectifier, which take more than half of the time as they stand in Keras.

    A rectifier of slope a is a * x + (1 - a) * max(x, 0): the sum of two convolutions, the second with a plain
    rectifier. ONNX Runtime computes both in its fastest layout, where PRelu is a pass of its own in another one. The
    channels of a > 1, where (1 - a) cannot go behind the rectifier, become two channels, x and
    max(x, 0), which pooling leaves apart because such a rectifier is monotonic, and the next layer's weights add them.
    Channels are filled up to a multiple of 16, without which that layout is not used.

    Returns the tensor and `mix` (channels, C): the next layer's kernel for C inputs becomes one for these by it.
    """
    kernel, bias, slope = (np.asarray(a, "float64") for a in (kernel, bias, slope.reshape(-1)))
    steep = np.flatnonzero(slope > 1)
    channels = np.concatenate([np.arange(len(slope)), steep])
    mix = np.eye(len(channels), len(slope))
    mix[steep, steep] = slope[steep]
    mix[len(slope) + np.arange(len(steep)), steep] = 1 - slope[steep]
    slope = np.concatenate([np.where(slope > 1, 1.0, slope), np.zeros(len(steep))])
    spare = -len(channels) % 16
    kernel = np.pad(kernel[..., channels], [(0, 0)] * 3 + [(0, spare)])
    bias, slope = np.pad(bias[channels], (0, spare)), np.pad(slope, (0, spare))
    bent = g.add("Relu", g.conv(x, kernel * (1 - slope), bias * (1 - slope)))
    return g.add("Add", g.conv(x, kernel * slope, bias * slope), bent), np.pad(mix, [(0, spare), (0, 0)])


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python convert_mtcnn.py OUT")
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for net in SIDES:
        data = build(net, load(net)).SerializeToString(deterministic=True)
        (out / f"mtcnn-{net}.onnx").write_bytes(data)
        print(f"mtcnn-{net}.onnx  {len(data):>9,} bytes  sha256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main()
