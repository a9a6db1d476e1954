"""`run_batch`: pictures from anywhere into one Parquet file."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from facefeat.batch.chunks import CHUNK, ChunkReader, Settings
from facefeat.batch.cluster import Cluster, read_on_cluster
from facefeat.batch.inputs import Chunk, Witness, chunks, list_items, look, needs_order
from facefeat.batch.parts import BatchSummary, Run
from facefeat.errors import DataError, InputError, MissingExtraError, did_you_mean

ENGINES = ("local", "ray")


def run_batch(
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    preset: str | os.PathLike[str] | None = None,
    detector: str = "mtcnn",
    detector_config: Mapping[str, Any] | None = None,
    latent: bool = False,
    column: str | None = None,
    resume: bool = False,
    engine: str = "local",
    threads: int | None = None,
    cluster: Cluster | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> BatchSummary:
    """Read every face of many pictures, and write a row for each to `output`, a Parquet file; see docs/batch.md.

    inputs: folders, globs, pictures, lists of paths (.txt), .tar, .parquet, or addresses of these that fsspec knows.
    preset: a name or folder. detector: its name, with `detector_config`; "whole-image" for crops. latent: write
    each face's latent, too. column: of a Parquet's pictures. resume: go on where a run with the same output stopped.
    engine: "local" or "ray". threads: that decode, in each process. cluster: how the engine "ray" is to run.
    progress: called with (pictures done, pictures in all), in this thread; first when all is checked, before the
    model is read.

    The rows are in the order of the inputs, and the same for both engines. A picture that cannot be read is a row with
    its reason. What has been done stays beside the output if the run is ended, however that happens.

    Raises InputError for inputs, an output, settings or a resumption that cannot be; PresetError,
    UnknownComponentError; MissingExtraError where a package is missing; DataError where the inputs change meanwhile.
    """
    require_extra(engine)
    from facefeat.preset import find_preset, read_config
    from facefeat.registry import get_registry

    if threads is not None and threads < 1:
        raise InputError(f"threads must be at least 1. Received: {threads}.")
    get_registry().get("detector", detector)
    folder = find_preset(None if preset is None else str(preset))
    read_config(folder)
    listed = [inputs] if isinstance(inputs, str | os.PathLike) else list(inputs)
    given = look([os.fspath(i) for i in listed], column)
    ordered = needs_order(given) if engine == "ray" else None
    if ordered is not None:
        raise InputError(
            f"the compressed tar {ordered.text!r} can be read from its start only, not by several workers. "
            "Decompress it, or use the engine 'local'."
        )
    settings = Settings(str(folder), detector, dict(detector_config or {}), latent, CHUNK)
    plan = Witness()
    for _ in plan.watch(list_items(given, read=False)):
        pass
    if not plan.count:
        raise InputError(f"no pictures in {', '.join(repr(g.text) for g in given[:5])}.")
    with Run(Path(output), _facts(settings, plan), plan.count, settings.chunk, resume) as run:
        seen = Witness()
        report = progress or (lambda done, total: None)
        done = run.resumed
        report(done, plan.count)
        if not run.complete and done < plan.count:
            # What comes after the last that was counted came later; it is for another run.
            listed_again = seen.watch(islice(list_items(given), plan.count))
            todo = _todo(seen, chunks(listed_again, settings.chunk), run, plan)
            if engine == "local":
                read = ChunkReader(settings, threads).read(todo)
            else:
                read = read_on_cluster(settings, threads, todo, plan.count - done, cluster or Cluster())
            for number, rows in read:
                run.add(number, rows)
                done += min(settings.chunk, plan.count - number * settings.chunk)
                report(done, plan.count)
        return run.finish()


def require_extra(engine: str = "local") -> None:
    """Raises MissingExtraError where a package that an engine needs is missing, InputError for an unknown engine."""
    if engine not in ENGINES:
        raise InputError(f"no such engine. {did_you_mean(engine, ENGINES)}")
    needs = {"local": ("batch", ("pyarrow", "fsspec")), "ray": ("scale", ("pyarrow", "fsspec", "ray", "pandas"))}
    extra, modules = needs[engine]
    missing = [m for m in modules if importlib.util.find_spec(m) is None]
    if missing:
        raise MissingExtraError(
            f"batch{' on a cluster' * (engine == 'ray')} needs {' and '.join(missing)}, not installed here. "
            f"Next: pip install 'facefeat[{extra}]'"
        )


def _facts(settings: Settings, plan: Witness) -> dict[str, Any]:
    """What the rows depend on, as far as the user decides it; the number of threads and the engine are not among it."""
    from facefeat import __version__

    hashes = (Path(settings.preset) / "SHA256SUMS").read_bytes()
    return {
        "input": {"pictures": plan.count, "sha256": plan.digest},
        "preset": hashlib.sha256(hashes).hexdigest(),
        "detector": settings.detector,
        "detector_config": dict(settings.detector_config),
        "latent": settings.latent,
        "chunk": settings.chunk,
        "facefeat": __version__,
        "backend": _backend(),
    }


def _backend() -> str:
    """The Keras backend that is, or will be, in use; without importing it, for a driver of a cluster needs none."""
    keras = sys.modules.get("keras")
    if keras is not None:
        return str(keras.config.backend())
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    try:
        configured = json.loads((home / "keras.json").read_text("utf-8"))["backend"]
    except (OSError, ValueError, KeyError, TypeError):
        configured = "tensorflow"
    return os.environ.get("KERAS_BACKEND") or str(configured)


def _todo(seen: Witness, numbered: Iterable[Chunk], run: Run, plan: Witness) -> Iterator[Chunk]:
    """The chunks that no part holds. Raises DataError where the inputs are no longer those that were counted."""
    yield from (chunk for chunk in numbered if not run.has(chunk[0]))
    if (seen.count, seen.digest) != (plan.count, plan.digest):
        run.spoil()
        raise DataError(
            "the input changed while it was read: pictures came or went. "
            f"Delete {str(run.folder)!r}, and start anew, from a list of paths where the folder does not rest."
        )
