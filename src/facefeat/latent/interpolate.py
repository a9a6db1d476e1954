"""Paths through a latent space: which latents lie between two or more, and in which order a morph shows them."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from facefeat.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from facefeat.types import FloatArray

PATHS = ("linear", "spherical")
EASINGS = ("none", "smooth")
MOST = 100_000
"""Latents of a morph at most, before the way back: almost an hour of video."""


def check_morph(latents: int, steps: int, path: str, easing: str) -> None:
    """Raises InputError for fewer than two latents, impossible steps, or an unknown path or easing."""
    if latents < 2:
        raise InputError(f"a morph needs at least two faces. Received: {latents}.")
    if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or not latents <= steps <= MOST:
        raise InputError(f"steps must be a whole number from {latents} (the faces) to {MOST:,}. Received: {steps!r}.")
    if path not in PATHS:
        raise InputError(f"no such path. {did_you_mean(str(path), PATHS)}")
    if easing not in EASINGS:
        raise InputError(f"no such easing. {did_you_mean(str(easing), EASINGS)}")


def latent_path(
    latents: FloatArray, steps: int, *, path: str = "linear", easing: str = "smooth", bounce: bool = False
) -> FloatArray:
    """(K, D) latents -> (steps, D) float32 from the first to the last, through each of the others.

    steps: latents in all, K or more, spread evenly over the K - 1 stretches; every one of the K is among them, exactly.
    path: "linear", or "spherical": the direction turns evenly and the length changes evenly (Shoemake, "Animating
    rotation with quaternion curves", SIGGRAPH 1985; White, "Sampling generative networks", 2016).
    easing: "none", or "smooth": each stretch starts and ends slowly (3 t^2 - 2 t^3).
    bounce: the way back is appended, without showing the ends twice: 2 * steps - 2 latents, for an endless loop.

    Raises InputError for fewer than two latents, steps, or an unknown path or easing.
    """
    z = np.asarray(latents, "float32")
    check_morph(len(z), steps, path, easing)
    # The place of each of the K among the steps; the others lie between by their share of the stretch.
    places = np.round(np.linspace(0, steps - 1, len(z))).astype(int)
    out = np.empty((steps, z.shape[1]), "float32")
    for i, (start, end) in enumerate(pairwise(places)):
        t = np.arange(end - start) / (end - start)
        if easing == "smooth":
            t = t * t * (3 - 2 * t)
        out[start:end] = between(z[i], z[i + 1], t, spherical=path == "spherical")
        out[start] = z[i]
    out[-1] = z[-1]
    return np.concatenate([out, out[-2:0:-1]]) if bounce else out


def between(a: FloatArray, b: FloatArray, t: FloatArray, *, spherical: bool) -> FloatArray:
    """(D,), (D,) and shares (T,) in 0..1 -> (T, D) float32: a at 0, b at 1.

    Where the two directions are equal, opposite or none, the spherical path is the linear one.
    """
    a64, b64 = np.asarray(a, "float64"), np.asarray(b, "float64")
    share = np.asarray(t, "float64")[:, None]
    lengths = np.linalg.norm(a64), np.linalg.norm(b64)
    if spherical and min(lengths) > 0:
        one, two = a64 / lengths[0], b64 / lengths[1]
        angle = np.arccos(np.clip(one @ two, -1, 1))
        if 1e-4 < angle < np.pi - 1e-4:
            turned = (np.sin((1 - share) * angle) * one + np.sin(share * angle) * two) / np.sin(angle)
            length = (1 - share) * lengths[0] + share * lengths[1]
            return np.asarray(turned * length, "float32")
    return np.asarray((1 - share) * a64 + share * b64, "float32")
