"""How a model's latents vary with its attributes, for editing and composing: a part of a preset, `directions.npz`.

`latent.fit_directions` fits it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.errors import InputError, PresetError, did_you_mean
from facefeat.networks.finite import MAX_WEIGHT
from facefeat.utils.archives import read_npz

if TYPE_CHECKING:
    from facefeat.schema import Attribute, Schema

FILE = "directions.npz"
MAX_BYTES = 64_000_000
HALF_MAX = 65504.0
"""The largest float16."""
METHODS = ("means", "least", "orthogonal")
Name = tuple[str, str]
"""(attribute, class); the class is "" where the attribute is ordered."""


@dataclass(frozen=True)
class LatentDirections:
    """How the latents of a data set vary, and how attributes follow from them. All arrays are float32.

    A latent is L = D + K numbers: D attribute features, then a decoder's detail code of K.
    mean, spread: (L,) of each coordinate: its mean and its standard deviation.
    components: (P, L) principal components, each as long as the standard deviation of the faces along it.
    probes: R names. weights: (R, D), offsets: (R,): a probe of a latent z is `weights @ z[:D] + offsets`: years
    or classes of an ordered attribute, else the log-odds of a class (those of one attribute sum to zero).
    follow: (D, R) covariance of the features with the probes.
    groups: G names of classes. group_means: (G, L) the mean latent of each, of an attribute without order only of those
    faces that are also predicted as it. faces: how many it was fitted on.
    """

    mean: np.ndarray
    spread: np.ndarray
    components: np.ndarray
    probes: tuple[Name, ...]
    weights: np.ndarray
    offsets: np.ndarray
    follow: np.ndarray
    groups: tuple[Name, ...]
    group_means: np.ndarray
    faces: int

    @property
    def feature_dim(self) -> int:
        """D, the width of the attribute features."""
        return int(self.weights.shape[1])

    @property
    def latent_dim(self) -> int:
        """L, the width of a latent."""
        return len(self.mean)

    def values(self, latents: np.ndarray) -> np.ndarray:
        """(N, L) latents -> (N, R) float64: the values of the probes."""
        z = np.asarray(latents, "float64")[:, : self.feature_dim]
        return np.asarray(z @ self.weights.T.astype("float64") + self.offsets)

    def row(self, attribute: str, label: str = "") -> int:
        """Which probe is of an attribute, or of its class. Raises InputError where the data did not have it."""
        return _place(self.probes, attribute, label)

    def group_mean(self, attribute: str, label: str) -> np.ndarray:
        """(L,) mean latent of a class. Raises InputError where the data did not have it."""
        return np.asarray(self.group_means[_place(self.groups, attribute, label)])

    def toward(
        self, attribute: Attribute, origin: np.ndarray, target: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The shifts of the method "means": (N, D) float64, lengths (N,), and (N,) bool where there is such a shift.

        Each face's own: from the mean latent of its present class to that of the wanted class, less what would
        change the probes of the other attributes. With one covariance for all classes, the difference of two means is
        the shift of least Mahalanobis length along Fisher's linear discriminant between them (Fisher, "The use of
        multiple measurements in taxonomic problems", 1936). One direction for all faces, as `shifts` gives, does not
        know that what makes a child older is not what makes a face of fifty older.

        origin, target: (N,) years or positions of an ordered attribute; between the means of its classes, taken to
        stand at their middles, it is interpolated; beyond the last it goes straight on. Otherwise (N,) names of
        classes.
        A shift raises an ordered attribute by 1, counted along the means, else the probe of the target by 1. Lengths
        are in standard deviations of the faces along the shift. There is none between equal classes, or from one
        that the data did not have. Raises InputError for a target class that they did not have.
        """
        means = self.group_means[:, : self.feature_dim].astype("float64")
        place = {c: i for i, (a, c) in enumerate(self.groups) if a == attribute.name}
        axis = attribute.axis
        if axis is not None:
            knots = np.array([axis.positions[attribute.groups.index(c)] for c in place], "float64")
            gap = np.asarray(target, "float64") - origin
            far = np.where(gap < 0, -1.0, 1.0) * np.maximum(np.abs(gap), axis.reach)
            shift = np.zeros((len(gap), self.feature_dim))
            if len(knots) > 1:
                shift = _between(knots, means[list(place.values())], np.asarray(origin, "float64"), far) / far[:, None]
        else:
            known = np.array([str(a) in place and str(b) in place for a, b in zip(origin, target, strict=True)])
            ends = [[place.get(str(c), 0) for c in side] for side in (origin, target)]
            shift = (means[ends[1]] - means[ends[0]]) * known[:, None]
        others = [i for i, (a, _) in enumerate(self.probes) if a != attribute.name]
        w, follow = self.weights[others].astype("float64"), self.follow[:, others].astype("float64")
        shift = shift - (shift @ w.T) @ np.linalg.pinv(w @ follow, rcond=1e-9).T @ follow.T
        raised = np.ones(len(shift))
        if axis is None:
            rows = [self.row(attribute.name, str(c)) for c in target]
            raised = np.einsum("nd,nd->n", shift, self.weights[rows].astype("float64"))
        size = np.linalg.norm(shift, axis=1)
        there = (size > 1e-9) & (raised > 1e-9)
        shift = shift / np.where(there, raised, 1.0)[:, None]
        # A shift along which the faces have spread s is 1 / s standard deviations long for each unit of length.
        along = np.linalg.norm(shift @ self.components[:, : self.feature_dim].astype("float64").T, axis=1)
        size = np.linalg.norm(shift, axis=1)
        there &= along > 1e-9
        return shift, np.where(there, size**2 / np.where(there, along, 1.0), 1.0), there

    def shifts(self, asked: Sequence[int], method: str = "least") -> tuple[np.ndarray, np.ndarray]:
        """One direction for each asked probe: (A, D) float64 shifts that raise it by 1, and their lengths (A,).

        Each leaves the other asked probes, and all probes of attributes that are not asked, unchanged.
        method: "least" takes, of all such shifts, the one of least Mahalanobis length: with S the covariance of the
        features and C the probes, S C^T (C S C^T)^-1. It moves all that goes with the attribute among real faces.
        "orthogonal" takes the probe's normal, orthogonal to those of the others (InterFaceGAN, Shen
        et al., CVPR 2020). "means" is "least" here, where no face is given; see `toward`.
        Lengths are in standard deviations of the faces: of the Mahalanobis distance for "least",
        along the shift for "orthogonal".

        Raises InputError for an unknown method, or a probe that cannot be moved alone.
        """
        check_method(method)
        rows = [*asked, *self._others(asked)]
        w = self.weights[rows].astype("float64")  # (M, D)
        together = w @ self.follow[:, rows].astype("float64")  # (M, M): C S C^T
        together = (together + together.T) / 2
        if method != "orthogonal":
            inverse = np.linalg.pinv(together, rcond=1e-9, hermitian=True)
            made = (self.follow[:, rows] @ inverse)[:, : len(asked)].T
            lengths = np.sqrt(np.maximum(np.diag(inverse)[: len(asked)], 0))
        else:
            mixes = np.stack([_own_part(w, i) for i in range(len(asked))])  # (A, M): the shift is mixes @ w
            made = mixes @ w
            lengths = np.sqrt(np.maximum(np.einsum("ai,ij,aj->a", mixes, together, mixes), 0))
            moved = np.einsum("ad,ad->a", made, w[: len(asked)])  # how much each raises its own probe
            # A shift along which the faces have spread s is 1 / s standard deviations long for each unit of length.
            scale = np.divide(1, moved, out=np.zeros_like(moved), where=moved > 1e-12)
            size = np.einsum("ad,ad->a", made, made)
            lengths = np.divide(scale * size, lengths, out=np.zeros_like(lengths), where=lengths > 1e-12)
            made = made * scale[:, None]
        raised = np.einsum("ad,ad->a", made, w[: len(asked)])
        for row, length, one in zip(asked, lengths, raised, strict=True):
            if not (length > 1e-9 and abs(one - 1) < 0.1):
                raise InputError(
                    f"{' '.join(self.probes[row]).strip()!r} cannot be changed alone: the latents of the "
                    f"{self.faces:,} faces do not tell it apart from the other attributes."
                )
        return np.asarray(made), np.asarray(lengths)

    def _others(self, asked: Sequence[int]) -> list[int]:
        """The probes of attributes that are not asked; of several classes one is left out, as it follows."""
        names = {self.probes[i][0] for i in asked}
        rows: list[int] = []
        for attribute in dict.fromkeys(a for a, _ in self.probes):
            mine = [i for i, (a, _) in enumerate(self.probes) if a == attribute]
            if attribute not in names:
                rows += mine[1:] if len(mine) > 1 else mine
        return rows

    def check(self, schema: Schema, feature_dim: int, latent_dim: int) -> None:
        """Raises ValueError that says what does not fit: to each other, or to a model of this schema and widths."""
        d, n, r = self.feature_dim, self.latent_dim, len(self.probes)
        if (d, n) != (feature_dim, latent_dim):
            raise ValueError(f"latents of {n} numbers with {d} features, the model has {latent_dim} with {feature_dim}")
        shapes = {
            "mean": (n,), "spread": (n,), "components": (len(self.components), n), "weights": (r, d), "offsets": (r,),
            "follow": (d, r), "group_means": (len(self.groups), n),
        }  # fmt: skip
        for name, shape in shapes.items():
            array = getattr(self, name)
            if array.shape != shape or array.dtype != np.float32 or not (np.abs(array) <= MAX_WEIGHT).all():
                raise ValueError(f"{name} must be {shape} float32, finite, up to {MAX_WEIGHT:g}")
        for attribute, label in (*self.probes, *self.groups):
            known = schema.attributes.get(attribute)
            if known is None or (label and label not in known.groups):
                raise ValueError(f"{attribute} {label!r} is not in the schema")

    def write(self, path: Path) -> None:
        """Write the file: numbers and names only."""
        arrays: dict[str, Any] = {_key(f.name): np.asarray(getattr(self, f.name)) for f in fields(self)}
        # The largest array. `fit_directions` rounds it, so that half of the bytes do; older ones are not rounded.
        if (as_stored(self.components) == self.components).all() and np.abs(self.components).max(initial=0) <= HALF_MAX:
            arrays["components"] = self.components.astype("float16")
        np.savez(path, **arrays)


def as_stored(components: np.ndarray) -> np.ndarray:
    """(P, L) float32 rounded to float16, in which the file has them; as they are where one is too large for it."""
    if np.abs(components).max(initial=0) > HALF_MAX:
        return components
    return components.astype("float16").astype("float32")


def check_method(method: str) -> None:
    """Raises InputError for a method that `LatentDirections.shifts` does not have."""
    if method not in METHODS:
        raise InputError(f"no such method. {did_you_mean(str(method), METHODS)}")


def read_directions(path: Path, schema: Schema, feature_dim: int, latent_dim: int) -> LatentDirections:
    """What `LatentDirections.write` wrote, for a model of this schema and these widths. Nothing from it is run.

    Raises PresetError for a file that is too large, incomplete, or does not fit the model.
    """
    try:
        names = [_key(f.name) for f in fields(LatentDirections)]
        stored = read_npz(path, MAX_BYTES, names, inside=path.parent)
        found: dict[str, Any] = {f.name: stored[_key(f.name)] for f in fields(LatentDirections)}
        for name in ("probes", "groups"):
            if found[name].dtype.kind != "U" or found[name].ndim != 2 or found[name].shape[1] != 2:
                raise ValueError(f"{_key(name)} must be pairs of names")
            found[name] = tuple((str(a), str(c)) for a, c in found[name])
        if found["components"].dtype == np.float16:
            found["components"] = found["components"].astype("float32")
        found["faces"] = int(found["faces"])
        if not found["probes"] or found["weights"].ndim != 2:
            raise ValueError("weights must be (R, D), R at least 1")
        made = LatentDirections(**found)
        made.check(schema, feature_dim, latent_dim)
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise PresetError(
            f"preset {str(path.parent)!r}: {FILE!r} does not fit the model: {str(e).strip() or repr(e)}. "
            "Next: facefeat fit-directions --preset PRESET --data DIR"
        ) from None
    return made


def _key(name: str) -> str:
    """The array of the file that holds a field."""
    return "readouts" if name == "probes" else name


def _place(names: Sequence[Name], attribute: str, label: str) -> int:
    if (attribute, label) not in names:
        there = [c or a for a, c in names if a == attribute]
        raise InputError(
            f"the data that the directions were fitted on had no {attribute} {label}".rstrip()
            + f". Of {attribute} it had: {', '.join(there) or '(none)'}."
        )
    return names.index((attribute, label))


def _between(knots: np.ndarray, means: np.ndarray, origin: np.ndarray, far: np.ndarray) -> np.ndarray:
    """(N, D): what the line through `means` (K, D) at `knots` (K,) gains from origin to origin + far, (N,) both."""
    order = np.argsort(knots)
    knots, means = knots[order], means[order]

    def at(x: np.ndarray) -> np.ndarray:
        low = np.clip(np.searchsorted(knots, x, side="right") - 1, 0, len(knots) - 2)
        share = (x - knots[low]) / (knots[low + 1] - knots[low])
        return np.asarray(means[low] + share[:, None] * (means[low + 1] - means[low]))

    return np.asarray(at(origin + far) - at(origin))


def _own_part(w: np.ndarray, i: int) -> np.ndarray:
    """(M,) how to mix the rows of w (M, D), so that row i is left less what it shares with the others."""
    others = np.delete(w, i, axis=0)
    shared = np.linalg.lstsq(others.T, w[i], rcond=1e-9)[0] if len(others) else np.zeros(0)
    return np.insert(-shared, i, 1.0)
