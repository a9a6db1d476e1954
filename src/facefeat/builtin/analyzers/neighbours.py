"""The analyzer `neighbours`: which faces the model takes for alike. The search is exact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.builtin.analyzers.common import Labelling, check_latents, face_grid, read_labels
from facefeat.types import Analysis
from facefeat.utils.frames import import_pandas
from facefeat.utils.neighbors import nearest
from facefeat.utils.plotting import COLOURS, GREY, empty_figure, plain

if TYPE_CHECKING:
    from facefeat.builtin.analyzers.common import Faces, Labels, Model
    from facefeat.types import FaceSet, FloatArray


@dataclass(frozen=True)
class Neighbours:
    """For the settings see `facefeat.builtin.analyzers`."""

    k: int = 5
    metric: str = "euclidean"
    show: int = 8
    seed: int = 0

    def analyze(self, latents: FloatArray, labels: Labels, model: Model = None, faces: Faces = None) -> Analysis:
        """latents: (N, D), N at least 2. labels: attribute -> (N,) classes.

        The table has k rows for each latent: `row`, `rank` (1 is the nearest), `neighbour`, `distance`, the two file
        names where known, and for each attribute `same_...`: whether the classes are the same (NaN where unknown).
        Raises InputError for latents that are too few or not finite.
        """
        pd = import_pandas()
        z = check_latents("neighbours", latents, labels, 2)
        near, far = nearest(z, min(self.k, len(z) - 1), self.metric)
        n, k = near.shape
        read = read_labels(labels, model, faces)
        row, neighbour = np.repeat(np.arange(n), k), near.ravel()
        table: dict[str, Any] = {"row": row, "rank": np.tile(np.arange(1, k + 1), n), "neighbour": neighbour}
        table["distance"] = far.ravel()
        if faces is not None:
            table["file"] = [faces.files[i] for i in row]
            table["neighbour_file"] = [faces.files[i] for i in neighbour]
        for name, label in read.items():
            both = label.known[row] & label.known[neighbour]
            table[f"same_{name}"] = np.where(both, label.index[row] == label.index[neighbour], np.nan)
        frame = pd.DataFrame(table)
        figures = {f"neighbours-{n}": _agreement(label, frame, k) for n, label in read.items() if label.known.any()}
        if faces is not None:
            figures["neighbours-faces"] = self._faces(near, far, faces)
        shares = [
            (n, *_overall(label, frame), int(label.known.sum())) for n, label in read.items() if label.known.any()
        ]
        summary = pd.DataFrame(shares, columns=["attribute", f"same_of_{k}_nearest", "chance", "faces"])
        return Analysis("neighbours", frame, figures, summary=summary)

    def _faces(self, near: np.ndarray, far: np.ndarray, faces: FaceSet) -> Any:
        some = np.sort(np.random.default_rng(self.seed).permutation(len(near))[: self.show])
        shown = near[:, :10]
        rows = [(f"row {i}\nnearest at {far[i, 0]:.2f}", faces.crops_at(np.concatenate([[i], shown[i]]))) for i in some]
        columns = ["face", *(f"{r}." for r in range(1, shown.shape[1] + 1))]
        return face_grid(f"Faces drawn at random, and their nearest ({self.metric} distance)", rows, columns)


def _agreement(label: Labelling, frame: Any, k: int) -> Any:
    """Per class the share of neighbours of the same class, and what chance would give: its share of all."""
    mine = np.repeat(label.index, k)
    same = frame[f"same_{label.name}"].to_numpy("float64")
    shares = [_mean(same[mine == c]) for c in range(len(label.classes))]
    chance = [float((label.index == c).sum() / label.known.sum()) for c in range(len(label.classes))]
    figure = empty_figure(7.5, 1.5 + 0.36 * len(label.classes))
    axes = figure.subplots()
    at = np.arange(len(label.classes))
    axes.barh(at, np.asarray(shares) * 100, color=COLOURS[0], height=0.7, label=f"of the {k} nearest")
    axes.plot(np.asarray(chance) * 100, at, "D", color=COLOURS[1], label="of all faces: chance", markersize=6)
    axes.set_yticks(at, label.classes)
    axes.set_ylim(len(at) - 0.4, -0.6)
    axes.set_xlim(0, 100)
    axes.set_xlabel("share that has the same class, %")
    axes.set_title(f"How often nearest faces share their {label.name}: {_mean(same):.0%}", loc="left")
    axes.axvline(100 * _mean(same), color=GREY, linestyle="--", linewidth=1)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    plain(axes)
    return figure


def _overall(label: Labelling, frame: Any) -> tuple[float, float]:
    """The share of neighbours of the same class, and that of two faces drawn at random."""
    shares = np.bincount(label.index[label.known], minlength=len(label.classes)) / label.known.sum()
    return _mean(frame[f"same_{label.name}"].to_numpy("float64")), float((shares**2).sum())


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
