"""From the text in a table to the targets of an attribute, as its kind reads them. Never a guess."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from facefeat.plugins.contracts import Parsed
from facefeat.schema import Attribute


@dataclass
class LabelReader:
    """Reads the labels of one attribute, and counts those that a spreadsheet had damaged."""

    attribute: Attribute
    repaired: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._known: dict[str, Parsed] = {}

    def read(self, text: str) -> tuple[float, ...]:
        """The row of targets of a label. Raises LabelError where the text is none."""
        if text not in self._known:
            self._known[text] = self.attribute.strategy.parse(self.attribute, text)
        found = self._known[text]
        if found.repaired:
            self.repaired[found.repaired] += 1
        return found.target


def repair_warning(readers: Iterable[LabelReader]) -> str:
    """One sentence on all the labels that were repaired; empty where none was."""
    repaired: Counter[str] = Counter()
    for reader in readers:
        repaired.update(reader.repaired)
    if not repaired:
        return ""
    listed = ", ".join(f"{form} ({n:,} rows)" for form, n in sorted(repaired.items()))
    return f"a spreadsheet had turned labels into dates; read {listed}"
