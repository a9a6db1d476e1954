"""Numbers of networks that no training gives: NaN, infinity, and what is too large to compute with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facefeat.errors import PresetError

if TYPE_CHECKING:
    import numpy as np

MAX_WEIGHT = 1e8
"""Of weights and directions: no trained one comes near it, and sums of larger ones overflow float32."""
OUT_OF_RANGE = "holds numbers that are NaN, infinite or too large"


def check_finite(values: np.ndarray, where: str) -> None:
    """Raises PresetError where a weight is NaN, infinite or above MAX_WEIGHT."""
    import numpy as np

    if values.dtype.kind != "f" or not values.size:
        return
    if not bool((np.abs(values) <= min(MAX_WEIGHT, float(np.finfo(values.dtype).max))).all()):
        raise PresetError(f"{where} {OUT_OF_RANGE}. Fetch or train the preset again.")


def check_outputs(outputs: dict[str, np.ndarray], where: str) -> dict[str, np.ndarray]:
    """The outputs of a network. Raises PresetError where one is NaN or infinite: an answer made of it means nothing."""
    import numpy as np

    for name, values in outputs.items():
        if not np.isfinite(values).all():
            raise PresetError(
                f"{where} gives NaN or infinity as {name!r}: its weights are damaged, or its training failed. "
                "Fetch or train the preset again."
            )
    return outputs
