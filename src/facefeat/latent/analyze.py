"""Run an analyzer on the latents of a data set."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from facefeat.data.dataset import check_dataset
from facefeat.errors import DataError, FacefeatError, PluginError
from facefeat.plugins.loading import BUILTIN, describe
from facefeat.plugins.registry import get_registry
from facefeat.types import Analysis, FaceSet

if TYPE_CHECKING:
    import numpy as np

    from facefeat.data import FaceDataset
    from facefeat.data.crops import CropView
    from facefeat.model import FaceFeatureModel
    from facefeat.plugins.contracts import Analyzer


def run_analyzer(model: FaceFeatureModel, dataset: FaceDataset, name: str, config: dict[str, Any]) -> Analysis:
    """Build the analyzer `name` and give it the latents, labels and faces of `dataset`.

    Raises UnknownComponentError, MissingExtraError, InputError for a setting, DataError for a data set without faces,
    PluginError where a plugin's code fails.
    """
    import numpy as np

    check_dataset(dataset, model.schema)
    found = get_registry().get("analyzer", name)
    analyzer = get_registry().build("analyzer", name, **config)
    crops = dataset.crops(model.image_size)  # before the labels: what cannot be read leaves the table
    if not len(crops):
        raise DataError(f"the data set {dataset.name!r} has no face to analyze.")
    latents = latents_of(model, crops)
    groups = {n: np.asarray([*a.groups, ""]) for n, a in dataset.schema.attributes.items()}  # -1, unknown, is the last
    labels = {n: groups[n][index] for n, index in dataset.labels().items()}
    faces = FaceSet(tuple(str(f) for f in dataset.table["file"]), dataset.numbers(), crops.take)
    try:
        return analyze(analyzer, latents, labels, model, faces)
    except FacefeatError:
        raise
    except (Exception, SystemExit) as e:  # sys.exit(), too, must not end the program without a word
        if found.distribution == BUILTIN:
            raise
        raise PluginError(f"analyzer {found.qualified!r} {found.version} failed: {describe(e)}") from e


def analyze(
    analyzer: Analyzer, latents: np.ndarray, labels: dict[str, np.ndarray], model: FaceFeatureModel, faces: FaceSet
) -> Analysis:
    """`analyzer.analyze`, with `faces` where it takes them: those of older plugins do not."""
    more: dict[str, Any] = {"faces": faces} if "faces" in inspect.signature(analyzer.analyze).parameters else {}
    return analyzer.analyze(latents, labels, model=model, **more)


def latents_of(model: FaceFeatureModel, crops: CropView) -> np.ndarray:
    """(N, L) latents of a data set's crops; no more than a part of the crops is in memory at a time."""
    import numpy as np

    return np.concatenate([model.encode(crops.take(r)) for r in _chunks(len(crops))])


def _chunks(n: int, size: int = 2048) -> list[np.ndarray]:
    """Row numbers 0 to n - 1 in parts."""
    import numpy as np

    return np.array_split(np.arange(n), max(1, -(-n // size)))
