"""Adapters give what docTR, MMOCR, PaddleOCR and OpenOCR draw themselves, in their names, shapes and ranges."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ocrmaps.adapters import doctr, mmocr, paddle
from ocrmaps.adapters.plain import LEVELS, plain
from ocrmaps.geometry import PolygonSet
from ocrmaps.loader import MapLoader
from ocrmaps.loader.batch import Batch
from ocrmaps.maps import MapSpec, draw_maps

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "adapters.npz"
NEAR = 0.4 / LEVELS / 2 + 0.0003
"""Half a stored level of the threshold, and what half precision of the golden arrays adds."""


@pytest.fixture(scope="module")
def theirs():
    with np.load(GOLDEN) as arrays:
        return dict(arrays)


def batch_of(theirs, *, ignored: bool = True) -> Batch:
    """The golden page and one without text as a store holds them."""
    keep = np.ones(len(theirs["points"]), dtype=bool) if ignored else ~theirs["ignore"]
    page = PolygonSet.of(theirs["points"][keep], frame="canonical", ignore=theirs["ignore"][keep])
    size = tuple(theirs["size"].tolist())
    maps = [draw_maps(p, MapSpec(style="official"), size) for p in (page, PolygonSet.empty("canonical"))]
    image = torch.zeros(2, *size, 3, dtype=torch.uint8)
    image[..., 0] = 255  # red
    arrays = [np.stack([getattr(m, name) for m in maps]) for name in ("probability", "quantized", "mask")]
    return Batch(image, *(torch.from_numpy(a) for a in arrays), torch.arange(2))


def test_paddle_and_openocr_get_the_maps_they_draw(theirs):
    image, *maps = paddle.paddle_batch(batch_of(theirs))
    assert all(m.dtype == torch.float32 and m.shape == (2, 96, 128) for m in maps)
    for key, found in zip(paddle.KEYS[1:], maps, strict=True):
        expected = theirs[f"paddle_{key}"].astype(np.float32)
        off = np.abs(found[0].numpy() - expected).max()
        assert off == 0 if key != "threshold_map" else off < NEAR, key
    assert maps[0].min() == pytest.approx(0.3) and 0.68 < maps[0].max() < 0.7001
    # BGR: red comes last; 1 less the mean over the deviation of what stands third.
    assert image[0, :, 0, 0].tolist() == pytest.approx([-0.485 / 0.229, -0.456 / 0.224, (1 - 0.406) / 0.225], rel=1e-5)


def test_doctr_gets_the_maps_it_draws(theirs):
    found = doctr.doctr_targets(batch_of(theirs, ignored=False))
    names = ("seg_target", "seg_mask", "thresh_target", "thresh_mask")
    for name, array in zip(names, found, strict=True):
        expected = theirs[f"doctr_{name}"]
        assert array.shape == expected.shape == (2, 1, 96, 128)
        assert array.dtype == (np.float32 if name.endswith("target") else np.bool_)
        off = np.abs(array.astype(np.float32) - expected.astype(np.float32)).max()
        assert off == 0 if name != "thresh_target" else off < NEAR, name
    assert not found[1][1].any(), "a picture without text is masked"


def test_mmocr_gets_its_targets_but_for_the_rounding_of_its_kernels(theirs):
    names = ("gt_shrink", "gt_shrink_mask", "gt_thr", "gt_thr_mask")
    for name, found in zip(names, mmocr.mmocr_targets(batch_of(theirs)), strict=True):
        expected = theirs[f"mmocr_{name}"][0].astype(np.float32)
        assert found.dtype == torch.float32 and found.shape == (2, 96, 128)
        off = np.abs(found[0].numpy() - expected)
        if name == "gt_shrink":  # it shrinks whole-numbered outlines by a whole number of pixels
            assert 0 < off.sum() < 0.05 * expected.sum()
        else:
            assert off.max() == 0 if name != "gt_thr" else off.max() < NEAR, name
    red = mmocr.mmocr_inputs(batch_of(theirs))[0, :, 0, 0].tolist()
    assert red == pytest.approx([(255 - 123.675) / 58.395, -116.28 / 57.12, -103.53 / 57.375], rel=1e-5)


def test_a_change_of_ranges_would_show(theirs):
    """The comparison above can fail: a kernel of another ratio is not theirs."""
    page = PolygonSet.of(theirs["points"], frame="canonical", ignore=theirs["ignore"])
    other = draw_maps(page, MapSpec(style="official", shrink_ratio=0.5), (96, 128))
    assert (other.probability != theirs["paddle_shrink_map"]).any()


class Drawing:
    """A model or loss of another project: what it would draw from boxes."""

    def build_target(self, target, shape):
        raise AssertionError("drawn once more")

    def get_targets(self, samples):
        raise AssertionError("drawn once more")


def test_models_take_what_is_drawn():
    drawn = object()
    assert doctr.accept_drawn(Drawing()).build_target(drawn, (1, 8, 8)) is drawn
    assert mmocr.accept_drawn(Drawing()).get_targets(drawn) is drawn


@pytest.mark.parametrize("kind", [doctr.DoctrLoader, paddle.PaddleLoader])
def test_loaders_go_over_a_version_again_and_again(kind, loader_folder):
    with MapLoader(loader_folder, split="train", batch_size=2, shuffle=False) as batches:
        adapted = kind(batches)
        for _ in range(2):
            assert len(list(adapted)) == len(adapted) == len(batches) > 0


def test_plain_batches_are_floats(loader_folder):
    with MapLoader(loader_folder, split="train", batch_size=2, shuffle=False) as batches:
        batch = next(iter(batches))
        found = plain(batch)
    assert {t.dtype for t in found} == {torch.float32}
    assert found.image.shape == (2, 3, *batch.image.shape[1:3]) and 0 <= found.image.min() <= found.image.max() <= 1
    assert set(found.probability.unique().tolist()) <= {0.0, 1.0} and found.threshold.min() >= 0.3
