"""Faces of a data set or of photos into an index, atomically; a stopped run resumes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.errors import DataError, InputError, did_you_mean
from facefeat.index.database import (
    FACTS,
    METRICS,
    TABLE,
    VERSION,
    FaceIndex,
    connect,
    encoded,
    label_column,
    lance_errors,
    make_searchable,
    require_lancedb,
    schema_of,
)
from facefeat.utils.atomic import replace_folder, write_text
from facefeat.utils.files import read_json

if TYPE_CHECKING:
    from facefeat.data import FaceDataset
    from facefeat.model import FaceFeatureModel
    from facefeat.types import FloatArray, UInt8Array

    Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Faces:
    """Some faces on their way into an index, column by column; see `Neighbour` for their meaning.

    units: (n,) which row of the data set, or which photo, each came from. crops: (n, S, S, 3) uint8.
    """

    units: Sequence[int]
    files: Sequence[str]
    crops: UInt8Array
    labels: dict[str, list[str]]
    years: FloatArray
    numbers: Sequence[int] = ()
    boxes: Sequence[Any] = ()
    failed: Sequence[str] = ()


@dataclass
class DatasetFaces:
    """The faces of a data set, or of a split of it, with its labels."""

    dataset: FaceDataset
    labelled: str = "data set"
    chunk: int = 2048
    _crops: Any = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The data set's."""
        return self.dataset.name

    def start(self, model: FaceFeatureModel) -> int:
        """Decodes the pictures, once."""
        self._crops = self.dataset.crops(model.image_size)
        return len(self._crops)

    def attributes(self, model: FaceFeatureModel) -> tuple[str, ...]:
        """Those of the data set, which need not be the model's."""
        return tuple(self.dataset.schema.attributes)

    def key(self) -> str:
        """The data set's fingerprint."""
        return self.dataset.fingerprint

    def read(self, model: FaceFeatureModel, start: int, stop: int) -> Faces:
        """Rows `start` to `stop` - 1."""
        rows = np.arange(start, stop)
        table = self.dataset.table.iloc[start:stop]
        labels = {n: table[n].astype(str).tolist() for n in self.dataset.schema.attributes}
        years = self.dataset.years()[start:stop]
        return Faces(rows.tolist(), table["file"].astype(str).tolist(), self._crops.take(rows), labels, years)


@dataclass
class PhotoFaces:
    """Every face that the model's detector finds in photos, with what the model predicts from it."""

    files: Sequence[str]
    labelled: str = "model"
    chunk: int = 64
    name: str = "photos"

    def start(self, model: FaceFeatureModel) -> int:
        """How many photos there are."""
        return len(self.files)

    def attributes(self, model: FaceFeatureModel) -> tuple[str, ...]:
        """Those that the model predicts."""
        return tuple(model.schema.attributes)

    def key(self) -> str:
        """Of the paths, in order."""
        return hashlib.sha256("\0".join(self.files).encode("utf-8", "surrogateescape")).hexdigest()

    def read(self, model: FaceFeatureModel, start: int, stop: int) -> Faces:
        """Photos `start` to `stop` - 1; one that cannot be read is named in `failed`."""
        found = model.predict(list(self.files[start:stop]))
        faces = [(start + i, r.source, n, f) for i, r in enumerate(found) for n, f in enumerate(r.faces, 1)]
        none = np.zeros((0, model.image_size, model.image_size, 3), "uint8")
        return Faces(
            units=[u for u, *_ in faces],
            files=[source for _, source, *_ in faces],
            crops=np.stack([np.asarray(f.face.crop) for *_, f in faces]) if faces else none,
            labels={n: [f.attributes[n].label for *_, f in faces] for n in model.schema.attributes},
            years=np.asarray([np.nan if f.age_years is None else f.age_years for *_, f in faces], "float32"),
            numbers=[n for *_, n, _ in faces],
            boxes=[list(map(float, f.box)) for *_, f in faces],
            failed=[r.error for r in found if r.error is not None],
        )


def build_index(
    model: FaceFeatureModel,
    faces: DatasetFaces | PhotoFaces,
    folder: str | os.PathLike[str],
    *,
    metric: str = "euclidean",
    crops: bool = True,
    preset: str = "",
    progress: Progress | None = None,
    failed: Callable[[str], None] | None = None,
) -> FaceIndex:
    """Write the latents of faces to `folder`, which is there when all is done; an earlier index there is replaced.

    Until then the rows are in `FOLDER.partial`. Where that holds a stopped run over the same faces by the same model,
    it resumes; no face is lost or doubled. metric: "euclidean" or "cosine". crops: keep a
    JPEG of each face, for contact sheets. preset: what to load the model by, later. progress: called with (units
    done, in all). failed: called with a sentence for each photo that could not be read.

    Raises InputError for a metric or folder that is not valid, or where another process is writing there; DataError
    where there is no face; MissingExtraError.
    """
    target = Path(folder)
    check_index_output(target, metric)
    with _alone(target):
        _build(model, faces, target, metric, crops, preset, progress, failed)
    return FaceIndex(target)


def _build(
    model: FaceFeatureModel,
    faces: DatasetFaces | PhotoFaces,
    target: Path,
    metric: str,
    crops: bool,
    preset: str,
    progress: Progress | None,
    failed: Callable[[str], None] | None,
) -> None:
    import pyarrow as pa

    total = faces.start(model)
    attributes = faces.attributes(model)
    facts = _facts(model, faces, metric, crops, preset, attributes)
    schema = schema_of(model.latent_dim, attributes)
    try:
        with lance_errors():
            table, done = _open_partial(partial(target), facts, schema)
        for start in range(done, total, faces.chunk):
            stop = min(total, start + faces.chunk)
            some = faces.read(model, start, stop)
            for reason in some.failed if failed is not None else ():
                failed(reason)  # type: ignore[misc]
            if len(some.files):
                columns = _columns(some, model.encode(some.crops), attributes, crops)
                with lance_errors():
                    table.add(pa.table(columns, schema=schema))  # one commit: all of these rows, or none
            if progress is not None:
                progress(stop, total)
        with lance_errors():
            rows = int(table.count_rows())
        if not rows:
            shutil.rmtree(partial(target))
            raise DataError(f"no face was found in {faces.name}: there is nothing to index.")
        with lance_errors():
            facts |= {"rows": rows, "approximate": make_searchable(table, metric), "complete": True}
        _write_facts(partial(target), facts)
        replace_folder(partial(target), target)
    except OSError as e:
        raise InputError(f"cannot write the index {str(target)!r}: {e.strerror or e}") from None


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Raises InputError where another process is writing this index: each would add the same faces."""
    from filelock import FileLock, Timeout

    lock = FileLock(target.with_name(f".{target.name}.lock"))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(f"another run is writing the index {str(target)!r}. Wait for it, or name another.") from None
    except OSError as e:
        raise InputError(f"cannot write the index {str(target)!r}: {e.strerror or e}") from None
    try:
        yield
    finally:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)


def check_index_output(target: Path, metric: str) -> None:
    """Raises, before the work, what `build_index` would."""
    if metric not in METRICS:
        raise InputError(f"no such metric. {did_you_mean(metric, METRICS)}")
    if not target.name:
        raise InputError(f"{str(target)!r} is no name for a new folder. Give one.")
    if any(c < " " or c == "\x7f" for c in str(target.absolute())):
        raise InputError(f"LanceDB takes no control characters in a path. Received: {str(target)!r}. Give another.")
    for place in (target, partial(target)):
        if place.exists() and not (place / FACTS).is_file() and not (place.is_dir() and not any(place.iterdir())):
            raise InputError(f"{str(place)!r} exists and is not an index. Give a new or empty folder.")
    require_lancedb()


def partial(target: Path) -> Path:
    """Where an index is until it is finished."""
    return target.with_name(f"{target.name}.partial")


def _facts(
    model: FaceFeatureModel,
    faces: DatasetFaces | PhotoFaces,
    metric: str,
    crops: bool,
    preset: str,
    attributes: tuple[str, ...],
) -> dict[str, Any]:
    from facefeat._version import __version__

    return {
        "version": VERSION,
        "facefeat": __version__,
        "model": model.name,
        "preset": preset,
        "encoder": model.encoder_hash,
        "latent_dim": model.latent_dim,
        "image_size": model.image_size,
        "metric": metric,
        "crops": crops,
        "attributes": list(attributes),
        "labels": faces.labelled,
        "source": faces.name,
        "faces": faces.key(),
        "complete": False,
    }


def _open_partial(folder: Path, facts: dict[str, Any], schema: Any) -> tuple[Any, int]:
    """The table of an unfinished index, and how many units are in it; a new one where it is of another run."""
    try:
        before = read_json(folder / FACTS)
    except (OSError, ValueError):
        before = None
    # A run that was stopped in its last step has its facts already; its rows are all there.
    same = isinstance(before, dict) and {**before, "complete": False} == {**before, **facts}
    if same:
        with suppress(OSError), lance_errors():  # a damaged one is made anew
            table = connect(folder).open_table(TABLE)
            units = table.search().select(["unit"]).to_arrow()["unit"] if table.count_rows() else []
            # Photos without a face at the end of what was done have no row, and are read again.
            return table, 1 + max((int(u) for u in np.asarray(units)), default=-1)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    table = connect(folder).create_table(TABLE, schema=schema)
    _write_facts(folder, facts)  # after the table: what has facts has a table
    return table, 0


def _columns(some: Faces, latents: FloatArray, attributes: tuple[str, ...], crops: bool) -> dict[str, Any]:
    import pyarrow as pa

    n = len(some.files)
    years = pa.array(some.years, pa.float32(), mask=~np.isfinite(some.years))
    return {
        "unit": list(some.units),
        "file": [f.encode("utf-8", "backslashreplace").decode() for f in some.files],
        "face": list(some.numbers) or [1] * n,
        "box": list(some.boxes) or [None] * n,
        **{label_column(a): some.labels[a] for a in attributes},
        "age_years": years,
        "crop": [encoded(c) for c in some.crops] if crops else [None] * n,
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(latents.ravel(), pa.float32()), latents.shape[1]),
    }


def _write_facts(folder: Path, facts: dict[str, Any]) -> None:
    write_text(folder / FACTS, json.dumps(facts, indent=1) + "\n")
