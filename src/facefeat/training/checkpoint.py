"""What a run keeps on disk: the state after every epoch, and the weights of the best one, written atomically."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from facefeat.errors import TrainingError
from facefeat.utils.archives import DAMAGED
from facefeat.utils.atomic import atomic_file
from facefeat.utils.files import parse_json

_ABSENT = "(nothing)"
CHECKPOINT, BEST = "checkpoint.npz", "best.npz"


@dataclass
class Checkpoints:
    """The checkpoints of a run, in a folder or, without one, in memory.

    key: a hash of what the run depends on, `about`; a checkpoint with another one is refused. writes: whether this
    process is the one of a run that writes them; the others read.
    """

    folder: Path | None
    key: str
    writes: bool = True
    about: Mapping[str, Any] = field(default_factory=dict)
    best: Sequence[np.ndarray] = ()

    def save(self, variables: Sequence[Any], passing: Sequence[Any], state: dict[str, Any], best: bool) -> None:
        """After an epoch. passing: variables that end with the phase. state: JSON-able, what `read` gives back.

        Raises TrainingError where it cannot be written.
        """
        weights = [np.asarray(v) for v in variables]
        if best:
            self.best = weights
        if self.folder is None or not self.writes:
            return
        arrays = _named("w", weights)
        if best:
            self._write(BEST, arrays)
        text = json.dumps({**state, "key": self.key, "about": self.about})
        self._write(CHECKPOINT, arrays | _named("o", passing) | {"state": np.asarray(text)})

    def _write(self, name: str, arrays: dict[str, Any]) -> None:
        assert self.folder is not None
        hint = ". The epoch before is kept: make room, then the same command with --resume."
        with atomic_file(self.folder / name, TrainingError, hint) as new:
            np.savez(new, **arrays)

    def read(self) -> dict[str, Any] | None:
        """The state of the last epoch, or None where there is no checkpoint.

        Raises TrainingError for one that is of another run or cannot be read.
        """
        path = self.folder / CHECKPOINT if self.folder else None
        if path is None or not path.is_file():
            return None
        try:
            with np.load(path, allow_pickle=False) as arrays:
                state: dict[str, Any] = parse_json(str(arrays["state"]))
        except (*DAMAGED, KeyError) as e:
            raise TrainingError(f"{str(path)!r} is no checkpoint ({e}). Give another --output.") from None
        if state["key"] != self.key:
            found = differences(state.get("about") or {}, self.about)
            what = f": {'; '.join(found)}" if found else ""
            raise TrainingError(
                f"{str(path)!r} belongs to another recipe or data set{what}. Next: the recipe and data that it was "
                "begun with; or --overwrite in place of --resume to begin anew; or another --output."
            )
        return state

    def restore(self, variables: Sequence[Any], passing: Sequence[Any] = ()) -> None:
        """Put the last epoch's values into the variables, in the order in which they were saved."""
        assert self.folder is not None
        with np.load(self.folder / CHECKPOINT, allow_pickle=False) as arrays:
            for i, v in enumerate(variables):
                v.assign(arrays[f"w{i:04d}"])
            for i, v in enumerate(passing):
                v.assign(arrays[f"o{i:04d}"])

    def restore_best(self, variables: Sequence[Any]) -> None:
        """Put the best epoch's weights into the variables."""
        if not self.best and self.folder is not None:
            with np.load(self.folder / BEST, allow_pickle=False) as arrays:
                self.best = [arrays[f"w{i:04d}"] for i in range(len(variables))]
        for variable, weight in zip(variables, self.best, strict=True):
            variable.assign(weight)


_FACES = {f"data.{use}.fingerprint": f"the faces or labels to {what} differ" for use, what in
          (("train", "train on"), ("validation", "choose on"))}  # fmt: skip
"""What a differing hash means."""


def differences(there: Mapping[str, Any], here: Mapping[str, Any], most: int = 5) -> list[str]:
    """What differs between two nested tables: "train.epochs 20 there, 30 here"; `most` at most, then how many more."""
    a, b = _flat(there), _flat(here)
    keys = [k for k in dict.fromkeys([*a, *b]) if a.get(k, _ABSENT) != b.get(k, _ABSENT)] if a and b else []
    found = [
        _FACES.get(k) or f"{k} {_short(a.get(k, _ABSENT))} there, {_short(b.get(k, _ABSENT))} here" for k in keys[:most]
    ]
    return found + ([f"and {len(keys) - most} more"] if len(keys) > most else [])


def _flat(table: Any, path: str = "") -> dict[str, Any]:
    if isinstance(table, Mapping):
        return {k: v for name, inner in table.items() for k, v in _flat(inner, f"{path}.{name}".lstrip(".")).items()}
    if isinstance(table, list | tuple):
        return {k: v for i, inner in enumerate(table, 1) for k, v in _flat(inner, f"{path}.{i}").items()}
    return {path: table}


def _short(value: Any) -> str:
    text = value if value == _ABSENT else json.dumps(value)
    return text if len(text) <= 40 else f"{text[:16]}...{text[-8:]}"


def _named(letter: str, arrays: Sequence[Any]) -> dict[str, Any]:
    return {f"{letter}{i:04d}": np.asarray(a) for i, a in enumerate(arrays)}
