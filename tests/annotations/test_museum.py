"""Failures of earlier projects that annotation reading must make impossible; numbered as in the list of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrmaps.annotations import READERS, WRITERS, Source, find_pictures, read, scan
from ocrmaps.annotations.records import Sample
from ocrmaps.errors import AnnotationError
from ocrmaps.geometry import PolygonSet
from tests.annotations.test_writing import EXACT, OUT
from tests.contracts.reader import MUTATIONS, kinds, lay, source_of
from tests.strategies import outlines

MIXED = [[[0, 0], [9, 0]], [[1, 1], [5, 1], [5, 4], [3, 6], [1, 4], [0, 3], [0, 2]], [[2, 2], [4, 2], [4, 4]]]


def ufo(tmp_path, outlines, name="u.json"):
    words = {f"{i:04d}": {"points": points} for i, points in enumerate(outlines, start=1)}
    lay(tmp_path, {name: json.dumps({"images": {"a.jpg": {"words": words}}})})
    return source_of(tmp_path / name, "ufo")


def test_b1_the_frame_is_declared_and_no_point_is_remapped(tmp_path):
    """Annotations of a turned photograph: y beyond the stored height is neither guessed at nor turned."""
    points = [[100.0, 1270.0], [300.0, 1270.0], [300.0, 1281.9], [100.0, 1281.9]]
    source = ufo(tmp_path, [points])
    for frame in ("raw", "upright"):
        declared = Source(annotations=source.annotations, pictures=tmp_path, format="ufo", frame=frame)
        (sample,) = read(declared)
        assert sample.polygons.frame == frame
        assert sample.polygons[0].tolist() == points


def test_b18_transposed_and_permuted_outlines_stay_different(tmp_path):
    one = [[1, 2], [3, 4], [5, 7]]
    variants = [one, [[y, x] for x, y in one], one[1:] + one[:1], one[::-1]]
    (sample,) = read(ufo(tmp_path, variants))
    assert [p.tolist() for p in sample.polygons] == variants
    assert len({p.tobytes() for p in sample.polygons}) == 4


def test_b23_b24_points_are_never_read_as_shape(tmp_path):
    """Outlines of 3, 4, 7 and 40 points in one picture keep every point: no axis is ever taken for a point count."""
    long = [[float(i), float(i * i % 17)] for i in range(40)]
    (sample,) = read(ufo(tmp_path, [*MIXED[1:], long]))
    assert sample.polygons.counts().tolist() == [7, 3, 40]
    assert sample.polygons[2].tolist() == long


@given(st.lists(outlines(min_points=3, max_points=12), max_size=4))
def test_b24_flat_points_and_offsets_give_the_outlines_back(polygons):
    found = PolygonSet.of(polygons, frame="upright")
    assert [[tuple(p) for p in outline.tolist()] for outline in found] == polygons


@pytest.mark.parametrize(
    "points", [[[[0, 0], [9, 0], [9, 9]]], [0, 0, 9, 0, 9], [[0, 0, 1], [9, 0, 1], [9, 9, 1], [0, 9, 1]], [[], []]]
)
def test_b25_an_outline_of_another_shape_is_an_error_with_its_place(tmp_path, points):
    """Not a crash in a worker an hour later, and not a reshape."""
    (problem,) = scan(ufo(tmp_path, [MIXED[1], points])).problems
    assert problem.loc == 'u.json:images["a.jpg"].words["0002"].points'


@pytest.mark.parametrize("format", EXACT)
def test_b26_what_a_writer_takes_a_reader_gives_back(format, tmp_path):
    """Every pair of converter and reader runs over data of all kinds before anything is built on it."""
    polygons = PolygonSet.of(MIXED[1:], frame="upright", ignore=[True, False], texts=[None, "a, b"])
    sample = Sample(id="a.jpg", polygons=polygons, loc="x", size=(10, 10))
    out = tmp_path / OUT[format]
    WRITERS[format]([sample], out)
    lay(tmp_path, {"a.jpg": b""})
    assert [s.polygons for s in read(Source(annotations=out, pictures=tmp_path, format=format))] == [polygons]


def test_b27_small_outlines_are_never_filtered(tmp_path):
    """Half a pixel wide, without area or doubled: validity is decided later, in the open, with counts."""
    tiny = [[5, 5], [5.4, 5], [5.4, 5.4], [5, 5.4]]
    flat = [[0, 0], [4, 0], [8, 0]]
    (sample,) = read(ufo(tmp_path, [tiny, flat, tiny]))
    assert [p.tolist() for p in sample.polygons] == [tiny, flat, tiny]


def test_b27_two_points_are_a_problem_and_not_a_dropped_outline(tmp_path):
    reading = scan(ufo(tmp_path, MIXED))
    assert kinds(reading) == ["too-few-points"]
    assert reading.samples == ()


def test_b28_outlines_without_width_are_read(tmp_path):
    (sample,) = read(ufo(tmp_path, [[[3, 1], [3, 5], [3, 9]], [[2, 2], [2, 2], [2, 2]]]))
    assert sample.polygons.areas().tolist() == [0, 0]


def test_b29_source_is_immutable(tmp_path):
    """Out-of-bounds points are neither clamped nor rewritten, in memory or on disk."""
    outside = [[-3, -0.5], [9, 0], [9, 1e6]]
    source = ufo(tmp_path, [outside])
    before = source.annotations.read_bytes()
    (sample,) = read(source)
    assert sample.polygons[0].tolist() == outside
    assert source.annotations.read_bytes() == before
    with pytest.raises(ValueError, match="read-only"):
        sample.polygons.points[0] = 0
    with pytest.raises(AnnotationError, match="exists already"):
        WRITERS["ufo"]([sample], source.annotations)


def test_b30_a_missing_picture_is_counted_not_skipped(tmp_path):
    source = ufo(tmp_path, MIXED[1:])
    assert find_pictures(source, read(source)).missing == ("a.jpg",)


def test_strict_reading_carries_every_problem(tmp_path):
    bad = {f"{i}.jpg": {"words": {"1": {"points": [[i, i]]}}} for i in range(50)}
    source = source_of(lay(tmp_path, {"u.json": json.dumps({"images": bad})}) / "u.json", "ufo")
    with pytest.raises(AnnotationError) as caught:
        read(source)
    assert len(caught.value.problems) == 50
    assert "and 30 more" in str(caught.value)
    assert "50 problems" in str(caught.value)


def test_fuzz_budget():
    """Every format has a contract, and the contracts damage at least 2000 files between them."""
    assert MUTATIONS * len(READERS) >= 2000


def test_reading_leaves_the_garbage_collector_as_it_was(tmp_path):
    import gc

    assert gc.isenabled()
    scan(ufo(tmp_path, MIXED))
    assert gc.isenabled()


def test_points_are_float64_and_shared_safely(tmp_path):
    (sample,) = read(ufo(tmp_path, MIXED[1:]))
    assert sample.polygons.points.dtype == np.float64
    assert not sample.polygons.points.flags.writeable
