"""The figures of the explanations as SVG, drawn by the code that they explain: no shape in them is drawn by hand.

Each figure is a function without arguments that gives the same text everywhere. `python -m ocrmaps.cli.reference`
writes them into docs/figures, and a test compares them, so a figure cannot show what the code no longer does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import numpy.typing as npt

from ocrmaps.canonical import CanonicalSpec, plan
from ocrmaps.extract import ExtractSpec, extract
from ocrmaps.geometry import Frame, PolygonSet
from ocrmaps.maps import MapSpec, draw_maps
from ocrmaps.metrics.matching import pair_geometry

INK, PALE, BLUE, ORANGE, GREEN = "#1b1f24", "#8c959f", "#0969da", "#bc4c00", "#1a7f37"
Array = npt.NDArray[Any]


def four_maps() -> str:
    """The four maps of one slanted word beside an ignored one, pixel by pixel."""
    cell, size = 7, (26, 48)
    texts: list[Any] = [[(5, 6), (36, 9), (35.2, 17.5), (4.2, 14.5)], [(38, 14), (46, 14), (46, 23), (38, 23)]]
    polygons = PolygonSet.of(texts, frame="canonical", ignore=[False, True])
    maps = draw_maps(polygons, MapSpec(), size)
    panels = (
        ("probability: 1 in the kernel", maps.probability * 255),
        ("threshold: 1 on the border, 0 from D away", maps.quantized),
        ("probability mask: where the probability counts", maps.probability_mask * 255),
        ("threshold mask: where the threshold counts", maps.threshold_mask * 255),
    )
    width, height = size[1] * cell, size[0] * cell
    parts = []
    for number, (title, values) in enumerate(panels):
        x, y = 12 + number % 2 * (width + 18), 26 + number // 2 * (height + 36)
        body = [_pixels(values, cell), *(_outline([p * cell for p in polygons], ORANGE, 1.5))]
        parts += [_text(title, x, y - 7), f'<g transform="translate({x} {y})">', *body, "</g>"]
    return _svg(2 * width + 42, 2 * height + 74, parts, "Four maps of one word and one ignored word")


def growing_back() -> str:
    """Three texts of one height, their kernels at r = 0.4, and what both growths make of the same kernels."""
    height, parts, y = 40, [], 52
    for aspect in (1.5, 4, 12):
        width = round(height * aspect)
        size = (height + 12, width + 12)
        text = PolygonSet.of([[(6, 6), (6 + width, 6), (6 + width, 6 + height), (6, 6 + height)]], frame="canonical")
        maps = draw_maps(text, MapSpec(shrink_ratio=0.4), size)
        kernel = extract(
            maps.probability.astype(bool), ExtractSpec(shrink_ratio=0.4, unclip="constant", unclip_ratio=0)
        )
        body, said = _outline(list(kernel.polygons), PALE, 1, fill="#ddf4ff"), []
        for unclip, ratio, color in (("constant", 1.5, ORANGE), ("inverse", None, GREEN)):
            spec = ExtractSpec(shrink_ratio=0.4, unclip=unclip, unclip_ratio=ratio)  # type: ignore[arg-type]
            grown = extract(maps.probability.astype(bool), spec).polygons
            iou = float(pair_geometry(text, grown).iou().max())
            body += _outline(list(grown), color, 2, dash="6 4" if unclip == "constant" else "")
            said.append((f"{unclip}{'' if ratio is None else f' {ratio}'}: IoU {iou:.2f}", color))
        body += _outline(list(text), INK, 1, dash="1 3")
        parts += [f'<g transform="translate(12 {y})">', *body, "</g>"]
        for line, (words, color) in enumerate(said):
            parts.append(_text(words, size[1] + 24, y + 16 + 18 * line, color))
        y += size[0] + 14
    legend = (
        "Dotted: texts 40 px high. Blue: their kernels at r = 0.4.",
        "Dashed: grown by the constant rule. Solid: by the inverse.",
    )
    drawn = [_text(line, 12, 20 + 18 * number) for number, line in enumerate(legend)]
    return _svg(690, y + 4, [*drawn, *parts], "Constant and inverse growth of kernels")


def three_frames() -> str:
    """A receipt stored lying down, as viewers show it and as the model sees it, with the same lines in each frame."""
    spec = CanonicalSpec(canvases=((200, 128),), side=180, anchor="center")
    transform = plan((150, 225), 6, spec)
    width, height = transform.upright_size[1], transform.upright_size[0]
    rows = [(20, 24, 92, 14), (20, 60, 108, 10), (20, 84, 64, 10), (20, 108, 96, 10), (72, 180, 56, 16)]
    lines = [[(x, y), (x + w, y), (x + w, y + h), (x, y + h)] for x, y, w, h in rows]
    upright = PolygonSet.of(lines, frame="upright")
    paper = PolygonSet.of([[(0, 0), (width, 0), (width, height), (0, height)]], frame="upright")
    back = transform.matrix("upright", "raw")
    titles: Sequence[tuple[Frame, str]] = (
        ("raw", "raw: as stored"),
        ("upright", "upright: as viewers show it"),
        ("canonical", "canonical: on its canvas"),
    )
    parts, x = [], 16
    for frame, title in titles:
        h, w = transform.size(frame)
        there = [
            (
                p.transform(back, "raw")
                if frame == "raw"
                else p
                if frame == "upright"
                else transform.apply(p, "canonical")
            )
            for p in (paper, upright)
        ]
        body = [f'<rect width="{w}" height="{h}" fill="#d0d7de"/>']
        body += _outline(list(there[0]), PALE, 1, fill="#ffffff") + _outline(list(there[1]), BLUE, 1.5, fill="#ddf4ff")
        # The first line's first corner, to see which way the frame is turned.
        cx, cy = there[1][0][0]
        body.append(f'<circle cx="{_number(cx)}" cy="{_number(cy)}" r="4" fill="{ORANGE}"/>')
        parts += [_text(title, x, 24), _text(f"{h} x {w}, dot at ({cx:.1f}, {cy:.1f})", x, 42, PALE)]
        parts += [f'<g transform="translate({x} 56)">', *body, "</g>"]
        x += max(w, 170) + 40
    return _svg(x - 10, 56 + 225 + 16, parts, "One receipt in the frames raw, upright and canonical")


FIGURES: dict[str, Callable[[], str]] = {
    "four-maps.svg": four_maps,
    "growing-back.svg": growing_back,
    "three-frames.svg": three_frames,
}
"""File name in docs/figures -> what draws it."""


def _pixels(values: Array, cell: int) -> str:
    """Gray pixels of 0 to 255, runs of equal ones as one rectangle."""
    rows = []
    for y, row in enumerate(np.asarray(values, dtype=np.int64).tolist()):
        starts = [i for i, v in enumerate(row) if i == 0 or v != row[i - 1]]
        for start, end in zip(starts, [*starts[1:], len(row)], strict=True):
            gray = f"{row[start]:02x}" * 3
            if row[start]:
                x, width = start * cell, (end - start) * cell
                rows.append(f'<rect x="{x}" y="{y * cell}" width="{width}" height="{cell}" fill="#{gray}"/>')
    height, width = values.shape
    black = f'<rect width="{width * cell}" height="{height * cell}" fill="#000"/>'
    # Without smoothing neighboring rectangles leave no seams.
    return f'<g shape-rendering="crispEdges">{black}{"".join(rows)}</g>'


def _outline(polygons: Iterable[Array], color: str, width: float, *, dash: str = "", fill: str = "none") -> list[str]:
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return [
        f'<polygon points="{" ".join(f"{_number(x)},{_number(y)}" for x, y in polygon)}" fill="{fill}" '
        f'stroke="{color}" stroke-width="{width}"{dashed}/>'
        for polygon in polygons
    ]


def _text(words: str, x: float, y: float, color: str = INK) -> str:
    return f'<text x="{x}" y="{y}" fill="{color}">{escape(words)}</text>'


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _svg(width: int, height: int, parts: Iterable[str], title: str) -> str:
    """White behind everything, so that a dark page does not swallow the ink."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="system-ui, sans-serif" font-size="13">\n<title>{escape(title)}</title>\n'
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )
