"""Bundles as files: whole or absent, found, annotated, asked, compressed, removed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ocrmaps.debug.bundles import find_bundles, one_bundle
from ocrmaps.debug.entries import add_note, entries
from ocrmaps.debug.query import parse_query
from ocrmaps.debug.reading import damage, read_bundle
from ocrmaps.debug.redact import Redactor
from ocrmaps.debug.writing import BundleDraft
from ocrmaps.errors import SpecError
from ocrmaps.pipelines import notes

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
NOBODY = Redactor(environment={})
ROOT = Path(__file__).resolve().parents[2]


def make(folder: Path, *, reason: str = "boom", days: float = 0, facts=None, loss: float = 12.5) -> Path:
    draft = BundleDraft(folder, reason=reason, now=lambda: NOW - timedelta(days=days), redactor=NOBODY)
    draft.entry("error", "crash", "it broke", {"loss": loss, "train/loss": 3, "samples": ["a.jpg", "b.jpg"]})
    draft.entry("info", "metrics", "epoch 1", {"val/hmean": 0.5, "ok": True})
    draft.text("run.log.txt", "line\n")
    draft.bytes("step.pt", bytes(range(256)))
    return draft.commit({"message": "it broke", "run": "r", **(facts or {})})


def test_a_bundle_appears_whole(tmp_path):
    path = make(tmp_path / "debug")
    assert path.name == "2026-11-20T120000Z_boom"
    (bundle,) = find_bundles(tmp_path)
    assert bundle.state == "whole" and damage(bundle) == [] and bundle.facts["message"] == "it broke"
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_two_bundles_of_one_second_are_two(tmp_path):
    assert make(tmp_path) != make(tmp_path)
    assert len(find_bundles(tmp_path)) == 2


def test_what_is_being_written_is_not_listed(tmp_path):
    draft = BundleDraft(tmp_path, reason="x", now=lambda: NOW, redactor=NOBODY)
    draft.text("a.txt", "a")
    assert find_bundles(tmp_path) == []
    draft.abandon()
    assert list(tmp_path.iterdir()) == []


KILLED = """
import sys
from datetime import datetime, UTC
from pathlib import Path
from ocrmaps.debug.reading import damage, read_bundle, unpacked
from ocrmaps.debug.redact import Redactor
from ocrmaps.debug.writing import BundleDraft
number, nobody = 0, Redactor(environment={})
print("begun", flush=True)
while True:
    number += 1
    draft = BundleDraft(Path(sys.argv[1]), reason=f"n{number}", now=lambda: datetime.now(UTC), redactor=nobody)
    for part in range(6):
        draft.bytes(f"part{part}.pt", bytes(200_000))
        draft.text(f"part{part}.txt", "words " * 2000)
        print(number, part, flush=True)
        if f"{number} {part}" == sys.argv[2]:
            sys.stdin.read()  # for good
    draft.commit({"number": number})
"""


def test_kill_9_while_writing_leaves_nothing_that_looks_whole_and_is_not(tmp_path):
    unfinished = 0
    for attempt in range(8):
        folder, halt = tmp_path / str(attempt), "2 3" if attempt == 7 else ""  # the last is at work for certain
        command = [sys.executable, "-c", KILLED, str(folder), halt]
        writer = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert writer.stdin is not None and writer.stdout is not None
        for _ in range(1 + (10 if halt else 3 * attempt)):
            writer.stdout.readline()
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        writer.stdin.close(), writer.stdout.close()
        for bundle in find_bundles(folder) if folder.exists() else []:
            assert bundle.state == "whole" and damage(bundle) == [], bundle.path
        unfinished += len(list(folder.glob(".*.part")))
    # Else the test killed nobody at work.
    assert unfinished > 0


@pytest.mark.parametrize("harm", ["missing", "short", "flipped", "no-head", "foreign-head"])
def test_damage_is_told(tmp_path, harm):
    path = make(tmp_path)
    step = path / "step.pt"
    if harm == "missing":
        step.unlink()
    elif harm == "short":
        step.write_bytes(b"1")
    elif harm == "flipped":
        step.write_bytes(bytes(255) + b"1")
    elif harm == "no-head":
        (path / "bundle.json").unlink()
    else:
        (path / "bundle.json").write_text('{"what": "something else"}')
    bundle = read_bundle(path)
    if harm in ("no-head", "foreign-head"):
        assert bundle is None and find_bundles(tmp_path) == []
    elif harm == "flipped":
        assert bundle is not None and not bundle.fault and damage(bundle)
    else:
        assert bundle is not None and bundle.fault.startswith("damaged: step.pt")


def test_notes_are_appended_and_do_not_damage(tmp_path):
    make(tmp_path)
    (bundle,) = find_bundles(tmp_path)
    for kind in ("hypothesis", "note", "finding"):
        add_note(bundle, f"a {kind} — ünïcode", kind=kind, now=NOW, redact=str)
    assert [e["kind"] for e in entries(bundle)][2:] == ["hypothesis", "note", "finding"]
    again = read_bundle(bundle.path)
    assert again is not None and again.state == "whole" and damage(again) == []


def test_a_note_after_a_torn_line_is_not_swallowed(tmp_path):
    make(tmp_path)
    (bundle,) = find_bundles(tmp_path)
    with (bundle.path / "debug.jsonl").open("ab") as file:
        file.write(b'{"time": "2026-')
    add_note(bundle, "after", kind="note", now=NOW, redact=str)
    assert [e["kind"] for e in entries(bundle)] == ["crash", "metrics", "unreadable", "note"]


@pytest.mark.parametrize(("text", "kind"), [("  ", "note"), ("x", "rumour")])
def test_empty_notes_and_unknown_kinds_are_refused(tmp_path, text, kind):
    make(tmp_path)
    with pytest.raises(SpecError):
        add_note(find_bundles(tmp_path)[0], text, kind=kind, now=NOW, redact=str)


def test_bundles_are_named_by_path_name_start_or_last(tmp_path):
    old, new = make(tmp_path / "a" / "debug", days=2), make(tmp_path / "b" / "debug")
    assert one_bundle("last", tmp_path).path == new
    assert one_bundle("2026-11-18", tmp_path).path == old
    assert one_bundle(str(old), tmp_path / "nowhere").path == old
    assert one_bundle(str(tmp_path / "a"), tmp_path).path == old
    with pytest.raises(SpecError, match="2 bundles"):
        one_bundle("2026-11", tmp_path)
    with pytest.raises(SpecError, match="no such bundle"):
        one_bundle("1999", tmp_path)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("loss>10 and level=error", 1),
        ("loss>10 and level=info", 0),
        ("level>=info", 2),
        ("level>info", 1),
        ("loss=12.5", 1),
        ("loss<4", 1),  # train/loss
        ("train/loss=3", 1),
        ("hmean>=0.5 or loss>1e3", 1),
        ("not level=error", 1),
        ("not (level=error or kind=metrics)", 0),
        ("message~BROKE", 1),
        ("message!~broke", 1),
        ('message="it broke"', 1),
        ("samples~b.jpg", 1),
        ("samples=a.jpg", 1),
        ("hmean", 1),
        ("ok=true", 1),
        ("nothing>3", 0),
        ("nothing!=3", 0),
        ("bundle~boom and run=r", 2),
        ("time>2026-11-20", 2),
        ("level=error and loss>10 or kind=metrics", 2),
        ("level=error and (loss>100 or kind=metrics)", 0),
    ],
)
def test_queries(tmp_path, query, found):
    make(tmp_path)
    assert len(notes.grep(query, [tmp_path]).hits) == found


def test_numbers_that_are_none_can_be_asked_for(tmp_path):
    make(tmp_path, loss=float("nan"))
    make(tmp_path, loss=float("inf"))
    assert len(notes.grep("loss=nan", [tmp_path]).hits) == 1
    assert len(notes.grep("loss=inf", [tmp_path]).hits) == 1
    assert len(notes.grep("loss>1000", [tmp_path]).hits) == 1


@pytest.mark.parametrize(
    ("query", "column"),
    [
        ("", 1),
        ("loss >", 7),
        ("loss >> 10", 7),
        ("loss > 10 and", 14),
        ("and loss", 1),
        ("(loss > 10", 11),
        ("loss > 10)", 10),
        ("loss > 10 level=error", 11),
        ('message ~ "open', 11),
        ("level=loud", 7),
        ("3 > loss", 1),
        ("loss == 3", 7),
        ("loss > 1 & level=error", 10),
        ("not", 4),
    ],
)
def test_a_query_that_makes_no_sense_is_pointed_at(query, column):
    with pytest.raises(SpecError, match=rf"query, column {column}: ") as caught:
        parse_query(query)
    if query:
        assert str(caught.value).splitlines()[-1] == "  " + " " * (column - 1) + "^"


def test_a_field_that_no_entry_has_is_told(tmp_path):
    make(tmp_path)
    answer = notes.grep("los>10", [tmp_path])
    assert answer.unknown == ("los",) and "loss" in answer.known
