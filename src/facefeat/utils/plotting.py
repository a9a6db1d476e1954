"""What the project's figures share: colours, an empty figure, plain axes. Matplotlib is imported when one is drawn."""

from __future__ import annotations

from typing import Any

# Okabe and Ito's colours, distinguishable with any kind of colour vision, and by their lightness on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F", "#B8A900")
GREY = "#7F7F7F"


def empty_figure(width: float, height: float) -> Any:
    """A matplotlib Figure of so many inches, laid out so that nothing overlaps."""
    from matplotlib.figure import Figure

    # Not pyplot: it would keep every figure, and ask for a display.
    return Figure(figsize=(width, height), layout="constrained")


def plain(axes: Any) -> None:
    """Axes without a frame above and on the right, with a faint grid behind what is drawn."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)


def class_colours(count: int, ordered: bool) -> list[Any]:
    """A colour for each of `count` classes: a scale from dark to light where they have an order."""
    if not ordered or count < 3:
        return [COLOURS[k % len(COLOURS)] for k in range(count)]
    from matplotlib import colormaps

    # Not to the end of the scale: its yellow cannot be seen on white.
    return [colormaps["viridis"](0.92 * k / (count - 1)) for k in range(count)]
