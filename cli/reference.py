"""Makes the reference pages and figures in docs from the code: `python -m ocrmaps.cli.reference` writes what changed.

The command line is read from the signatures and texts that Typer is given, not from what it prints, so a page does
not depend on the terminal, on rich or on the version of either.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

import typer
from typer.models import ArgumentInfo, OptionInfo

DOCS = Path(__file__).resolve().parents[1] / "docs"
EXIT_CODES = {
    0: "done",
    1: "done, and a problem was found, or the run cannot go on",
    2: "wrong usage: an option, a recipe or a run file",
    3: "bad data: pictures or annotations",
    4: "trouble with a store: missing, damaged, busy, or of another format",
    130: "interrupted",
}
"""What the exit code of any command means; `ocrmaps.errors` and `ocrmaps.cli.app` hold them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One argument or option as its page shows it."""

    names: str
    kind: str
    default: str
    """Empty for what must be given, and where nothing is the default."""
    text: str
    argument: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command as its page shows it."""

    name: str
    """Everything that is typed before arguments: `ocrmaps data check`."""
    text: str
    example: str
    parameters: tuple[Parameter, ...]

    @property
    def link(self) -> str:
        return f"[`{self.name}`](#{self.name.replace(' ', '-')})"


def pages() -> dict[str, str]:
    """Path within docs -> content of every generated page and figure."""
    # Imported here: these two pull in what trains, and a reader of this module's records needs neither.
    from ocrmaps.cli.app import app
    from ocrmaps.pipelines import figures, reference

    return {
        "reference/cli.md": command_page(list(commands(app, "ocrmaps")), reference.MADE),
        "reference/recipe.md": reference.recipe_page(),
        "reference/run.md": reference.run_page(),
        "reference/python.md": reference.python_page(),
        "llms.txt": reference.llms_text((DOCS / "index.md").read_text(encoding="utf-8")),
        **{f"figures/{name}": draw() for name, draw in figures.FIGURES.items()},
    }


def commands(app: typer.Typer, name: str) -> Iterator[Command]:
    """Every command of an app and of its groups, in the order in which help lists them."""
    for info in app.registered_commands:
        callback: Any = info.callback
        if not info.hidden:
            command = info.name or callback.__name__.replace("_", "-")
            yield _command(f"{name} {command}", info.help or inspect.getdoc(callback) or "", callback)
    for group in app.registered_groups:
        if group.typer_instance is not None and not group.hidden:
            yield from commands(group.typer_instance, f"{name} {group.name}")


def command_page(listed: list[Command], made: str) -> str:
    """The page of the command line."""
    lines = [
        made,
        "",
        "# Commands",
        "",
        "Results are printed on stdout; progress and remarks on stderr. With `--json` stdout holds exactly one JSON "
        "document, also when the command fails. Whatever removes or replaces something shows its plan first and acts "
        "on `--yes`. `ocrmaps COMMAND --help` says the same as this page, `ocrmaps --version` the version.",
        "",
        "| exit code | meaning |",
        "|---|---|",
        *(f"| {code} | {text} |" for code, text in EXIT_CODES.items()),
        "",
        "| command | |",
        "|---|---|",
        *(f"| {c.link} | {_cell(_first_sentence(c.text))} |" for c in listed),
        "",
        "## One name for one thing",
        "",
        "Options that several commands have; each means the same in all of them. `--workers` is for builds only, whose "
        "workers may be processes.",
        "",
        "| option | | in |",
        "|---|---|---|",
        *(f"| `{names}` | {_cell(text)} | {where} |" for names, text, where in shared(listed)),
        "",
    ]
    for command in listed:
        arguments = "".join(f" {p.names}" for p in command.parameters if p.argument)
        options = " [OPTIONS]" if any(not p.argument for p in command.parameters) else ""
        lines += [f"## {command.name}", "", command.text, ""]
        lines += [f"Usage: `{command.name}{arguments}{options}`", ""]
        if command.example:
            lines += [f"Example: `{command.example}`", ""]
        if command.parameters:
            lines += ["| argument or option | takes | default | |", "|---|---|---|---|"]
            lines += [
                f"| `{p.names}` | {_cell(p.kind)} | {_cell(p.default)} | {_cell(p.text)} |" for p in command.parameters
            ]
            lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def shared(listed: list[Command]) -> list[tuple[str, str, str]]:
    """(option, what it means, commands) of every option that more than one command has, by name."""
    found: dict[str, list[tuple[str, str]]] = {}
    for command in listed:
        for p in command.parameters:
            if not p.argument:
                found.setdefault(p.names, []).append((p.text, command.name.removeprefix("ocrmaps ")))
    several = {names: uses for names, uses in sorted(found.items()) if len(uses) > 1}
    return [
        (names, _meaning([text for text, _ in uses]), _places([where for _, where in uses]))
        for names, uses in several.items()
    ]


def _meaning(texts: list[str]) -> str:
    different = list(dict.fromkeys(texts))
    return " / ".join(different) if len(different) <= 2 else "Each command says what it is for there."


def _places(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) if len(names) <= 12 else f"{len(names)} commands"


def _command(name: str, text: str, callback: Callable[..., Any]) -> Command:
    sentence, _, example = " ".join(text.split()).partition(" Example: ")
    hints = get_type_hints(callback, include_extras=True)
    given = inspect.signature(callback).parameters.values()
    parameters = [p for parameter in given if (p := _parameter(parameter, hints[parameter.name])) is not None]
    parameters.sort(key=lambda p: not p.argument)
    return Command(name=name, text=sentence, example=example, parameters=tuple(parameters))


def _parameter(parameter: inspect.Parameter, hint: Any) -> Parameter | None:
    hint, info = _annotation(hint)
    default = parameter.default
    if isinstance(default, ArgumentInfo | OptionInfo):
        info, default = default, default.default
    if info is None or info.hidden:
        return None
    required = default in (inspect.Parameter.empty, ...)
    argument = isinstance(info, ArgumentInfo)
    many = get_origin(hint) is list
    if many:
        hint = get_args(hint)[0]
    # Inside Annotated the first name of an option stands where a default would.
    declared = [str(name) for name in (info.default, *(info.param_decls or ())) if str(name).startswith("-")]
    plain = "--" + parameter.name.replace("_", "-")
    if argument:
        word = info.metavar or parameter.name.upper() + ("..." if many else "")
        names = word if required else f"[{word}]"
    elif hint is bool and not declared:
        names = f"{plain} / --no-{plain.removeprefix('--')}"
    else:
        names = ", ".join(name.replace("/", " / ") for name in declared) or plain
    kind = _kind(hint, info) + (", as often as needed" if many and not argument else "")
    return Parameter(
        names=names,
        kind=kind,
        default="must be given" if required and not argument else _value(default, hint, names),
        text=" ".join((info.help or "").split()),
        argument=argument,
    )


def _annotation(hint: Any) -> tuple[Any, ArgumentInfo | OptionInfo | None]:
    """The type without None and without its notes, and what Typer was told about it."""
    notes = getattr(hint, "__metadata__", ())
    info = next((note for note in notes if isinstance(note, ArgumentInfo | OptionInfo)), None)
    hint = get_args(hint)[0] if hasattr(hint, "__metadata__") else hint
    parts = [part for part in get_args(hint) if part is not NoneType]
    return (parts[0] if NoneType in get_args(hint) else hint), info


def _kind(hint: Any, info: ArgumentInfo | OptionInfo) -> str:
    if hint is bool:
        return ""
    if inspect.isclass(hint) and issubclass(hint, Enum):
        return ", ".join(f"`{member.value}`" for member in hint)
    word = {int: "whole number", float: "number", str: "text", Path: "path"}[hint]
    low, high = info.min, info.max
    if low is not None and high is not None:
        return f"{word}, {low} to {high}"
    if low is not None:
        return f"{word}, {low} or more"
    return word if high is None else f"{word}, at most {high}"


def _value(default: Any, hint: Any, names: str) -> str:
    if default in (inspect.Parameter.empty, ..., None):
        return ""
    if hint is bool:
        on, _, off = names.partition(" / ")
        return f"`{on if default else off}`" if off else ""
    value = default.value if isinstance(default, Enum) else default
    return f"`{value.as_posix() if isinstance(value, Path) else value}`"


def _first_sentence(text: str) -> str:
    return text.split(". ")[0].rstrip(".")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> None:
    """Write what differs and say which."""
    if not DOCS.is_dir():
        raise SystemExit(f"{DOCS}: no such folder; the pages are made in a checkout of the repository")
    for name, text in pages().items():
        path = DOCS / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"wrote docs/{name}\n")


if __name__ == "__main__":
    main()
