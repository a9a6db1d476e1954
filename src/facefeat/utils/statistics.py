"""What several rooms measure with: folds, bootstrap intervals, a map of latents in two dimensions. All are seeded."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

ENDS = (0.025, 0.975)
"""Quantiles that end a 95 % interval."""
_AT_ONCE = 4_000_000
"""Weights held at a time."""
_REDUCED = 50
"""Principal components that a map is made from: the rest is noise that only costs time."""


def folds(
    rows: np.ndarray, count: int, seed: int, classes: np.ndarray | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(train, test) of each of `count` parts of a random split of row numbers (N,); parts without a row are left out.

    classes: (N,) the class of each row, to be spread evenly over the parts.
    """
    at = np.random.default_rng(seed).permutation(len(rows))
    if classes is not None:
        at = at[np.argsort(classes[at], kind="stable")]
    part = np.empty(len(rows), int)
    part[at] = np.arange(len(rows)) % count
    for i in range(min(count, len(rows))):
        yield rows[part != i], rows[part == i]


def resamples(n: int, rounds: int, seed: int) -> Iterator[np.ndarray]:
    """Bootstrap of n rows: blocks (B, n) float64 of how often each row was drawn, `rounds` in all."""
    rng = np.random.default_rng(seed)
    step = max(1, _AT_ONCE // max(1, n))
    for start in range(0, rounds, step):
        size = min(step, rounds - start)
        yield np.stack([np.bincount(rng.integers(0, n, n), minlength=n) for _ in range(size)]).astype("float64")


def resampled_means(values: np.ndarray, rounds: int, seed: int) -> np.ndarray:
    """(N, M) values -> (rounds, M) means over rows drawn again."""
    return np.concatenate([weights @ values for weights in resamples(len(values), rounds, seed)]) / len(values)


def interval(draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the 95 % interval of each column of (rounds, M) draws: (M,) each; NaN where no draw is finite."""
    columns = [d[np.isfinite(d)] for d in draws.T]
    ends = [np.quantile(c, ENDS) if len(c) else (np.nan, np.nan) for c in columns]
    low, high = np.asarray(ends, "float64").reshape(-1, 2).T
    return low, high


def standard_error(values: np.ndarray) -> float:
    """Of the mean of the finite ones of (N,) values; NaN for fewer than two."""
    known = values[np.isfinite(values)]
    return float(known.std(ddof=1) / np.sqrt(len(known))) if len(known) > 1 else float("nan")


def tsne(latents: np.ndarray, seed: int, perplexity: float = 30.0) -> np.ndarray:
    """(N, D) latents -> (N, 2) places that keep neighbours together (van der Maaten and Hinton, JMLR 2008)."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    n, d = latents.shape
    few = PCA(min(_REDUCED, n, d), random_state=seed).fit_transform(latents.astype("float64"))
    # Where all latents are one point there is no direction to start from.
    start = "pca" if few[:, 0].std() > 0 and few.shape[1] > 1 else "random"
    perplexity = min(perplexity, (n - 1) / 3)
    return np.asarray(TSNE(perplexity=perplexity, init=start, random_state=seed, n_jobs=1).fit_transform(few))


def share_interval(
    share: np.ndarray, n: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Ends (M,) of the bootstrap intervals of shares of n, (M,) each; Wilson's where a share is 0 or 1.

    A bootstrap of faces that are all right is a point, as if nothing could ever be wrong.
    """
    at_end = (share == 0) | (share == 1)
    ends = proportion_interval(np.where(at_end, share * n, 0), n)
    return np.where(at_end, ends[0], low), np.where(at_end, ends[1], high)


def proportion_interval(hits: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the 95 % interval of shares `hits` of `n`, (M,) each (Wilson, 1927); NaN where n is 0.

    Unlike a bootstrap, it is no point where all or none of a few are hits.
    """
    z = 1.959964
    total = np.where(n > 0, n, np.nan).astype("float64")
    p = hits / total
    middle = (p + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * np.sqrt(p * (1 - p) / total + z**2 / (4 * total**2))
    # Exactly 0 and 1 there, not but for rounding.
    return np.where(p == 0, 0, np.maximum(middle - half, 0)), np.where(p == 1, 1, np.minimum(middle + half, 1))
