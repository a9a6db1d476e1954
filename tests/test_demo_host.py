"""The one model of the demo and what is around it: turned photos, a model that is changed, faces of a data set."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from demo_preset import preset_with_decoder
from facefeat import Analysis, Component, DataError, InputError, PresetError
from facefeat.data import FaceDataset
from facefeat.testing import registered, toy_crops, toy_image
from facefeat_demo import cards, editing, exploring, face_picker, host, map_view
from facefeat_demo.editing import CHANGED, Request
from facefeat_demo.exploring import Atlas, Point
from facefeat_demo.host import Host
from facefeat_demo.photos import Kept
from facefeat_demo.tabs import edit, explore, models, morph
from made import squares


def jpeg(pixels: np.ndarray) -> bytes:
    made = io.BytesIO()
    Image.fromarray(pixels).save(made, "jpeg")
    return made.getvalue()


@pytest.fixture(scope="module")
def presets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of presets with a space in its name, as a person may have."""
    folder = tmp_path_factory.mktemp("my presets")
    preset_with_decoder(folder / "drawing")
    return folder


@pytest.fixture(scope="module")
def here(presets: Path) -> Host:
    return Host(str(presets / "drawing"), presets, "whole-image")


def test_other_tabs_are_prepared_once_somebody_has_opened_the_page(
    presets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    class Timer:
        def __init__(self, seconds: float, call: Any) -> None:
            asked.append(seconds)
            self.daemon, self.call = False, call

        def start(self) -> None: ...

        def cancel(self) -> None: ...

    monkeypatch.setattr(host.threading, "Timer", Timer)
    mine = Host(str(presets / "drawing"), presets, "whole-image")
    mine.opened()
    assert asked == [] and mine.moving_picture(wait=5) == ""  # a host that makes nothing ahead keeps nobody waiting
    mine.warm_up()
    mine.opened()
    mine.opened()
    assert asked == [60.0, 1.0]


# ---------------------------------------------------------------- photos that lie on their side


@pytest.fixture
def upright_only(here: Host, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """Faces are found where the dark band of a photo is at its top alone; less surely where it is at the bottom."""
    read = here.model.predict

    def look(image: np.ndarray, result: Any) -> Any:
        ends = {"top": image[:4], "bottom": image[-4:]}
        dark = [name for name, end in ends.items() if end.mean() < 40]
        score = {"top": 0.99, "bottom": 0.95}.get(dark[0], 0.0) if len(dark) == 1 else 0.0
        faces = tuple(replace(f, face=replace(f.face, score=score)) for f in result.faces)
        return replace(result, faces=faces if score else ())

    def predict(images: Any) -> Any:
        if isinstance(images, list):
            return [look(*pair) for pair in zip(images, read(images), strict=True)]
        return look(images, read(images))

    monkeypatch.setattr(here.model, "predict", predict)
    yield here


def banded() -> np.ndarray:
    """(60, 80, 3), dark at its top."""
    picture = np.full((60, 80, 3), 200, "uint8")
    picture[:8] = 0
    return picture


@pytest.mark.parametrize(("quarters", "degrees", "way"), [(3, 90, "to the left"), (1, 270, "to the right")])
def test_a_photo_on_its_side_is_turned_and_that_is_said(
    upright_only: Host, quarters: int, degrees: int, way: str
) -> None:
    lying = jpeg(np.rot90(banded(), quarters))
    straight, turned, faceless = upright_only.predict([jpeg(banded()), lying, jpeg(toy_image(60, 80) // 4 + 128)])
    assert (straight.turned, len(straight.faces)) == (0, 1)
    assert (turned.turned, len(turned.faces), turned.size) == (degrees, 1, (80, 60))
    assert turned.pixels is not None and turned.pixels[:4].mean() < 40 and turned.to_dict()["turned"] == degrees
    assert f"turned a quarter {way}" in cards.page(turned) and "1 face found" in cards.page(turned)
    assert "turned" not in cards.page(straight)
    assert not faceless.faces and "may need to be turned" in cards.page(faceless)

    shown, _, state = face_picker.find(lying, upright_only)
    assert shown.count("<img") == 1 and f"turned a quarter {way}" in shown and "turned" in face_picker.strip(state)
    assert "may need to be turned" in face_picker.find(jpeg(toy_image(60, 80) // 4 + 128), upright_only)[0]


def test_large_photos_are_read_a_few_at_a_time(here: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    read = here.model.predict

    def predict(images: Any) -> Any:
        asked.append(len(images))
        return read(images)

    monkeypatch.setattr(here.model, "predict", predict)
    monkeypatch.setattr(host, "PIXELS_AT_ONCE", 60 * 80 + 1)
    photos = [jpeg(toy_image(60, 80, i)) for i in range(3)]
    results = here.predict([photos[0], b"none", *photos[1:]])
    assert asked == [2, 1] and [bool(r.error) for r in results] == [False, True, False, False]


# ---------------------------------------------------------------- a model that is changed


def test_a_face_that_was_begun_with_another_model_is_not_moved(presets: Path) -> None:
    mine = Host(str(presets / "drawing"), presets, "whole-image")
    start = editing.begin(mine.model, toy_crops(1, 32)[0])
    _, _, state = face_picker.find(jpeg(toy_image(60, 80)), mine)
    assert face_picker.crop_of(state, mine).shape == (32, 32, 3)
    assert face_picker.crop_of(state, mine, "large").shape == (256, 256, 3)
    point = mine.atlas.stamp if mine.atlas else ""
    assert "The average of" in explore.at_point(mine, 0, point)

    mine.use("drawing")
    age, gender, _ = editing.controls(mine.model)
    for ask in (
        lambda: editing.move(mine.model, start, Request()),
        lambda: editing.edit(mine.model, start, Request({"age": ("", 9)})),
        lambda: editing.grid(mine.model, start, Request(), age, gender),
        lambda: face_picker.crop_of(state, mine),
    ):
        with pytest.raises(InputError) as said:
            ask()
        assert str(said.value) == CHANGED
    assert "The model was changed" in explore.at_point(mine, 0, point)
    again = editing.begin(mine.model, start.face.crops[0])
    assert (editing.move(mine.model, again, Request()).picture == again.face.crops[0]).all()


def slider_values(host: Host, start: editing.Start) -> list[Any]:
    """Of all sliders, as they are when a face is opened."""
    return [update["value"] for update in edit.opened(start, host)[6 + edit.ATTRIBUTES :]]


def test_faces_are_numbered_from_left_to_right(here: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    read = here.model.predict

    def three(images: Any) -> Any:
        (result,) = read(images)
        (one,) = result.faces
        boxes = [(50.0, 0.0, 80.0, 40.0), (0.0, 10.0, 20.0, 30.0), (25.0, 0.0, 40.0, 20.0)]
        return [replace(result, faces=tuple(replace(one, face=replace(one.face, box=b)) for b in boxes))]

    monkeypatch.setattr(here.model, "predict", three)
    (result,) = here.predict([jpeg(toy_image(60, 80))])
    assert [f.box[0] for f in result.faces] == [0, 25, 50] and len(result.looks) == 3


def test_no_event_of_the_page_takes_faces_of_another_model(presets: Path) -> None:
    mine = Host(str(presets / "drawing"), presets, "whole-image")
    start = editing.begin(mine.model, toy_crops(1, 32)[0])
    _, _, state = face_picker.find(jpeg(toy_image(60, 80)), mine)
    with gr.Blocks(analytics_enabled=False) as page:
        edit.build(mine, Kept())
        morph.build(mine, Kept())
    mine.use("drawing")
    values = slider_values(mine, editing.begin(mine.model, start.face.crops[0]))
    calls = {
        "began": [state, None],
        "every_age": [start, ""],
        "edited": [start, *values],
        "drawn": [start, "age", "gender", *values],
        "back": [start],
        "morph": [12, "linear", state, state],
    }
    asked = {fn.fn.__name__: fn.fn for fn in page.fns.values() if fn.fn and fn.fn.__name__ in calls}
    assert set(asked) == set(calls)
    for name, given in calls.items():
        with pytest.raises(gr.Error, match="The model was changed"):
            answer = asked[name](*given)
            list(answer)  # one that comes in steps begins only now
    assert "The model was changed" in edit.moved(mine, {"face": start.key, "values": values})["table"]
    assert "The model was changed" in edit.row_of(mine, {"face": start.key})["error"]


def test_no_folder_of_the_machine_is_told_to_visitors(presets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(presets.parent)
    mine = Host(str(presets / "drawing"), Path(presets.name), "whole-image")
    bad = preset_with_decoder(presets / "damaged", decoder=False)
    (bad / "head.weights.h5").write_bytes(b"x")
    with pytest.raises(PresetError) as raised:
        mine.use("damaged")
    assert str(presets) in str(raised.value)
    assert str(presets.parent) not in mine.said(raised.value) and "damaged" in mine.said(raised.value)

    with gr.Blocks(analytics_enabled=False) as page:
        models.build(mine, Kept())
    (change,) = [fn.fn for fn in page.fns.values() if fn.fn and fn.fn.__name__ == "change"]
    with pytest.raises(gr.Error) as told:
        change("damaged")
    assert str(presets.parent) not in told.value.message and "damaged" in told.value.message

    def fails(kind: str, name: str) -> str:
        raise PresetError(f"{str(bad)!r} has no weights; see {bad}/config.json")

    registry = SimpleNamespace(names=lambda kind: ["x"], build=fails)
    monkeypatch.setattr(models, "get_registry", lambda: registry)
    card = models.card_of("x", mine)
    assert "cannot be read" in card and "config.json" in card and str(presets.parent) not in card
    assert "Size of the classifier" in models.in_use(mine)


# ---------------------------------------------------------------- faces of a data set


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return squares(tmp_path_factory.mktemp("data"), 12)


def test_only_the_faces_that_are_searched_are_decoded(
    presets: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(exploring, "SEARCHED", 7)
    monkeypatch.setattr(FaceDataset, "crops", lambda *args: pytest.fail("the whole data set is decoded"))
    atlas = Host(str(presets / "drawing"), None, "whole-image", table, said.append).atlas
    assert atlas is not None and atlas.crops is not None and len(atlas.points) == len(atlas.crops) == 7
    assert said == ["Reading 7 of the 12 faces of faces ..."]

    def none(*args: Any) -> dict[int, Any]:
        return {}

    monkeypatch.setattr(exploring, "read_rows", none)
    with pytest.raises(DataError, match="none of 7 pictures"):
        Host(str(presets / "drawing"), None, "whole-image", table)


def test_a_face_that_cannot_be_read_is_left_out_with_its_labels(presets: Path, tmp_path: Path) -> None:
    table = squares(tmp_path, 8)
    (tmp_path / "3.png").write_bytes(b"no picture")
    whole = Host(str(presets / "drawing"), None, "whole-image", squares(tmp_path / "whole", 8)).atlas
    atlas = Host(str(presets / "drawing"), None, "whole-image", table).atlas
    assert atlas is not None and whole is not None and whole.crops is not None and atlas.crops is not None
    known = {crop.tobytes(): point for crop, point in zip(whole.crops, whole.points, strict=True)}
    assert len(atlas.points) == 7
    assert [known[crop.tobytes()] for crop in atlas.crops] == list(atlas.points)


def test_a_point_has_its_five_neighbours(presets: Path, table: Path) -> None:
    explored = Host(str(presets / "drawing"), None, "whole-image", table)
    atlas = explored.atlas
    assert atlas is not None
    shown = explore.at_point(explored, 3)
    assert shown.count("A real face near it") == explore.NEAREST and "Nearest of the 12 faces" in shown
    near = [i for i in atlas.nearest(atlas.latents[3], 6) if i != 3]
    places = [shown.index(f"A real face near it, labelled {atlas.points[i].name}") for i in near]
    assert places == sorted(places)
    assert f'data-of="{atlas.stamp}"' in explore.the_map(explored, "race", "pca")


class Way:
    """An analyzer that gives places."""

    def __init__(self, fault: str) -> None:
        self.fault = fault

    def analyze(self, latents: np.ndarray, labels: Any, model: Any = None) -> Analysis:
        if self.fault == "fails":
            raise RuntimeError("no luck")
        places = latents[: len(latents) - (self.fault == "too few"), :2]
        return Analysis("umap", pd.DataFrame({"x": places[:, 0], "y": places[:, 1]}))


def a_way(fault: str = "", requires: tuple[str, ...] = ()) -> dict[str, list[Component]]:
    return {"analyzer": [Component("umap", lambda: Way(fault), "a map, for tests", requires=requires)]}


def faces(count: int = 6) -> Atlas:
    points = tuple(Point(str(i), {"age": "a"}) for i in range(count))
    latents = np.random.default_rng(0).normal(size=(count, 4)).astype("float32")
    return Atlas(points, latents, np.ones(4, "float32"), {"age": ("a",)}, toy_crops(count, 4))


def test_umap_is_offered_where_it_is_installed() -> None:
    assert faces().projections == ("pca", "tsne")
    with registered(a_way()):
        assert faces().projections == ("pca", "tsne", "umap") and faces(3).projections == ("pca",)
        assert faces().places("umap").shape == (6, 2) and 'data-i="5"' in map_view.drawn(faces(), "umap", "age", False)
    with registered(a_way(requires=("a_module_that_is_not_there",))):
        assert faces().projections == ("pca", "tsne")
    for fault, says in (("fails", "'umap' failed: RuntimeError: no luck"), ("too few", "no place to some")):
        with registered(a_way(fault)), pytest.raises(InputError, match=says):
            faces().places("umap")


@pytest.mark.parametrize("sent", [None, {}, "index", ["index"], 5, {"of": 1}])
def test_a_request_without_a_point_chooses_no_point(sent: object) -> None:
    assert explore._sent(gr.EventData(None, sent), "index") is None
    assert explore._sent(gr.EventData(None, {"index": 3}), "index") == 3
