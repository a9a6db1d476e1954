"""A model whose latents, pixels and answers are simple sums, so that what an edit does can be reckoned by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from facefeat.errors import PresetError
from facefeat.latent.fit_directions import directions_of
from facefeat.networks.postprocess import read_logits
from facefeat.presets.latent_directions import LatentDirections
from facefeat.schema import Attribute, Schema
from made import targets_of

SCHEMA = Schema(
    "fake",
    {
        "age": Attribute(
            "age", ("young", "grown", "old"), ordered=True, years=((0, 29), (30, 59), (60, 99)), exact=True
        ),
        "gender": Attribute("gender", ("Male", "Female")),
        "race": Attribute("race", ("A", "B", "C")),
        "smile": Attribute("smile", ("none", "some", "broad"), ordered=True),
    },
)
FEATURES, LATENT, SIZE = 8, 10, 8
_STEP = 20.0  # shades of grey for each unit of a coordinate


class FakeModel:
    """Features 0 to 4 hold age, gender and race, 5 a smile; 6 and 7 go with age and gender but are never read.

    A latent is written into the pixels of its crop, where the head finds it again. deaf: the head does not hear these.
    """

    schema, image_size = SCHEMA, SIZE

    def __init__(self, deaf: tuple[str, ...] = ()) -> None:
        self.deaf, self.rounds = deaf, 0
        self.latents, self.labels, self.years = made_latents()
        self.decoder = SimpleNamespace(feature_dim=FEATURES, latent_dim=LATENT, face_size=SIZE)
        self.directions: LatentDirections = directions_of(
            self.latents, targets_of(SCHEMA, self.labels, self.years), SCHEMA, FEATURES
        )

    def require_decoder(self) -> None:
        """It has one."""

    def decode(self, latents: np.ndarray) -> np.ndarray:
        """(N, 10) -> (N, 8, 8, 3) uint8."""
        self.rounds += 1
        out = np.zeros((len(latents), SIZE * SIZE, 3), "uint8")
        out[:, :LATENT] = np.rint(np.clip(128 + _STEP * latents, 0, 255))[..., None]  # grey: edits hold colours
        return out.reshape(-1, SIZE, SIZE, 3)

    def encode(self, crops: np.ndarray) -> np.ndarray:
        """The inverse, but for rounding."""
        written = crops.reshape(len(crops), SIZE * SIZE, 3)[:, :LATENT, 0].astype("float32")
        return (written - 128) / np.float32(_STEP)

    def predict_faces(self, crops: np.ndarray) -> Any:
        """What the head reads from the pixels."""
        z = self.encode(crops).astype("float64")
        years = 50 + 12 * z[:, 0]
        age = -((np.arange(100) - years[:, None]) ** 2) / 50
        gender = np.stack([-2 * z[:, 1], 2 * z[:, 1]], axis=1)
        race = 3 * z[:, 2:5]
        smile = -((np.arange(3) - (1 + z[:, 5:6])) ** 2) * 3
        logits = {"age": age, "gender": gender, "race": race, "smile": smile}
        return read_logits(SCHEMA, {k: v * (0 if k in self.deaf else 1) for k, v in logits.items()})


def made_latents(n: int = 400) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
    """Latents (n, 10), labels and years as the head reads them, drawn so that older faces are more often Male."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(n, LATENT))
    z[:, 1] -= 0.5 * z[:, 0]
    z[:, 6] = 0.9 * z[:, 0] + 0.3 * z[:, 6]
    z[:, 7] = 0.9 * z[:, 1] + 0.3 * z[:, 7]
    years = np.clip(50 + 12 * z[:, 0], 0, 99).astype("float32")
    labels = {
        "age": np.digitize(years, [30, 60]),
        "gender": (z[:, 1] > 0).astype(int),
        "race": z[:, 2:5].argmax(axis=1),
        "smile": np.clip(np.rint(1 + z[:, 5]), 0, 2).astype(int),
    }
    return z, labels, years


def another(model: FakeModel) -> Any:
    """A model of the same schema that has no decoder."""

    def refuse() -> None:
        raise PresetError("no decoder")

    return SimpleNamespace(schema=model.schema, require_decoder=refuse)
