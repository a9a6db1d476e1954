"""Tables of any size, read a part at a time: CSV in any of the usual encodings and separators, Parquet, a DataFrame."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.errors import DataError, MissingExtraError
from facefeat.utils.files import expanded, open_regular
from facefeat.utils.frames import import_pandas

if TYPE_CHECKING:
    import pandas as pd

PART = 100_000
"""Rows that are in memory as text at a time."""
MAX_CELL = 65_536
"""Bytes of a cell of a Parquet table; one text may stand for any number of rows there."""
PARQUET = (".parquet", ".pq")
NUMBERS = 0.95
"""Share of a column's values that must be numbers, for it to be one of numbers."""
MISSING = {"", "nan", "null", "n/a", "#n/a", "<na>", "nat", "unknown"}
"""Texts, folded, that stand for a label or prediction that is not there."""


def parts(source: Any) -> Iterator[pd.DataFrame]:
    """A DataFrame, or the table at a path, in parts of PART rows. Raises DataError, MissingExtraError."""
    pd = import_pandas()
    if isinstance(source, pd.DataFrame):
        yield from (source.iloc[i : i + PART] for i in range(0, max(len(source), 1), PART))
        return
    path = expanded(source)
    yield from _parquet(path) if path.suffix.lower() in PARQUET else _csv(path)


def _csv(path: Path) -> Iterator[pd.DataFrame]:
    pd = import_pandas()
    from facefeat.data.tables import sniff

    try:
        with open_regular(path) as file:
            encoding, separator, before = sniff(file.read(1 << 20), str(path))
            file.seek(0)
            reader = pd.read_csv(
                file,
                encoding=encoding,
                encoding_errors="replace" if encoding == "cp1252" else "strict",
                sep=separator,
                dtype=str,
                keep_default_na=False,
                na_values=[""],
                chunksize=PART,
                skipinitialspace=True,
                skiprows=before,
            )
            local: list[str] | None = None
            for part in reader:
                names = [str(c).strip() for c in part.columns]
                if len(set(names)) < len(names):
                    twice = next(n for n in names if names.count(n) > 1)
                    raise DataError(f"{str(path)!r} has more than one column named {twice!r}")
                part.columns = names
                local = local_numbers(part, separator) if local is None else local
                yield part.assign(**{c: _plain_numbers(part[c]) for c in local})
    except OSError as e:
        raise DataError(f"cannot read {str(path)!r}: {e.strerror or e}") from None
    except (ValueError, pd.errors.ParserError) as e:  # a UnicodeDecodeError is a ValueError
        raise DataError(f"{str(path)!r} is not a CSV table: {_reason(e)}.") from None


def _reason(error: Exception) -> str:
    return str(error).strip().splitlines()[0].removeprefix("Error tokenizing data. C error: ").rstrip(".")


def local_numbers(sample: pd.DataFrame, separator: str) -> list[str]:
    """The columns of text whose values are numbers as a spreadsheet writes them: "0,5" where the separator is another,
    "80 %"."""
    form = r"[-+]?\d+(\.\d+)?\s?%" if separator == "," else r"[-+]?\d+([.,]\d+)?\s?%?"
    marks = "%" if separator == "," else "[,%]"
    out = []
    for name in sample.columns:
        values = sample[name].dropna().str.strip()
        if len(values) and values.str.contains(marks).any() and values.str.fullmatch(form).mean() >= NUMBERS:
            out.append(name)
    return out


def _plain_numbers(column: pd.Series) -> pd.Series:
    return column.str.rstrip("% ").str.replace(",", ".", regex=False)


def _parquet(path: Path) -> Iterator[pd.DataFrame]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingExtraError(
            "Parquet needs the module 'pyarrow', not installed here. Next: pip install \"facefeat[batch]\""
        ) from None
    try:
        open_regular(path).close()  # a pipe would be waited for
        schema = pq.read_schema(path)
        twice = sorted(n for n in set(schema.names) if schema.names.count(n) > 1)
        if twice:
            raise DataError(f"{str(path)!r} has more than one column named {', '.join(map(repr, twice[:5]))}")
        # Latents and pictures are no use here, and large.
        flat = [f.name for f in schema if not pa.types.is_nested(f.type) and not _is_binary(f.type)]
        texts = [f.name for f in schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)]
        with pq.ParquetFile(path, read_dictionary=texts) as file:
            _check_cells(file.metadata, flat, path)
            for batch in file.iter_batches(batch_size=PART, columns=flat):
                yield _plain(batch, path).to_pandas()
    except OSError as e:
        raise DataError(f"cannot read {str(path)!r}: {e.strerror or str(e).splitlines()[0]}") from None
    except pa.ArrowException as e:
        raise DataError(f"{str(path)!r} is not a Parquet table: {str(e).splitlines()[0]}") from None


def _check_cells(about: Any, columns: Collection[str], path: Path) -> None:
    """Raises DataError where the cells of a column are long on average, by what a Parquet file says of itself."""
    for group in (about.row_group(i) for i in range(about.num_row_groups)):
        for column in (group.column(j) for j in range(group.num_columns)):
            if column.path_in_schema in columns and column.total_uncompressed_size > MAX_CELL * (group.num_rows + 16):
                raise _long_cells(path)


def _plain(batch: Any, path: Path) -> Any:
    """A batch without dictionaries. Raises DataError before a long text is written out for each of its rows."""
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = []
    for column in batch.columns:
        if pa.types.is_dictionary(column.type):
            kind = column.type.value_type
            if pa.types.is_string(kind) or pa.types.is_large_string(kind):
                longest = pc.max(pc.binary_length(column.dictionary)).as_py() or 0
                if longest > MAX_CELL:
                    raise _long_cells(path)
            column = column.dictionary_decode()
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _long_cells(path: Path) -> DataError:
    return DataError(
        f"{str(path)!r} has cells of more than {MAX_CELL:,} bytes. Valid: labels, predictions and numbers."
    )


def _is_binary(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


class TextColumn:
    """Texts as numbers, added a part at a time: `values` are the different ones, `codes` (N,) int32, -1 for none.

    missing: texts, folded, that count as none.
    """

    def __init__(self, missing: Collection[str] = ("",)) -> None:
        self._parts: list[np.ndarray] = []
        self._known: dict[str, int] = {}
        self._missing = missing

    def add(self, column: pd.Series) -> None:
        """The next rows."""
        pd = import_pandas()
        codes, found = pd.factorize(column)
        texts = [_text(v) for v in found]
        place = [-1 if t.casefold() in self._missing else self._known.setdefault(t, len(self._known)) for t in texts]
        self._parts.append(np.asarray([*place, -1], "int32")[codes])

    @property
    def codes(self) -> np.ndarray:
        """(N,) int32."""
        return np.concatenate(self._parts) if self._parts else np.zeros(0, "int32")

    @property
    def values(self) -> list[str]:
        """By code."""
        return list(self._known)


class NumberColumn:
    """Numbers, added a part at a time: `values` (N,) float32, NaN where there is none; `bad` counts texts."""

    def __init__(self) -> None:
        self._parts: list[np.ndarray] = []
        self.bad = 0

    def add(self, column: pd.Series) -> None:
        """The next rows."""
        pd = import_pandas()
        found = pd.to_numeric(column, errors="coerce").to_numpy("float32", na_value=np.nan)
        self.bad += int((~np.isfinite(found) & column.notna().to_numpy()).sum())
        self._parts.append(np.where(np.isfinite(found), found, np.float32(np.nan)))

    @property
    def values(self) -> np.ndarray:
        """(N,) float32."""
        return np.concatenate(self._parts) if self._parts else np.zeros(0, "float32")


def _text(value: Any) -> str:
    if isinstance(value, float | np.floating):
        return "" if np.isnan(value) else f"{value:g}"
    return str(value).strip()
