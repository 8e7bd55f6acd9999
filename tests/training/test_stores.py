"""A run on several stores: one order over all of them, shares by weight, and everything that reads the run follows."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback

from ocrmaps.debug.bundles import one_bundle
from ocrmaps.detect.trained import load_detector, read_checkpoint
from ocrmaps.errors import RunError, SpecError
from ocrmaps.evaluation import EvaluationSpec, write_evaluation
from ocrmaps.evaluation.detectors import evaluate_checkpoint
from ocrmaps.evaluation.tune.checks import check_apart
from ocrmaps.maps import MapSpec
from ocrmaps.pipelines.build import build
from ocrmaps.pipelines.data import synth
from ocrmaps.pipelines.debug import bundle_run, replay_bundle
from ocrmaps.pipelines.doctor import examine
from ocrmaps.pipelines.report import find_target
from ocrmaps.pipelines.report import report as report_of
from ocrmaps.pipelines.train import train
from ocrmaps.store.places.cache import find_version
from ocrmaps.store.reader import Reader
from ocrmaps.store.several import opened
from ocrmaps.training.callbacks.stop import Interrupted
from ocrmaps.training.folder import find_data
from ocrmaps.training.place import place_of
from ocrmaps.training.prepare import prepare
from ocrmaps.training.resume import check_same_run
from ocrmaps.training.spec import load_run
from ocrmaps.training.stores import text_heights, weights_of
from tests.training.conftest import recipe, small_run
from tests.training.test_ranks import Ask

BOTH = [{"store": "tiny"}, {"store": "wide", "weight": 0.5}]


@pytest.fixture(scope="module")
def two(world, tmp_path_factory):
    """A cache with `tiny` (6 to learn from, 3 to score) and `wide` (6 and 3 others on another canvas)."""
    root = tmp_path_factory.mktemp("stores")
    (root / "cache").symlink_to(world / "cache")
    for split, number, seed in (("train", 6, 11), ("val", 3, 12)):
        synth(
            root / split, format="ufo", num=number, seed=seed, size=(160, 256), lines=(1, 3), text_height=(18.0, 20.0),
            turned=0.0, curved=0.0, empty=0.0, wide=0.0,
        )  # fmt: skip
    build(recipe(root, name="wide", sides=(96, 128)), root / "cache", workers=1)
    return root / "cache"


def several(*stores, **changes):
    changes.setdefault("data", {"stores": list(stores or BOTH), "batch_size": 1})
    return small_run(watch__pictures=0, optimizer={"name": "sgd", "lr": 0.01}, **changes)


def read(spec, cache):
    return opened(place_of(spec.data, cache))


class Shown(Callback):
    """The rows of each training batch."""

    def __init__(self):
        self.rows = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.rows.append(batch.row.tolist())


@pytest.fixture(scope="module")
def ran(two, tmp_path_factory):
    lines, shown = [], Shown()
    out = tmp_path_factory.mktemp("several") / "run"
    spec = several(augment={"rotate": 5.0})
    return train(spec, out=out, cache=two, say=lines.append, extra=(shown,)), lines, shown.rows


def test_rows_of_several_stores_are_the_rows_of_each(two):
    with read(several(), two) as reader, opened(place_of(small_run().data, two)) as tiny:
        assert reader.select("train").tolist() == [*tiny.select("train"), *(9 + tiny.select("train"))]
        assert reader.canvases == ((128, 96), (96, 128))
        assert reader.name(0) == f"tiny: {tiny.name(0)}" and reader.name(9).startswith("wide: ")
        for row in (2, 2 + len(reader)):  # the second time a row is shown
            assert (reader.read_row(row)["image"] == tiny.read_row(2)["image"]).all()


def test_an_epoch_shows_each_store_by_its_weight_and_says_so(ran):
    report, lines, rows = ran
    first = [row for batch in rows[: len(rows) // 2] for row in batch]
    assert sorted(row for row in first if row < 9) == list(range(6)) and sum(row >= 9 for row in first) == 3
    half = [row for batch in rows for row in batch if row >= 9]
    assert len(set(half)) == 6  # half of them in one epoch, the others in the next
    assert "an epoch shows 9 rows; by store, in epoch 1 (a row more or less in others):" in lines
    assert any("tiny/" in line and "weight 1: 6 (67%), 6 of 6 rows" in line for line in lines)
    assert any(
        "wide/" in line and "weight 0.5: 3 (33%), 3 of 6 rows" in line and "3 validated" in line for line in lines
    )
    assert report.rows[-1]["val/state"] == "complete" and report.identity["samples"] == 18


def test_the_card_names_each_version(ran, two):
    card = read_checkpoint(ran[0].last)["ocrmaps"]
    assert [(s["name"], s["weight"], s["val"]) for s in card["stores"]] == [("tiny", 1, "val"), ("wide", 0.5, "val")]
    for store in card["stores"]:
        with Reader(two / store["name"] / store["version"]) as reader:
            assert store["root_digest"] == reader.root_digest
    with opened(find_data(card, cache=two)) as reader:
        assert reader.root_digest == card["store"]["root_digest"] == ran[0].identity["root_digest"]
    other = json.loads(json.dumps(card))
    other["stores"][1]["root_digest"] = "0" * 64
    with pytest.raises(RunError, match=r"stores\[1\].store: the checkpoint learnt from wide/.* \(root 0000"):
        check_same_run(other, card, ran[0].last)
    moved = json.loads(json.dumps(card))
    moved["run"]["data"]["stores"][1]["store"] = f"/elsewhere/{card['stores'][1]['version']}"
    check_same_run(moved, card, ran[0].last)
    moved["run"]["data"]["stores"][1]["weight"] = 2.0
    with pytest.raises(RunError, match=r"run.data.stores.1.weight: the checkpoint has 2.0, this run 0.5"):
        check_same_run(moved, card, ran[0].last)
    with pytest.raises(RunError, match="rows are shown in other shares"):
        check_same_run(card | {"shown": "0"}, card, ran[0].last)


def test_a_run_stopped_within_an_epoch_goes_on_exactly(ran, two, tmp_path):
    spec, shown = several(augment={"rotate": 5.0}), [Shown(), Shown()]
    with pytest.raises(Interrupted, match="after step 4"):
        train(spec, out=tmp_path / "o", cache=two, extra=(shown[0], Ask(3)))
    train(spec, out=tmp_path / "o", cache=two, resume="auto", extra=(shown[1],))
    assert shown[0].rows + shown[1].rows == ran[2]
    mine, theirs = (read_checkpoint(path)["state_dict"] for path in (tmp_path / "o/checkpoints/last.ckpt", ran[0].last))
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_the_score_is_that_of_all_val_splits(ran, two):
    """Weights do not touch validation; each store alone is evaluated by its name, whatever its canvas."""
    card = load_detector(ran[0].last).card
    found = evaluate_checkpoint(ran[0].last, version=find_data(card, cache=two), split="val")
    assert found.complete and len(found.expected) == 6
    assert found.hmean == ran[0].rows[-1]["val/hmean"]
    store, version = find_version(two, "wide")
    alone = evaluate_checkpoint(ran[0].last, version=store.version(version), split="val")
    assert len(alone.expected) == 3
    with (
        Reader(store.version(version)) as reader,
        pytest.raises(SpecError, match="is what this checkpoint learnt from"),
    ):
        check_apart(reader, "train", None, None, card)


def test_what_looks_at_a_run_looks_at_all_its_stores(ran, two, tmp_path):
    bundle = bundle_run(ran[0].folder, reason="look", cache=two)
    assert replay_bundle(one_bundle(bundle.name, ran[0].folder), cache=two).store == "equal"
    report = examine(str(ran[0].folder), samples=2, cache=two)
    assert "store tiny/" in report.lead and "store wide/" in report.lead and len(report.cases) == 2
    assert report.cases[1].name.startswith("wide/") and not report.stages[0].findings
    assert not any("prepared in another way" in f.what for s in report.stages for f in s.findings)
    page = tmp_path / "page.html"
    assert report_of(find_target(str(ran[0].folder), two), cache=two, out=page, workers=1).samples == 6
    assert re.search(r"on tiny/\w+, wide/\w+ val", page.read_text())


def test_one_store_with_weight_1_is_the_run_of_that_store_alone(two, tmp_path):
    shown = [Shown(), Shown()]
    once = {"budget": {"epochs": 1}}
    a = train(several({"store": "tiny"}, **once), out=tmp_path / "a", cache=two, extra=(shown[0],))
    alone = several(data={"store": "tiny", "batch_size": 1}, **once)
    b = train(alone, out=tmp_path / "b", cache=two, extra=(shown[1],))
    assert shown[0].rows == shown[1].rows
    mine, theirs = (read_checkpoint(r.last)["state_dict"] for r in (a, b))
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_rows_are_weighted_by_source_text_height_and_hard_texts(ran, two, tmp_path):
    store, version = find_version(two, "wide")
    result = evaluate_checkpoint(ran[0].last, version=store.version(version), split="train", spec=EvaluationSpec())
    write_evaluation(result, tmp_path / "seen")
    rules = [
        {"weight": 3, "store": "tiny"},
        {"weight": 0, "text_height": [0, 1000], "store": "tiny", "source": ""},
        {"weight": 2, "texts": str(tmp_path / "seen/texts.csv"), "missed": 1},
    ]
    spec = several(data={"stores": BOTH, "sampling": [rules[0], rules[2]]})
    with read(spec, two) as reader:
        # After 18 steps nothing is found: all of them are hard, and those of the other store with the same names not.
        assert weights_of(spec, reader).tolist() == [3.0] * 6 + [1.0] * 6
        whole = evaluate_checkpoint(ran[0].last, version=find_data(load_detector(ran[0].last).card, cache=two),
                                    split="train", spec=EvaluationSpec(protocols=("iou",)))  # fmt: skip
        write_evaluation(whole, tmp_path / "both")
        hard = several(data={"stores": BOTH, "sampling": [{"weight": 2, "texts": str(tmp_path / "both"), "missed": 1}]})
        assert weights_of(hard, reader).tolist() == [2.0] * 6 + [1.0] * 6, "an evaluation of both means rows of both"
        small = replace(spec, data=replace(spec.data, sampling=several(
            data={"stores": BOTH, "sampling": [{"weight": 2, "text_height": [0, 8]}]}).data.sampling))  # fmt: skip
        heights = weights_of(small, reader)
        assert set(heights[:6]) == {2.0} and set(heights[6:]) == {0.5}  # drawn 10 to 16 and 18 to 20 high, at half size
        none = several(data={"stores": BOTH, "sampling": [{"weight": 0, "text_height": [0, 1000]}]})
        with pytest.raises(SpecError, match="no row is left to learn from"):
            weights_of(none, reader)
        write_evaluation(result, tmp_path / "odd")
        (tmp_path / "odd/texts.csv").write_text("picture,score\na,1\n")
        for rule, words in (
            ({"source": "nowhere"}, r"data.sampling\[0\]: source: found 'nowhere', expected one of '', 'held-out'"),
            ({"store": "nowhere"}, "store: found 'nowhere', expected one of 'tiny', 'wide'"),
            ({"text_height": [900, 1000]}, "found no row that it means among the 12"),
            ({"source": "held-out"}, "found no row that it means"),
            ({"texts": "x/other.csv"}, "found other.csv, expected the texts.csv"),
            ({"texts": str(tmp_path / "odd")}, "found other columns in .*odd, or another identity"),
        ):
            wrong = several(data={"stores": BOTH, "sampling": [{"weight": 2, **rule}]})
            with pytest.raises(SpecError, match=words):
                weights_of(wrong, reader)


def test_heights_of_all_rows_at_once_are_those_of_each(two, monkeypatch):
    monkeypatch.setattr("ocrmaps.training.stores.AT_ONCE", 4)
    for store, version in (find_version(two, name) for name in ("tiny", "wide")):
        folder = store.version(version)
        with Reader(folder) as reader:
            expected = []
            for row in range(len(reader)):
                shown = reader.transform(row).apply(reader.polygon_set(row), "canonical")
                heights = shown.equivalent_sides()[~shown.ignore, 0]
                expected.append(np.median(heights) if len(heights) else np.nan)
            rows = np.arange(len(reader))
            assert np.array_equal(text_heights(reader, rows), expected, equal_nan=True)
            assert np.array_equal(text_heights(reader, rows[::-2]), expected[::-2], equal_nan=True)
            assert text_heights(reader, rows[:0]).shape == (0,)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({}, "data.store: missing"),
        ({"store": "a", "stores": [{"store": "b"}]}, "beside"),
        (
            {"train": "val", "val": "train", "stores": [{"store": "b"}]},
            "data.train: found 'val', expected train in each",
        ),
        ({"stores": [{"store": "b", "weight": 0}]}, r"data.stores\[0\].weight: found 0, expected a number above 0"),
        ({"stores": [{"store": "b"}, {"store": "b"}]}, r"data.stores\[1\].store: found 'b' twice"),
        ({"stores": [{"store": "b", "val": "none"}]}, "found val none in all of them"),
        ({"stores": [{"store": "b", "val": "train"}]}, r"data.stores\[0\].val: found 'train', expected another split"),
        ({"store": "a", "sampling": [{"weight": 2}]}, r"data.sampling\[0\].weight: says of no row"),
        ({"store": "a", "sampling": [{"weight": 2, "source": "b", "missed": 0.2}]}, "expected texts beside it"),
    ],
)
def test_data_that_contradict_themselves_are_refused(data, words):
    with pytest.raises(SpecError, match=words):
        small_run(data=data)


def test_stores_that_cannot_be_learnt_from_together_are_refused(two, tmp_path):
    def refused(words, *stores):
        with pytest.raises(SpecError, match=words), prepare(several(*stores), out=tmp_path / "o", cache=two):
            pass

    version = find_version(two, "wide")[1]
    refused(r"data.stores\[1\].store: nowhere: no such version", {"store": "tiny"}, {"store": "nowhere"})
    refused(f"which is wide/{version} once more", {"store": "wide"}, {"store": f"wide/{version}"})
    refused(
        r"data.stores\[1\].val: split 'test' of wide/.* is empty", {"store": "tiny"}, {"store": "wide", "val": "test"}
    )
    (tmp_path / "copy").symlink_to(two / "wide")
    refused(
        "whose bytes are those of a store before it", {"store": "wide"}, {"store": str(tmp_path / "copy" / version)}
    )
    other = recipe(two.parent, name="thin")
    build(replace(other, maps=MapSpec(shrink_ratio=0.4)), two, workers=1)
    refused("maps.shrink_ratio: tiny/.* has 0.6, thin/.* has 0.4", {"store": "tiny"}, {"store": "thin"})


def test_paths_of_rules_count_from_the_run_file(tmp_path):
    (tmp_path / "r.toml").write_text(
        '[[data.stores]]\nstore = "a"\n[[data.stores]]\nstore = "b"\nval = "none"\nweight = 2\n'
        '[[data.sampling]]\ntexts = "e/texts.csv"\nweight = 4\n'
    )
    data = load_run(tmp_path / "r.toml").data
    assert data.sampling[0].texts == tmp_path / "e/texts.csv" and data.stores[1].weight == 2
