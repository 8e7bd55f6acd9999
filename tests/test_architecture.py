"""The import graph is as designed: one direction, outside libraries behind their fences, a light command line."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("ocrmaps", "pipelines", "cli")

# room -> rooms of the library it may import (its own always). Read: "canonical may import geometry".
EDGES: dict[str, set[str]] = {
    "errors": set(),
    "geometry": {"errors"},
    "pictures": {"errors", "geometry"},
    "canonical": {"errors", "geometry", "pictures"},
    "compiled": set(),
    "maps": {"errors", "geometry", "compiled"},
    "extract": {"errors", "geometry", "compiled"},
    "metrics": {"errors", "geometry", "compiled"},
    "annotations": {"errors", "geometry", "pictures", "canonical"},
    "report": {"errors", "geometry", "pictures", "canonical"},
    "evaluation": {"errors", "geometry", "canonical", "pictures", "annotations", "extract", "metrics"},
    "recipe": {"errors", "geometry", "canonical", "annotations", "maps"},
    "store": {"errors", "geometry", "pictures", "canonical", "annotations", "maps", "recipe"},
    "loader": {"errors", "geometry", "canonical", "store"},
    "augment": {"errors", "geometry", "loader"},
    "model": {"errors"},
    "debug": {"errors"},
    "training": {"errors", "geometry", "canonical", "extract", "metrics", "report", "store", "loader", "augment",
                 "model"},
}  # fmt: skip

# outside library -> path prefixes that may import it
FENCES: dict[str, tuple[str, ...]] = {
    "zarr": ("ocrmaps/store/", "pipelines/references/"),
    "numcodecs": ("ocrmaps/store/",),
    "dask": ("pipelines/build",),
    "distributed": ("pipelines/build",),
    "lightning": ("ocrmaps/training/", "pipelines/train", "pipelines/evaluate", "pipelines/bench_step"),
    "typer": ("cli/",),
    "click": ("cli/",),
    "torch": ("ocrmaps/loader", "ocrmaps/augment", "ocrmaps/model/", "ocrmaps/training/", "pipelines/"),
    "pyclipper": ("ocrmaps/maps", "ocrmaps/extract", "pipelines/references/"),
    "PIL": ("ocrmaps/pictures", "ocrmaps/canonical", "ocrmaps/annotations/synth", "ocrmaps/report/", "pipelines/"),
}

# What makes a command line slow; nothing in a command's help needs any of it.
HEAVY = (
    "torch",
    "zarr",
    "dask",
    "distributed",
    "cv2",
    "lightning",
    "numba",
    "shapely",
    "matplotlib",
    "PIL",
    "pydantic",
)


def _files() -> list[Path]:
    return [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


def _imports(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute here"
            module = node.module or ""
            yield node.lineno, module
            if module in ROOMS:
                yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def _room(parts: tuple[str, ...]) -> str:
    """`maps_kernels` belongs to `maps`: a room may be split into files that share its name."""
    name = parts[1].removesuffix(".py") if len(parts) > 1 else ""
    return next((room for room in EDGES if name == room or name.startswith(f"{room}_")), name)


def _edge_faults(path: Path, imports: list[tuple[int, str]]) -> list[str]:
    parts = path.relative_to(ROOT).parts
    faults = []
    for line, module in imports:
        target = tuple(module.split("."))
        where = f"{'/'.join(parts)}:{line}"
        if target[0] in ROOMS and ROOMS.index(target[0]) > ROOMS.index(parts[0]):
            faults.append(f"{where}: {parts[0]} may not import {target[0]}")
        if parts[0] == "ocrmaps" and target[0] == "ocrmaps" and len(target) > 1 and len(parts) > 1:
            mine, theirs = _room(parts), _room(target)
            if mine == "__init__" or theirs == "__version__" or mine == theirs:
                continue
            if mine not in EDGES:
                faults.append(f"{where}: room {mine!r} has no place in the design; add it to EDGES and the ADR")
            elif theirs not in EDGES[mine]:
                faults.append(
                    f"{where}: {mine} imports {theirs}; allowed: {', '.join(sorted(EDGES[mine])) or 'nothing'}"
                )
    return faults


def _fence_faults(path: Path, imports: list[tuple[int, str]]) -> list[str]:
    relative = path.relative_to(ROOT).as_posix()
    return [
        f"{relative}:{line}: {library} is only imported in {', '.join(FENCES[library])}"
        for line, module in imports
        if (library := module.split(".")[0]) in FENCES and not relative.startswith(FENCES[library])
    ]


@pytest.mark.parametrize("path", _files(), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_imports_follow_the_design(path):
    imports = list(_imports(path))
    assert [] == _edge_faults(path, imports) + _fence_faults(path, imports)


def test_the_import_checks_can_fail():
    path = ROOT / "ocrmaps" / "geometry.py"
    assert _edge_faults(path, [(1, "ocrmaps.store")])
    assert _edge_faults(path, [(1, "pipelines.build")])
    assert _edge_faults(ROOT / "pipelines" / "oracle.py", [(1, "cli.app")])
    assert _fence_faults(path, [(1, "zarr.codecs")])
    assert _fence_faults(ROOT / "pipelines" / "oracle.py", [(1, "typer")])
    assert not _fence_faults(ROOT / "cli" / "app.py", [(1, "typer")])


def _loaded_by(code: str) -> set[str]:
    """Which heavy libraries a fresh interpreter has loaded after this code."""
    probe = f"{code}\nimport sys; print(*(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, cwd=ROOT, check=True)
    return set(done.stdout.splitlines()[-1].split())


HELP = "import sys; sys.argv = ['ocrmaps', '--help']\nfrom cli.app import main\ntry: main()\nexcept SystemExit: pass"


def test_help_loads_nothing_heavy():
    assert _loaded_by(HELP) == set()


def test_the_weight_check_can_fail():
    assert _loaded_by(HELP + "\nimport shapely") == {"shapely"}


def test_importing_the_library_loads_nothing_heavy():
    assert _loaded_by("import ocrmaps, ocrmaps.errors, ocrmaps.geometry") == set()


SECOND_GEOMETRY = ("exif_transpose", "imread(", "getRotationMatrix", "getAffineTransform", "0x0112")


def test_b5a_pictures_are_decoded_and_turned_in_one_place():
    """A viewer with its own inverse once showed nothing where the score was high: there is no second geometry."""
    found = [
        f"{path.relative_to(ROOT).as_posix()}: {word}"
        for path in _files()
        for word in SECOND_GEOMETRY
        if word in path.read_text(encoding="utf-8")
    ]
    assert found == []
