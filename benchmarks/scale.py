"""A billion photos on paper: `python benchmarks/scale.py [PHOTO...]`, which prints the tables of docs/scale.md.

First the service times of this machine are measured: reading, finding faces, classifying, writing rows. Then a cluster
of such machines is simulated (SimPy, discrete events, a chunk of 64 pictures as the unit, as in `facefeat batch`): the
store that pictures come from answers so many requests a second, machines fetch ahead and work, one driver takes the
rows and writes them, and machines are lost now and then. Beside each simulated rate stands that of the narrowest part
alone: where the two agree, the formula can be trusted for sizes that were not simulated.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from measured import machine

CHUNK, TASK = 64, 8  # pictures of a chunk; chunks that a lost machine costs
PORTRAIT = Path(__file__).resolve().parent.parent / "docs" / "assets" / "portrait.jpg"


@dataclass(frozen=True)
class Times:
    """Seconds of one machine per picture (decode, detect, classify), and of the driver per row."""

    decode: float
    detect: float
    classify: float
    row: float

    @property
    def picture(self) -> float:
        return self.decode + self.detect + self.classify


@dataclass(frozen=True)
class World:
    """What is assumed of the rest. requests: of the store per second, over all. latency: seconds of one request.

    fetchers: requests that a machine has open. lost: machines lost per machine and day. restart: seconds until a lost
    one is replaced.
    """

    requests: float
    latency: float
    fetchers: int
    lost: float
    restart: float


def measure(photos: list[Path]) -> Times:
    """The service times here, on photos that are each read as one of a chunk."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from facefeat import FaceFeatureModel
    from facefeat.image.align import open_image

    model = FaceFeatureModel.from_preset()
    chosen = [photos[i % len(photos)] for i in range(CHUNK)]
    crops = model.align([str(p) for p in chosen])

    def seconds(run: Any) -> float:
        run()
        taken = []
        for _ in range(3):
            start = time.perf_counter()
            run()
            taken.append(time.perf_counter() - start)
        return float(np.median(taken))

    whole = seconds(lambda: model.predict([str(p) for p in chosen])) / CHUNK
    decode = seconds(lambda: [open_image(p) for p in chosen]) / CHUNK
    classify = seconds(lambda: model.predict_faces(crops)) / CHUNK
    rows = 200_000
    columns = {f"p{i}": np.random.default_rng(i).random(rows, "float32") for i in range(20)}
    table = pa.table({"source": [f"s3://bucket/{i:012d}.jpg" for i in range(rows)], **columns})
    with tempfile.TemporaryDirectory() as folder:
        row = seconds(lambda: pq.write_table(table, Path(folder) / "rows.parquet")) / rows
    return Times(decode, max(0.0, whole - decode - classify), classify, row)


def simulate(times: Times, world: World, machines: int, chunks: int, seed: int = 0) -> tuple[float, dict[str, float]]:
    """Pictures per second in the steady state, and how busy each part was, 0 to 1."""
    import simpy

    env = simpy.Environment()
    rng = np.random.default_rng(seed)
    store, driver = simpy.Resource(env), simpy.Resource(env)
    busy = {"store": 0.0, "machines": 0.0, "driver": 0.0}
    done: list[float] = []

    def fetch(buffer: Any) -> Iterator[Any]:
        while True:
            with store.request() as turn:
                yield turn
                took = CHUNK / world.requests
                yield env.timeout(took)
                busy["store"] += took
            # The requests of a chunk go out `fetchers` at a time.
            yield env.timeout(float(rng.gamma(4, world.latency / 4)) * CHUNK / world.fetchers)
            yield buffer.put(1)

    def work(buffer: Any) -> Iterator[Any]:
        mean = CHUNK * times.picture
        while True:
            yield buffer.get()
            took = float(rng.gamma(16, mean / 16))  # chunks differ by a quarter
            yield env.timeout(took)
            busy["machines"] += took
            if rng.random() < world.lost * took / 86_400:
                yield env.timeout(world.restart + TASK * mean)  # replaced, and its task read again
                continue
            with driver.request() as turn:
                yield turn
                took = CHUNK * times.row
                yield env.timeout(took)
                busy["driver"] += took
            done.append(env.now)

    for _ in range(machines):
        buffer = simpy.Store(env, capacity=2)
        env.process(fetch(buffer))
        env.process(work(buffer))
    # Until so many chunks were read, or as long as one machine would take for its share of them.
    narrowest = CHUNK / min(rates(times, world, machines).values())
    env.run(until=chunks * narrowest + 4 * CHUNK * times.picture)
    settled = [t for t in done if t > env.now / 4]
    rate = CHUNK * len(settled) / (env.now * 3 / 4)
    return rate, {k: v / env.now / (machines if k == "machines" else 1) for k, v in busy.items()}


def rates(times: Times, world: World, machines: int) -> dict[str, float]:
    """Pictures per second that each part could do if it were alone."""
    lost = world.lost * (world.restart + TASK * CHUNK * times.picture) / 86_400
    return {
        "store": world.requests,
        "fetching": machines * world.fetchers / world.latency,
        "machines": machines / times.picture / (1 + lost),
        "driver": 1 / times.row,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="*", type=Path, default=[PORTRAIT])
    parser.add_argument("--machines", default="1,10,100,200,1000,5000")
    parser.add_argument("--pictures", type=float, default=1e9)
    parser.add_argument("--requests", type=float, default=5500, help="of the store per second and prefix")
    parser.add_argument("--prefixes", type=int, default=1, help="that the pictures are spread over")
    parser.add_argument("--latency", type=float, default=0.05, help="seconds of one request")
    parser.add_argument("--fetchers", type=int, default=16, help="open requests of a machine")
    parser.add_argument("--lost", type=float, default=0.1, help="machines lost per machine and day")
    parser.add_argument("--price-hour", type=float, default=0.08, help="of a machine like this one")
    parser.add_argument("--price-thousand", type=float, default=0.0004, help="of a thousand requests")
    args = parser.parse_args()
    packages = ("facefeat", "keras", "onnxruntime", "pyarrow", "simpy")
    machine(*packages)
    times = measure(args.photos)
    print("\nmeasured here | milliseconds a picture")
    for name in ("decode", "detect", "classify", "picture"):
        print(f"{name} | {1000 * getattr(times, name):.2f}")
    print(f"a row written | {1000 * times.row:.5f}")
    world = World(args.requests * args.prefixes, args.latency, args.fetchers, args.lost, 120.0)
    print("\nmachines | pictures/s, simulated | narrowest alone | which | busy: store, machines, driver | days | price")
    for machines in map(int, args.machines.split(",")):
        alone = rates(times, world, machines)
        which = min(alone, key=lambda k: alone[k])
        rate, busy = simulate(times, world, machines, chunks=max(400, 8 * machines))
        seconds = args.pictures / rate
        price = machines * args.price_hour * seconds / 3600 + args.pictures / 1000 * args.price_thousand
        shares = ", ".join(f"{busy[k]:.0%}" for k in ("store", "machines", "driver"))
        print(
            f"{machines:,} | {rate:,.0f} | {alone[which]:,.0f} | {which} | {shares} | {seconds / 86_400:,.1f} | "
            f"{price:,.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
