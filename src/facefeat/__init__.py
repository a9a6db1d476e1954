"""facefeat: age, gender and race of every face in a photo, offline, from models that you can train, audit and open.

    from facefeat import FaceFeatureModel

    model = FaceFeatureModel.from_preset()
    model.predict("photo.jpg").faces[0].attributes["age"].label

Importing this imports no Keras, makes no folder, sets no environment and filters no warning: each public name is
imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from facefeat._version import __version__
from facefeat.utils.lazy import lazy_names

if TYPE_CHECKING:
    from facefeat.errors import AmbiguousComponentError as AmbiguousComponentError
    from facefeat.errors import DataError as DataError
    from facefeat.errors import DownloadError as DownloadError
    from facefeat.errors import FacefeatError as FacefeatError
    from facefeat.errors import ImageError as ImageError
    from facefeat.errors import InputError as InputError
    from facefeat.errors import LabelError as LabelError
    from facefeat.errors import MissingExtraError as MissingExtraError
    from facefeat.errors import NotFiniteError as NotFiniteError
    from facefeat.errors import PluginError as PluginError
    from facefeat.errors import PresetError as PresetError
    from facefeat.errors import RecipeError as RecipeError
    from facefeat.errors import SchemaError as SchemaError
    from facefeat.errors import TrainingError as TrainingError
    from facefeat.errors import UnknownComponentError as UnknownComponentError
    from facefeat.errors import UnknownPresetError as UnknownPresetError
    from facefeat.evaluation.anyone import audit as audit
    from facefeat.model import FaceFeatureModel as FaceFeatureModel
    from facefeat.plugins.contracts import Component as Component
    from facefeat.plugins.contracts import DetailDecoder as DetailDecoder
    from facefeat.plugins.hookspecs import hookimpl as hookimpl
    from facefeat.schema import Attribute as Attribute
    from facefeat.schema import Schema as Schema
    from facefeat.types import Alignment as Alignment
    from facefeat.types import Analysis as Analysis
    from facefeat.types import AttributePrediction as AttributePrediction
    from facefeat.types import Face as Face
    from facefeat.types import FaceBatch as FaceBatch
    from facefeat.types import FaceResult as FaceResult
    from facefeat.types import ImageResult as ImageResult


_ROOMS = {
    "plugins.contracts": ("Component", "DetailDecoder"),
    "errors": (
        "AmbiguousComponentError",
        "DataError",
        "DownloadError",
        "FacefeatError",
        "ImageError",
        "InputError",
        "LabelError",
        "MissingExtraError",
        "NotFiniteError",
        "PluginError",
        "PresetError",
        "RecipeError",
        "SchemaError",
        "TrainingError",
        "UnknownComponentError",
        "UnknownPresetError",
    ),
    "plugins.hookspecs": ("hookimpl",),
    "evaluation.anyone": ("audit",),
    "model": ("FaceFeatureModel",),
    "schema": ("Attribute", "Schema"),
    "types": ("Alignment", "Analysis", "AttributePrediction", "Face", "FaceBatch", "FaceResult", "ImageResult"),
}

__all__ = [  # noqa: RUF022 - what most people want comes first
    "FaceFeatureModel",
    "audit",
    "Component",
    "DetailDecoder",
    "hookimpl",
    "Schema",
    "Attribute",
    "Alignment",
    "Face",
    "AttributePrediction",
    "FaceResult",
    "ImageResult",
    "FaceBatch",
    "Analysis",
    "FacefeatError",
    "InputError",
    "ImageError",
    "LabelError",
    "SchemaError",
    "RecipeError",
    "DataError",
    "DownloadError",
    "PresetError",
    "UnknownPresetError",
    "TrainingError",
    "NotFiniteError",
    "PluginError",
    "UnknownComponentError",
    "AmbiguousComponentError",
    "MissingExtraError",
    "__version__",
]


__getattr__, __dir__ = lazy_names(__name__, _ROOMS)
