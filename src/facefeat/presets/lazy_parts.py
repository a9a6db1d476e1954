"""The places of a model for what is there at first use: its detector, its decoder, the directions of its latents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facefeat.errors import PresetError
from facefeat.plugins.registry import get_registry
from facefeat.presets.latent_directions import FILE, LatentDirections, read_directions
from facefeat.presets.store import load_decoder

if TYPE_CHECKING:
    from facefeat.networks.decoder import FaceDecoder
    from facefeat.plugins.contracts import Detector
    from facefeat.schema import Schema


@dataclass
class DetectorSlot:
    """A face detector by its registered name and configuration. Raises UnknownComponentError at once."""

    name: str
    config: Mapping[str, Any] = field(default_factory=dict)
    made: Detector | None = None

    def __post_init__(self) -> None:
        get_registry().get("detector", self.name)

    def get(self) -> Detector:
        """The detector, built at first use."""
        if self.made is None:
            self.made = get_registry().build("detector", self.name, **self.config)
        assert self.made is not None
        return self.made


@dataclass
class Slots:
    """The detector is there or built at first use; the others are empty, or there, or read from a preset folder then.

    decoder_from: a preset folder that has a decoder, and may have directions.
    """

    detector: DetectorSlot
    decoder_from: Path | None = None
    decoder: FaceDecoder | None = None
    directions: LatentDirections | None = None

    @classmethod
    def of(cls, detector: str, config: Mapping[str, Any] | None, decoder_from: Path | None = None) -> Slots:
        """detector, config: a registered name, and the configuration that it is built with."""
        return cls(DetectorSlot(detector, dict(config or {})), decoder_from)

    @property
    def has_decoder(self) -> bool:
        """Whether there is a decoder."""
        return self.decoder is not None or self.decoder_from is not None

    @property
    def has_directions(self) -> bool:
        """Whether there are directions."""
        return self.directions is not None or (self.decoder_from is not None and (self.decoder_from / FILE).is_file())

    def require_decoder(self, name: str) -> None:
        """Raises PresetError, saying what to train, where there is none. name: of the model."""
        if not self.has_decoder:
            raise PresetError(
                f"the model {name!r} has no decoder, so it cannot draw faces. Next: facefeat train-decoder "
                "--recipe utkface-detail --preset PRESET --data DIR --output DIR"
            )

    def get_decoder(self, name: str) -> FaceDecoder:
        """The decoder. Raises PresetError as `require_decoder` and `load_decoder`."""
        self.require_decoder(name)
        if self.decoder is None and self.decoder_from is not None:
            self.decoder = load_decoder(self.decoder_from)
        assert self.decoder is not None
        return self.decoder

    def forget_latents(self) -> None:
        """Decoder and directions go: what they were trained on are other latents now."""
        self.decoder, self.decoder_from, self.directions = None, None, None

    def replace_decoder(self, decoder: FaceDecoder) -> None:
        """Take another decoder; the directions go, since those are of other latents."""
        self.forget_latents()
        self.decoder = decoder

    def get_directions(self, name: str, schema: Schema) -> LatentDirections:
        """The directions. Raises PresetError, saying what to type, where there are none; and as `read_directions`."""
        decoder = self.get_decoder(name)
        if not self.has_directions:
            raise PresetError(
                f"the model {name!r} has a decoder and no directions, so it cannot edit or compose faces. "
                "Next: facefeat fit-directions --preset PRESET --data DIR"
            )
        if self.directions is None and self.decoder_from is not None:
            self.directions = read_directions(self.decoder_from / FILE, schema, decoder.feature_dim, decoder.latent_dim)
        assert self.directions is not None
        return self.directions
