"""`ocrmaps bench`: measured ratios against named references, never bare claims."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

app = typer.Typer(
    help="Measure speed as ratios against named references. Example: ocrmaps bench maps", no_args_is_help=True
)

Repeats = Annotated[
    int, typer.Option(help="Repeats per figure; the median is reported with its spread.", min=1, max=100)
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]

BENCHES: dict[str, str] = {
    "decode": "Time the picture decoder on a large scan, full and reduced.",
    "maps": "Time drawing of target maps against the plain published algorithm.",
    "extract": "Time extraction of polygons against the plain per-contour loop.",
    "metrics": "Time matching and CLEval against plain per-pair implementations.",
    "oracle": "Score perfect maps with the project's chain and the published one.",
    "build": "Time the build of a store against bare decoding and resizing.",
    "loader": "Time batches from a store against bare decoding, zarr-python and on-the-fly drawing.",
    "step": "Measure what callbacks, host waits and data waits cost a training step.",
}
"""What `pipelines.bench` can run, with the sentence that help shows."""


def _run(names: Sequence[str], repeats: int, as_json: bool) -> None:
    from pipelines import bench

    record = bench.run(names, repeats=repeats)
    typer.echo(json.dumps(record, indent=2) if as_json else bench.table(record))


def _command(name: str) -> Callable[[int, bool], None]:
    def command(repeats: Repeats = 5, as_json: Json = False) -> None:
        _run([name], repeats, as_json)

    return command


for _name, _sentence in BENCHES.items():
    app.command(_name, help=f"{_sentence} Example: ocrmaps bench {_name} --json")(_command(_name))


@app.command("all")
def everything(repeats: Repeats = 5, as_json: Json = False) -> None:
    """Run every benchmark, one after the other. Example: ocrmaps bench all --json > record.json"""
    _run(list(BENCHES), repeats, as_json)
