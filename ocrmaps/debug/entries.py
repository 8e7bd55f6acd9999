"""The structured entries of a bundle: how one is made, read back, and added by people."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from ocrmaps.debug.reading import ENTRIES, Bundle, unpacked
from ocrmaps.errors import DataError, SpecError
from ocrmaps.files import leads_outside, read_regular

LEVELS = ("debug", "info", "warning", "error")
NOTES = ("note", "hypothesis", "finding")


def entries(bundle: Bundle) -> list[dict[str, Any]]:
    """The structured entries in the order in which they were written.

    A line that cannot be read is told as an entry of its own, so that nothing is lost in silence.
    """
    with unpacked(bundle) as folder:
        try:
            if leads_outside(folder / ENTRIES, folder):
                raise DataError(f"{bundle.path}: found {ENTRIES} to be a link out of the bundle")
            lines = read_regular(folder / ENTRIES).decode("utf-8", "replace").splitlines()
        except OSError as error:
            raise DataError(f"{bundle.path}: its entries cannot be read ({error.strerror})") from error
    out = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            if not isinstance(entry, dict) or not {"time", "level", "kind", "message"} <= entry.keys():
                raise ValueError
        except ValueError:
            entry = {
                "time": bundle.facts["created"], "level": "warning", "kind": "unreadable",
                "message": f"{ENTRIES}:{number}: not an entry: {line[:80]}",
            }  # fmt: skip
        entry["data"] = entry["data"] if isinstance(entry.get("data"), dict) else {}
        out.append(entry)
    return out


def make_entry(
    time: datetime, level: str, kind: str, message: str, data: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """One structured entry as plain data; numbers that JSON cannot say become words that queries understand."""
    if level not in LEVELS:
        raise SpecError(f"found level {level!r}, expected one of {', '.join(LEVELS)}")
    stamp = time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    return {"time": stamp, "level": level, "kind": kind, "message": message, "data": plain(dict(data or {}))}


def plain(value: Any) -> Any:
    """As JSON knows it: `nan` and `inf` as text.

    >>> plain({"loss": float("nan"), "rows": (1, 2)})
    {'loss': 'nan', 'rows': [1, 2]}
    """
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    return value if isinstance(value, str | int | float | None) else str(value)


def line_of(entry: Mapping[str, Any]) -> bytes:
    return (json.dumps(entry, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8", "replace")


def add_note(bundle: Bundle, text: str, *, kind: str, now: datetime, redact: Callable[[str], str]) -> dict[str, Any]:
    """Append what somebody thinks or found; it is on disk when this returns."""
    if kind not in NOTES:
        raise SpecError(f"found kind {kind!r}, expected one of {', '.join(NOTES)}")
    if not text.strip():
        raise SpecError("found an empty note, expected some text")
    if bundle.compressed:
        raise SpecError(
            f"{bundle.path}: this bundle is compressed, nothing is added to it",
            hint=f"unpack it first: tar -xzf {bundle.path.name}",
        )
    entry = make_entry(now, "info", kind, redact(text.strip()))
    path = bundle.path / ENTRIES
    handle = os.open(path, os.O_RDWR | os.O_APPEND)
    try:
        size = os.fstat(handle).st_size
        # A note that a crash cut short must not swallow this one.
        torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
        os.write(handle, (b"\n" if torn else b"") + line_of(entry))
        os.fsync(handle)
    finally:
        os.close(handle)
    return entry
