"""Reads tensors and plain data from a file of torch: never code, and never more than the file is long."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

MAX_ENTRIES = 100_000
"""Entries of a file, which has one for each tensor."""
MAX_VALUES = 1_000_000
"""Values in a file besides its tensors' own, each counted wherever it stands."""
MAX_DEPTH = 64


class TooMuch(ValueError):
    """A file asks for more than its length pays for."""


def read_plain(path: Path) -> Any:
    """What is in the file. Whatever torch raises is left to the caller; `TooMuch` says what is.

    Torch's layouts of before 2020 are no archives; such a file is read as torch reads it.
    """
    if zipfile.is_zipfile(path):
        _bounded(path)
    content = torch.load(path, map_location="cpu", weights_only=True)
    _count(content, 0, 0)
    return content


def _bounded(path: Path) -> None:
    """Torch unpacks what is packed, a thousandfold; files that it writes are never packed."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    if len(entries) > MAX_ENTRIES:
        raise TooMuch(f"it has {len(entries)} entries, expected at most {MAX_ENTRIES}")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise TooMuch("its entries are compressed, expected none to be")
    stated, there = sum(entry.file_size for entry in entries), path.stat().st_size
    if stated > there:
        raise TooMuch(f"its entries state {stated} bytes, the file has {there}")


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
