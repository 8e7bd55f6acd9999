"""A shipped detector is trained again by its card: stage after stage, from weights to weights, and compared."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from typer.testing import CliRunner

import ocrmaps.pipelines.reproduce
from ocrmaps.cli.app import app
from ocrmaps.detect.trained import load_detector, read_checkpoint
from ocrmaps.errors import SpecError
from ocrmaps.pipelines.reproduce import reproduce
from ocrmaps.pipelines.train import train
from tests.training.conftest import small_run

MODEL = {"encoder": "light", "encoder_options": {"channels": [8, 8, 16, 16]}, "decoder_options": {"width": 16}}
RUN = {"seed": 0, "data": {"batch_size": 2}, "watch": {"pictures": 0}, "budget": {"epochs": 2}}


def stage(side, **run):
    return {
        "recipe": {"canonical": {"canvases": [[side, side]], "scale": "longest", "side": side}},
        "root_digest": "0" * 64,
        "run": {**RUN, **run},
    }


@pytest.fixture(scope="module")
def shipped(world, tmp_path_factory):
    """A small detector as if it were shipped."""
    file = train(small_run(watch__pictures=0), out=tmp_path_factory.mktemp("shipped") / "o", cache=world / "cache").last
    content = read_checkpoint(file)
    content["ocrmaps"]["extract"] |= {"score_min": 0.25}
    torch.save(content, file)
    return file


@pytest.fixture(scope="module")
def card(shipped):
    """It came about in two stages."""
    found = {"stages": [stage(96, model=MODEL), {**stage(128, model={}), "stopped_after": 1}]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ocrmaps.pipelines.reproduce, "card_of", lambda name: found)
        patch.setattr(ocrmaps.pipelines.reproduce, "shipped", lambda name: shipped)
        yield found


@pytest.fixture(scope="module")
def tried(card, world, tmp_path_factory):
    """Its stages trained for one epoch, where, and what was said."""
    out, said = tmp_path_factory.mktemp("tried") / "again", []
    found = reproduce(
        "receipts", train_source=world / "train", val_source=world / "val", out=out, epochs=1, say=said.append
    )
    return found, out, said


def test_stages_are_trained_one_from_the_other_and_the_command_goes_on(tried, world):
    found, out, said = tried
    assert not found.whole and not found.reproduced and "nothing is judged" in found.sentence()
    assert sum("note: these pictures make root" in line for line in said) == 2
    assert sum(line.startswith("weights from best-") for line in said) == 1
    last, shipped = load_detector(found.checkpoint), load_detector(ocrmaps.pipelines.reproduce.shipped("receipts"))
    assert last.canonical == shipped.canonical and last.extract.score_min == 0.25
    stores = [read_checkpoint(file)["ocrmaps"]["store"] for file in out.glob("stage-2/*/last.ckpt")]
    assert [store["recipe"]["canonical"]["side"] for store in stores] == [128]
    assert set(found.scores) == {0.5, 0.7}
    again = reproduce("receipts", train_source=world / "train", val_source=world / "val", out=out, epochs=1)
    assert again == found


def test_only_the_same_pictures_and_scores_are_a_reproduction(card, world, tmp_path, monkeypatch):
    asked = {"train_source": world / "train", "val_source": world / "val"}
    found = reproduce("receipts", **asked, out=tmp_path / "a")
    assert found.whole and not found.same_pictures and not found.reproduced
    for folder, one in zip(("stage-1", "stage-2"), card["stages"], strict=True):
        found_run = next((tmp_path / "a" / folder / "checkpoints").glob("last.ckpt"))
        monkeypatch.setitem(one, "root_digest", read_checkpoint(found_run)["ocrmaps"]["store"]["root_digest"])
    same = reproduce("receipts", **asked, out=tmp_path / "a")
    assert same.same_pictures
    epochs = [
        read_checkpoint(tmp_path / "a" / f"stage-{n}" / "checkpoints" / "last.ckpt")["ocrmaps"]["epoch"] for n in (1, 2)
    ]
    assert epochs == [2, 1]
    near = all(abs(a - b) <= 0.005 for a, b in same.scores.values())
    assert same.reproduced == near and (("NOT reproduced" in same.sentence()) != near)


def test_the_command_prints_one_document_and_judges_no_try(tried, world, tmp_path):
    shutil.copytree(tried[1], tmp_path / "b")
    words = ["reproduce", "receipts", "--train", str(world / "train"), "--val", str(world / "val"), "--epochs", "1"]
    done = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "b"), "--json"])
    assert done.exit_code == 0
    document = json.loads(done.stdout)
    assert document["whole"] is False and document["hmean"].keys() == {"0.5", "0.7"}
    with pytest.raises(SpecError, match="found 'invoices', expected one of receipts"):
        reproduce("invoices", train_source=world, val_source=world, out=tmp_path / "c")
