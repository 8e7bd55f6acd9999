"""The demo interrupted: what it says to go on with."""

from __future__ import annotations

import shlex
from types import SimpleNamespace

import pytest

import ocrmaps.pipelines.data
import ocrmaps.pipelines.demo
import ocrmaps.pipelines.train
from ocrmaps.training.callbacks.stop import Interrupted


def test_an_interrupted_demo_names_the_command_that_goes_on_with_its_run(tmp_path, monkeypatch):
    def stopped(*_, out, **__):
        raise Interrupted("interrupted after step 3", hint="go on by the same command")

    monkeypatch.setattr(ocrmaps.pipelines.train, "train", stopped)
    small = ocrmaps.pipelines.data.synth
    monkeypatch.setattr(
        ocrmaps.pipelines.data, "synth", lambda folder, **given: small(folder, **given, size=(480, 320), empty=0)
    )
    out = tmp_path / "a demo"
    with pytest.raises(Interrupted) as caught:
        ocrmaps.pipelines.demo.demo(out, num=8, seed=0, epochs=3, say=lambda line: None)
    assert (out / "demo.toml").read_text().startswith("#:schema recipe.schema.json\n")
    assert (out / "recipe.schema.json").is_file()
    words = shlex.split(caught.value.hint.removeprefix("go on by "))
    assert words[:2] == ["ocrmaps", "train"]
    given = SimpleNamespace(**{name.strip("-"): value for name, value in zip(words[3::2], words[4::2], strict=True)})
    assert given.set == "budget.epochs=3"
    assert (given.root, given.out, given.resume) == (str(out / "cache"), str(out / "runs" / "001"), "auto")
