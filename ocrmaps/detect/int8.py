"""Rounds an ONNX file to whole numbers of 8 bits, and measures how far its maps and boxes then are from the original's.

Ranges of activations are those seen on real pictures (static quantization, per channel for weights). Convolutions are
rounded, nothing else is: they are what costs time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from shapely import area, intersection
from shapely import polygons as as_polygons

from ocrmaps.detect.trained import Trained
from ocrmaps.extract import extract
from ocrmaps.geometry import PolygonSet
from ocrmaps.maps.records import U8Array

PICTURES = 64
"""Calibration pictures, at most."""
PIXELS = 32_000_000
"""Canvas pixels of all of them together, at most."""
TIMED, ROUNDS = 5, 5
LEAST_AGREEMENT = 0.9
"""Share of boxes that must agree at IoU 0.5: below it something is broken, not rounded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Int8Agreement:
    """How far a detector of whole numbers is from its original, on the same canonical pictures."""

    pictures: int
    map_largest: float
    """Largest difference of a probability."""
    map_mean: float
    boxes: int
    """Of the original."""
    boxes_int8: int
    agree_50: float | None
    """Share of all boxes that have their partner at IoU 0.5; None where there are no boxes."""
    agree_90: float | None
    ms: float
    """Milliseconds of processor time of the original as ONNX, one thread, without preparing and extraction."""
    ms_int8: float

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def sentence(self) -> str:
        boxes = "NO BOXES, so boxes were not compared"
        if self.agree_50 is not None and self.agree_90 is not None:
            boxes = f"of {self.boxes} and {self.boxes_int8} boxes {self.agree_50:.2%} agree at IoU 0.5"
            boxes += f" and {self.agree_90:.2%} at 0.9"
        return (
            f"on {self.pictures} pictures maps differ by {self.map_largest:.2f} at most and {self.map_mean:.4f} on "
            f"average; {boxes}; {self.ms:.0f} ms of one thread before, {self.ms_int8:.0f} ms now"
        )


def round_to_int8(path: Path, out: Path, images: Sequence[U8Array], told: Mapping[str, str]) -> None:
    """Write the ONNX file again with convolutions in whole numbers, and `told` beside the graph."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class _Pictures(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(images)

        def get_next(self) -> dict[str, Any] | None:
            image = next(self.left, None)
            return None if image is None else {"image": image[None]}

    with _quiet():
        quantize_static(
            path,
            out,
            _Pictures(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv", "ConvTranspose"],
        )
    model = onnx.load(out)
    onnx.helper.set_model_props(model, dict(told))
    onnx.save(model, out)


def agreement(mine: Trained, other: Trained, images: Sequence[U8Array]) -> Int8Agreement:
    """The second detector beside the first; both loaded with one thread, so that their times compare."""
    largest, counts, pairs = 0.0, np.zeros(2, dtype=np.int64), np.zeros(2)
    means: list[float] = []
    learned = mine.extract.binarize == "learned"
    for image in images:
        (a, level), (b, other_level) = (t.maps(image[None], threshold=learned) for t in (mine, other))
        difference = np.abs(a - b)
        largest = max(largest, float(difference.max()))
        means.append(float(difference.mean()))
        found = [
            extract(map[0], how, threshold=None if own is None else own[0]).polygons
            for map, own, how in ((a, level, mine.extract), (b, other_level, other.extract))
        ]
        counts += [len(boxes) for boxes in found]
        iou = pair_ious(*found)
        pairs += [(iou >= least).sum() for least in (0.5, 0.9)]
    shares = (2 * pairs / counts.sum()).tolist() if counts.sum() else (None, None)
    times: list[list[float]] = [[], []]
    for _ in range(ROUNDS):  # in turn, so that a busy machine slows both
        for image in images[:TIMED]:
            for place, trained in enumerate((mine, other)):
                start = time.process_time()
                trained.maps(image[None], threshold=False)
                times[place].append((time.process_time() - start) * 1e3)
    return Int8Agreement(
        pictures=len(images),
        map_largest=largest,
        map_mean=float(np.mean(means)),
        boxes=int(counts[0]),
        boxes_int8=int(counts[1]),
        agree_50=shares[0],
        agree_90=shares[1],
        ms=median(times[0]),
        ms_int8=median(times[1]),
    )


def pair_ious(a: PolygonSet, b: PolygonSet) -> np.ndarray[Any, np.dtype[np.float64]]:
    """IoU of all polygons of two sets that are each other's best partner.

    >>> box = [(0, 0), (4, 0), (4, 2), (0, 2)]
    >>> pair_ious(PolygonSet.of([box], frame="raw"), PolygonSet.of([box, [(9, 9), (10, 9), (10, 10)]], frame="raw"))
    array([1.])
    """
    if not len(a) or not len(b):
        return np.zeros(0)
    left, right = (np.array([as_polygons(p) for p in s], dtype=object) for s in (a, b))
    shared = area(intersection(left[:, None], right[None]))
    iou = shared / np.maximum(area(left)[:, None] + area(right)[None] - shared, 1e-12)
    best, back = iou.argmax(axis=1), iou.argmax(axis=0)
    mine = np.flatnonzero(back[best] == np.arange(len(a)))
    return np.asarray(iou[mine, best[mine]])


@contextmanager
def _quiet() -> Iterator[None]:
    """onnxruntime advises steps that an exported graph has already gone through."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
