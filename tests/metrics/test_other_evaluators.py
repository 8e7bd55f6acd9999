"""The rows of the table of evaluators: each difference is one, and what is said to give their rule gives it.

Expected numbers follow from the rules as published: DB at 65ca77a, the Robust Reading Competition's scripts, MMOCR at
966296f, docTR at 8a88fea, Total-Text's Deteval.py.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import shapely

from ocrmaps.geometry import PolygonSet
from ocrmaps.metrics import (
    DETEVAL,
    ClevalRule,
    DetEvalRule,
    match_cleval,
    match_deteval,
    match_iou,
    pair_geometry,
    sweep_geometry,
)
from tests.metrics.pages import box, boxes, ties

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "metrics.md"
BOW = box(0, 0, 9, 9)[[0, 2, 1, 3]]


@pytest.fixture(scope="module")
def page():
    """What the code of the page defines."""
    names: dict = {}
    (code,) = [c for c in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S) if "mended" in c]
    exec(compile(code, str(PAGE), "exec"), names)
    return names


def matched(truth, found, **options):
    return match_iou(truth, found, thresholds=(0.5,), **options).counts(0.5).matched


def test_db_iou_first_free_detection_above_the_threshold():
    # The first of two that do is taken, not the better one, and exactly one half is not enough.
    assert match_iou(boxes([(0, 0, 10, 4)]), boxes([(0, 0, 6, 4), (0, 0, 10, 4)])).pairs(0.5).tolist() == [[0, 0]]
    assert matched(boxes([(0, 0, 10, 4)]), boxes([(0, 0, 5, 4)])) == 0


def test_db_iou_numbers_pairs_after_dropping_invalid_polygons():
    truth = PolygonSet.of([BOW, box(20, 0, 30, 4)], frame="raw")
    match = match_iou(truth, boxes([(20, 0, 30, 4)]))
    assert match.pairs(0.5).tolist() == [[1, 0]]
    assert np.flatnonzero(match.truth_valid).tolist().index(1) == 0, "DB calls it 0"


def test_db_deteval_has_the_published_constants():
    assert (DETEVAL.area_recall, DETEVAL.area_precision) == (0.8, 0.4)
    assert (DETEVAL.split_credit, DETEVAL.merge_credit, DETEVAL.center_distance) == (0.8, 1, 1)


def test_rrc_iou_union_is_the_areas_less_what_they_share():
    truth, found = boxes([(0, 0, 100, 30)]), boxes([(3, 2, 97, 31)])
    shared = 94 * 28
    assert match_iou(truth, found).best_iou[0] == pytest.approx(shared / (3000 + 94 * 29 - shared), abs=1e-12)


@pytest.mark.parametrize(
    ("a", "b"), [((0, 0, 9, 9), (0, 0, 9, 5)), ((3, 4, 20, 11), (10, 2, 40, 12)), ((0, 0, 4, 4), (5, 0, 9, 4))]
)
def test_rrc_ic13_boxes_hold_their_last_pixel(page, a, b):
    def area(r):
        return max(r[2] - r[0] + 1, 0) * max(r[3] - r[1] + 1, 0)

    shared = (max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3]))
    shared_area = area(shared) if shared[2] >= shared[0] - 1 and shared[3] >= shared[1] - 1 else 0
    truth, found = page["whole_pixels"]([a]), page["whole_pixels"]([b])
    expected = shared_area / (area(a) + area(b) - shared_area)
    assert match_iou(truth, found).best_iou[0] == pytest.approx(expected)
    # 8 of 10 rows: covered with the last pixel, and not between corners.
    rows = page["whole_pixels"]([(0, 0, 9, 9)]), page["whole_pixels"]([(0, 0, 9, 7)])
    assert match_deteval(*rows).recall == 1
    assert match_deteval(boxes([(0, 0, 9, 9)]), boxes([(0, 0, 9, 7)])).recall == 0


def test_rrc_quads_may_run_either_way_here():
    quad, found = box(0, 0, 10, 4), boxes([(1, 0, 10, 4)])
    ways = [match_iou(PolygonSet.of([corners], frame="raw"), found).best_iou[0] for corners in (quad, quad[::-1])]
    assert ways == pytest.approx([0.9, 0.9])


# Both truths go with the first detection, only the second with the other one too.
CROWD = boxes([(0, 0, 10, 4), (3, 0, 13, 4)]), boxes([(1, 0, 12, 4), (0, 0, 9, 4)])


def test_mmocr_vanilla_is_first_come_and_max_matching_is_best():
    assert (matched(*CROWD), matched(*CROWD, order="best")) == (1, 2)


def test_mmocr_mends_what_crosses_itself_and_scores_it(page):
    bow = PolygonSet.of([BOW], frame="raw")
    assert match_iou(bow, bow).counts(0.5).truth_invalid == 1
    fixed = page["mended"](bow)
    counts = match_iou(fixed, fixed).counts(0.5)
    assert (counts.truth_invalid, counts.truth_care, counts.matched) == (0, 1, 1)
    assert page["mended"](boxes([(0, 0, 9, 4)])) == boxes([(0, 0, 9, 4)])


def test_mmocr_takes_the_best_of_its_score_cuts():
    geometry = pair_geometry(boxes([(0, 0, 10, 4)]), boxes([(0, 0, 10, 4), (0, 50, 10, 54), (0, 90, 10, 94)]))
    sweep = sweep_geometry(geometry, [0.75, 0.55, 0.2], cuts=np.arange(0.3, 0.9, 0.1), thresholds=(0.5,))
    assert sweep.hmean()[:, 0] == pytest.approx([2 / 3, 2 / 3, 2 / 3, 1, 1, 0, 0])
    assert sweep.hmean().max() == 1


def test_mmocr_rounds_points_to_float32():
    pages = [ties(seed) for seed in range(40)]
    rounded = [[replace(side, points=np.float32(side.points)) for side in page] for page in pages]
    differ = [matched(*page) != matched(*other) for page, other in zip(pages, rounded, strict=True)]
    assert 0 < sum(differ) < len(pages)


def test_mmocr_shares_are_of_the_area_before_mending(page):
    bow = PolygonSet.of([[(0, 0), (9, 6), (9, 0), (0, 9)]], frame="raw")
    assert shapely.Polygon(bow[0]).area == 13.5 and page["mended"](bow).areas()[0] == pytest.approx(24.3)


def test_doctr_takes_a_pair_from_the_threshold_on():
    half = boxes([(0, 0, 10, 4)]), boxes([(0, 0, 5, 4)])
    level = 0.5 - 1e-12
    assert matched(*half) == 0 and match_iou(*half, thresholds=(level,)).counts(level).matched == 1


def test_doctr_knows_no_ignored_truth():
    truth = boxes([(0, 0, 10, 4)], ignore=[True])
    assert match_iou(truth, truth).counts(0.5).truth_care == 0
    assert match_iou(truth.with_ignore(np.zeros(1, bool)), truth).counts(0.5).truth_care == 1


def test_doctr_pairs_have_the_largest_sum_and_may_be_fewer():
    s = 0.95
    truth, found = boxes([(x, 0, x + 3, 1) for x in (-s, 0, s)]), boxes([(x, 0, x + 3, 1) for x in (0, s, 2 * s)])
    geometry, iou = pair_geometry(truth, found), np.zeros((3, 3))
    iou[geometry.truth_index, geometry.detection_index] = geometry.iou()
    best = max(permutations(range(3)), key=lambda columns: iou[range(3), columns].sum())
    assert (iou[range(3), best] >= 0.5).sum() == 2
    assert matched(truth, found) == matched(truth, found, order="best") == 3


def test_doctr_boxes_are_bounds():
    diamond = PolygonSet.of([[(5, 0), (10, 5), (5, 10), (0, 5)]], frame="raw")
    x0, y0, x1, y1 = pair_geometry(diamond, diamond).truth.bounds[0]
    assert match_iou(diamond, boxes([(0, 0, 10, 10)])).best_iou[0] == 0.5
    assert match_iou(boxes([(x0, y0, x1, y1)]), boxes([(0, 0, 10, 10)])).best_iou[0] == 1


def test_doctr_crossing_quads_end_its_evaluation_and_not_ours():
    with pytest.raises(shapely.errors.GEOSException):
        shapely.intersection(shapely.Polygon(BOW), shapely.Polygon(box(4, 0, 14, 9)))
    bow, other = PolygonSet.of([BOW], frame="raw"), boxes([(4, 0, 14, 9)])
    assert match_iou(bow, other).counts(0.5).truth_invalid == 1


TOTALTEXT = DetEvalRule(area_recall=0.7, area_precision=0.6, merge_credit=0.8, center_distance=1e9)


def test_totaltext_credits_merges_less_and_compares_no_centers():
    words, line = boxes([(0, 0, 45, 10), (50, 0, 95, 10)]), boxes([(0, 0, 95, 10)])
    merged = match_deteval(words, line, rule=TOTALTEXT)
    assert (merged.recall_sum, merged.precision_sum) == (1.6, 0.8)
    # Vertices crowd at one end, and the mean of the corners with them.
    crowded = [(x / 100, 0) for x in range(0, 200, 1)]
    aside = PolygonSet.of([[*crowded, (65, 0), (65, 4), (0, 4)]], frame="raw")
    other = PolygonSet.of([[(0, 0), *((100 - x, y) for x, y in crowded[::-1]), (100, 4), (0, 4)]], frame="raw")
    assert match_deteval(aside, other, rule=TOTALTEXT).one_to_one == 1
    assert match_deteval(aside, other, rule=DETEVAL).one_to_one == 0


def test_totaltext_leaves_out_detections_from_half_on_ignored_truth():
    truth = boxes([(0, 0, 55, 10)], ignore=[True])
    assert match_deteval(truth, boxes([(0, 0, 100, 10)]), rule=TOTALTEXT).detection_care == 1  # not offered: they say 0


def test_cleval_goes_without_texts():
    line = boxes([(0, 0, 100, 20)], texts=["a"])
    assert match_cleval(line, line).counts.recall_total == 1
    assert match_cleval(line, line, rule=ClevalRule(use_texts=False)).counts.recall_total == 5


def test_every_row_of_the_page_is_about_one_of_these():
    rows = re.findall(r"^\| (DB|RRC|MMOCR|docTR|Total-Text|CLEval)", PAGE.read_text(encoding="utf-8"), re.M)
    # DB without truth is in test_conventions; one test is about both strategies of MMOCR.
    tests = Counter(name.split("_")[1] for name in globals() if name.startswith("test_"))
    expected = {"DB": tests["db"] + 1, "MMOCR": tests["mmocr"] + 1}
    expected |= {name: tests[name.lower()] for name in ("RRC", "docTR", "CLEval")}
    expected["Total-Text"] = tests["totaltext"]
    assert Counter(rows) == expected
