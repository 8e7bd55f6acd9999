"""Every finding, each from the smallest source that has it; and museum B4, B27, B29 and B33."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from ocrmaps.annotations.checks.checkup import Checkup, check
from ocrmaps.annotations.checks.findings import Finding
from ocrmaps.annotations.named import open_sources
from ocrmaps.canonical import CanonicalSpec
from tests.checks.conftest import box, picture

SPEC = CanonicalSpec.longest(640)


def checkup(*paths, frame="upright", **options) -> Checkup:
    return check(open_sources([str(p) for p in paths], frame=frame), spec=SPEC, workers=2, **options)


def found(path, **options) -> dict[str, Finding]:
    return {f.kind: f for f in checkup(path, **options).healths[0].findings}


FINE = [box(10, 10, 80, 20), box(10, 40, 60, 20)]


def test_a_sound_source_has_nothing_to_report(make_source):
    result = checkup(make_source({f"{i}.png": picture(200, 150, seed=i) for i in range(3)},
                                 {f"{i}.png": FINE for i in range(3)}))  # fmt: skip
    assert result.ok
    assert result.healths[0].findings == ()


@pytest.mark.parametrize(
    ("outline", "kind", "severity"),
    [
        (box(150, 50, 120, 20), "out-of-bounds", "problem"),
        (box(150, 50, 52, 20), "slightly-out", "note"),
        (box(900, 50, 80, 20), "outside-picture", "problem"),
        ([[10, 100], [90, 100], [170, 100], [180, 100]], "degenerate-outline", "problem"),
        ([[10, 80], [90, 120], [90, 80], [10, 120]], "crossing-outline", "problem"),
        (FINE[0], "duplicate-outline", "problem"),
        (box(10.5, 10, 80, 20), "near-duplicate-outline", "note"),
        (box(1, 1, 190, 140), "giant-outline", "note"),
        (box(10, 100, 120, 0.8), "thin-outline", "note"),
        (box(3e6, 100, 120, 20), "absurd-coordinates", "problem"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_outline_with_a_fault_is_reported_by_name_with_its_place(make_source, outline, kind, severity):
    path = make_source({"a.png": picture(200, 150)}, {"a.png": [*FINE, outline]})
    finding = found(path)[kind]
    assert (finding.severity, finding.count, finding.pictures, finding.of) == (severity, 1, 1, 3)
    assert (finding.examples[0].sample, finding.examples[0].polygon) == ("a.png", 2)
    assert checkup(path).ok == (severity == "note")


def test_the_worst_example_comes_first(make_source):
    outlines = [box(100, 10 + 20 * i, 100 + reach, 10) for i, reach in enumerate((20, 70, 50))]
    finding = found(make_source({"a.png": picture(200, 150)}, {"a.png": outlines}))["out-of-bounds"]
    assert [e.polygon for e in finding.examples] == [1, 2, 0]
    assert "70.0 px" in finding.examples[0].detail


def test_pictures_are_missing_unannotated_damaged_blank_empty_or_tiny_by_name(make_source):
    buffer = io.BytesIO()
    Image.new("RGB", (200, 150), (9, 9, 9)).save(buffer, "PNG")
    blank = buffer.getvalue()
    path = make_source(
        {
            "fine.png": picture(200, 150),
            "cut.png": picture(200, 150, seed=1)[:2000],
            "blank.png": blank,
            "empty.png": picture(200, 150, seed=2),
            "dot.png": picture(1, 1, seed=3),
            "nobody.png": picture(200, 150, seed=4),
            "hidden.png": picture(200, 150, seed=5),
        },
        {
            "fine.png": FINE,
            "cut.png": FINE,
            "blank.png": FINE,
            "empty.png": [],
            "dot.png": [],
            "gone.png": FINE,
            "hidden.png": [{"points": FINE[0], "illegibility": True}],
        },
    )
    f = found(path)
    named = {kind: [e.sample for e in f[kind].examples] for kind in f}
    assert "gone.png" in f["missing-picture"].examples[0].detail
    assert named["corrupt-picture"] == ["cut.png"]
    assert named["blank-picture"] == ["blank.png"]
    assert set(named["empty-picture"]) == {"empty.png", "dot.png"}
    assert named["small-picture"] == ["dot.png"]
    assert named["ignored-picture"] == ["hidden.png"]
    assert named["orphan-picture"] == ["nobody.png"]
    assert {k for k in f if f[k].severity == "problem"} == {"missing-picture", "corrupt-picture", "blank-picture"}


@pytest.mark.parametrize(
    ("claimed", "orientation", "kind"),
    [
        ((100, 100), 1, "size-mismatch"),
        ((150, 200), 1, "size-swapped"),
        ((200, 150), 1, None),
        ((200, 150), 6, "size-other-frame"),
        ((150, 200), 6, None),
    ],
)
def test_claimed_sizes_are_compared_with_the_picture_in_the_declared_frame(make_source, claimed, orientation, kind):
    path = make_source(
        {"a.png": picture(200, 150, orientation=orientation)}, {"a.png": FINE}, claimed={"a.png": claimed}
    )
    kinds = {k for k in found(path) if k.startswith("size")}
    assert kinds == ({kind} if kind else set())


def test_an_odd_orientation_tag_is_taken_as_stored_and_said(make_source):
    path = make_source({"a.png": picture(200, 150, orientation=0)}, {"a.png": FINE})
    finding = found(path)["odd-orientation"]
    assert finding.severity == "note" and "0" in finding.examples[0].detail


def test_annotations_alone_are_checked_and_said_to_be_alone(make_source):
    path = make_source({}, {"a.png": [*FINE, box(300, 10, 9, 9)], "b.png": FINE}, claimed={"a.png": (200, 150)})
    health = checkup(path).healths[0]
    kinds = {f.kind: f for f in health.findings}
    assert health.facts.annotation_only
    assert kinds["no-pictures"].severity == "note" and kinds["no-pictures"].count == 2
    assert "missing-picture" not in kinds
    assert kinds["outside-picture"].count == 1, "bounds of the claimed size"


def test_all_pictures_missing_beside_other_pictures_is_a_problem(make_source):
    path = make_source({"x.png": picture(20, 20)}, {"a.png": FINE})
    assert found(path)["missing-picture"].severity == "problem"


def test_no_sample_at_all_is_a_problem(make_source):
    assert found(make_source({"a.png": picture(20, 20)}, {}))["no-samples"].severity == "problem"


def test_what_a_reader_refuses_is_a_problem_with_its_place(make_source):
    path = make_source({"a.png": picture(200, 150)}, {"a.png": [*FINE, [[1, 2], ["x", 3], [4, 5]]]})
    result = checkup(path)
    assert not result.ok
    assert any("labels.json" in e.sample for f in result.healths[0].problems for e in f.examples)


def test_a_link_out_of_the_picture_folder_is_not_followed(make_source, tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(picture(90, 90))
    path = make_source({"a.png": picture(200, 150)}, {"a.png": FINE, "b.png": FINE})
    (path / "images" / "b.png").symlink_to(secret)
    health = checkup(path).healths[0]
    assert any(f.kind == "unsafe-path" for f in health.problems)
    assert [s.id for s, look in zip(health.facts.samples, health.facts.looks, strict=True) if look] == ["a.png"]


def test_b1_a_contradicted_declaration_is_a_problem_with_the_fix(make_source):
    pictures = {f"{i}.png": picture(200, 150, orientation=6, seed=i) for i in range(4)}
    path = make_source(pictures, {name: [*FINE, box(20, 170, 80, 20)] for name in pictures})
    assert checkup(path).ok
    finding = found(path, frame="raw")["frame-contradicted"]
    assert finding.severity == "problem" and finding.hint == "declare it: --frame upright"


def test_b4_a_rule_that_strikes_one_orientation_points_at_the_frame_and_not_at_labels(make_source):
    pictures = {f"t{i}.png": picture(200, 150, orientation=6, seed=i) for i in range(4)}
    pictures |= {f"s{i}.png": picture(200, 150, seed=10 + i) for i in range(12)}
    path = make_source(pictures, {name: [*FINE, box(20, 170, 80, 20)] if name[0] == "t" else FINE for name in pictures})
    finding = found(path, frame="raw")["outside-picture"]
    assert finding.by_orientation == ((1, 0, 12), (6, 4, 4))
    assert finding.suspect_frame


def test_b4_a_rule_that_strikes_all_orientations_alike_does_not_blame_the_frame(make_source):
    pictures = {f"{i}.png": picture(200, 150, orientation=6 if i % 2 else 1, seed=i) for i in range(8)}
    path = make_source(pictures, {name: [*FINE, box(400, 400, 80, 20)] for name in pictures})
    finding = found(path)["outside-picture"]
    assert finding.by_orientation == ((1, 4, 4), (6, 4, 4))
    assert not finding.suspect_frame


def test_b4_a_rare_fault_is_not_spread_over_orientations(make_source):
    finding = Finding(kind="out-of-bounds", severity="problem", count=1, of=9, unit="outlines", message="-")
    assert finding.by_orientation == () and not finding.suspect_frame


def test_b27_small_outlines_are_judged_where_they_were_annotated_and_only_noted_at_scale(make_source):
    # 6 px on a 2000 px scan are sound labels although they become 2 px at longest side 640.
    path = make_source(
        {"a.png": picture(1500, 2000, format="JPEG")}, {"a.png": [box(10, 10, 200, 6), box(10, 40, 200, 6)]}
    )
    result = checkup(path)
    kinds = {f.kind: f for f in result.healths[0].findings}
    assert result.ok
    assert kinds["tiny-text"].count == 2 and kinds["all-tiny-picture"].count == 1
    assert result.healths[0].facts.scored.all()
    assert np.allclose(result.healths[0].facts.heights, 6 * 640 / 2000)


def test_b29_checking_changes_neither_annotations_nor_points(make_source):
    path = make_source({"a.png": picture(200, 150)}, {"a.png": [*FINE, box(-7, 140, 500, 30)]})
    before = {p: p.read_bytes() for p in path.rglob("*") if p.is_file()}
    sample = checkup(path).healths[0].facts.samples[0]
    assert sample.polygons[2].tolist() == box(-7, 140, 500, 30)
    assert {p: p.read_bytes() for p in path.rglob("*") if p.is_file()} == before


def test_b33_a_picture_in_two_splits_is_a_leak_reported_for_the_later_source(make_source):
    shared_picture = picture(200, 150, seed=1)
    train = make_source({"a.png": shared_picture, "b.png": picture(200, 150, seed=2)},
                        {"a.png": FINE, "b.png": FINE}, folder="one")  # fmt: skip
    val = make_source({"c.png": shared_picture}, {"c.png": FINE}, folder="two")
    result = checkup(f"train={train}", f"val={val}")
    assert [[f.kind for f in h.findings] for h in result.healths] == [[], ["leaked-picture"]]
    finding = result.healths[1].findings[0]
    assert finding.severity == "problem" and finding.examples[0].other == "train one: a.png"


def test_b33_the_same_data_as_val_and_test_leaks_completely(make_source):
    path = make_source({f"{i}.png": picture(200, 150, seed=i) for i in range(3)}, {f"{i}.png": FINE for i in range(3)})
    result = checkup(f"val={path}", f"test={path}")
    assert result.healths[1].findings[0].kind == "leaked-picture"
    assert result.healths[1].findings[0].count == 3


@pytest.mark.parametrize("prefixes", [("train=", "train="), ("", "")])
def test_copies_within_a_split_are_notes_and_between_unnamed_sources_leaks(make_source, prefixes):
    same = picture(200, 150, seed=1)
    one = make_source({"a.png": same}, {"a.png": FINE}, folder="one")
    two = make_source({"b.png": same}, {"b.png": FINE}, folder="two")
    result = checkup(f"{prefixes[0]}{one}", f"{prefixes[1]}{two}")
    kind = result.healths[1].findings[0].kind
    assert kind == ("duplicate-picture" if prefixes[0] else "leaked-picture")
    assert result.ok == bool(prefixes[0])


def test_without_decoding_only_equal_files_are_found(make_source):
    path = make_source({"a.png": picture(200, 150), "b.png": picture(200, 150), "c.png": picture(200, 150)[:900]},
                       {"a.png": FINE, "b.png": FINE, "c.png": FINE})  # fmt: skip
    kinds = {f.kind: f for f in checkup(path, pixels=False).healths[0].findings}
    assert kinds["duplicate-picture"].count == 1
    assert "corrupt-picture" not in kinds


@pytest.mark.shared
def test_real_receipts_have_no_problem_and_their_known_oddities(shared):
    root = shared / "data" / "sroie"
    result = check(open_sources([f"train={root / 'train'}", f"val={root / 'val'}"]), spec=SPEC, workers=2, pixels=False)
    assert result.ok
    train, val = ({f.kind: f.count for f in h.findings} for h in result.healths)
    assert train == {"near-duplicate-outline": 3, "tiny-text": 93, "duplicate-picture": 3}
    assert val == {"tiny-text": 54}


def test_b33_a_leak_is_not_hidden_by_an_equal_file_in_a_source_of_the_same_split(make_source):
    again = io.BytesIO()
    Image.open(io.BytesIO(picture(600, 400, seed=1))).save(again, "PNG", compress_level=0)
    one = make_source({"x.png": picture(600, 400, seed=1)}, {"x.png": FINE}, folder="one")
    two = make_source({"x.png": picture(600, 400, seed=1)}, {"x.png": FINE}, folder="two")
    three = make_source({"y.png": again.getvalue()}, {"y.png": FINE}, folder="three")
    result = checkup(f"train={one}", f"val={two}", f"train={three}")
    kinds = {f.kind for f in result.healths[2].findings}
    assert "leaked-picture" in kinds


@pytest.mark.parametrize("unit, size", [(1, (200, 150)), (100, (200, 150)), (1000, (1200, 1500))])
def test_outlines_that_are_shares_of_the_sides_are_noted(make_source, unit, size):
    """LayoutLM's data sets have thousandths; read as pixels they would lie in the upper left of every scan."""
    shares = [box(0.045 * i * unit, 0.045 * i * unit, 0.05 * unit, 0.04 * unit) for i in range(20)]
    pictures = {f"{i}.png": picture(*size, seed=i) for i in range(2)}
    finding = found(make_source(pictures, dict.fromkeys(pictures, shares)))["other-unit"]
    assert (finding.severity, finding.count, finding.pictures) == ("note", 40, 2)
    assert f"within 0 and {unit} " in finding.message


@pytest.mark.parametrize("beyond", [box(195, 5, 20, 8), box(-5, 5, 20, 8)])
def test_one_outline_beyond_tells_that_these_are_pixels(make_source, beyond):
    lines = [box(4 * i, 4 * i, 20, 20) for i in range(20)]
    pictures = {"a.png": picture(300, 250), "b.png": picture(300, 250, seed=1)}
    assert "other-unit" in found(make_source(pictures, dict.fromkeys(pictures, lines)))
    assert "other-unit" not in found(make_source(pictures, {"a.png": lines, "b.png": [*lines, beyond]}, folder="b"))
