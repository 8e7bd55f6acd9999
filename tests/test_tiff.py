"""Pages of a TIFF are pictures of their own: `scan.tif#2`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from ocrmaps.annotations import find_pictures, read
from ocrmaps.annotations.checks.survey import look
from ocrmaps.errors import PictureError
from ocrmaps.pictures import count_pages as count_all
from ocrmaps.pictures import decode, read_header
from ocrmaps.tiff import MAX_PAGES, count_pages, read_picture
from tests.contracts.reader import lay, scanned, source_of

COLORS = [(250, 0, 0), (0, 250, 0), (0, 0, 250)]


def save(path: Path, pages: int = 3, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *more = [Image.new("RGB", (60 + 10 * i, 40 + i), COLORS[i]) for i in range(pages)]
    first.save(path, save_all=True, append_images=more, **options)
    return path


@pytest.mark.parametrize("options", [{}, {"compression": "tiff_lzw"}, {"big_tiff": True}], ids=str)
def test_every_page_is_decoded_as_itself(tmp_path, options):
    file = save(tmp_path / "scan.tif", **options)
    pages = [file, *(Path(f"{file}#{page}") for page in (2, 3))]
    assert [read_header(page).size for page in pages] == [(40, 60), (41, 70), (42, 80)]
    assert [tuple(decode(page).pixels[5, 5]) for page in pages] == COLORS
    assert count_pages(file) == 3
    assert len({read_picture(page) for page in pages}) == 3, "no two pages have the same bytes, or the same fingerprint"
    assert read_picture(file) == file.read_bytes()


def test_a_page_that_is_not_there_is_named(tmp_path):
    file = save(tmp_path / "scan.tif")
    with pytest.raises(PictureError, match="it has 3 pages, no page 4"):
        decode(Path(f"{file}#4"))
    assert "no page 4" in look(Path(f"{file}#4")).error
    with pytest.raises(PictureError, match="no such picture file"):
        decode(tmp_path / "other.tif#2")
    with pytest.raises(PictureError, match="no such picture file"):
        decode(tmp_path / "scan.jpg#2")


def test_a_file_of_that_very_name_goes_first(tmp_path):
    save(tmp_path / "scan.tif")
    Image.new("RGB", (9, 9)).save(tmp_path / "scan.tif#2", "PNG")
    assert read_header(tmp_path / "scan.tif#2").size == (9, 9)


def test_a_chain_of_pages_that_bites_its_tail_ends(tmp_path):
    data = bytearray(save(tmp_path / "scan.tif", pages=1).read_bytes())
    at = int.from_bytes(data[4:8], "little")
    after = at + 2 + 12 * int.from_bytes(data[at : at + 2], "little")
    data[after : after + 4] = data[4:8]
    (tmp_path / "loop.tif").write_bytes(data)
    assert count_pages(tmp_path / "loop.tif") == 1


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(at=st.integers(0, 500), byte=st.integers(0, 255), length=st.integers(0, 600))
def test_damaged_files_have_some_number_of_pages(tmp_path, at, byte, length):
    data = bytearray(save(tmp_path / "a.tif", pages=2).read_bytes()[:length])
    if at < len(data):
        data[at] = byte
    (tmp_path / "b.tif").write_bytes(data)
    assert count_pages(tmp_path / "b.tif") <= len(data)


WORDS = '[{"transcription": "a", "points": [[1, 1], [9, 1], [9, 9], [1, 9]]}]'


def test_annotated_pages_are_found_and_the_others_are_said(tmp_path):
    save(tmp_path / "scan.tif")
    reading = scanned(tmp_path, "paddle", f"scan.tif\t{WORDS}\nscan.tif#2\t{WORDS}\nscan.tif#4\t{WORDS}\n", "Label.txt")
    pictures = find_pictures(source_of(tmp_path / "Label.txt", "paddle"), reading.samples)
    assert (pictures.found, pictures.missing) == (2, ("scan.tif#4",))
    assert pictures.orphans == ("scan.tif#3",)


def test_per_picture_files_name_pages_too(tmp_path):
    save(tmp_path / "img" / "scan.tif")
    lay(tmp_path, {"gt/gt_scan.tif#2.txt": "1,1,9,1,9,9,1,9,a\n"})
    source = source_of(tmp_path / "gt", "icdar", pictures=tmp_path / "img")
    assert find_pictures(source, read(source)).missing == ()


def test_a_link_out_of_the_folder_is_no_way_to_its_pages(tmp_path):
    save(tmp_path / "outside" / "scan.tif")
    os.makedirs(tmp_path / "in")
    os.symlink(tmp_path / "outside" / "scan.tif", tmp_path / "in" / "scan.tif")
    reading = scanned(tmp_path / "in", "paddle", f"scan.tif#2\t{WORDS}\n", "Label.txt")
    assert [p.kind for p in reading.problems] == ["unsafe-path"]


def test_a_chain_of_endless_empty_pages_is_followed_no_further_than_any_scan_goes(tmp_path):
    """Each directory has no entry and names the next one: six bytes a page."""
    pages = 300_000
    chain = b"".join(b"\0\0" + (8 + 6 * (i + 1)).to_bytes(4, "little") for i in range(pages))
    (tmp_path / "chain.tif").write_bytes(b"II*\0" + (8).to_bytes(4, "little") + chain)
    assert count_pages(tmp_path / "chain.tif") == MAX_PAGES
    with pytest.raises(PictureError, match=f"it has {MAX_PAGES} pages, no page 200000"):
        decode(Path(f"{tmp_path / 'chain.tif'}#200000"))
    one = save(tmp_path / "one.tif", pages=1).read_bytes()
    at = int.from_bytes(one[4:8], "little")
    at += 2 + 12 * int.from_bytes(one[at : at + 2], "little")
    (tmp_path / "long.tif").write_bytes(
        one[:at] + len(one).to_bytes(4, "little") + one[at + 4 :]
        + b"".join(b"\0\0" + (len(one) + 6 * (i + 1)).to_bytes(4, "little") for i in range(pages))
    )  # fmt: skip
    with pytest.raises(PictureError, match="65535 pages or more"):
        count_all(tmp_path / "long.tif")
