"""The quality of a face: signals, reasons, softer probabilities of poor faces, and where it shows up in results."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from facefeat import SchemaError
from facefeat.evaluation.calibration import calibrate_logits, corrupted, fit_quality
from facefeat.image.corrupt import corrupt
from facefeat.image.quality import SIGNALS, TERMS, QualityReader, signals_of
from facefeat.networks.postprocess import SOFTENING, Calibration, abstain, face_result, read_logits
from facefeat.plugins.kinds import say
from facefeat.schema import Schema, get_schema
from facefeat.types import Face, FaceBatch, FaceResult, Qualities

UTK = get_schema("utkface")
READER = QualityReader()


@pytest.fixture(scope="module")
def portrait(repo: Path) -> np.ndarray:
    photo = Image.open(repo / "docs" / "assets" / "portrait.jpg").convert("RGB")
    return np.asarray(photo.crop((170, 65, 275, 170)).resize((112, 112)))


def face(side: float = 200, nose: float = 0.5, score: float = 0.95) -> Face:
    marks = np.array([[0.3, 0.3], [0.7, 0.3], [nose, 0.5], [0.35, 0.7], [0.65, 0.7]], "float32") * side
    return Face((0, 0, side, side), score, marks)


POOR = """
defocus-blur 1.0 blurred
low-resolution 0.8 blurred
dark 0.8 too dark
bright 1.0 too bright
haze 1.0 too little contrast
noise 0.9 noisy
"""


@pytest.mark.parametrize("line", POOR.strip().splitlines())
def test_a_poor_picture_has_less_quality_and_says_why(portrait: np.ndarray, line: str) -> None:
    name, severity, reason = line.split(" ", 2)
    good, poor = (READER.of(c[None], [face()]).row(0) for c in (portrait, corrupt(portrait, name, float(severity))))
    assert good.value > 0.9 and good.reasons == ()
    assert poor.value < good.value and reason in poor.reasons


@pytest.mark.parametrize(
    ("found", "reason"),
    [(face(30), "too small"), (face(nose=0.85), "turned away"), (face(score=0.35), "hardly a face")],
)
def test_where_a_face_was_found_counts(portrait: np.ndarray, found: Face, reason: str) -> None:
    good, poor = (READER.of(portrait[None], [f]).row(0) for f in (face(), found))
    assert poor.value < good.value and poor.reasons == (reason,)
    alone = READER.of(portrait[None]).row(0)
    assert alone.value == pytest.approx(good.value) and alone.signals["pose"] is None


def test_a_tilted_head_is_not_turned_away(portrait: np.ndarray) -> None:
    cos, sin = np.cos(0.6), np.sin(0.6)
    turned = face().landmarks @ np.array([[cos, sin], [-sin, cos]], "float32")  # type: ignore[operator]
    tilted = replace(face(), landmarks=turned)
    assert READER.of(portrait[None], [tilted]).row(0).reasons == ()


@settings(max_examples=40, deadline=None)
@given(arrays(np.uint8, st.tuples(st.integers(0, 3), st.just(9), st.just(9), st.just(3))))
def test_any_crop_has_a_quality(crops: np.ndarray) -> None:
    found = READER.of(crops)
    assert found.values.shape == found.reasons.shape == (len(crops),) and found.signals.shape == (len(crops), 6)
    assert ((found.values >= 0) & (found.values <= 1)).all()


def test_a_reader_comes_back_from_json_and_refuses_what_is_none() -> None:
    stored = json.loads(json.dumps(replace(READER, unsure_below=0.4, measured={"faces": 9}).to_dict()))
    assert QualityReader.from_dict(stored) == replace(READER, unsure_below=0.4, measured={"faces": 9})
    for key, value in (("intercept", "x"), ("unsure_below", 2), ("terms", [{**stored["terms"][0], "signal": "smell"}])):
        with pytest.raises((KeyError, TypeError, ValueError)):
            QualityReader.from_dict({**stored, key: value})


def test_poor_faces_are_read_with_less_confidence_and_a_wider_age_interval() -> None:
    rng = np.random.default_rng(0)
    logits = {n: 3 * rng.normal(size=(2, a.outputs)) for n, a in UTK.attributes.items()}
    logits = {n: np.stack([z[0], z[0]]) for n, z in logits.items()}
    levels = {"interval": {"coverage": 0.9, "low": 0.05, "high": 0.95}}
    soft = Calibration({n: {SOFTENING: 1.5, **(levels if n == "age" else {})} for n in UTK.attributes})
    quality = Qualities(
        np.array([1.0, 0.2], "float32"), np.array(["", "too dark"]), np.zeros((2, 6), "float32"), SIGNALS
    )
    batch = read_logits(UTK, logits, soft, quality)
    plain = read_logits(UTK, logits, Calibration({"age": levels}))
    for name, answers in batch.answers.items():
        assert answers.labels[0] == plain.answers[name].labels[0]
        np.testing.assert_allclose(answers.probabilities[0], plain.answers[name].probabilities[0], rtol=1e-5)
        assert answers.confidence is not None and answers.confidence[1] < answers.confidence[0]
    width = np.diff(batch.intervals["age"], axis=1).ravel()
    assert width[1] > width[0]
    assert list(batch.columns())[-2:] == ["quality", "quality_reasons"]
    joined = FaceBatch.join([batch, batch])
    assert joined.quality is not None and len(joined.quality.values) == 4


def unsure(threshold: float) -> FaceResult:
    logits = {n: np.eye(a.outputs)[:1] * 9 for n, a in UTK.attributes.items()}
    found = Qualities(np.array([0.3], "float32"), np.array(["too dark, blurred"]), np.zeros((1, 6)), SIGNALS, threshold)
    return face_result(face(), read_logits(UTK, logits, quality=found), 0)


def test_below_the_threshold_the_answer_is_unsure_and_says_why() -> None:
    sure, result = unsure(0.2), unsure(0.5)
    assert not any(p.abstained for p in sure.attributes.values())
    assert all(p.label == "unsure" and p.why == "too dark, blurred" for p in result.attributes.values())
    assert say("gender", result.attributes["gender"]).text == "unsure (too dark, blurred)"
    assert "(unsure: too dark, blurred)" in say("age", result.attributes["age"]).text
    assert abstain(sure, min_quality=0.4).attributes == result.attributes and abstain(sure) is sure
    stored = json.loads(json.dumps(result.to_dict()))
    assert stored["quality"]["value"] == 0.3 and stored["quality"]["reasons"] == ["too dark", "blurred"]
    assert stored["attributes"]["race"]["why"] == "too dark, blurred"
    assert result.columns()["quality"] == 0.3 and result.columns()["quality_reasons"] == "too dark, blurred"


def test_what_is_fitted_follows_the_faces(portrait: np.ndarray) -> None:
    # Faces whose answers are right as often as their light allows: the fit must find that, and soften by it.
    rng = np.random.default_rng(1)
    n = 1500
    signals = np.full((n, 6), np.nan, "float32")
    signals[:, 2] = rng.uniform(0.02, 0.6, n)
    signals[:, 0] = rng.uniform(-5, -2, n)  # means nothing here
    truth = rng.integers(0, 2, n)
    clear = np.where(signals[:, 2] > 0.2, 4.0, np.clip(signals[:, 2] - 0.03, 0, 1) * 5)
    logits = {a: np.zeros((n, x.outputs)) for a, x in UTK.attributes.items()}
    logits["gender"] = rng.normal(size=(n, 2)) + (2 * np.eye(2)[truth] - 1) * clear[:, None]
    logits["gender"] *= np.where(signals[:, 2] > 0.2, 1.0, 4.0)[:, None]  # sure of itself where it should not be
    none = {a: np.full((n, 2 if a == "age" else 1), np.nan, "float32") for a in UTK.attributes}
    targets = {**none, "gender": truth[:, None].astype("float32")}
    reader = fit_quality(UTK, logits, targets, signals, unsure_below=0.6)
    weights = {t.reason: t.weight for t in reader.terms}
    assert weights["too dark"] > 3 * weights["blurred"] and weights["turned away"] == TERMS[-2].weight
    assert reader.measured["held_out_right_in_the_worst_fifth"] < reader.measured["held_out_right_in_the_best_fifth"]
    values = reader.read(signals).values
    found = calibrate_logits(UTK, logits, targets, values, reader=reader)
    assert found.of("gender")[SOFTENING] > 0.5 and found.quality.unsure_below == 0.6
    again = Calibration.from_dict(json.loads(json.dumps(found.to_dict())), UTK)
    assert again.of("gender")[SOFTENING] == found.of("gender")[SOFTENING]
    with pytest.raises(ValueError, match="the softening of gender"):
        Calibration.from_dict({"gender": {"temperature": 1.0, SOFTENING: -1}}, UTK)


def test_corrupted_faces_are_the_same_by_seed_and_all_differ(portrait: np.ndarray) -> None:
    crops = np.repeat(portrait[None, ::4, ::4], 30, axis=0)
    poor = corrupted(crops, seed=2)
    assert (poor == corrupted(crops, seed=2)).all() and (poor != corrupted(crops, seed=3)).any()
    assert (poor != crops).any(axis=(1, 2, 3)).mean() > 0.9
    assert signals_of(poor).shape == (30, 6)


def read(age: float, race: str, sure: float = 9.0, rest: bool = False) -> FaceResult:
    logits = {n: np.zeros((1, a.outputs), "float32") for n, a in UTK.attributes.items()}
    logits["age"][0, round(age)] = 20
    logits["race"][0, UTK["race"].classes.index(race)] = sure
    logits["gender"][0, 0] = 9
    calibration = Calibration.from_dict({"race": {"rest_recall": 0.3}}, UTK) if rest else None
    return face_result(face(), read_logits(UTK, logits, calibration), 0)


def test_results_say_what_they_cannot() -> None:
    assert read(30, "White").notes == ()
    (baby,) = read(1, "White").notes
    assert baby.startswith("gender at age 0-2 is little better than a guess")
    (doubt,) = read(30, "White", sure=0.3).notes
    assert "cannot say Latino or Middle Eastern" in doubt and "White, Black, Asian, Indian, Others" in doubt
    assert json.loads(json.dumps(read(1, "White").to_dict()))["notes"] == [baby]


def test_a_class_of_the_rest_that_is_hardly_found_is_an_abstention() -> None:
    assert read(30, "Others").attributes["race"].label == "Others"
    result = read(30, "Others", rest=True).attributes["race"]
    assert result.label == "unsure" and result.why == "probably none of White, Black, Asian, Indian"
    assert read(30, "Indian", rest=True).attributes["race"].label == "Indian"


def test_cautions_of_a_schema_are_data_and_change_no_meaning() -> None:
    stored = UTK.to_dict()["attributes"]
    assert stored["race"]["missing"] == ["Latino", "Middle Eastern"] and stored["gender"]["unclear"] == {"age": ["0-2"]}
    bare = {n: {k: v for k, v in a.items() if k not in ("missing", "rest", "unclear")} for n, a in stored.items()}
    assert Schema.from_dict({"name": "utkface", "attributes": bare}).meaning == UTK.meaning
    assert Schema.from_dict(UTK.to_dict()) == UTK
    for key, value in (("rest", "Other"), ("rest", 3), ("missing", "Latino"), ("unclear", {"age": "0-2"})):
        with pytest.raises(SchemaError, match=key):
            Schema.from_dict({"name": "x", "attributes": {"race": {**bare["race"], key: value}}})
