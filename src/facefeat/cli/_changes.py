"""What a user asks of attributes on the command line, as `FaceFeatureModel.edit` and `compose` take it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from facefeat.errors import InputError

if TYPE_CHECKING:
    from facefeat.schema import Attribute, Schema


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


def requested(
    schema: Schema, given: Mapping[str, str | None], others: Iterable[str], *, signed: bool = False
) -> dict[str, Any]:
    """Attribute -> what is asked of it, from the texts that were typed.

    signed: whether a number is a change, and so needs its sign. Raises InputError.
    """
    typed = {k: v for k, v in given.items() if v is not None}
    for text in others:
        name, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"--attribute takes NAME=VALUE, such as --attribute gender=Female. Received: {text!r}.")
        if name in typed:
            raise InputError(f"{name} is asked for twice: {typed[name]!r} and {value!r}.")
        typed[name] = value
    return {name: _value(schema[name], text, signed) for name, text in typed.items()}


def _value(attribute: Attribute, text: str, signed: bool) -> Any:
    if attribute.axis is not None:
        number = as_number(text)
        if signed and number is not None and text.strip()[0] not in "+-":
            unit = attribute.axis.unit
            raise InputError(
                f"{attribute.name} {text} could mean {text} {unit} more, or {text} {unit} in all. An edit takes the "
                f"change: +{text} or -{text}; for {text} in all, the difference to what `facefeat predict` says."
            )
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
