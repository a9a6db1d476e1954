"""Compare face detectors: recall, false alarms, landmarks, time, memory, and what the classifier then reads.

    python benchmarks/detectors.py [--quick] [--part N] [--detectors 'a;b'] [--old FILE] [--only ...] [--classifier]

Data: shared/data, or the folder named by FACEFEAT_DATA. --old FILE is mtcnn.py of
an earlier commit, on TensorFlow, to be compared with: `git show 982ba61:src/facefeat/builtin/detectors/mtcnn.py`.
Prints Markdown. Processor times are medians of single detections in one process with one thread; others on the machine
slow them down, so compare only figures of one run.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
import scenes

from facefeat.builtin.detectors.centerface import CenterFace
from facefeat.builtin.detectors.mtcnn import Mtcnn

DETECTORS: dict[str, Callable[[], Any]] = {
    "mtcnn": lambda: Mtcnn(threads=1),
    "centerface": lambda: CenterFace(threads=1),
    "centerface, no turns": lambda: CenterFace(turned=False, threads=1),
    "centerface 256, one pass": lambda: CenterFace(side=256, max_side=64, turned=False, refine=False, threads=1),
    "centerface 640, one pass": lambda: CenterFace(side=640, max_side=64, turned=False, refine=False, threads=1),
}


def old_mtcnn(path: str) -> Any:
    """The class in an earlier mtcnn.py, on TensorFlow."""
    spec = importlib.util.spec_from_file_location("old_mtcnn", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["old_mtcnn"] = module
    spec.loader.exec_module(module)
    return module.Mtcnn()


def selection(title: str, quick: bool) -> tuple[int | None, int]:
    """(stop, step) of the pictures of a set: all, or the 714 that the table in REPORT.md is of."""
    if not quick:
        return None, 1
    if title.startswith("crowd"):
        return (4 if "in 640" in title else 2), 1
    if title.startswith("lfw"):
        return (6 if "200" in title else 3), 1
    count = {"wild": 94, "portraits": 24, "nothing": 110}.get(title, 36)
    total = {"wild": 563, "portraits": 585, "nothing": 372, "tilted 35-50": 141}.get(title)
    if total is None:
        total = 113 if "turned" in title else 140 if "cut" in title else 188
    step = max(1, total // count)
    return step * count, step


def recall(detectors: dict[str, Any], data: Path, quick: bool) -> dict[str, dict[str, str]]:
    """Set -> detector -> per cent found, or the number of false alarms and of pictures for the set "nothing"."""
    table: dict[str, dict[str, str]] = {}
    for title, build in scenes.SETS.items():
        hits, total, alarms, pictures = dict.fromkeys(detectors, 0), 0, dict.fromkeys(detectors, 0), 0
        stop, step = selection(title, quick)
        for scene in islice(build(data), 0, stop, step):
            total += len(scene.boxes)
            pictures += 1
            for name, detector in detectors.items():
                faces = [face.box for face in detector.detect(scene.image)]
                hit, spare = scenes.found(faces, scene.boxes, scene.smallest)
                hits[name] += hit
                if scene.complete:
                    alarms[name] += spare
        if total:
            table[f"{title} ({total})"] = {n: f"{100 * h / total:.1f}" for n, h in hits.items()}
        else:
            table[f"false alarms in {pictures} without faces"] = {n: str(a) for n, a in alarms.items()}
        print(f"  {title}: {pictures} pictures", file=sys.stderr, flush=True)
    return table


def speed(detectors: dict[str, Any], data: Path, repeats: int) -> dict[str, dict[str, str]]:
    """Processor milliseconds a photo: medians over photos of 448 pixels, 1 and 12 megapixels."""
    wild = [np.asarray(p) for _, p in islice(scenes.wild(data, 40), repeats)]
    photo = scenes.rgb(sorted((data / "photos").glob("*.jpg"))[0])
    sets = {"448 px": wild, "none found, 448 px": [np.full((448, 448, 3), 90, "uint8")] * 3}
    for title, side in {"1 MP": (1155, 866), "12 MP": (4000, 3000)}.items():
        sets[title] = [np.asarray(photo.resize(side, Image.Resampling.BICUBIC))] * max(3, repeats // 4)
    table: dict[str, dict[str, str]] = {}
    for title, images in sets.items():
        spent: dict[str, list[float]] = {name: [] for name in detectors}
        for detector in detectors.values():
            detector.detect(images[0])
        for image in images:  # one after the other on the same picture, so that a busy machine is unfair to none
            for name, detector in detectors.items():
                start = time.process_time()
                detector.detect(image)
                spent[name].append(time.process_time() - start)
        table[f"processor ms, {title}"] = {n: f"{1000 * np.median(v):.1f}" for n, v in spent.items()}
    return table


_MEMORY = """
import resource, sys, time, numpy as np
start = time.process_time()
sys.path.insert(0, {here!r})
import detectors
detector = detectors.make({name!r}, {old!r})
image = (np.random.default_rng(0).random((448, 448, 3)) * 255).astype("uint8")
detector.detect(image)
print(time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def make(name: str, old: str | None) -> Any:
    return old_mtcnn(old) if name == "mtcnn, TensorFlow" and old else DETECTORS[name]()


def start_up(names: list[str], old: str | None) -> dict[str, dict[str, str]]:
    """Of a fresh process that detects in one picture of 448 pixels: processor seconds and peak memory."""
    table: dict[str, dict[str, str]] = {"cold start, processor s": {}, "cold start, peak MiB": {}}
    for name in names:
        code = _MEMORY.format(here=str(Path(__file__).parent), name=name, old=old)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        seconds, peak = (float(v) for v in done.stdout.split()[-2:])
        table["cold start, processor s"][name] = f"{seconds:.2f}"
        table["cold start, peak MiB"][name] = f"{peak:.0f}"
    return table


def sizes() -> dict[str, float]:
    """MB of the graphs by file name."""

    from facefeat.builtin.detectors.common import FOLDER

    return {p.name: p.stat().st_size / 1e6 for p in sorted(FOLDER.glob("*.onnx"))}


def landmarks(detectors: dict[str, Any], data: Path, part: int) -> dict[str, dict[str, str]]:
    """Distance from the landmarks of "mtcnn" in per cent of its eye distance, where both found the labelled face."""
    if "mtcnn" not in detectors:
        return {}
    left, top, right, bottom = scenes.WILD_BOX
    middle = np.array([left + right, top + bottom]) / 2
    apart: dict[str, list[float]] = {name: [] for name in detectors}
    for _, picture in scenes.wild(data, part):
        marks = {name: nearest(d.detect(np.asarray(picture)), middle) for name, d in detectors.items()}
        true = marks["mtcnn"]
        if true is None:
            continue
        eye = np.hypot(*(true[1] - true[0]))
        for name, points in marks.items():
            if points is not None:
                apart[name].append(100 * float(np.hypot(*(points - true).T).mean() / eye))
    return {
        f"landmarks apart from mtcnn's, % of eye distance, {title}": {
            n: f"{np.percentile(v, p):.1f}" if v else "no landmarks" for n, v in apart.items()
        }
        for title, p in (("median", 50), ("90th percentile", 90))
    }


def nearest(faces: list[Any], middle: np.ndarray) -> np.ndarray | None:
    """Landmarks of the face whose centre is nearest to a point, where it is near at all."""
    near = [(float(np.hypot(*((np.add(f.box[:2], f.box[2:])) / 2 - middle))), f) for f in faces]
    apart, face = min(near, key=lambda p: p[0], default=(np.inf, None))
    return None if face is None or apart > 80 else face.landmarks


def readings(detectors: dict[str, Any], data: Path, part: int) -> dict[str, dict[str, str]]:
    """What the bundled classifier says of the labelled faces, as each detector aligns them."""
    from facefeat import FaceFeatureModel
    from facefeat.image import align_face

    model = FaceFeatureModel.from_preset()
    alignment, size = model.classifier.alignment, model.classifier.image_size
    rows: dict[str, dict[str, str]] = {}
    left, top, right, bottom = scenes.WILD_BOX
    middle = np.array([left + right, top + bottom]) / 2
    with (data / "fairface" / "wild" / "labels.csv").open() as f:
        labels = {r["file"]: r for r in csv.DictReader(f)}
    with (data / "portraits" / "labels.csv").open() as f:
        people = {r["file"]: r for r in csv.DictReader(f)}
    wild = [(labels[n], np.asarray(p), middle) for n, p in scenes.wild(data, part)]
    posed = [(people[s.name], s.image, None) for s in islice(scenes.portraits(data), 0, None, part)]
    for title, items in (("wild", wild), ("portraits", posed)):
        for name, detector in detectors.items():
            crops, known, lost = [], [], 0
            for row, image, place in items:
                faces = detector.detect(image)
                if place is not None:
                    faces = sorted(faces, key=lambda f: float(np.hypot(*(np.add(f.box[:2], f.box[2:]) / 2 - place))))
                if not faces:
                    lost += 1
                    continue
                crops.append(align_face(image, faces[0], alignment, size))
                known.append(row)
            batch = model.predict_faces(np.stack(crops))
            said = batch.labels["gender"]
            right_gender = np.array([g.lower() == r["gender"].lower() for g, r in zip(said, known, strict=True)])
            cell = f"{100 * right_gender.mean():.1f}"
            rows.setdefault(f"gender right, {title}, of found", {})[name] = cell
            rows.setdefault(f"gender right, {title}, of all", {})[name] = f"{100 * right_gender.sum() / len(items):.1f}"
            rows.setdefault(f"not found, {title}, of {len(items)}", {})[name] = str(lost)
    return rows


def show(table: dict[str, dict[str, str]], names: list[str]) -> None:
    print("| |" + "|".join(names) + "|")
    print("|---|" + "---|" * len(names))
    for title, row in table.items():
        print(f"| {title} |" + "|".join(row.get(n, "") for n in names) + "|", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", type=int, default=1, help="of landmarks and readings: every Nth picture")
    parser.add_argument("--quick", action="store_true", help="recall on 714 of the 4,500 pictures")
    parser.add_argument("--detectors", default="")
    parser.add_argument("--old")
    parser.add_argument("--classifier", action="store_true")
    parser.add_argument("--only", default="recall,landmarks,speed,start")
    parser.add_argument("--json")
    options = parser.parse_args()
    data = Path(os.environ.get("FACEFEAT_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
    names = options.detectors.split(";") if options.detectors else list(DETECTORS)
    built = {name: make(name, None) for name in names}
    table: dict[str, dict[str, str]] = {}
    only = options.only.split(",")
    if "recall" in only:
        table |= recall(built, data, options.quick)
    if "landmarks" in only:
        table |= landmarks(built, data, options.part)
    if "start" in only:
        table |= start_up([*names, *(["mtcnn, TensorFlow"] if options.old else [])], options.old)
    if options.old:  # last: TensorFlow's threads would take part in all that is measured after it is imported
        names = ["mtcnn, TensorFlow", *names]
        built = {"mtcnn, TensorFlow": old_mtcnn(options.old), **built}
    if "speed" in only:
        table |= speed(built, data, 16)
    if options.classifier:
        table |= readings(built, data, options.part)
    show(table, names)
    print("\nGraphs: " + ", ".join(f"{n} {s:.2f} MB" for n, s in sizes().items()))
    if options.json:
        Path(options.json).write_text(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
