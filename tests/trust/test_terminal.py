"""Nothing in a name or text of other people steers the terminal that a command speaks to."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from ocrmaps.annotations.synth.receipts import SynthSpec, save

STEER = "\x1b[31mX\x1b]0;title\x07\u202e\x9b"
"""Colors, the window's title, the direction of writing; no name of a file may hold a line break more than this."""
RECIPE = """name = "r"
[[sources]]
path = "s"
split = "train"
[canonical]
canvases = [[64, 64]]
scale = "fit"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source of two receipts, one of them damaged, its name full of escapes."""
    save(SynthSpec(num=2, size=(320, 320), lines=(2, 3)), tmp_path / "s")
    first = min((tmp_path / "s" / "images").iterdir())
    table = tmp_path / "s" / "annotations.json"
    table.write_text(table.read_text().replace(first.name, "NAME.jpg"), encoding="utf-8")
    first.unlink()
    escaped = "".join(f"\\u{ord(c):04x}" for c in STEER)
    table.write_text(table.read_text().replace("NAME.jpg", f"{escaped}.jpg"), encoding="utf-8")
    (tmp_path / "s" / "images" / f"{STEER}.jpg").write_bytes(b"broken")
    Image.new("RGB", (64, 64)).save(tmp_path / "s" / "images" / "a.png")
    (tmp_path / "r.toml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_names_are_spelled_wherever_a_command_says_them(folder, ocrmaps):
    commands = (
        "data check s", "predict receipts s/images --out p.json", "predict receipts s/images --out q.json --strict",
        "build r.toml --root c", "build r.toml --root c --allow-failures 5", "cache show r --root c",
        "cache status r.toml --root c", "verify r --root c --level rebuild", f"verify {STEER} --root c",
        f"data show s {STEER}", f"predict {STEER}.ckpt s --out z.json", "data show s none", "oracle s",
    )  # fmt: skip
    spelled = 0
    for command in commands:
        said = ocrmaps(*command.split(" "))[1]
        assert not set(said) & set("\x1b\x07\u202e\x9b"), f"{command}: {said!r}"
        spelled += "\\x1b[31mX" in said
    assert spelled >= 8
