"""Linear readers of one attribute from latents: what the analyzers and the directions of a preset are fitted with."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

STRENGTH = 0.03
"""C of the classifiers, for coordinates brought to spread 1: strong regularisation, since coordinates are many and go
together. It is fixed, so that nothing is chosen on the faces that are measured."""


@dataclass(frozen=True)
class Plane:
    """A linear function of the latent: `latents @ weights + offset`. weights: (D,) float64."""

    weights: np.ndarray
    offset: float

    def __call__(self, z: np.ndarray) -> np.ndarray:
        """(N, D) -> (N,)."""
        return np.asarray(z @ self.weights + self.offset)


def scale_of(z: np.ndarray, each: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """(mean, spread) of each coordinate, (D,) each; a coordinate that does not vary has spread 1.

    each: False for one spread for all, the root mean square of theirs: then what hardly varies counts for little.
    """
    spread = z.std(axis=0) if each else np.full(z.shape[1], np.sqrt(z.var(axis=0).mean()))
    return z.mean(axis=0), np.where(spread > 1e-9, spread, 1.0)


def fit_value(z: np.ndarray, y: np.ndarray, each: bool = True) -> Plane:
    """Ridge regression of numbers y (N,) on latents (N, D); its strength by leave-one-out (Hoerl and Kennard 1970).

    each: as of `scale_of`.
    """
    from sklearn.linear_model import RidgeCV

    mean, spread = scale_of(z, each)
    fitted = RidgeCV(np.logspace(-1, 5, 13)).fit((z - mean) / spread, y)
    weights = np.asarray(fitted.coef_, "float64") / spread
    return Plane(weights, float(fitted.intercept_) - float(mean @ weights))


def fit_classes(z: np.ndarray, index: np.ndarray, classes: int, each: bool = True) -> list[Plane]:
    """Logistic regression of K classes on latents (N, D): K planes of log-odds, whose softmax is the probability.

    Of two classes, the first has the plane 0. A class that no row has is never read: its plane lies at -infinity.
    each: as of `scale_of`.
    """
    from sklearn.linear_model import LogisticRegression

    mean, spread = scale_of(z, each)
    present = np.unique(index)
    planes = [Plane(np.zeros(z.shape[1]), -np.inf)] * classes
    if len(present) == 1:
        planes[present[0]] = Plane(np.zeros(z.shape[1]), 0.0)
        return planes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # not converged to the last digit: the next digits do not matter here
        fitted: Any = LogisticRegression(C=STRENGTH, max_iter=100).fit((z - mean) / spread, index)
    weights, offsets = fitted.coef_, fitted.intercept_
    if len(present) == 2:
        weights, offsets = np.concatenate([0 * weights, weights]), np.concatenate([0 * offsets, offsets])
    for k, w, b in zip(present, weights, offsets, strict=True):
        planes[k] = Plane(w / spread, float(b - mean @ (w / spread)))
    return planes


def choose(planes: list[Plane], z: np.ndarray) -> np.ndarray:
    """(N, D) latents -> (N,) the class whose plane is highest."""
    return np.stack([p(z) for p in planes], axis=1).argmax(axis=1)
