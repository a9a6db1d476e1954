"""The precision in which a preset stores weights."""

from __future__ import annotations

from typing import Any

import numpy as np


def stored_weight(value: Any) -> Any:
    """A weight as a preset stores it: a float32 kernel (two axes or more) in float16, everything else unchanged.

    Vectors (biases, batch-norm statistics) stay float32: they are few, and small variances lose digits in float16. So
    does a kernel beyond float16's range.
    """
    kernel = isinstance(value, np.ndarray) and value.dtype == np.float32 and value.ndim >= 2
    return value.astype("float16") if kernel and bool(np.all(np.abs(value) < 65504)) else value
