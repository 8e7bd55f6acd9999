"""Whatever a file of predictions holds, it is read or refused by name: nothing else comes out."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ocrmaps.errors import OcrmapsError
from ocrmaps.evaluation.predictions import FORMATS, read_prediction_file

QUAD = [20, 20, 120, 20, 120, 48, 20, 48]
POINTS = [[20, 20], [120, 20], [120, 48], [20, 48]]
SOUND: dict[str, Any] = {
    "ufo": {"images": {"a.png": {"img_w": 320, "img_h": 120, "words": {"1": {"points": POINTS, "confidence": 0.5}}}}},
    "coco": {
        "images": [{"id": 1, "file_name": "a.png", "width": 320, "height": 120}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": [QUAD], "score": 0.5}],
    },
    "coco list": [{"image_id": "a.png", "bbox": [20, 20, 100, 28], "score": 0.5}],
    "mmocr": {"img_path": "a.png", "det_polygons": [QUAD], "det_scores": [0.5], "rec_texts": ["x"]},
    "mmocr list": [{"img_path": "a.png", "pred_instances": {"bboxes": [[20, 20, 120, 48]], "scores": [0.5]}}],
    "mmocr instances": {"data_list": [{"img_path": "a.png", "instances": [{"polygon": QUAD, "bbox_score": 0.5}]}]},
    "doctr": {
        "pages": [
            {
                "dimensions": [120, 320],
                "blocks": [{"lines": [{"words": [{"geometry": [[0.1, 0.1], [0.2, 0.2]], "confidence": 0.5}]}]}],
            }
        ]
    },
    "named": {"a.png": [{"points": POINTS, "confidence": 0.5}]},
    "named lists": {"a.png": {"polygons": [POINTS], "scores": [0.5]}},
}
JUNK: tuple[Any, ...] = (
    None, True, -1, 1e308, 10**400, float("nan"), float("inf"), "", "a.png", "\ud800", "a\0b", [], {}, [[]], [None],
    {"a": None}, [[1, 2]], [1, 2, 3, 4],
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield from places(value[key], (*path, key))


def put(value: Any, path: tuple[Any, ...], junk: Any) -> Any:
    if not path:
        return junk
    value = copy.deepcopy(value)
    inner = value
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = junk
    return value


@pytest.mark.parametrize("kind", SOUND)
def test_any_value_in_place_of_any_other_is_read_or_refused(tmp_path: Path, kind: str):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(SOUND[kind]))
    sound = read_prediction_file(path)
    assert sound.format == kind.split(" ")[0] and sound.scored and len(sound.pictures[0].polygons) == 1
    refused: list[str] = []
    for place in places(SOUND[kind]):
        for junk in JUNK:
            path.write_text(json.dumps(put(SOUND[kind], place, junk)))
            for format in (None, sound.format) if len(place) < 2 else (None,):
                try:
                    read_prediction_file(path, format=format)
                except OcrmapsError as error:
                    refused.append(str(error))
    assert len(refused) > 50 and max(map(len, refused)) < 20_000


TEXT = st.text(st.sampled_from('0123456789.,,,-+eE \t"#:xnaif[]{}é\u2028\r\n'), max_size=200)


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(text=TEXT, ending=st.sampled_from([".txt", ".json", ".csv", ".jsonl"]), format=st.sampled_from([None, *FORMATS]))
def test_any_text_is_read_or_refused(tmp_path: Path, text: str, ending: str, format: str | None):
    path = tmp_path / f"res_a{ending}"
    path.write_bytes(text.encode())
    for layout in (None, "box,score"):
        with contextlib.suppress(OcrmapsError):
            read_prediction_file(path, format=format, layout=layout)
