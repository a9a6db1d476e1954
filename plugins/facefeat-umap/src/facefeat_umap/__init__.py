"""The analyzer `umap`: a map of latents in two dimensions (McInnes, Healy, Melville 2018), through umap-learn.

It is a plugin because of what it needs: umap-learn brings numba, which brings a compiler.
"""

from __future__ import annotations

from facefeat import Component, hookimpl


def build(*, neighbors: int = 15, min_dist: float = 0.1, metric: str = "euclidean", seed: int = 0):
    """neighbors: how many latents count as near: few show small groups, many the large shape.

    min_dist: how close points may lie on the map, 0 to 1. metric: "euclidean", "cosine" or another of umap-learn's.
    seed: the map depends on it; the same seed gives the same map, on one thread. Raises InputError.
    """
    from facefeat_umap.analyzer import UmapAnalyzer

    return UmapAnalyzer(neighbors, min_dist, metric, seed)


UMAP = Component(
    "umap",
    build,
    "a map of the latents in two dimensions, which keeps neighbours together",
    requires=("umap", "matplotlib"),
    extra="facefeat-umap",
)


@hookimpl
def facefeat_analyzers():
    return [UMAP]
