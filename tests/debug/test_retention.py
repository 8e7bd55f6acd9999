"""What stays of old bundles: the plan, its execution, full disks, wrong clocks, and what is nobody's business."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from datetime import UTC, datetime, timedelta

import pytest

from ocrmaps.debug.bundles import find_bundles
from ocrmaps.debug.entries import add_note, entries
from ocrmaps.debug.reading import damage, unpacked
from ocrmaps.debug.retention import carry_out, compress, leftovers, plan_retention
from ocrmaps.debug.writing import BundleDraft
from ocrmaps.errors import DataError, SpecError
from ocrmaps.pipelines import notes
from ocrmaps.scratch import beside
from tests.debug.test_bundles import NOBODY, NOW, make


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
    draft = BundleDraft(folder, reason="x", now=lambda: NOW, redactor=NOBODY)
    assert leftovers(tmp_path, now=datetime.now(UTC)) == []
    (left,) = leftovers(tmp_path, now=datetime.now(UTC) + timedelta(days=2))
    (action,) = plan_retention([], now=NOW, leftovers=[left])
    carry_out(action)
    assert action.do == "sweep" and not draft.folder.exists()


def test_what_a_killed_command_left_beside_its_result_is_swept_and_what_a_living_one_has_stays(tmp_path):
    with beside(tmp_path / "run" / "x.json") as living:
        dead = tmp_path / "run" / ".ocrmaps-dead"
        shutil.copytree(living.parent, dead)
        assert leftovers(tmp_path, now=datetime.now(UTC)) == [dead]
        for action in plan_retention([], now=NOW, leftovers=[dead, living.parent]):
            carry_out(action)
        assert not dead.exists() and living.exists()


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


def test_a_disk_that_is_full_while_compressing_leaves_the_bundle_and_no_remains(tmp_path, monkeypatch):
    path = make(tmp_path, days=40)
    (tmp_path / "other").mkdir()
    make(tmp_path / "other", days=40)
    real = tarfile.TarFile.addfile

    def full(self, info, file=None):
        if info.name.endswith("step.pt") and "boom" in info.name and not (tmp_path / "freed").exists():
            (tmp_path / "freed").touch()
            raise OSError(28, "No space left on device")
        return real(self, info, file)

    monkeypatch.setattr(tarfile.TarFile, "addfile", full)
    done = []
    with pytest.raises(DataError, match="No space left") as caught:
        done.extend(notes.clean(plan(tmp_path)))
    assert len(caught.value.problems) == 1, "the other bundle was compressed all the same"
    assert len(list(tmp_path.rglob("*.tar.gz"))) == 1
    assert list(tmp_path.rglob(".*.part")) == []
    assert sum(p.is_dir() for p in (path, tmp_path / "other" / path.name)) == 1


def test_bundles_dated_ahead_of_this_clock_are_left_and_take_nobodys_place(tmp_path):
    for day in range(10):
        make(tmp_path, reason=f"skewed{day}", days=-400 - day)
    make(tmp_path, reason="today")
    make(tmp_path, reason="tonight", days=-0.4)
    actions = {a.path.name.split("_")[1]: a.do for a in plan(tmp_path)}
    assert {v for k, v in actions.items() if k.startswith("skewed")} == {"leave"}
    assert actions["today"] == actions["tonight"] == "keep"


def test_a_clock_that_went_back_compresses_and_removes_nothing(tmp_path):
    for day in range(12):
        make(tmp_path, reason=f"d{day}", days=day)
    compress(find_bundles(tmp_path)[-1])
    found = plan_retention(find_bundles(tmp_path), now=NOW - timedelta(days=3650))
    assert {a.do for a in found} == {"leave"}
