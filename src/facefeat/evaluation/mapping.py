"""What `--map` says: pairs of a role and a column, or of a label and a class, typed one by one or read from a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from facefeat.errors import DataError, InputError, did_you_mean
from facefeat.utils.files import expanded

VALID = (
    "ATTRIBUTE.truth, ATTRIBUTE.prediction, ATTRIBUTE.confidence, ATTRIBUTE.probability.CLASS, ATTRIBUTE.class.LABEL, "
    "group, ignore"
)
FILES = (".csv", ".toml")
LISTS = ("group", "ignore")
OF_COLUMNS, OF_CLASSES = ("role", "column"), ("attribute", "label", "class")
EXAMPLE = 'gender = { truth = "sex", class = { hombre = "Male" } }'


def pairs_of(mapped: Sequence[str]) -> list[tuple[str, str, str]]:
    """(role, column or class, where it was said) of each of `mapped`, "ROLE=COLUMN" or the path of a CSV or TOML file.

    Raises InputError for what is neither, DataError for a file that cannot be read or says something else.
    """
    out: list[tuple[str, str, str]] = []
    for text in mapped:
        if "=" not in text and text.lower().endswith(FILES):
            out += _of_toml(Path(text)) if text.lower().endswith(".toml") else _of_csv(Path(text))
            continue
        role, equals, column = (part.strip() for part in text.partition("="))
        if not equals or not role or not column:
            raise InputError(
                f"--map takes ROLE=COLUMN, or a file of such ({', '.join(FILES)}). Received: {text!r}. "
                f"Valid roles: {VALID}."
            )
        out.append((role, column, f"--map {text}"))
    return out


def _of_csv(path: Path) -> Iterator[tuple[str, str, str]]:
    from facefeat.data.tables import read_table

    table = read_table(expanded(path))
    if table.ragged:
        raise DataError(f"{str(path)!r}: {table.ragged[0][1]}.")
    if set(OF_CLASSES) <= set(table.columns):
        for line, row in table.rows:
            yield _checked(f"{row['attribute']}.class.{row['label']}", row["class"], f"{str(path)!r}, line {line}",
                           all(row[c] for c in OF_CLASSES))  # fmt: skip
    elif set(OF_COLUMNS) <= set(table.columns):
        for line, row in table.rows:
            yield _checked(row["role"], row["column"], f"{str(path)!r}, line {line}")
    else:
        raise DataError(
            f"{str(path)!r} must have the columns {', '.join(OF_COLUMNS)}, or {', '.join(OF_CLASSES)}. "
            f"Received: {', '.join(table.columns)}."
        )


def _of_toml(path: Path) -> Iterator[tuple[str, str, str]]:
    from facefeat.utils.files import read_toml

    try:
        table = read_toml(expanded(path))[1]
    except (OSError, ValueError) as e:
        raise DataError(f"cannot read {str(path)!r}: {getattr(e, 'strerror', None) or e}. Next: {EXAMPLE}") from None
    yield from _flat(table, "", repr(str(path)))


def _flat(table: Mapping[str, Any], before: str, where: str) -> Iterator[tuple[str, str, str]]:
    for key, value in table.items():
        role = f"{before}{key}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{role}.", where)
        elif isinstance(value, list) and role in LISTS:
            yield from (_checked(role, v, where) for v in value)
        else:
            yield _checked(role, value, where)


def _checked(role: str, column: Any, where: str, whole: bool = True) -> tuple[str, str, str]:
    if not isinstance(column, str) or not column or not role or not whole:
        raise DataError(f"{where}: expected the name of a column or class for {role!r}. Received: {column!r}.")
    return role, column, f"{where}: {role}"


def check_labels(name: str, classes: Mapping[str, str], labels: Sequence[str], notes: list[str]) -> None:
    """Adds a note on the mapped labels (folded) of an attribute that are in no row."""
    known = {v.casefold() for v in labels}
    unused = [label for label in classes if label not in known]
    if unused:
        valid = list(dict.fromkeys(labels))
        some = ", ".join(map(repr, unused[:5])) + (f" and {len(unused) - 5} more" if len(unused) > 5 else "")
        notes.append(f"{name}: no row has the mapped label {some}. {did_you_mean(unused[0], valid)}")
