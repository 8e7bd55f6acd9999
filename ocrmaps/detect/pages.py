"""Which pictures a file holds, and how one of them becomes what the network was trained on.

A TIFF of several pages and a PDF are several pictures: the first keeps the file's name, the others are
`name.tif#2`, `name.tif#3`. Pages of a PDF are drawn at `PDF_DPI`; that needs the extra `pdf`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from ocrmaps.canonical import CanonicalSpec, CanonicalTransform, needed_resolution, plan, render
from ocrmaps.errors import DataError, PictureError, reason
from ocrmaps.pagekit.pictures import Pixels
from ocrmaps.pictures import MAX_PIXELS, Header, Picture, count_pages, decode, read_header

PDF_DPI = 200
"""Pixels to the inch that PDF pages are drawn with; coordinates count these pixels."""
THIN = 16
"""A picture that shrinks to fewer canonical pixels than this across gets a note: no text survives that."""
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PDF = b"%PDF"
_ONE_AT_A_TIME = threading.Lock()
"""PDFium keeps global state and may only be called from one thread at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureFile:
    """A picture to predict, and what it is called in the results."""

    name: str
    path: Path
    page: int | None = None
    """Counted from 1; None means every page."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedPage:
    """A canonical picture ready for the network."""

    pixels: Pixels
    """(H, W, 3) uint8 RGB, on its canvas."""
    transform: CanonicalTransform
    note: str


def pages(pictures: Iterable[Path | PictureFile]) -> Iterator[PictureFile]:
    """Every page of every file, in order. A file that cannot be opened stays one page: decoding says what is wrong."""
    for given in pictures:
        file = given if isinstance(given, PictureFile) else PictureFile(name=given.name, path=given)
        if file.page is not None:
            yield replace(file, name=_page_name(file.name, file.page))
            continue
        try:
            number = _count(file)
        except DataError:
            number = 1
        for page in range(1, number + 1):
            yield PictureFile(name=_page_name(file.name, page), path=file.path, page=page)


def _page_name(name: str, page: int) -> str:
    return name if page == 1 else f"{name}#{page}"


def _count(file: PictureFile) -> int:
    kind = _beginning(file.path)
    if kind.startswith(_PDF):
        with _ONE_AT_A_TIME, _pdf(file.path, file.name) as document:
            return max(1, len(document))
    return count_pages(file.path, name=file.name) if kind in _TIFF else 1


def _beginning(path: Path) -> bytes:
    try:
        if not path.is_file():  # before opening: opening a pipe would wait for a writer
            return b""
        with path.open("rb") as file:
            return file.read(4)
    except OSError:
        return b""


def open_page(file: PictureFile, spec: CanonicalSpec | None = None, *, gray: bool = False) -> Picture:
    """The decoded picture of one page; `spec` may allow a reduced decode."""
    try:
        if _beginning(file.path).startswith(_PDF):
            return _drawn(file)
        wanted = None
        if spec is not None and spec.decode == "reduced":
            header = read_header(file.path, name=file.name)
            wanted = needed_resolution(plan(header.size, header.orientation, spec))
        return decode(file.path, name=file.name, at_least=wanted, page=(file.page or 1) - 1, gray=gray)
    except OSError as error:  # a folder on the way that may not be entered
        raise PictureError(f"{file.name}: cannot be opened ({error.strerror or error})") from error


def prepare(file: PictureFile, spec: CanonicalSpec) -> PreparedPage:
    """One page as the store of the training would hold it: the same decoder, plan and rendering."""
    picture = open_page(file, spec)
    transform = plan(picture.header.size, picture.header.orientation, spec)
    return PreparedPage(pixels=render(picture, transform, spec), transform=transform, note=_note(transform))


def _note(transform: CanonicalTransform) -> str:
    short, before = min(transform.resized), min(transform.upright_size)
    if short >= THIN or short >= before:
        return ""
    height, width = transform.upright_size
    return (
        f"{width}x{height} becomes {transform.resized[1]}x{transform.resized[0]} on this detector's canvas: "
        f"{short} px across hold no text; cut the picture into parts"
    )


def _pdf(path: Path, name: str):  # type: ignore[no-untyped-def]  # the library is optional
    if find_spec("pypdfium2") is None:
        raise PictureError(
            f"{name}: reading a PDF needs pypdfium2, which is not installed",
            hint='pip install "ocrmaps[pdf]", or convert the pages to PNG',
        )
    import pypdfium2

    try:
        return pypdfium2.PdfDocument(path)
    except (pypdfium2.PdfiumError, OSError) as error:
        raise PictureError(f"{name}: the PDF cannot be read ({reason(error)})") from error


def _drawn(file: PictureFile) -> Picture:
    page = file.page or 1
    with _ONE_AT_A_TIME, _pdf(file.path, file.name) as document:
        from pypdfium2 import PdfiumError

        try:
            sheet = document[page - 1]
            width, height = sheet.get_size()
            if width * height * (PDF_DPI / 72) ** 2 > MAX_PIXELS:
                raise PictureError(f"{file.name}: page {page} is {width / 72:.0f}x{height / 72:.0f} inches, too large")
            image = sheet.render(scale=PDF_DPI / 72).to_pil().convert("RGB")
        except (PdfiumError, IndexError, ValueError) as error:
            raise PictureError(f"{file.name}: page {page} of the PDF cannot be drawn ({error})") from error
    header = Header(size=(image.height, image.width), orientation=1, orientation_tag=None, format="PDF", mode="RGB")
    return Picture(image=image, header=header)
