"""The engine "ray": chunks to actors of Ray Data, which hold the model; rows come back in order.

Ray starts, feeds, restarts and scales the workers; nothing here schedules. A chunk is read as the local engine reads
it, so the rows are the same. They travel as bytes of Arrow's own format: what a worker computed is what is written.
"""

from __future__ import annotations

import math
import os
import pickle
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facefeat.batch.chunks import ChunkReader, Settings
from facefeat.batch.inputs import Chunk
from facefeat.errors import FacefeatError, InputError
from facefeat.networks.keras_backend import backend_in_use
from facefeat.presets.files import SUMS, listed_sums, read_file
from facefeat.utils.stderr import native_stderr_held

if TYPE_CHECKING:
    import pyarrow as pa

_PER_TASK = 8  # chunks; what a lost worker has to read again at most
_RETRIES = 5  # of a task whose worker died; a picture that kills every worker must not be tried for ever
# A worker may share its GPU and does not print a start-up log; the others are of facefeat and have to be the driver's.
_FOR_WORKERS = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
}
_FROM_DRIVER = ("FACEFEAT_PLUGINS", "FACEFEAT_STRICT")


@dataclass(frozen=True)
class Cluster:
    """How the engine "ray" runs.

    address: of a cluster, "auto" for the one that this machine is part of; None: Ray is started here, for this run.
    Where the process has called `ray.init` before, it is that cluster, whatever the address.
    workers: how many; None: as many as fit, and fewer where the inputs come more slowly.
    gpus: of each worker, a fraction where several share one. cpus: of each worker.
    """

    address: str | None = None
    workers: int | None = None
    gpus: float = 0.0
    cpus: float = 1.0

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise InputError(f"workers must be at least 1. Received: {self.workers}.")
        if not self.gpus >= 0 or (self.gpus > 1 and self.gpus != int(self.gpus)):
            raise InputError(f"gpus must be from 0 to 1, or a whole number. Received: {self.gpus}.")
        if not self.cpus > 0:
            raise InputError(f"cpus must be above 0. Received: {self.cpus}.")


class Worker:
    """An actor: the model, and the preset's files as the driver had them, wherever it runs."""

    def __init__(self, settings: Settings, preset: Any, threads: int | None, version: str, env: dict[str, str]) -> None:
        os.environ.update(env)
        from facefeat._version import __version__

        if __version__ != version:
            raise FacefeatError(f"a worker has facefeat {__version__}, the driver {version}. Install one version.")
        import ray

        with tempfile.TemporaryDirectory(prefix="facefeat-preset-") as folder:
            for name, data in ray.get(preset).items():
                (Path(folder) / name).write_bytes(data)
            self._reader = ChunkReader(replace(settings, preset=folder), threads)
            if self._reader.model.has_decoder and settings.latent:
                assert self._reader.model.decoder is not None  # read now: the folder goes

    def __call__(self, table: pa.Table) -> pa.Table:
        """Columns number and chunk (pickled items) -> number and rows (an Arrow stream)."""
        import pyarrow as pa

        numbers = table.column("number").to_pylist()
        # What the driver of this very run packed in `_tables`, never a file: Ray moves the function itself in this way.
        given = ((n, pickle.loads(c.as_py())) for n, c in zip(numbers, table.column("chunk"), strict=True))
        rows = [_to_stream(batch) for _, batch in self._reader.read(given)]
        return pa.table({"number": pa.array(numbers, pa.int64()), "rows": pa.array(rows, pa.large_binary())})


def read_on_cluster(
    settings: Settings, threads: int | None, chunks: Iterable[Chunk], pictures: int, cluster: Cluster
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Each chunk's number and rows, in order. pictures: how many there are in the chunks.

    Raises InputError where there is no such cluster, or it has not what a worker needs; FacefeatError where it gave up.
    """
    import ray
    import ray.data

    from facefeat._version import __version__

    # A worker computes with the cores that it was given, however many the machine has.
    threads_of_one = settings.runtime.threads or max(1, int(cluster.cpus))
    settings = replace(settings, runtime=replace(settings.runtime, threads=threads_of_one))
    ours = not ray.is_initialized()
    if ours:
        _start(cluster.address)
    context = ray.data.DataContext.get_current()
    before = context.execution_options.preserve_order, context.enable_progress_bars, context.print_on_execution_start
    try:
        fit = _fitting(cluster)
        context.execution_options.preserve_order = True
        context.enable_progress_bars = context.print_on_execution_start = False
        folder = Path(settings.preset)
        files = {name: read_file(folder, name) for name in (SUMS, *listed_sums(folder))}
        numbered = -(-pictures // settings.chunk)
        per_task = max(1, min(_PER_TASK, numbered // (4 * (cluster.workers or fit))))
        listed = ray.data.from_arrow_refs([ray.put(t) for t in _tables(chunks, per_task)])
        with warnings.catch_warnings():
            # Ray Data is about to replace the way in which retries are limited; the extra allows only versions with it.
            warnings.simplefilter("ignore", ray.util.annotations.RayDeprecationWarning)
            data = listed.map_batches(
                Worker,
                batch_size=per_task,
                batch_format="pyarrow",
                compute=_pool(cluster.workers, fit, numbered),
                fn_constructor_args=(settings, ray.put(files), threads, __version__, _environment()),
                num_cpus=cluster.cpus,
                num_gpus=cluster.gpus or None,
                max_restarts=-1,
                max_task_retries=_RETRIES,
            )
        for table in data.iter_batches(batch_size=None, batch_format="pyarrow"):
            for number, rows in zip(table.column("number").to_pylist(), table.column("rows"), strict=True):
                yield number, _from_stream(rows.as_buffer())
    except ray.exceptions.RayError as e:
        raise FacefeatError(f"the cluster gave up: {_last_line(e)} Finished work is kept. Next: --resume") from e
    finally:
        (context.execution_options.preserve_order, context.enable_progress_bars, context.print_on_execution_start) = (
            before
        )
        if ours:
            ray.shutdown()


def _environment() -> dict[str, str]:
    """What a worker has in its environment, wherever it runs.

    The backend of the driver, too, which may be named in a file on its machine only: the run notes it for every row.
    """
    kept = {k: os.environ[k] for k in _FROM_DRIVER if k in os.environ}
    return {**_FOR_WORKERS, **kept, "KERAS_BACKEND": backend_in_use()}


def _start(address: str | None) -> None:
    import logging

    import ray

    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what matters comes as an exception
    if address is None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no usage statistics: this program works offline
        with native_stderr_held():  # its native code says at every start that it has read the variable above
            ray.init(address="local", include_dashboard=False, **quiet)
        return
    try:
        with native_stderr_held():
            ray.init(address=address, **quiet)
    except (ConnectionError, ValueError, RuntimeError, OSError) as e:
        raise InputError(
            f"no Ray cluster answers at {address!r} ({_last_line(e)}) Valid: host:port, ray://host:10001, or auto on a "
            "machine of the cluster."
        ) from None


def _fitting(cluster: Cluster) -> int:
    """How many workers the cluster has room for now. Raises InputError where that is none."""
    import ray

    has = ray.cluster_resources()
    wants = {"CPU": cluster.cpus, "GPU": cluster.gpus}
    room = min(math.floor(has.get(k, 0) / v + 1e-9) for k, v in wants.items() if v)
    if room < 1:
        lacking = ", ".join(f"{v:g} {k}" for k, v in wants.items() if v)
        held = ", ".join(f"{has.get(k, 0):g} {k}" for k in wants)
        raise InputError(f"the cluster has no room for a worker of {lacking}. It has: {held}.")
    return room


def _pool(workers: int | None, fit: int, chunks: int) -> Any:
    from ray.data import ActorPoolStrategy

    if workers is not None:
        return ActorPoolStrategy(size=min(workers, chunks))
    most = max(1, min(fit, chunks))
    return ActorPoolStrategy(min_size=1, initial_size=most, max_size=most)


def _tables(chunks: Iterable[Chunk], per_task: int) -> Iterator[pa.Table]:
    """Chunks by the task: tables of the columns number and chunk."""
    import pyarrow as pa

    def table() -> pa.Table:
        packed = pa.array([pickle.dumps(items) for _, items in kept], pa.binary())
        return pa.table({"number": pa.array([n for n, _ in kept], pa.int64()), "chunk": packed})

    kept: list[Chunk] = []
    for chunk in chunks:
        kept.append(chunk)
        if len(kept) == per_task:
            yield table()
            kept = []
    if kept:
        yield table()


def _to_stream(batch: pa.RecordBatch) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def _from_stream(data: Any) -> pa.RecordBatch:
    import pyarrow as pa

    with pa.ipc.open_stream(data) as reader:
        return reader.read_next_batch()


def _last_line(error: BaseException) -> str:
    """What an error of Ray's comes down to: its last line that is no part of a traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{lines[-1][:300] if lines else type(error).__name__}".rstrip(".") + "."
