"""Corrections come back from labelling tools: only what changed changes, and only that is drawn again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ocrmaps.annotations import Sample, open_source, read
from ocrmaps.annotations.formats import labelstudio
from ocrmaps.annotations.merging import SampleChange, merge_samples
from ocrmaps.canonical import CanonicalSpec
from ocrmaps.cli.app import app
from ocrmaps.errors import AnnotationError, SpecError
from ocrmaps.geometry import PolygonSet
from ocrmaps.pipelines.build import build
from ocrmaps.pipelines.data import sized, synth
from ocrmaps.recipe import Layout, Recipe, SourceRecipe

BOX = np.array([[10.0, 10.0], [50.0, 10.0], [50.0, 20.0], [10.0, 20.0]])


def _sample(name: str, points, texts=("a", "b"), ignore=(False, False), **more) -> Sample:
    return Sample(
        id=name, polygons=PolygonSet.of(points, frame="upright", texts=texts, ignore=ignore), loc=name, **more
    )


@pytest.fixture
def base() -> list[Sample]:
    return [_sample(f"{i}.jpg", [BOX, BOX + 30], size=(100, 120)) for i in range(3)]


def test_what_came_back_as_it_was_is_the_same_sample(base):
    turned = [np.roll(base[0].polygons[1], 1, axis=0) + 0.01, base[0].polygons[0][::-1]]
    back = _sample("0.jpg", turned, texts=("b", "a"))
    merge = merge_samples(base, [[back]])
    assert merge.samples == tuple(base) and merge.samples[0] is base[0]
    assert (merge.changes, merge.unchanged, merge.conflicts) == ((), 1, ())


@pytest.mark.parametrize(
    ("points", "texts", "ignore", "change"),
    [
        ([BOX, BOX + 30, BOX + 60], ("a", "b", "c"), (False,) * 3, {"added": 1}),
        ([BOX + 30], ("b",), (False,), {"removed": 1}),
        ([BOX + 2, BOX + 30], ("a", "b"), (False, False), {"moved": 1}),
        ([BOX, BOX + 30], ("a", "z"), (False, False), {"text": 1}),
        ([BOX, BOX + 30], ("a", "b"), (False, True), {"ignore": 1}),
    ],
)
def test_each_change_is_named(base, points, texts, ignore, change):
    merge = merge_samples(base, [[_sample("1.jpg", points, texts, ignore)]])
    assert merge.changes == (SampleChange(picture="1.jpg", **change),)
    assert merge.samples[1].polygons == PolygonSet.of(points, frame="upright", texts=texts, ignore=ignore)
    assert merge.samples[0] is base[0] and merge.samples[2] is base[2]


def test_a_format_without_texts_does_not_wipe_them_out(base):
    merge = merge_samples(base, [[_sample("1.jpg", [BOX, BOX + 32], texts=(None, None))]])
    assert merge.samples[1].polygons.texts == ("a", "b") and merge.changes[0].moved == 1


def test_conflicts_are_named_and_change_nothing(base):
    moved = _sample("0.jpg", [BOX + 2, BOX + 30])
    other = _sample("0.jpg", [BOX + 4, BOX + 30])
    unknown, larger = _sample("9.jpg", [BOX, BOX]), _sample("2.jpg", [BOX + 2, BOX + 30], size=(10, 12))
    merge = merge_samples(base, [[moved, unknown], [other, larger]])
    assert merge.samples == tuple(base) and not merge.changes
    assert {c.picture: c.reason.split(",")[0] for c in merge.conflicts} == {
        "0.jpg": "it came back twice and differently",
        "2.jpg": "the base says it is 120x100",
        "9.jpg": "the base has no such picture",
    }


def test_what_the_base_changed_since_is_kept(base):
    newer = [_sample("0.jpg", [BOX + 1, BOX + 30]), _sample("1.jpg", [BOX + 1, BOX + 30]), base[2]]
    back = [base[0], _sample("1.jpg", [BOX + 5, BOX + 30]), base[2]]
    merge = merge_samples(newer, [back], sent=base)
    assert merge.samples == tuple(newer)
    assert [(c.picture, c.reason) for c in merge.conflicts] == [("1.jpg", "it changed in the base since it was sent")]


@pytest.fixture(scope="module")
def receipts(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("merge") / "receipts"
    synth(folder, format="ufo", num=5, seed=2, size=(480, 320), turned=0, curved=0, empty=0)
    return folder


def _build(annotations: Path, pictures: Path, cache: Path):
    recipe = Recipe(
        name="receipts",
        sources=(SourceRecipe(path=annotations, pictures=pictures, format="ufo", split="train"),),
        canonical=CanonicalSpec(canvases=[(320, 320), (320, 160)], side=320),
        layout=Layout(rows_per_shard=2),
    )
    return build(recipe, cache, workers=1)


def _by_label_studio(receipts: Path, folder: Path) -> Path:
    """Tasks as we write them, exported with annotations as Label Studio does: one outline of two pictures moved."""
    source = open_source(receipts)
    tasks = folder / "tasks.json"
    labelstudio.write(sized(source, read(source)), tasks)
    export = json.loads(tasks.read_text(encoding="utf-8"))
    for number, task in enumerate(export):
        result = task.pop("predictions")[0]["result"]
        first = result[0]["id"]
        for region in result if number in (1, 3) else ():
            if region["id"] == first and "points" in region["value"]:
                region["value"]["points"] = [[x, y + 1.5] for x, y in region["value"]["points"]]
            elif region["id"] == first:
                region["value"]["y"] += 1.5
        task["annotations"] = [{"id": number, "result": result[::-1], "was_cancelled": False}]
    (folder / "export.json").write_text(json.dumps(export), encoding="utf-8")
    return folder / "export.json"


def _by_cvat(receipts: Path, folder: Path) -> Path:
    """CVAT xml with two digits, as it writes them: one outline of two pictures moved."""
    images = []
    for number, sample in enumerate(read(open_source(receipts))):
        shapes = []
        for i, points in enumerate(sample.polygons):
            there = points + ([0, 6] if number in (1, 3) and i == 0 else [0, 0])
            text = (sample.polygons.texts[i] or "").replace("&", "&amp;").replace("<", "&lt;")
            word = f'<attribute name="text">{text}</attribute>' if text else ""
            label = "ignore" if sample.polygons.ignore[i] else "text"
            pairs = ";".join(f"{x:.2f},{y:.2f}" for x, y in there)
            shapes.append(f'<polygon label="{label}" points="{pairs}" occluded="0">{word}</polygon>')
        images.append(f'<image id="{number}" name="{sample.id}">{"".join(shapes)}</image>')
    file = folder / "annotations.xml"
    file.write_text(f"<annotations><version>1.1</version>{''.join(images)}</annotations>", encoding="utf-8")
    return file


@pytest.mark.parametrize("way", [_by_label_studio, _by_cvat])
def test_only_changed_rows_are_drawn_after_a_round_trip(receipts, tmp_path, way):
    annotations, out = receipts / "annotations.json", tmp_path / "merged.json"
    first = _build(annotations, receipts / "images", tmp_path / "cache")
    assert first.counts["drawn"] == 5
    export = way(receipts, tmp_path)
    done = CliRunner().invoke(app, ["data", "merge", str(receipts), str(export), "--out", str(out), "--json"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    names = [sample.id for sample in read(open_source(receipts))]
    assert [(c["picture"], c["moved"]) for c in said["changed"]] == [(names[1], 1), (names[3], 1)]
    assert said["unchanged"] == 3 and not said["conflicts"]
    second = _build(out, receipts / "images", tmp_path / "cache")
    assert (second.counts["drawn"], second.counts["reused"]) == (2, 3)


def test_conflicts_end_with_1(receipts, tmp_path):
    export = tmp_path / "export.json"
    export.write_text('[{"data": {"ocr": "images/none.jpg"}, "annotations": [{"result": []}]}]', encoding="utf-8")
    done = CliRunner().invoke(app, ["data", "merge", str(receipts), str(export), "--out", str(tmp_path / "o.json")])
    assert done.exit_code == 1 and "conflict: images/none.jpg: the base has no such picture" in done.output


def test_the_base_is_never_written_to(receipts):
    out = receipts / "annotations.json"
    before = out.read_bytes()
    done = CliRunner().invoke(app, ["data", "merge", str(receipts), str(receipts), "--out", str(out), "--yes"])
    assert isinstance(done.exception, SpecError) and "BASE is never written to" in str(done.exception)
    assert out.read_bytes() == before


@pytest.mark.parametrize(("broken", "wrong"), [('[{"data": {', "invalid JSON"), ("", "nothing, expected JSON")])
def test_a_file_that_came_back_broken_is_named_with_the_option_that_is_about_it(broken, wrong, receipts, tmp_path):
    (tmp_path / "back.json").write_text(broken, encoding="utf-8")
    done = CliRunner().invoke(app, ["data", "merge", str(receipts), f"{tmp_path}/back.json", "--out", "o.json"])
    assert isinstance(done.exception, AnnotationError) and wrong in str(done.exception)
    assert "--corrected-format" in done.exception.hint and "--format" not in done.exception.hint.split()
