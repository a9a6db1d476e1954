"""What a search varies: a space of recipe keys, and a recipe with the values of one point in it.

A space is a table from a dotted key of the recipe to its range:

    "train.learning_rate" = { low = 1e-4, high = 1e-2, log = true }
    "head.config.dropout" = { low = 0.0, high = 0.6, step = 0.1 }
    "train.trainable" = { choices = ["head", "last 3", "all"] }

Three keys stand for more than one value: "trunk.layers" and "trunk.units", "trunk.activation", "trunk.dropout" make
the trunk of a `three-head`; "augment.strength" multiplies all amounts of the recipe's augmentation.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Protocol

from facefeat.errors import RecipeError, did_you_mean
from facefeat.training.recipe import Recipe, recipe_from_dict

Space = Mapping[str, Mapping[str, Any]]
_RANGE_KEYS = ("low", "high", "log", "step", "choices")
_AMOUNTS = ("rotation", "shift", "shear", "zoom", "brightness", "contrast", "saturation", "hue", "magnitude", "jpeg")
_AMOUNTS_TOO = ("erase", "coarse_dropout", "mixup", "cutmix")
_MOST = {"rotation": 180.0, "shift": 0.5, "shear": 0.5, "zoom": 0.5}
_ACTIVATIONS = ["relu", "leaky_relu", "tanh", "gelu"]


class Trial(Protocol):
    """The part of `optuna.Trial` that draws values."""

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None = ..., log: bool = ...) -> float:
        """A number."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = ..., log: bool = ...) -> int:
        """A whole number."""

    def suggest_categorical(self, name: str, choices: list[Any]) -> Any:
        """One of some values."""


def default_space(recipe: Recipe) -> dict[str, dict[str, Any]]:
    """What is worth varying in a recipe: rate, decay, trained layers, widths, activation, dropout, augmentation."""
    rate = recipe.train.learning_rate
    space: dict[str, dict[str, Any]] = {
        "train.learning_rate": {"low": rate / 10, "high": min(rate * 10, 10.0), "log": True},
        "train.weight_decay": {"low": 1e-4, "high": 0.3, "log": True},
    }
    pretrained = bool(recipe.start) or recipe.backbone.config.get("weights", None) or recipe.backbone.name == "vggface"
    if pretrained and not recipe.train.phases:
        space["train.trainable"] = {"choices": ["head", "last 3", "last 7", "all"]}
    if recipe.backbone.name == "compact" and not recipe.start:
        space["backbone.config.activation"] = {"choices": ["relu", "silu", "gelu"]}
    if recipe.head.name == "three-head":
        space |= {
            "head.config.dropout": {"low": 0.0, "high": 0.6},
            "trunk.layers": {"low": 0, "high": 3},
            "trunk.units": {"low": 128, "high": 1024, "step": 128},
            "trunk.activation": {"choices": _ACTIVATIONS},
            "trunk.dropout": {"low": 0.0, "high": 0.6},
        }
    elif recipe.head.name == "single":
        space["head.config.dropout"] = {"low": 0.0, "high": 0.6}
    if any(getattr(recipe.augment, k) for k in (*_AMOUNTS[:8], *_AMOUNTS_TOO)):
        space["augment.strength"] = {"low": 0.0, "high": 2.0}
    return space


def check_space(space: Any, recipe: Recipe) -> Space:
    """The space, where every key belongs to the recipe and every range is one.

    Raises RecipeError that names the key.
    """
    if not isinstance(space, Mapping) or not space:
        raise RecipeError(f"a search space is a table of recipe keys, at least one. Received: {space!r}.")
    for key, values in space.items():
        if not isinstance(values, Mapping):
            raise RecipeError(f"search space: {key}: must be a table: low and high, or choices. Received: {values!r}.")
        for name in values:
            if name not in _RANGE_KEYS:
                raise RecipeError(f"search space: {key}: unknown key. {did_you_mean(name, _RANGE_KEYS)}")
        choices, low, high = values.get("choices"), values.get("low"), values.get("high")
        number = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (low, high))
        if not (isinstance(choices, list) and choices) and not (number and low <= high):  # type: ignore[operator]
            raise RecipeError(f"search space: {key}: needs low <= high, or choices. Received: {dict(values)!r}.")
    # A point of the space must be a recipe.
    apply(recipe, {k: v["choices"][0] if "choices" in v else v["low"] for k, v in space.items()})
    return space


def draw(space: Space, trial: Trial) -> dict[str, Any]:
    """One point of the space."""
    out: dict[str, Any] = {}
    for key, values in space.items():
        if "choices" in values:
            out[key] = trial.suggest_categorical(key, list(values["choices"]))
            continue
        low, high, log, step = values["low"], values["high"], bool(values.get("log", False)), values.get("step")
        if isinstance(low, int) and isinstance(high, int):
            out[key] = trial.suggest_int(key, low, high, step=int(step or 1), log=log)
        else:
            out[key] = trial.suggest_float(key, float(low), float(high), step=step, log=log)
    return out


def apply(recipe: Recipe, values: Mapping[str, Any], name: str = "") -> Recipe:
    """The recipe with these values. Raises RecipeError for an unknown key or an impossible value."""
    table = copy.deepcopy(recipe.to_dict())
    trunk = {k.removeprefix("trunk."): v for k, v in values.items() if k.startswith("trunk.")}
    for key, value in values.items():
        if key.startswith("trunk."):
            continue
        if key == "augment.strength":
            for amount in (*_AMOUNTS, *_AMOUNTS_TOO):
                table["augment"][amount] = min(table["augment"][amount] * value, _MOST.get(amount, 0.95))
            continue
        *path, last = key.split(".")
        place = table
        for part in path:
            if not isinstance(place.get(part), dict):
                raise RecipeError(f"search space: {key}: no such key of a recipe. {did_you_mean(part, place)}")
            place = place[part]
        if last not in place and path[-1:] != ["config"]:
            raise RecipeError(f"search space: {key}: no such key of a recipe. {did_you_mean(last, place)}")
        place[last] = value
    if trunk:
        one = {"units": 512, "activation": "relu", "dropout": 0.0, **trunk}
        layers = one.pop("layers", 1)
        table["head"]["config"]["trunk"] = [dict(one) for _ in range(layers)]
    if name:
        table["name"] = name
    return recipe_from_dict(table, where="search space")
