"""What computes a network's outputs: ONNX Runtime or a Keras backend, behind one protocol.

ONNX Runtime is the default wherever a preset has the graphs of its networks: it starts in a tenth of a second and needs
no TensorFlow. Keras trains, gives gradients, and runs what cannot be exported.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from facefeat.errors import InputError, PresetError, did_you_mean
from facefeat.networks.finite import check_outputs
from facefeat.networks.keras_backend import use_jit
from facefeat.networks.onnx_graph import OUTPUT, check_graph
from facefeat.utils.machine import memory
from facefeat.utils.ort import import_onnxruntime, session_options, set_threads

if TYPE_CHECKING:
    import numpy as np

RUNTIMES = ("auto", "onnx", "keras")
PROVIDERS: Mapping[str, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
}
"""Device -> ONNX Runtime's execution provider."""
WHEELS: Mapping[str, str] = {"cuda": "onnxruntime-gpu", "coreml": "onnxruntime", "directml": "onnxruntime-directml"}
"""Device -> the package whose wheel has its provider (CoreML: on macOS)."""
DEVICES = ("auto", *PROVIDERS)
MIN_ARENA = 3 * 1024**3
"""Bytes that all sessions on the CPU may take together; where it is more, an eighth of the machine's memory."""
BATCH = 64
"""Rows per step. Larger batches gain nothing and cost memory."""
CPU_ROWS = 16
"""Rows of a step that ONNX Runtime sees at once on the CPU. With 64 the bundled backbone takes 5 % more processor time
for a crop, because its layers leave the caches, and 200 MB more memory."""

Outputs = dict[str, "np.ndarray"]
"""Output name -> (N, ...) array: `output` for a network with one output, an attribute's name for each of a head's."""


class Runtime(Protocol):
    """Computes the outputs of a model's named networks: "backbone", "head", "detail_encoder", "decoder"."""

    name: str

    def run(self, network: str, rows: np.ndarray) -> Outputs:
        """The outputs, float32, of one network for rows (B, ...) of its input; B is at most `BATCH`."""
        ...


@dataclass(frozen=True)
class RuntimeOptions:
    """How a preset's networks are run.

    Args:
        runtime: "onnx", "keras", or "auto": ONNX Runtime where the preset has its graphs, else Keras.
        device: "cpu", "cuda", "coreml" or "directml" of ONNX Runtime; "auto" for the first accelerator that the
            installed wheel supports, else the CPU. Keras chooses its own.
        threads: of ONNX Runtime on the CPU; 0 for one a usable core.

    Raises:
        InputError: for another name, or a negative number.
    """

    runtime: str = "auto"
    device: str = "auto"
    threads: int = 0

    def __post_init__(self) -> None:
        if self.runtime not in RUNTIMES:
            raise InputError(f"no such runtime. {did_you_mean(str(self.runtime), RUNTIMES)}")
        if self.device not in DEVICES:
            raise InputError(f"no such device. {did_you_mean(str(self.device), DEVICES)}")
        if isinstance(self.threads, bool) or not isinstance(self.threads, int) or self.threads < 0:
            raise InputError(f"threads must be a whole number from 0. Received: {self.threads!r}.")


_default = RuntimeOptions()


def default_options() -> RuntimeOptions:
    """The default of the whole process."""
    return _default


def set_default_options(options: RuntimeOptions) -> None:
    """Change the default of the process: for a program that asks its user once, such as the command line.

    Its threads are those of the detectors' networks, too.
    """
    global _default
    _default = options
    set_threads(options.threads)


_AGAIN = "Next: fetch or train the preset again"


def only_output(outputs: Outputs, network: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """The output of a network that has one; None stands for any size of an axis. Raises PresetError for another."""
    return named_output(outputs, network, OUTPUT, shape)


def named_output(outputs: Outputs, network: str, name: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """The output of this name. Raises PresetError where there is none, or it has another shape."""
    if name not in outputs:
        listed = ", ".join(repr(n) for n in outputs)
        raise PresetError(f"the network {network!r} has no output {name!r}. Received: {listed}. {_AGAIN}.")
    found = outputs[name]
    if len(found.shape) != len(shape) or any(w not in (None, n) for n, w in zip(found.shape, shape, strict=True)):
        valid = ", ".join("any" if w is None else str(w) for w in shape)
        raise PresetError(
            f"the network {network!r} gives {name!r} in another shape. Valid: ({valid}). Received: {found.shape}. "
            f"{_AGAIN}."
        )
    return found


class OnnxRuntime:
    """Runs ONNX graphs with ONNX Runtime; a session is made when its network is first asked for."""

    name = "onnx"

    def __init__(self, graphs: Mapping[str, bytes], options: RuntimeOptions, where: str) -> None:
        """graphs: network -> its ONNX file. where: the preset, for messages. Raises as `open_session`."""
        self._graphs, self._options, self._where = dict(graphs), options, where
        self._sessions: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._providers = providers(options.device)

    def run(self, network: str, rows: np.ndarray) -> Outputs:
        """See `Runtime.run`."""
        import numpy as np

        session = self.session(network)
        (given,) = session.get_inputs()
        names = [o.name for o in session.get_outputs()]
        rows = rows.astype("uint8" if given.type == "tensor(uint8)" else "float32", copy=False)
        step = CPU_ROWS if self._providers == [PROVIDERS["cpu"]] else BATCH
        try:
            parts = [session.run(names, {given.name: rows[i : i + step]}) for i in range(0, max(1, len(rows)), step)]
        except Exception as e:  # onnxruntime's own errors share no public base
            first = (str(e).strip() or type(e).__name__).splitlines()[0][:300]
            raise PresetError(f"{self._where}: '{network}.onnx' failed: {first}") from e
        found = {n: p[0] if len(p) == 1 else np.concatenate(p) for n, *p in zip(names, *parts, strict=True)}
        return check_outputs(found, f"{self._where}: '{network}.onnx'")

    def session(self, network: str) -> Any:
        """The session of a network. Raises PresetError for a graph that cannot be run."""
        with self._lock:
            if network not in self._sessions:
                where = f"{self._where}: '{network}.onnx'"
                made = open_session(self._graphs[network], where, self._providers, self._options)
                if (inputs := len(made.get_inputs())) != 1:
                    raise PresetError(f"{where} has {inputs} inputs, where one is valid. {_AGAIN}.")
                self._sessions[network] = made
            return self._sessions[network]


class KerasRuntime:
    """Runs Keras models on the backend in use; a model is built and compiled when it is first asked for."""

    name = "keras"

    def __init__(self, models: Mapping[str, Any]) -> None:
        """models: network -> Keras model; a lazy mapping builds them at first use."""
        self._models = models
        self._compiled: dict[str, Callable[[np.ndarray], Any]] = {}

    def run(self, network: str, rows: np.ndarray) -> Outputs:
        """See `Runtime.run`. Batches are padded to 1, 8 or BATCH rows: a model is traced three times at most."""
        import numpy as np

        call = self._compiled.get(network) or self._compile(network)
        n = len(rows)
        size = next(b for b in (1, 8, BATCH) if n <= b)
        batch = np.zeros((size, *rows.shape[1:]), "float32")
        batch[:n] = rows
        out = call(batch)
        named = out if isinstance(out, dict) else {OUTPUT: out}
        return check_outputs({k: np.asarray(v, "float32")[:n] for k, v in named.items()}, f"the {network}")

    def _compile(self, network: str) -> Callable[[np.ndarray], Any]:
        import keras

        inner = self._models[network]
        inputs = keras.Input(inner.input_shape[1:])
        model = keras.Model(inputs, inner(inputs))
        model.compile(jit_compile=use_jit(model))
        self._compiled[network] = call = model.predict_on_batch
        return call


def in_batches(step: Callable[[np.ndarray], Any], rows: np.ndarray, size: int = BATCH) -> Any:
    """What `step` gives for all rows (N, ...), `size` at a time: an array, or a table of them; also for none."""
    import numpy as np

    parts = [step(np.asarray(rows[i : i + size])) for i in range(0, len(rows), size)]
    if not parts:
        empty = step(np.zeros((1, *rows.shape[1:]), rows.dtype))
        return {k: v[:0] for k, v in empty.items()} if isinstance(empty, dict) else empty[:0]
    if isinstance(parts[0], dict):
        return {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}
    return np.concatenate(parts)


def providers(device: str) -> list[str]:
    """ONNX Runtime's providers for a device, the CPU's last. Raises InputError where the installed wheel lacks it."""
    there = import_onnxruntime().get_available_providers()
    if device == "auto":
        # Not TensorRT: it compiles a model anew at each start.
        found = [PROVIDERS[d] for d in ("cuda", "directml", "coreml") if PROVIDERS[d] in there]
    elif PROVIDERS[device] in there:
        found = [PROVIDERS[device]] if device != "cpu" else []
    else:
        here = ", ".join(d for d, p in PROVIDERS.items() if p in there)
        raise InputError(
            f"the installed onnxruntime has no support for the device {device!r}. Valid here: auto, {here}. "
            f"{_next(device)}"
        )
    return [*found, PROVIDERS["cpu"]]


def _next(device: str) -> str:
    """What to do where the installed wheel lacks a device."""
    from platform import system

    only = {"coreml": ("Darwin", "macOS"), "directml": ("Windows", "Windows")}.get(device)
    if only is not None and system() != only[0]:
        return f"It is a device of {only[1]} only."
    wheel = WHEELS[device]
    # All these wheels write to one folder: two of them at once are a broken one.
    return "Next: " + (
        f"pip install -U {wheel}"
        if wheel == "onnxruntime"
        else f"pip uninstall -y onnxruntime, then pip install {wheel}"
    )


@cache
def _cap_memory() -> bool:
    """Give all sessions of the process one arena of bounded size: a graph of some kilobytes may ask for any amount."""
    onnxruntime = import_onnxruntime()
    where = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    limits = {"max_mem": max(MIN_ARENA, memory() // 8), "arena_extend_strategy": 1}
    # Where another library of this process has made one, that is used.
    with suppress(Exception):
        onnxruntime.create_and_register_allocator(where, onnxruntime.OrtArenaCfg(limits))
    return True


def open_session(graph: bytes, where: str, chosen: list[str], options: RuntimeOptions) -> Any:
    """An ONNX Runtime session of an ONNX file. Raises PresetError for what is no graph or cannot be run."""
    onnxruntime = import_onnxruntime()
    check_graph(graph, where)
    settings = session_options(options.threads)
    if _cap_memory():
        settings.add_session_config_entry("session.use_env_allocators", "1")
    try:
        return onnxruntime.InferenceSession(graph, settings, providers=chosen)
    except Exception as e:  # onnxruntime's own errors share no public base
        first = (str(e).strip() or type(e).__name__).splitlines()[0][:300]
        raise PresetError(
            f"{where} cannot be run by onnxruntime {onnxruntime.__version__}: {first}. "
            "Next: pip install -U onnxruntime, or fetch or train the preset again"
        ) from e
