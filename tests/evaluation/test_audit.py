"""An audit of labels whose errors are known: each kind is found where it is, by detections that are made up."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from ocrmaps.annotations import Sample, open_source, read
from ocrmaps.canonical import CanonicalSpec, plan
from ocrmaps.cli.app import app
from ocrmaps.errors import DataError, SpecError
from ocrmaps.evaluation.audit.calibration import NUMBERS, calibrated, error_odds
from ocrmaps.evaluation.audit.decisions import Decided, corrected, read_decisions
from ocrmaps.evaluation.audit.faults import TURNS, put_in, turned
from ocrmaps.evaluation.audit.judge import _of_outlines, audit
from ocrmaps.evaluation.audit.pages import undone
from ocrmaps.evaluation.audit.records import KINDS, OUTLINE_KINDS, AuditResult, Evidence, LabelFinding
from ocrmaps.evaluation.audit.tables import write_tables, write_tasks
from ocrmaps.evaluation.audit.traits import pieces_on
from ocrmaps.geometry import PolygonSet
from ocrmaps.maps import MapSpec, draw_maps
from ocrmaps.pipelines.bench.audit import average_precision, measure_kinds, measure_together, reliability
from ocrmaps.pipelines.bench.calibration import LooksTable, fit_numbers, tables_of
from ocrmaps.pipelines.data import synth
from ocrmaps.report.audit import audit_page

HEIGHT, WIDTH, PAGES, LINES = 320, 256, 14, 9


def _box(x0: float, y0: float, x1: float, y1: float) -> list[tuple[float, float]]:
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


def _page(rng: np.random.Generator, name: str) -> tuple[Sample, Evidence]:
    """Two columns of lines and an ignored smear below; what is seen is exact but for a pixel's noise."""
    boxes = []
    for line in range(LINES):
        y = 12 + 30 * line + rng.uniform(-3, 3)
        boxes.append(_box(12, y, 12 + rng.uniform(60, 110), y + 14))
        boxes.append(_box(150, y, 150 + rng.uniform(30, 90), y + 14))
    smear = _box(20, 292, 120, 308)
    truth = PolygonSet.of(
        [*boxes, smear],
        frame="upright",
        ignore=[False] * len(boxes) + [True],
        texts=[f"text {i}" for i in range(len(boxes))] + [None],
    )
    transform = plan((HEIGHT, WIDTH), 1, CanonicalSpec(canvases=[(HEIGHT, WIDTH)], side=HEIGHT))
    seen = PolygonSet.of([np.array(box) + rng.uniform(-0.7, 0.7, (4, 2)) for box in boxes], frame="canonical")
    maps = draw_maps(seen, MapSpec(), (HEIGHT, WIDTH))
    evidence = Evidence(
        picture=name,
        detections=seen,
        scores=rng.uniform(0.88, 0.97, len(seen)),
        probability=maps.probability.astype(np.float32) * np.float32(0.95),
        transform=transform,
    )
    return Sample(id=name, polygons=truth, loc=name, size=(HEIGHT, WIDTH)), evidence


def _changed(sample: Sample, points: dict[int, object], *, drop: tuple[int, ...] = (), add: tuple[object, ...] = ()):
    polygons = sample.polygons
    keep = [i for i in range(len(polygons)) if i not in drop]
    return replace(
        sample,
        polygons=PolygonSet.of(
            [*(points.get(i, polygons[i]) for i in keep), *add],
            frame=polygons.frame,
            ignore=[*polygons.ignore[keep].tolist(), *(False for _ in add)],
            texts=[*(polygons.texts[i] for i in keep), *(None for _ in add)],
        ),
    )


def _flip(sample: Sample, i: int) -> Sample:
    flags = sample.polygons.ignore.copy()
    flags[i] = not flags[i]
    return replace(sample, polygons=sample.polygons.with_ignore(flags))


def _halves(sample: Sample, i: int) -> Sample:
    (x0, y0), (x1, y1) = sample.polygons[i].min(axis=0), sample.polygons[i].max(axis=0)
    middle = (x0 + x1) / 2
    return _changed(sample, {i: _box(x0, y0, middle, y1)}, add=(_box(middle, y0, x1, y1),))


def _joined(sample: Sample, i: int, j: int) -> Sample:
    both = np.concatenate([sample.polygons[i], sample.polygons[j]])
    return _changed(sample, {i: _box(*both.min(axis=0), *both.max(axis=0))}, drop=(j,))


ERRORS: dict[str, Callable[[Sample], Sample]] = {
    "missing": lambda s: _changed(s, {}, drop=(4,)),
    "spurious": lambda s: _changed(s, {}, add=(_box(150, 285, 230, 299),)),
    "shifted": lambda s: _changed(s, {4: s.polygons[4] + [0, 8]}),
    "too_tight": lambda s: _changed(s, {4: _box(*s.polygons[4][0], *(s.polygons[4][2] - [40, 0]))}),
    "too_loose": lambda s: _changed(s, {4: _box(*(s.polygons[4][0] - 9), *(s.polygons[4][2] + 9))}),
    "merged": lambda s: _joined(s, 4, 5),
    "split": lambda s: _halves(s, 4),
    "duplicate": lambda s: _changed(s, {}, add=(s.polygons[4] + 1,)),
    "should_read": lambda s: _flip(s, 4),
    "should_ignore": lambda s: _flip(s, 18),
    "wrong_frame": lambda s: replace(s, polygons=turned(s.polygons, (HEIGHT, WIDTH), "turned by 180")),
}


@pytest.fixture(scope="module")
def pages() -> tuple[list[Sample], dict[str, Evidence]]:
    rng = np.random.default_rng(3)
    made = [_page(rng, f"{i:02}.jpg") for i in range(PAGES)]
    return [sample for sample, _ in made], {sample.id: seen for sample, seen in made}


@pytest.fixture(scope="module")
def wrong(pages) -> tuple[list[Sample], AuditResult, dict[str, str]]:
    """One page with each kind of error, three without; what the audit says; and which picture has which error."""
    samples, seen = pages
    place = dict(zip(ERRORS, (s.id for s in samples), strict=False))
    changed = [ERRORS[kind](sample) for (kind, _), sample in zip(place.items(), samples, strict=False)]
    changed += samples[len(changed) :]
    return changed, audit(changed, seen), place


@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_of_each_kind_is_the_first_finding_of_its_picture(wrong, kind):
    _, result, place = wrong
    first = next(f for f in result.findings if f.picture == place[kind])
    assert first.kind == kind, first
    if kind not in ("missing", "spurious", "duplicate", "wrong_frame", "should_ignore"):
        assert 4 in (first.outline, *first.others)


def test_pages_without_errors_come_last_and_have_no_likely_finding(wrong):
    _, result, place = wrong
    right = {p.picture for p in result.pictures} - set(place.values())
    assert right and not [f for f in result.findings if f.picture in right and f.probability > 0.3]
    assert {p.picture for p in result.pictures[-len(right) :]} == right


def test_a_detector_that_does_not_see_the_text_is_named(wrong, pages):
    samples, seen = pages
    assert wrong[1].warning == "" and wrong[1].agreement > 0.85
    off = {k: replace(e, detections=replace(e.detections, points=e.detections.points + 9)) for k, e in seen.items()}
    assert "does not suit these pictures" in audit(samples[:2], off).warning


def test_an_error_of_two_outlines_is_one_finding(wrong):
    _, result, place = wrong
    for kind in ("split", "duplicate"):
        likely = [f for f in result.findings if f.picture == place[kind] and f.probability > 0.3]
        assert len(likely) == 1 and likely[0].others


def test_the_same_labels_give_the_same_audit(pages):
    samples, seen = pages
    few = samples[:2]
    one, two = audit(few, seen), audit(list(few), dict(reversed(seen.items())))
    assert [(f.key, f.probability) for f in one.findings] == [(f.key, f.probability) for f in two.findings]


def test_a_picture_without_evidence_is_refused(pages):
    samples, seen = pages
    with pytest.raises(DataError, match=r"no evidence for 1 pictures, the first is 01\.jpg"):
        audit(samples[:2], {samples[0].id: seen[samples[0].id]})


def test_pictures_without_outlines_or_detections_are_judged(pages):
    samples, seen = pages
    empty = replace(samples[0], polygons=PolygonSet.empty("upright"))
    blank = replace(seen[samples[1].id], detections=PolygonSet.empty("canonical"), scores=np.zeros(0))
    result = audit([empty, samples[1]], {samples[0].id: seen[samples[0].id], samples[1].id: blank})
    assert len(result.pictures) == 2
    alone = audit([empty], seen)
    assert not [f for f in alone.findings if f.outline is not None]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "should_ignore"])
def test_as_many_errors_are_put_in_as_are_named(pages, kind):
    samples, _ = pages
    sizes = {s.id: (HEIGHT, WIDTH) for s in samples}
    faulty = put_in(samples, sizes, {kind: 0.3}, seed=4)
    faults = [fault for f in faulty for fault in f.faults]
    assert faults and {fault.kind for fault in faults} == {kind}
    assert [f.sample.polygons.points.tolist() for f in faulty] == [
        f.sample.polygons.points.tolist() for f in put_in(samples, sizes, {kind: 0.3}, seed=4)
    ]
    for f, before in zip(faulty, samples, strict=True):
        assert all(0 <= i < len(f.sample.polygons) for fault in f.faults for i in fault.outlines)
        if not f.faults:
            assert f.sample.polygons == before.polygons


def test_an_unknown_kind_of_error_is_refused(pages):
    with pytest.raises(SpecError, match="found kind of error 'odd'"):
        put_in(pages[0], {}, {"odd": 0.1}, seed=0)


@pytest.mark.parametrize("how", TURNS)
def test_what_was_turned_comes_back(pages, how):
    polygons = pages[0][0].polygons
    there = turned(polygons, (HEIGHT, WIDTH), how)
    assert not np.allclose(there.points, polygons.points)
    assert np.allclose(undone(there, (HEIGHT, WIDTH), how).points, polygons.points)


def test_average_precision_counts_what_was_never_found():
    assert average_precision([(0.9, 0)], 2) == 0.5
    assert average_precision([(0.9, -1), (0.8, 0)], 1) == 0.5
    assert average_precision([], 3) == 0.0


def test_reliability_is_told_in_ranges():
    ranges = reliability([(0.9, True), (0.95, False), (0.1, False)])
    assert [(r["from"], r["findings"], r["right"]) for r in ranges] == [(0.0, 1.0, 0.0), (0.8, 2.0, 0.5)]


def test_the_measure_of_one_kind_is_high_on_exact_labels(pages):
    samples, seen = pages
    one, two, both = (
        measure_kinds(samples[:4], seen, rates=(0.1,), seeds=seeds, kinds=("duplicate",))[0][0]
        for seeds in ((1,), (2,), (1, 2))
    )
    assert both.average_precision > 0.8 and both.errors == one.errors + two.errors > 3
    assert both.average_precision == pytest.approx((one.average_precision + two.average_precision) / 2)
    assert (one.spread, both.spread) == pytest.approx((0, abs(one.average_precision - two.average_precision) / 2))


def test_probabilities_are_held_against_errors_of_all_kinds_at_once(pages):
    samples, seen = pages
    (trust,) = measure_together(samples[:6], seen, rates=(0.3,), seeds=(1,))
    assert trust.findings >= trust.errors > 10
    assert trust.brier < trust.brier_share, "better than one probability for all findings"
    assert trust.expected == pytest.approx(trust.errors, rel=0.5)


@pytest.mark.parametrize("kind", NUMBERS)
def test_a_probability_grows_with_the_look_and_with_how_common_the_look_is(kind):
    rows = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 1e3]])
    rare, common = (calibrated(rows, np.array([1 - share, share]), [kind])[:, 1] for share in (0.0005, 0.02))
    assert rare[0] == 0 and (np.diff(rare) > 0).all() and (common[1:] > rare[1:]).all() and common.max() < 1


def test_numbers_are_fitted_to_what_looks_were_worth():
    """Of two looks, one is wrong every time and one every second time."""
    n, kinds = 2000, ("shifted", "split")
    likeness = np.tile([1.0, 0.0, 0.0], (n, 1))
    likeness[:40, 1] = likeness[40:80, 2] = 1e4
    wrong = np.arange(n) < 60
    looks = np.array([0.96, 0.02, 0.02])
    found = fit_numbers([LooksTable(kinds=kinds, likeness=likeness, looks=looks, wrong=wrong)])
    odds = error_odds(likeness, looks, [found[kind] for kind in kinds])
    sure = odds / (1 + odds)
    assert sure[0] > 0.9 and sure[50] == pytest.approx(0.5, abs=0.1) and sure[-1] == 0


def test_errors_that_were_put_in_are_in_the_tables(pages):
    samples, seen = pages
    tables = tables_of(samples[:3], seen, {"duplicate": 0.3}, seed=1)
    assert [len(t.likeness) == len(t.wrong) for t in tables] == [True, True, True]
    assert tables[0].wrong.sum() > 10 and not tables[2].wrong.any()


def _finding(wrong, kind: str) -> tuple[Sample, LabelFinding]:
    samples, result, place = wrong
    finding = next(f for f in result.findings if f.picture == place[kind])
    return next(s for s in samples if s.id == place[kind]), finding


def test_a_part_of_a_merged_outline_that_has_one_already_is_not_drawn_again(wrong, pages):
    sample, finding = _finding(wrong, "merged")
    part = next(p for s in pages[0] if s.id == sample.id for i, p in enumerate(s.polygons) if i == 5)
    both = _changed(sample, {}, add=(part,))
    assert len(corrected(both, [finding]).polygons) == len(both.polygons)
    assert len(corrected(sample, [finding]).polygons) == len(sample.polygons) + 1


def test_an_accepted_duplicate_whose_twin_is_in_another_finding_goes(wrong):
    sample, finding = _finding(wrong, "duplicate")
    assert len(corrected(sample, [replace(finding, others=())]).polygons) == len(sample.polygons) - 1


def test_an_outline_that_hardly_touches_its_text_is_brought_back_to_it_and_not_to_a_neighbors(pages):
    """It lies between two lines, more on the one below, which has an outline of its own."""
    sample = pages[0][0]
    (x0, _), (x1, bottom), (_, top) = sample.polygons[4][0], sample.polygons[4][2], sample.polygons[6][0]
    off = _changed(sample, {4: _box(x0, bottom - 3, x1, top + 4)})
    table = np.zeros((len(off.polygons), 1 + len(OUTLINE_KINDS)))
    table[:, 0], table[4, 0], table[4, 1 + OUTLINE_KINDS.index("shifted")] = 1, 0.1, 0.9
    (finding,) = _of_outlines(off, pages[1][sample.id], table)
    (proposed,) = finding.proposed
    assert np.abs(proposed - sample.polygons[4]).max() < 1.5


@pytest.mark.parametrize("kind", [kind for kind in ERRORS if kind != "wrong_frame"])
def test_an_accepted_finding_brings_the_label_back(wrong, pages, kind):
    sample, finding = _finding(wrong, kind)
    right = next(s for s in pages[0] if s.id == sample.id).polygons
    mended = corrected(sample, [finding]).polygons
    assert len(mended) == len(right) and mended.ignore.sum() == right.ignore.sum()
    for points in right:  # the detector is right to a pixel and a half
        assert min(np.abs(other.mean(axis=0) - points.mean(axis=0)).max() for other in mended) < 1.5


def test_decisions_are_read_back_and_change_what_is_believed(tmp_path, wrong):
    _, finding = _finding(wrong, "split")
    file = tmp_path / "decisions.json"
    file.write_text(json.dumps({"ocrmaps_audit": 1, "name": "x", "decisions": {finding.key: "reject"}}))
    decided = read_decisions(file)
    assert decided.of(finding) == "reject" and decided.belief()["split"] < 2 / 3
    for text, words in (
        ("[]", "expected the decisions of an audit"),
        ("{", "it is no JSON"),
        ('{"ocrmaps_audit": 1, "decisions": {"a": "perhaps"}}', "found decision 'perhaps'"),
    ):
        file.write_text(text)
        with pytest.raises(DataError, match=words):
            read_decisions(file)


def test_tables_hold_every_finding_and_no_formula(tmp_path, wrong):
    samples, result, _ = wrong
    evil = replace(result.findings[0], text="=1+1")
    write_tables(replace(result, findings=(evil, *result.findings[1:])), Decided(), {}, tmp_path, raw_csv=False)
    rows = list(csv.DictReader((tmp_path / "findings.csv").read_text(encoding="utf-8").splitlines()))
    whole = json.loads((tmp_path / "audit.json").read_text(encoding="utf-8"))
    assert len(rows) == len(whole["findings"]) == len(result.findings)
    assert rows[0]["text"] == "'=1+1" and whole["findings"][0]["text"] == "=1+1"
    chances = [f["probability"] for f in whole["findings"]]
    assert chances == sorted(chances, reverse=True)
    assert len(whole["pictures"]) == len(samples)


def test_tasks_hold_outlines_with_accepted_corrections(tmp_path, wrong):
    samples, result, place = wrong
    _, missing = _finding(wrong, "missing")
    decided = Decided(decisions={missing.key: "accept"})
    file = tmp_path / "tasks.json"
    write_tasks(samples, result.findings, decided, file, prefix="")
    tasks = {task["data"]["ocr"]: task for task in json.loads(file.read_text(encoding="utf-8"))}
    by_id = {s.id: s for s in read(open_source(file, format="labelstudio", pictures=tmp_path))}
    before = {s.id: s for s in samples}
    assert len(by_id[place["missing"]].polygons) == len(before[place["missing"]].polygons) + 1
    assert len(by_id[place["spurious"]].polygons) == len(before[place["spurious"]].polygons)
    assert tasks[place["missing"]]["data"]["findings"].startswith("missing")


class _Tags(HTMLParser):
    """Every element's attributes, and whether all that opens closes in order."""

    VOID = ("meta", "link", "img", "input", "br", "hr")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_shows_findings_as_text(tmp_path, wrong):
    samples, result, place = wrong
    for name in place.values():
        Image.new("RGB", (WIDTH, HEIGHT), "white").save(tmp_path / name)
    source = _source(tmp_path)
    first = replace(result.findings[0], text="</script><b>&")
    listed = (first, *result.findings[1:5])
    decided = Decided(decisions={first.key: "later"})
    identity = {"source": "x", "detector": "d"}
    audit_page(source, samples, replace(result, findings=listed), listed, decided, identity, tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    tags = _Tags()
    tags.feed(text)
    assert tags.open == []
    shown = [a for tag, a in tags.found if tag == "article"]
    assert [a["data-key"] for a in shown] == [f.key for f in listed]
    ids = [a["id"] for _, a in tags.found if "id" in a]
    assert len(ids) == len(set(ids))
    wanted = ("review-data", "review-status", "review-warning", "review-open", "review-export", "review-import")
    assert set(wanted) < set(ids)
    assert "<b>&" not in text and sum(tag == "script" for tag, _ in tags.found) == 2
    assert not [a for tag, a in tags.found if a.get("src", "data:").startswith("http")]


def _source(folder: Path):
    (folder / "labels.json").write_text('{"images": {"00.jpg": {"words": {}}}}', encoding="utf-8")
    return open_source(folder / "labels.json", format="ufo", pictures=folder)


@pytest.fixture(scope="module")
def receipts(tmp_path_factory) -> tuple[Path, str, list[list[float]]]:
    """Three generated receipts, of which one has lost an outline."""
    folder = tmp_path_factory.mktemp("audit") / "receipts"
    synth(folder, format="ufo", num=3, seed=3, size=(640, 320), turned=0, curved=0, empty=0)
    file = folder / "annotations.json"
    data = json.loads(file.read_text(encoding="utf-8"))
    name, page = next(iter(data["images"].items()))
    lost = max(page["words"], key=lambda k: max(p[0] for p in page["words"][k]["points"]))
    place = page["words"].pop(lost)["points"]
    file.write_text(json.dumps(data), encoding="utf-8")
    return folder, name, place


def test_the_shipped_detector_finds_the_outline_that_was_lost(receipts, tmp_path):
    out, run = tmp_path / "out", CliRunner()
    state = tmp_path / "decisions.json"
    state.write_text('{"ocrmaps_audit": 1, "decisions": {"another.jpg|split|": "accept"}}')
    done = run.invoke(app, ["audit", str(receipts[0]), "--out", str(out), "--state", str(state), "--json"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["identity"]["decisions"] == 1
    first = next(f for f in said["findings"] if f["kind"] == "missing")
    place = PolygonSet.of([first["polygon"]], frame="upright")
    assert first["picture"] == receipts[1] and pieces_on(PolygonSet.of([receipts[2]], frame="upright"), place)[0] == 0
    assert {p.name for p in out.iterdir()} == {"audit.html", "audit.json", "findings.csv", "tasks.json"}
    refused = run.invoke(app, ["audit", str(receipts[0]), "--out", str(out)])
    assert isinstance(refused.exception, SpecError) and "already holds" in str(refused.exception)
