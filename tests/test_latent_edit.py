"""Editing, on a model whose answers can be reckoned by hand: what moves, what stays, when it stops, what is said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facefeat import InputError, PresetError
from facefeat.cli.edit import _next
from facefeat.latent.edit import Edit, edit
from facefeat.latent.fit_directions import directions_of
from facefeat.latent.paths import _Points, attribute_path, reading
from facefeat.latent.portraits import Portraits
from facefeat.latent.traverse import ROUNDS
from latent_fake import FEATURES, LATENT, FakeModel, another
from made import targets_of


@pytest.fixture(scope="module")
def model() -> FakeModel:
    return FakeModel()


def crops_of(model: FakeModel, n: int = 24) -> np.ndarray:
    return model.decode(model.latents[:n])


def test_years_are_added_to_what_the_head_reads(model: FakeModel) -> None:
    crops = crops_of(model)
    for step in (15, -15):
        found = edit(model, crops, {"age": step})
        wanted = np.clip(model.predict_faces(crops).age_years + step, 0, 99)
        assert found.reached.all() and np.abs(found.predictions.age_years - wanted).max() <= 2
        assert np.allclose(found.asked["age"], wanted, atol=1e-3)
        assert (np.sign(found.steps["age"]) == np.sign(step)).all()
        for name in ("gender", "race"):
            kept = found.predictions.labels[name] == found.before.labels[name]
            assert kept.mean() > 0.9, name


def test_a_class_is_read_with_nine_tenths_or_what_was_asked(model: FakeModel) -> None:
    crops = crops_of(model)
    for label in ("A", "B", "C"):
        found = edit(model, crops, {"race": label}, limit=5)  # one face has 4.3 standard deviations to go
        assert found.reached.all() and set(found.predictions.labels["race"]) == {label}
        column = found.predictions.classes["race"].index(label)
        assert found.predictions.probabilities["race"][:, column].min() > 0.8
    less, more = (edit(model, crops, {"gender": ("Female", p)}) for p in (0.5, 0.95))
    assert less.reached.all() and more.reached.all()
    assert more.predictions.probabilities["gender"][:, 1].min() >= 0.95
    assert less.steps["gender"].mean() < more.steps["gender"].mean()


def test_a_face_that_is_read_so_already_stays(model: FakeModel) -> None:
    crops = crops_of(model, 60)
    sure = model.predict_faces(crops).probabilities["gender"][:, 1] > 0.95
    found = edit(model, crops, {"gender": "female"})
    assert sure.any() and (found.steps["gender"][sure] == 0).all() and (found.crops[sure] == crops[sure]).all()


def test_several_at_once_and_positions_of_classes(model: FakeModel) -> None:
    found = edit(model, crops_of(model), {"age": 10, "gender": "Male", "race": "B", "smile": 1})
    assert found.reached.mean() > 0.9
    assert list(found.steps) == ["age", "gender", "race", "smile"] and found.values["smile"].shape == (2, 24)
    assert np.isfinite(found.latents).all()


def test_the_detail_code_never_moves(model: FakeModel) -> None:
    found = edit(model, crops_of(model), {"age": 20, "race": "C"})
    assert (found.latents[:, FEATURES:] == found.faces.latents[:, FEATURES:]).all()
    assert (found.latents[:, :FEATURES] != found.faces.latents[:, :FEATURES]).any()
    path = found.path(3, 5)
    assert (
        path.shape == (5, LATENT) and (path[0] == found.faces.latents[3]).all() and (path[-1] == found.latents[3]).all()
    )


def test_it_stops_at_the_limit_and_says_how_far_it_got() -> None:
    deaf = FakeModel(deaf=("gender",))
    found = edit(deaf, crops_of(deaf, 5), {"gender": "Female"}, limit=2.5)
    assert not found.reached.any() and np.abs(found.steps["gender"]).max() <= 2.5 + 1e-3
    assert "gender Male to Male (Female 50%): not reached" in found.sentence(0)


def test_what_to_ask_for_instead_is_said_by_what_held_the_face() -> None:
    model = FakeModel()
    crops = crops_of(model, 1)
    held = edit(model, crops, {"age": 300}, limit=0.5)
    assert not held.reached[0] and _next(held, 0.5).endswith("; or try a larger --limit")
    less = _next(held, 20)  # it was moved by far less than that: reading ended
    assert less.startswith("ask for less: its age can be read as ") and "--limit" not in less
    deaf = FakeModel(deaf=("gender",))
    assert _next(edit(deaf, crops_of(deaf, 1), {"gender": "Female"}), None) == "a larger --limit"


def test_faces_of_one_reading_are_decoded_together_and_few_times(model: FakeModel) -> None:
    crops = crops_of(model, 40)
    model.rounds = 0
    together = edit(model, crops, {"age": -20, "gender": "Female"})
    # Twice more for the points between those of the paths, for the edited faces, and for their reconstructions.
    assert model.rounds <= ROUNDS * len(set(together.before.labels["race"])) + 4
    alone = edit(model, crops[7:8], {"age": -20, "gender": "Female"})
    assert (alone.crops[0] == together.crops[7]).all() and len(edit(model, crops[:0], {"age": 3})) == 0


def test_what_was_not_asked_is_kept_though_drawing_changes_it() -> None:
    class Drifting(FakeModel):
        """Its decoder draws every face older, and nearer to race B."""

        def decode(self, latents: np.ndarray) -> np.ndarray:
            drawn = np.array(latents)
            drawn[:, 0] += 0.8
            drawn[:, 3] += 1.0
            return super().decode(drawn)

    model = Drifting()
    crops = FakeModel.decode(model, model.latents[:40])
    found = edit(model, crops, {"gender": "Female"})
    before, after = found.before, found.predictions
    assert found.reached.all()
    assert np.mean(before.labels["race"] == after.labels["race"]) > 0.9
    assert np.abs(before.age_years - after.age_years).mean() < 2.5  # it was 9.6 years


def test_what_the_latents_do_not_tell_is_not_kept_and_costs_no_edit() -> None:
    from dataclasses import replace

    model = FakeModel()
    row, d = model.directions.row("smile"), model.directions
    follow = d.follow.copy()
    follow[:, row] = 0  # no face differs along it
    model.directions = replace(d, follow=follow)
    with pytest.raises(InputError, match="cannot be changed alone"):
        edit(model, crops_of(model, 6), {"smile": 1})
    assert edit(model, crops_of(model, 6), {"gender": "Female"}).reached.all()


def test_the_result_is_json_and_a_sentence(model: FakeModel) -> None:
    import json

    found: Edit = edit(model, crops_of(model, 2), {"age": 10, "gender": "Female"})
    told = json.loads(json.dumps(found.to_dict()))
    assert told["reached"] == [True, True] and set(told) == {
        "reached",
        "asked",
        "steps",
        "ranges",
        "before",
        "predictions",
    }
    assert found.sentence(0).startswith("age ") and ": reached at +" in found.sentence(0)


@pytest.mark.parametrize("method", ["least", "orthogonal"])
def test_a_shift_raises_its_own_probe_and_no_other(model: FakeModel, method: str) -> None:
    d = model.directions
    asked = [d.row("age"), d.row("race", "B")]
    shifts, lengths = d.shifts(asked, method)
    raised = shifts @ d.weights.T.astype("float64")  # (2, R)
    assert np.allclose(raised[:, asked], np.eye(2), atol=1e-4) and (lengths > 0).all()
    others = [i for i, (a, _) in enumerate(d.probes) if a in ("gender", "smile")]
    assert np.allclose(raised[:, others], 0, atol=1e-4)


def test_the_least_shift_takes_along_what_goes_with_the_attribute(model: FakeModel) -> None:
    # Coordinate 6 follows age and is not read. Among real faces it moves with age, so an edit moves it, too.
    d, row = model.directions, [model.directions.row("age")]
    least, orthogonal = (d.shifts(row, m)[0][0] for m in ("least", "orthogonal"))
    assert least[6] / least[0] > 0.7
    # Of all shifts that change the readouts alike, it is the shortest, measured against how faces vary.
    covariance = np.cov(model.latents[:, :FEATURES].T)
    length = [np.sqrt(s @ np.linalg.solve(covariance, s)) for s in (least, orthogonal)]
    assert length[0] <= length[1] + 1e-6
    assert np.isclose(d.shifts(row)[1][0], length[0], rtol=0.1)


@settings(max_examples=25)
@given(st.lists(st.tuples(st.floats(-5, 110), st.floats(-5, 110)), min_size=1, max_size=6), st.sampled_from("ABC"))
def test_a_direction_between_means_leaves_the_other_attributes(ages: list[tuple[float, float]], race: str) -> None:
    d, schema = _MODEL.directions, _MODEL.schema
    origin, target = np.array(ages).T
    for name, start, end in (
        ("age", origin, target),
        ("race", np.array(["A", "B", "C"]), np.full(3, race)),
        ("gender", np.array(["Male", "Female"]), np.array(["Female", "Male"])),
    ):
        shifts, lengths, there = d.toward(schema[name], start, end)
        assert shifts.shape == (len(start), FEATURES) and (lengths > 0).all()
        assert (there == (start != end)).all() or name == "age"
        raised = shifts[there] @ d.weights.T.astype("float64")
        others = [i for i, (a, _) in enumerate(d.probes) if a != name]
        assert np.allclose(raised[:, others], 0, atol=1e-3)
        own = [d.row(name, "" if name == "age" else str(e)) for e in np.asarray(end)[there]]
        assert (raised[np.arange(len(own)), own] > 0).all()


def test_there_is_no_direction_from_or_to_a_class_that_the_data_did_not_have() -> None:
    race = _MODEL.schema["race"]
    labels = {k: v.copy() for k, v in _MODEL.labels.items()}
    labels["race"][labels["race"] == 2] = -1
    d = directions_of(_MODEL.latents, targets_of(_MODEL.schema, labels, _MODEL.years), _MODEL.schema, FEATURES)
    _, lengths, there = d.toward(race, np.array(["C", "A", "A"]), np.array(["A", "B", "A"]))
    assert list(there) == [False, True, False] and (lengths > 0).all()
    with pytest.raises(InputError, match="had no race C"):
        d.toward(race, np.array(["A"]), np.array(["C"]))


def test_the_direction_of_an_age_bends_where_the_means_do() -> None:
    # The young differ by coordinate 0 and the old by coordinate 1, as a child grows and a grown face wrinkles.
    rng = np.random.default_rng(0)
    years = rng.uniform(0, 99, 3000)
    z = rng.normal(0, 0.1, (3000, LATENT))
    z[:, 0] += np.minimum(years, 45) / 45
    z[:, 1] += np.maximum(years - 45, 0) / 45
    labels = {n: np.full(3000, -1) for n in _MODEL.schema.attributes}
    labels["age"] = np.digitize(years, [30, 60])
    d = directions_of(z, targets_of(_MODEL.schema, labels, years), _MODEL.schema, FEATURES)
    age = _MODEL.schema["age"]
    shifts, _, there = d.toward(age, np.array([40.0, 50.0, 95.0, 45.0]), np.array([15.0, 75.0, 99.0, 45.0]))
    assert there.all()
    turned = np.degrees(np.arctan2(shifts[:, 1], shifts[:, 0]))
    assert turned[0] < 10 and turned[1] > 80 and turned[2] > 80  # beyond the last mean it goes straight on
    assert 0.8 / 45 < shifts[1, 1] < 1.6 / 45  # years count from the middles of the classes, of the last one as a whole
    one = d.shifts([d.row("age")])[0][0]
    assert 20 < np.degrees(np.arctan2(one[1], one[0])) < 70  # one direction for all is neither


def test_more_years_are_never_read_as_fewer_and_the_range_says_where_it_ends() -> None:
    class Saturating(FakeModel):
        """Its decoder draws nobody older than 70, and beyond 1.5 standard deviations younger again."""

        def decode(self, latents: np.ndarray) -> np.ndarray:
            drawn = np.array(latents)
            drawn[:, 0] = 1.5 - np.abs(drawn[:, 0] - 1.5)
            return super().decode(drawn)

    model = Saturating()
    crops = FakeModel.decode(model, np.where(np.arange(LATENT) == 0, 0, model.latents[:6]))  # all read as 50
    years = np.stack([edit(model, crops, {"age": step}).predictions.age_years for step in (5, 12, 18, 30, 45)])
    assert (np.diff(years, axis=0) >= -1).all() and years[-1].min() > 60
    found = edit(model, crops, {"age": 45})
    low, high = found.ranges["age"]
    assert np.allclose(low, 50, atol=1) and (high < 70).all() and np.allclose(years[-1], high, atol=1.5)
    assert not found.reached.any() and "its age can be read as 50 to 6" in found.sentence(0)


def test_a_path_rises_in_what_is_read_and_keeps_the_rest(model: FakeModel) -> None:
    faces = Portraits.of(model, crops_of(model, 6))
    before = model.predict_faces(faces.crops)
    for name in ("age", "smile", "gender"):
        for i, path in enumerate(attribute_path(model, faces, name)):
            assert (np.diff(path.values) > 0).all() and path.low <= path.origin <= path.high
            assert np.allclose(path.at(path.origin)[0], faces.latents[i], atol=1e-5)
            drawn = faces.restore(model.decode(path.latents), np.full(len(path.latents), i))
            batch = model.predict_faces(drawn)
            assert np.allclose(reading(model.schema[name], batch), path.values, atol=1e-3)
            assert np.mean(batch.labels["race"] == before.labels["race"][i]) > 0.9
            assert (path.at([-1e3, 1e3]) == path.latents[[0, -1]]).all()
    with pytest.raises(InputError, match="race has 3 classes"):
        attribute_path(model, faces, "race")


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=9), st.data())
def test_the_points_of_a_path_rise_whatever_was_read(reads: list[float], data: st.DataObject) -> None:
    origin = data.draw(st.integers(0, len(reads) - 1))
    values = np.array(reads)
    points = _Points(values, values[:, None], values[:, None], np.abs(values), origin).rising(0.5)
    assert (np.diff(points.values) >= 0.5).all() and points.values[points.origin] == reads[origin]


@settings(max_examples=15)
@given(st.floats(-40, 40), st.sampled_from(["A", "B", "C"]), st.floats(0.5, 8))
def test_whatever_is_asked_it_stays_within_its_limits(step: float, race: str, limit: float) -> None:
    model = _MODEL
    found = edit(model, crops_of(model, 6), {"age": step, "race": race}, limit=limit)
    assert all(np.abs(s).max() <= limit * 1.001 for s in found.steps.values())
    assert (found.crops == model.decode(found.latents)).all()  # what is shown is what the latents hold
    after = found.predictions
    near = np.abs(after.age_years - found.asked["age"]) <= 2
    assert (found.reached == (near & (after.labels["race"] == race) & (_p(after, race) >= 0.5))).all()


_MODEL = FakeModel()


def _p(batch: Any, race: str) -> np.ndarray:
    return batch.probabilities["race"][:, batch.classes["race"].index(race)]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "nothing to change"),
        ({"hair": 1}, "no such attribute"),
        ({"race": "D"}, "no such race"),
        ({"race": 2}, "race takes a class"),
        ({"race": ("A", 1.5)}, "over 0 and under 1"),
        ({"race": ("A", "much")}, "over 0 and under 1"),
        ({"age": "Female"}, "age takes a step in years"),
        ({"age": float("nan")}, "age takes a step in years"),
        ({"age": True}, "age takes a step in years"),
        ({"smile": None}, "smile takes a step in classes"),
    ],
)
def test_what_cannot_be_asked_is_said(model: FakeModel, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        edit(model, crops_of(model, 1), changes)


def test_what_the_model_lacks_is_said(model: FakeModel) -> None:
    crops = crops_of(model, 1)
    with pytest.raises(PresetError, match="no decoder"):
        edit(another(model), crops, {"age": 5})
    with pytest.raises(InputError, match="no such method"):
        edit(model, crops, {"age": 5}, method="shortest")
    with pytest.raises(InputError, match="limit must be"):
        edit(model, crops, {"age": 5}, limit=float("nan"))
    some = FakeModel()
    some.directions = type(some.directions)(
        **{**vars(some.directions), "probes": (("age", ""),), "weights": some.directions.weights[:1]}
    )
    with pytest.raises(InputError, match="had no race B"):
        edit(some, crops, {"race": "B"})


def test_the_mean_of_a_class_that_is_often_mistaken_is_of_the_faces_that_are_not() -> None:
    # Seven in ten faces of C look like A's, so the mean of all of them is an A.
    rng = np.random.default_rng(0)
    race = np.repeat([0, 1, 2], [1000, 1000, 500])
    middle = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])[np.where((race == 2) & (rng.random(2500) < 0.7), 0, race)]
    z = rng.normal(0, 0.5, (2500, LATENT))
    z[:, :2] += middle
    labels = {n: np.full(2500, -1) for n in _MODEL.schema.attributes} | {"race": race}
    d = directions_of(z, targets_of(_MODEL.schema, labels), _MODEL.schema, FEATURES)
    assert z[race == 2, 1].mean() < 1.5 < 3 < d.group_mean("race", "C")[1]
    rows = [d.row("race", c) for c in "ABC"]
    assert np.argmax(d.values(d.group_mean("race", "C")[None])[:, rows]) == 2
    for k, name in enumerate("AB"):
        assert np.allclose(d.group_mean("race", name)[:2], z[race == k, :2].mean(axis=0), atol=0.2)
