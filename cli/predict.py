"""`ocrmaps predict` and `ocrmaps export`: a trained detector on pictures, and as a file for other programs."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ocrmaps.cli.options import (
    RESULTS,
    BatchSize,
    Checkpoint,
    Device,
    DeviceOption,
    Frame,
    Goal,
    Json,
    Overlays,
    RawCsv,
    Replace,
    Root,
    Scales,
    Threads,
    Tile,
    Trust,
    TrustCode,
    page_view,
    reading_root,
)
from ocrmaps.cli.progress import progress_bar
from ocrmaps.cli.trust import allowed


class ResultFormat(StrEnum):
    """Files that predictions are written to."""

    json = "json"
    ufo = "ufo"
    icdar_zip = "icdar-zip"
    coco = "coco"
    paddle = "paddle"
    csv = "csv"


def predict(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[CHECKPOINT] PICTURE...",
            help="A checkpoint, a file of `ocrmaps export` or a name of `ocrmaps models`, which may be left out; then "
            "pictures, folders and patterns such as 'scans/*.jpg'.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="PATH", help="File to write; a name without an ending is a folder for it.", rich_help_panel=RESULTS
        ),
    ],
    format: Annotated[
        ResultFormat,
        typer.Option("--format", help="Format of the result; json holds every digit.", rich_help_panel=RESULTS),
    ] = ResultFormat.json,
    frame: Annotated[
        Frame,
        typer.Option(
            help="Frame of the coordinates: as viewers show the picture, or as it is stored.", rich_help_panel=RESULTS
        ),
    ] = Frame.upright,
    raw_csv: RawCsv = False,
    recursive: Annotated[bool, typer.Option("--recursive", help="Take the pictures of subfolders too.")] = False,
    overlays: Overlays = None,
    batch_size: BatchSize = None,
    threads: Threads = None,
    min_score: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Least score instead of the checkpoint's own.", min=0, max=1),
    ] = None,
    goal: Goal = None,
    tile: Tile = None,
    scales: Scales = "1",
    device: DeviceOption = Device.auto,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first unreadable picture.")] = False,
    trust: Trust = None,
    trust_code: TrustCode = None,
    yes: Replace = False,
    as_json: Json = False,
) -> None:
    """Find text in pictures; exit 1 if some could not be read. Example: ocrmaps predict best.ckpt scans --out found"""
    from ocrmaps.kinds import expect_checkpoint, expect_pictures

    checkpoint, pictures = _detector_and_pictures(words)
    expect_checkpoint(checkpoint)
    expect_pictures(pictures)
    from ocrmaps.pipelines.predict import run

    trusted = allowed(trust, trust_code)
    with progress_bar("predicting") as progress:
        done = run(
            checkpoint,
            pictures,
            out=out,
            format=format.value,
            frame=frame.value,
            raw_csv=raw_csv,
            recursive=recursive,
            overlays=overlays,
            batch=batch_size or 8,
            threads=threads,
            min_score=min_score,
            goal=goal,
            device=device.value,
            strict=strict,
            view=page_view(tile, scales),
            overwrite=yes,
            trusted=trusted,
            progress=progress,
        )
    for line in done.complaints():
        typer.echo(line, err=True)
    typer.echo(json.dumps(done.as_json(), indent=2) if as_json else done.sentence())
    raise typer.Exit(1 if done.failed else 0)


def _detector_and_pictures(words: list[str]) -> tuple[Path, list[str]]:
    """What predicts and what it looks at: the first word is a detector unless it names pictures."""
    from ocrmaps.errors import SpecError
    from ocrmaps.kinds import names_pictures
    from ocrmaps.shipped import DEFAULT, checkpoint_path, shipped

    if names_pictures(words[0]):
        typer.echo(f"no checkpoint named: the shipped detector `{DEFAULT}` predicts (`ocrmaps models`)", err=True)
        return shipped(DEFAULT), words
    if len(words) == 1:
        raise SpecError(f"{words[0]}: no pictures named after it", hint="ocrmaps predict CHECKPOINT PICTURE...")
    return checkpoint_path(words[0]), words[1:]


class ExportFormat(StrEnum):
    """Files that other programs run."""

    onnx = "onnx"
    openvino = "openvino"
    torchscript = "torchscript"
    program = "program"


def export(
    checkpoint: Checkpoint,
    out: Annotated[Path, typer.Option(metavar="FILE", help="File to write.", rich_help_panel=RESULTS)],
    format: Annotated[
        ExportFormat,
        typer.Option(
            "--format", help="onnx, openvino, torchscript, or torch.export's program.", rich_help_panel=RESULTS
        ),
    ] = ExportFormat.onnx,
    size: Annotated[
        str,
        typer.Option(metavar="SIZE", help="HEIGHTxWIDTH of the pictures it takes, or dynamic for every multiple."),
    ] = "dynamic",
    check_on: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PICTURE",
            help="Compare boxes on these pictures instead of generated receipts; as often as needed.",
        ),
    ] = None,
    int8: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE|STORE",
            help="Round to int8, calibrated on annotated pictures or a store's train; onnx and openvino only.",
        ),
    ] = None,
    score_on: Annotated[
        Path | None,
        typer.Option(
            metavar="SOURCE",
            help="Annotated pictures that tell what rounding costs; else those of --int8.",
        ),
    ] = None,
    root: Root = None,
    trust: Trust = None,
    yes: Replace = False,
    as_json: Json = False,
) -> None:
    """Write a detector for other programs; exit 1 if it differs. Example: ocrmaps export best.ckpt --out text.onnx"""
    from ocrmaps.kinds import expect_checkpoint, expect_pictures, expect_source

    expect_checkpoint(checkpoint)
    expect_pictures(check_on or ())
    calibration = None if int8 is None else _calibration(int8, root)
    if score_on is not None:
        expect_source(score_on)
    from ocrmaps.detect.export import parse_size
    from ocrmaps.detect.inputs import find_inputs
    from ocrmaps.pipelines.export import export as write

    wanted = parse_size(size)
    paths = [file.path for file in find_inputs(check_on).files] if check_on else []
    done = write(
        checkpoint,
        out,
        format=format.value,
        size=wanted,
        pictures=paths,
        int8=calibration,
        score_on=score_on,
        overwrite=yes,
        trusted=allowed(trust),
    )
    if not done.parity.boxes:
        typer.echo("note: no boxes were found, so only maps were compared; name pictures with --check-on", err=True)
    typer.echo(json.dumps(done.as_json(), indent=2) if as_json else done.sentence())


def _calibration(named: str, root: Path | None) -> Path:
    """Where the pictures lie: a path that is there, or else a version of the cache."""
    from ocrmaps.kinds import expect_source, is_version
    from ocrmaps.store.places.cache import find_version

    if Path(named).exists():
        if not is_version(Path(named)):
            expect_source(Path(named))
        return Path(named)
    store, version = find_version(reading_root(root), named)
    return store.version(version)
