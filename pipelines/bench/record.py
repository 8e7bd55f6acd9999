"""Benchmarks as records: what was measured, against what, where and with which code."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

from ocrmaps.errors import SpecError
from ocrmaps.machine import commit, machine
from ocrmaps.pipelines.bench.asked import asked_source
from ocrmaps.pipelines.bench.load import Watch
from ocrmaps.pipelines.bench.source import described, named
from ocrmaps.pipelines.bench.times import spelled
from ocrmaps.report.bench import TIMES

Result = dict[str, Any]
"""name, value, unit, reference, spread (of the repeats, same unit), source (what it was measured on), and whatever else
explains the value."""


WIDTH = 80
"""Columns that a table for people may have."""


def _machine(repeats: int, quick: bool = False, source: Path | None = None) -> list[Result]:
    from ocrmaps.pipelines.bench.cases.machine import bench_machine

    return bench_machine(repeats, quick=quick)


def _decode(repeats: int, quick: bool = False, source: Path | None = None) -> list[Result]:
    from ocrmaps.pipelines.bench.cases.decode import bench_decode

    return bench_decode(repeats)


def _maps(repeats: int, quick: bool = False, source: Path | None = None) -> list[Result]:
    from ocrmaps.pipelines.bench.cases.maps import bench_maps

    return bench_maps(repeats=repeats, source=source)


def _extract(repeats: int, quick: bool = False, source: Path | None = None) -> list[Result]:
    from ocrmaps.pipelines.bench.cases.extract import bench_extract

    return bench_extract(repeats=repeats, source=source)


def _metrics(repeats: int, quick: bool = False, source: Path | None = None) -> list[Result]:
    from ocrmaps.pipelines.bench.cases.metrics import bench_metrics

    return bench_metrics(repeats=repeats, quick=quick, source=source)


def _oracle(repeats: int, quick: bool = False, source: Path | None = None) -> list[Result]:
    from ocrmaps.pipelines.bench.cases.oracle import bench_oracle

    return bench_oracle(source)


def _diagnose(repeats: int, quick: bool = False, source: Path | None = None) -> list[Result]:
    from ocrmaps.pipelines.bench.cases.diagnose import bench_diagnose

    return bench_diagnose(quick=quick, source=source)


def _build(repeats: int, quick: bool = False, source: Path | None = None) -> list[Result]:
    from ocrmaps.pipelines.bench.cases.build import bench_build

    return bench_build(
        min(repeats, 3), quick=quick, source=source
    )  # three full builds a figure are what fits in a minute


def _store(repeats: int, quick: bool = False, source: Path | None = None) -> list[Result]:
    from ocrmaps.pipelines.bench.cases.store import bench_store

    return bench_store(repeats, quick=quick, source=source)


def _loader(repeats: int, quick: bool = False, source: Path | None = None) -> list[Result]:
    from ocrmaps.pipelines.bench.cases.loader import bench_loader

    return bench_loader(repeats, quick=quick, source=source)


def _break_even(repeats: int, quick: bool = False, source: Path | None = None) -> list[Result]:
    from ocrmaps.pipelines.bench.cases.break_even import bench_break_even

    return bench_break_even(min(repeats, 3), quick=quick, source=source)


def _step(repeats: int, quick: bool = False, source: Path | None = None) -> list[Result]:
    from ocrmaps.pipelines.bench.cases.step import bench_step

    return bench_step(repeats=min(repeats, 3), quick=quick)


def _validation(repeats: int, quick: bool = False, source: Path | None = None) -> list[Result]:
    from ocrmaps.pipelines.bench.cases.validation import bench_validation

    return bench_validation(1 if quick else min(repeats, 5), quick=quick, source=source)


def _predict(repeats: int, quick: bool = False, source: Path | None = None) -> list[Result]:
    from ocrmaps.pipelines.bench.cases.predict import bench_predict

    return bench_predict(1 if quick else repeats, quick=quick, source=source)


def _cli(repeats: int, quick: bool = False, source: Path | None = None) -> list[Result]:
    from ocrmaps.pipelines.bench.cases.cli import bench_cli

    return bench_cli(1 if quick else repeats, quick=quick, source=source)


def _counts(repeats: int, quick: bool = False, source: Path | None = None) -> list[Result]:
    from ocrmaps.pipelines.bench.cases.counts import bench_counts

    return bench_counts()


def _page(repeats: int, quick: bool = False, source: Path | None = None) -> list[Result]:
    from ocrmaps.pipelines.bench.cases.page import bench_page

    return bench_page(repeats, quick=quick)


def _scale(repeats: int, quick: bool = False, source: Path | None = None) -> list[Result]:
    from ocrmaps.pipelines.bench.cases.scale import bench_scale

    return bench_scale(min(repeats, 3), quick=quick)


BENCHES: dict[str, Callable[..., list[Result]]] = {
    "machine": _machine,
    "decode": _decode,
    "maps": _maps,
    "extract": _extract,
    "metrics": _metrics,
    "oracle": _oracle,
    "diagnose": _diagnose,
    "build": _build,
    "store": _store,
    "loader": _loader,
    "break-even": _break_even,
    "step": _step,
    "validation": _validation,
    "predict": _predict,
    "cli": _cli,
    "counts": _counts,
    "page": _page,
    "scale": _scale,
}
"""What can be measured, in the order in which `all` measures: (repeats, quick, source) -> figures."""
SOURCED = (
    "maps", "extract", "metrics", "oracle", "diagnose", "build", "store", "loader", "break-even", "validation",
    "predict", "cli",
)  # fmt: skip
"""Those that are measured on any source; the others make what they need."""


def run(names: Sequence[str], *, repeats: int, quick: bool = False, source: Path | None = None) -> dict[str, Any]:
    """The record of these benchmarks, measured in this process on a source or on generated receipts."""
    refuse_unknown(names)
    source, watch = asked_source(source), Watch()
    results = [result for name in names for result in measure(name, repeats, quick, source)]
    return record_of(results, watch, quick=quick, source=source if any(name in SOURCED for name in names) else None)


def run_peers(*, repeats: int, quick: bool = False, source: Path | None = None) -> dict[str, Any]:
    """The record of the loader beside those of other projects that are installed."""
    from ocrmaps.pipelines.bench.cases.peers import bench_peers

    source, watch = asked_source(source), Watch()
    results = [{**r, "source": named(source)} for r in bench_peers(repeats, quick=quick, source=source)]
    return record_of(results, watch, quick=quick, source=source)


def measure(name: str, repeats: int, quick: bool, source: Path | None) -> list[Result]:
    """The figures of one benchmark, each with what it was measured on."""
    used = source if name in SOURCED else None
    return [{**result, "source": named(used)} for result in BENCHES[name](repeats, quick, used)]


def refuse_unknown(names: Iterable[str]) -> None:
    """Raise for names that are no benchmark."""
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        raise SpecError(f"no benchmark named {', '.join(unknown)}; there are: {', '.join(BENCHES)}")


def record_of(results: Sequence[Result], watch: Watch, *, quick: bool, source: Path | None = None) -> dict[str, Any]:
    """What `--json` prints: figures, on what, where, how and with which code they were measured, how busy it was."""
    return {
        "results": list(results),
        "machine": machine(),
        "load": watch.finish().as_dict(),
        "quick": quick,
        "source": named(source),
        "data": described(source),
        "command": command(sys.argv[1:], Path.cwd()),
        "commit": commit(),
    }


def command(words: Sequence[str], here: Path) -> str:
    """The command line as it may be published: paths below `here` relative to it, others by their last part only.

    >>> command(["bench", "all", "--out", "/home/ann/work/new", "--source=/data/mine.toml"], Path("/home/ann/work"))
    'ocrmaps bench all --out new --source=.../mine.toml'
    """
    from ocrmaps.debug.redact import this_machine

    return this_machine().text(shlex.join(["ocrmaps", *(_public(word, here) for word in words)]))


def _public(word: str, here: Path) -> str:
    name, mark, value = word.partition("=") if word.startswith("--") else ("", "", word)
    path = Path(value).expanduser() if value.startswith("~") else Path(value)
    if not path.is_absolute():
        return word
    below = path.relative_to(here).as_posix() if path.is_relative_to(here) else f".../{path.name}"
    return f"{name}{mark}{below}"


def table(record: dict[str, Any]) -> str:
    """The record for people, in 80 columns: figures, what each was compared with, then how single times are spread."""
    rows = [("figure", "value", "unit", "spread", "measured on")]
    rows += [
        (r["name"], spelled(r["value"]), r["unit"], spelled(r["spread"], 2), r.get("source", ""))
        for r in record["results"]
    ]
    name, value, unit, spread = (max(len(row[i]) for row in rows) for i in range(4))
    lines = [f"{r[0]:{name}}  {r[1]:>{value}}  {r[2]:{unit}}  {r[3]:>{spread}}  {r[4]}".rstrip() for r in rows]
    lines.append("")
    for r in record["results"]:
        lines += wrap(f"{r['name']}: {r['reference']}", WIDTH, subsequent_indent="    ")
    lines += _single_times(record["results"])
    m = record["machine"]
    lines += wrap(f"{m['processor']}, {m['cores']} cores, {m['system']}, commit {record['commit']}", WIDTH)
    lines += wrap(record["load"]["note"], WIDTH)
    return "\n".join(lines)


def _single_times(results: Sequence[Result]) -> list[str]:
    known = [r for r in results if "times" in r]
    if not known:
        return []
    width = max(len(r["name"]) for r in known)
    shown = [key for key in TIMES if key != "std_ms"]  # which the record has, and the terminal no room for
    head = f"{'single times':{width}} {'count':>6}" + "".join(f" {TIMES[key]:>9}" for key in shown)
    rows = [
        f"{r['name']:{width}} {r['times']['count']:>6}" + "".join(f" {spelled(r['times'][key]):>9}" for key in shown)
        for r in known
    ]
    return ["", head, *rows, ""]
