"""The whole declarative input of a build, parsed strictly from TOML: every problem at once, each with its place.

A recipe says which sources are drawn, on which canvases, as which maps and in which layout. It holds no secrets,
no machine settings and no defaults that depend on either: two people with the same recipe and the same inputs
get the same version. Relative paths count from the recipe file's folder.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from ocrmaps.canonical import CanonicalSpec
from ocrmaps.errors import Problem, SpecError
from ocrmaps.maps import MapSpec

Split = Literal["train", "val", "test", ""]
Codec = Literal["lz4", "lz4hc", "zstd", "raw"]
"""How one row of one array is packed; `ocrmaps.store.format.codecs` says what each means in Zarr."""
ARRAYS = ("image", "probability", "threshold", "mask")
"""The arrays of a canvas, in the order in which receipts and tables list them."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
NAME_SAID = "letters, digits, '.', '_' and '-', at most 64"
"""What stores and sources may be called: a folder's name, and nothing that leads elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRecipe:
    """One source as a recipe names it; nothing on disk has been looked at."""

    path: Path
    """The annotation file, or the folder with one file per picture."""
    format: str | None = None
    """A known annotation format, or None to take the one that the files show beyond doubt."""
    pictures: Path | None = None
    """The folder that picture names are relative to; None for the format's convention."""
    frame: Literal["raw", "upright"] = "upright"
    """What annotation coordinates count: stored pixels (`raw`) or what a viewer shows (`upright`)."""
    split: Split = ""
    """What its samples are for; a source without a split is built and shown, and no run trains on it by default."""
    name: str = ""
    """Tells sources apart that share picture names within a split; stored with every row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How rows are packed into files."""

    rows_per_shard: int = 32
    """Rows in one stored file of each array: also the unit of work of a build and of a repair."""
    image: Codec = "lz4"
    """How pictures are packed; the default unpacks fastest among those that pack fast enough."""
    probability: Codec = "lz4hc"
    """How probability maps are packed."""
    threshold: Codec = "lz4"
    """How threshold maps are packed."""
    mask: Codec = "lz4hc"
    """How the two masks, one byte a pixel, are packed."""

    @property
    def codecs(self) -> dict[str, Codec]:
        return {name: getattr(self, name) for name in ARRAYS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a version is built from and how.

    >>> recipe = default_recipe([SourceRecipe(path=Path("labels.json"), split="train")], name="receipts", longest=640)
    >>> load_text(dump_recipe(recipe)) == recipe
    True
    """

    name: str
    """The store's name: a folder in the cache. Not part of a version's identity."""
    sources: tuple[SourceRecipe, ...]
    canonical: CanonicalSpec
    maps: MapSpec = field(default_factory=MapSpec)
    layout: Layout = field(default_factory=Layout)

    def identity(self) -> dict[str, Any]:
        """What of this recipe decides the stored bytes, as plain data; sources count by content, not by place."""
        return {
            "canonical": _plain(asdict(self.canonical)),
            "maps": _plain(asdict(self.maps)),
            "layout": asdict(self.layout),
        }

    def as_dict(self) -> dict[str, Any]:
        """Plain data that `recipe_from_dict` reads back."""
        return _plain(asdict(self))


def default_recipe(
    sources: Iterable[SourceRecipe], *, name: str = "default", longest: int = 640, maps: MapSpec | None = None
) -> Recipe:
    """The recommended start: longest side `longest`, square and narrower canvases, default maps and layout."""
    return Recipe(
        name=name,
        sources=tuple(sources),
        canonical=CanonicalSpec.longest(longest),
        maps=MapSpec() if maps is None else maps,
    )


def load_recipe(path: Path | str, settings: Sequence[str] = ()) -> Recipe:
    """Read a recipe file; `settings` are `key=value` changes such as `canonical.side=1024`, values in TOML.

    The store is named after the file unless the recipe says otherwise; relative paths become absolute.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise SpecError(
            f"{path}: no such recipe file", hint="`ocrmaps recommend SOURCE` writes a recipe to start from"
        ) from error
    except IsADirectoryError as error:
        raise SpecError(f"{path}: found a folder, expected a recipe file", hint="name the .toml file in it") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: the recipe cannot be read as UTF-8 text ({error})") from error
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._") or "default"
    return resolve_recipe(load_text(text, settings, where=str(path), name=name), path.absolute().parent)


def load_text(text: str, settings: Sequence[str] = (), *, where: str = "recipe", name: str = "default") -> Recipe:
    """A recipe from TOML text; paths stay as written."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{where}: not valid TOML: {error}") from error
    for setting in settings:
        _override(data, setting)
    data.setdefault("name", name)
    return recipe_from_dict(data, where=where)


def recipe_from_dict(data: Mapping[str, Any], *, where: str = "recipe") -> Recipe:
    """A recipe from plain data, refused with all its problems at once."""
    try:
        # Strict validation of Python objects refuses lists for tuples; of JSON it does not, and nothing else is lost.
        parsed = _file_model().model_validate_json(json.dumps(data, default=str, allow_nan=True))
    except ValidationError as error:
        raise _refused([_problem(where, e) for e in error.errors(include_url=False)], where) from error
    problems: list[Problem] = []
    records: dict[str, Any] = {}
    for key, record in (("canonical", CanonicalSpec), ("maps", MapSpec), ("layout", Layout)):
        try:
            records[key] = record(**dict(getattr(parsed, key)))
        except SpecError as error:
            found = error.problems or [Problem(loc=key, message=str(error).removeprefix(f"{key}: "))]
            problems += [replace(p, loc=f"{where}:{p.loc}") for p in found]
    sources = tuple(SourceRecipe(**dict(source)) for source in parsed.sources)
    problems += _beyond_types(parsed.name, sources, records.get("layout"), where)
    if problems:
        raise _refused(problems, where)
    return Recipe(name=parsed.name, sources=sources, **records)


def resolve_recipe(recipe: Recipe, base: Path) -> Recipe:
    """The same recipe with every relative path taken from `base`."""
    for place in (base, *(s.path for s in recipe.sources)):
        if not _is_text(place):
            raise SpecError(f"{place!r}: the name of this folder is not valid Unicode, so no manifest can hold it")
    sources = (
        replace(s, path=base / s.path, pictures=None if s.pictures is None else base / s.pictures)
        for s in recipe.sources
    )
    return replace(recipe, sources=tuple(sources))


def dump_recipe(recipe: Recipe) -> str:
    """The recipe as TOML text; settings at their default are written too, so that the file says everything."""
    data = recipe.as_dict()
    lines = [f"name = {_toml(data['name'])}"]
    for source in data["sources"]:
        lines += ["", "[[sources]]", *_assignments({k: v for k, v in source.items() if v not in (None, "")})]
    for table in ("canonical", "maps", "layout"):
        lines += ["", f"[{table}]", *_assignments({k: v for k, v in data[table].items() if v is not None})]
    return "\n".join(lines) + "\n"


def _beyond_types(name: str, sources: Sequence[SourceRecipe], layout: Layout | None, where: str) -> list[Problem]:
    problems = []
    if not NAME.fullmatch(name):
        problems.append(Problem(loc=f"{where}:name", message=f"found {name!r}, expected {NAME_SAID}"))
    if not sources:
        problems.append(Problem(loc=f"{where}:sources", message="found none, expected at least one [[sources]]"))
    seen: dict[SourceRecipe, int] = {}
    for i, source in enumerate(sources):
        if source in seen:
            problems.append(
                Problem(
                    loc=f"{where}:sources[{i}]", message=f"the same source as sources[{seen[source]}]: {source.path}"
                )
            )
        seen.setdefault(source, i)
        if source.name and not NAME.fullmatch(source.name):
            problems.append(
                Problem(
                    loc=f"{where}:sources[{i}].name",
                    message=f"found {source.name!r}, expected {NAME_SAID}",
                )
            )
    if layout is not None and not 1 <= layout.rows_per_shard <= 4096:
        problems.append(
            Problem(loc=f"{where}:layout.rows_per_shard", message=f"found {layout.rows_per_shard}, expected 1 to 4096")
        )
    return problems


@cache
def _file_model() -> Any:
    """The pydantic model of a recipe file, derived from the records so that a field is declared once."""
    sources: Any = tuple.__class_getitem__((_model(SourceRecipe), ...))
    return create_model(
        "RecipeFile",
        __config__=_STRICT,
        name=(str, ...),
        sources=(sources, ...),
        canonical=(_model(CanonicalSpec), ...),
        maps=(_model(MapSpec), Field(default_factory=_model(MapSpec))),
        layout=(_model(Layout), Field(default_factory=_model(Layout))),
    )


_STRICT = ConfigDict(frozen=True, extra="forbid", strict=True)


def _model(record: type[Any]) -> type[BaseModel]:
    hints = get_type_hints(record)
    declared: dict[str, Any] = {}
    for f in fields(record):
        default: Any = ...
        if f.default is not MISSING:
            default = f.default
        elif f.default_factory is not MISSING:
            default = Field(default_factory=f.default_factory)
        declared[f.name] = (hints[f.name], default)
    return create_model(record.__name__, __config__=_STRICT, **declared)


def _problem(where: str, error: Any) -> Problem:
    loc = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"]).lstrip(".")
    message = error["msg"]
    if error["type"] == "extra_forbidden":
        message = f"unknown key{_known(error['loc'])}"
    elif error["type"] == "missing":
        message = "missing, and it has no default"
    elif not isinstance(error["input"], dict | list):
        message = f"{message}, found {error['input']!r}"
    return Problem(loc=f"{where}:{loc}", message=message)


def _known(loc: tuple[str | int, ...]) -> str:
    table: dict[str, type[Any]] = {
        "sources": SourceRecipe,
        "canonical": CanonicalSpec,
        "maps": MapSpec,
        "layout": Layout,
    }
    record = table.get(str(loc[0])) if len(loc) > 1 else Recipe
    return f"; known here: {', '.join(f.name for f in fields(record))}" if record else ""


def _refused(problems: Sequence[Problem], where: str) -> SpecError:
    count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
    return SpecError(f"{where}: the recipe has {count}:", problems=problems)


def _is_text(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _override(data: dict[str, Any], setting: str) -> None:
    """Apply one `a.b=value` to nested tables; a value that is not TOML is taken as a string."""
    key, equals, value = setting.partition("=")
    path = key.strip().split(".")
    if not equals or not all(path):
        raise SpecError(f"--set {setting}: found {setting!r}, expected key=value such as canonical.side=1024")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    table = data
    for part in path[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise SpecError(f"--set {setting}: {part} is not a table; only canonical, maps, layout and name can be set")
    table[path[-1]] = parsed


def _plain(value: Any) -> Any:
    """Records' plain values as JSON knows them: paths as text, tuples as lists."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value.as_posix() if isinstance(value, Path) else value


def _assignments(table: Mapping[str, Any]) -> list[str]:
    return [f"{key} = {_toml(value)}" for key, value in table.items()]


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    if isinstance(value, str):
        # JSON's escapes are TOML's, except that TOML also wants DEL escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)
