"""Preset folders: writing them atomically, reading them without running anything from them."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facefeat.errors import FacefeatError, InputError, PluginError, PresetError, UnknownPresetError, did_you_mean
from facefeat.networks.postprocess import Calibration
from facefeat.plugins.registry import get_registry
from facefeat.presets.latent_directions import FILE as DIRECTIONS
from facefeat.schema import Schema
from facefeat.types import Alignment
from facefeat.utils.atomic import atomic_folder
from facefeat.utils.files import read_json, read_regular
from facefeat.utils.precision import stored_weight

if TYPE_CHECKING:
    from facefeat.networks.classifier import Classifier
    from facefeat.networks.decoder import FaceDecoder
    from facefeat.presets.latent_directions import LatentDirections

FORMAT = 1
"""Version of the folder's layout. A reader accepts this and older ones."""
DEFAULT_PRESET = "mobilenet-112-utkface"
MAX_CONFIG_BYTES = 1_000_000
MAX_WEIGHT_BYTES = 2_000_000_000
_WEIGHTS = {"backbone": "backbone.weights.h5", "head": "head.weights.h5"}
_REQUIRED = ("config.json", "SHA256SUMS", *_WEIGHTS.values())


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def find_preset(value: str | Path | None) -> Path:
    """The folder of a preset: the default's for None, a registered name's, or the folder itself.

    Raises UnknownPresetError where there is neither such a name nor such a folder, PresetError for one that holds none.
    """
    text = DEFAULT_PRESET if value is None else str(value)
    registry = get_registry()
    names, folder = registry.names("preset"), Path(text)
    if text in names or (":" in text and not folder.exists()):
        return Path(registry.build("preset", text))
    if folder.is_dir():
        _check_is_preset(folder)
        return folder
    raise UnknownPresetError(f"no such preset. {did_you_mean(text, names)} Or the path of a preset folder.")


def _check_is_preset(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        inside = folder / "preset"  # whoever gives the folder of a run means what it holds
        hint = f" Did you mean {str(inside)!r}?" if (inside / "config.json").is_file() else ""
        raise PresetError(
            f"{str(folder)!r} is no preset: the file 'config.json' is missing.{hint} Valid: a name that "
            "`facefeat presets` lists, or the folder OUTPUT/preset that `facefeat train` writes."
        )


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
            raise PresetError(f"preset {str(folder)!r}: the file {name!r} is missing.")
    config = _read_json(folder)
    version = config.get("format")
    if not isinstance(version, int) or version > FORMAT:
        made_by = config.get("facefeat", "an unknown version")
        raise PresetError(
            f"preset {str(folder)!r} has format {version!r}, made by facefeat {made_by}; this facefeat reads up to "
            f"{FORMAT}. Next: pip install -U facefeat"
        )
    _check_sums(folder, _required(folder, config))
    return config


def _required(folder: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """The files that a preset of this configuration must have. Raises PresetError for one that is not there."""
    from facefeat.networks.decoder import WEIGHTS

    # Older presets have none; one that is there must be listed as it is.
    required = (*_REQUIRED, *([DIRECTIONS] if (folder / DIRECTIONS).exists() else []))
    part = config.get("decoder")
    if part is None:
        return required
    try:
        names = [WEIGHTS["decoder"], *([WEIGHTS["detail_encoder"]] if part["detail"] else [])]
    except (KeyError, TypeError) as e:
        raise PresetError(f"preset {str(folder)!r}: config.json, decoder: incomplete or a wrong type: {e!r}") from None
    for name in names:
        if not (folder / name).is_file():
            raise PresetError(f"preset {str(folder)!r}: the file {name!r} is missing.")
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
    return config


def _check_sums(folder: Path, required: Iterable[str]) -> None:
    listed = {}
    try:
        text = (folder / "SHA256SUMS").read_text("utf-8")
    except UnicodeDecodeError:
        raise PresetError(
            f"preset {str(folder)!r}: SHA256SUMS is not text. Valid: a SHA-256 and a file name on each line. "
            "Fetch or train the preset again."
        ) from None
    for line in text.splitlines():
        digest, _, name = line.partition("  ")
        listed[name] = digest
    for name in sorted({*required, *listed} - {"SHA256SUMS"}):
        path = folder / name
        if name not in listed:
            raise PresetError(f"preset {str(folder)!r}: SHA256SUMS does not list {name!r}.")
        if Path(name).name != name:
            raise PresetError(f"preset {str(folder)!r}: SHA256SUMS names {name!r}, which is not in the folder.")
        if not path.is_file():
            raise PresetError(f"preset {str(folder)!r}: the file {name!r} is missing.")
        if path.stat().st_size > MAX_WEIGHT_BYTES:
            raise PresetError(f"preset {str(folder)!r}: {name!r} is over {MAX_WEIGHT_BYTES} bytes.")
        found = sha256(path)
        if found != listed[name]:
            raise PresetError(
                f"preset {str(folder)!r}: {name!r} was altered. SHA-256 received: {found[:16]}…, "
                f"listed: {listed[name][:16]}…. Fetch or train the preset again."
            )


def load_classifier(folder: str | Path) -> tuple[Classifier, dict[str, Any]]:
    """The classifier of a preset folder, and its configuration. Its weights are `fixed`.

    Raises PresetError for a folder that is incomplete, altered, of a newer format, or whose plugin is not installed.
    """
    from facefeat.networks.classifier import Classifier

    config = read_config(folder := Path(folder))
    try:
        parts = {kind: config[kind] for kind in _WEIGHTS}
        for kind, part in parts.items():
            _require_component(folder, kind, part)
        backbone = _qualified(parts["backbone"])
        classifier = Classifier.build(
            schema=Schema.from_dict(config["schema"]),
            image_size=int(config["image_size"]),
            alignment=Alignment.from_dict(config["alignment"]),
            backbone=backbone,
            head=_qualified(parts["head"]),
            backbone_config=get_registry().bare_config("backbone", backbone, parts["backbone"]["config"]),
            head_config=parts["head"]["config"],
        )
        # Presets of before 0.1.0's calibration have temperatures alone.
        stored = {**config.get("calibration", {}), "temperatures": config["temperatures"]}
        classifier.calibration = Calibration.from_dict(stored, classifier.schema)
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        if isinstance(e, FacefeatError):
            raise PresetError(f"preset {str(folder)!r}: {e}") from None
        raise PresetError(f"preset {str(folder)!r}: config.json is incomplete or has a wrong type: {e!r}") from None
    for kind, name in _WEIGHTS.items():
        _load_weights(getattr(classifier, f"{kind}_model"), folder, name, kind)
    classifier.frozen = True
    return classifier, config


def load_decoder(folder: str | Path) -> FaceDecoder | None:
    """The decoder of a preset folder; None where it has none. Raises PresetError as `load_classifier` does."""
    from facefeat.networks.decoder import WEIGHTS, FaceDecoder

    config = read_config(folder := Path(folder))
    part = config.get("decoder")
    if part is None:
        return None
    try:
        _require_component(folder, "decoder", part)
        decoder = FaceDecoder.build(
            _qualified(part),
            feature_dim=int(part["feature_dim"]),
            image_size=int(config["image_size"]),
            config=part["config"],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        if isinstance(e, FacefeatError):
            raise PresetError(f"preset {str(folder)!r}: {e}") from None
        raise PresetError(f"preset {str(folder)!r}: config.json, decoder: incomplete or a wrong type: {e!r}") from None
    if bool(part["detail"]) != (decoder.detail_encoder is not None):
        raise PresetError(f"preset {str(folder)!r}: config.json, decoder: 'detail' does not fit {part['name']!r}.")
    for kind, model in decoder.parts.items():
        _load_weights(model, folder, WEIGHTS[kind], kind.replace("_", " "))
    return decoder


def read_card(folder: Path) -> str:
    """The model card of a preset, Markdown. Raises OSError and ValueError where it cannot be read as a text."""
    return read_regular(folder / "model_card.md", MAX_CONFIG_BYTES, inside=folder).decode("utf-8")


def read_record(folder: str | Path) -> dict[str, Any]:
    """What a preset tells of its making: "card", "training" and "decoder_training", as `save_preset` takes them."""
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
        raise PresetError(f"preset {str(folder)!r}: cannot read what it tells of its making: {e}") from None
    return record


def _load_weights(model: Any, folder: Path, name: str, kind: str) -> None:
    try:
        with warnings.catch_warnings():
            # Keras would only warn that a layer keeps its random weights.
            warnings.filterwarnings("error", message="Skipping nested container")
            model.load_weights(folder / name)
    except (OSError, ValueError, KeyError, UserWarning) as e:
        first = str(e).strip().splitlines()[0]
        raise PresetError(f"preset {str(folder)!r}: {name!r} does not fit the {kind}: {first}") from None


def _qualified(part: Mapping[str, Any]) -> str:
    return f"{part['distribution']}:{part['name']}"


def _require_component(folder: Path, kind: str, part: Mapping[str, Any]) -> None:
    registry = get_registry()
    try:
        registry.get(kind, _qualified(part))
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
            f"Next: pip install '{distribution}=={version}'"
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

    An existing preset at that place is replaced. Raises InputError for a folder that holds something else or cannot
    be written.
    """
    from facefeat._version import __version__
    from facefeat.networks.decoder import WEIGHTS

    target = Path(folder)
    if target.exists() and (not target.is_dir() or (any(target.iterdir()) and not (target / "config.json").is_file())):
        raise InputError(f"{str(target)!r} exists and is not a preset. Give a new or empty folder.")
    calibration = classifier.calibration.to_dict()
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
        "temperatures": calibration.pop("temperatures"),
        "calibration": calibration,
        "parameters": classifier.parameters,
        **(extra or {}),
    }
    if decoder is not None:
        about = {"feature_dim": decoder.feature_dim, "detail": decoder.detail_dim}
        config["decoder"] = {**decoder.ref.to_dict(), **about}
    with atomic_folder(target, "a preset", lambda _: True) as new:
        for kind, file in _WEIGHTS.items():
            _save_weights(getattr(classifier, f"{kind}_model"), new / file)
        for part, model in decoder.parts.items() if decoder is not None else ():
            _save_weights(model, new / WEIGHTS[part])
        if decoder is not None:
            _write_json(new / "decoder_training.json", dict(decoder_training or {}))
        if directions is not None:
            directions.write(new / DIRECTIONS)
        _write_json(new / "config.json", config)
        _write_json(new / "training.json", dict(training or {}))
        (new / "model_card.md").write_text(card or f"# {name}\n\n{summary}\n", "utf-8")
        files = sorted(p.name for p in new.iterdir())
        (new / "SHA256SUMS").write_text("".join(f"{sha256(new / n)}  {n}\n" for n in files), "utf-8")
    return target


def update_card(folder: str | Path, card: str) -> None:
    """Replace the model card of a preset, and its line in SHA256SUMS, atomically.

    The other lines stay: a file that was altered is still found to be. Raises PresetError, InputError.
    """
    _check_is_preset(folder := Path(folder))
    with atomic_folder(folder, "a preset", lambda _: True) as new:
        shutil.copytree(folder, new, dirs_exist_ok=True)
        (new / "model_card.md").write_text(card, "utf-8")
        sums = {line[66:]: line[:64] for line in (folder / "SHA256SUMS").read_text("utf-8").splitlines()}
        sums["model_card.md"] = sha256(new / "model_card.md")
        (new / "SHA256SUMS").write_text("".join(f"{sums[n]}  {n}\n" for n in sorted(sums)), "utf-8")


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1, sort_keys=False) + "\n", "utf-8")


def weights_in_memory(model: Any) -> io.BytesIO:
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


def _save_weights(model: Any, path: Path) -> None:
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
