"""What `build` gives."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

from facefeat import Analysis, InputError

METRICS = ("euclidean", "manhattan", "chebyshev", "cosine", "correlation")


@dataclass(frozen=True)
class UmapAnalyzer:
    """See `facefeat_umap.build` for the settings. Raises InputError for one that is not valid."""

    neighbors: int = 15
    min_dist: float = 0.1
    metric: str = "euclidean"
    seed: int = 0

    def __post_init__(self):
        if isinstance(self.neighbors, bool) or not isinstance(self.neighbors, int) or self.neighbors < 2:
            raise InputError(f"umap: neighbors must be a whole number, at least 2. Received: {self.neighbors!r}.")
        if not isinstance(self.min_dist, int | float) or not 0 <= self.min_dist <= 1:
            raise InputError(f"umap: min_dist must be a number from 0 to 1. Received: {self.min_dist!r}.")
        if self.metric not in METRICS:
            raise InputError(f"umap: no such metric. Received: {self.metric!r}. Valid: {', '.join(METRICS)}.")

    def analyze(self, latents, labels, model=None):
        """latents: (N, D) float32, N at least 4. labels: attribute -> (N,). model is not used.

        The table has a row for each latent, in order: `x`, `y`, and its label of each attribute. One figure for each
        attribute, of points in a colour for each class. Raises InputError for too few latents.
        """
        import pandas as pd
        import umap

        n = len(latents)
        if n < 4:
            raise InputError(f"umap needs 4 latents or more. Received: {n}.")
        settings = {"min_dist": self.min_dist, "metric": self.metric, "random_state": self.seed, "n_jobs": 1}
        # Its default start, by eigenvectors, fails for a handful of points.
        start = "spectral" if n > 10 else "random"
        reducer = umap.UMAP(n_components=2, n_neighbors=min(self.neighbors, n - 1), init=start, **settings)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="umap|sklearn")
            places = reducer.fit_transform(latents)  # (N, 2)
        table = pd.DataFrame({"x": places[:, 0], "y": places[:, 1], **labels})
        return Analysis("umap", table, figures={f"umap-{name}": _figure(table, name) for name in labels})


def _figure(table, name):
    # Not pyplot: that keeps every figure alive, and opens windows.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.subplots()
    for label, rows in table.groupby(name, sort=True):
        axes.scatter(rows["x"], rows["y"], s=8, alpha=0.7, label=str(label))
    axes.set(title=f"UMAP of the latents, by {name}", xticks=[], yticks=[])
    axes.legend(title=name, fontsize="small")
    return figure
