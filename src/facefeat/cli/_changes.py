"""What a user asks of attributes on the command line, as `FaceFeatureModel.edit` and `compose` take it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from facefeat.errors import InputError

if TYPE_CHECKING:
    from facefeat.schema import Attribute, Schema
    from facefeat.types import FaceBatch


def attribute_options(age: str) -> Callable[[Any], Any]:
    """The options --age, --gender, --race and --attribute of a command. age: the help of the first."""
    options = (
        click.option("--age", metavar="YEARS", help=age),
        click.option("--gender", metavar="CLASS", help="Such as Female, or Female:0.95 with a probability."),
        click.option("--race", metavar="CLASS", help="Such as Asian."),
        click.option("--attribute", "others", multiple=True, metavar="NAME=VALUE",
                     help="Any attribute of the model's schema; repeatable."),
    )  # fmt: skip

    def add(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def asked_of(schema: Schema, given: Mapping[str, str | None], others: Iterable[str]) -> dict[str, Any]:
    """Attribute -> what is asked of it, from the texts that were typed. Raises InputError."""
    typed = {k: v for k, v in given.items() if v is not None}
    for text in others:
        name, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"--attribute takes NAME=VALUE, such as --attribute gender=Female. Received: {text!r}.")
        if name in typed:
            raise InputError(f"{name} is asked for twice: {typed[name]!r} and {value!r}.")
        typed[name] = value
    return {name: _value(schema[name], text) for name, text in typed.items()}


def _value(attribute: Attribute, text: str) -> Any:
    if attribute.ordered:
        number = as_number(text)
        return text if number is None else number
    label, colon, probability = text.rpartition(":")
    p = as_number(probability)
    return (label, p) if colon and p is not None else text


def as_number(text: str) -> float | None:
    """The number that a text is, or None."""
    try:
        return float(text)
    except ValueError:
        return None


def read_below(batch: FaceBatch, row: int) -> list[str]:
    """What is read of one face, a short line for each attribute: "41 years", "Female 97%"."""
    lines = [] if batch.age_years is None else [f"{batch.age_years[row]:.0f} years"]
    for name, read in batch.row(row).items():
        if name != "age" or batch.age_years is None:
            lines.append(f"{read.label} {read.probability:.0%}")
    return lines
