"""Says which source a benchmark is asked to measure on, before anything that measures is imported."""

from __future__ import annotations

import os
from pathlib import Path

from ocrmaps.errors import RunError

VARIABLE = "OCRMAPS_BENCH_SOURCE"
"""The environment variable that names the source where `--source` does not."""


def asked_source(given: Path | None) -> Path | None:
    """The source that is measured on, or None for generated receipts; refused where it is not there.

    >>> asked_source(Path("nowhere/at-all"))
    Traceback (most recent call last):
    ocrmaps.errors.RunError: nowhere/at-all: no such source or recipe
    """
    found = given or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    if found is not None and not found.exists():
        told = "" if given else f" ({VARIABLE} names it)"
        raise RunError(f"{found}: no such source or recipe{told}")
    return found
