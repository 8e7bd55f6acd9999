"""The page in a real browser: nothing overflows a phone, only its own script runs, no word in the console."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from ocrmaps.pagekit import page as part
from ocrmaps.pagekit import plots
from ocrmaps.pagekit.page import Card, Section, Tile
from ocrmaps.pagekit.pictures import jpeg
from tests.report.chromium import needs_browser, visit

pytestmark = needs_browser

MEASURE = """
addEventListener("load", () => {
  const wide = [...document.querySelectorAll("body *")].filter(e => !e.closest(".scroll") &&
    e.getBoundingClientRect().right > innerWidth + 1).map(e => e.tagName);
  parent.postMessage(JSON.stringify({width: innerWidth, scroll: document.documentElement.scrollWidth, wide,
    images: document.images.length}), "*");
});
"""


def full_page(script: str) -> str:
    rng = np.random.default_rng(0)
    tile = Tile(data=jpeg(rng.integers(0, 255, (300, 200, 3), dtype=np.uint8)), width=200, height=300,
                title="a" * 90 + ".jpg", remark="reaches 12 px beyond " + "b" * 70)  # fmt: skip
    figure = plots.histogram(rng.gamma(4, 3, 900), "Text height", unit="px", marks=(4, 8))
    table = part.table(["name", *"abcdefgh"], [["x" * 40, *range(10**6, 10**6 + 8)]], caption="A wide table")
    body = (part.callout("problem", "w" * 300, remark="r" * 200, body=[part.gallery([tile] * 5)]), table,
            part.details("More", [part.preformatted("c" * 300)], open=True), part.grid([figure] * 3))  # fmt: skip
    top = [part.cards([Card(label="Pictures " * 3, value="123 456", remark="of many", tone="good")] * 5)]
    sections = [Section(title="Findings " + "z" * 60, body=body), Section(title="Two", body=())]
    return part.page("Data check: " + "y" * 120, sections, lead="l" * 200, top=top, script=script)


@pytest.mark.parametrize("width", [390, 1280])
def test_a_page_fits_its_window_and_runs_only_its_own_script(tmp_path, width):
    (tmp_path / "page.html").write_text(full_page(MEASURE), encoding="utf-8")
    # Headless windows are at least 500 wide; a frame is as wide as it is told.
    outer = tmp_path / "outer.html"
    outer.write_text(
        "<script>onmessage = e => { document.title = e.data }</script>"
        f'<iframe src="page.html" style="width:{width}px;height:900px;border:0"></iframe>',
        encoding="utf-8",
    )
    document, console = visit(outer, "--window-size=1600,1000")
    title = re.search(r"<title>(.*?)</title>", document, re.DOTALL)
    assert title is not None, console
    found = json.loads(title[1].replace("&quot;", '"'))
    assert found == {"width": width, "scroll": width, "wide": [], "images": 5}
    assert console == ""


def test_a_foreign_script_does_not_run_and_the_browser_says_so(tmp_path):
    path = tmp_path / "page.html"
    path.write_text(
        full_page("").replace("</body>", "<script>document.title = 'ran'</script></body>"), encoding="utf-8"
    )
    document, console = visit(path)
    assert "<title>ran</title>" not in document
    assert "Content Security Policy" in console
