"""Mistakes in a recipe or a run are told before any work starts, with their line; that needs no TensorFlow."""

from __future__ import annotations

import errno
import shlex
import shutil
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import facefeat.data
from facefeat import PresetError, RecipeError, TrainingError
from facefeat.cli import cli
from facefeat.cli._run import repeated
from facefeat.training import (
    DecoderRecipe,
    freezing,
    list_decoder_recipes,
    list_recipes,
    load_decoder_recipe,
    load_recipe,
)
from facefeat.training.base_recipe import PRECISIONS
from facefeat.training.reading import line_of
from facefeat.training.recipe import Recipe

READERS = pytest.mark.parametrize("load", [load_recipe, load_decoder_recipe], ids=["classifier", "decoder"])


def written(folder: Path, text: str) -> Path:
    file = folder / "mine.toml"
    file.write_text(text, "utf-8")
    return file


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch = 3\n", r"line 1: epoch: unknown key.* Next: 'epochs' below \[train\]"),
        ("learning_rate = 1e-3\n", r"unknown key.* Next: 'learning_rate' below \[train\]"),
        ("seed = 2\ntrain.epohcs = 3\n", r"line 2: train\.epohcs: unknown key.*'epochs'"),
        ("\ntrain = { epohcs = 3 }\n", r"line 2: train\.epohcs: unknown key"),
        ("[train]\nphases = [\n  { epochs = 3 },\n  { epoch = 3 },\n]\n", r"line 4: train\.phases\.2\.epoch: unknown"),
        ("loss = { age = { knd = 'squared' } }\n", r"line 1: loss\.age\.knd: unknown key.*'kind'"),
        ("seed = 1\n[loss]\nage.kind = 'sqared'\n", r"line 3: loss\.age\.kind: no such loss"),
        (
            "summary = '''\n[train]\nepohcs = 3\n'''\n[train] # seed\nepohcs = 3\n",
            r"line 6: train\.epohcs: unknown key",
        ),
        ('"train"."epohcs" = 3\n', r"line 1: train\.epohcs: unknown key"),
        # What is not there: the table that it is missing from.
        ("seed = 1\n[backbone]\n", r"line 2: backbone\.name: is missing"),
        ("[[train.phases]]\nepochs = 1\n[[train.phases]]\n", r"line 3: train\.phases\.2\.epochs: is missing"),
    ],
)
def test_keys_are_found_however_they_are_written(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(written(tmp_path, text))


HARD = r'''
title = "a # b = [c] \" d" # [no]
lines = """
[no]
no = 1 \"""
""""
raw = QQQ  # the next line ends it
no = 2QQQ
when = 2020-01-01 10:00:00
"quoted key".'and another' = 1.5
empty = ""
[ a . b ]  # [no]
c.d = { e = [1, 2, { f = [[], [ ] ] }], "g}" = '}' }
[[a.list]]
x = [
  1, # one ]
  2,
]
[[a.list]]
[a.list.inner]
x = true
[a]
last = -inf
'''.replace("QQQ", "'''")


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    parts = value.items() if isinstance(value, dict) else enumerate(value, 1) if isinstance(value, list) else ()
    for key, part in parts:
        yield (*path, str(key)), part
        yield from leaves(part, (*path, str(key)))


def test_every_key_of_a_toml_text_has_its_line() -> None:
    shipped = [*list_recipes().values(), *list_decoder_recipes().values()]
    for text in (HARD, *(p.read_text("utf-8") for p in shipped)):
        lines = text.split("\n")
        for path, _ in leaves(tomllib.loads(text)):
            line = line_of(text, path)
            assert line and (path[-1].isdecimal() or path[-1] in lines[line - 1]), path
    keys = ("lines", "raw", "when", "a", "a.b", "a.list", "a.list.1.x.2", "a.list.2.inner.x")
    assert [line_of(HARD, tuple(k.split("."))) for k in keys] == [3, 7, 9, 12, 12, 14, 17, 21]


def test_a_key_that_is_not_there_or_a_text_that_is_no_toml_has_no_line() -> None:
    assert [line_of(text, ("a",)) for text in ("", "b = 1", "[", "a = [", "x y", "a = 1\n" * 3)] == [0] * 6
    assert line_of("\n" * 2000 + "a = 1", ("a",)) == 0  # not looked for in so long a text


@READERS
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed = -1\n", r"line 1: seed: impossible value. Received: -1. Valid: 0 to 4294967295"),
        ("seed = 4294967296\n", r"line 1: seed: impossible value"),
        (
            "[train]\nmixed_precision = 'bfloat61'\n",
            r"line 2: train\.mixed_precision: no such precision. Received: 'bfloat61'. Did you mean 'bfloat16'",
        ),
    ],
)
def test_seeds_and_precisions_are_checked(load: Callable[[Path], Any], text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=message):
        load(written(tmp_path, text))
    assert load(written(tmp_path, "seed = 4294967295\n")).seed == 2**32 - 1
    for precision in PRECISIONS:
        text = f"[train]\nmixed_precision = '{precision}'\n"
        assert load(written(tmp_path, text)).train.mixed_precision == precision
    with pytest.raises(RecipeError, match="recipe: seed: impossible value"):
        load(written(tmp_path, "")).replace(seed=-1)


@pytest.mark.parametrize(
    ("attribute", "kind"), [("race", "distribution"), ("gender", "ordinal"), ("age", None), ("race", "squared")]
)
def test_a_kind_of_loss_must_suit_its_attribute(attribute: str, kind: str | None, tmp_path: Path) -> None:
    for one in (kind,) if kind else ("distribution", "ordinal"):
        file = written(tmp_path, f"[loss.{attribute}]\nweight = 2.0\nkind = '{one}'\n")
        if one == "squared" or attribute == "age":
            assert load_recipe(file).loss[attribute].kind == one
            continue
        valid = r"Valid: cross-entropy, focal, squared\."
        with pytest.raises(RecipeError, match=rf"line 3: loss\.{attribute}\.kind: loss '{one}' does not fit .*{valid}"):
            load_recipe(file)


@READERS
def test_one_epoch_is_enough_where_no_warm_up_is_given(load: Callable[[Path], Any], tmp_path: Path) -> None:
    def warmup(text: str) -> float:
        return load(written(tmp_path, f"[train]\n{text}")).train.warmup_epochs

    assert [warmup("epochs = 1"), warmup("epochs = 2"), warmup("epochs = 30")] == [0.5, 1.0, 1.0]
    assert warmup("epochs = 1\nwarmup_epochs = 0") == 0
    with pytest.raises(RecipeError, match=r"line 3: train\.warmup_epochs: impossible value"):
        warmup("epochs = 1\nwarmup_epochs = 1")
    with pytest.raises(RecipeError, match=r"line 2: train\.epochs: impossible value"):
        warmup("epochs = 0")


def test_a_phase_of_one_epoch_needs_no_warm_up_either(tmp_path: Path) -> None:
    text = "[[train.phases]]\nepochs = 1\n[[train.phases]]\nepochs = 4\n"
    recipe = load_recipe(written(tmp_path, text))
    assert [p.warmup_epochs for p in recipe.train.plan()] == [0.5, 1.0]
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    assert DecoderRecipe.from_dict({"name": "x", "train": {"epochs": 1}}).train.plan()[0].warmup_epochs == 0.5


def test_a_learning_rate_reaches_phases_with_one_of_their_own(tmp_path: Path) -> None:
    text = "[train]\nlearning_rate = 1e-3\n"
    text += "[[train.phases]]\nepochs = 4\n[[train.phases]]\nepochs = 4\nlearning_rate = 1e-4\n"
    recipe = load_recipe(written(tmp_path, text))
    assert [p.learning_rate for p in recipe.replace(learning_rate=2e-3).train.plan()] == pytest.approx([2e-3, 2e-4])
    assert recipe.replace(learning_rate=1e-3) == recipe
    both = recipe.replace(learning_rate=1e-2, epochs=2).train
    assert [(p.epochs, p.learning_rate) for p in both.plan()] == [(1, 1e-2), (1, pytest.approx(1e-3))]
    for wrong in (-1.0, 0.0, "fast", float("nan")):
        with pytest.raises(RecipeError, match=r"train\.learning_rate: "):
            recipe.replace(learning_rate=wrong)
    phases = [{"epochs": 2, "learning_rate": 0.5}]
    assert recipe.replace(learning_rate=1e-2, epochs=9, phases=phases).train.plan()[0].learning_rate == 0.5


def test_the_card_repeats_the_run_as_it_was_given() -> None:
    plain = {"splits": None, "train_split": "train", "validation_split": "val", "epochs": None, "seed": None}
    assert repeated("train", "utkface-compact", **plain) == (
        "facefeat train --recipe utkface-compact --data DATA --output RUN"
    )
    given = {"splits": Path("my splits.csv"), "train_split": "a", "validation_split": "b", "epochs": 3}
    words = shlex.split(repeated("train", "my recipe.toml", **given, batch_size=8, learning_rate=1e-3, seed=0))
    assert words[:8] == ["facefeat", "train", "--recipe", "my recipe.toml", "--data", "DATA", "--output", "RUN"]
    assert words[8:] == [
        *("--splits", "my splits.csv", "--train-split", "a", "--validation-split", "b"),
        *("--epochs", "3", "--batch-size", "8", "--learning-rate", "0.001", "--seed", "0"),
    ]


def test_an_unknown_start_is_told_before_the_data_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facefeat.data, "load_dataset", lambda *_, **__: pytest.fail("the data were read"))
    words = ["--recipe", written(tmp_path, "start = 'nosuch'\n"), "--data", tmp_path, "--output", tmp_path / "run"]
    done = CliRunner().invoke(cli, ["train", *map(str, words)])
    assert isinstance(done.exception, PresetError) and "no such preset. Received: 'nosuch'" in str(done.exception)


class Backbone:
    """What `frozen_features` needs of a classifier: maps of 2 x 2 x 3, of numbers up to 70,000."""

    image_size = 4
    backbone = SimpleNamespace(to_dict=lambda: {"name": "fake"})
    backbone_model = SimpleNamespace(output_shape=(None, 2, 2, 3), get_weights=lambda: [np.ones(2, "float32")])

    def __init__(self) -> None:
        self.calls = 0

    def feature_map(self, crops: np.ndarray) -> np.ndarray:
        self.calls += 1
        return np.repeat(crops[:, :1, :1, :1], 12).reshape(-1, 2, 2, 3) * np.float32(1000)


class Crops(np.ndarray):
    path: Path
    row_numbers: np.ndarray


@pytest.fixture
def crops(tmp_path: Path) -> Crops:
    faces = np.zeros((70, 4, 4, 3), "uint8").view(Crops)
    faces[:] = np.arange(70, dtype="uint8").reshape(-1, 1, 1, 1)
    faces.path, faces.row_numbers = tmp_path / "crops-4-x" / "crops.u8", np.arange(70)
    return faces


def test_features_are_kept(tmp_path: Path, crops: Crops) -> None:
    reader = Backbone()
    features = freezing.frozen_features(reader, crops)  # type: ignore[arg-type]
    assert features.shape == (70, 2, 2, 3) and features.dtype == np.float16 and reader.calls == 2
    want = np.minimum(np.arange(70) * 1000.0, np.finfo("float16").max).astype("float16")
    np.testing.assert_array_equal(features, np.broadcast_to(want.reshape(-1, 1, 1, 1), features.shape))
    again = freezing.frozen_features(reader, crops)  # type: ignore[arg-type]
    assert reader.calls == 2 and again.shape == features.shape


def test_no_room_for_features_is_told_before_they_are_computed(
    tmp_path: Path, crops: Crops, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Backbone()
    with monkeypatch.context() as patch, pytest.raises(TrainingError, match=r"only 0\.0 GB are free.*FACEFEAT_CACHE"):
        patch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
        freezing.frozen_features(reader, crops)  # type: ignore[arg-type]
    assert reader.calls == 0 and list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_meanwhile_is_one_sentence(
    tmp_path: Path, crops: Crops, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The features are written, not put into a mapped file, where a full disk would be the end of the process."""

    class Full:
        def __init__(self, file: Any) -> None:
            self.file, self.writes = file, 0

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def write(self, data: bytes) -> int:
            self.writes += 1
            if self.writes > 2:
                raise OSError(errno.ENOSPC, "No space left on device")
            return int(self.file.write(data))

    real = Path.open
    monkeypatch.setattr(Path, "open", lambda self, *args: Full(real(self, *args)))
    with pytest.raises(TrainingError, match=r"cannot write .*No space left on device. The features of the frozen"):
        freezing.frozen_features(Backbone(), crops)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
