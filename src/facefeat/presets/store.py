"""Preset folders: writing them atomically, reading them without running anything from them."""

from __future__ import annotations

import io
import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facefeat.errors import FacefeatError, InputError, PluginError, PresetError, UnknownPresetError, did_you_mean
from facefeat.image.quality import QualityReader
from facefeat.networks.classifier import Classifier
from facefeat.networks.decoder import FaceDecoder
from facefeat.networks.fingerprint import weights_hash
from facefeat.networks.models import ComponentRef, LazyModels
from facefeat.networks.onnx_graph import can_export, check_graph, to_onnx
from facefeat.networks.postprocess import Calibration
from facefeat.networks.runtime import OnnxRuntime, RuntimeOptions, default_options
from facefeat.plugins.registry import get_registry
from facefeat.presets.files import MAX_CONFIG_BYTES, check_sums, copy_files, listed_sums, read_file, sha256
from facefeat.presets.latent_directions import FILE as DIRECTIONS
from facefeat.presets.weights import with_weights
from facefeat.schema import BUILTIN_SCHEMAS, Schema, get_schema
from facefeat.types import Alignment
from facefeat.utils.atomic import atomic_folder, check_writable
from facefeat.utils.files import nearest_file, read_json, read_regular
from facefeat.utils.precision import stored_weight

if TYPE_CHECKING:
    import keras

    from facefeat.networks.classifier import Classifier
    from facefeat.networks.decoder import FaceDecoder
    from facefeat.presets.latent_directions import LatentDirections

FORMAT = 2
"""Version of the folder's layout. A reader accepts this and older ones: 1 had no graphs."""
DEFAULT_PRESET = "mobilenet-112-utkface"
MAX_IMAGE_SIZE = 1024
"""Pixels of a crop's side at most, as in recipes."""
CLASSIFIER = ("backbone", "head")
"""The networks of a classifier. The files of each: NETWORK.weights.h5 and, where it could be exported, NETWORK.onnx."""
DECODER = ("decoder", "detail_encoder")
_REQUIRED = ("config.json", "SHA256SUMS", *(f"{n}.weights.h5" for n in CLASSIFIER))


def find_preset(value: str | Path | None) -> Path:
    """The folder of a preset: the default's for None, a registered name's, or the folder itself.

    Raises UnknownPresetError where there is neither such a name nor such a folder, PresetError for one that holds none.
    """
    text = DEFAULT_PRESET if value is None else str(value)
    registry = get_registry()
    names, folder = registry.names("preset"), Path(text)
    if text in names or (":" in text and not os.path.exists(folder)):
        return Path(registry.build("preset", text))
    if os.path.isdir(folder):  # False for what is too long for a name, too
        _check_is_preset(folder)
        return folder
    near = nearest_file(text) if os.path.dirname(text) else ""
    raise UnknownPresetError(f"no such preset. {did_you_mean(text, names)} Or the path of a preset folder.{near}")


def _check_is_preset(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        inside = folder / "preset"  # the folder of a run: its preset is meant
        hint = f" Did you mean {str(inside)!r}?" if (inside / "config.json").is_file() else ""
        raise PresetError(
            f"{str(folder)!r} is no preset: the file 'config.json' is missing.{hint} Valid: a name that "
            "`facefeat presets` lists, or the folder OUTPUT/preset that `facefeat train` writes."
        )


def has_graphs(folder: Path) -> bool:
    """Whether a preset's classifier can run on ONNX Runtime."""
    return all((folder / f"{n}.onnx").exists() for n in CLASSIFIER)  # where it is no file, reading says so


def read_config(folder: str | Path) -> dict[str, Any]:
    """`config.json` of a preset, after size, hash and version checks of the whole folder.

    Raises PresetError that says which file is missing, too large or altered, or which version is wanted.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise PresetError(f"no such preset folder. Received: {str(folder)!r}.")
    _check_is_preset(folder)
    for name in _REQUIRED:
        if not (folder / name).is_file():
            raise PresetError(f"preset {str(folder)!r}: the file {name!r} is missing. Fetch or train the preset again.")
    config = _read_json(folder)
    version = config.get("format")
    if not isinstance(version, int) or not 1 <= version <= FORMAT:
        made_by = config.get("facefeat", "an unknown version")
        raise PresetError(
            f"preset {str(folder)!r} has format {version!r}, made by facefeat {made_by}; this facefeat reads up to "
            f"{FORMAT}. Next: pip install -U facefeat"
        )
    check_sums(folder, _required(folder, config))
    return config


def _required(folder: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """The files that a preset of this configuration must have. Raises PresetError for one that is not there."""
    # Older presets have none; an existing one must be listed unchanged.
    graphs = (f"{n}.onnx" for n in (*CLASSIFIER, *DECODER))
    required = (*_REQUIRED, *(n for n in (DIRECTIONS, *graphs) if (folder / n).exists()))
    part = config.get("decoder")
    if part is None:
        return required
    try:
        names = [f"{n}.weights.h5" for n in decoder_networks(part)]
    except (KeyError, TypeError, ValueError, OverflowError) as e:
        raise PresetError(f"preset {str(folder)!r}: config.json, decoder: incomplete or a wrong type: {e!r}") from None
    for name in names:
        if not (folder / name).is_file():
            raise PresetError(f"preset {str(folder)!r}: the file {name!r} is missing. Fetch or train the preset again.")
    return (*required, *names)


def _read_json(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        config = read_json(path, MAX_CONFIG_BYTES, inside=folder)
    except OSError as e:
        raise PresetError(f"preset {str(folder)!r}: cannot read config.json: {e.strerror or e}.") from None
    except ValueError as e:
        raise PresetError(f"preset {str(folder)!r}: config.json is not valid JSON: {e}") from None
    if not isinstance(config, dict):
        raise PresetError(f"preset {str(folder)!r}: config.json must hold a table.")
    for key in ("name", "summary", "licence", "facefeat", "no_graphs"):
        if not isinstance(config.get(key, ""), str | None):
            raise PresetError(f"preset {str(folder)!r}: config.json: {key!r} must be a text.")
    return config


def load_classifier(folder: str | Path, options: RuntimeOptions | None = None) -> tuple[Classifier, dict[str, Any]]:
    """The classifier of a preset folder, and its configuration.

    On ONNX Runtime neither Keras nor the plugins of its components are needed; what then asks for its Keras models
    (training, gradients) builds them. options: None for those of the process (`networks.runtime.default_options`).

    Raises PresetError for a folder that is incomplete, altered, of a newer format, or whose plugin is not installed;
    InputError for a device that is not there.
    """
    if not isinstance(options, RuntimeOptions | None):
        raise InputError(f"runtime takes RuntimeOptions, such as RuntimeOptions('keras'). Received: {options!r}.")
    config = read_config(folder := Path(folder))
    runtime = _runtime(folder, config, CLASSIFIER, options or default_options())
    with _reading(folder, ""):
        schema, size = _schema(config["schema"]), _image_size(config)
        alignment = Alignment.from_dict(config["alignment"])
        stored = config.get("calibration", {})
        if "temperatures" in config:
            calibration = Calibration.from_tables({**stored, "temperatures": config["temperatures"]}, schema)
        else:
            calibration = Calibration.from_dict(config["calibration"], schema)
        if config.get("quality") is not None:  # older presets have none
            calibration = replace(calibration, quality=QualityReader.from_dict(config["quality"]))
        refs = {n: _ref(config[n], n) for n in CLASSIFIER}

        def build() -> Classifier:
            for n in CLASSIFIER:
                _require_component(folder, n, config[n])
            make = partial(
                Classifier.build,
                schema=schema,
                image_size=size,
                alignment=alignment,
                backbone=refs["backbone"].qualified,
                head=refs["head"].qualified,
                backbone_config=refs["backbone"].config,
                head_config=refs["head"].config,
            )
            return with_weights(folder, make, CLASSIFIER)

        if runtime is None:
            classifier: Classifier = build()
            classifier.calibration = calibration
        else:
            h, w, channels = (int(v) for v in config["feature_shape"])
            models = LazyModels(lambda: _built(folder, build).models, CLASSIFIER)
            classifier = Classifier(
                schema, size, alignment, refs["backbone"], refs["head"], models, (h, w, channels), runtime, calibration
            )
            classifier.parameters = int(config["parameters"])
            _check_input(folder, runtime, "backbone", (size, size, 3))
        classifier.hashes = _hashes(config, CLASSIFIER)
        classifier.stored = folder
    return classifier, config


def _schema(value: Mapping[str, Any]) -> Schema:
    """The schema of a preset; the built-in one where it means the same: that has today's cautions."""
    stored = Schema.from_dict(value)
    if stored.name in BUILTIN_SCHEMAS and get_schema(stored.name).meaning == stored.meaning:
        return get_schema(stored.name)
    return stored


def load_decoder(folder: str | Path, options: RuntimeOptions | None = None) -> FaceDecoder | None:
    """The decoder of a preset folder; None where it has none. Raises as `load_classifier` does."""
    config = read_config(folder := Path(folder))
    part = config.get("decoder")
    if part is None:
        return None
    with _reading(folder, ", decoder"):
        names, ref, width, size = (
            decoder_networks(part),
            _ref(part),
            int(part["feature_dim"]),
            _image_size(config),
        )
    runtime = _runtime(folder, config, names, options or default_options())
    with _reading(folder, ", decoder"):

        def build() -> FaceDecoder:
            _require_component(folder, "decoder", part)
            make = partial(FaceDecoder.build, ref.qualified, feature_dim=width, image_size=size, config=ref.config)
            built: FaceDecoder = with_weights(folder, make, names)
            if tuple(built.models) != names:
                raise PresetError(f"config.json, decoder: 'detail' does not fit {ref.name!r}.")
            return built

        if runtime is None:
            decoder = build()
        else:
            models = LazyModels(lambda: _built(folder, build).models, names)
            decoder = FaceDecoder(ref, size, width, int(part["detail"]), models, runtime)
            _check_input(folder, runtime, "decoder", (decoder.latent_dim,))
        decoder.hashes = _hashes(config, names)
        decoder.stored = folder
    return decoder


@contextmanager
def _reading(folder: Path, where: str) -> Iterator[None]:
    """What a configuration lacks, or has of a wrong type, as a PresetError."""
    try:
        yield
    except PresetError as e:
        raise PresetError(str(e) if str(e).startswith("preset ") else f"preset {str(folder)!r}: {e}") from None
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as e:
        if isinstance(e, FacefeatError):
            raise PresetError(f"preset {str(folder)!r}: {e}") from None
        raise PresetError(
            f"preset {str(folder)!r}: config.json{where} is incomplete or has a wrong type: {e!r}"
        ) from None


def _built(folder: Path, build: Callable[[], Any]) -> Any:
    """What `build` gives, with Keras and the backend that it needs."""
    with _reading(folder, ""):
        return build()


def decoder_networks(part: Mapping[str, Any]) -> tuple[str, ...]:
    """The networks of a decoder by its part of a configuration."""
    return DECODER if int(part["detail"]) else DECODER[:1]


def _ref(part: Mapping[str, Any], kind: str = "") -> ComponentRef:
    """A component; with its kind, without published weights where it is installed: a preset brings its own."""
    ref = ComponentRef(str(part["name"]), dict(part["config"]), str(part["distribution"]), str(part["version"]))
    if kind:
        with suppress(PluginError):
            return replace(ref, config=get_registry().bare_config(kind, ref.qualified, ref.config))
    return ref


def _hashes(config: Mapping[str, Any], networks: Iterable[str]) -> dict[str, str]:
    """Network -> the SHA-256 of its weights; empty for a preset that does not say all of them."""
    listed = config.get("weights_sha256", {})
    found = {n: str(listed[n]) for n in networks if n in listed}
    return found if len(found) == len(tuple(networks)) else {}


def _runtime(
    folder: Path, config: Mapping[str, Any], networks: tuple[str, ...], options: RuntimeOptions
) -> OnnxRuntime | None:
    """ONNX Runtime with the graphs of these networks; None for Keras, where that is asked for or graphs are missing."""
    if options.runtime == "keras":
        return None
    missing = [f"{n}.onnx" for n in networks if not (folder / f"{n}.onnx").exists()]
    if missing and options.runtime == "onnx":
        raise PresetError(
            f"preset {str(folder)!r} has no {' and '.join(missing)}: "
            f"{config.get('no_graphs') or 'it was saved without graphs'}. Next: --runtime keras, or save it again"
        )
    if missing:
        return None
    graphs = {n: read_file(folder, f"{n}.onnx") for n in networks}
    return OnnxRuntime(graphs, options, f"preset {str(folder)!r}")


def _check_input(folder: Path, runtime: OnnxRuntime, network: str, shape: tuple[int, ...]) -> None:
    """Raises PresetError where a graph takes another shape than the configuration says."""
    (given,) = runtime.session(network).get_inputs()
    if tuple(given.shape[1:]) != shape:
        raise PresetError(
            f"preset {str(folder)!r}: '{network}.onnx' takes (N, {', '.join(map(str, given.shape[1:]))}), but "
            f"config.json says (N, {', '.join(map(str, shape))})."
        )


def read_card(folder: Path) -> str:
    """The model card of a preset, Markdown. Raises OSError and ValueError where it cannot be read as a text."""
    return read_regular(folder / "model_card.md", MAX_CONFIG_BYTES, inside=folder).decode("utf-8")


def read_record(folder: str | Path) -> dict[str, Any]:
    """The records of a preset's training: "card", "training" and "decoder_training", as `save_preset` takes them."""
    folder = Path(folder)
    record: dict[str, Any] = {}
    try:
        if (folder / "model_card.md").is_file():
            record["card"] = read_card(folder)
        for key in ("training", "decoder_training"):
            if (folder / f"{key}.json").is_file():
                value = read_json(folder / f"{key}.json", inside=folder)
                record[key] = value if isinstance(value, dict) else {}
    except (OSError, ValueError) as e:
        raise PresetError(f"preset {str(folder)!r}: cannot read the records of its training: {e}") from None
    return record


def _image_size(config: Mapping[str, Any]) -> int:
    """S of a configuration, checked before anything of that size is made. Raises PresetError."""
    size = config["image_size"]
    if type(size) is not int or not 1 <= size <= MAX_IMAGE_SIZE:
        raise PresetError(f"config.json: 'image_size' must be from 1 to {MAX_IMAGE_SIZE:,} pixels. Received: {size!r}.")
    return size


def _require_component(folder: Path, kind: str, part: Mapping[str, Any]) -> None:
    registry = get_registry()
    try:
        registry.get(kind, _ref(part).qualified)
    except PluginError:
        name, distribution, version = part["name"], part["distribution"], part["version"]
        theirs = [i for i in registry.all(kind) if i.distribution == distribution]
        if theirs and theirs[0].version == version:  # to install that version again would change nothing
            raise PresetError(
                f"preset {str(folder)!r} needs the {kind} {name!r} of {distribution} {version}, which is installed and "
                f"has no such {kind}. {did_you_mean(str(name), [i.name for i in theirs])}"
            ) from None
        raise PresetError(
            f"preset {str(folder)!r} needs the {kind} {name!r} of {distribution} {version}, which is not installed. "
            f'Next: pip install "{distribution}=={version}"'
        ) from None


def save_preset(
    folder: str | Path,
    classifier: Classifier,
    *,
    name: str,
    summary: str = "",
    licence: str = "",
    card: str | None = None,
    training: Mapping[str, Any] | None = None,
    decoder: FaceDecoder | None = None,
    decoder_training: Mapping[str, Any] | None = None,
    directions: LatentDirections | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Path:
    """Write a preset folder atomically.

    Each network is written as weights and, where it can be exported, as an ONNX graph; where it cannot, a warning says
    why, and the preset runs on Keras. An existing preset at that place is replaced. Raises InputError for a folder
    that holds something else or cannot be written.
    """
    from facefeat._version import __version__

    check_target(target := Path(folder))
    config = {
        "format": FORMAT,
        "facefeat": __version__,
        "name": name,
        "summary": summary,
        "licence": licence,
        "schema": classifier.schema.to_dict(),
        "image_size": classifier.image_size,
        "alignment": classifier.alignment.to_dict(),
        "backbone": classifier.backbone.to_dict(),
        "head": classifier.head.to_dict(),
        "calibration": classifier.calibration.to_dict(),
        "quality": classifier.calibration.quality.to_dict(),
        "parameters": classifier.parameters,
        "feature_shape": list(classifier.feature_shape),
        "weights_sha256": {},
        **(extra or {}),
    }
    if decoder is not None:
        about = {"feature_dim": decoder.feature_dim, "detail": decoder.detail_dim}
        config["decoder"] = {**decoder.ref.to_dict(), **about}
    with atomic_folder(target, "a preset", lambda _: True) as new:
        reasons = [_save_networks(part, new, config["weights_sha256"]) for part in (classifier, decoder) if part]
        config["no_graphs"] = "; ".join(r for r in reasons if r)
        if decoder is not None:
            _write_json(new / "decoder_training.json", dict(decoder_training or {}))
        if directions is not None:
            directions.write(new / DIRECTIONS)
        _write_json(new / "config.json", config)
        _write_json(new / "training.json", dict(training or {}))
        (new / "model_card.md").write_text(card or f"# {name}\n\n{summary}\n", "utf-8")
        files = sorted(p.name for p in new.iterdir())
        (new / "SHA256SUMS").write_text("".join(f"{sha256(new / n)}  {n}\n" for n in files), "utf-8")
    if config["no_graphs"]:
        warnings.warn(
            f"preset {str(target)!r} has no ONNX graphs, so it runs on Keras: {config['no_graphs']}", stacklevel=3
        )
    return target


def check_target(target: Path) -> None:
    """Raises InputError where a preset cannot be written there: before the work."""
    if target.exists() and (not target.is_dir() or (any(target.iterdir()) and not (target / "config.json").is_file())):
        raise InputError(f"{str(target)!r} exists and is not a preset. Give a new or empty folder.")
    check_writable(target)


def _save_networks(part: Classifier | FaceDecoder, new: Path, hashes: dict[str, str]) -> str:
    """Write weights and graphs of the networks of a classifier or decoder; why there are no graphs, or "".

    What came from a preset and was not changed is copied, without Keras.
    """
    names = tuple(part.models)
    if part.stored is not None and part.hashes:
        for name in names:
            for file in (f"{name}.weights.h5", f"{name}.onnx"):
                if (part.stored / file).is_file():
                    shutil.copyfile(part.stored / file, new / file)
        hashes |= part.hashes
        return "" if all((new / f"{n}.onnx").is_file() for n in names) else "the preset that it came from has none"
    for name, model in part.models.items():
        _save_weights(model, new / f"{name}.weights.h5")
        hashes[name] = weights_hash(model)
    reason = can_export()
    if reason:
        return reason
    try:
        for name, model in part.models.items():
            pixels = name in ("backbone", "detail_encoder")
            (new / f"{name}.onnx").write_bytes(to_onnx(model, pixels=pixels, what=f"the {name.replace('_', ' ')}"))
    except PluginError as e:
        for name in names:  # all or none: half of them would run on Keras anyway
            (new / f"{name}.onnx").unlink(missing_ok=True)
        return str(e)
    return ""


def update_card(folder: str | Path, card: str) -> None:
    """Replace the model card of a preset, and its line in SHA256SUMS, atomically.

    The other lines stay: a file that was altered is still found to be. Raises PresetError, InputError.
    """
    _check_is_preset(folder := Path(folder))
    _rewrite(folder, folder, {"model_card.md": card.encode("utf-8")})


def save_with_graph(folder: Path, target: Path, network: str, graph: bytes, *, name: str, note: str) -> None:
    """Write a copy of a preset with another graph of one of its networks, atomically.

    The fingerprint stays that of the weights. An existing preset at `target` is replaced. note: is added to the model
    card. Raises PresetError, InputError.
    """
    check_target(target)
    config = read_config(folder)
    check_graph(graph, f"{network}.onnx")
    card = read_card(folder).rstrip().replace(f"# {config['name']}\n", f"# {name}\n", 1)
    files = {f"{network}.onnx": graph, "model_card.md": f"{card}\n{note}".encode()}
    _rewrite(folder, target, {**files, "config.json": (json.dumps({**config, "name": name}, indent=1) + "\n").encode()})


def _rewrite(folder: Path, target: Path, files: Mapping[str, bytes]) -> None:
    """Copy a preset to `target`, which may be itself, with some files replaced and their lines in SHA256SUMS."""
    with atomic_folder(target, "a preset", lambda _: True) as new:
        copy_files(folder, new)
        sums = listed_sums(folder)
        for name, data in files.items():
            (new / name).write_bytes(data)
            sums[name] = sha256(new / name)
        (new / "SHA256SUMS").write_text("".join(f"{sums[n]}  {n}\n" for n in sorted(sums)), "utf-8")


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1, sort_keys=False) + "\n", "utf-8")


def weights_in_memory(model: keras.Model) -> io.BytesIO:
    """Keras' own weights file of a model.

    Not on disk: where that fills up, HDF5 keeps what it could not write, tries again as Python ends, and may crash.
    """
    written = _NamedBytes()
    model.save_weights(written)
    return written


class _NamedBytes(io.BytesIO):
    """Keras writes weights to a BytesIO, too, as long as what it takes for a name has the ending of a weights file."""

    def __str__(self) -> str:
        return "memory.weights.h5"


def _save_weights(model: keras.Model, path: Path) -> None:
    """Keras' own weights file, in the precision of `stored_weight`."""
    import h5py

    # This driver, and not a BytesIO: it lays out a file as the one that writes to disk does, to the byte.
    memory: dict[str, Any] = {"driver": "core", "backing_store": False}
    with h5py.File(weights_in_memory(model), "r") as source, h5py.File("memory", "w", **memory) as target:

        def copy(name: str, item: Any) -> None:
            if isinstance(item, h5py.Group):
                made = target.require_group(name)
            else:
                made = target.create_dataset(name, data=stored_weight(item[()]))
            made.attrs.update(item.attrs)

        target.attrs.update(source.attrs)
        source.visititems(copy)
        target.flush()
        image = target.id.get_file_image()
    path.write_bytes(image)
