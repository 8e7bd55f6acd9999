"""SROIE csv."""

from __future__ import annotations

import pytest

from ocrmaps.annotations import read, scan
from tests.contracts.reader import ReaderContract, kinds, lay, scanned, source_of


class TestContract(ReaderContract):
    format = "sroie"
    file = "a.csv"
    # Three lines of SROIE training receipt 350.
    example = (
        "80,151,534,151,534,180,80,180,PINGHWAI TRADING SDN BHD\n"
        "76,211,537,211,537,238,76,238,NO.2, JALAN METRO PERDANA TIMUR 11,\n"
        "448,601,528,601,528,621,448,621,1,007.50\n"
    )
    points = (
        [[80, 151], [534, 151], [534, 180], [80, 180]],
        [[76, 211], [537, 211], [537, 238], [76, 238]],
        [[448, 601], [528, 601], [528, 621], [448, 621]],
    )
    broken = ("537,238,76", "537,238,x", "a.csv:2")
    per_picture = True

    @pytest.mark.parametrize("content", [b"\0\0\0", b"\x80abc", b"[" * 200_000])
    def test_names_files_that_hold_something_else(self, tmp_path, content):
        super().test_names_files_that_hold_something_else(tmp_path, content)


def test_everything_behind_eight_numbers_is_text(tmp_path):
    (sample,) = scanned(tmp_path, "sroie", TestContract.example, "a.csv").samples
    assert sample.polygons.texts == (
        "PINGHWAI TRADING SDN BHD", "NO.2, JALAN METRO PERDANA TIMUR 11,", "1,007.50",
    )  # fmt: skip


@pytest.mark.parametrize("text", ['"quoted"', "###", "12,34,56,78", " blank"])
def test_marks_and_quotes_are_plain_text_here(tmp_path, text):
    (sample,) = scanned(tmp_path, "sroie", f"1,1,9,1,9,9,1,9,{text}", "a.csv").samples
    assert sample.polygons.texts == (text,)
    assert not sample.polygons.ignore.any()


def test_a_file_that_is_not_utf8_is_read_as_latin1_and_noted(tmp_path):
    row = "1,1,9,1,9,9,1,9,"
    lay(tmp_path, {"a.csv": f"{row}ok\n{row}caf\xe9\n".encode("latin-1"), "b.csv": f"{row}café".encode()})
    reading = scan(source_of(tmp_path, "sroie"))
    assert reading.problems == ()
    assert [(n.loc, n.kind) for n in reading.notes] == [("a.csv:2", "latin-1")]
    assert [s.polygons.texts[-1] for s in reading.samples] == ["café", "café"]


def test_latin1_is_no_licence_for_binary_files(tmp_path):
    assert kinds(scanned(tmp_path, "sroie", b"1,1,9,1,9,9,1,9,\xe9\0", "a.csv")) == ["not-text"]


def test_utf16_is_named(tmp_path):
    assert kinds(scanned(tmp_path, "sroie", "1,1,9,1,9,9,1,9,a".encode("utf-16"), "a.csv")) == ["not-utf8"]


def test_txt_files_are_read_too(tmp_path):
    lay(tmp_path, {"X51.txt": "1,1,9,1,9,9,1,9,a", "X51.jpg": b""})
    assert [s.id for s in read(source_of(tmp_path, "sroie"))] == ["X51.jpg"]
