"""The checks of backbone and head, and what every check of a Keras model has in common."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from facefeat.plugins.contracts import Component
from facefeat.presets.store import weights_in_memory
from facefeat.testing import contract
from facefeat.testing.contract import BACKENDS, CheckOptions, Findings
from facefeat.testing.toys import toy_crops, toy_schema

if TYPE_CHECKING:
    import keras

    from facefeat.schema import Schema

RTOL, ATOL = 1e-3, 1e-4
"""How near two runs of the same weights must be: batches of other sizes and other backends add up in another order."""
Out = dict[str, np.ndarray]


def check_backbone(
    component: Component,
    *,
    image_size: int = 32,
    frozen: bool = False,
    **options: Unpack[CheckOptions],
) -> keras.Model:
    """Check a backbone: crops (B, S, S, 3) float32 0..255 -> feature map (B, h, w, C), normalisation inside.

    image_size: S, as small as the backbone takes. frozen: it has no weights to train, and no gradient passes
    through it. options: see `CheckOptions`.
    Gives the model of the defaults. Raises ContractError with all faults.
    """
    found, configs = contract.begin("backbone", component, options, ["image_size"])
    crops = toy_crops(4, image_size).astype("float32")
    crops[2], crops[3] = 0, 255  # the ends of the range: what is finite in between may not be there
    job = Job(
        found,
        {"image_size": image_size},
        inputs=crops,
        input_shape=(image_size, image_size, 3),
        frozen=frozen,
        look=lambda model, out: _look_at_map(found, model),
        float32_always=False,
    )
    model = check_network(job, configs, options)
    if found.wants("batches"):
        _check_in_classifier(found, model, image_size)
    found.stop_at_faults()
    return model


def check_head(
    component: Component,
    *,
    feature_shape: tuple[int, int, int] = (3, 2, 6),
    schema: Schema | None = None,
    **options: Unpack[CheckOptions],
) -> keras.Model:
    """Check a head: feature map (B, h, w, C) -> {attribute: logits (B, outputs) float32}, one for each of the schema.

    schema: the attributes to answer for; by default `toy_schema`, which has one of every sort.
    options: see `CheckOptions`.
    """
    labels = schema or toy_schema()
    found, configs = contract.begin("head", component, options, ["feature_shape", "schema"])
    features = np.random.default_rng(0).normal(size=(3, *feature_shape)).astype("float32")
    job = Job(
        found,
        {"feature_shape": feature_shape, "schema": labels},
        inputs=features,
        input_shape=feature_shape,
        look=lambda model, out: _look_at_logits(found, out, labels),
    )
    model = check_network(job, configs, options)
    if found.wants("batches"):
        with found.step("a batch of 0 gives logits of 0 rows"):
            shapes = {k: v.shape for k, v in outputs_of(model, features[:0]).items()}
            want = {n: (0, a.outputs) for n, a in labels.attributes.items()}
            found.expect(shapes == want, f"a batch of 0 must give {want}", shapes)
    found.stop_at_faults()
    return model


@dataclass(frozen=True)
class Job:
    """What to build, what to feed it, and what its answer must look like.

    given: the arguments that facefeat passes. float32_always: under mixed precision, too. part: the attribute of what
    build gives that is the model, where it is not the model itself. fit: the job as a configuration needs it.
    """

    found: Findings
    given: Mapping[str, Any]
    inputs: np.ndarray
    input_shape: tuple[int, ...]
    look: Callable[[Any, Out], None]
    frozen: bool = False
    float32_always: bool = True
    part: str = ""
    fit: Callable[[Job, Mapping[str, Any]], Job] | None = None

    def build(self, config: Mapping[str, Any]) -> Any:
        """The model of a configuration, from the same seed each time."""
        import keras

        keras.utils.set_random_seed(1)
        made = self.found.component.build(**self.given, **config)
        return getattr(made, self.part, made) if self.part else made


def check_network(job: Job, configs: Sequence[Mapping[str, Any]], options: CheckOptions) -> Any:
    """All that the three kinds have in common. Gives the model of the defaults; raises ContractError if it is none."""
    found = job.found
    jobs, models = [], []
    for one in configs:
        with contract.no_files(found, "building and running"), found.step("build must give a keras.Model"):
            jobs.append(job.fit(job, one) if job.fit else job)
            models.append(_check_one(jobs[-1], one))
    found.stop_at_faults()
    _check_backends(jobs, configs, models, options)
    for job, model in zip(jobs, models, strict=True):
        # Last, because training changes the weights.
        if found.wants("gradients"):
            with found.step("a training step must work"):
                _check_gradients(job, model)
    found.stop_at_faults()
    return models[0]


def _check_one(job: Job, config: Mapping[str, Any]) -> Any:
    import keras

    found = job.found
    model = job.build(config)
    if not found.expect(isinstance(model, keras.Model), "build must give a keras.Model", type(model).__name__):
        found.stop_at_faults()
    shape = model.input_shape
    if not found.expect(shape == (None, *job.input_shape), f"inputs must be (None, *{job.input_shape})", shape):
        found.stop_at_faults()
    lambdas = [layer.name for layer in layers_of(model) if type(layer).__name__ == "Lambda"]
    found.expect(not lambdas, "no Lambda layers: a preset is data, and a Lambda is code", ", ".join(lambdas))
    out = outputs_of(model, job.inputs)
    job.look(model, out)
    found.stop_at_faults()
    for name, value in out.items():
        found.expect(value.dtype == np.float32, f"{name} must be float32", value.dtype)
        found.expect(np.isfinite(value).all(), f"{name} must be finite", "NaN or infinity")
        alike = len(value) > 1 and np.array_equal(value[0], value[1])
        found.expect(not alike, f"{name}: different inputs must give different outputs", "the same for both")
    if found.wants("batches"):
        with found.step("a batch of 1 must work"):
            _expect_close(
                found, outputs_of(model, job.inputs[:1]), _first(out), "a batch of 1 must give what a row of 3 does"
            )
    if found.wants("determinism"):
        # Before `again` is built: that sets the seed anew, and noise would be the same noise.
        _expect_close(found, outputs_of(model, job.inputs), out, "outside training, a second call must give the same")
    again = job.build(config)
    if found.wants("determinism"):
        _check_same_start(found, model, again)
    if found.wants("round-trip"):
        _check_round_trip(job, model, again, out)
    if found.wants("precision"):
        with found.step("build and call must work under mixed_bfloat16"):
            _check_mixed_precision(job, config, out)
    return model


def _first(out: Out) -> Out:
    return {k: v[:1] for k, v in out.items()}


def outputs_of(model: Any, inputs: np.ndarray, training: bool = False) -> Out:
    """The model's answer as arrays by name; a single output is called "the output"."""
    out = model(inputs, training=training)
    named = out if isinstance(out, Mapping) else {"the output": out}
    return {str(k): array_of(v) for k, v in named.items()}


def array_of(x: Any) -> np.ndarray:
    """A tensor or variable of any backend as an array."""
    import keras

    value = np.array(keras.ops.convert_to_numpy(x.value if isinstance(x, keras.Variable) else x))
    return value.astype("float32") if value.dtype.name == "bfloat16" else value


def layers_of(model: Any) -> list[Any]:
    """Every layer of a model, those of the models within it too."""
    out = []
    for layer in getattr(model, "layers", ()):
        out += [layer, *layers_of(layer)]
    return out


def _expect_close(found: Findings, got: Out, want: Out, wanted: str) -> bool:
    if not found.expect(set(got) == set(want), wanted, f"outputs {sorted(got)}"):
        return False
    for name, value in want.items():
        if got[name].shape != value.shape:
            return found.expect(False, wanted, f"{name} of shape {got[name].shape}, not {value.shape}")
        if not np.allclose(got[name], value, RTOL, ATOL):
            off = float(np.nanmax(np.abs(got[name].astype("float64") - value))) if value.size else 0.0
            return found.expect(False, wanted, f"{name} differs by up to {off:.3g}")
    return True


def _check_same_start(found: Findings, model: Any, again: Any) -> None:
    """A recipe's seed stands for its initial weights, and a preset finds weights by the names of layers."""
    names, others = ([x.name for x in m.layers if x.weights] for m in (model, again))
    odd = sorted(set(names) ^ set(others))
    found.expect(
        names == others,
        "layers with weights must have the same names each time: name those that Keras would number",
        ", ".join(odd[:5]) or "another order",
    )
    for a, b in zip(model.weights, again.weights, strict=False):
        if a.shape == b.shape and not np.array_equal(array_of(a), array_of(b)):
            found.fault(f"the same seed must give the same initial weights. Received: two different {a.path!r}.")
            return


def _check_round_trip(job: Job, model: Any, again: Any, out: Out) -> None:
    """Weights to a file, and back into a model that the same configuration built: as a preset does it."""
    found = job.found
    shapes, others = [tuple(w.shape) for w in model.weights], [tuple(w.shape) for w in again.weights]
    if not found.expect(shapes == others, "the same configuration must give the same weights", others):
        return
    # Other weights first, so that what comes back can only come from the file.
    again.set_weights([_other(w) for w in again.get_weights()])
    with tempfile.TemporaryDirectory(prefix="facefeat-check-") as made, found.step("weights must survive a file"):
        path = Path(made) / "model.weights.h5"
        path.write_bytes(weights_in_memory(model).getbuffer())
        again.load_weights(path)
    lost = [
        a.path
        for a, b in zip(model.weights, again.weights, strict=True)
        if not np.array_equal(array_of(a), array_of(b))
    ]
    if found.expect(not lost, "weights must come back from the file that they were saved to", ", ".join(lost[:3])):
        wanted = "the same configuration and weights must give the same outputs"
        _expect_close(found, outputs_of(again, job.inputs), out, wanted)


def _other(weights: np.ndarray) -> np.ndarray:
    return weights + 1 if np.issubdtype(weights.dtype, np.number) else weights


def _check_mixed_precision(job: Job, config: Mapping[str, Any], out: Out) -> None:
    import keras

    found = job.found
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = job.build(config)
        made = model(job.inputs, training=False)
        named = made if isinstance(made, Mapping) else {"the output": made}
        kinds = {str(k): keras.backend.standardize_dtype(v.dtype) for k, v in named.items()}
        values = {str(k): array_of(v) for k, v in named.items()}
    finally:
        keras.config.set_dtype_policy(before)
    valid = ("float32",) if job.float32_always else ("float32", "bfloat16")
    for name, kind in kinds.items():
        found.expect(kind in valid, f"under mixed_bfloat16 {name} must be {' or '.join(valid)}", kind)
    for name, value in values.items():
        found.expect(value.shape == out[name].shape, f"under mixed_bfloat16 {name} must keep its shape", value.shape)
        found.expect(np.isfinite(value).all(), f"under mixed_bfloat16 {name} must be finite", "NaN or infinity")
    narrow = [w.path for w in model.trainable_weights if keras.backend.standardize_dtype(w.dtype) != "float32"]
    found.expect(not narrow, "under mixed_bfloat16 weights stay float32", ", ".join(narrow[:3]))


def _check_gradients(job: Job, model: Any) -> None:
    """At most three steps of the optimiser move every kernel, and keep all finite.

    Not always one: behind a normalisation that starts at zero, a gate sees its first gradient at the second step.
    """
    found = job.found
    trainable = model.trainable_weights
    if job.frozen:
        names = ", ".join(w.path for w in trainable[:3])
        found.expect(not trainable, "a frozen backbone must have no trainable weights", names)
        return
    if not found.expect(trainable, "it must have weights to train, or be checked with frozen=True", "none"):
        return
    out = model(job.inputs, training=False)
    target: Any = {k: np.ones(v.shape, "float32") for k, v in out.items()} if isinstance(out, Mapping) else None
    if target is None:
        target = np.ones(out.shape, "float32")
    before = [array_of(w) for w in trainable]
    loss = dict.fromkeys(target, "mse") if isinstance(target, Mapping) else "mse"
    model.compile(optimizer="adam", loss=loss, jit_compile=False, run_eagerly=True)
    for _ in range(3):
        model.train_on_batch(job.inputs, target)
        after = [array_of(w) for w in trainable]
        moved = zip(trainable, after, before, strict=True)
        still = [w.path for w, a, b in moved if w.ndim >= 2 and np.array_equal(a, b)]
        if not still:
            break
    broken = [w.path for w, a in zip(trainable, after, strict=True) if not np.isfinite(a).all()]
    found.expect(not broken, "weights must stay finite in training", ", ".join(broken[:3]))
    found.expect(not still, "a gradient must reach every kernel within three steps", f"none at {', '.join(still[:3])}")


def _check_backends(
    jobs: Sequence[Job], configs: Sequence[Mapping[str, Any]], models: Sequence[Any], options: CheckOptions
) -> None:
    job = jobs[0]
    arguments = [{**job.given, **config} for config in configs]
    inputs = [job.inputs for job in jobs]
    for backend, outputs in on_other_backends(job.found, arguments, inputs, options, models=models, part=job.part):
        wanted = f"the same weights must give the same outputs on {backend}"
        for model, job, there in zip(models, jobs, outputs, strict=True):
            _expect_close(job.found, there, outputs_of(model, job.inputs), wanted)


def on_other_backends(
    found: Findings,
    arguments: Sequence[Mapping[str, Any]],
    inputs: Sequence[np.ndarray],
    options: CheckOptions,
    *,
    models: Sequence[Any] = (),
    part: str = "",
) -> Iterator[tuple[str, list[Out]]]:
    """What the component gives on the other backends: the backend, and for each of its arguments the outputs.

    models: whose weights it has there; without any, it is called as in training.
    """
    others = contract.other_backends(found, options.get("backends", BACKENDS))
    if not others:
        return
    where = contract.locate(found.what.split()[0], found.component)
    if where is None:
        found.unchecked(
            "other backends", "the component is neither in its module nor registered, so no other process finds it"
        )
        return
    plain = [{k: v.to_dict() if hasattr(v, "to_dict") else v for k, v in one.items()} for one in arguments]
    with tempfile.TemporaryDirectory(prefix="facefeat-check-") as made:
        folder = Path(made).resolve()
        for i, array in enumerate(inputs):
            np.save(folder / f"{i}.inputs.npy", array)
        for i, model in enumerate(models):
            (folder / f"{i}.weights.h5").write_bytes(weights_in_memory(model).getbuffer())
        task = {"where": where, "part": part, "arguments": plain}
        for backend in others:
            failed = contract.on_backend(backend, task, folder)
            if found.expect(not failed, f"it must run on {backend}, or be checked with backends= without it", failed):
                files = [np.load(folder / f"{i}.outputs.npz") for i in range(len(plain))]
                yield backend, [dict(file) for file in files]
                for file in files:
                    file.close()


def _look_at_map(found: Findings, model: Any) -> None:
    shape = model.output_shape
    good = isinstance(shape, tuple) and len(shape) == 4 and None not in shape[1:]
    found.expect(good, "the output must be a feature map (None, h, w, C) of known size", shape)


def _look_at_logits(found: Findings, out: Out, schema: Schema) -> None:
    shapes = {k: v.shape[1:] for k, v in out.items()}
    want = {name: (a.outputs,) for name, a in schema.attributes.items()}
    found.expect(shapes == want, f"the output must be a table of logits, attribute -> (B, outputs): {want}", shapes)


def _check_in_classifier(found: Findings, model: Any, size: int) -> None:
    """As facefeat runs it: in a larger model, compiled, in padded batches; of no crop at all, too.

    An empty batch never reaches the backbone: convolutions of some backends refuse it.
    """
    from facefeat.image.align import ALIGNMENTS
    from facefeat.networks.classifier import Classifier
    from facefeat.networks.models import ComponentRef
    from facefeat.networks.runtime import KerasRuntime
    from facefeat.testing.toys import build_head

    shape = tuple(model.output_shape[1:])
    schema = toy_schema()
    with found.step("it must work within a larger model, as facefeat runs it"):
        head = build_head(feature_shape=shape, schema=schema)
        ref = ComponentRef("toy")
        models = {"backbone": model, "head": head}
        whole = Classifier(schema, size, ALIGNMENTS["utkface"], ref, ref, models, shape, KerasRuntime(models))
        crops = toy_crops(1, size)
        want = outputs_of(model, crops.astype("float32"))["the output"].mean(axis=(1, 2))  # (B, h, w, C) -> (B, C)
        for n in (0, 1):
            got = {"latents": whole.encode(crops[:n])}
            _expect_close(found, got, {"latents": want[:n]}, f"{n} crops must give {n} latents, the mean over places")
