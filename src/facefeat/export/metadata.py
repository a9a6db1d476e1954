"""What an exported file tells of itself: enough to use its numbers without the preset that it was made from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facefeat.errors import FacefeatError, InputError, did_you_mean
from facefeat.schema import Schema
from facefeat.types import Alignment, FaceBatch
from facefeat.utils.files import parse_json

if TYPE_CHECKING:
    import numpy as np

FORMATS: Mapping[str, str] = {"onnx": ".onnx", "litert": ".tflite", "savedmodel": ""}
"""Format -> the ending of its file; a SavedModel is a folder."""
KEY = "facefeat"
"""The entry of an ONNX file's metadata that holds the JSON."""
FILE = "facefeat.json"
"""The file with the JSON: in the zip at the end of a LiteRT file, and in `assets.extra` of a SavedModel."""
VERSION = 1
"""Of the table. A reader accepts this and older ones."""
YEARS, INTERVAL, LATENT = "age_years", "age_interval", "latent"
"""Names of the outputs beside the probabilities."""


@dataclass(frozen=True)
class ExportMetadata:
    """The model inside an exported file.

    fingerprint: SHA-256 (hex) of the model, see `identity.model_hash`. encoder: that of what makes its latents.
    coverage: share of ages that lie in `age_interval`, or None where the file has no such output.
    latent_dim: D, or 0 where the file has no output `latent`. facefeat: the version that wrote it.
    """

    name: str
    licence: str
    schema: Schema
    image_size: int
    alignment: Alignment
    fingerprint: str
    encoder: str
    facefeat: str
    coverage: float | None = None
    latent_dim: int = 0

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; the inverse is `from_json` of its JSON. `outputs` names what the file gives, with its shape."""
        s = self.image_size
        outputs: dict[str, Any] = {
            probabilities(n): {"shape": ["N", len(a.classes)], "classes": list(a.classes)}
            for n, a in self.schema.attributes.items()
        }
        if self.schema.age is not None:
            outputs[YEARS] = {"shape": ["N"], "unit": "years"}
        if self.coverage is not None:
            outputs[INTERVAL] = {"shape": ["N", 2], "unit": "years", "coverage": self.coverage}
        if self.latent_dim:
            outputs[LATENT] = {"shape": ["N", self.latent_dim]}
        return {
            "version": VERSION,
            "facefeat": self.facefeat,
            "name": self.name,
            "licence": self.licence,
            "image_size": s,
            "input": {"crops": {"shape": ["N", s, s, 3], "dtype": "uint8", "channels": "RGB"}},
            "outputs": outputs,
            "alignment": self.alignment.to_dict(),
            "schema": self.schema.to_dict(),
            "fingerprint": self.fingerprint,
            "encoder": self.encoder,
        }

    def to_json(self) -> str:
        """`to_dict` as text."""
        return json.dumps(self.to_dict(), ensure_ascii=True)

    @classmethod
    def from_json(cls, text: str, where: str) -> ExportMetadata:
        """What `to_json` wrote; where: the file, for messages. Raises InputError for anything else."""
        try:
            value = parse_json(text)
            version, writer = value["version"], str(value["facefeat"])
            if type(version) is int and version <= VERSION:
                return cls._from_dict(value)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as e:
            why = str(e) if isinstance(e, FacefeatError) else repr(e)
            raise InputError(f"{where} has metadata that cannot be read: {why}. Export the model again.") from None
        raise InputError(
            f"{where} has metadata of version {version!r}, written by facefeat {writer}; this facefeat reads up to "
            f"{VERSION}. Next: pip install -U facefeat"
        )

    @classmethod
    def _from_dict(cls, value: Mapping[str, Any]) -> ExportMetadata:
        outputs = value["outputs"]
        return cls(
            name=str(value["name"]),
            licence=str(value["licence"]),
            schema=Schema.from_dict(value["schema"]),
            image_size=int(value["image_size"]),
            alignment=Alignment.from_dict(value["alignment"]),
            fingerprint=str(value["fingerprint"]),
            encoder=str(value["encoder"]),
            facefeat=str(value["facefeat"]),
            coverage=float(outputs[INTERVAL]["coverage"]) if INTERVAL in outputs else None,
            latent_dim=int(outputs[LATENT]["shape"][1]) if LATENT in outputs else 0,
        )

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs that `batch` reads."""
        names = [probabilities(n) for n in self.schema.attributes]
        names += [YEARS] if self.schema.age is not None else []
        return (*names, *([INTERVAL] if self.coverage is not None else []))

    def batch(self, outputs: Mapping[str, np.ndarray]) -> FaceBatch:
        """The outputs of the file for N crops, by name, as a FaceBatch."""
        import numpy as np

        classes = {n: a.classes for n, a in self.schema.attributes.items()}
        p = {n: outputs[probabilities(n)] for n in classes}
        labels = {n: np.asarray(classes[n])[p[n].argmax(axis=1)] for n in classes}
        return FaceBatch(labels, p, classes, outputs.get(YEARS), outputs.get(INTERVAL), self.coverage)


def probabilities(attribute: str) -> str:
    """The output that holds the probabilities of an attribute."""
    return f"{attribute}_probabilities"


def format_of(path: Path, format: str | None) -> str:
    """The format asked for, or that of the file's ending. Raises InputError where they do not fit together."""
    endings = {e: f for f, e in FORMATS.items() if e}
    found = endings.get(path.suffix.lower())
    if format is None:
        if found is None:
            raise InputError(
                f"which format? Received: {str(path)!r}. Valid: a name that ends in {' or '.join(endings)}, or a "
                f"format: {', '.join(FORMATS)}."
            )
        return found
    if format not in FORMATS:
        raise InputError(f"no such format. {did_you_mean(format, FORMATS)}")
    if found != format and (FORMATS[format] or found):
        wanted = f"a name that ends in {FORMATS[format]!r}" if FORMATS[format] else "the name of a folder"
        raise InputError(f"the format {format} wants {wanted}. Received: {str(path)!r}.")
    return format
