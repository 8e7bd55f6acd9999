"""The published evaluators' numbers on 140 pictures: pairs, credits and character counts, one by one and in total."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ocrmaps.geometry import PolygonSet
from ocrmaps.metrics import ClevalCounts, ClevalRule, match_cleval, match_deteval, match_iou, total_deteval, total_iou

pytestmark = pytest.mark.shared
Page = tuple[PolygonSet, PolygonSet]


@pytest.fixture(scope="module")
def pages(shared: Path) -> list[Page]:
    cases = json.loads((shared / "golden" / "metrics" / "cases.json").read_text(encoding="utf-8"))
    return [
        (
            PolygonSet.of(
                [np.reshape(q, (4, 2)) for q in case["gt"]], frame="raw", ignore=case["ignore"], texts=case["gt_text"]
            ),
            PolygonSet.of([np.reshape(q, (4, 2)) for q in case["det"]], frame="raw", texts=case["det_text"]),
        )
        for case in cases
    ]


@pytest.fixture(scope="module")
def expected(shared: Path) -> dict[str, Any]:
    return json.loads((shared / "golden" / "metrics" / "expected.json").read_text(encoding="utf-8"))


def test_iou_pairs_and_counts_are_identical(pages, expected):
    matches = [match_iou(*page) for page in pages]
    for match, picture in zip(matches, expected["per_image"], strict=True):
        counts, reference = match.counts(0.5), picture["iou"]
        assert match.pairs(0.5).tolist() == reference["pairs"], picture["id"]
        assert (counts.truth_care, counts.detection_care) == (reference["gt_care"], reference["det_care"])
        assert counts.hmean == pytest.approx(reference["hmean"], abs=1e-12)
    total = total_iou(matches)[0.5]
    for name, value in expected["total"]["iou"].items():
        assert getattr(total, name) == pytest.approx(value, abs=1e-12)


def test_deteval_credits_agree(pages, expected):
    results = [match_deteval(*page) for page in pages]
    names = {"recallAccum": "recall_sum", "precisionAccum": "precision_sum", "gtCare": "truth_care"}
    for result, picture in zip(results, expected["per_image"], strict=True):
        for name, value in picture["deteval"].items():
            ours = getattr(result, names.get(name, "detection_care" if name == "detCare" else name))
            assert ours == pytest.approx(value, abs=1e-6), (picture["id"], name)
    total = total_deteval(results)
    for name, value in expected["total"]["deteval"].items():
        assert getattr(total, name) == pytest.approx(value, abs=1e-6)


COUNTS = {"num_splitted": "splits", "num_merged": "merges", "num_char_overlapped": "overlaps"}
SCORES = {"det_r": "recall", "det_p": "precision", "det_h": "hmean"}
READ = {"e2e_r": "read_recall", "e2e_p": "read_precision", "e2e_h": "read_hmean"}


@pytest.mark.parametrize(("key", "rule"), [("cleval", ClevalRule()), ("cleval_no_text", ClevalRule(use_texts=False))])
def test_cleval_scores_agree_and_counts_are_identical(pages, expected, key, rule):
    results = [match_cleval(*page, rule=rule).counts for page in pages]
    scores = SCORES | READ if key == "cleval" else SCORES
    rows = [(r, p["id"], p[key]) for r, p in zip(results, expected["per_image"], strict=True)]
    for result, where, reference in [*rows, (sum(results, ClevalCounts()), "total", expected["total"][key])]:
        for name, ours in COUNTS.items():
            assert getattr(result, ours) == reference[name], (where, name)
        for name, ours in scores.items():
            assert getattr(result, ours) == pytest.approx(reference[name], abs=1e-6), (where, name)


def test_the_published_figure_of_the_documents(pages):
    documents = [match_cleval(*page).counts for page in pages[:100]]
    # CLEval's own Korean document example; its sums are float32.
    assert sum(documents, ClevalCounts()).hmean == pytest.approx(0.977989, abs=1e-5)
