"""A preset whose backbone computes with integers of 8 bits, where ONNX Runtime is faster with them.

Source: post-training quantization with scales per channel and calibrated activations (Jacob et al. 2018, "Quantization
and training of neural networks for efficient integer-arithmetic-only inference"), by ONNX Runtime's own tools.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facefeat.errors import InputError, MissingExtraError, PresetError
from facefeat.networks.onnx_graph import INPUT
from facefeat.presets.store import check_target, has_graphs, load_classifier, save_with_graph
from facefeat.utils.ort import import_onnxruntime

if TYPE_CHECKING:
    from facefeat.types import UInt8Array

FACES = 512
"""Faces that the ranges of the activations are measured on, unless given otherwise."""
_BATCH = 32
_NOTE = """
## 8-bit integers

The backbone of this preset computes with 8-bit integers; it was made from `{name}` by `facefeat quantize`, which
measured the ranges of its activations on {count:,} faces. The figures above are those of the original. It is for
processors with instructions for 8-bit dot products (Intel and AMD with VNNI, ARM): on others it is less accurate.
"""


@dataclass(frozen=True)
class Quantized:
    """What was written.

    Attributes:
        path: the new preset.
        agreement: attribute -> the share of the faces whose label is that of the original preset.
    """

    path: Path
    agreement: dict[str, float]


def check_quantize(folder: Path, target: Path) -> None:
    """Before the work.

    Raises:
        InputError: where a preset cannot be written to `target`.
        MissingExtraError: without the package onnx.
        PresetError: for a preset without graphs.
    """
    check_target(target)
    if find_spec("onnx") is None:
        raise MissingExtraError('quantizing needs onnx, not installed here. Next: pip install "facefeat[quantize]"')
    if not has_graphs(folder):
        raise PresetError(f"preset {str(folder)!r} has no ONNX graphs to quantize. Next: save it again")


def quantize_preset(folder: Path, crops: UInt8Array, target: Path, name: str | None = None) -> Quantized:
    """Write a copy of a preset with a quantized backbone.

    Args:
        folder: the preset.
        crops: (N, S, S, 3) uint8, aligned faces of its training data: a random sample of some hundred.
        target: the new preset's folder; an earlier preset there is replaced.
        name: of the new preset; by default the old one's with "-int8".

    Raises:
        InputError: for no faces, or a folder that cannot be written.
        MissingExtraError, PresetError: as `check_quantize`.
    """
    check_quantize(folder, target)
    if not len(crops):
        raise InputError("no faces to measure the ranges of activations on. Valid: some hundred faces.")
    classifier, config = load_classifier(folder)
    graph = _quantized((folder / "backbone.onnx").read_bytes(), crops)
    note = _NOTE.format(name=config["name"], count=len(crops))
    save_with_graph(folder, target, "backbone", graph, name=name or f"{config['name']}-int8", note=note)
    before, after = classifier.predict(crops), load_classifier(target)[0].predict(crops)
    equal = {n: float((before.labels[n] == after.labels[n]).mean()) for n in before.labels}
    return Quantized(target, equal)


class _Crops:
    """The crops as the quantizer asks for them: a batch at a time, then None."""

    def __init__(self, crops: UInt8Array) -> None:
        self._batches: Iterator[UInt8Array] = (crops[i : i + _BATCH] for i in range(0, len(crops), _BATCH))

    def get_next(self) -> dict[str, UInt8Array] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}


def _quantized(graph: bytes, crops: UInt8Array) -> bytes:
    """The ONNX file of a network with its convolutions and matrix products in 8-bit integers."""
    import_onnxruntime()
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    model = onnx.load_from_string(graph)
    _widen(model.graph)
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # it advises to do what is done here
    try:
        with tempfile.TemporaryDirectory() as made:
            plain, folded, small = (Path(made) / f"{n}.onnx" for n in ("plain", "folded", "small"))
            onnx.save(model, plain)
            quant_pre_process(plain, folded, skip_symbolic_shape=True)
            quantization.quantize_static(
                folded,
                small,
                _Crops(crops),
                quant_format=quantization.QuantFormat.QDQ,
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
            )
            out = onnx.load(small)
    finally:
        logging.disable(before)
    used = {node.domain for node in out.graph.node}
    opsets = [o for o in out.opset_import if o.domain in used]
    del out.opset_import[:], out.metadata_props[:]
    out.opset_import.extend(opsets)
    data: bytes = out.SerializeToString(deterministic=True)
    return data


def _widen(graph: Any) -> None:
    """Kernels that are stored in float16 in float32: the quantizer does not look behind a Cast."""
    from onnx import numpy_helper

    held = {t.name: t for t in graph.initializer}
    for node in [n for n in graph.node if n.op_type == "Cast" and n.input[0] in held]:
        value = numpy_helper.to_array(held[node.input[0]]).astype("float32")
        held[node.input[0]].CopyFrom(numpy_helper.from_array(value, node.output[0]))
        graph.node.remove(node)
