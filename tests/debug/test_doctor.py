"""Each seeded fault is found, at the stage where it is; sound chains have none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from ocrmaps.canonical import CanonicalSpec
from ocrmaps.errors import SpecError
from ocrmaps.geometry import Affine
from ocrmaps.maps import MapSpec
from ocrmaps.recipe import Layout, Recipe, SourceRecipe
from ocrmaps.store import tasks
from pipelines.build import build
from pipelines.data import synth
from pipelines.debug import find_store
from pipelines.doctor import examine
from pipelines.doctor_choice import choose
from pipelines.doctor_page import write_page
from pipelines.train import train
from tests.debug.conftest import AUGMENT
from tests.training.conftest import small_run

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
    folder = find_store("r", cache)
    shard = sorted((folder / "canvas-256x192" / array).glob("c.*"))[-1]
    data = bytearray(shard.read_bytes())
    data[5] ^= 0xFF
    shard.write_bytes(bytes(data))
    report = examine("r", cache=cache, samples=1)
    assert report.first is stage(report, expected), said(report)
    assert report.cases[0].why == "damaged" and "ocrmaps repair" in said(report)


def test_maps_of_another_recipe_break_at_maps_and_are_recognised(receipts, tmp_path, monkeypatch):
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


# --- runs


def test_a_run_that_learnt_has_no_problem(learnt, world):
    report = examine(str(learnt.folder), cache=world / "cache")
    assert report.ok, said(report)
    assert [s.state for s in report.stages] == ["holds"] * 8


def test_a_run_of_a_handful_of_steps_is_told_so(ran, world):
    report = examine(str(ran.folder), cache=world / "cache")
    assert not report.ok and report.first is stage(report, "prediction"), said(report)
    assert "optimiser steps were taken" in said(report)


def operated(learnt, tmp_path, change) -> Path:
    """The run's checkpoint after `change(content)`; the store is found as before."""
    content = torch.load(learnt.last, weights_only=True)
    change(content)
    path = tmp_path / "checkpoints" / "changed.ckpt"
    path.parent.mkdir()
    torch.save(content, path)
    return path


def of_head(content, factor, shift=0.0):
    """Scale and shift the logits of the probability branch: its last convolution."""
    names = [n for n in content["state_dict"] if "probability" in n and n.endswith(("weight", "bias"))]
    last = names[-1].rpartition(".")[0]
    content["state_dict"][f"{last}.weight"].mul_(factor)
    if f"{last}.bias" in content["state_dict"]:
        content["state_dict"][f"{last}.bias"].mul_(factor).add_(shift)


def nan(content):
    next(v for n, v in content["state_dict"].items() if n.endswith("weight")).fill_(float("nan"))


def normalised(mean, std):
    def change(content):
        content["ocrmaps"]["model"]["mean"], content["ocrmaps"]["model"]["std"] = list(mean), list(std)
        for name in ("mean", "std"):
            value = mean if name == "mean" else std
            content["state_dict"][f"detector.{name}"] = torch.tensor(value).view(1, 3, 1, 1)

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: of_head(c, 0.0), "everywhere, whatever it is shown"),
        (nan, "not finite"),
        (lambda c: of_head(c, -1.0), "the wrong way round"),
        (normalised((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), "not for pixels of 0 to 255"),
        (lambda c: of_head(c, 1.0, -50.0), ""),
        (lambda c: of_head(c, 0.2, 3.0), "it fires on"),
    ],
    ids=["constant", "nan", "inverted", "normalisation", "silent", "everywhere"],
)
def test_a_network_that_answers_nonsense_breaks_at_prediction(learnt, world, tmp_path, change, words):
    path = operated(learnt, tmp_path, change)
    report = examine(str(path), cache=world / "cache")
    assert report.first is stage(report, "prediction"), said(report)
    assert words in said(report)


def test_a_network_that_is_shown_inverted_pictures_is_told_what_it_understands(learnt, world, monkeypatch):
    from pipelines import doctor_network

    honest = doctor_network._predict
    monkeypatch.setattr(doctor_network, "_predict", lambda d, image, level: honest(d, 255 - image, level))
    report = examine(str(learnt.folder), cache=world / "cache")
    assert report.first is stage(report, "prediction"), said(report)
    assert "with colours inverted" in said(report)


def test_a_checkpoint_of_another_canvas_breaks_at_prediction(learnt, world, tmp_path):
    """The store was built again with another canvas after the run; its run file means the new one."""
    from tests.training.conftest import recipe as training_recipe

    build(training_recipe(world, sides=(160, 128)), tmp_path / "cache", workers=1)
    path = operated(learnt, tmp_path, lambda c: None)
    report = examine(str(path), cache=tmp_path / "cache")
    assert report.first is stage(report, "prediction"), said(report)
    assert "canvases" in said(report) and "another way" in said(report)


def test_maps_read_otherwise_than_drawn_break_at_original(learnt, world, tmp_path):
    def change(content):
        content["ocrmaps"]["extract"]["shrink_ratio"] = 0.3

    report = examine(str(operated(learnt, tmp_path, change)), cache=world / "cache")
    assert report.first is stage(report, "original"), said(report)


def test_a_wrong_way_back_breaks_at_original(learnt, world, monkeypatch):
    """Polygons come back scaled, as by a second implementation of the inverse that knows another size."""
    from pipelines import doctor_originals

    honest = doctor_originals.match_iou

    def scaled(truth, found, thresholds):
        if truth.frame != "canonical":
            found = found.transform(Affine.scaling(0.8, 0.8), found.frame)
        return honest(truth, found, thresholds=thresholds)

    monkeypatch.setattr(doctor_originals, "match_iou", scaled)
    report = examine(str(learnt.folder), cache=world / "cache")
    assert report.first is stage(report, "original"), said(report)
    assert "the way back is wrong" in said(report)


@pytest.mark.parametrize("what", ["maps", "picture"])
def test_an_augmentation_with_a_wrong_matrix_breaks_at_augmented(world, tmp_path, what, monkeypatch):
    run = train(small_run(watch__pictures=0, augment=AUGMENT), out=tmp_path / "run", cache=world / "cache")
    import pipelines.train_parts as pipeline

    honest = pipeline.augment

    def wrong(batch, spec, **settings):
        out = honest(batch, spec, **settings)
        if what == "picture":
            return out._replace(image=out.image.flip(1))
        return out._replace(probability=out.probability.flip(2), threshold=out.threshold.flip(2), mask=out.mask.flip(2))

    assert stage(examine(str(run.folder), cache=world / "cache"), "augmented").state == "holds"
    monkeypatch.setattr(pipeline, "augment", wrong)
    report = examine(str(run.folder), cache=world / "cache")
    assert report.first is stage(report, "augmented"), said(report)
    assert {"maps": "the maps are", "picture": "the picture is"}[what] in said(report)


# --- the report


def test_the_page_shows_every_sample_and_nothing_foreign(learnt, world, tmp_path):
    report = examine(str(learnt.folder), samples=4, cache=world / "cache")
    write_page(report, tmp_path / "doctor.html")
    text = (tmp_path / "doctor.html").read_text()
    assert text.count("<img") >= 4 * 5 and "http://" not in text and all(c.name in text for c in report.cases)


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
