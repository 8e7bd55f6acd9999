"""What the answers of several engines have in common: pages, corners and shares of the page's sides."""

from __future__ import annotations

from typing import Any


def page_name(stem: str, number: int) -> str:
    """The name of a page of a file, counted from 0: the first is the file itself."""
    return f"{stem}#{number + 1}" if number else stem


def corners(items: Any, names: tuple[str, str], missing: float | None = None) -> Any:
    """[{"x": 1, "y": 2}, ...] as flat numbers; what is none of that comes back as it is and is refused as an outline.

    `missing`: what a member stands for that is left out, as protocol buffers leave out zeros.
    """
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        return items
    return [item.get(name, missing) for item in items for name in names]


def shares(outline: Any, width: Any, height: Any) -> Any:
    """Flat numbers in any unit as shares of the page's sides in that unit."""
    numbers: list[Any] = [width, height, *outline] if isinstance(outline, list) else [None]
    if not all(type(v) in (int, float) and abs(v) < 1e300 for v in numbers) or min(numbers[:2]) <= 0:
        return outline
    return [v / (height if i % 2 else width) for i, v in enumerate(outline)]
