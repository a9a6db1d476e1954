"""Any ONNX network as a frozen backbone: onnxruntime computes the features, and facefeat trains a head on them.

This one reaches outside Keras. The contract wants a Keras model from crops to a feature map, and what is within is the
layer's own business: here onnxruntime, called from the graph of TensorFlow or JAX. It has no weights to train, and no
gradient passes through it.
"""

from __future__ import annotations

from facefeat import Component, hookimpl
from facefeat_onnx.backbone import build

ONNX = Component("onnx", build, "any ONNX network, frozen, through onnxruntime", requires=("onnxruntime",))


@hookimpl
def facefeat_backbones():
    return [ONNX]
