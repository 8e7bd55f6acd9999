"""timm encoders: a clear way to the extra where it is missing, real ones where it is there."""

from __future__ import annotations

import sys

import pytest
import torch

from ocrmaps.errors import SpecError
from ocrmaps.model import DetectorSpec, build_detector, describe


def test_without_timm_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(SpecError, match="timm:resnet10t needs timm, which is not installed") as refused:
        build_detector(DetectorSpec(encoder="timm:resnet10t"))
    assert "ocrmaps[timm]" in refused.value.hint


def test_options_are_checked_before_timm_is_looked_for():
    with pytest.raises(SpecError, match="takes no option 'depth'; it takes pretrained"):
        build_detector(DetectorSpec(encoder="timm:resnet10t", encoder_options={"depth": 3}))


@pytest.mark.parametrize("name", ["resnet10t", "convnext_atto", "mobilenetv3_small_050"])
def test_a_timm_network_is_an_encoder(name):
    pytest.importorskip("timm", reason="needs the extra [timm]")
    detector = build_detector(DetectorSpec(encoder=f"timm:{name}"))
    assert [4, 8, 16, 32] == describe(detector, (64, 64))["strides"]
    with torch.no_grad():
        assert (1, 64, 96) == detector.eval()(torch.zeros(1, 64, 96, 3, dtype=torch.uint8)).probability.shape


def test_an_unknown_timm_network_names_its_neighbors():
    pytest.importorskip("timm", reason="needs the extra [timm]")
    with pytest.raises(SpecError, match="no model 'resnet_of_mine'") as refused:
        build_detector(DetectorSpec(encoder="timm:resnet_of_mine"))
    assert "resnet" in refused.value.hint


def test_a_timm_network_without_strides_is_refused():
    pytest.importorskip("timm", reason="needs the extra [timm]")
    with pytest.raises(SpecError, match="stride"):
        build_detector(DetectorSpec(encoder="timm:vit_tiny_patch16_224"))
