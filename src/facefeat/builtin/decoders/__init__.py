"""The built-in decoders, one file each: latents (B, D) -> crops (B, S, S, 3) float32 in 0..1."""

from __future__ import annotations

from facefeat.builtin.decoders import detail, upsampling
from facefeat.plugins.contracts import Component

COMPONENTS: list[Component] = [upsampling.COMPONENT, detail.COMPONENT]
