"""Which picture a prediction means is told by names alone, and never guessed."""

from __future__ import annotations

import pytest

from ocrmaps.errors import DataError
from ocrmaps.evaluation.predictions import match_names
from ocrmaps.evaluation.predictions.records import plain_name


def meant(names, expected, **options):
    return match_names(names, expected, "found.json", **options).ids


@pytest.mark.parametrize(
    ("name", "expected", "id"),
    [
        ("a.png", ["a.png", "x/a.png"], "a.png"),
        ("x/a.png", ["a.png", "x/a.png"], "x/a.png"),
        ("data/in/x/a.png", ["y/a.png", "x/a.png"], "x/a.png"),
        ("a.png", ["x/a.png"], "x/a.png"),
        ("a", ["x/a.png"], "x/a.png"),
        ("a.jpg", ["x/a.png"], "x/a.png"),
        ("res_a.txt", ["a.png"], "a.png"),
        ("res_a", ["a.png", "b.png"], "a.png"),
        ("res_a", ["res_a.png", "b.png"], "res_a.png"),
        ("a.png.txt", ["a.png"], "a.png"),
        ("gt.v2", ["gt.png", "gt.v2.tif"], "gt.v2.tif"),
        ("res_1", ["gt_1.jpg", "gt_2.jpg"], "gt_1.jpg"),
        ("s.tif#2", ["s.tif", "s.tif#2"], "s.tif#2"),
        ("res_s.tif#2", ["s.tif", "s.tif#2"], "s.tif#2"),
        ("s#2", ["s.tif", "s.tif#2"], "s.tif#2"),
    ],
)
def test_a_name_means(name, expected, id):
    assert meant([name], expected) == (id,)


@pytest.mark.parametrize(
    ("names", "expected", "message"),
    [
        (["a.png"], ["x/a.png", "y/a.png"], "2 pictures that it could mean"),
        (["a"], ["a.png", "a.jpg"], "2 pictures that it could mean"),
        (["a.png", "x/a.png"], ["a.png"], "a second time, first as a.png"),
        (["res_1"], ["1.png", "res_1.png"], "can mean res_1.png and 1.png"),
        (["b.png"], ["a.png"], "found no such picture"),
        (["A.png"], ["a.png"], "found no such picture"),
        (["s.tif#2"], ["s.tif"], "is a further page"),
    ],
)
def test_names_that_mean_two_or_none_are_refused(names, expected, message):
    with pytest.raises(DataError, match=message):
        meant(names, expected)


def test_archives_that_put_a_prefix_before_everything_mean_the_names_behind_it():
    assert meant(["res_1.txt", "res_res_1.txt"], ["1.png", "res_1.png"]) == ("1.png", "res_1.png")
    assert meant(["1.txt", "res_1.txt"], ["1.png", "res_1.png"]) == ("1.png", "res_1.png")


def test_what_nobody_expects_is_left_out_only_where_that_is_asked():
    found = match_names(["a.png", "z.png", "s.tif", "s.tif#2"], ["a.png", "s.tif"], "f", leave_out=True)
    assert found.ids == ("a.png", None, "s.tif", None)
    assert (found.unknown, found.pages) == (("z.png",), ("s.tif#2",))


@pytest.mark.parametrize("name", [None, 3, "", "..", "/", "a\0b", "\ud800.png", ["a.png"], "C:"])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(ValueError, match="found"):
        plain_name(name)
