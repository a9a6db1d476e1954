"""The analyzer `directions`: the direction in the latent space that makes a face older, or more of a class.

For study: fitted anew on the data set that is given. Edits take theirs from the preset (`presets.latent_directions`).
Only attribute features are fitted: the detail code after them has coordinates of hardly any spread, in which a
regression finds chance, and moving along them changes nothing that the head reads.

An ordered attribute is read by a ridge regression, a class by a logistic one, as in InterFaceGAN (Shen et al., CVPR
2020), from which the orthogonal variant is. The direction is how faces vary with what is read, the pattern of such a
filter (Haufe et al., "On the interpretation of weight vectors of linear models", NeuroImage 2014), not its normal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.builtin.analyzers.common import FOLDS, Labelling, check_latents, folds_of, read_labels, target_name
from facefeat.types import Analysis
from facefeat.utils.frames import import_pandas
from facefeat.utils.linear_models import Plane, fit_classes, fit_value
from facefeat.utils.plotting import COLOURS, empty_figure, plain

if TYPE_CHECKING:
    from facefeat.builtin.analyzers.common import Faces, Labels, Model
    from facefeat.types import Answers, FloatArray

COLUMNS = "direction attribute class unit spread per_step seen measure held_out nearest cosine".split()
DRAWN = 48
"""Faces that are moved and drawn, to see what a step does."""


@dataclass(frozen=True)
class _Found:
    """A direction, before the others are taken out of it.

    along: (D,) of length 1, how faces differ where what the plane reads differs: its normal times the covariance. Along
    the normal itself (zeros where nothing was found) there are hardly any faces, and hardly anything changes in one.
    """

    name: str
    label: Labelling
    k: int | None
    plane: Plane
    measure: str
    held_out: float
    along: np.ndarray

    @classmethod
    def of(cls, z: np.ndarray, label: Labelling, k: int | None, plane: Plane, measure: str, held_out: float) -> _Found:
        """z: (N, D), the faces that the plane was fitted on."""
        centred = z - z.mean(axis=0)
        pattern = centred.T @ (centred @ plane.weights)
        length = float(np.linalg.norm(pattern))
        along = pattern / length if length > 0 else pattern
        return cls(target_name(label, k), label, k, plane, measure, held_out, along)


@dataclass(frozen=True)
class Directions:
    """For the settings see `facefeat.builtin.analyzers`."""

    orthogonal: bool = False
    seed: int = 0

    def analyze(self, latents: FloatArray, labels: Labels, model: Model = None, faces: Faces = None) -> Analysis:
        """latents: (N, D), N at least 10. labels: attribute -> (N,) classes.

        The table has a row for each direction: its name, attribute and class; `spread`, the standard deviation of the
        faces along it, which is one step; `per_step`, what a step changes by the regression, in `unit` (years or
        classes; for a class: probability, on the boundary); `seen`, what the model reads as changed when faces are
        moved by a step and drawn, in the same unit, NaN without a decoder; `held_out`, what its `measure` (R2, or AUC)
        is on faces that it was not fitted on; and the other attribute's direction that is `nearest`, with the
        `cosine` between them.
        Raises InputError for latents that are too few or not finite.
        """
        pd = import_pandas()
        whole = check_latents("directions", latents, labels, 10)
        decodes = bool(getattr(model, "has_decoder", False))
        width = model.decoder.feature_dim if model is not None and decodes else whole.shape[1]
        z = whole[:, :width]
        found = [f for label in read_labels(labels, model, faces).values() for f in self._of(z, label)]
        found = [f for f in found if f.along.any()]
        vectors = {f.name: self._vector(f, found) for f in found}
        rows = []
        for f in found:
            vector = vectors[f.name]
            others = {o.name: float(vector @ vectors[o.name]) for o in found if o.label.name != f.label.name}
            nearest = max(others, key=lambda n: abs(others[n]), default="")
            spread = float((z @ vector).std())
            slope = float(f.plane.weights @ vector) * spread
            rows.append(
                {
                    "direction": f.name,
                    "attribute": f.label.name,
                    "class": "" if f.k is None else f.label.classes[f.k],
                    "unit": f.label.unit if f.k is None else "probability",
                    "spread": spread,
                    # The slope of a probability is a quarter of that of its log-odds where it is one half.
                    "per_step": slope if f.k is None else slope / 4,
                    "seen": _seen(model, whole, vector * spread, f) if decodes else float("nan"),
                    "measure": f.measure,
                    "held_out": f.held_out,
                    "nearest": nearest,
                    "cosine": others.get(nearest, float("nan")),
                }
            )
        figures = {}
        if found:
            figures = {"directions-cosines": _cosines(vectors, self.orthogonal), "directions-held-out": _scores(found)}
        beyond = whole.shape[1] - width
        unit = {n: np.pad(w, (0, beyond)).astype("float32") for n, w in vectors.items()}
        return Analysis("directions", pd.DataFrame(rows, columns=COLUMNS), figures, unit)

    def _of(self, z: np.ndarray, label: Labelling) -> list[_Found]:
        known = np.flatnonzero(label.known)
        if len(label.classes) < 2:
            return []
        if label.ordered:
            y = label.values
            predicted = np.full(len(z), np.nan)
            for train, test in folds_of(label, self.seed):
                predicted[test] = fit_value(z[train], y[train], each=False)(z[test])
            r2 = 1 - ((predicted - y)[known] ** 2).sum() / ((y[known] - y[known].mean()) ** 2).sum()
            plane = fit_value(z[known], y[known], each=False)
            return [_Found.of(z[known], label, None, plane, "R2", float(r2))]
        return [self._of_class(z, label, k, known) for k in range(len(label.classes)) if k or len(label.classes) > 2]

    def _of_class(self, z: np.ndarray, label: Labelling, k: int, known: np.ndarray) -> _Found:
        """This class against all others together."""
        from sklearn.metrics import roc_auc_score

        one = (label.index == k).astype(int)
        predicted = np.full(len(z), np.nan)
        for train, test in folds_of(label, self.seed):
            # Planes of different folds have different offsets, which mix when ranked together: each centred on its own.
            plane = fit_classes(z[train], one[train], 2, each=False)[1]
            predicted[test] = plane(z[test]) - plane(z[train]).mean() if np.isfinite(plane.offset) else 0.0
        auc = float(roc_auc_score(one[known], predicted[known]))
        return _Found.of(z[known], label, k, fit_classes(z[known], one[known], 2, each=False)[1], "AUC", auc)

    def _vector(self, f: _Found, found: list[_Found]) -> np.ndarray:
        """(D,) of length 1; if asked, what it shares with the directions of other attributes is taken out."""
        others = [o.along for o in found if o.label.name != f.label.name]
        if not self.orthogonal or not others:
            return f.along
        basis, sizes, _ = np.linalg.svd(np.stack(others, axis=1), full_matrices=False)
        basis = basis[:, sizes > 1e-6 * sizes[0]]  # (D, M): one column for each independent one of the others
        rest = f.along - basis @ (basis.T @ f.along)
        length = float(np.linalg.norm(rest))
        # Where nothing is left, the attribute cannot be moved alone; its own direction says more than noise.
        return rest / length if length > 1e-6 else f.along


def _seen(model: Model, latents: np.ndarray, step: np.ndarray, f: _Found) -> float:
    """What the model reads as changed from half a step before a face to half a step behind it, mean over some faces.

    latents: (N, L). step: (D,), in the features, the first of the L coordinates.
    """
    assert model is not None
    some = latents[:: max(1, len(latents) // DRAWN)][:DRAWN]
    half = np.pad(step, (0, latents.shape[1] - len(step))) / 2
    read = [model.predict_faces(model.decode((some + s * half).astype("float32"))) for s in (-1, 1)]
    before, after = (_numbers(batch.answers[f.label.name], f) for batch in read)
    return float(np.mean(after - before))


def _numbers(answers: Answers, f: _Found) -> np.ndarray:
    """(N,) what is read of each face: the probability of a class, or the number, or the mean position of an order."""
    if f.k is not None:
        return np.asarray(answers.probabilities[:, answers.classes.index(f.label.classes[f.k])])
    if answers.values is not None:
        return np.asarray(answers.values)
    return np.asarray(answers.probabilities @ np.arange(len(answers.classes)))


def _cosines(vectors: Mapping[str, np.ndarray], orthogonal: bool) -> Any:
    names = list(vectors)
    stacked = np.stack([vectors[n] for n in names])
    cosine = stacked @ stacked.T
    figure = empty_figure(3.0 + 0.62 * len(names), 2.2 + 0.55 * len(names))
    axes = figure.subplots()
    shown = axes.imshow(cosine, cmap="RdBu_r", vmin=-1, vmax=1)
    for (i, j), value in np.ndenumerate(cosine):
        colour = "white" if abs(value) > 0.6 else "black"
        axes.text(
            j, i, f"{value + 0.0:.2f}".replace("-0.00", "0.00"), ha="center", va="center", color=colour, fontsize=8
        )
    axes.set_xticks(range(len(names)), names, rotation=35, ha="right")
    axes.set_yticks(range(len(names)), names)
    figure.colorbar(shown, ax=axes, label="cosine", shrink=0.8)
    extra = "\nmade orthogonal to the other attributes" if orthogonal else ""
    axes.set_title(f"Angles between directions{extra}", loc="left")
    return figure


def _scores(found: list[_Found]) -> Any:
    figure = empty_figure(7, 1.5 + 0.36 * len(found))
    axes = figure.subplots()
    at = np.arange(len(found))
    for measure, colour in (("R2", COLOURS[1]), ("AUC", COLOURS[0])):
        mine = [i for i, f in enumerate(found) if f.measure == measure]
        if mine:
            text = {"R2": "R² (chance 0)", "AUC": "area under the ROC curve (chance 0.5)"}[measure]
            axes.barh(at[mine], [max(0.0, found[i].held_out) for i in mine], color=colour, height=0.7, label=text)
    for i, f in enumerate(found):
        axes.text(max(0.0, f.held_out) + 0.01, i, f"{f.held_out:.2f}", va="center", fontsize=9)
    axes.set_yticks(at, [f.name for f in found])
    axes.set_ylim(len(at) - 0.4, -0.6)
    axes.set_xlim(0, 1.08)
    axes.set_xlabel("on held-out faces")
    axes.set_title(f"How well each direction sorts faces ({FOLDS} folds)", loc="left")
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(0, -0.16), ncols=2)
    plain(axes)
    return figure
