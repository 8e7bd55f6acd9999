"""Draws small pieces of HTML for notebooks: a table of facts, a picture with outlines over it. All text is escaped.

Records answer `_repr_html_` with these. Nothing is imported before a record is shown, and pictures are small copies
inside the text: a saved notebook needs no file beside it.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocrmaps.errors import OcrmapsError
from ocrmaps.text import visible

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ocrmaps.geometry import PolygonSet, Size

SIDE = 420
"""Longest side of a picture in a notebook."""
TEXT, IGNORED = "#1f6feb", "#d97700"


def safe(value: object, limit: int = 200) -> str:
    """Escaped for element content and quoted attributes, on one line.

    >>> safe("<b onclick='x'>")
    '&lt;b onclick=&#x27;x&#x27;&gt;'
    """
    return html.escape(visible(value, limit), quote=True)


def facts(title: object, rows: Mapping[str, object]) -> str:
    """A heading with one line for each fact."""
    cells = "".join(
        f'<tr><th style="text-align:left">{safe(name)}</th><td style="text-align:left">{safe(value)}</td></tr>'
        for name, value in rows.items()
    )
    return f"<div><b>{safe(title)}</b><table>{cells}</table></div>"


def table(head: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """Rows under a head; the first column reads from the left, the others are figures."""
    top = "".join(f"<th>{safe(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<{'th' if i == 0 else 'td'}>{safe(c)}</{'th' if i == 0 else 'td'}>" for i, c in enumerate(r))
        + "</tr>"
        for r in rows
    )  # fmt: skip
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def figure(polygons: PolygonSet, size: Size, *, pixels: npt.NDArray[np.uint8] | None = None, caption: str = "") -> str:
    """Outlines over a picture as inline SVG; `size` is the (height, width) that they are written in."""
    height, width = size
    scale = min(1.0, SIDE / max(height, width, 1))
    inside = "" if pixels is None else f'<image href="{picture_uri(pixels)}" width="{width}" height="{height}"/>'
    for points, ignored, text in zip(polygons, polygons.ignore.tolist(), polygons.texts, strict=True):
        corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in points.tolist())
        title = "" if text is None else f"<title>{safe(text)}</title>"
        color = IGNORED if ignored else TEXT
        inside += (
            f'<polygon points="{corners}" fill="{color}" fill-opacity="0.08" stroke="{color}" '
            f'stroke-width="{1.5 / scale:.2f}">{title}</polygon>'
        )
    under = f"<figcaption>{safe(caption)}</figcaption>" if caption else ""
    return (
        f'<figure style="margin:0"><svg viewBox="0 0 {width} {height}" width="{max(1, round(width * scale))}" '
        f'height="{max(1, round(height * scale))}" style="background:#f2f2f2">{inside}</svg>{under}</figure>'
    )


def picture_uri(pixels: npt.NDArray[Any], side: int = SIDE) -> str:
    """A small copy of (h, w, 3) RGB pixels as a `data:` address."""
    import cv2
    import numpy as np

    height, width = pixels.shape[:2]
    scale = min(1.0, side / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(np.ascontiguousarray(pixels), size, interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 80])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode("ascii")


def over_file(path: Path | None, polygons: PolygonSet, size: Size | None, caption: str) -> str:
    """Outlines in frame raw or upright over the picture in a file, or over nothing with the reason beneath."""
    if path is not None:
        import numpy as np

        from ocrmaps.canonical import turn_upright
        from ocrmaps.pictures import decode

        try:
            picture = decode(path, at_least=(SIDE, SIDE))
        except (OcrmapsError, OSError) as error:
            caption = f"{caption}; the picture is not shown: {error}"
        else:
            size, pixels = picture.header.size, picture.pixels
            if polygons.frame == "upright":
                size = picture.header.upright
                pixels = np.ascontiguousarray(turn_upright(pixels, picture.header.orientation))
            return figure(polygons, size, pixels=pixels, caption=caption)
    if size is None:
        reach = polygons.bounds()[:, 2:].max(axis=0).tolist() if len(polygons) else [1.0, 1.0]
        size = (max(1, int(reach[1]) + 1), max(1, int(reach[0]) + 1))
    return figure(polygons, size, caption=caption)
