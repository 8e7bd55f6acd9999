"""A picture becomes maps in one place, in full precision and never in training mode."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from ocrmaps.detect.trained import maps_of
from ocrmaps.errors import SpecError
from ocrmaps.model import DetectorSpec, build_detector

ROOT = Path(__file__).resolve().parents[2]


def test_maps_are_the_sigmoid_of_the_logits_from_arrays_and_tensors():
    detector = build_detector(DetectorSpec(), pretrained=False).eval()
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3), dtype=np.uint8)
    with torch.inference_mode():
        logits = detector(torch.from_numpy(images))
    probability, threshold = maps_of(detector, images)
    assert probability.dtype == np.float32 and probability.shape == (2, 64, 96)
    np.testing.assert_array_equal(probability, torch.sigmoid(logits.probability).numpy())
    np.testing.assert_array_equal(threshold, torch.sigmoid(logits.threshold).numpy())
    alone, nothing = maps_of(detector, torch.from_numpy(images), threshold=False)
    assert nothing is None
    np.testing.assert_array_equal(alone, probability)


def test_a_detector_in_training_mode_is_refused():
    detector = build_detector(DetectorSpec(), pretrained=False).train()
    with pytest.raises(SpecError, match="training mode"):
        maps_of(detector, np.zeros((1, 64, 64, 3), np.uint8))


def test_logits_become_maps_in_one_place():
    found = [
        path.relative_to(ROOT).as_posix()
        for room in ("ocrmaps", "pipelines")
        for path in sorted((ROOT / room).rglob("*.py"))
        if re.search(r"sigmoid\((logits|\w+)\.(probability|threshold)", path.read_text(encoding="utf-8"))
    ]
    assert found == ["ocrmaps/detect/export.py"], "an exported graph holds its own; all others ask `maps_of`"
