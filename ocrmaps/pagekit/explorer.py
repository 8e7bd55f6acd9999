"""The sample browser of a page: thousands of samples in a list, each a picture with layers to turn on and off.

Python says what there is (`Layer`, `Kind`, `Entry`), the script beside this file shows it. Pictures are inlined, or
lie as files beside the page; which of them is chosen by `plan_pictures` from what the first pictures weigh.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ocrmaps.errors import SpecError
from ocrmaps.files import writing
from ocrmaps.geometry import FloatArray, PolygonSet
from ocrmaps.pagekit.page import Html, data_block, paragraph, table
from ocrmaps.text import number, visible

INLINE_BYTES = 12_000_000
"""Pictures of a page that weigh less than this together are part of it; above, they are files beside it."""
SIDES = (960, 640, 448)
"""Longest sides of pictures on a page, the largest that fits the limit is taken; files beside it have the second."""
STILL = 100
"""Samples listed for readers without scripts."""
_TAKEN = frozenset("jkx")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """Something that can be seen of a sample, turned on and off by its letter."""

    key: str
    name: str
    letter: str
    kind: Literal["picture", "map", "outline"]
    medium: str = ""
    """Which of an entry's pictures shows it; a map is one channel of it."""
    channel: int = 0
    color: str = ""
    """#rrggbb, for maps and as a mark on the button."""
    on: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What an outline is, told by color and by dashes."""

    code: str
    """One letter."""
    name: str
    color: str
    dashed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DrawnOutlines:
    """The polygons of one layer of one sample, in pixels of `Entry.size`."""

    polygons: PolygonSet
    kinds: Sequence[str]
    """Code of a `Kind` for each."""
    words: Sequence[str] = ()
    """What is said about each when it is pointed at; none where empty."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Entry:
    """One sample."""

    name: str
    size: tuple[int, int]
    """(height, width) that outlines count in."""
    figures: Mapping[str, float | int | None]
    facets: Mapping[str, Collection[str]]
    """Every value that this sample has of a property: several where its polygons differ."""
    outlines: Mapping[str, DrawnOutlines] = field(default_factory=dict)
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PicturePlan:
    """Where the pictures of a page are, and how large."""

    side: int
    inline: bool
    estimate: int
    """Expected bytes of all of them."""
    why: str

    def sentence(self, folder: str) -> str:
        where = "inside the page" if self.inline else f"in {folder} beside the page"
        return f"Pictures are {where}, at most {self.side} px a side, about {self.estimate / 1e6:.1f} MB ({self.why})."


def plan_pictures(
    weights: Mapping[int, float],
    samples: int,
    *,
    place: Literal["auto", "inline", "folder"] = "auto",
    side: int | None = None,
) -> PicturePlan:
    """Decide from `weights`, the mean bytes of a sample's pictures at each of `SIDES` (or at `side`).

    >>> plan_pictures({960: 60e3, 640: 30e3, 448: 17e3}, 300).side
    640
    >>> plan_pictures({960: 60e3, 640: 30e3, 448: 17e3}, 10_000).inline
    False
    """
    total = {s: round(w * samples) for s, w in weights.items() if side is None or s == side}
    if place != "folder":
        for s in sorted(total, reverse=True):
            if total[s] <= INLINE_BYTES:
                return PicturePlan(side=s, inline=True, estimate=total[s], why=f"under {INLINE_BYTES / 1e6:.0f} MB")
        if place == "inline":
            s = min(total)
            return PicturePlan(side=s, inline=True, estimate=total[s], why="as asked")
    s = side if side is not None else SIDES[1]
    why = "as asked" if place == "folder" else f"over {INLINE_BYTES / 1e6:.0f} MB inside"
    return PicturePlan(side=s, inline=False, estimate=total[s], why=why)


class Album:
    """Collects entries and their pictures; files are written as they come, into a folder that must be new."""

    def __init__(
        self,
        layers: Sequence[Layer],
        kinds: Sequence[Kind],
        *,
        worst: Mapping[str, Literal["high", "low"]],
        folder: Path | None = None,
        address: str = "",
    ) -> None:
        """`worst` names the figures, the first of which the list is sorted by; `address` leads from the page to
        `folder`, None inlines."""
        letters = [layer.letter for layer in layers]
        if len(set(letters)) != len(letters) or _TAKEN & set(letters):
            raise SpecError(f"found layer letters {''.join(letters)}, expected different ones and none of j, k, x")
        self.layers, self.kinds, self.worst = tuple(layers), tuple(kinds), dict(worst)
        self.folder, self.address = folder, address
        self.entries: list[Entry] = []
        self.bytes = 0
        self._media: dict[str, list[str]] = {layer.medium: [] for layer in layers if layer.medium}
        self._before: dict[str, str] = {}

    def add(self, entry: Entry, pictures: Mapping[str, tuple[bytes, str]]) -> None:
        """One more sample; `pictures` are encoded, by medium, with their type (`jpeg` or `png`)."""
        for medium, names in self._media.items():
            data, kind = pictures.get(medium, (b"", ""))
            if not data:
                names.append("")
                continue
            self.bytes += len(data)
            if self.folder is None:
                self._before[medium] = f"data:image/{kind};base64,"
                names.append(base64.b64encode(data).decode())
            else:
                self._before[medium] = f"{self.address}/{medium}/"
                name = f"{len(self.entries):06d}.{kind}"
                with writing(self.folder):
                    (self.folder / medium).mkdir(parents=True, exist_ok=True)
                    (self.folder / medium / name).write_bytes(data)
                names.append(name)
        self.entries.append(entry)

    def html(self, caption: str) -> Html:
        """The place of the browser, with the numbers of the worst samples for readers without scripts."""
        first, way = next(iter(self.worst.items()))
        ranked = sorted(self.entries, key=lambda e: _rank(e.figures.get(first), way))
        rows = [
            (visible(e.name, 120), *(number(e.figures.get(f)) for f in self.worst), "; ".join(
                f"{name}: {', '.join(sorted(values))}" for name, values in e.facets.items() if values
            ))
            for e in ranked[:STILL]
        ]  # fmt: skip
        still = table(
            ("picture", *self.worst, "properties"), rows, caption=caption, text_columns=(0, 1 + len(self.worst))
        )
        rest = len(self.entries) - len(rows)
        more = paragraph(f"{number(rest)} more are listed where scripts may run.").text if rest > 0 else ""
        return Html(f'<div id="explorer"><noscript>{still.text}{more}</noscript></div>')

    def data(self) -> Html:
        """What the script reads."""
        e = self.entries
        facets = dict.fromkeys(name for entry in e for name in entry.facets)
        keys = [layer.key for layer in self.layers if layer.kind == "outline"]
        return data_block(
            "explorer-data",
            {
                "layers": [
                    {
                        "key": layer.key,
                        "name": layer.name,
                        "letter": layer.letter,
                        "kind": layer.kind,
                        "media": layer.medium,
                        "channel": layer.channel,
                        "color": layer.color,
                        "on": layer.on,
                    }
                    for layer in self.layers
                ],
                "kinds": {k.code: {"name": k.name, "color": k.color, "dash": k.dashed} for k in self.kinds},
                "names": [visible(entry.name, 200) for entry in e],
                "sizes": [side for entry in e for side in (entry.size[1], entry.size[0])],
                "figures": [
                    {"name": name, "worst": way, "digits": 3, "of": [_plain(entry.figures.get(name)) for entry in e]}
                    for name, way in self.worst.items()
                ],
                "facets": [f for name in facets if (f := _facet(name, e)) is not None],
                "media": {m: {"before": self._before.get(m, ""), "of": names} for m, names in self._media.items()},
                "outlines": {
                    key: [_packed(entry.outlines[key]) if key in entry.outlines else "" for entry in e] for key in keys
                },
                "words": {
                    key: [
                        [visible(w, 120) for w in entry.outlines[key].words] if key in entry.outlines else []
                        for entry in e
                    ]
                    for key in keys
                },
                "notes": {str(i): [visible(n, 300) for n in entry.notes] for i, entry in enumerate(e) if entry.notes},
            },
        )


@cache
def script() -> str:
    """The browser's script; it runs once, after the page and the data."""
    return (resources.files("ocrmaps.pagekit") / "explorer.js").read_text(encoding="utf-8")


@cache
def style() -> str:
    """The browser's part of the style sheet."""
    return (resources.files("ocrmaps.pagekit") / "explorer.css").read_text(encoding="utf-8")


def _rank(value: float | int | None, way: str) -> tuple[bool, float]:
    return value is None, 0.0 if value is None else -value if way == "high" else value


def _plain(value: float | int | None) -> float | int | None:
    if value is None or isinstance(value, int):
        return value
    value = float(value)
    return round(value, 4) if np.isfinite(value) else None


def _facet(name: str, entries: Sequence[Entry]) -> dict[str, Any] | None:
    """The values of a property by frequency of the order they come in; None where all samples have the same one."""
    own = [tuple(dict.fromkeys(entry.facets.get(name, ()))) for entry in entries]
    values = list(dict.fromkeys(sorted({v for vs in own for v in vs}, key=_natural)))
    if len(set(own)) < 2:
        return None
    at = {value: i for i, value in enumerate(values)}
    return {
        "name": name,
        "values": [visible(v, 80) for v in values],
        "of": [at[vs[0]] if len(vs) == 1 else [at[v] for v in vs] for vs in own],
    }


def _natural(value: str) -> tuple[float, str]:
    """Values that begin with a number by that number, the others after them by name."""
    digits = value.split("-")[0].split("x")[0].split(" ")[0].rstrip("+")
    try:
        return float(digits), value
    except ValueError:
        return float("inf"), value


def _packed(outlines: DrawnOutlines) -> str:
    """Polygons as text: the kind, then tenths of pixels, the first point and steps from each point to the next."""
    parts = []
    for code, points in zip(outlines.kinds, outlines.polygons, strict=True):
        steps = _steps(points)
        parts.append(code + " ".join(map(str, steps.ravel().tolist())))
    return ";".join(parts)


def _steps(points: FloatArray) -> np.ndarray:
    # Far outside of any picture nothing is seen; the cut keeps absurd coordinates from growing the page.
    tenths = np.round(np.clip(points, -1e5, 1e5) * 10).astype(np.int64)
    return np.diff(tenths, axis=0, prepend=np.zeros((1, 2), dtype=np.int64))
