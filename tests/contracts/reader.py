"""What every annotation reader promises; a format's test file subclasses `ReaderContract` and gives one small example.

The example always describes the picture `a.jpg` with at least one outline.
"""

from __future__ import annotations

import io
import json
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from ocrmaps.annotations import READERS, Source, open_source, read, scan
from ocrmaps.annotations.discovery.pictures import clean_name
from ocrmaps.errors import AnnotationError, OcrmapsError
from tests.contracts.mutations import mutated

MUTATIONS = 170
"""Damaged files for each format; `test_fuzz_budget` holds the total at 2000 or more."""

ESCAPES = ("../a.jpg", "x/../../a.jpg", "/etc/a.jpg", "C:\\pictures\\a.jpg", "..\\a.jpg", "\\\\host\\share\\a.jpg")


def lay(root: Path, files: dict[str, str | bytes]) -> Path:
    """Write files below a folder."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # quicker than to cut off what an earlier example left
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def source_of(path: Path, format: str, *, pictures: Path | None = None, split: str = "") -> Source:
    """A source without any detection."""
    folder = path if path.is_dir() else path.parent
    return Source(annotations=path, pictures=pictures or folder, format=format, split=split)


def scanned(tmp_path: Path, format: str, content: str | bytes, name: str):
    """Scan one annotation file of this content."""
    return scan(source_of(lay(tmp_path, {name: content}) / name, format))


def kinds(reading) -> list[str]:
    return [problem.kind for problem in reading.problems]


def blank(width: int, height: int) -> bytes:
    """A picture of these sides."""
    stream = io.BytesIO()
    Image.new("L", (width, height)).save(stream, "PNG")
    return stream.getvalue()


class ReaderContract:
    """Subclass as `TestContract`, with these four values."""

    format: ClassVar[str]
    file: ClassVar[str]
    """Name of the annotation file; of a picture called `a` where the format has one file a picture."""
    example: ClassVar[Any]
    """Text, or bytes where the format is not text; `points` and `broken` describe it."""
    points: ClassVar[tuple[list[list[float]], ...]]
    """The outlines of `a.jpg` in the example."""
    broken: ClassVar[tuple[Any, Any, str]]
    """(found in the example, replaced by, place of the problem that follows)"""
    per_picture: ClassVar[bool] = False
    """Whether the picture is named by the name of the file."""
    detected_as: ClassVar[str] = ""
    """Where detection rightly prefers another format that reads the same."""
    inside: ClassVar[bool] = False
    """Whether the picture lies in the annotation file."""
    picture: ClassVar[bytes] = b""
    """Content of `a.jpg` for a format whose coordinates are shares of its sides."""

    def scanned(self, tmp_path, content):
        """Scan the annotation file with this content, beside the picture where its size is needed."""
        if self.picture:
            lay(tmp_path, {"a.jpg": self.picture})
        return scanned(tmp_path, self.format, content, self.file)

    def test_reads_its_example(self, tmp_path):
        lay(tmp_path, {"a.jpg": self.picture})
        (sample,) = read(source_of(lay(tmp_path, {self.file: self.example}) / self.file, self.format))
        assert self.inside or sample.id == "a.jpg"
        assert [p.tolist() for p in sample.polygons] == list(self.points)

    def test_is_recognized(self, tmp_path):
        lay(tmp_path, {self.file: self.example, "a.jpg": self.picture})
        source = open_source(tmp_path)
        assert (source.format, source.pictures) == (self.detected_as or self.format, tmp_path)

    def test_reads_a_byte_order_mark_and_crlf(self, tmp_path):
        if isinstance(self.example, bytes):
            pytest.skip("no text")
        data = b"\xef\xbb\xbf" + self.example.replace("\n", "\r\n").encode()
        reading = self.scanned(tmp_path, data)
        assert reading.problems == ()
        assert [p.tolist() for p in reading.samples[0].polygons] == list(self.points)

    @pytest.mark.parametrize("name", ESCAPES)
    def test_refuses_names_outside_the_picture_folder(self, tmp_path, name):
        if isinstance(self.example, bytes) and not self.per_picture:
            pytest.skip("its own tests do: a name of another length breaks the file")
        if self.per_picture:
            path = tmp_path / "all.zip"
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr(name.removesuffix(".jpg") + Path(self.file).suffix, self.example)
        else:
            escaped = json.dumps(name)[1:-1] if self.example.lstrip().startswith(("{", "[")) else name
            path = lay(tmp_path, {self.file: self.example.replace("a.jpg", escaped)}) / self.file
        reading = scan(source_of(path, self.format))
        assert "unsafe-path" in kinds(reading)
        assert reading.samples == ()

    def test_names_the_place_of_a_fault(self, tmp_path):
        found, replaced, place = self.broken
        assert found in self.example
        lay(tmp_path, {"a.jpg": self.picture} if self.picture else {})
        path = lay(tmp_path, {self.file: self.example.replace(found, replaced, 1)}) / self.file
        with pytest.raises(AnnotationError) as caught:
            read(source_of(path, self.format))
        assert [problem.loc for problem in caught.value.problems] == [place]
        assert caught.value.problems[0].message.startswith("found ")

    def test_leaves_out_a_picture_with_a_fault(self, tmp_path):
        found, replaced, _ = self.broken
        assert self.scanned(tmp_path, self.example.replace(found, replaced, 1)).samples == ()

    @pytest.mark.parametrize("content", [b"\xff\xfea\0", b"\0\0\0", b"\x80abc", b"[" * 200_000, b'{"a":' * 100_000])
    def test_names_files_that_hold_something_else(self, tmp_path, content):
        reading = self.scanned(tmp_path, content)
        assert reading.samples == ()
        assert reading.problems

    def test_names_a_missing_file(self, tmp_path):
        reading = scan(source_of(tmp_path / f"none{Path(self.file).suffix}", self.format, pictures=tmp_path))
        assert kinds(reading) == ["missing-file"]

    def test_names_a_folder_without_annotations(self, tmp_path):
        (tmp_path / "empty").mkdir()
        reading = scan(source_of(tmp_path / "empty", self.format))
        assert kinds(reading) in (["missing-file"], ["unreadable-file"])

    def test_the_source_is_not_changed(self, tmp_path):
        path = lay(tmp_path, {self.file: self.example}) / self.file
        before = (path.read_bytes(), path.stat().st_mtime_ns)
        scan(source_of(path, self.format))
        assert (path.read_bytes(), path.stat().st_mtime_ns) == before
        assert [p.name for p in tmp_path.iterdir()] == [self.file]

    def test_is_registered_by_its_name(self):
        assert self.format in READERS

    def test_every_cut_is_read_or_a_named_error(self, tmp_path):
        data = self.example if isinstance(self.example, bytes) else self.example.encode()
        for length in range(0, len(data), max(1, len(data) // 60)):
            with suppress(OcrmapsError):
                read(source_of(lay(tmp_path, {self.file: data[:length]}) / self.file, self.format))

    @settings(
        max_examples=MUTATIONS,
        suppress_health_check=[
            HealthCheck.too_slow,
            HealthCheck.function_scoped_fixture,
            HealthCheck.differing_executors,
        ],
    )
    @given(data=st.data())
    def test_damaged_files_are_read_or_named_never_a_traceback(self, tmp_path, data):
        lay(tmp_path, {"a.jpg": self.picture} if self.picture else {})
        path = lay(tmp_path, {self.file: data.draw(mutated(self.example))}) / self.file
        reading = scan(source_of(path, self.format))
        assert len({sample.id for sample in reading.samples}) == len(reading.samples)
        for sample in reading.samples:
            assert sample.id == clean_name(sample.id)
            assert (np.abs(sample.polygons.points) <= 1e7).all()
            assert (sample.polygons.counts() >= 3).all()
        for problem in (*reading.problems, *reading.notes):
            assert problem.loc.startswith(self.file)
            assert problem.kind
            assert len(str(problem)) < 1000
        if reading.problems:
            with pytest.raises(AnnotationError):
                read(source_of(path, self.format))
        with suppress(OcrmapsError):
            open_source(path)
