"""One bundle read from disk, which may have come from anybody: what it says of itself is checked before it is used.

<run>/debug/<UTC time>_<reason>/         a bundle, complete since it got this name
<run>/debug/<UTC time>_<reason>.tar.gz   the same, compressed by `clean`
<run>/debug/.<UTC time>_<reason>.part    one that is being written, or whose writer died: never listed
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any

from ocrmaps.errors import DataError, reason
from ocrmaps.scratch import scratch

UNPACKING: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
"""Python before 3.11.4 has no filter."""
FORMAT = 1
BUNDLE, ENTRIES, STEP = "bundle.json", "debug.jsonl", "step.pt"
ARCHIVE = ".tar.gz"
NAME = re.compile(r"\d{4}-\d\d-\d\dT\d{6}Z_[a-z0-9][a-z0-9-]*")
HEAD_BYTES, MEMBERS = 16 << 20, 10_000
"""No bundle.json is larger, and no archive has more members: what has is not ours."""
_TIME = "%Y-%m-%dT%H:%M:%SZ"


class NoBundle(ValueError):
    """Why something is no bundle."""


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
        return datetime.strptime(self.facts["created"], _TIME).replace(tzinfo=UTC)

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


def read_bundle(path: Path) -> Bundle | None:
    """The bundle at this path, with what is wrong with it; None where there is none."""
    try:
        return open_bundle(path)
    except NoBundle:
        return None


def open_bundle(path: Path) -> Bundle:
    """The bundle at this path, with what is wrong with it; NoBundle says why there is none."""
    if path.name.startswith("."):
        raise NoBundle("it is being written, or was never finished")
    try:
        if path.is_dir() and not path.is_symlink():
            with (path / BUNDLE).open("rb") as file:
                facts = parse_facts(_head(file))
            sizes = {f.relative_to(path).as_posix(): f.lstat().st_size for f in path.rglob("*") if _is_plain(f)}
            return Bundle(path=path, facts=facts, fault=_fault(facts, sizes), nbytes=sum(sizes.values()))
        if path.name.endswith(ARCHIVE) and path.is_file():
            facts = _archived_facts(path)
            return Bundle(path=path, facts=facts, fault=_foreign(facts), nbytes=path.stat().st_size)
    except OSError as error:
        raise NoBundle(f"its {BUNDLE} cannot be read ({error.strerror or error})") from error
    except (tarfile.TarError, EOFError) as error:
        raise NoBundle(f"it is no archive ({error})") from error
    raise NoBundle(f"it is neither a folder nor a file that ends in {ARCHIVE}")


def parse_facts(data: bytes) -> Mapping[str, Any]:
    """A bundle.json, every entry that is used of the right kind; NoBundle says what is not.

    Of another format only who made it when is believed.
    """
    try:
        facts = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise NoBundle(f"its {BUNDLE} is not JSON ({error})") from error
    if not isinstance(facts, dict) or facts.get("what") != "ocrmaps debug bundle":
        raise NoBundle(f"its {BUNDLE} is not one of ours")
    try:
        datetime.strptime(facts.get("created"), _TIME)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise NoBundle(f"its {BUNDLE} does not say when it was made ({facts.get('created')!r:.60})") from error
    if facts.get("format") != FORMAT:
        return {**facts, "files": {}}
    if not isinstance(facts.get("files"), dict):
        raise NoBundle(f"its {BUNDLE} lists no files")
    for name, stated in facts["files"].items():
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or str(path) != name or "\\" in name or name == ".":
            raise NoBundle(f"its {BUNDLE} lists {name!r:.60}, which is not the name of a file in it")
        if not (
            isinstance(stated, dict)
            and isinstance(stated.get("bytes"), int)
            and stated["bytes"] >= 0
            and isinstance(stated.get("sha256"), str)
        ):
            raise NoBundle(f"its {BUNDLE} does not say how many bytes of which digest {name} has")
    return facts


def _head(file: IO[bytes]) -> bytes:
    data = file.read(HEAD_BYTES + 1)
    if len(data) > HEAD_BYTES:
        raise NoBundle(f"its {BUNDLE} has over {HEAD_BYTES >> 20} MiB")
    return data


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _archived_facts(path: Path) -> Mapping[str, Any]:
    """Of an archive, whose first member is its bundle.json so that listing need not unpack the rest."""
    with tarfile.open(path, "r:gz") as archive:
        first = archive.next()
        inner = archive.extractfile(first) if first is not None and first.isfile() else None
        if first is None or inner is None or first.name != f"{path.name.removesuffix(ARCHIVE)}/{BUNDLE}":
            raise NoBundle(f"its first member is no {BUNDLE}")
        return parse_facts(_head(inner))


def _foreign(facts: Mapping[str, Any]) -> str:
    found = facts.get("format")
    return "" if found == FORMAT else f"made by another ocrmaps: found format {found!r:.20}, this one reads {FORMAT}"


def _fault(facts: Mapping[str, Any], sizes: Mapping[str, int]) -> str:
    if fault := _foreign(facts):
        return fault
    for name, stated in facts["files"].items():
        if name not in sizes:
            return f"damaged: {name} is missing"
        grows = name == ENTRIES  # people add to it
        if sizes[name] < stated["bytes"] if grows else sizes[name] != stated["bytes"]:
            return f"damaged: {name} has {sizes[name]} bytes, expected {stated['bytes']}"
    return ""


def damage(bundle: Bundle) -> list[str]:
    """Every file of a bundle whose bytes are not those that were written."""
    if _foreign(bundle.facts):
        return [bundle.fault]
    with unpacked(bundle) as folder:
        out = []
        for name, stated in bundle.facts["files"].items():
            if (folder / name).is_symlink():
                out.append(f"{name}: a link, expected a file")
                continue
            try:
                with (folder / name).open("rb") as file:
                    # No more than was stated, and one byte to see that there is no more; entries may have grown.
                    data = file.read(stated["bytes"] + (name != ENTRIES))
            except OSError as error:
                out.append(f"{name}: cannot be read ({error.strerror})")
                continue
            if hashlib.sha256(data).hexdigest() != stated["sha256"]:
                out.append(f"{name}: its bytes are not those that were written")
        return out


@contextmanager
def unpacked(bundle: Bundle) -> Iterator[Path]:
    """The bundle's folder; of an archive, one that is gone after the block."""
    if not bundle.compressed:
        yield bundle.path
        return
    with scratch("bundle") as temporary:
        try:
            room = shutil.disk_usage(temporary).free // 2
            with tarfile.open(bundle.path, "r:gz") as archive:
                members = list(_sound_members(archive, bundle.name, room))
                # The members are sound; where Python has the filter (3.11.4), it sees to that a second time.
                archive.extractall(temporary, members=members, **UNPACKING)
        except (OSError, EOFError, tarfile.TarError, ValueError) as error:
            raise DataError(f"{bundle.path}: this archive cannot be unpacked ({reason(error)})") from error
        yield temporary / bundle.name


def _sound_members(archive: tarfile.TarFile, name: str, room: int) -> Iterator[tarfile.TarInfo]:
    """Every member, once it is sure that all are files of this bundle and fit on half of what is free."""
    total = 0
    for number, member in enumerate(archive, start=1):
        total += member.size
        if not member.isfile() or not member.name.startswith(f"{name}/") or ".." in member.name.split("/"):
            raise ValueError(f"{member.name!r:.60} in it is no file of {name}")
        if number > MEMBERS:
            raise ValueError(f"it has over {MEMBERS} members")
        if total > room:
            raise ValueError(f"it unpacks to more than {room / 1e9:.1f} GB, half of what is free here")
        yield member


def files(bundle: Bundle) -> dict[str, int]:
    """Name and size of every file that was written."""
    return {name: int(stated["bytes"]) for name, stated in sorted(bundle.facts["files"].items())}
