"""What stays of old bundles: a plan that anybody can read, and its execution, which believes nothing it did not check.

A bundle stays as it is while it is one of the last `keep` of its folder and at most `days` old. Otherwise it is
compressed, and a compressed one is removed when it is older than twice `days`. One that is dated over a day ahead of
this clock, which one of two clocks must be wrong about, is left alone and takes nobody's place among the last. What is
not a whole bundle of ours is never touched, with one exception: what a writer left that died more than a day ago.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tarfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from ocrmaps import scratch
from ocrmaps.debug.reading import ARCHIVE, BUNDLE, NAME, Bundle, damage, read_bundle
from ocrmaps.errors import DataError

KEEP, DAYS = 10, 30
AHEAD = timedelta(days=1)
"""Clocks of machines that share a folder differ by less."""
Do = Literal["keep", "compress", "remove", "sweep", "leave"]


@dataclass(frozen=True, slots=True)
class Action:
    """What would be done with one path, and why."""

    do: Do
    path: Path
    why: str
    nbytes: int = 0


def plan_retention(
    bundles: Iterable[Bundle], *, now: datetime, keep: int = KEEP, days: int = DAYS, leftovers: Iterable[Path] = ()
) -> list[Action]:
    """What becomes of these bundles; nothing is changed."""
    folders: dict[Path, list[Bundle]] = defaultdict(list)
    for bundle in bundles:
        folders[bundle.path.parent].append(bundle)
    actions: list[Action] = []
    for _, inside in sorted(folders.items()):
        newest = sorted(inside, key=lambda b: (b.created, b.name), reverse=True)
        ahead = [bundle for bundle in newest if bundle.created - now > AHEAD]
        actions += [
            Action("leave", b.path, f"dated {b.created:%Y-%m-%d}, ahead of this clock", b.nbytes) for b in ahead
        ]
        actions += [_one(bundle, place, now, keep, days) for place, bundle in enumerate(newest[len(ahead) :])]
    return [*actions, *(Action("sweep", path, "its writer died before it was done") for path in leftovers)]


def _one(bundle: Bundle, place: int, now: datetime, keep: int, days: int) -> Action:
    age = now - bundle.created
    old = age > timedelta(days=days)
    said = f"{max(0, age.days)} days old" if old else f"number {place + 1} of its folder"
    if bundle.fault:
        return Action("leave", bundle.path, f"{bundle.fault}; remove it yourself once you have looked", bundle.nbytes)
    if bundle.compressed:
        if age > timedelta(days=2 * days):
            return Action("remove", bundle.path, f"compressed and {age.days} days old", bundle.nbytes)
        return Action("keep", bundle.path, f"compressed, {max(0, age.days)} days old", bundle.nbytes)
    if old or place >= keep:
        return Action("compress", bundle.path, said, bundle.nbytes)
    return Action("keep", bundle.path, f"one of the last {keep}", bundle.nbytes)


def leftovers(place: Path, *, now: datetime) -> list[Path]:
    """Unfinished bundles and removals that nobody touched for a day, and what killed commands left beside results."""
    beside = {room.parent for room in place.rglob(".ocrmaps-*")}
    found = [left for folder in beside for left in scratch.abandoned(folder)]
    for folder in (place, *(p for p in place.rglob("debug") if p.is_dir())):
        if not folder.is_dir() or folder.is_symlink():
            continue
        for path in folder.iterdir():
            stem = path.name.removeprefix(".").removesuffix(".part").removesuffix(".gone").removesuffix(ARCHIVE)
            ours = path.name.startswith(".") and path.name.endswith((".part", ".gone")) and NAME.fullmatch(stem)
            if ours and not path.is_symlink() and _older_than_a_day(path, now):
                found.append(path)
    return sorted(set(found))


def _older_than_a_day(path: Path, now: datetime) -> bool:
    """By when it was last written to; what is gone meanwhile is not there to be old."""
    try:
        return now.timestamp() - path.stat().st_mtime > 86_400
    except FileNotFoundError:
        return False


def carry_out(action: Action) -> Path | None:
    """Do it, after looking again; what the path has become since, or None where nothing is left."""
    if action.do in ("keep", "leave"):
        return action.path
    if action.do == "sweep":
        if (action.path / scratch.OWNER).exists():
            scratch.remove(action.path)  # unless somebody has it by now
        else:
            _discard(action.path)
        return None
    bundle = read_bundle(action.path)
    if bundle is None or bundle.fault:
        raise DataError(f"{action.path}: this is not the bundle that was planned for any more", hint="plan again")
    if action.do == "remove":
        _discard(action.path)
        return None
    archive = compress(bundle)
    _discard(action.path)
    return archive


def compress(bundle: Bundle) -> Path:
    """The bundle as one archive beside it, proven by unpacking; the folder is left for the caller to remove."""
    target = bundle.path.with_name(f"{bundle.name}{ARCHIVE}")
    unfinished = bundle.path.with_name(f".{bundle.name}{ARCHIVE}.part")
    if faults := damage(bundle):
        raise DataError(f"{bundle.path}: {faults[0]}", hint="it stays as it is; look at it, then remove it yourself")
    # What people have put beside our files goes along; bundle.json is first, so that listing reads no more than that.
    found = sorted(p for p in bundle.path.rglob("*") if not p.is_dir() or p.is_symlink())
    if strange := [p for p in found if p.is_symlink() or not p.is_file()]:
        raise DataError(
            f"{strange[0]}: a link or a device, which an archive would lose", hint="the bundle stays as it is"
        )
    there = [p.relative_to(bundle.path).as_posix() for p in found]
    names = [BUNDLE, *(n for n in there if n != BUNDLE)]
    try:
        return _archive(bundle, names, unfinished, target)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise DataError(
            f"{bundle.path}: cannot be compressed ({error.strerror}); the folder stays",
            hint="an archive needs room beside its folder while it is written",
        ) from error


def _archive(bundle: Bundle, names: Sequence[str], unfinished: Path, target: Path) -> Path:
    digests: dict[str, str] = {}
    with open(unfinished, "wb") as file:
        with tarfile.open(fileobj=file, mode="w:gz", compresslevel=6) as archive:
            for name in names:
                data = (bundle.path / name).read_bytes()
                digests[f"{bundle.name}/{name}"] = hashlib.sha256(data).hexdigest()
                member = tarfile.TarInfo(f"{bundle.name}/{name}")
                member.size, member.mtime = len(data), int(bundle.created.timestamp())
                archive.addfile(member, io.BytesIO(data))
        file.flush()
        os.fsync(file.fileno())
    with tarfile.open(unfinished, "r:gz") as archive:
        inside = {m.name: hashlib.sha256(f.read()).hexdigest() for m in archive if (f := archive.extractfile(m))}
    if inside != digests:
        unfinished.unlink()
        raise DataError(f"{bundle.path}: its archive does not unpack to the same bytes; the folder stays")
    os.replace(unfinished, target)
    return target


def _discard(path: Path) -> None:
    """Out of sight in one step, then gone: nothing that is half removed ever looks whole."""
    gone = path if path.name.startswith(".") else path.with_name(f".{path.name}.gone")
    if gone != path:
        os.rename(path, gone)
    if gone.is_dir():
        shutil.rmtree(gone)
    else:
        gone.unlink()
