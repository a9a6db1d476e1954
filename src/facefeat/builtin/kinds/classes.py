"""What kinds with classes share: their names, the text in a table, and probabilities from logits.

A spreadsheet that opens a FairFace table takes the ages 3-9 and 10-19 for dates and saves `9-Mar`, `03-Sep`, `19-Oct`
or `Oct-19`. Each class "a-b" of the schema has few such forms; those that belong to one class only are read as it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np

from facefeat.errors import LabelError, SchemaError, did_you_mean
from facefeat.plugins.contracts import Parsed
from facefeat.schema import Attribute, fold
from facefeat.utils.text import printable

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
MAX_CLASSES = 5000
"""Of one attribute: each is an output of a head, and a column of every table."""
_RANGE = re.compile(r"(\d{1,3})-(\d{1,3})")


def check_classes(attribute: Attribute, least: int = 2) -> None:
    """Raises SchemaError where classes and aliases do not fit together."""
    where = f"attribute {attribute.name!r}"
    if len(attribute.classes) > MAX_CLASSES or len(attribute.aliases) > MAX_CLASSES:
        raise SchemaError(
            f"{where}: up to {MAX_CLASSES:,} classes and as many aliases. "
            f"Received: {len(attribute.classes):,} and {len(attribute.aliases):,}."
        )
    folded = [fold(c) for c in attribute.classes]
    if len(folded) < least or len(set(folded)) != len(folded):
        number = "two classes of different names" if least == 2 else "one class, and classes of different names"
        raise SchemaError(f"{where}: needs at least {number}. Received: {attribute.classes}.")
    if "" in folded:  # in a table, an empty cell is an unknown label
        raise SchemaError(f"{where}: a class needs a name. Received: {attribute.classes}.")
    for text in (*attribute.classes, *attribute.aliases):
        if printable(text) != text or len(text.splitlines()) > 1:
            raise SchemaError(f"{where}: a class is text on one line. Received: {text!r}.")
    meant = dict(zip(folded, attribute.classes, strict=True))
    for alias, target in attribute.aliases.items():
        if target not in attribute.classes:
            raise SchemaError(f"{where}: alias {alias!r} names no class. {did_you_mean(target, attribute.classes)}")
        if not fold(alias) or meant.setdefault(fold(alias), target) != target:
            raise SchemaError(f"{where}: alias {alias!r} of {target!r} is empty or the name of another class.")


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


_forms_of = lru_cache(damaged_forms)


def parse_class(attribute: Attribute, text: str, *more: float) -> Parsed:
    """(position of the class, *more) of a label by its name, or as a spreadsheet damaged it. Raises LabelError."""
    try:
        return Parsed((attribute.index(text), *more))
    except LabelError:
        form = _forms_of(attribute.classes).get(text.casefold())
        if form is None:
            raise
        return Parsed((attribute.classes.index(form), *more), f"{text} as {form}")


def positions(targets: np.ndarray) -> np.ndarray:
    """(N, T) targets -> (N,) int position of the class, the first column; -1 where unknown."""
    return np.nan_to_num(targets[:, 0], nan=-1).astype(int)


def names(attribute: Attribute, targets: np.ndarray) -> np.ndarray:
    """(N, T) targets -> (N,) str, the class of each face; "" where unknown."""
    return np.asarray([*attribute.classes, ""])[positions(targets)]  # -1, unknown, is the last


def positions_of(attribute: Attribute, labels: np.ndarray) -> np.ndarray:
    """(N,) str of `names` -> (N,) float32 positions; NaN where unknown."""
    known = {c: float(i) for i, c in enumerate(attribute.classes)}
    return np.asarray([known.get(str(x), np.nan) for x in labels], "float32")


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """(N, K) logits -> (N, K) float64 probabilities at a temperature (Guo et al., ICML 2017)."""
    z = np.asarray(logits, "float64") / temperature
    z = np.exp(z - z.max(axis=1, keepdims=True)) if z.size else z
    return np.asarray(z / z.sum(axis=1, keepdims=True))


def output_probabilities(
    matrix: np.ndarray, logits: np.ndarray, temperature: float = 1.0, bias: Any = None
) -> np.ndarray:
    """(N, M) logits -> (N, M) float64 probabilities; rows sum to 1.

    matrix (M, K) of 0 and 1: the class of each output. bias: (K,) one per class, which the outputs of it share, so that
    years and classes stay one distribution.
    """
    z = np.asarray(logits, "float64") / temperature
    if bias is not None:
        z = z + matrix @ np.asarray(bias, "float64")
    return softmax(z)


def class_probabilities(matrix: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """(N, M) probabilities of outputs -> (N, K) float64 of classes; rows sum to 1."""
    p = outputs @ matrix
    return np.asarray(p / p.sum(axis=1, keepdims=True))


def calibrated(calibration: Any) -> tuple[float, Any]:
    """(temperature, bias) of a calibration; 1 and None where it has none."""
    return calibration.get("temperature", 1.0), calibration.get("bias")


def graph_probabilities(matrix: np.ndarray, logits: Any, calibration: Any) -> Any:
    """`output_probabilities` in `keras.ops`."""
    from keras import ops

    temperature, bias = calibrated(calibration)
    z = ops.cast(logits, "float32") / temperature
    if bias is not None:
        z = z + (matrix @ np.asarray(bias, "float64")).astype("float32")
    return ops.softmax(z, axis=-1)
