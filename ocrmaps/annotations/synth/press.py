"""Prints the rows of an invented receipt: an ink picture, and an outline that hugs the ink of every line or word.

All coordinates here are paper pixels; nothing is rotated or bent yet, except titles that are set on an arc.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ocrmaps.annotations.synth.marks import MARK_HEIGHT, MARKS, Box, Ink, smudge
from ocrmaps.annotations.synth.text import Mark, Piece, Row, plain
from ocrmaps.errors import SpecError
from ocrmaps.geometry import FloatArray

POINTS = 17
"""Points on the upper and on the lower edge of every outline: 16 pieces, to be thinned to 8, 4, 2 or 1."""
MARGIN = 8
"""Blank pixels around the text block, so that the letters that overhang it are not cut."""


class Typeface(NamedTuple):
    """A regular and a bold font file; none stands for the one that Pillow carries."""

    regular: str = ""
    bold: str = ""
    accents: bool = True


TYPEFACES: dict[str, Typeface] = {
    "mono": Typeface("DejaVuSansMono.ttf", "DejaVuSansMono-Bold.ttf"),
    "typewriter": Typeface("cmtt10.ttf", "cmtt10.ttf", accents=False),
    "sans": Typeface("DejaVuSans.ttf", "DejaVuSans-Bold.ttf"),
    "serif": Typeface("STIXGeneral.ttf", "STIXGeneralBol.ttf"),
    "slab": Typeface("DejaVuSerif.ttf", "DejaVuSerif-Bold.ttf"),
    "aileron": Typeface(accents=False),
}
_SHARES = (0.34, 0.14, 0.14, 0.12, 0.1, 0.16)
"""How often each typeface is used: most tills print letters of one width."""
_VISIBLE = [0] * 64 + [255] * 192
"""Ink that counts for an outline: at least a quarter."""
_PITCH = (1.65, 2.1)
"""Distance of baselines in capital heights; below the first, accents touch the tails of the row above."""


class Printed(NamedTuple):
    """A printed paper."""

    ink: Ink
    outlines: FloatArray
    """(k, 2, POINTS, 2): x, y along the upper and the lower edge of each line or word, both from left to right."""
    texts: tuple[str | None, ...]
    """None where the text was made illegible."""


@lru_cache(maxsize=1)
def _font_folder() -> Path:
    """Where matplotlib keeps its fonts; found without importing it."""
    found = find_spec("matplotlib")
    folder = Path(found.origin or "").parent / "mpl-data" / "fonts" / "ttf" if found else None
    if folder is None or not (folder / TYPEFACES["mono"].regular).is_file():
        raise SpecError("found no fonts to print receipts with", hint="install matplotlib, which brings them")
    return folder


@lru_cache(maxsize=512)
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    """Basic layout always: the other engine is only there on some machines, and places letters differently."""
    if name:
        return ImageFont.truetype(str(_font_folder() / name), size, layout_engine=ImageFont.Layout.BASIC)
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise SpecError("found a Pillow without FreeType: it has no scalable font", hint="install Pillow's wheel")
    return font


@lru_cache(maxsize=64)
def _capital(name: str) -> float:
    """Height of a capital letter, in units of the font size."""
    _, top, _, bottom = _font(name, 200).getbbox("H", anchor="ls")
    return (bottom - top) / 200


def print_rows(
    rows: Sequence[Row],
    rng: np.random.Generator,
    *,
    room: tuple[int, int],
    capitals: tuple[float, float],
    words: bool,
    illegible: float,
    arched: bool,
) -> Printed:
    """Print as many of the rows as fit a text block of `room` (height, width) with capitals of these heights.

    `illegible` is the share of lines that get smudged: each is one outline without a text, even when all others are
    outlined word by word. `arched` sets the first text on an arc.
    """
    height, width = room
    face = TYPEFACES[str(rng.choice(tuple(TYPEFACES), p=_SHARES))]
    pitch = float(rng.uniform(*_PITCH))
    arch = 0.1 * width if arched else 0.0
    rows = _that_fit(rows, (height - arch) / (pitch * capitals[0]))
    # As large as the rows leave room for, and always two dozen letters a line.
    units = sum(_units(row) for row in rows)
    most = min((height - arch) / (pitch * max(units, 1.0)), width / 20, (capitals[0] + capitals[1]) / 2)
    capital = max(capitals[0], float(most * rng.uniform(0.85, 1.0)))

    canvas = Image.new("L", (width + 2 * MARGIN, height + 2 * MARGIN), 0)
    pen = _Pen(canvas, face, width)
    marks: list[tuple[Mark, Box]] = []
    y = float(MARGIN)
    for row in rows:
        size = min(row.size, capitals[1] / capital)
        step = pitch * capital * (MARK_HEIGHT[row.mark] if row.mark else size)
        if row.mark:
            marks.append((row.mark, (MARGIN, round(y + 0.15 * step), MARGIN + width, round(y + 0.85 * step))))
        else:
            on_arc = arch if arch and not pen.lines else 0.0
            pen.row(row, capital * size, baseline=round(y + on_arc + 0.72 * step), arch=on_arc)
            step += on_arc
        y += step
    end = min(canvas.height, round(y) + MARGIN)
    ink = np.array(canvas)[:end]
    for mark, box in marks:
        MARKS[mark](ink, rng, box)
    return _outlined(ink, pen.tight_lines(), rng, words=words, illegible=illegible, spare=round(0.15 * capital))


def _units(row: Row) -> float:
    """Height in rows of body text."""
    return MARK_HEIGHT[row.mark] if row.mark else row.size


def _that_fit(rows: Sequence[Row], units: float) -> Sequence[Row]:
    """The first rows, as many as fit; where that would leave no text at all, the first text alone."""
    count = int(np.searchsorted(np.cumsum([_units(row) for row in rows]), units, side="right"))
    texts = [row for row in rows if row.pieces]
    return texts[:1] if texts and not any(row.pieces for row in rows[:count]) else rows[:count]


class _Arc(NamedTuple):
    """Bends a straight baseline into an arc of a circle, open downwards: lengths along the baseline stay."""

    middle: float
    baseline: float
    """y of the straight baseline, which the ends of the arc about reach."""
    rise: float
    radius: float

    @classmethod
    def over(cls, x0: float, x1: float, baseline: float, rise: float) -> _Arc:
        """For text from x0 to x1; its ends are turned by no more than 50 degrees."""
        angle = min(0.87, 4 * rise / (x1 - x0))
        return cls((x0 + x1) / 2, baseline, rise, (x1 - x0) / 2 / angle)

    def bend(self, points: FloatArray) -> FloatArray:
        """(..., 2) points of the straight text where they are on the arc."""
        turn = (points[..., 0] - self.middle) / self.radius
        reach = self.radius + self.baseline - points[..., 1]
        x = self.middle + reach * np.sin(turn)
        y = self.baseline - self.rise + self.radius - reach * np.cos(turn)
        return np.stack([x, y], axis=-1)

    def bent(self, ink: Ink, rows: slice) -> Ink:
        """These rows of the picture that has on the arc what `ink` has straight."""
        x = np.arange(ink.shape[1]) + 0.5 - self.middle
        y = self.baseline - self.rise + self.radius - (np.arange(rows.start, rows.stop) + 0.5)[:, None]
        across = self.middle + self.radius * np.arctan2(x, y) - 0.5
        down = self.baseline + self.radius - np.hypot(x, y) - 0.5
        return np.asarray(cv2.remap(ink, across.astype(np.float32), down.astype(np.float32), cv2.INTER_LINEAR))


class _Line(NamedTuple):
    """One printed piece: words with the boxes of their ink before any arc."""

    words: list[str]
    boxes: list[Box]
    arc: _Arc | None

    def edges(self, box: Box) -> FloatArray:
        """(2, POINTS, 2): upper and lower edge of a box of this line on the paper."""
        x0, y0, x1, y1 = box
        across = np.linspace(x0, x1, POINTS)
        straight = np.stack([np.stack([across, np.full(POINTS, y)], axis=-1) for y in (float(y0), float(y1))])
        return self.arc.bend(straight) if self.arc else straight

    def tight(self, visible: Image.Image) -> _Line:
        """The same with tighter boxes: a font's own box begins where the pen is set down, ends at a faint serif."""
        boxes = []
        for box in self.boxes:
            x0, y0, x1, y1 = visible.crop(box).getbbox() or (0, 0, box[2] - box[0], box[3] - box[1])
            boxes.append((box[0] + x0, box[1] + y0, box[0] + x1, box[1] + y1))
        return self._replace(boxes=boxes)

    def whole(self) -> Box:
        """The box of all its words."""
        x0, y0, x1, y1 = zip(*self.boxes, strict=True)
        return min(x0), min(y0), max(x1), max(y1)


class _Pen:
    """Draws text rows on one canvas and remembers where each word went."""

    def __init__(self, canvas: Image.Image, face: Typeface, width: int) -> None:
        self.canvas = canvas
        self.draw = ImageDraw.Draw(canvas)
        self.face = face
        self.width = width
        self.lines: list[_Line] = []

    def row(self, row: Row, capital: float, *, baseline: int, arch: float) -> None:
        name = self.face.bold if row.bold else self.face.regular
        font = _font(name, max(4, round(capital / _capital(name))))
        limit = float(self.width)
        placed: list[list[tuple[str, float]]] = []
        # From the right, because prices must be whole and names may be shortened.
        for piece in reversed(row.pieces):
            words = self._fitted(piece, font, limit, alone=len(row.pieces) == 1, first=piece is row.pieces[0])
            if words:
                placed.append(words)
                limit = words[0][1] - 1.5 * capital
        for words in reversed(placed):
            self._line(words, font, baseline, arch)

    def _fitted(
        self, piece: Piece, font: ImageFont.FreeTypeFont, limit: float, *, alone: bool, first: bool
    ) -> list[tuple[str, float]]:
        """The words that end before `limit`, each with where it starts.

        The first piece of a row may lose words, and letters if it is alone; others are whole or left out.
        """
        words = (piece.text if self.face.accents else plain(piece.text)).split()
        space = font.getlength(" ")
        ends = list(accumulate(font.getlength(word) + space for word in words))
        while words:
            length = ends[-1] - space
            x = piece.at * (self.width - length)
            if length <= self.width and x + length <= limit:
                return list(zip(words, (x + start for start in (0.0, *ends)), strict=False))
            if not first:
                break
            last = words.pop()
            ends.pop()
            if alone and not words and len(last) > 1:
                words = [last[:-1]]
                ends = [font.getlength(last[:-1]) + space]
        return []

    def _line(self, words: list[tuple[str, float]], font: ImageFont.FreeTypeFont, baseline: int, arch: float) -> None:
        boxes: list[Box] = []
        canvas = Image.new("L", self.canvas.size, 0) if arch else self.canvas
        draw = ImageDraw.Draw(canvas) if arch else self.draw
        for word, start in words:
            left = MARGIN + round(start)
            draw.text((left, baseline), word, fill=255, font=font, anchor="ls")
            x0, y0, x1, y1 = (int(v) for v in font.getbbox(word, anchor="ls"))
            boxes.append((left + x0, baseline + y0, left + x1, baseline + y1))
        line = _Line([word for word, _ in words], boxes, None)
        if arch:
            line = line.tight(canvas.point(_VISIBLE))
            x0, _, x1, _ = line.whole()
            line = line._replace(arc=_Arc.over(x0, x1, baseline, arch))
        if line.arc:
            reach = line.edges(line.whole())[..., 1]
            rows = slice(max(0, int(reach.min()) - 1), min(canvas.height, int(reach.max()) + 2))
            self.canvas.paste(255, (0, rows.start), Image.fromarray(line.arc.bent(np.asarray(canvas), rows)))
        self.lines.append(line)

    def tight_lines(self) -> list[_Line]:
        """All lines with boxes that end where the visible ink does."""
        visible = self.canvas.point(_VISIBLE)
        return [line if line.arc else line.tight(visible) for line in self.lines]


def _outlined(
    ink: Ink, lines: Sequence[_Line], rng: np.random.Generator, *, words: bool, illegible: float, spare: int
) -> Printed:
    edges: list[FloatArray] = []
    texts: list[str | None] = []
    for line, hit in zip(lines, rng.random(len(lines)) < illegible, strict=True):
        box = line.whole()
        if hit and line.arc is None:
            edges.append(line.edges(smudge(ink, box, rng, spare)))
            texts.append(None)
        elif words:
            edges += [line.edges(box) for box in line.boxes]
            texts += line.words
        else:
            edges.append(line.edges(box))
            texts.append(" ".join(line.words))
    return Printed(ink, np.array(edges).reshape(-1, 2, POINTS, 2), tuple(texts))
