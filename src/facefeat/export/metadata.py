"""The metadata of an exported file: enough to use its outputs without the preset that it was made from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
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
LATENT = "latent"
"""The output with the latents; those of an attribute are named after it."""


@dataclass(frozen=True)
class ExportMetadata:
    """The model inside an exported file.

    fingerprint: SHA-256 (hex) of the model, see `identity.model_hash`. encoder: that of what makes its latents.
    answers: attribute -> suffix of an output -> what its kind says of it (`AttributeKind.describe`).
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
    answers: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    latent_dim: int = 0

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; the inverse is `from_json` of its JSON. `outputs` names what the file gives, with its shape."""
        s = self.image_size
        outputs: dict[str, Any] = {output_name(*key): dict(about) for key, about in self._described()}
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
        outputs, schema = value["outputs"], Schema.from_dict(value["schema"])
        # A name may begin with that of another attribute: "age" and "age_of_mother".
        named = sorted(schema.attributes, key=len)
        answers: dict[str, dict[str, Any]] = {n: {} for n in schema.attributes}
        for output, about in outputs.items():
            owner = [n for n in named if output.startswith(f"{n}_")]
            if owner and output != LATENT:
                answers[owner[-1]][output.removeprefix(f"{owner[-1]}_")] = dict(about)
        return cls(
            name=str(value["name"]),
            licence=str(value["licence"]),
            schema=schema,
            image_size=int(value["image_size"]),
            alignment=Alignment.from_dict(value["alignment"]),
            fingerprint=str(value["fingerprint"]),
            encoder=str(value["encoder"]),
            facefeat=str(value["facefeat"]),
            answers=answers,
            latent_dim=int(outputs[LATENT]["shape"][1]) if LATENT in outputs else 0,
        )

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs that `batch` reads."""
        return tuple(output_name(*key) for key, _ in self._described())

    def _described(self) -> Iterator[tuple[tuple[str, str], Mapping[str, Any]]]:
        for name, every in self.answers.items():
            for suffix, about in every.items():
                yield (name, suffix), about

    def batch(self, outputs: Mapping[str, np.ndarray]) -> FaceBatch:
        """The outputs of the file for N crops, by name, as a FaceBatch."""
        made = {}
        for name, a in self.schema.attributes.items():
            found = {suffix: outputs[output_name(name, suffix)] for suffix in self.answers[name]}
            made[name] = a.strategy.from_graph(a, found, self.answers[name])
        return FaceBatch(made)


def output_name(attribute: str, suffix: str) -> str:
    """The output that holds a part of an attribute's answer: "gender_probabilities", "age_years"."""
    return f"{attribute}_{suffix}"


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
