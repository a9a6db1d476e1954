"""Parsers of strangers' files, given anything: what they give is valid, or they raise the error they promise."""

from __future__ import annotations

import contextlib
import io
import json
import string
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facefeat.batch.parquet_pages import _Compact
from facefeat.builtin.backbones.mobilenet import read as read_tfjs
from facefeat.data.importers import read_raw
from facefeat.data.tables import parse_table
from facefeat.errors import DataError, InputError, PresetError, RecipeError, SchemaError
from facefeat.networks.onnx_graph import check_graph
from facefeat.presets.files import listed_sums
from facefeat.schema import Schema
from facefeat.training.recipe import Recipe
from facefeat.utils.archives import read_npz
from facefeat.utils.files import parse_json, parse_toml

FAST = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
ODD = st.sampled_from([float("nan"), float("inf"), -1, 0, 10**400, 2**63, "", "\x1b[2J", [], {}, None, True])
VALUES = st.recursive(ODD | st.text(max_size=8) | st.integers(), lambda v: st.lists(v, max_size=3)
                      | st.dictionaries(st.text(max_size=6), v, max_size=3), max_leaves=6)  # fmt: skip
RECIPE_KEYS = st.sampled_from(
    ["name", "seed", "start", "schema", "image_size", "backbone", "train", "augment", "loss", "x"]
)


@FAST
@given(st.binary(max_size=400) | st.text(alphabet=",;\t\"'\n\r file=1\u2028\x00é", max_size=200).map(str.encode))
def test_tables(data: bytes) -> None:
    try:
        table = parse_table(data, "t.csv")
    except DataError:
        return
    assert all(set(row) <= set(table.columns) for _, row in table.rows)


@FAST
@given(st.text(alphabet=string.printable, max_size=200))
def test_toml_and_json(text: str) -> None:
    for parse in (parse_toml, parse_json):
        with contextlib.suppress(ValueError):
            parse(text)


@FAST
@given(st.dictionaries(RECIPE_KEYS, VALUES, max_size=4))
def test_recipes(table: dict[str, Any]) -> None:
    try:
        made = Recipe.from_dict({"name": "x", **table})
    except RecipeError as e:
        assert len(str(e)) < 5000
        return
    assert Recipe.from_dict(made.to_dict()) == made


ATTRIBUTE = st.dictionaries(
    st.sampled_from(["classes", "ordered", "years", "exact", "aliases", "kind", "range", "unit", "bins", "period"]),
    VALUES | st.sampled_from([["a", "b"], [[0, 9], [10, 19]], "continuous", "multilabel", "ordered", "circular"]),
    max_size=4,
)


@FAST
@given(st.dictionaries(st.sampled_from(["age", "gender", "A", "", "a b"]), ATTRIBUTE | VALUES, max_size=3))
def test_schemas(attributes: dict[str, Any]) -> None:
    try:
        made = Schema.from_dict({"name": "x", "attributes": attributes})
    except SchemaError:
        return
    assert Schema.from_dict(json.loads(json.dumps(made.to_dict()))).meaning == made.meaning
    assert all(1 <= a.outputs <= 5000 for a in made.attributes.values())


@FAST
@given(st.binary(max_size=300), st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=8))
def test_npz(tmp_path_factory: pytest.TempPathFactory, junk: bytes, flips: list[tuple[int, int]]) -> None:
    path = tmp_path_factory.mktemp("npz") / "a.npz"
    made = io.BytesIO()
    np.savez(made, a=np.zeros((3, 4), "float32"))
    data = bytearray(made.getvalue())
    for at, value in flips:
        data[at % len(data)] = value
    for content in (bytes(data), junk):
        path.write_bytes(content)
        with contextlib.suppress(ValueError):
            assert read_npz(path, 10_000, ["a"])["a"].nbytes <= 10_000


def test_npz_with_an_unclosed_header(tmp_path: Path) -> None:
    head = b"{'descr': '<f4', 'fortran_order': False, 'shape': (3,"
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("a.npy", b"\x93NUMPY\1\0" + len(head).to_bytes(2, "little") + head + bytes(12))
    with pytest.raises(ValueError, match="multi-line|was never closed|header"):
        read_npz(tmp_path / "a.npz", 10_000, ["a"])


@FAST
@given(st.binary(max_size=200), VALUES)
def test_tfjs_weights(tmp_path_factory: pytest.TempPathFactory, numbers: bytes, listed: Any) -> None:
    folder = tmp_path_factory.mktemp("tfjs")
    (folder / "a.bin").write_bytes(numbers)
    one = [{"name": "a", "shape": listed, "dtype": "float32"}]
    for about in (listed, {"weightsManifest": [{"weights": listed}]}, {"weightsManifest": [{"weights": one}]}):
        (folder / "a.json").write_text(json.dumps(about))
        try:
            found = read_tfjs(folder / "a.json", folder / "a.bin")
        except InputError:
            continue
        assert sum(a.nbytes for a in found.values()) <= len(numbers)


@FAST
@given(st.text(alphabet="0123456789_.-e٣", min_size=1, max_size=24))
def test_utkface_names(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    folder = tmp_path_factory.mktemp("utkface")
    for file in (f"x{name}.jpg", "1_0_0_20170101.jpg", f"{name}.jpg".lstrip(".") or "x.jpg"):
        (folder / file).touch()
    found = read_raw(folder, format="utkface")
    years = found.table["age_years"]
    assert len(found.table) >= 1 and ((years >= 0) & (years <= 150)).all()


@FAST
@given(st.binary(max_size=300))
def test_onnx_graphs(data: bytes) -> None:
    with pytest.raises(PresetError):
        check_graph(data, "a.onnx")


@FAST
@given(st.binary(max_size=300))
def test_page_headers(data: bytes) -> None:
    with contextlib.suppress(IndexError, ValueError):
        _Compact(data).struct(0)


@FAST
@given(st.binary(max_size=300))
def test_sums(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("sums")
    (folder / "SHA256SUMS").write_bytes(data)
    with contextlib.suppress(PresetError):
        listed_sums(folder)


CARD = st.text(alphabet="-:#|[]{}\n \t'\"!&*é\x1bab", max_size=120)


@FAST
@given(CARD)
def test_headers_of_cards(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    from facefeat.presets.store import read_card

    folder: Path = tmp_path_factory.mktemp("card")
    (folder / "model_card.md").write_text(f"---\n{text}\n---\n# x\n", "utf-8", newline="")
    assert text in read_card(folder)
