"""Faults seeded into annotations and stores are found at their stage; sound chains have none."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from ocrmaps.canonical import CanonicalSpec
from ocrmaps.debug.doctor.choice import choose
from ocrmaps.errors import SpecError
from ocrmaps.geometry import Affine
from ocrmaps.maps import MapSpec
from ocrmaps.pipelines.build import build
from ocrmaps.pipelines.data import synth
from ocrmaps.pipelines.doctor import examine
from ocrmaps.recipe import Layout, Recipe, SourceRecipe
from ocrmaps.report.doctor import write_page
from ocrmaps.store.places.cache import find_version
from ocrmaps.store.writing import tasks

SHAPE = {"lines": (6, 10), "curved": 0.0, "empty": 0.0, "wide": 0.0}


def stage(report, name):
    return next(s for s in report.stages if s.name == name)


def said(report):
    return "\n".join(report.lines())


# --- annotations


@pytest.fixture(scope="module")
def receipts(tmp_path_factory):
    """Six receipts, four of them stored turned."""
    folder = tmp_path_factory.mktemp("receipts") / "source"
    synth(folder, format="ufo", num=6, seed=5, size=(480, 320), turned=0.7, **SHAPE)
    return folder


def spoiled(receipts, out: Path, change) -> Path:
    """The source with every point changed by `change(x, y, width, height of the upright picture)`."""
    shutil.copytree(receipts, out)
    path = out / "annotations.json"
    data = json.loads(path.read_text())
    for name, image in data["images"].items():
        from ocrmaps.pictures import read_header

        header = read_header(next(out.rglob(name)))
        height, width = header.upright
        for word in image["words"].values():
            word["points"] = [list(change(x, y, width, height)) for x, y in word["points"]]
        image.pop("img_h", None), image.pop("img_w", None)
    path.write_text(json.dumps(data))
    return out


def test_sound_annotations_have_no_problem(receipts):
    report = examine(str(receipts))
    assert report.ok, said(report)
    assert [s.state for s in report.stages] == ["holds"] * 4 + ["not looked at"] * 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x, y, w, h: (y, x), "x and y swapped"),
        (lambda x, y, w, h: (x / 2, y / 2), "copy of half the size"),
        (lambda x, y, w, h: (2 * x, 2 * y), ""),
        (lambda x, y, w, h: (x, h - y), "counted from the bottom"),
        (lambda x, y, w, h: (w - x, h - y), "turned by 180"),
    ],
    ids=["swapped", "half", "double", "bottom-up", "half-turn"],
)
def test_annotations_that_do_not_lie_on_the_text_break_at_decoded(receipts, tmp_path, change, words):
    report = examine(str(spoiled(receipts, tmp_path / "s", change)))
    assert report.first is stage(report, "decoded"), said(report)
    assert words in said(report)


def test_annotations_in_the_other_frame_break_at_decoded(receipts):
    report = examine(str(receipts), frame="raw")  # they are upright, and most pictures are stored turned
    assert report.first is stage(report, "decoded"), said(report)
    assert "frame" in said(report)


def test_a_turn_that_no_bounds_can_see_is_seen_in_the_pixels(tmp_path):
    """Square pictures turned by 180 degrees: both frames hold every outline."""
    source = tmp_path / "s"
    synth(source, format="ufo", num=6, seed=5, size=(480, 320), turned=0.0, frame="upright", **SHAPE)
    from PIL import Image

    for path in (p for p in source.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png")):
        picture = Image.open(path).convert("RGB")
        exif = Image.Exif()
        exif[274] = 3
        picture.rotate(180).save(path, exif=exif)
    assert examine(str(source)).ok
    report = examine(str(source), frame="raw")
    assert report.first is stage(report, "decoded") and "other frame" in said(report), said(report)


def test_a_missing_and_a_broken_picture_break_at_their_stages(receipts, tmp_path):
    source = shutil.copytree(receipts, tmp_path / "s")
    pictures = sorted(p for p in source.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    data = pictures[0].read_bytes()
    pictures[0].write_bytes(data[: len(data) // 2])
    report = examine(str(source))
    assert report.first is stage(report, "decoded"), said(report)
    pictures[0].unlink()
    report = examine(str(source))
    assert report.first is stage(report, "file"), said(report)


# --- stores


def recipe(source: Path, *, maps=None, sides=(256, 192)) -> Recipe:
    return Recipe(
        name="r",
        sources=(SourceRecipe(path=source, split="train"),),
        canonical=CanonicalSpec(canvases=(sides,), scale="fit"),
        maps=maps or MapSpec(),
        layout=Layout(rows_per_shard=3),
    )


@pytest.fixture(scope="module")
def built(receipts, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    build(recipe(receipts), cache, workers=1)
    return cache


def test_a_sound_store_has_no_problem(built):
    report = examine("r", cache=built)
    assert report.ok, said(report)
    assert [s.state for s in report.stages] == ["holds"] * 5 + ["not looked at"] * 3


def test_a_store_of_wrong_annotations_breaks_at_decoded(receipts, tmp_path):
    source = spoiled(receipts, tmp_path / "s", lambda x, y, w, h: (x / 2, y / 2))
    build(recipe(source), tmp_path / "cache", workers=1)
    report = examine("r", cache=tmp_path / "cache")
    assert report.first is stage(report, "decoded"), said(report)


@pytest.mark.parametrize(("array", "expected"), [("image", "canonical"), ("probability", "maps"), ("mask", "maps")])
def test_a_corrupted_row_is_found_among_many_and_named(built, tmp_path, array, expected):
    cache = shutil.copytree(built, tmp_path / "cache")
    store, version = find_version(cache, "r")
    folder = store.version(version)
    shard = sorted((folder / "canvas-256x192" / array).glob("c.*"))[-1]
    data = bytearray(shard.read_bytes())
    data[5] ^= 0xFF
    shard.write_bytes(bytes(data))
    report = examine("r", cache=cache, samples=1)
    assert report.first is stage(report, expected), said(report)
    assert report.cases[0].why == "damaged" and "ocrmaps repair" in said(report)


def test_maps_of_another_recipe_break_at_maps_and_are_recognized(receipts, tmp_path, monkeypatch):
    """Bytes that hash to their digests and mean something else: what no store of bytes can see."""
    honest = tasks.draw_maps
    monkeypatch.setattr(tasks, "draw_maps", lambda p, spec, size: honest(p, MapSpec(shrink_ratio=0.4), size))
    build(recipe(receipts), tmp_path / "cache", workers=1)
    monkeypatch.undo()
    report = examine("r", cache=tmp_path / "cache")
    assert report.first is stage(report, "maps"), said(report)
    assert "style = 'exact', shrink_ratio = 0.4" in said(report)


def test_pictures_of_another_file_break_at_canonical(receipts, tmp_path, monkeypatch):
    honest = tasks.render
    monkeypatch.setattr(tasks, "render", lambda *args: honest(*args)[:, ::-1].copy())
    build(recipe(receipts), tmp_path / "cache", workers=1)
    monkeypatch.undo()
    report = examine("r", cache=tmp_path / "cache")
    assert report.first is stage(report, "canonical"), said(report)


def drawn(change):
    """`draw_maps` whose result is changed."""
    return "draw_maps", lambda honest: lambda p, spec, size: change(honest(p, spec, size))


def moved(by):
    there = Affine.of(1, 0, by, 0, 1, by)
    return "draw_maps", lambda honest: lambda p, spec, size: honest(p.transform(there, p.frame), spec, size)


def unturned(honest):
    """Rendering that knows nothing of EXIF: the raw picture, squeezed to the upright one's size."""

    def render(picture, transform, spec):
        out = honest(picture, transform, spec)
        (x, y), (h, w) = transform.offset, transform.resized
        out[y : y + h, x : x + w] = np.asarray(picture.image.resize((w, h)))
        return out

    return render


def beside(honest):
    warp = np.array([[1, 0, 0.5], [0, 1, 0.5]], dtype=np.float32)
    return lambda *args: cv2.warpAffine(
        (image := honest(*args)), warp, image.shape[1::-1], borderMode=cv2.BORDER_REPLICATE
    )


@pytest.mark.parametrize(
    ("fault", "expected", "words"),
    [
        (moved(0.5), "maps", "differ in"),
        (drawn(lambda m: replace(m, threshold=1 - m.threshold)), "maps", "swapped in threshold"),
        (drawn(lambda m: replace(m, probability_mask=1 - m.probability_mask)), "maps", "swapped in mask"),
        (drawn(lambda m: replace(m, probability=1 - m.probability)), "maps", "swapped in probability"),
        (("render", unturned), "canonical", "not what its file gives"),
        (("render", beside), "canonical", "not what its file gives"),
    ],
    ids=["half-pixel maps", "threshold", "mask", "probability", "EXIF ignored", "half-pixel picture"],
)
def test_a_build_that_goes_wrong_breaks_at_its_stage(receipts, tmp_path, monkeypatch, fault, expected, words):
    name, wrong = fault
    monkeypatch.setattr(tasks, name, wrong(getattr(tasks, name)))
    build(recipe(receipts), tmp_path / "cache", workers=1)
    monkeypatch.undo()
    report = examine("r", cache=tmp_path / "cache")
    assert report.first is stage(report, expected), said(report)
    assert words in said(report)


def test_a_store_whose_annotations_changed_since_is_stale_and_breaks_at_file(receipts, tmp_path):
    source = shutil.copytree(receipts, tmp_path / "s")
    build(recipe(source), tmp_path / "cache", workers=1)
    assert examine("r", cache=tmp_path / "cache").ok
    path = source / "annotations.json"
    data = json.loads(path.read_text())
    for image in data["images"].values():
        for word in image["words"].values():
            word["points"] = [[x + 2, y] for x, y in word["points"]]
    path.write_text(json.dumps(data))
    report = examine("r", cache=tmp_path / "cache")
    assert report.first is stage(report, "file") and "it is stale" in said(report), said(report)


def test_text_too_small_for_its_canvas_breaks_at_maps(receipts, tmp_path):
    build(recipe(receipts, sides=(32, 32)), tmp_path / "cache", workers=1)
    report = examine("r", cache=tmp_path / "cache")
    assert report.first is stage(report, "maps"), said(report)


def test_a_picture_that_changed_since_breaks_at_file(receipts, tmp_path):
    source = shutil.copytree(receipts, tmp_path / "s")
    build(recipe(source), tmp_path / "cache", workers=1)
    picture = sorted(p for p in source.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))[0]
    picture.write_bytes(picture.read_bytes() + b"\0")
    report = examine("r", cache=tmp_path / "cache")
    assert report.first is stage(report, "file"), said(report)


def test_a_loader_that_mixes_rows_up_breaks_at_batch(built, monkeypatch):
    from ocrmaps.loader import MapLoader

    honest = MapLoader._read

    def shifted(self, row, targets):
        honest(self, (row + 1) % 6, targets)

    monkeypatch.setattr(MapLoader, "_read", shifted)
    report = examine("r", cache=built)
    assert report.first is stage(report, "batch"), said(report)


# --- the report


def test_the_page_shows_every_sample_and_nothing_foreign(learnt, world, tmp_path):
    report = examine(str(learnt.folder), samples=4, cache=world / "cache")
    write_page(report, tmp_path / "doctor.html")
    text = (tmp_path / "doctor.html").read_text()
    assert text.count("<img") >= 4 * 5 and "http://" not in text and all(c.name in text for c in report.cases)
    with pytest.raises(SpecError, match="exists already"):
        write_page(report, tmp_path / "doctor.html")


def test_what_is_said_of_annotations_is_refused_for_a_store(built):
    with pytest.raises(SpecError, match="--longest, --pictures: only for annotations, and r is a store"):
        examine("r", cache=built, longest=320, pictures=built)
    with pytest.raises(SpecError, match=r"^nowhere: found no run, checkpoint, store or annotations"):
        examine("nowhere", cache=built, longest=320)


def test_the_same_samples_are_chosen_every_time_extremes_first(built):
    first, second = (examine("r", cache=built, samples=3) for _ in range(2))
    assert [(c.name, c.why) for c in first.cases] == [(c.name, c.why) for c in second.cases]
    assert [c.why for c in first.cases][:2] == ["smallest text", "turned by its orientation"]


def test_asking_for_more_samples_than_there_are_gives_all():
    facts = [{"height": 5.0, "orientation": 1.0, "outlines": 1.0, "aspect": 1.0, "pixels": 4.0}] * 3
    assert sorted(i for i, _ in choose(facts, 50)) == [0, 1, 2]
    assert choose([], 5) == []


def test_a_target_that_is_nothing_is_refused(tmp_path):
    with pytest.raises(SpecError, match="found no run, checkpoint, store or annotations"):
        examine("nowhere", cache=tmp_path)
