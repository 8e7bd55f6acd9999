"""Tells what a file may hold: each key's type, default, range and meaning, for people and as a JSON schema."""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Mapping
from dataclasses import MISSING, Field, is_dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from ocrmaps.settings.files import Form, plain
from ocrmaps.settings.ranges import Range, Rule, choices, hints, keys, parted, told

DIALECT = "http://json-schema.org/draft-07/schema#"
"""The dialect that editors of TOML understand."""
_TYPES: dict[Any, str] = {bool: "boolean", int: "integer", float: "number", str: "string", Path: "string"}


def schema(form: Form) -> dict[str, Any]:
    """The JSON schema of a kind of file; rules between keys are left to the reader."""
    return {"$schema": DIALECT, "title": f"ocrmaps {form.what}", **_table(form.record, form.filled)}


def schema_text(form: Form) -> str:
    """The JSON schema as a file holds it."""
    return json.dumps(schema(form), indent=2) + "\n"


def schema_file(form: Form) -> str:
    """What the schema beside a written file is called."""
    return f"{form.what}.schema.json"


def schema_line(form: Form) -> str:
    """The first line of a written file: where editors find its schema."""
    return f"#:schema {schema_file(form)}\n"


@cache
def meanings_of(record: Any) -> dict[str, str]:
    """Field -> the text that stands under it in the source, in one line."""
    module = ast.parse(Path(inspect.getsourcefile(record) or "").read_text(encoding="utf-8"))
    classes = {node.name: node for node in ast.walk(module) if isinstance(node, ast.ClassDef)}
    found = {}
    for key, text in pairwise(classes[record.__name__].body):
        if not (isinstance(key, ast.AnnAssign) and isinstance(key.target, ast.Name) and isinstance(text, ast.Expr)):
            continue
        if isinstance(text.value, ast.Constant) and isinstance(text.value.value, str):
            found[key.target.id] = " ".join(text.value.value.split())
    return found


def meaning_of(record: type[Any]) -> str:
    """The first paragraph of what a record says of itself, in one line."""
    return " ".join((inspect.getdoc(record) or "").split("\n\n")[0].split())


def kind_of(hint: Any) -> str:
    """A type as somebody who writes TOML would say it.

    >>> kind_of(int | None), kind_of(tuple[tuple[int, int], ...]), kind_of(Literal["a", ""])
    ('whole number', 'list of [whole number, whole number]', 'text')
    """
    if len(choices(hint)) > 1:
        return " or ".join(dict.fromkeys(kind_of(part) for part in choices(hint)))
    kind, _ = parted(choices(hint)[0])
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " or ".join(dict.fromkeys(kind_of(type(word)) for word in arguments))
    if origin is tuple and arguments[-1] is Ellipsis:
        return f"list of {kind_of(arguments[0])}"
    if origin is tuple:
        return f"[{', '.join(kind_of(part) for part in arguments)}]"
    if inspect.isclass(origin or kind) and issubclass(origin or kind, Mapping):
        return "table"
    return {bool: "true or false", int: "whole number", float: "number", str: "text", Path: "path"}[kind]


def allowed(hint: Any) -> str:
    """Which values of its type a key takes; empty if all."""
    parts = choices(hint)
    if len(parts) == 1 and get_origin(parted(parts[0])[0]) is Literal:
        return ", ".join(f"`{json.dumps(word)}`" for word in get_args(parted(parts[0])[0]))
    return told(hint) if any(_is_bound(part) for part in [hint, *parts]) else ""


def default_of(key: Field[Any]) -> str:
    """A key's default as the pages say it."""
    value = _default(key)
    if value is MISSING:
        return "must be given"
    return "none" if value is None else f"`{json.dumps(plain(value))}`"


def _is_bound(hint: Any) -> bool:
    """Whether there are marks on a type or within it."""
    kind, marks = parted(hint)
    return bool(marks) or (get_origin(kind) is tuple and any(_is_bound(part) for part in get_args(kind)))


def _default(key: Field[Any]) -> Any:
    return key.default_factory() if key.default_factory is not MISSING else key.default


def _table(record: Any, filled: tuple[str, ...] = ()) -> dict[str, Any]:
    meanings = meanings_of(record)
    properties: dict[str, Any] = {}
    for key in keys(record):
        found = _schema_of(hints(record)[key.name])
        default = _default(key)
        if key.name in meanings:
            found["description"] = meanings[key.name]
        if default not in (MISSING, None) and not is_dataclass(default):
            found["default"] = plain(default)
        properties[key.name] = found
    return {
        "description": meaning_of(record),
        "type": "object",
        "properties": properties,
        "required": [k.name for k in keys(record) if _default(k) is MISSING and k.name not in filled],
        "additionalProperties": False,
    }


def _schema_of(hint: Any) -> dict[str, Any]:
    parts = choices(hint)
    if len(parts) > 1:
        return {"anyOf": [_schema_of(part) for part in parts]}
    kind, marks = parted(parts[0])
    origin, arguments = get_origin(kind), get_args(kind)
    found: dict[str, Any]
    if is_dataclass(kind):
        return _table(kind)
    if origin is Literal:
        found = {"enum": list(arguments)}
    elif origin is tuple:
        found = {"type": "array", "items": _schema_of(arguments[0])}
        if arguments[-1] is not Ellipsis:
            found |= {"minItems": len(arguments), "maxItems": len(arguments)}
    elif inspect.isclass(origin or kind) and issubclass(origin or kind, Mapping):
        inner = is_dataclass(arguments[1])
        found = {"type": "object", **({"additionalProperties": _schema_of(arguments[1])} if inner else {})}
    else:
        found = {"type": _TYPES[kind]}
    for mark in marks:
        found |= _bounds(mark, found.get("type", ""))
    return found


def _bounds(mark: Range | Rule, kind: str) -> dict[str, Any]:
    if isinstance(mark, Range):
        words = {"minimum": mark.ge, "exclusiveMinimum": mark.gt, "maximum": mark.le, "exclusiveMaximum": mark.lt}
        return {word: bound for word, bound in words.items() if bound is not None}
    least = {"string": "minLength", "array": "minItems", "object": "minProperties"}.get(kind, "")
    found: dict[str, Any] = {"pattern": mark.pattern} if mark.pattern else {}
    return found | ({least: mark.least} if mark.least else {})
