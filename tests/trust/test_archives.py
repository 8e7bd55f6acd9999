"""Archives that nobody of ours packed are refused in one sentence; nothing stays behind or is written outside."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from ocrmaps.errors import DataError, OcrmapsError, SpecError, StoreError
from ocrmaps.store.format.identity import fingerprint
from ocrmaps.store.places.cache import find_version
from ocrmaps.store.upkeep import transfer
from ocrmaps.store.upkeep.transfer import pack, unpack
from tests.store.world import make_world

VERSION = "0123456789abcdef"


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> Path:
    world = make_world(tmp_path_factory.mktemp("packed"))
    world.build()
    pack(world.folder, world.root / "sound.tar")
    return world.root / "sound.tar"


def entries_of(archive: Path) -> list[tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(archive) as tar:
        return [(entry, tar.extractfile(entry).read()) for entry in tar]


def archive_of(path: Path, entries, *, format: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w", format=format) as tar:
        for entry, data in entries:
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return path


def named(name: str, **changes) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    for key, value in changes.items():
        setattr(entry, key, value)
    return entry


def sparse(path: Path, nbytes: int) -> Path:
    """One GNU sparse entry: 512 bytes of data that unpack to `nbytes`."""
    header = bytearray(named(f"{VERSION}/manifest.json", type=b"S", size=512).tobuf(tarfile.GNU_FORMAT))

    def number(at: int, value: int) -> None:
        header[at : at + 12] = tarfile.itn(value, 12, tarfile.GNU_FORMAT)

    number(386, nbytes - 512), number(398, 512), number(483, nbytes)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    path.write_bytes(bytes(header) + b"x" * 512 + b"\0" * 1024)
    return path


def refused(archive: Path, root: Path, error: type[OcrmapsError] = DataError) -> str:
    """What the refusal says; the cache is as it was, which is not there."""
    before = set(root.rglob("*")) | {root / "cache"}
    with pytest.raises(error) as caught:
        unpack(archive, root / "cache", "x")
    assert set(root.rglob("*")) | {root / "cache"} == before
    assert "\n" not in str(caught.value) or caught.value.problems
    return str(caught.value)


@pytest.mark.parametrize("name", ["../../escape", "/abs/path", ".locks", "..", "", "a/b", "a\0b", "a\nb", "x" * 65])
def test_the_name_of_a_store_is_a_name_as_in_a_recipe(packed, tmp_path, name):
    with pytest.raises(SpecError, match="found the store name"):
        unpack(packed, tmp_path / "in" / "cache", name)
    assert list(tmp_path.iterdir()) == []


def test_a_sound_archive_is_taken(packed, tmp_path):
    folder = unpack(packed, tmp_path / "cache", "x")
    store, version = find_version(tmp_path / "cache", "x")
    assert store.version(version) == folder


@pytest.mark.parametrize(
    "entry",
    [
        named("../evil"),
        named("/abs/evil"),
        named(f"{VERSION}/../../evil"),
        named(f"{VERSION}/./manifest.json"),
        named(f"{VERSION}//manifest.json"),
        named(f"{VERSION}/.hidden"),
        named(f"{VERSION}/a\\b"),
        named(f"{VERSION}/a\nb"),
        named(f"{VERSION}/a b"),
        named(f"{VERSION}/é"),
        named(f"{VERSION}/" + "n" * 200),
        named("plain"),
        named("elsewhere/manifest.json"),
        named(f"{VERSION}/manifest.json", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        named(f"{VERSION}/manifest.json", type=tarfile.LNKTYPE, linkname="../../x"),
        named(f"{VERSION}/manifest.json", type=tarfile.FIFOTYPE),
        named(f"{VERSION}/manifest.json", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
        named(f"{VERSION}/manifest.json", type=tarfile.BLKTYPE, devmajor=7),
        named(f"{VERSION}/manifest.json", type=tarfile.DIRTYPE),
        named(f"{VERSION}/x", pax_headers={"path": f"{VERSION}/a\0b"}),
        named(f"{VERSION}/" + "deep/" * 1500 + "file"),
    ],
    ids=lambda entry: repr(entry.name[:40]) + entry.type.decode(),
)
def test_what_is_no_plain_file_of_one_version_is_refused_before_anything_is_written(tmp_path, entry):
    evil = archive_of(tmp_path / "evil.tar", [(entry, b"")])
    assert "expected plain files below one version folder" in refused(evil, tmp_path)


def test_a_sparse_entry_does_not_fill_the_disk(tmp_path):
    bomb = sparse(tmp_path / "bomb.tar", 60 * 2**30)
    with tarfile.open(bomb) as tar:
        entry = tar.next()
        assert (entry.issparse(), entry.size) == (True, 60 * 2**30)
    assert "expected plain files" in refused(bomb, tmp_path)


def test_a_file_twice_and_a_second_version_are_refused(packed, tmp_path):
    sound = entries_of(packed)
    twice = archive_of(tmp_path / "twice.tar", [*sound, sound[0]])
    assert "each file of one version once" in refused(twice, tmp_path)
    other = archive_of(tmp_path / "other.tar", [*sound, (named(f"{VERSION}/manifest.json"), b"{}")])
    assert "each file of one version once" in refused(other, tmp_path)


def test_more_files_than_the_manifest_means_are_refused(packed, tmp_path):
    sound = entries_of(packed)
    version = sound[0][0].name.partition("/")[0]
    more = archive_of(tmp_path / "more.tar", [*sound, *((named(f"{version}/f{i}"), b"") for i in range(300))])
    assert "its manifest means at most" in refused(more, tmp_path)


def test_more_bytes_than_the_manifest_means_are_refused(packed, tmp_path):
    sound = entries_of(packed)
    big = archive_of(
        tmp_path / "big.tar", [(e, d + b"\0" * 10_000_000 if e.name.endswith("ledger.jsonl") else d) for e, d in sound]
    )
    assert "its manifest means at most" in refused(big, tmp_path)


def test_more_than_the_disk_has_room_for_is_refused_before_it_is_written(packed, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    assert "1000 are free" in refused(packed, tmp_path, StoreError)


def test_more_files_than_any_version_has_are_refused(packed, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "MOST_FILES", 5)
    assert "more than 5 files" in refused(packed, tmp_path)


def test_without_a_manifest_or_with_a_huge_one_nothing_is_unpacked(packed, tmp_path, monkeypatch):
    sound = entries_of(packed)
    without = archive_of(tmp_path / "without.tar", [p for p in sound if not p[0].name.endswith("manifest.json")])
    assert "no manifest" in refused(without, tmp_path)
    monkeypatch.setattr(transfer, "LARGEST_MANIFEST", 100)
    assert "a manifest of" in refused(packed, tmp_path)


def _every_value(body: dict, junk: object):
    """The manifest with one value after another replaced, its own digests made to fit."""
    for part in ("asked", "written"):
        for key in body[part]:
            changed = json.loads(json.dumps(body))
            changed[part][key] = junk
            yield f"{part}.{key}", changed
    for table in body["written"]["tables"]:
        for key in ("dtype", "shape", "digest"):
            changed = json.loads(json.dumps(body))
            for column in changed["written"]["tables"][table].values():
                column[key] = junk
            yield f"{table}.{key}", changed


@pytest.mark.parametrize("junk", [None, -1, 10**30, "junk", [], {}, [[[]]], {"a": 1}], ids=repr)
def test_a_manifest_that_proves_itself_and_means_nonsense_gives_no_traceback(packed, tmp_path, junk):
    sound = entries_of(packed)
    old = sound[0][0].name.partition("/")[0]
    body = json.loads(next(data for entry, data in sound if entry.name.endswith("manifest.json")))
    for place, changed in _every_value(body, junk):
        changed["fingerprint"] = fingerprint({"format": changed["format"], **changed["asked"]})
        changed["version"] = changed["fingerprint"][:16]
        changed["root_digest"] = fingerprint(changed["written"])
        changed["digest"] = fingerprint({k: v for k, v in changed.items() if k != "digest"})
        data = (json.dumps(changed, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()
        entries = []
        for entry, content in sound:
            inside = entry.name.removeprefix(old)
            entries.append((named(changed["version"] + inside), data if inside == "/manifest.json" else content))
        (tmp_path / "evil.tar").unlink(missing_ok=True)
        evil = archive_of(tmp_path / "evil.tar", entries)
        try:
            folder = unpack(evil, tmp_path / "cache", "x")
        except OcrmapsError:
            assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file() and ".locks" not in p.parts], place
        else:
            assert place in ("written.outcomes", "written.sources"), place  # words that only people read
            shutil.rmtree(folder)


@pytest.mark.parametrize("size", [0, 100, 511, 512, 1000, 5000])
def test_an_archive_that_is_cut_or_is_none_is_refused(packed, tmp_path, size):
    cut = tmp_path / "cut.tar"
    cut.write_bytes(packed.read_bytes()[:size])
    refused(cut, tmp_path)
    cut.write_bytes(os.urandom(size) or b"?")
    refused(cut, tmp_path)


def test_headers_that_refer_to_each_other_without_end_are_refused(tmp_path):
    chain = tmp_path / "chain.tar"
    header = named("x", type=tarfile.XHDTYPE, size=0).tobuf(tarfile.USTAR_FORMAT)
    chain.write_bytes(header * 5000)
    refused(chain, tmp_path)


def test_a_pipe_in_an_archives_place_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.tar")
    assert "it is a pipe" in refused(tmp_path / "pipe.tar", tmp_path, StoreError)


def test_what_was_in_the_store_stays_when_an_import_is_refused(tmp_path):
    world = make_world(tmp_path)
    version = world.build().version
    evil = archive_of(tmp_path / "evil.tar", [(named("../evil"), b"")])
    with pytest.raises(DataError):
        unpack(evil, world.cache, "tiny")
    assert world.store.versions() == [version] and world.store.staged() == []
