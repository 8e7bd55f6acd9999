"""`ocrmaps report` and `ocrmaps compare`: pages to look at, and two runs side by side."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ocrmaps.cli.build import Json, Root, Workers, cache_root
from ocrmaps.cli.progress import progress_bar
from ocrmaps.cli.trust import Trust, allowed


class KindName(StrEnum):
    """What a page can be about."""

    run = "run"
    store = "store"
    source = "source"
    oracle = "oracle"
    bench = "bench"


class PlaceName(StrEnum):
    """Where the pictures of a page are."""

    auto = "auto"
    inline = "inline"
    folder = "folder"


class FrameName(StrEnum):
    """Frames that annotations may be written in."""

    upright = "upright"
    raw = "raw"


def report(
    targets: Annotated[
        list[str],
        typer.Argument(help="A run's folder, STORE or STORE/VERSION, a source (or several), or a bench record."),
    ],
    out: Annotated[
        Path | None, typer.Option(help="The page; RUN/report.html for runs, else NAME-KIND.html here, when not given.")
    ] = None,
    kind: Annotated[KindName | None, typer.Option("--kind", help="What TARGET is; found out when not given.")] = None,
    assets: Annotated[
        PlaceName, typer.Option(help="Pictures inside the page or in a folder beside it; auto chooses by their size.")
    ] = PlaceName.auto,
    side: Annotated[
        int | None, typer.Option(help="Longest side of pictures in pixels; chosen by their number when not given.")
    ] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Of a run: another checkpoint than its best.")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Of a run: only what its folder says; no checkpoint, no predictions.")
    ] = False,
    longest: Annotated[
        int,
        typer.Option(help="Of a source or oracle: longest side to measure texts at.", min=32, max=8192),
    ] = 640,
    format: Annotated[str | None, typer.Option("--format", help="Of a source or oracle: annotation format.")] = None,
    pictures: Annotated[
        Path | None, typer.Option(help="Of a source or oracle: folder that picture names are relative to.")
    ] = None,
    frame: Annotated[FrameName, typer.Option(help="Of a source or oracle: its frame.")] = FrameName.upright,
    trust: Trust = None,
    root: Root = None,
    workers: Workers = None,
    yes: Annotated[bool, typer.Option("--yes", help="Replace a page that exists.")] = False,
    as_json: Json = False,
) -> None:
    """Write one self-contained page on a run, store, source, oracle or benchmark. Example: ocrmaps report runs/first"""
    from ocrmaps.pipelines import report as pipeline

    cache = cache_root(root)
    target = pipeline.find_target(targets[0], cache, kind=None if kind is None else kind.value)
    written = pipeline.report(
        target,
        cache=cache,
        out=out,
        place=assets.value,
        side=side,
        overwrite=yes,
        workers=workers,
        checkpoint=checkpoint,
        quick=quick,
        longest=longest,
        format=format,
        pictures=pictures,
        frame=frame.value,
        also=targets[1:],
        trusted=allowed(trust),
        stage=progress_bar,
    )
    if as_json:
        typer.echo(json.dumps(written.as_dict(), ensure_ascii=False))
        return
    samples = f", {written.samples} samples" if written.samples else ""
    typer.echo(f"wrote {written.page}: {written.kind}{samples}, {written.bytes / 1e6:.2f} MB")
    if written.pictures:
        typer.echo(written.pictures, err=True)


def compare(
    first: Annotated[Path, typer.Argument(metavar="RUN_A", help="A run's folder.")],
    second: Annotated[Path, typer.Argument(metavar="RUN_B", help="Another run's folder.")],
    allow: Annotated[
        str, typer.Option(help="Compare although these differ: budget, data, evaluation, separated by commas.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Say how two runs differ; unlike ones are refused. Example: ocrmaps compare runs/a runs/b"""
    from ocrmaps.pipelines import compare as pipeline
    from ocrmaps.report.compare.summary import table

    found = pipeline.compare(first, second, allow=[word.strip() for word in allow.split(",") if word.strip()])
    typer.echo(json.dumps(found.as_dict(), ensure_ascii=False) if as_json else table(found))
