"""`ocrmaps evaluate` and `ocrmaps tune`: scores with their causes, and the settings that maps are read with."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ocrmaps.cli.build import Json, RawCsv, Root, cache_root
from ocrmaps.cli.oracle import Frame
from ocrmaps.cli.progress import progress_bar
from ocrmaps.cli.trust import Trust, allowed

Batch = Annotated[int | None, typer.Option(help="Pictures in a batch; that of the training when not given.", min=1)]
Threads = Annotated[int | None, typer.Option(help="Threads; all cores, eight at most, when not given.", min=1)]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Limit = Annotated[int | None, typer.Option(help="Look at so many pictures only; the score is then partial.", min=1)]
Yes = Annotated[bool, typer.Option("--yes", help="Replace files that exist.")]
StoreName = Annotated[str | None, typer.Option("--store", help="STORE, STORE/VERSION or a version's folder.")]


class Protocol(StrEnum):
    """How detections are scored."""

    iou = "iou"
    deteval = "deteval"
    cleval = "cleval"
    all = "all"


class Scores(StrEnum):
    """What the scores of predictions are."""

    probability = "probability"
    rank = "rank"
    none = "none"


def evaluate(
    checkpoint: Annotated[Path | None, typer.Argument(help="Checkpoint of a run; none with --predictions.")] = None,
    store: StoreName = None,
    split: Annotated[str | None, typer.Option(help="Split of the store; val when not given.")] = None,
    source: Annotated[Path | None, typer.Option(help="Annotated pictures instead of a store.")] = None,
    predictions: Annotated[Path | None, typer.Option(help="File or folder of predictions instead of a model.")] = None,
    protocol: Annotated[
        list[Protocol] | None, typer.Option(help="iou, deteval, cleval or all; may be given several times.")
    ] = None,
    iou: Annotated[str, typer.Option(help="IoU thresholds; reasons are told at the first.")] = "0.5,0.7",
    out: Annotated[Path | None, typer.Option(help="Folder for result.json, images.csv and texts.csv.")] = None,
    raw_csv: RawCsv = False,
    format: Annotated[
        str | None, typer.Option("--format", help="Format of --source; found out when not given.")
    ] = None,
    pictures: Annotated[
        Path | None, typer.Option(help="Folder that picture names of --source are relative to.")
    ] = None,
    frame: Annotated[Frame, typer.Option(help="Frame that --source is written in.")] = Frame.upright,
    predictions_format: Annotated[
        str | None, typer.Option(help="Format of --predictions; found out when not given.")
    ] = None,
    predictions_frame: Annotated[
        Frame | None, typer.Option(help="Frame that --predictions are written in; that of the source when not given.")
    ] = None,
    predictions_layout: Annotated[
        str | None,
        typer.Option(help="Lines of txt predictions: box, xywh, quad or polygon, then score, text; as quad,score."),
    ] = None,
    predictions_scores: Annotated[
        Scores, typer.Option(help="probability: 0 to 1; rank: only the order counts; none: leave scores out.")
    ] = Scores.probability,
    leave_out_unknown: Annotated[
        bool, typer.Option("--leave-out-unknown", help="List predicted pictures nobody expects instead of refusing.")
    ] = False,
    limit: Limit = None,
    batch: Batch = None,
    threads: Threads = None,
    device: Device = "auto",
    trust: Trust = None,
    root: Root = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Score a checkpoint or a file of predictions. Example: ocrmaps evaluate best.ckpt --store receipts --split val"""
    from ocrmaps.evaluation import result_document, write_evaluation
    from ocrmaps.evaluation.summary import table
    from ocrmaps.pipelines.evaluate import Asked, check_out, run

    asked = Asked(
        checkpoint=checkpoint,
        store=store,
        split=split,
        source=source,
        predictions=predictions,
        protocols=tuple(p.value for p in protocol or (Protocol.all,)),
        thresholds=iou,
        format=format,
        pictures=pictures,
        frame=frame.value,
        predictions_format=predictions_format,
        predictions_frame=None if predictions_frame is None else predictions_frame.value,
        predictions_layout=predictions_layout,
        predictions_scores=predictions_scores.value,
        leave_out_unknown=leave_out_unknown,
        limit=limit,
        batch=batch,
        threads=threads,
        device=device,
        cache=cache_root(root),
        trusted=allowed(trust),
    )
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
    if evaluation.count("failed"):
        for picture in evaluation.pictures:
            if picture.status == "failed":
                typer.echo(f"ocrmaps: {picture.problem}", err=True)
        raise typer.Exit(1)


def tune(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint of a run.")],
    out: Annotated[Path, typer.Option(help="The new checkpoint.")],
    store: StoreName = None,
    split: Annotated[str, typer.Option(help="Split that settings are chosen on.")] = "val",
    test_split: Annotated[str | None, typer.Option(help="Split that is scored once, at the chosen settings.")] = None,
    test_source: Annotated[Path | None, typer.Option(help="Annotated pictures that are scored once.")] = None,
    test_frame: Annotated[Frame, typer.Option(help="Frame that --test-source is written in.")] = Frame.upright,
    binarise: Annotated[str | None, typer.Option(help="Thresholds to try, such as 0.3,0.4,0.5.")] = None,
    score: Annotated[str | None, typer.Option(help="Least scores to try, such as 0.5,0.6,0.7.")] = None,
    ratio: Annotated[str | None, typer.Option(help="Ratios of the constant unclip to try; none: inverse only.")] = None,
    criterion: Annotated[
        str, typer.Option(help="IoU thresholds whose mean hmean is maximised: 0.5, or 0.5,0.7, or first:last:step.")
    ] = "0.5:0.8:0.05",
    batch: Batch = None,
    threads: Threads = None,
    device: Device = "auto",
    trust: Trust = None,
    root: Root = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Choose how maps are read, and freeze it. Example: ocrmaps tune best.ckpt --store receipts --out tuned.ckpt"""
    from ocrmaps.errors import SpecError
    from ocrmaps.evaluation.tune.grid import criterion_from, grid_from
    from ocrmaps.evaluation.tune.summary import table
    from ocrmaps.pipelines.tune import tune_stored

    if store is None:
        raise SpecError("settings are chosen on a store: --store is missing", hint="`ocrmaps cache list` shows them")
    trusted = allowed(trust)
    with progress_bar("tuning") as progress:
        tuned = tune_stored(
            checkpoint,
            out=out,
            store=store,
            cache=cache_root(root),
            split=split,
            test_split=test_split,
            test_source=test_source,
            test_frame=test_frame.value,
            grid=grid_from(binarise=binarise, score=score, ratio=ratio),
            criterion=criterion_from(criterion),
            batch=batch,
            threads=threads,
            device=device,
            overwrite=yes,
            trusted=trusted,
            progress=progress,
        )
    typer.echo(json.dumps(tuned.as_dict(), ensure_ascii=False) if as_json else table(tuned))
