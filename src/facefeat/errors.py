"""Every error that facefeat raises on purpose.

    FacefeatError
    ├── InputError                what the caller gave is not what a function takes (also a ValueError)
    │   ├── ImageError            a picture that cannot be read, with its name
    │   ├── LabelError            a label that no class of the schema has
    │   ├── SchemaError           an attribute or schema that is not valid
    │   └── RecipeError           a recipe with an unknown key, a wrong type or an impossible value
    ├── DataError                 a data set that cannot be imported or does not fit
    ├── DownloadError             a file that could not be fetched, or came with the wrong hash
    ├── PresetError               a preset folder that is incomplete, altered or of another version
    │   └── UnknownPresetError    no preset of that name and no such folder (also an InputError)
    ├── TrainingError             a run that cannot continue (a checkpoint of another recipe, a full disk)
    │   └── NotFiniteError        its loss is NaN or infinite
    └── PluginError               a plugin that does not load or breaks its contract
        ├── UnknownComponentError a name that nothing registered
        ├── AmbiguousComponentError  a name that two distributions registered
        └── MissingExtraError     a component whose optional dependency is not installed

A message says what was received, what is valid and, where there is one, the next command to type. The command line
prints the message alone; a traceback means a defect of facefeat.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class FacefeatError(Exception):
    """Base of all errors that facefeat raises on purpose."""


class InputError(FacefeatError, ValueError):
    """The caller's argument is not what the function takes."""


class ImageError(InputError):
    """A picture that cannot be read."""


class LabelError(InputError):
    """A label that no class of the schema has."""


class SchemaError(InputError):
    """An attribute or schema that is not valid."""


class RecipeError(InputError):
    """A recipe with an unknown key, a wrong type or an impossible value."""


class DataError(FacefeatError):
    """A data set that cannot be imported, or does not fit the schema."""


class DownloadError(FacefeatError):
    """A file that could not be fetched, or came with the wrong hash."""


class PresetError(FacefeatError):
    """A preset folder that is incomplete, altered or of another version."""


class UnknownPresetError(PresetError, InputError):
    """No preset has that name, and there is no such folder: the caller's argument, not a folder that is broken."""


class TrainingError(FacefeatError):
    """A training run that cannot continue."""


class NotFiniteError(TrainingError):
    """A training run whose loss is NaN or infinite: most often its learning rate is too high."""


class PluginError(FacefeatError):
    """A plugin that does not load or breaks its contract."""


class UnknownComponentError(PluginError):
    """A component name that nothing registered."""


class AmbiguousComponentError(PluginError):
    """A component name that two distributions registered."""


class MissingExtraError(PluginError):
    """A component whose optional dependency is not installed."""


def did_you_mean(received: object, valid: Iterable[str]) -> str:
    """The sentence after "unknown X": the nearest valid names, then all of them.

    >>> did_you_mean("mtcn", ["mtcnn", "whole-image"])
    "Received: 'mtcn'. Did you mean 'mtcnn'? Valid: mtcnn, whole-image."
    """
    names = sorted(valid)
    near = difflib.get_close_matches(received if isinstance(received, str) else "", names, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
    return f"Received: {received!r}.{hint} Valid: {', '.join(names) or '(none)'}."
