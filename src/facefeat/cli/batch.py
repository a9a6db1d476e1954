"""`facefeat batch`: pictures by the million into one Parquet file, resumable; on one machine or on a Ray cluster."""

from __future__ import annotations

import contextlib
import sys
import time

import click

from facefeat.cli._model import runtime_options
from facefeat.cli._numbers import Finite
from facefeat.cli._show import progress, say, warn

_OF_RAY = ("address", "workers", "gpus", "cpus")


@click.command()
@runtime_options  # last, so that it sees this command's own --threads
@click.argument("inputs", nargs=-1, metavar="INPUT...")
@click.option("--output", "-o", required=True, metavar="FILE", help="The Parquet file to write, a local path.")
@click.option("--resume", is_flag=True, help="Resume an earlier run with this output; start where there is none.")
@click.option("--retry-failed", is_flag=True, help="With --resume: read again where a picture could not be read.")
@click.option("--overwrite", is_flag=True, help="Begin anew where there is an earlier run with this output.")
@click.option("--give-up-after", type=click.IntRange(0), default=50, show_default=True, metavar="N", help="Stop after "
              "N pictures in a row that a permission or the network kept away; 0: never.")  # fmt: skip
@click.option("--preset", metavar="NAME|FOLDER", help="The model; see `facefeat presets`. [default: the bundled one]")
@click.option("--detector", default="centerface", show_default=True, metavar="NAME", help="whole-image where every "
              "picture is one face already, or a plugin's.")  # fmt: skip
@click.option("--latent", is_flag=True, help="Write each face's latent, too.")
@click.option("--column", metavar="NAME", help="The column of a Parquet's pictures. [default: found by its type]")
@click.option("--allow-remote", metavar="SCHEMES", default="", help="Schemes of addresses that a list of paths may "
              "hold, such as s3,https. [default: none, local files only]")  # fmt: skip
@click.option("--threads", type=click.IntRange(1, 1024), help="Threads that decode, in each process; without a "
              "cluster the networks have as many. [default: one per core; 8 at most decode]")  # fmt: skip
@click.option("--engine", type=click.Choice(["local", "ray"]), default="local", show_default=True,
              help="ray: workers on a cluster.")  # fmt: skip
@click.option(
    "--address", help="ray: address of the cluster; auto on one of its machines. [default: Ray is started here]"
)
@click.option("--workers", type=click.IntRange(1), help="ray: how many workers. [default: as many as fit]")
@click.option("--gpus", type=Finite(min=0), metavar="FRACTION", help="ray: GPUs of each worker, such as 0.5. "
              "[default: none]")  # fmt: skip
@click.option("--cpus", type=Finite(min=0), metavar="NUMBER", help="ray: CPUs of each worker. [default: 1]")
@click.pass_context
def batch(
    ctx: click.Context,
    inputs: tuple[str, ...],
    output: str,
    resume: bool,
    retry_failed: bool,
    overwrite: bool,
    give_up_after: int,
    preset: str | None,
    detector: str,
    latent: bool,
    column: str | None,
    allow_remote: str,
    threads: int | None,
    engine: str,
    address: str | None,
    workers: int | None,
    gpus: float | None,
    cpus: float | None,
) -> None:
    """Read every face of many pictures into one Parquet file.

    INPUT is a folder, a glob, a text file of paths, a tar, a Parquet file with pictures in a column, or any address
    that fsspec knows (s3://...). One row a face, and one with the reason for every picture without. A run that ended,
    even by kill -9, continues with --resume. Exits with 0 where every picture has its rows, 1 where none could be read.
    """
    from facefeat.batch.run import require_extra

    given = {"address": address, "workers": workers, "gpus": gpus, "cpus": cpus}
    for name in _OF_RAY:
        if engine == "local" and given[name] is not None:
            raise click.UsageError(f"--{name} is of the engine ray. Add: --engine ray")
    if not inputs:
        raise click.UsageError("no input given. Such as: facefeat batch photos/ -o faces.parquet")
    require_extra(engine)
    began = time.perf_counter()
    # Whatever Keras, a detector or Ray prints: standard output has results only.
    with contextlib.redirect_stdout(sys.stderr), contextlib.ExitStack() as stack:
        from facefeat.batch import Cluster, run_batch

        bar, shown = None, 0

        def show(count: int, total: int) -> None:
            nonlocal bar, shown
            if bar is None:  # everything is checked: errors come before the slow start of the model
                bar = stack.enter_context(progress("reading pictures", total))
            bar.advance(count - shown, "reading pictures")
            shown = count

        cluster = Cluster(address, workers, gpus or 0.0, 1.0 if cpus is None else cpus)
        done = run_batch(
            inputs, output, preset=preset, detector=detector, latent=latent, column=column, resume=resume,
            allow_remote=[s.strip() for s in allow_remote.split(",") if s.strip()],
            retry_failed=retry_failed, overwrite=overwrite,
            give_up_after=give_up_after, engine=engine, threads=threads, cluster=cluster,
            progress=show,
        )  # fmt: skip
    parts = [
        f"{n:,} {what if n == 1 else what + 's'}" for n, what in ((done.pictures, "picture"), (done.faces, "face"))
    ]
    parts += [f"{done.empty:,} without a face"] if done.empty else []
    parts += [f"{done.failed:,} could not be read"] if done.failed else []
    parts += [f"{done.resumed:,} pictures done before"] if done.resumed else []
    warn(f"{', '.join(parts)}, {time.perf_counter() - began:.1f} s")
    if done.failed:
        why = ", ".join(f"{name} {n:,}" for name, n in done.reasons.items())
        warn(
            f"{done.failed:,} of {done.pictures:,} pictures could not be read ({why}); the column reason says more. "
            "Next: the same command with --resume --retry-failed reads them again."
        )
    say(f"Written to {output}")
    if done.failed == done.pictures:
        ctx.exit(1)
