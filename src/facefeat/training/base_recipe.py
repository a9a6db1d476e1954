"""What recipes of classifiers and of decoders share: the [train] table, reading, checking, replacing, listing.

The tables of a recipe are dataclasses; their fields are its keys, with their defaults and bounds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from facefeat.errors import RecipeError, did_you_mean
from facefeat.training.reading import Matches, OneOf, Problem, Range, impossible, read
from facefeat.utils import files

RECIPES = Path(__file__).parent.parent / "assets" / "recipes"
PRECISIONS = ("auto", "float32", "bfloat16", "float16", "mixed_bfloat16", "mixed_float16")
MAX_SEED = 2**32 - 1
"""NumPy takes no seed above it."""

Share = Annotated[float, Range(0, 1)]
Weight = Annotated[float, Range(0)]


class _Schedule:
    """The rule for the warm-up of whatever has epochs."""

    epochs: int
    warmup_epochs: float

    def completed(self, given: Collection[str]) -> Self:
        """With no more warm-up than half of the epochs, where a file gives none: the default is for longer runs."""
        if "warmup_epochs" in given:
            return self
        shorter = min(self.warmup_epochs, max(self.epochs, 0) / 2)
        return dataclasses.replace(self, warmup_epochs=shorter)  # type: ignore[type-var]

    def problems(self) -> Iterator[Problem]:
        """A warm-up that never ends."""
        if not self.warmup_epochs < self.epochs:
            yield ("warmup_epochs",), impossible(self.warmup_epochs, "0 to under epochs")


@dataclass(frozen=True)
class Phase(_Schedule):
    """A part of a run with an optimiser, a warm-up and a cosine decay of its own.

    trainable: "all", "head" (the backbone is frozen), or "last N": the head and the last N layers of the backbone that
    have weights. A frozen layer's batch-norm statistics are not updated.
    learning_rate: 0 for the one of [train]. warmup_epochs: linear warm-up; where a file does not give it, no more than
    half of the epochs.
    """

    epochs: Annotated[int, Range(1)]
    trainable: Annotated[str, Matches(r"all|head|last [1-9]\d*", "all, head, or last N")] = "all"
    learning_rate: Annotated[float, Range(0, 10)] = 0.0
    warmup_epochs: Annotated[float, Range(0)] = 1.0


@dataclass(frozen=True)
class Training(_Schedule):
    """The table [train]: AdamW (Loshchilov and Hutter, 2019), linear warm-up, cosine decay to zero.

    warmup_epochs: as of a Phase. weight_decay leaves biases and normalisation alone. clip_norm: bound of the global
    gradient norm, 0 for none. patience: epochs without a better validation score before a phase ends, 0 for never.
    mixed_precision: "auto" is mixed_bfloat16 where the processor is fast at it (`training.precision`), else float32; or
    one of PRECISIONS.
    """

    epochs: Annotated[int, Range(1)] = 20
    batch_size: Annotated[int, Range(1)] = 128
    learning_rate: Annotated[float, Range(0, 10, above=True)] = 2e-3
    warmup_epochs: Annotated[float, Range(0)] = 1.0
    weight_decay: Annotated[float, Range(0, 10, below=True)] = 0.05
    clip_norm: Annotated[float, Range(0)] = 5.0
    patience: Annotated[int, Range(0)] = 0
    mixed_precision: Annotated[str, OneOf(PRECISIONS, "precision")] = "auto"

    def plan(self) -> tuple[Phase, ...]:
        """The phases of the run, each with its learning rate: at least one."""
        return (Phase(self.epochs, "all", self.learning_rate, self.warmup_epochs),)


@dataclass(frozen=True)
class ComponentChoice:
    """A component by name, with the configuration that its `build` takes."""

    name: str
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class BaseRecipe:
    """Everything that a run depends on.

    summary: one line. seed: where all randomness comes from. start: a preset (name or folder) that the run starts from.
    """

    name: str
    summary: str = ""
    seed: Annotated[int, Range(0, MAX_SEED)] = 1
    start: str = ""
    train: Training = field(default_factory=Training)

    folder: ClassVar[Path]
    """Where the shipped ones are."""

    @classmethod
    def shipped(cls) -> dict[str, Path]:
        """The recipes that ship in the package: name -> file."""
        return {p.stem: p for p in sorted(cls.folder.glob("*.toml"))}

    @classmethod
    def load(cls, value: str | Path | Self) -> Self:
        """A recipe from its name, a TOML file, or a recipe. See `load_recipe`."""
        if isinstance(value, cls):
            return value
        shipped = cls.shipped()
        path = shipped.get(str(value), Path(str(value)))
        if str(value) not in shipped and path.suffix != ".toml":
            raise RecipeError(f"no such recipe. {did_you_mean(str(value), shipped)} Or the path of a .toml file.")
        text, table = read_toml(path, "recipe")
        if isinstance(schema := table.get("schema"), str) and schema.endswith(".toml"):
            # A file next to the recipe, so that both can be moved; else as it was typed, from the working folder.
            beside = path.parent / schema
            table = {**table, "schema": str(beside) if beside.is_file() else schema}
        return cls.from_dict({"name": path.stem, **table}, str(path), text)

    @classmethod
    def from_dict(cls, table: Mapping[str, Any], where: str = "recipe", text: str = "") -> Self:
        """A recipe from a table; `text`, the TOML, lets messages name the line. Raises RecipeError."""
        return read(cls, table, where, text)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; `from_dict` is the inverse."""
        return dataclasses.asdict(self)

    def replace(self, **changes: Any) -> Self:
        """A copy with other values: keys of the recipe, or of its [train] table. Checked like a file.

        A number of epochs is shared out among the phases in proportion, at least one each; a warm-up shrinks to half
        of what is left. With another learning rate those that phases have of their own change in proportion.
        """
        table = self.to_dict()
        for key, value in changes.items():
            (table["train"] if key in table["train"] else table)[key] = value
        phases = () if "phases" in changes else table["train"].get("phases", ())
        rate, epochs = changes.get("learning_rate"), changes.get("epochs")
        if isinstance(rate, int | float):
            for phase in phases:
                phase["learning_rate"] *= rate / self.train.learning_rate
        if isinstance(epochs, int):
            for phase, share in zip(phases, shared_out(epochs, [p["epochs"] for p in phases]), strict=True):
                phase["epochs"] = share
            for part in (table["train"], *phases) if "warmup_epochs" not in changes else ():
                part["warmup_epochs"] = min(part["warmup_epochs"], max(part["epochs"], 0) / 2)
        return self.from_dict(table)


def shared_out(total: int, weights: Sequence[int]) -> list[int]:
    """`total` in proportion to these weights, each 1 or more: the sum is `total` where that is possible."""
    if not weights:
        return []
    whole = sum(weights)
    shares = [max(1, w * total // whole) for w in weights]
    while sum(shares) < total:  # the one that is furthest below its proportion
        shares[max(range(len(shares)), key=lambda i: weights[i] * total - shares[i] * whole)] += 1
    while sum(shares) > max(total, len(shares)):
        above = [i for i, n in enumerate(shares) if n > 1]
        shares[min(above, key=lambda i: weights[i] * total - shares[i] * whole)] -= 1
    return shares


def read_toml(path: Path, what: str) -> tuple[str, dict[str, Any]]:
    """The text of a TOML file, and its table. what: the file is, for messages. Raises RecipeError."""
    try:
        return files.read_toml(path)
    except OSError as e:
        raise RecipeError(f"cannot read the {what} {str(path)!r}: {e.strerror or e}") from None
    except ValueError as e:
        raise RecipeError(f"{str(path)!r} is not valid TOML: {e}") from None
