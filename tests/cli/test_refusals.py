"""A wrong path, kind of file or value is refused before anything is imported that could have used the right one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

HEAVY = ("torch", "zarr", "lightning", "numba", "cv2")
RECIPE = '[[sources]]\npath = "a"\nsplit = "train"\n\n[canonical]\ncanvases = [[64, 64]]\n'
RUN = '[data]\nstore = "nowhere"\n'
MANY = '[[data.stores]]\nstore = "nowhere"\n\n[[data.stores]]\nstore = "elsewhere"\n'
WRONG = f"{RUN}\n[optimizer]\nlr = -1\n"
LIGHT = "import pydantic, ocrmaps.recipe, ocrmaps.store.upkeep.explain; pydantic.TypeAdapter(int)"
"""Loads what most lines import, and may."""

# What is typed, the exit code, and what the message has to say.
REFUSED = [
    ("train nope.toml", 2, "nope.toml: no such run file"),
    ("train recipe.toml", 2, "recipe.toml: found the recipe of a store, expected a run file"),
    ("train folder", 2, "folder: found a folder, expected a run file"),
    ("train page.jpg", 2, "page.jpg: found a picture, expected a run file"),
    ("train run.toml --resume nope.ckpt", 2, "nope.ckpt: no such checkpoint"),
    ("train run.toml --set optimizer.lr=-1", 2, "--set optimizer.lr: found -1, expected a number above 0"),
    ("train run.toml", 4, "nowhere: no such version"),
    ("precision-check run.toml", 4, "nowhere: no such version"),
    ("train wrong.toml", 2, "wrong.toml:5:optimizer.lr: found -1, expected a number above 0"),
    ("precision-check wrong.toml", 2, "wrong.toml:5:optimizer.lr: found -1, expected a number above 0"),
    ("train many.toml", 2, "data.stores[1].store: elsewhere: no such version"),
    ("train run.toml --resume text.ckpt", 3, "text.ckpt: found a file that begins with b'hello\\n'"),
    ("precision-check run.toml --precisions fp99", 2, "--precisions: found 'fp99', expected some of fp32"),
    ("precision-check run.toml --seeds 0", 2, "--seeds: found 0"),
    ("precision-check nope.toml", 2, "nope.toml: no such run file"),
    ("build nope.toml", 2, "nope.toml: no such recipe file"),
    ("build run.toml", 2, "run.toml: found a run file, expected a recipe"),
    ("build folder", 2, "folder: found a folder, expected a recipe"),
    ("build recipe.toml --set canonical.side=big", 2, "recipe.toml"),
    ("verify nowhere", 4, "nowhere: no such version"),
    ("repair nowhere", 4, "nowhere: no such version"),
    ("repair nowhere --recipe run.toml", 2, "run.toml: found a run file, expected a recipe"),
    ("oracle nowhere", 3, "found no file or folder nowhere"),
    ("oracle recipe.toml", 3, "recipe.toml: found a recipe"),
    ("oracle folder --recipe nope.toml", 2, "nope.toml: no such recipe file"),
    ("audit nowhere", 3, "found no file or folder nowhere"),
    ("audit folder", 3, "no known annotations in folder: found 1 .md"),
    ("audit folder --out audited", 2, "audited already holds audit.json"),
    ("audit folder --detector nope.ckpt", 2, "nope.ckpt: no such checkpoint"),
    ("audit folder --detector nonsense", 2, "`ocrmaps models` lists the names of detectors"),
    ("verify receipts --root file://name/x", 2, "file://name/x: expected file:///FOLDER with the folder's whole path"),
    ("audit folder --state nope.json", 2, "nope.json: no such file of decisions"),
    ("bench audit nowhere", 3, "found no file or folder nowhere"),
    ("bench audit folder --rates 2", 2, "--rates: found 2"),
    ("data merge nowhere folder --out o", 3, "found no file or folder nowhere"),
    ("recommend nowhere", 3, "found no file or folder nowhere"),
    ("recommend train=nowhere", 3, "found no file or folder nowhere"),
    ("recommend learn=nowhere", 2, "found split 'learn'"),
    ("evaluate nope.ckpt --store nowhere", 2, "nope.ckpt: no such checkpoint"),
    ("evaluate recipe.toml --store nowhere", 3, "recipe.toml: found a recipe, expected a checkpoint"),
    ("evaluate some.ckpt --store nowhere", 4, "nowhere: no such version"),
    ("evaluate some.ckpt --source nowhere", 3, "found no file or folder nowhere"),
    ("evaluate --predictions nowhere --source folder", 3, "found no file or folder nowhere"),
    ("evaluate --predictions recipe.toml", 2, "name --store NAME, or --source DIR"),
    ("evaluate some.ckpt --store nowhere --frame raw", 2, "only for --source"),
    ("evaluate some.ckpt --store receipts --split dev", 2, "found 'dev', expected one of train, val, test"),
    ("tune some.ckpt --store receipts --test-split dev --out o.ckpt", 2, "found 'dev', expected one of train, val"),
    ("tune nope.ckpt --store nowhere --out o.ckpt", 2, "nope.ckpt: no such checkpoint"),
    ("tune some.ckpt --store nowhere --out o.ckpt", 4, "nowhere: no such version"),
    ("reproduce receipts --train nowhere --val folder --out o", 3, "found no file or folder nowhere"),
    ("predict nope.ckpt page.jpg --out o", 2, "nope.ckpt: no such checkpoint"),
    ("predict recipe.toml page.jpg --out o", 3, "recipe.toml: found a recipe, expected a checkpoint"),
    ("predict run.toml page.jpg --out o", 3, "run.toml: found a run file, expected a checkpoint"),
    ("predict folder.ckpt --out o", 2, "folder.ckpt: no pictures named after it"),
    ("predict some.ckpt x.jpg --out o", 3, "found no picture file or folder x.jpg"),
    ("export nope.ckpt --out o.onnx", 2, "nope.ckpt: no such checkpoint"),
    ("export some.ckpt --out o.onnx --check-on x.jpg", 3, "found no picture file or folder x.jpg"),
    ("report nope", 2, "nope: found neither a file or folder of this name nor such a store"),
    ("report run.toml", 3, "run.toml: found a run file"),
    ("report text.ckpt", 3, "text.ckpt: found a file that begins with b'hello\\n', expected a checkpoint"),
    ("report empty.ckpt", 3, "empty.ckpt: found an empty file, expected a checkpoint"),
    ("report folder val=nowhere", 3, "found no file or folder nowhere"),
    ("report folder --checkpoint nope.ckpt", 2, "nope.ckpt: no such checkpoint"),
    ("compare folder folder", 2, "folder: found a folder, expected the folder of a run"),
    ("compare nope nope", 2, "nope: found nothing, expected the folder of a run"),
    ("data check nowhere", 3, "found no file or folder nowhere"),
    ("data show nowhere", 3, "found no file or folder nowhere"),
    ("data convert nowhere o --to coco", 3, "found no file or folder nowhere"),
    ("data synth folder", 2, "folder"),
    ("cache status nowhere", 4, "nowhere: no such store"),
    ("cache show nowhere", 4, "nowhere: no such version"),
    ("cache diff nowhere nowhere", 4, "nowhere: no such version"),
    ("cache pin nowhere", 4, "nowhere: no such version"),
    ("cache clear nowhere", 4, "nowhere: no such version"),
    ("cache sign nowhere --key k", 4, "nowhere: no such version"),
    ("cache export nowhere o.tar", 4, "nowhere: no such version"),
    ("cache import nope.tar receipts", 3, "nope.tar: no such archive"),
    ("cache push foo://b/m nowhere", 4, "nowhere: no such version"),
    ("cache pull foo://b/m receipts", 2, "found a place of kind foo://"),
    ("cache mirror foo://b/m", 2, "found a place of kind foo://"),
    ("diagnose --predictions nowhere --source folder", 3, "found no file or folder nowhere"),
    ("bench maps --source nowhere", 1, "nowhere: no such source or recipe"),
    ("bench break-even nowhere", 1, "nowhere: no such source or recipe"),
    ("bench all --source nowhere", 1, "nowhere: no such source or recipe"),
    ("bench baseline --source nowhere", 1, "nowhere: no such source or recipe"),
    ("bench detectors nowhere", 3, "found no file or folder nowhere"),
    ("bench detectors folder --detector nope.ckpt:deteval", 2, "nope.ckpt: no such checkpoint"),
    ("bench check nope.json", 2, "nope.json: no such file"),
    ("bench counts --limits nope.toml", 2, "nope.toml: no such file"),
    ("debug bundle folder", 2, "folder: found a folder, expected the folder of a run"),
    ("debug list nope", 2, "nope: no such run"),
    ("debug show nope", 2, "nope: no such bundle"),
    ("debug replay nope", 2, "nope: no such bundle"),
    ("debug note nope text", 2, "nope: no such bundle"),
    ("debug grep loss>1 nope", 2, "nope: no such run"),
    ("debug clean nope", 2, "nope: no such run"),
    ("debug doctor nope", 2, "nope: found neither a file or folder of this name nor such a store"),
    ("debug doctor run.toml", 3, "run.toml: found a run file"),
    ("debug doctor nope.ckpt", 2, "nope.ckpt: no such checkpoint"),
    # A file where a folder is meant.
    ("demo --out page.jpg", 2, "page.jpg: found a file, expected a folder"),
    ("train run.toml --out page.jpg", 2, "page.jpg: found a file, expected a folder"),
    ("precision-check run.toml --out page.jpg/below", 2, "page.jpg: found a file, expected a folder"),
    ("oracle folder --overlays page.jpg", 2, "page.jpg: found a file, expected a folder"),
    ("oracle folder --overlays audited", 2, "or add --yes to write into it"),
    ("cache list --root page.jpg", 2, "page.jpg: found a file, expected a folder"),
    ("cache gc nowhere", 4, "nowhere: no such store"),
    # Values that the command line refuses by itself.
    ("demo --num 3", 2, "Invalid value for '--num': found '3', expected 8 or more"),
    ("demo --num three", 2, "Invalid value for '--num': found 'three', expected a whole number"),
    ("data synth o --turned 1.5", 2, "Invalid value for '--turned': found '1.5', expected 1 or less"),
    ("data synth o --seed 4294967296", 2, "found '4294967296', expected 4294967295 or less"),
    ("data synth o --turned half", 2, "Invalid value for '--turned': found 'half', expected a number"),
    ("data check folder --frame side", 2, "Invalid value for '--frame': found 'side', expected one of upright, raw"),
    ("evaluate some.ckpt --protocol iou --protocol f1", 2, "found 'f1', expected one of iou, deteval, cleval, all"),
    # A page that somebody may want to keep.
    ("debug doctor folder --page page.jpg", 2, "page.jpg exists already"),
    # Options that would do nothing.
    ("audit folder --epochs 3", 2, "--epochs says how long folds are trained: --folds is missing"),
    ("data show folder --longest 320", 2, "--longest: found --view upright, whose pictures keep their size"),
]  # fmt: skip
WITHOUT_PATHS = (
    "models",
    "schema",
    "cache health",
    "bench machine",
    "bench cli",
    "bench scale",
    "bench decode",
    "bench step",
    "bench diagnose",
    "bench page",
)
"""Commands that name nothing that could be missing."""
SAME = (
    "bench extract",
    "bench metrics",
    "bench oracle",
    "bench build",
    "bench store",
    "bench loader",
    "bench predict",
    "bench validation",
)
"""Commands that are one function with `bench maps`."""


def leaves() -> set[str]:
    from tests.cli.test_app import commands

    return {" ".join(path) for path in commands()}


def test_every_command_that_is_given_a_path_is_tried_here():
    tried = {name for name in leaves() for line, *_ in REFUSED if line.startswith(f"{name} ")}
    assert leaves() - tried == {*WITHOUT_PATHS, *SAME}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("refused")
    (folder / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    (folder / "run.toml").write_text(RUN, encoding="utf-8")
    (folder / "many.toml").write_text(MANY, encoding="utf-8")
    (folder / "text.ckpt").write_text("hello\n")
    (folder / "empty.ckpt").touch()
    (folder / "audited").mkdir()
    (folder / "audited" / "audit.json").touch()
    (folder / "wrong.toml").write_text(WRONG, encoding="utf-8")
    (folder / "some.ckpt").write_bytes(b"PK\x03\x04")
    (folder / "folder").mkdir()
    (folder / "folder" / "kept.md").touch()
    Image.new("RGB", (8, 8)).save(folder / "page.jpg")
    return folder


@pytest.fixture(scope="module")
def typed(folder, server):
    """Lines that begin as a new process does."""
    with server("") as typed:
        yield lambda line: typed(line.split(), folder)


@pytest.fixture(scope="module")
def refused(folder, server):
    """Lines that begin with what most of them import."""
    with server(LIGHT) as typed:
        yield lambda line: typed(line.split(), folder)


@pytest.mark.parametrize(("line", "code", "said"), REFUSED, ids=[line for line, *_ in REFUSED])
def test_what_is_not_there_is_refused_before_anything_heavy_is_imported(line, code, said, refused):
    ended, out, err, modules = refused(line)
    assert said in err
    assert (ended, out) == (code, "")
    for leak in ("Traceback", "[Errno", "UnpicklingError", "PosixPath", "Path("):
        assert leak not in err
    assert [name for name in HEAVY if name in modules] == []


@pytest.mark.parametrize("line", ["--help", "schema --help", "cache clear --help", "bench check --help"])
def test_help_imports_no_validators(line, typed):
    ended, out, _, modules = typed(line)
    assert (ended, out.startswith("Usage: ")) == (0, True)
    assert [name for name in (*HEAVY, "pydantic") if name in modules] == []


def test_a_group_has_its_own_options_where_no_command_comes_first(typed):
    assert "--install-completion" in typed("--help")[1]
    assert typed("cache --help")[1].startswith("Usage: ocrmaps cache [OPTIONS] COMMAND")
    ended, _, err, _ = typed("cache nonsense")
    assert (ended, "No such command 'nonsense'" in err) == (2, True)


def test_a_wrong_value_is_told_as_json_too(refused):
    ended, out, err, _ = refused("data synth o --num three --json")
    assert (ended, "found 'three', expected a whole number" in err) == (2, True)
    told = json.loads(out)["error"]
    assert (told["kind"], told["hint"]) == ("UsageError", "ocrmaps data synth --help")
    assert "'--num': found 'three', expected a whole number" in told["message"]
