"""The sample browser's Python side: what is embedded, where pictures go, what readers without scripts get."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrmaps.errors import SpecError
from ocrmaps.geometry import PolygonSet
from ocrmaps.pagekit import explorer
from ocrmaps.pagekit.explorer import INLINE_BYTES, Album, DrawnOutlines, Entry, Kind, Layer, plan_pictures
from ocrmaps.pagekit.page import data_block

PICTURE = Layer(key="picture", name="picture", letter="i", kind="picture", medium="image", on=True)
TRUTH = Layer(key="truth", name="truth", letter="o", kind="outline", on=True)
KINDS = (Kind(code="m", name="found", color="#1f6feb"),)


def entry(name="a", lost: float | None = 1, **facets) -> Entry:
    return Entry(name=name, size=(4, 3), figures={"lost": lost}, facets=facets)


def album(*entries: Entry, folder=None) -> Album:
    out = Album((PICTURE, TRUTH), KINDS, worst={"lost": "high"}, folder=folder, address="files")
    for item in entries:
        out.add(item, {"image": (b"abc", "jpeg")})
    return out


def read(html) -> dict:
    block = re.fullmatch(r'<script type="application/json" id="explorer-data">(.*)</script>', html.text, re.DOTALL)
    return json.loads(block[1])


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(st.characters()),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_data_survives_its_block_and_cannot_end_it(value):
    text = data_block("d", value).text
    assert text.count("<") == 2
    inner = text[text.index(">") + 1 : text.rindex("<")]
    assert json.loads(inner.encode("utf-8")) == value


def test_a_value_that_is_no_number_is_unknown_not_a_broken_page():
    data = read(album(entry(lost=float("nan")), entry(lost=None), entry(lost=2.0)).data())
    assert data["figures"][0]["of"] == [None, None, 2.0]


def test_outlines_come_back_to_a_tenth_of_a_pixel():
    rng = np.random.default_rng(0)
    points = [rng.uniform(-50, 400, (n, 2)) for n in (4, 3, 12)]
    outlines = DrawnOutlines(polygons=PolygonSet.of(points, frame="canonical"), kinds="mmm", words=["a", "b", "c"])
    made = Entry(name="a", size=(400, 400), figures={"lost": 0}, facets={}, outlines={"truth": outlines})
    texts = read(album(made).data())["outlines"]["truth"][0].split(";")
    for text, expected in zip(texts, points, strict=True):
        steps = np.array(text[1:].split(" "), dtype=float).reshape(-1, 2)
        assert np.abs(np.cumsum(steps, axis=0) / 10 - expected).max() <= 0.0501


def test_absurd_coordinates_do_not_grow_the_page():
    far = PolygonSet.of([[(1e300, 0), (0, -1e300), (0, 0)]], frame="canonical")
    made = Entry(
        name="a",
        size=(4, 4),
        figures={"lost": 0},
        facets={},
        outlines={"truth": DrawnOutlines(polygons=far, kinds="m")},
    )
    assert len(read(album(made).data())["outlines"]["truth"][0]) < 60


def test_properties_that_all_samples_share_are_no_filter():
    data = read(album(entry(canvas=["1x1"], split=["a"]), entry(canvas=["1x1"], split=["b", "a"])).data())
    assert [(f["name"], f["values"], f["of"]) for f in data["facets"]] == [("split", ["a", "b"], [0, [1, 0]])]


def test_ranges_are_listed_by_their_numbers():
    data = read(album(*(entry(height=[h]) for h in ("16-24 px", "4-8 px", "48+ px", "unknown"))).data())
    assert data["facets"][0]["values"] == ["4-8 px", "16-24 px", "48+ px", "unknown"]


def test_without_scripts_the_numbers_of_the_worst_are_there():
    html = album(*(entry(name=f"n{i}", lost=i, canvas=[f"{i}x1"]) for i in range(130))).html("Worst").text
    assert "<noscript>" in html
    names = re.findall(r'<th scope="row">(n\d+)</th>', html)
    assert names[:2] == ["n129", "n128"]
    assert len(names) == explorer.STILL
    assert "30 more" in html
    assert "canvas: 129x1" in html


def test_pictures_are_inlined_at_the_largest_side_that_fits_else_they_are_files():
    weights = {960: 100_000.0, 640: 50_000.0, 448: 25_000.0}
    assert plan_pictures(weights, INLINE_BYTES // 100_000).side == 960
    assert plan_pictures(weights, INLINE_BYTES // 50_000).side == 640
    beyond = plan_pictures(weights, INLINE_BYTES // 25_000 + 1)
    assert (beyond.inline, beyond.side) == (False, 640)
    assert "beside the page" in beyond.sentence("x-files")
    forced = plan_pictures(weights, 10**6, place="inline")
    assert (forced.inline, forced.side, forced.why) == (True, 448, "as asked")
    assert plan_pictures(weights, 1, place="folder").inline is False


def test_files_are_named_by_number_whatever_samples_are_called(tmp_path):
    folder = tmp_path / "files"
    data = read(album(entry(name="../../etc/passwd"), folder=folder).data())
    assert data["media"]["image"] == {"before": "files/image/", "of": ["000000.jpeg"]}
    assert (folder / "image" / "000000.jpeg").read_bytes() == b"abc"


@pytest.mark.parametrize("letters", ["ii", "ij", "ix"])
def test_letters_that_mean_two_things_are_refused(letters):
    layers = [Layer(key=c + str(i), name="n", letter=c, kind="outline") for i, c in enumerate(letters)]
    with pytest.raises(SpecError, match="letters"):
        Album(layers, KINDS, worst={"lost": "high"})
