"""What is predicted from a face, as the short lines that are written in pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facefeat.plugins.kinds import captions, say

if TYPE_CHECKING:
    from facefeat.types import FaceBatch


def caption_below(batch: FaceBatch, row: int) -> list[str]:
    """A line for each attribute: "41 years", "Female 97%"."""
    return captions(batch.row(row))


def caption_beside(batch: FaceBatch, row: int) -> str:
    """The number, or the three most probable classes, of each attribute, a few lines each."""
    lines: list[str] = []
    for name, predicted in batch.row(row).items():
        best = sorted(predicted.probabilities.items(), key=lambda kv: -kv[1])[:3]
        if predicted.value is not None or not best:
            lines.append(say(name, predicted).short)
        else:
            lines += ["", f"{name}:", *[f"  {label} {p:.0%}" for label, p in best]]
    return "\n".join(lines)
