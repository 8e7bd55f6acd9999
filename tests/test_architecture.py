"""The import graph is as designed: one direction, outside libraries behind their fences, a light command line."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

from ocrmaps.store.writing.provenance import CODE

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("ocrmaps", "pipelines", "cli")
JOBS = ("pipelines", "cli")
DOORS = ("__init__", "__main__", "api")
"""The front door, the functions behind it and `python -m ocrmaps` may name everything."""

# The rooms of the library from the ground up: each may import those before it.
ORDER = (
    "errors", "doors", "limits", "settings", "trust", "cells", "progress", "geometry", "text", "files", "scratch",
    "members", "tiff", "kinds", "shipped", "machine", "compiled", "pictures", "resampling", "canonical", "inline",
    "annotations", "maps", "extract", "metrics", "recipe", "store", "loader", "adapters", "augment", "model", "pagekit",
    "detect", "evaluation", "training", "debug", "report",
)  # fmt: skip

# outside library -> path prefixes that may import it
FENCES: dict[str, tuple[str, ...]] = {
    "zarr": ("ocrmaps/store/", "pipelines/bench/references/"),
    "numcodecs": ("ocrmaps/store/",),
    "pyarrow": ("ocrmaps/members.py", "ocrmaps/annotations/formats/parquet.py"),
    "dask": ("pipelines/build.py", "pipelines/executors.py"),
    "distributed": ("pipelines/build.py", "pipelines/crew.py", "pipelines/executors.py"),
    "obstore": ("ocrmaps/store/places/objects.py",),
    "cryptography": ("ocrmaps/store/upkeep/signing.py",),
    "lightning": ("ocrmaps/training/", "pipelines/train.py", "pipelines/bench/cases/step.py",
                  "pipelines/bench/cases/counts.py"),
    "typer": ("cli/",),
    "click": ("cli/",),
    "torch": ("ocrmaps/api.py", "ocrmaps/machine.py", "ocrmaps/loader/", "ocrmaps/adapters/", "ocrmaps/augment/",
              "ocrmaps/model/", "ocrmaps/detect/", "ocrmaps/evaluation/", "ocrmaps/training/", "ocrmaps/debug/",
              "ocrmaps/report/", "pipelines/"),
    "pyclipper": ("ocrmaps/maps/", "ocrmaps/extract/", "pipelines/bench/references/"),
    "PIL": ("ocrmaps/pictures.py", "ocrmaps/resampling.py", "ocrmaps/canonical.py", "ocrmaps/annotations/synth/",
            "ocrmaps/pagekit/", "ocrmaps/debug/", "ocrmaps/report/", "pipelines/"),
}  # fmt: skip

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


@dataclass(frozen=True)
class Parsed:
    """What the tests look for in a file, which is parsed once for all of them."""

    imports: tuple[ast.Import | ast.ImportFrom, ...]
    """Anywhere in it."""
    at_once: tuple[ast.Import | ast.ImportFrom, ...]
    """Those that importing it does."""
    classes: tuple[str, ...]


@cache
def _parsed(path: Path) -> Parsed:
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    nodes, kinds = list(ast.walk(tree)), (ast.Import, ast.ImportFrom)
    return Parsed(
        imports=tuple(node for node in nodes if isinstance(node, kinds)),
        at_once=tuple(node for node in tree.body if isinstance(node, kinds)),
        classes=tuple(node.name for node in nodes if isinstance(node, ast.ClassDef)),
    )


def _imports(path: Path) -> Iterator[tuple[int, str]]:
    for node in _parsed(path).imports:
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        else:
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute here"
            module = node.module or ""
            yield node.lineno, module
            if module in ROOMS:
                yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def _edge_faults(path: Path, imports: list[tuple[int, str]]) -> list[str]:
    parts = path.relative_to(ROOT).parts
    mine = parts[1].removesuffix(".py") if parts[0] == "ocrmaps" else parts[0]
    faults = []
    for line, module in imports:
        target = module.split(".")
        where = f"{'/'.join(parts)}:{line}"
        if target[0] in ("cli", "pipelines"):
            faults.append(f"{where}: {module} is imported as ocrmaps.{module}")
        if target[0] != "ocrmaps" or len(target) == 1:
            continue
        theirs = target[1]
        if mine in DOORS or theirs in ("__version__", mine):
            continue
        known = (*ORDER, *JOBS)
        unknown = [room for room in (mine, theirs) if room not in known]
        faults += [
            f"{where}: room {room!r} has no place in the design; add it to ORDER and the ADR" for room in unknown
        ]
        if mine in known and theirs in known and known.index(theirs) > known.index(mine):
            faults.append(f"{where}: {mine} imports {theirs}, which stands above it")
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
    assert _edge_faults(path, [(1, "ocrmaps.pipelines.build")])
    assert _edge_faults(ROOT / "pipelines" / "oracle.py", [(1, "ocrmaps.cli.app")])
    assert _fence_faults(path, [(1, "zarr.codecs")])
    assert _fence_faults(ROOT / "pipelines" / "oracle.py", [(1, "typer")])
    assert not _fence_faults(ROOT / "cli" / "app.py", [(1, "typer")])


def _module(path: Path) -> str:
    """The name a file is imported by; `pipelines` and `cli` stand below `ocrmaps`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join((() if parts[0] == "ocrmaps" else ("ocrmaps",)) + parts).removesuffix(".__init__")


def _needs(path: Path, known: set[str], *, everywhere: bool) -> set[str]:
    """The project's modules that a file imports: all of them, or those that importing it imports."""
    found: set[str] = set()
    for node in _parsed(path).imports if everywhere else _parsed(path).at_once:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        else:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names if names <= known else {node.module or "", *names}
    return found & known


def _reached(start: str, graph: dict[str, set[str]]) -> set[str]:
    seen, waiting = {start}, [start]
    while waiting:
        new = graph[waiting.pop()] - seen
        seen |= new
        waiting += new
    return seen


def test_no_module_needs_itself():
    files = {_module(path): path for path in _files() if path.parent != ROOT / "ocrmaps" or path.name[:2] != "__"}
    graph = {name: _needs(path, set(files), everywhere=False) - {name} for name, path in files.items()}
    circles = {name for name in graph for other in graph[name] if name in _reached(other, graph)}
    assert circles == set()


def test_every_file_that_decides_pixels_is_watched():
    """A store records digests of the code that drew it: a file that moves must not leave the watch unseen."""
    library = {_module(path): path for path in (ROOT / "ocrmaps").rglob("*.py")}
    graph = {name: _needs(path, set(library), everywhere=True) for name, path in library.items()}
    for name, patterns in CODE.items():
        watched = {path for pattern in patterns for path in (ROOT / "ocrmaps").glob(pattern)}
        assert all(list((ROOT / "ocrmaps").glob(pattern)) for pattern in patterns), f"{name}: a pattern matches nothing"
        # These refuse settings and read bytes; what they let through is in the recipe and in the digests of inputs.
        # `progress` only tells.
        bystanders = (
            "ocrmaps.errors", "ocrmaps.settings", "ocrmaps.files", "ocrmaps.members", "ocrmaps.tiff",
            "ocrmaps.progress",
        )  # fmt: skip
        refuses = {path for module, path in library.items() if module.startswith(bystanders)}
        decides = {library[module] for module in _reached(f"ocrmaps.{name}", graph)}
        assert decides - watched - refuses == set(), name


def test_a_prefix_that_files_share_is_a_folder():
    """Three files `report_a`, `report_b`, `report_c` are a folder `report` that does not exist yet."""
    shared = Counter((path.parent, path.name.split("_")[0]) for path in _files() if "_" in path.stem.strip("_"))
    assert [f"{folder}/{prefix}_*" for (folder, prefix), count in shared.items() if count > 2] == []


def _loaded_by(code: str) -> set[str]:
    """Which heavy libraries a fresh interpreter has loaded after this code."""
    probe = f"{code}\nimport sys; print(*(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, cwd=ROOT, check=True)
    return set(done.stdout.splitlines()[-1].split())


HELP = """import sys
sys.argv = ["ocrmaps", "--help"]
from ocrmaps.cli.app import main
try: main()
except SystemExit: pass"""


def test_help_loads_nothing_heavy():
    assert _loaded_by(HELP) == set()


def test_the_weight_check_can_fail():
    assert _loaded_by(HELP + "\nimport shapely") == {"shapely"}


def test_importing_the_library_loads_nothing_heavy():
    assert _loaded_by("import ocrmaps, ocrmaps.errors, ocrmaps.geometry") == set()


def test_notes_of_bundles_are_asked_without_anything_heavy():
    assert _loaded_by("import ocrmaps.pipelines.notes") == set()


SETTINGS = "import ocrmaps.training.spec"


def test_settings_are_read_without_what_they_are_settings_of():
    assert _loaded_by(SETTINGS) == set()
    assert _loaded_by(f"{SETTINGS}\nimport ocrmaps.model as m; m.Detector") >= {"torch"}


def _promised(tree: ast.Module) -> dict[str, str]:
    """The names that a door shows to type checkers alone, each with the module that it says they are in."""
    shown = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    imports = [inner for node in shown for inner in node.body if isinstance(inner, ast.ImportFrom)]
    return {alias.name: node.module or "" for node in imports for alias in node.names}


def _doors_on_demand() -> dict[str, dict[str, str]]:
    doors = {_module(path): path.read_text(encoding="utf-8") for path in _files() if path.name == "__init__.py"}
    return {name: _promised(ast.parse(text)) for name, text in doors.items() if "= on_demand(" in text}


@pytest.mark.parametrize(("door", "promised"), _doors_on_demand().items(), ids=_doors_on_demand())
def test_a_door_hands_out_what_type_checkers_are_told(door, promised):
    room = import_module(door)
    assert promised and promised.keys() <= set(room.__all__)
    for name, module in promised.items():
        assert getattr(room, name) is getattr(import_module(module), name)
    assert all(hasattr(room, name) for name in room.__all__)
    with pytest.raises(AttributeError, match=f"module '{door}' has no attribute 'nonsense'; it offers "):
        _ = room.nonsense


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


MODULES = {"opencv-python-headless": "cv2", "pillow": "PIL"}
"""Distributions whose module has another name."""


def test_every_declared_dependency_is_imported():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {re.split(r"[\[<>=!~; ]", line)[0] for line in project["dependencies"]}
    imported = {module.partition(".")[0] for path in _files() for _, module in _imports(path)}
    assert {name for name in declared if MODULES.get(name, name) not in imported} == set()


def test_a_class_name_means_one_thing():
    found = Counter(name for path in _files() for name in _parsed(path).classes if not name.startswith("_"))
    assert [name for name, count in found.items() if count > 1] == []


ONCE = {
    r"\bOPERATIONAL\b.*= \(": ("ocrmaps/training/differences.py",),
    r"\b(PROBABILITY|THRESHOLD)_COUNTS = ": ("ocrmaps/maps/records.py",),
    r"SAFE_ACCUMULATE if": ("ocrmaps/training/optimization.py",),
    r"mask\w*(\[\w+\])? (&|<<|>>) \d": (),
    r"sched_getaffinity|cpu_count": (
        "ocrmaps/machine.py",
        "pipelines/bench/load.py",
        "pipelines/bench/cases/loader.py",
    ),
    r"rev-parse": ("ocrmaps/machine.py", "ocrmaps/debug/parts.py"),
    r"file_digest\(file": ("ocrmaps/files.py",),
}
"""What would be a fact written twice -> the files that may hold it."""


def test_facts_are_written_once():
    found = {
        f"{path.relative_to(ROOT).as_posix()}: {pattern}"
        for path in _files()
        for pattern, places in ONCE.items()
        if path.relative_to(ROOT).as_posix() not in places and re.search(pattern, path.read_text(encoding="utf-8"))
    }
    assert found == set()
