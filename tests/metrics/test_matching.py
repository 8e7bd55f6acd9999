"""Areas, statuses and overlaps agree with shapely for any polygons, and nothing is lost on the way."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import Polygon

from ocrmaps.errors import FrameError, SpecError
from ocrmaps.geometry import PolygonSet
from ocrmaps.metrics import STATUSES, clipping, match_iou, metric_named, pair_geometry
from ocrmaps.metrics.matching import checked_thresholds, measured, measured_whole
from tests.metrics.pages import box, boxes, trouble
from tests.strategies import outlines, simple_outlines


def _pairs(geometry) -> dict[tuple[int, int], float]:
    keys = zip(geometry.truth_index.tolist(), geometry.detection_index.tolist(), strict=True)
    return dict(zip(keys, geometry.overlap.tolist(), strict=True))


def _status(points) -> str:
    return STATUSES[measured(PolygonSet.of([points], frame="raw")).status[0]]


@settings(max_examples=150)
@given(st.lists(simple_outlines(100, 100), max_size=4), st.lists(simple_outlines(100, 100), max_size=4))
def test_overlaps_are_those_of_shapely(truth, found):
    geometry = pair_geometry(PolygonSet.of(truth, frame="raw"), PolygonSet.of(found, frame="raw"))
    pairs = _pairs(geometry)
    for i, a in enumerate(truth):
        for j, b in enumerate(found):
            expected = Polygon(a).intersection(Polygon(b)).area
            assert pairs.get((i, j), 0.0) == pytest.approx(expected, abs=1e-7), (i, j)


@pytest.mark.parametrize("seed", range(40))
def test_pairs_come_truth_after_truth_with_rising_detections(seed):
    geometry = pair_geometry(*trouble(seed, polygons=0.5))
    keys = list(zip(geometry.truth_index.tolist(), geometry.detection_index.tolist(), strict=True))
    assert keys == sorted(set(keys))


def test_no_pair_is_missed_among_boxes_of_very_different_width():
    rng = np.random.default_rng(0)
    corners = [(x, y, x + w, y + 5) for x, y, w in rng.integers(0, 400, (300, 3)).tolist()]
    corners = [(x0, y0, max(x1, x0 + 1), y1) for x0, y0, x1, y1 in corners]
    pairs = _pairs(pair_geometry(boxes(corners[:150]), boxes(corners[150:])))
    c = np.array(corners, dtype=float)
    a, b = c[:150, None], c[None, 150:]
    shared = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    area = np.prod(np.maximum(shared, 0), axis=-1)
    assert {key: area[key] for key in zip(*map(np.ndarray.tolist, np.nonzero(area)), strict=True)} == pairs


@settings(max_examples=200)
@given(outlines(max_points=7, limit=50))
def test_status_is_valid_exactly_where_shapely_says_so(points):
    different = [p for p, q in zip(points, points[1:] + points[:1], strict=True) if p != q]
    expected = len(different) >= 3 and shapely.is_valid(Polygon(points))
    assert (_status(points) == "valid") == expected, points


@pytest.mark.parametrize(
    ("points", "status"),
    [
        (box(0, 0, 4, 2), "valid"),
        (box(0, 0, 4, 2)[::-1], "valid"),
        (box(0, 0, 4, 2)[[0, 0, 1, 2, 2, 3, 0]], "valid"),
        ([(0, 0), (8, 0), (8, 8), (4, 3), (0, 8)], "valid"),
        (np.zeros((0, 2)), "too-few-points"),
        ([(1, 1)], "too-few-points"),
        ([(0, 0), (1, 1)], "too-few-points"),
        ([(0, 0), (1, 1), (0, 0)], "too-few-points"),
        ([(5, 5)] * 4, "too-few-points"),
        ([(0, 0), (4, 0), (4, 0), (0, 0)], "too-few-points"),
        ([(0, 0), (2, 1), (4, 2)], "no-area"),
        ([(0, 0), (4, 0), (8, 0), (2, 0)], "no-area"),
        ([(0, 0), (4, 4), (4, 0), (0, 4)], "crossing"),
        ([(0, 0), (9, 0), (9, 9), (4, 9), (4, -3), (0, -3)], "crossing"),
        (box(0, 0, 1e300, 1e300), "out-of-range"),
    ],
)
def test_status_of(points, status):
    assert _status(points) == status


def test_a_pentagram_is_not_taken_for_convex():
    turn = np.arange(5) * 4 * np.pi / 5
    assert _status(np.stack([np.cos(turn), np.sin(turn)], axis=1)) == "crossing"


def test_memory_follows_the_polygons_not_their_product():
    row, column = np.divmod(np.arange(4000), 80)
    corners = np.stack([30 * column, 20 * row, 30 * column + 25, 20 * row + 15], axis=1)
    truth = boxes(corners.tolist())
    match_iou(truth.select([0]), truth.select([0]))
    tracemalloc.start()
    match = match_iou(truth, truth)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert match.counts(0.5).matched == 4000
    # A truth value for each of the 16 million pairs would be 16 MB, a number 128 MB.
    assert peak < 6e6


def test_invalid_polygons_take_part_in_no_pair():
    bow = [(0, 0), (4, 4), (4, 0), (0, 4)]
    sets = PolygonSet.of([bow, box(0, 0, 4, 4)], frame="raw")
    assert list(_pairs(pair_geometry(sets, sets))) == [(1, 1)]


@pytest.mark.parametrize("far", [0.0, 1e6, 1e9])
def test_far_from_the_origin_areas_keep_their_digits(far):
    a, b = boxes([(far, far, far + 10, far + 4)]), boxes([(far + 5, far, far + 15, far + 4)])
    assert pair_geometry(a, b).iou().tolist() == [1 / 3]


def test_two_frames_are_refused():
    upright = PolygonSet.of([box(0, 0, 1, 1)], frame="upright")
    with pytest.raises(FrameError, match=r"'raw'.*'upright'"):
        pair_geometry(boxes([(0, 0, 1, 1)]), upright)


def test_two_frames_are_refused_even_without_polygons():
    with pytest.raises(FrameError):
        pair_geometry(PolygonSet.empty("raw"), PolygonSet.empty("canonical"))


def test_results_are_read_only():
    geometry = pair_geometry(boxes([(0, 0, 4, 4)]), boxes([(0, 0, 4, 4)]))
    with pytest.raises(ValueError, match="read-only"):
        geometry.overlap[0] = 3


def test_a_value_on_the_threshold_is_the_reference_engines():
    # The slanted halves of a quad: IoU 0.5 in exact arithmetic, decided by the last bits of shapely's areas.
    whole = np.array([[10.0, 10], [52, 17], [49, 35], [7, 28]])
    half = np.array([whole[0], (whole[0] + whole[1]) / 2, (whole[2] + whole[3]) / 2, whole[3]])
    geometry = pair_geometry(PolygonSet.of([whole], frame="raw"), PolygonSet.of([half], frame="raw"))
    a, b = Polygon(whole), Polygon(half)
    assert geometry.iou((0.5,))[0] == a.intersection(b).area / a.union(b).area
    assert geometry.share_of_truth((0.5,))[0] == a.intersection(b).area / a.area


@pytest.mark.parametrize("bad", [(), (1.0,), (-0.1,), (0.5, 0.5), (float("nan"),), (0.5, float("inf"))])
def test_thresholds_that_mean_nothing_are_refused(bad):
    with pytest.raises(SpecError, match="IoU thresholds"):
        checked_thresholds(bad)


def test_unknown_metrics_name_the_known_ones():
    with pytest.raises(SpecError, match="iou, deteval, cleval"):
        metric_named("mAP")


def test_outlines_cut_to_whole_pixels_use_the_same_machine_code():
    polygons = PolygonSet.of([[(0.5, 0.5), (4.5, 0.5), (4.5, 2.5), (0.5, 2.5)]], frame="raw")
    assert measured(polygons).area.tolist() == [8.0]
    codes = len(clipping.measure.signatures)  # type: ignore[attr-defined]
    whole = measured_whole(polygons)[0]
    assert whole.area.tolist() == [8.0] and whole.points.tolist()[0] == [0, 0]
    assert len(clipping.measure.signatures) == codes  # type: ignore[attr-defined]
    assert not whole.points.flags.writeable and not whole.area.flags.writeable


def test_outlines_of_many_and_of_few_corners_are_measured_each_by_itself():
    bent = [(0, 0), (8, 0), (8, 6), (6, 6), (6, 2), (0, 2)]
    both = measured(PolygonSet.of([bent, bent[:3], bent], frame="raw"))
    alone = measured(PolygonSet.of([bent[:3]], frame="raw"))
    assert both.simple.tolist() == [True] * 3 and both.convex.tolist() == [False, True, False]
    assert both.area[1] == alone.area[0] and both.bounds[1].tolist() == alone.bounds[0].tolist()
    ragged = measured(PolygonSet.of([bent, [(x + 20, y) for x, y in bent] + [(19, 1)]], frame="raw"))
    assert ragged.simple.tolist() == [True, True]
