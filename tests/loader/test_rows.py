"""The fast way to rows: the same bytes as any Zarr reader, and the same refusals as the strict reader."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import psutil
import pytest
import zarr

from ocrmaps.errors import StoreCorrupt, StoreError
from ocrmaps.recipe import ARRAYS
from ocrmaps.store import fast, indexes
from ocrmaps.store.fast import FastReader
from ocrmaps.store.format.layout import canvas_name, row_shape
from ocrmaps.store.format.shards import assemble
from ocrmaps.store.reader import Reader
from tests.store.world import make_world, with_layout


def buffers(reader: Reader, row: int, count: int = 1) -> dict[str, np.ndarray]:
    return {a: np.full((count, *row_shape(a, reader.canvas(row))), 77, np.uint8) for a in ARRAYS}


def file_of(reader: Reader, row: int, array: str) -> Path:
    return reader.folder / reader.shard_of(row).path(array)


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def path_of(handle: int) -> Path:
    return Path(os.readlink(f"/proc/self/fd/{handle}"))


def flip(reader: Reader, row: int, array: str) -> None:
    """Change one bit in the middle of what is stored of a row."""
    number = ARRAYS.index(array)
    at = int(reader.rows["chunk_offset"][row, number]) + int(reader.rows["chunk_nbytes"][row, number]) // 2
    path = file_of(reader, row, array)
    overwrite(path, at, bytes([path.read_bytes()[at] ^ 16]))


def assert_same_as_zarr(folder: Path) -> None:
    group = zarr.open_group(folder, mode="r")
    with Reader(folder) as reader:
        rows = FastReader(reader)
        for row in range(len(reader)):
            out = buffers(reader, row)
            rows.read_rows([row], out)
            for array in ARRAYS:
                plain = group[canvas_name(reader.canvas(row))][array][int(reader.rows["position"][row])]
                assert np.array_equal(out[array][0], plain), (row, array)
        rows.close()


def test_every_row_is_what_zarr_python_reads(folder: Path):
    assert_same_as_zarr(folder)


@pytest.mark.parametrize("codec", ["raw", "zstd", "lz4hc"])
def test_every_row_is_what_zarr_python_reads_whatever_packs_it(tmp_path: Path, codec: str):
    world = with_layout(make_world(tmp_path, samples=4), **dict.fromkeys(ARRAYS, codec))
    world.build()
    assert_same_as_zarr(world.folder)


def test_rows_land_in_the_order_asked(folder: Path):
    with Reader(folder) as reader:
        rows = [int(r) for r in np.flatnonzero(reader.rows["canvas"][:] == 0)][:4][::-1]
        out = buffers(reader, rows[0], count=5)
        FastReader(reader).read_rows(rows, out)
        for i, row in enumerate(rows):
            assert all(np.array_equal(out[a][i], reader.read_row(row)[a]) for a in ARRAYS)
        assert all((out[a][4] == 77).all() for a in ARRAYS)


def test_rows_of_another_canvas_are_refused(folder: Path):
    with Reader(folder) as reader:
        canvases = reader.rows["canvas"][:].tolist()
        first, other = canvases.index(0), canvases.index(1)
        with pytest.raises(StoreError, match=f"row {other} .*image is uint8 .*its buffer is"):
            FastReader(reader).read_rows([first, other], buffers(reader, first, count=2))


@pytest.mark.parametrize("row", [-1, 20])
def test_rows_that_do_not_exist_are_refused(folder: Path, row: int):
    with Reader(folder) as reader, pytest.raises(IndexError, match=f"row {row} of 20"):
        FastReader(reader).read_rows([row], buffers(reader, 0))


@pytest.mark.parametrize("codec", ["lz4", "raw"])
@pytest.mark.parametrize("array", ARRAYS)
def test_one_changed_bit_is_refused_by_name(tmp_path: Path, array: str, codec: str):
    world = with_layout(make_world(tmp_path, samples=4), **dict.fromkeys(ARRAYS, codec))
    world.build()
    with Reader(world.folder) as reader:
        file_of(reader, 2, array).chmod(0o644)
        flip(reader, 2, array)
        with pytest.raises(StoreCorrupt, match=rf"row 2 \({reader.name(2)}\), {array}: .*digest"):
            FastReader(reader).read_rows([2], buffers(reader, 2))


def test_a_file_cut_short_while_it_is_open_is_refused(own_folder: Path):
    with Reader(own_folder) as reader:
        rows, out = FastReader(reader), buffers(reader, 2)
        rows.read_rows([2], out)
        os.truncate(file_of(reader, 2, "threshold"), 10)
        with pytest.raises(StoreCorrupt, match=r"row 2 .*threshold.*bytes, expected"):
            rows.read_rows([2], out)


def test_a_missing_file_is_refused(own_folder: Path):
    with Reader(own_folder) as reader:
        path = file_of(reader, 2, "mask")
        path.unlink()
        with pytest.raises(StoreCorrupt, match=str(path)):
            FastReader(reader).read_rows([2], buffers(reader, 2))


def test_damage_to_the_index_is_refused(own_folder: Path):
    with Reader(own_folder) as reader:
        path = file_of(reader, 2, "image")
        overwrite(path, path.stat().st_size - 4, b"\0\0\0\0")
        with pytest.raises(StoreCorrupt, match="CRC-32C"):
            FastReader(reader).read_rows([2], buffers(reader, 2))


def test_an_index_that_is_sound_but_another_one_is_refused(own_folder: Path):
    """Its checksum holds and its rows tile the file; only the table of rows says that they are not these."""
    with Reader(own_folder) as reader:
        path = file_of(reader, 2, "image")
        inside = [row for row in range(len(reader)) if file_of(reader, row, "image") == path]
        number, *_ = inside = sorted(inside, key=lambda row: int(reader.rows["position"][row]))
        lengths = reader.rows["chunk_nbytes"][inside, 0].tolist()
        parts, _ = assemble([bytes(n) for n in (lengths[0] - 1, lengths[1] + 1, lengths[2])], 3)
        overwrite(path, sum(lengths), parts[-1])
        with pytest.raises(StoreCorrupt, match="the shard's index has offset 0"):
            FastReader(reader).read_rows([number], buffers(reader, number))


def test_a_file_that_is_longer_than_recorded_is_refused(own_folder: Path):
    with Reader(own_folder) as reader:
        path = file_of(reader, 2, "mask")
        overwrite(path, path.stat().st_size, b"x")
        with pytest.raises(StoreCorrupt, match=r"row 2 .*mask.*bytes, expected|mask.*found \d+ bytes, expected"):
            FastReader(reader).read_rows([2], buffers(reader, 2))


@pytest.mark.parametrize("where", ["shared", "beyond"])
def test_rows_without_a_place_of_their_own_are_refused(folder: Path, where: str):
    """Tables whose digests somebody made fit: one place for two rows, or a place that the canvas does not have."""
    with Reader(folder) as reader:
        position = reader.rows["position"].copy()
        canvas = reader.rows["canvas"]
        one, other = np.flatnonzero(canvas == canvas[0])[:2]
        position[one] = position[other] if where == "shared" else reader.manifest.positions[canvas[0]]
        reader.rows._loaded["position"] = position
        with pytest.raises(StoreCorrupt, match="rows that share a place or have none"):
            FastReader(reader)


@pytest.mark.parametrize(("table", "column"), [("rows", "chunk_offset"), ("shards", "nbytes"), ("shards", "index")])
def test_tables_that_contradict_each_other_prove_no_index(folder: Path, table: str, column: str):
    """Tables whose digests somebody made fit: the files are sound, and not what one column says."""
    with Reader(folder) as reader:
        columns = getattr(reader, table)
        changed = columns[column].copy()
        changed[1:2] += 1
        columns._loaded[column] = changed
        rows, refused = FastReader(reader, check_digests=False), 0
        for row in range(len(reader)):
            try:
                rows.read_rows([row], buffers(reader, row))
            except StoreCorrupt:
                refused += 1
        assert 0 < refused <= 3


def test_a_file_that_should_be_longer_than_a_file_can_be_is_refused(folder: Path):
    with Reader(folder) as reader:
        changed = reader.shards["nbytes"].copy()
        changed[0] = 2**64 - 1
        reader.shards._loaded["nbytes"] = changed
        with pytest.raises(StoreCorrupt, match="expected 18446744073709551615"):
            FastReader(reader).read_rows([0], buffers(reader, 0))


def test_indexes_worked_out_one_by_one_or_together_are_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch):
    proofs = []
    for at_once in (1, 6, 1000):
        monkeypatch.setattr(indexes, "_AT_ONCE", at_once)
        with Reader(folder) as reader:
            rows = FastReader(reader)
            for row in range(len(reader)):
                rows.read_rows([row], buffers(reader, row))
            proofs.append(bytes(rows._indexes._proofs))
    assert proofs[0] == proofs[1] == proofs[2]
    assert 0 not in np.frombuffer(proofs[0], np.uint64).reshape(-1, 2).any(axis=1)


def test_a_row_swapped_for_another_of_its_length_is_refused(tmp_path: Path):
    """Raw rows are all of one length, so that nothing but the digest can tell."""
    world = with_layout(make_world(tmp_path, samples=4, rows_per_shard=4), **dict.fromkeys(ARRAYS, "raw"))
    world.build()
    with Reader(world.folder) as reader:
        canvases = reader.rows["canvas"][:].tolist()
        one, two = [i for i, c in enumerate(canvases) if c == canvases[-1]][:2]
        path = file_of(reader, one, "image")
        path.chmod(0o644)
        start, nbytes = int(reader.rows["chunk_offset"][two, 0]), int(reader.rows["chunk_nbytes"][two, 0])
        overwrite(path, int(reader.rows["chunk_offset"][one, 0]), path.read_bytes()[start : start + nbytes])
        with pytest.raises(StoreCorrupt, match=f"row {one} .*digest"):
            FastReader(reader).read_rows([one], buffers(reader, one))


def test_without_digests_lengths_and_headers_are_still_checked(own_folder: Path):
    with Reader(own_folder) as reader:
        overwrite(file_of(reader, 2, "image"), int(reader.rows["chunk_offset"][2, 0]) + 4, b"\xff\xff")
        with pytest.raises(StoreCorrupt, match="row 2"):
            FastReader(reader, check_digests=False).read_rows([2], buffers(reader, 2))


def test_a_read_that_differs_from_the_next_is_never_believed(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """A failing disk or memory: the strict reader finds the row sound, and still nothing comes out."""
    monkeypatch.setattr(fast, "row_digest", lambda data: b"another!")
    with Reader(folder) as reader, pytest.raises(StoreCorrupt, match=r"row 2 .*a second read was sound"):
        FastReader(reader).read_rows([2], buffers(reader, 2))


def test_few_files_stay_open_and_all_close(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fast, "OPEN_SHARDS", 3)
    process = psutil.Process()
    before = process.num_fds()
    with Reader(folder) as reader:
        for row in range(len(reader)):
            reader.read_row(row)
        among_others = process.num_fds()
        rows = FastReader(reader)
        for row in range(len(reader)):
            rows.read_rows([row], buffers(reader, row))
        assert process.num_fds() == among_others + 3 * len(ARRAYS)
        rows.close()
        assert process.num_fds() == among_others
    assert process.num_fds() == before


def test_the_shard_closes_that_has_most_of_its_rows_behind_it(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fast, "OPEN_SHARDS", 2)
    with Reader(folder) as reader:
        of: dict[object, list[int]] = {}
        for row in range(len(reader)):
            of.setdefault(reader.shard_of(row), []).append(row)
        whole, begun, other = [rows for rows in of.values() if len(rows) == 3][:3]
        rows = FastReader(reader)
        rows.ahead([]).stop()
        for row in (begun[0], *whole, other[0]):
            rows.read_rows([row], buffers(reader, row))
        kept = {path for handles in rows._shards.values() for path in map(path_of, handles.handles)}
        assert kept == {file_of(reader, row, array) for row in (begun[0], other[0]) for array in ARRAYS}
        rows.close()


def test_threads_share_one_reader(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """Many threads, files that close under them all the time: every row still arrives whole."""
    monkeypatch.setattr(fast, "OPEN_SHARDS", 2)
    with Reader(folder) as reader:
        rows, truth = FastReader(reader), [reader.read_row(row) for row in range(len(reader))]
        wrong: list[object] = []

        def read(seed: int) -> None:
            try:
                for row in np.random.default_rng(seed).permutation(np.arange(len(reader)).repeat(4)).tolist():
                    out = buffers(reader, row)
                    rows.read_rows([row], out)
                    wrong.extend((row, a) for a in ARRAYS if not np.array_equal(out[a][0], truth[row][a]))
            except BaseException as error:
                wrong.append(error)

        threads = [threading.Thread(target=read, args=(i,)) for i in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
