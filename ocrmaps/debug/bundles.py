"""Bundles on disk: what makes a folder one, how they are found and read, and how people add to them.

<run>/debug/<UTC time>_<reason>/         a bundle, complete since it got this name
<run>/debug/<UTC time>_<reason>.tar.gz   the same, compressed by `clean`
<run>/debug/.<UTC time>_<reason>.part    one that is being written, or whose writer died: never listed
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from ocrmaps.errors import DataError, SpecError

FORMAT = 1
BUNDLE, ENTRIES, STEP = "bundle.json", "debug.jsonl", "step.pt"
ARCHIVE = ".tar.gz"
LEVELS = ("debug", "info", "warning", "error")
NOTES = ("note", "hypothesis", "finding")
NAME = re.compile(r"\d{4}-\d\d-\d\dT\d{6}Z_[a-z0-9][a-z0-9-]*")
DEPTH = 4
"""How far below the given folder bundles are looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """One bundle that was found."""

    path: Path
    """Its folder, or its archive."""
    facts: Mapping[str, Any]
    """Its bundle.json."""
    fault: str = ""
    """What is wrong with it; empty for a whole one."""
    nbytes: int = 0

    @property
    def name(self) -> str:
        return self.path.name.removesuffix(ARCHIVE)

    @property
    def compressed(self) -> bool:
        return self.path.name.endswith(ARCHIVE)

    @property
    def created(self) -> datetime:
        return datetime.strptime(self.facts["created"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)

    @property
    def state(self) -> str:
        return self.fault or ("compressed" if self.compressed else "whole")

    def as_dict(self) -> dict[str, Any]:
        shown = ("created", "reason", "message", "run", "step", "epoch", "store")
        return {
            "name": self.name,
            "path": str(self.path),
            "state": self.state,
            "bytes": self.nbytes,
            **{key: self.facts.get(key) for key in shown},
        }


def find_bundles(place: Path) -> list[Bundle]:
    """Every bundle in a run, a folder of runs or a debug folder, or the one at `place` itself; the newest first.

    A folder without a readable bundle.json of ours is no bundle and is not looked into further.
    """
    if not place.exists():
        raise SpecError(
            f"{place}: no such run, folder of runs or bundle", hint="name a run's folder, such as runs/first"
        )
    own = read_bundle(place)
    found = [own] if own is not None else [b for path in _candidates(place, 0) if (b := read_bundle(path)) is not None]
    # Where compressing was cut short both forms exist: the folder is the one that was not finished with.
    folders = {bundle.path for bundle in found if not bundle.compressed}
    found = [b for b in found if not b.compressed or b.path.with_name(b.name) not in folders]
    return sorted(found, key=lambda b: (b.facts["created"], b.name, str(b.path)), reverse=True)


def _candidates(folder: Path, depth: int) -> Iterator[Path]:
    """Folders and archives named as bundles are; links are not followed, so nothing outside is ever meant."""
    try:
        entries = sorted(os.scandir(folder), key=lambda e: e.name)
    except (NotADirectoryError, PermissionError, FileNotFoundError):
        return
    for entry in entries:
        if NAME.fullmatch(entry.name.removesuffix(ARCHIVE)) and not entry.is_symlink():
            yield Path(entry.path)
        elif depth < DEPTH and not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
            yield from _candidates(Path(entry.path), depth + 1)


def read_bundle(path: Path) -> Bundle | None:
    """The bundle at this path, with what is wrong with it; None where there is none."""
    try:
        if path.is_dir() and not path.is_symlink():
            if path.name.startswith("."):
                return None  # still being written, or never finished
            facts = parse_facts((path / BUNDLE).read_bytes())
            sizes = {f.relative_to(path).as_posix(): f.stat().st_size for f in path.rglob("*") if f.is_file()}
            return Bundle(path=path, facts=facts, fault=_lacks(facts, sizes), nbytes=sum(sizes.values()))
        if path.name.endswith(ARCHIVE) and not path.name.startswith(".") and path.is_file():
            return Bundle(path=path, facts=_archived_facts(path), nbytes=path.stat().st_size)
    except (OSError, ValueError, tarfile.TarError, EOFError, KeyError):
        return None
    return None


def parse_facts(data: bytes) -> Mapping[str, Any]:
    """A bundle.json; ValueError for anything else."""
    facts = json.loads(data)
    if not isinstance(facts, dict) or facts.get("what") != "ocrmaps debug bundle" or facts.get("format") != FORMAT:
        raise ValueError("not a bundle that this ocrmaps reads")
    datetime.strptime(facts["created"], "%Y-%m-%dT%H:%M:%SZ")
    if not isinstance(facts["files"], dict):
        raise ValueError("its files are not listed")
    return facts


def _archived_facts(path: Path) -> Mapping[str, Any]:
    """Of an archive, whose first member is its bundle.json so that listing need not unpack the rest."""
    with tarfile.open(path, "r:gz") as archive:
        first = archive.next()
        inner = archive.extractfile(first) if first is not None and first.isfile() else None
        if first is None or inner is None or first.name != f"{path.name.removesuffix(ARCHIVE)}/{BUNDLE}":
            raise ValueError("its first member is no bundle.json")
        return parse_facts(inner.read())


def _lacks(facts: Mapping[str, Any], sizes: Mapping[str, int]) -> str:
    for name, stated in facts["files"].items():
        if name not in sizes:
            return f"damaged: {name} is missing"
        grows = name == ENTRIES  # people add to it
        if sizes[name] < stated["bytes"] if grows else sizes[name] != stated["bytes"]:
            return f"damaged: {name} has {sizes[name]} bytes, expected {stated['bytes']}"
    return ""


def damage(bundle: Bundle) -> list[str]:
    """Every file of a bundle whose bytes are not those that were written."""
    with unpacked(bundle) as folder:
        out = []
        for name, stated in bundle.facts["files"].items():
            try:
                data = (folder / name).read_bytes()
            except OSError as error:
                out.append(f"{name}: cannot be read ({error.strerror})")
                continue
            data = data[: stated["bytes"]] if name == ENTRIES else data
            if hashlib.sha256(data).hexdigest() != stated["sha256"]:
                out.append(f"{name}: its bytes are not those that were written")
        return out


@contextmanager
def unpacked(bundle: Bundle) -> Iterator[Path]:
    """The bundle's folder; of an archive, one that is gone after the block."""
    if not bundle.compressed:
        yield bundle.path
        return
    with TemporaryDirectory(prefix="ocrmaps-bundle-") as temporary:
        try:
            with tarfile.open(bundle.path, "r:gz") as archive:
                # The filter refuses absolute names, `..`, links that lead out, and devices.
                archive.extractall(temporary, filter="data")
        except (OSError, EOFError, tarfile.TarError, ValueError) as error:
            raise DataError(f"{bundle.path}: this archive cannot be unpacked ({error})") from error
        yield Path(temporary) / bundle.name


def one_bundle(wanted: str, place: Path) -> Bundle:
    """The bundle that a path, a name or the start of one means; `last` is the newest below `place`."""
    path = Path(wanted)
    if path.exists():
        bundle = read_bundle(path)
        if bundle is not None:
            return bundle
        inside = find_bundles(path)
        if len(inside) == 1:
            return inside[0]
        if inside:
            raise SpecError(
                f"{wanted}: {len(inside)} bundles are there: {', '.join(b.name for b in inside[:5])}",
                hint="name one of them",
            )
        raise SpecError(f"{wanted}: no bundle is there", hint="ocrmaps debug list shows those that exist")
    known = find_bundles(place) if place.exists() else []
    found = known[:1] if wanted == "last" else [b for b in known if b.name.startswith(wanted) or wanted in str(b.path)]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(b.name for b in (found or known)[:5]) or "none"
    what = f"{len(found)} bundles fit" if found else "no such bundle"
    raise SpecError(
        f"{wanted}: {what} in {place}; there: {listed}", hint="ocrmaps debug list RUN shows them; a path works, too"
    )


def entries(bundle: Bundle) -> list[dict[str, Any]]:
    """The structured entries in the order in which they were written.

    A line that cannot be read is told as an entry of its own, so that nothing is lost in silence.
    """
    with unpacked(bundle) as folder:
        try:
            lines = (folder / ENTRIES).read_bytes().decode("utf-8", "replace").splitlines()
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


def files(bundle: Bundle) -> dict[str, int]:
    """Name and size of every file that was written."""
    return {str(PurePosixPath(name)): int(stated["bytes"]) for name, stated in sorted(bundle.facts["files"].items())}
