"""A pipe or a link out of its folder, in a folder that somebody else packed: neither waited for nor followed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ocrmaps.debug.bundles import find_bundles
from ocrmaps.debug.entries import ENTRIES, entries
from ocrmaps.debug.reading import damage, open_bundle
from ocrmaps.errors import OcrmapsError
from ocrmaps.evaluation.tables import RESULT, read_evaluation
from ocrmaps.store.reader import Reader
from ocrmaps.store.upkeep.verify import verify
from ocrmaps.training.folder import read_metrics, read_run
from tests.store.world import make_world


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    """Whoever waits for a pipe waits for ever."""

    def late(*given: object) -> None:
        raise AssertionError("it waits for somebody who writes into a pipe")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def _read(folder: Path) -> None:
    with Reader(folder) as reader:
        _ = [reader.read_row(row) for row in range(len(reader))], reader.name(0), list(reader.ledger())


@pytest.mark.parametrize("which", ["manifest.json", "rows/split/c.0", "ledger.jsonl", "canvas-*/image/c.*"])
def test_a_pipe_in_a_version_is_damage(which, tmp_path):
    world = make_world(tmp_path, samples=2)
    world.build()
    folder = world.folder
    path = next(folder.glob(which))
    path.parent.chmod(0o755)
    path.unlink()
    os.mkfifo(path)
    assert not verify(folder).ok and not verify(folder, level="quick").ok
    with pytest.raises(OcrmapsError):
        _read(folder)


READS: dict[str, Callable[[Path], object]] = {
    "result.json": read_run,
    "environment.json": read_run,
    "metrics.csv": lambda folder: read_metrics(folder / "metrics.csv"),
}


@pytest.mark.parametrize("name", READS)
def test_a_pipe_in_a_run_is_refused(name, tmp_path):
    (tmp_path / "run.json").write_text("{}")
    os.mkfifo(tmp_path / name)
    with pytest.raises(OcrmapsError, match="it is a pipe, expected a regular file"):
        READS[name](tmp_path)


def test_a_pipe_in_an_evaluation_is_refused(tmp_path):
    os.mkfifo(tmp_path / RESULT)
    with pytest.raises(OcrmapsError, match="it is a pipe, expected a regular file"):
        read_evaluation(tmp_path)


@pytest.mark.parametrize("name", READS)
def test_a_link_out_of_a_run_is_not_read(name, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    (tmp_path / "secret").write_text('{"secret": 1}\n1,2\n')
    (tmp_path / "run" / name).symlink_to(tmp_path / "secret")
    with pytest.raises(OcrmapsError, match="a link out of the run's folder"):
        READS[name](tmp_path / "run")


def test_metrics_with_lines_of_other_lengths_are_read(tmp_path):
    (tmp_path / "metrics.csv").write_text("epoch,loss\n1,2.5,9,9\n2\n")
    assert read_metrics(tmp_path / "metrics.csv") == [{"epoch": 1, "loss": 2.5}, {"epoch": 2}]


def test_a_pipe_in_a_bundle_is_refused_and_entries_are_no_link_out_of_it(tmp_path):
    bundle = tmp_path / "debug" / "2026-01-01T000000Z_crash"
    bundle.mkdir(parents=True)
    os.mkfifo(bundle / "bundle.json")
    assert all(found.fault for found in find_bundles(tmp_path))
    (bundle / "bundle.json").unlink()
    (tmp_path / "secret").write_text("root:x:0:0\n")
    (bundle / ENTRIES).symlink_to(tmp_path / "secret")
    (bundle / "bundle.json").write_text(
        '{"what": "ocrmaps debug bundle", "format": 1, "created": "2026-01-01T00:00:00Z", "reason": "x", "files": {}}'
    )
    found = open_bundle(bundle)
    damage(found)
    with pytest.raises(OcrmapsError, match="a link out of the bundle"):
        entries(found)
