"""What covers faces, as shapes over a crop: mask, sunglasses, hat and hand, for NumPy and `keras.ops` alike.

Each takes (ops, x, y, s, draw) as `facefeat.image.corruptions` has them, x (1, 1, W, 1) and y (1, H, 1, 1) being
fractions of the side, and returns how far a point lies inside the shape (B, H, W, 1), in sides, and its colour
(B, 1, 1, 3). Eyes and mouth lie where the alignment "utkface" has them; "fairface-0.25" is within 2 % of the side.
"""

from __future__ import annotations

import math
from typing import Any

LEFT_EYE, RIGHT_EYE, EYES = 0.3035, 0.6857, 0.30
SKIN = (224.0, 172.0, 140.0)
MASKS = ((200.0, 220.0, 235.0), (30.0, 30.0, 35.0), (235.0, 235.0, 235.0), (90.0, 130.0, 190.0))


def mask(ops: Any, x: Any, y: Any, s: Any, draw: Any) -> tuple[Any, Any]:
    """From the chin up: to the mouth at little severity, over the nose at 0.5, to the eyes at 1."""
    top = 0.93 - 0.44 * s**0.3
    points = [(0.24, top + 0.03), (0.5, top - 0.02), (0.76, top + 0.03), (0.74, 0.80), (0.60, 0.93), (0.40, 0.93)]
    return _polygon(ops, x, y, [*points, (0.26, 0.80)]), _one_of(ops, MASKS, draw[0])


def sunglasses(ops: Any, x: Any, y: Any, s: Any, draw: Any) -> tuple[Any, Any]:
    """Two lenses and a bridge, from narrow reading glasses to half of the face."""
    wide, high = 0.16 * s**0.3 + 0.01, 0.095 * s**0.45
    lenses = [_ellipse(ops, x - eye, y - EYES, wide, high + 1e-4) for eye in (LEFT_EYE, RIGHT_EYE)]
    bridge = 0.03 * s**0.5 - _to_segment(ops, x, y, 0.40, 0.285, 0.60, 0.285)
    dark = ops.concatenate([40.0 * draw[i] for i in range(3)], axis=-1)
    return ops.maximum(ops.maximum(*lenses), bridge), dark


def hat(ops: Any, x: Any, y: Any, s: Any, draw: Any) -> tuple[Any, Any]:
    """A brim that comes down to the brows at severity 1."""
    brim = 0.28 * s**0.72 - 0.015 + 0.12 * (x - 0.5) ** 2 + 0.06 * (draw[3] - 0.5) * (x - 0.5)
    return brim - y, 10.0 + 230.0 * ops.concatenate([draw[i] for i in range(3)], axis=-1)


def hand(ops: Any, x: Any, y: Any, s: Any, draw: Any) -> tuple[Any, Any]:
    """A palm and four fingers over the lower face, in a skin tone that is drawn."""
    import numpy as np

    size = 0.30 * s**0.72
    centre_x, centre_y = 0.25 + 0.5 * draw[0], 0.5 + 0.35 * draw[1]
    angle = math.pi * draw[2]
    cos, sin = ops.cos(angle), ops.sin(angle)
    dx, dy = x - centre_x, y - centre_y
    inside = _ellipse(ops, dx * cos + dy * sin, dy * cos - dx * sin, size + 1e-4, 0.75 * size + 1e-4)
    for finger in range(4):
        turn = angle - 0.5 + finger / 3
        tip_x, tip_y = centre_x + 1.7 * size * ops.cos(turn), centre_y + 1.7 * size * ops.sin(turn)
        inside = ops.maximum(inside, 0.175 * size - _to_segment(ops, x, y, centre_x, centre_y, tip_x, tip_y))
    return inside, (0.25 + 0.75 * draw[3]) * np.array(SKIN, "float32")


def _one_of(ops: Any, colours: tuple[tuple[float, ...], ...], draw: Any) -> Any:
    """(B, 1, 1, 3): one of the colours for each of draw (B, 1, 1, 1)."""
    import numpy as np

    chosen: Any = np.array(colours[-1], "float32")
    for i, colour in list(enumerate(colours, 1))[-2::-1]:
        chosen = ops.where(draw * len(colours) < i, np.array(colour, "float32"), chosen)
    return chosen


def _polygon(ops: Any, x: Any, y: Any, points: list[tuple[Any, Any]]) -> Any:
    """Inside a convex polygon whose points run clockwise on the screen: the least distance to its edges."""
    inside: Any = None
    for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
        ex, ey = x1 - x0, y1 - y0
        depth = (ex * (y - y0) - ey * (x - x0)) / (ex * ex + ey * ey + 1e-12) ** 0.5
        inside = depth if inside is None else ops.minimum(inside, depth)
    return inside


def _ellipse(ops: Any, dx: Any, dy: Any, wide: Any, high: Any) -> Any:
    """Inside an ellipse of half-axes `wide` and `high`, near its edge."""
    return (1.0 - ops.sqrt((dx / wide) ** 2 + (dy / high) ** 2 + 1e-12)) * ops.minimum(wide, high)


def _to_segment(ops: Any, x: Any, y: Any, x0: Any, y0: Any, x1: Any, y1: Any) -> Any:
    """Distance of a point from a line segment."""
    ex, ey = x1 - x0, y1 - y0
    share = ops.clip(((x - x0) * ex + (y - y0) * ey) / (ex * ex + ey * ey + 1e-12), 0.0, 1.0)
    return ops.sqrt((x - x0 - share * ex) ** 2 + (y - y0 - share * ey) ** 2 + 1e-12)
