"""The regression guard: a record against a baseline, figure by figure, each beyond its threshold named.

Only ratios, shares and counts are compared, and memory on the same machine: bare times and rates say more about the
machine and the hour than about the code. A change that the repeats' own spread covers is noise and said to be.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ocrmaps.errors import DataError, Problem, SpecError
from ocrmaps.pipelines.bench.thresholds import Threshold, Thresholds
from ocrmaps.pipelines.bench.times import spelled

Record = Mapping[str, Any]
State = Literal["ok", "noise", "not compared", "worse", "missing"]
STATES: tuple[State, ...] = ("ok", "noise", "not compared", "worse", "missing")
FAILED: tuple[State, ...] = ("worse", "missing")
PORTABLE = ("x", "ratio", "times faster", "share", "share of 1", "waits", "epochs", "packages")
"""Units that mean the same on every machine."""
LOCAL = ("MB",)
"""Units that are compared on one and the same machine only."""
_SAME = ("processor", "cores", "gpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of one figure."""

    figure: str
    state: State
    baseline: float | None
    now: float | None
    allowed: float | None
    better: str
    said: str
    look: str

    @property
    def failed(self) -> bool:
        return self.state in FAILED

    def line(self) -> str:
        """One line for people: figure, baseline, now, allowed, and why or where to look."""
        bound = "at least" if self.better == "higher" else "at most"
        values = f"baseline {_text(self.baseline)}, now {_text(self.now)}, allowed {bound} {_text(self.allowed)}"
        tail = f"; look at {self.look}" if self.failed else ""
        return f"{self.state}: {self.figure}: {values}: {self.said}{tail}"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"failed": self.failed}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """All verdicts, and what differs between the machines."""

    verdicts: tuple[Verdict, ...]
    machine: tuple[str, ...]
    """`processor: A -> B` for each difference; empty on the same machine."""

    @property
    def ok(self) -> bool:
        return not any(verdict.failed for verdict in self.verdicts)

    def as_dict(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "other_machine": list(self.machine),
            "counts": {state: n for state in STATES if (n := self._n(state))},
            "verdicts": [verdict.as_dict() for verdict in self.verdicts],
        }

    def _n(self, state: str) -> int:
        return sum(verdict.state == state for verdict in self.verdicts)

    def text(self) -> str:
        """A line for each figure that is not simply in order, failures last, then the count."""
        lines = [f"another machine, so only ratios are compared ({'; '.join(self.machine)})"] if self.machine else []
        shown = sorted((v for v in self.verdicts if v.state != "ok"), key=lambda v: v.failed)
        lines += [verdict.line() for verdict in shown]
        lines.append(", ".join(f"{n} {state}" for state, n in self.as_dict()["counts"].items()))
        return "\n".join(lines)


def check(baseline: Record, now: Record, thresholds: Thresholds) -> Check:
    """Compare two records; those of unlike kinds (quick or full, other pictures) are refused."""
    refuse_unlike(baseline, now)
    before, after = figures_of(baseline, "the baseline"), figures_of(now, "the new record")
    machine = tuple(
        f"{key}: {baseline['machine'].get(key)} -> {now['machine'].get(key)}"
        for key in _SAME
        if baseline["machine"].get(key) != now["machine"].get(key)
    )
    gpu = all(record["machine"].get("gpu") for record in (baseline, now))
    verdicts = [
        _judge(name, threshold, before.get(name), after.get(name), same=not machine, gpu=gpu)
        for name, threshold in thresholds.figures.items()
    ]
    return Check(verdicts=tuple(verdicts), machine=machine)


def figures_of(record: Record, which: str) -> dict[str, Mapping[str, Any]]:
    """The figures of a record by name; names that occur twice and values that are no numbers are refused."""
    out: dict[str, Mapping[str, Any]] = {}
    problems = []
    for result in record["results"]:
        name = str(result["name"])
        if name in out:
            problems.append(Problem(loc=name, message="found twice"))
        if not (math.isfinite(result["value"]) and math.isfinite(result["spread"]) and result["spread"] >= 0):
            problems.append(Problem(loc=name, message=f"found {result['value']} with spread {result['spread']}"))
        out[name] = result
    if problems:
        raise DataError(f"{which} cannot be compared:", problems=problems, hint="measure it again")
    return out


def missing_in(record: Record, thresholds: Thresholds) -> list[str]:
    """Guarded figures that a record lacks, except those that need a GPU where there is none."""
    found = figures_of(record, "the record")
    gpu = bool(record["machine"].get("gpu"))
    return [name for name, t in thresholds.figures.items() if name not in found and (gpu or t.needs != "gpu")]


def unsteady(record: Record, thresholds: Thresholds) -> list[str]:
    """Guarded figures whose own spread covers the change that would have to be noticed."""
    found = figures_of(record, "the record")
    return [
        name
        for name, threshold in thresholds.figures.items()
        if name in found and threshold.worse is not None and _covers(found[name], threshold)
    ]


def guarded(record: Record, thresholds: Thresholds) -> dict[str, Any]:
    """The record with its guarded figures and those that know their single times: what a baseline stores."""
    return {**record, "results": [r for r in record["results"] if r["name"] in thresholds.figures or "times" in r]}


def _judge(
    name: str,
    threshold: Threshold,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    *,
    same: bool,
    gpu: bool,
) -> Verdict:
    def verdict(state: State, said: str, allowed: float | None = None) -> Verdict:
        return Verdict(
            figure=name,
            state=state,
            baseline=None if before is None else float(before["value"]),
            now=None if after is None else float(after["value"]),
            allowed=allowed,
            better=threshold.better,
            said=said,
            look=threshold.look,
        )

    if threshold.needs == "gpu" and not gpu:
        return verdict("not compared", "needs a GPU in both records")
    if before is None or after is None:
        where = " and ".join(w for w, r in (("the baseline", before), ("the new record", after)) if r is None)
        return verdict("missing", f"not in {where}: store a baseline that has it, or see why it was not measured")
    for result in (before, after):
        if result["unit"] not in PORTABLE + LOCAL:
            raise SpecError(
                f"{name}: guarded, but in {result['unit']}, which depends on the machine",
                hint=f"guard a figure in one of: {', '.join(PORTABLE + LOCAL)}",
            )
    if before["unit"] != after["unit"]:
        return verdict("missing", f"in {before['unit']} before and {after['unit']} now: store a new baseline")
    if before["unit"] in LOCAL and not same:
        return verdict("not compared", f"{before['unit']} are only compared on the same machine")
    then, value = float(before["value"]), float(after["value"])
    if threshold.worse is not None and then <= 0:
        return verdict("missing", "no ratio can be formed with this baseline: give it a `limit`, or store another")
    allowed = threshold.allowed(then)
    if not threshold.beyond(value, allowed):
        return verdict("ok", "within its threshold", allowed)
    if _within_spread(threshold, before, after):
        unsteady_ = _covers(before, threshold)
        advice = "; the baseline is too unsteady to guard this, store one on a quiet machine" if unsteady_ else ""
        return verdict("noise", f"the spread of the repeats covers the change{advice}", allowed)
    return verdict("worse", _how_much(threshold, then, value, allowed), allowed)


def _within_spread(threshold: Threshold, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether every bound that was passed was passed by less than the repeats differ among themselves."""
    then, value = float(before["value"]), float(after["value"])
    half_before, half_after = before["spread"] / 2, after["spread"] / 2
    passed = []
    if threshold.worse is not None and threshold.beyond(
        value, then / threshold.worse if threshold.better == "higher" else then * threshold.worse
    ):
        passed.append(abs(value - then) <= half_before + half_after)
    if threshold.limit is not None and threshold.beyond(value, threshold.limit):
        passed.append(abs(value - threshold.limit) <= half_after)
    return all(passed)


def _covers(before: Mapping[str, Any], threshold: Threshold) -> bool:
    then = float(before["value"])
    return threshold.worse is not None and before["spread"] / 2 >= abs(then - threshold.allowed(then)) > 0


def _how_much(threshold: Threshold, then: float, value: float, allowed: float) -> str:
    if threshold.limit is not None and threshold.beyond(value, threshold.limit):
        return f"beyond its limit of {_text(threshold.limit)}"
    ratio = (then / value if value else math.inf) if threshold.better == "higher" else value / then
    return f"{_text(ratio)} times worse, allowed is {threshold.worse:g}"


def refuse_unlike(baseline: Record, now: Record) -> None:
    """Raise where two records say that sizes or pictures were others."""
    for key, words in (("quick", "sizes"), ("data", "pictures")):
        if baseline.get(key) != now.get(key):
            raise DataError(
                f"the records are unlike: {words} ({key}) were {baseline.get(key)!r} and are {now.get(key)!r}",
                hint="store a baseline of the same kind: ocrmaps bench baseline",
            )


def _text(value: float | None) -> str:
    return "none" if value is None else spelled(value)
