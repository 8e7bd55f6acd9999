"""Records on disk, never half written: a folder of record, note and plot; a baseline with its note; its check."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ocrmaps.errors import RunError, SpecError
from ocrmaps.files import refuse_existing, write_new
from ocrmaps.pipelines.bench.all import Announce, measure_all
from ocrmaps.pipelines.bench.asked import asked_source
from ocrmaps.pipelines.bench.guard import Check, check, guarded, missing_in, refuse_unlike, unsteady
from ocrmaps.pipelines.bench.note import note
from ocrmaps.pipelines.bench.source import described
from ocrmaps.pipelines.bench.thresholds import load_thresholds
from ocrmaps.report.bench import read_record

RECORD, NOTE, PLOT = "record.json", "note.md", "plot.png"


def refuse_record(folder: Path, *, replace: bool) -> None:
    """Say before minutes of measuring that the record would have nowhere to go."""
    if folder.exists() and not folder.is_dir():
        raise SpecError(f"{folder} is a file", hint="name a folder")
    there = [name for name in (RECORD, NOTE, PLOT) if (folder / name).exists()]
    if there and not replace:
        raise SpecError(
            f"{folder} holds another record ({', '.join(there)})",
            hint="name another folder, or add --yes to replace it",
        )


def save_record(record: dict[str, Any], folder: Path, *, replace: bool = False) -> list[Path]:
    """Write record, note and plot, each whole; the record last, so that one that is there has its note and plot."""
    from ocrmaps.pipelines.bench.plot import plot

    refuse_record(folder, replace=replace)
    files = {PLOT: plot(record), NOTE: note(record).encode(), RECORD: _json(record)}
    for name, data in files.items():
        write_new(folder / name, data, replace_existing=replace)
    return [folder / name for name in files]


def baseline(
    out: Path,
    *,
    thresholds: Path | None = None,
    repeats: int = 5,
    quick: bool = False,
    source: Path | None = None,
    replace: bool = False,
    announce: Announce | None = None,
) -> tuple[dict[str, Any], list[str]]:
    """Measure the guarded figures and write them: the record, and names of figures too unsteady to be guarded by it.

    Beside the record goes a note with the tables, `.md`. A baseline that lacks a guarded figure is not written.
    """
    guard = load_thresholds(thresholds)
    if out.suffix == ".md":
        raise SpecError(f"{out}: its note has this name", hint=f"name the baseline {out.with_suffix('.json').name}")
    for path in (out, out.with_suffix(".md")):
        refuse_existing(path, replace_existing=replace)
    record = measure_all(guard.benches, repeats=repeats, quick=quick, source=source, announce=announce)
    missing = missing_in(record, guard)
    if missing:
        problems = [run["problem"] for run in record["runs"] if "problem" in run]
        raise RunError(
            f"no baseline was written; guarded figures that were not measured: {', '.join(missing)}"
            + "".join(f"\n  {problem}" for problem in problems),
            hint=f"correct {guard.path}, or see why the benchmark failed",
        )
    kept = guarded(record, guard)
    write_new(out.with_suffix(".md"), note(kept).encode(), replace_existing=replace)
    write_new(out, _json(kept), replace_existing=replace)
    return kept, unsteady(kept, guard)


def check_against(
    baseline: Path,
    *,
    thresholds: Path | None = None,
    record: Path | None = None,
    repeats: int = 5,
    source: Path | None = None,
    announce: Announce | None = None,
) -> Check:
    """Compare a stored baseline with another record, or with what is measured now in the baseline's sizes."""
    guard = load_thresholds(thresholds)
    before = _whole(baseline)
    if record is not None:
        return check(before, _whole(record), guard)
    source = asked_source(source)
    refuse_unlike(before, {"quick": before.get("quick"), "data": described(source)})  # before minutes of measuring
    quick = bool(before.get("quick"))
    now = measure_all(guard.benches, repeats=repeats, quick=quick, source=source, announce=announce)
    return check(before, now, guard)


def _whole(path: Path) -> dict[str, Any]:
    record = read_record(path)
    if not isinstance(record.get("machine"), dict):
        raise SpecError(f"{path}: a record without its machine cannot be compared", hint="store a new baseline")
    return record


def _json(record: dict[str, Any]) -> bytes:
    return (json.dumps(record, indent=2, allow_nan=False) + "\n").encode()
