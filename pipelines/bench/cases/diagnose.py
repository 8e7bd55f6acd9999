"""How often `ocrmaps diagnose` names a seeded fault first, and how often it finds fault where there is none."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ocrmaps.evaluation.diagnose.rank import first_finding
from ocrmaps.evaluation.diagnose.seeded import FAULTS, on_any_page, seeded
from ocrmaps.geometry import PolygonSet, Size
from ocrmaps.pictures import read_header
from ocrmaps.pipelines.bench.source import samples_of

CASES = 200
SEED = 1000
"""Of the first round; the tests use others."""


def bench_diagnose(*, quick: bool = False, source: Path | None = None) -> list[dict[str, Any]]:
    """Shares over 200 outputs with a fault and 200 without; `quick` has one of each fault.

    With a source, faults are seeded on its annotations; those that need other pages are left out.
    """
    on: list[tuple[Size, PolygonSet]] = []
    if source is not None:
        on = [(read_header(path).upright, s.polygons) for path, s in samples_of(source) if len(s.polygons)]
    usable = [name for name in FAULTS if not on or on_any_page(name)]
    faults = [name for name in usable if FAULTS[name].kind is not None]
    sound = [name for name in usable if FAULTS[name].kind is None]
    cases = len(faults) if quick else CASES
    start = time.perf_counter()
    missed = {}
    for names in (faults, sound):
        for n in range(cases if names is faults or not quick else len(sound)):
            name, seed = names[n % len(names)], SEED + n // len(names)
            found = first_finding(seeded(name, seed, on=on))
            if (kind := None if found is None else found.cure.kind) != FAULTS[name].kind:
                missed[f"{name} {seed}"] = kind
    seconds = time.perf_counter() - start
    without = len(sound) if quick else cases
    wrong = sum(name.split()[0] in sound for name in missed)
    what = f"{len(faults)} faults of invented systems, 5 pages each{f', {len(on)} annotated' if on else ''}"
    return [
        _figure("diagnose/named_first", 1 - (len(missed) - wrong) / cases, f"{cases} outputs with one of {what}")
        | {"missed": missed},
        _figure("diagnose/false_findings", wrong / without, f"{without} outputs without a fault"),
        _figure("diagnose/ms_per_page", 1000 * seconds / (cases + without) / 5, "first finding only", unit="ms"),
    ]


def _figure(name: str, value: float, reference: str, unit: str = "share") -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "reference": reference, "spread": 0.0}
