"""`FaceFeatureModel`: the main object of the API. It only delegates to the modules that it names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Unpack, overload

from facefeat.presets.metadata import Metadata

if TYPE_CHECKING:
    import os

    from facefeat.data import FaceDataset
    from facefeat.evaluation import Report
    from facefeat.evaluation.audit import Audit
    from facefeat.evaluation.robustness import Robustness
    from facefeat.export.write import Exported
    from facefeat.latent.compose import Composition
    from facefeat.latent.edit import Edit
    from facefeat.latent.explain import Explanation
    from facefeat.latent.morph import Morph, MorphOptions
    from facefeat.networks.classifier import Classifier
    from facefeat.networks.decoder import FaceDecoder
    from facefeat.networks.runtime import RuntimeOptions
    from facefeat.plugins.contracts import Detector
    from facefeat.presets.latent_directions import LatentDirections
    from facefeat.presets.lazy_parts import LazyParts
    from facefeat.schema import Schema
    from facefeat.training import DecoderRecipe, Recipe
    from facefeat.training.log import TrainingLog, TrainingReporter
    from facefeat.training.processes import Processes
    from facefeat.types import Alignment, Analysis, Face, FaceBatch, FloatArray, ImageLike, ImageResult, UInt8Array


class FaceFeatureModel:
    """Predicts attributes of faces, such as age, gender and race, and gives access to its latent space.

    Example:
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
        detector: str = "centerface",
        backbone_config: Mapping[str, Any] | None = None,
        head_config: Mapping[str, Any] | None = None,
        detector_config: Mapping[str, Any] | None = None,
    ) -> None:
        """An untrained model.

        Args:
            backbone, head, detector: registered names (`facefeat plugins`), with the configuration of each.
            schema: a built-in name, a TOML file, or a table.
            image_size: side of a crop in pixels.
            alignment: a name of `facefeat.image.align.ALIGNMENTS`, or an Alignment.

        Raises:
            UnknownComponentError, MissingExtraError, SchemaError, InputError: for a value that is not valid.
        """
        from facefeat.image.align import get_alignment
        from facefeat.networks.classifier import Classifier
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
        self._assemble(classifier, Metadata(), detector, detector_config)

    def _assemble(
        self,
        classifier: Classifier,
        metadata: Metadata,
        detector: str,
        detector_config: Mapping[str, Any] | None,
        folder: Path | None = None,
        runtime: RuntimeOptions | None = None,
    ) -> FaceFeatureModel:
        from facefeat.presets.lazy_parts import LazyParts

        self._classifier, self._metadata = classifier, metadata
        self._parts: LazyParts = LazyParts(metadata.name, classifier.schema, detector, detector_config, folder, runtime)
        return self

    @classmethod
    def from_preset(
        cls,
        preset: str | os.PathLike[str] | None = None,
        *,
        detector: str = "centerface",
        detector_config: Mapping[str, Any] | None = None,
        runtime: RuntimeOptions | None = None,
    ) -> FaceFeatureModel:
        """A trained model: the bundled default, or a registered name, or a preset folder.

        runtime: what its networks run on, such as `RuntimeOptions("keras")` or `RuntimeOptions(threads=1)`; by default
        ONNX Runtime where the preset has graphs, on the first accelerator that it supports, else on the CPU.

        Raises PresetError for an unknown preset, or a folder that is incomplete, altered or of another version.

        Example:
            >>> model = FaceFeatureModel.from_preset("mobilenet-112-utkface")
        """
        from facefeat.presets.store import find_preset, load_classifier, read_record

        folder = find_preset(None if preset is None else str(preset))
        classifier, config = load_classifier(folder, runtime)
        metadata = Metadata.of_preset(config, read_record(folder))
        latent_folder = folder if config.get("decoder") else None
        return cls.__new__(cls)._assemble(classifier, metadata, detector, detector_config, latent_folder, runtime)

    @classmethod
    def from_recipe(
        cls,
        recipe: str | Path | Recipe,
        *,
        detector: str = "centerface",
        detector_config: Mapping[str, Any] | None = None,
        schema: str | Path | Schema | None = None,
    ) -> FaceFeatureModel:
        """The untrained model that a recipe describes; its initial weights follow from the seed.

        Args:
            schema: for a recipe with `schema = "data"`, which leaves it to the data set: `dataset.schema`.

        Raises:
            RecipeError: for a recipe that is not valid, or without a schema where it needs one.
        """
        from facefeat.training import build_classifier, load_recipe

        r = load_recipe(recipe)
        made = build_classifier(r, schema)
        return cls.__new__(cls)._assemble(made, Metadata(r.name, r.summary), detector, detector_config)

    # ---------------------------------------------------------------- what it is

    @property
    def name(self) -> str:
        """The preset's or recipe's name; "untrained" without one."""
        return self._metadata.name

    @property
    def card(self) -> str:
        """The model card, in Markdown: the preset's; name and summary without one."""
        return self._metadata.text

    @property
    def metadata(self) -> Metadata:
        """Name, summary, licence, card, and the logs of its trainings."""
        return self._metadata

    @property
    def classifier(self) -> Classifier:
        """Its backbone and head, with schema and calibration."""
        return self._classifier

    @property
    def schema(self) -> Schema:
        """The attributes that the model predicts."""
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
        """Whether it has a decoder: `decode`, `reconstruct`, `morph`, `edit` and `compose` need one."""
        return self._parts.has_decoder

    @property
    def decoder(self) -> FaceDecoder:
        """The decoder, read from the preset at first use. Raises PresetError where there is none."""
        return self._parts.decoder

    @property
    def directions(self) -> LatentDirections:
        """How its latents vary with attributes, read at first use: for `edit` and `compose`.

        Raises PresetError where there is none.
        """
        return self._parts.directions

    def require_decoder(self) -> None:
        """Raises PresetError, with the command that trains one, where the model has no decoder."""
        self._parts.require_decoder()

    @property
    def encoder_hash(self) -> str:
        """SHA-256 (hex) of the networks that compute its latents; see `networks.fingerprint.encoder_hash`."""
        from facefeat.networks.fingerprint import encoder_hash

        return encoder_hash(self._classifier, self.decoder if self.has_decoder else None)

    @property
    def parameters(self) -> int:
        """Weights of backbone and head together."""
        return self._classifier.parameters

    @property
    def detector(self) -> Detector:
        """The face detector, built at first use."""
        return self._parts.detector

    # ---------------------------------------------------------------- faces and what is predicted from them

    @overload
    def predict(self, images: ImageLike) -> ImageResult: ...  # type: ignore[overload-overlap]  # a str is a Sequence[str], too
    @overload
    def predict(self, images: Sequence[ImageLike]) -> list[ImageResult]: ...
    def predict(self, images: ImageLike | Sequence[ImageLike]) -> ImageResult | list[ImageResult]:
        """Every face of an image, with its attributes: an ImageResult; for a list of images one each, in order.

        Args:
            images: a path, bytes, PIL image or (H, W, 3) uint8 RGB array, or a list of such. A bad image in a list is a
                result with `.error` set; alone, it raises ImageError.

        Example:
            >>> [result.error for result in model.predict(["photo.jpg", "none.jpg"])]
            [None, "no such file: 'none.jpg'."]
        """
        from facefeat.pipeline import read_images

        return read_images(images, self.detector, self._classifier)

    def align(self, images: ImageLike | Sequence[ImageLike]) -> UInt8Array:
        """(N, S, S, 3) uint8 crops: the main face of each image, or the whole image where none is found.

        The main face is large and near the middle (`facefeat.image.main_face`).

        Raises ImageError for an image that cannot be read.

        Example:
            >>> model.align(["photo.jpg"]).shape
            (1, 112, 112, 3)
        """
        from facefeat.pipeline import align

        return align(images, self.detector, self)

    def predict_faces(self, crops: UInt8Array, faces: Sequence[Face] | None = None) -> FaceBatch:
        """Predictions for crops that are already aligned; no detector runs.

        crops: (N, H, W, 3) uint8, of any size; resized to (N, S, S, 3). faces: the N faces that they were cut from, if
        known: their size, pose and score belong to the quality. Raises InputError for anything else.

        Example:
            >>> model.predict_faces(crops).labels["race"].tolist()
            ['White']
        """
        return self._classifier.predict(self._crops(crops), faces)

    def predict_without(self, crops: UInt8Array, coordinates: Sequence[int], at: FloatArray) -> FaceBatch:
        """`predict_faces` by a head that does not see these coordinates of the latent: they are held at `at` (D,)."""
        return self._classifier.predict_without(self._crops(crops), coordinates, at)

    def explain(
        self, crops: UInt8Array, attribute: str, label: str | None = None, *, method: str = "auto"
    ) -> Explanation:
        """Where the model looked in (N, H, W, 3) uint8 crops; `.draw()` shows it. See `latent.explain.explain`.

        Args:
            label: the class to explain; of each crop the predicted one where None.
            method: "auto", "gradient" or "attention".

        Raises:
            InputError: for an unknown attribute, class or method.

        Example:
            >>> path = model.explain(crops, "gender").save("looked.png")
        """
        from facefeat.latent.explain import explain

        return explain(self._classifier, self._crops(crops), attribute, label, method)

    def explain_all(self, crops: UInt8Array) -> dict[str, Explanation]:
        """`explain` of every attribute's predicted class, by one run of the network: attribute -> Explanation.

        crops: (N, H, W, 3) uint8. Raises InputError as `predict_faces`.
        """
        from facefeat.latent.explain import explain_all

        return explain_all(self._classifier, self._crops(crops), dict.fromkeys(self.schema.attributes))

    def _crops(self, crops: UInt8Array) -> UInt8Array:
        from facefeat.image.align import check_crops, resize_crops

        return resize_crops(check_crops(crops), self.image_size)

    # ---------------------------------------------------------------- the latent space

    def encode(self, crops: UInt8Array) -> FloatArray:
        """(N, H, W, 3) uint8 crops -> (N, D) float32 latents. Raises InputError as `predict_faces`.

        With a decoder that has a detail encoder a latent is [attribute features, detail code].

        Example:
            >>> model.decode(model.encode(crops)).shape
            (1, 128, 128, 3)
        """
        checked = self._crops(crops)
        features = self._classifier.encode(checked)
        return self.decoder.latents(features, checked) if self.has_decoder else features

    def decode(self, latents: FloatArray) -> UInt8Array:
        """(N, D) latents -> (N, F, F, 3) uint8: faces as large as the decoder draws them.

        Raises InputError for another width, NaN or infinity; PresetError without a decoder.
        """
        return self.decoder.draw(latents)

    def reconstruct(self, crops: UInt8Array) -> UInt8Array:
        """(N, H, W, 3) uint8 crops -> (N, F, F, 3) uint8, decoded from their latents. Raises as both."""
        self.require_decoder()
        return self.decode(self.encode(crops))

    def morph(self, *images: ImageLike, size: int = 256, **options: Unpack[MorphOptions]) -> Morph:
        """Morph the main face of the first image into that of the next, through as many as are given.

        Args:
            images: paths, bytes, PIL images or (H, W, 3) uint8 RGB arrays. As in `align`, an image in which no face is
                found is taken as one whole face.
            size: side of a frame in pixels; faces are cut at this size, so that frames are as sharp as the photos.
            options: `steps`, `path`, `easing`, `bounce` and `residual`, as of `morph_faces`.

        Raises:
            InputError, ImageError: for options or images that are not valid.
            PresetError: without a decoder.

        Example:
            >>> path = model.morph("a.jpg", "b.jpg", steps=12).save("morph.gif")
        """
        from facefeat.pipeline import align_at

        self.require_decoder()
        crops, large = align_at(images, self.detector, self.alignment, (self.image_size, size))
        return self.morph_faces(crops, large, **options)

    def morph_faces(
        self,
        crops: UInt8Array,
        large: UInt8Array | None = None,
        *,
        steps: int = 60,
        path: str = "linear",
        easing: str = "smooth",
        bounce: bool = False,
        residual: bool = True,
    ) -> Morph:
        """`morph` for faces that are already aligned; no detector runs.

        Args:
            crops: (K, H, W, 3) uint8, K at least 2.
            large: (K, T, T, 3) uint8, the same faces cut at another size, which the frames then have.
            steps: frames in all.
            path: "linear" or "spherical", from latent to latent; see `latent.interpolate.latent_path`.
            easing: "smooth", slow near each face, or "none".
            bounce: whether the way back is appended, for an endless loop.
            residual: whether what decoding loses of a face is restored, the more the nearer a frame is to it: then the
                morph begins and ends with the faces themselves, else with their reconstructions.
        """
        from facefeat.latent.morph import morph_faces

        return morph_faces(self, crops, large, steps=steps, path=path, easing=easing, bounce=bounce, residual=residual)

    def edit(
        self,
        crops: UInt8Array,
        changes: Mapping[str, Any],
        large: UInt8Array | None = None,
        *,
        method: str = "means",
        limit: float | None = None,
        residual: bool = True,
    ) -> Edit:
        """Change (N, H, W, 3) uint8 crops until the head predicts what is asked: `{"age": +20, "gender": "Female"}`.

        For what may be asked, and the options, see `latent.edit.edit`. Raises InputError, PresetError.

        Example:
            >>> path = model.edit(crops, {"age": +20}).save("older.png")
        """
        from facefeat.latent.edit import edit

        return edit(self, crops, changes, large, method=method, limit=limit, residual=residual)

    def compose(
        self,
        attributes: Mapping[str, Any] | None = None,
        *,
        coordinates: Mapping[int, float] | None = None,
        count: int = 1,
        seed: int = 0,
        variety: float = 0.8,
    ) -> Composition:
        """Synthetic faces: `{"age": 70, "gender": "Female"}`; of anybody where nothing is asked.

        Args:
            coordinates: number of a coordinate of the latent -> standard deviations from its mean.
            count: faces; they differ at random (seed) in what is not asked.
            variety: how far they are from the typical face: 1 as far as real faces are, 0 that face itself.

        Raises:
            InputError, PresetError: as `latent.compose.compose`, which has the details.

        Example:
            >>> path = model.compose({"age": 70, "gender": "Female"}).save("face.png")
        """
        from facefeat.latent.compose import compose

        return compose(self, attributes or {}, coordinates or {}, count=count, seed=seed, variety=variety)

    def analyze(self, dataset: FaceDataset, analyzer: str, **config: Any) -> Analysis:
        """Study the latents of a data set: an analyzer's name (`facefeat plugins`) and its settings.

        Raises UnknownComponentError, MissingExtraError, InputError for a setting, DataError.
        """
        from facefeat.latent.analyze import run_analyzer

        return run_analyzer(self, dataset, analyzer, config)

    # ---------------------------------------------------------------- training and measuring

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

        Args:
            recipe: loop, augmentation and losses (its backbone and head are those of this model already).
            folder: where checkpoints go; resume: continue from them.
            processes: of `training.processes.join_processes`, where several train one model.

        Raises:
            TrainingError, RecipeError, DataError: where it cannot be trained.
        """
        from facefeat.training import train as fit
        from facefeat.training.loop import RunOptions
        from facefeat.training.processes import ALONE

        options = RunOptions(Path(folder) if folder else None, resume, reporter, processes or ALONE)
        log = fit(self._classifier, train, validation, recipe, options)
        self._parts.replace_decoder(None)
        self._metadata = Metadata(self.name, self._metadata.summary, log.licence, training=log.to_dict())
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
        """Train a decoder on this model's latents, choosing the epoch on `validation`; the classifier is unchanged.

        An earlier decoder is replaced once the new one is done.

        Args:
            recipe: a name of `facefeat recipes`, a .toml file, or a DecoderRecipe.
            folder, resume: as of `fit`.

        Raises:
            TrainingError, RecipeError, DataError: where it cannot be trained.
        """
        from facefeat.training import train_decoder
        from facefeat.training.loop import RunOptions
        from facefeat.training.origin import joined

        options = RunOptions(Path(folder) if folder else None, resume, reporter)
        decoder, log = train_decoder(self._classifier, train, validation, recipe, options)
        self._parts.replace_decoder(decoder)
        licence = joined([self._metadata.licence, log.licence])
        self._metadata = replace(self._metadata, licence=licence, decoder_training=log.to_dict())
        return log

    def fit_directions(self, dataset: FaceDataset) -> None:
        """Fit the directions that `edit` and `compose` need, after the decoder. Raises PresetError, DataError."""
        from facefeat.latent.fit_directions import fit_directions

        self._parts.directions = fit_directions(self, dataset)

    def calibrate(self, dataset: FaceDataset, *, coverage: float = 0.9, unsure_below: float = 0.5) -> None:
        """Fit probabilities, intervals and quality on a data set and on corrupted copies of its faces, in place.

        coverage: share of faces, 0 to 1, whose age its interval is to hold. unsure_below: quality, 0 to 1, below which
        it answers "unsure". Raises DataError.
        """
        from facefeat.evaluation.calibration import calibrate_on_corrupted

        self._classifier.calibration = calibrate_on_corrupted(
            self._classifier, dataset, coverage=coverage, unsure_below=unsure_below
        )

    def evaluate(self, dataset: FaceDataset, *, bootstrap: int = 500) -> Report:
        """Metrics with 95 % intervals (`bootstrap` resamples) and a table per group. Raises DataError."""
        from facefeat.evaluation import evaluate

        return evaluate(self._classifier, dataset, bootstrap=bootstrap)

    def robustness(self, dataset: FaceDataset, *, bootstrap: int = 200, **options: Any) -> Robustness:
        """Its accuracy, calibration error and gaps on corrupted faces: `evaluation.robustness.measure_robustness`.

        options: `corruptions`, `severities`, `seed` and `progress`, as there. Raises InputError, DataError.
        """
        from facefeat.evaluation.robustness import measure_robustness

        return measure_robustness(
            self._classifier.predict, self.schema, dataset, self.image_size, bootstrap=bootstrap, **options
        )

    def audit(self, dataset: FaceDataset, *, bootstrap: int = 500, command: str = "", split: str = "") -> Audit:
        """What the model predicts from a data set, in full: classes, groups, calibration, mistakes, a map of latents.

        Needs the extra `audit`; `.save(folder)` writes the page, which shows `command` and `split`. Raises DataError,
        MissingExtraError.
        """
        from facefeat.evaluation.audit import part_of_training, run_audit

        about = {"model": self.name, "licence": self._metadata.licence, "command": command, "split": split}
        about["part_of_training"] = part_of_training(self._metadata.training, dataset)
        return run_audit(self._classifier, dataset, about=about, bootstrap=bootstrap)

    # ---------------------------------------------------------------- on disk

    def save(self, folder: str | Path, *, name: str | None = None, card: str | None = None) -> Path:
        """Write a preset folder atomically; an existing preset there is replaced.

        Raises InputError for a folder that holds something else or cannot be written.
        """
        from facefeat.presets.store import save_preset

        about = asdict(self._metadata) | {"name": name or self.name, "card": card or self._metadata.card}
        decoder = self.decoder if self.has_decoder else None
        directions = self.directions if self._parts.has_directions else None
        return save_preset(folder, self._classifier, decoder=decoder, directions=directions, **about)

    def export(self, path: str | Path, format: str | None = None, *, latent: bool = False) -> Exported:
        """Write the model for programs without Keras; see `export.write.export_model`, whose errors it raises."""
        from facefeat.export.write import export_model

        decoder = self.decoder if latent and self.has_decoder else None
        about = self._metadata.about()
        return export_model(self._classifier, path, format, latent=latent, decoder=decoder, about=about)

    def __reduce__(self) -> NoReturn:
        """Raises TypeError: pickle and copy cannot take the networks, which live in this process."""
        raise TypeError(
            "a FaceFeatureModel cannot be pickled or copied. Next: model.save(FOLDER), and "
            "FaceFeatureModel.from_preset(FOLDER) where the copy is needed, such as in each worker process."
        )

    def __repr__(self) -> str:
        c, about = self._classifier, f"schema={self.schema.name!r}, image_size={self.image_size}"
        parts = f"backbone={c.backbone.name!r}, head={c.head.name!r}, {about}, parameters={self.parameters:,}"
        return f"FaceFeatureModel({self.name!r}, {parts})"
