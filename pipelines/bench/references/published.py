"""CLEval as published, where the wheels `cleval` and `polygon3` are installed: `bench metrics` puts it beside ours."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module, metadata
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

from ocrmaps.geometry import PolygonSet

_RULE = SimpleNamespace(
    E2E=True, ORIENTATION=False, CASE_SENSITIVE=True, DUMP_SAMPLE_RESULT=False, AREA_PRECISION_CONSTRAINT=0.3,
    VERTICAL_ASPECT_RATIO_THRESH=0.5, RECALL_GRANULARITY_PENALTY_WEIGHT=1.0, PRECISION_GRANULARITY_PENALTY_WEIGHT=1.0,
)  # fmt: skip


def cleval_version() -> str | None:
    """Its version; None where it is not installed."""
    return metadata.version("cleval") if find_spec("cleval") and find_spec("Polygon") else None


def published_cleval(truth: PolygonSet, detections: PolygonSet) -> Callable[[], Any]:
    """A run of its `evaluation` on one picture, outlines as the lists of numbers that it takes; its result."""
    boxes, evaluation = import_module("cleval.box_types"), import_module("cleval.eval_functions").evaluation
    wanted = [(p.ravel().tolist(), text, bool(i)) for p, text, i in zip(truth, truth.texts, truth.ignore, strict=True)]
    found = [(p.ravel().tolist(), text, False) for p, text in zip(detections, detections.texts, strict=True)]

    def box(points: list[float], text: str | None, ignore: bool) -> Any:
        if len(points) == 8:
            return boxes.QUAD(points, 0.0, text, None, ignore)
        out = boxes.POLY(points, 0.0, text, None, ignore)
        # It calls both kinds alike, and outlines of more corners know neither a scale nor an aspect.
        centers = out.pseudo_character_center
        out.scale, out.pseudo_character_center = None, lambda *_: centers()
        return out

    return lambda: evaluation(_RULE, [box(*one) for one in wanted], [box(*one) for one in found])
