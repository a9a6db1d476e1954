"""Paths through the latent space, and the files that frames become."""

from __future__ import annotations

import builtins
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from facefeat import InputError, MissingExtraError
from facefeat.image.video import check_animation, check_output, contact_sheet, enlarge, with_text, write_frames
from facefeat.latent.interpolate import EASINGS, PATHS, between, latent_path


def latents(count: int, width: int = 7, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=(count, width)).astype("float32")


@given(
    st.integers(2, 5),
    st.integers(0, 40),
    st.sampled_from(PATHS),
    st.sampled_from(EASINGS),
    st.booleans(),
    st.integers(0, 99),
)
def test_every_latent_is_passed_exactly_and_the_ends_are_the_ends(
    count: int, more: int, path: str, easing: str, bounce: bool, seed: int
) -> None:
    z = latents(count, seed=seed)
    steps = count + more
    out = latent_path(z, steps, path=path, easing=easing, bounce=bounce)
    assert out.shape == (2 * steps - 2 if bounce else steps, 7) and out.dtype == np.float32
    assert all((out == row).all(axis=1).any() for row in z)
    assert (out[0] == z[0]).all() and (out[steps - 1] == z[-1]).all()
    if bounce:
        assert (out[1:] == out[1:][::-1]).all()  # a loop: the same forwards and backwards


@given(st.integers(0, 99), st.floats(0, 1))
def test_a_spherical_path_keeps_the_length_that_a_linear_one_loses(seed: int, t: float) -> None:
    a, b = latents(2, seed=seed)
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    assert np.linalg.norm(between(a, b, np.array([t]), spherical=True)) == pytest.approx(1, abs=1e-5)
    assert np.linalg.norm(between(a, b, np.array([0.5]), spherical=False)) < 1


def test_directions_that_are_equal_opposite_or_none_have_a_path_too() -> None:
    a = latents(1)[0]
    for b in (a, 2 * a, -a, 0 * a):
        assert np.isfinite(between(a, b, np.linspace(0, 1, 5), spherical=True)).all()


def test_easing_starts_and_ends_slowly() -> None:
    plain, smooth = (latent_path(latents(2), 21, easing=e) for e in EASINGS)
    assert np.abs(smooth[1] - smooth[0]).sum() < np.abs(plain[1] - plain[0]).sum() / 2
    assert np.allclose(smooth[10], plain[10], atol=1e-6)


@pytest.mark.parametrize(
    ("count", "options", "said"),
    [
        (1, {}, "at least two faces. Received: 1"),
        (2, {"steps": 1}, "from 2 .* Received: 1"),
        (2, {"steps": 2.5}, "whole number .* Received: 2.5"),
        (3, {"steps": 2}, "from 3"),
        (2, {"path": "sphere"}, "Did you mean 'spherical'"),
        (2, {"easing": "smoth"}, "Did you mean 'smooth'"),
    ],
)
def test_impossible_paths_are_answered_in_words(count: int, options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        latent_path(latents(count), **{"steps": 10, **options})


def frames(count: int = 5, size: int = 16) -> Any:
    return np.random.default_rng(0).integers(0, 255, (count, size, size, 3)).astype("uint8")


@pytest.mark.parametrize("name", ["a.gif", "a.webp"])
def test_an_animation_has_all_frames_and_loops(name: str, tmp_path: Path) -> None:
    written = write_frames(frames(), tmp_path / name, fps=25)
    with Image.open(written) as picture:
        assert (picture.n_frames, picture.size, picture.info.get("loop")) == (5, (16, 16), 0)
        assert picture.info.get("duration", 40) == 40
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_folder_holds_the_very_frames(tmp_path: Path) -> None:
    made = frames()
    out = write_frames(made, tmp_path / "out")
    assert all((np.asarray(Image.open(p)) == f).all() for p, f in zip(sorted(out.iterdir()), made, strict=True))
    with pytest.raises(InputError, match="there already"):
        write_frames(made, out)


def test_a_video_can_be_read_back(tmp_path: Path) -> None:
    imageio = pytest.importorskip("imageio.v3")
    pytest.importorskip("imageio_ffmpeg")
    smooth = np.broadcast_to(np.linspace(0, 255, 10).astype("uint8")[:, None, None, None], (10, 33, 33, 3))
    written = write_frames(smooth, tmp_path / "a.mp4", fps=10)
    read = np.asarray(imageio.imread(written))
    assert read.shape == (10, 32, 32, 3)
    assert np.abs(read.astype(int) - smooth[:, :32, :32]).mean() < 6


_FULL = """
import resource, sys
import numpy as np
from facefeat import InputError
from facefeat.image.video import write_frames

resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
noise = np.random.default_rng(0).integers(0, 255, (int(sys.argv[2]), 64, 64, 3)).astype("uint8")
try:
    write_frames(noise, sys.argv[1])
except InputError as e:
    print(e)
"""


@pytest.mark.parametrize(("count", "said"), [(8, "ffmpeg wrote 0 of 8 frames"), (300, "ffmpeg stopped (")])
def test_a_video_that_does_not_fit_on_the_disk_is_no_video(count: int, said: str, tmp_path: Path) -> None:
    pytest.importorskip("resource")
    pytest.importorskip("imageio_ffmpeg")
    out = tmp_path / "a.mp4"
    # In a process of its own, whose ffmpeg may not write a larger file: as a full disk, at the end or on the way.
    done = subprocess.run([sys.executable, "-c", _FULL, out, str(count)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"cannot write {str(out)!r}: {said}") and len(done.stdout.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png", "a.mp4", "a"])
def test_frames_one_after_the_other_give_the_same_as_an_array(name: str, tmp_path: Path) -> None:
    if name == "a.mp4":
        pytest.importorskip("imageio_ffmpeg")
    made, alive = frames(30), []

    def one_by_one() -> Iterator[Any]:
        for frame in made:
            taken = frame.copy()
            alive.append(weakref.ref(taken))
            yield taken
            del taken
            # The last one or two may still be in the writer's hands.
            assert name != "a" or sum(ref() is not None for ref in alive) <= 2

    (tmp_path / "lazy").mkdir()
    with pytest.raises(InputError, match="need `count`"):
        write_frames(one_by_one(), tmp_path / "lazy" / name)
    written = write_frames(made, tmp_path / name), write_frames(one_by_one(), tmp_path / "lazy" / name, count=30)
    files = [sorted(p.iterdir()) if p.is_dir() else [p] for p in written]
    assert [p.read_bytes() for p in files[0]] == [p.read_bytes() for p in files[1]]


def test_only_an_animation_must_fit_into_memory() -> None:
    with pytest.raises(InputError, match=r"100,000 frames of 512 x 256 pixels are 39.3 GB.* at most 2 GB"):
        check_animation(Path("a.gif"), 100_000, 512, 256)
    for name, count in (("a.webp", 60), ("a.mp4", 100_000), ("a", 100_000), ("a.png", 100_000)):
        check_animation(Path(name), count, 512, 256)


def test_a_contact_sheet_shows_first_and_last(tmp_path: Path) -> None:
    made = frames(100)
    sheet = np.asarray(Image.open(write_frames(made, tmp_path / "a.png")))
    assert sheet.shape == (3 * 20 + 4, 8 * 20 + 4, 3)
    assert (sheet[4:20, 4:20] == made[0]).all() and (sheet[44:60, 144:160] == made[-1]).all()
    assert contact_sheet(made[:2]).shape == (24, 44, 3)


@pytest.mark.parametrize("name", ["a.avi", "a.txt", "no/such/a.gif", "there", "folder.gif"])
def test_an_output_that_cannot_be_is_refused_before_the_work(name: str, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("x")
    (tmp_path / "folder.gif").mkdir()
    with pytest.raises(InputError, match=r"Valid: \.mp4, \.gif|there is no folder|there already|is a folder"):
        check_output(tmp_path / name)
    assert (tmp_path / "there").read_text() == "x"


def test_a_video_without_the_library_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("imageio"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r'pip install "facefeat\[video\]"'):
        check_output(tmp_path / "a.mp4")


def test_nothing_is_left_behind_where_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(InputError, match="No space left"):
        write_frames(frames(), tmp_path / "a.gif")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("made", "fps", "said"), [(frames(0), 30, "no frames"), (frames(), 0, "fps"), (frames(), float("nan"), "fps")]
)
def test_no_frames_and_no_speed_are_refused(made: Any, fps: float, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        write_frames(made, tmp_path / "a.gif", fps=fps)


def test_frames_grow_and_carry_text() -> None:
    big = enlarge(frames(), 64)
    assert big.shape == (5, 64, 64, 3)
    told = with_text(big, ["31 years"] * 5)
    assert told.shape == (5, 64, 128, 3)
    assert (told[:, :, :64] == big).all() and told[0, :, 64:].max() > 150
