"""The built-in backbones, one file each: crops (B, S, S, 3) float 0..255 -> feature map (B, h, w, C)."""

from __future__ import annotations

from facefeat.builtin.backbones import compact
from facefeat.component import Component

COMPONENTS: list[Component] = [compact.COMPONENT]
