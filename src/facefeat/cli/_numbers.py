"""Numbers as a user types them: which are valid, and what is said where one is not."""

from __future__ import annotations

import math
from typing import Any

import click

MAX_ROUNDS = 10_000
"""The most that --bootstrap takes: intervals change no more, and the figures of each round are held in memory."""


class Finite(click.FloatRange):
    """A FloatRange without NaN, which lies in every range since no comparison with it is true, and infinity."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number. Fails with what is valid."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{number} is no finite number.", param, ctx)
        return number


def bootstrap_rounds(least: int) -> click.IntRange:
    """The type of --bootstrap. least: 0 where there may be no intervals."""
    return click.IntRange(least, MAX_ROUNDS)
