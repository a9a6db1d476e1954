"""Checks of a component's configuration: each raises InputError saying what came and what is valid."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import ParamSpec, TypeVar

from facefeat.errors import InputError, did_you_mean

P = ParamSpec("P")
R = TypeVar("R")

ACTIVATIONS = ("elu", "gelu", "hard_silu", "leaky_relu", "linear", "mish", "relu", "relu6", "selu", "silu", "tanh")
"""Activations that a configuration may name: they are the same on every Keras backend."""


def checked(what: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorator of a `build`: an unknown or missing keyword is an InputError that names `what`, not a TypeError."""

    def wrap(build: Callable[P, R]) -> Callable[P, R]:
        parameters = inspect.signature(build).parameters
        required = [n for n, p in parameters.items() if p.default is inspect.Parameter.empty]

        @functools.wraps(build)
        def inner(*args: P.args, **config: P.kwargs) -> R:
            for key in config:
                if key not in parameters:
                    raise InputError(f"{what}: unknown configuration key. {did_you_mean(key, parameters)}")
            for key in required:
                if key not in config:
                    raise InputError(f"{what}: {key!r} is missing. Received: {sorted(config)}.")
            return build(*args, **config)

        return inner

    return wrap


def whole(what: str, key: str, value: object, low: int, high: int = 1_000_000) -> int:
    """`value` where it is a whole number in low..high. Raises InputError."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(f"{what}: {key!r} must be a whole number from {low} to {high}. Received: {value!r}.")
    return value


def wholes(what: str, key: str, value: object, low: int, high: int = 1_000_000) -> tuple[int, ...]:
    """`value` as a tuple where it is a non-empty list of whole numbers in low..high. Raises InputError."""
    if isinstance(value, str | bytes) or not isinstance(value, Sequence) or not value:
        raise InputError(f"{what}: {key!r} must be a list of whole numbers. Received: {value!r}.")
    return tuple(whole(what, f"{key}[{i}]", v, low, high) for i, v in enumerate(value))


def real(what: str, key: str, value: object, low: float, high: float, *, below: bool = False) -> float:
    """`value` as a float where low <= value <= high (`below`: value < high). Raises InputError."""
    good = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
    if not good or (below and value == high):
        limit = f"from {low} to below {high}" if below else f"from {low} to {high}"
        raise InputError(f"{what}: {key!r} must be a number {limit}. Received: {value!r}.")
    return float(value)  # type: ignore[arg-type]


def flag(what: str, key: str, value: object) -> bool:
    """`value` where it is True or False. Raises InputError."""
    if not isinstance(value, bool):
        raise InputError(f"{what}: {key!r} must be true or false. Received: {value!r}.")
    return value


def choice(what: str, key: str, value: object, valid: Sequence[str]) -> str:
    """`value` where it is one of the names in `valid`. Raises InputError."""
    if not isinstance(value, str) or value not in valid:
        raise InputError(f"{what}: no such {key}. {did_you_mean(str(value), valid)}")
    return value


def size_of(what: str, image_size: object, smallest: int, multiple: int = 1) -> int:
    """`image_size` in pixels where a backbone can take it. Raises InputError naming the smallest valid size."""
    rule = f"at least {smallest}" + (f" and a multiple of {multiple}" if multiple > 1 else "")
    valid = isinstance(image_size, int) and not isinstance(image_size, bool)
    if not valid or image_size < smallest or image_size % multiple:  # type: ignore[operator]
        raise InputError(f"{what}: 'image_size' must be a whole number of pixels, {rule}. Received: {image_size!r}.")
    return image_size  # type: ignore[return-value]
