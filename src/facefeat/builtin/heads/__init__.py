"""The built-in heads, one file each: feature map (B, h, w, C) -> {attribute: logits (B, outputs) float32}."""

from __future__ import annotations

from facefeat.builtin.heads import attention, mlp, single
from facefeat.plugins.contracts import Component

COMPONENTS: list[Component] = [single.COMPONENT, mlp.COMPONENT, attention.COMPONENT]
