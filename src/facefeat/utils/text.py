"""Text for people: a probability, a number with its unit; and untrusted text made safe for a terminal."""

from __future__ import annotations

import math

_KEPT = "\n\t\u00a0\u202f\u3000"  # not printable for Python, and harmless


def printable(text: str) -> str:
    r"""The text with what a terminal would obey, or that turns its reading direction, as an escape: "\x1b[2J"."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in _KEPT else c.encode("unicode_escape").decode() for c in text)


def one_line(text: str, limit: int = 300) -> str:
    """Printable, on one line, not too long."""
    flat = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def with_unit(number: str, unit: str) -> str:
    """A number with its unit: "41 years", "1 year", or "3" where it has none."""
    return f"{number} {'year' if unit == 'years' and number == '1' else unit}".rstrip()


def percent(p: float | None) -> str:
    """A probability that never claims to be certain: 0.998 is ">99%"."""
    if p is None or not math.isfinite(p):
        return "?"
    return ">99%" if p >= 0.995 else "<1%" if p <= 0.005 else f"{p:.0%}"


def plain_cell(text: str) -> str:
    """Text for a cell of a CSV file: what a spreadsheet would take for a formula begins with an apostrophe."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") and len(text) > 1 else text
