"""`ocrmaps predict` and `ocrmaps export`: a trained detector on pictures, and as a file for other programs."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ocrmaps.cli.build import RawCsv
from ocrmaps.cli.progress import progress_bar
from ocrmaps.cli.trust import Trust, TrustCode, allowed

Yes = Annotated[bool, typer.Option("--yes", help="Replace files that exist.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


class ResultFormat(StrEnum):
    """Files that predictions are written to."""

    json = "json"
    ufo = "ufo"
    icdar_zip = "icdar-zip"
    coco = "coco"
    paddle = "paddle"
    csv = "csv"


class ResultFrame(StrEnum):
    """Frames that results are written in."""

    upright = "upright"
    raw = "raw"


class Device(StrEnum):
    """Where the network runs."""

    cpu = "cpu"
    cuda = "cuda"


def predict(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint of a run, or a file that `ocrmaps export` wrote.")],
    pictures: Annotated[list[str], typer.Argument(help="Pictures, folders and patterns such as 'scans/*.jpg'.")],
    out: Annotated[Path, typer.Option(help="File to write; a name without an ending is a folder for it.")],
    format: Annotated[
        ResultFormat, typer.Option("--format", help="Format of the result; json holds every digit.")
    ] = ResultFormat.json,
    frame: Annotated[
        ResultFrame, typer.Option(help="Frame of the coordinates: as viewers show the picture, or as it is stored.")
    ] = ResultFrame.upright,
    raw_csv: RawCsv = False,
    recursive: Annotated[bool, typer.Option("--recursive", help="Take the pictures of subfolders too.")] = False,
    overlays: Annotated[
        Path | None, typer.Option(help="Draw every picture with its outlines into this folder.")
    ] = None,
    batch: Annotated[int, typer.Option(help="Pictures in the network at once.", min=1, max=1024)] = 8,
    threads: Annotated[
        int | None, typer.Option(help="Threads that decode, and as many that extract; all cores when not given.", min=1)
    ] = None,
    min_score: Annotated[
        float | None, typer.Option(help="Least score instead of the checkpoint's own.", min=0, max=1)
    ] = None,
    device: Annotated[Device, typer.Option(help="Where the network runs.")] = Device.cpu,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first unreadable picture.")] = False,
    trust: Trust = None,
    trust_code: TrustCode = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Find text in pictures; exit 1 if some could not be read. Example: ocrmaps predict best.ckpt scans --out found"""
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
            batch=batch,
            threads=threads,
            min_score=min_score,
            device=device.value,
            strict=strict,
            overwrite=yes,
            trusted=trusted,
            progress=progress,
        )
    for line in done.complaints():
        typer.echo(line, err=True)
    typer.echo(json.dumps(done.as_json(), indent=2) if as_json else done.sentence())
    raise typer.Exit(1 if done.failed else 0)


class ExportFormat(StrEnum):
    """Files that other programs run."""

    onnx = "onnx"
    torchscript = "torchscript"
    program = "program"


def export(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint of a run.")],
    out: Annotated[Path, typer.Option(help="File to write.")],
    format: Annotated[
        ExportFormat, typer.Option("--format", help="onnx, torchscript, or torch.export's program.")
    ] = ExportFormat.onnx,
    size: Annotated[
        str, typer.Option(help="HEIGHTxWIDTH of the pictures it takes, or dynamic for every multiple.")
    ] = "dynamic",
    pictures: Annotated[
        list[str] | None, typer.Option(help="Compare boxes on these pictures instead of generated receipts.")
    ] = None,
    trust: Trust = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Write a detector for other programs; exit 1 if it differs. Example: ocrmaps export best.ckpt --out text.onnx"""
    from ocrmaps.detect.inputs import find_inputs
    from ocrmaps.pipelines.export import export as write
    from ocrmaps.pipelines.export import parse_size

    wanted = parse_size(size)
    paths = [file.path for file in find_inputs(pictures).files] if pictures else []
    done = write(
        checkpoint, out, format=format.value, size=wanted, pictures=paths, overwrite=yes, trusted=allowed(trust)
    )
    if not done.parity.boxes:
        typer.echo("note: no boxes were found, so only maps were compared; name pictures with --pictures", err=True)
    typer.echo(json.dumps(done.as_json(), indent=2) if as_json else done.sentence())
