"""The benchmark runs without reference data, says what it ran on, and its pages are ones the plain rules agree on."""

from __future__ import annotations

import pytest
import shapely

from ocrmaps.metrics import match_cleval, match_deteval, match_iou, pair_geometry
from ocrmaps.metrics.matching import measured
from ocrmaps.pipelines.bench.cases import metrics as bench_metrics
from ocrmaps.pipelines.bench.cases.scenes import scenes
from ocrmaps.pipelines.bench.references.metrics import plain_cleval, plain_deteval, plain_iou
from ocrmaps.pipelines.bench.references.published import cleval_version, published_cleval
from tests.metrics.pages import trouble


@pytest.fixture
def generated() -> list[bench_metrics.Page]:
    pages, source = bench_metrics.documents()
    assert source == "generated pages"
    return pages


def test_generated_pages_hold_as_many_words_as_the_documents_and_all_kinds_of_trouble(generated):
    assert len(generated) == 100 and {len(truth) for truth, _ in generated} == {105}
    counts = [match_cleval(*page).counts for page in generated[:5]]
    assert all(c.splits and c.merges for c in counts)
    assert 0.5 < match_iou(*generated[0]).counts(0.5).hmean < 1


def test_fast_and_plain_scores_agree_on_a_generated_page(generated):
    # A part of a page: the plain rules take seconds for a whole one.
    page = tuple(side.select(range(30)) for side in generated[0])
    assert match_iou(*page).pairs(0.5).tolist() == plain_iou(*page)["pairs"]
    for fast, plain in (
        (match_deteval(*page), plain_deteval(*page)),
        (match_cleval(*page).counts, plain_cleval(*page)),
    ):
        assert {name: getattr(fast, name) for name in plain} == pytest.approx(plain, abs=1e-6)


@pytest.mark.parametrize("kind", ["icdar15", "totaltext"])
def test_fast_and_plain_scores_agree_on_small_pictures(kind):
    for page in scenes(kind, 15, seed=1):
        assert match_iou(*page).pairs(0.5).tolist() == plain_iou(*page)["pairs"]
        credits, plain = match_deteval(*page), plain_deteval(*page)
        assert {name: getattr(credits, name) for name in plain} == pytest.approx(plain, abs=1e-6)
        if kind == "icdar15":
            counts, sums = match_cleval(*page).counts, plain_cleval(*page)
            assert {name: getattr(counts, name) for name in sums} == pytest.approx(sums, abs=1e-6)


def test_bent_outlines_are_measured_without_the_geometry_engine(monkeypatch):
    pages = scenes("totaltext", 5)
    sides = [measured(side) for page in pages for side in page]
    assert sum((~side.convex & side.simple).sum() for side in sides) > 20
    asked = []
    ours = shapely.intersection
    monkeypatch.setattr(shapely, "intersection", lambda a, b: asked.extend(a) or ours(a, b))
    overlaps = sum(len(pair_geometry(*page).overlap) for page in pages)
    assert overlaps > 20 and len(asked) <= overlaps // 10


def test_every_figure_has_its_name_unit_and_reference(monkeypatch):
    large = bench_metrics._large
    monkeypatch.setattr(
        bench_metrics, "documents", lambda source, number: ([trouble(seed) for seed in (3, 4, 5)], "test pages")
    )
    monkeypatch.setattr(bench_metrics, "_large", lambda repeats, n: large(repeats, 20))
    monkeypatch.setattr(bench_metrics, "scenes", lambda kind, number: scenes(kind, 2))
    results = bench_metrics.bench_metrics(repeats=1)
    assert {r["name"]: r["unit"] for r in results} == {
        "metrics/iou_vs_reference": "x",
        "metrics/deteval_vs_reference": "x",
        "metrics/cleval_vs_reference": "x",
        "metrics/iou_ms": "ms",
        "metrics/deteval_ms": "ms",
        "metrics/cleval_ms": "ms",
        "metrics/sweep_20_vs_single": "x",
        "metrics/icdar15_iou_vs_reference": "x",
        "metrics/icdar15_deteval_vs_reference": "x",
        "metrics/icdar15_cleval_vs_reference": "x",
        "metrics/totaltext_iou_vs_reference": "x",
        "metrics/totaltext_deteval_vs_reference": "x",
        "metrics/totaltext_cleval_ms": "ms",
        "metrics/boxes_20_s": "s",
        "metrics/boxes_20_piled_s": "s",
    }
    assert all(r["value"] > 0 and r["spread"] >= 0 and r["reference"] for r in results)
    assert "test pages" in results[0]["reference"]


def test_cleval_as_published_stands_beside_ours_where_it_is_installed():
    if cleval_version() is None:
        assert bench_metrics._published(1, 1) == []
        pytest.skip("the wheels cleval and polygon3 are not installed")
    names = [result["name"] for result in bench_metrics._published(1, 1)]
    assert names == [f"metrics/{kind}_cleval_vs_published" for kind in (
        "icdar15", "icdar15_single", "totaltext", "totaltext_single",
    )]  # fmt: skip
    for page in scenes("icdar15", 30, seed=2):
        counts, theirs = match_cleval(*page).counts, published_cleval(*page)().stats
        assert (counts.recall_total, counts.precision_total, counts.splits, counts.merges, counts.overlaps) == (
            theirs.det.num_char_gt, theirs.det.num_char_det,
            theirs.num_splitted, theirs.num_merged, theirs.num_char_overlapped,
        )  # fmt: skip
        assert counts.recall_sum == theirs.det.num_char_tp_recall - theirs.det.gran_score_recall
        precise = theirs.det.num_char_tp_precision - theirs.det.gran_score_precision
        assert counts.precision_sum == pytest.approx(precise)
