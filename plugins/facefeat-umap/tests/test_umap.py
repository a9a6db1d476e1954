import numpy as np
import pytest
from facefeat_umap import UMAP

from facefeat import InputError
from facefeat.testing import toy_labels, toy_latents


def test_contract(check_analyzer):
    changed = {"neighbors": 5, "min_dist": 0.5, "metric": "cosine", "seed": 7}
    check_analyzer(UMAP, changed=changed)


def test_what_is_apart_stays_apart(tmp_path):
    latents = toy_latents(60)
    latents[1::2] += 10
    labels = {"glasses": toy_labels(60)["glasses"]}
    analysis = UMAP.build().analyze(latents, labels)
    table = analysis.table
    centres = table.groupby("glasses")[["x", "y"]].mean().to_numpy()
    spread = table.groupby("glasses")[["x", "y"]].std().to_numpy().max()
    assert np.linalg.norm(centres[0] - centres[1]) > 3 * spread
    assert (analysis.save(tmp_path / "out") / "umap-glasses.png").is_file()


@pytest.mark.parametrize("n", [4, 8, 11])
def test_few_latents_are_enough(n):
    assert len(UMAP.build().analyze(toy_latents(n), toy_labels(n)).table) == n


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"neighbors": 1}, "at least 2. Received: 1"),
        ({"neighbors": 2.5}, "whole number"),
        ({"min_dist": 2}, "from 0 to 1"),
        ({"metric": "euclid"}, "Valid: euclidean"),
    ],
)
def test_bad_settings_are_answered_in_words(settings, message):
    with pytest.raises(InputError, match=message):
        UMAP.build(**settings)


def test_it_is_registered_without_a_problem(facefeat_registry):
    assert [p for p in facefeat_registry.problems if p.distribution == "facefeat-umap"] == []
    assert facefeat_registry.get("analyzer", "umap").component is UMAP
