"""The analyzer `pca`: the directions in which latents vary most, and what they have to do with each attribute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.builtin.analyzers.common import Labelling, check_latents, read_labels, scatter
from facefeat.types import Analysis
from facefeat.utils.frames import import_pandas
from facefeat.utils.plotting import COLOURS, empty_figure, plain

if TYPE_CHECKING:
    from facefeat.builtin.analyzers.common import Faces, Labels, Model
    from facefeat.types import FloatArray


@dataclass(frozen=True)
class Pca:
    """components: how many are kept, where the latents have so many."""

    components: int = 10

    def analyze(self, latents: FloatArray, labels: Labels, model: Model = None, faces: Faces = None) -> Analysis:
        """latents: (N, D), N at least 3. labels: attribute -> (N,) classes.

        The table has a row for each component: its share of the variance, the share so far, and for each attribute how
        much of the component the classes explain (eta squared, 0 to 1). Directions: pc1, pc2, ...
        Raises InputError for latents that are too few or not finite.
        """
        pd = import_pandas()
        from sklearn.decomposition import PCA

        z = check_latents("pca", latents, labels, 3)
        read = read_labels(labels, model, faces)
        count = min(self.components, *z.shape)
        fitted = PCA(count, svd_solver="full").fit(z)
        axes = fitted.components_
        # The sign of a component is arbitrary; so its largest entry is made positive.
        axes = axes * np.sign(axes[np.arange(count), np.abs(axes).argmax(axis=1)])[:, None]
        places = (z - fitted.mean_) @ axes.T  # (N, count)
        share = np.nan_to_num(fitted.explained_variance_ratio_)
        table = {"component": [f"pc{i + 1}" for i in range(count)], "variance": share, "together": np.cumsum(share)}
        table |= {f"{n}_eta2": explained(places, label) for n, label in read.items()}
        figures = {"pca-variance": _scree(share)}
        if count > 1:
            names = (f"pc1 ({share[0]:.0%} of the variance)", f"pc2 ({share[1]:.0%})")
            figures |= {
                f"pca-{n}": scatter("Principal components of the latents", places[:, :2], label, names)
                for n, label in read.items()
                if label.known.any()
            }
        directions = {f"pc{i + 1}": axes[i].astype("float32") for i in range(count)}
        return Analysis("pca", pd.DataFrame(table), figures, directions)


def explained(x: np.ndarray, label: Labelling) -> np.ndarray:
    """Eta squared of each column of x (N, D): the share of its variance that lies between the classes, (D,)."""
    x, index = x[label.known], label.index[label.known]
    if not len(x):
        return np.full(x.shape[1], np.nan)
    of_class = np.eye(len(label.classes))[index]  # (N, K)
    counts = of_class.sum(axis=0)
    means = of_class.T @ x / counts[:, None]  # (K, D); every class occurs among the known
    between = (counts[:, None] * (means - x.mean(axis=0)) ** 2).sum(axis=0)
    total = ((x - x.mean(axis=0)) ** 2).sum(axis=0)
    return np.asarray(between / np.where(total > 0, total, np.inf))


def _scree(share: np.ndarray) -> Any:
    figure = empty_figure(7, 3.8)
    axes = figure.subplots()
    at = np.arange(1, len(share) + 1)
    axes.bar(at, 100 * share, color=COLOURS[0], label="each")
    axes.plot(at, 100 * np.cumsum(share), color=COLOURS[1], marker="o", markersize=4, label="together")
    axes.set_title("How much of the latents' variance the components hold", loc="left")
    axes.set_xlabel("principal component")
    axes.set_ylabel("share of the variance, %")
    axes.set_xticks(at)
    axes.set_ylim(0, 100)
    axes.legend(frameon=False, loc="center right")
    plain(axes)
    return figure
