"""The files of a version: plain Zarr, the same bytes that zarr-python writes, and never a silent fill."""

from __future__ import annotations

import json
import warnings
from contextlib import suppress

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numcodecs.checksum32 import CRC32C

from ocrmaps.errors import StoreCorrupt
from ocrmaps.recipe import ARRAYS, Codec
from ocrmaps.store.format import codecs
from ocrmaps.store.format.codecs import CODECS, packing
from ocrmaps.store.format.layout import FILL, ShardKey, canvas_metadata, document_bytes, list_files
from ocrmaps.store.format.shards import ABSENT, assemble, index_nbytes, read_index
from ocrmaps.store.reader import Reader
from tests.store.world import World, with_layout


def open_zarr(folder):
    import zarr

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # manifest.json and ledger.jsonl are not Zarr nodes, and zarr says so
        return zarr.open_group(str(folder), mode="r")


@pytest.mark.parametrize("codec", CODECS)
def test_plain_zarr_reads_the_same_arrays(world: World, codec):
    world = with_layout(world, **dict.fromkeys(ARRAYS, codec))
    world.build()
    group = open_zarr(world.folder)
    with Reader(world.folder) as reader:
        for row in range(len(reader)):
            height, width = reader.canvas(row)
            position = int(reader.rows["position"][row])
            ours = reader.read_row(row)
            for array in ARRAYS:
                theirs = group[f"canvas-{height}x{width}/{array}"][position]
                np.testing.assert_array_equal(theirs, ours[array])


def test_plain_zarr_reads_the_same_tables(world: World):
    world.build()
    group = open_zarr(world.folder)
    with Reader(world.folder) as reader:
        for name, table in (("rows", reader.rows), ("shards", reader.shards), ("polygons", reader.polygons)):
            for column in group[name].array_keys():
                np.testing.assert_array_equal(group[f"{name}/{column}"][:], table[column])


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_our_shards_are_the_bytes_that_zarr_python_writes(tmp_path, codec):
    import numcodecs.blosc
    import zarr

    numcodecs.blosc.use_threads = False
    rows, per_shard, canvas = 5, 3, (16, 32)
    data = np.random.default_rng(0).integers(0, 4, (rows, *canvas), dtype=np.uint8)
    documents = canvas_metadata(canvas, rows, per_shard, dict.fromkeys(ARRAYS, codec))
    folder = tmp_path / "mask"
    folder.mkdir()
    (folder / "zarr.json").write_bytes(document_bytes(documents["canvas-16x32/mask/zarr.json"]))
    array = zarr.open_array(str(folder), mode="r+", config={"write_empty_chunks": True})
    array[:] = data
    for shard in range(2):
        part = [packing(codec).encode(row) for row in data[shard * per_shard : (shard + 1) * per_shard]]
        parts, _ = assemble([*part, *[None] * (per_shard - len(part))], per_shard)
        name = ShardKey(canvas, shard).path("mask").rpartition("/")[2]
        assert (folder / name).read_bytes() == b"".join(parts)


def test_a_picture_without_text_is_stored_in_full(world: World):
    world.build()
    with Reader(world.folder) as reader:
        row = reader.ids().index("04.png")
        assert not reader.read_row(row)["probability"].any()
        assert reader.rows["chunk_nbytes"][row].min() > 0


def test_every_array_fills_with_a_value_that_maps_never_hold(world: World):
    world.build()
    with Reader(world.folder) as reader:
        for row in range(len(reader)):
            arrays_of_row = reader.read_row(row)
            assert max(arrays_of_row[name].max() for name in ("probability", "threshold", "mask")) < FILL
    metadata = [
        json.loads((world.folder / p).read_bytes()) for p in list_files(world.folder) if p.endswith("zarr.json")
    ]
    fills = {
        m["fill_value"] for m in metadata if m["node_type"] == "array" and len(m["shape"]) > 2 and "shard" in str(m)
    }
    assert fills == {FILL}


def test_the_recipe_and_the_store_know_the_same_codecs():
    assert set(CODECS) == set(Codec.__args__)


@given(st.lists(st.one_of(st.none(), st.binary(min_size=1, max_size=50)), min_size=1, max_size=9))
def test_an_index_reads_back_as_it_was_assembled(rows):
    parts, index = assemble(rows, len(rows))
    data = b"".join(parts)
    again = read_index(data[-index_nbytes(len(rows)) :], len(rows), len(data))
    np.testing.assert_array_equal(again, index)
    for row, (offset, nbytes) in zip(rows, again.tolist(), strict=True):
        assert row is None if offset == ABSENT else data[offset : offset + nbytes] == row


@given(st.data())
def test_an_index_with_any_bit_flipped_is_refused(data):
    parts, _ = assemble([b"abc", None, b"defgh"], 3)
    file = bytearray(b"".join(parts))
    tail = bytearray(file[-index_nbytes(3) :])
    bit = data.draw(st.integers(0, 8 * len(tail) - 1))
    tail[bit // 8] ^= 1 << bit % 8
    with pytest.raises(StoreCorrupt):
        read_index(bytes(tail), 3, len(file))


@given(
    st.sampled_from(sorted(CODECS)),
    arrays.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40)), elements=st.integers(0, 255)),
)
def test_what_is_packed_unpacks_to_the_same_values(codec, row):
    out, own = np.empty_like(row), np.empty_like(row)
    packed = packing(codec).encode(row)
    packing(codec).decode(packed, out)
    packing(codec).decode_own(memoryview(bytearray(packed)), own)
    np.testing.assert_array_equal(out, row)
    np.testing.assert_array_equal(own, row)


@given(st.sampled_from(["lz4", "lz4hc", "zstd", "raw"]), st.integers(0, 200))
def test_a_cut_row_is_refused_before_it_is_decoded(codec, keep):
    row = np.arange(400, dtype=np.uint8).reshape(20, 20)
    packed = packing(codec).encode(row)
    out = np.full_like(row, 7)
    cut = packed[: min(keep, len(packed) - 1)]
    with pytest.raises(StoreCorrupt):
        packing(codec).decode(cut, out)
    with pytest.raises(StoreCorrupt):
        packing(codec).decode_own(memoryview(bytearray(cut)), out)
    assert (out == 7).all()


@given(st.sampled_from(["lz4", "lz4hc", "zstd"]), st.integers(16, 10_000), st.integers(1, 255))
def test_a_damaged_row_is_refused_or_fills_its_memory_and_no_more(codec, at, change):
    row = np.random.default_rng(0).integers(0, 9, (60, 60), dtype=np.uint8)
    packed = bytearray(packing(codec).encode(row))
    packed[16 + at % (len(packed) - 16)] ^= change
    around = np.full(row.size + 128, 7, np.uint8)
    with suppress(StoreCorrupt):
        packing(codec).decode_own(memoryview(packed), around[64:-64].reshape(row.shape))
    assert (around[:64] == 7).all() and (around[-64:] == 7).all()


@pytest.mark.parametrize("spoil", [lambda out: out[:, ::2], lambda out: np.broadcast_to(out[:1], out.shape)])
def test_memory_that_is_not_in_one_piece_or_not_to_be_written_is_refused(spoil):
    out = spoil(np.empty((20, 20), np.uint8))
    packed = memoryview(bytearray(packing("lz4").encode(np.zeros(out.shape, np.uint8))))
    with pytest.raises((TypeError, ValueError)):
        packing("lz4").decode_own(packed, out)


def test_rows_are_unpacked_without_the_library_s_own_function_too(monkeypatch):
    monkeypatch.setattr(codecs, "_UNPACK", None)
    row = np.arange(400, dtype=np.uint8).reshape(20, 20)
    out = np.empty_like(row)
    packing("lz4").decode_own(memoryview(bytearray(packing("lz4").encode(row))), out)
    np.testing.assert_array_equal(out, row)


def test_a_row_of_another_size_is_refused():
    packed = packing("lz4").encode(np.zeros((10, 10), np.uint8))
    with pytest.raises(StoreCorrupt, match="expected"):
        packing("lz4").decode(packed, np.empty((10, 11), np.uint8))


def test_an_index_that_is_cut_is_refused():
    parts, _ = assemble([b"abc", b"defgh"], 2)
    with pytest.raises(StoreCorrupt, match="bytes of index, expected 36"):
        read_index(parts[-1][:20], 2, 44)


def test_rows_that_do_not_tile_their_file_are_refused():
    """The checksum of the index holds; it is the index of another file."""
    parts, _ = assemble([b"abc", b"defgh"], 2)
    with pytest.raises(StoreCorrupt, match="does not tile"):
        read_index(parts[-1], 2, sum(map(len, parts)) + 1)
    index = np.array([[0, 3], [4, 4]], dtype="<u8")  # a gap of one byte
    tail = bytes(CRC32C(location="end").encode(index))
    with pytest.raises(StoreCorrupt, match="does not tile"):
        read_index(tail, 2, 7 + len(tail))
