"""An analyzer: an object with `analyze`."""

from facefeat import Analysis, Component, InputError


class Means:
    """For each attribute of two or more classes, the direction from the mean of the first to that of the second."""

    def __init__(self, digits):
        self.digits = digits

    def analyze(self, latents, labels, model=None):
        """latents: (N, D) float32. labels: attribute -> (N,) classes. model: the FaceFeatureModel, where known.

        The table has a row for each class: how many latents, and how long they are on average. Raises InputError.
        """
        import numpy as np  # here, not above: see __init__.py
        import pandas as pd

        if len(latents) < 2:
            raise InputError(f"analyzer 'means' needs 2 latents or more. Received: {len(latents)}.")
        rows, directions = [], {}
        for attribute, values in labels.items():
            means = []
            for label in np.unique(values):
                mine = latents[values == label]  # (n, D)
                means.append(mine.mean(axis=0))
                length = round(float(np.linalg.norm(mine, axis=1).mean()), self.digits)
                rows.append({"attribute": attribute, "class": str(label), "n": len(mine), "length": length})
            step = means[1] - means[0] if len(means) > 1 else np.zeros(latents.shape[1])  # (D,)
            norm = np.linalg.norm(step)
            if norm > 0:
                directions[attribute] = (step / norm).astype("float32")  # of length 1
        # `figures` would be name -> matplotlib.figure.Figure.
        return Analysis("means", pd.DataFrame(rows), directions=directions)


def build(*, digits=4):
    """digits: decimals in the table."""
    return Means(digits)


ANALYZER = Component("means", build, "directions between the means of classes")
