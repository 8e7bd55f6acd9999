"""Bundles from anywhere: foreign, corrupt, huge, of other versions. Nothing is run, followed, filled or believed."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import pickle
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest
import torch

from ocrmaps.cli.app import main
from ocrmaps.debug import reading
from ocrmaps.debug.bundles import find_bundles, one_bundle
from ocrmaps.debug.reading import NoBundle, damage, open_bundle, parse_facts, read_bundle, unpacked
from ocrmaps.debug.retention import carry_out
from ocrmaps.debug.writing import BundleDraft
from ocrmaps.errors import DataError, SpecError
from ocrmaps.pipelines import debug
from tests.debug.test_bundles import NOBODY, NOW, make
from tests.debug.test_retention import plan


def ocrmaps(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """The exit code of the command line, in this process."""
    monkeypatch.setattr("sys.argv", ["ocrmaps", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


HEAD = {"what": "ocrmaps debug bundle", "format": 1, "created": "2026-11-20T12:00:00Z", "files": {}}
PROOF = {"bytes": 3, "sha256": "0" * 64}


def head(**changes) -> bytes:
    return json.dumps({**HEAD, **changes}).encode()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"[" * 100_000, "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[]", "not one of ours"),
        (head(created=5), "when it was made"),
        (head(created="yesterday"), "when it was made"),
        (head(files=[]), "lists no files"),
        (head(files={"/dev/zero": PROOF}), "not the name of a file in it"),
        (head(files={"../../etc/passwd": PROOF}), "not the name of a file in it"),
        (head(files={"a/../b": PROOF}), "not the name of a file in it"),
        (head(files={"a\\..\\b": PROOF}), "not the name of a file in it"),
        (head(files={"": PROOF}), "not the name of a file in it"),
        (head(files={"a": 5}), "how many bytes"),
        (head(files={"a": {"bytes": "3", "sha256": ""}}), "how many bytes"),
        (head(files={"a": {"bytes": -1, "sha256": ""}}), "how many bytes"),
    ],
)
def test_a_head_that_is_not_what_it_must_be_makes_no_bundle_and_says_why(tmp_path, data, said):
    with pytest.raises(NoBundle, match=said):
        parse_facts(data)
    folder = tmp_path / "2026-11-20T120000Z_foreign"
    folder.mkdir()
    (folder / "bundle.json").write_bytes(data)
    assert read_bundle(folder) is None and find_bundles(tmp_path) == []
    with pytest.raises(SpecError, match=said):
        one_bundle(str(folder), tmp_path)


def test_an_endless_head_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "HEAD_BYTES", 1000)
    folder = tmp_path / "2026-11-20T120000Z_long"
    folder.mkdir()
    (folder / "bundle.json").write_bytes(head(message="x" * 2000))
    with pytest.raises(NoBundle, match="has over"):
        open_bundle(folder)


def test_a_bundle_of_another_version_is_listed_said_and_left(tmp_path, monkeypatch, capsys):
    path = make(tmp_path, days=400)
    facts = json.loads((path / "bundle.json").read_text())
    (path / "bundle.json").write_text(json.dumps({**facts, "format": 2, "files": "elsewhere"}))
    (bundle,) = find_bundles(tmp_path)
    assert bundle.state == "made by another ocrmaps: found format 2, this one reads 1"
    assert [a.do for a in plan(tmp_path)] == ["leave"]
    with pytest.raises(DataError, match="found format 2"):
        debug.replay_bundle(bundle)
    assert ocrmaps(monkeypatch, "debug", "show", str(path)) == 1
    assert "found format 2" in capsys.readouterr().out


def test_a_link_in_place_of_a_file_is_no_file(tmp_path):
    path = make(tmp_path, days=400)
    outside = tmp_path / "outside.pt"
    shutil.move(path / "step.pt", outside)
    (path / "step.pt").symlink_to(outside)
    (bundle,) = find_bundles(tmp_path)
    assert "step.pt is missing" in bundle.fault
    assert "a link" in damage(bundle)[0]
    (path / "step.pt").unlink()
    shutil.copy(outside, path / "step.pt")
    (path / "mine").symlink_to(outside)
    with pytest.raises(DataError, match="a link or a device"):
        carry_out(plan(tmp_path)[0])
    assert path.is_dir() and outside.is_file()


def archive_of(folder: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> Path:
    path = folder / "2026-11-20T120000Z_foreign.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for member, data in members:
            member.size = len(data) if member.isfile() else 0
            archive.addfile(member, io.BytesIO(data))
    return path


def member(name: str, **fields) -> tarfile.TarInfo:
    out = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(out, key, value)
    return out


NAME = "2026-11-20T120000Z_foreign"
FIRST = (member(f"{NAME}/bundle.json"), head())


@pytest.mark.parametrize(
    "evil",
    [
        member("../escaped"),
        member(f"{NAME}/../../escaped"),
        member("/tmp/ocrmaps-escaped"),
        member(f"{NAME}/link", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        member(f"{NAME}/hard", type=tarfile.LNKTYPE, linkname=f"{NAME}/bundle.json"),
        member(f"{NAME}/pipe", type=tarfile.FIFOTYPE),
        member("another/file"),
    ],
    ids=lambda m: m.name,
)
def test_an_archive_with_anything_but_its_own_files_is_not_unpacked(tmp_path, evil):
    path = archive_of(tmp_path, [FIRST, (evil, b"x")])
    bundle = read_bundle(path)
    assert bundle is not None
    with pytest.raises(DataError, match="cannot be unpacked"), unpacked(bundle):
        pass
    assert sorted(p.name for p in tmp_path.iterdir()) == [path.name]


def test_an_archive_that_would_fill_the_disk_is_not_unpacked(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(reading.shutil, "disk_usage", lambda _: usage._replace(free=2_000_000))
    bundle = read_bundle(archive_of(tmp_path, [FIRST, (member(f"{NAME}/zeros"), bytes(3_000_000))]))
    assert bundle is not None and bundle.nbytes < 10_000
    with pytest.raises(DataError, match="half of what is free"), unpacked(bundle):
        pass


def test_an_archive_of_too_many_files_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MEMBERS", 3)
    bundle = read_bundle(archive_of(tmp_path, [FIRST, *((member(f"{NAME}/{i}"), b"") for i in range(4))]))
    assert bundle is not None
    with pytest.raises(DataError, match="over 3 members"), unpacked(bundle):
        pass


@pytest.mark.parametrize(
    "data",
    [b"", b"no archive", gzip.compress(b"short"), gzip.compress(bytes(2048))],
    ids=["empty", "other", "no members", "zeros"],
)
def test_what_is_no_archive_is_no_bundle(tmp_path, data):
    path = tmp_path / f"{NAME}.tar.gz"
    path.write_bytes(data)
    assert find_bundles(tmp_path) == []
    with pytest.raises(SpecError, match="no bundle is there"):
        one_bundle(str(path), tmp_path)


class Evil:
    def __reduce__(self):
        return os.mkdir, ("it-ran",)


def with_step(folder: Path, data: bytes) -> Path:
    """A bundle whose digests are right, so that only its content can give it away."""
    path = make(folder)
    (path / "step.pt").write_bytes(data)
    facts = json.loads((path / "bundle.json").read_text())
    facts["files"]["step.pt"] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (path / "bundle.json").write_text(json.dumps(facts))
    return path


def saved(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def bare_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Evil()))
        archive.writestr("archive/version", "3")
    return buffer.getvalue()


CARD = {"model": {}, "run": {}, "precision": "fp32", "store": {}}


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize(
    "data",
    [
        pickle.dumps(Evil()),
        saved(Evil()),
        bare_zip(),
        b"",
        b"garbage",
        saved([]),
        saved({"step": {"then": {}}}),
        saved({"step": {"then": {}, "batch": {"row": 1}}, "ocrmaps": CARD, "state_dict": {}}),
        saved({"step": {"then": None, "batch": None}, "ocrmaps": None, "state_dict": None}),
    ],
    ids=["pickle", "saved", "zip", "empty", "garbage", "list", "bare", "batch", "none"],
)
def test_a_foreign_step_is_refused_and_nothing_of_it_runs(tmp_path, monkeypatch, data, capsys):
    monkeypatch.chdir(tmp_path)
    path = with_step(tmp_path / "debug", data)
    assert ocrmaps(monkeypatch, "debug", "replay", str(path)) == 3
    said = capsys.readouterr().err
    assert "Traceback" not in said and "step" in said
    assert not (tmp_path / "it-ran").exists()


def test_a_step_that_nobody_listed_is_not_replayed(tmp_path):
    path = make(tmp_path)
    facts = json.loads((path / "bundle.json").read_text())
    del facts["files"]["step.pt"]
    (path / "bundle.json").write_text(json.dumps(facts))
    with pytest.raises(Exception, match="no captured step"):
        debug.replay_bundle(find_bundles(tmp_path)[0])


def test_what_a_bundle_says_cannot_steer_the_terminal(tmp_path, monkeypatch, capsys):
    make(tmp_path, facts={"message": "\x1b[2J\x1b]0;owned\x07 gone", "run": "\x1b[31m", "step": "\x1b[5m"})
    (path,) = [b.path for b in find_bundles(tmp_path)]
    with (path / "debug.jsonl").open("a") as file:
        file.write(json.dumps({"time": "\x1b[1m", "level": "\x1b", "kind": "note", "message": "\x1b[2J", "data": {}}))
    for words in (["list", str(tmp_path)], ["show", str(path)], ["grep", "kind=note", str(tmp_path)]):
        ocrmaps(monkeypatch, "debug", *words)
        assert "\x1b" not in capsys.readouterr().out, words


def test_a_part_that_breaks_in_the_middle_leaves_nothing_half_written(tmp_path):
    draft = BundleDraft(tmp_path, reason="x", now=lambda: NOW, redactor=NOBODY)
    draft.text("before.txt", "whole")

    def broken() -> None:
        draft.path("step.pt").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    draft.part("captured step", broken)
    path = draft.commit({"message": "m"})
    assert sorted(p.name for p in path.iterdir()) == ["before.txt", "bundle.json", "debug.jsonl"]
