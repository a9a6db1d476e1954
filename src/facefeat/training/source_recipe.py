"""The tables [[sources]] of a recipe: several data sets that one run learns from, each with its share of the faces.

sources = load_sources("world.toml")                     # or a Recipe, and the folder that its paths start from
model.fit(sources.split("train"), sources.split("val"), "world.toml")
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from facefeat.errors import did_you_mean
from facefeat.training.reading import OneOf, Problem, Range, impossible

if TYPE_CHECKING:
    from facefeat.schema import Schema

BOTH, TRAIN, VALIDATION = "both", "train", "validation"
USES = (BOTH, TRAIN, VALIDATION)
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class DataSource:
    """A data set of a recipe.

    data: an imported folder, tar, zip or CSV, relative to the recipe. name: what it is called; by default the last part
    of `data`. weight: its share of the faces that an epoch draws, relative to the other sources'. use: "both", "train"
    (its train split only) or "validation" (never trained on). splits: a CSV with `file` and `split`, or "train", "val"
    or "test": all of its faces. root: where a CSV's files start from. limit: the most faces of its train split, drawn
    by the recipe's seed; 0 for all. licence: what its publisher allows, where the data do not say it.
    labels: attribute -> label -> the schema's label that it means, or a list of those of which it is one.
    trust: attribute -> the probability that its labels are right; 0 leaves them out. error: age -> how far off its
    labels are, the standard deviation in years.
    """

    data: str
    name: str = ""
    weight: Annotated[float, Range(0, above=True)] = 1.0
    use: Annotated[str, OneOf(USES, "use")] = BOTH
    splits: str = ""
    root: str = ""
    limit: Annotated[int, Range(0)] = 0
    licence: str = ""
    labels: Mapping[str, Any] = field(default_factory=dict)
    trust: Mapping[str, Any] = field(default_factory=dict)
    error: Mapping[str, Any] = field(default_factory=dict)

    def completed(self, given: object) -> DataSource:
        """With a name."""
        return self if self.name else dataclasses.replace(self, name=Path(self.data).stem)

    def problems(self) -> Iterator[Problem]:
        """Values that are none, whatever the schema."""
        if not self.data:
            yield ("data",), impossible(self.data, "a folder, tar, zip or CSV")
        if not self.name or "/" in self.name or not self.name.isprintable():
            yield ("name",), impossible(self.name, "a name without '/'")
        for key, valid in (("trust", Range(0, 1)), ("error", Range(0, 50, above=True, unit="years"))):
            for attribute, value in getattr(self, key).items():
                if isinstance(value, bool) or not isinstance(value, int | float) or valid.problem(value):
                    yield (key, attribute), impossible(value, valid)
                elif key == "error" and attribute in self.trust:
                    yield (key, attribute), "has a trust, too. Give one of them."
        for attribute, renamed in self.labels.items():
            if not isinstance(renamed, Mapping):
                yield ("labels", attribute), impossible(renamed, 'a table such as { "F" = "Female" }')
                continue
            for label, meant in renamed.items():
                listed = meant if isinstance(meant, list | tuple) else [meant]
                if not listed or not all(isinstance(m, str) for m in listed):
                    yield ("labels", attribute, label), impossible(meant, "a label, or a list of labels")

    def misfits(self, schema: Schema) -> Iterator[Problem]:
        """Keys that do not fit a schema."""
        for key in ("labels", "trust", "error"):
            for name in getattr(self, key):
                if name not in schema.attributes:
                    yield (key, name), f"no such attribute. {did_you_mean(name, schema.attributes)}"
                    continue
                attribute = schema[name]
                partial = key == "labels" or (key == "trust" and not self.trust[name])
                if not partial and not hasattr(attribute.strategy, "soft"):
                    yield (key, name), f"is for attributes with one class a face. {name!r} is {attribute.kind}."
                elif key == "error" and not attribute.years:
                    yield (key, name), f"is for attributes with years. {name!r} has none."


def source_problems(sources: Sequence[DataSource], schema: Schema) -> Iterator[Problem]:
    """What does not fit together among the sources of a recipe, and with its schema."""
    names: set[str] = set()
    for i, source in enumerate(sources, 1):
        if source.name in names:
            yield ("sources", str(i), "name"), f"{source.name!r} is the name of another source."
        names.add(source.name)
        for keys, message in source.misfits(schema):
            yield ("sources", str(i), *keys), message
    if sources and all(s.use == VALIDATION for s in sources):
        yield ("sources",), f"none is to be trained on: use = {VALIDATION!r} in all of them."
