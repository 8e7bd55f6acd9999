"""Damaged files of every kind are read or refused in a sentence: nothing else comes out, nothing lands elsewhere.

`CASES` is the number of damaged files that the suite tries; annotations and predictions are damaged in their own
tests, by hypothesis.
"""

from __future__ import annotations

import io
import random
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ocrmaps.annotations import READERS
from ocrmaps.debug.bundles import find_bundles
from ocrmaps.debug.reading import damage
from ocrmaps.detect.trained import FORMAT, load_detector
from ocrmaps.errors import OcrmapsError, SpecError
from ocrmaps.model import DetectorSpec
from ocrmaps.pictures import count_pages, decode
from ocrmaps.recipe import load_recipe
from ocrmaps.store.format.manifest import read_manifest
from ocrmaps.store.upkeep.transfer import pack, unpack
from ocrmaps.training.spec import load_run
from tests.contracts.mutations import DEEP, JUNK_NUMBERS, JUNK_WORDS
from tests.contracts.reader import MUTATIONS
from tests.store.world import make_world

CASES = {
    "recipes": 800,
    "run files": 800,
    "manifests": 500,
    "bundles": 400,
    "cards": 300,
    "archives": 120,
    "pictures": 600,
    "annotations": MUTATIONS * len(READERS),
}
RECIPE = """name = "tiny"
[canonical]
canvases = [[640, 640], [640, 320]]
scale = "longest"
side = 640
[maps]
shrink_ratio = 0.6
style = "exact"
[[sources]]
path = "labels.json"
format = "ufo"
split = "train"
[layout]
rows_per_shard = 32
image = "lz4"
"""
RUN = """[data]
store = "tiny"
batch_size = 8
[model]
encoder = "resnet18"
[optimizer]
name = "adamw"
lr = 1e-3
[schedule]
name = "cosine"
[budget]
epochs = 3
"""
JUNK: tuple[Any, ...] = (
    None, True, -1, 0, 10**30, 1e308, float("nan"), "", "../x", "/abs", "a\0b", "\ud800", [], {}, [[]], {"a": None},
    [1, 2, 3], "os:system",
)  # fmt: skip


def damaged(rng: random.Random, data: bytes) -> bytes:
    """One to three damages of the kinds that disks, editors and strangers do."""
    for _ in range(rng.randint(1, 3)):
        first = rng.randrange(len(data) + 1)
        last = min(len(data), first + rng.randint(0, 40))
        junk = rng.choice((*JUNK_NUMBERS, *JUNK_WORDS)).encode("utf-8", "surrogatepass")
        data = rng.choice(
            (
                data[:first],
                data[:first] + rng.randbytes(rng.randint(1, 8)) + data[first:],
                data[:first] + data[last:],
                data[:last] + data[first:last] + data[last:],
                data[:first] + junk + data[last:],
                data[:first] + bytes([data[first] ^ 1 << rng.randrange(8)]) + data[first + 1 :]
                if last > first
                else b"",
                data[:first] + rng.choice(DEEP) + data[first:],
            )
        )
    return data


def spoilt(rng: random.Random, value: Any) -> Any:
    """Plain data with one value, anywhere in it, replaced."""
    if isinstance(value, dict) and value and rng.randrange(5):
        key = rng.choice(list(value))
        return {k: spoilt(rng, v) if k == key else v for k, v in value.items() if k != key or rng.randrange(4)}
    if isinstance(value, list) and value and rng.randrange(3):
        at = rng.randrange(len(value))
        return [*value[:at], spoilt(rng, value[at]), *value[at + 1 :]]
    return rng.choice(JUNK)


def _text(sound: str, read: Callable[[Path], object]) -> Callable[[random.Random, Path], Iterator[None]]:
    def tries(rng: random.Random, folder: Path) -> Iterator[None]:
        while True:
            (folder / "x.toml").write_bytes(damaged(rng, sound.encode()))
            with suppress(OcrmapsError):
                read(folder / "x.toml")
            yield

    return tries


def _manifests(rng: random.Random, folder: Path) -> Iterator[None]:
    world = make_world(folder, samples=2)
    world.build()
    path = world.folder / "manifest.json"
    sound = path.read_bytes()
    path.unlink()
    while True:
        path.write_bytes(damaged(rng, sound))
        with suppress(OcrmapsError):
            assert read_manifest(world.folder).to_bytes() == sound
        yield


def _bundles(rng: random.Random, folder: Path) -> Iterator[None]:
    facts = (
        b'{"format": 1, "id": "b", "reason": "crash", "created": "2026-01-01T00:00:00Z", "files": '
        b'{"step.pt": {"bytes": 3, "sha256": "' + b"0" * 64 + b'"}}, "run": "r", "step": 5}'
    )
    bundle = folder / "debug" / "20260101-000000-crash"
    bundle.mkdir(parents=True)
    (bundle / "step.pt").write_bytes(b"abc")
    while True:
        (bundle / "bundle.json").write_bytes(damaged(rng, facts))
        with suppress(OcrmapsError):
            for found in find_bundles(folder):
                damage(found)
        yield


def _cards(rng: random.Random, folder: Path) -> Iterator[None]:
    card = {
        "format": FORMAT,
        "model": DetectorSpec().as_dict() | {"encoder": "none"},  # refused last: building it takes the time
        "canonical": {"canvases": [[64, 64]], "scale": "longest", "side": 64},
        "extract": {"threshold": 0.5},
        "store": {"name": "s", "version": "0" * 16, "root_digest": "0" * 64},
        "steps": 1, "samples": 1, "seed": 0, "precision": "fp32", "weights": "detector",
    }  # fmt: skip
    content = {"ocrmaps": card, "state_dict": {"detector.x": torch.zeros(3)}, "epoch": 1}
    while True:
        buffer = io.BytesIO()
        torch.save(spoilt(rng, content), buffer)
        data = buffer.getvalue()
        (folder / "x.ckpt").write_bytes(damaged(rng, data) if rng.randrange(2) else data)
        with suppress(OcrmapsError):
            load_detector(folder / "x.ckpt")
        yield


def _archives(rng: random.Random, folder: Path) -> Iterator[None]:
    world = make_world(folder, samples=2)
    world.build()
    pack(world.folder, folder / "sound.tar")
    sound = (folder / "sound.tar").read_bytes()
    heads = [at for at in range(0, len(sound), 512) if sound[at + 257 : at + 262] == b"ustar"]
    while True:
        at = rng.choice(heads)
        data = sound[:at] + damaged(rng, sound[at : at + 512])[:512].ljust(512, b"\0") + sound[at + 512 :]
        (folder / "x.tar").write_bytes(data if rng.randrange(2) else damaged(rng, sound))
        with suppress(OcrmapsError):
            shutil.rmtree(unpack(folder / "x.tar", folder / "into", "x"))
        yield


def _pictures(rng: random.Random, folder: Path) -> Iterator[None]:
    pixels = Image.fromarray(np.arange(24 * 20 * 3, dtype=np.uint8).reshape(24, 20, 3))
    sound = []
    for format in ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF", "PPM"):
        buffer = io.BytesIO()
        pixels.save(buffer, format)
        sound.append(buffer.getvalue())
    while True:
        data = damaged(rng, rng.choice(sound))
        for read in (decode, count_pages):
            with suppress(OcrmapsError):
                read(data)
        yield


TRIES: dict[str, Callable[[random.Random, Path], Iterator[None]]] = {
    "recipes": _text(RECIPE, load_recipe),
    "run files": _text(RUN, load_run),
    "manifests": _manifests,
    "bundles": _bundles,
    "cards": _cards,
    "archives": _archives,
    "pictures": _pictures,
}


@pytest.mark.parametrize("family", TRIES)
def test_damaged_files_are_read_or_refused_and_nothing_lands_elsewhere(family, tmp_path):
    inside = tmp_path / "in" / "side"
    inside.mkdir(parents=True)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rng = random.Random(family)
    tries = TRIES[family](rng, inside)
    for number in range(CASES[family]):
        try:
            next(tries)
        except Exception as error:
            raise AssertionError(f"{family}, case {number}") from error
    assert [p.name for p in tmp_path.iterdir()] == ["in"] and [p.name for p in (tmp_path / "in").iterdir()] == ["side"]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20  # KiB: a gigabyte


def test_sound_files_are_read(tmp_path):
    """Without damage the same files are taken: the refusals above are of the damage."""
    (tmp_path / "r.toml").write_text(RECIPE)
    (tmp_path / "t.toml").write_text(RUN)
    assert load_recipe(tmp_path / "r.toml").name == "tiny"
    assert load_run(tmp_path / "t.toml").data.store == "tiny"


def test_settings_nested_without_end_are_refused(tmp_path):
    (tmp_path / "t.toml").write_text(RUN + "x = " + "[" * 5000)
    with pytest.raises(SpecError, match="nested too deeply"):
        load_run(tmp_path / "t.toml")


def test_5000_damaged_files_are_tried():
    assert sum(CASES.values()) >= 5000
