"""One self-contained HTML page in the project's design: no network, light and dark, phone width, no script needed.

Every part escapes what it is given, so that a file name cannot become markup; only `Html`, which the parts
themselves return, is taken as it is. The content policy in the page forbids whatever escaping might have missed.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ocrmaps.pagekit.style import STYLE
from ocrmaps.text import visible

Tone = Literal["problem", "note", "good", "plain"]
LONG = 40
"""Characters beyond which a cell of a table is a text to be read, not a word."""
_SURROGATE = re.compile("[\ud800-\udfff]")
_TONES: dict[Tone, str] = {"problem": "Problem", "note": "Note", "good": "Good", "plain": ""}


@dataclass(frozen=True, slots=True)
class Html:
    """Markup that is already safe."""

    text: str

    def __add__(self, other: Html) -> Html:
        return Html(self.text + other.text)


Content = str | int | float | Html


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A titled part of a page, reachable from its contents."""

    title: str
    body: tuple[Html, ...]
    mark: str = ""
    """A few characters beside the title in the contents, such as a count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One figure that deserves large print."""

    label: str
    value: str
    remark: str = ""
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A small picture with its caption."""

    data: bytes
    """An encoded picture."""
    width: int
    height: int
    title: str
    remark: str = ""
    media: str = "image/jpeg"


def safe(content: Content, limit: int = 400) -> str:
    """Escaped for element content and quoted attributes.

    >>> safe("<b onclick='x'>")
    '&lt;b onclick=&#x27;x&#x27;&gt;'
    """
    return content.text if isinstance(content, Html) else html.escape(visible(content, limit), quote=True)


def page(
    title: str,
    sections: Sequence[Section],
    *,
    lead: str = "",
    top: Sequence[Html] = (),
    script: str = "",
    style: str = "",
    data: Html | None = None,
    files: bool = False,
) -> str:
    """The complete document. `script` runs once after the content; the page must make sense without it.

    `style` follows the common one; `data` is a block that only the script reads (`data_block`), so it comes after
    everything that is painted; `files` lets the page show pictures that lie beside it.
    """
    names = _anchors(sections)
    contents = "".join(
        f'<li><a href="#{name}">{safe(s.title)}</a>{f" <small>{safe(s.mark)}</small>" if s.mark else ""}</li>'
        for name, s in zip(names, sections, strict=True)
    )
    body = "".join(
        f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{safe(s.title)}</h2>'
        + "".join(part.text for part in s.body)
        + "</section>"
        for name, s in zip(names, sections, strict=True)
    )
    pictures = "data: 'self' file:" if files else "data:"
    policy = f"default-src 'none'; img-src {pictures}; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    if script:
        policy += f"; script-src 'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">'
        f'<link rel="icon" href="data:,"><title>{safe(title)}</title><style>{STYLE}{style}</style></head><body>'
        f"<header><h1>{safe(title)}</h1>"
        + (f"<p>{safe(lead, 2000)}</p>" if lead else "")
        + (f'<nav aria-label="Contents"><ul>{contents}</ul></nav>' if len(sections) > 1 else "")
        + f"</header><main>{''.join(part.text for part in top)}{body}</main>"
        + (data.text if data else "")
        + (f"<script>{script}</script>" if script else "")
        + "</body></html>\n"
    )


def data_block(name: str, value: Any) -> Html:
    """Plain data for the page's script, under an id. Nothing in it can end the block: no `<` is left in it.

    >>> data_block("d", {"a": "</script>"}).text
    '<script type="application/json" id="d">{"a":"\\\\u003c/script>"}</script>'
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # Lone surrogates, which file names can hold, are no UTF-8: they stay escaped.
    text = _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    text = text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return Html(f'<script type="application/json" id="{safe(name)}">{text}</script>')


def _anchors(sections: Sequence[Section]) -> list[str]:
    """A stable, unique name for each section, made of its title."""
    names: list[str] = []
    for section in sections:
        base = re.sub(r"[^a-z0-9]+", "-", section.title.lower()).strip("-")[:40] or "part"
        name, n = base, 2
        while name in names:
            name, n = f"{base}-{n}", n + 1
        names.append(name)
    return names


def paragraph(text: Content) -> Html:
    return Html(f"<p>{safe(text, 4000)}</p>")


def heading(text: Content) -> Html:
    """A title inside a section."""
    return Html(f"<h3>{safe(text)}</h3>")


def cards(items: Sequence[Card]) -> Html:
    """The figures to see first."""
    cells = "".join(
        f'<div class="card {item.tone}"><dt>{safe(item.label)}</dt><dd><b>{safe(item.value)}</b>'
        + (f"<span>{safe(item.remark)}</span>" if item.remark else "")
        + "</dd></div>"
        for item in items
    )
    return Html(f'<dl class="cards">{cells}</dl>')


def table(
    head: Sequence[Content],
    rows: Sequence[Sequence[Content]],
    *,
    caption: str,
    text_columns: Collection[int] = (0,),
) -> Html:
    """Rows under a head. Columns are figures, aligned right, except `text_columns`; the first cell names its row.

    Columns of long texts keep a width that can be read where the table is wider than the window.
    """
    kind = [_kind(i in text_columns, [row[i] for row in rows]) for i in range(len(head))]
    top = "".join(f'<th scope="col"{kind[i]}>{safe(cell)}</th>' for i, cell in enumerate(head))
    body = "".join(
        "<tr>"
        + "".join(
            f'<th scope="row"{kind[i]}>{safe(cell)}</th>' if i == 0 else f"<td{kind[i]}>{safe(cell)}</td>"
            for i, cell in enumerate(row)
        )
        + "</tr>"
        for row in rows
    )
    name = safe(caption)
    # A wide table scrolls by itself; with a tab stop so that the keyboard can scroll it too.
    return Html(
        f'<p class="caption">{name}</p><div class="scroll" role="region" tabindex="0" aria-label="{name}">'
        f'<table aria-label="{name}"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _kind(text: bool, column: Sequence[Content]) -> str:
    if not text:
        return ' class="n"'
    return ' class="t"' if any(isinstance(cell, str) and len(cell) > LONG for cell in column) else ""


def callout(tone: Tone, text: Content, *, remark: Content = "", body: Sequence[Html] = ()) -> Html:
    """A statement that should not be overlooked; its tone is said in words, not by color alone."""
    word = f'<span class="tone">{_TONES[tone]}</span> ' if _TONES[tone] else ""
    return Html(
        f'<div class="callout {tone}"><p>{word}{safe(text, 4000)}</p>'
        + (f'<p class="remark">{safe(remark, 2000)}</p>' if remark != "" else "")
        + "".join(part.text for part in body)
        + "</div>"
    )


def details(summary: Content, body: Sequence[Html], *, open: bool = False) -> Html:
    """Something for those who want to know more."""
    inner = "".join(part.text for part in body)
    return Html(f"<details{' open' if open else ''}><summary>{safe(summary)}</summary>{inner}</details>")


def preformatted(text: str) -> Html:
    """Aligned text, line breaks kept."""
    lines = "\n".join(safe(line, 500) for line in text.splitlines())
    return Html(f'<div class="scroll" role="region" tabindex="0" aria-label="text"><pre>{lines}</pre></div>')


def figure(drawing: Html, caption: Content, *, numbers: Html | None = None) -> Html:
    """A plot with its caption, and the numbers it was drawn from."""
    more = details("Numbers", [numbers]).text if numbers else ""
    return Html(f"<figure>{drawing.text}<figcaption>{safe(caption)}</figcaption>{more}</figure>")


def grid(parts: Sequence[Html]) -> Html:
    """Figures side by side where there is room."""
    return Html(f'<div class="grid">{"".join(part.text for part in parts)}</div>')


def gallery(tiles: Sequence[Tile]) -> Html:
    """Small pictures, as many in a row as fit; each opens nothing and loads nothing."""
    items = "".join(
        f'<li><img src="data:{tile.media};base64,{base64.b64encode(tile.data).decode()}" width="{tile.width}" '
        f'height="{tile.height}" alt="{safe(tile.title)}: {safe(tile.remark)}" loading="lazy" decoding="async">'
        f"<p><b>{safe(tile.title)}</b>{f' {safe(tile.remark)}' if tile.remark else ''}</p></li>"
        for tile in tiles
    )
    return Html(f'<ul class="gallery">{items}</ul>')


def key(entries: Sequence[tuple[str, str]]) -> Html:
    """What the colors of overlays mean: (color, meaning)."""
    items = "".join(f'<li><i style="background:{safe(color)}"></i>{safe(meaning)}</li>' for color, meaning in entries)
    return Html(f'<ul class="key">{items}</ul>')
