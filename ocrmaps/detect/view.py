"""Says how a page is looked at that is too large for a canvas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ocrmaps.errors import SpecError

LEAST_TILE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class PageView:
    """How a page is looked at: in which windows, at which scales.

    >>> PageView(scales=(1.0, 1.5)).plain, PageView().plain
    (False, True)
    """

    tile: int | Literal["auto"] | None = None
    """Side of the windows, at the page's own resolution; auto: at a scale that suits the height of its texts; None:
    the whole page on a canvas, as in training."""
    scales: tuple[float, ...] = (1.0,)
    """Maps at these multiples of the scale are averaged."""

    def __post_init__(self) -> None:
        known = self.tile is None or (self.tile == "auto" if isinstance(self.tile, str) else self.tile >= LEAST_TILE)
        if not known:
            raise SpecError(f"found tile {self.tile!r}, expected auto or {LEAST_TILE} pixels and more")
        if not self.scales or len(set(self.scales)) != len(self.scales) or not all(0.25 <= s <= 4 for s in self.scales):
            raise SpecError(f"found scales {self.scales}, expected different numbers from 0.25 to 4")

    @property
    def plain(self) -> bool:
        """Whether this is what happens without any view."""
        return self.tile is None and self.scales == (1.0,)
