"""`ocrmaps train`: a run from a run file to its folder."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.build import Json, Root, cache_root


def train(
    run: Annotated[Path, typer.Argument(help="Run file; docs/explanation/training.md shows one.")],
    out: Annotated[Path | None, typer.Option(help="The run's folder; runs/NAME when not given.")] = None,
    resume: Annotated[
        str | None, typer.Option(help="auto: go on from the folder's latest checkpoint, if any; or a checkpoint.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Change a setting of the run, such as optimiser.lr=0.003.")
    ] = None,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Train a detector on a store and keep what it learnt. Example: ocrmaps train receipts-run.toml --out runs/first"""
    from pipelines.train import train as go
    from pipelines.train_spec import load_run

    spec = load_run(run, settings or ())
    report = go(
        spec,
        out=out or Path("runs") / spec.name,
        cache=cache_root(root),
        resume=resume,
        say=lambda line: typer.echo(line, err=as_json),
        progress=sys.stderr.isatty() and sys.stdout.isatty(),
    )
    if as_json:
        typer.echo(json.dumps(report.as_dict(), ensure_ascii=False))
