"""Builds components and runs them on the Keras backend of this process: `check_*` starts it for the other backends.

    KERAS_BACKEND=jax python -m facefeat.testing.subprocess FOLDER

FOLDER holds task.json: where the component is, and for each of its configurations the arguments of `build`, and
which part of what it gives is the model. Next to it lie N.inputs.npy for the N-th, and N.weights.h5 unless it is to be
called as in training; the outputs go to N.outputs.npz.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from facefeat.plugins.contracts import Component
from facefeat.schema import Schema


def find(where: Mapping[str, Any]) -> Any:
    """The `build` that `contract.locate` described."""
    if "name" in where:
        from facefeat.plugins.registry import get_registry

        return get_registry().get(where["kind"], where["name"]).component.build
    value = getattr(import_module(where["module"]), where["attribute"])
    value = value[where["index"]] if "index" in where else value
    return value.build if isinstance(value, Component) else value


def main(folder: Path) -> None:
    """Do the task in the folder."""
    import numpy as np

    from facefeat.testing.networks import outputs_of

    task = json.loads((folder / "task.json").read_text("utf-8"))
    build = find(task["where"])
    for i, arguments in enumerate(task["arguments"]):
        if "schema" in arguments:
            arguments["schema"] = Schema.from_dict(arguments["schema"])
        made = build(**arguments)
        model = getattr(made, task["part"], made) if task.get("part") else made
        weights = folder / f"{i}.weights.h5"
        if weights.exists():
            model.load_weights(weights)
        outputs: dict[str, Any] = outputs_of(model, np.load(folder / f"{i}.inputs.npy"), training=not weights.exists())
        np.savez(folder / f"{i}.outputs.npz", **outputs)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
