"""Builds on a cluster of processes of which workers, the client or the whole group are killed."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
from PIL import Image

from ocrmaps.canonical import CanonicalSpec
from ocrmaps.pipelines.build import build
from ocrmaps.recipe import Layout, Recipe, SourceRecipe, dump_recipe
from ocrmaps.store.places.cache import Store
from ocrmaps.store.upkeep.verify import verify
from tests.store.world import make_world

ROOT = Path(__file__).resolve().parents[2]
_CLIENT = """
import sys
from pathlib import Path
from ocrmaps.recipe import load_recipe
from ocrmaps.pipelines.build import build
if __name__ == "__main__":
    print("imported", flush=True)
    report = build(load_recipe(sys.argv[1]), Path(sys.argv[2]), workers=2, scheduler="processes")
    print(report.root_digest, flush=True)
"""


def source_world(root: Path, samples: int = 24) -> tuple[Recipe, Path]:
    """A source on disk that any process can read, and a recipe for it."""
    world = make_world(root, samples=0)
    for i in range(samples):
        world.add("train", f"{i:03d}.png", size=((48, 40), (64, 30), (40, 48))[i % 3], seed=i)
    entries = [
        {
            "img_path": sample.id,
            "height": 0,
            "width": 0,
            "instances": [
                {"polygon": [v for point in polygon.tolist() for v in point], "ignore": False}
                for polygon in sample.polygons
            ],
        }
        for sample in world.samples["train"]
    ]
    for entry in entries:
        with Image.open(root / "train" / str(entry["img_path"])) as image:
            entry["width"], entry["height"] = image.size
    labels = root / "labels.json"
    labels.write_text(
        json.dumps({"metainfo": {"dataset_type": "TextDetDataset", "task_name": "textdet"}, "data_list": entries})
    )
    recipe = Recipe(
        name="loop",
        sources=(SourceRecipe(path=labels, pictures=root / "train", format="mmocr", split="train"),),
        canonical=CanonicalSpec(canvases=((64, 64), (64, 32)), scale="longest", side=64),
        layout=Layout(rows_per_shard=2),
    )
    (root / "recipe.toml").write_text(dump_recipe(recipe))
    return recipe, root / "recipe.toml"


def kill_cluster(root: Path, rounds: int, *, seed: int = 0) -> dict[str, int]:
    """Each round builds from nothing, loses a worker, its client or the whole group once, and is finished again."""
    root.mkdir(parents=True, exist_ok=True)
    recipe, path = source_world(root)
    expected = build(recipe, root / "reference", workers=1).root_digest
    script = root / "client.py"
    script.write_text(_CLIENT)
    cache = root / "cache"
    rng = random.Random(seed)
    seen = {"workers": 0, "clients": 0, "groups": 0, "wrong_digests": 0}
    for number in range(rounds):
        shutil.rmtree(cache, ignore_errors=True)
        victim = ("workers", "clients", "groups")[number % 3]
        client = subprocess.Popen(
            [sys.executable, str(script), str(path), str(cache)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        seen[victim] += _kill(client, victim, rng, cache)
        said = client.communicate(timeout=600)[0]
        if victim == "workers" and client.returncode != 0:
            raise AssertionError(f"the client did not survive its worker: {said[-3000:]}")
        digest = build(recipe, cache, workers=2).root_digest
        store = Store(cache, recipe.name)
        report = verify(store.version(store.versions()[0]))
        seen["wrong_digests"] += not (digest == expected == report.root_digest and report.ok)
    return seen


def _kill(client: subprocess.Popen[str], victim: str, rng: random.Random, cache: Path) -> int:
    """Kill at a random moment: a worker while shards arrive, others at any time from the first worker on."""
    process = psutil.Process(client.pid)
    until = time.monotonic() + 600
    while time.monotonic() < until and client.poll() is None:
        workers = [p for p in _children(process) if "spawn_main" in " ".join(_command(p))]
        if len(workers) >= 2 and (victim != "workers" or list(cache.glob("*/.staging/*/journal.jsonl"))):
            break
        time.sleep(0.01)
    time.sleep(rng.uniform(0.0, 0.1 if victim == "workers" else 2.0))
    if client.poll() is not None:
        return 0
    children = _children(process)
    if victim == "workers":
        workers = [p for p in children if "spawn_main" in " ".join(_command(p))]
        if not workers:
            return 0
        rng.choice(workers).kill()
    elif victim == "clients":
        client.kill()
        for child in children:
            child.wait(timeout=600)  # workers end by themselves when their client is gone
    else:
        os.killpg(client.pid, signal.SIGKILL)
    return 1


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied):
        return []
