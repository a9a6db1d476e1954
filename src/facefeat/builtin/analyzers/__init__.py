"""The built-in analyzers: latents (N, D) and labels -> table, figures, directions. The work is one file for each.

The settings are here, so that listing the components imports neither NumPy nor anything heavier.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facefeat.builtin import checks
from facefeat.errors import InputError
from facefeat.plugins.contracts import Component

if TYPE_CHECKING:
    from facefeat.builtin.analyzers.background import Background
    from facefeat.builtin.analyzers.coordinates import Coordinates
    from facefeat.builtin.analyzers.directions import Directions
    from facefeat.builtin.analyzers.neighbours import Neighbours
    from facefeat.builtin.analyzers.pca import Pca
    from facefeat.builtin.analyzers.probe import Probe
    from facefeat.builtin.analyzers.tsne import Tsne


@checks.checked("analyzer 'pca'")
def _pca(*, components: int = 10) -> Pca:
    """components: how many to keep, 2 or more. Raises InputError."""
    from facefeat.builtin.analyzers.pca import Pca

    return Pca(checks.whole("analyzer 'pca'", "components", components, 2, 10_000))


@checks.checked("analyzer 'tsne'")
def _tsne(*, perplexity: float = 30.0, limit: int = 3000, seed: int = 0) -> Tsne:
    """perplexity: about how many latents count as near, 1 to 1000. limit: more are drawn from at random, as time grows.

    seed: the same one gives the same map. Raises InputError.
    """
    from facefeat.builtin.analyzers.tsne import Tsne

    return Tsne(
        checks.real("analyzer 'tsne'", "perplexity", perplexity, 1, 1000),
        checks.whole("analyzer 'tsne'", "limit", limit, 4, 100_000),
        checks.whole("analyzer 'tsne'", "seed", seed, 0, 2**32 - 1),
    )


@checks.checked("analyzer 'directions'")
def _directions(*, orthogonal: bool = False, seed: int = 0) -> Directions:
    """orthogonal: take out of each direction what it shares with those of the other attributes.

    seed: chooses the folds. Raises InputError.
    """
    from facefeat.builtin.analyzers.directions import Directions

    return Directions(
        checks.flag("analyzer 'directions'", "orthogonal", orthogonal),
        checks.whole("analyzer 'directions'", "seed", seed, 0, 2**32 - 1),
    )


@checks.checked("analyzer 'probe'")
def _probe(*, seed: int = 0) -> Probe:
    """seed: chooses the folds and the resamples. Raises InputError."""
    from facefeat.builtin.analyzers.probe import Probe

    return Probe(checks.whole("analyzer 'probe'", "seed", seed, 0, 2**32 - 1))


@checks.checked("analyzer 'coordinates'")
def _coordinates(*, top: int = 8, show: int = 10) -> Coordinates:
    """top: faces named at each end. show: coordinates in the figures, strongest first. Raises InputError."""
    from facefeat.builtin.analyzers.coordinates import Coordinates

    return Coordinates(
        checks.whole("analyzer 'coordinates'", "top", top, 1, 50),
        checks.whole("analyzer 'coordinates'", "show", show, 1, 100),
    )


@checks.checked("analyzer 'neighbours'")
def _neighbours(*, k: int = 5, metric: str = "euclidean", show: int = 8, seed: int = 0) -> Neighbours:
    """k: how many of each. metric: "euclidean" or "cosine". show: faces drawn with their neighbours, chosen by seed.

    Raises InputError.
    """
    from facefeat.builtin.analyzers.neighbours import Neighbours

    return Neighbours(
        checks.whole("analyzer 'neighbours'", "k", k, 1, 1000),
        checks.choice("analyzer 'neighbours'", "metric", metric, ("euclidean", "cosine")),
        checks.whole("analyzer 'neighbours'", "show", show, 1, 50),
        checks.whole("analyzer 'neighbours'", "seed", seed, 0, 2**32 - 1),
    )


@checks.checked("analyzer 'background'")
def _background(
    *,
    masks: str = "",
    grow: float = 1.9,
    fill: str = "mean",
    limit: int = 1000,
    draws: int = 20,
    top: int = 0,
    seed: int = 0,
) -> Background:
    """masks: a folder of masks named like the faces, white where the face is; "" takes the landmarks' hull.

    grow: how much larger than that hull the face is. fill: what stands in for what is hidden, "mean" (grey) or "black".
    limit: faces at most, drawn at random. draws: of random coordinates to compare with. top: mask so many, those
    with the highest share of the background; 0 masks those that encode it significantly. Raises InputError.
    """
    from facefeat.builtin.analyzers.background import Background

    if not isinstance(masks, str):
        raise InputError(f"analyzer 'background': 'masks' must be the path of a folder. Received: {masks!r}.")
    return Background(
        masks,
        checks.real("analyzer 'background'", "grow", grow, 1.0, 5.0),
        checks.choice("analyzer 'background'", "fill", fill, ("mean", "black")),
        checks.whole("analyzer 'background'", "limit", limit, 8, 100_000),
        checks.whole("analyzer 'background'", "draws", draws, 1, 1000),
        checks.whole("analyzer 'background'", "top", top, 0, 100_000),
        checks.whole("analyzer 'background'", "seed", seed, 0, 2**32 - 1),
    )


_NEEDS: dict[str, Any] = {"requires": ("matplotlib", "pandas"), "extra": "facefeat[plots]"}

COMPONENTS = [
    Component("pca", _pca, "the directions in which latents vary most, and what they explain", **_NEEDS),
    Component("tsne", _tsne, "a map of the latents in two dimensions, which keeps neighbours together", **_NEEDS),
    Component("directions", _directions, "the direction in the latent space that changes an attribute", **_NEEDS),
    Component("probe", _probe, "how well a linear probe predicts each attribute from the latents", **_NEEDS),
    Component(
        "coordinates", _coordinates, "what each coordinate does: its faces, and the attributes it goes with", **_NEEDS
    ),
    Component("neighbours", _neighbours, "the nearest faces of each face, and how often they share a class", **_NEEDS),
    Component(
        "background", _background, "which coordinates encode the background, and the effect of masking them", **_NEEDS
    ),
]
