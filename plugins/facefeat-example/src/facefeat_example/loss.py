"""A loss: PolyLoss, cross-entropy with another first term (Leng et al., "PolyLoss", ICLR 2022)."""

from facefeat import Component, InputError


def build(*, attribute, epsilon=1.0):
    """(targets (B, T), outputs (B, K)) -> (B,) float32. epsilon: weight of one less the probability of the label.

    Raises InputError for an attribute that has not one class a face with one output each.
    """
    if not attribute.exclusive or attribute.outputs != len(attribute.classes):
        raise InputError(
            f"loss 'poly' is for attributes with one class a face. {attribute.name!r} is {attribute.kind}."
        )

    def poly(targets, outputs):
        from keras import ops  # here, not above: see __init__.py

        index = targets[:, 0]  # the position of the class; NaN where it is unknown
        known = ops.cast(ops.logical_not(ops.isnan(index)), "float32")
        row = ops.cast(ops.where(ops.isnan(index), ops.zeros_like(index), index), "int32")
        log_p = ops.log_softmax(ops.cast(outputs, "float32"), axis=-1)  # (B, K)
        log_p = ops.sum(ops.one_hot(row, attribute.outputs) * log_p, axis=-1)  # (B,)
        return known * (-log_p + epsilon * (1 - ops.exp(log_p)))

    return poly


LOSS = Component("poly", build, "cross-entropy with another first term")
