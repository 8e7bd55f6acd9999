"""Text that a crop cuts or a reduction starves becomes ignore; all other text stays learnt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from ocrmaps.augment import AugmentSpec, Outlines, apply_plan, augment, draw_plan
from ocrmaps.errors import FrameError, SpecError
from ocrmaps.geometry import Affine, PolygonSet
from tests.augment.scenes import RATIO, bar, batch_of, canonical, maps_of, outlines_of

CROP = (60, 80)
WHOLE, CUT, GONE = bar(40, 20, 40, 10), bar(78, 45, 30, 12), bar(110, 90, 20, 10)


def moved(polygons, affine, size=CROP, source=(120, 140)):
    plan = draw_plan(AugmentSpec(), [0], source, seed=0, epoch=0)
    plan = replace(plan, matrices=affine.matrix[None], size=size)
    return apply_plan(batch_of([polygons], source), plan, outlines_of([polygons]))


def inside_of(outline, size=CROP):
    """Pixels whose center the outline holds, as maps of ignored text have it."""
    return maps_of(canonical(outline, ignore=[True]), size)[2] & 1 == 0


def test_cut_text_is_ignored_whole_and_its_neighbor_stays():
    found = moved(canonical(WHOLE, CUT, GONE), Affine.identity())
    _, _, mask = maps_of(canonical(WHOLE, CUT, ignore=[False, True]), CROP)
    inside = inside_of(CUT)
    assert not found.mask[0].numpy()[inside].any()
    # Elsewhere it is as if drawn anew with that text ignored, but for the pixel that an outline is thick.
    differs = (found.mask[0].numpy() != mask) & ~inside
    assert not differs[:, :60].any()
    assert differs.sum() <= 2 * (30 + 12)


def test_the_band_around_cut_text_teaches_no_threshold_but_background():
    found = moved(canonical(CUT), Affine.identity())
    probability, threshold, mask = (t[0].numpy() for t in found[1:4])
    band = (threshold > 0) & ~inside_of(CUT)
    assert band.any() and not (mask[band] & 2).any()
    far = np.ones(CROP, bool)
    far[35:56, 58:] = False
    assert (mask[far] == 1).all()
    assert not (probability & mask & 1).any()


def test_the_band_of_text_that_was_cropped_away_teaches_no_threshold():
    """Its border is not in sight, so how far it is cannot be seen."""
    text = canonical(bar(40, 66, 40, 11))
    found = moved(text, Affine.identity())
    assert found.threshold[0, -1].any()
    assert not (found.mask[0].numpy()[found.threshold[0].numpy() > 0] & 2).any()
    assert (found.mask[0] & 1).all()


def test_cut_text_is_found_under_rotation_and_scale():
    affine = Affine.scaling(1.5, 1.5) @ Affine.rotation(20, (40, 30))
    text = canonical(WHOLE, CUT)
    there = text.transform(affine, "canonical")
    found = moved(text, affine).mask[0].numpy()
    assert not found[inside_of(there[1])].any()


def test_text_that_only_touches_the_edge_is_whole():
    text = canonical([(10, 10), (80.4, 10), (80.4, 24), (10, 24)])
    found = moved(text, Affine.identity())
    assert (found.mask[0].numpy()[inside_of(text[0])] == 3).all()


def test_what_the_canvas_had_cut_is_not_cut_again():
    """Its maps say what is to be learnt from it; a mirror image or a larger canvas takes nothing away."""
    text = canonical([(-30, 40), (50, 40), (50, 56), (-30, 56)])
    found = moved(text, Affine.translation(8, 0), size=(128, 160))
    shifted = inside_of(text.transform(Affine.translation(8, 0), "canonical")[0], (128, 160))
    shifted[:, :8] = False
    assert (found.mask[0].numpy()[shifted] == 3).all()


def test_slanted_text_that_the_canvas_had_cut_stays_learnt_where_a_crop_shows_all_of_its_rest():
    """Its corner beside the canvas is not part of the rest, wherever the canvas is nearest to it."""
    text = canonical([(10, 30), (20, 40), (-30, 90), (-40, 80)])
    found = moved(text, Affine.identity(), size=(65, 80))
    assert (found.mask[0].numpy()[inside_of(text[0], (65, 80))] == 3).all()


def test_text_over_a_corner_of_the_canvas_is_cut_where_that_corner_is():
    """None of its own corners lies there."""
    text = canonical([(-100, 60), (60, -100), (60, 60)])
    turned = Affine.rotation(45, (60, 60))
    there = text.transform(turned, "canonical")
    found = moved(text, turned, size=(120, 140))
    assert not found.mask[0].numpy()[inside_of(there[0], (120, 140))].any()


def test_text_that_crosses_itself_beside_its_canvas_ends_nothing():
    crossing = canonical([(-38, 72), (30, -1), (123, 127), (-38, 72), (142, -8)])
    outlines = outlines_of([crossing])
    assert outlines.unlearnable(0, np.eye(3), (100, 100), (100, 100)) == []
    ((_, distance),) = outlines.unlearnable(0, np.eye(3), (100, 100), (50, 50))
    assert distance > 0


def test_text_whose_kernel_gets_too_thin_is_ignored():
    """At r = 0.6 a long line 6 px high has a kernel about 2.3 px thick; at a third of its size below 1 px."""
    text = canonical(bar(60, 30, 80, 6), bar(60, 80, 80, 20))
    affine = Affine.scaling(1 / 3, 1 / 3)
    there = text.transform(affine, "canonical")
    found = moved(text, affine, size=(40, 48)).mask[0].numpy()
    assert not found[inside_of(there[0], (40, 48))].any()
    assert (found[inside_of(there[1], (40, 48))] == 3).all()


def test_thin_text_is_left_as_stored_unless_it_shrinks():
    text = canonical(bar(60, 30.5, 80, 2.6))
    for affine in (Affine.identity(), Affine.scaling(1.05, 1.05), *(Affine.rotation(a, (60, 30)) for a in (5, 10, 15))):
        x, y = affine.apply([(60, 30)])[0]
        assert moved(text, affine, size=(120, 140)).mask[0, int(y), int(x)] == 3


def test_ignored_text_needs_no_outline():
    outlines = Outlines.of([(0, canonical(WHOLE, CUT, ignore=[True, False]))], RATIO)
    assert 4 == len(outlines.points)


def test_distances_and_kernels_are_those_of_the_polygons():
    rng = np.random.default_rng(0)
    scenes = [canonical(*(rng.uniform(0, 99, (rng.integers(3, 9), 2)) for _ in range(4))) for _ in range(3)]
    outlines = outlines_of(scenes)
    expected = np.concatenate([s.areas() * (1 - RATIO**2) / s.perimeters() for s in scenes])
    sides = np.concatenate([s.equivalent_sides()[:, 0] for s in scenes]) - 2 * expected
    np.testing.assert_allclose(outlines.distances, expected)
    np.testing.assert_allclose(outlines.kernel_sides, sides)


def test_rows_find_their_own_outlines():
    scenes = [canonical(WHOLE), PolygonSet.empty("canonical"), canonical(CUT)]
    batch = batch_of(scenes, (120, 140), first_row=40)
    spec = AugmentSpec(size=CROP, shift=False)
    found = augment(batch, spec, seed=0, epoch=0, outlines=outlines_of(scenes, 40))
    backwards = type(batch)(*(t.flip(0) for t in batch))
    again = augment(backwards, spec, seed=0, epoch=0, outlines=outlines_of(scenes, 40))
    assert torch.equal(found.mask.flip(0), again.mask)
    assert (found.mask[1] == 1).all()


def test_a_row_that_is_shown_again_has_its_outlines_and_a_fate_of_its_own():
    """Rows that are `every` apart are one stored row: `MapLoader` numbers the times of a row so."""
    outlines = Outlines.of([(3, canonical(WHOLE, CUT))], RATIO, every=10)
    matrix = Affine.scaling(0.01, 0.01).matrix
    found = [len(outlines.unlearnable(row, matrix, (120, 140), (120, 140))) for row in (3, 13, 23)]
    assert found[0] and len(set(found)) == 1
    plans = [draw_plan(AugmentSpec(rotate=20.0), [row], (120, 140), seed=0, epoch=0).matrices for row in (3, 13)]
    assert not np.allclose(*plans)
    with pytest.raises(SpecError, match="row 4 has no outlines"):
        outlines.unlearnable(14, matrix, (120, 140), (120, 140))


def test_without_outlines_cutting_is_refused_or_asked_for():
    batch = batch_of([canonical(CUT)], (120, 140))
    with pytest.raises(SpecError, match="nobody knows which pixels are whose"):
        augment(batch, AugmentSpec(size=CROP), seed=0, epoch=0)
    learnt = augment(batch, AugmentSpec(size=CROP, cut_text="learn", shift=False), seed=0, epoch=0)
    assert torch.equal(batch.mask[:, 30:90, 30:110], learnt.mask)
    augment(batch, AugmentSpec(flip=1.0, brightness=0.5), seed=0, epoch=0)


def test_learning_cut_text_ignores_the_outlines():
    batch = batch_of([canonical(CUT)], (120, 140))
    spec = AugmentSpec(size=CROP, cut_text="learn", shift=False)
    one = augment(batch, spec, seed=0, epoch=0)
    other = augment(batch, spec, seed=0, epoch=0, outlines=outlines_of([canonical(CUT)]))
    assert torch.equal(one.mask, other.mask)


def test_a_row_without_outlines_is_named():
    with pytest.raises(SpecError, match="row 7 has no outlines, 1 other rows have"):
        augment(
            batch_of([canonical(CUT)], (120, 140), first_row=7), AugmentSpec(size=CROP), seed=0, epoch=0,
            outlines=outlines_of([canonical(CUT)]),
        )  # fmt: skip


def test_outlines_in_another_frame_are_refused():
    with pytest.raises(FrameError, match="outlines of row 3 in frame 'upright'"):
        Outlines.of([(3, PolygonSet.of([CUT], frame="upright"))], RATIO)


@pytest.mark.parametrize("ratio", [0.0, 1.0, 40])
def test_a_ratio_is_between_0_and_1(ratio):
    with pytest.raises(SpecError, match="shrink ratio"):
        Outlines.of([], ratio)


def test_odd_outlines_do_no_harm():
    """Without points, without area, far away, crossing itself."""
    odd = canonical(
        np.zeros((0, 2)), [(5, 5)], [(1, 1), (9, 9)], [(3, 3), (3, 3), (3, 3)],
        [(-1e6, 20), (1e6, 20), (1e6, 30), (-1e6, 30)], [(10, 40), (70, 55), (70, 40), (10, 55)],
    )  # fmt: skip
    outlines = Outlines.of([(0, odd)], RATIO)
    plan = replace(draw_plan(AugmentSpec(scale=(10, 10)), [0], (120, 140), seed=0, epoch=0), size=CROP)
    batch = batch_of([canonical(WHOLE)], (120, 140))
    assert torch.equal(torch.zeros(1, dtype=torch.int64), apply_plan(batch, plan, outlines).row)


def test_text_larger_than_any_pen_is_masked_too():
    huge = canonical([(-9e5, -9e5), (9e5, -9e5), (9e5, 9e5), (-9e5, 9e5)])
    plan = replace(draw_plan(AugmentSpec(), [0], (120, 140), seed=0, epoch=0), size=CROP)
    found = apply_plan(batch_of([canonical(WHOLE)], (120, 140)), plan, Outlines.of([(0, huge)], RATIO))
    assert not found.mask.any()
