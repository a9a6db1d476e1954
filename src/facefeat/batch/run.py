"""`run_batch`: pictures from anywhere into one Parquet file."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facefeat.batch.chunks import CHUNK, ChunkReader, Settings
from facefeat.batch.cluster import Cluster, read_on_cluster
from facefeat.batch.files import NO_ACCESS, is_address
from facefeat.batch.inputs import Chunk, InputDigest, chunks, list_items, look, needs_order, shards_in
from facefeat.batch.parts import BatchSummary, Run
from facefeat.errors import DataError, FacefeatError, InputError, MissingExtraError, did_you_mean
from facefeat.networks.keras_backend import backend_in_use

if TYPE_CHECKING:
    import pyarrow as pa

ENGINES = ("local", "ray")
_OTHER_FORMATS = {".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".xlsx", ".txt", ".feather", ".arrow", ".gz"}
"""What the output is not, whatever it is called."""


def run_batch(
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    preset: str | os.PathLike[str] | None = None,
    detector: str = "centerface",
    detector_config: Mapping[str, Any] | None = None,
    latent: bool = False,
    column: str | None = None,
    allow_remote: Sequence[str] = (),
    resume: bool = False,
    retry_failed: bool = False,
    overwrite: bool = False,
    give_up_after: int = 50,
    engine: str = "local",
    threads: int | None = None,
    cluster: Cluster | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> BatchSummary:
    """Read every face of many pictures, and write a row for each to `output`, a Parquet file; see docs/batch.md.

    inputs: folders, globs, pictures, lists of paths (.txt), .tar, .parquet, or addresses of these that fsspec knows.
    preset: a name or folder. detector: its name, with `detector_config`; "whole-image" for crops. latent: write
    each face's latent, too. column: of a Parquet's pictures. allow_remote: schemes ("s3") of addresses that the lines
    of a list may have: without, a list names local files only. resume: continue a stopped run with the same output;
    retry_failed: then, too, read those chunks again in which a picture could not be read. overwrite: an earlier
    run's output or parts are replaced. give_up_after: so many
    pictures in a row, at addresses, that a permission or the network kept away; 0: never.
    engine: "local" or "ray". threads: that decode, in each process; of the engine "local" those of the networks, too.
    cluster: how the engine "ray" is to run.
    progress: called with (pictures done, pictures in all), in this thread; first when all is checked, before the
    model is read.

    The rows are in the order of the inputs, and the same for both engines. A picture that cannot be read is a row with
    its reason. What has been done stays next to the output if the run is ended, however that happens.

    Raises InputError for inputs, an output, settings or a resumption that cannot be; PresetError,
    UnknownComponentError; MissingExtraError where a package is missing; DataError where the inputs change meanwhile;
    FacefeatError where it gives up.
    """
    require_extra(engine)
    from facefeat.plugins.registry import get_registry
    from facefeat.presets.store import find_preset, read_config

    if threads is not None and threads < 1:
        raise InputError(f"threads must be at least 1. Received: {threads}.")
    if give_up_after < 0:
        raise InputError(f"give_up_after must be at least 0. Received: {give_up_after}.")
    if overwrite and resume:
        raise InputError("--resume continues a run, --overwrite begins it anew. Give one of them.")
    if retry_failed and not resume:
        raise InputError("--retry-failed is for a run that there is already. Add: --resume")
    _check_output(os.fspath(output))
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
    plan = InputDigest()
    schemes = check_schemes(allow_remote)
    for _ in plan.watch(list_items(given, read=False, allow_remote=schemes)):
        pass
    if not plan.count:
        shards = shards_in(given)
        hint = f" Its tars or Parquet files are read where a glob names them: {shards!r}" if shards else ""
        raise InputError(f"no pictures in {', '.join(repr(g.text) for g in given[:5])}.{hint}")
    with Run(Path(output), _facts(settings, plan), plan.count, settings.chunk, resume, retry_failed, overwrite) as run:
        seen = InputDigest()
        report = progress or (lambda done, total: None)
        done = run.resumed
        report(done, plan.count)
        if not run.complete and done < plan.count:
            # What comes after the last that was counted came later; it is for another run.
            listed_again = seen.watch(islice(list_items(given, allow_remote=schemes), plan.count))
            todo = _todo(seen, chunks(listed_again, settings.chunk), run, plan)
            if engine == "local":
                runtime = settings.runtime if threads is None else replace(settings.runtime, threads=threads)
                read = ChunkReader(replace(settings, runtime=runtime), threads).read(todo)
            else:
                read = read_on_cluster(settings, threads, todo, plan.count - done, cluster or Cluster())
            streak = _FailureStreak(give_up_after)
            # Closed here, whatever happens: left to the garbage collector, it may end its threads while another starts.
            with ExitStack() as end:
                if isinstance(read, Generator):
                    end.callback(read.close)
                try:
                    for number, rows in read:
                        for kept in streak.passed(number, rows):
                            run.add(*kept)
                        if streak.over:
                            raise FacefeatError(streak.over)
                        done += min(settings.chunk, plan.count - number * settings.chunk)
                        report(done, plan.count)
                except FacefeatError:
                    run.flush()  # whoever gives up says that what was done is kept
                    raise
            for kept in streak.waiting:
                run.add(*kept)
        return run.finish()


def check_schemes(given: Sequence[str]) -> frozenset[str]:
    """The schemes, in lower case. Raises InputError for what is none: "s3", not "s3://bucket"."""
    for name in given:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", name):
            raise InputError(f"no scheme of an address: {name!r}. Valid: names such as s3, gs, https.")
    return frozenset(name.lower() for name in given)


def _check_output(output: str) -> None:
    """Raises InputError for what is no name of a Parquet file, or an address: as a path that is a folder, `s3:`."""
    if is_address(output):
        name = output.partition("::")[0].rstrip("/").rpartition("/")[2] or "faces.parquet"
        copy = f"fs, to = fsspec.url_to_fs({output!r}); fs.put_file({name!r}, to)"
        raise InputError(
            f"the output is a local path, not an address such as {output!r}: partial results lie next to it. "
            f'Give -o {name}, and copy it when it is there: python -c "import fsspec; {copy}"'
        )
    other = Path(output).suffix.lower()
    if not Path(output).name or other in _OTHER_FORMATS:
        name = Path(output).with_suffix(".parquet").name if other else "faces.parquet"
        table = "" if other != ".csv" else " A table of not too many photos as CSV: facefeat predict INPUT -o FILE.csv."
        raise InputError(
            f"the output is one Parquet file. Received: {output!r}. Give a file's name, such as {name}.{table}"
        )


class _FailureStreak:
    """How many pictures in a row a permission or the network kept away.

    Chunks that they end wait until one is reached again. So a run that gives up has kept none of them, and with
    --resume they are read again.
    """

    def __init__(self, most: int) -> None:
        self.most, self.length, self.over = most, 0, ""
        self.waiting: list[tuple[int, pa.RecordBatch]] = []

    def passed(self, number: int, rows: pa.RecordBatch) -> list[tuple[int, pa.RecordBatch]]:
        """The chunks that can be kept, now that there is another. `over` says why there is no going on, if so."""
        if not self.most:
            return [(number, rows)]
        reached = False
        for reason in rows.column("reason").to_pylist():
            away = reason is not None and reason.startswith(NO_ACCESS)
            self.length, reached = (self.length + 1, reached) if away else (0, True)
            if self.length == self.most:
                self.over = (
                    f"{self.most} pictures in a row could not be reached; the last: {reason} What was done before them "
                    "is kept. Next: --resume, with --give-up-after 0 to skip what cannot be reached."
                )
                break
        passed: list[tuple[int, pa.RecordBatch]] = []
        if reached:
            passed, self.waiting = self.waiting, []
        self.waiting.append((number, rows))
        if not self.length:
            passed, self.waiting = passed + self.waiting, []
        return passed


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
            f'Next: pip install "facefeat[{extra}]"'
        )


def _facts(settings: Settings, plan: InputDigest) -> dict[str, Any]:
    """What the rows depend on, as far as the user decides it; the number of threads and the engine are not among it."""
    from facefeat._version import __version__
    from facefeat.presets.store import has_graphs

    folder = Path(settings.preset)
    hashes = (folder / "SHA256SUMS").read_bytes()
    return {
        "input": {"pictures": plan.count, "sha256": plan.digest},
        "preset": hashlib.sha256(hashes).hexdigest(),
        "detector": settings.detector,
        "detector_config": dict(settings.detector_config),
        "latent": settings.latent,
        "chunk": settings.chunk,
        "facefeat": __version__,
        "runtime": "onnx" if settings.runtime.runtime != "keras" and has_graphs(folder) else backend_in_use(),
    }


def _todo(seen: InputDigest, numbered: Iterable[Chunk], run: Run, plan: InputDigest) -> Iterator[Chunk]:
    """The chunks that no part holds. Raises DataError where the inputs are no longer those that were counted."""
    yield from (chunk for chunk in numbered if not run.has(chunk[0]))
    if (seen.count, seen.digest) != (plan.count, plan.digest):
        run.invalidate()
        raise DataError(
            "the input changed while it was read: pictures came or went. "
            f"Delete {str(run.folder)!r}, and start anew, from a list of paths where the folder does not rest."
        )
