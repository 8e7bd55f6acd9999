"""`ocrmaps train`: a run from a run file to its folder; `ocrmaps precision-check`: what half precision costs."""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrmaps.cli.options import RESULTS, FarRoot, Json, RunFile, Settings, reading_root
from ocrmaps.cli.progress import say

if TYPE_CHECKING:
    from ocrmaps.training.spec import RunSpec


def train(
    run: RunFile,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="The run's folder; runs/NAME when not given.", rich_help_panel=RESULTS),
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="CHECKPOINT", help="auto: go on from the folder's latest checkpoint, if any; or a checkpoint."
        ),
    ] = None,
    settings: Settings = None,
    root: FarRoot = None,
    as_json: Json = False,
) -> None:
    """Train a detector on a store and keep what it learnt. Example: ocrmaps train receipts-run.toml --out runs/first"""
    from ocrmaps.files import refuse_file
    from ocrmaps.kinds import expect_checkpoint, expect_run_file

    expect_run_file(run)
    if resume not in (None, "auto"):
        expect_checkpoint(Path(resume))
    from ocrmaps.training.spec import load_run

    spec = load_run(run, settings or ())
    folder = out or Path("runs") / spec.name
    refuse_file(folder)
    _found(spec, root)
    from ocrmaps.pipelines.train import train as go
    from ocrmaps.training.launch import launched

    launch = launched(os.environ)
    report = go(
        spec,
        out=folder,
        cache=reading_root(root),
        resume=resume,
        say=partial(say, err=as_json),
        progress=sys.stderr.isatty() and sys.stdout.isatty(),
        launch=launch,
    )
    if as_json and (launch is None or launch.place.first):
        typer.echo(json.dumps(report.as_dict(), ensure_ascii=False))


def precision_check(
    run: RunFile,
    precisions: Annotated[
        str,
        typer.Option(metavar="LIST", help="Precisions to compare, separated by commas: fp32 and bf16 or fp16-safe."),
    ] = "fp32,bf16",
    seeds: Annotated[
        int, typer.Option(metavar="N", help="Runs in each precision, with seeds counted up from the run's.")
    ] = 3,
    epochs: Annotated[
        int | None, typer.Option(metavar="N", help="Epochs of each run; the run file's when not given.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Folder of all runs; runs/NAME-precision when not given.", rich_help_panel=RESULTS
        ),
    ] = None,
    settings: Settings = None,
    root: FarRoot = None,
    as_json: Json = False,
) -> None:
    """Compare precisions by paired runs of the same seeds. Example: ocrmaps precision-check receipts-run.toml --seeds 5

    Finished runs in the folder are used again, so the same command goes on after an interruption or with more seeds.
    Exits with 1 where a precision is unacceptable.
    """
    from ocrmaps.files import refuse_file
    from ocrmaps.kinds import expect_run_file

    expect_run_file(run)
    from ocrmaps.training.paired import compared
    from ocrmaps.training.spec import load_run

    spec = load_run(run, settings or ())
    chosen = compared(spec, [name.strip() for name in precisions.split(",")], seeds, epochs)
    folder = out or Path("runs") / f"{spec.name}-precision"
    refuse_file(folder)
    _found(spec, root)
    from ocrmaps.pipelines.precision import precision_check as go

    report = go(
        spec,
        out=folder,
        cache=reading_root(root),
        precisions=chosen,
        seeds=seeds,
        epochs=epochs,
        say=lambda line: typer.echo(line, err=True),
    )
    typer.echo(json.dumps(report.as_dict(), ensure_ascii=False) if as_json else report.table())
    if any(found.verdict == "unacceptable" for found in report.comparisons.values()):
        raise typer.Exit(1)


def _found(spec: RunSpec, root: Path | None) -> None:
    """Refuse stores that are not there before anything heavy is imported."""
    from ocrmaps.store.places.cache import reading_folder
    from ocrmaps.training.place import place_of

    place_of(spec.data, reading_folder(spec.data.cache or root))
