"""Takes every check of the table away in a copy of the tree, one at a time, and expects its test to fail."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.mutants.table import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reliability.md"
MARKS = "<!-- mutants: begin -->", "<!-- mutants: end -->"
LIMIT = 600
"""Seconds for one test: a test that hangs without its check has noticed, too."""


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


def run_tests(tree: Path, tests: list[str], caches: Path) -> tuple[str, str]:
    """(`green`, `red`, `timeout` or `broken`, what was said): only failed assertions and errors in tests are red."""
    env = os.environ | {
        "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", "NUMBA_CACHE_DIR": str(caches), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    limit = LIMIT * (1 if len(tests) == 1 else 6)
    try:
        done = subprocess.run(command, cwd=tree, env=env, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return "timeout", f"over {limit} s"
    said = (done.stdout + done.stderr)[-3000:]
    return {0: "green", 1: "red"}.get(done.returncode, "broken"), said


def try_mutant(tree: Path, mutant: Mutant, caches: Path) -> tuple[str, str]:
    """The outcome of one mutant; the copy is as before afterwards."""
    path = tree / mutant.file
    whole = path.read_text(encoding="utf-8")
    if whole.count(mutant.text) != 1:
        return f"text found {whole.count(mutant.text)} times", ""
    try:
        path.write_text(whole.replace(mutant.text, mutant.instead), encoding="utf-8")
        return run_tests(tree, [mutant.test], caches)
    finally:
        path.write_text(whole, encoding="utf-8")


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
    word = parser.parse_args().only
    chosen = [mutant for mutant in MUTANTS if word is None or any(word in part for part in mutant)]
    if not chosen:
        print(f"no row of the table has {word!r}")
        return 2
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as place:
        tree, caches = Path(place) / "tree", Path(place) / "numba"
        copy_tree(tree)
        tests = list(dict.fromkeys(mutant.test for mutant in chosen))
        print(f"{len(tests)} tests with every check in place ...", flush=True)
        state, said = run_tests(tree, tests, caches)
        if state != "green":
            print(f"{said}\nthe tests are {state} before anything was changed")
            return 2
        for i, mutant in enumerate(chosen, 1):
            outcome, _ = try_mutant(tree, mutant, caches)
            outcomes.append((mutant, outcome))
            print(f"{i}/{len(chosen)} {outcome}: {mutant.room}: {mutant.check}", flush=True)
    bad = [(mutant, outcome) for mutant, outcome in outcomes if outcome not in ("red", "timeout")]
    for mutant, outcome in bad:
        print(f"NOT HELD ({outcome}): {mutant.check}, {mutant.file}, {mutant.test}")
    if word is None and not bad:
        write_page(outcomes)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
