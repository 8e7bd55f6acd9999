"""A benchmark record as a page: every figure with its reference and spread, ratios as bars around 1."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ocrmaps.errors import DataError, Problem
from ocrmaps.files import read_regular
from ocrmaps.pagekit import page as html
from ocrmaps.pagekit import plots
from ocrmaps.report.samples import PageRequest, Written, publish
from ocrmaps.report.settings import dotted, plain
from ocrmaps.text import number

RATIOS = ("x", "ratio", "times", "times faster", "times smaller")
"""Units that mean: achieved over reference."""
LESS = (
    "metrics/sweep_20_vs_single", "build/unchanged", "build/one_percent", "loader/without_digests",
    "step/p95_vs_median", "step/gpu_p95_vs_median", "step/traced_vs_untraced", "cli/help_vs_typer",
    "counts/match_growth", "counts/plan_growth", "counts/check_growth",
)  # fmt: skip
"""Ratios of costs: less of them is better."""
_KNOWN = ("name", "value", "unit", "reference", "spread", "times", "source")

TIMES = {"mean_ms": "mean ms", "median_ms": "median ms", "p95_ms": "p95 ms", "p99_ms": "p99 ms", "std_ms": "std ms"}
"""What a table of single times says of each, with the head of its column."""


def read_record(path: Path) -> dict[str, Any]:
    """A record as `ocrmaps bench --json` prints it, refused with everything that is missing."""
    try:
        record = json.loads(read_regular(path))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON ({error})") from error
    if not isinstance(record, dict) or not isinstance(record.get("results"), list):
        raise DataError(f"{path}: found no list `results`", hint="`ocrmaps bench NAME --json > FILE` writes a record")
    problems = []
    for i, result in enumerate(record["results"]):
        if not isinstance(result, dict):
            problems.append(Problem(f"results[{i}]", f"found {type(result).__name__}, expected a figure"))
            continue
        problems += [
            Problem(f"results[{i}].{key}", f"found {result.get(key)!r}, expected {what}")
            for key, kind, what in (
                ("name", str, "a name"),
                ("value", (int, float), "a number"),
                ("unit", str, "a unit"),
                ("reference", str, "what it is measured against"),
                ("spread", (int, float), "the spread of the repeats"),
            )
            if not isinstance(result.get(key), kind) or isinstance(result.get(key), bool)
        ]
        if "times" in result and not _is_spread(result["times"]):
            problems.append(Problem(f"results[{i}].times", f"found {result['times']!r}, expected count and {TIMES}"))
    if problems:
        raise DataError(f"{path}: not a benchmark record:", problems=problems)
    return record


def _is_spread(times: Any) -> bool:
    return isinstance(times, dict) and all(
        isinstance(times.get(key), (int, float)) and not isinstance(times[key], bool) for key in ("count", *TIMES)
    )


def bench_page(path: Path, asked: PageRequest) -> Written:
    """The page of one record."""
    asked.check()
    record = read_record(path)
    groups: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for result in record["results"]:
        groups[str(result["name"]).partition("/")[0]].append(result)
    ratios = [r for r in record["results"] if r["unit"] in RATIOS and r["value"] > 0]
    sections = []
    if ratios:
        bars = [
            (f"{r['name']} ↓" if r["name"] in LESS else r["name"], float(r["value"]), float(r["spread"]))
            for r in ratios
        ]
        sections.append(
            html.Section(
                title="Against their references",
                mark=number(len(ratios)),
                body=(
                    plots.ratios(bars, "Achieved over reference, each step of the axis ten times the last"),
                    html.paragraph(
                        "The line is the reference, which a figure's row below names. More is better, except where ↓ "
                        "stands. Whiskers are the spread of the repeats."
                    ),
                ),
            )
        )
    singles = [r for r in record["results"] if "times" in r]
    if singles:
        sections.append(html.Section(title="Single times", mark=number(len(singles)), body=(_singles(singles),)))
    sections += [html.Section(title=name, mark=number(len(g)), body=_group(name, g)) for name, g in groups.items()]
    sections.append(html.Section(title="Machine", body=(_machine(record),)))
    machine = found if isinstance(found := record.get("machine"), dict) else {}
    lead = (
        f"{len(record['results'])} figures on {plain(machine.get('processor', 'an unknown processor'))}, "
        f"{plain(machine.get('cores', 'unknown'))} cores; commit {plain(record.get('commit', 'unknown'))}; "
        f"made by: {plain(record.get('command', 'unknown'))}"
    )
    return publish(asked, html.page(f"Benchmarks: {path.stem}", sections, lead=lead), kind="bench")


def _group(name: str, results: Sequence[Mapping[str, Any]]) -> tuple[html.Html, ...]:
    rows = [
        (
            str(r["name"]).partition("/")[2] or r["name"],
            number(float(r["value"])),
            r["unit"],
            number(float(r["spread"])) if r["spread"] else "–",
            r.get("source", "unknown"),
            r["reference"],
        )
        for r in results
    ]
    head = ("figure", "value", "unit", "spread", "measured on", "reference")
    table = html.table(head, rows, caption=f"Figures of {name}", text_columns=(0, 2, 4, 5))
    more = [
        (r["name"], key, value)
        for r in results
        for key, value in dotted({k: v for k, v in r.items() if k not in _KNOWN}).items()
    ]
    if not more:
        return (table,)
    return table, html.details(
        "What else was recorded",
        [html.table(("figure", "what", "value"), more, caption=f"More of {name}", text_columns=(0, 1, 2))],
    )


def _singles(results: Sequence[Mapping[str, Any]]) -> html.Html:
    """A mean says little when one in a hundred takes ten times as long."""
    rows = [
        (r["name"], number(r["times"]["count"]), *(number(float(r["times"][key])) for key in TIMES)) for r in results
    ]
    return html.table(("what", "count", *TIMES.values()), rows, caption="How single times are spread")


def _machine(record: Mapping[str, Any]) -> html.Html:
    rows = [(k, v) for k, v in dotted({k: v for k, v in record.items() if k != "results"}).items()]
    return html.table(("what", "value"), rows, caption="Machine and code", text_columns=(0, 1))
