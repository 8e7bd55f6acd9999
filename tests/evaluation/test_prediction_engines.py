"""Answers of OCR engines as predictions: lines or words as told, in pixels, with their scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ocrmaps.annotations import open_source
from ocrmaps.errors import AnnotationError, OcrmapsError
from ocrmaps.evaluation.detectors import evaluate_predictions
from ocrmaps.evaluation.predictions import read_prediction_file
from ocrmaps.evaluation.submitted import PredictionOptions
from tests.evaluation.test_prediction_damage import JUNK, places, put

WIDTH, HEIGHT = 200, 100
LINE, WORDS = (20, 10, 120, 30), ((20, 10, 60, 30), (70, 10, 120, 30))
"""A line of two words, x0, y0, x1, y1."""


def quad(box, sx=1.0, sy=1.0):
    x0, y0, x1, y1 = box
    return [[x0 * sx, y0 * sy], [x1 * sx, y0 * sy], [x1 * sx, y1 * sy], [x0 * sx, y1 * sy]]


def flat(box, *scale):
    return [v for point in quad(box, *scale) for v in point]


def named(box, names="xy", *scale):
    return [dict(zip(names, point, strict=True)) for point in quad(box, *scale)]


SHARES = (1 / WIDTH, 1 / HEIGHT)
TSV = "level page_num block_num par_num line_num word_num left top width height conf text".replace(" ", "\t") + "\n"
TSV += "1\t1\t0\t0\t0\t0\t0\t0\t200\t100\t-1\t\n4\t1\t1\t1\t1\t0\t20\t10\t100\t20\t-1\t\n"
TSV += "5\t1\t1\t1\t1\t1\t20\t10\t40\t20\t90\tone\n5\t1\t1\t1\t1\t2\t70\t10\t50\t20\t80.5\ttwo\n"
HOCR = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html><body><div class='ocr_page' id='page_1' title='image "in/a.png"; bbox 0 0 200 100; ppageno 0'>
 <span class='ocr_line' id='line_1_1' title="bbox 20 10 120 30; baseline 0 -1">
  <span class='ocrx_word' title='bbox 20 10 60 30; x_wconf 90'>o<em>n</em>e</span>
  <span class='ocrx_word' title='bbox 70 10 120 30; x_wconf 80.5'>t&amp;o</span>
 </span></div></body></html>
"""
TEXTRACT = {
    "DocumentMetadata": {"Pages": 1},
    "Blocks": [
        {"BlockType": "PAGE", "Geometry": {"Polygon": []}},
        {"BlockType": "LINE", "Confidence": 95.0, "Text": "one two",
         "Geometry": {"Polygon": named(LINE, "XY", *SHARES)}},
        *({"BlockType": "WORD", "Confidence": c, "Text": t, "Geometry": {"Polygon": named(w, "XY", *SHARES)}}
          for w, c, t in zip(WORDS, (90.0, 80.5), ("one", "two"), strict=True)),
    ],
}  # fmt: skip
VISION = {
    "responses": [{"fullTextAnnotation": {"pages": [{"width": WIDTH, "height": HEIGHT, "blocks": [{"paragraphs": [{
        "words": [{"boundingBox": {"vertices": named(w)}, "confidence": c, "symbols": [{"text": s} for s in t]}
                  for w, c, t in zip(WORDS, (0.9, 0.805), ("one", "two"), strict=True)]}]}]}]}}]
}  # fmt: skip


def layout(box, score, first, last):
    anchor = {"textSegments": [{"startIndex": str(first), "endIndex": str(last)}]}
    return {"layout": {"textAnchor": anchor, "confidence": score,
                       "boundingPoly": {"normalizedVertices": named(box, "xy", *SHARES)}}}  # fmt: skip


DOCUMENT = {
    "text": "one two\n",
    "pages": [{"pageNumber": 1, "dimension": {"width": WIDTH, "height": HEIGHT, "unit": "pixels"}, "layout": {},
               "lines": [layout(LINE, 0.95, 0, 8)],
               "tokens": [layout(WORDS[0], 0.9, 0, 3), layout(WORDS[1], 0.805, 4, 7)]}],
}  # fmt: skip
INCH = (0.01, 0.01)
READ3 = {"analyzeResult": {"readResults": [{"page": 1, "width": 2.0, "height": 1.0, "unit": "inch", "lines": [
    {"boundingBox": flat(LINE, *INCH), "text": "one two",
     "words": [{"boundingBox": flat(w, *INCH), "text": t, "confidence": c}
               for w, c, t in zip(WORDS, (0.9, 0.805), ("one", "two"), strict=True)]}]}]}}  # fmt: skip
INTELLIGENCE = {"status": "succeeded", "analyzeResult": {"pages": [{
    "pageNumber": 1, "width": WIDTH, "height": HEIGHT, "unit": "pixel",
    "lines": [{"content": "one two", "polygon": flat(LINE)}],
    "words": [{"content": t, "polygon": flat(w), "confidence": c}
              for w, c, t in zip(WORDS, (0.9, 0.805), ("one", "two"), strict=True)]}]}}  # fmt: skip
ANALYSIS4 = {"metadata": {"width": WIDTH, "height": HEIGHT}, "readResult": {"blocks": [{"lines": [
    {"text": "one two", "boundingPolygon": named(LINE),
     "words": [{"text": t, "boundingPolygon": named(w), "confidence": c}
               for w, c, t in zip(WORDS, (0.9, 0.805), ("one", "two"), strict=True)]}]}]}}  # fmt: skip
EASY = [[quad(w), t, c] for w, c, t in zip(WORDS, (0.9, 0.805), ("one", "two"), strict=True)]
EASY_OBJECTS = [{"boxes": box, "text": text, "confident": score} for box, text, score in EASY]
SURYA = {"a": [{"image_bbox": [0, 0, WIDTH, HEIGHT], "page": 1, "text_lines": [
    {"polygon": quad(w), "confidence": c, "text": t}
    for w, c, t in zip(WORDS, (0.9, 0.805), ("one", "two"), strict=True)]}]}  # fmt: skip
PADDLE3 = {"input_path": "in/a.png", "page_index": None, "dt_polys": [quad(w) for w in WORDS],
           "rec_texts": ["one", "two"], "rec_scores": [0.9, 0.805], "rec_polys": [quad(w) for w in WORDS]}  # fmt: skip

CASES: dict[str, tuple[str, str, Any]] = {
    "tesseract-lines": ("tesseract-lines", "a.tsv", TSV),
    "tesseract-words": ("tesseract-words", "a.tsv", TSV),
    "hocr-lines": ("hocr-lines", "a.hocr", HOCR),
    "hocr-words": ("hocr-words", "a.hocr", HOCR),
    "textract-lines": ("textract-lines", "a.json", TEXTRACT),
    "textract-words": ("textract-words", "a.json", TEXTRACT),
    "textract-words answers": (
        "textract-words",
        "a.json",
        [{"Blocks": [block | {"Page": 1}]} for block in TEXTRACT["Blocks"]],
    ),
    "google-vision": ("google-vision", "a.json", VISION),
    "document-ai-lines": ("document-ai-lines", "a.json", DOCUMENT),
    "document-ai-words": ("document-ai-words", "a.json", {"document": DOCUMENT}),
    "azure-lines read 3": ("azure-lines", "a.json", READ3),
    "azure-words read 3": ("azure-words", "a.json", READ3),
    "azure-lines intelligence": ("azure-lines", "a.json", INTELLIGENCE),
    "azure-words intelligence": ("azure-words", "a.json", INTELLIGENCE),
    "azure-words bare": ("azure-words", "a.json", {"modelId": "prebuilt-layout"} | INTELLIGENCE["analyzeResult"]),
    "azure-lines bare": ("azure-lines", "a.json", {"model_id": "prebuilt-read"} | INTELLIGENCE["analyzeResult"]),
    "azure-words analysis 4": ("azure-words", "a.json", ANALYSIS4),
    "easyocr": ("easyocr", "a.json", EASY),
    "easyocr objects": ("easyocr", "a.json", EASY_OBJECTS),
    "easyocr lines": ("easyocr", "a.jsonl", "".join(json.dumps(row) + "\n" for row in EASY_OBJECTS)),
    "surya": ("surya", "results.json", SURYA),
    "paddle 3": ("mmocr", "a_res.json", PADDLE3),
}
ENGINES = {format for format, _, _ in CASES.values()} - {"mmocr"}
TWO_LEVELS = tuple(name for name in ENGINES if name.endswith(("-lines", "-words")))


def write(folder: Path, case: str) -> Path:
    _, name, content = CASES[case]
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize("case", CASES)
def test_every_engine_finds_the_same(tmp_path, case):
    format = CASES[case][0]
    found = read_prediction_file(write(tmp_path, case), format=format)
    (picture,) = found.pictures
    lines = format.endswith("-lines")
    assert len(picture.polygons) == (1 if lines else 2)
    assert found.scored == (not lines or format in ("textract-lines", "document-ai-lines"))
    if not lines:
        assert picture.scores.tolist() == pytest.approx([0.9, 0.805])
        assert picture.polygons.texts == (("one", "t&o") if format == "hocr-words" else ("one", "two"))


@pytest.mark.parametrize("case", CASES)
def test_the_same_boxes_are_scored_in_pixels_of_the_picture(tmp_path, case):
    """Shares, inches and pixels of the page all become pixels of the picture."""
    Image.new("L", (WIDTH, HEIGHT), 255).save(tmp_path / "a.png")
    format = CASES[case][0]
    truth = [LINE] if format.endswith("-lines") else WORDS
    (tmp_path / "truth.json").write_text(
        json.dumps({"images": {"a.png": {"words": {str(i): {"points": quad(b)} for i, b in enumerate(truth)}}}})
    )
    (tmp_path / "found").mkdir()
    path = write(tmp_path / "found", case)
    options = PredictionOptions(format=format)
    result = evaluate_predictions(path, open_source(tmp_path / "truth.json"), options=options, threads=1)
    assert (result.totals[0.5].matched, result.totals[0.5].detection_care) == (len(truth), len(truth))


@pytest.mark.parametrize("case", CASES)
def test_what_has_one_level_is_told_by_content_and_what_has_two_is_asked(tmp_path, case):
    path, format = write(tmp_path, case), CASES[case][0]
    if format in TWO_LEVELS:
        with pytest.raises(AnnotationError, match=f"several formats: .*{format}") as caught:
            read_prediction_file(path)
        assert "--predictions-format" in caught.value.hint
    else:
        assert read_prediction_file(path).format == format


@pytest.mark.parametrize("case", ["textract-words", "google-vision", "document-ai-lines", "azure-words read 3",
                                  "azure-words analysis 4", "easyocr", "surya", "paddle 3"])  # fmt: skip
def test_any_value_in_place_of_any_other_is_read_or_refused(tmp_path, case):
    format, name, sound = CASES[case]
    path = tmp_path / name
    refused = 0
    for number, place in enumerate(places(sound)):
        for junk in JUNK[number % 3 :: 3]:
            path.write_text(json.dumps(put(sound, place, junk)))
            try:
                read_prediction_file(path, format=format)
            except OcrmapsError as error:
                refused += len(str(error)) < 20_000
    assert refused > 10


def test_further_pages_have_a_number(tmp_path):
    (tmp_path / "a.hocr").write_text(
        HOCR.replace("</body>", HOCR[HOCR.index("<div") : HOCR.index("</body>")] + "</body>")
    )
    assert [p.name for p in read_prediction_file(tmp_path / "a.hocr", format="hocr-words").pictures] == ["a", "a#2"]
    (tmp_path / "a.tsv").write_text(
        TSV + TSV.split("\n", 1)[1].replace("\t1\t", "\t2\t", 1).replace("5\t1\t", "5\t2\t")
    )
    assert [p.name for p in read_prediction_file(tmp_path / "a.tsv", format="tesseract-words").pictures] == ["a", "a#2"]


@pytest.mark.parametrize(
    "case, before, after, place",
    [
        ("hocr-words", "bbox 70 10", "bbox 70", "a.hocr:6"),
        ("hocr-lines", "bbox 20 10 120 30; baseline", "baseline", "a.hocr:4"),
        ("tesseract-words", "\t70\t10", "\t70\tx", "a.tsv:5"),
        ("tesseract-words", "level\t", "levels\t", "a.tsv:1"),
    ],
)
def test_a_fault_has_its_line(tmp_path, case, before, after, place):
    format, name, content = CASES[case]
    (tmp_path / name).write_text(content.replace(before, after))
    with pytest.raises(AnnotationError) as caught:
        read_prediction_file(tmp_path / name, format=format)
    assert [p.loc for p in caught.value.problems] == [place]


def test_html_entities_are_letters_and_no_document_type_is_followed(tmp_path):
    bomb = '<!DOCTYPE x [<!ENTITY a "lol"><!ENTITY b SYSTEM "file:///etc/hostname">]>' + HOCR.replace(
        "t&amp;o", "&a;&b;"
    )
    (tmp_path / "a.hocr").write_text(bomb)
    (picture,) = read_prediction_file(tmp_path / "a.hocr", format="hocr-words").pictures
    assert picture.polygons.texts[1] == "&a;&b;"


def test_hocr_of_lines_alone_has_no_words(tmp_path):
    (tmp_path / "a.hocr").write_text(HOCR.replace("ocrx_word", "ocr_glyph"))
    assert len(read_prediction_file(tmp_path / "a.hocr", format="hocr-lines").pictures[0].polygons) == 1
    with pytest.raises(
        AnnotationError, match="found 1 lines and no words; --predictions-format hocr-lines reads those"
    ):
        read_prediction_file(tmp_path / "a.hocr", format="hocr-words")


def test_hocr_boxes_end_at_a_comma_as_kraken_wrote_them(tmp_path):
    text = HOCR.replace("; x_wconf 80.5", "")
    (tmp_path / "a.hocr").write_text(text.replace("bbox 20 10 60 30; x_wconf 90", "bbox 20 10 60 30, x_confs 0.9 0.8"))
    (picture,) = read_prediction_file(tmp_path / "a.hocr", format="hocr-words").pictures
    assert picture.polygons[0].tolist() == quad(WORDS[0])


def test_an_answer_of_vision_without_pages_has_its_words_in_pixels(tmp_path):
    entries = [{"description": "one two", "boundingPoly": {"vertices": named(LINE)}}]
    entries += [{"description": "w", "boundingPoly": {"vertices": named(word)}} for word in WORDS]
    for name, answer in (("a", {"textAnnotations": entries}), ("b", {"responses": [{"textAnnotations": entries}]})):
        (tmp_path / f"{name}.json").write_text(json.dumps(answer))
        (picture,) = read_prediction_file(tmp_path / f"{name}.json").pictures
        assert [p.tolist() for p in picture.polygons] == [quad(word) for word in WORDS]
        assert picture.polygons.texts == ("w", "w")


def test_answers_of_textract_in_one_list_say_their_pages(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps([TEXTRACT, TEXTRACT]))
    with pytest.raises(AnnotationError, match=r"found no page number, .* a file for each picture"):
        read_prediction_file(path, format="textract-words")


def test_an_answer_of_azure_without_text_details_is_no_empty_page(tmp_path):
    page = {"page": 1, "width": WIDTH, "height": HEIGHT, "unit": "pixel"}
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"analyzeResult": {"readResults": [page | {"lines": []}]}}))
    assert len(read_prediction_file(path, format="azure-lines").pictures[0].polygons) == 0
    path.write_text(json.dumps({"analyzeResult": {"readResults": [page]}}))
    with pytest.raises(AnnotationError, match="found a page without lines"):
        read_prediction_file(path, format="azure-lines")


@pytest.mark.parametrize(
    ("settings", "angle", "named"),
    [
        ({"use_doc_orientation_classify": False, "use_doc_unwarping": False}, -1, ""),
        ({"use_doc_orientation_classify": True, "use_doc_unwarping": False}, 0, ""),
        ({"use_doc_orientation_classify": True, "use_doc_unwarping": False}, 90, "use_doc_orientation_classify"),
        ({"use_doc_orientation_classify": False, "use_doc_unwarping": True}, -1, "use_doc_unwarping"),
    ],
)
def test_outlines_on_a_changed_picture_are_refused(tmp_path, settings, angle, named):
    path = tmp_path / "a_res.json"
    path.write_text(json.dumps({**PADDLE3, "doc_preprocessor_res": {"model_settings": settings, "angle": angle}}))
    if not named:
        assert len(read_prediction_file(path).pictures[0].polygons) == len(WORDS)
        return
    with pytest.raises(AnnotationError, match=f"changed first, by {named}; predict again without"):
        read_prediction_file(path)


def test_outlines_on_a_page_that_document_ai_straightened_are_refused(tmp_path):
    path = tmp_path / "a.json"
    (page,) = DOCUMENT["pages"]
    path.write_text(json.dumps({"pages": [{**page, "transforms": [{"rows": 2, "cols": 3, "type": 6, "data": "AA"}]}]}))
    with pytest.raises(AnnotationError, match="turned or straightened first; map them back") as caught:
        read_prediction_file(path, format="document-ai-lines")
    assert [p.loc for p in caught.value.problems] == ["a.json:pages[0].transforms"]
