"""Takes every check of the table away in a copy of the tree, one at a time, and expects its test to fail."""

from __future__ import annotations

import argparse
import compileall
import hashlib
import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import pytest

from ocrmaps.scratch import scratch
from tests.mutants.table import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reliability.md"
MARKS = "<!-- mutants: begin -->", "<!-- mutants: end -->"
LIMIT = 600
"""Seconds for one test: a test that hangs without its check has noticed, too."""
LIBRARIES = (
    "torch", "lightning.pytorch", "numba", "shapely", "cv2", "PIL.Image", "zarr", "numcodecs.blosc", "pydantic",
    "typer", "rich.console", "hypothesis.extra.numpy", "hypothesis.strategies", "pyclipper", "psutil", "dask", "xxhash",
    "onnx", "onnxruntime", "torchmetrics",
)  # fmt: skip
_REWRITE = "ignore::pytest.PytestAssertRewriteWarning"
"""Plugins are imported already."""


def copy_tree(into: Path) -> None:
    """Copy what git tracks, and new files it does not ignore; links stay links."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True, text=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        source, target = ROOT / name, into / name
        if name != ".venv" and (source.is_symlink() or source.is_file()):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)


def preload() -> None:
    """Import the libraries of others once: every child begins with them, and reads our own files itself."""
    for name in LIBRARIES:
        with suppress(ImportError):
            importlib.import_module(name)


def run_tests(tree: Path, tests: list[str]) -> tuple[str, str]:
    """(`green`, `red`, `timeout` or `broken`, what was said): only failed assertions and errors in tests are red."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        child = os.fork()
        if child == 0:
            _be_pytest(tree, tests, said.fileno())
        status, until = None, time.monotonic() + LIMIT * (1 if len(tests) == 1 else 6)
        while status is None and time.monotonic() < until:
            done, code = os.waitpid(child, os.WNOHANG)
            status = os.waitstatus_to_exitcode(code) if done else None
            time.sleep(0.05)
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # what it started, too
        if status is None:
            os.waitpid(child, 0)
        said.seek(0)
        return {0: "green", 1: "red", None: "timeout"}.get(status, "broken"), said.read()[-3000:]


def _be_pytest(tree: Path, tests: list[str], said: int) -> NoReturn:
    """Run tests of the copied tree in this process, which is a child, and end it."""
    code = 99
    try:
        os.setpgid(0, 0)
        os.dup2(said, 1)
        os.dup2(said, 2)
        os.chdir(tree)
        os.environ["PYTHONPATH"] = str(tree)
        sys.path[:] = [str(tree), *(p for p in sys.path if p and Path(p) not in (ROOT, tree))]
        for name in [n for n in sys.modules if n.partition(".")[0] in ("ocrmaps", "tests")]:
            del sys.modules[name]
        code = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-W", _REWRITE, *tests]))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def try_mutant(tree: Path, mutant: Mutant) -> tuple[str, str]:
    """The outcome of one mutant; the copy is as before afterwards."""
    path = tree / mutant.file
    whole = path.read_text(encoding="utf-8")
    if whole.count(mutant.text) != 1:
        return f"text found {whole.count(mutant.text)} times", ""
    try:
        path.write_text(whole.replace(mutant.text, mutant.instead), encoding="utf-8")
        return run_tests(tree, [mutant.test])
    finally:
        path.write_text(whole, encoding="utf-8")


def key_of(mutant: Mutant) -> str:
    """What an outcome follows from: the row, the file with the check and the file with the test."""
    test = mutant.test.partition("::")[0]
    parts = [*mutant, (ROOT / mutant.file).read_text("utf-8"), (ROOT / test).read_text("utf-8")]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def table(outcomes: list[tuple[Mutant, str]]) -> str:
    """The record as markdown; line numbers are those of now."""
    lines = ["| room | check | where | test | without it |", "|---|---|---|---|---|"]
    for mutant, outcome in outcomes:
        whole = (ROOT / mutant.file).read_text(encoding="utf-8")
        line = whole[: whole.index(mutant.text)].count("\n") + 1
        where = f"`{mutant.file}:{line}`"
        lines.append(f"| {mutant.room} | {mutant.check} | {where} | `{mutant.test}` | {outcome} |")
    return "\n".join(lines)


def write_page(outcomes: list[tuple[Mutant, str]]) -> None:
    """Put the record between its marks, in the section that it makes at the end of the page."""
    page = PAGE.read_text(encoding="utf-8")
    if MARKS[0] not in page:
        page += f"\n## What is checked\n\n{MARKS[0]}\n{MARKS[1]}\n"
    said = (
        f"{len(outcomes)} checks were taken away one at a time (`make mutants`); the test named failed each time.\n\n"
    )
    block = f"{MARKS[0]}\n{said}{table(outcomes)}\n{MARKS[1]}"
    PAGE.write_text(re.sub(f"{MARKS[0]}.*?{MARKS[1]}", lambda _: block, page, flags=re.DOTALL), encoding="utf-8")


def main() -> int:
    """Run all mutants or a selection; non-zero where one survives or cannot be tried."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", metavar="WORD", help="mutants whose row has this word; the page is not written")
    parser.add_argument("--known", metavar="FILE", help="outcomes to go on from: rows of unchanged files are not run")
    args = parser.parse_args()
    word, memory = args.only, Path(args.known) if args.known else None
    known: dict[str, str] = json.loads(memory.read_text()) if memory and memory.exists() else {}
    chosen = [mutant for mutant in MUTANTS if word is None or any(word in part for part in mutant)]
    if not chosen:
        print(f"no row of the table has {word!r}")
        return 2
    outcomes = []
    with scratch("mutants") as place:
        tree, caches = place / "tree", place / "numba"
        copy_tree(tree)
        compileall.compile_dir(tree, quiet=2)
        # Read when the libraries are imported. Compiled files are read, not written: seconds do not tell mutants apart.
        os.environ |= {"NUMBA_CACHE_DIR": str(caches), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        sys.dont_write_bytecode = True
        preload()
        tests = list(dict.fromkeys(mutant.test for mutant in chosen if key_of(mutant) not in known))
        print(f"{len(tests)} tests with every check in place ...", flush=True)
        state, said = run_tests(tree, tests) if tests else ("green", "")
        if state != "green":
            print(f"{said}\nthe tests are {state} before anything was changed")
            return 2
        for i, mutant in enumerate(chosen, 1):
            key = key_of(mutant)
            outcome = known.get(key) or try_mutant(tree, mutant)[0]
            outcomes.append((mutant, outcome))
            if memory and outcome in ("red", "timeout"):
                known[key] = outcome
                memory.write_text(json.dumps(known))
            print(f"{i}/{len(chosen)} {outcome}: {mutant.room}: {mutant.check}", flush=True)
    bad = [(mutant, outcome) for mutant, outcome in outcomes if outcome not in ("red", "timeout")]
    for mutant, outcome in bad:
        print(f"NOT HELD ({outcome}): {mutant.check}, {mutant.file}, {mutant.test}")
    if word is None and not bad:
        write_page(outcomes)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
