"""How one row of one array is packed: each name is one Zarr v3 codec chain, with our encoder pinned to one thread.

Blosc cuts a buffer into blocks and, with its own threads, stores them in the order in which they finish; one thread
makes the bytes the same on every run. Nothing here trusts a length in the data: the caller has checked a digest, and
the decoded size is checked again.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from struct import Struct
from typing import Any

import numcodecs.blosc
import numpy as np
import numpy.typing as npt

from ocrmaps.errors import SpecError, StoreCorrupt

BLOCK = 1 << 20
"""Bytes in one Blosc block. Large blocks decode faster (docs/explanation/store.md has the table)."""
_LENGTHS = Struct("<4xI4xI").unpack_from
"""Of a Blosc header: bytes unpacked, bytes packed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packing:
    """One Blosc setting, or none for raw bytes."""

    cname: str | None
    level: int = 0

    def zarr(self) -> list[dict[str, Any]]:
        """The codec chain as `zarr.json` states it; standard codecs only, so any Zarr v3 reader can follow."""
        chain: list[dict[str, Any]] = [{"name": "bytes"}]
        if self.cname is not None:
            settings = {
                "blocksize": BLOCK,
                "clevel": self.level,
                "cname": self.cname,
                "shuffle": "noshuffle",
                "typesize": 1,
            }
            chain.append({"name": "blosc", "configuration": settings})
        return chain

    def encode(self, row: npt.NDArray[np.uint8]) -> bytes:
        """The packed bytes of a C-contiguous uint8 array."""
        if self.cname is None:
            return row.tobytes()
        _one_thread()
        packed: bytes = numcodecs.blosc.compress(
            row.reshape(-1), self.cname.encode(), self.level, numcodecs.blosc.NOSHUFFLE, BLOCK
        )
        return packed

    def decode(self, packed: bytes | memoryview, out: npt.NDArray[np.uint8]) -> None:
        """Unpack into all of `out` (C-contiguous, writable); other sizes are refused before anything is written."""
        if self.cname is None:
            if len(packed) != out.nbytes:
                raise StoreCorrupt(f"found {len(packed)} raw bytes, expected {out.nbytes}")
            out.reshape(-1)[:] = np.frombuffer(packed, dtype=np.uint8)
            return
        _check_lengths(packed, out.nbytes)
        _one_thread()
        try:
            numcodecs.blosc.decompress(packed, out.reshape(-1))
        except (RuntimeError, ValueError) as error:
            raise StoreCorrupt(f"Blosc cannot unpack {len(packed)} bytes ({error})") from error

    def decode_own(self, packed: memoryview, out: npt.NDArray[np.uint8]) -> None:
        """`decode` of packed bytes in memory of the caller's own, which may be written to, with less around it."""
        if self.cname is None or _UNPACK is None:
            return self.decode(packed, out)
        _check_lengths(packed, out.nbytes)
        # Asked for this way, memory is refused that is read-only or not in one piece.
        found = _UNPACK(_at(_first(packed)), _at(_first(out.data)), out.nbytes, 1)
        if found != out.nbytes:
            raise StoreCorrupt(f"Blosc cannot unpack {len(packed)} bytes (it ends with {found})")
        return None


def _check_lengths(packed: bytes | memoryview, nbytes: int) -> None:
    """The 16-byte Blosc header states both lengths; believing it without a look reads beyond the buffer."""
    if len(packed) < 16:
        raise StoreCorrupt(f"found {len(packed)} packed bytes, expected at least the 16 of a Blosc header")
    unpacked, stated = _LENGTHS(packed)
    if stated != len(packed) or unpacked != nbytes:
        raise StoreCorrupt(
            f"the Blosc header states {stated} bytes for {unpacked}, expected {len(packed)} for {nbytes}"
        )


def _unpacker() -> Any:
    """What numcodecs calls to unpack: (from, to, bytes there, threads) to bytes written, with the lock given free.

    numcodecs' own way to it takes 4 microseconds, this one 1.3. None where its library does not show the function.
    """
    try:
        found = ctypes.CDLL(numcodecs.blosc.__file__).blosc_decompress_ctx
    except (OSError, AttributeError):
        return None
    found.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    found.restype = ctypes.c_int
    return found


_UNPACK = _unpacker()
_first, _at = ctypes.c_char.from_buffer, ctypes.byref

CODECS: dict[str, Packing] = {
    "lz4": Packing(cname="lz4", level=9),
    "lz4hc": Packing(cname="lz4hc", level=4),
    "zstd": Packing(cname="zstd", level=1),
    "raw": Packing(cname=None),
}


def packing(name: str) -> Packing:
    """The packing of that name; an unknown one lists the known ones."""
    if name not in CODECS:
        raise SpecError(f"found codec {name!r}, expected one of {', '.join(CODECS)}")
    return CODECS[name]


def _one_thread() -> None:
    # Module state of numcodecs, so it is set on each use: it must hold whatever else runs in this process.
    if numcodecs.blosc.use_threads is not False:
        numcodecs.blosc.use_threads = False
