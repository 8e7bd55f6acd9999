"""`ocrmaps audit`: labels of a source ranked by how wrong they look to a detector."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ocrmaps.cli.options import (
    RESULTS,
    BatchSize,
    Device,
    DeviceOption,
    Format,
    Frame,
    FrameOption,
    Json,
    Limit,
    Pictures,
    RawCsv,
    Replace,
    SourcePath,
    Threads,
)
from ocrmaps.cli.progress import progress_bar

FOLDS = "Detectors that did not learn from the labels"


def audit(
    source: SourcePath,
    detector: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="Checkpoint, .onnx, .xml or name of `ocrmaps models`; `receipts` when not given. Of several, number "
            "i modulo their count looks at picture i, so that each judges pictures it did not learn from.",
        ),
    ] = None,
    folds: Annotated[
        int,
        typer.Option(
            metavar="K",
            help="Train K detectors from --detector first, each on all pictures but every Kth, which it then judges: "
            "for labels that the detector learnt from, and pictures unlike its own. Takes minutes to hours.",
            min=1,
            max=10,
            rich_help_panel=FOLDS,
        ),
    ] = 1,
    epochs: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Epochs of each fold; 6 when not given.", min=1, max=1000, rich_help_panel=FOLDS
        ),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Decisions that the page exported: rejected findings go, accepted ones are applied."
        ),
    ] = None,
    top: Annotated[
        int, typer.Option(metavar="N", help="Findings on the page and in the tasks.", min=1, max=10_000)
    ] = 200,
    limit: Limit = None,
    seed: Annotated[
        int, typer.Option(metavar="N", help="Which errors are put in to learn from.", min=0, max=2**31 - 1)
    ] = 0,
    frame: FrameOption = Frame.upright,
    format: Format = None,
    pictures: Pictures = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder for audit.html, findings.csv, audit.json and tasks.json (Label Studio).",
            rich_help_panel=RESULTS,
        ),
    ] = None,
    url_prefix: Annotated[
        str,
        typer.Option(metavar="URL", help="Address in front of picture paths in tasks.json.", rich_help_panel=RESULTS),
    ] = "",
    raw_csv: RawCsv = False,
    batch_size: BatchSize = None,
    threads: Threads = None,
    device: DeviceOption = Device.auto,
    yes: Replace = False,
    as_json: Json = False,
) -> None:
    """Rank labels by how wrong they look; exit 1 if a picture was not read. Example: ocrmaps audit receipts --out a"""
    from ocrmaps.errors import SpecError
    from ocrmaps.kinds import expect_checkpoint, expect_no_audit, expect_source
    from ocrmaps.shipped import DEFAULT, checkpoint_path

    expect_source(source)
    checkpoints = [checkpoint_path(name) for name in detector or (DEFAULT,)]
    for path in checkpoints:
        expect_checkpoint(path)
    if state is not None and not state.is_file():
        raise SpecError(f"{state}: no such file of decisions", hint="the page of an audit exports one")
    if folds > 1 and len(checkpoints) > 1:
        raise SpecError("folds start from one detector", hint="one --detector, or no --folds")
    if folds > 1 and out is None:
        raise SpecError("folds are trained into the folder of the audit: --out is missing")
    if folds == 1 and epochs is not None:
        raise SpecError("--epochs says how long folds are trained: --folds is missing")
    if out is None and (url_prefix or raw_csv):
        raise SpecError("--url-prefix and --raw-csv say how files are written: --out is missing")
    if out is not None and not yes:
        expect_no_audit(out)
    from ocrmaps.store.far.source import open_source

    opened = open_source(source, format=format, pictures=pictures, frame=frame.value)
    if detector is None:
        typer.echo(f"no detector named: the shipped `{DEFAULT}` looks at the pictures (`ocrmaps models`)", err=True)
    from ocrmaps.pipelines.audit import EPOCHS, run

    done = run(
        opened,
        checkpoints,
        folds=folds,
        epochs=epochs or EPOCHS,
        state=state,
        top=top,
        limit=limit,
        out=out,
        prefix=url_prefix,
        raw_csv=raw_csv,
        batch=batch_size or 8,
        threads=threads,
        device=device.value,
        seed=seed,
        overwrite=yes,
        say=partial(typer.echo, err=True),
        stage=progress_bar,
    )
    if done.result.warning:
        typer.echo(f"note: {done.result.warning}", err=True)
    for name, why in done.failed:
        typer.echo(f"not judged: {name}: {why}", err=True)
    typer.echo(json.dumps(done.as_json(), ensure_ascii=False) if as_json else done.sentence())
    raise typer.Exit(1 if done.failed else 0)
