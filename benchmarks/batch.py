"""Batch runs: pictures/s and peak memory for more and more pictures: `python benchmarks/batch.py [PHOTO...] [options]`.

Copies of the photos (by default the portrait of docs/assets) are read by `facefeat batch` in a process of its own, once
for each count. Constant memory shows as peaks that do not grow with the count. Prints the machine and versions, then
one row per count. `--engine ray --workers N` measures that engine; memory is then of the driver alone.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measured import machine

PORTRAIT = Path(__file__).resolve().parent.parent / "docs" / "assets" / "portrait.jpg"

RUN = """
import json, os, resource, sys, time
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
from facefeat.batch import Cluster, run_batch
inputs, output, given = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
workers = given.pop("workers")
first = []
def progress(done, total):
    first.append(time.perf_counter()) if len(first) < 2 else None  # all checked; the first chunk read
began = time.perf_counter()
done = run_batch(inputs, output, cluster=Cluster(workers=workers), progress=progress, **given)
ended = time.perf_counter()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(json.dumps({"seconds": ended - began, "start": first[1] - first[0], "faces": done.faces, "peak": peak}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="*", type=Path, default=[PORTRAIT])
    parser.add_argument("--counts", default="256,1024,4096", help="pictures, one run each")
    parser.add_argument("--detector", default="centerface")
    parser.add_argument("--engine", default="local")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--latent", action="store_true")
    args = parser.parse_args()
    packages = ["facefeat", "onnxruntime", "numpy", "pillow", "pyarrow"]
    packages += ["ray"] if args.engine == "ray" else []
    machine(*packages)
    print(f"{len(args.photos)} photos, detector {args.detector}, engine {args.engine}")
    print("pictures | faces | seconds in all | pictures/s after the first chunk | peak memory, MB")
    given = {"detector": args.detector, "engine": args.engine, "latent": args.latent, "workers": args.workers}
    with tempfile.TemporaryDirectory() as folder:
        for count in map(int, args.counts.split(",")):
            listed = Path(folder) / f"{count}.txt"
            # The same file many times: a picture costs what it costs, and the disk is not what is measured.
            names = [str(args.photos[i % len(args.photos)].resolve()) for i in range(count)]
            listed.write_text("\n".join(names), "utf-8")
            got = run(listed, Path(folder) / f"{count}.parquet", given)
            rate = (count - 64) / max(1e-9, got["seconds"] - got["start"])
            print(
                f"{count:,} | {got['faces']:,} | {got['seconds']:.1f} | {rate:.1f} | {got['peak'] / 1e6:.0f}",
                flush=True,
            )


def run(inputs: Path, output: Path, given: dict[str, object]) -> dict[str, float]:
    """What one run in a process of its own took."""
    command = [sys.executable, "-c", RUN, str(inputs), str(output), json.dumps(given)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


if __name__ == "__main__":
    began = time.perf_counter()
    main()
    print(f"in all {time.perf_counter() - began:.0f} s")
