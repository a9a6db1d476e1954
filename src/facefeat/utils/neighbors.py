"""The search for latents that are alike: exact, by distance to every one."""

from __future__ import annotations

import numpy as np


def nearest(
    z: np.ndarray, k: int, metric: str = "euclidean", queries: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Of each of N latents (N, D) the k nearest others, and how far they are: two arrays (N, k), nearest first.

    queries: (Q, D) latents to find the nearest of instead; the arrays are then (Q, k).
    """
    from sklearn.neighbors import NearestNeighbors

    # Without an argument, scikit-learn leaves each point itself out.
    far, near = NearestNeighbors(n_neighbors=k, metric=metric, algorithm="brute").fit(z).kneighbors(queries)
    return near, far
