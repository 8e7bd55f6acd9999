"""Settings are chosen on one split, frozen, and tested once elsewhere; what was frozen scores what was said."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from ocrmaps.annotations import open_source
from ocrmaps.detect.trained import load_detector, read_checkpoint
from ocrmaps.errors import DataError, SpecError
from ocrmaps.evaluation import EvaluationSpec, result_document
from ocrmaps.evaluation.detectors import evaluate_checkpoint
from ocrmaps.evaluation.summary import table as scores
from ocrmaps.evaluation.tune.goals import CRITERION, SHOWN, Sweep, goal_from, goals_from
from ocrmaps.evaluation.tune.grid import Grid, criterion_from, grid_from, rank
from ocrmaps.evaluation.tune.summary import table
from ocrmaps.extract import ExtractSpec
from ocrmaps.metrics.iou import IouSweep
from ocrmaps.pipelines.tune import tune_stored

GRID = Grid(binarize=(0.3, 0.4), score_min=(0.4, 0.5, 0.6), ratios=(2.0,), margins=(0.0,), splits=(0.0,))
IOU_ONLY = EvaluationSpec(protocols=("iou",))


@pytest.fixture(scope="module")
def checkpoint(checkpoint, tmp_path_factory):
    """The run's checkpoint, but with settings that lose most of what it finds: there is something to choose."""
    content = read_checkpoint(checkpoint)
    content["ocrmaps"]["extract"] |= {"binarize": 0.55, "score_min": 0.9}
    path = tmp_path_factory.mktemp("strict") / "strict.ckpt"
    torch.save(content, path)
    return path


def choose(checkpoint, world, out, **changes):
    asked = {"store": "tiny", "cache": world / "cache", "grid": GRID, **changes}
    return tune_stored(checkpoint, out=out, **asked)


@pytest.fixture(scope="module")
def report(checkpoint, world, tmp_path_factory):
    return choose(checkpoint, world, tmp_path_factory.mktemp("tuned") / "new.ckpt", test_split="test")


@pytest.fixture(scope="module")
def tuned(report):
    """What was chosen for the only goal."""
    return report.choices[0]


def test_the_new_checkpoint_scores_what_tuning_said(report, tuned, version):
    found = evaluate_checkpoint(report.out, version=version, spec=IOU_ONLY)
    assert tuned.chosen.hmean > tuned.before.hmean
    for threshold in SHOWN:
        counts = tuned.chosen.counts[threshold]
        assert found.totals[threshold].matched == counts.matched
        assert found.totals[threshold].detection_care == counts.detection_care


def test_before_is_what_the_checkpoint_scores_as_it_is(tuned, checkpoint, version):
    assert evaluate_checkpoint(checkpoint, version=version, spec=IOU_ONLY).hmean == pytest.approx(tuned.before.hmean)


def test_the_test_is_of_the_chosen_settings_and_the_best_is_apart(report, tuned, version):
    found = evaluate_checkpoint(report.out, version=version, split="test", spec=IOU_ONLY)
    assert found.hmean == pytest.approx(tuned.test.hmean, abs=1e-6)
    assert tuned.test.extract == tuned.chosen.extract and tuned.test_best.hmean >= tuned.test.hmean
    document = report.as_dict()
    assert document["goals"]["iou"].items() <= document.items()
    assert "best_of_sweep_on_test" in document["not_a_result"] and "best_of_sweep_on_test" not in document["test"]
    text = table(report)
    assert text.index("not a result") > text.index("test on 3 pictures")


def test_the_new_checkpoint_says_how_it_was_tuned_and_keeps_all_else(report, tuned, checkpoint):
    old, new = read_checkpoint(checkpoint), read_checkpoint(report.out)
    assert all(torch.equal(old["state_dict"][k], new["state_dict"][k]) for k in old["state_dict"])
    assert old.keys() == new.keys() and {k for k in old["ocrmaps"] if old["ocrmaps"][k] != new["ocrmaps"][k]} <= {
        "extract", "score"
    }  # fmt: skip
    card = new["ocrmaps"]["tuned"]
    assert card["on"]["split"] == "val" and card["on"]["root_digest"] == new["ocrmaps"]["store"]["root_digest"]
    assert card["grid"]["binarize"] == [0.3, 0.4] and card["chosen"]["iou"]["0.5"]["hmean"] == tuned.chosen.hmean
    assert ExtractSpec(**new["ocrmaps"]["extract"]) == tuned.chosen.extract == load_detector(report.out).extract


def test_every_setting_of_the_grid_is_tried_once(tuned, checkpoint):
    own = load_detector(checkpoint).extract
    tried = [(p.extract.binarize, p.extract.score_min, p.extract.unclip, p.extract.unclip_ratio) for p in tuned.points]
    assert len(tried) == len(set(tried)) == 3 * 4 * 2  # the checkpoint's own 0.55 and 0.9 besides
    assert {b for b, *_ in tried} == {0.3, 0.4, own.binarize}
    assert tuned.points == tuple(sorted(tuned.points, key=lambda p: -round(p.worth(tuned.goal), 12)))


def test_a_test_source_scores_as_the_split_of_the_same_pictures(tuned, checkpoint, world, tmp_path):
    by_source = choose(checkpoint, world, tmp_path / "new.ckpt", test_source=world / "test")
    assert by_source.choices[0].test.hmean == pytest.approx(tuned.test.hmean, abs=1e-6)


def test_equal_scores_keep_what_the_checkpoint_had():
    own = ExtractSpec()
    counts = Sweep(
        iou=IouSweep(
            cuts=(0.5, 0.6, 0.7), thresholds=(0.5, 0.7), matched=torch.ones(3, 2, dtype=torch.int64).numpy(),
            detection_care=torch.ones(3, dtype=torch.int64).numpy(), truth_care=2,
        )
    )  # fmt: skip
    settings = Grid(binarize=(0.3, 0.6), ratios=(1.5, 3.0)).settings(own)
    assert rank(settings[::-1], [counts] * len(settings), own=own, goal=goal_from("iou", SHOWN))[0].extract == own
    other = replace(own, unclip="constant", unclip_ratio=3.0)
    near = rank(
        [replace(other, unclip_ratio=2.0), replace(own, binarize=0.3)],
        [counts] * 2,
        own=other,
        goal=goal_from("iou@0.5"),
    )[0]
    assert near.extract.unclip == "inverse" or near.extract.unclip_ratio == 2.0


def sweep_of(matched: tuple[int, int]) -> Sweep:
    """Ten texts and ten detections, of which so many fit at IoU 0.5 and 0.7."""
    counts = IouSweep(
        cuts=(0.6,), thresholds=(0.5, 0.7), matched=np.array([matched]), detection_care=np.array([10]), truth_care=10
    )
    return Sweep(iou=counts)


def test_the_criterion_decides_what_is_best():
    own = ExtractSpec()
    settings = [own, replace(own, binarize=0.3), replace(own, binarize=0.4)]
    sweeps = [sweep_of((8, 6)), sweep_of((10, 1)), sweep_of((9, 6))]
    best = {
        c: rank(settings, sweeps, own=own, goal=goal_from("iou", c))[0].extract.binarize
        for c in ((0.5,), (0.7,), SHOWN)
    }
    assert best[0.5,] == 0.3 and best[SHOWN] == 0.4
    assert best[0.7,] == own.binarize, "of equals the nearest to the checkpoint's own"


def test_what_is_chosen_has_the_best_mean_and_both_figures_are_told_before_and_after(report, tuned):
    worth = tuned.chosen.worth(tuned.goal)
    assert tuned.goal.thresholds == CRITERION and worth == max(p.worth(tuned.goal) for p in tuned.points)
    assert worth == pytest.approx(np.mean([tuned.chosen.counts[t].hmean for t in CRITERION]))
    text, document = table(report), report.as_dict()
    for point in (tuned.before, tuned.chosen, tuned.test_before, tuned.test, tuned.test_best):
        assert all(f"hmean {point.counts[t].hmean:.4f} at IoU {t:g}" in text for t in SHOWN)
    assert "chosen by the mean hmean at IoU 0.5, 0.55" in text
    assert document["criterion"] == {"mean_hmean_at_iou": list(CRITERION)}
    assert all({"0.5", "0.7"} <= document[part]["iou"].keys() for part in ("before", "chosen", "test", "test_before"))


def test_a_loss_at_a_figure_that_is_shown_is_said(checkpoint, world, tmp_path):
    report = choose(checkpoint, world, tmp_path / "new.ckpt", goals=goals_from(["iou@0.5"]))
    choice = report.choices[0]
    lost = [t for t in SHOWN if choice.chosen.counts[t].hmean < choice.before.counts[t].hmean]
    assert table(report).count("note: hmean at IoU") == len(lost)
    worse = replace(choice, before=choice.chosen, chosen=choice.before)
    assert "note: hmean at IoU 0.5 falls from" in table(replace(report, choices=(worse,)))
    assert read_checkpoint(report.out)["ocrmaps"]["tuned"]["criterion"] == {"mean_hmean_at_iou": [0.5]}


def test_several_goals_are_frozen_side_by_side_and_named_where_maps_are_read(checkpoint, world, version, tmp_path):
    grid = replace(GRID, margins=(0.0, 0.1))
    goals = goals_from(["iou", "deteval", "cleval", "deteval"])
    report = choose(checkpoint, world, tmp_path / "new.ckpt", goals=goals, grid=grid)
    assert [choice.goal.name for choice in report.choices] == ["iou", "deteval", "cleval"]
    for choice in report.choices:
        assert choice.chosen.worth(choice.goal) == max(p.worth(choice.goal) for p in choice.points)
        trained = load_detector(report.out).reading(choice.goal.name)
        assert trained.extract == choice.chosen.extract
    deteval, cleval = report.choices[1:]
    spec = EvaluationSpec(protocols=("deteval", "cleval"))
    for choice, name, key in ((deteval, "deteval", "hmean"), (cleval, "cleval", "dataset.hmean")):
        found = evaluate_checkpoint(report.out, version=version, spec=spec, goal=name)
        assert result_document(found)["protocols"][name]["values"][key] == pytest.approx(
            choice.chosen.worth(choice.goal), abs=1e-9
        )
    again = choose(report.out, world, tmp_path / "more.ckpt", goals=goals_from(["iou@0.7"]))
    kept = read_checkpoint(again.out)["ocrmaps"]["readings"]
    assert list(kept) == ["iou", "deteval", "cleval", "iou@0.7"]
    assert kept["deteval"]["margin"] == deteval.chosen.extract.margin
    with pytest.raises(SpecError, match=r"found 'iou@0.9', this detector has iou, deteval, cleval, iou@0.7"):
        load_detector(again.out).reading("iou@0.9")
    with pytest.raises(SpecError, match="was not tuned"):
        load_detector(checkpoint).reading("deteval")


def test_goals_are_read_strictly():
    assert [goal.name for goal in goals_from(["iou@0.50", "cleval", "iou@.5"])] == ["iou@0.5", "cleval"]
    for text in ("", "IoU", "iou@", "iou@1", "iou@high", "deteval@0.5", "iou@-1", "iou@nan"):
        with pytest.raises(SpecError, match=r"--for: found .* expected iou, iou@T"):
            goals_from([text])


def test_criteria_are_read_strictly():
    assert criterion_from("0.5:0.95:0.05") == tuple(round(0.5 + 0.05 * i, 2) for i in range(10))
    assert criterion_from("0.7,0.5,0.5") == (0.5, 0.7) and criterion_from(None) == criterion_from("0.5:0.8:0.05")
    for text in ("high", "", "0.5:0.9", "0.9:0.5:0.1", "0.5:0.9:0", "1", "-0.1", "nan", "0.5:0.9:0.0000001", "inf"):
        with pytest.raises(SpecError, match="--criterion"):
            criterion_from(text)


def test_published_arithmetic_is_never_asked_for_what_it_lacks():
    own = ExtractSpec.peers()
    found = Grid().settings(own)
    assert found[0] == own and {how.unclip for how in found} == {"constant"}
    assert len({how.growth_ratio for how in found if how.binarize == own.binarize}) == 3


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"split": "test"}, "not chosen on the test split"),
        ({"split": "train"}, "is what this checkpoint learnt from"),
        ({"test_split": "val"}, "chosen on and tested on"),
        ({"test_split": "dev"}, "split 'dev' has no rows"),
        ({"split": "dev"}, "split 'dev' has no rows"),
    ],
)
def test_splits_that_would_deceive_are_refused(checkpoint, world, tmp_path, asked, message):
    with pytest.raises(SpecError, match=message):
        choose(checkpoint, world, tmp_path / "new.ckpt", **asked)
    assert not (tmp_path / "new.ckpt").exists()


@pytest.mark.parametrize("seen", ["train", "val"])
def test_test_pictures_that_were_seen_are_refused_byte_for_byte(checkpoint, world, tmp_path, seen):
    shutil.copytree(world / seen, tmp_path / "copy")
    source = open_source(tmp_path / "copy")
    with pytest.raises(SpecError, match=r"(?s)test pictures are also learnt or chosen on.*the same picture as"):
        choose(checkpoint, world, tmp_path / "new.ckpt", test_source=source.annotations)


def test_no_checkpoint_is_replaced_by_accident(checkpoint, world, tmp_path):
    kept = tmp_path / "kept.ckpt"
    kept.write_text("mine")
    with pytest.raises(SpecError, match="exists already"):
        choose(checkpoint, world, kept)
    copy = tmp_path / "copy.ckpt"
    shutil.copy(checkpoint, copy)
    with pytest.raises(SpecError, match="is the checkpoint itself"):
        choose(copy, world, copy, overwrite=True)
    assert kept.read_text() == "mine"


def test_grids_are_read_strictly():
    assert grid_from(binarize="0.5,0.3,0.5", ratio="none").binarize == (0.3, 0.5)
    assert grid_from(ratio="none").ratios == () and grid_from(margin="0.1", neck="0,0.4").splits == (0.0, 0.4)
    with pytest.raises(SpecError, match="--score: found 'high'"):
        grid_from(score="high")
    with pytest.raises(SpecError, match="the grid is empty"):
        grid_from(binarize=",")


def test_among_zeros_nothing_is_chosen_and_the_doctor_is_named(checkpoint, world, version, tmp_path):
    content = read_checkpoint(checkpoint)
    content["state_dict"] = {
        name: value if name.rpartition(".")[2] in ("mean", "std") else torch.zeros_like(value)
        for name, value in content["state_dict"].items()
    }
    blind = tmp_path / "blind.ckpt"
    torch.save(content, blind)
    with pytest.raises(DataError, match=r"no setting finds a text of val") as refused:
        choose(
            blind, world, tmp_path / "new.ckpt", grid=Grid(binarize=(0.6,), score_min=(0.7,), ratios=(), margins=(0.0,))
        )
    assert f"ocrmaps debug doctor {blind}" in refused.value.hint and not (tmp_path / "new.ckpt").exists()
    said = scores(evaluate_checkpoint(blind, version=version, spec=IOU_ONLY))
    assert f"no text is found at IoU 0.5: `ocrmaps debug doctor {blind}` says which stage breaks" in said
    assert "doctor" not in scores(evaluate_checkpoint(checkpoint, version=version, spec=IOU_ONLY))
