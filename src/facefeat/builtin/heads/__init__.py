"""The built-in heads, one file each: feature map (B, h, w, C) -> {attribute: logits (B, outputs) float32}."""

from __future__ import annotations

from facefeat.builtin.heads import attention, single, three_head
from facefeat.component import Component

COMPONENTS: list[Component] = [single.COMPONENT, three_head.COMPONENT, attention.COMPONENT]
