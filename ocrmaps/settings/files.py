"""Reads the records of hand-written TOML files, and writes them: every problem at once, each with its file and line."""

from __future__ import annotations

import datetime
import difflib
import json
import math
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, is_dataclass
from pathlib import Path
from typing import Any, get_args

from ocrmaps.errors import Problem, SpecError
from ocrmaps.settings.ranges import at, hints, keys, parted, shown, take

_MOST_BYTES = 2**20
"""Of a hand-written file."""
_MOST_PARTS = 64
_PARTS = re.compile(r"[{,]")
_MOST_HELD = 1000
"""Lines of one value whose own lines are looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One kind of hand-written file."""

    what: str
    """What such a file is called: recipe, run."""
    record: Any
    """The frozen record that a file becomes; the records in it are its tables."""
    example: str = ""
    """A `key=value` that `--set` takes."""
    hint: str = ""
    """What to do where there is no such file."""
    filled: tuple[str, ...] = ()
    """Keys that the file's reader fills in where they are not said."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Old key -> what it is called now, both with their table: a file with an old key is refused with the new one."""


@dataclass(slots=True, kw_only=True)
class Draft:
    """What a file says, before it is checked; a reader fills in what follows from the file's place."""

    form: Form
    data: dict[str, Any]
    where: str
    text: str = ""
    """The TOML text that the data is from, to find lines in."""
    changed: tuple[str, ...] = ()
    """Keys that `--set` gave."""

    def record(self) -> Any:
        """The checked record."""
        problems: list[Problem] = []
        found = _record(self.form, self.form.record, self.data, "", problems)
        if problems:
            lines = dict(_lines(self.text))
            count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
            raise SpecError(
                f"{self.where}: the {self.form.what} has {count}:",
                problems=[Problem(self._place(p.loc, lines), p.message, p.kind) for p in problems],
            )
        return found

    def _place(self, loc: str, lines: Mapping[str, int]) -> str:
        if any(f"{c}.".startswith(f"{loc}.") or loc.startswith((f"{c}.", f"{c}[")) for c in self.changed):
            return f"--set {loc}"
        near = loc
        while near and near not in lines:
            near = re.sub(r"(^|\.)[^.\[]*$|\[\d+\]$", "", near)
        return f"{self.where}:{lines[near]}:{loc}" if near else f"{self.where}:{loc}"


def read_file(form: Form, path: Path, settings: Sequence[str] = ()) -> Draft:
    """What a file says after `key=value` changes."""
    if path.is_dir():
        raise SpecError(f"{path}: found a folder, expected a {form.what} file", hint="name the .toml file in it")
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise SpecError(f"{path}: found no regular file, expected a {form.what} file")
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        text = data.decode("utf-8").replace("\r\n", "\n")
    except FileNotFoundError as error:
        raise SpecError(f"{path}: no such {form.what} file", hint=form.hint) from error
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: the {form.what} file cannot be read as UTF-8 text ({error})") from error
    if len(data) > _MOST_BYTES:
        raise SpecError(f"{path}: found over {_MOST_BYTES} bytes, expected a {form.what} file")
    return read_text(form, text, settings, where=str(path))


def read_text(form: Form, text: str, settings: Sequence[str] = (), *, where: str) -> Draft:
    """What a TOML text says after `key=value` changes; a value that is not TOML is taken as a string."""
    try:
        data = toml_of(text)
    except ValueError as error:
        raise SpecError(f"{where}: not valid TOML: {str(error).partition(';')[0]}") from error
    except RecursionError:
        raise SpecError(f"{where}: found values nested too deeply, expected at most a few levels") from None
    changed = tuple(_override(form, data, setting) for setting in settings)
    return Draft(form=form, data=data, where=where, text=text, changed=changed)


def toml_of(text: str) -> dict[str, Any]:
    """What a TOML text says; ValueError for what is none, and for keys of parts without end, which take hours."""
    for line in text.split("\n"):
        *said, last = line.split("=")
        if line.lstrip().startswith("[") and not said:
            said = [last.split(",")[0]]  # the head of a table
        if not line.lstrip().startswith("#") and any(_PARTS.split(key)[-1].count(".") > _MOST_PARTS for key in said):
            raise ValueError(f"found a key of over {_MOST_PARTS} parts")
    return tomllib.loads(text)


def file_name(path: Path, otherwise: str) -> str:
    """What a file without a `name` calls its content: the file's name as a plain folder name.

    >>> file_name(Path("my recipe.toml"), "default")
    'my-recipe'
    """
    return re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._")[:64] or otherwise


_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+:)/+")


def is_url(named: str | os.PathLike[str]) -> bool:
    """Whether a name is the URL of a place, though a `Path` made of it has lost a slash.

    >>> is_url("s3://bucket/a"), is_url(Path("s3://bucket/a")), is_url("C:/a"), is_url("a/b:/c")
    (True, True, False, False)
    """
    return _URL.match(os.fspath(named)) is not None


def plain(value: Any) -> Any:
    """A record and the values in it as JSON knows them: tables as dicts, paths as text, tuples as lists."""
    if is_dataclass(value) and not isinstance(value, type):
        return {key.name: plain(getattr(value, key.name)) for key in keys(type(value))}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, datetime.date | datetime.time):
        return str(value)
    if isinstance(value, Path):
        text = value.as_posix()
        return _URL.sub(r"\1//", text, count=1) if is_url(value) and not text.startswith("file:") else text
    return value


def dump(record: Any) -> str:
    """A record as TOML text that reads back equal; settings at their default are written too."""
    lines: list[str] = []
    tables: list[str] = []
    for key in keys(type(record)):
        value = getattr(record, key.name)
        if is_dataclass(value):
            tables += ["", f"[{key.name}]", *_assignments(value)]
        elif isinstance(value, tuple) and value and is_dataclass(value[0]):
            for item in value:
                tables += ["", f"[[{key.name}]]", *_assignments(item, empty=False)]
        elif isinstance(value, Mapping) and value and all(is_dataclass(item) for item in value.values()):
            for name, item in value.items():
                tables += ["", f"[{key.name}.{_key(name)}]", *_assignments(item)]
        else:
            lines += _assignment(key, value)
    return "\n".join(lines + tables if lines else tables[1:]) + "\n"


def _record(form: Form, record: Any, data: Any, path: str, problems: list[Problem]) -> Any:
    """One table as its record; None where it has problems."""
    if not isinstance(data, Mapping):
        problems.append(Problem(path, f"found {shown(data)}, expected a table"))
        return None
    before = len(problems)
    values: dict[str, Any] = {}
    for key in keys(record):
        loc = at(path, key.name)
        if key.name in data:
            values[key.name] = _value(form, hints(record)[key.name], data[key.name], loc, problems)
        elif key.default is MISSING and key.default_factory is MISSING:
            problems.append(Problem(loc, "missing, and it has no default"))
    known = {key.name for key in keys(record)}
    problems += [Problem(at(path, name), _unknown(form, record, path, name)) for name in data if name not in known]
    if len(problems) > before:
        return None
    try:
        return record(**values)
    except SpecError as error:
        table = re.sub(r"\[\d+\]$", "", path).rpartition(".")[2]
        found = error.problems or (Problem("", str(error)),)
        # A record says the table that it usually is; here it stands where the file put it.
        problems += [Problem(at(path, p.loc.removeprefix(f"{table}.")), p.message) for p in found]
        return None


def _value(form: Form, hint: Any, value: Any, loc: str, problems: list[Problem]) -> Any:
    """One key's value: the records in it are read first, the rest is taken by its type."""
    kind: Any = parted(hint)[0]
    if is_dataclass(kind):
        return _record(form, kind, value, loc, problems)
    inner: Any = next((part for part in get_args(kind) if is_dataclass(part)), None)
    before = len(problems)
    if inner and isinstance(value, list | tuple):
        value = tuple(_record(form, inner, item, f"{loc}[{i}]", problems) for i, item in enumerate(value))
    elif inner and isinstance(value, Mapping):
        value = {name: _record(form, inner, item, at(loc, name), problems) for name, item in value.items()}
    return value if len(problems) > before else take(hint, value, loc, problems)


def _tables(record: Any, path: str = "") -> Iterator[tuple[str, type[Any]]]:
    """(path, record) of a file and of the tables in it that are there once."""
    yield path, record
    for key in keys(record):
        kind, _ = parted(hints(record)[key.name])
        if is_dataclass(kind):
            yield from _tables(kind, at(path, key.name))


def _unknown(form: Form, record: type[Any], path: str, key: str) -> str:
    """What could be meant by an unknown key: its new name, one written like it, or the same one in another table."""
    loc = at(re.sub(r"\[\d+\]", "", path), key)
    if loc in form.renamed:
        return f"unknown key, it is called {form.renamed[loc]} now"
    here = [k.name for k in keys(record)]
    near = [at(path, name) for name in difflib.get_close_matches(key, here, n=2)]
    near += [at(place, key) for place, other in _tables(form.record) if key in {k.name for k in keys(other)}]
    meant = f", did you mean {' or '.join(dict.fromkeys(near))}?" if near else ";"
    return f"unknown key{meant} known here: {', '.join(here)}"


def _override(form: Form, data: dict[str, Any], setting: str) -> str:
    """Apply one `a.b=value` to nested tables and give its key."""
    key, equals, value = setting.partition("=")
    path = [part.strip() for part in key.split(".")]
    if not equals or not all(path):
        raise SpecError(f"--set {setting}: found {setting!r}, expected key=value such as {form.example}")
    try:
        parsed = toml_of(f"value = {value}")["value"]
    except (ValueError, RecursionError):
        parsed = value.strip()
    table = data
    for part in path[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            known = ", ".join(place for place, _ in _tables(form.record) if place)
            raise SpecError(f"--set {setting}: {part} is not a table; the tables whose keys can be set are {known}")
    table[path[-1]] = parsed
    return ".".join(path)


def _lines(text: str) -> Iterator[tuple[str, int]]:
    """(place, line) of everything that a valid TOML text gives.

    >>> dict(_lines('a = 1\\n[[t]]\\nb = [\\n1]\\n[[t]]\\nb.c = 2\\n'))
    {'a': 1, 't': 5, 't[0]': 2, 't[0].b': 3, 't[1]': 5, 't[1].b': 6, 't[1].b.c': 6}
    """
    arrays: dict[str, int] = {}
    table, start, held = "", 1, ""

    def places(path: str, data: Any) -> Iterator[str]:
        for key, value in data.items() if isinstance(data, dict) else ():
            place = at(path, key)
            yield place
            if place in arrays:
                place = f"{place}[{arrays[place]}]"
            yield from places(place, value)

    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        held = f"{held}\n{line}" if held else line
        if held is line:
            start = number
        if number - start > _MOST_HELD:
            return
        try:
            data = toml_of(held)
        except (ValueError, RecursionError):
            continue  # a value that goes on in the next line
        if data and held.lstrip().startswith("["):
            table, inside = "", data
            while isinstance(inside, dict) and inside:
                ((key, inside),) = inside.items()
                table = at(table, key)
                yield table, start
                if isinstance(inside, list):
                    arrays[table] = arrays.get(table, -1) + 1
                if table in arrays:
                    table = f"{table}[{arrays[table]}]"
            yield table, start
        else:
            yield from ((place, start) for place in places(table, data))
        held = ""


def _assignments(record: Any, *, empty: bool = True) -> list[str]:
    """One line a key; `empty` texts that are the default are written only where wanted."""
    said = [(key, getattr(record, key.name)) for key in keys(type(record))]
    return [line for key, value in said if empty or value or value != key.default for line in _assignment(key, value)]


def _assignment(key: Any, value: Any) -> list[str]:
    if value is not None:
        return [f"{key.name} = {_toml(plain(value))}"]
    if key.default not in (None, MISSING):
        raise SpecError(f"{key.name}: found None, which TOML has no word for and which is not the default")
    return []


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        inside = ", ".join(f"{_key(k)} = {_toml(v)}" for k, v in value.items() if v is not None)
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    if isinstance(value, str):
        # JSON's escapes are TOML's, except that TOML also wants DEL escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    return json.dumps(value)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _toml(name)
