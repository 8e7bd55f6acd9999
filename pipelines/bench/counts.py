"""Counts against their limits: what one change made more of is named, on any machine and however busy it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

from ocrmaps.errors import RunError
from ocrmaps.pipelines.bench.all import LIMIT, in_own_process
from ocrmaps.pipelines.bench.cases.counts import bench_counts
from ocrmaps.pipelines.bench.load import Watch
from ocrmaps.pipelines.bench.record import record_of
from ocrmaps.pipelines.bench.times import figure, spelled
from ocrmaps.settings.files import Form, read_file
from ocrmaps.settings.ranges import NO_SETTING, AtLeast0, Rule, check

LIMITS = Path(__file__).with_name("counts.toml")
Record = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """How much of one thing there may be."""

    counts: Annotated[str, Rule("what it counts", least=1)]
    """What is counted, in words."""
    measured: AtLeast0
    """What was found when the limit was set."""
    limit: AtLeast0
    """The most that is allowed."""
    look: Annotated[str, Rule("where to look first", least=1)]
    """Where to look first when there is more."""
    needs: Literal["obstore"] | None = None
    """Only counted where this package is installed."""

    def __post_init__(self) -> None:
        check(self, "", _faults)


def _faults(limit: Limit) -> Iterator[tuple[str, str]]:
    if limit.limit < limit.measured:
        yield "limit", f"found {limit.limit:g}, expected at least the {limit.measured:g} that were measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Every count by name, and the file they are from."""

    counts: Annotated[Mapping[str, Limit], Rule("at least 1 count", least=1)]
    path: Path = field(default=LIMITS, metadata=NO_SETTING)

    def __post_init__(self) -> None:
        check(self, "")


FORM = Form(what="limits", record=Limits)


def load_limits(path: Path | None = None) -> Limits:
    """Read a file of limits, the one that comes with the package when none is named."""
    path = LIMITS if path is None else path
    found: Limits = read_file(FORM, path).record()
    return replace(found, path=path)


def count(limits: Limits, repeats: int = 1) -> Record:
    """The record of all counts with what is `beyond` its limit; of several repeats, each in a process of its own."""
    watch = Watch()
    runs = [bench_counts()] if repeats == 1 else [_in_own_process() for _ in range(repeats)]
    values: dict[str, list[float]] = {}
    for run in runs:
        for one in run:
            values.setdefault(one["name"], []).append(one["value"])
    found = [{**one, **figure(one["name"], values[one["name"]], one["unit"], "")} for one in runs[0]]
    found = [{**one, "reference": _reference(limits, one["name"])} for one in found]
    return {**record_of(found, watch, quick=False), "beyond": beyond(found, limits)}


def _in_own_process() -> list[dict[str, Any]]:
    run = in_own_process("counts", repeats=1, quick=False, source=None, limit=LIMIT)
    if run.problem:
        raise RunError(run.problem)
    return list(run.results)


def _reference(limits: Limits, name: str) -> str:
    known = limits.counts.get(name)
    return "no limit" if known is None else f"{known.counts}; limit {spelled(known.limit)}"


def beyond(found: Sequence[Mapping[str, Any]], limits: Limits) -> list[str]:
    """A line for each count above its limit, without a limit, or not counted at all."""
    values = {one["name"]: one for one in found}
    lines = []
    for name, limit in limits.counts.items():
        if name not in values:
            if limit.needs is None or find_spec(limit.needs) is not None:
                lines.append(f"missing: {name}: not counted, but {limits.path.name} has a limit for it: remove either")
            continue
        value, unit = values[name]["value"], values[name]["unit"]
        if value > limit.limit:
            lines.append(
                f"more: {name}: found {spelled(value)} {unit}, limit {spelled(limit.limit)} (was "
                f"{spelled(limit.measured)}): {limit.counts}. The change under test did this, as no machine and no "
                f"load can: look at {limit.look}. If it is meant, write the new number and limit into "
                f"{limits.path.name}"
            )
    unknown = [name for name in values if name not in limits.counts]
    return lines + [f"no limit: {name}: give it one in {limits.path.name}" for name in unknown]
