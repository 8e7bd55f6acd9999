"""Says in a place who is pushing what, so that what a dead push left is found by its journal and never by guesswork.

    <place>/<store>/.pushes/<version>/<id>.json   who pushes, and the manifest that is to come: it names every object
    <place>/<store>/.pushes/<version>/<id>.end    who ended it: the push itself, or a removal. Only one can create it

A push writes its journal before its first object and refreshes it; a removal takes only journals that nobody refreshed
for long. Whoever creates `.end` first has won: a push that finds it taken writes no manifest.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ocrmaps.errors import StoreBusy, StoreCorrupt
from ocrmaps.kinds import MANIFEST
from ocrmaps.store.far.parts import far_manifest, possible_paths, sane
from ocrmaps.store.format.manifest import Manifest, parse_manifest
from ocrmaps.store.places.lock import owner
from ocrmaps.store.places.objects import Listed, ObjectPlace
from ocrmaps.store.places.patience import LOOKS

PUSHES = ".pushes"
REFRESH = 600.0
"""Seconds after which a push that goes on says so."""
HOUR = 3600.0
_PUSH, _REMOVAL = b"push ", b"removal "


class PushJournal:
    """The journal of one push, from before its first object to after its manifest."""

    def __init__(self, place: ObjectPlace, store: str, manifest: Manifest, data: bytes) -> None:
        self._place, self._id = place, uuid.uuid4().hex
        self._folder = f"{store}/{PUSHES}/{manifest.version}"
        self._key, self._end = f"{self._folder}/{self._id}.json", f"{self._folder}/{self._id}.end"
        self._name = f"{place.url}/{store}/{manifest.version}"
        self._root = manifest.root_digest
        body = {"owner": owner(), "root_digest": self._root, "manifest": data.decode()}
        self._body = json.dumps(body, ensure_ascii=False).encode()
        self._written = 0.0

    def begin(self) -> None:
        """Announce the push; refused while another one with other bytes, or a removal, is under way."""
        self._write()
        entries = [entry for entry in self._place.entries(self._folder) if self._id not in entry.key]
        names = {entry.key for entry in entries}
        for key in sorted(names):
            if key.endswith(".json"):
                end = key.removesuffix(".json") + ".end"
                try:
                    removed = end in names and self._place.get(end).startswith(_REMOVAL)
                    other = json.loads(self._place.get(key))
                except (FileNotFoundError, ValueError):
                    continue  # it ended meanwhile
                if removed or other.get("root_digest") != self._root:
                    self.forget()
                    said = "what a dead push left is being removed" if removed else (
                        f"{other.get('owner')} is pushing it with root digest {other.get('root_digest')}, this one has "
                        f"{self._root}"
                    )  # fmt: skip
                    raise StoreBusy(
                        f"{self._name}: {said}",
                        hint="run it again when that has ended; `ocrmaps cache gc --root URL` removes what a dead push "
                        "left",
                    )

    def refresh(self) -> None:
        """Say that the push goes on, if that was not said lately."""
        if time.monotonic() - self._written > REFRESH:
            self._write()

    def finish(self) -> None:
        """Take the right to write the manifest; StoreBusy where a removal was faster."""
        mine = _PUSH + self._id.encode()
        taken = self._place.create(self._end, mine)
        # Only this push and a removal know this key, and what a removal writes is longer: bytes of this length are this
        # push's own, as they may have arrived.
        if taken is not None and len(taken) != len(mine):
            raise StoreBusy(
                f"{self._name}: its objects were removed while it was pushed ({taken.decode('utf-8', 'replace')})",
                hint="push it again",
            )

    def forget(self) -> None:
        """Remove the journal: the version is there, or nothing of this push is."""
        self._place.delete([self._key, self._end])

    def _write(self) -> None:
        for _ in range(LOOKS):
            self._place.put(self._key, self._body)
            if _holds(self._place, self._key, self._body):
                self._written = time.monotonic()
                return
        raise StoreCorrupt(f"{self._place.url}/{self._key}: arrived otherwise than it was sent, {LOOKS} times")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadPush:
    """What pushes of one version left that nobody refreshed for long."""

    store: str
    version: str
    owners: tuple[str, ...]
    ids: tuple[str, ...]
    committed: bool
    """Whether the version is there all the same: then only journals go."""
    keys: tuple[str, ...]
    """Every object that may go, the journals apart."""

    def as_dict(self) -> dict[str, Any]:
        return {
            "kind": "push", "store": self.store, "name": self.version, "owners": list(self.owners),
            "committed": self.committed, "objects": len(self.keys),
        }  # fmt: skip


def dead_pushes(
    place: ObjectPlace, *, age_hours: float, only: str | None = None
) -> tuple[list[DeadPush], list[tuple[str, str]]]:
    """Pushes whose journals nobody refreshed for so long, and what was looked at and stays with the reason."""
    dead, kept = [], []
    for store in [only] if only is not None else place.folders():
        entries = list(place.entries(f"{store}/{PUSHES}"))
        for version in sorted({entry.key.split("/")[-2] for entry in entries}):
            own = [entry for entry in entries if entry.key.split("/")[-2] == version]
            if time.time() - _newest(own) < age_hours * HOUR:
                kept.append((f"{store}/{version}", f"pushed to within the last {age_hours:g} hours"))
            else:
                dead.append(_dead(place, store, version, own))
    return dead, kept


def remove_push(place: ObjectPlace, dead: DeadPush, *, age_hours: float) -> str | None:
    """Remove what a dead push left; the reason where it turned out not to be dead."""
    folder = f"{dead.store}/{PUSHES}/{dead.version}"
    me = _REMOVAL + json.dumps(owner()).encode() + uuid.uuid4().hex.encode()
    ends = [f"{folder}/{id}.end" for id in dead.ids]
    for end in ends:
        place.create(end, me)
    now = list(place.entries(folder))
    alive = [entry for entry in now if entry.key.endswith(".json") and _id(entry) not in dead.ids]
    # By the place's own clock: that of this machine may be wrong by hours.
    clock = _newest(now)
    young = [e for e in now if e.key.endswith(".json") and clock - e.modified < age_hours * HOUR]
    if alive or (young and age_hours > 0):
        place.delete(end for end in ends if _holds(place, end, me))
        return "being pushed again"
    if far_manifest(place, f"{dead.store}/{dead.version}") is None:
        place.delete(dead.keys)
    place.delete([*(end.removesuffix(".end") + ".json" for end in ends), *ends])
    return None


def _dead(place: ObjectPlace, store: str, version: str, entries: Sequence[Listed]) -> DeadPush:
    ids = sorted({_id(entry) for entry in entries})
    owners, paths = [], set()
    for id in ids:
        try:
            told, manifest = _read_journal(place, f"{store}/{PUSHES}/{version}/{id}.json", version)
        except FileNotFoundError:
            continue  # the end of a journal that is gone
        owners.append(f"process {told.get('pid')} on {told.get('host')} since {told.get('since')}")
        paths |= set(possible_paths(manifest))
    committed = far_manifest(place, f"{store}/{version}") is not None
    keys = () if committed else tuple(f"{store}/{version}/{path}" for path in sorted(paths - {MANIFEST}))
    return DeadPush(store=store, version=version, owners=tuple(owners), ids=tuple(ids), committed=committed, keys=keys)


def _read_journal(place: ObjectPlace, key: str, version: str) -> tuple[dict[str, Any], Manifest]:
    """Who pushes, and the manifest to come; looked at several times before it is called no journal."""
    where = f"{place.url}/{key}"
    for look in range(LOOKS):
        try:
            body = json.loads(place.get(key))
            return dict(body["owner"]), sane(parse_manifest(body["manifest"].encode(), where, version), where)
        except (StoreCorrupt, ValueError, KeyError, TypeError, AttributeError) as error:
            if look == LOOKS - 1:
                raise StoreCorrupt(
                    f"{where}: not the journal of a push ({error!r})", hint="remove it if you did not write it"
                ) from error
    raise AssertionError("unreachable")


def _id(entry: Listed) -> str:
    return entry.key.rpartition("/")[2].partition(".")[0]


def _newest(entries: Sequence[Listed]) -> float:
    return max((entry.modified for entry in entries), default=0.0)


def _holds(place: ObjectPlace, key: str, data: bytes) -> bool:
    try:
        return place.get(key) == data
    except FileNotFoundError:
        return False
