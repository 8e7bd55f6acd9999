"""Predictions of other systems: the same detections give the same numbers in every format, or are refused by name."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ocrmaps.annotations import Source, open_source
from ocrmaps.errors import AnnotationError, DataError, FrameError, OcrmapsError, SpecError
from ocrmaps.evaluation import Evaluation, result_document
from ocrmaps.evaluation.detectors import evaluate_predictions
from ocrmaps.evaluation.predictions import FORMATS, read_prediction_file
from ocrmaps.evaluation.submitted import PredictionOptions
from ocrmaps.evaluation.summary import table
from tests.evaluation.test_prediction_engines import ENGINES

WIDTH, HEIGHT = 200, 100


def box(x: float, y: float, width: float = 60, height: float = 10) -> list[list[float]]:
    return [[x, y], [x + width, y], [x + width, y + height], [x, y + height]]


TRUTH = {"a.png": [box(10, 10), box(100, 10)], "b.png": [box(10, 50)], "c.png": [box(10, 70)]}
FOUND = {
    "a.png": [(box(11, 10), 0.75), (box(100, 40), 0.5), (box(101, 11), 0.25)],
    "b.png": [(box(10.5, 50), 0.875)],
    "c.png": [],
}
"""Three of four texts are found, one detection is a false alarm; nothing is found in c."""


@dataclass(frozen=True)
class Place:
    """Where things are, and the same detections in other clothes."""

    folder: Path
    files: dict[str, Path] = field(default_factory=dict)

    def write(self, name: str, content: object) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    def zip(self, name: str, entries: dict[str, str]) -> Path:
        with zipfile.ZipFile(self.folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
            for entry, text in entries.items():
                archive.writestr(entry, text)
        return self.folder / name


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "truth" / "images").mkdir(parents=True)
    for name in TRUTH:
        Image.new("L", (WIDTH, HEIGHT), 255).save(tmp_path / "truth" / "images" / name)
    rows = [(i, name) for i, name in enumerate(TRUTH, start=7)]
    Place(tmp_path).write(
        "truth/coco.json",
        {
            "images": [{"id": i, "file_name": name, "width": WIDTH, "height": HEIGHT} for i, name in rows],
            "annotations": [
                {"id": 10 * i + k, "image_id": i, "category_id": 1, "segmentation": [flat(outline)]}
                for i, name in rows
                for k, outline in enumerate(TRUTH[name])
            ],
            "categories": [{"id": 1, "name": "text"}],
        },
    )
    return Place(tmp_path)


@pytest.fixture
def truth(place: Place) -> Source:
    return open_source(place.folder / "truth" / "coco.json")


def flat(outline: list[list[float]]) -> list[float]:
    return [v for point in outline for v in point]


def line(outline: list[list[float]], *more: object) -> str:
    return ",".join(map(str, (*flat(outline), *more))) + "\n"


def wide(outline: list[list[float]]) -> list[float]:
    """The same outline with two points more."""
    (x0, y0), (x1, _), _, (_, y1) = outline
    middle = (x0 + x1) / 2
    return [x0, y0, middle, y0, x1, y0, x1, y1, middle, y1, x0, y1]


def words(name: str, **keys: object) -> list[dict]:
    return [{"points": o, "transcription": "", "score": s, **keys} for o, s in FOUND[name]]


def pages(front: str = "res_", ending: str = ".txt", *, shape=flat, scored: bool = True) -> dict[str, str]:
    return {
        f"{front}{name[0]}{ending}": "".join(
            ",".join(map(str, [*shape(o), *([s] if scored else [])])) + "\n" for o, s in found
        )
        for name, found in FOUND.items()
    }


def corners(outline: list[list[float]]) -> list[float]:
    return [*outline[0], *outline[2]]


def results(**more: object) -> list[dict]:
    return [
        {"image_id": i, "category_id": 1, "segmentation": [flat(o)], "score": s, **more}
        for i, name in enumerate(FOUND, start=7)
        for o, s in FOUND[name]
    ]


def coco_boxes() -> list[dict]:
    return [
        {"image_id": i, "category_id": 1, "bbox": [*o[0], o[2][0] - o[0][0], o[2][1] - o[0][1]], "score": s}
        for i, name in enumerate(FOUND, start=7)
        for o, s in FOUND[name]
    ]


def mmocr_entry(name: str, prefix: str = "det_") -> dict:
    found = FOUND[name]
    return {f"{prefix}polygons": [flat(o) for o, _ in found], f"{prefix}scores": [s for _, s in found]}


def doctr_page(name: str) -> dict:
    found = [
        {"value": "x", "confidence": 0.1, "objectness_score": s, "geometry": [[x / WIDTH, y / HEIGHT] for x, y in o]}
        for o, s in FOUND[name]
    ]
    return {"page_idx": 0, "dimensions": [HEIGHT, WIDTH], "blocks": [{"lines": [{"words": found}]}]}


def write_format(place: Place, format: str) -> Path:
    folder = place.folder / "found"
    if format == "coco-results":
        return place.write("results.json", results())
    if format == "coco-results-with-names":
        rows = [{**row, "file_name": f"/data/in/{'abc'[row.pop('image_id') - 7]}.png"} for row in results()]
        return place.write("results.json", rows)
    if format == "coco-boxes":
        return place.write("boxes.json", coco_boxes())
    if format == "ufo":
        return place.write("ufo.json", {"images": {n: {"words": dict(enumerate(words(n)))} for n in FOUND}})
    if format == "paddle":
        return place.write("det.txt", "".join(f"./in/{n}\t{json.dumps(words(n))}\n" for n in FOUND))
    if format == "mmocr-folder":
        for n in FOUND:
            place.write(f"found/preds/{n[0]}.json", mmocr_entry(n))
        return folder
    if format == "mmocr-list":
        return place.write("list.json", [{"img_path": f"x/{n}", **mmocr_entry(n, "")} for n in FOUND])
    if format == "mmengine-list":
        return place.write("l.json", [{"img_path": n, "pred_instances": mmocr_entry(n, "")} for n in FOUND])
    if format == "mmocr-lines":
        return place.write("l.jsonl", "".join(json.dumps({"img_path": n, **mmocr_entry(n, "")}) + "\n" for n in FOUND))
    if format == "mmocr-instances":
        entries = [
            {"img_path": n, "instances": [{"polygon": flat(o), "bbox_score": s} for o, s in FOUND[n]]} for n in FOUND
        ]
        return place.write("instances.json", {"data_list": entries})
    if format == "paddlex":
        for n in FOUND:
            entry = {"dt_polys": [o for o, _ in FOUND[n]], "dt_scores": [s for _, s in FOUND[n]]}
            place.write(f"found/{n[0]}_res.json", {"res": {"input_path": f"in/{n}", "page_index": None, **entry}})
        return folder
    if format == "doctr":
        for n in FOUND:
            place.write(f"found/{n[0]}.json", {"pages": [doctr_page(n)]})
        return folder
    if format == "named":
        return place.write("art.json", {f"res_{n[0]}": words(n) for n in FOUND})
    if format == "named-lists":
        return place.write("by-name.json", {n: mmocr_entry(n, "") for n in FOUND})
    if format == "csv":
        rows = [
            f"{n},{'|'.join(' '.join(map(str, flat(o))) for o, _ in found)},{'|'.join(str(s) for _, s in found)}\n"
            for n, found in FOUND.items()
        ]
        return place.write("t.csv", "filename,polygons,scores\n" + "".join(rows))
    made = {
        "icdar-zip": pages(),
        "icdar-zip-bare": pages(""),
        "icdar-zip-full-names": pages("", ".png.txt"),
        "icdar-boxes": pages(shape=corners),
        "icdar-polygons": pages(shape=wide),
    }
    if format in made:
        return place.zip("submit.zip", made[format])
    assert format == "icdar-folder"
    for name, text in pages().items():
        place.write(f"found/{name}", text)
    return folder


EVERY = (
    "coco-results", "coco-results-with-names", "coco-boxes", "ufo", "paddle", "mmocr-folder", "mmocr-list",
    "mmengine-list", "mmocr-lines", "mmocr-instances", "paddlex", "doctr", "named", "named-lists", "csv", "icdar-zip",
    "icdar-zip-bare", "icdar-zip-full-names", "icdar-boxes", "icdar-polygons", "icdar-folder",
)  # fmt: skip


def score(place: Place, path: Path, truth: Source | None = None, **options) -> Evaluation:
    source = truth or open_source(place.folder / "truth" / "coco.json")
    return evaluate_predictions(path, source, options=PredictionOptions(**options), threads=1)


@pytest.mark.parametrize("format", EVERY)
def test_the_same_detections_give_the_same_numbers_in_every_format(place: Place, format: str):
    found = score(place, write_format(place, format))
    total = found.totals[0.5]
    assert (total.matched, total.truth_care, total.detection_care) == (3, 4, 4)
    assert found.hmean == pytest.approx(0.75) and found.complete
    # Found in the order .875, .75, (false) .5, .25: precisions 1, 1, 3/4 at three of four texts.
    assert found.seen["iou"]["average_precision@0.5"] == pytest.approx((1 + 1 + 3 / 4) / 4)
    best = found.pictures[0].detections[0]
    assert sorted({tuple(p) for p in best.round(9).tolist()} & {(11.0, 10.0), (71.0, 20.0)}) == [(11, 10), (71, 20)]
    assert json.dumps(result_document(found)) and "75" in table(found)


def test_every_format_has_a_case_here():
    told = {"named-lists": "named", "csv": "submission"}
    tried = {told.get(name, name.split("-")[0]) for name in EVERY} - {"mmengine", "paddlex"}
    assert tried | ENGINES == set(FORMATS)


@pytest.mark.parametrize("format", ["coco-results", "ufo", "icdar-zip", "csv", "mmocr-list"])
def test_pictures_without_predictions_count_as_empty(place: Place, format: str, monkeypatch):
    monkeypatch.setitem(globals(), "FOUND", {name: found for name, found in FOUND.items() if name != "b.png"})
    path = write_format(place, format)
    found = score(place, path)
    assert found.complete and found.totals[0.5].truth_care == 4 and found.totals[0.5].matched == 2
    assert next(p for p in found.pictures if p.picture == "b.png").status == "unpredicted"
    assert found.seen["iou"]["average_precision@0.5"] < 0.6


def test_an_empty_result_list_finds_nothing(place: Place):
    found = score(place, place.write("none.json", []))
    assert found.hmean == 0.0 and found.count("unpredicted") == 3
    assert found.totals[0.5].detection_care == 0


def test_coco_ids_that_the_ground_truth_lacks_are_listed(place: Place):
    path = place.write("results.json", [*results(), {"image_id": 139, "bbox": [1, 1, 5, 5], "score": 0.5}])
    with pytest.raises(AnnotationError, match=r"found image_id 139 \(1 rows\), expected one of 3 ids such as 7, 8, 9"):
        score(place, path)
    rest = score(place, path, leave_out_unknown=True)
    assert rest.hmean == pytest.approx(0.75) and rest.identity["predictions"]["left_out"]["names"] == ["image_id 139"]


def test_coco_ids_without_a_coco_file_say_what_to_do(place: Place):
    ufo = place.write("truth/ufo.json", {"images": {n: {"words": {}} for n in TRUTH}})
    with pytest.raises(AnnotationError, match="nothing that says which picture") as caught:
        score(place, place.write("results.json", results()), open_source(ufo))
    assert "file_name" in caught.value.hint and "--source" in caught.value.hint


def test_masks_are_refused_with_what_to_do(place: Place):
    path = place.write("rle.json", [{"image_id": 7, "segmentation": {"size": [9, 9], "counts": "abc"}, "score": 0.5}])
    with pytest.raises(AnnotationError, match="RLE mask") as caught:
        score(place, path)
    assert "polygons" in caught.value.hint and "bbox" in caught.value.hint


def test_ids_as_text_and_as_whole_floats_are_the_same_ids(place: Place):
    rows = [{**r, "image_id": {7: "7", 8: 8.0}.get(r["image_id"])} for r in results()]
    assert score(place, place.write("results.json", rows)).hmean == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([float("nan"), 0.5], "finite number"),
        ([float("inf"), 0.5], "finite number"),
        (["0.5", 0.5], "found the score '0.5', expected a number"),
        ([True, 0.5], "found the score True"),
        ([None, 0.5], "found 1 scores for 2 outlines"),
        ([85.0, 99.5], "per cent"),
        ([-3.2, 4.5], "logits"),
        ([0.5, 1e7], "another scale"),
    ],
)
def test_scores_that_are_no_probabilities_are_refused_and_can_be_left_out(place: Place, scores, message):
    found = [{"points": o, "score": s} for o, s in zip(TRUTH["a.png"], scores, strict=True)]
    path = place.write("art.json", {"a": found})
    with pytest.raises(DataError, match=message) as caught:
        score(place, path)
    assert "--predictions-scores" in caught.value.hint
    without = score(place, path, scores="none")
    assert without.totals[0.5].matched == 2 and "average_precision@0.5" not in without.seen["iou"]


def test_scores_of_any_scale_rank(place: Place):
    ranked = {f"res_{n[0]}": [{**w, "score": 100 * w["score"] - 60} for w in words(n)] for n in FOUND}
    found = score(place, place.write("art.json", ranked), scores="rank")
    assert found.seen["iou"]["average_precision@0.5"] == pytest.approx((1 + 1 + 3 / 4) / 4)
    assert found.sweep is None, "cuts through scores of an unknown scale"
    with pytest.raises(DataError, match="finite number"):
        score(place, place.write("n.json", {"a": [{"points": box(1, 1), "score": float("nan")}]}), scores="rank")


def test_one_picture_with_scores_and_one_without_is_refused(place: Place):
    mixed = {"a": words("a.png"), "b": [{"points": box(1, 1)}]}
    with pytest.raises(DataError, match="found no scores for 1 outlines, other pictures have some"):
        score(place, place.write("mixed.json", mixed))


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([[0, 0], [9, float("nan")], [9, 9]], "expected a finite number"),
        ([[0, 0], [9, float("inf")], [9, 9]], "expected a finite number"),
        ([[0, 0], [9, 9]], "expected at least 3"),
        ([], "expected at least 3"),
        ([0, 0, 9, 9, 9], "expected pairs"),
        ([[0, 0], [9, "9"], [9, 9]], "expected a number"),
        ([[0, 0], [9, 10**400], [9, 9]], "expected a coordinate below"),
        (None, "expected a list of points"),
    ],
)
def test_outlines_that_are_none_are_refused_with_their_place(place: Place, points, message):
    with pytest.raises(AnnotationError, match=message) as caught:
        score(place, place.write("bad.json", {"a": [{"points": points, "score": 0.5}]}))
    assert caught.value.problems[0].loc.startswith("bad.json:a[0]")


def test_flat_and_crossing_outlines_are_counted_and_not_scored(place: Place):
    odd = [box(5, 80, 40, 0), [[0, 0], [9, 9], [9, 0], [0, 9]]]
    found = {**{n: words(n) for n in FOUND}, "c.png": [{"points": o, "score": 0.5} for o in odd]}
    total = score(place, place.write("odd.json", found)).totals[0.5]
    assert (total.detection_invalid, total.detection_care, total.matched) == (2, 4, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "found an empty file"),
        ("  \n", "found an empty file"),
        ("{", "invalid JSON"),
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ('{"a": ' * 50_000 + "1" + "}" * 50_000, "nested too deeply"),
        ('{"a": 1}', "no known predictions"),
        ("[1, 2, 3]", "no known predictions"),
        ("null", "no known"),
        ('{"images": {"a.png": {"words": {}}, "a.png": {"words": {}}}}', "twice"),
        ("hello\nworld\n", "no known predictions"),
    ],
)
def test_files_that_hold_nothing_of_use_are_refused(place: Place, content: str, message: str):
    with pytest.raises(DataError, match=message):
        score(place, place.write("odd.json", content))


def test_an_object_that_names_no_picture_says_what_to_do(place: Place):
    path = place.write("list.json", {"predictions": [mmocr_entry("a.png"), mmocr_entry("b.png")]})
    with pytest.raises(AnnotationError, match="found no picture name, expected img_path") as caught:
        score(place, path)
    assert "img_path" in caught.value.hint and "a file a picture" in caught.value.hint
    one = place.write("a.json", {"predictions": [mmocr_entry("a.png")]})
    assert score(place, one).totals[0.5].matched == 2, "a file of one picture belongs to the picture of its name"


def test_a_pickle_is_never_opened(place: Place):
    path = place.folder / "results.pkl"
    path.write_bytes(pickle.dumps([{"scores": np.ones(2)}]))
    with pytest.raises(AnnotationError, match="never opened") as caught:
        score(place, path)
    assert "JSON" in caught.value.hint


def test_names_in_an_archive_that_lead_outside_are_refused(place: Place):
    for name in ("../res_a.txt", "/etc/res_a.txt", "C:\\x\\res_a.txt", "x/../../res_a.txt"):
        with pytest.raises(AnnotationError) as caught:
            score(place, place.zip("evil.zip", {name: "1,1,9,1,9,9,1,9\n"}))
        assert {p.kind for p in caught.value.problems} == {"unsafe-path"}


def test_an_archive_that_would_unpack_to_too_much_is_refused(place: Place, monkeypatch):
    monkeypatch.setattr("ocrmaps.annotations.grammar.documents.MAX_BYTES", 1_000_000)
    with pytest.raises(AnnotationError, match="unpacked bytes, expected at most"):
        score(place, place.zip("bomb.zip", {f"res_{n}.txt": "0" * 400_000 for n in "abc"}))


def test_archives_that_are_damaged_or_empty_are_refused(place: Place):
    whole = place.zip("whole.zip", pages()).read_bytes()
    for data in (whole[: len(whole) // 2], b"PK\x03\x04", whole.replace(b"res_a", b"res_b", 1)):
        (place.folder / "cut.zip").write_bytes(data)
        with pytest.raises(OcrmapsError):
            score(place, place.folder / "cut.zip")
    with zipfile.ZipFile(place.folder / "none.zip", "w"):
        pass
    with pytest.raises(AnnotationError):
        score(place, place.folder / "none.zip")


def test_folders_and_hidden_files_of_other_systems_are_passed_over(place: Place):
    entries = {"__MACOSX/._res_a.txt": "\0", "sub/.DS_Store": "x"}
    path = place.zip("mac.zip", {**{f"sub/{k}": v for k, v in pages().items()}, **entries})
    assert score(place, path).hmean == pytest.approx(0.75)


def test_pictures_nobody_expects_are_refused_or_listed(place: Place):
    found = {**{n: words(n) for n in FOUND}, "d.png": words("a.png")}
    path = place.write("more.json", found)
    with pytest.raises(DataError, match=r"d\.png: found no such picture") as caught:
        score(place, path)
    assert "--leave-out-unknown" in caught.value.hint and "a.png" in caught.value.hint
    rest = score(place, path, leave_out_unknown=True)
    assert rest.hmean == pytest.approx(0.75) and rest.identity["predictions"]["left_out"]["names"] == ["d.png"]
    assert "left out: 1 predicted pictures" in table(rest)
    strangers = place.write("other.json", {"x.png": words("a.png")})
    with pytest.raises(DataError, match=r"x\.png: found no such picture"):
        score(place, strangers, leave_out_unknown=True)


def test_the_same_picture_twice_is_refused(place: Place):
    twice = "".join(f"{n}\t{json.dumps(words('a.png'))}\n" for n in ("a.png", "a.png"))
    with pytest.raises(DataError, match=r"(?s)a second time"):
        score(place, place.write("twice.txt", twice))
    with pytest.raises(DataError, match=r"a second time, first as a\.png"):
        score(place, place.write("two.json", {"a.png": words("a.png"), "x/a.jpg": []}))


def test_coordinates_of_a_larger_picture_are_refused(place: Place):
    scaled = {n: [{"points": [[8 * x, 8 * y] for x, y in o], "score": s} for o, s in FOUND[n]] for n in FOUND}
    with pytest.raises(DataError, match="middle outside of their picture"):
        score(place, place.write("large.json", scaled))


def test_shares_of_the_sides_are_refused_where_pixels_belong(place: Place):
    shares = {n: [{"points": [[x / WIDTH, y / HEIGHT] for x, y in o], "score": s} for o, s in FOUND[n]] for n in FOUND}
    with pytest.raises(DataError, match="they are no pixels"):
        score(place, place.write("shares.json", shares))


def test_sizes_that_are_not_the_pictures_are_refused(place: Place):
    half = {"images": {n: {"img_w": WIDTH // 2, "img_h": HEIGHT // 2, "words": {}} for n in FOUND}}
    with pytest.raises(DataError, match=r"found a picture of 100x50, expected 200x100 of a\.png"):
        score(place, place.write("half.json", half))


def test_relative_outlines_follow_the_real_size_and_a_turned_page_is_refused(place: Place):
    for n in FOUND:
        place.write(f"found/{n[0]}.json", {"pages": [{**doctr_page(n), "dimensions": [HEIGHT * 3, WIDTH * 3]}]})
    assert score(place, place.folder / "found").hmean == pytest.approx(0.75)
    place.write("found/a.json", {"pages": [{**doctr_page("a.png"), "dimensions": [WIDTH, HEIGHT]}]})
    with pytest.raises(DataError, match="found a picture of 100x200, expected 200x100"):
        score(place, place.folder / "found")


def test_coordinates_of_stored_pixels_are_told_from_those_of_a_viewer(place: Place):
    tall = place.folder / "tall"
    (tall / "images").mkdir(parents=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (400, 60), 255).save(tall / "images" / "t.jpg", exif=exif)  # a viewer shows 60 x 400
    upright = [[10, 300], [50, 300], [50, 320], [10, 320]]
    source = open_source(place.write("tall/ufo.json", {"images": {"t.jpg": {"words": {"1": {"points": upright}}}}}))
    raw = [[300, 50], [300, 10], [320, 10], [320, 50]]
    path = place.write("raw.json", {"t": [{"points": raw}]})
    with pytest.raises(FrameError, match="declared upright, but 1 pictures fit only raw"):
        score(place, path, source)
    assert score(place, path, source, frame="raw").hmean == 1.0


def test_texts_are_compared_where_they_were_read(place: Place):
    def ufo(text: str) -> dict:
        return {
            n: {"words": {str(i): {"points": o, "transcription": text} for i, o in enumerate(TRUTH[n])}} for n in TRUTH
        }

    source = open_source(place.write("truth/ufo.json", {"images": ufo("AB")}), pictures=place.folder / "truth/images")
    rows = {f"res_{n[0]}.txt": "".join(line(o, 0.9, "AB") for o in TRUTH[n]) for n in TRUTH}
    read = score(place, place.zip("e2e.zip", rows), source)
    assert read.identity["predictions"]["layout"] == "quad,score,text"
    assert read.seen["cleval"]["dataset.read_hmean"] == pytest.approx(1.0)


def test_annotation_tools_give_detections_without_scores(place: Place):
    for n in TRUTH:
        shapes = [{"label": "text", "shape_type": "polygon", "points": o} for o in TRUTH[n]]
        place.write(f"lm/{n[0]}.json", {"imagePath": n, "imageWidth": WIDTH, "imageHeight": HEIGHT, "shapes": shapes})
    found = score(place, place.folder / "lm")
    assert found.hmean == 1.0 and found.identity["predictions"]["format"] == "labelme"
    assert "average_precision@0.5" not in found.seen["iou"]


def test_other_files_beside_the_predictions_are_refused_until_the_format_is_told(place: Place):
    for name, text in pages().items():
        place.write(f"found/{name}", text)
    place.write("found/metrics.json", {"hmean": 1})
    with pytest.raises(AnnotationError, match="found 3 text files and 1 JSON files"):
        score(place, place.folder / "found")
    assert score(place, place.folder / "found", format="icdar").hmean == pytest.approx(0.75)
    with pytest.raises(AnnotationError, match="found no JSON in"):
        score(place, place.zip("txt.zip", pages()), format="coco")


def test_texts_keep_their_blanks_and_commas(place: Place):
    read = read_prediction_file(place.zip("e.zip", {"res_a.txt": line(box(1, 1), " two, words, 0.5")}))
    assert read.pictures[0].polygons.texts == ("two, words",) and read.layout == "quad,text,score"
    read = read_prediction_file(place.zip("b.zip", {"a.txt": "1 1 9 9 two words\n"}))
    assert read.pictures[0].polygons.texts == ("two words",)


def test_an_unknown_format_or_layout_lists_the_known_ones(place: Place):
    path = place.zip("submit.zip", pages())
    with pytest.raises(SpecError, match="expected one of ufo, coco, icdar"):
        read_prediction_file(path, format="synthtext")
    with pytest.raises(SpecError, match="expected box, xywh, quad, polygon"):
        read_prediction_file(path, layout="circle")
    with pytest.raises(SpecError, match="is of txt files, found predictions of format named"):
        read_prediction_file(place.write("a.json", {"a": words("a.png")}), layout="quad")


def test_further_pages_are_left_out_and_said_where_only_first_pages_are_annotated(place: Place):
    sheets = [Image.new("L", (WIDTH, HEIGHT), 255) for _ in range(3)]
    buffer = io.BytesIO()
    sheets[0].save(buffer, "TIFF", save_all=True, append_images=sheets[1:])
    (place.folder / "truth" / "images" / "s.tif").write_bytes(buffer.getvalue())
    truths = {"s.tif": {"words": {"1": {"points": box(10, 10)}}}}
    source = open_source(place.write("truth/ufo.json", {"images": truths}))
    named = {"s.tif": [{"points": box(10, 10)}], "s.tif#2": [{"points": box(10, 30)}], "s.tif#3": []}
    path = place.write("pages.json", named)
    found = score(place, path, source)
    assert found.hmean == 1.0 and found.identity["predictions"]["left_out"]["further_pages"] == 2
    assert "2 further pages (s.tif#2, s.tif#3): only first pages are annotated" in table(found)
    truths["s.tif#2"] = {"words": {"1": {"points": box(10, 60)}}}
    both = score(place, path, open_source(place.write("truth/pages.json", {"images": truths})))
    assert (both.totals[0.5].truth_care, both.totals[0.5].matched) == (2, 1), "the second page is scored by itself"
    zipped = place.zip("pages.zip", {f"res_{n}.txt": line(box(10, 10)) for n in ("s", "s.tif#2")})
    assert len(score(place, zipped, source).pictures) == 1


def test_lines_that_fit_no_layout_are_shown_with_the_option_that_says_it(place: Place):
    path = place.zip("mixed.zip", {"res_a.txt": line(box(1, 1), 0.5), "res_b.txt": "1,1,9,9,0.5\n"})
    with pytest.raises(
        AnnotationError, match=r"(?s)no layout fits.*res_a\.txt:1: 9 numbers.*res_b\.txt:1: 5"
    ) as caught:
        score(place, path)
    assert "--predictions-layout" in caught.value.hint
    with pytest.raises(AnnotationError, match=r"res_b\.txt:1: found 5 numbers, expected quad,score"):
        score(place, path, layout="quad,score")


def test_two_corners_of_a_page_are_a_box_and_a_page_index_is_a_page(place: Place):
    page = {"dimensions": [100, 200], "blocks": [{"lines": [{"words": [{"geometry": [[0.1, 0.2], [0.5, 0.4]]}]}]}]}
    (read,) = read_prediction_file(place.write("a.json", {"pages": [page]})).pictures
    assert read.relative and read.polygons.bounds().round(9).tolist() == [[20, 20, 100, 40]]
    entries = [{"input_path": "s.tif", "page_index": i, "dt_polys": [box(1, 1)]} for i in (0, 1)]
    assert [p.name for p in read_prediction_file(place.write("p.json", entries)).pictures] == ["s.tif", "s.tif#2"]
