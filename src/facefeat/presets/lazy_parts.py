"""The parts of a model that are made at first use: its detector, its decoder, the directions of its latents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facefeat.errors import PresetError
from facefeat.plugins.registry import get_registry
from facefeat.presets.latent_directions import FILE, LatentDirections, read_directions
from facefeat.presets.store import load_decoder

if TYPE_CHECKING:
    from facefeat.networks.decoder import FaceDecoder
    from facefeat.networks.runtime import RuntimeOptions
    from facefeat.plugins.contracts import Detector
    from facefeat.schema import Schema


@dataclass
class LazyParts:
    """What a model needs only for some calls.

    Raises UnknownComponentError at once for a detector that is not registered.

    Attributes:
        model: the model's name, for messages.
        schema: its attributes.
        detector_name, detector_config: a registered name, and the configuration that it is built with.
        folder: a preset folder with a decoder, and perhaps directions, that are read from it; None where there is none.
        runtime: what that decoder is to run on; None for the default of the process.
    """

    model: str
    schema: Schema
    detector_name: str
    detector_config: Mapping[str, Any] | None = None
    folder: Path | None = None
    runtime: RuntimeOptions | None = None
    _decoder: FaceDecoder | None = field(default=None, repr=False)
    _directions: LatentDirections | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        get_registry().get("detector", self.detector_name)

    @cached_property
    def detector(self) -> Detector:
        """The face detector."""
        detector: Detector = get_registry().build("detector", self.detector_name, **(self.detector_config or {}))
        return detector

    @property
    def has_decoder(self) -> bool:
        """Whether there is a decoder."""
        return self._decoder is not None or self.folder is not None

    @property
    def has_directions(self) -> bool:
        """Whether there are directions."""
        return self._directions is not None or (self.folder is not None and (self.folder / FILE).is_file())

    def require_decoder(self) -> None:
        """Raises PresetError, with the command that trains one, where there is none."""
        if not self.has_decoder:
            raise PresetError(
                f"the model {self.model!r} has no decoder, so it cannot draw faces. Next: facefeat train-decoder "
                "--recipe utkface-detail --preset PRESET --data DIR --output DIR"
            )

    @property
    def decoder(self) -> FaceDecoder:
        """The decoder. Raises PresetError as `require_decoder` and `load_decoder`."""
        self.require_decoder()
        if self._decoder is None and self.folder is not None:
            self._decoder = load_decoder(self.folder, self.runtime)
        assert self._decoder is not None
        return self._decoder

    @property
    def directions(self) -> LatentDirections:
        """The directions. Raises PresetError as `decoder` and `read_directions`, and where there are none."""
        decoder = self.decoder
        if not self.has_directions:
            raise PresetError(
                f"the model {self.model!r} has a decoder and no directions, so it cannot edit or compose faces. "
                "Next: facefeat fit-directions --preset PRESET --data DIR"
            )
        if self._directions is None and self.folder is not None:
            widths = decoder.feature_dim, decoder.latent_dim
            self._directions = read_directions(self.folder / FILE, self.schema, *widths)
        assert self._directions is not None
        return self._directions

    @directions.setter
    def directions(self, directions: LatentDirections) -> None:
        self._directions = directions

    def replace_decoder(self, decoder: FaceDecoder | None) -> None:
        """Take another decoder, or none; the directions go, since they are of other latents."""
        self._decoder, self.folder, self._directions = decoder, None, None
