"""Which faces train, choose and measure, where a table does not say: 80, 10 and 10 percent.

Every split has its share of each class, and the pictures of a person, or near-duplicates, are all in one split: else
the figures would be of faces that were trained on. The same table gives the same splits on every machine.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

    from facefeat.schema import Schema
    from facefeat.types import UInt8Array

SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}
PERSON = ("person", "person_id", "identity", "identity_id", "subject", "subject_id")
"""Columns of a table that say whose face a picture is."""
NEAR = 3
"""Bits of a coarse hash in which near-duplicates differ at most; of a fine one, four times as many."""


def person_column(columns: Iterable[str], schema: Schema) -> str | None:
    """The column of a table that names the person, where it has one that is no attribute."""
    return next((c for c in columns if c in PERSON and c not in schema.attributes), None)


def default_splits(frame: pd.DataFrame, schema: Schema, groups: Mapping[str, str] | None = None) -> list[str]:
    """The split of each row of an import's table.

    groups: file -> what it must stay together with, such as a person's name; files without one stand alone.
    """
    groups = groups or {}
    units: dict[str, list[int]] = defaultdict(list)
    for i, file in enumerate(frame["file"]):
        units[f"group:{groups[file]}" if groups.get(file) else f"file:{file}"].append(i)
    by_size = sorted(schema.attributes.values(), key=lambda a: len(a.groups))
    keys = frame[[a.name for a in by_size if a.name in frame]].astype(str).agg("\t".join, axis=1).tolist()
    files = frame["file"].tolist()
    # Along faces of one combination of classes after another, in an order of chance within it, splits take turns.
    order = sorted(
        units.values(), key=lambda rows: (sorted(keys[i] for i in rows), min(_digest(files[i]) for i in rows))
    )
    out, credit = [""] * len(frame), dict.fromkeys(SHARES, 0.0)
    for rows in order:
        for split, share in SHARES.items():
            credit[split] += share * len(rows)
        chosen = max(credit, key=lambda split: credit[split])
        credit[chosen] -= len(rows)
        for i in rows:
            out[i] = chosen
    return out


def _digest(file: str) -> bytes:
    bare = unicodedata.normalize("NFC", file.rpartition("/")[2])
    return hashlib.sha256(bare.encode()).digest()


def picture_hash(image: UInt8Array) -> bytes:
    """Of an (H, W, 3) uint8 picture, 40 bytes that near-duplicates have nearly alike: smaller, brighter, compressed.

    A difference hash: is each cell of a grid brighter than the next one, on 8 x 8 and on 16 x 16 cells (Krawetz, "Kind
    of like that", 2013). What is even, such as a white background, gives no bit that noise could turn.
    """
    from PIL import Image

    grey = Image.fromarray(image).convert("L")
    parts = []
    for cells in (8, 16):
        small = np.asarray(grey.resize((cells + 1, cells), Image.Resampling.BOX), "int16")
        parts.append(np.packbits(small[:, :-1] > small[:, 1:] + 2))
    return b"".join(p.tobytes() for p in parts)


def near_duplicates(hashes: Sequence[bytes]) -> list[list[int]]:
    """Positions of pictures that are nearly the same, two or more together; hashes: of `picture_hash`.

    Pairs are looked for among those that share a quarter of the coarse hash: of four, NEAR bits leave one alike. A
    picture without any edge is like no other.
    """
    if not hashes:
        return []
    bits = np.unpackbits(np.frombuffer(b"".join(hashes), np.uint8).reshape(len(hashes), 40), axis=1).astype("int8")
    coarse, fine, some = bits[:, :64], bits[:, 64:], np.atleast_1d(bits.any(axis=1))
    parent = np.arange(len(hashes))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = int(parent[i])
        return i

    words = np.ascontiguousarray(np.packbits(coarse.astype(bool), axis=1)).view(np.uint16)  # (N, 4)
    for quarter in words.T:
        for rows in _alike(quarter):
            for at, i in enumerate(rows[:-1]):
                others = rows[at + 1 :]
                apart = [np.abs(part[others] - part[i]).sum(axis=1) for part in (coarse, fine)]
                near = np.flatnonzero((apart[0] <= NEAR) & (apart[1] <= 4 * NEAR) & some[others] & some[i])
                for j in others[near]:
                    parent[root(int(j))] = root(int(i))
    together: dict[int, list[int]] = defaultdict(list)
    for i in range(len(hashes)):
        together[root(i)].append(i)
    return [found for found in together.values() if len(found) > 1]


def _alike(values: NDArray[np.uint16]) -> Iterable[NDArray[np.int64]]:
    order = np.argsort(values, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(values[order])) + 1):
        if len(rows) > 1:
            yield rows


def merged(people: Mapping[str, str], copies: Iterable[Sequence[str]]) -> dict[str, str]:
    """File -> group: those of the same person, and of people who share a near-duplicate.

    people: file -> person, "" where unknown. copies: files that are nearly the same.
    """
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        while parent.setdefault(key, key) != key:
            key = parent[key]
        return key

    named = {file: f"person:{person}" if person else f"file:{file}" for file, person in people.items()}
    for files in copies:
        for other in files[1:]:
            parent[root(named.get(other, f"file:{other}"))] = root(named.get(files[0], f"file:{files[0]}"))
    every = dict.fromkeys([*people, *(f for files in copies for f in files)])
    return {file: root(named.get(file, f"file:{file}")) for file in every}
