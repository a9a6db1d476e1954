"""Weights from HDF5 files that others published: only numbers are read, after checks of names and shapes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facefeat.errors import InputError
from facefeat.utils.files import expanded

if TYPE_CHECKING:
    import keras
    import numpy as np


def load_into(model: keras.Model, path: str | Path, what: str) -> None:
    """Load a file that Keras wrote for this architecture: `.weights.h5`, or the older `.h5` of keras.applications.

    Raises InputError where the file is missing, no such file, or of another architecture.
    """
    file = existing(path, what)
    if not file.name.endswith(".h5"):
        raise InputError(f"{what}: a weights file ends in .h5 or .weights.h5. Received: {str(path)!r}.")
    try:
        model.load_weights(file)
    except (ValueError, OSError, KeyError, TypeError) as e:
        raise InputError(f"{what}: the weights in {str(path)!r} do not fit: {_first_line(e)}") from None


def existing(path: str | Path, what: str) -> Path:
    """The path of an existing file. Raises InputError."""
    if not isinstance(path, str | Path) or not os.path.isfile(expanded(path)):
        raise InputError(f"{what}: no such weights file. Received: {path!r}.")
    return expanded(path)


def read_convolutions(path: Path, wanted: dict[str, tuple[int, ...]], what: str) -> dict[str, list[np.ndarray]]:
    """Kernel and bias of each wanted convolution from an HDF5 file of Keras 1 or 2.

    wanted: layer name -> shape of its kernel (k, k, in, out), in order. Gives layer name -> [kernel, bias (out,)],
    float32. Layers are found by name; a file without these names (DeepFace's, whose layers are numbered) is read in its
    own order, so that the first convolutions are ours and the rest is left alone.

    The format: a group per layer, listed in the attribute "layer_names" of the root (or of a group "model_weights"),
    and in it the datasets listed in its attribute "weight_names": "conv1_1/kernel:0", in older files "conv1_1_W_1:0".
    Raises InputError for a file that is no HDF5, lacks a layer, or holds another shape.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            root = file.get("model_weights", file)
            groups = {name: root[name] for name in _names(root, "layer_names") if _is_group(root, name)}
            found = {name: _datasets(group) for name, group in groups.items()}
            layers = {name: sets for name, sets in found.items() if len(sets) == 2 and len(sets[0].shape) == 4}
            if not set(wanted) & set(layers) and "layer_names" in root.attrs:
                layers = dict(zip(wanted, layers.values(), strict=False))
            return {name: _read(layers.get(name), name, shape, path, what) for name, shape in wanted.items()}
    except (OSError, KeyError, RuntimeError) as e:
        raise InputError(f"{what}: cannot read the weights in {str(path)!r}: {_first_line(e)}") from None


def _read(sets: list[Any] | None, name: str, shape: tuple[int, ...], path: Path, what: str) -> list[np.ndarray]:
    import numpy as np

    where = f"{what}: the weights in {str(path)!r} do not fit: layer {name!r}"
    if sets is None:
        raise InputError(f"{where} is missing.")
    for data, want in zip(sets, (shape, shape[-1:]), strict=True):
        if tuple(data.shape) != want or data.dtype.kind != "f":
            raise InputError(f"{where} must be float {want}. Received: {data.dtype} {tuple(data.shape)}.")
    arrays = [np.asarray(data[()], "float32") for data in sets]
    if not all(np.isfinite(a).all() for a in arrays):
        raise InputError(f"{where} holds NaN or infinity.")
    return arrays


def _datasets(group: Any) -> list[Any]:
    """The datasets of a layer, largest rank first: kernel, bias. Links into other files are not followed."""
    import h5py

    found: list[Any] = []
    names = _names(group, "weight_names")
    for name in names:
        link: Any = group
        for part in name.split("/"):
            if not isinstance(link, h5py.Group) or not isinstance(link.get(part, getlink=True), h5py.HardLink):
                link = None
                break
            link = link[part]
        if isinstance(link, h5py.Dataset) and not link.external and not link.is_virtual:
            found.append(link)
    return sorted(found, key=lambda d: -len(d.shape))


def _is_group(root: Any, name: str) -> bool:
    import h5py

    return isinstance(root.get(name, getlink=True), h5py.HardLink) and isinstance(root[name], h5py.Group)


def _names(group: Any, key: str) -> list[str]:
    """The names in an attribute; without it, those of the group's own members."""
    values = group.attrs[key] if key in group.attrs else list(group)
    return [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in values]


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
