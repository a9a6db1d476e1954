"""The built-in backbones: crops (B, S, S, 3) float 0..255 -> feature map (B, h, w, C).

A backbone whose configuration has `weights` reads or fetches published weights when it is built. A preset brings its
own weights, so it is rebuilt with `weights = null`.
"""

from __future__ import annotations

from facefeat.builtin.backbones import applications, compact, mobilenet, squeezenet, vggface
from facefeat.plugins.contracts import Component

COMPONENTS: list[Component] = [
    compact.COMPONENT,
    vggface.COMPONENT,
    mobilenet.COMPONENT,
    *applications.COMPONENTS,
    squeezenet.COMPONENT,
]
