"""YOLO txt (Ultralytics): one file a picture, one outline a line: a class number, then shares of the picture's sides.

4 shares are a box (center x, center y, width, height); 6, 8, ... are an outline, as segments and oriented boxes (OBB)
have it. A class called ignore, illegible, `###` and the like by `data.yaml`, `classes.txt` or `obj.names` beside the
files or up to two folders above means ignore; other classes are counted. The pictures' headers give their sides.
Keypoints look like outlines: a `data.yaml` with `kpt_shape` is refused.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from ocrmaps.annotations.discovery.pictures import is_picture
from ocrmaps.annotations.discovery.signs import Head
from ocrmaps.annotations.formats.labelme import IGNORE
from ocrmaps.annotations.gather import Gather, GatheredOutlines
from ocrmaps.annotations.grammar.contents import decode, read_bytes, refusal, shown
from ocrmaps.annotations.grammar.documents import documents, picture_of, text_of
from ocrmaps.annotations.grammar.lines import NUMBER, box, is_share_line, numbered
from ocrmaps.annotations.grammar.shares import is_whole, picture_size, pixels
from ocrmaps.annotations.records import Reading, Sample, Source
from ocrmaps.annotations.writing import AnnotationDraft, Writer, WriteReport, sizes_of, write_pages
from ocrmaps.files import leads_outside
from ocrmaps.geometry import Size

SUFFIXES = (".txt",)
CLASSES = "classes.txt"
_NAMES = ("data.yaml", "data.yml", "dataset.yaml", CLASSES, "obj.names")
_NO_PAGES = ("train.txt", "val.txt", "test.txt")
"""What tools call the lists of pictures that they put beside the files of pictures."""
_MOST_BYTES = 2**20
"""Of a file with the names of classes."""
_POSE = re.compile(r"^kpt_shape\s*:", re.MULTILINE)
_ITEM = re.compile(r"\s*(?:-|([0-9]+)\s*:)\s+(.*)")


def recognize(head: Head) -> str:
    """Why this looks like YOLO, or nothing."""
    if head.per_picture and head.suffix in SUFFIXES and head.lines and all(map(is_share_line, head.lines)):
        return "text files, one a picture, whose lines are a class number and shares of the picture's sides"
    return ""


def recognize_corners(head: Head) -> str:
    """Nothing: oriented boxes are lines that `yolo` recognizes and reads."""
    return ""


def read(source: Source) -> Reading:
    """The samples of a folder, a zip archive or one file, sorted by file name."""
    g = Gather(source)
    with g.attempt():
        where, names = _classes(source.annotations)
        pages: list[tuple[str, str]] = []
        for document in documents(g, SUFFIXES):
            with g.attempt():
                text = text_of(document)
                if os.path.basename(document.name) == CLASSES:
                    where, names = document.name, text.splitlines()
                elif os.path.basename(document.name) not in _NO_PAGES or not _is_list(g, document.name, text):
                    pages.append((document.name, text))
        for name, text in pages:
            with g.attempt():
                _page(g, text, name, where, names)
    return g.reading()


def _is_list(g: Gather, name: str, text: str) -> bool:
    """Whether this is a list of pictures; an empty file is one unless it belongs to a picture."""
    lines = [line.strip() for _, line in numbered(text)]
    return all(map(is_picture, lines)) if lines else not g.pictures.with_stem(os.path.splitext(name)[0])


def _page(g: Gather, text: str, name: str, where: str, names: Sequence[str]) -> None:
    since = len(g.problems)
    found = GatheredOutlines()
    id = picture_of(g, name)
    size = picture_size(g, id, name)
    for number, line in numbered(text):
        loc = f"{name}:{number}"
        first, *shares = line.split() or [line]  # a form feed is a line
        wrong = next((field for field in (first, *shares) if not NUMBER.fullmatch(field)), None)
        if wrong is not None:
            g.problem(loc, f"found {shown(wrong)}, expected a class number and shares of the sides", "invalid-line")
            continue
        values = [float(share) for share in shares]
        far = next((value for value in values if not -1 <= value <= 2), None)
        if len(values) < 4 or len(values) % 2:
            more = "; one number more is the score of a prediction" if len(values) > 4 else ""
            message = f"found {len(values)} numbers behind the class, expected 4, or an even number from 6 on{more}"
            g.problem(loc, message, "invalid-line")
        elif far is not None:
            g.problem(loc, f"found {far:g}, expected a share of the picture's side, 0 to 1", "invalid-line")
        elif names and not (float(first).is_integer() and 0 <= float(first) < len(names)):
            g.problem(loc, f"found class {shown(first)}, expected one of the {len(names)} of {where}", "invalid-line")
        elif size is not None:
            label = names[int(float(first))].strip().lower() if names else ""
            g.unused["class"] += label not in IGNORE
            found.add(loc, _outline(values, size), ignore=label in IGNORE)
    g.page(id, name, found, size=size, since=since)


def _outline(values: list[float], size: Size) -> list[float]:
    height, width = size
    if len(values) > 4:
        return [pixels(v, height if i % 2 else width) for i, v in enumerate(values)]
    x, y, w, h = values
    return box(pixels(x - w / 2, width), pixels(y - h / 2, height), pixels(x + w / 2, width), pixels(y + h / 2, height))


def _classes(annotations: Path) -> tuple[str, list[str]]:
    """(file, names of the classes) of the nearest file that lists them; nothing where there is none."""
    home = annotations if annotations.is_dir() else annotations.parent
    for folder in (home, *list(home.resolve().parents)[:2]):
        for name in _NAMES:
            path = folder / name
            if path.is_file() and not leads_outside(path, folder):
                data = read_bytes(path, name)
                if len(data) > _MOST_BYTES:
                    raise refusal(
                        name, f"found {len(data)} bytes of names, expected at most {_MOST_BYTES}", "too-large"
                    )
                text = decode(data, name)
                if name.endswith(("yaml", "yml")) and (pose := _POSE.search(text)):
                    message = "found kpt_shape: lines of a box and keypoints, expected boxes or outlines"
                    line = text.count("\n", 0, pose.start()) + 1
                    raise refusal(f"{name}:{line}", f"{message}; write the corners alone, as oriented boxes", "invalid")
                names = list(_yaml_names(text)) if name.endswith(("yaml", "yml")) else text.splitlines()
                if names:
                    return name, names
    return "", []


def _yaml_names(text: str) -> Iterator[str]:
    """The `names` of a data.yaml: a list or numbered lines, in one line or below each other."""
    lines = iter(text.splitlines())
    for line in lines:
        match = re.fullmatch(r"names\s*:(.*)", line)
        if match:
            inline = match[1].split(" #")[0].strip()
            if inline:
                for item in inline.strip("[]{}").split(","):
                    yield _bare(re.sub(r"^\s*[0-9]+\s*:", "", item))
                return
            for below in lines:
                if item_match := _ITEM.fullmatch(below):
                    yield _bare(item_match[2])
                elif below.strip() and not below.lstrip().startswith("#"):
                    return


def _bare(text: str) -> str:
    text = text.split(" #")[0].strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def write(samples: Sequence[Sample], out: Path, *, overwrite: bool = False, corners: bool = False) -> WriteReport:
    """One txt a picture with every outline as a segment, and `classes.txt`, in a new folder or a zip archive.

    Ignored outlines are of the class `ignore`. Points come back exactly to a millionth of a pixel; texts are lost.
    `corners`: as oriented boxes (OBB): an outline of other than four points becomes its smallest rectangle.
    """
    draft = AnnotationDraft(samples)
    sizes = sizes_of(draft, "YOLO")

    def content(sample: Sample) -> str:
        height, width = sizes[sample.id]
        lines = []
        for points, ignore, text in draft.outlines(sample):
            outline: Sequence[float] = points
            if text is not None:
                draft.lose("texts")
            if corners and len(points) != 8:
                draft.lose("outlines of other than 4 points written as their smallest rectangle")
                outline = _smallest_rectangle(points)
            elif not is_whole(points):
                draft.lose("outlines rounded to a millionth of a pixel")
            shares = [v / (height if i % 2 else width) for i, v in enumerate(outline)]
            if not all(-1 <= share <= 2 for share in shares):
                draft.lose("outlines further outside than the picture is large left out")
                draft.polygons -= 1
                continue
            if not all(0 <= share <= 1 for share in shares):
                draft.lose("points outside of the picture, which Ultralytics refuses")
            lines.append(" ".join([str(int(ignore)), *map(repr, shares)]) + "\n")
        return "".join(lines)

    return write_pages(draft, out, ".txt", content, beside={CLASSES: "text\nignore\n"}, overwrite=overwrite)


write_corners: Writer = partial(write, corners=True)


def _smallest_rectangle(points: Sequence[float]) -> list[float]:
    import shapely  # slow to import, and no reader needs it

    found = shapely.oriented_envelope(shapely.MultiPoint(list(zip(points[::2], points[1::2], strict=True))))
    if found.geom_type != "Polygon":  # an outline without area
        return box(*found.bounds)
    return [float(v) for x, y in found.exterior.coords[:4] for v in (x, y)]
