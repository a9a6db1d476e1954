"""The model card's section on a decoder: put before the limits, and never twice."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from facefeat.evaluation.card import with_decoder


def section(card: str, psnr: float, code: int = 3) -> str:
    decoder = SimpleNamespace(
        ref=SimpleNamespace(name="detail"), detail_dim=code, latent_dim=5 + code, feature_dim=5, face_size=32
    )
    best = {"epoch": 1, "mse": 0.00712, "psnr": psnr, "kept_gender": 0.975, "swap_kept_gender": 0.5}
    faces = {"train": {"faces": 1800}, "validation": {"faces": 200}}
    log = {"best_epoch": 1, "epochs": [{}, best], "data": faces}
    return with_decoder(card, cast("Any", SimpleNamespace(decoder=decoder)), log, "facefeat train-decoder")


def test_it_comes_before_the_limits_and_replaces_the_last_one() -> None:
    card = "# tiny\n\n## Figures\n\nsome\n\n## Limits\n\nmany\n"
    once = section(card, 21.47)
    assert once.index("## Figures") < once.index("## Decoder") < once.index("## Limits")
    assert "8 numbers: 5 attribute features, and 3 of a detail code" in once
    assert "epoch 2 of 2. On the 200 validation faces: PSNR 21.5 dB (mean squared error 0.0071" in once
    assert "gender 97.5%" in once and "50.0%" not in once
    twice = section(once, 22.0)
    assert twice.count("## Decoder") == 1 and "22.0 dB" in twice and "21.5 dB" not in twice
    assert twice.replace("22.0 dB", "21.5 dB") == once


def test_a_card_without_limits_ends_with_it() -> None:
    once = section("# tiny\n", 21.0, code=0)
    assert once.startswith("# tiny\n\n## Decoder\n") and once.endswith("photographs of people.\n")
    assert "detail code" not in once and section(once, 21.0, code=0) == once


def test_limits_name_what_the_model_predicts() -> None:
    from facefeat.evaluation.card import _limits
    from facefeat.schema import Schema, get_schema

    own = Schema.from_dict({"name": "own", "attributes": {"mood": {"classes": ["glad", "sad"]}}})
    assert "*apparent* age, gender and race" in _limits(get_schema("utkface"))
    assert "two genders" in _limits(get_schema("utkface"))
    assert "*apparent* mood," in _limits(own) and "gender" not in _limits(own) and "identity" not in _limits(own)


def test_the_header_is_yaml_with_the_metrics_and_is_not_shown() -> None:
    import pandas as pd
    import yaml

    from facefeat.evaluation import Report
    from facefeat.evaluation.card import _header
    from facefeat.presets.metadata import Metadata, without_header
    from facefeat.schema import get_schema

    report = Report("my: data", 9, {"gender_accuracy": 0.9375, "age_mae": 4.5}, pd.DataFrame())
    header = _header(SimpleNamespace(name='a "b": c', schema=get_schema("utkface")), report, "research: only")
    text = "\n".join([*header, "# m", ""])
    front = yaml.safe_load(text.split("---\n")[1])
    (model,) = front["model-index"]
    assert model["name"] == 'a "b": c' and front["license_name"] == "research: only"
    found = {(r["task"]["name"], m["type"]): m["value"] for r in model["results"] for m in r["metrics"]}
    assert found == {("gender", "accuracy"): 0.9375, ("age", "mae"): 4.5}
    assert model["results"][0]["dataset"] == {"name": "my: data", "type": "my: data", "split": "val"}
    assert without_header(text) == Metadata(card=text).text == "# m\n" and without_header("# m\n---\n") == "# m\n---\n"
