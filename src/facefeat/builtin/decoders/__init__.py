"""The built-in decoders, one file each: latents (B, D) -> faces (B, F, F, 3) float32 in 0..1."""

from __future__ import annotations

from facefeat.builtin.decoders import detail, spatial, upsampling
from facefeat.plugins.contracts import Component

COMPONENTS: list[Component] = [upsampling.COMPONENT, detail.COMPONENT, spatial.COMPONENT]
