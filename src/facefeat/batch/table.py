"""The table that a batch run writes: one row a face, and one with the reason for every picture without a face."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.batch.reasons import class_of
from facefeat.networks.postprocess import no_faces

if TYPE_CHECKING:
    import pyarrow as pa

    from facefeat.schema import Schema
    from facefeat.types import Face, FaceBatch, FloatArray

NO_FACE = "no face"
"""The reason of a picture that was read, and in which no face was found."""


@dataclass(frozen=True)
class Found:
    """What one picture gave. size: (width, height), or None where it could not be read; reason: why without faces."""

    source: str
    size: tuple[int, int] | None = None
    faces: tuple[Face, ...] = ()
    reason: str | None = None


def arrow_schema(schema: Schema, latent_dim: int | None) -> pa.Schema:
    """The columns: those of `facefeat predict --csv`, and `width`, `height`, `reason`, `reason_class`.

    `latent` comes where there is a width. Numbers of a face are float32, and null where a row is of no face.
    """
    import pyarrow as pa

    number, text = pa.float32(), pa.string()
    fields = [pa.field("source", text, nullable=False), ("face", pa.int32()), ("reason", text), ("reason_class", text)]
    fields += [("width", pa.int32()), ("height", pa.int32())]
    fields += [(n, number) for n in ("left", "top", "right", "bottom", "score")]
    fields += [(n, number if v.dtype.kind == "f" else text) for n, v in no_faces(schema).columns().items()]
    if latent_dim is not None:
        fields.append(("latent", pa.list_(number, latent_dim)))
    return pa.schema(fields)


def to_rows(
    found: Sequence[Found], batch: FaceBatch | None, latents: FloatArray | None, schema: pa.Schema
) -> pa.RecordBatch:
    """Pictures, and what the model says of all their faces in order, as rows of the schema."""
    import pyarrow as pa

    lines = list(_lines(found))
    at = np.array([i for i, (_, face, _, _) in enumerate(lines) if face is not None], "int64")  # (faces,) row numbers
    columns: dict[str, Any] = {
        "source": [_text(one.source) for one, _, _, _ in lines],
        "face": [n for _, _, n, _ in lines],
        "reason": [None if r is None else _text(r) for _, _, _, r in lines],
        "reason_class": [None if r is None else class_of(r) for _, _, _, r in lines],
        "width": [None if one.size is None else one.size[0] for one, _, _, _ in lines],
        "height": [None if one.size is None else one.size[1] for one, _, _, _ in lines],
        "score": [None if face is None else face.score for _, face, _, _ in lines],
    }
    for k, side in enumerate(("left", "top", "right", "bottom")):
        columns[side] = [None if face is None else face.box[k] for _, face, _, _ in lines]
    if batch is not None:
        columns |= {n: _spread(v, at, len(lines)) for n, v in batch.columns().items()}
    arrays = []
    for field in schema:
        if field.name == "latent":
            arrays.append(_vectors(latents, at, len(lines), field.type))
        else:
            arrays.append(column(columns.get(field.name, [None] * len(lines)), field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _lines(found: Sequence[Found]) -> Iterator[tuple[Found, Face | None, int | None, str | None]]:
    for one in found:
        if not one.faces:
            yield one, None, None, one.reason or NO_FACE
        for number, face in enumerate(one.faces, 1):
            yield one, face, number, None


def _spread(values: np.ndarray, at: np.ndarray, rows: int) -> list[Any]:
    """One value a face -> one a row, None where a row is of no face, or the value is not a number."""
    out: list[Any] = [None] * rows
    for row, value in zip(at.tolist(), values.tolist(), strict=True):
        out[row] = value if value == value else None
    return out


def column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """`pa.array(values, kind)` of texts, int32 or float32, and None.

    That would import pandas, to ask whether these are a Series of it, which takes longer than the rest of the start.
    """
    import pyarrow as pa

    known = _bits(np.array([v is not None for v in values], bool))
    if kind == pa.string():
        texts = [b"" if v is None else v.encode() for v in values]
        ends = np.cumsum([0, *map(len, texts)]).astype("int32")  # (rows + 1,)
        return pa.Array.from_buffers(kind, len(values), [known, pa.py_buffer(ends), pa.py_buffer(b"".join(texts))])
    numbers = np.array([0 if v is None else v for v in values], "int32" if kind == pa.int32() else "float32")
    return pa.Array.from_buffers(kind, len(values), [known, pa.py_buffer(numbers)])


def _vectors(latents: FloatArray | None, at: np.ndarray, rows: int, kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    filled = np.zeros((rows, kind.list_size), "float32")
    known = np.zeros(rows, bool)
    if latents is not None:
        filled[at], known[at] = latents, True
    numbers = pa.Array.from_buffers(pa.float32(), filled.size, [None, pa.py_buffer(filled)])
    return pa.Array.from_buffers(kind, rows, [_bits(known)], children=[numbers])


def _bits(known: np.ndarray) -> pa.Buffer:
    """(n,) bool -> Arrow's validity of n values."""
    import pyarrow as pa

    return pa.py_buffer(np.packbits(known, bitorder="little"))


def _text(value: str) -> str:
    """A name that is no Unicode text (a path of another encoding) is written with escapes."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8")
