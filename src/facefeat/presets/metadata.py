"""What is known of a model and its training: a preset's metadata."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Metadata:
    """Of a preset, or of a model that may become one.

    Attributes:
        name, summary: of the preset or the recipe.
        licence: of the weights.
        card: the model card in Markdown; None where there is none but name and summary.
        training, decoder_training: the logs of its trainings, JSON-able; None where there was none.
    """

    name: str = "untrained"
    summary: str = ""
    licence: str = ""
    card: str | None = None
    training: Mapping[str, Any] | None = None
    decoder_training: Mapping[str, Any] | None = None

    @classmethod
    def of_preset(cls, config: Mapping[str, Any], record: Mapping[str, Any]) -> Metadata:
        """config: of `store.read_config`. record: of `store.read_record`."""
        return cls(**{k: config.get(k, "") for k in ("name", "summary", "licence")}, **record)

    @property
    def text(self) -> str:
        """The model card, in Markdown, without its header: name and summary where there is no other."""
        return without_header(self.card or "") or f"# {self.name}\n\n{self.summary}\n"

    def about(self) -> dict[str, str]:
        """Name, summary and licence."""
        return {"name": self.name, "summary": self.summary, "licence": self.licence}


def without_header(card: str) -> str:
    """A model card without the YAML front matter that hubs read."""
    return re.sub(r"\A---\n.*?\n---\n+", "", card, count=1, flags=re.DOTALL)
