"""What a search varies: a space of recipe keys, and a recipe with the values of one point in it.

A space is a table from a dotted key of the recipe to its range:

    "train.learning_rate" = { low = 1e-4, high = 1e-2, log = true }
    "head.config.dropout" = { low = 0.0, high = 0.6, step = 0.1 }
    "train.trainable" = { choices = ["head", "last 3", "all"] }
    "train.phases.2.trainable" = { choices = ["last 3", "all"] }

Some keys stand for more than one value: "train.learning_rate" changes the phases' own rates in proportion;
"trunk.layers", "trunk.units", "trunk.activation", "trunk.dropout" and "trunk.batch_norm" make the trunk of a
`mlp`; "augment.strength" multiplies all amounts of the recipe's augmentation.
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any, Protocol

from facefeat.errors import PluginError, RecipeError, did_you_mean
from facefeat.plugins.registry import get_registry
from facefeat.training.base_recipe import ComponentChoice
from facefeat.training.recipe import Augment, Recipe

Space = Mapping[str, Mapping[str, Any]]
_RANGE_KEYS = ("low", "high", "log", "step", "choices")
_AMOUNTS = tuple(f.name for f in dataclasses.fields(Augment) if isinstance(f.default, float))
_MOST = {"rotation": 180.0, "shift": 0.5, "shear": 0.5, "zoom": 0.5}
_ACTIVATIONS = ["relu", "leaky_relu", "tanh", "gelu"]
_TRUNK = ("layers", "units", "activation", "dropout", "batch_norm")
_TRAINABLE = ["head", "last 3", "last 7", "all"]
_OF_ONE_PHASE = ("train.epochs", "train.trainable", "train.warmup_epochs")
_GIVEN = ("image_size", "feature_shape", "schema")
"""What a backbone or head is given in addition to its settings."""
_OTHERS = {"": ("trunk",), "augment": ("strength",)}
"""Keys of a space, by table, that a recipe does not have."""


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
    rate, phases = recipe.train.learning_rate, recipe.train.phases
    up = min(10.0, 10.0 / max(rate, *(p.learning_rate for p in recipe.train.plan())))  # the phases' rates rise with it
    space: dict[str, dict[str, Any]] = {
        "train.learning_rate": {"low": rate / 10, "high": rate * up, "log": True},
        "train.weight_decay": {"low": 1e-4, "high": 0.3, "log": True},
    }
    pretrained = bool(recipe.start) or recipe.backbone.config.get("weights", None) or recipe.backbone.name == "vggface"
    if pretrained and phases:
        key = f"train.phases.{len(phases)}.trainable"  # the last one decides what is trained in the end
        space[key] = {"choices": list(dict.fromkeys([*_TRAINABLE, phases[-1].trainable]))}
    elif pretrained:
        space["train.trainable"] = {"choices": _TRAINABLE}
    if recipe.backbone.name == "compact" and not recipe.start:
        space["backbone.config.activation"] = {"choices": ["relu", "silu", "gelu"]}
    if recipe.head.name == "mlp":
        space |= {
            "head.config.dropout": {"low": 0.0, "high": 0.6},
            "trunk.layers": {"low": 0, "high": 3},
            "trunk.units": {"low": 128, "high": 1024, "step": 128},
            "trunk.activation": {"choices": _ACTIVATIONS},
            "trunk.dropout": {"low": 0.0, "high": 0.6},
        }
    elif recipe.head.name == "single":
        space["head.config.dropout"] = {"low": 0.0, "high": 0.6}
    if any(getattr(recipe.augment, k) for k in _AMOUNTS if k != "magnitude"):
        space["augment.strength"] = {"low": 0.0, "high": 2.0}
    return space


def check_space(space: Any, recipe: Recipe) -> dict[str, dict[str, Any]]:
    """The space with whole numbers where a key takes them, else real ones; every range is one, and every end
    of it and every choice makes a recipe, with the low and with the high ends of the others.

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
    whole = {key: _takes_whole_numbers(key, recipe) for key in space}
    checked = {key: _choices(key, v) if "choices" in v else _range(key, v, whole[key]) for key, v in space.items()}
    ends = {key: v["choices"] if "choices" in v else [v["low"], v["high"]] for key, v in checked.items()}
    for others in ({key: e[0] for key, e in ends.items()}, {key: e[-1] for key, e in ends.items()}):
        for key, values in ends.items():
            for value in values:
                apply(recipe, {**others, key: value})
    return checked


def _choices(key: str, values: Mapping[str, Any]) -> dict[str, Any]:
    choices = values["choices"]
    if not isinstance(choices, list) or not choices or len(values) > 1:
        raise RecipeError(f"search space: {key}: needs low <= high, or choices, a list. Received: {dict(values)!r}.")
    return {"choices": list(choices)}


def _range(key: str, values: Mapping[str, Any], whole: bool) -> dict[str, Any]:
    where = f"search space: {key}"
    low, high, log, step = (values.get(name) for name in ("low", "high", "log", "step"))
    if not (_is_number(low) and _is_number(high) and low <= high):  # type: ignore[operator]
        raise RecipeError(f"{where}: needs low <= high, or choices. Received: {dict(values)!r}.")
    if log not in (None, False, True):
        raise RecipeError(f"{where}: log must be true or false. Received: {log!r}.")
    if step is not None and not (_is_number(step) and step > 0):
        raise RecipeError(f"{where}: step must be a number over 0. Received: {step!r}.")
    if log and step is not None:
        raise RecipeError(f"{where}: log = true takes no step. Received: step = {step!r}.")
    if log and low <= 0:  # type: ignore[operator]
        raise RecipeError(f"{where}: log = true needs a low over 0. Received: low = {low!r}.")
    given = {k: v for k, v in (("low", low), ("high", high), ("step", step)) if v is not None}
    for name, number in given.items():
        if whole and number != int(number):
            raise RecipeError(f"{where}: takes whole numbers. Received: {name} = {number!r}.")
    return {**{k: int(v) if whole else float(v) for k, v in given.items()}, **({"log": True} if log else {})}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e300 < value < 1e300


def _takes_whole_numbers(key: str, recipe: Recipe) -> bool:
    """Whether the values of a recipe's key are whole numbers. Raises RecipeError where it has no such key, or phases
    make it idle."""
    if recipe.train.phases and key in _OF_ONE_PHASE:
        own = f"train.phases.1.{key.removeprefix('train.')}"
        raise RecipeError(f"search space: {key}: the recipe has phases, and theirs count. Valid: such as {own}.")
    if key.startswith("trunk."):
        if "trunk" not in (_settings("head", recipe.head) or ["trunk"]):
            raise RecipeError(f"search space: {key}: the head {recipe.head.name!r} has no trunk.")
        return key in ("trunk.layers", "trunk.units")
    if key == "augment.strength":
        return False
    kind, _, name = key.partition(".config.")
    settings = _settings(kind, getattr(recipe, kind)) if kind in ("backbone", "head") and name else None
    if settings is not None:
        if name.partition(".")[0] not in settings:
            raise RecipeError(f"search space: {key}: no such setting of the {kind}. {did_you_mean(name, settings)}")
        if settings.get(name):
            return settings[name] == "int"
    place, last = _place(recipe.to_dict(), key)
    return type(place.get(last)) is int


def _settings(kind: str, choice: ComponentChoice) -> dict[str, str] | None:
    """The settings that a backbone or head takes, with their types as written; None where it does not say."""
    try:
        build = get_registry().get(kind, choice.name).component.build
        parameters = inspect.signature(build).parameters.values()
    except (PluginError, TypeError, ValueError):  # the first is reported when the model is built
        return None
    if any(p.kind == p.VAR_KEYWORD for p in parameters):
        return None
    types = {p.name: "" if p.annotation is p.empty else p.annotation for p in parameters if p.name not in _GIVEN}
    return {name: str(getattr(kind, "__name__", kind)) for name, kind in types.items()}


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
    """The recipe with these values. Raises RecipeError for an unknown key or an impossible value.

    With another learning rate those that phases have of their own change in proportion, as in `Recipe.replace`.
    """
    table = copy.deepcopy(recipe.to_dict())
    trunk = {k.removeprefix("trunk."): v for k, v in values.items() if k.startswith("trunk.")}
    rate = values.get("train.learning_rate")
    for phase in table["train"]["phases"] if _is_number(rate) else ():
        phase["learning_rate"] *= rate / recipe.train.learning_rate  # type: ignore[operator]
    for key, value in values.items():
        if key.startswith("trunk."):
            continue
        if key == "augment.strength":
            _check(key, value, _is_number(value) and value >= 0, "a number, 0 or more")
            for amount in _AMOUNTS:
                table["augment"][amount] = min(table["augment"][amount] * value, _MOST.get(amount, 0.95))
            continue
        place, last = _place(table, key)
        place[last] = value
    if trunk:
        table["head"]["config"]["trunk"] = _trunk(trunk)
    if name:
        table["name"] = name
    return Recipe.from_dict(table, where="search space")


def _place(table: dict[str, Any], key: str) -> tuple[dict[str, Any], str]:
    """The table of a recipe that a dotted key is in, and its name there; phases are numbered from 1."""
    *path, last = key.split(".")
    place: Any = table
    for i, part in enumerate(path):
        inner = {str(n): phase for n, phase in enumerate(place, 1)} if isinstance(place, list | tuple) else place
        if not isinstance(inner, dict) or part not in inner:
            raise _no_such(key, part, inner, path[:i])
        place = inner[part]
    if not isinstance(place, dict) or (last not in place and path[-1:] != ["config"]):
        raise _no_such(key, last, place, path)
    return place, last


def _no_such(key: str, part: str, place: Any, path: list[str]) -> RecipeError:
    names = [*(place if isinstance(place, dict) else ()), *_OTHERS.get(".".join(path), ())]
    return RecipeError(f"search space: {key}: no such key of a recipe. {did_you_mean(part, names)}")


def _trunk(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The trunk of a `mlp`: layers that are all alike."""
    for name in values:
        if name not in _TRUNK:
            raise RecipeError(f"search space: trunk.{name}: no such key of a trunk. {did_you_mean(name, _TRUNK)}")
    one = {"layers": 1, "units": 512, "activation": "relu", "dropout": 0.0, **values}
    layers, units, rate = one.pop("layers"), one["units"], one["dropout"]
    _check("trunk.layers", layers, type(layers) is int and layers >= 0, "a whole number, 0 or more")
    _check("trunk.units", units, type(units) is int and units >= 1, "a whole number, 1 or more")
    _check("trunk.dropout", rate, _is_number(rate) and 0 <= rate <= 1, "0 to 1")
    _check("trunk.activation", one["activation"], isinstance(one["activation"], str), "a name")
    normed = one.get("batch_norm", False)
    _check("trunk.batch_norm", normed, isinstance(normed, bool), "true or false")
    return [dict(one) for _ in range(layers)]


def _check(key: str, value: Any, ok: bool, valid: str) -> None:
    if not ok:
        raise RecipeError(f"search space: {key}: impossible value. Received: {value!r}. Valid: {valid}.")
