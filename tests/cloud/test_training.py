"""A run over a URL is the run over the disk: one line of the run file names the place."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from ocrmaps.loader import MapLoader
from ocrmaps.pipelines.train import train
from ocrmaps.store.places.cache import find_version
from ocrmaps.store.places.objects import ObjectPlace
from ocrmaps.store.several import StorePart
from ocrmaps.store.upkeep.exchange.push import push
from ocrmaps.training.folder import find_store, read_run
from ocrmaps.training.spec import load_run
from tests.store.world import make_world as small_world
from tests.training.conftest import make_world, small_run


def test_training_from_a_url_gives_the_losses_of_training_from_the_disk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OCRMAPS_CACHE", raising=False)
    world = make_world(tmp_path / "world")
    store, version = find_version(world / "cache", "tiny")
    url = f"memory://{tmp_path.name}/maps"
    push(store.version(version), ObjectPlace(url))
    changes = {"budget__epochs": 1, "watch__pictures": 0}
    train(small_run(data__cache=str(world / "cache"), **changes), out=tmp_path / "near", say=lambda line: None)
    train(small_run(data__store=f"{url}/tiny", **changes), out=tmp_path / "far", say=lambda line: None)
    learnt = [read_run(tmp_path / name).rows[0] for name in ("near", "far")]
    losses = [{key: value for key, value in row.items() if "loss" in key} for row in learnt]
    assert losses[0] == losses[1] and len(losses[0]) >= 2
    # What was learnt from is found again, also on a machine that has never seen it.
    card = {"store": {"name": "tiny", "version": version, "root_digest": _root(store.version(version))},
            "run": {"data": {"cache": url}}}  # fmt: skip
    assert find_store(card, card["store"]).parent.name == "tiny"
    assert ".places" in str(find_store(card, card["store"]))
    assert find_store(card | {"run": {"data": {"store": f"{url}/tiny"}}}, card["store"]) == find_store(
        card, card["store"]
    )


def test_a_run_file_may_name_the_place_as_its_cache(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text('[data]\nstore = "receipts"\ncache = "s3://bucket/maps"\n')
    assert Path("s3://bucket/maps") == load_run(file).data.cache


def test_a_store_in_a_place_and_one_on_the_disk_are_read_as_one(built, tmp_path, monkeypatch):
    """Rows that are shown twice, too: what is brought ahead of its turn is brought for each time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OCRMAPS_CACHE", raising=False)
    url = f"memory://{tmp_path.name}/maps"
    push(built.folder, ObjectPlace(url))
    other = small_world(tmp_path / "other")
    other.annotate("train", "01.png", lines=2, text="other")
    other.build()
    shown = []
    for first in (f"{url}/tiny/{built.folder.name}", built.folder):
        parts = [StorePart(folder=first), StorePart(folder=other.folder)]
        settings = {"batch_size": 2, "shuffle": True, "weights": [2.0, 1.0, 1.5, 1.0] * 2}
        with MapLoader(parts, split="train", **settings) as loader:
            shown.append(list(loader))
    for far, near in zip(*shown, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(far, near, strict=True))
    rows = torch.cat([batch.row for batch in shown[0]])
    assert len(rows) == 11 and sorted({int(row) // 14 for row in rows}) == [0, 1]


def _root(folder: Path) -> str:
    return str(json.loads((folder / "manifest.json").read_bytes())["root_digest"])
