"""The weights files of a preset: measured before memory is taken for them, and refused where they are not finite."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facefeat.errors import PresetError
from facefeat.networks.finite import check_finite
from facefeat.networks.keras_backend import count_numbers
from facefeat.presets.files import MAX_WEIGHT_BYTES
from facefeat.utils.files import open_regular
from facefeat.utils.hdf5 import check_hdf5

if TYPE_CHECKING:
    import keras

_MARGIN = 10_000
"""Numbers that networks may have beyond those in their files: states of random generators, counters."""
_STATES = 4
"""Times a network's numbers that its file may hold: an optimizer keeps some for each."""


def with_weights(folder: Path, make: Callable[[], Any], networks: Iterable[str]) -> Any:
    """What `make` builds, with the weights of the preset; both are measured before memory is taken for them.

    Raises PresetError for weights that are not finite, lead elsewhere, or are of another number than those of what the
    configuration describes.
    """
    stored = {n: _check_weights(folder, n) for n in networks}
    wanted = count_numbers(make)
    if wanted is not None:
        _compare(folder, wanted, sum(stored.values()))
    built = make()
    for n, model in built.models.items():
        # Keras would read all of a file, whatever the network takes of it.
        _compare(folder, model.count_params(), stored[n])
        _load_weights(model, folder, n)
    return built


def _compare(folder: Path, wanted: int, stored: int) -> None:
    """Raises PresetError where networks of so many numbers are not those of files with so many."""
    if wanted > stored + _MARGIN or stored > _STATES * wanted + _MARGIN:
        raise PresetError(
            f"preset {str(folder)!r}: config.json describes networks of {wanted:,} numbers, and the weights files hold "
            f"{stored:,}."
        )


def _check_weights(folder: Path, network: str) -> int:
    """How many numbers a weights file holds. Raises PresetError for one that could harm: see `check_hdf5`."""
    import h5py

    name = f"{network}.weights.h5"
    try:
        with open_regular(folder / name, inside=folder) as raw, h5py.File(raw, "r") as file:
            found = check_hdf5(file)
            if found.bytes > MAX_WEIGHT_BYTES:
                raise ValueError(f"it unpacks to {found.bytes:,} bytes, over {MAX_WEIGHT_BYTES:,}")
            return found.numbers
    except (OSError, ValueError, KeyError, RuntimeError, RecursionError) as e:
        first = (str(e).strip() or type(e).__name__).splitlines()[0]
        raise PresetError(f"preset {str(folder)!r}: cannot read {name!r}: {first}") from None


def _load_weights(model: keras.Model, folder: Path, network: str) -> None:
    from keras import ops

    name, kind = f"{network}.weights.h5", network.replace("_", " ")
    try:
        with warnings.catch_warnings():
            # Keras would only warn that a layer keeps its random weights.
            warnings.filterwarnings("error", message="Skipping nested container")
            model.load_weights(folder / name)
    except (OSError, ValueError, KeyError, UserWarning) as e:
        first = str(e).strip().splitlines()[0]
        raise PresetError(f"preset {str(folder)!r}: {name!r} does not fit the {kind}: {first}") from None
    for weight in model.weights:
        check_finite(ops.convert_to_numpy(weight), f"preset {str(folder)!r}: {name!r}: {weight.path}")
