"""`ocrmaps bench`: measured ratios against named references and ceilings, and a guard over them; never bare claims."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    help="Measure speed as ratios against named references and the machine's own ceilings. "
    "Example: ocrmaps bench all --out bench",
    no_args_is_help=True,
)

Repeats = Annotated[
    int, typer.Option(help="Repeats per figure; the median is reported with its spread.", min=1, max=100)
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Quick = Annotated[bool, typer.Option("--quick", help="Small sizes: shows that everything runs; figures mean little.")]
Yes = Annotated[bool, typer.Option("--yes", help="Replace files that exist.")]
ThresholdsFile = Annotated[
    Path | None, typer.Option("--thresholds", help="What is guarded, and how much worse it may get; TOML.")
]

BENCHES: dict[str, str] = {
    "machine": "Measure the machine's ceilings: memory, codecs, disk, JPEG, and the GPU where there is one.",
    "decode": "Time the picture decoder on a large scan, full and reduced.",
    "maps": "Time drawing of target maps against the plain published algorithm.",
    "extract": "Time extraction of polygons against the plain per-contour loop.",
    "metrics": "Time matching and CLEval against plain per-pair implementations.",
    "oracle": "Score perfect maps with the project's chain and the published one.",
    "build": "Time the build of a store against bare decoding and resizing.",
    "store": "Time the proof of a store's bytes against bare reading, and count rows that a rebuild takes over.",
    "loader": "Time batches from a store against bare decoding, zarr-python and on-the-fly drawing.",
    "break-even": "Find after how many epochs a store has paid for its build.",
    "step": "Measure what callbacks, host waits and data waits cost a training step.",
    "validation": "Time stored rows to scores against the plain chain from picture files.",
    "page": "Time the first paint of pages with 1 000 and 10 000 samples in headless Chromium.",
}
"""What `ocrmaps.pipelines.bench.record` can run, with the sentence that help shows."""


def _say(line: str) -> None:
    typer.echo(line, err=True)


def _print(record: dict[str, Any], as_json: bool) -> None:
    from ocrmaps.pipelines.bench import record as bench

    typer.echo(json.dumps(record, indent=2, allow_nan=False) if as_json else bench.table(record))


def _command(name: str) -> Callable[[int, bool, bool], None]:
    def command(repeats: Repeats = 5, quick: Quick = False, as_json: Json = False) -> None:
        from ocrmaps.pipelines.bench import record as bench

        _print(bench.run([name], repeats=repeats, quick=quick), as_json)

    return command


for _name, _sentence in BENCHES.items():
    if _name != "break-even":
        app.command(_name, help=f"{_sentence} Example: ocrmaps bench {_name} --json")(_command(_name))


@app.command("break-even")
def break_even(
    source: Annotated[
        Path | None, typer.Argument(help="A source or a recipe file; receipts when not given. 64 samples are used.")
    ] = None,
    repeats: Repeats = 3,
    quick: Quick = False,
    as_json: Json = False,
) -> None:
    """Find after how many epochs a store has paid for its build. Example: ocrmaps bench break-even data/receipts"""
    from ocrmaps.pipelines.bench import save as bench_save

    record = bench_save.break_even_record(source, repeats=repeats, quick=quick)
    _print(record, as_json)
    if not as_json:
        for result in record["results"]:
            if "note" in result:
                typer.echo(result["note"])


@app.command("all")
def everything(
    out: Annotated[
        Path | None, typer.Option(help="Folder for record.json, note.md and plot.png; only printed when not given.")
    ] = None,
    source: Annotated[
        Path | None, typer.Option(help="Source or recipe that break-even is measured on; receipts when not given.")
    ] = None,
    repeats: Repeats = 5,
    quick: Quick = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Measure the machine's ceilings, then every stage against them. Example: ocrmaps bench all --out bench"""
    from ocrmaps.pipelines.bench import all as bench_all
    from ocrmaps.pipelines.bench import save as bench_save

    if out is not None:
        bench_save.refuse_record(out, replace=yes)
    record = bench_all.measure_all(repeats=repeats, quick=quick, source=source, announce=_say)
    if out is not None:
        for path in bench_save.save_record(record, out, replace=yes):
            _say(f"wrote {path}")
    _print(record, as_json)
    _end_if_failed(record)


@app.command("baseline")
def baseline(
    out: Annotated[Path, typer.Option(help="The baseline file.")] = Path("bench-baseline.json"),
    thresholds: ThresholdsFile = None,
    repeats: Repeats = 5,
    quick: Quick = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Measure and keep the guarded figures for later checks. Example: ocrmaps bench baseline --out baseline.json"""
    from ocrmaps.pipelines.bench import save as bench_save

    record, unsteady = bench_save.baseline(
        out, thresholds=thresholds, repeats=repeats, quick=quick, replace=yes, announce=_say
    )
    single = sum("times" in result for result in record["results"])
    _say(f"wrote {out} and {out.with_suffix('.md').name}: {len(record['results'])} figures, {single} with single times")
    for name in unsteady:
        _say(f"unsteady: {name}: its spread covers what would have to be noticed; measure on a quiet machine")
    _print(record, as_json)


@app.command("check")
def check(
    baseline: Annotated[Path, typer.Argument(help="A record that `bench baseline` or `bench all` wrote.")],
    thresholds: ThresholdsFile = None,
    record: Annotated[Path | None, typer.Option(help="Compare this record instead of measuring now.")] = None,
    repeats: Repeats = 5,
    as_json: Json = False,
) -> None:
    """Compare with a baseline; ends with 1 if a guarded figure got worse. Example: ocrmaps bench check baseline.json"""
    from ocrmaps.pipelines.bench import save as bench_save

    found = bench_save.check_against(baseline, thresholds=thresholds, record=record, repeats=repeats, announce=_say)
    typer.echo(json.dumps(found.as_dict(), indent=2, allow_nan=False) if as_json else found.text())
    if not found.ok:
        raise typer.Exit(1)


def _end_if_failed(record: dict[str, Any]) -> None:
    if record["failed"]:
        _say(f"failed: {', '.join(record['failed'])}")
        raise typer.Exit(1)
