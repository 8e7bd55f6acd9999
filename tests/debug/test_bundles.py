"""Bundles as files: whole or absent, found, annotated, asked, compressed, removed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ocrmaps.debug.bundles import add_note, damage, entries, find_bundles, one_bundle, read_bundle, unpacked
from ocrmaps.debug.query import parse_query
from ocrmaps.debug.redact import Redactor
from ocrmaps.debug.retention import carry_out, leftovers, plan_retention
from ocrmaps.debug.writing import Draft
from ocrmaps.errors import DataError, SpecError
from pipelines import debug

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
NOBODY = Redactor(environment={})
ROOT = Path(__file__).resolve().parents[2]


def make(folder: Path, *, reason: str = "boom", days: float = 0, facts=None, loss: float = 12.5) -> Path:
    draft = Draft(folder, reason=reason, now=lambda: NOW - timedelta(days=days), redactor=NOBODY)
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
    draft = Draft(tmp_path, reason="x", now=lambda: NOW, redactor=NOBODY)
    draft.text("a.txt", "a")
    assert find_bundles(tmp_path) == []
    draft.abandon()
    assert list(tmp_path.iterdir()) == []


KILLED = """
import sys
from datetime import datetime, UTC
from pathlib import Path
from ocrmaps.debug.redact import Redactor
from ocrmaps.debug.writing import Draft
number, nobody = 0, Redactor(environment={})
print("begun", flush=True)
while True:
    number += 1
    draft = Draft(Path(sys.argv[1]), reason=f"n{number}", now=lambda: datetime.now(UTC), redactor=nobody)
    for part in range(6):
        draft.bytes(f"part{part}.pt", bytes(200_000))
        draft.text(f"part{part}.txt", "words " * 2000)
    draft.commit({"number": number})
"""


def test_kill_9_while_writing_leaves_nothing_that_looks_whole_and_is_not(tmp_path):
    unfinished = 0
    for attempt in range(6):
        folder = tmp_path / str(attempt)
        writer = subprocess.Popen([sys.executable, "-c", KILLED, str(folder)], cwd=ROOT, stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(0.013 * attempt)
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
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
    assert len(debug.grep(query, [tmp_path]).hits) == found


def test_numbers_that_are_none_can_be_asked_for(tmp_path):
    make(tmp_path, loss=float("nan"))
    make(tmp_path, loss=float("inf"))
    assert len(debug.grep("loss=nan", [tmp_path]).hits) == 1
    assert len(debug.grep("loss=inf", [tmp_path]).hits) == 1
    assert len(debug.grep("loss>1000", [tmp_path]).hits) == 1


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
    answer = debug.grep("los>10", [tmp_path])
    assert answer.unknown == ("los",) and "loss" in answer.known


def plan(folder, **settings):
    return plan_retention(find_bundles(folder), now=NOW, **settings)


def test_retention_keeps_the_last_ten_and_thirty_days(tmp_path):
    for day in range(12):
        make(tmp_path, reason=f"d{day}", days=day)
    make(tmp_path, reason="old", days=31)
    actions = {a.path.name.split("_")[1]: a.do for a in plan(tmp_path)}
    assert [k for k, v in actions.items() if v == "compress"] == ["d10", "d11", "old"]
    few = tmp_path / "few"
    make(few, reason="old", days=31)
    assert [a.do for a in plan(few)] == ["compress"]


def test_a_plan_changes_nothing(tmp_path):
    make(tmp_path, days=40)
    before = sorted(p.name for p in tmp_path.rglob("*"))
    plan(tmp_path)
    assert sorted(p.name for p in tmp_path.rglob("*")) == before


def test_compressed_bundles_are_listed_read_and_later_removed(tmp_path):
    path = make(tmp_path, days=40)
    (path / "my-notes.md").write_text("what I saw")
    before = entries(find_bundles(tmp_path)[0])
    (action,) = plan(tmp_path)
    archive = carry_out(action)
    assert archive is not None and archive.name.endswith(".tar.gz") and not path.exists()
    (bundle,) = find_bundles(tmp_path)
    assert bundle.state == "compressed" and entries(bundle) == before and damage(bundle) == []
    with unpacked(bundle) as folder:
        assert (folder / "step.pt").read_bytes() == bytes(range(256))
        assert (folder / "my-notes.md").read_text() == "what I saw"
    assert [a.do for a in plan(tmp_path)] == ["keep"]
    with pytest.raises(SpecError, match="compressed"):
        add_note(bundle, "late", kind="note", now=NOW, redact=str)
    (action,) = plan_retention([bundle], now=NOW + timedelta(days=21))
    assert action.do == "remove" and carry_out(action) is None
    assert list(tmp_path.iterdir()) == []


def test_a_compression_that_was_cut_short_leaves_the_folder_in_force(tmp_path):
    path = make(tmp_path, days=40)
    (action,) = plan(tmp_path)
    copy = tmp_path / "copy"
    shutil.copytree(path, copy)
    carry_out(action)
    shutil.move(copy, path)
    (bundle,) = find_bundles(tmp_path)
    assert bundle.path == path
    carry_out(plan(tmp_path)[0])
    assert [b.state for b in find_bundles(tmp_path)] == ["compressed"]


def test_what_is_no_bundle_is_never_touched(tmp_path):
    strangers = [
        tmp_path / "debug" / "2020-01-01T000000Z_mine" / "thesis.tex",
        tmp_path / "debug" / "notes.txt",
        tmp_path / "debug" / ".hidden" / "x",
        tmp_path / "debug" / "2020-01-01T000000Z_other.tar.gz",
        tmp_path / "debug" / "nonfinite-step000001-rank0.pt",
    ]
    for path in strangers:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("precious")
        os.utime(path.parent, (0, 0))
    outside = make(tmp_path / "elsewhere", days=400)
    (tmp_path / "debug" / outside.name).symlink_to(outside)
    harmed = make(tmp_path / "debug", days=300)
    (harmed / "step.pt").unlink()
    now = datetime.now(UTC)
    actions = plan_retention(find_bundles(tmp_path / "debug"), now=NOW, leftovers=leftovers(tmp_path, now=now))
    assert [a.do for a in actions] == ["leave"]
    for action in actions:
        carry_out(action)
    assert all(path.read_text() == "precious" for path in strangers) and outside.is_dir() and harmed.is_dir()


def test_what_a_dead_writer_left_is_swept_after_a_day(tmp_path):
    folder = tmp_path / "debug"
    draft = Draft(folder, reason="x", now=lambda: NOW, redactor=NOBODY)
    assert leftovers(tmp_path, now=datetime.now(UTC)) == []
    (left,) = leftovers(tmp_path, now=datetime.now(UTC) + timedelta(days=2))
    (action,) = plan_retention([], now=NOW, leftovers=[left])
    carry_out(action)
    assert action.do == "sweep" and not draft.folder.exists()


def test_a_bundle_that_changed_since_the_plan_is_left_alone(tmp_path):
    path = make(tmp_path, days=40)
    (action,) = plan(tmp_path)
    (path / "bundle.json").write_text(json.dumps({"what": "mine now"}))
    with pytest.raises(DataError):
        carry_out(action)
    assert path.is_dir()


def test_flipped_bytes_are_not_compressed_away(tmp_path):
    path = make(tmp_path, days=40)
    (path / "step.pt").write_bytes(bytes(256))
    with pytest.raises(DataError, match="not those that were written"):
        carry_out(plan(tmp_path)[0])
    assert path.is_dir() and not list(tmp_path.glob("*.tar.gz"))
