"""The critic of an adversarial term: a small network that discriminates decoded faces from real ones, patch by patch.

Patches of about a fifth of a face each get a verdict of their own (Isola et al., "Image-to-image translation", CVPR
2017, section 3.2.2), and the loss is the hinge (Lim and Ye, "Geometric GAN", 2017). Both sides are learnt in one step
of one optimiser: each sees the other's weights as constants.
"""

from __future__ import annotations

from typing import Any

WIDTHS = (32, 64, 128)
FORMAT = "channels_last"  # crops are (B, S, S, 3) by contract, whatever Keras's global setting says


class Critic:
    """For crops (B, S, S, 3) float32 in 0..1.

    model: crops -> verdicts (B, S / 8, S / 8, 1), over 0 for real. fooling: a variable that
    switches the decoder's side on: 0 while the critic learns alone, then 1.
    """

    def __init__(self, size: int) -> None:
        import keras
        from keras import layers

        x = crops = keras.Input((size, size, 3), name="judged")
        x = layers.Rescaling(2.0, offset=-1.0, name="critic_normalise")(x)
        for i, width in enumerate(WIDTHS, start=1):
            x = layers.Conv2D(width, 4, strides=2, padding="same", data_format=FORMAT, name=f"critic{i}")(x)
            x = layers.LeakyReLU(0.2, name=f"critic{i}_act")(x)
        x = layers.Conv2D(1, 3, padding="same", dtype="float32", data_format=FORMAT, name="verdict")(x)
        self.model = keras.Model(crops, x, name="critic")
        self.fooling = keras.Variable(0.0, trainable=False, name="fooling")

    def terms(self, real: Any, made: Any) -> Any:
        """(B, S, S, 3) crops of 0..1 -> scalar: what the critic wants of its weights, and the decoder of its own."""
        from keras import ops

        critic = self.model
        on_real, on_made = critic(ops.stop_gradient(real)), critic(ops.stop_gradient(made))
        loss = ops.mean(ops.relu(1.0 - on_real)) + ops.mean(ops.relu(1.0 + on_made))
        fixed = [ops.stop_gradient(w) for w in critic.trainable_variables]
        verdict, _ = critic.stateless_call(fixed, critic.non_trainable_variables, made)
        return loss - ops.cast(self.fooling, "float32") * ops.mean(verdict)
