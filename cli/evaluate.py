"""`ocrmaps evaluate` and `ocrmaps tune`: scores with their causes, and the settings that maps are read with."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ocrmaps.cli import complete
from ocrmaps.cli.options import (
    ANNOTATIONS,
    PREDICTIONS,
    RESULTS,
    BatchSize,
    Checkpoint,
    Device,
    DeviceOption,
    FarRoot,
    Format,
    Frame,
    FrameOption,
    Goal,
    Json,
    Limit,
    Pictures,
    PredictionsFormat,
    PredictionsFrame,
    PredictionsLayout,
    PredictionsScores,
    RawCsv,
    Replace,
    Scales,
    Scores,
    Split,
    StoreNames,
    Threads,
    Tile,
    Trust,
    TrustCode,
    page_view,
    reading_root,
    split_name,
)
from ocrmaps.cli.progress import progress_bar
from ocrmaps.cli.trust import allowed
from ocrmaps.machine import threads_within
from ocrmaps.shipped import checkpoint_path
from ocrmaps.text import typed

SCORING = "Scoring"
GRID = "What is tried"
CHOSEN = "What is chosen by"
LOW = 0.6
"""hmean of predictions under which `ocrmaps diagnose` is worth a look."""


class Protocol(StrEnum):
    """How detections are scored."""

    iou = "iou"
    deteval = "deteval"
    cleval = "cleval"
    all = "all"


class Convention(StrEnum):
    """What pages and sets without truth score."""

    ocrmaps = "ocrmaps"
    db = "db"


def evaluate(
    checkpoint: Annotated[
        Path | None,
        typer.Argument(
            metavar="CHECKPOINT",
            parser=checkpoint_path,
            help="Checkpoint of a run, file of `ocrmaps export` or name of `ocrmaps models`; none with --predictions.",
        ),
    ] = None,
    store: StoreNames = None,
    split: Split = None,
    source: Annotated[
        Path | None, typer.Option(metavar="SOURCE", help="Annotated pictures instead of a store.")
    ] = None,
    predictions: Annotated[
        Path | None, typer.Option(metavar="PATH", help="File or folder of predictions instead of a model.")
    ] = None,
    protocol: Annotated[
        list[Protocol] | None,
        typer.Option(
            metavar="PROTOCOL", help="iou, deteval, cleval or all; as often as needed.", rich_help_panel=SCORING
        ),
    ] = None,
    iou: Annotated[
        str,
        typer.Option(metavar="LIST", help="IoU thresholds; reasons are told at the first.", rich_help_panel=SCORING),
    ] = "0.5,0.7",
    convention: Annotated[
        Convention,
        typer.Option(
            help="Without truth: ocrmaps (an empty page is 1, a set has no score) or db (0, as DB and CLEval have it).",
            rich_help_panel=SCORING,
        ),
    ] = Convention.ocrmaps,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Folder for result.json, images.csv and texts.csv.", rich_help_panel=RESULTS
        ),
    ] = None,
    raw_csv: RawCsv = False,
    format: Format = None,
    pictures: Pictures = None,
    frame: FrameOption = Frame.upright,
    predictions_format: PredictionsFormat = None,
    predictions_frame: PredictionsFrame = None,
    predictions_layout: PredictionsLayout = None,
    predictions_scores: PredictionsScores = Scores.probability,
    leave_out_unknown: Annotated[
        bool,
        typer.Option(
            "--leave-out-unknown",
            help="List predicted pictures nobody expects instead of refusing.",
            rich_help_panel=PREDICTIONS,
        ),
    ] = False,
    limit: Limit = None,
    goal: Goal = None,
    tile: Tile = None,
    scales: Scales = "1",
    batch_size: BatchSize = None,
    threads: Threads = None,
    device: DeviceOption = Device.auto,
    trust: Trust = None,
    trust_code: TrustCode = None,
    root: FarRoot = None,
    yes: Replace = False,
    as_json: Json = False,
) -> None:
    """Score a checkpoint or a file of predictions. Example: ocrmaps evaluate best.ckpt --store receipts --split val"""
    from ocrmaps.kinds import expect_checkpoint, expect_source
    from ocrmaps.pipelines.evaluate import Asked, check, check_out, run

    asked = Asked(
        checkpoint=checkpoint,
        stores=tuple(store or ()),
        split=split,
        source=source,
        predictions=predictions,
        protocols=tuple(p.value for p in protocol or (Protocol.all,)),
        thresholds=iou,
        convention=convention.value,
        format=format,
        pictures=pictures,
        frame=frame.value,
        predictions_format=predictions_format,
        predictions_frame=None if predictions_frame is None else predictions_frame.value,
        predictions_layout=predictions_layout,
        predictions_scores=predictions_scores.value,
        leave_out_unknown=leave_out_unknown,
        limit=limit,
        goal=goal,
        batch=batch_size,
        threads=threads,
        device=device.value,
        cache=reading_root(root),
        trusted=allowed(trust, trust_code),
        view=page_view(tile, scales),
    )
    check(asked)
    if checkpoint is not None:
        expect_checkpoint(checkpoint)
    for path in (source, predictions):
        if path is not None:
            expect_source(path)
    _found(store, root)
    from ocrmaps.evaluation import result_document, write_evaluation
    from ocrmaps.evaluation.summary import table

    check_out(out, overwrite=yes)
    with progress_bar("evaluating") as progress:
        evaluation = run(asked, progress)
    if out is not None:
        write_evaluation(evaluation, out, overwrite=yes, raw_csv=raw_csv)
        typer.echo(f"wrote {out}/result.json, images.csv and texts.csv", err=True)
    if as_json:
        typer.echo(json.dumps(result_document(evaluation), ensure_ascii=False))
    else:
        typer.echo(table(evaluation))
    if predictions is not None and source is not None and evaluation.hmean is not None and evaluation.hmean < LOW:
        command = typed("ocrmaps", "diagnose", "--predictions", predictions, "--source", source)
        typer.echo(f"what to change first: {command}", err=True)
    if evaluation.count("failed"):
        for picture in evaluation.pictures:
            if picture.status == "failed":
                typer.echo(f"ocrmaps: {picture.problem}", err=True)
        raise typer.Exit(1)


def tune(
    checkpoint: Checkpoint,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The new checkpoint.", rich_help_panel=RESULTS)],
    store: StoreNames = None,
    split: Annotated[
        str | None,
        typer.Option(
            metavar="SPLIT",
            parser=split_name,
            help="Split that settings are chosen on; val when not given.",
            autocompletion=complete.splits,
        ),
    ] = None,
    test_split: Annotated[
        str | None,
        typer.Option(
            metavar="SPLIT",
            parser=split_name,
            help="Split that is scored once, at the chosen settings.",
            autocompletion=complete.splits,
        ),
    ] = None,
    test_source: Annotated[
        Path | None,
        typer.Option(metavar="SOURCE", help="Annotated pictures that are scored once.", rich_help_panel=ANNOTATIONS),
    ] = None,
    test_frame: Annotated[
        Frame, typer.Option(help="Frame that --test-source is written in.", rich_help_panel=ANNOTATIONS)
    ] = Frame.upright,
    binarize: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Thresholds to try, such as 0.3,0.4,0.5.", rich_help_panel=GRID),
    ] = None,
    score: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Least scores to try, such as 0.5,0.6,0.7.", rich_help_panel=GRID),
    ] = None,
    ratio: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Ratios of the constant unclip to try; none: inverse only.",
            rich_help_panel=GRID,
        ),
    ] = None,
    margin: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Margins to try, in text heights, such as 0,0.05,0.1.", rich_help_panel=GRID),
    ] = None,
    neck: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Splits of necks to try, such as 0,0.5; 0 is none.", rich_help_panel=GRID),
    ] = None,
    goals: Annotated[
        list[str] | None,
        typer.Option(
            "--for",
            metavar="GOAL",
            help="iou (default), iou@T, deteval or cleval; as often as needed, the first is how maps are read "
            "where no goal is named.",
            rich_help_panel=CHOSEN,
        ),
    ] = None,
    criterion: Annotated[
        str,
        typer.Option(
            metavar="LIST",
            help="IoU thresholds whose mean hmean is the goal iou: 0.5, or 0.5,0.7, or first:last:step.",
            rich_help_panel=CHOSEN,
        ),
    ] = "0.5:0.8:0.05",
    batch_size: BatchSize = None,
    threads: Threads = None,
    device: DeviceOption = Device.auto,
    trust: Trust = None,
    root: FarRoot = None,
    yes: Replace = False,
    as_json: Json = False,
) -> None:
    """Choose how maps are read, and freeze it. Example: ocrmaps tune best.ckpt --store receipts --out tuned.ckpt"""
    from ocrmaps.kinds import expect_checkpoint, expect_source

    expect_checkpoint(checkpoint)
    if test_source is not None:
        expect_source(test_source)
    _found(store, root)
    from ocrmaps.evaluation.tune.goals import goals_from
    from ocrmaps.evaluation.tune.grid import criterion_from, grid_from
    from ocrmaps.evaluation.tune.summary import table
    from ocrmaps.pipelines.tune import tune_stored

    trusted = allowed(trust)
    with progress_bar("tuning") as progress, threads_within(threads):
        tuned = tune_stored(
            checkpoint,
            out=out,
            store=store or (),
            cache=reading_root(root),
            split=split,
            test_split=test_split,
            test_source=test_source,
            test_frame=test_frame.value,
            grid=grid_from(binarize=binarize, score=score, ratio=ratio, margin=margin, neck=neck),
            goals=goals_from(goals or ["iou"], criterion_from(criterion)),
            batch=batch_size,
            threads=threads,
            device=device.value,
            overwrite=yes,
            trusted=trusted,
            progress=progress,
        )
    typer.echo(json.dumps(tuned.as_dict(), ensure_ascii=False) if as_json else table(tuned))


def _found(stores: list[str] | None, root: Path | None) -> None:
    """Refuse stores that are not there before anything heavy is imported."""
    from ocrmaps.store.places.cache import find_version

    for store in stores or ():
        find_version(reading_root(root), store)
