"""From the text in a table to a class of the schema: by name, years or a spreadsheet's damaged form. Never a guess.

A spreadsheet that opens a FairFace table takes the ages 3-9 and 10-19 for dates and saves `9-Mar`, `03-Sep`, `19-Oct`
or `Oct-19`. Each class "a-b" of the schema has few such forms; those that belong to one class only are read as it.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from facefeat.errors import LabelError
from facefeat.schema import MAX_YEARS, Attribute

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_RANGE = re.compile(r"(\d{1,3})-(\d{1,3})")
_NUMBER = re.compile(r"\d{1,4}(\.\d+)?")


def damaged_forms(classes: Iterable[str]) -> dict[str, str]:
    """Lower-case date -> the class "a-b" that a spreadsheet took for it; dates that two classes share are left out.

    >>> sorted(damaged_forms(["0-2", "3-9", "20-29"]))
    ['03-sep', '09-mar', '3-sep', '9-mar', 'mar-09', 'mar-9', 'sep-03', 'sep-3']
    """
    forms: dict[str, set[str]] = {}
    for name in classes:
        match = _RANGE.fullmatch(name.strip())
        if not match:
            continue
        first, last = int(match[1]), int(match[2])
        for day, month in ((last, first), (first, last)):
            if 1 <= month <= 12 and 1 <= day <= 99:
                word = _MONTHS[month - 1]
                for number in {str(day), f"{day:02d}"}:
                    forms.setdefault(f"{number}-{word}", set()).add(name)
                    forms.setdefault(f"{word}-{number}", set()).add(name)
    return {form: next(iter(names)) for form, names in forms.items() if len(names) == 1}


@dataclass
class LabelReader:
    """Reads the labels of one attribute, and counts those that a spreadsheet had damaged."""

    attribute: Attribute
    repaired: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        forms = damaged_forms(self.attribute.classes)
        self._forms = {form: name for form, name in forms.items() if not self._is_name(form)}
        self._known: dict[str, tuple[int, float]] = {}

    def _is_name(self, text: str) -> bool:
        try:
            self.attribute.index(text)
        except LabelError:
            return False
        return True

    def read(self, text: str) -> tuple[int, float]:
        """(position of the class, years): years is NaN where the label is not a number of years.

        Raises LabelError where the text names no class.
        """
        if text not in self._known:
            self._known[text] = self._read(text)
        form = text.casefold()
        if form in self._forms:
            self.repaired[f"{text} as {self.attribute.classes[self._known[text][0]]}"] += 1
        return self._known[text]

    def _read(self, text: str) -> tuple[int, float]:
        a = self.attribute
        years = float(text) if a.years and _NUMBER.fullmatch(text) else math.nan
        if a.exact and not math.isnan(years):  # before the names: 0 is an age of 0 years, not an alias
            return self._index_of_years(text, years), years
        try:
            return a.index(text), math.nan
        except LabelError:
            if not math.isnan(years):
                return self._index_of_years(text, years), math.nan
            if text.casefold() in self._forms:
                return a.classes.index(self._forms[text.casefold()]), math.nan
            raise

    def _index_of_years(self, text: str, years: float) -> int:
        if years > MAX_YEARS:  # a year of birth, perhaps
            raise LabelError(f"no such {self.attribute.name}. Received: {text!r}. Valid: years up to {MAX_YEARS}.")
        return self.attribute.index_of_years(years)


def repair_warning(readers: Iterable[LabelReader]) -> str:
    """One sentence on all the labels that were repaired; empty where none was."""
    repaired: Counter[str] = Counter()
    for reader in readers:
        repaired.update(reader.repaired)
    if not repaired:
        return ""
    listed = ", ".join(f"{form} ({n:,} rows)" for form, n in sorted(repaired.items()))
    return f"a spreadsheet had turned labels into dates; read {listed}"
