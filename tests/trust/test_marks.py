"""A folder that calls itself the stand-in of a place is not one: what a place lacks is removed from its stand-in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """The manifest of a version in somebody's own cache, and beside that cache one of a stranger that links to it."""
    manifest = tmp_path / "mine" / "tiny" / "0123456789abcdef" / "manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text("{}")
    (tmp_path / "far" / "tiny" / "fedcba9876543210").mkdir(parents=True)
    (tmp_path / "far" / "tiny" / "fedcba9876543210" / "manifest.json").write_text("{}")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "tiny").symlink_to(tmp_path / "mine" / "tiny")
    mark = {"url": f"file://{tmp_path / 'far'}", "quota": None}
    (tmp_path / "theirs" / "place.json").write_text(json.dumps(mark))
    return manifest


@pytest.mark.parametrize("words", [("cache", "list"), ("cache", "status"), ("verify", "tiny")])
def test_a_folder_of_somebody_else_is_no_stand_in(words, mine, tmp_path, ocrmaps):
    code, said = ocrmaps(*words, "--root", tmp_path / "theirs")
    assert code and "this folder was not made for file:///" in said
    assert mine.exists() and not (tmp_path / "mine" / "tiny" / "fedcba9876543210").exists()
