"""A model as one file for other programs: ONNX, LiteRT or SavedModel."""

from facefeat.export.metadata import FORMATS, ExportMetadata

__all__ = ["FORMATS", "ExportMetadata"]
