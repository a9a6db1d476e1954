"""What is predicted from a face, as the short lines that are written in pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from facefeat.types import FaceBatch


def caption_below(batch: FaceBatch, row: int) -> list[str]:
    """A line for each attribute: "41 years", "Female 97%"."""
    lines = [] if batch.age_years is None else [f"{batch.age_years[row]:.0f} years"]
    for name, predicted in batch.row(row).items():
        if name != "age" or batch.age_years is None:
            lines.append(f"{predicted.label} {predicted.probability:.0%}")
    return lines


def caption_beside(batch: FaceBatch, row: int) -> str:
    """The three most probable classes of each attribute, a few lines each."""
    lines = [] if batch.age_years is None else [f"{batch.age_years[row]:.0f} years"]
    for name, predicted in batch.row(row).items():
        if name != "age" or batch.age_years is None:
            best = sorted(predicted.probabilities.items(), key=lambda kv: -kv[1])[:3]
            lines += ["", f"{name}:", *[f"  {label} {p:.0%}" for label, p in best]]
    return "\n".join(lines)
