"""A model as a file that needs no Keras: written as ONNX, LiteRT or SavedModel, and ONNX read again.

from facefeat.export import OnnxModel

model = OnnxModel("model.onnx")
batch = model.predict_faces(crops)                       # (N, H, W, 3) uint8 -> FaceBatch, as of a FaceFeatureModel
"""

from facefeat.export.metadata import FORMATS, ExportMetadata
from facefeat.export.onnx_model import OnnxModel

__all__ = ["FORMATS", "ExportMetadata", "OnnxModel"]
