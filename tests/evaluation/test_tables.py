"""The files of an evaluation: they say what the evaluation said, add up, and are never replaced by accident."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from ocrmaps.canonical import CanonicalSpec, plan
from ocrmaps.errors import DataError, SpecError
from ocrmaps.evaluation import (
    ERRORS,
    EvaluationSpec,
    evaluate,
    groups,
    judge_picture,
    read_evaluation,
    result_document,
    summary,
    write_evaluation,
)
from ocrmaps.evaluation.tables import image_rows
from ocrmaps.evaluation.totals import GROUPINGS
from ocrmaps.geometry import PolygonSet

SPEC = EvaluationSpec()
ODD = 'a, "quoted"\nline, ###'


def lines(rng: np.random.Generator, number: int, *, jitter: float = 0.0, texts: bool = False) -> PolygonSet:
    out = []
    for i in range(number):
        x, y, w, h = 10 + jitter * rng.normal(), 30.0 * i + jitter * rng.normal(), 40 + 30.0 * i, 5 + 3.0 * i
        out.append([(x, y), (x + w, y), (x + w, y + h), (x, y + h)])
    said = [None if i % 3 == 0 else "" if i % 3 == 1 else ODD for i in range(number)]
    return PolygonSet.of(out, frame="raw", ignore=[i == 4 for i in range(number)], texts=said if texts else None)


@pytest.fixture(scope="module")
def evaluation():
    rng = np.random.default_rng(0)
    names = ["a.jpg", "b/ü.png", "c.jpg"]
    results = []
    for i, name in enumerate(names):
        transform = plan((600, 400 + 10 * i), (1, 6, 3)[i], CanonicalSpec(canvases=((320, 320), (320, 224))))
        # In reverse: a text and its detection must not have the same index.
        found = lines(rng, 8, jitter=3.0).select(np.arange(8)[::-1]) if i < 2 else PolygonSet.empty("raw")
        results.append(
            judge_picture(
                name, lines(rng, 7, texts=True), found, spec=SPEC, scores=np.linspace(0.2, 1, len(found)),
                transform=transform, status="scored" if i < 2 else "failed",
                problem="" if i < 2 else 'c.jpg: found "nothing",\nreally',
            )
        )  # fmt: skip
    return evaluate(results, names, spec=SPEC, identity={"store": {"name": "x"}})


def test_pages_without_truth_score_by_the_convention_that_is_asked_for():
    one = PolygonSet.of([[(0, 0), (9, 0), (9, 5), (0, 5)]], frame="raw")
    nothing = PolygonSet.empty("raw")

    def judged(convention, found):
        spec = EvaluationSpec(convention=convention)
        result = evaluate([judge_picture("a", nothing, found, spec=spec)], ["a"], spec=spec)
        return result, result_document(result), next(image_rows(result))

    for found in (nothing, one):
        ours, said, _ = judged("ocrmaps", found)
        assert said["convention"] == "ocrmaps" and said["hmean"] is None
        assert {score.status for score in ours.scores.values()} == {"empty"}
        theirs, said, row = judged("db", found)
        assert said["convention"] == "db" and said["hmean"] == 0.0 and said["totals"]["0.5"]["hmean"] == 0.0
        assert {score.status for score in theirs.scores.values()} == {"complete"} and row["deteval_hmean"] == 0.0
        assert "0.0000" in summary.table(theirs) and "there is no score" in summary.table(ours)
    assert judged("ocrmaps", nothing)[2]["deteval_hmean"] == 1.0
    with pytest.raises(SpecError, match="found convention 'mmocr'"):
        EvaluationSpec(convention="mmocr")


@pytest.fixture
def stored(evaluation, tmp_path):
    write_evaluation(evaluation, tmp_path / "out")
    return read_evaluation(tmp_path / "out")


def test_what_is_written_reads_back_as_it_was(evaluation, stored):
    assert stored.result == json.loads(json.dumps(result_document(evaluation))) | {"raw_csv": False}
    texts = [row for row in stored.texts if row["kind"] == "text"]
    assert len(texts) == 21 and len(stored.texts) == 21 + 16
    first = evaluation.pictures[0]
    for i, row in enumerate(texts[:7]):
        assert row["picture"] == "a.jpg" and row["index"] == i and row["reason"] == first.text_reason[i]
        assert row["polygon"] == first.truth[i].tolist() and row["iou"] == float(first.text_iou[i])
        assert row["ignore"] is bool(first.truth.ignore[i]) and (row["text"] or "") == (first.truth.texts[i] or "")
    assert [row["score"] for row in stored.texts[7:15]] == first.scores.tolist()
    assert stored.images[2]["problem"] == 'c.jpg: found "nothing",\nreally' and stored.images[2]["status"] == "failed"


def test_rows_add_up_to_the_totals(evaluation, stored):
    for threshold in (0.5, 0.7):
        total = stored.result["totals"][f"{threshold:g}"]
        assert sum(row[f"matched@{threshold:g}"] for row in stored.images) == total["matched"] > 0
        assert sum(row["texts"] for row in stored.images) == total["truth_care"]
        assert sum(row["detections"] for row in stored.images) == total["detection_care"]
    for kind in ("text", "detection"):
        said = Counter(row["reason"] for row in stored.texts if row["kind"] == kind)
        for reason in ERRORS[kind]:
            assert said[reason] == stored.result["reasons"][f"{kind}s"][reason]
            assert said[reason] == sum(row[f"{kind}_{reason}"] for row in stored.images)
    pairs = {
        kind: {
            (row["picture"], row["index"], row["partner"])
            for row in stored.texts
            if row["kind"] == kind and row["partner"] is not None
        }
        for kind in ("text", "detection")
    }
    assert pairs["text"] == {(name, partner, i) for name, i, partner in pairs["detection"]}
    assert len(pairs["text"]) == stored.result["totals"]["0.5"]["matched"]


@pytest.mark.parametrize("by", GROUPINGS)
def test_groups_add_up_to_the_totals(evaluation, by):
    rows = groups(evaluation, by)
    total = evaluation.totals[0.5]
    assert sum(row["texts"] for row in rows) == total.truth_care
    assert sum(row["detections"] for row in rows) == total.detection_care
    assert sum(row["texts_matched"]["0.5"] for row in rows) == total.matched
    assert sum(sum(row["text_errors"].values()) for row in rows) == total.truth_care - total.matched
    assert all(row["recall"]["0.5"] == row["texts_matched"]["0.5"] / row["texts"] for row in rows if row["texts"])


def test_groups_are_named_by_their_edges_and_sorted(evaluation):
    assert [row["group"] for row in groups(evaluation, "orientation")] == ["1", "3", "6"]
    heights = [(row["group"], row["texts"]) for row in groups(evaluation, "height")]
    # Texts are 5, 8, 11, 14, 20 and 23 px high in each of three pictures (the one of 17 px is ignored).
    texts = [(name, number) for name, number in heights if number]
    assert texts == [("4 to 6", 3), ("8 to 12", 6), ("12 to 16", 3), ("16 to 24", 6)]
    with pytest.raises(ValueError, match="expected one of height"):
        groups(evaluation, "color")


def test_tables_that_are_there_are_kept(evaluation, tmp_path):
    write_evaluation(evaluation, tmp_path)
    (tmp_path / "texts.csv").write_text("mine")
    with pytest.raises(SpecError, match=r"already holds result\.json, images\.csv, texts\.csv"):
        write_evaluation(evaluation, tmp_path)
    assert (tmp_path / "texts.csv").read_text() == "mine"
    write_evaluation(evaluation, tmp_path, overwrite=True)
    assert len(read_evaluation(tmp_path).texts) == 37
    assert sorted(p.name for p in tmp_path.iterdir()) == ["images.csv", "result.json", "texts.csv"]


def test_folders_that_hold_no_evaluation_are_named(tmp_path, evaluation):
    with pytest.raises(SpecError, match="holds no evaluation"):
        read_evaluation(tmp_path)
    (tmp_path / "result.json").write_text("[]")
    with pytest.raises(DataError, match="found format 'list'"):
        read_evaluation(tmp_path)
    write_evaluation(evaluation, tmp_path, overwrite=True)
    (tmp_path / "texts.csv").unlink()
    for broken in (None, b"picture\n\xff\n"):
        if broken is not None:
            (tmp_path / "texts.csv").write_bytes(broken)
        with pytest.raises(DataError, match=r"texts\.csv: cannot be read"):
            read_evaluation(tmp_path)
    (tmp_path / "result.json").write_text("[" * 100_000)
    with pytest.raises(DataError, match=r"result\.json: cannot be read"):
        read_evaluation(tmp_path)


def test_outlines_of_many_points_read_back(tmp_path):
    turn = np.linspace(0, 2 * np.pi, 5000, endpoint=False)
    outline = np.stack([np.cos(turn), np.sin(turn)], axis=1) * 1000 / 3 + 1000
    truth = PolygonSet.of([outline], frame="raw")
    judged = judge_picture("a.png", truth, PolygonSet.of([], frame="raw"), spec=SPEC, scores=np.empty(0))
    write_evaluation(evaluate([judged], ["a.png"], spec=SPEC), tmp_path)
    assert read_evaluation(tmp_path).texts[0]["polygon"] == truth[0].tolist()


def test_an_evaluation_of_nothing_can_be_written(tmp_path):
    nothing = evaluate([], [], spec=SPEC)
    write_evaluation(nothing, tmp_path)
    assert read_evaluation(tmp_path).texts == () and read_evaluation(tmp_path).result["hmean"] is None


@pytest.mark.parametrize("protocols", [("iou",), ("deteval", "cleval")])
def test_only_what_was_asked_is_scored(protocols, tmp_path):
    spec = EvaluationSpec(protocols=protocols, thresholds=(0.6,))
    line = lines(np.random.default_rng(0), 2)
    found = evaluate([judge_picture("a", line, line, spec=spec)], ["a"], spec=spec)
    write_evaluation(found, tmp_path)
    stored = read_evaluation(tmp_path)
    assert tuple(stored.result["protocols"]) == protocols and stored.result["sweep"] is None
    assert ("cleval_hmean" in stored.images[0]) is ("cleval" in protocols)
    assert found.hmean == (1.0 if "iou" in protocols else None) and stored.result["totals"]["0.6"]["hmean"] == 1.0


@pytest.mark.parametrize(
    "wrong", [{"protocols": ("ap",)}, {"protocols": ()}, {"thresholds": (1.0,)}, {"thresholds": ()}]
)
def test_what_cannot_be_evaluated_is_refused(wrong):
    with pytest.raises(SpecError):
        EvaluationSpec(**wrong)
