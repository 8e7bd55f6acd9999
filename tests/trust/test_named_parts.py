"""Files from a stranger are opened by every command that opens such files: nothing that they name or hold runs."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from ocrmaps.model import plain
from tests.trust.conftest import NAME, RUN_FILE, Evil, spoil

Words = Callable[[Path, Path], list[object]]
"""(the run's folder, the cache) -> a command line."""


def best(run: Path) -> Path:
    return next(run.glob("checkpoints/best-*.ckpt"))


def new(run: Path, name: str) -> Path:
    return run.parent / name


MODEL: dict[str, Words] = {
    "predict": lambda run, cache: ["predict", best(run), new(run, "page.png"), "--out", new(run, "p.json")],
    "evaluate": lambda run, cache: ["evaluate", best(run), "--store", "tiny", "--root", cache],
    "tune": lambda run, cache: ["tune", best(run), "--store", "tiny", "--root", cache, "--out", new(run, "t.ckpt")],
    "export": lambda run, cache: ["export", best(run), "--format", "program", "--out", new(run, "x.pt2")],
    "report": lambda run, cache: ["report", run, "--root", cache],
    "debug doctor": lambda run, cache: ["debug", "doctor", run, "--samples", 1, "--root", cache],
    "debug bundle": lambda run, cache: ["debug", "bundle", run, "--root", cache],
    "debug replay": lambda run, cache: ["debug", "replay", "last", "--in", run, "--root", cache],
}
LOSS = {name: MODEL[name] for name in ("debug bundle", "debug replay")}
RESUME: Words = lambda run, cache: ["train", new(run, "run.toml"), "--out", run, "--resume", "auto", "--root", cache]  # noqa: E731
CASES = [
    *(pytest.param("named model", words, id=f"model-{name}") for name, words in MODEL.items()),
    *(pytest.param("named loss", words, id=f"loss-{name}") for name, words in LOSS.items()),
]


@pytest.fixture
def cache(world):
    return world / "cache"


@pytest.fixture(autouse=True)
def page(tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "page.png")


@pytest.mark.parametrize(("how", "words"), CASES)
def test_a_name_in_a_file_runs_only_where_it_is_trusted(how, words, run, cache, trace, ocrmaps):
    spoil(run, how, trace)
    code, said = ocrmaps(*words(run, cache))
    assert code == 2 and NAME in said and f"--trust {NAME}" in said, said
    assert not trace.exists()
    # Not by a name that is nearly the same either.
    code, said = ocrmaps(*words(run, cache), "--trust", f"{NAME}s", "--trust", "posix:mkdir")
    assert code == 2 and f"--trust {NAME};" in said and not trace.exists(), said
    # The payload works: where a person allows the name its code runs, and the output says so.
    code, said = ocrmaps(*words(run, cache), "--trust", NAME)
    assert trace.is_dir() and f"trusted by you, so its code may run: {NAME}" in said


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("words", [*MODEL.values(), RESUME], ids=[*MODEL, "train --resume"])
def test_an_object_in_a_file_never_runs(words, run, cache, trace, ocrmaps):
    spoil(run, "pickled object", trace)
    code, said = ocrmaps(*words(run, cache))
    assert code != 0 and "cannot be read as a checkpoint" in said and "try: " in said, said
    assert not trace.exists()


def test_torch_calls_nothing_even_where_the_look_before_it_saw_nothing(trace, tmp_path, monkeypatch):
    torch.save({"extra": Evil(trace)}, tmp_path / "x.ckpt")
    monkeypatch.setattr(plain, "_rehearse", lambda file: None)
    with pytest.raises(pickle.UnpicklingError):
        plain.read_plain(tmp_path / "x.ckpt")
    assert not trace.exists()


def test_the_object_would_run_in_an_ordinary_reader(trace, tmp_path):
    torch.save({"extra": Evil(trace)}, tmp_path / "x.ckpt")
    torch.load(tmp_path / "x.ckpt", weights_only=False)
    assert trace.is_dir()


def test_resuming_builds_what_the_run_file_names_and_refuses_what_a_checkpoint_names(run, cache, trace, ocrmaps):
    """The run has ended, so going on comes to drawing what its best checkpoint finds."""
    spoil(run, "named model", trace)
    code, said = ocrmaps(*RESUME(run, cache))
    assert code == 2 and f"{NAME}: this is code from outside" in said and "run file" in said, said
    assert not trace.exists()


def test_a_checkpoint_chooses_no_path_to_remove(run, cache, tmp_path, ocrmaps):
    precious = tmp_path / "precious.ckpt"
    precious.write_text("mine")
    last = run / "checkpoints" / "last.ckpt"
    content = torch.load(last, weights_only=True)
    (state,) = (s for s in content["callbacks"].values() if "best" in s)
    state["best"] = [[2.0, "../../precious.ckpt"], [0.1, "../../precious.ckpt"]]
    last.unlink()
    torch.save(content, last)
    code, said = ocrmaps(*RESUME(run, cache))
    assert code == 3 and "'../../precious.ckpt'" in said and "expected names such as best-" in said, said
    assert precious.read_text() == "mine"


def test_precision_check_reads_members_and_runs_nothing_of_them(run, cache, trace, tmp_path, ocrmaps):
    spoil(run, "pickled object", trace)
    for member in ("fp32-seed0", "bf16-seed0"):
        shutil.copytree(run, tmp_path / "all" / member)
    words = ["precision-check", tmp_path / "run.toml", "--seeds", 3, "--out", tmp_path / "all", "--root", cache]
    code, said = ocrmaps(*words)
    assert code == 3 and "never run from a file" in said and not trace.exists(), said


@pytest.mark.parametrize("how", ["named model", "named loss", "pickled object"])
def test_compare_opens_no_checkpoint(how, run, trace, tmp_path, ocrmaps):
    spoil(run, how, trace)
    settings = (run / "run.json").read_text().replace('"light"', f'"{NAME}"').replace('"db"', f'"{NAME}"')
    (run / "run.json").write_text(settings)
    code, said = ocrmaps("compare", run, shutil.copytree(run, tmp_path / "other"))
    assert code == 0 and not trace.exists(), said


OWN = """
from ocrmaps.model.encoders.registry import Light

class Mine(Light):
    pass
"""


def test_ones_own_run_goes_on_without_ceremony_and_its_checkpoint_asks(cache, tmp_path, monkeypatch, ocrmaps):
    (tmp_path / "my_trusted_parts.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    name = "my_trusted_parts:Mine"
    file = tmp_path / "own.toml"
    file.write_text(RUN_FILE.replace('"light"', f'"{name}"'))
    words = ["train", file, "--out", tmp_path / "own", "--root", cache]
    for more in ([], ["--resume", "auto"]):
        code, said = ocrmaps(*words, *more)
        assert code == 0 and f"trusted, because the run file names it: {name}" in said, said
    predict = MODEL["predict"](tmp_path / "own", cache)
    code, said = ocrmaps(*predict)
    assert code == 2 and f"--trust {name}" in said
    code, said = ocrmaps(*predict, "--trust", name)
    assert code == 0 and f"trusted by you, so its code may run: {name}" in said, said


@pytest.mark.parametrize(
    "words",
    [["--trust", "resnet18"], ["--trust", "os.system"], ["--trust", "os:"], ["--trust-code", "abc"]],
)
def test_what_can_never_match_is_refused(words, run, ocrmaps):
    code, said = ocrmaps("predict", best(run), run.parent / "page.png", "--out", run.parent / "p.json", *words)
    assert code == 2 and "expected" in said
