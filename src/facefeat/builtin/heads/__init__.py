"""The built-in heads, one file each: feature map (B, h, w, C) -> {attribute: logits (B, outputs) float32}."""

from __future__ import annotations

from facefeat.builtin.heads import three_head
from facefeat.component import Component

COMPONENTS: list[Component] = [three_head.COMPONENT]
