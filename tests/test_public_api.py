"""What `from facefeat import ...` promises: a change here is a change for every user, so it is pinned."""

from __future__ import annotations

import inspect
import re

import pytest

import facefeat

PUBLIC = {
    "FaceFeatureModel", "audit", "Component", "DetailDecoder", "hookimpl",
    "Schema", "Attribute", "Alignment",
    "Face", "AttributePrediction", "FaceResult", "ImageResult", "FaceBatch", "Analysis",
    "FacefeatError", "InputError", "ImageError", "LabelError", "SchemaError", "RecipeError", "DataError",
    "DownloadError", "PresetError", "UnknownPresetError", "TrainingError", "NotFiniteError", "PluginError",
    "UnknownComponentError", "AmbiguousComponentError", "MissingExtraError",
    "__version__",
}  # fmt: skip


def test_all_is_pinned() -> None:
    assert set(facefeat.__all__) == PUBLIC
    assert len(facefeat.__all__) == len(PUBLIC)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_public_name_is_there_and_documented(name: str) -> None:
    value = getattr(facefeat, name)
    assert name in dir(facefeat)
    if inspect.isclass(value):
        assert value.__doc__, f"{name} has no docstring"
        assert not (value.__doc__ or "").startswith(f"{name}("), f"{name} has only the docstring that dataclass made"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'facefeat' has no attribute 'nope'"):
        _ = facefeat.nope


def test_every_error_is_public_and_has_one_root() -> None:
    from facefeat import errors

    classes = {n for n, v in vars(errors).items() if inspect.isclass(v) and issubclass(v, Exception)}
    assert classes == {n for n in PUBLIC if n.endswith("Error")}
    assert all(issubclass(getattr(errors, n), facefeat.FacefeatError) for n in classes)


def test_the_tree_of_errors_drawn_in_the_docstring_is_the_real_one() -> None:
    from facefeat import errors

    drawn = re.findall(r"^\s+[│ ]*[├└]── (\w+)", errors.__doc__ or "", re.MULTILINE)
    assert {*drawn, "FacefeatError"} == {n for n in PUBLIC if n.endswith("Error")}


# The methods of the facade that the design promises, and that are there today.
METHODS = {"from_preset", "predict", "predict_faces", "align", "encode", "fit", "evaluate", "save"}


def test_the_facade_has_its_methods() -> None:
    from facefeat import FaceFeatureModel

    public = {
        n for n, v in vars(FaceFeatureModel).items() if not n.startswith("_") and callable(getattr(v, "__func__", v))
    }
    assert public >= METHODS
    for name in METHODS:
        assert inspect.getdoc(getattr(FaceFeatureModel, name)), f"{name} has no docstring"


def test_the_version_is_that_of_the_distribution() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+)?", facefeat.__version__)
