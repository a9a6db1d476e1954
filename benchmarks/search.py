"""Nearest faces among many: `python benchmarks/search.py [ROWS] [WIDTH] [FOLDER]`. Wants an idle machine.

By default 1,000,000 made latents of 256 numbers, in the system's folder for temporary files (3 GB). The latents are
random, with the spread of real ones: of those of `mobilenet-112-utkface` on UTKFace, the first principal component
has 27 % of the variance, the first 8 have 85 %, the first 32 have 97 %, and so have these. Prints the machine and
versions, then one row per figure of docs/benchmarks.md; the CPU time tells of a busy machine where it differs much
from the other.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

QUERIES, COUNT, CHUNK = 200, 10, 50_000


def made(rng: np.random.Generator, rows: int, width: int) -> np.ndarray:
    """(rows, width) float32: normal, each coordinate with its own variance, as above."""
    variance = (np.arange(width) + 4.0) ** -2.5
    return rng.standard_normal((rows, width), dtype="float32") * np.sqrt(variance).astype("float32")


def fill(folder: Path, rows: int, width: int) -> float:
    """Writes an index of made latents; how many seconds the approximate index took."""
    import pyarrow as pa

    from facefeat.index import database as store

    rng, schema = np.random.default_rng(0), store.schema_of(width, ())
    table = store.connect(folder).create_table(store.TABLE, schema=schema)
    for start in range(0, rows, CHUNK):
        n = min(CHUNK, rows - start)
        z = pa.array(made(rng, n, width).ravel())
        columns = {
            "unit": range(start, start + n), "file": [str(i) for i in range(start, start + n)], "face": [1] * n,
            "box": [None] * n, "age_years": [None] * n, "crop": [None] * n,
            "vector": pa.FixedSizeListArray.from_arrays(z, width),
        }  # fmt: skip
        table.add(pa.table(columns, schema=schema))
    start_time = time.perf_counter()
    approximate = store.make_searchable(table, "euclidean")
    facts = {"version": store.VERSION, "complete": True, "encoder": "", "model": "made", "metric": "euclidean"}
    facts |= {"latent_dim": width, "attributes": [], "approximate": approximate}
    (folder / store.FACTS).write_text(json.dumps(facts), "utf-8")
    return time.perf_counter() - start_time


def main() -> None:
    rows, width = (int(a) for a in (*sys.argv[1:3], *("1000000", "256")[len(sys.argv[1:3]) :]))
    packages = ("facefeat", "lancedb", "pyarrow", "numpy")
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}")
    print(", ".join(f"{p} {version(p)}" for p in packages))
    print(f"{rows:,} latents of {width} numbers, {QUERIES} queries for the {COUNT} nearest", flush=True)

    from facefeat.index import FaceIndex

    queries = made(np.random.default_rng(1), QUERIES, width)
    with tempfile.TemporaryDirectory(dir=sys.argv[3] if len(sys.argv) > 3 else None) as folder:
        print("what | value")
        print(f"making the index | {fill(Path(folder), rows, width):.0f} s", flush=True)
        size = sum(p.stat().st_size for p in Path(folder).rglob("*") if p.is_file())
        print(f"on disk | {size / 1e6:,.0f} MB")
        index = FaceIndex(folder)
        found: dict[bool, list[set[str]]] = {}
        for exact in (False, True):
            index.nearest(queries[:5], COUNT, exact=exact, crops=False)
            taken, cpu, found[exact] = [], time.process_time(), []
            for query in queries:
                start = time.perf_counter()
                (neighbours,) = index.nearest(query[None], COUNT, exact=exact, crops=False)
                taken.append(1000 * (time.perf_counter() - start))
                found[exact].append({n.file for n in neighbours})
            cpu = 1000 * (time.process_time() - cpu) / QUERIES
            last = statistics.quantiles(taken, n=20)[-1]
            what = f"one query, {'exact' if exact else 'by the index'}"
            print(f"{what} | {statistics.median(taken):.1f} ms; 95 % under {last:.1f} ms; CPU {cpu:.1f} ms", flush=True)
    recall = [len(a & b) / COUNT for a, b in zip(found[False], found[True], strict=True)]
    print(f"of the true {COUNT} nearest found by the index | {statistics.mean(recall):.4f}")


if __name__ == "__main__":
    main()
