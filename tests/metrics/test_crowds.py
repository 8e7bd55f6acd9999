"""Outlines that no text has, by the hundred thousand in one picture, end in one sentence instead of hours."""

from __future__ import annotations

import json

import numpy as np
import pytest
import shapely

from ocrmaps.annotations import crowds
from ocrmaps.annotations.checks import outlines
from ocrmaps.annotations.checks.outlines import OutlineTable
from ocrmaps.annotations.records import Sample
from ocrmaps.errors import AnnotationError, CrowdError
from ocrmaps.evaluation import EvaluationSpec, judge_picture
from ocrmaps.evaluation.predictions import read_prediction_file
from ocrmaps.geometry import PolygonSet
from ocrmaps.limits import MOST_POINTS
from ocrmaps.metrics import candidates, match_iou
from ocrmaps.metrics.characters import spines
from ocrmaps.metrics.matching import measured
from tests.contracts.reader import kinds, scanned

BOX = np.array([(10.0, 10.0), (600.0, 10.0), (600.0, 600.0), (10.0, 600.0)])


def of(*shapes: np.ndarray, frame: str = "raw") -> PolygonSet:
    return PolygonSet.of(list(shapes), frame=frame)  # type: ignore[arg-type]


def many(shape: np.ndarray, count: int, step: tuple[float, float] = (0.0, 0.0)) -> PolygonSet:
    points = (shape[None] + np.arange(count)[:, None, None] * np.array(step)).reshape(-1, 2)
    return PolygonSet(
        points=points,
        offsets=np.arange(count + 1) * len(shape),
        ignore=np.zeros(count, dtype=np.bool_),
        texts=(None,) * count,
        frame="raw",
    )


def comb(corners: int) -> np.ndarray:
    """Teeth from top to bottom: two of them, one turned, cross everywhere."""
    teeth = corners // 4
    x, w = np.arange(teeth) * 600 / teeth, 600 / teeth
    tooth = [np.stack([x, 0 * x], 1), np.stack([x, 0 * x + 600], 1), np.stack([x + w / 2, 0 * x + 600], 1),
             np.stack([x + w / 2, 0 * x], 1)]  # fmt: skip
    return np.concatenate([[(0, -5)], np.stack(tooth, 1).reshape(-1, 2), [(600, -5)]])


def test_200_000_equal_outlines_are_refused_by_the_pictures_name():
    heap = many(BOX, 200_000)
    with pytest.raises(CrowdError, match=r"^page 7: found outlines of which over"):
        judge_picture("page 7", heap, heap, spec=EvaluationSpec())


def test_many_equal_outlines_that_can_be_borne_are_matched_one_to_one():
    heap = many(BOX, 300)
    assert match_iou(heap, heap).counts(0.9).matched == 300


def test_more_pairs_than_memory_has_room_for_are_counted_no_further(monkeypatch):
    monkeypatch.setattr(candidates, "MOST_PAIRS", 1000)
    heap = many(BOX, 40)
    with pytest.raises(CrowdError, match="over 1000 pairs overlap"):
        match_iou(heap, heap)


@pytest.mark.parametrize("step", [(0.0, 2.0), (2.0, 0.0)])
def test_100_000_lines_one_below_or_beside_the_other_are_matched(step):
    lines = many(BOX * 0.001, 100_000, step)
    assert match_iou(lines, lines).counts(0.5).matched == 100_000


def test_outlines_that_cross_everywhere_are_refused():
    with pytest.raises(CrowdError, match="of their edges meet"):
        match_iou(of(comb(20_000)), of(comb(20_000)[:, ::-1]))


def star(corners: int) -> np.ndarray:
    """Every edge crosses every other one near the middle."""
    turn = np.arange(corners) * np.pi * (corners + 1) / corners
    return 300 + 250 * np.stack([np.cos(turn), np.sin(turn)], 1)


def test_outlines_that_cross_themselves_thousands_of_times_are_filled_even_odd_and_judged():
    pages = of(star(121), BOX * 0.1)
    assert judge_picture("stars", pages, pages, spec=EvaluationSpec()).match.counts(0.5).matched == 1
    (filled,) = measured(of(star(21))).shapes(np.array([0]))
    known = shapely.make_valid(shapely.Polygon(star(21)))
    assert shapely.is_valid(filled) and filled.area == pytest.approx(known.area, rel=1e-9)


def test_round_outlines_of_many_corners_are_matched():
    turn = np.linspace(0, 2 * np.pi, 2000, endpoint=False)
    ring = 300 + np.stack([np.cos(turn), np.sin(turn)], 1) * (200 + 20 * np.sin(9 * turn))[:, None]
    assert match_iou(of(ring), of(ring)).counts(0.9).matched == 1


def test_outlines_of_100_000_corners_are_not_compared_corner_by_corner():
    turn = np.linspace(0, 2 * np.pi, 100_000, endpoint=False)
    ring = of(300 + 200 * np.stack([np.cos(turn), np.sin(turn)], 1))
    with pytest.raises(CrowdError, match="of their corners are near"):
        match_iou(ring, ring)


def test_corners_that_are_compared_are_counted(monkeypatch):
    monkeypatch.setattr(candidates, "MOST_LOOKS", 10)
    with pytest.raises(CrowdError, match="over 10 pairs of their corners are near"):
        match_iou(of(BOX), of(BOX))


def test_an_outline_of_more_points_is_no_outline(tmp_path):
    numbers = ",".join("1,1" for _ in range(MOST_POINTS + 1))
    assert kinds(scanned(tmp_path, "icdar", f"{numbers},x", "a.txt")) == ["too-many-points"]


def test_near_duplicates_of_one_heap_are_found_in_bounded_work(monkeypatch):
    shapes = [BOX + i * 1e-4 for i in range(500)]
    table = OutlineTable.of([Sample(id="a", polygons=of(*shapes), loc="a")])
    assert (table.near >= 0).sum() == 499
    monkeypatch.setattr(outlines, "COMPARED", 1000)
    with pytest.raises(CrowdError, match="over 1000 pairs of corners"):
        OutlineTable.of([Sample(id="a", polygons=of(*shapes), loc="a")])


def line(points: np.ndarray) -> str:
    return ",".join(f"{value:.6g}" for value in points.ravel()) + ",word"


def band(across: np.ndarray, high: float) -> np.ndarray:
    there = np.stack([np.linspace(0, 2000, len(across)), across], axis=1)
    return np.concatenate([there, there[::-1] + [0, high]])


def test_lines_of_text_may_be_long_and_flat():
    """Pages of baselines as outlines, and of long lines: they cross nowhere."""
    for drawn in (
        [band(np.zeros(50) + 20 * i, 1) for i in range(200)],
        [band(np.zeros(6) + 40 * i, 33) for i in range(3000)],
    ):
        assert crowds.crowd(np.concatenate(drawn), np.cumsum([0, *map(len, drawn)])) is None


@pytest.mark.parametrize("there", [np.arange(1000) * 1e-6, np.zeros(1000)])
def test_a_comb_too_fine_for_a_canvas_is_refused(there):
    comb = np.stack([there, np.where(np.arange(1000) % 2, 0.0, 900.0)], axis=1)
    assert crowds.crowd(np.concatenate([comb] * 5), np.arange(6) * 1000)[0] == "too-dense"


@pytest.mark.parametrize(
    ("outlines", "kind"),
    [
        pytest.param([BOX * 0.01] * 101, "too-many-outlines", id="texts"),
        pytest.param([BOX, np.repeat(BOX, 30, axis=0)], "too-many-points", id="points"),
        pytest.param([BOX + i * 0.01 for i in range(11)], "too-dense", id="heap"),
        pytest.param([np.array([(i * 4 % 9, i * 4 % 9) for i in range(9)])] * 2, "too-dense", id="on a line"),
        pytest.param([comb(44)], "too-dense", id="comb"),
    ],
)
def test_outlines_that_no_picture_has_are_refused_when_they_are_read(outlines, kind, tmp_path, monkeypatch):
    for name, most in (("MOST_TEXTS", 100), ("MOST_PICTURE_POINTS", 120), ("MOST_LAYERS", 10), ("MOST_TANGLES", 50)):
        monkeypatch.setattr(crowds, name, most)
    assert kinds(scanned(tmp_path, "icdar", "\n".join(map(line, outlines)), "a.txt")) == [kind]
    found = [{"img_path": "a.jpg", "polygons": [o.ravel().tolist() for o in outlines], "scores": [1] * len(outlines)}]
    (tmp_path / "found.json").write_text(json.dumps(found))
    with pytest.raises(AnnotationError) as caught:
        read_prediction_file(tmp_path / "found.json")
    assert [problem.kind for problem in caught.value.problems] == [kind]


def test_pages_of_many_words_and_outlines_that_are_traced_pixel_by_pixel_are_read(tmp_path):
    words = [BOX * (0.02, 0.005) + (30 * (i % 60), 6 * (i // 60)) for i in range(5000)]
    around = np.arange(1500)
    above, below = np.stack([around, 8 * (around // 8 % 2)], 1), np.stack([around, 0 * around + 40], 1)
    traced = np.concatenate([above, below[::-1]])
    reading = scanned(tmp_path, "icdar", "\n".join(map(line, [*words, traced])), "a.txt")
    assert not reading.problems and len(reading.samples[0].polygons) == 5001


def test_the_smallest_rectangle_around_a_round_outline_of_many_corners():
    turn = np.linspace(0, 2 * np.pi, 9999, endpoint=False)
    ellipse = np.stack([np.cos(turn) * 200, np.sin(turn) * 50], 1) @ np.array([[0.8, 0.6], [-0.6, 0.8]])
    spine = spines(of(ellipse)).points
    assert np.allclose(spine, [[-160, -120], [160, 120]], atol=0.5)
