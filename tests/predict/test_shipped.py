"""The detectors that come with the package: found by name, described by a card, used where no checkpoint is named."""

from __future__ import annotations

import json

import numpy as np
import pytest

import ocrmaps
from ocrmaps.annotations.synth.receipts import SynthSpec, save
from ocrmaps.pipelines.ship import slim
from ocrmaps.shipped import NAMES, card_of, shipped


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_detector_is_small_and_its_card_tells_where_it_comes_from(name):
    trained, card = ocrmaps.load_detector(name), card_of(name)
    assert shipped(name).stat().st_size < 3_000_000
    assert card["run"]["root_digest"] == trained.card["store"]["root_digest"]
    assert (card["run"]["steps"], card["run"]["samples"]) == (trained.card["steps"], trained.card["samples"])
    assert card["scores"]["IoU 0.5"] == pytest.approx(trained.card["score"]["hmean"]["0.5"], abs=1e-3)
    assert card["licence"] and card["learnt_from"] and card["fails"]


def test_a_detector_that_is_made_small_twice_is_the_same(tmp_path):
    again = tmp_path / "again.ckpt"
    slim(shipped("receipts"), again)
    pictures = np.random.default_rng(0).integers(0, 256, (2, 96, 64, 3), dtype=np.uint8)
    first, second = (ocrmaps.load_detector(path).maps(pictures)[0] for path in ("receipts", again))
    assert np.array_equal(first, second)


def test_pictures_alone_are_read_by_the_shipped_detector(typed, tmp_path):
    source = save(SynthSpec(num=1), tmp_path / "receipts").source
    code, out, err = typed("predict", source.pictures, "--out", tmp_path / "found.json", "--json")
    assert code == 0 and "the shipped detector `receipts` predicts" in err
    assert json.loads(out)["polygons"] > 5
    named = typed("predict", "receipts", source.pictures, "--out", tmp_path / "named.json", "--json")
    assert json.loads(named[1])["polygons"] == json.loads(out)["polygons"] and "shipped" not in named[2]


def test_a_detector_without_pictures_is_refused(typed, tmp_path):
    code, _, err = typed("predict", "receipts", "--out", tmp_path / "found.json")
    assert code == 2 and "no pictures named" in err


def test_models_are_listed_with_their_cards(typed):
    code, out, _ = typed("models")
    assert code == 0 and all(f"\n{name}" in f"\n{out}" for name in NAMES) and "learnt from" in out
    assert json.loads(typed("models", "--json")[1]).keys() == set(NAMES)
