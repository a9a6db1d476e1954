"""The one model that a page has: loaded once, shared by everybody who uses the page, asked in batches."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat import FaceFeatureModel, InputError
from facefeat_demo import editing
from facefeat_demo.exploring import Atlas, atlas_of
from facefeat_demo.photos import EXAMPLES, open_photo, shrink

if TYPE_CHECKING:
    from facefeat import FaceBatch, FaceResult
    from facefeat.data import FaceDataset
    from facefeat.types import UInt8Array

QUEUE: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 1}
"""What each event that asks the model is given, so that all of them wait in one line."""
MAX_CARDS = 24
"""Faces of a photo that get a card, the largest first; the others get their box."""
_LOOK_SIZE = 160


@dataclass(frozen=True)
class Reading:
    """What was found in one photo, or why it could not be read.

    pixels: (h, w, 3) uint8, the upright photo, small enough for a page. size: (width, height) of the whole photo.
    looks: for each of the first MAX_CARDS faces, attribute -> (s, s, 3) uint8: where the model looked.
    """

    pixels: UInt8Array | None = None
    size: tuple[int, int] = (0, 0)
    faces: tuple[FaceResult, ...] = ()
    looks: tuple[dict[str, UInt8Array], ...] = ()
    error: str | None = None
    seconds: float = 0.0
    device: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, without pictures."""
        return {"size": list(self.size), "faces": [f.to_dict() for f in self.faces], "error": self.error}


@dataclass(frozen=True)
class Morph:
    """Frames (T, S, S, 3) uint8, and what the model reads from each."""

    frames: UInt8Array = field(repr=False)
    batch: FaceBatch = field(repr=False)


class Host:
    """Holds the model of a page, and the map of its latents where it has one (`atlas`).

    Its methods that ask the model are to be called by one at a time (see QUEUE), and so is all else that asks it.
    """

    atlas: Atlas | None

    def __init__(
        self,
        preset: str | None = None,
        allowed: Path | None = None,
        detector: str = "mtcnn",
        data: Path | None = None,
    ) -> None:
        """preset, detector: as of `FaceFeatureModel.from_preset`. allowed: a folder of presets to change to.

        data: a data set to explore. Raises PresetError, DataError.
        """
        self.allowed, self._detector, self._data = allowed, detector, data
        self._dataset: FaceDataset | None = None
        self._load(preset)

    def _load(self, preset: str | None) -> None:
        from facefeat.preset import find_preset, read_config

        folder = find_preset(preset)
        model = FaceFeatureModel.from_preset(preset, detector=self._detector)
        if model.has_decoder:
            _ = model.decoder  # read now: one that is damaged is said at the start, not to a visitor
            if (folder / "directions.npz").is_file():
                _ = model.directions
        if self._data is not None and self._dataset is None:
            from facefeat.data import load_dataset

            self._dataset = load_dataset(self._data, schema=model.schema)
        atlas = atlas_of(model, self._dataset)
        config = read_config(folder)
        self.model, self.folder, self.atlas = model, folder, atlas
        self.licence, self.summary = str(config.get("licence") or ""), str(config.get("summary") or "")

    @property
    def card(self) -> str:
        """The model card, in Markdown; empty where there is none."""
        return read_card(self.folder)

    @property
    def device(self) -> str:
        """Where the model runs, in words."""
        from facefeat.classifier import has_accelerator

        if has_accelerator():
            return "GPU"
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return f"{cores} processor core{'s' * (cores > 1)}"

    def warm_up(self) -> None:
        """Let the first visitor not wait for what is made once."""
        self.read([example.read_bytes() for example in sorted(EXAMPLES.glob("*.jpg"))])
        if self.model.has_decoder:
            size = self.model.image_size
            self.morph([np.zeros((size, size, 3), "uint8")] * 2, 60)
        if not editing.lacks(self.model):
            face = editing.begin(self.model, np.zeros((size, size, 3), "uint8"))
            editing.move(self.model, face, editing.Wishes())

    def read(self, photos: Sequence[bytes]) -> list[Reading]:
        """Every face of the photos, in one batch for all of them; a bad photo is a Reading with `.error`."""
        start = time.perf_counter()
        opened = [open_photo(photo) for photo in photos]
        good = [p for p in opened if not isinstance(p, str)]
        results = iter(self.model.predict(good))
        found = [None if isinstance(p, str) else next(results) for p in opened]
        crops = [f.face.crop for r in found if r is not None for f in r.faces[:MAX_CARDS]]
        looks = iter(self._looks(crops))
        readings = []
        for photo, result in zip(opened, found, strict=True):
            if isinstance(photo, str) or result is None or result.error:
                readings.append(Reading(error=photo if isinstance(photo, str) else "The photo could not be read."))
                continue
            mine = tuple(next(looks) for _ in result.faces[:MAX_CARDS])
            size = (photo.shape[1], photo.shape[0])
            seconds = time.perf_counter() - start
            readings.append(Reading(shrink(photo), size, result.faces, mine, None, seconds, self.device))
        return readings

    def _looks(self, crops: Sequence[Any]) -> list[dict[str, UInt8Array]]:
        if not crops:
            return []
        stacked = np.stack(crops)
        out: list[dict[str, UInt8Array]] = [{} for _ in crops]
        for attribute in self.model.schema.attributes:
            drawn = self.model.explain(stacked, attribute).draw(_LOOK_SIZE)  # (N, s, 2 s, 3): the crop, then the map
            for look, picture in zip(out, drawn[:, :, _LOOK_SIZE:], strict=True):
                look[attribute] = picture
        return out

    def faces(self, photo: bytes) -> tuple[FaceResult, ...]:
        """The faces of one photo, the largest first. Raises InputError with a sentence for the page."""
        opened = open_photo(photo)
        if isinstance(opened, str):
            raise InputError(opened)
        found: tuple[FaceResult, ...] = self.model.predict(opened).faces
        if not found:
            raise InputError(
                "No face was found in this photo. Try one in which the face is larger and seen from the front."
            )
        return found

    def morph(self, crops: Sequence[UInt8Array], steps: int, path: str = "linear") -> Morph:
        """From face to face through all (S, S, 3) crops, in one batch. Raises PresetError without a decoder."""
        frames = self.model.morph(*crops, steps=steps, path=path, easing="smooth")
        return Morph(frames, self.model.predict_faces(frames))

    def choices(self) -> list[str]:
        """Names of the preset folders that visitors may change to."""
        if self.allowed is None:
            return []
        return sorted(p.parent.name for p in self.allowed.glob("*/config.json"))

    def use(self, name: str) -> None:
        """Change to a preset of the allowed folder, for everybody. Raises InputError, PresetError; then all stays."""
        if self.allowed is None or name not in self.choices():
            raise InputError(f"There is no such model here. Choose one of: {', '.join(self.choices()) or 'none'}.")
        self._load(str((self.allowed / name).absolute()))


def read_card(folder: Path) -> str:
    """The model card of a preset folder, in Markdown; empty where there is none that can be read."""
    try:
        return (folder / "model_card.md").read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
