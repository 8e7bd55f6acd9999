"""ICDAR txt."""

from __future__ import annotations

import io
import zipfile
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ocrmaps.annotations import open_source, read, scan
from ocrmaps.errors import AnnotationError
from tests.contracts.reader import ReaderContract, kinds, lay, scanned, source_of


class TestContract(ReaderContract):
    format = "icdar"
    file = "gt_a.txt"
    example = "1,2,30,2,30,12,1,12,hello, world\n1,20,9.5,20,9.5,30,1,30,###\n"
    points = (
        [[1, 2], [30, 2], [30, 12], [1, 12]],
        [[1, 20], [9.5, 20], [9.5, 30], [1, 30]],
    )
    broken = ("9.5,20", "9.5,", "gt_a.txt:2")
    per_picture = True


def lines(tmp_path, *rows):
    return scanned(tmp_path, "icdar", "\n".join(rows), "gt_a.txt")


def one(tmp_path, *rows):
    reading = lines(tmp_path, *rows)
    assert reading.problems == ()
    return [(len(p), t) for p, t in zip(reading.samples[0].polygons, reading.samples[0].polygons.texts, strict=True)]


QUAD = "10,10,90,10,90,30,10,30"


@pytest.mark.parametrize(
    "text, expected",
    [
        (",hello, world", "hello, world"),
        (',"quoted, text"', "quoted, text"),
        (r',"say \"hi\" \\ there"', r'say "hi" \ there'),
        (',6" pipe', '6" pipe'),
        (",", ""),
        ("", None),
        (",12", "12"),
        (",  two blanks", "  two blanks"),
        (",trailing ", "trailing "),
    ],
)
def test_text_is_kept_as_written(tmp_path, text, expected):
    assert one(tmp_path, QUAD + text) == [(4, expected)]


def test_a_blank_behind_every_comma_is_no_part_of_the_text(tmp_path):
    assert one(tmp_path, "10, 10, 90, 10, 90, 30, 10, 30, hello") == [(4, "hello")]


def test_a_form_feed_is_text_and_no_line_end(tmp_path):
    assert one(tmp_path, QUAD + ",a\x0cb\u2028c") == [(4, "a\x0cb\u2028c")]


def test_hashes_mean_ignore_and_are_no_text(tmp_path):
    (sample,) = lines(tmp_path, QUAD + ",###", QUAD + ',"###"', QUAD + ",####").samples
    assert sample.polygons.ignore.tolist() == [True, True, False]
    assert sample.polygons.texts == (None, None, "####")


def test_outlines_of_any_number_of_points(tmp_path):
    hexagon = "10,10,50,5,90,10,90,30,50,25,10,30"
    assert one(tmp_path, f"{hexagon},CURVED", f"{QUAD},QUAD", f"{hexagon},###") == [
        (6, "CURVED"), (4, "QUAD"), (6, None),
    ]  # fmt: skip


def test_without_a_text_column_all_numbers_are_points(tmp_path):
    assert one(tmp_path, "10,10,50,5,90,10,90,30,50,25,10,30", QUAD, "1,1,9,1,9,9") == [(6, None), (4, None), (3, None)]


@pytest.mark.parametrize("text", ["1,007.50", "1,200", "12,50", "1,234,567", "12,50 EUR", "3,4,KG", "1, 2, 3"])
def test_a_text_that_begins_with_numbers_stays_text(tmp_path, text):
    """`1,007.50` stands in real receipts: eight numbers, then an amount with a thousands comma."""
    far = "448,601,528,601,528,621,448,621"
    assert one(tmp_path, f"{far},{text}", f"{far},TOTAL") == [(4, text), (4, "TOTAL")]


def test_a_blank_before_a_number_says_that_it_is_text(tmp_path):
    near = "300,100,340,100,340,120,300,120"
    assert one(tmp_path, f"{near},310, 95, 305, 96", f"{near},TOTAL") == [(4, "310, 95, 305, 96"), (4, "TOTAL")]


def test_a_line_that_fits_two_readings_is_refused_with_a_hint(tmp_path):
    near = "300,100,340,100,340,120,300,120"
    reading = lines(tmp_path, f"{near},320,114,EUR", f"{near},TOTAL")
    assert [(p.loc, p.kind) for p in reading.problems] == [("gt_a.txt:1", "ambiguous-line")]
    assert "--format sroie" in reading.problems[0].message
    assert one(tmp_path, f'{near},"320,114,EUR"') == [(4, "320,114,EUR")]


HEXAGON = "446,130,510,110,580,118,570,150,500,142,440,160"
LONGER = "10,10,50,5,90,10,90,30,50,25,10,30,5,20"
"""Outlines of three-digit points look like quads and a text that begins with a written number; seven points do not."""


def test_points_that_look_like_a_written_number_are_points_where_other_lines_are_long(tmp_path):
    reading = lines(tmp_path, f"{HEXAGON},PEAK", f"{LONGER},LOOKOUT", f"{QUAD},SIGN")
    assert reading.problems == ()
    assert [len(p) for p in reading.samples[0].polygons] == [6, 7, 4]
    assert reading.samples[0].polygons.texts == ("PEAK", "LOOKOUT", "SIGN")
    (note,) = reading.notes
    assert (note.loc, note.kind) == ("gt_a.txt:1", "points-or-text")
    assert "'500,142,440,160,PEAK'" in note.message


def test_nothing_is_guessed_where_no_other_line_is_long(tmp_path):
    assert kinds(lines(tmp_path, f"{HEXAGON},PEAK", f"{QUAD},SIGN")) == ["ambiguous-line"]


def test_one_long_line_among_very_many_quads_decides_nothing(tmp_path):
    rows = [f"{HEXAGON},PEAK", f"{LONGER},LOOKOUT", *[f"{QUAD},SIGN"] * 20]
    assert kinds(lines(tmp_path, *rows)) == ["ambiguous-line"]


def test_no_written_number_goes_on_for_ever(tmp_path):
    outline = "446,130,510,110,580,118,570,150,540,146,500,142,440,160"
    assert one(tmp_path, f"{outline},PEAK", f"{QUAD},SIGN") == [(7, "PEAK"), (4, "SIGN")]


def test_an_outline_that_crosses_itself_without_further_points_goes_on(tmp_path):
    assert one(tmp_path, "325,110,340,140,325,150,340,150,345,135,350,135,WORD", f"{QUAD},SIGN")[0] == (6, "WORD")


def test_an_outline_that_crosses_itself_with_further_points_ends_before(tmp_path):
    assert one(tmp_path, "300,100,340,100,340,120,300,120,350,110,EUR", f"{QUAD},SIGN")[0] == (4, "350,110,EUR")


def test_a_text_or_none_stays_open_where_outlines_are_long(tmp_path):
    near = "300,100,340,100,340,120,300,120,299,114"
    assert one(tmp_path, near, f"{QUAD},SIGN")[0] == (4, "299,114")
    assert kinds(lines(tmp_path, near, f"{QUAD},SIGN", f"{LONGER},LOOKOUT")) == ["ambiguous-line"]


@pytest.mark.parametrize("row", ["1,2,3", "1,2,3,4,5,6,7,text", "1,2,3,4,nan,6,7,8", "1_0,2,3,4,5,6,7,8", "text"])
def test_a_line_without_four_points_is_named(tmp_path, row):
    assert kinds(lines(tmp_path, QUAD + ",ok", row)) == ["invalid-line"]


def test_a_cut_off_quad_is_no_triangle(tmp_path):
    assert kinds(lines(tmp_path, QUAD + ",ok", "1,1,9,1,9,9")) == ["invalid-line"]


@pytest.mark.parametrize("number", ["1e999", "9" * 6000, "-20000000"])
def test_numbers_beyond_any_picture_are_named(tmp_path, number):
    (problem,) = lines(tmp_path, f"{number},2,3,4,5,6,7,8,x").problems
    assert problem.kind in ("huge-number", "not-finite")
    assert len(str(problem)) < 300


def test_an_empty_file_is_a_picture_without_text(tmp_path):
    (sample,) = scanned(tmp_path, "icdar", b"", "gt_a.txt").samples
    assert (sample.id, len(sample.polygons)) == ("a", 0)


@pytest.mark.parametrize("name", ["gt_a.txt", "a.txt", "a.jpg.txt", "gt_a.jpg.txt"])
def test_the_picture_has_the_name_of_the_file(tmp_path, name):
    lay(tmp_path, {"gt/" + name: QUAD, "img/a.jpg": b"", "img/b.jpg": b""})
    assert [s.id for s in read(source_of(tmp_path / "gt", "icdar", pictures=tmp_path / "img"))] == ["a.jpg"]


def test_two_pictures_of_one_name_are_ambiguous(tmp_path):
    lay(tmp_path, {"gt/gt_a.txt": QUAD, "img/a.jpg": b"", "img/a.png": b""})
    reading = scan(source_of(tmp_path / "gt", "icdar", pictures=tmp_path / "img"))
    assert kinds(reading) == ["ambiguous-picture"]
    assert "a.jpg, a.png" in reading.problems[0].message
    assert reading.samples == ()


def test_two_files_for_one_picture_are_a_duplicate_id(tmp_path):
    lay(tmp_path, {"gt/gt_a.txt": QUAD, "gt/a.txt": QUAD, "img/a.jpg": b""})
    assert kinds(scan(source_of(tmp_path / "gt", "icdar", pictures=tmp_path / "img"))) == ["duplicate-id"]


def test_one_bad_file_does_not_hide_the_others(tmp_path):
    lay(tmp_path, {"gt_a.txt": b"\xff" + QUAD.encode(), "gt_b.txt": QUAD, "gt_c.txt": "x", "notes.md": "hello"})
    reading = scan(source_of(tmp_path, "icdar"))
    assert [p.loc for p in reading.problems] == ["gt_a.txt:1", "gt_c.txt:1"]
    assert [s.id for s in reading.samples] == ["b"]
    assert reading.unused == {"files with another ending": 1}


def test_subfolders_mirror_the_picture_folder(tmp_path):
    lay(tmp_path, {"gt/x/gt_a.txt": QUAD, "gt/y/gt_a.txt": QUAD, "img/x/a.jpg": b"", "img/y/a.png": b""})
    samples = read(source_of(tmp_path / "gt", "icdar", pictures=tmp_path / "img"))
    assert [s.id for s in samples] == ["x/a.jpg", "y/a.png"]


def test_a_zip_archive_reads_like_its_folder(tmp_path):
    with zipfile.ZipFile(tmp_path / "gt.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("gt_a.txt", QUAD + ",x")
        archive.writestr("__MACOSX/gt_a.txt", b"\0\1")
    assert [s.polygons.texts for s in read(open_source(tmp_path / "gt.zip"))] == [("x",)]


@pytest.mark.parametrize("cut", [0, 1, 30])
def test_a_damaged_zip_archive_is_named(tmp_path, cut):
    with zipfile.ZipFile(tmp_path / "gt.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("gt_a.txt", (QUAD + ",x\n") * 50)
    data = bytearray((tmp_path / "gt.zip").read_bytes())
    data[cut + 30 : cut + 40] = b"\xff" * 10
    (tmp_path / "gt.zip").write_bytes(bytes(data) if cut else bytes(data[:50]))
    assert "unreadable-file" in kinds(scan(source_of(tmp_path / "gt.zip", "icdar")))


def test_the_script_of_multilingual_editions_is_no_part_of_the_text(tmp_path):
    reading = lines(tmp_path, QUAD + ",Latin,a,b", QUAD + ",None,###", QUAD + ",Korean,12")
    assert reading.samples[0].polygons.texts == ("a,b", None, "12")
    assert reading.samples[0].polygons.ignore.tolist() == [False, True, False]
    assert reading.unused == {"script": 3}


def test_a_word_that_names_a_script_is_a_text(tmp_path):
    assert one(tmp_path, QUAD + ",Latin,a", QUAD + ",word") == [(4, "Latin,a"), (4, "word")]


def test_the_difficulty_of_rctw_means_ignore_and_is_no_part_of_the_text(tmp_path):
    (sample,) = lines(tmp_path, QUAD + ',0,"a, b"', QUAD + ',1,"c"', QUAD + ',1,"###"').samples
    assert sample.polygons.texts == ("a, b", "c", None)
    assert sample.polygons.ignore.tolist() == [False, True, True]


def test_a_number_before_a_text_is_a_difficulty_on_every_line_or_on_none(tmp_path):
    assert one(tmp_path, QUAD + ',1,"a"', QUAD + ',7,"b"') == [(4, '1,"a"'), (4, '7,"b"')]


@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_archives_are_read_or_named_never_a_traceback(tmp_path, data):
    buffer = io.BytesIO()
    with zipfile.ZipFile(
        buffer, "w", data.draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
    ) as archive:
        archive.writestr("gt_a.txt", (QUAD + ",x\n") * 5)
        archive.writestr("gt_b.txt", "")
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "gt.zip"
    path.write_bytes(content[: data.draw(st.integers(len(content) // 2, len(content)) | st.just(len(content)))])
    reading = scan(source_of(path, "icdar"))
    assert reading.problems or reading.samples
    with suppress(AnnotationError):
        open_source(path)
