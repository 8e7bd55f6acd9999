"""Settings of extraction are checked completely, and counts add up."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from ocrmaps.errors import SpecError
from ocrmaps.extract import ExtractSpec, Outcomes


def test_the_defaults_invert_exact_maps():
    spec = ExtractSpec()
    assert (spec.unclip, spec.kernel, spec.shrink_ratio) == ("inverse", "exact", 0.6)
    assert spec.q == pytest.approx(1 - 0.36)


def test_official_kernels_default_to_their_own_shrink_ratio():
    assert ExtractSpec(kernel="official").shrink_ratio == 0.4


def test_a_spec_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        ExtractSpec().score_min = 0.5  # type: ignore[misc]


def test_all_problems_are_reported_at_once():
    with pytest.raises(SpecError) as caught:
        ExtractSpec(shape="circle", binarize=1.0, score_min=float("nan"), max_candidates=0, split=2, min_side=-1)  # type: ignore[arg-type]
    assert {problem.loc for problem in caught.value.problems} == {
        f"extract.{name}" for name in ("shape", "binarize", "score_min", "max_candidates", "split", "min_side")
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"shape": ["boxes"]},
        {"shape": None},
        {"kernel": "Exact"},
        {"unclip": "offset"},
        {"contour": "marching"},
        {"score": 1},
        {"arithmetic": "integer"},
        {"shrink_ratio": 0},
        {"shrink_ratio": 1},
        {"shrink_ratio": "0.4"},
        {"binarize": -0.1},
        {"binarize": True},
        {"binarize": "fixed"},
        {"binarize": None},
        {"split": 0},
        {"split": True},
        {"score_min": 1.1},
        {"max_candidates": 1.5},
        {"max_candidates": True},
        {"min_kernel_side": None},
        {"min_side": float("inf")},
        {"simplify": -1},
        {"unclip": "constant", "unclip_ratio": -1},
    ],
    ids=str,
)
def test_a_wrong_setting_is_refused_by_name(wrong):
    with pytest.raises(SpecError, match="extract." + list(wrong)[-1]):
        ExtractSpec(**wrong)


def test_a_ratio_that_nothing_reads_is_refused():
    with pytest.raises(SpecError, match="unclip_ratio"):
        ExtractSpec(unclip="inverse", unclip_ratio=1.5)


@pytest.mark.parametrize(
    "change",
    [{"kernel": "exact"}, {"unclip": "inverse"}, {"contour": "subpixel"}, {"split": 0.3}, {"binarize": "learned"},
     {"simplify": 2.0}],
    ids=str,
)  # fmt: skip
def test_published_arithmetic_has_published_settings_only(change):
    with pytest.raises(SpecError, match="published"):
        ExtractSpec.peers(**change)


def test_published_settings():
    boxes, polygons = ExtractSpec.peers(), ExtractSpec.peers("polygons", score_min=0.7)
    assert (boxes.binarize, boxes.score_min, boxes.max_candidates) == (0.3, 0.6, 1000)
    assert (boxes.min_kernel_side, boxes.min_side, boxes.growth_ratio) == (3, 5, 1.5)
    assert (polygons.min_kernel_side, polygons.min_side, polygons.growth_ratio) == (0, 5, 2.0)
    assert polygons.score_min == 0.7


def test_outcomes_as_a_dictionary_name_every_count():
    outcomes = Outcomes(found=7, kept=2, small_kernel=1, low_score=1, over_cap=1, small=1, degenerate=1, holes=4)
    assert outcomes.dropped == 5
    assert sum(outcomes.as_dict().values()) == 7 + 2 + 5 + 4
