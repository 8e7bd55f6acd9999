"""A folded detector gives the maps of the one it was made of, up to the border; what it cannot fold it leaves alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ocrmaps.model import Detector, DetectorSpec, build_detector
from ocrmaps.model.folded import folded
from tests.model.test_detector import pictures


def learnt(**parts):
    """A detector that says something everywhere, as after a training."""
    detector = build_detector(DetectorSpec(**{"encoder": "light", **parts}))
    generator = torch.Generator().manual_seed(1)
    for module in detector.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight, module.bias, module.running_mean, module.running_var):
                values.data = torch.rand(values.shape, generator=generator) + 0.5
        elif isinstance(module, nn.ConvTranspose2d):
            module.weight.data = torch.randn(module.weight.shape, generator=generator) / 4
    return detector.eval()


@pytest.mark.parametrize("size", [(32, 32), (64, 160)])
@pytest.mark.parametrize("parts", [{}, {"encoder": "resnet18", "decoder_options": {"width": 64}}], ids=str)
def test_both_maps_are_the_same_everywhere(parts, size):
    detector = learnt(**parts).double()
    fast = folded(detector)
    assert fast is not detector
    with torch.no_grad():
        for own, other in zip(detector(pictures(2, *size)), fast(pictures(2, *size)), strict=True):
            assert own.std() > 0.1
            torch.testing.assert_close(other, own, rtol=1e-9, atol=1e-9)
        assert fast(pictures(1, *size), threshold=False).threshold is None


def test_decoder_and_head_take_a_fifth_fewer_multiplications():
    detector = learnt()
    counts = []
    for module in (detector, folded(detector), detector.encoder):
        given = torch.zeros(1, 3, 128, 128) if module is detector.encoder else pictures(1, 128, 128)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            module(given)
        counts.append(counter.get_total_flops())
    whole, fast, encoder = counts
    assert fast - encoder < 0.8 * (whole - encoder)


@pytest.mark.parametrize("parts", [{"decoder": "asf"}, {"decoder": "pan"}], ids=str)
def test_other_parts_stay_as_they_are(parts):
    detector = learnt(**parts)
    assert folded(detector) is detector


def test_a_detector_in_training_stays_as_it_is():
    detector = learnt().train()
    assert folded(detector) is detector


def test_a_detector_of_ones_own_kind_stays_as_it_is():
    class Own(Detector):
        def forward(self, image, *, threshold=True):
            return super().forward(255 - image, threshold=threshold)

    detector = learnt()
    detector.__class__ = Own
    assert folded(detector) is detector
