"""Memory of `facefeat batch` over 100,000 crops: `python benchmarks/memory.py [--counts 10000,100000] [--kinds tar]`.

Makes a tar and a Parquet file of small crops in a temporary folder (half a gigabyte each), and reads them with the
command itself, with the detector `whole-image`, in a process of its own. Twice a second the resident memory of that
process and of those it started is added up; constant memory shows as a peak that does not grow with the count. Prints
the machine and versions, then a row for each run.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from measured import machine

EVERY = 0.5  # seconds between two looks; each costs some milliseconds
DIFFERENT = 500  # crops that are made; then they come again, for a picture costs what it costs
SIDE = 96


def crops() -> list[bytes]:
    """JPEGs of SIDE x SIDE pixels, as smooth and as large as faces are."""
    import numpy as np
    from PIL import Image

    made = []
    for i in range(DIFFERENT):
        pixels = np.random.default_rng(i).integers(0, 256, (12, 12, 3), dtype="uint8")
        out = io.BytesIO()
        Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(out, "JPEG", quality=90)
        made.append(out.getvalue())
    return made


def write(path: Path, made: list[bytes], count: int) -> None:
    """A tar or a Parquet file, by its ending, of `count` crops."""
    if path.suffix == ".tar":
        with tarfile.open(path, "w") as tar:
            for i in range(count):
                data = made[i % len(made)]
                about = tarfile.TarInfo(f"{i:07d}.jpg")
                about.size = len(data)
                tar.addfile(about, io.BytesIO(data))
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("image", pa.binary())])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, count, 512):
            rows = [made[i % len(made)] for i in range(start, min(count, start + 512))]
            writer.write_table(pa.table({"image": pa.array(rows, pa.binary())}, schema=schema))


def held(root: int) -> int:
    """Resident bytes of a process and of all that it started. Pages that they share count once for each."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,rss="], check=True, capture_output=True, text=True).stdout
    parents, sizes = {}, {}
    for line in listed.splitlines():
        pid, parent, size = map(int, line.split())
        parents[pid], sizes[pid] = parent, 1024 * size
    ours, more = set(), {root} & set(sizes)
    while more:
        ours |= more
        more = {pid for pid, parent in parents.items() if parent in ours} - ours
    return sum(sizes[pid] for pid in ours)


def watched(command: list[str], said: Path) -> tuple[float, list[int]]:
    """Seconds that a command took, and its memory all the while, in bytes. said: where its messages go."""
    looks = []
    with said.open("wb") as messages:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=messages)
        while process.poll() is None:
            looks.append(held(process.pid))
            time.sleep(EVERY)
        took = time.perf_counter() - began
    if process.returncode:
        sys.exit(f"{' '.join(command)}\n{said.read_text('utf-8', 'replace')[-2000:]}")
    return took, [n for n in looks if n]


def runs(kinds: list[str], counts: list[int]) -> Iterator[tuple[str, int, float, list[int]]]:
    """(kind, crops, seconds, memory all the while) of each run."""
    import pyarrow.parquet as pq

    made = crops()
    for kind in kinds:
        for count in counts:
            with tempfile.TemporaryDirectory() as folder:
                given, output = Path(folder) / f"crops.{kind}", Path(folder) / "faces.out"
                write(given, made, count)
                command = [sys.executable, "-m", "facefeat", "batch", str(given), "-o", str(output)]
                took, looks = watched([*command, "--detector", "whole-image"], Path(folder) / "said.txt")
                reasons = pq.read_table(output, columns=["reason"]).column(0)
                if (len(reasons), reasons.null_count) != (count, count):
                    sys.exit(f"{len(reasons):,} rows, {reasons.null_count:,} of them faces, not {count:,}")
            yield kind, count, took, looks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", default="10000,100000", help="crops, one run each")
    parser.add_argument("--kinds", default="tar,parquet")
    args = parser.parse_args()
    packages = ("facefeat", "onnxruntime", "numpy", "pillow", "pyarrow")
    machine(*packages)
    print(f"crops of {SIDE} pixels, detector whole-image")
    print("input | crops | seconds in all | crops/s, start included | at most in the first half, MB | at most, MB")
    counts = sorted(map(int, args.counts.split(",")))
    peaks: dict[str, list[int]] = {}
    for kind, count, took, looks in runs(args.kinds.split(","), counts):
        half, peak = max(looks[: len(looks) // 2 + 1]), max(looks)
        peaks.setdefault(kind, []).append(peak)
        row = f"{kind} | {count:,} | {took:.0f} | {count / took:,.0f} | {half / 1e6:,.0f} | {peak / 1e6:,.0f}"
        print(row, flush=True)
    print(f"\nfrom {counts[0]:,} to {counts[-1]:,} crops, the peak grows by | MB")
    for kind, found in peaks.items():
        print(f"{kind} | {(found[-1] - found[0]) / 1e6:,.0f}")


if __name__ == "__main__":
    main()
