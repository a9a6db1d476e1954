"""The check of a decoder, and of the detail encoder that it may bring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from facefeat.plugins.contracts import Component, DetailDecoder
from facefeat.testing import contract
from facefeat.testing.contract import CheckOptions, Findings
from facefeat.testing.networks import Job, Out, check_network
from facefeat.testing.toys import toy_crops, toy_latents

if TYPE_CHECKING:
    import keras


def check_decoder(
    component: Component,
    *,
    latent_dim: int = 8,
    image_size: int = 32,
    **options: Unpack[CheckOptions],
) -> keras.Model:
    """Check a decoder: latents (B, D) float32 -> faces (B, F, F, 3) float32 in 0..1, whatever the latents; F >= S.

    One whose build gives a `DetailDecoder` takes latents (B, D + K), and its encoder is checked: crops (B, S, S, 3)
    float32 0..255 -> codes (B, K) float32. latent_dim: D. options: see `CheckOptions`.
    Gives the decoder's model of the defaults, without the encoder. Raises ContractError with all faults.
    """
    given = {"latent_dim": latent_dim, "image_size": image_size}
    found, configs = contract.begin("decoder", component, options, list(given))
    parts = []

    def fit(job: Job, one: Mapping[str, Any]) -> Job:
        made = component.build(**given, **one)
        width = latent_dim
        if isinstance(made, DetailDecoder):
            parts.append("detail_encoder")
            width += _code_width(found, made.detail_encoder)
        return replace(job, inputs=_latents(width), input_shape=(width,))

    job = Job(
        found,
        given,
        inputs=_latents(latent_dim),
        input_shape=(latent_dim,),
        look=lambda model, out: _look_at_crops(found, model, out, image_size),
        part="decoder",
        fit=fit,
    )
    model = check_network(job, configs, options)
    if parts:
        crops = toy_crops(4, image_size).astype("float32")
        crops[2], crops[3] = 0, 255
        encoder = Job(found, given, crops, (image_size, image_size, 3), lambda model, out: None, part="detail_encoder")
        check_network(encoder, configs, options)
    found.stop_at_faults()
    return model


def _latents(width: int) -> np.ndarray:
    """(4, width) float32."""
    latents = toy_latents(4, width)
    latents[2:] *= 100  # far from any that an encoder gives: a morph or an edit may go there
    return latents


def _code_width(found: Findings, encoder: Any) -> int:
    """K, the width of the codes that a detail encoder gives."""
    shape = getattr(encoder, "output_shape", None)
    good = isinstance(shape, tuple) and len(shape) == 2 and isinstance(shape[1], int)
    if not found.expect(good, "detail_encoder must be a keras.Model that gives codes (None, K)", shape):
        found.stop_at_faults()
    return int(shape[1])  # type: ignore[index]


def _look_at_crops(found: Findings, model: Any, out: Out, size: int) -> None:
    shape = model.output_shape
    good = isinstance(shape, tuple) and len(shape) == 4 and isinstance(shape[1], int) and shape[1] >= size
    good = good and shape == (None, shape[1], shape[1], 3)
    if found.expect(good, f"the output must be faces (None, F, F, 3), F a whole number from {size}", shape):
        low, high = (float(f(v)) for v in out.values() for f in (np.min, np.max))
        wanted = "crops must lie in 0..1, for latents far from the usual, too"
        found.expect(low >= 0 and high <= 1, wanted, f"{low:.3g} to {high:.3g}")
