"""`ocrmaps oracle` and `ocrmaps recommend`: what perfect maps could score, and which recipe to take."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

from ocrmaps.cli.progress import progress_bar

SourcePath = Annotated[Path, typer.Argument(help="Data set folder, annotation folder or annotation file.")]
Format = Annotated[str | None, typer.Option("--format", help="Annotation format; found out when not given.")]
Pictures = Annotated[Path | None, typer.Option(help="Folder that picture names are relative to.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Workers = Annotated[int | None, typer.Option(help="Threads; all cores when not given.", min=1)]


class Frame(StrEnum):
    """Frames that annotations may be written in."""

    upright = "upright"
    raw = "raw"


FrameOption = Annotated[Frame, typer.Option(help="Frame the annotations are written in.")]


class ChainName(StrEnum):
    """Which pair of maps and extraction is judged."""

    exact = "exact"
    published = "published"


class ShapeName(StrEnum):
    """What extraction fits to a kernel; auto looks at the outlines."""

    auto = "auto"
    boxes = "boxes"
    polygons = "polygons"


ShapeOption = Annotated[
    ShapeName, typer.Option(help="Extract rotated boxes or polygons; auto: polygons where outlines are no boxes.")
]


def _asked(shape: ShapeName) -> Literal["boxes", "polygons"] | None:
    """The shape asked for, None where the outlines are to decide."""
    if shape is ShapeName.auto:
        return None
    return "polygons" if shape is ShapeName.polygons else "boxes"


def oracle(
    source: SourcePath,
    longest: Annotated[
        int | None, typer.Option(help="Longest side of the canonical picture.", min=32, max=8192)
    ] = None,
    recipe: Annotated[Path | None, typer.Option(help="Recipe file to judge instead of the defaults.")] = None,
    chain: Annotated[
        ChainName, typer.Option(help="exact maps with inverse extraction, or the published pair.")
    ] = ChainName.exact,
    shrink_ratio: Annotated[float | None, typer.Option(help="Shrink ratio of exact maps; 0.6 when not given.")] = None,
    shape: ShapeOption = ShapeName.auto,
    format: Format = None,
    pictures: Pictures = None,
    frame: FrameOption = Frame.upright,
    sample: Annotated[int | None, typer.Option(help="Judge only this many pictures, evenly drawn.", min=1)] = None,
    page: Annotated[Path | None, typer.Option(help="Write one self-contained HTML page here.")] = None,
    overlays: Annotated[
        Path | None, typer.Option(help="Write overlays of the worst 20 pictures into this folder.")
    ] = None,
    workers: Workers = None,
    yes: Annotated[bool, typer.Option("--yes", help="Replace a page that exists.")] = False,
    as_json: Json = False,
) -> None:
    """Score perfect maps: what a faultless network could reach. Example: ocrmaps oracle data/receipts --longest 640"""
    from ocrmaps.evaluation.oracle import summary
    from ocrmaps.pipelines import oracle as pipeline
    from ocrmaps.report.samples import Wish

    done = pipeline.oracle(
        source,
        pipeline.chain_of(
            longest=longest, recipe=recipe, published=chain is ChainName.published, shrink_ratio=shrink_ratio
        ),
        shape=_asked(shape),
        format=format,
        pictures=pictures,
        frame=frame.value,
        sample=sample,
        page=None if page is None else Wish(out=page, overwrite=yes, workers=workers, stage=progress_bar),
        overlays=overlays,
        workers=workers,
        stage=progress_bar,
    )
    if overlays is not None:
        typer.echo(f"wrote {done.overlays} overlays into {overlays}", err=True)
    if done.page is not None:
        typer.echo(f"wrote {done.page.page}", err=True)
        typer.echo(done.page.pictures, err=True)
    typer.echo(json.dumps(summary.as_json(done.result), indent=2) if as_json else summary.table(done.result))


def recommend(
    source: SourcePath,
    budget_mpx: Annotated[float, typer.Option(help="Mean canvas area per picture, in million pixels.")] = 0.4,
    canvases: Annotated[int, typer.Option(help="At most this many canvas shapes.", min=1, max=12)] = 5,
    sample: Annotated[int, typer.Option(help="Compare candidates on this many pictures.", min=1)] = 48,
    out: Annotated[Path | None, typer.Option(help="Write the recipe file here.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Write the trade-off curve here (PNG or SVG).")] = None,
    shape: ShapeOption = ShapeName.auto,
    format: Format = None,
    pictures: Pictures = None,
    frame: FrameOption = Frame.upright,
    workers: Workers = None,
    yes: Annotated[bool, typer.Option("--yes", help="Replace files that exist.")] = False,
    as_json: Json = False,
) -> None:
    """Find a recipe under a pixel budget. Example: ocrmaps recommend data/receipts --budget-mpx 0.3 --out my.toml"""
    from ocrmaps.annotations.samples import headers, open_samples
    from ocrmaps.errors import SpecError
    from ocrmaps.pipelines import recommend as search
    from ocrmaps.pipelines.recommend import plot_tradeoff

    for path in (out, plot):
        if path is not None and path.exists() and not yes:
            raise SpecError(f"{path} exists", hint="name another file, or add --yes to replace it")
    opened, samples = open_samples(source, format=format, pictures=pictures, frame=frame.value)
    heads = headers(opened, samples, workers=workers)
    with progress_bar("comparing") as progress:
        found = search.recommend(
            samples,
            heads,
            budget_mpx=budget_mpx,
            canvases=canvases,
            judged_on=sample,
            shape=_asked(shape),
            workers=workers,
            progress=progress,
        )
    if plot is not None:
        plot_tradeoff(found, plot)
        typer.echo(f"wrote {plot}", err=True)
    if out is not None:
        search.write_recipe(found, opened, out)
        typer.echo(f"wrote {out}", err=True)
    typer.echo(json.dumps(found.as_json(), indent=2) if as_json else search.table(found))
