"""`ocrmaps report` and `ocrmaps compare`: pages to look at, and two runs side by side."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ocrmaps.cli import complete
from ocrmaps.cli.options import (
    RESULTS,
    FarRoot,
    Format,
    Frame,
    FrameOption,
    Json,
    Longest,
    Pictures,
    Replace,
    Threads,
    Trust,
    reading_root,
    refuse_missing,
)
from ocrmaps.cli.progress import progress_bar
from ocrmaps.cli.trust import allowed


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


def report(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="TARGET...",
            help="A run's folder, STORE or STORE/VERSION, a source (or several), or a bench record.",
            autocompletion=complete.targets,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The page; RUN/report.html for runs, else NAME-KIND.html here, when not given.",
            rich_help_panel=RESULTS,
        ),
    ] = None,
    kind: Annotated[KindName | None, typer.Option("--kind", help="What TARGET is; found out when not given.")] = None,
    assets: Annotated[
        PlaceName,
        typer.Option(
            help="Pictures inside the page or in a folder beside it; auto chooses by their size.",
            rich_help_panel=RESULTS,
        ),
    ] = PlaceName.auto,
    side: Annotated[
        int | None,
        typer.Option(
            metavar="PIXELS",
            help="Longest side of pictures in the page; chosen by their number when not given.",
            rich_help_panel=RESULTS,
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(metavar="CHECKPOINT", help="Of a run: another checkpoint than its best.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Of a run: only what its folder says; no checkpoint, no predictions.")
    ] = False,
    longest: Longest = 640,
    format: Format = None,
    pictures: Pictures = None,
    frame: FrameOption = Frame.upright,
    trust: Trust = None,
    root: FarRoot = None,
    threads: Threads = None,
    yes: Replace = False,
    as_json: Json = False,
) -> None:
    """Write one self-contained page on a run, store, source, oracle or benchmark. Example: ocrmaps report runs/first"""
    from ocrmaps.kinds import expect_checkpoint, expect_source

    cache = reading_root(root)
    if kind is None or kind.value != "store":
        refuse_missing(targets[:1], cache)
    for also in targets[1:]:  # further sources, which may say their split
        expect_source(Path(also if Path(also).exists() else also.rpartition("=")[2]))
    if checkpoint is not None:
        expect_checkpoint(checkpoint)
    from ocrmaps.pipelines import report as pipeline

    target = pipeline.find_target(targets[0], cache, kind=None if kind is None else kind.value)
    written = pipeline.report(
        target,
        cache=cache,
        out=out,
        place=assets.value,
        side=side,
        overwrite=yes,
        workers=threads,
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
        str,
        typer.Option(
            metavar="WORDS", help="Compare although these differ: budget, data, evaluation, separated by commas."
        ),
    ] = "",
    as_json: Json = False,
) -> None:
    """Say how two runs differ; unlike ones are refused. Example: ocrmaps compare runs/a runs/b"""
    from ocrmaps.kinds import expect_run_folder

    for run in (first, second):
        expect_run_folder(run)
    from ocrmaps.pipelines import compare as pipeline
    from ocrmaps.report.compare.summary import table

    found = pipeline.compare(first, second, allow=[word.strip() for word in allow.split(",") if word.strip()])
    typer.echo(json.dumps(found.as_dict(), ensure_ascii=False) if as_json else table(found))
