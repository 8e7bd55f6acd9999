"""The reference pages of recipe and run files as Markdown, made from the records that parse those files.

A key's name, type and default are read from the record, its meaning from the text under the field, and what is
allowed from the parser itself: it is handed a value that no setting takes and its answer is kept. So a page cannot
say anything that the code does not. `python -m ocrmaps.cli.reference` writes the pages; a test compares them.
"""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from itertools import pairwise
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import ocrmaps
from ocrmaps.annotations import READERS
from ocrmaps.canonical import CanonicalSpec
from ocrmaps.errors import SpecError
from ocrmaps.maps import MapSpec
from ocrmaps.model import DECODERS, ENCODERS, HEADS, LOSSES
from ocrmaps.recipe import Layout, Recipe, SourceRecipe, recipe_from_dict
from ocrmaps.training.spec import NOT_SETTINGS, TABLES, RunSpec, run_from_dict

MADE = "<!-- Made by `python -m ocrmaps.cli.reference` from the code. Change the code and make it again. -->"
REGISTRIES: dict[str, Mapping[str, Any]] = {
    "sources[0].format": READERS,
    "model.encoder": ENCODERS,
    "model.decoder": DECODERS,
    "model.head": HEADS,
    "loss.name": LOSSES,
}
"""Keys whose values are names out of a registry."""
RECIPE_TABLES = ("sources", "canonical", "maps", "layout")
_ABSURD: dict[type, tuple[Any, ...]] = {int: (-(2**70), 2**70), float: (-1e300, 1e300), str: ("?\n?", "")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table of a hand-written file, and the parser that would refuse it."""

    title: str
    """How TOML calls it: `canonical`, `[[sources]]`; empty for keys outside all tables."""
    record: type[Any]
    leave_out: tuple[str, ...] = ()
    path: str = ""
    """Where a problem in this table is reported: `canonical`, `sources[0]`."""
    parse: Callable[[dict[str, Any]], Any]
    """Parses a file in which this table holds only the given keys."""
    defaults: Mapping[str, str] = field(default_factory=dict)
    """Defaults that the file's reader gives, in words."""


def recipe_page() -> str:
    """Every key of a recipe file."""

    def at_top(keys: dict[str, Any]) -> Any:
        return recipe_from_dict({"name": "a", "sources": [{"path": "a"}], "canonical": _CANONICAL, **keys})

    def in_source(keys: dict[str, Any]) -> Any:
        return at_top({"sources": [{"path": "a", **keys}]})

    def within(table: str) -> Callable[[dict[str, Any]], Any]:
        base = _CANONICAL if table == "canonical" else {}
        return lambda keys: at_top({table: {**base, **keys}})

    tables = [
        Table(title="", record=Recipe, leave_out=RECIPE_TABLES, parse=at_top, defaults=_NAME),
        Table(title="[[sources]]", record=SourceRecipe, path="sources[0]", parse=in_source),
        Table(title="[canonical]", record=CanonicalSpec, path="canonical", parse=within("canonical")),
        Table(title="[maps]", record=MapSpec, path="maps", parse=within("maps")),
        Table(title="[layout]", record=Layout, path="layout", parse=within("layout")),
    ]
    intro = """
        A recipe is what `ocrmaps build` builds from. Relative paths count from the recipe's folder. Unknown keys
        are refused, and all problems are told at once. `--set table.key=value` of `ocrmaps build` changes one key
        for one command. `ocrmaps recommend` writes a recipe; [a shipped one](../../pipelines/recipes/) builds the
        demo's store. What the maps mean is in [Target maps](../explanation/maps.md), what canvases and frames are
        in [Frames](../explanation/geometry.md).
        """
    return _page("Recipe files", intro, tables)


def run_page() -> str:
    """Every key of a run file."""

    def at_top(keys: dict[str, Any]) -> Any:
        return run_from_dict({"name": "a", "data": {"store": "a"}, **keys})

    def within(table: str) -> Callable[[dict[str, Any]], Any]:
        base = {"store": "a"} if table == "data" else {}
        return lambda keys: at_top({table: {**base, **keys}})

    tables = [Table(title="", record=RunSpec, leave_out=(*TABLES, *NOT_SETTINGS), parse=at_top, defaults=_NAME)]
    tables += [
        Table(title=f"[{name}]", record=record, path=name, parse=within(name)) for name, record in TABLES.items()
    ]
    intro = """
        A run file is what `ocrmaps train` trains from. Relative paths count from the file's folder. Unknown keys,
        and keys that would have no effect, are refused, all at once. `--set table.key=value` changes one key for
        one command and is recorded in the run. What is left out of `[extract]` and `augment.fill` follows the store.
        [Training](../explanation/training.md) shows a run file and what a run leaves behind.
        """
    return _page("Run files", intro, tables)


def python_page() -> str:
    """Every name that `import ocrmaps` offers: how it is called and what it does."""
    lines = [MADE, "", "# Python", "", inspect.cleandoc(_PYTHON), ""]
    lines += ["| name | |", "|---|---|"]
    found = {name: getattr(ocrmaps, name) for name in ocrmaps.__all__}
    lines += [
        f"| [`{name}`](#{name.lower()}) | {_cell(_paragraph(what).split('. ')[0].rstrip('.'))} |"
        for name, what in found.items()
    ]
    lines.append("")
    for name, what in found.items():
        lines += [f"## `{name}`", ""]
        if is_dataclass(what):
            page = "recipe" if what is Recipe else "run"
            lines += [_paragraph(what), "", f"Its fields are the keys of [a {page} file]({page}.md).", ""]
            continue
        lines += ["```text", signature_of(f"ocrmaps.{name}", what), "```", "", _paragraph(what), ""]
        if inspect.isclass(what):
            lines += ["| | |", "|---|---|"]
            for own, member in vars(what).items():
                if own.startswith("_") or not inspect.getdoc(member):
                    continue
                call = (
                    own
                    if isinstance(member, property)
                    else signature_of(own, member).replace("\n", "").replace("    ", "")
                )
                lines.append(f"| `{_cell(call)}` | {_cell(_paragraph(member))} |")
            lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def signature_of(name: str, what: Callable[..., Any], *, width: int = 100) -> str:
    """How something is called, a parameter a line where one line is too short for all."""
    given = inspect.signature(what)
    parts = []
    for parameter in given.parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in parts:
            parts.append("*")
        star = "**" if parameter.kind is parameter.VAR_KEYWORD else ""
        default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
        parts.append(f"{star}{parameter.name}: {parameter.annotation}{default}")
    # A class is called to be made; what it gives is itself.
    answer = "" if inspect.isclass(what) else f" -> {given.return_annotation}"
    line = f"{name}({', '.join(parts)}){answer}"
    if len(line) <= width:
        return line
    return f"{name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){answer}"


def _paragraph(what: Any) -> str:
    return " ".join((inspect.getdoc(what) or "").split("\n\n")[0].split())


_PYTHON = """
`import ocrmaps` offers these names, each imported when it is first used; `help(ocrmaps)` is a tour through them.
How-tos: [in your own training loop](../how-to/own-training-loop.md), [in a notebook](../how-to/notebook.md).
`Anywhere` is a path as text or as any path object.
"""
_CANONICAL: dict[str, Any] = {"canvases": [[64, 64]]}
_NONE = """
    TOML has no word for nothing: where a default is none, or a meaning speaks of None, leave the key out.
    An empty cell under *allowed* means that anything of the type is taken.
    """
_NAME = {"name": "the file's name"}


def _page(title: str, intro: str, tables: list[Table]) -> str:
    lines = [MADE, "", f"# {title}", "", _flow(intro), "", _flow(_NONE), ""]
    for table in tables:
        kept = [f for f in fields(table.record) if f.name not in table.leave_out]
        heading = f"## `{table.title}`" if table.title else "## Outside all tables"
        what = inspect.getdoc(table.record) or ""
        lines += [heading, ""]
        if table.title:
            lines += [_flow(what.split("\n\n")[0]), ""]
        lines += ["| key | type | default | allowed | meaning |", "|---|---|---|---|---|"]
        meanings, hints = meanings_of(table.record), get_type_hints(table.record)
        for key in kept:
            cells = (
                f"`{key.name}`",
                kind_of(hints[key.name]),
                table.defaults.get(key.name) or _default(key),
                allowed(table, key.name, hints[key.name]),
                meanings.get(key.name, ""),
            )
            lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def meanings_of(record: type[Any]) -> dict[str, str]:
    """Field -> the text that stands under it in the source, in one line.

    >>> meanings_of(SourceRecipe)["path"]
    'The annotation file, or the folder with one file per picture.'
    """
    module = ast.parse(Path(inspect.getsourcefile(record) or "").read_text(encoding="utf-8"))
    classes = {node.name: node for node in ast.walk(module) if isinstance(node, ast.ClassDef)}
    body = classes[record.__name__].body
    found = {}
    for key, text in pairwise(body):
        if isinstance(key, ast.AnnAssign) and isinstance(key.target, ast.Name) and _is_text(text):
            found[key.target.id] = _flow(text.value.value)  # type: ignore[attr-defined]
    return found


def kind_of(hint: Any) -> str:
    """A type as somebody who writes TOML would say it.

    >>> kind_of(int | None), kind_of(tuple[tuple[int, int], ...]), kind_of(Literal["a", ""])
    ('whole number', 'list of [whole number, whole number]', 'text')
    """
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(kind_of(a) for a in args if a is not NoneType))
    if origin is Literal:
        return " or ".join(dict.fromkeys(kind_of(type(a)) for a in args))
    if origin is tuple:
        if len(args) == 2 and args[1] is Ellipsis:
            return f"list of {kind_of(args[0])}"
        return f"[{', '.join(kind_of(a) for a in args)}]"
    if inspect.isclass(origin or hint) and issubclass(origin or hint, Mapping):
        return "table"
    words = {bool: "true or false", int: "whole number", float: "number", str: "text", Path: "path"}
    return words[hint]


def allowed(table: Table, name: str, hint: Any) -> str:
    """What the parser takes for a key: the words of a choice, the names of a registry, or the rule that it answers
    with when it is handed an absurd value; empty if only the type decides."""
    known = REGISTRIES.get(f"{table.path}.{name}")
    if known is not None:
        return ", ".join(f"`{json.dumps(word)}`" for word in known) + ("" if known is READERS else ", or one's own")
    words = [w for h in _parts(hint) if get_origin(h) is Literal for w in get_args(h)]
    rule = next((r for value in _absurd(hint) if (r := _answer(table, name, value))), "")
    if words:
        choice = ", ".join(f"`{json.dumps(w)}`" for w in words)
        # A rule about the whole setting names the words itself.
        return rule if rule and float in _parts(hint) else choice
    return rule


def _answer(table: Table, name: str, value: Any) -> str:
    try:
        table.parse({name: value})
    except SpecError as error:
        place = f"{table.path}.{name}" if table.path else name
        for problem in error.problems:
            loc = problem.loc.split(":", 1)[-1]
            if loc == place and "expected " in problem.message:
                return problem.message.split("expected ", 1)[1].removeprefix("one of ")
            if loc == table.path and f"{name}: " in problem.message and "expected " in problem.message:
                said = problem.message.split(f"{name}: ", 1)[1].split("; ")[0]
                return said.split("expected ", 1)[-1].removeprefix("one of ")
    return ""


def _parts(hint: Any) -> list[Any]:
    return [a for a in get_args(hint) if a is not NoneType] if get_origin(hint) in (Union, UnionType) else [hint]


def _absurd(hint: Any) -> list[Any]:
    """Values of the right type that hardly any setting takes."""
    found: list[Any] = []
    for part in _parts(hint):
        if get_origin(part) is tuple:
            args = get_args(part)
            if args[-1] is Ellipsis:
                found.append([])
                args = args[:1]
            elif all(a in _ABSURD for a in args):
                found += [[_ABSURD[a][side] for a in args] for side in (0, 1)]
        found += _ABSURD.get(part, ())
    return found


def _default(key: Field[Any]) -> str:
    if key.default is not MISSING:
        value = key.default
    elif key.default_factory is not MISSING:
        value = key.default_factory()
    else:
        return "must be given"
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        return "`{}`" if not value else f"`{json.dumps(dict(value))}`"
    if isinstance(value, Path):
        value = value.as_posix()
    return f"`{json.dumps(value)}`"


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _flow(text: str) -> str:
    return " ".join(textwrap.dedent(text).split())


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def missing_meanings() -> list[str]:
    """Keys of both files without a text under the field, as `Record.key`."""
    left_out = {Recipe: set(RECIPE_TABLES), RunSpec: {*TABLES, *NOT_SETTINGS}}
    records = (Recipe, SourceRecipe, CanonicalSpec, MapSpec, Layout, RunSpec, *TABLES.values())
    return [
        f"{record.__module__}.{record.__name__}.{key.name}"
        for record in records
        for key in fields(record)
        if key.name not in left_out.get(record, set()) and key.name not in meanings_of(record)
    ]
