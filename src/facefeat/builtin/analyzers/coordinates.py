"""The analyzer `coordinates`: what each coordinate of the latent does.

Which faces excite it most and least, how it goes with each attribute, corrected for as many tests as were made, and
where the model has a decoder, what a face looks like when the coordinate alone is moved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.builtin.analyzers.common import Labelling, check_latents, face_grid, read_labels
from facefeat.builtin.analyzers.pca import explained
from facefeat.builtin.analyzers.statistics import correlation, holm
from facefeat.errors import FacefeatError
from facefeat.types import Analysis
from facefeat.utils.frames import import_pandas
from facefeat.utils.plotting import COLOURS, GREY, empty_figure, plain

if TYPE_CHECKING:
    import pandas as pd

    from facefeat.builtin.analyzers.common import Faces, Labels, Model
    from facefeat.model import FaceFeatureModel
    from facefeat.types import FaceSet, FloatArray

SIGNIFICANT = 0.05
STEPS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
"""Of a traversal, in standard deviations of the coordinate."""


@dataclass(frozen=True)
class Coordinates:
    """For the settings see `facefeat.builtin.analyzers`."""

    top: int = 8
    show: int = 10

    def analyze(self, latents: FloatArray, labels: Labels, model: Model = None, faces: Faces = None) -> Analysis:
        """latents: (N, D), N at least 5. labels: attribute -> (N,) classes.

        The table has a row for each coordinate: mean and standard deviation (`sd`); for each attribute `..._r`, that
        is Pearson's r (-1 to 1) with an ordered attribute's numbers or with the second of two classes, and the root of
        eta squared (0 to 1) for classes without an order; `..._p`, its p value after Holm's correction for all
        coordinates and attributes; `carries`, the attribute it goes with most, where significant at 5 %; `most` and
        `least`, the faces that excite it most and least: file names where known, else rows, separated by spaces.
        Raises InputError for latents that are too few or not finite.
        """
        pd = import_pandas()
        z = check_latents("coordinates", latents, labels, 5)
        read = {n: v for n, v in read_labels(labels, model, faces).items() if len(v.classes) > 1}
        found = {n: associated(z, v) for n, v in read.items()}
        d = z.shape[1]
        p = np.stack([v[1] for v in found.values()]) if found else np.ones((0, d))
        p = holm(p.ravel()).reshape(p.shape)  # (attributes, D)
        table: dict[str, Any] = {"coordinate": np.arange(d), "mean": z.mean(axis=0), "sd": z.std(axis=0)}
        for (name, (r, _)), corrected in zip(found.items(), p, strict=True):
            table |= {f"{name}_r": r, f"{name}_p": corrected}
        strength = np.stack([np.abs(r) for r, _ in found.values()]) if found else np.zeros((1, d))
        counted = np.where(p < SIGNIFICANT, strength, 0) if found else strength
        names = [*read, ""]
        table["carries"] = [names[int(c.argmax())] if c.max() > 0 else "" for c in counted.T]
        order = np.argsort(z, axis=0, kind="stable")  # (N, D), least first
        names_of = np.asarray(faces.files if faces is not None else [str(i) for i in range(len(z))], object)
        table["most"] = [" ".join(names_of[column[::-1][: self.top]]) for column in order.T]
        table["least"] = [" ".join(names_of[column[: self.top]]) for column in order.T]
        frame = pd.DataFrame(table)
        best = np.argsort(-counted.max(axis=0), kind="stable")[: self.show]
        figures = {"coordinates-attributes": _strengths(frame, read, best)} if read else {}
        if faces is not None:
            figures["coordinates-faces"] = self._faces(order, frame, faces, best)
        strip = None if model is None else traversal(z, self.show, model)
        if strip is not None:
            figures["coordinates-traversal"] = strip
        strongest = frame.iloc[best].drop(columns=["most", "least"])
        return Analysis("coordinates", frame, figures, summary=strongest)

    def _faces(self, order: np.ndarray, frame: pd.DataFrame, faces: FaceSet, best: np.ndarray) -> Any:
        half = min(self.top, len(order) // 2)
        rows = []
        for i in best:
            shown = np.concatenate([order[:half, i], order[::-1][:half, i][::-1]])
            rows.append((_said(frame, int(i)), faces.crops_at(shown)))
        columns = ["least", *[""] * (2 * half - 2), "most"]
        return face_grid("The faces that excite a coordinate least (left) and most (right)", rows, columns)


def associated(z: np.ndarray, label: Labelling) -> tuple[np.ndarray, np.ndarray]:
    """How each coordinate of z (N, D) goes with an attribute: strength (D,) and its p value (D,), not corrected.

    Pearson's r with its t test where the classes have an order or are two, else the root of eta squared with an F test.
    """
    from scipy import stats

    x, n, k = z[label.known], int(label.known.sum()), len(label.classes)
    if label.ordered or k == 2:
        y = label.values[label.known] if label.ordered else label.index[label.known].astype("float64")
        r = correlation(x, y)
        share, first = r**2, 1
    else:
        share, first = explained(x, _known_only(label)), k - 1
        r = np.sqrt(share)
    second = n - first - 1
    if second < 1:
        return r, np.ones(len(r))
    # With one degree of freedom this F is the square of that t.
    f = (share / first) / (np.maximum(1 - share, 1e-15) / second)
    return r, np.asarray(stats.f.sf(f, first, second))


def _known_only(label: Labelling) -> Labelling:
    known = label.known
    return Labelling(label.name, label.classes, label.index[known], label.ordered, label.values[known], label.unit)


def traversal(z: np.ndarray, show: int, model: FaceFeatureModel | None) -> Any:
    """A figure of the mean latent decoded with one coordinate moved, None without a decoder.

    The `show` coordinates that change the picture most are shown, the largest change first.
    """
    decode = getattr(model, "decode", None)
    if decode is None:
        return None
    mean, spread = z.mean(axis=0), z.std(axis=0)
    rows = []
    try:
        changes = _changes(z, decode)
        for i in np.argsort(-changes, kind="stable")[:show]:
            moved = np.repeat(mean[None], len(STEPS), axis=0)
            moved[:, i] += np.asarray(STEPS) * spread[i]
            rows.append((f"coordinate {i}\n{changes[i]:.1f} levels", np.asarray(decode(moved.astype("float32")))))
    except FacefeatError:
        return None  # a preset without a decoder, or one that reads more than the latent
    columns = [f"{s:+.0f} sd" if s else "mean" for s in STEPS]
    title = "The mean face with one coordinate moved: those that change most, by the mean change of a pixel (0 to 255)"
    return face_grid(title, rows, columns)


def _changes(z: np.ndarray, decode: Callable[[Any], Any]) -> np.ndarray:
    """(D,) how far a pixel of the mean face changes on average between the ends of STEPS of each coordinate."""
    mean, spread = z.mean(axis=0), z.std(axis=0)
    found = []
    for start in range(0, z.shape[1], 64):
        at = np.arange(start, min(start + 64, z.shape[1]))
        moved = np.repeat(mean[None], 2 * len(at), axis=0)
        moved[np.arange(len(at)), at] += STEPS[0] * spread[at]
        moved[len(at) + np.arange(len(at)), at] += STEPS[-1] * spread[at]
        drawn = np.asarray(decode(moved.astype("float32"))).astype("int16")
        found.append(np.abs(drawn[: len(at)] - drawn[len(at) :]).mean(axis=(1, 2, 3)))
    return np.concatenate(found)


def _said(frame: pd.DataFrame, i: int) -> str:
    carries = frame["carries"].iloc[i]
    return f"coordinate {i}\n{carries} {frame[f'{carries}_r'].iloc[i]:.2f}" if carries else f"coordinate {i}\n(none)"


def _strengths(frame: pd.DataFrame, read: Mapping[str, Labelling], best: np.ndarray) -> Any:
    """How many coordinates carry each attribute, and how strongly: all of them sorted, and the strongest."""
    figure = empty_figure(11, 0.34 * max(len(best), 9) + 1.4)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1))
    for name, colour in zip(read, COLOURS * 9, strict=False):
        strength = frame[f"{name}_r"].abs().sort_values(ascending=False).to_numpy()
        kept = int((frame[f"{name}_p"] < SIGNIFICANT).sum())
        left.plot(
            np.arange(1, len(strength) + 1), strength, color=colour, label=f"{name}: {kept} of {len(frame)} at 5 %"
        )
    left.set_ylim(0, 1)
    left.set_xlabel("coordinates, strongest first")
    left.set_ylabel("strength (|r|, or root of eta²)")
    left.set_title("How strongly coordinates go with attributes", loc="left")
    left.legend(frameon=False, title="significant after Holm's correction")
    plain(left)
    height = 0.8 / len(read)
    for j, (name, colour) in enumerate(zip(read, COLOURS * 9, strict=False)):
        at = np.arange(len(best)) + (j - (len(read) - 1) / 2) * height
        values = frame[f"{name}_r"].to_numpy()[best]
        faint = frame[f"{name}_p"].to_numpy()[best] >= SIGNIFICANT
        right.barh(at[~faint], values[~faint], height, color=colour, label=name)
        right.barh(at[faint], values[faint], height, color=GREY, alpha=0.5)
    right.set_yticks(range(len(best)), best)
    right.set_ylim(len(best) - 0.4, -0.6)
    right.set_xlim(-1, 1)
    right.axvline(0, color="black", linewidth=0.8)
    right.set_ylabel("coordinate")
    right.set_xlabel("r (root of eta² for classes without an order); grey: not significant")
    right.set_title("The strongest", loc="left")
    right.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    plain(right)
    return figure
