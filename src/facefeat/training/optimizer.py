"""The optimiser of a phase."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facefeat.training.base_recipe import Phase, Training


def build_optimizer(options: Training, phase: Phase, steps: int) -> Any:
    """AdamW with the phase's warm-up and cosine decay over its steps (batches in an epoch)."""
    import keras

    warmup = round(phase.warmup_epochs * steps)
    schedule = warmup_cosine(phase.learning_rate, warmup, max(1, phase.epochs * steps - warmup))
    optimizer = keras.optimizers.AdamW(
        schedule, weight_decay=options.weight_decay, global_clipnorm=options.clip_norm or None
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta", "log_variances"])
    return optimizer


def warmup_cosine(peak: float, warmup: int, decay: int) -> Any:
    """The learning rate of each step: from a thousandth of the peak to it in `warmup` steps, to 0 in `decay` more.

    What `keras.optimizers.schedules.CosineDecay` computes, without its branches. AdamW asks for the rate once for every
    kernel that decays, and tracing those branches each time took a third of the time until the first step.
    """
    import keras
    from keras import ops

    class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step: Any) -> Any:
            step = ops.cast(step, "float32")
            done = ops.minimum((step - warmup) / decay, 1.0)
            rate = (0.5 * peak) * (1.0 + ops.cos(math.pi * done))
            if not warmup:
                return rate
            return ops.where(step < warmup, peak * (1e-3 + 0.999 * step / warmup), rate)

        def get_config(self) -> dict[str, Any]:
            return {"peak": peak, "warmup": warmup, "decay": decay}

    return WarmupCosine()
