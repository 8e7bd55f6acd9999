"""A version whose every digest is right and which means nothing is refused in a sentence, wherever it is opened."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from ocrmaps.cli.app import app
from ocrmaps.errors import OcrmapsError, StoreCorrupt
from ocrmaps.loader import MapLoader
from ocrmaps.store.format import tables
from ocrmaps.store.format.identity import file_digest
from ocrmaps.store.format.layout import MANIFEST
from ocrmaps.store.format.manifest import Manifest, read_manifest
from ocrmaps.store.format.tables import TABLES, column_path
from ocrmaps.store.reader import Reader
from ocrmaps.store.upkeep.catalog import rows_table, statistics
from ocrmaps.store.upkeep.verify import verify
from tests.store.world import make_world
from tests.trust.test_fuzz import spoilt

STEER = "\x1b[31mred"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    world = make_world(tmp_path_factory.mktemp("sense"), samples=3)
    world.build()
    return world.folder


@pytest.fixture
def version(sound: Path, tmp_path: Path) -> Path:
    """A copy to write into."""
    folder = shutil.copytree(sound, tmp_path / "tiny" / sound.name)
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


def forge(folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The version with another manifest, every digest in it right, and the folder's name with it."""
    body = json.loads((folder / MANIFEST).read_text())
    change(body)
    manifest = Manifest(asked=body["asked"], written=body["written"], recorded=body["recorded"])
    (folder / MANIFEST).write_bytes(manifest.to_bytes())
    return folder.rename(folder.with_name(manifest.version))


def forge_column(folder: Path, where: str, change: Callable[[np.ndarray], None]) -> Path:
    """The version with other values in a column, the digest that the manifest states with them."""
    table, name = where.split("/")
    column = read_manifest(folder).columns(table)[name]
    path = folder / str(column_path(table, name, column.shape))
    array = np.fromfile(path, dtype=np.dtype(column.dtype).newbyteorder("<"))
    change(array)
    path.write_bytes(array.tobytes())
    return forge(folder, lambda b: b["written"]["tables"][table][name].update(digest=file_digest(array).hex()))


def use(folder: Path) -> None:
    """What commands do with a version: look at it, verify it, read its rows and load them."""
    verify(folder)
    for read in (statistics, rows_table):
        with suppress(OcrmapsError):
            read(folder)
    with suppress(OcrmapsError), Reader(folder) as reader:
        for row in range(min(4, len(reader))):
            _ = reader.read_row(row), reader.polygon_set(row), reader.transform(row), reader.outcomes(row)
        list(reader.ledger())
    with suppress(OcrmapsError), MapLoader(folder, split="train", batch_size=1, shuffle=False, threads=1) as loader:
        next(iter(loader))


def test_the_sound_version_is_sound(version):
    assert verify(forge(version, lambda body: None)).ok


@pytest.mark.parametrize(
    ("where", "at", "value", "words"),
    [
        ("rows/canvas", 0, 9, "expected less than 2"),
        ("rows/split", 0, 4, "expected less than 4"),
        ("rows/source", 1, 1, "expected less than 1"),
        ("rows/frame", 0, 200, "expected less than 3"),
        ("rows/position", 0, 2**31, "expected less than"),
        ("rows/chunk_nbytes", 0, 2**32 - 1, "expected less than"),
        ("rows/id_offsets", 1, 2**60, "do not rise from 0"),
        ("rows/transform", 0, 9, "a transform of no picture"),
        ("rows/transform", 1, -1, "a transform of no picture"),
        ("polygons/offsets", 1, 2**60, "do not rise from 0"),
        ("polygons/row_offsets", 0, 1, "do not rise from 0"),
        ("polygons/outcome", 0, 200, "expected less than"),
        ("polygons/points", 3, np.nan, "no finite numbers"),
        ("polygons/points", 0, np.inf, "no finite numbers"),
        ("shards/canvas", 0, 7, "expected less than 2"),
    ],
)
def test_values_that_mean_nothing_do_not_pass_verify_or_a_reader(where, at, value, words, version):
    folder = forge_column(version, where, lambda array: array.__setitem__(at, value))
    report = verify(folder)
    assert not report.ok and any(words in str(problem) for problem in report.problems)
    table, name = where.split("/")
    with Reader(folder) as reader, pytest.raises(StoreCorrupt, match=words):
        getattr(reader, table)[name]
    use(folder)


@pytest.mark.parametrize("piece", [8, 24, 2**20])
def test_offsets_that_fall_are_found_whatever_pieces_they_come_in(piece, version, monkeypatch: pytest.MonkeyPatch):
    """Offsets take eight bytes each: the fall is from one piece to the next, or within one."""
    monkeypatch.setattr(tables, "PIECE", piece)
    assert verify(version).ok
    folder = forge_column(version, "polygons/offsets", lambda array: array.__setitem__(slice(2, 4), array[2:4][::-1]))
    with Reader(folder) as reader, pytest.raises(StoreCorrupt, match="do not rise from 0"):
        reader.polygons.prove("offsets")


def test_a_text_that_is_none_is_refused(version):
    folder = forge_column(version, "rows/id_bytes", lambda array: array.__setitem__(slice(None), 255))
    with Reader(folder) as reader, pytest.raises(StoreCorrupt, match="is no UTF-8"):
        reader.id(0)


def test_a_row_of_no_shard_is_refused(version):
    folder = forge_column(version, "shards/index", lambda array: array.__setitem__(slice(None), 5))
    with Reader(folder) as reader, pytest.raises(StoreCorrupt, match="the table of shards has no"):
        reader.read_row(0)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("written",), None),
        (("written", "canvases"), [{"size": [64, 10**9], "positions": 1}]),
        (("written", "canvases"), [{"size": [64], "positions": 1}]),
        (("written", "counts", "rows"), 10**12),
        (("written", "counts", "rows"), True),
        (("written", "sources"), [1]),
        (("written", "ledger"), {"digest": "", "lines": -1}),
        (("written", "tables", "rows", "split", "dtype"), "O"),
        (("written", "tables", "rows", "split", "shape"), []),
        (("written", "tables", "rows", "split", "shape"), [2]),
        (("written", "tables", "rows"), {}),
        (("written", "tables"), {}),
        (("recorded",), 1.5),
        (("recorded", "drawn_by"), [1]),
        (("recorded", "drawn_by"), [{}]),
        (("recorded", "drawn_by", 0, "code"), []),
        (("recorded", "drawn_by", 0, "tools"), {"numpy": None}),
        (("recorded", "tools"), {"numpy": 2}),
        (("recorded", "built"), None),
        (("recorded", "built"), {"at": 5}),
        (("recorded", "sources"), [None]),
        (("recorded", "recipe"), None),
        (("asked", "recipe", "layout", "rows_per_shard"), 0),
        (("asked", "recipe", "layout", "rows_per_shard"), 1),
        (("asked", "recipe", "layout", "rows_per_shard"), 2**31),
        (("written", "canvases", 0, "positions"), 2**32 - 1),
        (("asked", "recipe", "layout", "mask"), "rot13"),
    ],
    ids=str,
)
def test_a_manifest_that_proves_itself_and_means_nothing_is_refused(path, value, version):
    def change(body: dict[str, Any]) -> None:
        *above, last = path
        for name in above:
            body = body[name]
        body[last] = value

    folder = forge(version, change)
    with pytest.raises(StoreCorrupt, match="not a manifest as ocrmaps writes it"):
        read_manifest(folder)
    use(folder)


def test_a_manifest_names_no_more_canvases_than_rows_can_tell_apart(version):
    folder = forge(
        version, lambda body: body["written"]["canvases"].extend([{"size": [1, 1], "positions": 0}] * 65_535)
    )
    with pytest.raises(StoreCorrupt, match="expected at most 65535"):
        read_manifest(folder)


def test_no_memory_is_taken_for_a_column_that_its_file_does_not_have(version):
    """A terabyte is stated."""

    def change(body: dict[str, Any]) -> None:
        body["written"]["tables"]["polygons"]["text_bytes"]["shape"] = [2**40 - 1]

    folder = forge(version, change)
    assert any("expected 1099511627775" in str(problem) for problem in verify(folder, level="quick").problems)
    use(folder)


def test_a_hundred_forgeries_give_no_traceback(version):
    whole, rng = (version / MANIFEST).read_bytes(), random.Random(11)
    folder = version
    for number in range(100):
        if number % 2:
            part = rng.choice(["written", "written", "asked", "recorded"])
            with suppress(ValueError, TypeError, KeyError, AttributeError):  # nobody can write such a manifest
                folder = forge(folder, lambda body, part=part: body.update({part: spoilt(rng, body[part])}))
            use(folder)
        else:
            table = rng.choice(list(TABLES))
            name = rng.choice(sorted(TABLES[table]))
            path = folder / str(column_path(table, name, read_manifest(folder).columns(table)[name].shape))
            before = path.read_bytes()
            folder = forge_column(folder, f"{table}/{name}", lambda array: rng.shuffle(array.ravel()[::-1]))
            use(folder)
            path.write_bytes(before)
        folder = folder.rename(version)
        (folder / MANIFEST).write_bytes(whole)


def test_what_a_stranger_recorded_does_not_steer_the_terminal(version):
    def change(body: dict[str, Any]) -> None:
        body["recorded"]["built"] = {"at": STEER}
        del body["recorded"]["tools"]
        body["recorded"]["sources"][0] |= {"label": STEER, "format": STEER, "frame": STEER, "split": STEER}

    cache = forge(version, change).parents[1]
    for command in (["list"], ["show", "tiny"]):
        done = CliRunner().invoke(app, ["cache", *command, "--root", str(cache)])
        assert done.exit_code == 0 and "\\x1b" in done.output and "\x1b" not in done.output
