"""Bytes, text and JSON of annotation files."""

from __future__ import annotations

import json
import os

import pytest

from ocrmaps.annotations import READERS, scan
from ocrmaps.annotations.grammar import contents as files
from ocrmaps.annotations.grammar.contents import decode, parse_json, shown, step
from ocrmaps.errors import AnnotationError
from tests.contracts.reader import kinds, lay, scanned, source_of


def parsed(text: str, **options):
    problems = []
    value = parse_json(text, "f.json", lambda *problem: problems.append(problem), **options)
    return value, problems


def refused(text: str, **options):
    with pytest.raises(AnnotationError) as caught:
        parsed(text, **options)
    (problem,) = caught.value.problems
    return problem.loc, problem.kind


# Files that hold pictures are as large as those.
@pytest.mark.parametrize("format", [name for name in READERS if name not in ("parquet", "webdataset")])
def test_files_over_the_size_cap_are_named(tmp_path, monkeypatch, format):
    monkeypatch.setattr(files, "MAX_BYTES", 10)
    name = "a.csv" if format == "sroie" else "a.json" if format == "labelme" else "a.txt"
    assert kinds(scanned(tmp_path, format, b"x" * 11, name)) == ["too-large"]


def test_a_pipe_is_named_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "u.json")
    assert kinds(scan(source_of(tmp_path / "u.json", "ufo", pictures=tmp_path))) == ["unreadable-file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="the administrator may read everything")
def test_a_file_without_permission_is_named(tmp_path):
    path = lay(tmp_path, {"u.json": "{}"}) / "u.json"
    path.chmod(0)
    assert kinds(scan(source_of(path, "ufo"))) == ["unreadable-file"]


def test_a_folder_where_a_file_is_due_is_named(tmp_path):
    reading = scan(source_of(tmp_path, "ufo"))
    assert kinds(reading) == ["unreadable-file"]
    assert "name the file inside" in reading.problems[0].message


def test_the_line_of_a_byte_that_is_not_utf8_is_named():
    with pytest.raises(AnnotationError) as caught:
        decode(b"one\ntwo \xe9", "a.txt")
    assert caught.value.problems[0].loc == "a.txt:2"


def test_utf16_is_called_utf16():
    with pytest.raises(AnnotationError) as caught:
        decode("one, two".encode("utf-16"), "a.txt")
    assert "found UTF-16 text" in caught.value.problems[0].message


def test_a_nul_is_no_text():
    with pytest.raises(AnnotationError) as caught:
        decode(b"one\ntwo\0", "a.txt")
    (problem,) = caught.value.problems
    assert (problem.loc, problem.kind) == ("a.txt:2", "not-text")


@pytest.mark.parametrize(
    "text, loc, kind",
    [
        ("", "f.json", "empty-file"),
        (" \n", "f.json", "empty-file"),
        ('{"a": 1,\n "b"}', "f.json:2:5", "invalid-json"),
        ("[" * 100_000, "f.json", "too-deep"),
        ('{"a":' * 100_000, "f.json", "too-deep"),
        ("[" + "9" * 5000 + "]", "f.json", "huge-number"),
        ("{} {}", "f.json:1:4", "invalid-json"),
    ],
)
def test_json_that_cannot_be_read_has_a_place_and_a_kind(text, loc, kind):
    assert refused(text) == (loc, kind)


def test_the_line_of_a_file_is_part_of_the_place():
    assert refused("[1,", line=7) == ("f.json:7:4", "invalid-json")


def test_every_doubled_key_is_found_at_its_path():
    value, problems = parsed('{"a": [{"b": 1, "b": 2}, {"c d": {"e": 1, "e": 2, "e": 3}}], "a b": 0, "a b": 1}')
    assert value["a"][0] == {"b": 2}
    assert [p[0] for p in problems] == ['f.json:["a b"]', "f.json:a[0].b", 'f.json:a[1]["c d"].e']


def test_valid_json_is_read_as_the_standard_library_does():
    text = '{"a": [1, 2.5, true, null, "x", {"b": {}}], "c": -0.0}'
    assert parsed(text) == (json.loads(text), [])


def test_paths_stay_short_and_readable():
    assert step("", "images") == "images"
    assert step("images", 'a"b') == 'images["a\\"b"]'
    assert len(step("x", "k" * 10_000)) < 100


@pytest.mark.parametrize("value", ["x" * 10**6, [[[[[1]]]]] * 1000, {"a" * 1000: {}}, 10**4000, None, float("nan")])
def test_values_in_messages_stay_short(value):
    assert len(shown(value)) < 300
