"""`ocrmaps diagnose`: why predictions score low, and the first thing to change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ocrmaps.cli.options import (
    RESULTS,
    Format,
    Frame,
    FrameOption,
    Json,
    Pictures,
    PredictionsFormat,
    PredictionsFrame,
    PredictionsLayout,
    PredictionsScores,
    Replace,
    Scores,
)


def diagnose(
    predictions: Annotated[Path, typer.Option(metavar="PATH", help="File or folder of predictions of any system.")],
    source: Annotated[Path, typer.Option(metavar="SOURCE", help="Annotated pictures that they are compared with.")],
    iou: Annotated[float, typer.Option(metavar="IOU", help="IoU threshold of the score.", min=0.05, max=0.95)] = 0.5,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.html", help="Write the diagnosis as one page with pictures.", rich_help_panel=RESULTS
        ),
    ] = None,
    format: Format = None,
    pictures: Pictures = None,
    frame: FrameOption = Frame.upright,
    predictions_format: PredictionsFormat = None,
    predictions_frame: PredictionsFrame = None,
    predictions_layout: PredictionsLayout = None,
    predictions_scores: PredictionsScores = Scores.probability,
    yes: Replace = False,
    as_json: Json = False,
) -> None:
    """Say why predictions score low and what to change first.

    Example: ocrmaps diagnose --predictions found.json --source receipts/val --out why.html
    """
    from ocrmaps.errors import SpecError
    from ocrmaps.kinds import expect_source

    for path in (source, predictions):
        expect_source(path)
    if out is not None and out.suffix.lower() not in (".html", ".htm"):
        raise SpecError(f"{out}: a page is an .html file", hint=f"name it {out}.html")
    from ocrmaps.evaluation.diagnose.summary import as_json as document
    from ocrmaps.evaluation.diagnose.summary import text
    from ocrmaps.evaluation.submitted import PredictionOptions
    from ocrmaps.pipelines.diagnose import run

    found = run(
        predictions,
        source,
        options=PredictionOptions(
            format=predictions_format,
            frame=None if predictions_frame is None else predictions_frame.value,
            layout=predictions_layout,
            scores=predictions_scores.value,
        ),
        iou=iou,
        format=format,
        pictures=pictures,
        frame=frame.value,
        out=out,
        overwrite=yes,
    )
    if out is not None:
        typer.echo(f"wrote {out}", err=True)
    typer.echo(json.dumps(document(found), ensure_ascii=False) if as_json else text(found))
