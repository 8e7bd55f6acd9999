"""What a command line's arguments mean: order, names, and nothing outside the folders that were named."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocrmaps.detect.inputs import find_inputs
from ocrmaps.errors import DataError, SpecError


@pytest.fixture
def tree(tmp_path) -> Path:
    for name in ("in/p10.jpg", "in/p2.png", "in/P1.JPG", "in/notes.txt", "in/.hidden.png", "in/deep/p3.png",
                 "other/p2.png", "secret/s.png"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def names(inputs) -> list[str]:
    return [file.name for file in inputs.files]


def test_a_folder_gives_its_pictures_in_natural_order(tree):
    assert names(find_inputs([tree / "in"])) == ["P1.JPG", "p2.png", "p10.jpg"]


def test_subfolders_only_when_asked(tree):
    assert names(find_inputs([tree / "in"], recursive=True)) == ["deep/p3.png", "P1.JPG", "p2.png", "p10.jpg"]


def test_arguments_keep_their_order_and_names_stay_apart(tree):
    assert names(find_inputs([tree / "other", tree / "in"])) == ["other/p2.png", "in/P1.JPG", "in/p2.png", "in/p10.jpg"]


def test_a_picture_named_twice_is_taken_once(tree):
    assert names(find_inputs([tree / "in/p2.png", tree / "in"])) == ["p2.png", "P1.JPG", "p10.jpg"]


def test_a_file_is_taken_whatever_its_ending(tree):
    assert names(find_inputs([tree / "in/notes.txt"])) == ["notes.txt"]


def test_patterns_are_relative_to_the_folder_in_front(tree):
    assert names(find_inputs([f"{tree}/in/*.png"])) == ["p2.png"]
    assert names(find_inputs([f"{tree}/in/**/*.png"])) == ["deep/p3.png", "p2.png"]


@pytest.mark.parametrize("argument", ["missing.jpg", "nothing/*.jpg", "empty", "only"])
def test_what_means_nothing_is_an_error(tree, argument):
    (tree / "empty").mkdir()
    (tree / "only/deep").mkdir(parents=True)
    (tree / "only/deep/a.png").write_bytes(b"x")
    with pytest.raises(DataError) as caught:
        find_inputs([tree / argument])
    assert ("--recursive" in caught.value.hint) == (argument == "only")


def test_links_out_of_a_folder_are_refused_by_name(tree):
    (tree / "in/leak.png").symlink_to(tree / "secret/s.png")
    (tree / "in/near.png").symlink_to(tree / "in/p2.png")
    inputs = find_inputs([tree / "in"])
    assert "leak.png" not in names(inputs) and "near.png" in names(inputs)
    assert [(name, "outside" in why) for name, why in inputs.refused] == [("leak.png", True)]
    assert [name for name, _ in find_inputs([f"{tree}/in/*.png"]).refused] == ["leak.png"]


def test_linked_folders_are_not_entered(tree):
    (tree / "in/away").symlink_to(tree / "secret")
    assert "away/s.png" not in names(find_inputs([tree / "in"], recursive=True))
    assert names(find_inputs([f"{tree}/in/**/s.png"])) == []


def test_a_name_that_result_files_would_change_is_refused(tree):
    (tree / "in/a\\b.png").write_bytes(b"x")
    assert [why for _, why in find_inputs([tree / "in"]).refused] == [
        "its name holds a backslash, which result files take for a folder"
    ]


def test_no_pictures_at_all_are_refused():
    with pytest.raises(SpecError, match="expected at least one file, folder or pattern"):
        find_inputs([])
