"""`ocrmaps bench`: measured ratios against named references, never bare claims."""

from __future__ import annotations

import json
from typing import Annotated

import typer

app = typer.Typer(
    help="Measure speed as ratios against named references. Example: ocrmaps bench maps", no_args_is_help=True
)

Repeats = Annotated[
    int, typer.Option(help="Repeats per figure; the median is reported with its spread.", min=1, max=100)
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


def _run(names: list[str], repeats: int, as_json: bool) -> None:
    from pipelines import bench

    record = bench.run(names, repeats=repeats)
    typer.echo(json.dumps(record, indent=2) if as_json else bench.table(record))


@app.command()
def decode(repeats: Repeats = 5, as_json: Json = False) -> None:
    """Time the picture decoder on a large scan, full and reduced. Example: ocrmaps bench decode --json"""
    _run(["decode"], repeats, as_json)


@app.command()
def maps(repeats: Repeats = 7, as_json: Json = False) -> None:
    """Time drawing of target maps against the plain published algorithm. Example: ocrmaps bench maps --json"""
    _run(["maps"], repeats, as_json)


@app.command()
def extract(repeats: Repeats = 7, as_json: Json = False) -> None:
    """Time extraction of polygons against the plain per-contour loop. Example: ocrmaps bench extract --json"""
    _run(["extract"], repeats, as_json)


@app.command()
def metrics(repeats: Repeats = 5, as_json: Json = False) -> None:
    """Time matching and CLEval against plain per-pair implementations. Example: ocrmaps bench metrics --json"""
    _run(["metrics"], repeats, as_json)


@app.command("all")
def everything(repeats: Repeats = 5, as_json: Json = False) -> None:
    """Run every benchmark that is there. Example: ocrmaps bench all --json > record.json"""
    from pipelines import bench

    _run(list(bench.BENCHES), repeats, as_json)
