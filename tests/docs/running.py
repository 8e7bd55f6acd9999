"""Running the blocks of a page one after the other in one folder, as somebody who follows the page would."""

from __future__ import annotations

import contextlib
import doctest
import glob
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.docs.pages import ROOT, Block

_CHECKER = doctest.OutputChecker()
_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
_FIGURE = re.compile(r"\b[0-9a-f]{12,64}\b|\d+(?:\.\d+)?")
_COMPILING = re.compile(r"^compiling once .*\n", re.MULTILINE)
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*=")


class BlockFailed(AssertionError):
    """A block did not do what its page says."""


@dataclass(slots=True)
class Reader:
    """Somebody who reads one page and types what it says; names and files of earlier blocks are there."""

    folder: Path
    names: dict[str, Any] = field(default_factory=lambda: {"__name__": "__page__"})
    code: int = 0
    """The exit code of the latest command."""

    def follow(self, block: Block) -> None:
        """Do what a block says; `BlockFailed` names its place and what came out instead."""
        text = block.text
        for old, new in block.shorter:
            text = text.replace(old, new)
        if block.file:
            path = self.folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        try:
            if block.language == "python" and not block.file:
                self._python(block, text)
            elif block.language in ("console", "sh"):
                for command, shown in commands(block.language, text):
                    self._command(command, shown, block)
                if self.code:
                    raise BlockFailed(f"the last command ended with {self.code}; `$ echo $?` shows that it is meant")
            elif block.language == "toml":
                parse_toml(text)
            elif block.language == "json":
                json.loads(text)
        except Exception as error:
            raise BlockFailed(f"{block.where}: {type(error).__name__}: {error}") from error

    def _python(self, block: Block, text: str) -> None:
        with there(self.folder), contextlib.redirect_stdout(io.StringIO()):
            if text.lstrip().startswith(">>>"):
                test = doctest.DocTestParser().get_doctest(text, self.names, block.where, None, block.line)
                said: list[str] = []
                failed = doctest.DocTestRunner(optionflags=_FLAGS).run(test, out=said.append, clear_globs=False)
                self.names.update(test.globs)
                if failed.failed:
                    raise BlockFailed("".join(said))
            else:
                exec(compile("\n" * block.line + text, str(block.page), "exec"), self.names)

    def _command(self, command: str, shown: str, block: Block) -> None:
        if command == "echo $?":
            output, self.code = f"{self.code}\n", 0
        else:
            if self.code:
                raise BlockFailed(
                    f"before {command!r} a command ended with {self.code}; `$ echo $?` shows that it is meant"
                )
            self.code, output = run(command, self.folder)
        if self.code and not shown:
            raise BlockFailed(f"{command!r} ended with {self.code}:\n{output}")
        if shown and not agrees(shown, output, figures=not block.numbers_vary):
            raise BlockFailed(f"{command!r} printed\n{output}\nand the page shows\n{shown}")


def commands(language: str, text: str) -> Iterator[tuple[str, str]]:
    """(command, output shown) of a block; `sh` blocks show none."""
    if language == "sh":
        joined = text.replace("\\\n", " ")
        yield from ((line.strip(), "") for line in joined.splitlines() if line.strip() and line.strip()[0] != "#")
        return
    command, shown = "", ""
    for line in text.replace("\\\n", " ").splitlines(keepends=True):
        if line.startswith("$ "):
            if command:
                yield command, shown
            command, shown = line[2:].strip(), ""
        elif not command:
            raise BlockFailed(f"the block shows {line!r} before any command")
        else:
            shown += line
    if command:
        yield command, shown


def agrees(shown: str, output: str, *, figures: bool = True) -> bool:
    """Whether output is as shown, where `...` stands for anything; without `figures` any number equals any other.

    What a machine compiles once may or may not have been compiled before.
    """
    output = _COMPILING.sub("", output)
    if not figures:
        shown, output = _FIGURE.sub("#", shown), _FIGURE.sub("#", output)
    return _CHECKER.check_output(shown, output, _FLAGS)


def run(command: str, folder: Path) -> tuple[int, str]:
    """Exit code and everything printed. `ocrmaps` runs in this process, to save its imports; the rest in a shell."""
    words = shlex.split(command, comments=True)
    variables = {}
    while words and _VARIABLE.match(words[0]):
        name, _, value = words.pop(0).partition("=")
        variables[name] = value
    unquoted = re.sub(r"'[^']*'|\"[^\"]*\"", "", command)
    if words and words[0].endswith("ocrmaps") and not re.search(r"[|;&<>]", unquoted):
        return run_ocrmaps([w for word in words[1:] for w in _expanded(word, unquoted, folder)], folder, variables)
    environment = {**_environment(), "PATH": f"{_shim(folder)}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        command, shell=True, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return done.returncode, done.stdout


def run_ocrmaps(words: Sequence[str], folder: Path, variables: dict[str, str] | None = None) -> tuple[int, str]:
    """The command line in this process: its exit code, and stdout and stderr as a terminal mixes them."""
    from ocrmaps.cli.app import main

    said = io.StringIO()
    before, argv, environment = set(sys.modules), sys.argv, dict(os.environ)
    paths = [str(folder / p) for p in (variables or {}).get("PYTHONPATH", "").split(os.pathsep) if p]
    sys.argv = ["ocrmaps", *words]
    sys.path[:0] = paths
    inside = _environment() | (variables or {})
    os.environ.clear()
    os.environ.update(inside)
    try:
        with there(folder), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            main()
        code: Any = 0
    except SystemExit as end:
        code = end.code
    finally:
        sys.argv = argv
        os.environ.clear()
        os.environ.update(environment)
        del sys.path[: len(paths)]
        for name in set(sys.modules) - before:
            # Modules of the page's own folder: another page may have others of the same name.
            if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(folder)):
                del sys.modules[name]
    return (code if isinstance(code, int) else 0), said.getvalue()


def parse_toml(text: str) -> str:
    """`recipe`, `run` or `thresholds`: which strict parser takes a text; a part is put into the least whole."""
    from ocrmaps.pipelines.bench.thresholds import load_thresholds
    from ocrmaps.recipe import Recipe, recipe_from_dict
    from ocrmaps.training.spec import RunSpec, run_from_dict

    data = tomllib.loads(text)
    if "figures" in data:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "thresholds.toml")
            path.write_text(text, encoding="utf-8")
            load_thresholds(path)
        return "thresholds"
    recipe_only = set(Recipe.__slots__) - set(RunSpec.__slots__)
    if recipe_only & set(data):
        whole = {"name": "a", "sources": [{"path": "a"}], "canonical": {"canvases": [[64, 64]]}}
        recipe_from_dict(whole | data)
        return "recipe"
    alone = {} if data.get("data", {}).get("stores") else {"store": "a"}
    data["data"] = alone | data.get("data", {})
    run_from_dict({"name": "a"} | data)
    return "run"


@contextlib.contextmanager
def there(folder: Path) -> Iterator[None]:
    """Inside a folder, and back again."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _expanded(word: str, unquoted: str, folder: Path) -> list[str]:
    """A word as the shell hands it on: names that its star stands for, or the word itself."""
    return (sorted(glob.glob(word, root_dir=folder)) if "*" in word and word in unquoted else []) or [word]


def _environment() -> dict[str, str]:
    """Of a plain terminal of 100 columns in which nothing of ours is set."""
    kept = {k: v for k, v in os.environ.items() if k != "OCRMAPS_CACHE"}
    return {**kept, "NO_COLOR": "1", "COLUMNS": "100", "TERM": "dumb"}


def _shim(folder: Path) -> Path:
    """A folder beside the page's in which `ocrmaps` is this checkout's."""
    place = folder.parent / "bin"
    place.mkdir(exist_ok=True)
    script = place / "ocrmaps"
    script.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m ocrmaps "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    return place
