"""Invented receipts: the outlines hug the ink, whatever the paper and the camera do, and every byte is reproducible."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrmaps.annotations import WRITERS, open_source, read
from ocrmaps.annotations.synth.photo import Pose, dense
from ocrmaps.annotations.synth.press import TYPEFACES, _font
from ocrmaps.annotations.synth.receipts import ANNOTATIONS, Photo, encode, photo, photos, save
from ocrmaps.annotations.synth.spec import SynthSpec
from ocrmaps.annotations.synth.text import plain, write_rows
from ocrmaps.canonical import turn_upright
from ocrmaps.errors import AnnotationError, RunError, SpecError
from ocrmaps.geometry import Affine, upright_size
from ocrmaps.pictures import decode
from tests.annotations.test_writing import HERE

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"size": (448, 320), "text_height": (11, 20), "lines": (5, 14)}
CLEAN = {"desk": 0, "shading": 0, "noise": 0, "blur": 0, "distractors": 0, "illegible": 0, "empty": 0}
FLAT = {"rotation": 0, "skew": 0, "crumple": 0, "curved": 0}


def darkness(pixels) -> np.ndarray:
    """0 for blank paper to 1 for the darkest ink of a clean picture."""
    gray = pixels.mean(axis=2)
    paper = np.bincount(gray.round().astype(int).ravel()).argmax()
    return (paper - gray) / (paper - gray.min())


def centers(mask) -> np.ndarray:
    y, x = np.nonzero(mask)
    return np.stack([x, y], axis=1) + 0.5


def shown(shot: Photo):
    """Pixels in the frame of the annotation."""
    if shot.sample.polygons.frame == "raw":
        return shot.pixels
    return turn_upright(shot.pixels, shot.orientation)


def ink_faults(shot: Photo) -> list[str]:
    """Ink outside all outlines, and sides of outlines that stand away from their ink."""
    dark = darkness(shown(shot))
    outlines = [shapely.Polygon(points) for points in shot.sample.polygons]
    assert outlines
    ink = centers(dark > 0.5)
    covered = np.zeros(len(ink), dtype=bool)
    around = centers(dark > 0.2)
    faults = []
    for i, outline in enumerate(outlines):
        covered |= shapely.contains_xy(outline.buffer(0.75), ink)
        inside = shapely.points(around[shapely.contains_xy(outline.buffer(1), around)])
        corners = shot.sample.polygons[i]
        half = len(corners) // 2
        upper, lower = corners[:half], corners[half:]
        sides = {
            "upper": upper, "lower": lower, "left": np.stack([lower[-1], upper[0]]),
            "right": np.stack([upper[-1], lower[0]]),
        }  # fmt: skip
        for name, side in sides.items():
            gap = shapely.distance(shapely.LineString(side), inside).min(initial=99)
            if gap > 1.9:
                faults.append(f"{shot.sample.polygons.texts[i]!r}: {gap:.1f} px of nothing at the {name} side")
    stray = ink[~covered]
    return faults + [f"ink outside all outlines at {point.tolist()}" for point in stray[:5]]


POSES = {
    "flat": FLAT,
    "turned a little": {**FLAT, "rotation": 8},
    "turned anyhow": {**FLAT, "rotation": 180},
    "sheared": {**FLAT, "skew": 15},
    "crumpled": {**FLAT, "crumple": 16},
    "curled, with an arched title": {**FLAT, "curved": 1},
    "all at once": {"rotation": 20, "skew": 5, "crumple": 6, "curved": 1},
}


@pytest.mark.parametrize("level", ["line", "word"])
@pytest.mark.parametrize("pose", POSES)
def test_outlines_hold_all_ink_and_hug_it(pose, level):
    spec = SynthSpec(**SMALL, **CLEAN, **POSES[pose], level=level, seed=3)
    assert [] == [fault for i in range(4) for fault in ink_faults(photo(spec, i))]


@pytest.mark.parametrize("move", [(2.0, 0.0), (0.0, 2.0), (-2.0, -2.0)])
def test_the_ink_check_sees_outlines_that_are_two_pixels_off(move):
    shot = photo(SynthSpec(**SMALL, **CLEAN, **FLAT, turned=0), 0)
    moved = [points + move for points in shot.sample.polygons]
    off = type(shot.sample.polygons).of(moved, frame="upright", texts=shot.sample.polygons.texts)
    sample = type(shot.sample)(id="x.jpg", polygons=off, loc="x")
    assert ink_faults(shot._replace(sample=sample))


@pytest.mark.parametrize("frame", ["upright", "raw"])
def test_outlines_follow_the_ink_in_pictures_stored_turned_or_mirrored(frame):
    spec = SynthSpec(**SMALL, **CLEAN, turned=1, frame=frame)
    for shot in (photo(spec, i) for i in range(12)):
        assert shot.sample.polygons.frame == frame
        assert shot.sample.size == shown(shot).shape[:2]
        assert [] == ink_faults(shot)


def test_every_orientation_is_used():
    spec = SynthSpec(size=(128, 128), lines=(1, 2), text_height=(10, 16), turned=0.9, num=60)
    assert set(range(1, 9)) == {shot.orientation for shot in photos(spec)}


def test_flat_outlines_have_four_points_and_bent_ones_more():
    counts = {
        curved: photo(SynthSpec(**SMALL, **CLEAN, **{**FLAT, "curved": curved}), 1).sample.polygons.counts()
        for curved in (0, 1)
    }
    assert set(counts[0].tolist()) == {4}
    assert counts[1].max() >= 10


def test_outlines_run_clockwise_from_the_start_of_the_text():
    spec = SynthSpec(**SMALL, rotation=0, turned=0)
    for shot in (photo(spec, i) for i in range(4)):
        assert (shot.sample.polygons.signed_areas() > 0).all()
        assert all(points[0].sum() < points[len(points) // 2].sum() for points in shot.sample.polygons)


SPECS = st.builds(
    SynthSpec,
    seed=st.integers(0, 2**32 - 1),
    size=st.tuples(st.integers(128, 400), st.integers(128, 400)),
    text_height=st.tuples(st.floats(6, 10), st.floats(10, 16)),
    lines=st.tuples(st.integers(1, 8), st.integers(8, 60)),
    level=st.sampled_from(["line", "word"]),
    frame=st.sampled_from(["upright", "raw"]),
    rotation=st.floats(0, 180),
    skew=st.floats(0, 30),
    crumple=st.floats(0, 16),
    spread=st.floats(0, 0.5),
    illegible=st.floats(0, 1),
    curved=st.sampled_from([0, 1]),
    desk=st.sampled_from([0, 1]),
    wide=st.sampled_from([0, 1]),
    turned=st.sampled_from([0, 1]),
    distractors=st.sampled_from([0, 1]),
    empty=st.just(0),
)


@settings(max_examples=60)
@given(spec=SPECS, index=st.integers(0, 10**6))
def test_any_settings_give_proper_outlines_inside_the_picture(spec, index):
    shot = photo(spec, index)
    polygons = shot.sample.polygons
    height, width = shown(shot).shape[:2]
    assert len(polygons)
    assert (polygons.points >= 0).all() and (polygons.points <= (width, height)).all()
    for points, ignore, text in zip(polygons, polygons.ignore, polygons.texts, strict=True):
        assert shapely.Polygon(points).is_valid and shapely.Polygon(points).area > 1
        assert (text is None) if ignore else text.strip() == text != ""


POSED = st.builds(
    lambda turn, waves: Pose(
        affine=Affine.translation(20, 30) @ Affine.rotation(turn) @ Affine.scaling(0.8, 1),
        waves=np.array([wave[:2] for wave in waves]),
        phases=np.array([wave[2] for wave in waves]),
        amplitudes=np.array([(wave[3], -wave[3] / 2) for wave in waves]),
    ),
    st.floats(-180, 180),
    st.lists(st.tuples(*(st.floats(-0.03, 0.03),) * 2, st.floats(0, 7), st.floats(-3, 3)), min_size=1, max_size=4),
)
SPOTS = np.random.default_rng(0).uniform(0, 400, (50, 2))


@given(pose=POSED)
def test_paper_and_picture_are_inverse_to_each_other_within_reach(pose):
    assert pose.steepness() < 0.6
    there = pose.picture(SPOTS)
    assert np.abs(pose.paper(there) - SPOTS).max() < 1e-3
    assert np.linalg.norm(there - pose.affine.apply(SPOTS), axis=1).max() <= pose.reach() + 1e-3


@given(pose=POSED, size=st.tuples(st.integers(1, 70), st.integers(1, 70)))
def test_every_pixel_center_is_fetched_from_its_place_on_the_paper(pose, size):
    y, x = np.indices(size)
    true = pose.paper(np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5).reshape(*size, 2)
    assert np.abs(dense(pose.grid(size), size) - true).max() < 0.1


def test_text_is_as_tall_as_asked_at_full_size():
    spec = SynthSpec(num=4, **FLAT, turned=0, empty=0, wide=0, illegible=0)
    for shot in photos(spec):
        height = np.diff(shot.sample.polygons.bounds()[:, 1::2]).ravel()
        assert 11 <= np.median(height) <= 40
        assert height.max() <= 40 * 1.6  # accents and tails come on top of capitals
        assert 15 <= len(height) <= 150


def test_smudged_lines_are_ignored_without_text_and_hold_their_ink():
    spec = SynthSpec(**SMALL, **{**CLEAN, "illegible": 1}, **FLAT, level="word")
    shot = photo(spec, 0)
    polygons = shot.sample.polygons
    assert polygons.ignore.all() and set(polygons.texts) == {None}
    ink = centers(darkness(shown(shot)) > 0.4)
    inside = shapely.contains_xy(shapely.union_all([shapely.Polygon(p).buffer(1) for p in polygons]), ink)
    assert inside.all()


def test_level_changes_the_outlines_but_no_pixel():
    lines, words = (photo(SynthSpec(**SMALL, level=level), 5) for level in ("line", "word"))
    assert np.array_equal(lines.pixels, words.pixels)
    spelled = " ".join(text for text in lines.sample.polygons.texts if text)
    assert spelled == " ".join(text for text in words.sample.polygons.texts if text)
    assert len(words.sample.polygons) > len(lines.sample.polygons)


def test_cut_pictures_have_outlines_across_the_border_and_ignore_what_is_mostly_outside():
    shots = [photo(SynthSpec(**SMALL, **{**CLEAN, "cut": 1}), i) for i in range(12)]
    crossing = 0
    for shot in shots:
        window = shapely.box(0, 0, *reversed(shown(shot).shape[:2]))
        for points, ignore in zip(shot.sample.polygons, shot.sample.polygons.ignore, strict=True):
            outline = shapely.Polygon(points)
            share = outline.intersection(window).area / outline.area
            assert share > 0
            assert ignore == (share < 0.5)
            crossing += share < 1
    assert crossing > 20


def test_empty_pictures_have_no_outline_and_are_papers_or_bare_desks():
    shots = [photo(SynthSpec(**SMALL, empty=1, desk=1), i) for i in range(8)]
    assert not any(len(shot.sample.polygons) for shot in shots)
    brightness = sorted(float(np.median(shot.pixels)) for shot in shots)
    assert brightness[0] < brightness[-1] - 40


def test_shares_are_kept():
    spec = SynthSpec(size=(160, 128), lines=(1, 2), text_height=(8, 12), num=200, wide=0.3, turned=0.2, empty=0.4)
    shots = list(photos(spec))
    sizes = [upright_size(shot.orientation, shot.pixels.shape[:2]) for shot in shots]
    assert 20 <= sum(shot.orientation != 1 for shot in shots) <= 60
    assert 50 <= sum(len(shot.sample.polygons) == 0 for shot in shots) <= 110
    assert 30 <= sum(h < w for h, w in sizes) <= 90


def digest(shot: Photo) -> str:
    polygons = shot.sample.polygons
    content = [shot.pixels.tobytes(), encode(shot), polygons.points.tobytes(), repr(polygons.texts).encode()]
    return hashlib.sha256(b"|".join(content)).hexdigest()


def test_another_process_makes_the_same_bytes_in_any_order():
    code = (
        "from tests.annotations.test_synth import *\n"
        "print(*(digest(photo(SynthSpec(**SMALL, seed=9, num=7), i)) for i in (4, 0, 2)))"
    )
    probe = [sys.executable, "-c", code]
    done = subprocess.run(probe, capture_output=True, text=True, cwd=ROOT, check=True, env={"PYTHONHASHSEED": "77"})
    here = [digest(shot) for shot in photos(SynthSpec(**SMALL, seed=9, num=5))]
    assert done.stdout.split() == [here[4], here[0], here[2]]


def test_the_seed_and_the_index_change_the_picture():
    shots = [photo(SynthSpec(**SMALL, seed=seed), i) for seed, i in ((0, 0), (0, 1), (1, 0))]
    assert len({digest(shot) for shot in shots}) == 3


def test_no_typeface_lacks_a_letter():
    rng = np.random.default_rng(0)
    rows = [row for wide in (False, True) for _ in range(60) for row in write_rows(rng, 45, wide=wide, distractors=1)]
    letters = {letter for row in rows for piece in row.pieces for letter in piece.text if not letter.isspace()}
    assert {"é", "€", "ß"} <= letters
    for face in TYPEFACES.values():
        for name in (face.regular, face.bold):
            font = _font(name, 40)
            missing = bytes(font.getmask("\ufffe"))
            shown = letters if face.accents else set(plain("".join(letters)))
            assert not [letter for letter in shown if bytes(font.getmask(letter)) in (missing, b"")]


def test_all_wrong_settings_are_listed_at_once():
    wrong = {
        "num": -1, "seed": 1.5, "level": "page", "frame": "canonical", "size": (10, 640), "spread": float("nan"),
        "lines": (9, 3), "text_height": (12, 4000), "wide": -0.1, "turned": 2, "noise": True, "rotation": "5",
        "crumple": 17, "blur": float("inf"), "shading": None,
    }  # fmt: skip
    with pytest.raises(SpecError) as caught:
        SynthSpec(**wrong)
    assert [] == [name for name in wrong if f"{name}: found {wrong[name]!r}, expected" not in str(caught.value)]


@pytest.mark.parametrize("size", [(640,), (640.0, 640), (True, 640), None, 640, ("a", "b"), (128, 9000)], ids=repr)
def test_sizes_are_two_sane_whole_numbers(size):
    with pytest.raises(SpecError, match="size: found"):
        SynthSpec(size=size)


ROUNDED = {"yolo": 1e-6, "yolo-obb": 1e-6, "labelstudio": 1e-6, "page-lines": 0.5, "alto-lines": 0}
"""How far points move, in pixels, in formats that do not hold every digit or cannot say what is ignored."""


@pytest.mark.parametrize("format", ROUNDED)
def test_a_saved_set_of_another_format_has_the_same_outlines(tmp_path, format):
    saved = save(SynthSpec(**SMALL, num=2, curved=0), tmp_path / "set", format=format)
    known = save(SynthSpec(**SMALL, num=2, curved=0), tmp_path / "known")
    for sample, before in zip(read(saved.source), read(known.source), strict=True):
        assert (sample.id, len(sample.polygons), sample.size) == (before.id, len(before.polygons), before.size)
        if format != "yolo-obb":
            assert np.abs(sample.polygons.points - before.polygons.points).max(initial=0) <= ROUNDED[format]


@pytest.mark.parametrize("format", [name for name in HERE if name not in ROUNDED])
def test_a_saved_set_reads_back_as_it_was_made(tmp_path, format):
    spec = SynthSpec(**SMALL, num=4, empty=0.3, illegible=0.2, curved=0.5, turned=0.5)
    calls = []
    saved = save(spec, tmp_path / "set", format=format, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert saved.report.path == saved.source.annotations and saved.report.samples == 4
    found = open_source(tmp_path / "set")
    assert (found.pictures, found.format) == (saved.source.pictures, format)
    # All tables of a folder are one source, and so are all files that belong to one picture.
    assert found.annotations in (saved.source.annotations, saved.source.annotations.parent)
    samples = read(saved.source)
    assert [sample.id for sample in samples] == sorted(p.name for p in saved.source.pictures.iterdir())
    for sample, shot in zip(samples, photos(spec), strict=True):
        assert sample.polygons == shot.sample.polygons
        header = decode(saved.source.pictures / sample.id).header
        assert (header.size, header.orientation) == (shot.pixels.shape[:2], shot.orientation)


def test_every_writable_format_has_a_place():
    assert set(ANNOTATIONS) == set(WRITERS)


def test_a_saved_set_of_nothing_is_readable(tmp_path):
    saved = save(SynthSpec(num=0), tmp_path / "set")
    assert read(saved.source) == () and list(saved.source.pictures.iterdir()) == []


def test_saving_never_touches_what_is_there(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mine.txt").write_text("mine")
    with pytest.raises(SpecError, match="not an empty folder"):
        save(SynthSpec(num=1), tmp_path / "set")
    assert [p.name for p in tmp_path.rglob("*")] == ["set", "mine.txt"]


def test_an_unknown_format_lists_the_known_ones_and_writes_nothing(tmp_path):
    with pytest.raises(SpecError, match="found 'yollo', expected one of ufo, icdar, coco, mmocr, paddle"):
        save(SynthSpec(num=1), tmp_path / "set", format="yollo")
    assert not list(tmp_path.iterdir())


def test_an_interrupted_set_leaves_nothing_behind(tmp_path):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save(SynthSpec(**SMALL, num=3), tmp_path / "set", progress=stop)
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises((RunError, AnnotationError), match="cannot be written"):
        save(SynthSpec(num=1), tmp_path / "file" / "set")


def test_pictures_come_one_at_a_time():
    assert len(list(islice(photos(SynthSpec(**SMALL, num=10**6)), 2))) == 2
