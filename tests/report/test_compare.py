"""`ocrmaps compare`: like runs are compared, unlike ones refused by name, and chance is called chance."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrmaps.errors import RunError, SpecError
from ocrmaps.pipelines.compare import compare
from ocrmaps.report.compare.interval import paired_interval
from ocrmaps.report.compare.summary import table
from ocrmaps.training.differences import differences

ROOT = "a" * 64


def make_run(folder: Path, hmeans=(0.2, 0.5, 0.4), *, settings: Any = None, **result: Any) -> Path:
    """A run's folder as `train` leaves it, without weights."""
    folder.mkdir(parents=True)
    run = {
        "name": folder.name,
        "seed": 0,
        "precision": "fp32",
        "optimizer": {"lr": 0.004},
        "data": {"store": "tiny", "train": "train", "val": "val", "batch_size": 4},
        "watch": {"pictures": 4},
        "extract": {"unclip": "inverse", "score_min": 0.6},
    }
    for key, value in (settings or {}).items():
        above, _, name = key.rpartition(".")
        (run[above] if above else run)[name] = value
    (folder / "run.json").write_text(json.dumps(run))
    (folder / "environment.json").write_text(json.dumps({"cores": 2, "libraries": {"torch": "2.13"}}))
    columns = ["epoch", "step", "samples", "val/hmean", "train/loss", "rate", "root_digest"]
    rows = [[i + 1, 10 * (i + 1), 40 * (i + 1), h, 1 / (i + 1), 30, ROOT] for i, h in enumerate(hmeans)]
    with (folder / "metrics.csv").open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    end = {"hmean": max(hmeans), "steps": 10 * len(hmeans), "samples": 40 * len(hmeans), "root_digest": ROOT, **result}
    (folder / "result.json").write_text(json.dumps(end))
    return folder


def evaluate(run: Path, matched: list[int], *, thresholds=(0.5,), names: list[str] | None = None) -> None:
    """The tables of an evaluation in which every picture has ten texts and ten detections."""
    folder = run / "evaluation"
    folder.mkdir()
    (folder / "result.json").write_text(
        json.dumps({"format": 1, "thresholds": list(thresholds), "frame": "upright", "protocols": {}, "identity": {}})
    )
    names = names or [f"p{i}.jpg" for i in range(len(matched))]
    with (folder / "images.csv").open("w", newline="") as file:
        columns = ["picture", "texts", "detections", *(f"matched@{t:g}" for t in thresholds)]
        csv.writer(file).writerows(
            [columns, *([n, 10, 10, *[m] * len(thresholds)] for n, m in zip(names, matched, strict=True))]
        )
    (folder / "texts.csv").write_text("picture,kind\n")


def test_of_equal_scores_the_lower_loss_is_the_best_as_it_is_for_checkpoints(tmp_path):
    a, b = make_run(tmp_path / "a", (0.0, 0.0, 0.0)), make_run(tmp_path / "b", (0.0, 0.0, 0.0))
    for folder, losses in ((a, (3, 1, 2)), (b, (1, 1, 2))):
        first, *rows = (folder / "metrics.csv").read_text().splitlines()
        lines = [f"{first},val/loss", *(f"{row},{loss}" for row, loss in zip(rows, losses, strict=True))]
        (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
    best = next(m for m in compare(a, b).as_dict()["metrics"] if m["metric"] == "val/hmean")["best"]
    assert (best["epoch_a"], best["epoch_b"]) == (2, 1)


def test_like_runs_are_compared_at_their_best_and_last_epoch(tmp_path):
    a = make_run(tmp_path / "a")
    b = make_run(tmp_path / "b", (0.3, 0.45, 0.6), settings={"optimizer.lr": 0.002, "seed": 1, "watch.pictures": 0})
    found = compare(a, b).as_dict()
    assert found["comparable"]
    hmean = next(m for m in found["metrics"] if m["metric"] == "val/hmean")
    assert hmean["best"] == {"a": 0.5, "b": 0.6, "difference": pytest.approx(0.1), "epoch_a": 2, "epoch_b": 3}
    assert hmean["final"]["difference"] == pytest.approx(0.2)
    assert [d["key"] for d in found["settings"]] == ["optimizer.lr", "seed"]
    assert [d["key"] for d in found["operational"]] == ["name", "watch.pictures"]
    assert [e["difference"] for e in found["epochs"]] == pytest.approx([0.1, -0.05, 0.2])
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(
    ("word", "settings", "result", "said"),
    [
        ("budget", {}, {"steps": 408}, "steps: 30 and 408"),
        ("budget", {}, {"samples": 7}, "samples: 120 and 7"),
        ("data", {}, {"root_digest": "b" * 64}, "root digest: aaaaaaaaaaaa and bbbbbbbbbbbb"),
        ("data", {"data.val": "test"}, {}, "data.val: val and test"),
        ("evaluation", {"extract.score_min": 0.5}, {}, "extract.score_min: 0.6 and 0.5"),
    ],
)
def test_unlike_runs_are_refused_by_what_differs_and_labelled_where_that_is_allowed(
    tmp_path, word, settings, result, said
):
    a = make_run(tmp_path / "a")
    b = make_run(tmp_path / "b", settings=settings, **result)
    with pytest.raises(RunError, match=said) as refusal:
        compare(a, b)
    assert refusal.value.exit_code == 1
    assert f"--allow {word}" in refusal.value.hint
    others = {"budget", "data", "evaluation"} - {word}
    with pytest.raises(RunError):
        compare(a, b, allow=sorted(others))
    found = compare(a, b, allow=[word])
    assert not found.as_dict()["comparable"]
    lines = [line for line in table(found).splitlines() if "val/hmean" in line and "epoch" not in line]
    assert lines and all(line.startswith(f"[UNLIKE {word}]") for line in lines)


def test_data_that_nobody_wrote_down_is_not_the_same_data(tmp_path):
    a, b = make_run(tmp_path / "a", root_digest=None), make_run(tmp_path / "b", root_digest=None)
    with pytest.raises(RunError, match="root digest: none and none"):
        compare(a, b)


def test_an_unknown_word_of_allow_lists_the_known_ones(tmp_path):
    with pytest.raises(SpecError, match=r"budget: .*data: .*evaluation: "):
        compare(tmp_path, tmp_path, allow=["everything"])


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(SpecError, match=r"no run\.json"):
        compare(make_run(tmp_path / "a"), tmp_path)


def test_without_tables_of_pictures_the_command_that_makes_them_is_said(tmp_path):
    found = compare(make_run(tmp_path / "a"), make_run(tmp_path / "b"))
    assert found.intervals == ()
    assert found.no_interval.count("ocrmaps evaluate") == 2


def test_a_difference_that_pictures_explain_is_called_that_and_one_beyond_is_not(tmp_path):
    rng = np.random.default_rng(0)
    base = rng.integers(3, 8, 40).tolist()
    noise = [m + int(d) for m, d in zip(base, rng.integers(-2, 3, 40), strict=True)]
    better = [m + 2 for m in base]
    for name, matched in (("a", base), ("b", noise), ("c", better)):
        evaluate(make_run(tmp_path / name), matched)
    small, large = (compare(tmp_path / "a", tmp_path / other).intervals[0] for other in "bc")
    assert not small.beyond_sampling and small.low < 0 < small.high
    assert "do not tell the runs apart" in small.sentence
    assert large.beyond_sampling
    assert large.difference == pytest.approx(0.2)
    assert compare(tmp_path / "a", tmp_path / "c").intervals[0] == large, "the same every time"


def test_evaluations_of_other_pictures_or_thresholds_are_refused(tmp_path):
    evaluate(make_run(tmp_path / "a"), [1, 2, 3])
    evaluate(make_run(tmp_path / "b"), [1, 2, 3], names=["p0.jpg", "p1.jpg", "x.jpg"])
    evaluate(make_run(tmp_path / "c"), [1, 2, 3], thresholds=(0.7,))
    with pytest.raises(RunError, match="1 of them not in the other"):
        compare(tmp_path / "a", tmp_path / "b")
    with pytest.raises(RunError, match="evaluated at IoU"):
        compare(tmp_path / "a", tmp_path / "c")
    assert compare(tmp_path / "a", tmp_path / "b", allow=["evaluation"]).intervals[0].pictures == 2


def test_an_interval_needs_two_pictures(tmp_path):
    for name in "ab":
        evaluate(make_run(tmp_path / name), [4])
    found = compare(tmp_path / "a", tmp_path / "b")
    assert found.intervals == () and "too few" in found.no_interval


counts = st.tuples(st.integers(0, 5), st.integers(5, 9), st.integers(5, 9))


@given(st.lists(st.tuples(counts, counts), min_size=2, max_size=12))
def test_swapping_the_runs_mirrors_the_interval(pairs):
    a, b = (np.array([p[i] for p in pairs], dtype=np.float64) for i in (0, 1))
    there, back = paired_interval(a, b, "h"), paired_interval(b, a, "h")
    assert there.low == pytest.approx(-back.high, abs=1e-12)
    assert there.difference == pytest.approx(-back.difference, abs=1e-12)
    assert math.isfinite(there.low) and there.low <= there.high


def test_the_interval_is_paired():
    """Pictures that are hard for both runs must not blur a small steady difference."""
    rng = np.random.default_rng(1)
    hard = rng.integers(0, 50, 60)
    a = np.stack([hard, np.full(60, 60), np.full(60, 60)], axis=1).astype(float)
    b = a + np.array([1.0, 0.0, 0.0])
    assert paired_interval(a, b, "h").beyond_sampling
    width = paired_interval(a, b, "h")
    assert width.high - width.low < 0.002


def test_pictures_without_text_do_not_break_the_interval():
    nothing = np.zeros((5, 3))
    found = paired_interval(nothing, nothing, "h")
    assert (found.a, found.low, found.high) == (1.0, 0.0, 0.0)


def test_differences_see_settings_that_only_one_side_has():
    found = list(differences({"a": {"b": 1}}, {"a": None, "c": [1, 2]}))
    assert [(d.key, d.a, d.b) for d in found] == [("a.b", 1, None), ("c", None, [1, 2])]


def test_runs_of_the_trainer_are_read(run_folder):
    found = compare(run_folder, run_folder)
    assert found.a.finished and found.a.budget["steps"] == 4
    assert all(e["difference"] == 0 for e in found.epochs)
    assert "another" in table(found).lower() or "evaluate" in table(found)
