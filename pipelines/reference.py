"""The reference pages of recipe and run files as Markdown, made from the records that parse those files.

A key's name, type, default, range and meaning are those of the record's field, so a page cannot say anything that the
code does not. `python -m ocrmaps.cli.reference` writes the pages; a test compares them.
"""

from __future__ import annotations

import inspect
import json
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import is_dataclass
from typing import Any, get_args

import ocrmaps
from ocrmaps import recipe
from ocrmaps.annotations import READERS
from ocrmaps.model import DECODERS, ENCODERS, HEADS, LOSSES
from ocrmaps.settings.files import Form
from ocrmaps.settings.ranges import at, hints, keys, parted
from ocrmaps.settings.schema import allowed, default_of, kind_of, meaning_of, meanings_of, schema_file
from ocrmaps.training import spec as run

MADE = "<!-- Made by `python -m ocrmaps.cli.reference` from the code. Change the code and make it again. -->"
REGISTRIES: dict[str, Mapping[str, Any]] = {
    "[[sources]].format": READERS,
    "[model].encoder": ENCODERS,
    "[model].decoder": DECODERS,
    "[model].head": HEADS,
    "[loss].name": LOSSES,
}
"""Keys whose values are names out of a registry."""


def recipe_page() -> str:
    """Every key of a recipe file."""
    intro = """
        A recipe is what `ocrmaps build` builds from. Relative paths count from the recipe's folder. Unknown keys
        are refused, and all problems are told at once. `--set table.key=value` of `ocrmaps build` changes one key
        for one command. `ocrmaps recommend` writes a recipe; [a shipped one](../../pipelines/recipes/) builds the
        demo's store. What the maps mean is in [Target maps](../explanation/maps.md), what canvases and frames are
        in [Frames](../explanation/geometry.md).
        """
    return _page("Recipe files", intro, recipe.FORM)


def run_page() -> str:
    """Every key of a run file."""
    intro = """
        A run file is what `ocrmaps train` trains from. Relative paths count from the file's folder. Unknown keys,
        and keys that would have no effect, are refused, all at once. `--set table.key=value` changes one key for
        one command and is recorded in the run. What is left out of `[extract]` and `augment.fill` follows the store.
        [Training](../explanation/training.md) shows a run file and what a run leaves behind.
        """
    return _page("Run files", intro, run.FORM)


def llms_text(index: str) -> str:
    """llms.txt: the pages of the index, a line each with what they are for, for programs that read documentation."""
    out: list[str] = []
    for line in index.splitlines():
        if line.startswith("# "):
            out += [line, "", "> Prepared data that can be trusted, for training text detectors of the DBNet family."]
        elif line.startswith("## "):
            out += ["", line, ""]
        elif line.startswith("| ") and "](" in line:
            what, _, where = line.strip("| ").partition(" | ")
            out += [f"- [{path}]({path}): {what}" for path in re.findall(r"\]\(([^)]+)\)", where)]
    return "\n".join(out) + "\n"


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
            page = "recipe" if what is recipe.Recipe else "run"
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
_NONE = """
    TOML has no word for nothing: where a default is none, or a meaning speaks of None, leave the key out.
    An empty cell under *allowed* means that anything of the type is taken.
    """
_SCHEMA = """
    `ocrmaps schema {what} --out {file}` writes the same as a JSON schema. A first line `#:schema {file}` in a {what}
    file, which the files that ocrmaps writes have, leads editors with Taplo (Even Better TOML in VS Code) to it: they
    then complete keys, show their meanings and underline mistakes. The line is a comment to everything else, and the
    file lies beside, so nothing is fetched.
    """


def tables(form: Form) -> Iterator[tuple[str, Any]]:
    """(heading, record) of the keys outside all tables, which have no heading, and of each table and those in it."""
    yield "", form.record
    yield from _inside(form.record, "")


def _inside(record: Any, path: str) -> Iterator[tuple[str, Any]]:
    for key in keys(record):
        place, found = at(path, key.name), _tables_of(record, key.name)
        for kind in found:
            once = kind is parted(hints(record)[key.name])[0]
            yield f"[{place}]" if once else f"[[{place}]]", kind
            yield from _inside(kind, place)


def _tables_of(record: Any, key: str) -> list[Any]:
    """The records of a key whose value is a table, or several of one kind."""
    kind: Any = parted(hints(record)[key])[0]
    return [part for part in (kind, *get_args(kind)) if is_dataclass(part)]


def _page(title: str, intro: str, form: Form) -> str:
    schema = _SCHEMA.format(what=form.what, file=schema_file(form))
    lines = [MADE, "", f"# {title}", "", _flow(intro), "", _flow(schema), "", _flow(_NONE), ""]
    for heading, record in tables(form):
        lines += [f"## `{heading}`", "", meaning_of(record), ""] if heading else ["## Outside all tables", ""]
        lines += ["| key | type | default | allowed | meaning |", "|---|---|---|---|---|"]
        for key in keys(record):
            hint = hints(record)[key.name]
            if not _tables_of(record, key.name):
                default = "the file's name" if not heading and key.name in form.filled else default_of(key)
                known = REGISTRIES.get(f"{heading}.{key.name}")
                may = allowed(hint) if known is None else _names(known)
                cells = (f"`{key.name}`", kind_of(hint), default, may, meanings_of(record).get(key.name, ""))
                lines.append("| " + " | ".join(map(_cell, cells)) + " |")
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def _names(registry: Mapping[str, Any]) -> str:
    words = ", ".join(f"`{json.dumps(word)}`" for word in registry)
    return words if registry is READERS else f"{words}, or one's own"


def _flow(text: str) -> str:
    return " ".join(textwrap.dedent(text).split())


def missing_meanings() -> list[str]:
    """Keys of both files without a text under the field, as `Record.key`; a table tells its meaning itself."""
    return [
        f"{record.__module__}.{record.__name__}.{key.name}"
        for form in (recipe.FORM, run.FORM)
        for _, record in tables(form)
        for key in keys(record)
        if key.name not in meanings_of(record) and not _tables_of(record, key.name)
    ]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
