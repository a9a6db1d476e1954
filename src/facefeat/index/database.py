"""The table on disk, its facts, and the search in it."""

from __future__ import annotations

import io
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.errors import FacefeatError, InputError, MissingExtraError
from facefeat.networks.decoder import check_latents
from facefeat.utils.files import nearest_file, read_json
from facefeat.utils.text import one_line
from facefeat.utils.values import ByValue

if TYPE_CHECKING:
    from facefeat.model import FaceFeatureModel
    from facefeat.types import FloatArray, UInt8Array

VERSION = 1
FACTS = "index.json"
TABLE = "faces"
METRICS = {"euclidean": "l2", "cosine": "cosine"}
"""Name of a distance -> LanceDB's name of it."""
EXACT_UP_TO = 50_000
"""Up to so many rows every latent is looked at; beyond, an approximate index finds candidates."""
PART, PROBES, REFINE = 4096, 20, 4
"""Of an approximate index: faces in a part, parts searched, and candidates measured exactly for each face asked for."""

_FACTS = {"version": int, "encoder": str, "model": str, "preset": str, "latent_dim": int, "metric": str,
          "attributes": list, "complete": bool}  # fmt: skip
_WIDEST = 65_536
_LANCE = re.compile("lance", re.IGNORECASE)
_PLACE = re.compile(r",?\s*\S+\.rs:\d+(:\d+)?|^lance error: |LanceError\([^)]*\): ")


@dataclass(frozen=True, eq=False)
class Neighbour(ByValue):
    """A face of an index.

    distance: euclidean, or 1 minus the cosine. file: as in the data set, or the photo's path. face: its number in the
    photo, from 1. box: (left, top, right, bottom) in the photo, or None where the picture is the face.
    labels: attribute -> class, "" where unknown. age_years: NaN where unknown. crop: (S, S, 3) uint8, or None.
    """

    rank: int
    distance: float
    file: str
    face: int
    box: tuple[float, float, float, float] | None
    labels: Mapping[str, str]
    age_years: float
    crop: UInt8Array | None = field(default=None, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, without the crop."""
        years = None if np.isnan(self.age_years) else round(self.age_years, 1)
        about = {"rank": self.rank, "distance": round(self.distance, 6), "file": self.file, "face": self.face}
        return {**about, "box": None if self.box is None else list(self.box), **self.labels, "age_years": years}


class FaceIndex:
    """An index that `facefeat index` or `build_index` wrote."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Raises InputError for a folder that is no index, or a damaged one; MissingExtraError without `search`."""
        self.folder = Path(folder)
        self.facts = read_facts(self.folder)
        with self._readable():
            self._table = connect(self.folder).open_table(TABLE)
            wanted = schema_of(self.latent_dim, self.attributes)
            if not set(wanted) <= set(self._table.schema):
                raise OSError("its table has other columns than index.json says")

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """Raises InputError where the block finds the index damaged."""
        try:
            with lance_errors():
                yield
        except FacefeatError:
            raise
        except (OSError, ValueError, RuntimeError) as e:  # LanceDB and PyArrow have many words for damage
            why = f"the index {str(self.folder)!r} cannot be read: {one_line(str(e)).rstrip('.')}"
            raise InputError(f"{why}. Next: facefeat index DATA -o FOLDER") from None

    def __len__(self) -> int:
        with self._readable():
            return int(self._table.count_rows())

    @property
    def latent_dim(self) -> int:
        """D, the width of its latents."""
        return int(self.facts["latent_dim"])

    @property
    def metric(self) -> str:
        """ "euclidean" or "cosine"."""
        return str(self.facts["metric"])

    @property
    def attributes(self) -> tuple[str, ...]:
        """What each face has a label for."""
        return tuple(self.facts["attributes"])

    def check(self, model: FaceFeatureModel) -> None:
        """Raises InputError unless `model` (a FaceFeatureModel) gives the latents that the index was made of."""
        if model.encoder_hash == self.facts["encoder"]:
            return
        name = self.facts["model"]
        what = f"the index {str(self.folder)!r} holds latents of "
        if model.name == name:
            raise InputError(f"{what}another version of the model {name!r}: index the faces again.")
        raise InputError(
            f"{what}the model {name!r} ({self.facts['encoder'][:12]}), and {model.name!r} gives others "
            f"({model.encoder_hash[:12]}): choose that model with --preset, or index the faces again."
        )

    def nearest(
        self, latents: FloatArray, count: int = 8, *, exact: bool = False, crops: bool = True
    ) -> list[list[Neighbour]]:
        """(Q, D) latents -> for each the `count` nearest faces, nearest first; fewer where the index has fewer.

        exact: compare with every face, even where there is an approximate index. crops: read the pictures, too.
        Raises InputError for latents of another width, NaN or infinity.
        """
        queries = check_latents(latents, self.latent_dim)
        if count < 1:
            raise InputError(f"count must be 1 or more. Received: {count}.")
        return [self._nearest(q, count, exact, crops) for q in queries]

    def _nearest(self, query: np.ndarray, count: int, exact: bool, crops: bool) -> list[Neighbour]:
        columns = ["file", "face", "box", "age_years", *map(label_column, self.attributes), "_distance"]
        search = self._table.search(query).distance_type(METRICS[self.metric]).limit(count)
        if self.facts.get("approximate"):
            search = search.bypass_vector_index() if exact else search.nprobes(PROBES).refine_factor(REFINE)
        with self._readable():
            found = search.select([*columns, *(["crop"] if crops else [])]).to_list()
            return [self._neighbour(rank, row) for rank, row in enumerate(found, 1)]

    def _neighbour(self, rank: int, row: Mapping[str, Any]) -> Neighbour:
        # LanceDB's "l2" is the squared distance.
        d = max(0.0, float(row["_distance"]))
        return Neighbour(
            rank=rank,
            distance=d**0.5 if self.metric == "euclidean" else d,
            file=row["file"] or "",
            face=int(row["face"] or 1),
            box=None if row["box"] is None else tuple(row["box"]),
            labels={n: row[label_column(n)] or "" for n in self.attributes},
            age_years=float("nan") if row["age_years"] is None else float(row["age_years"]),
            crop=None if row.get("crop") is None else _decoded(row["crop"]),
        )

    def __repr__(self) -> str:
        return f"<FaceIndex {str(self.folder)!r}: {len(self):,} faces, {self.metric}, model {self.facts['model']!r}>"


@contextmanager
def lance_errors() -> Iterator[None]:
    """What LanceDB raises of disks and damaged files is an OSError outside of the block.

    It has no errors of its own but RuntimeError and ValueError, and PanicException, which is no Exception.
    """
    try:
        yield
    except FacefeatError:
        raise
    except BaseException as e:
        lance = isinstance(e, RuntimeError | ValueError) and _LANCE.search(f"{type(e)} {e}")
        if not lance and type(e).__name__ != "PanicException":
            raise
        raise OSError(one_line(_PLACE.sub("", str(e)))) from e


def connect(folder: Path) -> Any:
    """The LanceDB database in a folder, which is made where it is missing. Raises MissingExtraError."""
    return require_lancedb().connect(str(folder))


def require_lancedb() -> Any:
    """The package. Raises MissingExtraError."""
    try:
        import lancedb
    except ImportError:
        raise MissingExtraError('an index of faces needs LanceDB. Next: pip install "facefeat[search]"') from None
    return lancedb


def read_facts(folder: Path) -> dict[str, Any]:
    """`index.json`. Raises InputError for a folder that is no index, one that is not finished, or a newer one."""
    try:
        facts = read_json(folder / FACTS)
        version, complete = facts["version"], facts["complete"]
        if not all(isinstance(facts[key], kind) for key, kind in _FACTS.items()) or facts["metric"] not in METRICS:
            raise ValueError
        if not 0 < facts["latent_dim"] <= _WIDEST or not all(isinstance(n, str) for n in facts["attributes"]):
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(
            f"{str(folder)!r} is no index of faces.{nearest_file(folder)} Next: facefeat index DATA -o FOLDER"
        ) from None
    if version > VERSION:
        raise InputError(f"{str(folder)!r} was written by a newer facefeat. Next: pip install -U facefeat")
    if not complete:
        raise InputError(f"{str(folder)!r} is not finished. Next: run `facefeat index` again; it resumes.")
    return dict(facts)


def schema_of(latent_dim: int, attributes: tuple[str, ...]) -> Any:
    """The columns of the table, as a pyarrow schema."""
    import pyarrow as pa

    return pa.schema(
        [
            ("unit", pa.int64()),  # row of the data set, or number of the photo: where a resumed run continues
            ("file", pa.string()),
            ("face", pa.int32()),
            ("box", pa.list_(pa.float32())),
            *((label_column(n), pa.string()) for n in attributes),
            ("age_years", pa.float32()),
            ("crop", pa.binary()),
            ("vector", pa.list_(pa.float32(), latent_dim)),
        ]
    )


def label_column(attribute: str) -> str:
    """The column that holds an attribute: none of the others begins like this."""
    return f"label_{attribute}"


def make_searchable(table: Any, metric: str) -> bool:
    """Join the parts of a table, and build an approximate index where exact search would take long; whether it did."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that other readers of the table would lose older versions: there are none
        table.optimize(cleanup_older_than=timedelta(0))
    rows = int(table.count_rows())
    if rows > EXACT_UP_TO:
        from lancedb.index import IvfSq

        # Numbers of 8 bits find the candidates. Product quantisation is smaller, and lost two in ten of the nearest of
        # such latents, whose first few directions hold nearly all that varies.
        parts = max(1, rows // PART)
        config = IvfSq(distance_type=METRICS[metric], num_partitions=parts, max_iterations=20)
        table.create_index("vector", config=config)
    return rows > EXACT_UP_TO


def encoded(crop: UInt8Array) -> bytes:
    """(S, S, 3) uint8 -> a JPEG."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(crop).save(out, "JPEG", quality=90)
    return out.getvalue()


def _decoded(data: bytes) -> UInt8Array:
    from facefeat.image.io import open_image

    return open_image(data)
