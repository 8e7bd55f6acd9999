"""Plots show what they were given, whatever that is."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrmaps.pagekit import plots
from ocrmaps.pagekit.plots import Series


def svg(html) -> ET.Element:
    """The drawing, parsed strictly."""
    return ET.fromstring(re.search(r"<svg.*?</svg>", html.text, re.DOTALL)[0])


def counts(html) -> list[int]:
    """The last column of the numbers below a plot."""
    return [int(re.sub(r"\D", "", c)) for c in re.findall(r"<td[^>]*>([^<]*)</td></tr>", html.text)]


def numbers(element: ET.Element) -> list[float]:
    return [float(v) for e in element.iter() for k in ("x", "y", "width", "height") if (v := e.get(k))]


@given(st.lists(st.floats(-1e9, 1e9) | st.just(float("nan")) | st.just(float("inf")), max_size=80), st.booleans())
def test_a_histogram_counts_every_finite_value_once(values, whole):
    html = plots.histogram(values, "c", unit="px", marks=(2, 5), whole=whole)
    finite = int(np.isfinite(values).sum()) if values else 0
    if not finite:
        assert "no values" in html.text
        return
    assert sum(counts(html)) == finite
    assert len(counts(html)) < 60
    drawn = numbers(svg(html))
    assert np.isfinite(drawn).all() and max(drawn) < 1000


@pytest.mark.parametrize(
    "values", [[5], [536762483.0], [0, 5e-324], [5, 5, 5], [0, 0], [1e-9, 2e-9], [1e12, 1e12 + 1], [-3, -3]]
)
def test_values_that_hardly_differ_still_make_a_plot(values):
    assert sum(counts(plots.histogram(values, "c", unit="px"))) == len(values)


def test_a_long_tail_is_gathered_in_a_last_bar_that_says_so():
    html = plots.histogram([*range(1, 200), 100_000], "c", unit="px")
    assert "and more" in html.text
    assert sum(counts(html)) == 200


def test_marks_tell_the_share_below_them():
    html = plots.histogram(range(100), "c", unit="px", marks=(25, 500))
    assert "25.0\xa0% below 25" in html.text
    assert "below 500" not in html.text


def test_plots_say_in_words_what_they_show():
    html = plots.histogram([1, 2, 3], "Text <height>", unit="px")
    assert svg(html).get("role") == "img"
    assert svg(html).get("aria-label") == "Text <height>. 3 values, median 2 px, from 1 to 3"


def test_bars_are_as_long_as_their_values_and_escape_their_names():
    html = plots.bars([("<b>one</b>", 10), ("two", 5), ("none", 0)], "c", unit="pictures")
    widths = [float(r.get("width")) for r in svg(html).iter("rect")]
    assert widths[0] == pytest.approx(2 * widths[1], rel=0.01) and widths[2] < 1
    assert "<b>" not in html.text


def test_lines_end_where_their_values_end_and_skip_gaps():
    html = plots.lines([Series(name="val & test", x=[0, 1, 2, 3], y=[0.1, 0.5, float("nan"), 0.9]),
                        Series(name="empty", x=[], y=[])], "hmean", x="step", y="score")  # fmt: skip
    lines = [e.get("points").split() for e in svg(html).iter("polyline")]
    assert [len(points) for points in lines] == [3]
    assert "val &amp; test ends at 0.9" in html.text


def test_a_least_score_that_leaves_nothing_has_no_precision():
    from ocrmaps.report.run.score import sweeps

    curve = {"precision": [0.8, 0.9, 0.0, 0.0], "recall": [0.6, 0.3, 0.0, 0.0], "hmean": [0.69, 0.45, 0.0, 0.0]}
    sweep = {"cuts": [0.5, 0.7, 0.8, 0.9], "iou": {"0.5": curve}, "detections": [9, 5, 1, 0]}
    document = {"sweep": sweep, "reasons_at_iou": 0.5}
    trained = SimpleNamespace(extract=SimpleNamespace(score_min=0.5))
    drawn = re.findall(r'<polyline[^>]* points="([^"]*)"><title>([^<]*)', sweeps(trained, document)[0].text)
    assert [(name, len(points.split())) for points, name in drawn] == [
        ("IoU 0.5", 3), ("precision", 3), ("recall", 4), ("hmean", 4),
    ]  # fmt: skip


def test_ratios_of_one_kind_keep_names_that_tell_them_apart():
    names = [f"metrics/{of}_vs_reference" for of in ("icdar15_iou", "icdar15_deteval", "totaltext_deteval")]
    html = plots.ratios([(name, 2.0, 0.1) for name in names], "c")
    assert [e.text for e in svg(html).iter() if (e.text or "").startswith("metrics")] == names


def test_nothing_to_plot_is_said():
    assert "no values" in plots.lines([], "c", x="x", y="y").text
    assert "no values" in plots.bars([], "c", unit="u").text


def test_scores_that_are_all_zero_stand_on_an_axis_from_zero():
    for values in ([0.0, 0.0], [0.8, 0.9], [0.5]):
        drawn = svg(plots.lines([Series(name="hmean", x=range(len(values)), y=values)], "c", x="epoch", y="hmean"))
        ticks = [float(e.text) for e in drawn.iter() if e.tag.endswith("text") and e.get("text-anchor") == "end"
                 and re.fullmatch(r"-?[\d.]+", e.text or "")]  # fmt: skip
        assert min(ticks) == 0.0, values
    falls = svg(plots.lines([Series(name="loss", x=[0, 1], y=[-1.0, 2.0])], "c", x="epoch", y="loss"))
    assert any((e.text or "").startswith(("-1", "−1")) for e in falls.iter())


def test_an_hmean_of_zero_is_no_good_news(tmp_path):
    from ocrmaps.report.run.score import quick_cards
    from ocrmaps.training.folder import RunFolder

    def shown(*rows):
        return quick_cards(RunFolder(folder=tmp_path / "run", settings={}, environment={}, result={}, rows=rows)).text

    zero = shown({"epoch": 1, "val/hmean": 0.0, "val/loss": 2.0}, {"epoch": 2, "val/hmean": 0.0, "val/loss": 1.0})
    assert "No text was found" in zero and "ocrmaps debug doctor" in zero and "good" not in zero
    some = shown({"epoch": 1, "val/hmean": 0.5, "val/loss": 2.0}, {"epoch": 2, "val/hmean": 0.5, "val/loss": 1.0})
    assert "good" in some and "epoch 2" in some
