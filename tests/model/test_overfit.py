"""The light detector can learn at all: one small picture, by heart."""

from __future__ import annotations

import numpy as np
import torch

from ocrmaps.geometry import PolygonSet
from ocrmaps.maps import MapSpec, draw_maps
from ocrmaps.model import DetectorSpec, Targets, build_detector, build_loss


def test_one_picture_is_learnt_by_heart():
    size = (64, 64)
    lines = [[(6, 8), (56, 8), (56, 20), (6, 20)], [(10, 34), (40, 30), (42, 44), (12, 48)]]
    maps = draw_maps(PolygonSet.of(lines, frame="canonical"), MapSpec(), size)
    image = np.full((*size, 3), 230, np.uint8)
    noise = np.random.default_rng(0).integers(0, 120, (*size, 1), dtype=np.uint8)
    inside = draw_maps(PolygonSet.of(lines, frame="canonical", ignore=[True, True]), MapSpec(), size)
    image = np.where(inside.probability_mask[..., None] == 0, noise, image)
    mask = maps.mask
    arrays = (maps.probability.copy(), maps.quantized, mask)
    targets = Targets.unpack(*(torch.from_numpy(a)[None] for a in arrays))
    detector, loss = build_detector(DetectorSpec(encoder="light")).train(), build_loss()
    optimizer = torch.optim.AdamW(detector.parameters(), lr=4e-3)
    batch = torch.from_numpy(np.ascontiguousarray(image))[None]
    history = []
    for _ in range(90):
        optimizer.zero_grad()
        terms = loss(detector(batch), targets)
        terms.total.backward()
        optimizer.step()
        history.append(terms.total.item())
    assert max(history[-5:]) < history[0] / 10
    with torch.no_grad():
        said = detector(batch).probability[0] > 0
    assert (said.numpy() == maps.probability.astype(bool)).mean() > 0.98
