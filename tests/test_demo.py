"""What the demo's page is made of, without a browser: photos, cards, morphs, model cards, the server's sentences."""

from __future__ import annotations

import ast
import html
import importlib.util
import io
import json
import os
import re
import socket
import sys
import time
import tomllib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import facefeat
from facefeat import AttributePrediction, Face, FaceBatch, FaceResult, InputError
from facefeat.cli import run
from facefeat.testing import toy_crops, toy_image
from facefeat.types import Interval, Quality
from facefeat_demo import cards, map_view, morph_view, photos, server, text
from facefeat_demo.cleaner import cleaned, delete_old
from facefeat_demo.editing import Control, requested
from facefeat_demo.exploring import Atlas, Point, apart
from facefeat_demo.host import MAX_CARDS, PhotoResult
from facefeat_demo.tabs import about
from made import batch_of

REPO = Path(__file__).resolve().parent.parent
DEMO = REPO / "demo"
PUBLIC_ROOMS = {"data", "errors", "image", "latent", "networks", "plugins", "presets", "schema", "types", "utils"}


def jpeg(pixels: np.ndarray, **options: object) -> bytes:
    made = io.BytesIO()
    Image.fromarray(pixels).save(made, "jpeg", **options)
    return made.getvalue()


def face(
    number: int = 0,
    probability: float = 0.9,
    label: str = "Female",
    box: Face | None = None,
    between: tuple[float, float] = (22, 41),
) -> FaceResult:
    gender = AttributePrediction(label, probability, {label: probability, "Male": 1 - probability})
    age = AttributePrediction(
        "30-39", 0.6, {"30-39": 0.6}, value=30.0, interval=Interval(*between, 0.9), unit="years", scale=(0, 100)
    )
    found = box or Face((10.0, 5.0, 60.0, 58.0), crop=toy_crops(1, 16, number)[0])
    return FaceResult(found, {"age": age, "gender": gender})


# ---------------------------------------------------------------- the layer


@pytest.mark.parametrize("path", sorted(DEMO.rglob("*.py")), ids=lambda p: str(p.relative_to(DEMO)))
def test_the_demo_uses_the_public_api_only(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            assert not [a.name for a in node.names if a.name.split(".")[0] == "facefeat"], "from facefeat import ..."
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "facefeat":
            rooms = node.module.split(".")[1:]
            if not rooms:
                assert {a.name for a in node.names} <= set(facefeat.__all__)
            else:
                assert rooms[0] in PUBLIC_ROOMS and not any(r.startswith("_") for r in rooms)
                assert not any(a.name.startswith("_") for a in node.names)
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            assert isinstance(node.value, ast.Name) and node.value.id == "self", f"line {node.lineno}: {node.attr}"


@pytest.mark.parametrize("path", sorted(DEMO.rglob("*.py")), ids=lambda p: str(p.relative_to(DEMO)))
def test_no_file_of_the_demo_is_much_longer_than_400_lines(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= 440


def test_the_wheel_has_the_demo_and_the_folder_is_a_space() -> None:
    project = tomllib.loads((REPO / "pyproject.toml").read_text("utf-8"))
    assert "demo/facefeat_demo" in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    front = (DEMO / "README.md").read_text("utf-8").split("---")[1]
    about = dict(line.split(": ", 1) for line in front.strip().splitlines())
    assert about["sdk"] == "gradio" and (DEMO / about["app_file"]).is_file() and about["license"] == "apache-2.0"
    assert tuple(map(int, about["sdk_version"].split("."))) >= (6, 25)
    assert "facefeat[demo]" in (DEMO / "requirements.txt").read_text("utf-8")
    credits = (DEMO / "facefeat_demo" / "examples" / "CREDITS.md").read_text("utf-8")
    there = {p.stem for p in photos.EXAMPLES.glob("*.jpg")}
    assert there == {*photos.PORTRAITS, *photos.SEVERAL} and all(f"`{name}.jpg`" in credits for name in there)


# ---------------------------------------------------------------- photos


def test_a_sideways_photo_is_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    opened = photos.open_photo(jpeg(toy_image(20, 40), exif=exif))
    assert isinstance(opened, np.ndarray) and opened.shape == (40, 20, 3)


def test_what_is_no_photo_gets_a_sentence() -> None:
    assert photos.open_photo(b"hello").startswith("This file is not a picture that can be read")  # type: ignore[union-attr]
    assert "empty" in str(photos.open_photo(b""))
    assert "truncated" in str(photos.open_photo(jpeg(toy_image())[:-400]))


def test_a_huge_photo_is_turned_away_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    made = io.BytesIO()
    Image.new("1", (9000, 8000)).save(made, "png")
    monkeypatch.setattr(photos, "open_image", lambda data: pytest.fail("decoded"))
    assert "9,000 × 8,000" in str(photos.open_photo(made.getvalue()))


def test_only_files_of_the_upload_folder_are_read(tmp_path: Path) -> None:
    cache, secret = tmp_path / "cache", tmp_path / "secret"
    cache.mkdir()
    secret.write_bytes(b"secret")
    (cache / "a.jpg").write_bytes(b"a")
    (cache / "link.jpg").symlink_to(secret)
    assert photos.uploaded({"path": str(cache / "a.jpg")}, cache) == b"a"
    for path in (secret, cache / ".." / "secret", cache / "link.jpg", cache / "gone.jpg"):
        assert photos.uploaded({"path": str(path)}, cache) == b""
    assert photos.uploaded(None, cache) is None and photos.uploaded({"path": None}, cache) is None


def test_a_sessions_files_go_with_it_and_a_shared_one_with_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x").mkdir()
    mine, ours = tmp_path / "x" / "mine.jpg", tmp_path / "ours.jpg"
    for path in (mine, ours):
        path.write_bytes(b"1")
    kept = photos.Kept()
    for session, path in (("a", mine), ("a", ours), ("b", ours), (None, ours), ("a", None)):
        kept.remember(session, path, tmp_path)
    kept.forget("a")
    assert not mine.exists() and mine.parent.exists() and ours.exists()
    monkeypatch.setattr(photos, "EMPTY_AFTER", 0.0)
    kept.forget("b")
    assert not mine.parent.exists()
    kept.forget("never seen")
    assert not ours.exists()


def test_a_film_that_is_ready_after_the_visitor_left_is_deleted(tmp_path: Path) -> None:
    kept = photos.Kept()
    for session, there in (("a", False), ("b", True)):
        film = tmp_path / session / "film.mp4"
        film.parent.mkdir()
        film.write_bytes(b"1")
        kept.present(session)
        kept.forget(session)
        if there:  # back again, as a phone that slept
            kept.present(session)
        kept.remember(session, film, tmp_path)
        assert film.exists() is there


def test_no_path_of_a_stranger_is_ever_deleted(tmp_path: Path) -> None:
    cache, secret = tmp_path / "cache", tmp_path / "secret"
    cache.mkdir()
    secret.write_bytes(b"secret")
    kept = photos.Kept()
    for path in (secret, cache / ".." / "secret", cache, "/etc/hostname", "a\0b", "x" * 9000, 7, {}):
        kept.remember("a", path, cache)
    kept.forget("a")
    assert secret.exists() and cache.is_dir() and Path("/etc/hostname").exists()


@given(st.integers(1, 900), st.integers(1, 900), st.integers(1, 300))
def test_a_shrunk_photo_fits_and_keeps_its_shape(height: int, width: int, longest: int) -> None:
    made = photos.shrink(np.zeros((height, width, 3), "uint8"), longest)
    assert max(made.shape[:2]) == min(longest, max(height, width))
    assert abs(made.shape[0] * width - made.shape[1] * height) <= max(height, width)


# ---------------------------------------------------------------- cards


def reading(*faces: FaceResult) -> PhotoResult:
    looks = tuple({"gender": toy_crops(1, 8)[0]} for _ in faces[:MAX_CARDS])
    return PhotoResult(toy_image(64, 80), (80, 64), faces, looks, None, 0.2, "2 processor cores")


def test_a_face_has_a_box_a_card_an_age_with_its_interval_bars_and_a_map() -> None:
    page = cards.page(reading(face()))
    assert "1 face found" in page and page.count('class="ff-box') == 1 and page.count("ff-card") == 2
    assert "<span>30, Female</span>" in page
    assert 'data-says="1 face found. Face 1: age about 30 years, Female."' in page
    assert "<small>age about</small> 30 <small>years</small>" in page and "probably 22 to 41" in page
    assert "Female" in page and "90%" in page and "where the model looked for gender Female" in page
    assert "left:12.50%;top:7.81%;width:62.50%;height:82.81%" in page


def test_many_faces_have_a_box_each_and_cards_for_the_largest() -> None:
    page = cards.page(reading(*[face(i) for i in range(30)]))
    assert "30 faces found" in page and page.count('class="ff-box') == 30
    assert page.count("<section") == MAX_CARDS and f"the {MAX_CARDS} largest faces of 30" in page


def test_no_face_and_no_photo_are_said() -> None:
    assert "No face was found" in cards.page(reading())
    assert "This file is &lt;b&gt;" in cards.page(PhotoResult(error="This file is <b>"))


def test_doubts_are_said() -> None:
    assert cards.doubts_of(face()) == []
    (said,) = cards.doubts_of(face(probability=0.55))
    assert said == "Unsure of the gender: Female or Male."
    small = Face((0, 0, 20, 20), 0.6, crop=toy_crops(1, 16)[0])
    said = " ".join(cards.doubts_of(face(box=small, between=(10, 60))))
    assert "may not be a face" in said and "small" in said and "Unsure of the age" in said


def test_a_face_that_is_hard_to_read_says_why() -> None:
    dark = replace(
        face(), quality=Quality(0.4, ("too dark", "blurred")), notes=("The gender of a baby cannot be seen.",)
    )
    assert cards.doubts_of(dark) == ["Hard to read: too dark, blurred.", "The gender of a baby cannot be seen."]
    assert cards.short_label(dark) == "?" and cards.short_label(replace(dark, quality=Quality(0.9))) == "30, Female"


def test_what_may_be_no_face_gets_no_number_and_one_year_is_a_year() -> None:
    blob = Face((0, 0, 60, 60), 0.6, crop=toy_crops(1, 16)[0])
    page = cards.page(reading(face(box=blob), face(1)))
    assert "<span>?</span>" not in page and "ff-box-doubtful" in page and "<span>1</span>" in page
    assert "<span>2: 30, Female</span>" in page
    baby = AttributePrediction("0-2", 0.9, {"0-2": 0.9}, value=1.2, unit="years")
    assert "1 <small>year</small>" in cards.value("age", baby)
    assert "This is my guess" not in page and "An example" in cards.page(reading(face()), example=True)
    assert "Read in less than 0.1 s on " in cards.page(replace(reading(face()), seconds=0.04))
    assert "Read in 1.2 s on " in cards.page(replace(reading(face()), seconds=1.2))


def test_names_of_classes_are_shown_as_text() -> None:
    page = cards.page(reading(face(label="<script>x</script>")))
    assert "<script>" not in page and "&lt;script&gt;" in page


@given(st.floats(0, 1))
def test_no_probability_is_shown_as_certain(p: float) -> None:
    shown = cards.bars("gender", AttributePrediction("a", p, {"a": p, "b": 1 - p}))
    assert "<td>0%" not in shown and "<td>100%" not in shown


# ---------------------------------------------------------------- morphs


def batch(count: int) -> FaceBatch:
    p = np.stack([np.linspace(0, 1, count), 1 - np.linspace(0, 1, count)], 1).astype("float32")
    classes = {"age": ("young", "old"), "gender": ("Male", "Female")}
    years = np.linspace(20, 60, count).astype("float32")
    return batch_of({"age": p, "gender": p}, classes, years)


@given(st.integers(1, 130), st.integers(1, 5))
def test_every_frame_is_where_the_browser_looks_for_it(count: int, size: int) -> None:
    frames = np.arange(count * size * size * 3).reshape(count, size, size, 3).astype("uint8")
    sheet, across = morph_view.sprite(frames)
    for i in range(count):
        y, x = i // across * size, i % across * size
        assert (sheet[y : y + size, x : x + size] == frames[i]).all()


def test_a_morph_is_one_picture_a_slider_and_a_curve_for_each_attribute() -> None:
    made = morph_view.viewer(SimpleNamespace(frames=toy_crops(9, 8), predictions=batch(9)))  # type: ignore[arg-type]
    found = re.search(r"data-morph='([^']*)'", made)
    assert found
    data = json.loads(html.unescape(found[1]))
    assert (data["frames"], data["size"], data["across"]) == (9, 8, 3)
    assert [data["predicted"]["age"][i] for i in (0, -1)] == [20, 60] and data["predicted"]["gender"]["Male"][4] == 50
    assert made.count('class="ff-panel"') == 2 and 'max="8"' in made and made.count("data:image") == 1
    assert "from 20 to 60 years" in made and "from Female to Male" in made
    assert data["between"] == {}


def test_the_curve_of_an_age_shows_how_unsure_it_is() -> None:
    sure = batch(2)
    ends = np.array([[15, 25], [30, 95]], "float32")
    unsure = FaceBatch({**sure.answers, "age": replace(sure.answers["age"], intervals=ends, coverage=0.9)})
    made = morph_view.viewer(SimpleNamespace(frames=toy_crops(2, 8), predictions=unsure))  # type: ignore[arg-type]
    assert html.unescape(made).count('"between": {"age": [[15, 25], [30, 95]]}') == 1
    # Of 100 years in 90 units: 25 and 95 above, 30 and 15 below.
    assert 'class="ff-band" points="0.0,67.5 600.0,4.5 600.0,63.0 0.0,76.5"' in made and ">100<" in made


# ---------------------------------------------------------------- sliders and the map


def test_a_slider_asks_for_what_it_says_and_no_more() -> None:
    age, gender = Control("age", "steps", (), -50, 50, 1), Control("gender", "between", ("Male", "Female"))
    race = Control("race", "towards", ("White", "Black"), 0)
    assert (
        requested(age, 20) == ("", 20)
        and requested(age, 400) == ("", 50)
        and requested(age, 0) is None
        and requested(age, None) is None
    )
    assert requested(gender, -2) == ("Male", 2) and requested(gender, 2) == ("Female", 2)
    assert (
        requested(race, 2, "Black") == ("Black", 2)
        and requested(race, 2, "unchanged") is None
        and requested(race, 0, "Black") is None
    )


def means(count: int) -> Atlas:
    points = tuple(Point(f"<{i}>", {"age" if i % 2 else "race": f"<{i}>"}) for i in range(count))
    latents = np.random.default_rng(0).normal(size=(count, 6)).astype("float32")
    return Atlas(points, latents, np.ones(6, "float32"), {"age": ("a",), "race": ("b",)})


def test_every_point_of_a_map_can_be_reached_and_has_a_name() -> None:
    made = map_view.drawn(means(7), "pca", "age", True)
    assert made.count("<button") == 7 and made.count('tabindex="0"') == 1 and "<0>" not in made
    assert 'aria-label="age &lt;1&gt;"' in made and made.count('class="ff-key"') == 2
    assert 'style="--letters:3"' in made, "room for the longest label"
    faces = Atlas(
        tuple(Point("30 years, Male", {"age": "30-39"}) for _ in range(600)),
        np.random.default_rng(0).normal(size=(600, 4)).astype("float32"),
        np.ones(4, "float32"),
        {"age": ("20-29", "30-39")},
        toy_crops(2, 4).repeat(300, axis=0),
        "some <b>",
    )
    made = map_view.drawn(faces, "pca", "age", True)
    assert made.count("<button") == 500 and "500 faces of the data set some &lt;b&gt;, drawn at random from 600" in made
    assert faces.places("pca").min() == 0 and faces.places("pca").max() == 1
    assert faces.nearest(faces.latents[3], 2)[0] == 3


@given(st.integers(2, 9), st.integers(0, 99))
def test_labels_are_pushed_apart_within_the_map(count: int, seed: int) -> None:
    at = np.random.default_rng(seed).uniform(0, 1, (count, 2)).astype("float32")
    moved = apart(at, np.full(count, 0.12, "float32"), 0.08)
    assert moved.min() >= 0 and moved.max() <= 1
    gaps = np.abs(moved[:, None] - moved)[~np.eye(count, dtype=bool)]
    assert ((gaps[:, 0] > 0.11) | (gaps[:, 1] > 0.07)).all()


# ---------------------------------------------------------------- model cards


def test_a_model_card_runs_nothing() -> None:
    made = text.to_html(
        "# A\n<script>x</script>\n[a](javascript:alert(1)) ![b](http://c/d.png)\n\n|a|b|\n|-|-|\n|1|2|\n"
    )
    assert "<script" not in made and "<img" not in made and 'href="javascript' not in made
    assert "<h2>A</h2>" in made and 'tabindex="0" role="region"' in made


def test_errors_per_group_come_from_the_card() -> None:
    from facefeat.presets.store import find_preset

    header, rows = text.group_rows((find_preset(None) / "model_card.md").read_text("utf-8"))
    assert header == ["Group", "Faces", "Age off by", "Gender wrong", "Race wrong"]
    assert {r[0] for r in rows} == {"age", "gender", "race"} and all(len(r) == 6 for r in rows)
    youngest = next(r for r in rows if r[1] == "0-2")
    assert re.fullmatch(r"0\.\d years \(0\.\d to 1\.\d\)", youngest[3]) and youngest[4].endswith(" in 100")
    assert text.group_rows("# no table") == ([], [])


def test_every_error_is_drawn_with_its_interval() -> None:
    card = "| attribute | group | faces | age mae | gender accuracy |\n|---|---|---|---|---|\n"
    drawn = about._errors(card + "| age | 0-2 | 100 | 2.000 (1.000 to 4.000) | 0.900 |\n")
    years, share = drawn.split("<caption>")[1:]
    # The scale ends a little after the largest end of an interval: 4.2 years.
    assert '<i style="width:47.6%">' in years and '<b style="left:23.8%;width:71.4%">' in years
    assert "2.0 years <small>(1.0 to 4.0)</small>" in years
    assert "10 in 100 <small>(6 to 17)</small>" in share and "<b style=" in share
    assert "<b style=" not in about._errors(card + "| age | 0-2 | ? | 2.000 | ? |\n")
    assert "<img" not in about._errors(card + "| <img> | <img> | <img> | <img> | <img> |\n")


# ---------------------------------------------------------------- the server


def test_a_port_in_use_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port} is in use"):
            server.free_port("127.0.0.1", port)
    assert server.free_port("127.0.0.1", port) == port

    with pytest.raises(InputError, match="no such host"):
        server.free_port("a" * 64, 7860)  # no name of a host is as long

    def unknown(*args: object, **options: object) -> None:
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(InputError, match="no such host"):
        server.free_port("nowhere.invalid", 7860)


def test_a_port_that_is_taken_while_the_model_is_read_is_left_for_the_next() -> None:
    """Two demos that are started together choose the same port, and the second finds it in use at its start."""
    with socket.socket() as first:
        first.bind(("127.0.0.1", 0))
        first.listen()
        port = first.getsockname()[1]
        asked: list[int] = []

        def launch(*, server_port: int, **options: object) -> None:
            asked.append(server_port)
            if server_port == port:
                raise OSError(f"Cannot find empty port in range: {port}-{port}.")

        lines: list[str] = []
        server._launch(SimpleNamespace(launch=launch), server.Settings(), port, {}, lines.append)
        assert len(asked) == 2 and asked[1] != port and f"{asked[1]} instead" in lines[0]
        with pytest.raises(InputError, match=f"port {port} is in use"):
            server._launch(SimpleNamespace(launch=launch), server.Settings(port=port), port, {}, lines.append)


def test_addresses_are_told_and_a_missing_tunnel_is_one_sentence() -> None:
    local = "http://127.0.0.1:7860/"
    (only,) = server.addresses(server.Settings(), local, None)
    assert local in only
    shared = server.Settings(share=True)
    assert server.addresses(shared, local, None)[1].startswith("No public link could be had")
    assert "--auth" in server.addresses(shared, local, "https://x.gradio.live")[2]
    assert len(server.addresses(server.Settings(share=True, auth=("a", "b")), local, "https://x.gradio.live")) == 2


def test_wrong_options_are_one_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for options, says in (
        (["--auth", "me"], "USER:PASSWORD"),
        (["--allow-presets", str(tmp_path / "none")], "a folder of preset folders"),
        (["--port", "0"], "--port"),
        (["--data", str(tmp_path / "none")], "--data wants"),
    ):
        assert run(["demo", *options]) == 2
        assert says in capsys.readouterr().err


def test_an_unknown_preset_is_said_before_a_model_is_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("facefeat_demo.server.serve", lambda *_: pytest.fail("the model was read first"))
    assert run(["demo", "--preset", "mobilenet-112-utkfac"]) == 2
    assert "Did you mean 'mobilenet-112-utkface'" in capsys.readouterr().err


def test_without_the_extra_the_line_to_type_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "gradio" else found(name, *a))
    assert run(["demo"]) == 1
    assert 'pip install "facefeat[demo]"' in capsys.readouterr().err


def test_importing_the_demo_imports_no_gradio() -> None:
    tree = ast.parse((DEMO / "facefeat_demo" / "server.py").read_text("utf-8"))
    top = {n.module for n in tree.body if isinstance(n, ast.ImportFrom)} | {
        a.name for n in tree.body if isinstance(n, ast.Import) for a in n.names
    }
    assert not {m for m in top if m and m.split(".")[0] in ("gradio", "keras")} and "facefeat_demo" in sys.modules


def test_old_files_go_and_others_stay(tmp_path: Path) -> None:
    for name in ("old/a.png", "old/kept.png", "new/b.png", "future/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    now = time.time()
    future = tmp_path / "future" / "c.png"
    os.utime(future, (now + 1e6, now + 1e6))  # the clock was set back
    assert delete_old(tmp_path, 100) == 1 and not future.exists()
    assert delete_old(tmp_path, -1, {str(tmp_path / "old" / "kept.png")}) == 2
    assert [p.name for p in tmp_path.rglob("*.png")] == ["kept.png"]


def test_cleaner_goes_on_after_whatever_goes_wrong(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    turns, said = [], []

    def keep() -> set[str]:
        turns.append(1)
        if len(turns) < 3:
            raise IsADirectoryError(21, "Is a directory")
        return set()

    with cleaned(tmp_path, keep, said.append, every=0.01, age=-1) as thread:
        until = time.monotonic() + 30
        while (tmp_path / "a.png").exists() and time.monotonic() < until:
            time.sleep(0.01)
        assert thread.is_alive()
    assert not (tmp_path / "a.png").exists() and len(said) == 2 and "IsADirectoryError" in said[0]
