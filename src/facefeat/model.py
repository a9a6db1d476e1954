"""`FaceFeatureModel`: the one object that users hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facefeat.presets.metadata import Record

if TYPE_CHECKING:
    import os

    from facefeat.data import FaceDataset
    from facefeat.evaluation import Report
    from facefeat.evaluation.audit import Audit
    from facefeat.export.write import Exported
    from facefeat.latent.compose import Composed
    from facefeat.latent.edit import Edited
    from facefeat.latent.explain import Explanation
    from facefeat.networks.classifier import Classifier
    from facefeat.networks.decoder import FaceDecoder
    from facefeat.plugins.contracts import Detector
    from facefeat.presets.latent_directions import LatentDirections
    from facefeat.presets.lazy_parts import Slots
    from facefeat.schema import Schema
    from facefeat.training import DecoderRecipe, Recipe
    from facefeat.training.processes import Processes
    from facefeat.training.trainer import TrainingLog, TrainingReporter
    from facefeat.types import Alignment, Analysis, FaceBatch, FloatArray, ImageLike, UInt8Array


class FaceFeatureModel:
    """Reads age, gender and race from faces.

    >>> model = FaceFeatureModel.from_preset()
    >>> model.predict("photo.jpg").faces[0].attributes["gender"].label
    'Female'
    """

    def __init__(
        self,
        *,
        backbone: str = "compact",
        head: str = "mlp",
        schema: str | Path | Mapping[str, Any] | Schema = "utkface",
        image_size: int = 96,
        alignment: str | Alignment = "utkface",
        detector: str = "mtcnn",
        backbone_config: Mapping[str, Any] | None = None,
        head_config: Mapping[str, Any] | None = None,
        detector_config: Mapping[str, Any] | None = None,
    ) -> None:
        """An untrained model.

        backbone, head, detector: registered names (`facefeat plugins`), with the configuration of each.
        schema: a built-in name, a TOML file, or a table. image_size: side of a crop in pixels.
        alignment: a name of `facefeat.image.align.ALIGNMENTS`, or an Alignment.

        Raises UnknownComponentError, MissingExtraError, SchemaError, or InputError for a value that is not valid.
        """
        from facefeat.image.align import get_alignment
        from facefeat.networks.classifier import Classifier
        from facefeat.presets.lazy_parts import Slots
        from facefeat.schema import get_schema

        classifier = Classifier.build(
            schema=get_schema(schema),
            image_size=image_size,
            alignment=get_alignment(alignment),
            backbone=backbone,
            head=head,
            backbone_config=backbone_config,
            head_config=head_config,
        )
        self._hold(classifier, Record(), Slots.of(detector, detector_config))

    def _hold(self, classifier: Classifier, record: Record, slots: Slots) -> FaceFeatureModel:
        self._classifier, self._record, self._slots = classifier, record, slots
        return self

    @classmethod
    def from_preset(
        cls,
        preset: str | os.PathLike[str] | None = None,
        *,
        detector: str = "mtcnn",
        detector_config: Mapping[str, Any] | None = None,
    ) -> FaceFeatureModel:
        """A trained model: the bundled default, or a registered name, or a preset folder.

        Raises PresetError for an unknown preset, or a folder that is incomplete, altered or of another version.
        """
        from facefeat.presets.lazy_parts import Slots
        from facefeat.presets.store import find_preset, load_classifier, read_record

        folder = find_preset(None if preset is None else str(preset))
        classifier, config = load_classifier(folder)
        slots = Slots.of(detector, detector_config, folder if config.get("decoder") else None)
        return cls.__new__(cls)._hold(classifier, Record.of_preset(config, read_record(folder)), slots)

    @classmethod
    def from_recipe(
        cls,
        recipe: str | Path | Recipe,
        *,
        detector: str = "mtcnn",
        detector_config: Mapping[str, Any] | None = None,
    ) -> FaceFeatureModel:
        """The untrained model that a recipe describes; its initial weights follow from the seed. Raises RecipeError."""
        from facefeat.presets.lazy_parts import Slots
        from facefeat.training import build_classifier, load_recipe

        r = load_recipe(recipe)
        slots = Slots.of(detector, detector_config)
        return cls.__new__(cls)._hold(build_classifier(r), Record(r.name, r.summary), slots)

    @property
    def name(self) -> str:
        """The preset's or recipe's name; "untrained" without one."""
        return self._record.name

    @property
    def card(self) -> str:
        """The model card, in Markdown: the preset's; name and summary without one."""
        return self._record.text

    @property
    def classifier(self) -> Classifier:
        """Its backbone and head, with what their answers mean."""
        return self._classifier

    @property
    def schema(self) -> Schema:
        """The attributes that the model reads."""
        return self._classifier.schema

    @property
    def image_size(self) -> int:
        """S, the side of a crop in pixels."""
        return self._classifier.image_size

    @property
    def alignment(self) -> Alignment:
        """The geometry of the crops that the model was trained on."""
        return self._classifier.alignment

    @property
    def latent_dim(self) -> int:
        """D, the width of a latent: of the attribute features, and of the detail code where the decoder has one."""
        return self.decoder.latent_dim if self.has_decoder else self._classifier.latent_dim

    @property
    def has_decoder(self) -> bool:
        """Whether `decode`, `reconstruct` and what builds on them will work."""
        return self._slots.has_decoder

    @property
    def decoder(self) -> FaceDecoder:
        """The decoder, read from the preset at first use. Raises PresetError where there is none."""
        return self._slots.get_decoder(self.name)

    @property
    def directions(self) -> LatentDirections:
        """What editing and composing know of the latents, read at first use. Raises PresetError where there is none."""
        return self._slots.get_directions(self.name, self.schema)

    def require_decoder(self) -> None:
        """Raises PresetError, saying what to train, where the model has no decoder."""
        self._slots.require_decoder(self.name)

    @property
    def encoder_hash(self) -> str:
        """SHA-256 (hex) of what makes its latents; see `identity.encoder_hash`."""
        from facefeat.networks.fingerprint import encoder_hash

        return encoder_hash(self._classifier, self.decoder if self.has_decoder else None)

    @property
    def parameters(self) -> int:
        """Weights of backbone and head together."""
        return self._classifier.parameters

    @property
    def detector(self) -> Detector:
        """The face detector, built at first use."""
        return self._slots.detector.get()

    def predict(self, images: ImageLike | Sequence[ImageLike]) -> Any:
        """Every face of an image, with its attributes: an ImageResult; for a list of images one each, in order.

        images: a path, bytes, PIL image or (H, W, 3) uint8 RGB array, or a list of such. A bad image in a list is a
        result with `.error` set; alone, it raises ImageError.
        """
        from facefeat.pipeline import read_images

        return read_images(images, self.detector, self._classifier)

    def align(self, images: ImageLike | Sequence[ImageLike]) -> UInt8Array:
        """(N, S, S, 3) uint8 crops: the largest face of each image, or the whole image where none is found.

        Raises ImageError for an image that cannot be read.
        """
        from facefeat.pipeline import largest_faces

        return largest_faces(images, self.detector, self.alignment, self.image_size)

    def predict_faces(self, crops: UInt8Array) -> FaceBatch:
        """Predictions for crops that are already aligned; no detector runs.

        crops: (N, H, W, 3) uint8, of any size; resized to (N, S, S, 3). Raises InputError for anything else.
        """
        return self._classifier.predict(self._crops(crops))

    def encode(self, crops: UInt8Array) -> FloatArray:
        """(N, H, W, 3) uint8 crops -> (N, D) float32 latents. Raises InputError as `predict_faces`.

        With a decoder that has a detail encoder a latent is [attribute features, detail code].
        """
        checked = self._crops(crops)
        features = self._classifier.encode(checked)
        return self.decoder.latents(features, checked) if self.has_decoder else features

    def decode(self, latents: FloatArray) -> UInt8Array:
        """(N, D) latents -> (N, S, S, 3) uint8. Raises InputError for another width, NaN or infinity; PresetError."""
        return self.decoder.draw(latents)

    def reconstruct(self, crops: UInt8Array) -> UInt8Array:
        """(N, H, W, 3) uint8 crops -> (N, S, S, 3) uint8: what their latents hold. Raises as `encode` and `decode`."""
        self.require_decoder()
        return self.decode(self.encode(crops))

    def morph(
        self,
        a: ImageLike,
        b: ImageLike,
        *more: ImageLike,
        steps: int = 60,
        path: str = "linear",
        easing: str = "none",
        bounce: bool = False,
        residual: bool = False,
    ) -> UInt8Array:
        """(steps, S, S, 3) uint8 frames from face `a` to `b`, and on through `more`; the ends are the reconstructions.

        An array is an aligned (H, W, 3) uint8 crop; of another image the largest face is aligned, as in `align`.
        path, easing, bounce: see `latent.paths.latent_path`. residual: whether what decoding loses is put back, so that
        the ends are the faces themselves. Raises InputError, ImageError, PresetError.
        """
        from facefeat.latent.morph import morph

        return morph(self, (a, b, *more), steps=steps, path=path, easing=easing, bounce=bounce, residual=residual)

    def edit(
        self, crops: UInt8Array, *, method: str = "means", limit: float = 4.0, residual: bool = True, **changes: Any
    ) -> Edited:
        """(N, H, W, 3) uint8 crops, changed until the head reads what is asked: `age=+20, gender="Female"`.

        For what may be asked and the options see `latent.edit.edit`. Raises InputError, PresetError.
        """
        from facefeat.latent.edit import edit

        return edit(self, self._crops(crops), changes, method=method, limit=limit, residual=residual)

    def compose(
        self, *, coordinates: Mapping[int, float] | None = None, count: int = 1, seed: int = 0, **attributes: Any
    ) -> Composed:
        """Faces of nobody: `age=70, gender="Female"`; coordinates: number -> standard deviations from its mean.

        count: how many; the others differ in what is not asked. Raises InputError, PresetError.
        """
        from facefeat.latent.compose import compose

        return compose(self, attributes, coordinates or {}, count=count, seed=seed)

    def _crops(self, crops: UInt8Array) -> UInt8Array:
        from facefeat.image.align import check_crops, resize_crops

        return resize_crops(check_crops(crops), self.image_size)

    def fit(
        self,
        train: FaceDataset,
        validation: FaceDataset,
        recipe: str | Path | Recipe,
        *,
        folder: str | Path | None = None,
        resume: bool = False,
        reporter: TrainingReporter | None = None,
        processes: Processes | None = None,
    ) -> TrainingLog:
        """Train in place on `train`, choosing the epoch and the temperatures on `validation`. A decoder is dropped.

        recipe: loop, augmentation and losses (its backbone and head are those of this model already).
        folder: where checkpoints go; resume: go on from them. processes: of `training.processes.join_processes`, where
        several train one model. Raises TrainingError, RecipeError, DataError.
        """
        from facefeat.training.fitting import fit

        to: dict[str, Any] = {"folder": folder, "resume": resume, "reporter": reporter, "processes": processes}
        log = fit(self._classifier, train, validation, recipe, **to)
        self._slots.forget_latents()
        self._record = Record(self.name, self._record.summary, train.licence, training=log.to_dict())
        return log

    def fit_decoder(
        self,
        train: FaceDataset,
        validation: FaceDataset,
        recipe: str | Path | DecoderRecipe,
        *,
        folder: str | Path | None = None,
        resume: bool = False,
        reporter: TrainingReporter | None = None,
    ) -> TrainingLog:
        """Train a decoder on this model's latents, choosing the epoch on `validation`; the classifier stays as it is.

        recipe: a name of `facefeat recipes`, a .toml file, or a DecoderRecipe. folder, resume: as of `fit`.
        An earlier decoder is replaced once the new one is done. Raises TrainingError, RecipeError, DataError.
        """
        from facefeat.training.fitting import fit_decoder

        to: dict[str, Any] = {"folder": folder, "resume": resume, "reporter": reporter}
        made, log = fit_decoder(self._classifier, train, validation, recipe, **to)
        self._slots.replace_decoder(made)
        self._record = replace(self._record, decoder_training=log.to_dict())
        return log

    def fit_directions(self, dataset: FaceDataset) -> None:
        """Fit the directions that `edit` and `compose` need, after the decoder. Raises PresetError, DataError."""
        from facefeat.latent.fit_directions import fit_directions

        self._slots.directions = fit_directions(self, dataset)

    def evaluate(self, dataset: FaceDataset, *, bootstrap: int = 500) -> Report:
        """Metrics with 95 % intervals (`bootstrap` resamples) and a table per group. Raises DataError."""
        from facefeat.evaluation import evaluate

        return evaluate(self._classifier, dataset, bootstrap=bootstrap)

    def audit(self, dataset: FaceDataset, *, bootstrap: int = 500, command: str = "", split: str = "") -> Audit:
        """How the model reads a data set, in full: classes, groups, calibration, mistakes, a map of its latents.

        Needs the extra `audit`; `.save(folder)` writes the page. command and split: told there. Raises DataError,
        MissingExtraError.
        """
        from facefeat.evaluation.audit import run_audit

        about = {"model": self.name, "licence": self._record.licence, "command": command, "split": split}
        return run_audit(self._classifier, dataset, about=about, bootstrap=bootstrap)

    def analyze(self, dataset: FaceDataset, analyzer: str, **config: Any) -> Analysis:
        """Study the latents of a data set: an analyzer's name (`facefeat plugins`) and its settings.

        Raises UnknownComponentError, MissingExtraError, InputError for a setting, DataError.
        """
        from facefeat.latent.analyze import run_analyzer

        return run_analyzer(self, dataset, analyzer, config)

    def explain(
        self, crops: UInt8Array, attribute: str, label: str | None = None, *, method: str = "auto"
    ) -> Explanation:
        """Where the model looked in (N, H, W, 3) uint8 crops; `.draw()` shows it. See `latent.explain.explain`.

        label: the class to explain; each crop's own answer where None. method: "auto", "gradient" or "attention".
        Raises InputError.
        """
        from facefeat.latent.explain import explain

        return explain(self._classifier, self._crops(crops), attribute, label, method)

    def predict_without(self, crops: UInt8Array, coordinates: Sequence[int], at: FloatArray) -> FaceBatch:
        """`predict_faces` by a head that does not see these coordinates of the latent: they are held at `at` (D,)."""
        return self._classifier.predict_without(self._crops(crops), coordinates, at)

    def save(self, folder: str | Path, *, name: str | None = None, card: str | None = None) -> Path:
        """Write a preset folder atomically; an existing preset there is replaced.

        Raises InputError for a folder that holds something else or cannot be written.
        """
        from facefeat.presets.store import save_preset

        told = asdict(self._record) | {"name": name or self.name, "card": card or self._record.card}
        decoder = self.decoder if self.has_decoder else None
        directions = self.directions if self._slots.has_directions else None
        return save_preset(folder, self._classifier, decoder=decoder, directions=directions, **told)

    def export(self, path: str | Path, format: str | None = None, *, latent: bool = False) -> Exported:
        """Write the model for programs without Keras; see `export.write.export_model`, whose errors it raises."""
        from facefeat.export.write import export_model

        decoder = self.decoder if latent and self.has_decoder else None
        return export_model(self._classifier, path, format, latent=latent, decoder=decoder, about=self._record.about())

    def __repr__(self) -> str:
        c, about = self._classifier, f"schema={self.schema.name!r}, image_size={self.image_size}"
        parts = f"backbone={c.backbone.name!r}, head={c.head.name!r}, {about}, parameters={self.parameters:,}"
        return f"FaceFeatureModel({self.name!r}, {parts})"
