"""What a checkup comes to in one sentence, the same on the terminal, on the page and in JSON.

Files without a fault are no good news where the text in them is too small to be found at the size in question.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ocrmaps.annotations.checks.checkup import Checkup
from ocrmaps.text import percent

LEGIBLE_FROM = 4.0
"""Pixels of text height at scale; of texts below this hardly any is found, whatever the network."""
MOST_TOO_SMALL = 0.1
"""Share of texts below that height from which the verdict is not good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """How good the news is, and the sentence that says so."""

    level: Literal["good", "note", "problem"]
    text: str
    legible: float | None
    """Share of the scored texts that are high enough; None without any."""

    def as_dict(self) -> dict[str, Any]:
        return {
            "level": self.level,
            "text": self.text.replace("\N{NO-BREAK SPACE}", " "),
            "legible_share": self.legible,
            "legible_from_px": LEGIBLE_FROM,
        }


def verdict(checkup: Checkup) -> Opening:
    """Problems first, then what can be read at the recipe's scale."""
    heights = np.concatenate([health.facts.heights[health.facts.scored] for health in checkup.healths])
    heights = heights[~np.isnan(heights)]
    legible = float((heights >= LEGIBLE_FROM).mean()) if len(heights) else None
    side = checkup.healths[0].facts.spec.side
    scale = f"longest side {side} px" if side else "the recipe's scale"
    small = legible is not None and 1 - legible >= MOST_TOO_SMALL
    if small and legible is not None:
        said = (
            f"{percent(1 - legible)} of the texts are under {LEGIBLE_FROM:g} px high at {scale}, too small to be found"
        )
    elif legible is not None:
        said = f"{percent(legible)} of the texts are at least {LEGIBLE_FROM:g} px high at {scale}"
    else:
        said = "no text has a known height"
    if not checkup.ok:
        kinds = list(dict.fromkeys(f.kind for health in checkup.healths for f in health.problems))
        number = sum(len(health.problems) for health in checkup.healths)
        what = f"{number} {'kind' if number == 1 else 'kinds'} of problems found: {', '.join(kinds)}"
        return Opening(level="problem", text=f"{what}; {said}", legible=legible)
    if small:
        return Opening(
            level="note", text=f"no problem in the files, but {said}: use a larger size, or tiles", legible=legible
        )
    return Opening(level="good", text=f"no problem found; {said}", legible=legible)
