"""Plots as inline SVG that takes its colors from the page: sharp at any size, light and dark, said in words too.

Each function returns a figure: the drawing, its caption and the numbers it was drawn from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ocrmaps.pagekit.page import Html, figure, safe, table
from ocrmaps.text import number, percent

_WIDTH, _HEIGHT = 420, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 22, 44
_BINS = 28
_NAME = 40
"""Letters of a ratio's name beside its bar."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One curve."""

    name: str
    x: npt.ArrayLike
    y: npt.ArrayLike


def histogram(
    values: npt.ArrayLike, caption: str, *, unit: str, marks: Sequence[float] = (), whole: bool = False
) -> Html:
    """How often which value occurs; the last bar takes everything beyond the 99th percentile when that is far out.

    `marks` are values of interest, drawn as dashed lines with the share below them. `whole` values get whole bins.
    """
    known = np.asarray(values, dtype=np.float64).ravel()
    known = known[np.isfinite(known)]
    if not len(known):
        return figure(Html(""), f"{caption}: no values")
    edges, capped = _edges(known, whole)
    counts = np.histogram(np.minimum(known, edges[-1]), edges)[0]
    shown = [m for m in marks if edges[0] < m < edges[-1]]
    frame = _Frame((float(edges[0]), float(edges[-1])), (0.0, float(counts.max())), above=len(shown))
    bars = "".join(
        f'<rect class="{"rest" if capped and i == len(counts) - 1 else "bar"}" x="{frame.x(edges[i]) + 0.5:.1f}" '
        f'y="{frame.y(c):.1f}" width="{max(frame.x(edges[i + 1]) - frame.x(edges[i]) - 1, 0.8):.1f}" '
        f'height="{frame.y(0) - frame.y(c):.1f}"/>'
        for i, c in enumerate(counts.tolist())
        if c
    )
    lines = "".join(_mark(frame, m, percent(float((known < m).mean())), i) for i, m in enumerate(shown))
    median = f"{number(float(np.median(known)))} {unit}".strip()
    summary = f"{caption}. {len(known)} values, median {median}, from {number(known.min())} to {number(known.max())}"
    drawing = frame.svg(
        summary, f"{unit}{f' (last bar: {number(edges[-2])} and more)' if capped else ''}", bars + lines
    )
    rows = [
        (f"{number(edges[i])} to {'more' if capped and i == len(counts) - 1 else number(edges[i + 1])}", number(int(c)))
        for i, c in enumerate(counts)
    ]
    numbers = table((unit or "value", "count"), rows, caption=f"{caption}: counts")
    return figure(drawing, f"{caption}, median {median}", numbers=numbers)


def bars(items: Sequence[tuple[str, float]], caption: str, *, unit: str, shares: bool = False) -> Html:
    """One horizontal bar for each named value, in the order given."""
    if not items:
        return figure(Html(""), f"{caption}: no values")
    step, left = 26, min(170, 20 + 7 * max(len(name) for name, _ in items))
    top = max((value for _, value in items), default=0.0) or 1.0
    room = _WIDTH - left - 74
    said = [percent(value) if shares else number(value) for _, value in items]
    body = "".join(
        f'<text x="{left - 8}" y="{i * step + 17}" text-anchor="end">{safe(name, 24)}</text>'
        f'<rect class="bar" x="{left}" y="{i * step + 4}" height="18" width="{max(room * value / top, 0.5):.1f}"/>'
        f'<text class="value" x="{left + room * value / top + 6:.1f}" y="{i * step + 17}">{safe(said[i])}</text>'
        for i, (name, value) in enumerate(items)
    )
    summary = f"{caption} ({unit}): " + ", ".join(f"{n} {s}" for (n, _), s in zip(items, said, strict=True))
    return figure(_svg(summary, _WIDTH, len(items) * step + 4, body), caption)


def ratios(items: Sequence[tuple[str, float, float]], caption: str) -> Html:
    """Named positive ratios with their spread as bars from 1 on a logarithmic axis: twice and half look alike."""
    known = [(name, value, max(spread, 0.0)) for name, value, spread in items if 0 < value < np.inf]
    if not known:
        return figure(Html(""), f"{caption}: no values")
    step, left, right = 26, 20 + 7 * max(min(len(name), _NAME) for name, _, _ in known), 70
    logs = [np.log10(value) for _, value, _ in known]
    low, high = min(0.0, float(np.floor(min(logs)))), max(1.0, float(np.ceil(max(logs))))
    width = left + 360 + right

    def x(value: float) -> float:
        return left + (width - left - right) * (float(np.clip(np.log10(max(value, 1e-300)), low, high)) - low) / (
            high - low
        )

    height = len(known) * step + 26
    body = "".join(
        f'<path class="{"mark" if d == 0 else "axis"}" d="M{x(10.0**d):.1f} 0V{height - 22}"/>'
        f'<text x="{x(10.0**d):.1f}" y="{height - 7}" text-anchor="middle">{number(10.0**d)}</text>'
        for d in range(int(low), int(high) + 1)
    )
    for i, (name, value, spread) in enumerate(known):
        y, a, b = i * step, min(x(1.0), x(value)), max(x(1.0), x(value))
        body += f'<text x="{left - 8}" y="{y + 17}" text-anchor="end">{safe(name, _NAME)}</text>'
        body += f'<rect class="bar" x="{a:.1f}" y="{y + 5}" height="16" width="{max(b - a, 1):.1f}"/>'
        end = b
        if spread:
            low_end, high_end = x(max(value - spread / 2, value / 100)), x(value + spread / 2)
            body += f'<path class="whisker" d="M{low_end:.1f} {y + 9}v8m0-4H{high_end:.1f}m0-4v8"/>'
            end = max(b, high_end)
        body += f'<text class="value" x="{end + 6:.1f}" y="{y + 17}">{number(value)}</text>'
    summary = f"{caption}: " + ", ".join(f"{name} {number(value)}" for name, value, _ in known)
    drawing = _svg(summary, width, height, body)
    # Too wide for a phone: it scrolls by itself instead of shrinking its letters away.
    scrolled = f'<div class="scroll wide" role="region" tabindex="0" aria-label="{safe(caption)}">{drawing.text}</div>'
    return figure(Html(scrolled), caption)


def lines(series: Sequence[Series], caption: str, *, x: str, y: str) -> Html:
    """Curves over a common axis; told apart by color, by dashes and by their names at the end."""
    data = [(s.name, np.asarray(s.x, dtype=np.float64), np.asarray(s.y, dtype=np.float64)) for s in series]
    data = [(name, a[k], b[k]) for name, a, b in data if (k := np.isfinite(a) & np.isfinite(b)).any()]
    if not data:
        return figure(Html(""), f"{caption}: no values")
    low, high = min(a.min() for _, a, _ in data), max(a.max() for _, a, _ in data)
    floor, ceiling = min(b.min() for _, _, b in data), max(b.max() for _, _, b in data)
    # From zero, or a small change looks like a large one.
    floor = min(0.0, float(floor))
    # The names stand above the curves, where no curve runs through them.
    frame = _Frame((float(low), float(high)), (floor, float(ceiling)), above=len(data))
    body = ""
    for i, (name, a, b) in enumerate(data):
        points = " ".join(f"{frame.x(u):.1f},{frame.y(v):.1f}" for u, v in zip(a.tolist(), b.tolist(), strict=True))
        body += f'<polyline class="series s{i % 4}" points="{points}"><title>{safe(name)}</title></polyline>'
        body += f'<path class="series s{i % 4}" d="M{_LEFT} {_TOP - 11 + 14 * i}h26"/>'
        body += f'<text class="value" x="{_LEFT + 34}" y="{_TOP - 7 + 14 * i}">{safe(name, 32)}</text>'
    ends = ", ".join(f"{name} ends at {number(float(b[-1]))}" for name, _, b in data)
    drawing = frame.svg(f"{caption}. {y} over {x}: {ends}", x, body)
    rows = [(name, number(float(u)), number(float(v), 4)) for name, a, b in data for u, v in zip(a, b, strict=True)]
    return figure(drawing, f"{caption}: {y} over {x}", numbers=table(("curve", x, y), rows, caption=caption))


def _edges(known: npt.NDArray[np.float64], whole: bool) -> tuple[npt.NDArray[np.float64], bool]:
    """Bin edges on round numbers, and whether the last bin is open."""
    low, high = float(known.min()), float(known.max())
    cap = float(np.quantile(known, 0.99))
    capped = high > low + 1.5 * (cap - low) and cap > low
    if capped:
        high = cap
    # Values that differ by rounding only share a bin; so do the smallest numbers there are.
    differ = (high - low) / _BINS > 1e-12 * max(abs(low), abs(high), 1e-200)
    step = _round_step((high - low) / _BINS) if differ else max(abs(low) * 0.1, 1.0 if whole else 0.1)
    if whole:
        step = max(1.0, np.ceil(step))
    first = np.floor(low / step) * step
    first -= step * (first > low)  # the quotient was rounded up
    count = max(1, int(np.floor((high - first) / step)) + 1)
    edges = first + step * np.arange(count + 1 + capped)
    return edges, capped


def _round_step(wanted: float) -> float:
    """The next larger of 1, 2, 2.5, 5 times a power of ten."""
    power = 10.0 ** np.floor(np.log10(wanted))
    return float(next(f * power for f in (1, 2, 2.5, 5, 10) if f * power >= wanted * (1 - 1e-9)))


def _mark(frame: _Frame, value: float, below: str, level: int) -> str:
    x, y = frame.x(value), _TOP + 14 * level
    # Near the right border the words stand before the line.
    place, anchor = (x - 4, "end") if x > _WIDTH - 110 else (x + 4, "start")
    return (
        f'<path class="mark" d="M{x:.1f} {y - 9}V{frame.base}"/>'
        f'<text class="mark-text" x="{place:.1f}" y="{y}" text-anchor="{anchor}">'
        f"{safe(below)} below {number(value)}</text>"
    )


class _Frame:
    """Axes of a plot: data to drawing coordinates, ticks on round numbers, `above` lines of words on top."""

    def __init__(self, across: tuple[float, float], up: tuple[float, float], above: int = 0) -> None:
        self._x0, self._x1 = across if across[1] > across[0] else (across[0] - 0.5, across[0] + 0.5)
        self._y0, self._y1 = up if up[1] > up[0] else (up[0], up[0] + 1.0)
        self._top = _TOP + 14 * above
        self._height = _HEIGHT + 14 * above
        self.base = self._height - _BOTTOM

    def x(self, value: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (value - self._x0) / (self._x1 - self._x0)

    def y(self, value: float) -> float:
        return self.base - (self.base - self._top) * (value - self._y0) / (self._y1 - self._y0)

    def svg(self, summary: str, label: str, body: str) -> Html:
        ticks = "".join(
            f'<text x="{self.x(v):.1f}" y="{self.base + 17}" text-anchor="middle">{number(v, 4)}</text>'
            for v in _ticks(self._x0, self._x1, 6)
        )
        ticks += "".join(
            f'<path class="axis" d="M{_LEFT} {self.y(v):.1f}H{_WIDTH - _RIGHT}"/>'
            f'<text x="{_LEFT - 6}" y="{self.y(v) + 4:.1f}" text-anchor="end">{number(v, 4)}</text>'
            for v in _ticks(self._y0, self._y1, 4)
        )
        title = f'<text x="{_WIDTH - _RIGHT}" y="{self._height - 8}" text-anchor="end">{safe(label, 80)}</text>'
        return _svg(summary, _WIDTH, self._height, ticks + body + title)


def _ticks(low: float, high: float, most: int) -> list[float]:
    step = _round_step((high - low) / most)
    first = int(np.ceil(low / step - 1e-9))
    return [round(i * step, 12) for i in range(first, int(np.floor(high / step + 1e-9)) + 1)]


def _svg(summary: str, width: int, height: int, body: str) -> Html:
    return Html(f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{safe(summary, 1000)}">{body}</svg>')
