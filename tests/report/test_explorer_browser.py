"""The sample browser in a real browser: ten thousand samples, filters, layers, keys, a phone, hostile names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ocrmaps.geometry import PolygonSet
from ocrmaps.pagekit import explorer
from ocrmaps.pagekit import page as part
from ocrmaps.pagekit.explorer import Album, DrawnOutlines, Entry, Kind, Layer
from ocrmaps.pagekit.page import Section
from ocrmaps.pagekit.pictures import jpeg, png
from tests.report.chromium import act, needs_browser

pytestmark = needs_browser
MANY = 10_000
HOSTILE = '</script><img src=x onerror="window.pwned=1"><b>\'\u202e'
LAYERS = (
    Layer(key="picture", name="picture", letter="i", kind="picture", medium="image", on=True),
    Layer(key="truth", name="truth", letter="o", kind="outline", color="#1f6feb", on=True),
    Layer(key="prediction", name="prediction", letter="d", kind="outline", color="#0b8a4b", on=True),
    Layer(key="probability", name="probability", letter="p", kind="map", medium="maps", channel=0, color="#3b9dff"),
    Layer(key="mask", name="masks", letter="m", kind="map", medium="maps", channel=1, color="#ff9f2e"),
)
KINDS = (
    Kind(code="m", name="found", color="#1f6feb"),
    Kind(code="l", name="lost", color="#d6006e", dashed=True),
)
BOX = PolygonSet.of([[(2, 2), (30, 2), (30, 10), (2, 10)], [(2, 20), (30, 20), (30, 28), (2, 28)]], frame="canonical")


def album(count: int, folder: Path | None = None) -> Album:
    out = Album(
        LAYERS, KINDS, worst={"lost": "high", "hmean": "low"}, folder=folder, address=folder.name if folder else ""
    )
    rng = np.random.default_rng(0)
    picture = jpeg(rng.integers(0, 255, (60, 40, 3), dtype=np.uint8))
    maps = png(rng.integers(0, 255, (60, 40, 3), dtype=np.uint8))
    for i in range(count):
        entry = Entry(
            name=f"sample {i:05d} {HOSTILE if i == 3 else ''}",
            size=(60, 40),
            figures={"lost": i % 7, "hmean": None if i == 5 else 1 / (1 + i % 7)},
            facets={
                "canvas": ["60x40" if i % 2 else "60x60"],
                "error": ["text missed", "text split"] if i % 10 == 0 else [],
                "EXIF orientation": [str(1 + i % 8)],
            },
            outlines={
                "truth": DrawnOutlines(polygons=BOX, kinds="ml", words=[f"word{i}", HOSTILE if i == 3 else "lost one"]),
                "prediction": DrawnOutlines(polygons=BOX.select([0]), kinds="m"),
            },
            notes=[HOSTILE] if i == 3 else [],
        )
        # Pictures for some: ten thousand of them would only make the test slow.
        out.add(entry, {"image": (picture, "jpeg"), "maps": (maps, "png")} if i < 50 else {})
    return out


def write(folder: Path, count: int, *, files: bool = False) -> Path:
    beside = folder / "page-files" if files else None
    made = album(count, beside)
    text = part.page(
        "Samples",
        [Section(title="Pictures", body=(made.html("Worst"),)), Section(title="More", body=(part.paragraph("end"),))],
        script=explorer.script(),
        style=explorer.style(),
        data=made.data(),
        files=files,
    )
    path = folder / "page.html"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("large"), MANY)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write(tmp_path, 40)


def test_of_ten_thousand_samples_only_visible_rows_exist_wherever_the_list_is_scrolled(large):
    found, console = act(
        large,
        """
        const box = one(".x-list"), seen = [];
        for (const share of [0, 0.5, 1]) {
          box.scrollTop = share * box.scrollHeight;
          box.dispatchEvent(new Event("scroll")); await wait(60);  // virtual time draws no frames, which send these
          seen.push({ rows: all(".x-row").length,
            last: Math.max(...all(".x-row").map(r => +r.getAttribute("aria-posinset"))) });
        }
        return { seen, size: one(".x-row").getAttribute("aria-setsize"), status: one(".x-status").textContent };
        """,
    )
    assert found["status"] == f"{MANY} pictures"
    assert found["size"] == str(MANY)
    assert all(5 < step["rows"] < 40 for step in found["seen"])
    assert found["seen"][-1]["last"] == MANY
    assert console == ""


def test_filters_and_search_reduce_the_list_and_clearing_brings_it_back(large):
    found, _ = act(
        large,
        """
        const out = [], note = () => out.push(one(".x-status").textContent);
        await choose(facet("canvas"), "1"); note();
        await choose(facet("error"), "0"); note();
        await choose("#x-search", "word70"); note();
        await press("x", document.body); note();
        await choose("#x-search", "no such thing"); note();
        return { out, none: one(".x-none").textContent, hidden: one(".x-view").hidden };
        """,
    )
    # Of word70, word700..709 and word7000..7099 those on the even canvas that miss text: 70, 700, 7000, 7010, ...
    many = sum(f"word{i}".startswith("word70") and i % 10 == 0 for i in range(MANY))
    assert found["out"] == [
        "5000 of 10000 pictures", "1000 of 10000 pictures", f"{many} of 10000 pictures", "10000 pictures",
        "0 of 10000 pictures",
    ]  # fmt: skip
    assert found["none"] == "No picture fits these filters."
    assert found["hidden"] is True


def test_the_list_is_sorted_by_the_worst_and_unknown_values_come_last(small):
    found, _ = act(
        small,
        """
        const first = shown();
        await choose("#x-sort", "1 1");
        const low = all(".x-row .x-figures").map(f => f.textContent);
        await choose("#x-sort", "name");
        return { first, low, name: shown() };
        """,
    )
    assert found["first"].startswith("sample 00006")
    assert found["low"][0].startswith("lost 6")
    assert found["name"].startswith("sample 00000")


def test_layers_are_turned_on_and_off_by_clicks_and_letters(small):
    found, _ = act(
        small,
        """
        const before = layers();
        await press("p", document.body); const probability = layers();
        const filter = getComputedStyle(one("img[data-layer=probability]")).filter;
        one("button[data-layer=truth]").click(); await wait(40); const without = layers();
        await press("i", document.body); await press("d", document.body);
        return { before, probability, filter, without, end: layers(),
                 pressed: one("button[data-layer=probability]").getAttribute("aria-pressed"),
                 drawn: all(".x-outlines path").length };
        """,
    )
    assert found["before"] == ["picture", "truth", "prediction"]
    assert found["probability"] == ["picture", "probability", "truth", "prediction"]
    assert found["filter"].startswith("url(")
    assert found["without"] == ["picture", "probability", "prediction"]
    assert found["end"] == ["probability"]
    assert found["pressed"] == "true"
    assert found["drawn"] == 0


def test_keys_move_the_selection_open_the_large_view_and_say_themselves(small):
    found, _ = act(
        small,
        """
        const out = [shown()], box = one(".x-list");
        await press("j", document.body); out.push(shown());
        await press("j", document.body); await press("k", document.body); out.push(shown());
        box.focus(); await press("ArrowDown", box); out.push(shown());
        await press("End", box); out.push(shown()); await press("Home", box); out.push(shown());
        await press("Enter", box);
        const large = one(".x-dialog").open && one(".x-dialog .x-view") !== null;
        await press("ArrowRight"); out.push(shown());
        await press("Escape"); const closed = !one(".x-dialog").open && one(".x-slot .x-view") !== null;
        await press("?", document.body); const help = one(".x-help").open; await press("Escape");
        await press("]", document.body); const pick = one(".x-pick").textContent;
        await press("]", document.body);
        await press("/", document.body); const search = document.activeElement.id;
        await press("j"); const typed = shown();
        return { out, large, closed, help, pick, second: one(".x-pick").textContent, search, typed,
                 active: one(".x-list").getAttribute("aria-activedescendant"),
                 id: one(".x-row[aria-selected=true]").id };
        """,
    )
    names = [name[7:12] for name in found["out"]]
    assert names == ["00006", "00013", "00013", "00020", "00035", "00006", "00013"]
    assert found["large"]
    assert found["closed"]
    assert found["help"]
    assert found["pick"] == "outline 0, found: word13"
    assert found["second"] == "outline 1, lost: lost one"
    assert found["search"] == "x-search"
    assert found["typed"] == found["out"][-1], "letters typed into the search field are no commands"
    assert found["active"] == found["id"]


def test_hostile_names_texts_and_notes_stay_text(small):
    found, console = act(
        small,
        """
        await choose("#x-search", "sample 00003");
        await press("[", document.body);
        return { name: one(".x-name").textContent, note: one(".x-notes").textContent, pick: one(".x-pick").textContent,
                 pwned: window.pwned === undefined, pictures: all("img:not([src^='data:'])").length };
        """,
    )
    assert found["pwned"]
    assert found["pictures"] == 0
    for key in ("name", "note", "pick"):
        assert "<img src=x onerror=" in found[key]
        assert "\u202e" not in found[key]
    assert console == ""


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_its_window_and_a_tap_shows_the_picture(small, width):
    found, console = act(
        small,
        """
        const fits = () => document.documentElement.scrollWidth <= innerWidth;
        const before = fits(), slot = getComputedStyle(one(".x-slot")).display;
        all(".x-row")[1].click(); await wait(60);
        const dialog = one(".x-dialog"), stage = one(".x-stage").getBoundingClientRect();
        return { before, after: fits(), slot, open: dialog.open, selected: shown(), 
                 inside: stage.right <= innerWidth + 1,
                 picture: one(".x-sheet").getBoundingClientRect().width > 100, filters: one("#explorer > details").open,
                 low: all("#explorer .x-controls button, #explorer .x-toggles button").filter(b => b.offsetHeight)
                   .every(b => b.getBoundingClientRect().height >= (innerWidth < 500 ? 43 : 35)) };
        """,
        width=width,
    )
    phone = width == 390
    assert found["before"] and found["after"] and found["inside"] and found["picture"] and found["low"]
    assert found["slot"] == ("none" if phone else "block")
    assert found["open"] is phone, "there is no room beside the list on a phone"
    assert found["filters"] is not phone
    assert found["selected"].startswith("sample 00013")
    assert console == ""


def test_pictures_beside_the_page_are_shown(tmp_path):
    page = write(tmp_path, 10, files=True)
    found, console = act(
        page,
        """
        await press("p", document.body); await wait(300);
        return all(".x-sheet img").map(i => [i.getAttribute("src"), i.naturalWidth]);
        """,
    )
    assert found == [["page-files/image/000006.jpeg", 40], ["page-files/maps/000006.png", 40]]
    assert console == ""


def test_the_driver_reports_errors(small):
    with pytest.raises(AssertionError, match="no-such-thing"):
        act(small, "throw new Error('no-such-thing')")
