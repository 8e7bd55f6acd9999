"""The part of a page that is gone through: things with a picture each, to be accepted, rejected or left for later."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from ocrmaps.pagekit.page import Html, data_block, safe

NAME = "review-data"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewItem:
    """One thing to decide on."""

    key: str
    title: str
    remark: str
    picture: bytes
    """JPEG."""
    width: int
    height: int


def controls() -> Html:
    """The bar that shows how far a person got, and takes decisions out and in; empty without a script."""
    return Html(
        '<div class="review" id="review-controls" hidden><p id="review-status" role="status"></p>'
        '<label><input type="checkbox" id="review-open">only what is open</label>'
        '<button type="button" id="review-export">Export decisions</button>'
        '<label>Import <input type="file" id="review-import" accept="application/json,.json"></label></div>'
        '<p id="review-warning" hidden>This browser keeps nothing for this page: export before you close it.</p>'
        "<p><kbd>j</kbd> next, <kbd>k</kbd> back, <kbd>a</kbd> accept: the label is wrong, <kbd>r</kbd> reject: it is "
        "right, <kbd>l</kbd> later, <kbd>u</kbd> undo.</p>"
    )


def review(items: Sequence[ReviewItem]) -> Html:
    """The things in their order."""
    return Html("".join(_article(i, item) for i, item in enumerate(items, start=1)))


def _article(number: int, item: ReviewItem) -> str:
    name = f"finding-{number}"
    buttons = "".join(
        f'<button type="button" value="{value}" aria-pressed="false">{word}</button>'
        for value, word in (("accept", "Accept"), ("reject", "Reject"), ("later", "Later"))
    )
    return (
        f'<article class="finding" id="{name}" tabindex="-1" aria-labelledby="{name}-title" '
        f'data-key="{safe(item.key, 4000)}" data-decision=""><h3 id="{name}-title">{number}. {safe(item.title)}</h3>'
        f"<p>{safe(item.remark, 1000)}</p>"
        f'<img src="data:image/jpeg;base64,{base64.b64encode(item.picture).decode()}" width="{item.width}" '
        f'height="{item.height}" alt="{safe(item.title)}" loading="lazy" decoding="async">'
        f'<div class="decide">{buttons}<span class="verdict" role="status"></span></div></article>'
    )


def review_data(name: str, decisions: Mapping[str, str]) -> Html:
    """What the script starts from: decisions read from a file, and the name under which the browser keeps more."""
    return data_block(NAME, {"name": name, "decisions": dict(decisions)})


@cache
def script() -> str:
    """Runs once, after the page and the data."""
    return (resources.files("ocrmaps.pagekit") / "review.js").read_text(encoding="utf-8")


@cache
def style() -> str:
    """Its part of the style sheet."""
    return (resources.files("ocrmaps.pagekit") / "review.css").read_text(encoding="utf-8")
