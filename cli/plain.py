"""Prints help as plain text: options in their groups, nothing cut, whatever the terminal's width."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from copy import copy
from typing import Any

from typer import Typer
from typer.core import TyperCommand, TyperGroup

from ocrmaps.cli.options import ANNOTATIONS, RESULTS, RUNNING

ARGUMENTS, OTHERS = "Arguments", "Options"
_RANGES = ((r"(\S+)<=x<=(\S+?)(?=[;\]])", r"\1 to \2"), (r"x>=(\S+?)(?=[;\]])", r"\1 or more"))
"""How a range is written by the library, and for people."""


class PlainTyper(Typer):
    """A tree of commands. A line makes only the command that it names: to make all takes as long as the help of one."""

    def __call__(self, args: Sequence[str] | None = None, **kwargs: Any) -> Any:
        """Do what the words say, those that were typed unless others are given."""
        words = sys.argv[1:] if args is None else list(args)
        return Typer.__call__(named(self, words), words, **kwargs)


def named(tree: Typer, words: Sequence[str]) -> Typer:
    """The tree with only the command that the words begin with; the whole tree where they begin with none."""
    word = words[0] if words else None
    commands = [command for command in tree.registered_commands if command.name == word]
    groups = [copy(group) for group in tree.registered_groups if group.name == word]
    if not commands and not groups:
        return tree
    for group in groups:
        group.typer_instance = group.typer_instance and named(group.typer_instance, words[1:])
    tree = copy(tree)
    tree.registered_commands, tree.registered_groups = commands, groups
    return tree


def say_what_was_found(error: Any) -> None:
    """Put a value that was refused, and what is expected, in place of what the library of validators says of it."""
    of = getattr(error.__cause__, "errors", None)
    if of is None:  # told by the command line's own library, which says what it found
        return
    first = of()[0]
    error.message = f"found {first['input']!r}, expected {_expected(first)}"


def _expected(refusal: dict[str, Any]) -> str:
    limits, said = refusal.get("ctx", {}), str(refusal["msg"])
    if "ge" in limits:
        return f"{limits['ge']:.12g} or more"
    if "le" in limits:
        return f"{limits['le']:.12g} or less"
    if " is not one of " in said:
        return f"one of {said.partition(' is not one of ')[2].rstrip('.').replace(chr(39), '')}"
    return {"int_parsing": "a whole number", "float_parsing": "a number"}.get(refusal["type"], said)


class PlainCommand(TyperCommand):
    """A command whose options are listed by group, its own ones first."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Name the arguments as the list below does."""
        arguments = [p for p in self.get_params(ctx) if p.param_type_name == "argument"]
        return ["[OPTIONS]", *(_word(p) if p.required else f"[{_word(p)}]" for p in arguments)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write every argument and option once, under the group that its declaration names."""
        for title, records in grouped(self, ctx).items():
            with formatter.section(title):
                formatter.write_dl(records)


class PlainGroup(TyperGroup):
    """A group of commands. Where a command is named first, options of the group itself are not looked for.

    To find that help or completion was not asked for imports a library of validators: a third of what the help of a
    command takes.
    """

    _command_first = False

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take the group's own options off the words."""
        self._command_first = bool(args) and not args[0].startswith("-")
        return list(super().parse_args(ctx, args))

    def get_params(self, ctx: Any) -> list[Any]:
        """The options that this call looks at."""
        params = list(super().get_params(ctx))
        return [p for p in params if p.name not in _ALONE] if self._command_first else params


_ALONE = ("help", "install_completion", "show_completion")
"""Options of a group that are of no use before a command."""


def grouped(command: Any, ctx: Any) -> dict[str, list[tuple[str, str]]]:
    """Title of a group -> (names and placeholder, sentence) of everything in it; a command's own options come first."""
    groups: dict[str, list[tuple[str, str]]] = {ARGUMENTS: [], OTHERS: []}
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is None:
            continue
        argument = parameter.param_type_name == "argument"
        names, text = (_word(parameter) if argument else record[0]), record[1]
        for written, said in _RANGES:
            text = re.sub(written, said, text)
        groups.setdefault(ARGUMENTS if argument else parameter.rich_help_panel or OTHERS, []).append((names, text))
    last = (ANNOTATIONS, RESULTS, RUNNING)  # what a command alone has comes before what many have
    order = [title for title in groups if title not in last] + [title for title in last if title in groups]
    return {title: groups[title] for title in order if groups[title]}


def _word(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper())
