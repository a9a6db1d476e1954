"""The one model that a page has: loaded once, shared by everybody who uses the page, asked in batches."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat import FacefeatError, FaceFeatureModel, InputError
from facefeat.image.align import align_face, resize_crops
from facefeat.plugins.registry import get_registry
from facefeat.utils.machine import cores
from facefeat_demo import editing
from facefeat_demo.exploring import Atlas, Portrait, atlas_of, with_portraits
from facefeat_demo.morph_view import hero, viewer
from facefeat_demo.photos import EXAMPLES, FACE, PORTRAITS, SEVERAL, open_photo, shrink
from facefeat_demo.redaction import without_paths

if TYPE_CHECKING:
    from facefeat import FaceResult, ImageResult
    from facefeat.data import FaceDataset
    from facefeat.latent.morph import Morph
    from facefeat.types import UInt8Array

QUEUE: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 1}
"""What each event that asks the model is given, so that all of them wait in one line."""
PIXELS_AT_ONCE = 64_000_000
"""Of photos that are read together, and one photo more: 192 MB each."""
MAX_CARDS = 24
"""Faces of a photo that get a card, the largest first; the others get their box."""
NO_FACE = "It may need to be turned: faces are found upright. That was tried, too, with a smaller copy of it."
MORPHED = ("astronaut", "hakeem", "grace")
"""The examples that the tab Morph opens with."""
_LOOK_SIZE = 160
_SOON, _LATER = 1.0, 60.0  # seconds: after somebody has opened the page, and in any case
_EXAMPLE_STEPS = 42  # fewer than a visitor's own morph has: it comes with the page
_HERO, _HERO_EVERY = 96, 2  # side of the small morph at the top of the page, and which of the frames it has
_FRAME = 160  # side of a morph's pictures, in pixels: all of them are sent as one
_SURE = 0.9  # that it is a face: a photo that shows none must not be turned until it seems to show one


@dataclass(frozen=True)
class PhotoResult:
    """What was found in one photo, or why it could not be read.

    faces: the MAX_CARDS largest, from left to right, then the others.
    pixels: (h, w, 3) uint8, the upright photo, small enough for a page. size: (width, height) of the whole photo.
    looks: for each of the first MAX_CARDS faces, attribute -> (s, s, 3) uint8: where the model looked.
    turned: degrees, counter-clockwise, by which the photo was turned because no face was found as it lay. Pixels, size
    and faces are those of the turned photo.
    """

    pixels: UInt8Array | None = None
    size: tuple[int, int] = (0, 0)
    faces: tuple[FaceResult, ...] = ()
    looks: tuple[dict[str, UInt8Array], ...] = ()
    error: str | None = None
    seconds: float = 0.0
    device: str = ""
    turned: int = 0

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, without pictures."""
        faces = [f.to_dict() for f in self.faces]
        return {"size": list(self.size), "faces": faces, "error": self.error, "turned": self.turned}


@dataclass(frozen=True)
class _Found:
    """A decoded photo, its faces, and the degrees by which it was rotated; or the error that stopped the reading."""

    photo: UInt8Array | None = field(default=None, repr=False)
    faces: tuple[FaceResult, ...] = ()
    turned: int = 0
    error: str | None = None


def left_to_right(faces: Sequence[FaceResult]) -> tuple[FaceResult, ...]:
    """The faces with a card, then those without, each from left to right; they come with the largest first."""
    parts = faces[:MAX_CARDS], faces[MAX_CARDS:]
    return tuple(f for part in parts for f in sorted(part, key=lambda f: f.face.box[0] + f.face.box[2]))


def _turn(photo: UInt8Array, quarters: int) -> UInt8Array:
    return np.ascontiguousarray(np.rot90(photo, quarters))


class Host:
    """Holds the model of a page, and the map of its latents where it has one (`atlas`).

    Its methods that ask the model are to be called by one at a time (see QUEUE), and so is all else that asks it.
    """

    atlas: Atlas | None

    def __init__(
        self,
        preset: str | None = None,
        allowed: Path | None = None,
        detector: str = "centerface",
        data: Path | None = None,
        say: Callable[[str], Any] = lambda line: None,
    ) -> None:
        """preset, detector: as of `FaceFeatureModel.from_preset`. allowed: a folder of presets to change to.

        data: a data set to explore. say: called with a message before slow steps. Raises PresetError, DataError.
        """
        self.allowed = None if allowed is None else allowed.absolute()
        self._detector, self._data, self._say = detector, data, say
        self._dataset: FaceDataset | None = None
        self._later: threading.Timer | None = None
        self._asked = threading.Lock()
        self._begun, self._ready = False, threading.Event()
        self._over = False
        self._load(preset)

    def _load(self, preset: str | None) -> None:
        from facefeat.presets.store import find_preset, read_config

        folder = find_preset(preset)
        model = FaceFeatureModel.from_preset(preset, detector=self._detector)
        if model.has_decoder:
            _ = model.decoder  # read now: a damaged one is reported at the start, not to a visitor
            if (folder / "directions.npz").is_file():
                _ = model.directions
        if self._data is not None and self._dataset is None:
            from facefeat.data import load_dataset

            self._dataset = load_dataset(self._data, schema=model.schema)
        atlas = atlas_of(model, self._dataset, self._say)
        config = read_config(folder)
        self.model, self.folder, self.atlas = model, folder, atlas
        self._other: tuple[str, FaceFeatureModel] | None = None
        self._examples: dict[str, PhotoResult] = {}
        self._example_morph = ""
        self._hero = np.zeros((0, 1, 1, 3), "uint8")
        self._example_face: editing.Start | None = None
        self.licence, self.summary = str(config.get("licence") or ""), str(config.get("summary") or "")

    @property
    def card(self) -> str:
        """The model card, in Markdown; empty where there is none."""
        return read_card(self.folder)

    @property
    def device(self) -> str:
        """Where the model runs, in words."""
        from facefeat.networks.keras_backend import has_accelerator
        from facefeat.networks.runtime import providers

        if self.model.classifier.runtime.name == "onnx":
            gpu = providers("auto")[0] != "CPUExecutionProvider"
        else:
            gpu = has_accelerator()
        if gpu:
            return "GPU"
        return f"{cores()} processor core{'s' * (cores() > 1)}"

    def warm_up(self) -> None:
        """Make what the page opens with, and in a thread, later, what the other tabs do: no answer waits for that."""
        self.example(PORTRAITS[0])
        self._prepare_in(_LATER)

    def opened(self) -> None:
        """Somebody has opened the page: what the other tabs open with is made soon."""
        with self._asked:
            if self._later is not None and not self._begun and not self._over:
                self._begun = True
                self._later.cancel()
                self._prepare_in(_SOON)

    def _prepare_in(self, seconds: float) -> None:
        self._later = threading.Timer(seconds, self.prepare)
        self._later.daemon = True
        self._later.start()

    def stop(self) -> None:
        """Let what is still being made end: a process that ends meanwhile is aborted by ONNX Runtime's threads."""
        self._over = True
        if self._later is not None:
            self._later.cancel()
            self._later.join(10)

    def prepare(self) -> None:
        """Let visitors not wait for what is made once. Ends where the model was changed meanwhile."""
        with self._asked:
            self._begun = True
        try:
            self._prepare()
        finally:
            self._ready.set()

    def _prepare(self) -> None:
        model = self.model
        steps: list[Callable[[], Any]] = [self.example_morph, self._ready.set] if model.has_decoder else []
        steps += [lambda name=name: self.example(name) for name in (*PORTRAITS, *SEVERAL)]  # type: ignore[misc]
        steps += [self.put_portraits]
        steps += [lambda: [editing.move(model, face, editing.Request()) for face in [self.example_face()] if face]]
        for step in steps:
            if self.model is not model or self._over:
                return
            step()

    def put_portraits(self) -> None:
        """Put the examples on the map of class means."""
        if self.atlas is None or self.atlas.pictures:
            return
        found = [(name, self.example(name).faces) for name in PORTRAITS]
        portraits = [Portrait(n.capitalize(), f[0].face.crop) for n, f in found if f and f[0].face.crop is not None]
        self.atlas = with_portraits(self.atlas, self.model, portraits)

    def example(self, name: str) -> PhotoResult:
        """What is predicted from an example, once for each model."""
        if name not in self._examples:
            (self._examples[name],) = self.predict([(EXAMPLES / f"{name}.jpg").read_bytes()])
        return self._examples[name]

    def example_morph(self) -> str:
        """The HTML of a morph through some examples, made once for each model."""
        if not self._example_morph:
            found = [self.faces((EXAMPLES / f"{name}.jpg").read_bytes()) for name in MORPHED]
            crops = [faces[0].face.crop for faces, _, _ in found]
            made = self.morph(
                [c for c in crops if c is not None], _EXAMPLE_STEPS, large=[large[0] for _, large, _ in found]
            )
            self._hero = resize_crops(made.frames[::_HERO_EVERY], _HERO)
            names = " to ".join(name.capitalize() for name in MORPHED)
            self._example_morph = viewer(made, f"An example: {names}. Choose two faces of your own above.")
        return self._example_morph

    def moving_picture(self, wait: float = 0) -> str:
        """The HTML of the small morph at the top of the page; empty where the model cannot draw.

        wait: seconds, at most, until it is made.
        """
        if wait and self._later is not None:
            self._ready.wait(wait)
        return hero(self._hero, _HERO) if len(self._hero) else ""

    def example_face(self) -> editing.Start | None:
        """The face that the tab Edit opens with, begun once for each model; None where it cannot edit."""
        if self._example_face is None and not editing.lacks(self.model):
            faces, large, _ = self.faces((EXAMPLES / f"{PORTRAITS[0]}.jpg").read_bytes())
            crop = faces[0].face.crop
            assert crop is not None
            self._example_face = editing.begin(self.model, crop, large[0])
        return self._example_face

    def predict(self, photos: Sequence[bytes]) -> list[PhotoResult]:
        """Every face of the photos, in batches for several of them; a bad photo is a PhotoResult with `.error`."""
        start = time.perf_counter()
        readings: list[PhotoResult] = []
        group: list[UInt8Array | str] = []
        pixels = 0
        for photo in photos:
            opened = open_photo(photo)
            group.append(opened)
            pixels += 0 if isinstance(opened, str) else opened.shape[0] * opened.shape[1]
            if pixels > PIXELS_AT_ONCE:  # so that large photos do not fill the memory
                readings += self._predict(group, start)
                group, pixels = [], 0
        return readings + self._predict(group, start)

    def _predict(self, opened: Sequence[UInt8Array | str], start: float) -> list[PhotoResult]:
        results = iter(self.model.predict([p for p in opened if not isinstance(p, str)]))
        found = [_Found(error=p) if isinstance(p, str) else self._turned(p, next(results)) for p in opened]
        found = [replace(one, faces=left_to_right(one.faces)) for one in found]
        crops = [f.face.crop for one in found for f in one.faces[:MAX_CARDS]]
        looks = iter(self._looks(crops))
        readings = []
        for one in found:
            if one.photo is None:
                readings.append(PhotoResult(error=one.error))
                continue
            mine = tuple(next(looks) for _ in one.faces[:MAX_CARDS])
            size = (one.photo.shape[1], one.photo.shape[0])
            seconds = time.perf_counter() - start
            shown = shrink(one.photo)
            readings.append(PhotoResult(shown, size, one.faces, mine, None, seconds, self.device, one.turned))
        return readings

    def _turned(self, photo: UInt8Array, result: ImageResult) -> _Found:
        """What was found in a photo; where that is nothing, what is found in it on its sides and upside down."""
        if result.error:
            return _Found(error="The photo could not be read.")
        if result.faces:
            return _Found(photo, result.faces)
        small = shrink(photo)
        tried = self.model.predict([_turn(small, k) for k in (1, 2, 3)])
        best, quarters = max((max((f.score for f in r.faces), default=0), k) for k, r in enumerate(tried, 1))
        if best < _SURE:
            return _Found(photo)
        turned = _turn(photo, quarters)
        faces = self.model.predict(turned).faces
        return _Found(turned, faces, 90 * quarters) if faces else _Found(photo)

    def _looks(self, crops: Sequence[Any]) -> list[dict[str, UInt8Array]]:
        if not crops:
            return []
        stacked = np.stack(crops)
        out: list[dict[str, UInt8Array]] = [{} for _ in crops]
        for attribute, explanation in self.model.explain_all(stacked).items():
            drawn = explanation.draw(_LOOK_SIZE)  # (N, s, 2 s, 3): the crop, then the map
            for look, picture in zip(out, drawn[:, :, _LOOK_SIZE:], strict=True):
                look[attribute] = picture
        return out

    def faces(self, photo: bytes) -> tuple[tuple[FaceResult, ...], UInt8Array, int]:
        """The faces of one photo, the largest first, for MAX_CARDS of them (N, FACE, FACE, 3) uint8 crops to be shown,
        and by how many degrees it was turned, as of `PhotoResult`.

        Raises InputError with a sentence for the page.
        """
        opened = open_photo(photo)
        if isinstance(opened, str):
            raise InputError(opened)
        found = self._turned(opened, self.model.predict(opened))
        if not found.faces:
            raise InputError(
                "No face was found in this photo. Try one in which the face is larger and seen from the front. "
                f"{NO_FACE}"
            )
        assert found.photo is not None
        cut = [align_face(found.photo, f.face, self.model.alignment, FACE) for f in found.faces[:MAX_CARDS]]
        return found.faces, np.stack(cut), found.turned

    def morph(
        self, crops: Sequence[UInt8Array], steps: int, path: str = "linear", large: Sequence[UInt8Array] | None = None
    ) -> Morph:
        """From face to face through all (S, S, 3) crops, drawn for the page.

        large: the same faces, cut for showing. Raises InputError, PresetError without a decoder.
        """
        shown = None if large is None else resize_crops(np.stack(large), _FRAME)
        return self.model.morph_faces(np.stack(crops), shown, steps=steps, path=path)

    def choices(self) -> list[str]:
        """Names of the preset folders that visitors may change to."""
        if self.allowed is None:
            return []
        return sorted(p.parent.name for p in self.allowed.glob("*/config.json"))

    def others(self) -> list[str]:
        """Models that can be set beside the one in use: of the allowed folder, and those that are installed."""
        installed = [n for n in get_registry().names("preset") if n != self.model.name]
        return [*dict.fromkeys([*self.choices(), *installed])]

    def other(self, name: str | None) -> FaceFeatureModel:
        """A model of `others`, read once until another one is asked for. Raises InputError, PresetError."""
        if name not in self.others():
            raise InputError(f"There is no such model here. Choose one of: {', '.join(self.others()) or 'none'}.")
        if self._other is None or self._other[0] != name:
            inside = self.allowed is not None and name in self.choices()
            where = str(self.allowed / str(name)) if inside and self.allowed is not None else name
            self._other = str(name), FaceFeatureModel.from_preset(where, detector=self._detector)
        return self._other[1]

    def use(self, name: str) -> None:
        """Change to a preset of the allowed folder, for everybody. Raises InputError, PresetError; then all stays."""
        if self.allowed is None or name not in self.choices():
            raise InputError(f"There is no such model here. Choose one of: {', '.join(self.choices()) or 'none'}.")
        self._load(str(self.allowed / name))
        self.put_portraits()

    def said(self, error: FacefeatError) -> str:
        """An error as visitors may read it: without the folders of this machine."""
        known = (self.allowed, self.folder.parent, None if self._data is None else self._data.absolute().parent)
        return without_paths(str(error), known)


def read_card(folder: Path) -> str:
    """The model card of a preset folder, in Markdown; empty where there is none that can be read."""
    from facefeat.presets import store
    from facefeat.presets.metadata import without_header

    try:
        return without_header(store.read_card(folder))
    except (OSError, ValueError):
        return ""
