"""Finding format and pictures: by content, with a reason, and an error that lists what it could be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from ocrmaps.annotations import READERS, SIGNS, WRITERS, detect, find_pictures, open_source, read
from ocrmaps.annotations.discovery.candidates import head_of
from ocrmaps.errors import AnnotationError, SpecError
from tests.contracts.reader import lay

UFO = '{"images": {"a.jpg": {"words": {}}}}'
MMOCR = '{"data_list": [{"img_path": "a.jpg", "instances": []}]}'
ROW = "1,1,9,1,9,9,1,9,word\n"


def test_registries_agree():
    assert SIGNS.keys() == READERS.keys() >= WRITERS.keys()


def test_the_reason_is_stated(tmp_path):
    lay(tmp_path, {"train.json": UFO, "images/a.jpg": b""})
    found = detect(tmp_path)
    assert (found.format, found.annotations, found.pictures) == ("ufo", tmp_path / "train.json", tmp_path / "images")
    assert '"images" is an object' in found.reason
    assert "1 of 1 pictures" in found.reason


@pytest.mark.parametrize("depth", [3, 1001, 5000])
def test_what_nests_without_end_hides_no_key_after_it(tmp_path, depth):
    lay(tmp_path, {"train.json": f'{{"junk": {"[" * depth}{"]" * depth}, {UFO[1:]}', "images/a.jpg": b""})
    assert detect(tmp_path).format == "ufo"


@pytest.mark.parametrize("start", ["", "box", "box/a.csv"])
def test_a_path_may_be_the_data_set_the_annotation_folder_or_a_file(tmp_path, start):
    lay(tmp_path, {"box/a.csv": ROW, "img/a.jpg": b""})
    found = detect(tmp_path / start)
    assert (found.format, found.pictures) == ("sroie", tmp_path / "img")


def test_two_annotation_files_are_listed_not_chosen(tmp_path):
    lay(tmp_path, {"train.json": UFO, "val.json": UFO})
    with pytest.raises(AnnotationError) as caught:
        detect(tmp_path)
    assert [p.loc for p in caught.value.problems] == [str(tmp_path / "train.json"), str(tmp_path / "val.json")]
    assert "--format" in caught.value.hint


def test_a_format_that_is_told_decides_between_candidates(tmp_path):
    lay(tmp_path, {"u.json": UFO, "m.json": MMOCR, "a.jpg": b""})
    with pytest.raises(AnnotationError):
        open_source(tmp_path)
    assert open_source(tmp_path, format="mmocr").annotations == tmp_path / "m.json"


def test_a_format_that_is_told_is_not_doubted(tmp_path):
    lay(tmp_path, {"box/a.txt": ROW, "img/a.jpg": b""})
    assert open_source(tmp_path).format == "icdar"
    source = open_source(tmp_path, format="sroie")
    assert (source.format, source.annotations, source.pictures) == ("sroie", tmp_path / "box", tmp_path / "img")


def test_unknown_formats_and_frames_list_the_known(tmp_path):
    with pytest.raises(SpecError, match="ufo, icdar"):
        open_source(tmp_path, format="synthtext")
    with pytest.raises(SpecError, match="raw, upright"):
        open_source(tmp_path, frame="canonical")


@pytest.mark.parametrize("files", [{}, {"a.jpg": b""}, {"readme.txt": "hello"}, {"x.json": "[1]"}, {"x.json": "{"}])
def test_nothing_known_says_what_was_seen(tmp_path, files):
    with pytest.raises(AnnotationError, match="no known annotations"):
        detect(lay(tmp_path, files))


def test_a_missing_path_is_named(tmp_path):
    with pytest.raises(AnnotationError, match="no file or folder"):
        detect(tmp_path / "none")


def test_a_read_me_beside_the_annotations_has_no_vote(tmp_path):
    lay(tmp_path, {"gt_1.txt": ROW, "gt_2.txt": ROW, "readme.txt": "Please cite us.\n"})
    assert detect(tmp_path).format == "icdar"


def test_data_sets_below_are_found_and_listed(tmp_path):
    lay(tmp_path, {f"{split}/box/a.csv": ROW for split in ("train", "val")})
    with pytest.raises(AnnotationError) as caught:
        detect(tmp_path)
    assert [p.loc for p in caught.value.problems] == [str(tmp_path / "train/box"), str(tmp_path / "val/box")]


@pytest.mark.parametrize(
    "annotations, picture, folder",
    [
        ("labels.json", "images/a.jpg", "images"),
        ("labels.json", "a.jpg", "."),
        ("labels.json", "photos of 2020/a.jpg", "photos of 2020"),
        ("jsons/train.json", "images/train/a.jpg", "images/train"),
        ("annotations/instances_train2017.json", "train2017/a.jpg", "train2017"),
    ],
)
def test_the_folder_that_holds_the_pictures_is_found(tmp_path, annotations, picture, folder):
    lay(tmp_path / "d", {annotations: UFO, picture: b""})
    assert detect(tmp_path / "d" / annotations).pictures.resolve() == (tmp_path / "d" / folder).resolve()


def test_names_with_folders_start_where_they_fit(tmp_path):
    content = UFO.replace("a.jpg", "imgs/test/a.jpg")
    lay(tmp_path, {"u.json": content, "imgs/test/a.jpg": b""})
    assert detect(tmp_path).pictures == tmp_path


def test_the_split_decides_between_picture_folders_of_equal_names(tmp_path):
    lay(tmp_path, {"gt/train/1.txt": ROW, "images/train/1.jpg": b"", "images/val/1.jpg": b""})
    assert detect(tmp_path / "gt" / "train").pictures == tmp_path / "images" / "train"


def test_two_folders_with_the_same_pictures_are_undecidable(tmp_path):
    lay(tmp_path, {"u.json": UFO, "img/a.jpg": b"", "images/a.jpg": b""})
    with pytest.raises(AnnotationError) as caught:
        detect(tmp_path)
    assert "--pictures" in caught.value.hint
    assert len(caught.value.problems) == 2
    assert open_source(tmp_path, pictures=tmp_path / "img").pictures == tmp_path / "img"


def test_pictures_of_a_neighboring_data_set_are_not_taken(tmp_path):
    lay(tmp_path, {"mine/u.json": UFO, "images of others/a.jpg": b""})
    found = detect(tmp_path / "mine")
    assert found.pictures == tmp_path / "mine"
    assert "--pictures" in found.reason


def test_a_told_picture_folder_must_exist(tmp_path):
    lay(tmp_path, {"u.json": UFO})
    with pytest.raises(AnnotationError, match="no picture folder"):
        open_source(tmp_path, pictures=tmp_path / "none")


def test_what_decides_may_stand_behind_much_else(tmp_path):
    content = {"info": "x" * 400_000, "images": [{"id": 1, "file_name": "a.jpg"}], "annotations": []}
    lay(tmp_path, {"c.json": json.dumps(content)})
    assert detect(tmp_path).format == "coco"


def test_the_declaration_reaches_the_source(tmp_path):
    lay(tmp_path, {"u.json": UFO})
    source = open_source(tmp_path / "u.json", frame="raw", split="val")
    assert (source.frame, source.split, source.name) == ("raw", "val", "u.json")


def test_importing_the_room_is_light():
    heavy = ("torch", "cv2", "numba", "PIL", "shapely", "pydantic", "zarr", "matplotlib")
    code = f"import ocrmaps.annotations, sys; print([m for m in {heavy!r} if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_the_formats_page_has_a_row_for_every_format():
    page = (Path(__file__).parents[2] / "docs/reference/formats.md").read_text(encoding="utf-8")
    cells = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    rows = {name for cell in cells for name in cell.split("`")[1::2]}
    assert READERS.keys() <= rows


def test_many_files_are_recognized_by_some_of_them(tmp_path, monkeypatch):
    lay(tmp_path, {f"gt/gt_{i:03d}.txt": ROW for i in range(200)} | {f"img/{i:03d}.jpg": b"" for i in range(200)})
    looked = []
    monkeypatch.setattr(
        "ocrmaps.annotations.discovery.candidates.head_of", lambda path, real=head_of: looked.append(path) or real(path)
    )
    assert detect(tmp_path).format == "icdar"
    assert len(looked) < 50


def test_a_pipe_or_a_nul_in_the_path_is_a_named_error(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", f"{tmp_path}/a\0b"):
        with pytest.raises(AnnotationError):
            detect(path)


def test_irregular_blanks_are_no_part_of_numbers(tmp_path):
    lay(tmp_path, {"gt_a.txt": "679,1974, 815, 2006, hello\n"})
    assert detect(tmp_path).format == "icdar2013"
    assert read(open_source(tmp_path))[0].polygons.texts == ("hello",)
    lay(tmp_path / "quads", {"gt_a.txt": "679,1974, 815, 1974, 815,2006, 679, 2006, hello, 1\n"})
    (sample,) = read(open_source(tmp_path / "quads"))
    assert (sample.polygons.counts().tolist(), sample.polygons.texts) == ([4], ("hello, 1",))


@pytest.mark.parametrize("format", [None, "yolo", "icdar2013"])
def test_a_line_of_one_form_feed_is_read_or_named(tmp_path, format):
    lay(tmp_path, {"a.txt": "\x0c", "a.jpg": b""})
    with pytest.raises(AnnotationError):
        read(open_source(tmp_path, format=format))


@pytest.mark.parametrize("format", ["icdar", "totaltext", "sroie"])
def test_a_format_that_is_told_finds_the_archive(tmp_path, format):
    with zipfile.ZipFile(tmp_path / "gt.zip", "w") as archive:
        archive.writestr("gt_a.txt", ROW)
    lay(tmp_path, {"images/a.jpg": b"", "photos/b.jpg": b""})
    source = open_source(tmp_path, format=format)
    assert source.annotations == tmp_path / "gt.zip"
    if format != "sroie":  # whose files have the plain names of their pictures
        assert source.pictures == tmp_path / "images"


def test_a_told_format_without_files_is_not_asked_for_again(tmp_path):
    lay(tmp_path, {"a.jpg": b""})
    with pytest.raises(AnnotationError, match=r"found 1 \.jpg") as caught:
        open_source(tmp_path, format="icdar")
    assert "--format" not in caught.value.hint
    assert ".txt" in caught.value.hint


def test_what_a_folder_holds_is_counted_in_words(tmp_path):
    lay(tmp_path, {"deep/one": b"", "a.jpg": b"", "b.jpg": b""})
    with pytest.raises(AnnotationError, match=r"found 2 \.jpg, 1 folder$"):
        open_source(tmp_path)


@pytest.mark.parametrize("start", [".", "10", "10/Label.txt"])
def test_ppocrlabel_keeps_its_file_in_the_folder_that_its_names_begin_with(tmp_path, start):
    word = '[{"transcription": "a", "points": [[1, 1], [9, 1], [9, 9], [1, 9]], "difficult": false}]'
    states = "/home/me/10/x.jpg\t1\n"
    lay(tmp_path, {"10/Label.txt": f"10/x.jpg\t{word}\n", "10/x.jpg": b"", "10/fileState.txt": states})
    source = open_source(tmp_path / start)
    assert (source.format, source.pictures.resolve()) == ("paddle", tmp_path.resolve())
    assert [s.id for s in read(source)] == ["10/x.jpg"]
    assert find_pictures(source, read(source)).missing == ()


def test_a_folder_of_per_picture_files_alone_has_its_pictures_beside_it(tmp_path):
    """As `ocrmaps data convert --to icdar` writes it, whatever the folder is called."""
    lay(tmp_path, {"written/gt_a.txt": ROW, "images/a.jpg": b"", "images/b.jpg": b""})
    assert detect(tmp_path / "written").pictures.resolve() == (tmp_path / "images").resolve()
    lay(tmp_path, {"other/gt_c.txt": ROW})
    assert detect(tmp_path / "other").pictures == tmp_path / "other", "nothing by name alone there"
