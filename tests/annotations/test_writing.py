"""Writers: what they say comes back, what they cannot say is counted, and files appear whole or not at all."""

from __future__ import annotations

import os
import zipfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrmaps.annotations import WRITERS, Sample, Source, read
from ocrmaps.annotations.formats import labelstudio
from ocrmaps.annotations.writing import AnnotationDraft, write_folder
from ocrmaps.errors import AnnotationError, FrameError, RunError
from ocrmaps.geometry import PolygonSet
from tests.contracts.reader import blank, lay
from tests.strategies import LINE_TEXT, sample_lists

OUT = dict.fromkeys(WRITERS, "o.zip") | dict.fromkeys(("ufo", "coco", "mmocr", "labelstudio"), "o.json")
OUT["paddle"] = "o.txt"
OUT["parquet"] = "o.parquet"
TABLES = ("parquet",) if find_spec("pyarrow") else ()
"""What needs a library that not everybody has."""
HERE = [format for format in WRITERS if format in TABLES or format != "parquet"]
EXACT = ("ufo", "coco", "mmocr", "paddle", "icdar", *TABLES)
"""Formats that hold every digit of a point and say what is ignored."""
COMPLETE = ("ufo", "coco", "mmocr", *TABLES)
"""Formats that can say everything a sample holds, a missing size included."""


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder for the folders of examples."""
    return tmp_path_factory.mktemp("examples")


def there_and_back(place: Path, format: str, samples: list[Sample]):
    """(report, samples read back), beside empty pictures of the right names."""
    with TemporaryDirectory(dir=place) as folder:
        pictures = Path(folder) / "img"
        pictures.mkdir()
        for sample in samples:
            (pictures / sample.id).parent.mkdir(parents=True, exist_ok=True)
            (pictures / sample.id).touch()
        out = Path(folder) / OUT[format]
        report = WRITERS[format](samples, out)
        return report, read(Source(annotations=out, pictures=pictures, format=format))


def in_order(samples):
    return sorted(samples, key=lambda sample: sample.id)


def all_of(samples):
    return [(s.id, s.polygons, s.size) for s in samples]


def distinct_stems(samples: list[Sample]) -> list[Sample]:
    return list({sample.id.casefold(): sample for sample in samples}.values())


# All formats are given the same samples: to draw them takes longer than to write and read them.
@settings(max_examples=40)
@given(samples=sample_lists())
def test_every_point_and_flag_comes_back_exactly(place, samples):
    samples = distinct_stems(samples)
    for format in EXACT:
        report, back = there_and_back(place, format, samples)
        assert [s.id for s in in_order(back)] == [s.id for s in in_order(samples)], format
        for before, after in zip(in_order(samples), in_order(back), strict=True):
            assert np.array_equal(before.polygons.points, after.polygons.points), format
            assert np.array_equal(before.polygons.offsets, after.polygons.offsets), format
            if not any("read as ignored" in lost for lost in report.lost):
                assert np.array_equal(before.polygons.ignore, after.polygons.ignore), format
        assert (report.samples, report.polygons) == (len(samples), sum(len(s.polygons) for s in samples)), format


@settings(max_examples=40)
@given(samples=sample_lists(text=LINE_TEXT))
def test_nothing_is_lost_that_is_not_counted(place, samples):
    samples = distinct_stems(samples)
    for format in EXACT:
        report, back = there_and_back(place, format, samples)
        same = all_of(in_order(back)) == all_of(in_order(samples))
        uncounted = {name: n for name, n in report.lost.items() if name != "picture sizes unknown"}
        assert same == (not uncounted), format


@settings(max_examples=40)
@given(samples=sample_lists())
def test_formats_that_can_say_everything_do(place, samples):
    for format in COMPLETE:
        report, back = there_and_back(place, format, samples)
        assert all_of(back) == all_of(samples), format
        assert set(report.lost) <= {"picture sizes unknown"}, format


def sample(
    points=((0, 0), (9, 0), (9, 9)), *, id="a.jpg", ignore=False, text=None, frame="upright", size=None
) -> Sample:
    polygons = PolygonSet.of(
        [points] if points else [], frame=frame, ignore=[ignore] * bool(points), texts=[text] * bool(points)
    )
    return Sample(id=id, polygons=polygons, loc=f"test:{id}", size=size)


@pytest.mark.parametrize(
    "format, given_, lost",
    [
        ("icdar", sample(ignore=True, text="x"), {"texts of ignored outlines": 1}),
        ("icdar", sample(size=(3, 4)), {"picture sizes": 1}),
        ("icdar", sample(text="###"), {"texts '###' that will read as ignored": 1}),
        ("icdar", sample(text="a\r\nb"), {"line breaks in texts written as blanks": 1}),
        ("paddle", sample(text="*"), {"texts '*' that will read as ignored": 1}),
        ("paddle", sample(), {"unknown texts written as empty": 1}),
        ("paddle", sample(ignore=True, text="x", size=(3, 4)), {"picture sizes": 1, "texts of ignored outlines": 1}),
        ("ufo", sample(((0, 0), (1, 1))), {"outlines of fewer than 3 points left out": 1, "picture sizes unknown": 1}),
    ],
)
def test_losses_have_names(format, given_, lost, tmp_path):
    assert WRITERS[format]([given_], tmp_path / OUT[format]).lost == lost


@pytest.mark.parametrize("format", HERE)
def test_bytes_depend_on_nothing_but_the_samples(format, tmp_path):
    samples = [sample(((0.1, 2), (9, 0), (9, 1 / 3)), id=f"{i}.jpg", text="é", size=(40, 60)) for i in range(3)]
    first, second = tmp_path / f"1-{OUT[format]}", tmp_path / f"2-{OUT[format]}"
    WRITERS[format](samples, first)
    WRITERS[format](samples, second)
    assert first.read_bytes() == second.read_bytes()


def test_an_archive_states_no_time(tmp_path):
    WRITERS["icdar"]([sample()], tmp_path / "gt.zip")
    with zipfile.ZipFile(tmp_path / "gt.zip") as archive:
        assert [entry.date_time for entry in archive.infolist()] == [(1980, 1, 1, 0, 0, 0)]


@pytest.mark.parametrize("format", HERE)
def test_an_existing_file_is_only_replaced_when_told(format, tmp_path):
    out = tmp_path / OUT[format]
    out.write_bytes(b"mine")
    with pytest.raises(AnnotationError, match="exists already"):
        WRITERS[format]([sample(size=(40, 60))], out)
    assert out.read_bytes() == b"mine"
    WRITERS[format]([sample(size=(40, 60))], out, overwrite=True)
    assert out.read_bytes() != b"mine"


@pytest.mark.parametrize("format", HERE)
def test_a_writing_that_fails_leaves_nothing(format, tmp_path, monkeypatch):
    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(RunError, match="disk full"):
        WRITERS[format]([sample(size=(40, 60))], tmp_path / OUT[format])
    assert list(tmp_path.iterdir()) == []


def test_icdar_writes_a_folder_where_the_name_is_no_zip(tmp_path):
    WRITERS["icdar"]([sample(id="s/a.jpg", text="x"), sample(id="b.jpg", points=())], tmp_path / "gt")
    assert (tmp_path / "gt/s/gt_a.txt").read_text() == '0,0,9,0,9,9,"x"\n'
    assert (tmp_path / "gt/gt_b.txt").read_text() == ""


def test_a_filled_folder_is_never_written_over(tmp_path):
    (tmp_path / "gt").mkdir()
    (tmp_path / "gt" / "mine").touch()
    with pytest.raises(AnnotationError, match="exists already"):
        WRITERS["icdar"]([sample()], tmp_path / "gt", overwrite=True)


def test_an_empty_folder_may_be_written(tmp_path):
    WRITERS["icdar"]([], tmp_path / "gt")
    assert list((tmp_path / "gt").iterdir()) == []


@pytest.mark.parametrize("format", HERE)
@pytest.mark.parametrize("id", ["../a.jpg", "/a.jpg", "a/../../b.jpg", "a\\b.jpg", "./a.jpg", ""])
def test_ids_that_lead_elsewhere_are_refused(format, id, tmp_path):
    with pytest.raises(AnnotationError) as caught:
        WRITERS[format]([sample(id=id, size=(40, 60))], tmp_path / OUT[format])
    assert [p.kind for p in caught.value.problems] == ["unsafe-path"]


@pytest.mark.parametrize("format", HERE)
def test_two_samples_of_one_picture_are_refused(format, tmp_path):
    with pytest.raises(AnnotationError, match="a second time"):
        WRITERS[format]([sample(), sample()], tmp_path / OUT[format])


def test_two_pictures_that_need_one_txt_file_are_refused(tmp_path):
    with pytest.raises(AnnotationError) as caught:
        WRITERS["icdar"]([sample(id="a.jpg"), sample(id="a.png")], tmp_path / "gt")
    assert [p.kind for p in caught.value.problems] == ["ambiguous-picture"]


@pytest.mark.parametrize("frames", [("raw", "upright"), ("canonical", "canonical")])
def test_mixed_or_canonical_frames_are_refused(frames, tmp_path):
    samples = [sample(id=f"{i}.jpg", frame=frame) for i, frame in enumerate(frames)]
    with pytest.raises(FrameError):
        WRITERS["ufo"](samples, tmp_path / "o.json")


def test_the_report_says_the_frame_that_no_file_states(tmp_path):
    assert WRITERS["ufo"]([sample(frame="raw")], tmp_path / "o.json").frame == "raw"


def test_half_a_surrogate_pair_cannot_be_written(tmp_path):
    with pytest.raises(AnnotationError, match="surrogate"):
        WRITERS["ufo"]([sample(text="\ud800")], tmp_path / "o.json")
    assert list(tmp_path.iterdir()) == []


def test_whole_numbers_are_written_as_integers_and_others_exactly(tmp_path):
    WRITERS["paddle"]([sample(((1.0, 0.1), (1e7, 2 / 3), (9, -5.5)), text="")], tmp_path / "o.txt")
    assert "[[1, 0.1], [10000000, 0.6666666666666666], [9, -5.5]]" in (tmp_path / "o.txt").read_text()


@given(st.lists(st.text(st.sampled_from('12,"\\ #x.'), max_size=8), min_size=1, max_size=3))
def test_icdar_texts_that_look_like_numbers_and_quotes_come_back(place, texts):
    quad = ((0, 0), (50, 0), (50, 20), (0, 20))
    samples = [sample(quad, id=f"{i}.jpg", text=text) for i, text in enumerate(texts)]
    report, back = there_and_back(place, "icdar", samples)
    if not report.lost:
        assert [s.polygons.texts for s in back] == [s.polygons.texts for s in samples]


def test_folders_appear_whole(tmp_path):
    write_folder(AnnotationDraft([]), tmp_path / "x" / "y", {"a/b.txt": "1"})
    assert (tmp_path / "x/y/a/b.txt").read_text() == "1"
    assert [p.name for p in (tmp_path / "x").iterdir()] == ["y"]


SIZE = (480, 640)
FINE = st.integers(-(10**6), 10**6).map(lambda n: n / 10**3)
"""Coordinates around a picture with three digits behind the point."""
COUNTS = st.integers(3, 8)
XML_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=12)


@st.composite
def fine_samples(draw, coordinate=FINE, points=COUNTS, text=LINE_TEXT):
    outline = points.flatmap(lambda n: st.lists(st.tuples(coordinate, coordinate), min_size=n, max_size=n))
    found = []
    for i in range(draw(st.integers(1, 3))):
        outlines = draw(st.lists(outline, max_size=4))
        flags = [draw(st.booleans()) for _ in outlines]
        texts = [draw(st.none() | text) for _ in outlines]
        polygons = PolygonSet.of(outlines, frame="upright", ignore=flags, texts=texts)
        found.append(Sample(id=f"s{i}/a.jpg", polygons=polygons, loc="x", size=SIZE))
    return found


def back_from(place: Path, format: str, samples: list[Sample]):
    """(report, samples read back) beside real pictures, which tell their sides."""
    with TemporaryDirectory(dir=place) as folder:
        for sample in samples:
            (Path(folder) / "img" / sample.id).parent.mkdir(parents=True)
            (Path(folder) / "img" / sample.id).write_bytes(blank(SIZE[1], SIZE[0]))
        out = Path(folder) / OUT[format]
        report = WRITERS[format](samples, out)
        return report, read(Source(annotations=out, pictures=Path(folder) / "img", format=format))


def told(samples, *, ignore=True, texts=True):
    return [
        (s.id, s.size, s.polygons.points.tolist(), s.polygons.offsets.tolist(),
         s.polygons.ignore.tolist() if ignore else None, s.polygons.texts if texts else None)
        for s in samples
    ]  # fmt: skip


@settings(max_examples=10)
@given(samples=fine_samples())
def test_label_studio_gives_back_everything(place, samples):
    report, back = back_from(place, "labelstudio", samples)
    empty = [s.id for s in samples if not len(s.polygons)]  # sides stand in regions alone
    assert told(back) == told([replace(s, size=None) if s.id in empty else s for s in samples])
    assert report.lost == ({"sizes of pictures without outlines": len(empty)} if empty else {})


@settings(max_examples=10)
@given(samples=fine_samples(st.integers(0, 480_000).map(lambda n: n / 10**3)))
def test_yolo_gives_back_points_and_what_is_ignored(place, samples):
    report, back = back_from(place, "yolo", samples)
    assert told(back, texts=False) == told(samples, texts=False)
    assert set(report.lost) <= {"texts"}


@settings(max_examples=10)
@given(samples=fine_samples(st.integers(0, 480_000).map(lambda n: n / 10**3), st.just(4)))
def test_oriented_boxes_of_four_points_are_kept(place, samples):
    _, back = back_from(place, "yolo-obb", samples)
    assert told(back, texts=False) == told(samples, texts=False)


@settings(max_examples=10)
@given(samples=fine_samples(text=XML_TEXT))
def test_alto_gives_back_points_and_texts(place, samples):
    report, back = back_from(place, "alto-lines", samples)
    assert told(back, ignore=False) == told(samples, ignore=False)
    assert set(report.lost) <= {"ignored outlines written as text"}


@settings(max_examples=10)
@given(samples=fine_samples(st.integers(0, 480).map(float), text=XML_TEXT))
def test_page_gives_back_whole_pixels_and_texts(place, samples):
    _, back = back_from(place, "page-lines", samples)
    assert told(back, ignore=False) == told(samples, ignore=False)


@pytest.mark.parametrize(
    "format, points, lost",
    [
        ("yolo", ((0, 0), (9, 0), (9, 1 / 3)), "outlines rounded to a millionth of a pixel"),
        ("yolo", ((0, 0), (-9, 0), (9, 9)), "points outside of the picture, which Ultralytics refuses"),
        ("yolo", ((0, 0), (9e5, 0), (9, 9)), "outlines further outside than the picture is large left out"),
        (
            "yolo-obb",
            ((50, 50), (90, 50), (90, 90)),
            "outlines of other than 4 points written as their smallest rectangle",
        ),
        ("labelstudio", ((0, 0), (9, 0), (9, 1 / 3)), "outlines rounded to a millionth of a pixel"),
        ("page-lines", ((0, 0), (9, 0), (9, 0.25)), "outlines rounded to whole pixels"),
    ],
)
def test_losses_of_formats_in_shares_and_whole_pixels_have_names(format, points, lost, tmp_path):
    assert WRITERS[format]([sample(points, size=SIZE)], tmp_path / OUT[format]).lost == {lost: 1}


@pytest.mark.parametrize("format", ["page-lines", "alto-lines"])
def test_xml_says_what_it_cannot_hold(format, tmp_path):
    report = WRITERS[format]([sample(text="a\0b", ignore=True, size=SIZE)], tmp_path / "o.zip")
    assert report.lost == {"characters of texts that xml cannot hold": 1, "ignored outlines written as text": 1}


def test_the_smallest_rectangle_of_an_outline_holds_it(place):
    points = ((100, 100), (140, 140), (130, 150), (90, 110), (95, 100))
    _, (back,) = back_from(place, "yolo-obb", [sample(points, id="s/a.jpg", size=SIZE)])
    assert back.polygons.counts().tolist() == [4]
    assert back.polygons[0].min(axis=0)[0] <= 90.1 and back.polygons[0].max(axis=0)[0] >= 139.9


@pytest.mark.parametrize("format", ["yolo", "yolo-obb", "labelstudio", "page-lines"])
def test_formats_that_need_sides_name_pictures_without(format, tmp_path):
    with pytest.raises(AnnotationError, match="needs the sides") as caught:
        WRITERS[format]([sample()], tmp_path / OUT[format])
    assert [p.loc for p in caught.value.problems] == ["test:a.jpg"]


def test_label_studio_names_pictures_by_path_or_address(tmp_path):
    one = [sample(id="s/a b.jpg", size=SIZE)]
    labelstudio.write(one, tmp_path / "path.json")
    labelstudio.write(one, tmp_path / "url.json", prefix="https://host/pictures/")
    assert '"ocr": "s/a b.jpg"' in (tmp_path / "path.json").read_text()
    assert '"ocr": "https://host/pictures/s/a%20b.jpg"' in (tmp_path / "url.json").read_text()
    lay(tmp_path, {"s/a b.jpg": b""})
    back = read(Source(annotations=tmp_path / "url.json", pictures=tmp_path, format="labelstudio"))
    assert back[0].id == "s/a b.jpg"
