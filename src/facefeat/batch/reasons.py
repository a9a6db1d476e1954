"""The class of a reason: a word to count by, next to the sentence that says it all."""

from __future__ import annotations

import re

CLASSES: tuple[tuple[str, str], ...] = (
    ("no face", r"^no face$"),
    ("no access", r"^no access\b|[Pp]ermission denied|may not be read"),
    ("missing", r"no such file|[Nn]ot found|No such file"),
    ("empty", r"\(0 bytes\)|received 0 bytes|has no pixels"),
    ("missing extra", r"pip install"),
    ("truncated", r"is truncated|cut short|breaks? off"),
    ("too large", r"too large|larger than"),
    ("not a picture", r"is not a picture|is a folder"),
    ("damaged", r"is damaged|holds NaN|holds values|wrong shape|wrong dtype"),
    ("detector", r"^the detector "),
)
"""Class -> how a sentence of it reads, the first that fits; any other is "unreadable"."""
OTHER = "unreadable"


def class_of(reason: str) -> str:
    """The class of a row's reason, such as "truncated"."""
    return next((name for name, pattern in CLASSES if re.search(pattern, reason)), OTHER)
