"""The whole declarative input of a build, parsed strictly from TOML: every problem at once, each with its place.

A recipe says which sources are drawn, on which canvases, as which maps and in which layout. It holds no secrets,
no machine settings and no defaults that depend on either: two people with the same recipe and the same inputs
get the same version. Relative paths count from the recipe file's folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from ocrmaps.canonical import CanonicalSpec
from ocrmaps.errors import SpecError
from ocrmaps.maps import MapSpec
from ocrmaps.settings.files import Draft, Form, dump, file_name, is_url, plain, read_file, read_text
from ocrmaps.settings.ranges import Name, NameOrNone, Range, Rule, check

Split = Literal["train", "val", "test", ""]
Codec = Literal["lz4", "lz4hc", "zstd", "raw"]
"""How one row of one array is packed; `ocrmaps.store.format.codecs` says what each means in Zarr."""
ARRAYS = ("image", "probability", "threshold", "mask")
"""The arrays of a canvas, in the order in which receipts and tables list them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRecipe:
    """One source as a recipe names it; nothing on disk has been looked at."""

    path: Path
    """The annotation file, or the folder with one file per picture; `s3://BUCKET/FOLDER` for one in object storage."""
    format: str | None = None
    """A known annotation format, or None to take the one that the files show beyond doubt."""
    pictures: Path | None = None
    """The folder that picture names are relative to; None for the format's convention."""
    frame: Literal["raw", "upright"] = "upright"
    """What annotation coordinates count: stored pixels (`raw`) or what a viewer shows (`upright`)."""
    split: Split = ""
    """What its samples are for; a source without a split is built and shown, and no run trains on it by default."""
    name: NameOrNone = ""
    """Tells sources apart that share picture names within a split; stored with every row."""

    def __post_init__(self) -> None:
        check(self, "sources")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How rows are packed into files."""

    rows_per_shard: Annotated[int, Range(ge=1, le=4096)] = 32
    """Rows in one stored file of each array: also the unit of work of a build and of a repair."""
    image: Codec = "lz4"
    """How pictures are packed; the default unpacks fastest among those that pack fast enough."""
    probability: Codec = "lz4hc"
    """How probability maps are packed."""
    threshold: Codec = "lz4"
    """How threshold maps are packed."""
    mask: Codec = "lz4hc"
    """How the two masks, one byte a pixel, are packed."""

    def __post_init__(self) -> None:
        check(self, "layout")

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

    name: Name
    """The store's name: a folder in the cache. Not part of a version's identity."""
    sources: Annotated[tuple[SourceRecipe, ...], Rule("at least one [[sources]]", least=1)]
    canonical: CanonicalSpec
    maps: MapSpec = field(default_factory=MapSpec)
    layout: Layout = field(default_factory=Layout)

    def __post_init__(self) -> None:
        check(self, "", _repeated)

    def identity(self) -> dict[str, Any]:
        """What of this recipe decides the stored bytes, as plain data; sources count by content, not by place."""
        return {
            "canonical": plain(self.canonical),
            "maps": plain(self.maps),
            "layout": plain(self.layout),
        }

    def as_dict(self) -> dict[str, Any]:
        """Plain data that `recipe_from_dict` reads back."""
        return plain(self)


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


FORM = Form(
    what="recipe",
    record=Recipe,
    example="canonical.side=1024",
    hint="`ocrmaps recommend SOURCE` writes a recipe to start from",
    filled=("name",),
)


def load_recipe(path: Path | str, settings: Sequence[str] = ()) -> Recipe:
    """Read a recipe file; `settings` are `key=value` changes such as `canonical.side=1024`, values in TOML.

    The store is named after the file unless the recipe says otherwise; relative paths become absolute.
    """
    path = Path(path)
    draft = read_file(FORM, path, settings)
    return resolve_recipe(_named(draft, file_name(path, "default")), path.absolute().parent)


def load_text(text: str, settings: Sequence[str] = (), *, where: str = "recipe", name: str = "default") -> Recipe:
    """A recipe from TOML text; paths stay as written."""
    return _named(read_text(FORM, text, settings, where=where), name)


def recipe_from_dict(data: Mapping[str, Any], *, where: str = "recipe") -> Recipe:
    """A recipe from plain data, refused with all its problems at once."""
    recipe: Recipe = Draft(form=FORM, data=dict(data), where=where).record()
    return recipe


def resolve_recipe(recipe: Recipe, base: Path) -> Recipe:
    """The same recipe with every relative path taken from `base`."""
    for place in (base, *(s.path for s in recipe.sources)):
        if not _is_text(place):
            raise SpecError(f"{place!r}: the name of this folder is not valid Unicode, so no manifest can hold it")
    sources = (
        replace(s, path=_from(base, s.path), pictures=None if s.pictures is None else _from(base, s.pictures))
        for s in recipe.sources
    )
    return replace(recipe, sources=tuple(sources))


def dump_recipe(recipe: Recipe) -> str:
    """The recipe as TOML text; settings at their default are written too, so that the file says everything."""
    return dump(recipe)


def _named(draft: Draft, name: str) -> Recipe:
    draft.data.setdefault("name", name)
    recipe: Recipe = draft.record()
    return recipe


def _repeated(recipe: Recipe) -> Iterator[tuple[str, str]]:
    for i, source in enumerate(recipe.sources):
        first = recipe.sources.index(source)
        if first < i:
            yield f"sources[{i}]", f"the same source as sources[{first}]: {source.path}"


def _from(base: Path, path: Path) -> Path:
    """A path as seen from a folder; the URL of a place in object storage stays as it is."""
    return path if is_url(path) else base / path


def _is_text(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True
