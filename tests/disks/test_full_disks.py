"""A disk that is full, gone or read-only while a result is written: one message, its code, the old file, no rest."""

from __future__ import annotations

import ctypes
import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace as Stub
from typing import Any

import numpy as np
import pytest
from lightning.fabric.plugins.io import TorchCheckpointIO
from PIL import Image

from ocrmaps.annotations import open_source
from ocrmaps.annotations.synth.receipts import SynthSpec, save
from ocrmaps.cli.app import main
from ocrmaps.detect.trained import LAST, load_detector, read_checkpoint
from ocrmaps.errors import RunError
from ocrmaps.evaluation import EvaluationSpec
from ocrmaps.evaluation.detectors import evaluate_checkpoint
from ocrmaps.evaluation.tune.goals import SHOWN
from ocrmaps.evaluation.tune.grid import Grid
from ocrmaps.extract import ExtractSpec
from ocrmaps.pipelines import export
from ocrmaps.pipelines.tune import freeze
from ocrmaps.shipped import shipped
from ocrmaps.training.checkpoint import Keeper
from tests.store.world import make_world

ROOM = 16
"""Bytes that a file may have on the full disk: the first block still fits."""


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process grows further, as where the disk is full; the words of the system are others."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Python takes no notice where it wrote but half of a compiled module, and could never import that one again.
    kept, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        sys.dont_write_bytecode = kept


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a source of one receipt, a picture and a store; what has to be compiled for them is."""
    root = tmp_path_factory.mktemp("full")
    save(SynthSpec(num=1, size=(320, 320), lines=(2, 3)), root / "source")
    Image.new("RGB", (64, 64), "white").save(root / "page.png")
    world = make_world(root / "world", samples=1)
    world.build()
    evaluate_checkpoint(shipped("receipts"), source=open_source(root / "source"), spec=EvaluationSpec())
    return root


@pytest.fixture
def ocrmaps(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Run a command: its exit code and what it said on stderr."""

    def command(*words: object) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["ocrmaps", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), capsys.readouterr().err

    return command


COMMANDS = {
    "predict json": ("predict {receipts} {place}/page.png --device cpu --yes --out", "p.json"),
    "predict zip": ("predict {receipts} {place}/page.png --device cpu --yes --format icdar-zip --out", "p.zip"),
    "predict overlays": ("predict {receipts} {place}/page.png --device cpu --out {place}/p.json --overlays", "over"),
    "convert to a file": ("data convert {place}/source --to coco --yes", "c.json"),
    "convert to an archive": ("data convert {place}/source --to icdar --yes", "c.zip"),
    "convert to a folder": ("data convert {place}/source --to icdar", "c"),
    "synth": ("data synth --num 1 --height 320 --width 320", "s"),
    "check": ("data check {place}/source --yes --page", "check.html"),
    "show": ("data show {place}/source --yes --out", "show.png"),
    "schema": ("schema recipe --yes --out", "schema.json"),
    "report": ("report {place}/source --assets inline --yes --out", "r.html"),
    "report beside": ("report {place}/source --assets folder --yes --out", "b.html"),
    "evaluate": ("evaluate {receipts} --source {place}/source --device cpu --yes --out", "scores"),
    "archive": ("cache export tiny --root {place}/world/cache", "v.tar"),
    "rows": ("cache export tiny --root {place}/world/cache", "v.csv"),
    "statistics": ("cache export tiny --root {place}/world/cache", "v.json"),
    "export torchscript": ("export {receipts} --format torchscript --size 32x32 --yes --out", "x.pt"),
    "export onnx": ("export {receipts} --format onnx --size 32x32 --yes --out", "x.onnx"),
    "export program": ("export {receipts} --format program --size 32x32 --yes --out", "x.pt2"),
}
NEW = {"over", "c", "s", "scores", "v.tar", "v.csv", "v.json"}
"""Results that replace nothing."""


def words_of(what: str, place: Path) -> list[str]:
    words, name = COMMANDS[what]
    return [*words.format(receipts=shipped("receipts"), place=place).split(), name]


def refused(said: tuple[int, str], name: str) -> None:
    code, words = said
    message = [line for line in words.splitlines() if line.startswith("ocrmaps: ")]
    assert code == (4 if name == "v.tar" else 1), words
    assert len(message) == 1 and "Traceback" not in words and "  try: " in words, words
    assert "cannot be written" in message[0], words


@pytest.mark.parametrize("what", COMMANDS)
def test_a_full_disk_is_one_message_and_the_old_file_stays(what, place, tmp_path, monkeypatch, ocrmaps):
    if what == "export onnx":
        needs("onnx", "onnxscript", "onnxruntime")
    words = words_of(what, place)
    name = words[-1]
    monkeypatch.chdir(tmp_path)
    if name not in NEW:
        Path(name).write_bytes(b"old")
    (place / "p.json").unlink(missing_ok=True)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*")}
    with full_disk():
        said = ocrmaps(*words)
    refused(said, name)
    left = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == before
    assert not (place / "p.json").exists()


def needs(*modules: str) -> None:
    for module in modules:
        pytest.importorskip(module, reason=f"{module} is not installed")


@pytest.mark.parametrize(("library", "name"), [("onnxruntime", "x.onnx"), ("openvino", "x.xml")])
def test_a_disk_that_fills_while_a_library_writes_its_own_files_is_one_message(library, name, tmp_path, monkeypatch):
    needs("onnx", library)
    import onnx
    from onnx import TensorProto, helper

    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 8, 8, 3])
    out = helper.make_tensor_value_info("probability", TensorProto.FLOAT, [1, 8, 8, 3])
    nodes = helper.make_graph([helper.make_node("Relu", ["image"], ["probability"])], "tiny", [image], [out])
    tiny = helper.make_model(nodes, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(tiny, tmp_path / "x.onnx")
    write = export.round_to_int8 if library == "onnxruntime" else export.as_openvino

    def filled(*words: Any) -> None:
        with full_disk():
            write(*words)

    monkeypatch.setattr(export, write.__name__, filled)
    trained = load_detector(shipped("receipts"))
    save(SynthSpec(num=1, size=(320, 320), lines=(2, 3)), tmp_path / "source")
    images = [np.zeros((8, 8, 3), np.float32)]
    with pytest.raises(RunError, match=rf"{name} cannot be written by {library}") as refusal:
        export._rounded(trained, tmp_path / name, (32, 32), tmp_path / "source", tmp_path / "source", images)
    assert refusal.value.hint and "\n" not in str(refusal.value)


GONE = [what for what in COMMANDS if what.partition(" ")[0] not in ("export", "evaluate", "report")] + ["report"]


@pytest.mark.parametrize("what", GONE)
def test_where_a_file_stands_in_the_way_of_the_folder_it_is_one_message(what, place, tmp_path, ocrmaps):
    *words, name = words_of(what, place)
    (tmp_path / "file").write_bytes(b"old")
    refused(ocrmaps(*words, tmp_path / "file" / name), name)
    assert [path.name for path in tmp_path.iterdir()] == ["file"] and (tmp_path / "file").read_bytes() == b"old"


def _tuned(checkpoint: Path, out: Path) -> None:
    """What `tune` writes once settings are chosen."""
    score = Stub(extract=ExtractSpec(), counts=dict.fromkeys(SHOWN, Stub(hmean=0.5)), as_dict=dict, worth=lambda g: 0.5)
    goal = Stub(name="iou", as_dict=dict)
    choice: Any = Stub(chosen=score, before=score, goal=goal)
    freeze(checkpoint, out, [choice], chosen_on={}, grid=Grid())


def _trained(checkpoint: Path, out: Path) -> None:
    """What a training writes at the end of an epoch, by the library that does it."""
    content = read_checkpoint(checkpoint)
    writer: Any = Stub(
        global_step=3, is_global_zero=True, save_checkpoint=lambda to: TorchCheckpointIO().save_checkpoint(content, to)
    )
    Keeper(out.parent).save_last(writer)


@pytest.mark.parametrize("write", [_tuned, _trained])
def test_a_checkpoint_for_which_there_is_no_room_leaves_the_old_one(write, tmp_path):
    (tmp_path / LAST).write_bytes(b"old")
    with full_disk(), pytest.raises(RunError, match=r"cannot be (written|saved)") as refusal:
        write(shipped("receipts"), tmp_path / LAST)
    assert refusal.value.hint and "\n" not in str(refusal.value)
    assert [path.name for path in tmp_path.iterdir()] == [LAST] and (tmp_path / LAST).read_bytes() == b"old"


def test_compiled_code_that_cannot_be_kept_or_is_damaged_is_compiled_again(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    import numba

    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    from ocrmaps.compiled import compiled

    def twice(x):
        return 2 * x

    with full_disk():
        assert compiled(twice)(2) == 4
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert compiled(twice)(2) == 4
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.suffix for path in kept} == {".nbi", ".nbc"}
    for path in kept:
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        assert compiled(twice)(3) == 6
        assert path.read_bytes() == whole or path.suffix == ".nbc"


@contextmanager
def ordinary_rights() -> Iterator[None]:
    """The rights of files hold for this thread, also where it is the administrator's."""
    libc = ctypes.CDLL(None, use_errno=True)
    head, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(head, data) == 0
    before, override = data[0], 0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH
    data[0] = before & ~override
    assert libc.capset(head, data) == 0
    try:
        yield
    finally:
        data[0] = before
        assert libc.capset(head, data) == 0


READ_ONLY = ["convert to a file", "convert to a folder", "check", "show", "schema", "synth", "rows", "archive"]


@pytest.mark.parametrize("what", READ_ONLY)
def test_a_folder_that_may_not_be_written_to_is_one_message(what, place, tmp_path, ocrmaps):
    *words, name = words_of(what, place)
    (tmp_path / "out").mkdir(mode=0o555)
    with ordinary_rights():
        said = ocrmaps(*words, tmp_path / "out" / name)
    refused(said, name)
    assert "Permission denied" in said[1] and not list((tmp_path / "out").iterdir())


def test_a_current_folder_that_is_gone_is_one_message(place, tmp_path, monkeypatch, ocrmaps):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    shutil.rmtree(tmp_path / "gone")
    code, said = ocrmaps("data", "convert", place / "source", "out.json", "--to", "coco")
    assert code == 1 and "out.json cannot be written" in said and "Traceback" not in said
