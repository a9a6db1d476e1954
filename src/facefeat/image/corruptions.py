"""What goes wrong with pictures of faces, as arithmetic for NumPy and `keras.ops`: benchmarks and training share it.

A severity is 0 to 1: 0 changes nothing, 0.5 is what wild photos often show, 1 leaves little to read. All lengths grow
with the crop. `ops` is `numpy` or `keras.ops`. Shapes: crops (B, H, W, 3) float32 of 0..255; severity s (B, 1, 1, 1);
draw, DRAWS arrays (B, 1, 1, 1) uniform in 0..1 that decide the rest, such as the direction of a motion.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from facefeat.image.occluders import hand, hat, mask, sunglasses

DRAWS = 6
"""Random numbers that a corruption of a crop may use."""
PADDING = 0.1
"""Share of the side by which a crop is padded before a blur: more than the largest kernel reaches."""
SIDE = 112
"""Lengths below are pixels of a crop of this side."""


# ---------------------------------------------------------------- light and colour


def dark(ops: Any, crops: Any, s: Any, draw: Any, field: Any) -> Any:
    """A sixteenth of the light at severity 1, with the noise of a sensor."""
    return crops * 16.0**-s + 5.0 * s * field


def bright(ops: Any, crops: Any, s: Any, draw: Any, field: Any) -> Any:
    """Four times the light at severity 1: over-exposed."""
    return crops * 4.0**s


def gamma(ops: Any, crops: Any, s: Any, draw: Any, field: Any) -> Any:
    """Middle tones darkened: the power 5.3 at severity 1."""
    return 255.0 * (ops.clip(crops, 0.0, 255.0) / 255.0) ** (5.3**s)


def haze(ops: Any, crops: Any, s: Any, draw: Any, field: Any) -> Any:
    """Contrast lost to a light grey, as behind a dirty lens; 84 % of it at severity 1."""
    kept = 0.16**s
    return crops * kept + 150.0 * (1.0 - kept)


def colour_cast(ops: Any, crops: Any, s: Any, draw: Any, field: Any) -> Any:
    """Light of one colour: one channel loses up to 90 %, another half as much."""
    lost = ops.concatenate([ops.cos(2 * math.pi * (draw[0] + shift / 3)) for shift in range(3)], axis=-1)
    return crops * (1.0 - 0.9 * s * (1.0 - lost) / 2.0)


def grey(ops: Any, crops: Any, s: Any, draw: Any, field: Any) -> Any:
    """No colour from severity 0.5 on; luma of ITU-R BT.601."""
    luma = 0.299 * crops[..., :1] + 0.587 * crops[..., 1:2] + 0.114 * crops[..., 2:]
    return crops + ops.minimum(2.0 * s, 1.0) * (luma - crops)


def noise(ops: Any, crops: Any, s: Any, draw: Any, field: Any) -> Any:
    """Gaussian noise, standard deviation 52 at severity 1; for half of the crops alike in all channels."""
    return crops + 52.0 * s * ops.where(draw[0] < 0.5, field, field[..., :1])


# ---------------------------------------------------------------- blur


def defocus_kernel(ops: Any, y: Any, x: Any, s: Any, draw: Any) -> Any:
    """A disc with a soft edge, radius 4 pixels of 112 at severity 1. s: (B, 1, 1) severity, in crops of 112 pixels."""
    return ops.clip(4.0 * s + 1.0 - ops.sqrt(y * y + x * x), 0.0, 1.0)


def motion_kernel(ops: Any, y: Any, x: Any, s: Any, draw: Any) -> Any:
    """A line, 16 pixels of 112 long at severity 1, in a direction that is drawn."""
    angle = math.pi * draw[0][..., 0]
    dy, dx = ops.sin(angle), ops.cos(angle)
    beyond = ops.maximum(ops.abs(x * dx + y * dy) - 8.0 * s, 0.0)
    across = y * dx - x * dy
    return ops.maximum(1.0 - ops.sqrt(beyond * beyond + across * across), 0.0)


def kernel_of(ops: Any, name: str, shape: tuple[int, int], side: int, s: Any, draw: Any) -> Any:
    """(B, N, M): the kernel that a padded crop of N x M is convolved with, its centre at (0, 0), wrapped around.

    side: of the crop before it was padded.
    """
    import numpy as np

    y, x = (((np.arange(n) + n // 2) % n - n // 2).astype("float32") for n in shape)
    kernel = KERNELS[name](ops, y[None, :, None], x[None, None, :], s[..., 0] * (side / SIDE), draw)
    return kernel / ops.sum(kernel, axis=(1, 2), keepdims=True)


def low_resolution(ops: Any, side: int, s: Any) -> Any:
    """(B, side, side): rows of a crop made 16 times fewer at severity 1 (means), and as many as before (linear)."""
    import numpy as np

    cells = side * 16.0 ** -s[..., 0]  # (B, 1, 1), not a whole number
    cell = np.arange(side, dtype="float32")[None, :, None]
    pixel = np.arange(side, dtype="float32")[None, None, :]
    width = side / cells
    covered = ops.minimum((cell + 1.0) * width, pixel + 1.0) - ops.maximum(cell * width, pixel)
    down = ops.clip(covered, 0.0, 1.0)  # (B, cells, pixels)
    down = down / ops.maximum(ops.sum(down, axis=2, keepdims=True), 1e-6)
    at = ops.clip((pixel + 0.5) / width - 0.5, 0.0, ops.maximum(ops.ceil(cells) - 1.0, 0.0))
    up = ops.maximum(1.0 - ops.abs(at - cell), 0.0)  # (B, cells, pixels): of the output now
    return ops.matmul(ops.transpose(up, (0, 2, 1)), down)


def jpeg_quality(severity: float) -> int:
    """The quality that a severity stands for, as libjpeg counts: 18 at 0.5, 3 at 1."""
    return max(1, round(100 * 0.0324**severity))


# ---------------------------------------------------------------- position


def roll(ops: Any, s: Any, draw: Any) -> tuple[Any, Any]:
    """The head tilted, by 50 degrees at severity 1, either way."""
    angle = ops.where(draw[0] < 0.5, -1.0, 1.0) * s * math.radians(50.0)
    x, y = _corners()
    return x * ops.cos(angle) - y * ops.sin(angle), x * ops.sin(angle) + y * ops.cos(angle)


def shift(ops: Any, s: Any, draw: Any) -> tuple[Any, Any]:
    """The face beside the middle, by 26 % of the side at severity 1."""
    angle = 2 * math.pi * draw[0]
    x, y = _corners()
    return x + 0.26 * s * ops.cos(angle), y + 0.26 * s * ops.sin(angle)


def half_profile(ops: Any, s: Any, draw: Any) -> tuple[Any, Any]:
    """The face turned aside, as far as a change of perspective goes: one side shrinks by half, the width by a third."""
    x, y = _corners()
    side = ops.where(draw[0] < 0.5, -1.0, 1.0)
    shorter = 1.0 - 0.52 * s * ops.where(x * side > 0, 1.0, 0.0)
    return x * (1.0 - 0.312 * s), y * shorter


def corners_of(ops: Any, name: str, s: Any, draw: Any) -> Any:
    """(B, 4, 2): where the corners of a crop move, as (x, y) fractions of its sides, in the order of CORNERS."""
    x, y = MOVES[name](ops, s, draw)
    return ops.concatenate([x[:, 0] + 0.5, y[:, 0] + 0.5], axis=-1)  # (B, 1, 4, 1) each


CORNERS = ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0))
"""Top left, top right, bottom left, bottom right."""


def _corners() -> tuple[Any, Any]:
    import numpy as np

    at = np.array(CORNERS, "float32") - 0.5
    return at[None, None, :, :1], at[None, None, :, 1:]


# ---------------------------------------------------------------- their names

Recolour = Callable[[Any, Any, Any, Any, Any], Any]
LIGHTS: Mapping[str, Recolour] = {
    "dark": dark,
    "bright": bright,
    "gamma": gamma,
    "haze": haze,
    "colour-cast": colour_cast,
    "grey": grey,
    "noise": noise,
}
KERNELS: Mapping[str, Callable[[Any, Any, Any, Any, Any], Any]] = {
    "defocus-blur": defocus_kernel,
    "motion-blur": motion_kernel,
}
OCCLUDERS: Mapping[str, Callable[[Any, Any, Any, Any, Any], tuple[Any, Any]]] = {
    "mask": mask,
    "sunglasses": sunglasses,
    "hat": hat,
    "hand": hand,
}
MOVES: Mapping[str, Callable[[Any, Any, Any], tuple[Any, Any]]] = {
    "roll": roll,
    "shift": shift,
    "half-profile": half_profile,
}
SUMMARIES = {
    "defocus-blur": "a lens out of focus",
    "motion-blur": "a blur along one direction",
    "low-resolution": "few pixels, enlarged",
    "noise": "the noise of a sensor",
    "dark": "little light, with a sensor's noise",
    "bright": "over-exposed",
    "gamma": "middle tones darkened",
    "haze": "contrast lost to grey",
    "colour-cast": "light of one colour",
    "grey": "no colour, as a camera at night gives",
    "mask": "a mask over mouth and nose",
    "sunglasses": "dark glasses",
    "hat": "a hat or hood down to the brows",
    "hand": "a hand before the face",
    "roll": "the head tilted",
    "shift": "the face beside the middle",
    "half-profile": "the face turned aside, by perspective",
}
"""What each is, in the order of tables. JPEG compression is another: on the device `builtin.augmentations.jpeg`."""


def recolour(ops: Any, name: str, crops: Any, s: Any, draw: Any, field: Any) -> Any:
    """A corruption of LIGHTS or OCCLUDERS on crops (B, H, W, 3). field: (B, H, W, 3) standard normal. Unclipped."""
    import numpy as np

    if name in LIGHTS:
        return LIGHTS[name](ops, crops, s, draw, field)
    height, width = crops.shape[1:3]
    y = ((np.arange(height) + 0.5) / height).astype("float32")[None, :, None, None]
    x = ((np.arange(width) + 0.5) / width).astype("float32")[None, None, :, None]
    inside, colour = OCCLUDERS[name](ops, x, y, s, draw)  # (B, H, W, 1) distance into the shape, in sides
    opacity = ops.clip(0.5 + inside * min(height, width), 0.0, 1.0) * ops.where(s > 0, 1.0, 0.0)
    return crops + opacity * (colour - crops)
