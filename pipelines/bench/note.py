"""A record for people: a Markdown note with every figure, the spread of single times and who else used the machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ocrmaps.pipelines.bench.times import spelled
from ocrmaps.report.bench import TIMES

Record = Mapping[str, Any]


def note(record: Record) -> str:
    """The whole note: what was measured where, what failed, answers first, then every figure by stage."""
    machine, load = record["machine"], record["load"]
    lines = [
        f"# Benchmarks of {machine['processor']}, {machine['cores']} cores",
        "",
        f"`{record['command']}`, commit {record['commit']}, pictures: {record['data']}.",
        f"{machine['memory_gib']} GiB memory, GPU: {machine['gpu'] or 'none'}, {machine['system']}, "
        f"Python {machine['python']}.",
        f"Load {load['note']} (load averages {_loads(load['start'])} before, {_loads(load['end'])} after, "
        f"{load['seconds']:.0f} s in all).",
    ]
    if record["quick"]:
        lines.append("**Quick: small sizes, to see that everything runs. The figures mean little.**")
    lines += [f"**Failed:** {_cell(run['problem'])}" for run in record.get("runs", ()) if "problem" in run]
    results = record["results"]
    notes = [result["note"] for result in results if "note" in result]
    if notes:
        lines += ["", *(f"- {sentence}" for sentence in notes)]
    lines += _ceilings(results) + _times(results)
    for group in dict.fromkeys(_group(r) for r in results):
        if group not in ("machine", "ceiling"):
            lines += ["", f"## {group}", "", *_figures([r for r in results if _group(r) == group])]
    if "runs" in record:
        rows = [
            (r["bench"], f"{r['seconds']:.0f}", spelled(r["peak_mb"]), spelled(r.get("others_cores")))
            for r in record["runs"]
        ]
        head = ("benchmark", "seconds", "peak MB", "cores used by others")
        lines += ["", "## Cost of measuring", "", *_table(head, rows)]
    libraries = ", ".join(f"{name} {version}" for name, version in machine["libraries"].items())
    return "\n".join([*lines, "", f"Libraries: {libraries}.", ""])


def _ceilings(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the machine can do, and which share of it each bounded stage reaches."""
    limits = [r for r in results if _group(r) == "machine"]
    shares = [r for r in results if _group(r) == "ceiling"]
    lines = ["", "## Ceilings of the machine", "", *_figures(limits)] if limits else []
    if shares:
        rows = [
            (r["figure"], f"{100 * r['value']:.0f} %", spelled(100 * r["spread"]), r["ceiling"], r["reference"])
            for r in shares
        ]
        head = ("figure", "of its ceiling", "spread, %", "ceiling", "what")
        lines += ["", "## Achieved over ceiling", "", *_table(head, rows)]
    return lines


def _times(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Single times: a mean says little when one in a hundred takes ten times as long."""
    known = [r for r in results if "times" in r]
    if not known:
        return []
    rows = [
        (r["name"], str(r["times"]["count"]), *(spelled(r["times"][key]) for key in TIMES), r["reference"])
        for r in known
    ]
    head = ("what", "count", *TIMES.values(), "of")
    return ["", "## Single times", "", *_table(head, rows)]


def _figures(results: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [
        (
            r["name"], spelled(r["value"]), r["unit"], spelled(r["spread"]) if r["spread"] else "",
            r.get("source", ""), r["reference"],
        )
        for r in results
    ]  # fmt: skip
    return _table(("figure", "value", "unit", "spread", "measured on", "reference"), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines]


def _cell(text: str) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")


def _group(result: Mapping[str, Any]) -> str:
    return str(result["name"]).partition("/")[0]


def _loads(averages: Sequence[float] | None) -> str:
    return "unknown" if averages is None else " ".join(f"{average:g}" for average in averages)
