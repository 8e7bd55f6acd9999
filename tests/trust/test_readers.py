"""No file of the project calls a reader that can run what it reads, but where trust is asked for first."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = [path for room in ("ocrmaps", "pipelines", "cli") for path in sorted((ROOT / room).rglob("*.py"))]
NEVER = ("eval", "exec", "__import__", "pickle.load", "pickle.loads", "pickle.Unpickler", "yaml.load", "marshal.loads",
         "marshal.load", "shelve.open", "joblib.load", "torch.package.PackageImporter", "torch.ops.load_library",
         "torch.hub.load", "runpy.run_path")  # fmt: skip
BY_DIGEST = ("torch.jit.load", "torch.export.load")
BY_NAME = ("importlib.import_module", "import_module")


def faults(source: str, where: str) -> Iterator[str]:
    """Calls in a file that could run what they read."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name, said = ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}
        literal = bool(node.args) and isinstance(node.args[0], ast.Constant)
        if (
            name in NEVER
            or (name == "torch.load" and said.get("weights_only") != "True")
            or (name.endswith(".fit") and "ckpt_path" in said and said.get("weights_only") != "True")
            or said.get("allow_pickle", "False") != "False"
            or (name in BY_DIGEST and where != "ocrmaps/detect/load.py")
            or (name in BY_NAME and not literal and where != "ocrmaps/model/parts.py")
        ):
            yield f"{where}:{node.lineno}: {name}"


def test_no_reader_can_run_what_it_reads():
    found = [f for path in FILES for f in faults(path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix())]
    # Importers of names that are written right above them: the libraries of sinks, and the front door.
    known = ("ocrmaps/training/callbacks/sinks.py:", "ocrmaps/__init__.py:")
    assert not [f for f in found if not f.startswith(known)]


@pytest.mark.parametrize(
    "source",
    [
        "torch.load(p)",
        "torch.load(p, weights_only=False)",
        "trainer.fit(m, ckpt_path=p)",
        "np.load(p, allow_pickle=True)",
        "pickle.load(f)",
        "torch.jit.load(p)",
        "torch.export.load(p)",
        "importlib.import_module(name)",
        "eval(text)",
    ],
)
def test_a_reader_that_can_is_found(source):
    assert list(faults(source, "pipelines/x.py"))
