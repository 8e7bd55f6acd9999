"""Names of pictures and the files they mean."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ocrmaps.pictures
from ocrmaps.annotations import Sample, find_pictures, picture_path, read, scan
from ocrmaps.annotations.discovery.pictures import PICTURE_SUFFIXES, clean_name
from ocrmaps.errors import AnnotationError
from ocrmaps.geometry import PolygonSet
from tests.contracts.reader import ESCAPES, kinds, lay, source_of

UFO = '{"images": {"a.jpg": {}, "s/b.png": {}}}'


def test_the_picture_endings_are_those_of_the_decoder():
    assert PICTURE_SUFFIXES == ocrmaps.pictures.EXTENSIONS


@pytest.mark.parametrize(
    "name", [*ESCAPES, "", ".", "a/..", "..", "a\0.jpg", "\ud800.jpg", "c:x.jpg", "\\\\h\\s", None, 5, ["a"], True]
)
def test_unusable_names_are_refused(name):
    with pytest.raises(ValueError, match="found"):
        clean_name(name)


@pytest.mark.parametrize(
    "name, id",
    [
        ("a.jpg", "a.jpg"),
        ("./x//a.jpg", "x/a.jpg"),
        ("x\\a.jpg", "x/a.jpg"),
        (" a b.jpg", " a b.jpg"),
        ("..a/b..", "..a/b.."),
    ],
)
def test_usable_names_become_ids(name, id):
    assert clean_name(name) == id


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_a_clean_name_stays_inside_and_is_its_own_clean_name(name):
    try:
        clean = clean_name(name)
    except ValueError:
        return
    assert clean_name(clean) == clean
    assert os.path.normpath(os.path.join("/root", clean)).startswith("/root/")


def pictured(tmp_path, *names):
    lay(tmp_path, {"u.json": UFO} | {f"img/{name}": b"" for name in names})
    source = source_of(tmp_path / "u.json", "ufo", pictures=tmp_path / "img")
    return source, scan(source)


def test_missing_and_orphan_pictures_are_named_and_counted(tmp_path):
    source, reading = pictured(tmp_path, "a.jpg", "x.jpg", "s/y.JPG", "s/readme.txt")
    found = find_pictures(source, reading.samples)
    assert (found.found, found.missing, found.orphans) == (1, ("s/b.png",), ("s/y.JPG", "x.jpg"))
    assert [(p.loc, p.kind) for p in found.problems] == [
        ('u.json:images["s/b.png"]', "missing-picture"),
        (str(tmp_path / "img"), "orphan-picture"),
    ]
    assert "2 pictures" in found.problems[1].message


@pytest.mark.parametrize("there", ["S/B.PNG", "s/b.jpg", "s%2Fb.png"])
def test_a_picture_that_is_nearly_called_so_is_named(tmp_path, there):
    source, reading = pictured(tmp_path, "a.jpg", there)
    found = find_pictures(source, reading.samples)
    assert found.missing == ("s/b.png",)
    assert f"expected its name letter for letter, and '{there}' is there" in found.problems[0].message


def test_names_that_look_alike_are_told_apart(tmp_path):
    lay(tmp_path, {"u.json": UFO.replace("a.jpg", "caf\u00e9.jpg"), "img/cafe\u0301.jpg": b"", "img/s/b.png": b""})
    source = source_of(tmp_path / "u.json", "ufo", pictures=tmp_path / "img")
    found = find_pictures(source, scan(source).samples)
    assert r"'cafe\u0301.jpg' is there" in found.problems[0].message


def test_without_a_picture_folder_all_pictures_are_missing(tmp_path):
    source, reading = pictured(tmp_path)
    assert find_pictures(source, reading.samples).missing == ("a.jpg", "s/b.png")


def test_a_complete_folder_has_no_problems(tmp_path):
    source, reading = pictured(tmp_path, "a.jpg", "s/b.png")
    assert find_pictures(source, reading.samples).problems == ()
    assert picture_path(source, reading.samples[1]) == tmp_path / "img/s/b.png"


@pytest.mark.parametrize("link, target", [("img/a.jpg", "secret.jpg"), ("img/s", "elsewhere")])
def test_links_out_of_the_picture_folder_are_refused(tmp_path, link, target):
    lay(tmp_path, {"u.json": UFO, "secret.jpg": b"", "elsewhere/b.png": b"", "img/x.txt": ""})
    (tmp_path / link).symlink_to(tmp_path / target)
    source = source_of(tmp_path / "u.json", "ufo", pictures=tmp_path / "img")
    reading = scan(source)
    assert kinds(reading) == ["unsafe-path"]
    assert len(reading.samples) == 1


def test_links_inside_the_picture_folder_and_to_it_are_fine(tmp_path):
    lay(tmp_path, {"u.json": UFO, "real/c.jpg": b"", "real/t/b.png": b""})
    (tmp_path / "real/a.jpg").symlink_to("c.jpg")
    (tmp_path / "real/s").symlink_to("t")
    (tmp_path / "img").symlink_to("real")
    source = source_of(tmp_path / "u.json", "ufo", pictures=tmp_path / "img")
    assert find_pictures(source, read(source)).missing == ()


def test_a_path_is_checked_again_when_it_is_used(tmp_path):
    source = source_of(
        lay(tmp_path, {"u.json": UFO, "img/a.jpg": b"", "secret": b""}) / "u.json", "ufo", pictures=tmp_path / "img"
    )
    (sample,) = [s for s in read(source) if s.id == "a.jpg"]
    (tmp_path / "img/a.jpg").unlink()
    (tmp_path / "img/a.jpg").symlink_to("../secret")
    with pytest.raises(AnnotationError, match="refused"):
        picture_path(source, sample)
    evil = Sample(id="../secret", polygons=PolygonSet.empty("upright"), loc="x")
    with pytest.raises(AnnotationError, match="refused"):
        picture_path(source, evil)


def test_a_link_that_turns_in_a_circle_is_no_crash(tmp_path):
    lay(tmp_path, {"u.json": UFO, "img/x.txt": ""})
    (tmp_path / "img/a.jpg").symlink_to("a.jpg")
    source = source_of(tmp_path / "u.json", "ufo", pictures=tmp_path / "img")
    assert len(find_pictures(source, scan(source).samples).missing) == 2


def test_a_very_long_name_is_a_missing_picture(tmp_path):
    name = "a" * 5000 + ".jpg"
    source = source_of(lay(tmp_path, {"u.json": f'{{"images": {{"{name}": {{}}}}}}'}) / "u.json", "ufo")
    assert find_pictures(source, read(source)).missing == (name,)
