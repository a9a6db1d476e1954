"""The analyzer `probe`: how well linear probes predict each attribute from the latents (Alain and Bengio 2016).

From all coordinates together: a logistic regression of the classes, and a ridge regression of an ordered attribute's
numbers. From each coordinate alone: the class whose mean on that coordinate is nearest. All on held-out faces.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.builtin.analyzers.common import FOLDS, Labelling, check_latents, folds_of, read_labels
from facefeat.builtin.analyzers.statistics import bootstrap_mean
from facefeat.types import Analysis
from facefeat.utils.frames import import_pandas
from facefeat.utils.linear_models import choose, fit_classes, fit_value, scale_of
from facefeat.utils.plotting import COLOURS, GREY, empty_figure, plain

if TYPE_CHECKING:
    import pandas as pd

    from facefeat.builtin.analyzers.common import Faces, Labels, Model
    from facefeat.types import FloatArray

COLUMNS = "attribute read_from measure value low high chance faces".split()


@dataclass(frozen=True)
class Probe:
    """For the settings see `facefeat.builtin.analyzers`."""

    seed: int = 0

    def analyze(self, latents: FloatArray, labels: Labels, model: Model = None, faces: Faces = None) -> Analysis:
        """latents: (N, D), N at least 10. labels: attribute -> (N,) classes.

        The table has rows for each attribute. `read_from` "all": accuracy, balanced accuracy (each class counts alike),
        for an ordered attribute also R2 and the mean error `mae` in its unit (or `mae_classes`), with 95 % bootstrap
        intervals over the faces (`low`, `high`). `read_from` a coordinate's number: balanced accuracy from it alone.
        `chance`: what is had without looking at the face. Raises InputError for latents too few or not finite.
        """
        pd = import_pandas()
        z = check_latents("probe", latents, labels, 10)
        read = {n: v for n, v in read_labels(labels, model, faces).items() if len(v.classes) > 1}
        rows, curves = [], {}
        for name, label in read.items():
            whole = self._from_all(z, label)
            rows += whole
            curves[name] = alone = one_by_one(z, label, self.seed)
            chance, n = 1 / len(label.classes), int(label.known.sum())
            rows += [_row(name, str(i), "balanced_accuracy", float(v), None, chance, n) for i, v in enumerate(alone)]
        table = pd.DataFrame(rows, columns=COLUMNS)
        figures = {"probe-all": _whole(table), "probe-coordinates": _alone(table, curves, read)} if read else {}
        whole_latent = table[table["read_from"] == "all"].drop(columns="read_from")
        return Analysis("probe", table, figures, summary=whole_latent)

    def _from_all(self, z: np.ndarray, label: Labelling) -> list[dict[str, Any]]:
        known, y, k = np.flatnonzero(label.known), label.index, len(label.classes)
        said, number = np.full(len(z), -1), np.full(len(z), np.nan)
        constant = np.full(len(z), np.nan)
        for train, test in folds_of(label, self.seed):
            said[test] = choose(fit_classes(z[train], y[train], k), z[test])
            if label.ordered:
                number[test] = fit_value(z[train], label.values[train])(z[test])
                constant[test] = np.median(label.values[train])
        right = (said == y)[known].astype("float64")
        shares = np.bincount(y[known], minlength=k) / len(known)
        # Each face weighs as much as its class is rare, so that the plain mean is the balanced one.
        balanced = right / (k * shares[y[known]])
        n = len(known)
        rows = [
            _row(label.name, "all", "accuracy", right.mean(), _ends(right, self.seed), float(shares.max()), n),
            _row(label.name, "all", "balanced_accuracy", balanced.mean(), _ends(balanced, self.seed), 1 / k, n),
        ]
        if label.ordered:
            value = label.values[known]
            error = np.abs(number[known] - value)
            baseline = float(np.abs(constant[known] - value).mean())
            # R2 is 1 less a mean of squares over the faces: the interval takes the variance of the labels as given.
            unexplained = (number[known] - value) ** 2 / max(float(value.var()), 1e-12)
            low, high = _ends(unexplained, self.seed)
            measure = "mae_classes" if label.unit == "classes" else "mae"
            r2 = 1 - float(unexplained.mean())
            rows.append(_row(label.name, "all", measure, error.mean(), _ends(error, self.seed), baseline, n))
            rows.append(_row(label.name, "all", "r2", r2, (1 - high, 1 - low), 0.0, n))
        return rows


def _row(
    name: str, source: str, measure: str, value: float, ends: tuple[float, float] | None, chance: float, n: int
) -> dict[str, Any]:
    low, high = ends or (float("nan"), float("nan"))
    return dict(zip(COLUMNS, (name, source, measure, float(value), low, high, chance, n), strict=True))


def _ends(values: np.ndarray, seed: int) -> tuple[float, float]:
    low, high = bootstrap_mean(values[:, None], seed)
    return float(low[0]), float(high[0])


def one_by_one(z: np.ndarray, label: Labelling, seed: int) -> np.ndarray:
    """(D,): held-out balanced accuracy of the nearest class mean on each coordinate of z (N, D) alone."""
    y, k = label.index, len(label.classes)
    of_class = np.eye(k)
    right = np.zeros((k, z.shape[1]))
    for train, test in folds_of(label, seed):
        mean, spread = scale_of(z[train])
        x, t = (z[train] - mean) / spread, (z[test] - mean) / spread
        counts = of_class[y[train]].sum(axis=0)
        means = of_class[y[train]].T @ x / np.maximum(counts, 1)[:, None]  # (K, D)
        distance = np.abs(t[:, None, :] - means[None])  # (n, K, D)
        distance[:, counts == 0] = np.inf
        hit = distance.argmin(axis=1) == y[test][:, None]  # (n, D)
        right += of_class[y[test]].T @ hit
    counts = np.bincount(y[label.known], minlength=k)
    return np.asarray((right / counts[:, None]).mean(axis=0))


def _whole(table: pd.DataFrame) -> Any:
    part = table[(table["read_from"] == "all") & table["measure"].isin(["accuracy", "balanced_accuracy", "r2"])]
    part = part.reset_index(drop=True)
    figure = empty_figure(7.5, 1.7 + 0.42 * len(part))
    axes = figure.subplots()
    words = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "r2": "R² of the number"}
    for i, row in part.iterrows():
        colour = COLOURS[list(dict.fromkeys(part["attribute"])).index(row["attribute"]) % len(COLOURS)]
        axes.plot([row["low"], row["high"]], [i, i], color=colour, linewidth=3, solid_capstyle="butt", alpha=0.5)
        axes.plot(row["value"], i, "o", color=colour)
        axes.plot(row["chance"], i, "|", color="black", markersize=12)
        axes.annotate(
            f"{row['value']:.2f}", (row["value"], i), (0, 7), textcoords="offset points", ha="center", fontsize=8
        )
    axes.plot([], [], "o", color=GREY, label="held-out faces, with 95 % interval")
    axes.plot([], [], "|", color="black", markersize=10, label="without looking at the face")
    axes.set_yticks(
        range(len(part)), [f"{a}: {words[m]}" for a, m in zip(part["attribute"], part["measure"], strict=True)]
    )
    axes.set_ylim(len(part) - 0.4, -0.8)
    axes.set_xlim(min(0.0, float(part["low"].min())), 1.02)
    axes.set_title("What a linear probe reads from the whole latent", loc="left")
    axes.set_xlabel("share right, or share of the variance explained")
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(-0.02, -0.16), ncols=2, fontsize="small")
    plain(axes)
    return figure


def _alone(table: pd.DataFrame, curves: Mapping[str, np.ndarray], read: Mapping[str, Labelling]) -> Any:
    figure = empty_figure(4.0 * len(curves) + 0.6, 3.9)
    panes = figure.subplots(1, len(curves), squeeze=False)[0]
    for pane, (name, values), colour in zip(panes, curves.items(), COLOURS * 9, strict=False):
        whole = table.query("attribute == @name and read_from == 'all' and measure == 'balanced_accuracy'")[
            "value"
        ].iloc[0]
        order = np.argsort(-values, kind="stable")
        chance = 1 / len(read[name].classes)
        pane.plot(np.arange(1, len(values) + 1), values[order], color=colour, label="one coordinate")
        pane.axhline(whole, color="black", linestyle="--", linewidth=1, label=f"all together: {whole:.2f}")
        pane.axhline(chance, color=GREY, linestyle=":", label=f"chance: {chance:.2f}")
        best = ", ".join(str(i) for i in order[:5])
        pane.set_title(f"{name}\nbest coordinates: {best}", loc="left", fontsize=10)
        pane.set_xlabel("coordinates, best first")
        pane.set_ylim(0, 1.02)
        pane.legend(frameon=False, fontsize="small")
        plain(pane)
    panes[0].set_ylabel("balanced accuracy, held-out faces")
    figure.suptitle(f"How well single coordinates predict ({FOLDS} folds)", x=0.01, ha="left")
    return figure
