"""ONNX graphs of a model's networks: made from Keras models, and checked before anything runs them.

A graph has one input, `input` (N, ...): crops as uint8, else float32. Its outputs are float32: `output`, or one for
each attribute of a head. Kernels are stored in float16, as weights files store them; ONNX Runtime turns them into
float32 once, when it loads the graph.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from facefeat.errors import FacefeatError, PluginError, PresetError
from facefeat.networks.finite import check_finite
from facefeat.utils.ort import import_onnxruntime

if TYPE_CHECKING:
    import keras
    import numpy as np

INPUT, OUTPUT = "input", "output"
MAX_OPSET = 23
"""Of the standard operators. What this facefeat writes has 15; newer ones than this are refused."""
DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
"""Operator sets that a graph may use: the standard's. Custom operators would be code of the preset's."""
TOLERANCE = 1e-3
"""How far an output of a graph may be from the Keras model's, as a share of the largest value."""
HALF_TOLERANCE = 0.02
"""The same, once its kernels are in float16."""
_FLOATS = {1: "<f4", 10: "<f2", 11: "<f8"}
"""ONNX's numbers of the float types -> those of NumPy."""
_ENDLESS = (b"Loop", b"Scan")
"""Operators of which a file of a few bytes can ask for any number of steps."""
_DEPTH = 20
"""Of graphs inside graphs, above which a file is taken for one that means to exhaust the reader."""


def can_export() -> str:
    """Why no graph can be made here: one sentence; "" where it can."""
    from importlib.util import find_spec

    import keras

    backend = keras.backend.backend()
    if backend != "tensorflow":
        return f"graphs are exported on the Keras backend tensorflow, and this is {backend}"
    missing = [p for p in ("onnx", "tf2onnx", "onnxruntime") if find_spec(p) is None]
    return f'{" and ".join(missing)} not installed (Next: pip install "facefeat[export]")' if missing else ""


def to_onnx(model: keras.Model, *, pixels: bool, what: str) -> bytes:
    """The ONNX file of a Keras model of one input, the same bytes each time; it is run, and must agree with the model.

    Args:
        model: Keras model, (B, ...) -> (B, ...), or a table of such.
        pixels: whether the input is crops, given as uint8.
        what: the network and its component, for messages.

    Raises:
        PluginError: where the model cannot be exported, or the graph gives other numbers.
    """
    import numpy as np

    shape = model.input_shape[1:]
    if pixels:
        rows = np.random.default_rng(0).integers(0, 256, (2, *shape)).astype("uint8")
    else:
        rows = np.random.default_rng(0).normal(size=(2, *shape)).astype("float32")
    wrapped = _wrapped(model, pixels)
    named = _answers(wrapped, rows)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the converters, on NumPy's future
            model_file = _finished(_converted(wrapped), tuple(named))
    except FacefeatError:
        raise
    except Exception as e:  # a converter's errors share no base
        first = (str(e).strip() or type(e).__name__).splitlines()[0][:300]
        raise PluginError(f"{what} cannot be exported to ONNX: {first}") from e
    _check_agrees(_serialized(model_file), rows, named, what, 5 * TOLERANCE)
    _halved(model_file.graph)
    graph = _serialized(model_file)
    # Rounded kernels show where numbers are far from any face's: a tenth is as large as codes and features are.
    near = rows if pixels else rows * np.float32(0.1)
    _check_agrees(graph, near, _answers(wrapped, near), what, HALF_TOLERANCE)
    return graph


def _answers(model: keras.Model, rows: np.ndarray) -> dict[str, Any]:
    """Output name -> the model's answers. Computed at once: to trace the model for two small batches takes longer."""
    import keras

    found = model(rows, training=False)
    named = found if isinstance(found, dict) else {OUTPUT: found}
    return {name: keras.ops.convert_to_numpy(value) for name, value in named.items()}


def _serialized(model_file: Any) -> bytes:
    data: bytes = model_file.SerializeToString(deterministic=True)
    return data


def _wrapped(model: keras.Model, pixels: bool) -> keras.Model:
    import keras

    given = keras.Input(model.input_shape[1:], dtype="uint8" if pixels else "float32", name=INPUT)
    return keras.Model(given, model(keras.ops.cast(given, "float32") if pixels else given))


def _converted(model: keras.Model) -> Any:
    """The converter's own graph of a model of one input.

    Not `model.export`, which traces the model three times more: for the lookup tables that a SavedModel may need.
    """
    import tensorflow as tf
    import tf2onnx

    (given,) = model.inputs
    signature = [tf.TensorSpec((None, *given.shape[1:]), given.dtype, name=INPUT)]

    @tf.function(input_signature=signature, autograph=False)
    def call(rows: Any) -> Any:
        return model(rows, training=False)

    model_file, _ = tf2onnx.convert.from_function(call, signature)
    return model_file


def _check_agrees(graph: bytes, rows: np.ndarray, expected: dict[str, Any], what: str, tolerance: float) -> None:
    import numpy as np

    onnxruntime = import_onnxruntime()
    try:
        session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        found = dict(zip([o.name for o in session.get_outputs()], session.run(None, {INPUT: rows}), strict=True))
    except Exception as e:  # onnxruntime's errors share no public base
        first = str(e).strip().splitlines()[0][:300]
        raise PluginError(f"{what} cannot be run by onnxruntime {onnxruntime.__version__}: {first}") from e
    for name, value in expected.items():
        scale = max(1.0, float(np.abs(value).max(initial=0)))
        difference = float(np.abs(found[name] - np.asarray(value)).max(initial=0)) / scale
        if not difference <= tolerance:
            raise PluginError(f"{what}: its ONNX graph answers otherwise than the model, by {difference:.2g}.")


def _finished(model: Any, outputs: tuple[str, ...]) -> Any:
    """The converter's graph with our names, and nothing in it that changes from run to run."""
    graph = model.graph
    del model.metadata_props[:]
    model.producer_name, model.producer_version, model.doc_string = "facefeat", "", ""
    graph.name, graph.doc_string = "network", ""
    for node in graph.node:
        node.doc_string = ""
    fold_channel_reversal(graph)
    _plain_enlargements(graph)
    _rename(graph, [o.name for o in graph.output], outputs)
    _numbered(graph)
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].Clear()
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    del graph.value_info[:]
    return model


def _rename(graph: Any, given: list[str], wanted: tuple[str, ...]) -> None:
    """Give the graph's outputs their names: unchanged where they have them, else in order."""
    names = {} if set(given) == set(wanted) else dict(zip(given, wanted, strict=True))
    names[graph.input[0].name] = INPUT
    for node in graph.node:
        node.input[:] = [names.get(n, n) for n in node.input]
        node.output[:] = [names.get(n, n) for n in node.output]
    for value in (*graph.input, *graph.output):
        value.name = names.get(value.name, value.name)


def _numbered(graph: Any) -> None:
    """Number what lies between input and outputs: a converter's own counter runs over the whole process."""
    kept = {v.name for v in (*graph.input, *graph.output)} | {""}
    names: dict[str, str] = {}

    def number(name: str) -> str:
        return name if name in kept else names.setdefault(name, f"t{len(names)}")

    for i, node in enumerate(graph.node):
        node.name = f"n{i}"
        node.input[:] = [number(n) for n in node.input]
        node.output[:] = [number(n) for n in node.output]
    for tensor in graph.initializer:
        tensor.name = number(tensor.name)
    used = {n for node in graph.node for n in node.input}
    tensors = sorted((t for t in graph.initializer if t.name in used), key=lambda t: int(t.name[1:]))
    held = [type(t).FromString(t.SerializeToString()) for t in tensors]
    del graph.initializer[:]
    graph.initializer.extend(held)


def _halved(graph: Any) -> None:
    """Kernels in float16, each behind a Cast to float32 that ONNX Runtime computes once."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    from facefeat.utils.precision import stored_weight

    casts = []
    for tensor in graph.initializer:
        value = numpy_helper.to_array(tensor)
        if tensor.data_type != TensorProto.FLOAT or value.size < 64 or stored_weight(value).dtype != np.float16:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(value.astype("float16")), f"{name}_half"))
        casts.append(helper.make_node("Cast", [f"{name}_half"], [name], name=f"{name}_cast", to=TensorProto.FLOAT))
    kept = list(graph.node)
    del graph.node[:]
    graph.node.extend([*casts, *kept])


def fold_channel_reversal(graph: Any) -> bool:
    """RGB to BGR, done to the first convolution's kernel instead of to each picture; whether there was one to fold.

    What lies between must be the same for all channels, or a constant for each.
    """
    import numpy as np
    from onnx import numpy_helper

    constants = {t.name: t for t in graph.initializer}
    makes = {o: n for n in graph.node for o in n.output}
    users: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    reversal = next((n for n in graph.node if _reverses(n, constants)), None)
    if reversal is None:
        return False
    axis, name, changed = 3, reversal.output[0], []
    while True:
        following = users.get(name, [])
        if len(following) != 1:
            return False
        node = following[0]
        if node.op_type == "Conv" and axis == 1 and node.input[0] == name and node.input[1] in constants:
            kernel = numpy_helper.to_array(constants[node.input[1]])  # (filters, 3, h, w)
            if kernel.shape[1] != 3:
                return False
            changed.append((node.input[1], kernel[:, ::-1]))
            break
        others = [n for n in node.input if n != name]
        if node.op_type == "Transpose" and axis == 3 and list(node.attribute[0].ints) == [0, 3, 1, 2]:
            axis = 1
        elif node.op_type in ("Add", "Sub", "Mul", "Div") and axis == 3 and all(n in constants for n in others):
            value = numpy_helper.to_array(constants[others[0]])
            if value.size not in (1, 3) or (value.size == 3 and value.shape[-1] != 3):
                return False
            changed.append((others[0], value[..., ::-1]))
        elif node.op_type not in ("Pad", "Cast") or not all(n in constants for n in others):
            return False
        name = node.output[0]
    if any(len(users[n]) != 1 for n, _ in changed):
        return False
    for name, value in changed:
        constants[name].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(value), name))
    _drop(graph, reversal, users, makes)
    return True


def _plain_enlargements(graph: Any) -> None:
    """Write enlargements by whole factors, each place repeated, in the form that ONNX Runtime computes fastest.

    TensorFlow's coordinates, which the converter writes, are deprecated; for whole factors the results are the same.
    """
    from onnx import helper, numpy_helper

    constants = {t.name: t for t in graph.initializer}
    for node in graph.node:
        given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type != "Resize" or given.get("mode", b"nearest") != b"nearest" or len(node.input) != 3:
            continue
        if given.get("coordinate_transformation_mode") != b"tf_half_pixel_for_nn" or node.input[2] not in constants:
            continue
        scales = numpy_helper.to_array(constants[node.input[2]])
        if (scales >= 1).all() and (scales == scales.round()).all():
            del node.attribute[:]
            plain = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
            node.attribute.extend(helper.make_attribute(name, value) for name, value in plain.items())


def _reverses(node: Any, constants: dict[str, Any]) -> bool:
    """Whether a node turns the three channels of crops (N, S, S, 3) around."""
    from onnx import numpy_helper

    if node.op_type == "Gather" and node.input[1] in constants:
        axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
        return axis in (3, -1) and numpy_helper.to_array(constants[node.input[1]]).tolist() == [2, 1, 0]
    return False


def _drop(graph: Any, reversal: Any, users: dict[str, list[Any]], makes: dict[str, Any]) -> None:
    """Take a node out, and whatever was there for it alone."""
    for user in users[reversal.output[0]]:
        user.input[:] = [reversal.input[0] if n == reversal.output[0] else n for n in user.input]
    graph.node.remove(reversal)
    while True:
        used = {n for node in graph.node for n in node.input} | {o.name for o in graph.output}
        idle = [n for n in graph.node if not any(o in used for o in n.output)]
        if not idle:
            return
        for node in idle:
            graph.node.remove(node)


def check_graph(data: bytes, where: str) -> None:
    """Whether a file is an ONNX model that holds all it needs and only standard operators.

    Read from the bytes, without the package onnx: before ONNX Runtime sees them.

    Raises:
        PresetError: for what is no ONNX model, external data, other operators than the standard's, or a newer opset.
    """
    try:
        opsets = dict(_check_model(memoryview(data), where))
    except (IndexError, ValueError, RecursionError):
        raise PresetError(f"{where} is no ONNX model. Save the preset again.") from None
    if not opsets:
        raise PresetError(f"{where} is no ONNX model: it names no operators. Save the preset again.")
    for domain, version in opsets.items():
        if domain not in DOMAINS:
            raise PresetError(f"{where} uses operators of {domain[:80]!r}. Valid: the standard operators of ONNX.")
        if domain in ("", "ai.onnx") and version > MAX_OPSET:
            raise PresetError(
                f"{where} has opset {version}; this facefeat runs up to {MAX_OPSET}. Next: pip install -U facefeat"
            )


def _check_model(data: memoryview, where: str) -> Iterator[tuple[str, int]]:
    """(domain, version) of each operator set; raises PresetError for external data."""
    for field, value in _fields(data):
        if field == 8:
            parts = dict(_fields(_bytes(value)))
            yield bytes(_bytes(parts.get(1, memoryview(b"")))).decode("utf-8", "replace"), int(parts.get(2, 0))
        elif field == 7:
            _check_graph(_bytes(value), where, 0)
        elif field == 25:
            raise PresetError(f"{where} defines functions of its own. Valid: the standard operators of ONNX.")


def _check_graph(graph: memoryview, where: str, depth: int) -> None:
    if depth > _DEPTH:
        raise PresetError(f"{where} nests graphs more than {_DEPTH} deep.")
    for field, value in _fields(graph):
        if field == 1:  # node
            for part, attribute in _fields(_bytes(value)):
                if part == 5:
                    _check_attribute(_bytes(attribute), where, depth)
                elif part == 4 and bytes(_bytes(attribute)) in _ENDLESS:
                    raise PresetError(f"{where} has a loop, which may never end. Valid: operators without loops.")
        elif field == 5:  # initializer
            _check_tensor(_bytes(value), where)
        elif field == 15:  # sparse initializer: values and indices
            for _, tensor in _fields(_bytes(value)):
                if isinstance(tensor, memoryview):
                    _check_tensor(tensor, where)


def _check_attribute(attribute: memoryview, where: str, depth: int) -> None:
    for field, value in _fields(attribute):
        if field in (5, 10):  # a tensor, tensors
            _check_tensor(_bytes(value), where)
        elif field in (6, 11):  # a graph, graphs
            _check_graph(_bytes(value), where, depth + 1)
        elif field in (22, 23):
            for _, tensor in _fields(_bytes(value)):
                if isinstance(tensor, memoryview):
                    _check_tensor(tensor, where)


def _check_tensor(tensor: memoryview, where: str) -> None:
    import numpy as np

    dtype, raw, packed = 0, memoryview(b""), memoryview(b"")
    for field, value in _fields(tensor):
        if field == 13 or (field == 14 and value != 0):
            raise PresetError(f"{where} keeps weights in another file. Valid: a graph that holds all of its weights.")
        if field == 2:
            dtype = int(value)
        elif field == 9:
            raw = _bytes(value)
        elif field == 4 and isinstance(value, memoryview):
            packed = value
    kind, data = _FLOATS.get(dtype), raw if len(raw) else packed
    if kind is not None and len(data) >= 64 and len(data) % np.dtype(kind).itemsize == 0:
        # Fewer may be constants: a clip's largest float, the -inf of a mask. What comes of them is checked later.
        check_finite(np.frombuffer(data, kind), f"{where}: a tensor")


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where a message should be")
    return value


def _fields(data: memoryview) -> Iterator[tuple[int, Any]]:
    """(number, value) of each field of a protocol buffer: an int, or the bytes of what has a length."""
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if kind == 2:
            length, at = _varint(data, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ValueError("an unknown wire type")
        if at + length > end:
            raise ValueError("a field longer than its message")
        yield key >> 3, data[at : at + length] if kind == 2 else 0
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at
        if shift > 63:
            raise ValueError("a number of more than 64 bits")
