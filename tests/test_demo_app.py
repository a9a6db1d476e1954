"""The demo as a program meets it: one page in this process, asked through Gradio's own client."""

from __future__ import annotations

import base64
import gc
import html
import io
import json
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from PIL import Image

from demo_preset import preset_with_decoder
from facefeat import DataError, InputError
from facefeat.testing import TOYS, registered, toy_crops, toy_image, toy_preset
from facefeat_demo import editing, face_picker, live, server, worse
from facefeat_demo.editing import Request, Start
from facefeat_demo.face_view import lacking
from facefeat_demo.host import Host
from facefeat_demo.photos import PORTRAITS
from facefeat_demo.tabs import about, edit, explore, models, morph
from facefeat_demo.visits import UNREAD, Visits, forget_names
from made import squares
from witness import witness


@pytest.fixture(scope="module")
def presets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two presets: `drawing` has a decoder, `plain` has none."""
    folder = tmp_path_factory.mktemp("presets")
    preset_with_decoder(folder / "drawing")
    toy_preset(folder / "plain", "plain")
    return folder


@pytest.fixture(scope="module")
def page(presets: Path) -> Iterator[Any]:
    settings = server.Settings(preset=str(presets / "drawing"), allow_presets=presets, max_upload=1)
    with server.running(settings, detector="whole-image") as running:
        yield running


@pytest.fixture(scope="module")
def client(page: Any) -> Client:
    return Client(page.local_url, verbose=False, analytics_enabled=False)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.fromarray(toy_image(120, 160)).save(tmp_path / "photo.jpg")
    return tmp_path / "photo.jpg"


def classify(client: Client, path: Path | str) -> tuple[str, dict[str, Any]]:
    shown, numbers = client.predict(handle_file(path), api_name="/classify")
    return shown, numbers


def test_a_photo_is_classified(client: Client, photo: Path) -> None:
    shown, numbers = classify(client, photo)
    assert "1 face found" in shown and "Where the model looked" in shown
    assert numbers["size"] == [160, 120] and numbers["error"] is None
    (face,) = numbers["faces"]
    assert set(face["attributes"]) == {"age", "gender", "race"}


def test_many_at_once_get_each_their_own(client: Client, tmp_path: Path) -> None:
    paths = []
    for i in range(6):
        Image.fromarray(toy_image(60, 80 + 10 * i, i)).save(tmp_path / f"{i}.png")
        paths.append(tmp_path / f"{i}.png")
    alone = [classify(client, p)[1] for p in paths[:2]]
    with ThreadPoolExecutor(6) as pool:
        together = [numbers for _, numbers in pool.map(lambda p: classify(client, p), paths)]
    assert [n["size"][0] for n in together] == [80 + 10 * i for i in range(6)]
    for one, other in zip(alone, together, strict=False):
        assert one["faces"][0]["age_years"] == pytest.approx(other["faces"][0]["age_years"], abs=0.2)


def test_what_is_no_picture_is_said_in_the_page(client: Client, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_text("not a photo")
    shown, numbers = classify(client, tmp_path / "photo.jpg")
    assert "This file is not a picture" in shown and str(tmp_path) not in shown
    assert numbers["faces"] == [] and "not a picture" in numbers["error"]


def test_no_path_of_a_stranger_is_opened(page: Any, photo: Path) -> None:
    for path in ("/etc/hostname", str(photo)):
        for meta in ({"meta": {"_type": "gradio.FileData"}}, {}):
            # By hand: the client would upload a path of its own.
            called = httpx.post(f"{page.local_url}gradio_api/call/classify", json={"data": [{"path": path, **meta}]})
            answer = httpx.get(f"{page.local_url}gradio_api/call/classify/{called.json()['event_id']}", timeout=60)
            assert "event: error" in answer.text or "This photo is empty, or no longer here" in answer.text


def test_no_address_is_fetched(client: Client) -> None:
    with witness(404) as (address, asked):
        url = f"{address}photo.jpg"
        with pytest.raises(Exception, match="addresses"):
            client.predict({"path": url, "url": url, "meta": {"_type": "gradio.FileData"}}, api_name="/classify")
    assert asked == []


def test_a_folder_in_place_of_a_photo_is_refused_and_none_is_kept_to_be_deleted(page: Any, photo: Path) -> None:
    uploads = next(b.GRADIO_CACHE for b in page.blocks.values() if hasattr(b, "GRADIO_CACHE"))
    for event in page.config["dependencies"]:
        sent = {"path": str(uploads), "meta": {"_type": "gradio.FileData"}}
        body = {"fn_index": event["id"], "data": [sent] * len(event["inputs"]), "session_hash": f"h{event['id']}"}
        httpx.post(f"{page.local_url}gradio_api/run/predict", json=body, timeout=60)
    assert not [f for kept in page.temp_file_sets for f in kept if not Path(f).is_file()]


def test_only_classify_is_there_for_programs(client: Client) -> None:
    described = client.view_api(return_format="dict", print_info=False)
    assert list(described["named_endpoints"]) == ["/classify"] and not described["unnamed_endpoints"]


def test_a_file_over_the_limit_is_refused(page: Any) -> None:
    big = {"files": ("big.jpg", b"\0" * 2_000_000)}
    assert httpx.post(f"{page.local_url}gradio_api/upload", files=big).status_code == 413


def test_nothing_outside_is_served_and_nothing_is_recorded(page: Any) -> None:
    config = httpx.get(f"{page.local_url}config").json()
    assert not config.get("run_history") and page.allowed_paths == [] and not page.analytics_enabled
    assert httpx.get(f"{page.local_url}gradio_api/file=/etc/hostname").status_code == 403
    assert httpx.get(f"{page.local_url}monitoring").status_code >= 400
    text = httpx.get(page.local_url).text
    assert "fonts.googleapis" not in text and "fonts.gstatic" not in text


def test_no_history_of_what_was_asked_is_kept(client: Client, page: Any, photo: Path) -> None:
    for _ in range(2):
        classify(client, photo)
    queue = page._queue
    assert len(queue.event_analytics) <= 1 and queue.cached_event_analytics_summary == {"functions": {}}


def test_nothing_of_a_visit_stays(page: Any, photo: Path) -> None:
    """What Gradio keeps of sessions lies where `visits` looks for it."""
    with photo.open("rb") as file:
        (path,) = httpx.post(f"{page.local_url}gradio_api/upload", files={"files": ("a.jpg", file)}).json()
    sent = {"path": path, "meta": {"_type": "gradio.FileData"}}
    event = httpx.post(f"{page.local_url}gradio_api/call/classify", json={"data": [sent]}).json()["event_id"]
    url = f"{page.local_url}gradio_api/call/classify/{event}"
    assert "complete" in httpx.get(url, timeout=120).text
    kept = page._queue.pending_messages_per_session, page._queue.pending_event_ids_session
    assert event in kept[0] and event in kept[1] and event in page.state_holder.session_data
    for _ in range(500):  # the answer is sent a moment before the work counts as done
        if event not in page._queue.event_ids_to_events and not any(page._queue.active_jobs):
            break
        time.sleep(0.02)
    made = Visits(page.app, lambda: page)
    made.sweep(0)
    made.sweep(UNREAD)
    assert event not in kept[0] and event not in kept[1] and event not in page.state_holder.session_data
    assert path in page.upload_file_set
    Path(path).unlink()
    forget_names(page)
    assert path not in page.upload_file_set


def test_all_that_ask_the_model_wait_in_one_line(page: Any) -> None:
    asking = [fn for fn in page.fns.values() if fn.concurrency_id == "model"]
    assert len(asking) >= 6 and all(fn.concurrency_limit == 1 for fn in asking)
    (classify_fn,) = [fn for fn in page.fns.values() if fn.api_name == "classify"]
    assert classify_fn.batch and classify_fn.concurrency_id == "model"
    assert page.delete_cache is None  # ours looks for old files: facefeat_demo.cleaner


def test_a_password_is_asked_for(presets: Path) -> None:
    settings = server.Settings(preset=str(presets / "drawing"), auth=("ada", "secret"))
    with server.running(settings, detector="whole-image") as guarded:
        assert httpx.get(f"{guarded.local_url}config").status_code == 401
        login = f"{guarded.local_url}login"
        assert httpx.post(login, data={"username": "ada", "password": "wrong"}).status_code == 400
        assert httpx.post(login, data={"username": "ada", "password": "secret"}).status_code == 200


# ---------------------------------------------------------------- behind the tabs


@pytest.fixture(scope="module")
def host(presets: Path) -> Host:
    return Host(str(presets / "drawing"), presets, "whole-image")


def test_a_morph_from_photos_to_files(host: Host, photo: Path, tmp_path: Path) -> None:
    shown, choice, state = face_picker.find(photo.read_bytes(), host)
    assert shown.count("<img") == 1 and choice["visible"] is False and state["chosen"] == 0
    made = host.morph([state["crops"][0], state["crops"][0][::-1]], 12)
    assert made.frames.shape == (12, 32, 32, 3) and len(made.predictions) == 12
    assert (made.frames[0] == state["crops"][0]).all()
    larger = host.morph([state["crops"][0], state["crops"][0][::-1]], 12, large=[state["large"][0]] * 2)
    assert larger.frames.shape == (12, 160, 160, 3)
    shares: list[float] = []
    film, animation = (morph.write_film(made.frames, ending, tmp_path, shares.append) for ending in (".mp4", ".gif"))
    assert Path(film).suffix == ".mp4" and Path(film).stat().st_size > 0
    assert shares[0] == 0 and max(shares) == 21 / 22
    with Image.open(animation) as picture:
        assert picture.n_frames == 22  # type: ignore[attr-defined]


def test_the_face_of_a_photo_can_be_chosen(host: Host, photo: Path) -> None:
    _, _, state = face_picker.find(photo.read_bytes(), host)
    state["crops"] = state["crops"].repeat(3, axis=0)
    shown, state = face_picker.choose(2, state)
    assert state is not None and state["chosen"] == 1 and 'alt="Face 2, chosen"' in shown
    assert face_picker.choose(9, state)[1] is state
    assert "That did not work" in face_picker.find(b"text", host)[0] and face_picker.find(None, host)[2] is None


def test_a_model_without_a_decoder_says_so(host: Host) -> None:
    assert "train-decoder" in morph.NO_DECODER and "without <code>--preset</code>" in morph.NO_DECODER
    assert "no: it has no decoder" not in models.in_use(host)
    assert "core" in host.device or host.device == "GPU"


def test_another_model_is_chosen_from_the_folder_only(presets: Path, tmp_path: Path) -> None:
    mine = Host(str(presets / "drawing"), presets, "whole-image")
    assert mine.choices() == ["drawing", "plain"]
    toy_preset(tmp_path / "elsewhere")
    for name in ("../elsewhere", str(tmp_path / "elsewhere"), "none"):
        with pytest.raises(ValueError, match="no such model here"):
            mine.use(name)
    mine.use("plain")
    assert mine.model.name == "plain" and not mine.model.has_decoder
    assert "has no figures per group" in about.text(mine) and "CC0-1.0" in about.text(mine)
    with pytest.raises(ValueError, match="no such model here"):
        Host(str(presets / "plain"), None, "whole-image").use("drawing")


def test_a_damaged_model_leaves_the_one_in_use(presets: Path, tmp_path: Path) -> None:
    toy_preset(tmp_path / "damaged")
    (tmp_path / "damaged" / "head.weights.h5").write_bytes(b"x")
    mine = Host(str(presets / "drawing"), tmp_path, "whole-image")
    before = mine.model
    with pytest.raises(Exception, match="altered"):
        mine.use("damaged")
    assert mine.model is before


def test_the_models_tab_lists_every_component(host: Host) -> None:
    from facefeat.plugins.registry import get_registry

    with registered({"decoder": [TOYS["decoder"]]}):
        shown = models.components()
        assert all(item.name in shown for item in get_registry().all()) and "facefeat-test 0.0.0" in shown
    assert "<h2>mobilenet-112-utkface</h2>" in models.card_of("mobilenet-112-utkface", host)
    assert "No model card" in models.card_of("../../etc", host)


# ---------------------------------------------------------------- Edit


@pytest.fixture(scope="module")
def start(host: Host) -> Start:
    return editing.begin(host.model, toy_crops(1, 32)[0])


def test_a_slider_moves_the_face_at_once(host: Host, start: Start) -> None:
    still = editing.move(host.model, start, Request())
    assert (still.picture == start.face.crops[0]).all()  # nothing changed: the whole residual is restored
    for request in (Request({"race": ("Asian", 3)}), Request({}, (0, 3))):
        made = editing.move(host.model, start, request)
        assert made.picture.shape == (32, 32, 3) and len(made.predictions) == 1
        assert (made.picture != start.face.crops[0]).any()


def test_a_slider_goes_as_far_as_what_is_read_follows(host: Host) -> None:
    made = editing.with_paths(host.model, editing.synthetic(host.model, 3))
    for start in (editing.begin(host.model, toy_crops(1, 32)[0]), made):
        there = {c.name: c for c in editing.ranged(host.model, start)}
        assert ("race" in there) is not start.real  # of a real person's face, none
        for name in ("age", "gender"):
            path, control = start.paths[name], there[name]
            assert control.low <= 0 <= control.high and control.high <= path.high - path.origin + 0.1
            far = {"age": ("", 5000.0), "gender": ("Female", 5000.0)}[name]
            (end,) = editing.moved(host.model, start, [Request({name: far})])
            assert np.allclose(end, path.latents[-1], atol=1e-4)


def test_a_face_at_every_age_comes_with_all_that_its_slider_shows(host: Host, start: Start) -> None:
    made = editing.film(host.model, start)
    assert made is not None and made.strip.pictures.shape == (8, 32, 32, 3)
    path = made.strip.path
    assert len(made.pictures) == len(path.values) == len(made.predictions)
    still = int(np.argmin(np.abs(path.values - path.origin)))
    assert (made.pictures[still] == start.face.large[0]).all()
    shown = edit.ages_of(start, host, slider_values(host, start))
    assert shown.count("<figure") == 8
    film = json.loads(html.unescape(shown.split("data-film='")[1].split("'")[0]))
    assert film["face"] == start.key and film["values"] == slider_values(host, start)
    assert len(film["far"]) == len(film["says"]) == len(path.values) and film["far"][still] == 0
    # What the browser shows is what the server would.
    amount = round(film["far"][-1], 1)
    moved = editing.move(host.model, start, Request({"age": ("", amount)}))
    assert (moved.picture == made.pictures[-1]).all()
    assert edit.row_of(host, {"face": start.key})["picture"].startswith("data:image/jpeg")


def test_movements_of_strangers_get_a_sentence(host: Host, start: Start) -> None:
    values = slider_values(host, start)
    answer = edit.moved(host, {"face": start.key, "values": values})
    assert answer["after"].count("<img") == 1 and "What the model predicts" in answer["table"]
    for key in (None, "", "x", 3, ["x"]):
        assert "no longer here" in edit.moved(host, {"face": key, "values": values})["table"]
        assert "no longer here" in edit.row_of(host, {"face": key})["error"]
    assert "no longer here" in edit.moved(host, "x")["table"] and "no longer here" in edit.row_of(host, 3)["error"]
    for bad in (None, [], values[:-1], [math.nan, *values[1:]], [["x"], *values[1:]], [values[0], 1, *values[2:]]):
        assert set(edit.moved(host, {"face": start.key, "values": bad})) == {"table"}


def test_a_slider_moved_before_its_path_is_known_is_asked_again(host: Host) -> None:
    early = editing.first(host.model, toy_crops(1, 32)[0])
    values = slider_values(host, early)
    assert "after" in edit.moved(host, {"face": early.key, "values": values})
    values[0] = -10
    assert edit.moved(host, {"face": early.key, "values": values}) == {"busy": True}
    known = editing.with_paths(host.model, early)
    assert known.key == early.key and "after" in edit.moved(host, {"face": early.key, "values": values})
    # What takes longer anyway finds the path itself.
    age = Request({"age": ("", -10)})
    assert np.allclose(editing.moved(host.model, early, [age]), editing.moved(host.model, known, [age]), atol=1e-5)


def test_a_face_is_gone_with_the_session_that_held_it(host: Host) -> None:
    key = editing.begin(host.model, toy_crops(1, 32)[0]).key
    gc.collect()
    with pytest.raises(InputError, match="no longer here"):
        editing.begun(key)


def test_a_photo_is_edited_as_sharp_as_it_is_shown(host: Host, start: Start) -> None:
    large = np.asarray(Image.fromarray(toy_crops(1, 32)[0]).resize((64, 64)))
    sharp = editing.begin(host.model, start.face.crops[0], large)
    assert (editing.move(host.model, sharp, Request()).picture == large).all()
    for made in (
        editing.move(host.model, sharp, Request({"race": ("Asian", 3)})),
        editing.edit(host.model, sharp, Request({"age": ("", 10)}, (1,))),
    ):
        assert made.picture.shape == (64, 64, 3) and (made.picture != large).any()
    made = editing.synthetic(host.model, 1)
    assert not made.real and (editing.move(host.model, made, Request()).picture == made.face.crops[0]).all()


def test_an_edit_says_how_far_it_came(host: Host, start: Start) -> None:
    made = editing.edit(host.model, start, Request({"age": ("", 10)}, (1,)))
    assert "asked" in made.sentence and "standard deviations" not in made.sentence
    with pytest.raises(InputError, match="Move a slider first"):
        editing.edit(host.model, start, Request({}, (1,)))


def test_a_grid_is_one_picture_to_download(host: Host, start: Start, tmp_path: Path) -> None:
    age, gender, race = editing.controls(host.model)
    assert (age.kind, gender.kind, race.kind) == ("steps", "between", "towards")
    picture = editing.grid(host.model, start, Request({"age": ("", 10)}), age, gender)
    assert picture.shape[1] > picture.shape[0] > 3 * 160 and editing.stops(age)[2] is None
    with Image.open(edit.write_grid(picture, tmp_path)) as written:
        assert written.size == picture.shape[1::-1]
    with pytest.raises(InputError, match="two different"):
        editing.grid(host.model, start, Request(), race, race)


def slider_values(host: Host, start: Start) -> list[Any]:
    """Of all sliders, as they are when a face is opened."""
    return [update["value"] for update in edit.opened(start, host)[6 + edit.ATTRIBUTES :]]


def test_all_sliders_go_back_where_they_began(host: Host, start: Start) -> None:
    before, after, table, *_ = edit.opened(start, host)
    assert before.count("<img") == after.count("<img") == 1 and "What the model predicts" in table
    values = slider_values(host, start)
    assert len(values) == 2 * edit.ATTRIBUTES + editing.DIRECTIONS
    assert edit.request_of(host, start, values) == Request({}, (0,) * editing.DIRECTIONS)
    values[5] = "Asian"
    assert edit.request_of(host, start, values).attributes == {}, "no race of a real person's face"
    made = editing.synthetic(host.model, 1)
    assert edit.request_of(host, made, values).attributes == {"race": ("Asian", 2)}


def test_a_slider_that_waits_for_a_choice_says_so(host: Host, start: Start) -> None:
    values, made = slider_values(host, start), editing.synthetic(host.model, 1)
    assert edit.waiting(host, made, values) == ""
    values[4] = 3.5
    assert edit.waiting(host, made, values) == "Race: choose towards what, and the slider moves the face there."
    assert edit.waiting(host, start, values) == ""  # a photo has no such slider
    values[5] = "Asian"
    assert edit.waiting(host, made, values) == ""


def test_a_synthetic_face_is_another_each_time(host: Host) -> None:
    one, two = (editing.synthetic(host.model, seed) for seed in (1, 2))
    assert not one.real and (one.face.crops != two.face.crops).any()
    assert edit.opened(one, host)[0].count("A synthetic face") == 1


def test_what_a_model_lacks_is_said_with_the_command(presets: Path, tmp_path: Path) -> None:
    plain = Host(str(presets / "plain"), None, "whole-image")
    assert editing.lacks(plain.model) == "decoder" and plain.atlas is None
    assert "facefeat train-decoder" in lacking("Editing", "decoder")
    half = Host(str(preset_with_decoder(tmp_path / "half", directions=False)), None, "whole-image")
    assert editing.lacks(half.model) == "directions" and half.atlas is None
    assert "facefeat fit-directions" in lacking("Editing", "directions") and lacking("Editing", "") == ""


# ---------------------------------------------------------------- the camera


def test_a_picture_of_the_camera_is_answered_and_nothing_else_is(host: Host) -> None:
    made = io.BytesIO()
    Image.fromarray(toy_image(60, 80)).save(made, "jpeg")
    address = "data:image/jpeg;base64," + base64.b64encode(made.getvalue()).decode()
    (face,) = live.frame_of(host, address)["faces"]
    assert all(0 <= v <= 1 for v in face["box"]) and set(face["values"]) == {"age"}
    assert set(face["shares"]) == {"gender", "race"} and set(face["between"]) <= {"age"}
    for wrong in (
        None,
        7,
        "http://x/a.jpg",
        "data:image/jpeg;base64,?",
        "data:image/jpeg;base64,aGFsbG8=",
        "x" * 500_000,
    ):
        assert set(live.frame_of(host, wrong)) == {"error"}


def test_a_face_is_made_worse_step_by_step(host: Host) -> None:
    made = io.BytesIO()
    Image.fromarray(toy_crops(1, 32)[0]).save(made, "png")
    address = "data:image/png;base64," + base64.b64encode(made.getvalue()).decode()
    for kind in worse.KINDS:
        found = worse.worse(host, address, kind)
        assert len(found.frames) == len(found.predictions) == worse.STEPS
        assert (found.frames[0] != found.frames[-1]).any()
    for wrong in (None, "data:image/png;base64,?", "http://x/a.png", "x" * 300_000):
        with pytest.raises(InputError):
            worse.worse(host, wrong, "dark")
    with pytest.raises(InputError, match="photo with a face"):
        worse.worse(host, address, "unheard of")


def test_the_page_comes_compressed_with_its_first_style(page: Any) -> None:
    found = httpx.get(page.local_url)
    assert found.headers["content-encoding"] == "gzip" and "facefeat is loading" in found.text.partition("</head>")[0]
    assert int(found.headers["content-length"]) < len(found.text) / 2


def test_a_number_out_of_its_bounds_gets_a_sentence_and_no_traceback(page: Any) -> None:
    for field in (gr.Slider(0, 9), gr.Number(minimum=0, maximum=9)):
        assert field.preprocess(9) == 9
        for wrong in (99_999, -1, "<b>", True):
            with pytest.raises(gr.Error, match="A number from 0 to 9 is wanted here") as caught:
                field.preprocess(wrong)  # type: ignore[arg-type]
            assert not caught.value.print_exception and "<b>" not in str(caught.value)


# ---------------------------------------------------------------- Explore


def test_the_map_of_a_model_alone_has_its_class_means(host: Host) -> None:
    assert host.atlas is not None and host.atlas.projections == ("pca",)
    shown = explore.the_map(host, "gender", "tsne")
    assert shown.count("ff-named") == len(host.model.directions.groups) and 'aria-label="gender Female"' in shown
    assert "The average of " in explore.at_point(host, 0) and "The model predicts" in explore.at_point(host, 0)
    for index in (-1, 10_000, None, "0", 1.5):
        assert "Choose a point" in explore.at_point(host, index)


def test_real_faces_and_the_visitor_are_put_on_the_map_of_means(host: Host) -> None:
    mine = Host(str(host.folder), None, "whole-image")
    assert mine.atlas is not None
    means = len(mine.atlas.points)
    mine.put_portraits()
    atlas = mine.atlas
    assert len(atlas.points) == means + len(PORTRAITS) and sorted(atlas.pictures) == [*range(means, len(atlas.points))]
    crop = toy_crops(1, 32)[0]
    shown = explore.the_map(mine, "age", "pca", crop)
    assert shown.count("ff-pictured") == len(PORTRAITS) and shown.count('class="ff-you"') == 1
    assert "From left to right mostly " in shown
    x, y = atlas.place(atlas.latents[means], "pca")
    assert np.allclose((x, y), atlas.places("pca")[means], atol=1e-4)
    point = explore.at_point(mine, means, atlas.stamp)
    assert "The face of Lauren" in point and "The averages nearest to it: age " in point
    assert "The averages nearest to you: age " in explore.near_you(mine, crop)


def test_two_models_answer_side_by_side(presets: Path, photo: Path) -> None:
    mine = Host(str(presets / "drawing"), presets, "whole-image")
    assert {"drawing", "plain", "mobilenet-112-utkface"} <= {*mine.others(), "drawing"}
    shown = models.two(mine, photo.read_bytes(), "plain")
    assert shown.count('aria-label="Face 1"') == 2 and "<h3>plain</h3>" in shown and "<h3>drawing</h3>" in shown
    assert "not a picture" in models.two(mine, b"text", "plain")
    with pytest.raises(InputError, match="no such model here"):
        models.two(mine, photo.read_bytes(), "../plain")


def test_faces_are_composed_from_the_controls(host: Host) -> None:
    nothing: list[Any] = [0, explore._ANY] * explore.ATTRIBUTES
    nothing[0], nothing[3] = 60, "Female"
    attributes, coordinates = explore.asked_of(host, [*nothing, 2, 1.5, None, 3, None, 0])
    assert attributes == {"age": 60, "gender": "Female"} and coordinates == {2: 1.5}
    made = host.model.compose(attributes, coordinates=coordinates, count=2)
    shown = explore.composed_faces(host, made)
    assert shown.count("<img") == 2 and "Real" not in shown


@pytest.fixture(scope="module")
def explored(presets: Path, tmp_path_factory: pytest.TempPathFactory) -> Host:
    """A page with a data set."""
    data = squares(tmp_path_factory.mktemp("data"), 12)
    return Host(str(presets / "drawing"), None, "whole-image", data)


def test_the_map_of_a_data_set_has_its_faces(explored: Host) -> None:
    atlas = explored.atlas
    assert atlas is not None and atlas.crops is not None and atlas.projections == ("pca", "tsne")
    assert explore.the_map(explored, "race", "pca").count("<button") == 12
    for projection in atlas.projections:
        assert (
            atlas.places(projection).shape == (12, 2)
            and 0 <= atlas.places(projection).min() <= atlas.places(projection).max() == 1
        )
    assert "years" in atlas.points[0].name and explore.at_point(explored, 3).count("<img") == 2 + explore.NEAREST
    assert atlas.nearest(explored.model.encode(atlas.crops[4:5])[0])[0] == 4
    made = explored.model.compose({"age": 30})
    assert explore.composed_faces(explored, made).count("A real face near it") == explore.NEAREST


def test_without_a_decoder_the_faces_of_a_data_set_are_there(tmp_path: Path) -> None:
    folder = preset_with_decoder(tmp_path / "blind", decoder=False)
    blind = Host(str(folder), None, "whole-image", squares(tmp_path / "data", 12))
    assert blind.atlas is not None and editing.lacks(blind.model) == "decoder"
    assert explore.at_point(blind, 0).count("<img") == 1 + explore.NEAREST
    assert "Composing a face needs" in explore._without(blind)


def test_a_model_that_does_not_fit_the_data_is_not_changed_to(presets: Path, tmp_path: Path) -> None:
    mine = Host(str(presets / "drawing"), presets, "whole-image", squares(tmp_path, 12))
    before = mine.model, mine.atlas
    with pytest.raises(DataError, match="schema"):
        mine.use("plain")
    assert (mine.model, mine.atlas) == before
