"""From the text in a table to the targets of an attribute, as its kind reads them. Never a guess."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from facefeat.errors import DataError, LabelError, did_you_mean
from facefeat.plugins.contracts import Parsed
from facefeat.schema import Attribute, fold

if TYPE_CHECKING:
    from facefeat.types import FloatArray

SOFT = ":soft"
"""After an attribute's name, the column of labels that are no single class: text that its kind's `soft` reads."""
Renamed = Mapping[str, Mapping[str, str | Sequence[str]]]
"""Attribute -> label in a table -> what it means: a label of the schema, or a list of those of which it is one."""


@dataclass
class LabelReader:
    """Reads the labels of one attribute, and counts those that a spreadsheet had damaged."""

    attribute: Attribute
    repaired: Counter[str] = field(default_factory=Counter)
    renamed: Mapping[str, str | Sequence[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._known: dict[str, Parsed] = {}
        self._soft: dict[str, LabelError | None] = {}
        self._means = {fold(k): v if isinstance(v, str) else " | ".join(v) for k, v in self.renamed.items()}

    def meant(self, text: str) -> str:
        """The text, or what it was renamed to."""
        return self._means.get(fold(text), text) if self._means else text

    def is_soft(self, text: str) -> bool:
        """Whether it is a label, and no single class."""
        if text not in self._soft:
            self._soft[text] = None
            try:
                soft_row(self.attribute, text)
            except LabelError as e:
                self._soft[text] = e
        return self._soft[text] is None

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


def soft_row(attribute: Attribute, text: str) -> FloatArray:
    """(M,) float32 of a label that is no single class: `AttributeKind`. Raises LabelError."""
    read: Any = getattr(attribute.strategy, "soft", None)
    if read is None:
        raise LabelError(f"{attribute.name} is {attribute.kind}: its labels cannot be soft. Received: {text!r}.")
    row: FloatArray = read(attribute, text)
    return row


def class_columns(attribute: Attribute, columns: Iterable[str]) -> dict[str, str]:
    """Column such as "gender:female", of probabilities -> the class. Raises DataError for a class that there is not."""
    found = {}
    for column in columns if hasattr(attribute.strategy, "soft") else ():
        name, colon, label = column.partition(":")
        if name != attribute.name or not colon or column == name + SOFT:
            continue
        try:
            found[column] = attribute.classes[attribute.index(label)]
        except LabelError:
            raise DataError(
                f"the column {column!r} names no class of {name}. {did_you_mean(label, attribute.classes)}"
            ) from None
    return found


def soft_text(columns: Mapping[str, str], row: Mapping[str, str]) -> str:
    """The soft label that the columns of classes say; "" where they are empty."""
    said = [(label, row[column]) for column, label in columns.items() if row.get(column)]
    return ", ".join(f"{label} {p}" for label, p in said)
