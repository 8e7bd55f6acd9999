"""Formats without reader are recognized by name, with what to do instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocrmaps.annotations import SIGNS, detect
from ocrmaps.annotations.discovery.candidates import places_in
from ocrmaps.annotations.discovery.unsupported import UNSUPPORTED
from ocrmaps.errors import AnnotationError
from ocrmaps.evaluation.predictions import read_prediction_file
from tests.contracts.reader import lay

HOCR = (
    '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN">\n<html><body><div class="ocr_page"/></body></html>'
)
EXAMPLES = {
    "abbyy": ("a.xml", '<document xmlns="http://www.abbyy.com/FineReader"><page width="1"/></document>'),
    "hocr": ("a.hocr", HOCR),
    "textract": ("a.json", '{"DocumentMetadata": {"Pages": 1}, "Blocks": [{"BlockType": "PAGE"}]}'),
    "vision": ("a.json", '{"responses": [{"textAnnotations": [{"description": "a"}]}]}'),
    "documentai": ("a.json", '{"text": "a", "pages": [{"pageNumber": 1, "layout": {}}]}'),
    "createml": ("a.json", '[{"image": "a.jpg", "annotations": [{"label": "a", "coordinates": {"x": 1}}]}]'),
    "azure": ("a.json", '{"status": "succeeded", "analyzeResult": {"pages": []}}'),
    "supervisely": ("a.json", '{"size": {}, "objects": [{"classTitle": "text", "points": {"exterior": []}}]}'),
    "labelbox": ("a.json", '[{"data_row": {"external_id": "a.jpg"}, "projects": {}}]'),
    "darwin": ("a.json", '{"version": "2.0", "schema_ref": "x", "item": {"slots": []}, "annotations": []}'),
    "datumaro": ("a.json", '{"info": {}, "categories": {}, "items": [{"id": "a", "annotations": []}]}'),
    "vott": ("a.json", '{"name": "x", "assets": {"1": {"asset": {"name": "a.jpg"}, "regions": []}}}'),
    "via3": ("a.json", '{"project": {}, "attribute": {}, "file": {}, "metadata": {}, "view": {}}'),
    "superannotate": ("a.json", '{"metadata": {"name": "a.jpg"}, "instances": [{"type": "polygon"}]}'),
    "xfund": ("a.json", '{"lang": "de", "documents": [{"document": [{"box": [1, 2, 3, 4]}], "img": {}}]}'),
    "tagset": ("a.xml", "<tagset><image><taggedRectangles><taggedRectangle/></taggedRectangles></image></tagset>"),
    "boxes": ("a.csv", '"filename","class","xmin","ymin","xmax","ymax"\na.jpg,text,1,2,3,4\n'),
    "tesseract": ("a.tsv", "level\tpage_num\tblock_num\tpar_num\n1\t1\t0\t0\n"),
    "imagefolder": ("metadata.jsonl", '{"file_name": "a.jpg", "text": "a caption"}\n{"file_name": "b.jpg"}'),
    "webdataset": ("000.tar", b"a.jpg\0\0"),
}


def test_every_format_has_an_example():
    assert EXAMPLES.keys() == UNSUPPORTED.keys()


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("beside", [False, True], ids=["file", "folder"])
def test_a_format_without_reader_is_called_by_name(tmp_path, name, beside):
    file, content = EXAMPLES[name]
    lay(tmp_path, {file: content, "a.jpg": b""})
    path = tmp_path if beside else tmp_path / file
    if places_in(path, SIGNS):
        pytest.skip("a reader took over: its entry can go")
    with pytest.raises(AnnotationError) as caught:
        detect(path)
    (place,) = places_in(tmp_path / file, {name: UNSUPPORTED[name].sign})
    assert f"found {UNSUPPORTED[name].title} (by {place.reason})" in str(caught.value)
    assert caught.value.hint == UNSUPPORTED[name].advice


@pytest.mark.parametrize("name", EXAMPLES)
def test_no_two_formats_without_reader_are_confused(tmp_path, name):
    file, content = EXAMPLES[name]
    lay(tmp_path, {file: content})
    fitting = places_in(tmp_path / file, {name: it.sign for name, it in UNSUPPORTED.items()})
    assert [place.format for place in fitting] == [name]


def test_as_predictions_the_name_is_said_once(tmp_path):
    lay(tmp_path, {"a.xml": EXAMPLES["abbyy"][1], "odd.json": '{"info": 1, "more": []}'})
    with pytest.raises(AnnotationError, match=r"^no known predictions in \S+: found ABBYY FineReader XML ") as caught:
        read_prediction_file(tmp_path / "a.xml")
    assert caught.value.hint
    with pytest.raises(AnnotationError) as caught:
        read_prediction_file(tmp_path / "odd.json")
    assert str(caught.value) == f"no known predictions in {tmp_path / 'odd.json'}: found json with 'info', 'more'"
    assert "--predictions-format" in caught.value.hint


@pytest.mark.parametrize(
    ("file", "content", "seen"),
    [
        ("a.xml", "<other><x/></other>", "1 .xml (xml with the root <other>)"),
        ("a.json", "{}", "1 .json (an empty json object)"),
        ("a.json", "[1, 2]", "1 .json (a json list of 2 values)"),
        ("a.txt", "hello\nyou\n", "1 .txt (lines such as 'hello')"),
        ("a.txt", "1,2,3".encode("utf-16"), "1 .txt (UTF-16 text, expected UTF-8; save it as UTF-8)"),
        ("s/a.txt", "hello", "1 folder; in s: 1 .txt (lines such as 'hello')"),
        ("a.png", b"", "1 .png"),
    ],
)
def test_what_nobody_knows_is_described(tmp_path, file, content, seen):
    lay(tmp_path, {file: content})
    with pytest.raises(AnnotationError) as caught:
        detect(tmp_path)
    assert str(caught.value) == f"no known annotations in {tmp_path}: found {seen}"


def test_the_formats_page_names_every_format_without_reader():
    page = " ".join((Path(__file__).parents[2] / "docs/reference/formats.md").read_text(encoding="utf-8").split())
    assert [it.title for it in UNSUPPORTED.values() if it.title not in page] == []


def test_a_device_is_neither_a_file_nor_a_folder():
    with pytest.raises(AnnotationError, match="no known annotations in /dev/zero: found neither a file nor a folder"):
        detect(Path("/dev/zero"))
