"""`ocrmaps oracle` and `ocrmaps recommend`: what perfect maps could score, and which recipe to take."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

from ocrmaps.cli import complete
from ocrmaps.cli.options import (
    RESULTS,
    Format,
    Frame,
    FrameOption,
    Json,
    Limit,
    Overlays,
    Page,
    Pictures,
    Replace,
    SourcePath,
    Sources,
    Threads,
)
from ocrmaps.cli.progress import progress_bar

MAPS = "Maps and extraction"


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
    ShapeName,
    typer.Option(
        help="Extract rotated boxes or polygons; auto: polygons where outlines are no boxes.", rich_help_panel=MAPS
    ),
]


def _asked(shape: ShapeName) -> Literal["boxes", "polygons"] | None:
    """The shape asked for, None where the outlines are to decide."""
    if shape is ShapeName.auto:
        return None
    return "polygons" if shape is ShapeName.polygons else "boxes"


def oracle(
    source: SourcePath,
    longest: Annotated[
        int | None,
        typer.Option(
            metavar="PIXELS", help="Longest side of the canonical picture; 640 when not given.", min=32, max=8192
        ),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Recipe file to judge instead of the defaults.", autocompletion=complete.recipes
        ),
    ] = None,
    chain: Annotated[
        ChainName,
        typer.Option(help="exact maps with inverse extraction, or the published pair.", rich_help_panel=MAPS),
    ] = ChainName.exact,
    shrink_ratio: Annotated[
        float | None,
        typer.Option(metavar="RATIO", help="Shrink ratio of exact maps; 0.6 when not given.", rich_help_panel=MAPS),
    ] = None,
    shape: ShapeOption = ShapeName.auto,
    format: Format = None,
    pictures: Pictures = None,
    frame: FrameOption = Frame.upright,
    limit: Limit = None,
    page: Page = None,
    overlays: Overlays = None,
    threads: Threads = None,
    yes: Replace = False,
    as_json: Json = False,
) -> None:
    """Score perfect maps: what a faultless network could reach. Example: ocrmaps oracle data/receipts --longest 640"""
    from ocrmaps.files import refuse_file, refuse_filled
    from ocrmaps.kinds import expect_recipe, expect_source

    expect_source(source)
    if recipe is not None:
        expect_recipe(recipe)
    if overlays is not None:
        refuse_file(overlays)
        if not yes:
            refuse_filled(overlays, hint="name another folder, or add --yes to write into it")
    from ocrmaps.evaluation.oracle import summary
    from ocrmaps.pipelines import oracle as pipeline
    from ocrmaps.report.samples import PageRequest

    done = pipeline.oracle(
        source,
        pipeline.chain_of(
            longest=longest, recipe=recipe, published=chain is ChainName.published, shrink_ratio=shrink_ratio
        ),
        shape=_asked(shape),
        format=format,
        pictures=pictures,
        frame=frame.value,
        sample=limit,
        page=None if page is None else PageRequest(out=page, overwrite=yes, workers=threads, stage=progress_bar),
        overlays=overlays,
        workers=threads,
        stage=progress_bar,
    )
    if overlays is not None:
        typer.echo(f"wrote {done.overlays} overlays into {overlays}", err=True)
    if done.page is not None:
        typer.echo(f"wrote {done.page.page}", err=True)
        typer.echo(done.page.pictures, err=True)
    typer.echo(json.dumps(summary.as_json(done.result), indent=2) if as_json else summary.table(done.result))


def recommend(
    sources: Sources,
    budget_mpx: Annotated[
        float, typer.Option(metavar="MPX", help="Mean canvas area per picture, in million pixels.")
    ] = 0.4,
    canvases: Annotated[int, typer.Option(metavar="N", help="At most this many canvas shapes.", min=1, max=12)] = 5,
    limit: Annotated[int, typer.Option(metavar="N", help="Compare candidates on this many pictures.", min=1)] = 48,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write NAME.toml, the recipe, and NAME-run.toml beside it, the run file.",
            rich_help_panel=RESULTS,
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the trade-off curve here (PNG or SVG).", rich_help_panel=RESULTS),
    ] = None,
    shape: ShapeOption = ShapeName.auto,
    format: Format = None,
    pictures: Pictures = None,
    frame: FrameOption = Frame.upright,
    threads: Threads = None,
    yes: Replace = False,
    as_json: Json = False,
) -> None:
    """Find a recipe under a pixel budget. Example: ocrmaps recommend train=photos/a val=photos/b --out photos.toml"""
    from ocrmaps.files import refuse_existing
    from ocrmaps.store.far.source import open_sources

    opened = open_sources(sources, format=format, pictures=pictures, frame=frame.value)
    run_file = None if out is None else out.with_name(f"{out.stem}-run.toml")
    for path in (out, run_file, plot):
        if path is not None:
            refuse_existing(path, replace_existing=yes)
    from ocrmaps.pipelines import recommend as search

    samples, heads = search.read_all(opened, threads=threads)
    with progress_bar("comparing") as progress:
        found = search.recommend(
            samples,
            heads,
            budget_mpx=budget_mpx,
            canvases=canvases,
            judged_on=limit,
            shape=_asked(shape),
            workers=threads,
            progress=progress,
        )
    if plot is not None:
        search.plot_tradeoff(found, plot)
        typer.echo(f"wrote {plot}", err=True)
    typer.echo(json.dumps(found.as_json(), indent=2) if as_json else search.table(found))
    if out is None or run_file is None:
        typer.echo("nothing was written; --out NAME.toml writes the recipe and the run file", err=True)
        return
    search.write_recipe(found, opened, out)
    search.write_run(found, opened, run_file, recipe=out)
    for line in search.next_steps(opened, out, run_file):
        typer.echo(line, err=True)
