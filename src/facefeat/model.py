"""`FaceFeatureModel`: the one object that users hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facefeat.errors import DataError, ImageError, InputError, did_you_mean
from facefeat.types import Face, FaceBatch, ImageResult

if TYPE_CHECKING:
    import os

    from facefeat.classifier import Classifier
    from facefeat.component import Detector
    from facefeat.data import FaceDataset
    from facefeat.evaluation import Report
    from facefeat.evaluation.audit import Audit
    from facefeat.schema import Schema
    from facefeat.training.recipe import Recipe
    from facefeat.training.trainer import TrainingLog, TrainingReporter
    from facefeat.types import Alignment, Analysis, FloatArray, ImageLike, UInt8Array

PHOTOS_AT_ONCE = 16
"""Photos decoded and detected together: enough for the detector's batches, few enough for memory."""


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
        head: str = "three-head",
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
        alignment: a name of `facefeat.image.ALIGNMENTS`, or an Alignment.

        Raises UnknownComponentError, MissingExtraError, SchemaError, or InputError for a value that is not valid.
        """
        from facefeat.classifier import Classifier
        from facefeat.image import ALIGNMENTS
        from facefeat.schema import get_schema
        from facefeat.types import Alignment

        if not isinstance(alignment, Alignment):
            if alignment not in ALIGNMENTS:
                raise InputError(f"no such alignment. {did_you_mean(str(alignment), ALIGNMENTS)}")
            alignment = ALIGNMENTS[alignment]
        self._classifier = Classifier.build(
            schema=get_schema(schema),
            image_size=image_size,
            alignment=alignment,
            backbone=backbone,
            head=head,
            backbone_config=backbone_config,
            head_config=head_config,
        )
        self._set_detector(detector, detector_config)
        self._info: dict[str, Any] = {"name": "untrained", "summary": "", "licence": ""}
        self._training: TrainingLog | None = None

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
        from facefeat.preset import find_preset, load_classifier

        classifier, config = load_classifier(find_preset(None if preset is None else str(preset)))
        return cls._of(classifier, config, detector, detector_config)

    @classmethod
    def from_recipe(
        cls,
        recipe: str | Path | Recipe,
        *,
        detector: str = "mtcnn",
        detector_config: Mapping[str, Any] | None = None,
    ) -> FaceFeatureModel:
        """The untrained model that a recipe describes; its initial weights follow from the seed. Raises RecipeError."""
        from facefeat.training import build_classifier, load_recipe

        r = load_recipe(recipe)
        return cls._of(build_classifier(r), {"name": r.name, "summary": r.summary}, detector, detector_config)

    @classmethod
    def _of(
        cls, classifier: Classifier, info: Mapping[str, Any], detector: str, config: Mapping[str, Any] | None
    ) -> FaceFeatureModel:
        model = cls.__new__(cls)
        model._classifier = classifier
        model._set_detector(detector, config)
        model._info = {k: info.get(k, "") for k in ("name", "summary", "licence")}
        model._training = None
        return model

    def _set_detector(self, name: str, config: Mapping[str, Any] | None) -> None:
        from facefeat.registry import get_registry

        get_registry().get("detector", name)
        self._detector_name, self._detector_config = name, dict(config or {})
        self._detector: Detector | None = None

    @property
    def name(self) -> str:
        """The preset's or recipe's name; "untrained" without one."""
        return str(self._info["name"])

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
        """D, the width of a latent."""
        return self._classifier.latent_dim

    @property
    def parameters(self) -> int:
        """Weights of backbone and head together."""
        return self._classifier.parameters

    @property
    def detector(self) -> Detector:
        """The face detector, built at first use."""
        if self._detector is None:
            from facefeat.registry import get_registry

            self._detector = get_registry().build("detector", self._detector_name, **self._detector_config)
        return self._detector

    def predict(self, images: ImageLike | Sequence[ImageLike]) -> Any:
        """Every face of an image, with its attributes.

        images: one image (a path, bytes, PIL image or (H, W, 3) uint8 RGB array), or a list of them.
        Returns an ImageResult for one image, and for a list one ImageResult each, in order. A bad image in a list is
        a result with `.error` set; alone, it raises ImageError.
        """
        if _is_one(images):
            result = self._predict_some([images])[0]  # type: ignore[list-item]
            if result.error is not None:
                raise ImageError(result.error)
            return result
        listed = _as_list(images)
        results: list[ImageResult] = []
        for start in range(0, len(listed), PHOTOS_AT_ONCE):
            results += self._predict_some(listed[start : start + PHOTOS_AT_ONCE], first=start)
        return results

    def _predict_some(self, images: Sequence[ImageLike], first: int = 0) -> list[ImageResult]:
        import numpy as np

        from facefeat.image import align_face, open_image
        from facefeat.readout import face_result

        opened: dict[int, UInt8Array] = {}
        errors: dict[int, str] = {}
        for i, image in enumerate(images):
            try:
                opened[i] = open_image(image)
            except ImageError as e:
                errors[i] = str(e)
        found = dict(zip(opened, self.detector.detect_batch(list(opened.values())), strict=True))
        crops = [align_face(opened[i], f, self.alignment, self.image_size) for i, faces in found.items() for f in faces]
        batch = self._classifier.predict(np.stack(crops)) if crops else None
        results, row = [], 0
        for i, image in enumerate(images):
            source = _source(image, first + i)
            if i in errors:
                results.append(ImageResult(source, error=errors[i]))
                continue
            faces = []
            for face in found[i]:
                assert batch is not None
                with_crop = Face(face.box, face.score, face.landmarks, crops[row])
                faces.append(face_result(with_crop, batch, row))
                row += 1
            height, width = opened[i].shape[:2]
            results.append(ImageResult(source, tuple(faces), (width, height)))
        return results

    def align(self, images: ImageLike | Sequence[ImageLike]) -> UInt8Array:
        """(N, S, S, 3) uint8 crops: the largest face of each image, or the whole image where none is found.

        Raises ImageError for an image that cannot be read.
        """
        import numpy as np

        from facefeat.image import align_face, open_image

        listed = [images] if _is_one(images) else _as_list(images)
        crops = []
        for start in range(0, len(listed), PHOTOS_AT_ONCE):
            opened = [open_image(i) for i in listed[start : start + PHOTOS_AT_ONCE]]  # type: ignore[arg-type]
            for image, faces in zip(opened, self.detector.detect_batch(opened), strict=True):
                height, width = image.shape[:2]
                face = faces[0] if faces else Face((0, 0, width, height))
                crops.append(align_face(image, face, self.alignment, self.image_size))
        s = self.image_size
        return np.stack(crops) if crops else np.zeros((0, s, s, 3), "uint8")

    def predict_faces(self, crops: UInt8Array) -> FaceBatch:
        """Predictions for crops that are already aligned; no detector runs.

        crops: (N, H, W, 3) uint8, of any size; resized to (N, S, S, 3). Raises InputError for anything else.
        """
        return self._classifier.predict(self._crops(crops))

    def encode(self, crops: UInt8Array) -> FloatArray:
        """(N, H, W, 3) uint8 crops -> (N, D) float32 latents. Raises InputError as `predict_faces`."""
        return self._classifier.encode(self._crops(crops))

    def _crops(self, crops: UInt8Array) -> UInt8Array:
        from facefeat.image import check_crops, resize_crops

        checked = check_crops(crops)
        s = self.image_size
        return checked if checked.shape[1:3] == (s, s) else resize_crops(checked, s)

    def fit(
        self,
        train: FaceDataset,
        validation: FaceDataset,
        recipe: str | Path | Recipe,
        *,
        folder: str | Path | None = None,
        resume: bool = False,
        reporter: TrainingReporter | None = None,
    ) -> TrainingLog:
        """Train in place on `train`, choosing the epoch and the temperatures on `validation`.

        recipe: loop, augmentation and losses (its backbone and head are those of this model already).
        folder: where checkpoints go; resume: go on from them. Raises TrainingError, RecipeError, DataError.
        """
        from facefeat.training import load_recipe
        from facefeat.training import train as run

        r = load_recipe(recipe)
        if r.image_size != self.image_size:
            raise InputError(f"the recipe has image_size {r.image_size}, the model {self.image_size}.")
        for dataset in (train, validation):
            self._check_schema(dataset)
        log = run(self._classifier, train, validation, r, folder=folder, resume=resume, reporter=reporter)
        self._training = log
        self._info["licence"] = train.licence
        return log

    def evaluate(self, dataset: FaceDataset, *, bootstrap: int = 500) -> Report:
        """Metrics with 95 % intervals (`bootstrap` resamples) and a table per group. Raises DataError."""
        from facefeat.evaluation import evaluate

        self._check_schema(dataset)
        return evaluate(self._classifier, dataset, bootstrap=bootstrap)

    def audit(self, dataset: FaceDataset, *, bootstrap: int = 500, command: str = "", split: str = "") -> Audit:
        """How the model reads a data set, in full: classes, groups, calibration, mistakes, a map of its latents.

        Needs the extra `audit`; `.save(folder)` writes the page. command and split: told there. Raises DataError,
        MissingExtraError.
        """
        from facefeat import __version__
        from facefeat.evaluation.audit import run_audit

        self._check_schema(dataset)
        about = {"model": self.name, "licence": self._info["licence"], "version": __version__}
        return run_audit(
            self._classifier, dataset, about={**about, "command": command, "split": split}, bootstrap=bootstrap
        )

    def analyze(self, dataset: FaceDataset, analyzer: str, **config: Any) -> Analysis:
        """Study the latents of a data set: an analyzer's name (`facefeat plugins`) and its settings.

        Raises UnknownComponentError, MissingExtraError, InputError for a setting, DataError.
        """
        from facefeat.latent.analyze import run_analyzer

        self._check_schema(dataset)
        return run_analyzer(self, dataset, analyzer, config)

    def predict_without(self, crops: UInt8Array, coordinates: Sequence[int], at: FloatArray) -> FaceBatch:
        """`predict_faces` by a head that does not see these coordinates of the latent: they are held at `at` (D,)."""
        return self._classifier.predict_without(self._crops(crops), coordinates, at)

    def _check_schema(self, dataset: FaceDataset) -> None:
        ours = {n: a.classes for n, a in self.schema.attributes.items()}
        theirs = {n: a.classes for n, a in dataset.schema.attributes.items()}
        if ours != theirs:
            raise DataError(
                f"the data set {dataset.name!r} has the schema {dataset.schema.name!r}, the model "
                f"{self.schema.name!r}: {theirs} is not {ours}. Import the data with the model's schema."
            )

    def save(self, folder: str | Path, *, name: str | None = None, card: str | None = None) -> Path:
        """Write a preset folder, whole or not at all; an existing preset there is replaced.

        Raises InputError for a folder that holds something else or cannot be written.
        """
        from facefeat.preset import save_preset

        return save_preset(
            folder,
            self._classifier,
            name=name or self.name,
            summary=self._info["summary"],
            licence=self._info["licence"],
            card=card,
            training=self._training.to_dict() if self._training else None,
        )

    def __repr__(self) -> str:
        c = self._classifier
        return (
            f"FaceFeatureModel({self.name!r}, backbone={c.backbone.name!r}, head={c.head.name!r}, "
            f"schema={self.schema.name!r}, image_size={self.image_size}, parameters={self.parameters:,})"
        )


def _is_one(images: Any) -> bool:
    """Whether this is one image rather than a list of them."""
    import numpy as np

    if isinstance(images, np.ndarray):
        return images.ndim != 4
    return isinstance(images, str | bytes | bytearray) or not isinstance(images, Iterable)


def _as_list(images: Any) -> list[Any]:
    return list(images)


def _source(image: Any, index: int) -> str:
    if isinstance(image, str | Path) or hasattr(image, "__fspath__"):
        return str(image)
    return f"image {index}"
