"""What is said of the budget is what is trained, and a run that could learn or show nothing does not begin."""

from __future__ import annotations

import json
import re
import shutil

import pytest
import torch

from ocrmaps.detect.trained import read_checkpoint
from ocrmaps.errors import SpecError
from ocrmaps.pipelines.build import build
from ocrmaps.pipelines.train import train
from ocrmaps.store.places.cache import find_version
from ocrmaps.store.reader import Reader
from ocrmaps.training.budget import check_budget, make_budget
from ocrmaps.training.spec import load_run
from tests.training.conftest import recipe, small_run

QUIET = {"watch__pictures": 0}


@pytest.fixture
def reader(cache):
    store, version = find_version(cache, "tiny")
    with Reader(store.version(version)) as opened:
        yield opened


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({}, 6),
        ({"optimizer": {"accumulate": 2}}, 4),
        ({"optimizer": {"accumulate": 5}}, 2),
        ({"data__batch_size": 64}, 2),
        ({"data__batch_size": 4, "data__drop_last": True}, 2),
        ({"budget": {"epochs": 2, "steps": 4}}, 4),
    ],
)
def test_the_steps_that_are_announced_are_taken(cache, tmp_path, changes, steps):
    lines: list[str] = []
    report = train(small_run(**QUIET, **changes), out=tmp_path / "o", cache=cache, say=lines.append)
    card = read_checkpoint(report.last)["ocrmaps"]
    assert report.identity["steps"] == card["total_steps"] == steps
    (line,) = (line for line in lines if line.startswith("budget: "))
    assert re.search(rf": {steps} steps; adamw at 0.001, cosine to 1e-05; ", line), line


def test_ranks_share_the_batches_of_the_budget(reader):
    spec = small_run(hardware={"devices": 4}, data__batch_size=1, optimizer={"accumulate": 2}, schedule={"warmup": 0.5})
    budget = make_budget(spec, reader)
    assert (budget.batches, budget.each, budget.steps) == (6, 2, 2)
    assert budget.shared == ", 2 of 6 batches shown twice an epoch so that each gets as many"
    assert budget.sentence(spec) == (
        "2 epochs of 2 batches of 1 on each of 4 devices, 2 batches a step: 2 steps; "
        "adamw at 0.001 after 1 steps of warm-up, cosine to 1e-05"
    )


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"data__batch_size": 7}, "no canvas with rows for one"),
        ({"data__batch_size": 3, "hardware": {"devices": 3}}, "2 batches"),
    ],
)
def test_an_epoch_without_a_batch_is_refused(reader, changes, found):
    spec = small_run(**changes, data__drop_last=True)
    with pytest.raises(SpecError, match=found):
        check_budget(spec, make_budget(spec, reader))


def test_a_last_step_of_fewer_batches_is_their_mean(cache, tmp_path):
    """Three batches an epoch: a step that waits for five is the step that waits for three."""
    sgd = {"name": "sgd", "lr": 0.01}
    once = {"budget": {"epochs": 1}, "schedule": {"name": "constant", "warmup": 0.0}}
    three, five = (
        train(small_run(**QUIET, **once, optimizer=sgd | {"accumulate": n}), out=tmp_path / str(n), cache=cache)
        for n in (3, 5)
    )
    mean, short = (read_checkpoint(report.last)["state_dict"] for report in (three, five))
    assert all(torch.allclose(v.float(), short[k].float(), rtol=0, atol=1e-7) for k, v in mean.items())


@pytest.mark.parametrize("split", ["train", "val"])
def test_splits_without_text_that_counts_are_refused(world, tmp_path, split):
    for name in ("train", "val"):
        shutil.copytree(world / name, tmp_path / name)
    file = tmp_path / split / "annotations.json"
    data = json.loads(file.read_text())
    for image in data["images"].values():
        for word in image["words"].values():
            word["illegibility"] = True
    file.write_text(json.dumps(data))
    build(recipe(tmp_path), tmp_path / "cache", workers=1)
    with pytest.raises(SpecError, match=rf"data.{split}: all text of split '{split}' \(\d rows\) is ignored"):
        train(small_run(**QUIET), out=tmp_path / "o", cache=tmp_path / "cache")


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("optimizer.weigth_decay=1", "--set optimizer.weigth_decay: unknown key, did you mean optimizer.weight_decay"),
        ("optimzer.lr=1", "--set optimzer: unknown key, did you mean optimizer?"),
        ("lr=1", "--set lr: unknown key, did you mean optimizer.lr?"),
        ("data.lr=1", "--set data.lr: unknown key, did you mean optimizer.lr?"),
        ("zzz=1", "--set zzz: unknown key; known here: name, data"),
        ("data.batch_size=0", "--set data.batch_size: found 0"),
        ("budget=3", "--set budget: found 3, expected a table"),
    ],
)
def test_a_mistyped_setting_is_told_where_it_was_given_and_what_was_meant(tmp_path, setting, said):
    (tmp_path / "r.toml").write_text('[data]\nstore = "tiny"\n')
    with pytest.raises(SpecError) as caught:
        load_run(tmp_path / "r.toml", [setting])
    assert f"  {said}" in str(caught.value)


def test_a_run_folder_given_as_a_checkpoint_names_the_checkpoints_inside(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").write_bytes(b"")
    with pytest.raises(SpecError, match="found a folder, expected a checkpoint") as caught:
        read_checkpoint(tmp_path)
    assert "checkpoints/last.ckpt" in caught.value.hint


def test_boxes_for_bent_outlines_are_warned_of_before_the_first_step(world, tmp_path):
    names = ("train", "val")
    for split in names:
        shutil.copytree(world / split, tmp_path / split)
        for path in (tmp_path / split).rglob("*.json"):
            data = json.loads(path.read_text())
            for image in data["images"].values():
                for word in image["words"].values():
                    word["points"] = [[20, 60], [60, 30], [100, 60], [100, 75], [60, 45], [20, 75]]
            path.write_text(json.dumps(data))
    build(recipe(tmp_path), tmp_path / "cache", workers=1)
    for number, (shape, cache, warned) in enumerate(
        (
            ("boxes", tmp_path / "cache", True),
            ("polygons", tmp_path / "cache", False),
            ("boxes", world / "cache", False),
        )
    ):
        said: list[str] = []
        spec = small_run(**QUIET, extract__shape=shape, budget__epochs=1)
        train(spec, out=tmp_path / str(number), cache=cache, say=said.append)
        assert any("WARNING" in line and "are bent" in line for line in said) == warned
