"""Shard files as Zarr v3's `sharding_indexed` codec defines them: packed rows, then the index, then its CRC-32C.

One shard is one file of one array and holds `rows_per_shard` rows; row i has the i-th (offset, length) pair of the
index, little-endian 64-bit, both all ones where there is no such row (beyond the end, or a picture that failed).
"""

from __future__ import annotations

from collections.abc import Sequence

import numcodecs.checksum32
import numpy as np
import numpy.typing as npt

from ocrmaps.errors import StoreCorrupt

ABSENT = 0xFFFF_FFFF_FFFF_FFFF
_CRC = numcodecs.checksum32.CRC32C(location="end")

Index = npt.NDArray[np.uint64]
"""(rows_per_shard, 2): offset and length in bytes, or ABSENT twice."""


def assemble(rows: Sequence[bytes | None], rows_per_shard: int) -> tuple[list[bytes], Index]:
    """The parts of a shard file in order, and its index; None is a row that does not exist.

    >>> parts, index = assemble([b"abc", None, b"d"], 4)
    >>> index[:, 1].tolist() == [3, ABSENT, 1, ABSENT], len(b"".join(parts)) == 4 + index_nbytes(4)
    (True, True)
    """
    index = np.full((rows_per_shard, 2), ABSENT, dtype="<u8")
    parts = []
    offset = 0
    for i, packed in enumerate(rows):
        if packed is not None:
            index[i] = (offset, len(packed))
            offset += len(packed)
            parts.append(packed)
    parts.append(tail_of(index.tobytes()))
    return parts, index


def tail_of(data: bytes) -> bytes:
    """The end of a shard file with these bytes of an index.

    >>> index = np.array([[0, 3]], "<u8")
    >>> tail_of(index.tobytes()) == bytes(_CRC.encode(index))
    True
    """
    # The codec's own way around its checksum takes 5 µs, four times for each shard that is opened.
    return data + _CRC.checksum(data).to_bytes(4, "little")


def index_nbytes(rows_per_shard: int) -> int:
    """Length of the index at the end of a shard file, its checksum included."""
    return 16 * rows_per_shard + 4


def read_index(tail: bytes, rows_per_shard: int, file_nbytes: int) -> Index:
    """Parse the end of a shard file strictly: checksum, and rows that lie one after the other without gaps."""
    if len(tail) != index_nbytes(rows_per_shard):
        raise StoreCorrupt(f"found {len(tail)} bytes of index, expected {index_nbytes(rows_per_shard)}")
    try:
        index = np.frombuffer(bytes(_CRC.decode(tail)), dtype="<u8").reshape(rows_per_shard, 2)
    except RuntimeError as error:
        raise StoreCorrupt(f"the index fails its CRC-32C ({error})") from error
    present = index[index[:, 0] != ABSENT]
    offsets = np.concatenate([[0], np.cumsum(present[:, 1])]).astype(np.uint64)
    if (offsets[:-1] != present[:, 0]).any() or int(offsets[-1]) + len(tail) != file_nbytes:
        raise StoreCorrupt(f"the index does not tile the file of {file_nbytes} bytes")
    return index
