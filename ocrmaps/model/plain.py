"""Reads tensors and plain data from a file of torch: never code, and never more than the file is long."""

from __future__ import annotations

import os
import pickle
import re
import struct
import zipfile
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from ocrmaps.files import open_regular

MAX_ENTRIES = 100_000
"""Entries of a file, which has one for each tensor."""
MAX_VALUES = 1_000_000
"""Values in a file besides its tensors' own, each counted wherever it stands."""
MAX_DEPTH = 64
_ARCHIVE = b"PK\x03\x04"
_END, _END64 = struct.Struct("<4s4xHHIIH"), struct.Struct("<4s36xQQ4s4xQ4x")
"""End of an archive, and what stands before it in one of 64 bits: the record and where it is."""
_REBUILT = ("_rebuild_tensor_v2", "_rebuild_tensor", "_rebuild_parameter")


class TooMuch(ValueError):
    """A file asks for more than its length pays for."""


def read_plain(path: Path) -> Any:
    """What is in the file. Whatever torch raises is left to the caller; `TooMuch` says what is.

    Torch's layouts of before 2020 are no archives: five pickles, one after the other.
    """
    with open_regular(path) as file:
        if file.read(4) == _ARCHIVE:  # as torch decides it
            _check_archive(file)
        else:
            file.seek(0)
            for _ in range(5):
                _rehearse(file)
    content = torch.load(path, map_location="cpu", weights_only=True)
    _count(content, 0, 0)
    return content


def _check_archive(file: IO[bytes]) -> None:
    """Torch unpacks what is packed, a thousandfold; files that it writes are never packed."""
    there = file.seek(0, os.SEEK_END)
    _check_end(file, there)
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if len(entries) > MAX_ENTRIES:
            raise TooMuch(f"it has {len(entries)} entries, expected at most {MAX_ENTRIES}")
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise TooMuch("its entries are compressed, expected none to be")
        stated = sum(entry.file_size for entry in entries)
        if stated > there:
            raise TooMuch(f"its entries state {stated} bytes, the file has {there}")
        for entry in entries:
            # Torch takes the name in any case, and the one that the entry itself has.
            if entry.orig_filename.lower().endswith("/data.pkl"):
                with archive.open(entry) as pickled:
                    _rehearse(pickled)


def _check_end(file: IO[bytes], there: int) -> None:
    """Refuse an archive that could be read in two ways, of which torch took the one that was not looked at."""
    file.seek(max(0, there - _END64.size - _END.size))
    tail = file.read()
    sign, _, _, nbytes, start, comment = _END.unpack(tail[-_END.size :])
    before, end = tail[: -_END.size], there - _END.size
    if len(before) == _END64.size and before[-20:-16] == b"PK\x06\x07":
        end -= _END64.size
        head, nbytes, start, _, place = _END64.unpack(before)
        sign = sign if head == b"PK\x06\x06" and place == end else b""
    if sign != b"PK\x05\x06" or comment or start + nbytes != end:
        raise TooMuch("its list of entries is not at its end")


class _Rehearsal(pickle._Unpickler):  # the one in Python: its memory follows the file
    """Reads a pickle with stand-ins for all that it names, so that what grows out of proportion is never called."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return _Stub
        if module in ("torch", "torch.storage") and name.endswith("Storage"):
            return None
        if module == "torch._utils" and name in _REBUILT:
            return lambda *_: _Stub()
        raise pickle.UnpicklingError(f"it names {module}.{name}, expected tensors and plain data"[:200])

    def persistent_load(self, pid: Any) -> Any:
        # Torch finds names in any case: a thousand spellings of one would be a thousand tensors.
        if not re.fullmatch("[0-9]+", pid[2], re.ASCII):
            raise pickle.UnpicklingError(f"it names values {pid[2]!a:.60}, expected a number")


class _Stub(dict[Any, Any]):
    """What a name in a pickle stands for: nothing is copied into it."""

    def __init__(self) -> None:
        super().__init__()


def _rehearse(file: IO[bytes]) -> None:
    try:
        _Rehearsal(file).load()
    except pickle.UnpicklingError:
        raise
    except Exception as error:  # a file that is not ours can fail the reader in any way
        raise pickle.UnpicklingError(f"its pickle is damaged ({type(error).__name__})") from error


def _count(value: Any, depth: int, seen: int) -> int:
    """Refuse what is small in the file and endless to walk through, because it holds itself over and over."""
    if depth > MAX_DEPTH:
        raise TooMuch(f"it is nested more than {MAX_DEPTH} levels deep")
    if seen > MAX_VALUES:
        raise TooMuch(f"it holds more than {MAX_VALUES} values")
    seen += 1
    if isinstance(value, dict):
        for key, inner in value.items():
            seen = _count(inner, depth + 1, _count(key, depth + 1, seen))
    elif isinstance(value, list | tuple | set | frozenset):
        for inner in value:
            seen = _count(inner, depth + 1, seen)
    elif isinstance(value, Tensor) and value.layout is torch.strided:
        held = value.untyped_storage().nbytes()
        if value.numel() * value.element_size() > held:
            raise TooMuch(f"a tensor of {tuple(value.shape)} holds {held} bytes")
    return seen
