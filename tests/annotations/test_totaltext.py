"""Total-Text txt."""

from __future__ import annotations

import pytest

from ocrmaps.annotations import read
from tests.contracts.reader import ReaderContract, kinds, lay, scanned, source_of


class TestContract(ReaderContract):
    format = "totaltext"
    file = "poly_gt_a.txt"
    example = (
        "x: [[206 251 386]], y: [[633.5 811 931]], ornt: [u'c'], transcriptions: [u'PETROSAINS']\n"
        "x: [[1 9\n 9 1]], y: [[1 1 9 9]], ornt: [u'#'], transcriptions: [u'#']\n"
    )
    points = (
        [[206, 633.5], [251, 811], [386, 931]],
        [[1, 1], [9, 1], [9, 9], [1, 9]],
    )
    broken = ("1 1 9 9", "1 1 9", "poly_gt_a.txt:2")
    per_picture = True


class TestCommaContract(ReaderContract):
    """Lines of numbers and a text; detection reads them as ICDAR, which gives the same outlines here."""

    format = "totaltext"
    file = "a.txt"
    example = "1,2,30,2,30,12,1,12,word\n1,20,5,18,9,20,9,30,5,29,1,30,320,114\n1,1,9,1,9,9,1,9,###\n"
    points = (
        [[1, 2], [30, 2], [30, 12], [1, 12]],
        [[1, 20], [5, 18], [9, 20], [9, 30], [5, 29], [1, 30], [320, 114]],
        [[1, 1], [9, 1], [9, 9], [1, 9]],
    )
    broken = ("1,2,30,2,30,12,1,12,word", "1,2,30,2,word", "a.txt:1")
    per_picture = True
    detected_as = "icdar"


def record(tmp_path, line):
    return scanned(tmp_path, "totaltext", line, "a.txt")


@pytest.mark.parametrize(
    "literal, text, ignored",
    [
        ("[u'a']", "a", False),
        ("['a']", "a", False),
        ('[u"it\'s"]', "it's", False),
        (r"[u'caf\xe9 \u2019 \\ \'']", "café ’ \\ '", False),
        ("[u'#']", None, True),
        ("[u'###']", None, True),
        ("[]", None, True),
        ("[u'a', u'b']", "a,b", False),
        ("[u'x: y]]']", "x: y]]", False),
    ],
)
def test_texts_are_python_strings_and_hash_means_ignore(tmp_path, literal, text, ignored):
    reading = record(tmp_path, f"x: [[1 9 9]], y: [[1, 1, 9]], ornt: [u'h'], transcriptions: {literal}")
    assert reading.problems == ()
    assert reading.samples[0].polygons.texts == (text,)
    assert reading.samples[0].polygons.ignore.tolist() == [ignored]


def test_an_orientation_of_hash_means_ignore(tmp_path):
    reading = record(tmp_path, "x: [[1 9 9]], y: [[1 1 9]], ornt: [u'#'], transcriptions: [u'word']")
    assert reading.samples[0].polygons.ignore.tolist() == [True]
    assert reading.samples[0].polygons.texts == ("word",)


@pytest.mark.parametrize(
    "line, kind",
    [
        ("x: [[1 9 9]], y: [[1 1]], ornt: [u'c'], transcriptions: [u'a']", "odd-count"),
        ("x: [[1 9]], y: [[1 1]], ornt: [u'c'], transcriptions: [u'a']", "too-few-points"),
        ("x: [[1 9 nan]], y: [[1 1 9]], ornt: [u'c'], transcriptions: [u'a']", "wrong-type"),
        ("x: [[1 9 9]], ornt: [u'c'], transcriptions: [u'a']", "invalid-line"),
        ("x: [[1 9 9]], y: [[1 1 9]], ornt: [u'c'], transcriptions: [__import__('os')]", "invalid-line"),
        ("garbage\nx: [[1 9 9]], y: [[1 1 9]]", "invalid-line"),
        ("x: [[1 9 9]], y: [[1 1 9]] garbage", "invalid-line"),
    ],
)
def test_faults_are_named(tmp_path, line, kind):
    assert kinds(record(tmp_path, line)) == [kind]


def test_many_unclosed_quotes_take_no_time(tmp_path):
    record(tmp_path, "x: [[1 9 9]], y: [[1 1 9]], ornt: [" + "u'a' " * 20_000)
    record(tmp_path, "x: [[" + "1 " * 50_000)


def test_the_picture_is_named_without_the_prefix(tmp_path):
    lay(tmp_path, {"gt/poly_gt_img5.txt": "", "img/img5.JPG": b""})
    assert [s.id for s in read(source_of(tmp_path / "gt", "totaltext", pictures=tmp_path / "img"))] == ["img5.JPG"]
