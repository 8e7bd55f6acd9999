"""ICDAR txt: one file a picture, one outline a line: `x1,y1,...,xn,yn[,text]`; quads and any number of points.

The text may hold commas, may stand in double quotes (with \\" and \\\\), and `###` means ignore.
In RCTW every line has a difficulty between points and text, and 1 means ignore, too.
An unquoted text that begins with numbers can look like further points; `_coordinates` says how that is decided: by the
line itself, else by the other lines of the source, which is noted. What stays undecidable is refused with a hint.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from ocrmaps.annotations.discovery.pictures import is_picture
from ocrmaps.annotations.discovery.signs import Head
from ocrmaps.annotations.grammar.documents import Page, ParsePage, read_pages
from ocrmaps.annotations.grammar.lines import (
    NUMBER,
    crosses_itself,
    is_box_and_offsets,
    leading,
    numbered,
    numbers,
    quoted,
    tail,
    unquoted,
)
from ocrmaps.annotations.records import Reading, Sample, Source
from ocrmaps.annotations.writing import AnnotationDraft, WriteReport, write_bytes, write_folder, zipped
from ocrmaps.errors import AnnotationError, Problem

SUFFIXES = (".txt",)
PREFIXES = ("gt_", "res_")
"""What annotation files and what result files put in front of the picture's name."""
MARK = "###"
SCRIPTS = {"Arabic", "Bangla", "Chinese", "Hindi", "Japanese", "Korean", "Latin", "Symbols", "Mixed", "None"}
"""What multi-lingual editions (MLT) write between points and text; read as such where every line has one."""

_DECIMAL_COMMA = re.compile(r"-?[0-9]{1,6},[0-9]{1,2}\.?")
_UNWRITABLE = re.compile(r"\r\n|\n|\r|\0")
_THOUSANDS = re.compile(r"-?[0-9]{1,3}(,[0-9]{3}){1,3}(\.[0-9]*)?")
"""Up to 999 billions: nobody writes a longer number on a page, but outlines of three-digit points go on."""
_LONG_SHARE = 0.1
"""From this share of lines on, outlines of more than four points are what the source is made of."""


def recognize(head: Head) -> str:
    """Why this looks like ICDAR txt, or nothing."""
    if not head.per_picture or head.suffix not in SUFFIXES or not head.lines:
        return ""
    fields = [line.split(",") for line in head.lines]
    if any(leading(f) < 6 or leading(f) == 7 for f in fields) or any("####" in line for line in head.lines):
        return ""
    if all(is_box_and_offsets(f) for f in fields):  # CTW1500
        return ""
    return "text files, one a picture, with 8 or more comma-separated numbers in front of each line"


def read(source: Source) -> Reading:
    """The samples of a folder, a zip archive or one file of ICDAR txt, sorted by file name."""
    return read_pages(source, SUFFIXES, decide, prefixes=PREFIXES)


class _AmbiguousError(ValueError):
    """Numbers that can be points or the beginning of the text."""

    def __init__(self, written: str, points: int) -> None:
        super().__init__(
            f"found an ambiguous line: {written!r} can be points of the outline or the beginning of the text; "
            "expected the text in double quotes (or read with --format sroie if all outlines are quads, "
            "--format totaltext if numbers are always points)"
        )
        self.points = points
        """The numbers that are coordinates where the source has outlines of any length; 0 if that does not decide."""


def decide(texts: Sequence[str]) -> ParsePage:
    def lines() -> Iterator[list[str]]:  # again and again: all at once would take many times the texts
        return (line.split(",") for text in texts for _, line in numbered(text))

    has_text = any(leading(fields) < len(fields) or len(fields) % 2 for fields in lines())
    has_script = has_text and all(map(_has_script, lines()))
    has_difficulty = has_text and all(map(_has_difficulty, lines()))
    counts = Counter(_is_longer(fields, has_text=has_text) for fields in lines())
    any_length = counts[True] > 0 and counts[True] >= _LONG_SHARE * counts.total()
    return partial(
        _parse, has_text=has_text, has_script=has_script, has_difficulty=has_difficulty, any_length=any_length
    )


def _is_longer(fields: Sequence[str], *, has_text: bool) -> bool:
    """Whether the line alone shows that it is an outline of more than four points."""
    if len(fields) < 10:
        return False
    try:
        return _coordinates(fields, has_text=has_text) > 8
    except ValueError:
        return False


def _has_script(fields: Sequence[str]) -> bool:
    return len(fields) > 9 and fields[8].strip() in SCRIPTS


def _has_difficulty(fields: Sequence[str]) -> bool:
    return leading(fields[:9]) == 9 <= len(fields) - 1 and fields[8] in ("0", "1") and fields[9].startswith('"')


def _parse(text: str, name: str, *, has_text: bool, has_script: bool, has_difficulty: bool, any_length: bool) -> Page:
    page = Page()
    for number, line in numbered(text):
        fields = line.split(",")
        try:
            count = _coordinates(fields, has_text=has_text, any_length=any_length)
        except _AmbiguousError as error:
            count = error.points if any_length else 0
            if not count:
                page.fault(number, "ambiguous-line", str(error))
                continue
            page.note(number, "points-or-text", f"found {','.join(fields[8:])[:60]!r}, read as points and text")
        except ValueError as error:
            page.fault(number, "invalid-line", str(error))
            continue
        rest = tail(fields, count + (has_script or has_difficulty))
        content = None if rest is None else unquoted(rest)
        unreadable = content is not None and content.strip() == MARK
        ignored = unreadable or (has_difficulty and fields[8] == "1")
        page.add(number, numbers(fields[:count]), None if unreadable else content, ignore=ignored)
    if has_script and page.points:
        page.unused["script"] = len(page.points)
    return page


def _coordinates(fields: Sequence[str], *, has_text: bool, any_length: bool = False) -> int:
    """How many of the leading numbers are coordinates; ValueError if there are too few or two readings fit.

    8 or 9 leading numbers are a quad and its text. Beyond that they are a longer outline, unless
    * the numbers behind the eighth look like one written number (`1,200` or `12,50`), or
    * there are only two or three of them and, taken as points, they lie further from the quad than its own size:
    then they begin the text. If they both look like a number and lie near the quad, an outline that crosses itself
    with them begins the text (where the source has no longer outlines), and one that crosses itself without them goes
    on. Else the line is ambiguous, except that a line of numbers only has no text where no line has one, and has one
    where others do (and the source has no longer outlines).
    """
    lead = leading(fields)
    if lead == 6 and (lead < len(fields) or not has_text):
        return lead  # a triangle; without a text it would be a cut-off quad where other lines have texts
    if lead < 8:
        broken = f", then {fields[lead][:40]!r}" if lead < len(fields) else ""
        raise ValueError(f"found {lead} numbers{broken}; expected x1,y1,...,x4,y4 or more points, then the text")
    if lead < 10:
        return 8
    only_numbers = lead == len(fields)
    if only_numbers and not has_text:
        return lead
    longest = lead - lead % 2
    if not only_numbers and lead % 2 == 0 and fields[lead].lstrip().startswith(('"', MARK)):
        return longest  # a text that begins here begins with its quote
    if longest < 10:
        return 8
    extra = fields[8:lead]
    written = ",".join(field.strip() for field in extra)
    like_number = bool(_DECIMAL_COMMA.fullmatch(written) or _THOUSANDS.fullmatch(written))
    quad, points = numbers(fields[:8]), numbers(fields[8:longest])
    near = _near(quad, points)
    if near and not like_number:
        return longest
    if not near:
        return 8 if like_number or len(extra) < 4 else longest
    quad_crosses, longer_crosses = crosses_itself(quad), crosses_itself(quad + points)
    if quad_crosses and not longer_crosses:
        return longest
    text_more_likely = (longer_crosses and not quad_crosses) or (only_numbers and lead % 2 == 0)
    if text_more_likely and not any_length:
        return 8
    raise _AmbiguousError(written, 0 if text_more_likely else longest)


def _near(quad: list[float], points: list[float]) -> bool:
    """Whether all points lie in the quad's bounds, grown by their larger side."""
    x0, x1, y0, y1 = min(quad[::2]), max(quad[::2]), min(quad[1::2]), max(quad[1::2])
    grow = max(x1 - x0, y1 - y0)
    return all(x0 - grow <= x <= x1 + grow for x in points[::2]) and all(
        y0 - grow <= y <= y1 + grow for y in points[1::2]
    )


def write(samples: Sequence[Sample], out: Path, *, overwrite: bool = False) -> WriteReport:
    """`gt_<name>.txt` files, in a zip archive if `out` ends in .zip, else in a new folder.

    An ignored outline is `###`: its text is lost. Texts are quoted only where a reader could mistake them.
    """
    draft = AnnotationDraft(samples)
    files: dict[str, str] = {}
    owners: dict[str, str] = {}
    problems = []
    some_text = any(text is not None for sample in draft.samples for text in sample.polygons.texts)
    some_text = some_text or any(sample.polygons.ignore.any() for sample in draft.samples)
    for sample in draft.samples:
        path = PurePosixPath(sample.id)
        name = str(path.with_name(f"gt_{path.stem if is_picture(path.name) else path.name}.txt"))
        if name in files:
            message = f"found the file name of {owners[name]!r}, expected names that differ without ending"
            problems.append(Problem(loc=sample.id, message=message, kind="ambiguous-picture"))
        owners[name] = sample.id
        if sample.size is not None:
            draft.lose("picture sizes")
        files[name] = "".join(
            _line(draft, points, ignore, text, some_text=some_text) for points, ignore, text in draft.outlines(sample)
        )
    if problems:
        raise AnnotationError("these samples cannot be written as one txt file a picture", problems=problems)
    if out.suffix.lower() == ".zip":
        return write_bytes(draft, out, zipped(files, out), overwrite=overwrite)
    return write_folder(draft, out, files)


def _line(draft: AnnotationDraft, points: list[int | float], ignore: bool, text: str | None, *, some_text: bool) -> str:
    front = ",".join(map(repr, points))
    if ignore:
        if text is not None:
            draft.lose("texts of ignored outlines")
        return f"{front},{MARK}\n"
    if text is None and len(points) != 8 and some_text:
        draft.lose("unknown texts written as empty")  # numbers alone could be taken for a quad and a text
        text = ""
    if text is None:
        return f"{front}\n"
    if _UNWRITABLE.search(text):
        draft.lose("line breaks in texts written as blanks")
        text = _UNWRITABLE.sub(" ", text)
    if text.strip() == MARK:
        draft.lose(f"texts {MARK!r} that will read as ignored")
    first = text.split(",", 1)[0].strip()
    risky = text != text.strip() or text.startswith('"') or first in SCRIPTS or NUMBER.fullmatch(first)
    return f"{front},{quoted(text) if risky or len(points) != 8 else text}\n"
