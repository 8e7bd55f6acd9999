"""`ocrmaps debug` as people type it: one document with --json, exit codes, plans before acts."""

from __future__ import annotations

import json
import shutil

import pytest
from typer.testing import CliRunner

from ocrmaps.cli.app import app
from ocrmaps.debug.bundles import find_bundles
from tests.debug.test_bundles import make


@pytest.fixture(scope="module")
def bundled(ran, world, tmp_path_factory):
    """A copy of the run with one bundle, and the cache."""
    run = tmp_path_factory.mktemp("cli") / "runs" / "r"
    shutil.copytree(ran.folder, run)
    call("debug", "bundle", run, "--reason", "Slow & odd", "--profile", "--root", world / "cache")
    return run, world / "cache"


def call(*words, code=0):
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == code, (done.output, done.exception)
    return done.stdout


def test_a_bundle_on_request_holds_the_next_step_and_its_trace(bundled):
    run, _ = bundled
    (bundle,) = find_bundles(run)
    assert bundle.name.endswith("_slow-odd") and bundle.facts["step"] == 6
    assert {"step.pt", "profile.json", "predictions.png"} <= set(bundle.facts["files"])
    json.loads((bundle.path / "profile.json").read_text())


def test_a_step_asked_for_reproduces_and_its_tensors_are_the_stores(bundled):
    run, cache = bundled
    report = json.loads(call("debug", "replay", "last", "--in", run, "--root", cache, "--json"))
    assert report["reproduces"] and report["store"] == "equal"
    assert report["then"]["loss"] == pytest.approx(report["now"]["loss"], rel=1e-4)


def test_tensors_that_are_not_the_stores_are_told(bundled, tmp_path):
    """Somebody's bundle against a store whose rows hold something else under the same digest is not to be believed."""
    import hashlib

    import torch

    run, cache = bundled
    copy = shutil.copytree(run, tmp_path / "r")
    (bundle,) = find_bundles(copy)
    content = torch.load(bundle.path / "step.pt", weights_only=True)
    content["step"]["batch"]["image"][0, 0, 0, 0] ^= 1
    torch.save(content, bundle.path / "step.pt")
    facts = json.loads((bundle.path / "bundle.json").read_text())
    data = (bundle.path / "step.pt").read_bytes()
    facts["files"]["step.pt"] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (bundle.path / "bundle.json").write_text(json.dumps(facts))
    report = json.loads(call("debug", "replay", copy, "--root", cache, "--json", code=1))
    assert report["store"] == "differs: image: 1 of 73728 values"


def test_without_its_store_a_bundle_still_replays(bundled, tmp_path, monkeypatch):
    run, _ = bundled
    monkeypatch.chdir(tmp_path)
    alone = shutil.copytree(find_bundles(run)[0].path, tmp_path / find_bundles(run)[0].name)
    shutil.move(alone, tmp_path / "inbox")
    report = json.loads(call("debug", "replay", tmp_path / "inbox", "--root", tmp_path / "no-cache", "--json"))
    assert report["reproduces"]


def test_a_damaged_bundle_is_not_replayed(bundled, tmp_path):
    copy = shutil.copytree(bundled[0], tmp_path / "r")
    (bundle,) = find_bundles(copy)
    with (bundle.path / "step.pt").open("r+b") as file:
        file.seek(1000)
        file.write(b"\0\1\2\3")
    call("debug", "show", copy, code=1)
    done = CliRunner().invoke(app, ["debug", "replay", str(copy)])
    assert "this bundle is damaged" in str(done.exception)


def test_a_compressed_bundle_replays(bundled, tmp_path):
    copy = shutil.copytree(bundled[0], tmp_path / "r")
    assert "would compress" in call("debug", "clean", copy, "--keep", "0")
    assert len(list((copy / "debug").iterdir())) == 1 and (find_bundles(copy)[0]).state == "whole"
    call("debug", "clean", copy, "--keep", "0", "--yes")
    assert [p.name.endswith(".tar.gz") for p in (copy / "debug").iterdir()] == [True]
    assert "compressed" in call("debug", "list", copy)
    assert json.loads(call("debug", "replay", "last", "--in", copy, "--root", bundled[1], "--json"))["ok"]


def test_lists_shows_and_notes(bundled):
    run, _ = bundled
    (listed,) = json.loads(call("debug", "list", run.parent, "--json"))["bundles"]
    assert listed["state"] == "whole" and listed["run"] == "small"
    call("debug", "note", "last", "too bright?", "--kind", "hypothesis", "--in", run)
    shown = json.loads(call("debug", "show", listed["path"], "--json"))
    assert shown["entries"][-1]["message"] == "too bright?" and shown["damage"] == []
    assert "too bright?" in call("debug", "show", "last", "--in", run)


def test_a_bundle_without_a_store_says_so(ran, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = shutil.copytree(ran.folder, tmp_path / "r")
    said = call("debug", "bundle", run, "--root", tmp_path / "none")
    assert "captured step: absent, store tiny/" in said
    done = CliRunner().invoke(app, ["debug", "replay", str(run)])
    assert done.exit_code == 1 and "there is no captured step in it" in str(done.exception)


def test_grep_ends_with_1_where_nothing_is_found_and_2_where_nothing_was_asked(tmp_path):
    make(tmp_path)
    assert json.loads(call("debug", "grep", "loss>10", tmp_path, "--json"))["hits"][0]["kind"] == "crash"
    call("debug", "grep", "loss>1000", tmp_path, code=1)
    done = CliRunner().invoke(app, ["debug", "grep", "loss>", str(tmp_path)])
    assert done.exception is not None and done.exception.exit_code == 2


def test_the_doctor_ends_with_1_on_a_problem_and_names_its_stage(bundled):
    run, cache = bundled
    report = json.loads(call("debug", "doctor", run, "--root", cache, "--samples", "2", "--json", code=1))
    assert report["first_break"] == "prediction" and len(report["samples"]) == 2
    healthy = json.loads(call("debug", "doctor", "tiny", "--root", cache, "--samples", "2", "--json"))
    assert healthy["ok"] and healthy["first_break"] is None
