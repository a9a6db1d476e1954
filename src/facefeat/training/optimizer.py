"""The optimiser of a phase."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facefeat.training.base_recipe import Phase, Training


def build_optimizer(options: Training, phase: Phase, steps: int) -> Any:
    """AdamW with the phase's warm-up and cosine decay over its steps (batches in an epoch)."""
    import keras

    warmup = round(phase.warmup_epochs * steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        # A float, not 0: Keras computes the warm-up in the type of the initial rate.
        phase.learning_rate * 1e-3 if warmup else phase.learning_rate,
        max(1, phase.epochs * steps - warmup),
        warmup_target=phase.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    optimizer = keras.optimizers.AdamW(
        schedule, weight_decay=options.weight_decay, global_clipnorm=options.clip_norm or None
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta", "log_variances"])
    return optimizer
