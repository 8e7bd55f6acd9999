"""What the command line costs before it does anything: processor time of whole new processes, and what each imports.

Help, wrong input of each kind, `cache status` and `data check` of ten pictures are what a person waits for most often.
The least that such a program can take is measured beside it: a Typer program of one command printing its help.
"""

from __future__ import annotations

import json
import os
import resource
import shlex
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from ocrmaps.errors import RunError
from ocrmaps.machine import CHECKOUT
from ocrmaps.pipelines.bench.source import material
from ocrmaps.pipelines.bench.times import figure, ratio
from ocrmaps.pipelines.build import build
from ocrmaps.recipe import default_recipe
from ocrmaps.scratch import scratch

PICTURES = 10
HEAVY = (
    "torch", "lightning", "numba", "zarr", "cv2", "dask", "distributed", "matplotlib", "scipy", "pandas", "shapely",
    "onnxruntime", "openvino",
)  # fmt: skip
"""Packages that take a tenth of a second or more to import: nothing that only reads words needs them."""
FILES = {
    "recipe.toml": '[[sources]]\npath = "a"\n',
    "wrong-recipe.toml": '[[sources]]\npath = "a"\n\n[canonical]\ncanvases = [[-1, 64]]\n',
    "run.toml": '[data]\nstore = "a"\n',
    "wrong.toml": '[data]\nstore = "a"\n\n[optimizer]\nlr = -1\n',
}
"""Recipes and run files that command lines name; a value in each wrong one is."""
WRONG = {
    "nonsense": 2,
    "train --nonsense": 2,
    "data check": 2,
    "train nope.toml": 2,
    "train recipe.toml": 2,
    "train wrong.toml": 2,
    "train run.toml --set optimizer.lr=-1": 2,
    "precision-check wrong.toml": 2,
    "build wrong-recipe.toml": 2,
    "build nope.toml": 2,
    "oracle nowhere": 3,
    "predict nope.ckpt page.jpg --out found.json": 2,
    "verify nowhere --root cache": 4,
    "bench maps --repeats many": 2,
}
"""A command line for each kind of wrong input, and the exit code it ends with."""
_TYPER = "import typer\n\ndef main(name: str = ''):\n    'Says nothing.'\n\ntyper.run(main)\n"
_COMMANDS = """
import json
from typer.main import get_command
from ocrmaps.cli.app import app

def names(command, words):
    found = getattr(command, "commands", None)
    if found is None:
        return [words]
    return ([words] if words else []) + [n for name in sorted(found) for n in names(found[name], [*words, name])]

print(json.dumps(names(get_command(app), [])))
"""
_MODULES = """
import json, sys
from ocrmaps.cli.app import main
sys.argv, modules = ["ocrmaps", *json.loads(sys.argv[1])], sys.argv[2]
try:
    main()
finally:
    with open(modules, "w") as file:
        json.dump(sorted(sys.modules), file)
"""


@dataclass(frozen=True, slots=True)
class CommandLine:
    """One command line, the processor seconds of each time it ran, and which heavy packages it imported."""

    words: list[str]
    code: int
    """The exit code that it must end with."""
    seconds: list[float] = field(default_factory=list)
    imported: list[str] = field(default_factory=list)


def bench_cli(repeats: int = 5, *, quick: bool = False, source: Path | None = None) -> list[dict[str, Any]]:
    """Seconds of each kind of command line, the slowest of each kind named; `quick` tries one of each."""
    with scratch("bench") as room:
        asked, what = material(source, room / "source", 3 if quick else PICTURES)
        build(default_recipe([asked], name="bench"), room / "cache")
        for name, text in FILES.items():
            (room / name).write_text(text, encoding="utf-8")
        Image.new("RGB", (8, 8)).save(room / "page.jpg")
        commands = [words for words in json.loads(_run(["-c", _COMMANDS], room).stdout) if words[0] != "bench"]
        few = slice(1 if quick else None)
        groups = {
            "version": [CommandLine(["--version"], 0)],
            "help": [CommandLine(["--help"], 0)],
            "help_of_commands": [CommandLine([*words, "--help"], 0) for words in [*commands, ["bench"]][few]],
            "wrong_input": [CommandLine(shlex.split(line), code) for line, code in list(WRONG.items())[few]],
            "cache_status": [CommandLine(["cache", "status", "--root", "cache"], 0)],
            "data_check": [CommandLine(["data", "check", str(asked.path.absolute())], 0)],
        }
        if asked.pictures is not None:
            groups["data_check"][0].words.append(f"--pictures={asked.pictures.absolute()}")
        lines = [line for group in groups.values() for line in group]
        for line in lines:  # also fills the page cache
            line.imported.extend(sorted({name.partition(".")[0] for name in imports(line, room)} & set(HEAVY)))
        floor: list[float] = []
        for _ in range(max(1, repeats)):
            floor.append(_seconds(["-c", _TYPER, "--help"], 0, room))
            for line in lines:
                line.seconds.append(_seconds(["-m", "ocrmaps", *line.words], line.code, room))
        light = [line for name in ("version", "help", "help_of_commands", "wrong_input") for line in groups[name]]
        heavy = sorted({name for line in light for name in line.imported})
        (plain,) = groups["help"]
        return [
            *(_figure(name, group, what) for name, group in groups.items()),
            ratio("cli/help_vs_typer", plain.seconds, floor, "the help of a Typer program with one command", unit="x"),
            figure("cli/heavy_imports", [len(heavy)], "packages", "imported by help or wrong input", imported=heavy),
        ]


def _figure(name: str, lines: Sequence[CommandLine], what: str) -> dict[str, Any]:
    medians = {_shown(line): round(statistics.median(line.seconds), 4) for line in lines}
    slowest = max(lines, key=lambda line: statistics.median(line.seconds))
    reference = f"processor time of `ocrmaps {_shown(slowest)}`"
    if len(lines) > 1:
        reference += f", the slowest of {len(lines)}"
    elif name in ("cache_status", "data_check"):
        reference += f"; {what}"
    return figure(f"cli/{name}_s", slowest.seconds, "s", reference, imported=slowest.imported, each=medians)


def _shown(line: CommandLine) -> str:
    """The words without paths of this machine."""
    return shlex.join(word for word in line.words if not Path(word.rpartition("=")[2]).is_absolute())


def imports(line: CommandLine, room: Path) -> list[str]:
    """The names of all modules that a command line has imported when it ends."""
    answer = room / "modules.json"
    _run(["-c", _MODULES, json.dumps(line.words), str(answer)], room, line.code)
    found: list[str] = json.loads(answer.read_text(encoding="utf-8"))
    return found


def _seconds(words: Sequence[str], code: int, room: Path) -> float:
    """Processor time, of user and system, of one new process and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    _run(words, room, code)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)


def _run(words: Sequence[str], room: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(CHECKOUT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    env = os.environ | {"PYTHONPATH": path, "NO_COLOR": "1"}
    done = subprocess.run([sys.executable, *words], cwd=room, env=env, capture_output=True, text=True)
    if done.returncode != code:
        raise RunError(f"expected exit {code} of {shlex.join(words)}, found {done.returncode}: {done.stderr.strip()}")
    return done
