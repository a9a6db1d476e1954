"""The checks of the kinds that are no Keras model: detector, analyzer and preset."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from facefeat.errors import FacefeatError
from facefeat.plugins.contracts import Analyzer, Component, Detector
from facefeat.testing import contract
from facefeat.testing.contract import CheckOptions, Findings
from facefeat.testing.toys import toy_crops, toy_image, toy_labels, toy_latents, toy_preset
from facefeat.types import Analysis, Face, FaceSet
from facefeat.utils.frames import import_pandas

if TYPE_CHECKING:
    from facefeat.types import UInt8Array

SIZES = ((48, 64), (64, 48), (120, 90), (1, 1), (3, 200))
"""(height, width) of the made images: wide, high, tiny and thin; the first two twice as a batch of mixed sizes."""
DATA_FILES = (".h5", ".onnx", ".json", ".md", ".npz", ".txt", ".png", ".jpg", ".csv", ".toml", ".svg")
"""What a preset's files may end with: data, none of which runs."""


def check_detector(
    component: Component,
    *,
    images: Sequence[UInt8Array] = (),
    **options: Unpack[CheckOptions],
) -> Detector:
    """Check a detector: image (H, W, 3) uint8 RGB -> faces, largest first; a batch gives what one by one gives.

    images: photos with faces, in addition to the synthetic ones; each must give a face.
    options: see `CheckOptions`. Gives the detector of the defaults. Raises ContractError with all faults.
    """
    found, configs = contract.begin("detector", component, options)

    def check(detector: Any, config: Mapping[str, Any]) -> None:
        _check_detections(found, detector, images)

    detector: Detector = contract.check_each(found, configs, (Detector, "detect and detect_batch"), "detect", check)
    return detector


def _check_detections(found: Findings, detector: Any, images: Sequence[UInt8Array]) -> None:
    photos = [*(toy_image(h, w, i) for i, (h, w) in enumerate(SIZES)), np.zeros((40, 40, 3), "uint8"), *images]
    singles = []
    for i, photo in enumerate(photos):
        photo = photo.copy()
        photo.flags.writeable = False  # an image is the caller's: it must not be changed
        height, width = photo.shape[:2]
        where = f"detect of an image ({height}, {width}, 3)"
        with found.step(f"{where} must work, on an array that cannot be written to"):
            faces = detector.detect(photo)
            singles.append(faces)
            _check_faces(found, faces, where)
            if i >= len(photos) - len(images):
                found.expect(faces, f"{where}, one of images=, must find a face", "none")
    found.stop_at_faults()
    if found.wants("determinism"):
        with found.step("detect must work twice"):
            again = [detector.detect(p) for p in photos]
            found.expect(_same(again, singles), "a second detect must find the same faces", _counts(again))
    if found.wants("batches"):
        for n in (0, 1, len(photos)):
            with found.step(f"detect_batch of {n} images must work"):
                batch = detector.detect_batch(photos[:n])
                wanted = f"detect_batch of {n} images must give a list for each, with what detect finds"
                good = isinstance(batch, list) and len(batch) == n
                if found.expect(good, wanted, f"{type(batch).__name__} of {len(batch)}"):
                    found.expect(_same(batch, singles[:n]), wanted, f"{_counts(batch)}, not {_counts(singles[:n])}")


def _check_faces(found: Findings, faces: Any, where: str) -> None:
    good = isinstance(faces, list) and all(isinstance(f, Face) for f in faces)
    if not found.expect(good, f"{where} must give a list of facefeat.Face", type(faces).__name__):
        return
    areas = [f.area for f in faces]
    found.expect(areas == sorted(areas, reverse=True), f"{where} must give the largest face first", areas)
    for face in faces:
        box = tuple(face.box)
        valid = len(box) == 4 and np.isfinite(box).all() and box[0] < box[2] and box[1] < box[3]
        found.expect(valid, f"{where}: a box is (left, top, right, bottom) in pixels, with an area", box)
        score = face.score
        number = isinstance(score, int | float | np.floating) and 0 <= score <= 1
        found.expect(number, f"{where}: a score is a number from 0 to 1", score)
        marks = face.landmarks
        if marks is not None:
            known = isinstance(marks, np.ndarray) and marks.shape == (5, 2) and marks.dtype == np.float32
            came = f"{marks.shape} {marks.dtype}" if isinstance(marks, np.ndarray) else type(marks).__name__
            found.expect(known, f"{where}: landmarks are (5, 2) float32 of (x, y), or None", came)
        with found.step(f"{where}: a face must be JSON-able"):
            json.dumps(face.to_dict())


def _same(a: Sequence[Sequence[Face]], b: Sequence[Sequence[Face]]) -> bool:
    if [len(x) for x in a] != [len(x) for x in b]:
        return False
    pairs = [pair for x, y in zip(a, b, strict=True) for pair in zip(x, y, strict=True)]
    return all(np.allclose(x.box, y.box, rtol=1e-3, atol=0.5) for x, y in pairs)


def _counts(faces: Sequence[Sequence[Face]]) -> str:
    return f"{[len(f) for f in faces]} faces"


def check_analyzer(
    component: Component,
    *,
    rows: int = 40,
    dim: int = 8,
    **options: Unpack[CheckOptions],
) -> Analyzer:
    """Check an analyzer: latents (N, D) float32 and labels, attribute -> (N,), -> Analysis.

    rows, dim: N and D of the made latents. The labels come as names of classes, and as their numbers. With 0 or 1 row
    it may refuse, but with a facefeat error that says what it needs. An analyzer with `needs_faces = True` gets the toy
    preset and toy faces with them, and must refuse without, in the same way.
    options: see `CheckOptions`. Gives the analyzer of the defaults. Raises ContractError with all faults.
    """
    found, configs = contract.begin("analyzer", component, options)

    def check(analyzer: Any, config: Mapping[str, Any]) -> None:
        _check_analysis(found, analyzer, rows, dim)

    analyzer: Analyzer = contract.check_each(found, configs, (Analyzer, "analyze"), "analyze", check)
    return analyzer


def _check_analysis(found: Findings, analyzer: Any, rows: int, dim: int) -> None:
    latents, labels = toy_latents(rows, dim), toy_labels(rows)
    latents.flags.writeable = False  # the caller's: it must not be changed
    analyze = _with_faces(found, analyzer, rows) if getattr(analyzer, "needs_faces", False) else analyzer.analyze
    analysis = analyze(latents, labels)
    _look_at_analysis(found, analysis, dim)
    found.stop_at_faults()
    with found.step("model=None must be taken by name"):
        again = analyze(latents, labels, model=None)
        if found.wants("determinism"):
            same = again.table.equals(analysis.table) or _near(again.table, analysis.table)
            found.expect(same, "a second analyze of the same must give the same table", "another one")
    with found.step("labels may be numbers of classes"):
        numbers = {n: np.unique(v, return_inverse=True)[1].astype("int32") for n, v in labels.items()}
        _look_at_analysis(found, analyze(latents, numbers), dim)
    if found.wants("batches"):
        for n in (0, 1):
            with found.step(f"analyze of {n} latents must give an Analysis, or raise a facefeat error"):
                try:
                    few = analyze(latents[:n], {k: v[:n] for k, v in labels.items()})
                except FacefeatError:
                    continue
                _look_at_analysis(found, few, dim, empty=True)
    if found.wants("round-trip"):
        with found.step("an Analysis must be JSON-able"):
            json.dumps(analysis.to_dict())
        with tempfile.TemporaryDirectory(prefix="facefeat-check-") as folder, found.step("an Analysis must be savable"):
            analysis.save(folder)


def _with_faces(found: Findings, analyzer: Any, rows: int) -> Callable[..., Any]:
    """`analyze` with the toy preset and as many toy faces as there are latents."""
    from facefeat.model import FaceFeatureModel

    with tempfile.TemporaryDirectory(prefix="facefeat-check-") as folder:
        toy = FaceFeatureModel.from_preset(toy_preset(Path(folder) / "toy"))
    crops = toy_crops(rows, toy.image_size)

    def analyze(latents: Any, labels: Any, model: Any = None) -> Any:
        n = len(latents)
        faces = FaceSet(tuple(f"{i}.png" for i in range(n)), {}, lambda at: crops[:n][at])
        return analyzer.analyze(latents, labels, model=model or toy, faces=faces)

    latents, labels = toy_latents(rows), toy_labels(rows)
    with found.step("without model and faces, analyze must raise a facefeat error"):
        try:
            analyzer.analyze(latents, labels)
        except FacefeatError:
            return analyze
        found.expect(False, "without model and faces, analyze must raise a facefeat error", "an answer")
    return analyze


def _near(a: Any, b: Any) -> bool:
    if list(a.columns) != list(b.columns) or len(a) != len(b):
        return False
    numbers = a.select_dtypes("number").columns
    others = [c for c in a.columns if c not in numbers]
    return a[others].equals(b[others]) and np.allclose(a[numbers], b[numbers], rtol=1e-3, atol=1e-4, equal_nan=True)


def _look_at_analysis(found: Findings, analysis: Any, dim: int, *, empty: bool = False) -> None:
    pd = import_pandas()
    if not found.expect(
        isinstance(analysis, Analysis), "analyze must give a facefeat.Analysis", type(analysis).__name__
    ):
        return
    found.expect(isinstance(analysis.name, str) and analysis.name, "an Analysis has a name", repr(analysis.name))
    table = analysis.table
    if found.expect(isinstance(table, pd.DataFrame), "table must be a pandas DataFrame", type(table).__name__):
        found.expect(empty or len(table), "table must have rows", "none")
        columns = list(table.columns)
        named = all(isinstance(c, str) for c in columns) and len(set(columns)) == len(columns)
        found.expect(named, "the columns of table have names, each its own", columns)
    for name, figure in analysis.figures.items():
        plain = isinstance(name, str) and name.replace("-", "").replace("_", "").isalnum()
        found.expect(plain, "a figure's name is letters, digits, '-' and '_': it becomes a file name", repr(name))
        found.expect(hasattr(figure, "savefig"), "a figure is a matplotlib Figure", type(figure).__name__)
    for name, direction in analysis.directions.items():
        value = np.asarray(direction)
        good = value.shape == (dim,) and value.dtype == np.float32
        wanted = f"direction {name!r} must be ({dim},) float32 of length 1"
        if found.expect(good, wanted, f"{value.shape} {value.dtype}"):
            length = float(np.linalg.norm(value))
            found.expect(abs(length - 1) < 1e-3, wanted, f"length {length:.4g}")


def check_preset(component: Component, **options: Unpack[CheckOptions]) -> Path:
    """Check a preset: a folder of data that loads, predicts, says its licence, and survives being saved again.

    options: see `CheckOptions`. Gives the folder. Raises ContractError with all faults.
    """
    found, _ = contract.begin("preset", component, options)
    folder = Path()
    with found.step("build must give the path of a folder"):
        folder = Path(component.build())
    if not found.expect(folder.is_dir(), "build must give the path of an existing folder", repr(str(folder))):
        found.stop_at_faults()
    before = _listing(folder)
    code = [n for n in before if not n.endswith(DATA_FILES) and n != "SHA256SUMS"]
    found.expect(not code, f"a preset is data: its files end in {', '.join(DATA_FILES)}", ", ".join(code))
    with contract.no_files(found, "loading and predicting"), found.step("the preset must load and predict"):
        _check_loading(found, folder)
    found.expect(_listing(folder) == before, "loading and predicting must not change the folder", "a change")
    found.stop_at_faults()
    return folder


def _listing(folder: Path) -> dict[str, tuple[int, int]]:
    stats = {str(p.relative_to(folder)): p.stat() for p in sorted(folder.rglob("*")) if p.is_file()}
    return {name: (s.st_size, s.st_mtime_ns) for name, s in stats.items()}


def _check_loading(found: Findings, folder: Path) -> None:
    from facefeat.model import FaceFeatureModel
    from facefeat.presets.store import read_config

    config = read_config(folder)
    for key in ("name", "summary", "licence"):
        found.expect(config.get(key), f"config.json must have a {key}", repr(config.get(key)))
    card = folder / "model_card.md"
    found.expect(card.is_file() and card.stat().st_size, "there must be a model_card.md", "none")
    model = FaceFeatureModel.from_preset(folder, detector="whole-image")
    crops = toy_crops(3, model.image_size)
    batch = model.predict_faces(crops)
    for name, p in batch.probabilities.items():
        shape = (3, len(model.schema[name].classes))
        found.expect(p.shape == shape and p.dtype == np.float32, f"{name}: probabilities are {shape} float32", p.shape)
        sums = p.sum(axis=1)
        found.expect(np.allclose(sums, 1, atol=1e-3), f"{name}: probabilities of a face sum to 1", sums)
    drawn = model.reconstruct(crops) if model.has_decoder else crops
    side = model.decoder.face_size if model.has_decoder else model.image_size
    same = drawn.shape == (3, side, side, 3) and drawn.dtype == np.uint8
    found.expect(same, f"the decoder must draw {(3, side, side, 3)} uint8", f"{drawn.shape} {drawn.dtype}")
    if found.wants("batches"):
        for n in (0, 1):
            with found.step(f"a batch of {n} must work"):
                few = model.predict_faces(crops[:n])
                near = all(np.allclose(few.probabilities[k], p[:n], atol=1e-3) for k, p in batch.probabilities.items())
                found.expect(near, f"a batch of {n} must give what {n} rows of 3 do", "something else")
    if found.wants("round-trip"):
        with tempfile.TemporaryDirectory(prefix="facefeat-check-") as made:
            saved = model.save(Path(made) / "again")
            other = FaceFeatureModel.from_preset(saved, detector="whole-image")
            again = other.predict_faces(crops)
            near = all(np.allclose(again.probabilities[k], p, atol=1e-3) for k, p in batch.probabilities.items())
            found.expect(near, "saved and loaded again, it must predict the same", "something else")
            redrawn = other.reconstruct(crops) if model.has_decoder else crops
            near = bool(np.abs(redrawn.astype(int) - drawn).max() <= 2)
            found.expect(near, "saved and loaded again, it must draw the same", "something else")
