"""Batches of a version: what is in them, in which order, whose memory they are, and how a pass goes on or ends."""

from __future__ import annotations

import gc
import hashlib
import itertools
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from ocrmaps.errors import RunError, SpecError, StoreCorrupt, StoreNotFound
from ocrmaps.loader import MapLoader
from ocrmaps.loader import epoch as loader_pass
from ocrmaps.loader.batch import Batch
from ocrmaps.store.places.lock import removing
from ocrmaps.store.reader import Reader
from tests.loader.test_rows import flip
from tests.store.world import make_world

ROOT = Path(__file__).resolve().parents[2]


def rows_of(batches) -> list[list[int]]:
    return [batch.row.tolist() for batch in batches]


def digest(batch: Batch) -> str:
    state = hashlib.sha256()
    for tensor in batch:
        state.update(tensor.contiguous().numpy().tobytes())
    return state.hexdigest()


def threads_alive() -> int:
    return sum(t.name.startswith("ocrmaps-loader") for t in threading.enumerate())


@pytest.fixture
def train(folder: Path):
    with MapLoader(folder, split="train", batch_size=3, shuffle=True, threads=2) as loader:
        yield loader


# What a batch holds


@pytest.mark.parametrize("check", [True, False])
def test_batches_are_the_stored_bytes(folder: Path, check: bool):
    with (
        Reader(folder) as reader,
        MapLoader(folder, split="val", batch_size=3, shuffle=True, threads=3, check_digests=check) as loader,
    ):
        for batch in loader:
            for i, row in enumerate(batch.row.tolist()):
                for name, truth in reader.read_row(row).items():
                    assert np.array_equal(getattr(batch, name)[i].numpy(), truth)


def test_a_batch_has_the_documented_types_and_shapes(train: MapLoader):
    for batch in train:
        n, (height, width) = len(batch.row), batch.mask.shape[1:]
        assert batch.image.shape == (n, height, width, 3)
        assert {t.shape for t in batch[1:4]} == {(n, height, width)}
        assert {t.dtype for t in batch[:4]} == {torch.uint8} and batch.row.dtype == torch.int64
        assert all(t.is_contiguous() for t in batch)


def test_an_epoch_shows_its_split_and_only_that(folder: Path, train: MapLoader):
    with Reader(folder) as reader:
        expected = reader.select("train").tolist()
        assert train.rows.tolist() == expected
        shown = list(itertools.chain(*rows_of(train)))
        assert sorted(shown) == expected
        assert train.ids(torch.tensor(shown)) == [reader.id(row) for row in shown]
        assert (train.version, train.root_digest) == (reader.manifest.version, reader.root_digest)


def test_the_length_is_the_number_of_batches(train: MapLoader):
    assert len(list(train)) == len(train) == 5


def test_a_batch_larger_than_the_split_holds_what_there_is(folder: Path):
    with MapLoader(folder, split="val", batch_size=1000, shuffle=False) as loader:
        assert sum(map(len, rows_of(loader))) == len(loader.rows)


@pytest.mark.parametrize(("threads", "ahead"), [(1, 1), (1, 3), (7, 1), (3, 50)])
def test_threads_and_reading_ahead_change_nothing(folder: Path, train: MapLoader, threads: int, ahead: int):
    with MapLoader(folder, split="train", batch_size=3, shuffle=True, threads=threads, ahead=ahead) as other:
        assert [digest(b) for b in other] == [digest(b) for b in train]


# Order


def test_passes_show_one_epoch_after_another(folder: Path, train: MapLoader):
    first, second = rows_of(train), rows_of(train)
    assert first != second and train.epoch == 2
    train.set_epoch(0)
    assert rows_of(train) == first


def test_an_epoch_counts_as_shown_with_its_last_batch(train: MapLoader):
    """A trainer that counts batches never asks for the one after the last: its threads must not wait for it."""
    batches = iter(train)
    for _ in range(len(train)):
        next(batches)
    assert (train.epoch, train.state_dict()["batches"], threads_alive()) == (1, 0, 0)
    with pytest.raises(StopIteration):
        next(batches)


@pytest.mark.parametrize("drop_last", [True, False])
def test_ranks_get_equally_many_batches_of_one_order(folder: Path, drop_last: bool):
    def shown(rank: int, world: int) -> list[list[int]]:
        with MapLoader(
            folder, split="train", batch_size=2, shuffle=True, rank=rank, world=world, drop_last=drop_last
        ) as loader:
            batches = rows_of(loader)
            assert len(loader) == len(batches)
            return batches

    alone, ranks = shown(0, 1), [shown(rank, 3) for rank in range(3)]
    dealt = [batch for step in zip(*ranks, strict=True) for batch in step]
    assert dealt[: len(alone)] == alone[: len(dealt)]
    assert len(dealt) == (len(alone) // 3 * 3 if drop_last else -(-len(alone) // 3) * 3)


def test_drop_last_says_what_it_leaves_out(folder: Path):
    with Reader(folder) as reader:
        rows = reader.select("train")
        fewer = min((rows[reader.rows["canvas"][rows] == c] for c in (0, 1)), key=len)
    with MapLoader(folder, split="train", batch_size=len(fewer) + 1, shuffle=True, drop_last=True) as loader:
        shown = rows_of(loader)
        assert all(len(batch) == len(fewer) + 1 for batch in shown)
        assert loader.left_out == len(rows) - sum(map(len, shown))
        assert loader.unreachable.tolist() == fewer.tolist()


# Whose memory it is


@pytest.mark.parametrize("threads", [1, 4])
def test_a_batch_that_is_held_is_never_overwritten(folder: Path, threads: int):
    """Every batch of two epochs is kept for another number of steps, whole or as one view of it, then looked at."""
    with MapLoader(folder, split="train", batch_size=2, shuffle=True, threads=threads, ahead=2) as loader:
        step, due = 0, []
        for _ in range(6):
            for batch in loader:
                keep: tuple[torch.Tensor, ...] = tuple(batch) if step % 2 else (batch.mask[-1:, ::2],)
                due.append((step + step * 5 % 11, keep, [t.clone() for t in keep]))
                del batch, keep
                step += 1
                for entry in [e for e in due if e[0] <= step]:
                    assert all(torch.equal(now, then) for now, then in zip(entry[1], entry[2], strict=True))
                    due.remove(entry)
                    del entry
        assert step == 6 * len(loader) and all(torch.equal(a, b) for _, k, c in due for a, b in zip(k, c, strict=True))


def test_a_numpy_view_alone_keeps_a_batch(folder: Path):
    with MapLoader(folder, split="train", batch_size=3, shuffle=False, threads=1, ahead=1) as loader:
        view = next(iter(loader)).image.numpy()[0, 3:9]
        before = view.copy()
        for _ in range(4):
            list(loader)
        assert np.array_equal(view, before)


def test_a_whole_epoch_can_be_kept(train: MapLoader):
    kept = list(train)
    digests = [digest(batch) for batch in kept]
    for _ in range(3):
        list(train)
    assert [digest(batch) for batch in kept] == digests


def test_batches_outlive_their_loader(folder: Path):
    with MapLoader(folder, split="val", batch_size=2, shuffle=False) as loader:
        batch = next(iter(loader))
        before = digest(batch)
    del loader
    gc.collect()
    assert digest(batch) == before


def test_memory_is_used_again(train: MapLoader):
    """What is taken from the system stays the same however many epochs are shown."""
    places: set[int] = set()
    for _ in range(12):
        for batch in train:
            places.add(batch.image.data_ptr())
            del batch
    assert len(places) <= 3 + 2  # ahead, the one in hand, the one that is just being let go


def test_memory_and_files_are_flat_over_epochs(folder: Path):
    process = psutil.Process()
    with MapLoader(folder, split="train", batch_size=4, shuffle=True, threads=2) as loader:
        for _ in range(3):
            list(loader)
        gc.collect()
        files, memory = process.num_fds(), process.memory_info().rss
        for _ in range(30):
            for _batch in loader:
                pass
        gc.collect()
        assert process.num_fds() == files
        # Thirty epochs hold 15 MB of rows: far more than the noise of an allocator.
        assert process.memory_info().rss - memory < 4 << 20


# Ending


def test_an_early_break_leaves_no_threads(train: MapLoader):
    for _batch in train:
        break
    assert threads_alive() == 0


def test_an_exception_in_the_loop_leaves_no_threads(train: MapLoader):
    def loop() -> None:
        for _batch in train:
            raise KeyError("the caller's own")

    with pytest.raises(KeyError):
        loop()
    assert threads_alive() == 0


def test_close_ends_a_pass_that_is_still_held(folder: Path):
    loader = MapLoader(folder, split="train", batch_size=2, shuffle=True)
    held = iter(loader)
    next(held)
    loader.close()
    loader.close()
    assert threads_alive() == 0
    with pytest.raises(RunError, match="closed"):
        next(held)
    with pytest.raises(RunError, match="closed"):
        iter(loader)


def test_a_new_pass_ends_the_one_before(train: MapLoader):
    first = iter(train)
    next(first)
    second = iter(train)
    with pytest.raises(RunError, match="another one began"):
        next(first)
    assert len(list(second)) == len(train)


def test_a_pass_keeps_its_loader(folder: Path):
    assert sum(1 for _ in MapLoader(folder, split="train", batch_size=3, shuffle=False)) == 5


def test_a_forgotten_loader_gives_the_version_free(folder: Path):
    loader = MapLoader(folder, split="train", batch_size=3, shuffle=False)
    with removing(folder / "manifest.json") as free:
        assert not free
    held = iter(loader)
    del loader, held
    gc.collect()
    with removing(folder / "manifest.json") as free:
        assert free


def test_an_interpreter_that_ends_with_a_pass_half_done_ends(folder: Path):
    code = (
        "import sys\nfrom ocrmaps.loader import MapLoader\n"
        "batches = iter(MapLoader(sys.argv[1], split='train', batch_size=2, shuffle=True, threads=4))\n"
        "print(next(batches).row.dtype)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(folder)], capture_output=True, text=True, cwd=ROOT, timeout=600
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "torch.int64\n", "")


# Errors


def test_damage_is_raised_where_it_lies_and_named(own_folder: Path):
    with Reader(own_folder) as reader:
        row = int(reader.select("train")[5])
        flip(reader, row, "threshold")
        name = reader.name(row)
    with MapLoader(own_folder, split="train", batch_size=2, shuffle=False, threads=3) as loader:
        shown = []
        with pytest.raises(StoreCorrupt, match=rf"row {row} \({name}\), threshold: .*digest"):
            shown.extend(batch.row.tolist() for batch in loader)
        assert threads_alive() == 0
        with_damage = [row in batch.tolist() for batch in loader._order.batches(0)].index(True)
        assert len(rows_of(itertools.islice(loader, with_damage))) == with_damage


def test_of_several_damaged_rows_the_first_is_named(own_folder: Path):
    with Reader(own_folder) as reader:
        rows = reader.select("train").tolist()
        for row in rows:
            flip(reader, row, "mask")
    for _ in range(5):
        with MapLoader(own_folder, split="train", batch_size=64, shuffle=True, threads=4) as loader:
            first = loader._order.batches(0)[0][0]
            with pytest.raises(StoreCorrupt, match=f"row {first} "):
                next(iter(loader))


def test_any_failure_of_a_thread_reaches_the_caller_with_its_row(train: MapLoader, monkeypatch: pytest.MonkeyPatch):
    def fail(row: int, targets: object) -> None:
        raise ZeroDivisionError("inside")

    monkeypatch.setattr(train._fast, "read_into", fail)
    with pytest.raises(RunError, match=r"reading row \d+ \(train/.*\.png\) failed: ZeroDivisionError: inside"):
        list(train)


def test_no_memory_for_a_batch_is_raised_and_not_waited_for(train: MapLoader, monkeypatch: pytest.MonkeyPatch):
    def none_left() -> None:
        raise MemoryError("no slot")

    monkeypatch.setattr(train._slots, "take", none_left)
    with pytest.raises(MemoryError, match="no slot"):
        list(train)


def test_an_empty_split_is_refused_by_name(folder: Path):
    with pytest.raises(SpecError, match=r"split 'test' has no rows; it has 'train' 13, 'val' 7"):
        MapLoader(folder, split="test", batch_size=2, shuffle=False)


def test_an_unknown_split_lists_the_known(folder: Path):
    with pytest.raises(SpecError, match="'training', expected one of 'train', 'val', 'test', ''"):
        MapLoader(folder, split="training", batch_size=2, shuffle=False)


def test_no_full_batch_at_all_is_refused(folder: Path):
    with pytest.raises(SpecError, match=r"no full step of 1 x 64 rows .* 13 rows of split 'train'"):
        MapLoader(folder, split="train", batch_size=64, shuffle=False, drop_last=True)


def test_all_wrong_settings_are_named_at_once(folder: Path):
    with pytest.raises(SpecError) as caught:
        MapLoader(folder, split="train", batch_size=0, shuffle=False, threads=0, ahead=0, seed=-1, rank="a", world=0)
    assert [p.loc for p in caught.value.problems] == ["batch_size", "threads", "ahead", "world", "seed", "rank"]
    with pytest.raises(SpecError, match="found 2, expected 0 to 2 - 1"):
        MapLoader(folder, split="train", batch_size=1, shuffle=False, rank=2, world=2)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_a_device_that_is_not_there_is_refused(folder: Path):
    with pytest.raises(SpecError, match="no CUDA device"):
        MapLoader(folder, split="train", batch_size=1, shuffle=False, device="cuda")


def test_no_version_is_refused(tmp_path: Path):
    with pytest.raises(StoreNotFound):
        MapLoader(tmp_path / "nothing", split="train", batch_size=1, shuffle=False)


def test_a_refused_loader_leaves_no_file_open(folder: Path):
    process = psutil.Process()
    before = process.num_fds()
    for _ in range(3):
        with pytest.raises(SpecError):
            MapLoader(folder, split="test", batch_size=2, shuffle=False)
    assert process.num_fds() == before


# Going on


@pytest.mark.parametrize("stop", range(6))
def test_a_state_resumes_exactly_where_it_was_taken(folder: Path, stop: int):
    def make() -> MapLoader:
        return MapLoader(folder, split="train", batch_size=3, shuffle=True, seed=4, ahead=4)

    with make() as loader:
        loader.set_epoch(3)
        expected = rows_of(loader) + rows_of(loader)
    with make() as loader:
        loader.set_epoch(3)
        list(itertools.islice(loader, stop))
        state = json.loads(json.dumps(loader.state_dict()))
    with make() as loader:
        loader.load_state_dict(state)
        rest = rows_of(loader)
        if loader.epoch == 4:
            rest += rows_of(loader)
    assert rest == expected[stop:]


def test_naming_the_resumed_epoch_keeps_the_place_in_it(train: MapLoader):
    whole = rows_of(train)
    train.set_epoch(0)
    list(itertools.islice(train, 2))
    state = train.state_dict()
    train.set_epoch(7)
    train.load_state_dict(state)
    train.set_epoch(0)
    assert rows_of(train) == whole[2:]


def test_naming_another_epoch_starts_it(train: MapLoader):
    list(itertools.islice(train, 2))
    train.load_state_dict(train.state_dict())
    train.set_epoch(1)
    assert len(rows_of(train)) == len(train)


def test_an_abandoned_pass_starts_again_unless_its_state_is_loaded(train: MapLoader):
    first = rows_of(itertools.islice(train, 2))
    assert rows_of(itertools.islice(train, 2)) == first


@pytest.mark.parametrize(("before", "after"), [(1, 2), (3, 1), (2, 3)])
def test_a_run_goes_on_with_another_number_of_ranks(folder: Path, before: int, after: int):
    def loaders(world: int) -> list[MapLoader]:
        return [
            MapLoader(folder, split="train", batch_size=1, shuffle=True, rank=rank, world=world)
            for rank in range(world)
        ]

    shown, states = [], []
    for loader in loaders(before):
        with loader:
            shown.append(rows_of(itertools.islice(loader, 2)))
            states.append(loader.state_dict())
    assert all(state == states[0] for state in states)
    for loader in loaders(after):
        with loader:
            loader.load_state_dict(states[0])
            shown.append(rows_of(loader))
    with loaders(1)[0] as alone:
        everything = [row for batch in rows_of(alone) for row in batch]
    seen = [row for batches in shown for batch in batches for row in batch]
    assert set(seen) == set(everything) and len(seen) - len(everything) < after


def test_state_of_another_version_is_refused(folder: Path, tmp_path: Path, train: MapLoader):
    world = make_world(tmp_path, samples=20)
    world.annotate("train", "01.png", lines=1)
    world.build()
    with MapLoader(world.folder, split="train", batch_size=3, shuffle=True) as other:
        with pytest.raises(RunError) as caught:
            other.load_state_dict(train.state_dict())
        assert [p.loc for p in caught.value.problems] == ["version", "root_digest"]


@pytest.mark.parametrize(
    ("key", "value"),
    [("split", "val"), ("batch_size", 4), ("shuffle", False), ("seed", 1), ("drop_last", True), ("root_digest", "0")],
)
def test_state_of_another_order_is_refused_with_what_differs(train: MapLoader, key: str, value: object):
    with pytest.raises(RunError, match=f"{key}: the state has {value!r}"):
        train.load_state_dict({**train.state_dict(), key: value})


@pytest.mark.parametrize(
    "change", [{"format": 99}, {"batches": -1}, {"batches": 1000}, {"epoch": None}, {"epoch": -2}, {"batches": 1.5}]
)
def test_state_that_means_nothing_is_refused(train: MapLoader, change: dict[str, object]):
    with pytest.raises(RunError, match="state"):
        train.load_state_dict({**train.state_dict(), **change})


def test_a_refused_state_changes_nothing(train: MapLoader):
    train.set_epoch(5)
    with pytest.raises(RunError):
        train.load_state_dict({**train.state_dict(), "seed": 9, "epoch": 1})
    assert train.epoch == 5


def test_a_negative_epoch_is_refused(train: MapLoader):
    with pytest.raises(SpecError, match="epoch -1"):
        train.set_epoch(-1)


# Waiting


def test_every_wait_for_a_batch_is_counted(train: MapLoader, monkeypatch: pytest.MonkeyPatch):
    """By a clock that ticks once for each look at it: one tick for each batch."""
    ticks = itertools.count()
    monkeypatch.setattr(loader_pass, "perf_counter", lambda: float(next(ticks)))
    list(train)
    assert train.wait_seconds == len(train)


# On a device


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_batches_on_a_device_are_the_stored_bytes_and_stay_so(folder: Path):
    with MapLoader(folder, split="train", batch_size=2, shuffle=True) as here:
        expected = [digest(batch) for _ in range(3) for batch in here]
    with MapLoader(folder, split="train", batch_size=2, shuffle=True, ahead=2, device="cuda") as loader:
        kept = [batch for _ in range(3) for batch in loader]
        assert {t.device.type for batch in kept for t in batch[:4]} == {"cuda"}
        assert {batch.row.device.type for batch in kept} == {"cpu"}
        torch.cuda.synchronize()
        assert [digest(Batch(*(t.cpu() for t in batch))) for batch in kept] == expected


def test_nothing_here_needs_more_processes(folder: Path):
    """No fork, no spawn: whatever else the process has open stays its own."""
    children = set(psutil.Process().children())
    with MapLoader(folder, split="train", batch_size=3, shuffle=True) as loader:
        next(iter(loader))
        assert set(psutil.Process().children()) <= children  # others may end meanwhile
        assert os.getpid() == psutil.Process().pid
