"""Detectors that come with the package: a name instead of a checkpoint's path, each with a card that says what it is.

shipped("receipts")                  # the checkpoint's path; `ocrmaps predict scans/` uses it
card_of("receipts")["scores"]        # what it reaches, on which pictures
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

NAMES = ("receipts",)
DEFAULT = "receipts"
"""What predicts where no checkpoint is named."""
_FOLDER = Path(__file__).parent


def shipped(name: str) -> Path:
    """The checkpoint of a shipped detector."""
    return _FOLDER / f"{name}.ckpt"


def card_of(name: str) -> dict[str, Any]:
    """What a shipped detector is: pictures it learnt from, licence, run, scores, and where it fails."""
    card: dict[str, Any] = json.loads((_FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return card


def checkpoint_path(text: str) -> Path:
    """The checkpoint that a person names: a shipped detector, or a path where no shipped one has this name.

    >>> checkpoint_path("receipts").name, checkpoint_path("runs/receipts").name
    ('receipts.ckpt', 'receipts')
    """
    return shipped(text) if text in NAMES else Path(text)


def goal_of(name: str) -> tuple[str, str | None]:
    """A detector as a person names it, and the goal after its last colon if there is one.

    >>> goal_of("receipts:deteval"), goal_of("best.ckpt"), goal_of("a:b/best.ckpt")
    (('receipts', 'deteval'), ('best.ckpt', None), ('a:b/best.ckpt', None))
    """
    head, _, goal = name.rpartition(":")
    return (head, goal) if head and not set(goal) & {"/", "\\"} else (name, None)
