"""The page is safe, self-contained, readable, and says in words what it says in colors."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrmaps.pagekit import page as part
from ocrmaps.pagekit.page import Card, Html, Section, Tile
from ocrmaps.pagekit.style import COLORS, STYLE
from ocrmaps.text import number, percent, visible

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>&amp;\u202e\x1b[31m\x00'


class Reader(HTMLParser):
    """What a browser would make of a document."""

    VOID = ("meta", "link", "img", "br", "path", "rect")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def everything(text: str) -> str:
    """A page on which every part was given this text wherever it takes text."""
    tile = Tile(data=b"x", width=3, height=2, title=text, remark=text)
    body = (
        part.paragraph(text),
        part.heading(text),
        part.cards([Card(label=text, value=text, remark=text, tone="problem")]),
        part.table((text, text), [(text, text)], caption=text),
        part.callout("note", text, remark=text, body=[part.paragraph(text)]),
        part.details(text, [part.paragraph(text)]),
        part.preformatted(text),
        part.figure(Html("<svg></svg>"), text, numbers=part.table((text,), [(text,)], caption=text)),
        part.gallery([tile]),
        part.key([("#123456", text)]),
        part.grid([part.paragraph(text)]),
    )
    return part.page(text, [Section(title=text, body=body, mark=text), Section(title=text, body=())], lead=text)


def test_hostile_names_stay_text_wherever_they_go():
    document = Reader(everything(HOSTILE))
    assert not [tag for tag, _ in document.tags if tag == "script"]
    assert not [name for _, attrs in document.tags for name in attrs if name.startswith("on")]
    assert [a["src"] for t, a in document.tags if t == "img"] == ["data:image/jpeg;base64,eA=="]
    assert "<script>alert(1)</script>" in "".join(document.words)


def test_invisible_characters_are_spelled_out():
    text = everything(HOSTILE)
    assert not {"\u202e", "\x1b", "\x00"} & set(text)
    assert "\\u202e\\x1b[31m\\x00" in text


@given(st.text(st.characters(), max_size=60))
def test_any_text_gives_a_whole_document_in_utf8(text):
    document = everything(text)
    document.encode("utf-8")
    assert Reader(document).open == []


def test_nothing_is_fetched():
    document = Reader(everything("x"))
    for tag, attrs in document.tags:
        for name in ("src", "href", "action", "srcset", "poster"):
            value = attrs.get(name)
            assert value is None or value.startswith(("data:", "#")), (tag, value)
    assert "url(" not in STYLE and "@import" not in STYLE


def test_the_content_policy_forbids_scripts_unless_the_page_brings_its_own():
    def policy(text):
        return next(a["content"] for t, a in Reader(text).tags if a.get("http-equiv") == "Content-Security-Policy")

    assert "default-src 'none'" in policy(everything("x")) and "script-src" not in policy(everything("x"))
    script = "document.title = 'ü'"
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy(part.page("t", [], script=script))


def test_sections_of_one_title_have_their_own_anchors():
    document = Reader(part.page("t", [Section(title="Ä?", body=()), Section(title="Ä!", body=()),
                                      Section(title="Text", body=())]))  # fmt: skip
    ids = [a["id"] for t, a in document.tags if t == "section"]
    assert len(set(ids)) == 3
    assert [a["href"] for t, a in document.tags if t == "a"] == [f"#{i}" for i in ids]


def test_tones_are_said_in_words_and_headings_keep_their_order():
    document = everything("x")
    assert '<span class="tone">Note</span>' in document
    levels = [int(t[1]) for t, _ in Reader(document).tags if re.fullmatch("h[1-6]", t)]
    assert levels[0] == 1 and all(b - a <= 1 for a, b in itertools.pairwise(levels))


def _luminance(color: str) -> float:
    channels = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def _contrast(one: str, two: str) -> float:
    high, low = sorted((_luminance(one), _luminance(two)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", COLORS, ids=["light", "dark"])
@pytest.mark.parametrize("ground", ["back", "panel"])
def test_words_have_accessible_contrast_in_both_schemes(scheme, ground):
    for role in ("text", "quiet", "accent", "problem", "note", "good", "second", "third", "fourth"):
        assert _contrast(scheme[role], scheme[ground]) >= 4.5, role


def test_the_contrast_measure_is_the_usual_one():
    assert _contrast("#000000", "#ffffff") == pytest.approx(21)
    assert _contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_figures_are_written_for_people():
    assert [number(v) for v in (0, 7, 1234567, 0.00123, 12.345, -5.0, float("nan"), None)] == [
        "0", "7", "1\xa0234\xa0567", "0.00123", "12.3", "-5", "–", "–",
    ]  # fmt: skip
    assert [percent(v).replace("\xa0", " ") for v in (0, 1, 0.0004, 0.9996, 0.123)] == [
        "0 %", "100 %", "< 0.1 %", "> 99.9 %", "12.3 %",
    ]  # fmt: skip


def test_long_texts_keep_both_ends():
    assert visible("a" * 300 + "z", 11) == "aaaaa…aaaaz"


@pytest.mark.parametrize("scheme", COLORS, ids=["light", "dark"])
def test_controls_and_pressed_buttons_have_accessible_contrast(scheme):
    for ground in ("back", "panel"):
        assert _contrast(scheme["edge"], scheme[ground]) >= 3, ground
    assert _contrast(scheme["back"], scheme["accent"]) >= 4.5


def test_outlines_stand_out_from_their_casing_and_in_the_legend():
    from ocrmaps.report.run.page import KINDS as of_runs
    from ocrmaps.report.source import KINDS as of_sources
    from ocrmaps.report.store import KINDS as of_stores

    for kind in {*of_runs, *of_sources, *of_stores}:
        for ground in ("#ffffff", COLORS[0]["back"], COLORS[1]["back"]):
            assert _contrast(kind.color, ground) >= 3, (kind.name, ground)


def test_pictures_beside_a_page_are_allowed_only_where_it_has_them():
    assert "file:" not in part.page("t", [])
    assert "img-src data: 'self' file:" in part.page("t", [], files=True)
