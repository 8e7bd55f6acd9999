"""Kernels that grew together are parted at thin necks, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrmaps.extract import ExtractSpec, extract
from ocrmaps.extract.split import split_regions


def two_lines(bridge: int) -> np.ndarray:
    """Two kernels of 60 x 6 pixels, one above the other, joined by a bridge of this width."""
    map = np.zeros((40, 80), dtype=np.float32)
    map[8:14, 10:70] = map[24:30, 10:70] = 1
    map[14:24, 30 : 30 + bridge] = 1
    return map


def test_two_lines_joined_by_a_thin_bridge_come_apart():
    joined, parted = extract(two_lines(2)), extract(two_lines(2), ExtractSpec(split=0.5))
    assert (len(joined), len(parted), parted.outcomes.parts) == (1, 2, 1)


def test_the_parts_are_the_texts_that_were_joined():
    apart = extract(two_lines(0))
    parted = extract(two_lines(2), ExtractSpec(split=0.5))
    for one, other in zip(apart.polygons, parted.polygons, strict=True):
        assert np.abs(one - other).max() < 1.0


def test_a_bridge_as_thick_as_the_lines_is_no_neck():
    assert len(extract(two_lines(8), ExtractSpec(split=0.5))) == 1


def test_the_ratio_decides_what_a_neck_is():
    wedge = two_lines(3)  # thickness 3 against 5
    assert len(extract(wedge, ExtractSpec(split=0.7))) == 2
    assert len(extract(wedge, ExtractSpec(split=0.3))) == 1


def test_an_even_line_stays_whole():
    map = np.zeros((20, 200), dtype=np.float32)
    map[8:11, 5:195] = 1
    assert extract(map, ExtractSpec(split=0.9)).outcomes.parts == 0


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.2, 0.5, 1.0]))
@settings(max_examples=40)
def test_parts_hold_pixels_of_one_region_and_every_region_remains(seed, ratio):
    rng = np.random.default_rng(seed)
    cells = rng.random((25, 31)) < 0.6
    labels, before = split_regions(cells, ratio)
    whole, _ = split_regions(cells, 1e-9)
    assert not (labels > 0)[~cells].any()
    assert int(whole.max()) == before
    origins = [np.unique(whole[labels == label]).tolist() for label in range(1, int(labels.max()) + 1)]
    assert all(len(origin) == 1 for origin in origins)
    assert {origin[0] for origin in origins} == set(range(1, before + 1))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_a_region_without_necks_keeps_all_its_pixels(seed):
    rng = np.random.default_rng(seed)
    cells = rng.random((25, 31)) < 0.3
    labels, before = split_regions(cells, 0.5)
    whole, _ = split_regions(cells, 1e-9)
    for region in range(1, before + 1):
        if len(np.unique(labels[whole == region])) == 1:
            assert (labels[whole == region] > 0).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1)])
def test_maps_of_one_row_or_column_can_be_split(size):
    labels, before = split_regions(np.ones(size, dtype=bool), 0.5)
    assert before == 1 and (labels == 1).all()
