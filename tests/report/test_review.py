"""The script that an audit's findings are gone through with does what the page says."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_keys_and_buttons_decide_and_decisions_go_out_and_come_in():
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node, which is not installed")
    script = ROOT / "ocrmaps" / "pagekit" / "review.js"
    done = subprocess.run([node, Path(__file__).with_name("review_dom.js"), script], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "all good\n"), done.stderr
