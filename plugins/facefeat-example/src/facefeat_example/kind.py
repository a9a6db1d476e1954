"""An attribute kind: an angle in degrees, learnt as its sine and cosine, so that 179 and -179 are two degrees apart."""

from facefeat import Component


def build():
    """Attributes of this kind have `range = [-180, 180]`, or another whole turn, and may have a `unit` and `bins`."""
    import numpy as np  # here, not above: see __init__.py

    from facefeat.builtin.kinds.number import NumberKind

    def turn(attribute):
        """Where the turn begins, and its half in the attribute's unit."""
        low, high = attribute.options["range"]
        return low, (high - low) / 2

    def encode(attribute, values, ops):
        """(B,) angles -> (B, 2): their sine and cosine."""
        low, half = turn(attribute)
        angle = (values - low - half) / half * np.pi
        return ops.stack([ops.sin(angle), ops.cos(angle)], axis=-1)

    def decode(attribute, outputs, ops):
        """(B, 2) -> (B,): the angle that they point to, however long they are."""
        low, half = turn(attribute)
        return ops.arctan2(outputs[:, 0], outputs[:, 1]) / np.pi * half + low + half

    def difference(attribute, a, b):
        """a - b, the short way round."""
        _, half = turn(attribute)
        return (a - b + half) % (2 * half) - half

    # What a number is made of; the rest (tables, calibration, metrics, words, export) follows from it.
    return NumberKind("circular", 2, decode, encode, difference, bounded=False)


KIND = Component("circular", build, "an angle, learnt as its sine and cosine")
