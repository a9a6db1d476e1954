"""Training on several processes: one for each machine or accelerator, JAX between them, the batch divided among them.

Keras keeps the weights of all processes equal (`keras.distribution.DataParallel`): gradients and batch statistics are
those of the whole batch, so that the loss is that of one process with the same batch. What is not training (scores,
calibration) each process does for itself, on weights of its own; files are written by the first.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from facefeat.errors import InputError, TrainingError

VARIABLES = ("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "RANK")
"""What torchrun and launchers like it set: where the first process listens, how many there are, which one this is."""


@dataclass(frozen=True)
class Processes:
    """The processes of a run. index: which one this is, from 0; count: how many there are.

    distribution: the keras.distribution that training happens under, None for a single process.
    """

    index: int = 0
    count: int = 1
    distribution: Any = field(default=None, repr=False)

    @property
    def leads(self) -> bool:
        """Whether this process writes the files and reports progress."""
        return self.index == 0

    def together(self) -> AbstractContextManager[Any]:
        """What is built and trained in here, is so on all processes together."""
        return nullcontext() if self.distribution is None else self.distribution.scope()

    def check_start(self, epoch: int) -> None:
        """That every process begins at the same epoch; each must call this, and none continues before all have.

        Raises TrainingError, in every process, where they do not: each would wait for batches that others never train.
        """
        if self.count == 1:
            return
        found = gathered(epoch)
        if len(set(found)) > 1:
            listed = ", ".join(f"process {i} at epoch {e + 1}" for i, e in enumerate(found))
            raise TrainingError(
                f"the processes would start at different epochs: {listed}. With --resume, --output must be a folder "
                "that all of them see. Put it on shared storage, or copy checkpoint.npz and best.npz to every machine."
            )


ALONE = Processes()


def gathered(number: int) -> list[int]:
    """The number that each process gives, in the order of the processes."""
    import numpy as np
    from jax.experimental.multihost_utils import process_allgather

    return [int(n) for n in process_allgather(np.int32(number))]


def join_processes(environment: Mapping[str, str] = os.environ) -> Processes:
    """Join the processes of this run, as the launcher's environment describes them; waits until all are there.

    Either the four VARIABLES, or SLURM's own (`srun` sets them, JAX reads them). Must come before anything is computed.
    Raises InputError where the launcher set nothing, or another backend than JAX is in use; TrainingError where the
    others do not come.
    """
    import keras

    backend = keras.backend.backend()
    if backend != "jax":
        raise InputError(
            f"training on several processes needs the backend jax. Received: {backend}; TensorFlow's multi-worker "
            'strategy does not work with Keras 3. Next: KERAS_BACKEND=jax, with pip install "facefeat[jax]".'
        )
    import jax

    address = _address(environment)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")  # its other ones want MPI, or do not reduce at all
    try:
        jax.distributed.initialize(**address)
    except (RuntimeError, ValueError) as e:
        raise TrainingError(f"the processes did not find each other ({str(e).splitlines()[0]}).") from None
    # Each process reads its own part of a batch: Keras is not to divide it once more.
    together = keras.distribution.DataParallel(devices=jax.devices(), auto_shard_dataset=False)
    return Processes(jax.process_index(), jax.process_count(), together)


def _address(environment: Mapping[str, str]) -> dict[str, Any]:
    given = {name: environment[name] for name in VARIABLES if environment.get(name)}
    if not given and environment.get("SLURM_JOB_ID"):
        return {}
    missing = [name for name in VARIABLES if name not in given]
    if missing:
        raise InputError(
            f"--distributed finds its processes in the environment of a launcher: {', '.join(VARIABLES)}, or SLURM's. "
            f"Received: {', '.join(given) or 'none of these'}; missing: {', '.join(missing)}."
        )
    numbers = {name: given[name] for name in VARIABLES[1:]}
    wrong = [f"{k}={v!r}" for k, v in numbers.items() if not v.isdecimal()]
    if wrong:
        raise InputError(f"{', '.join(VARIABLES[1:])} must be whole numbers. Received: {', '.join(wrong)}.")
    count, index = int(given["WORLD_SIZE"]), int(given["RANK"])
    if not index < count:
        raise InputError(f"RANK must be 0 to WORLD_SIZE - 1. Received: RANK={index}, WORLD_SIZE={count}.")
    # torchrun itself listens at that port, in every mode in which it says so here: JAX takes the next one.
    taken = environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    where = f"{given['MASTER_ADDR']}:{int(given['MASTER_PORT']) + taken}"
    return {"coordinator_address": where, "num_processes": count, "process_id": index}
