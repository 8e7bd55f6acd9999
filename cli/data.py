"""`ocrmaps data`: check, show, convert and generate annotated pictures."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ocrmaps.cli.options import (
    ANNOTATIONS,
    RESULTS,
    Format,
    Frame,
    FrameOption,
    Json,
    Longest,
    Page,
    Pictures,
    Replace,
    SourcePath,
    Sources,
    Threads,
)
from ocrmaps.cli.progress import progress_bar

app = typer.Typer(
    help="Look at annotated pictures before training on them. Example: ocrmaps data check receipts/train",
    no_args_is_help=True,
)
SHARES = "Unusual pictures"


class View(StrEnum):
    """Frames that a picture can be looked at in."""

    raw = "raw"
    upright = "upright"
    canonical = "canonical"


class Label(StrEnum):
    """What stands beside each outline."""

    number = "number"
    text = "text"
    none = "none"


class Level(StrEnum):
    """What one outline encloses."""

    line = "line"
    word = "word"


@app.command()
def check(
    sources: Sources,
    longest: Longest = 640,
    frame: FrameOption = Frame.upright,
    format: Format = None,
    pictures: Pictures = None,
    decode: Annotated[
        bool, typer.Option("--decode/--no-decode", help="Decode every picture, or read headers only.")
    ] = True,
    page: Page = None,
    threads: Threads = None,
    yes: Replace = False,
    as_json: Json = False,
) -> None:
    """Report the health of sources; exit 1 on problems. Example: ocrmaps data check train=a val=b --page out.html"""
    from ocrmaps.files import refuse_existing, write_new
    from ocrmaps.store.far.source import open_sources

    if page is not None:
        refuse_existing(page, replace_existing=yes)
    opened = open_sources(sources, format=format, pictures=pictures, frame=frame.value)
    from ocrmaps.annotations.checks import summary as data_report
    from ocrmaps.annotations.checks.checkup import check as look
    from ocrmaps.canonical import CanonicalSpec

    checkup = look(opened, spec=CanonicalSpec.longest(longest), pixels=decode, workers=threads, stage=progress_bar)
    if page is not None:
        from ocrmaps.report.checkup import health_page

        with progress_bar("drawing the page") as progress:
            html = health_page(checkup, progress)
        write_new(page, html.encode("utf-8"), replace_existing=yes)
        typer.echo(f"wrote {page}", err=True)
    if as_json:
        typer.echo(json.dumps(data_report.as_json(checkup), indent=2))
    else:
        data_report.print_tables(checkup)
    raise typer.Exit(0 if checkup.ok else 1)


@app.command()
def show(
    source: SourcePath,
    sample: Annotated[str, typer.Argument(metavar="SAMPLE", help="Sample id, file name, or position from 0.")] = "0",
    view: Annotated[View, typer.Option(help="Frame to look at the picture in.")] = View.upright,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="PNG to write; SAMPLE-VIEW.png here when not given.", rich_help_panel=RESULTS
        ),
    ] = None,
    label: Annotated[Label, typer.Option(help="What stands beside each outline.")] = Label.number,
    longest: Annotated[
        int | None,
        typer.Option(
            metavar="PIXELS", help="Longest side of the canonical picture; 640 when not given.", min=32, max=8192
        ),
    ] = None,
    frame: FrameOption = Frame.upright,
    format: Format = None,
    pictures: Pictures = None,
    yes: Replace = False,
    as_json: Json = False,
) -> None:
    """Draw a sample's outlines on its picture. Example: ocrmaps data show receipts 012.jpg --view canonical"""
    from ocrmaps.canonical import CanonicalSpec
    from ocrmaps.errors import SpecError
    from ocrmaps.files import write_new
    from ocrmaps.store.far.source import open_source

    if longest is not None and view is not View.canonical:
        raise SpecError(f"--longest: found --view {view}, whose pictures keep their size", hint="add --view canonical")
    opened = open_source(source, format=format, pictures=pictures, frame=frame.value)
    from ocrmaps.pipelines import data_show as drawing

    spec = CanonicalSpec.longest(longest or 640)
    showing = drawing.show(opened, sample, frame=view.value, spec=spec, label=label.value)
    path = out or Path(f"{Path(showing.sample.id).stem}-{view.value}.png")
    write_new(path, showing.png(), replace_existing=yes)
    typer.echo(json.dumps(showing.as_json(path), indent=2) if as_json else showing.sentence(path))


@app.command()
def convert(
    source: SourcePath,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="File or folder to write.")],
    to: Annotated[str, typer.Option("--to", metavar="FORMAT", help="Target format.")],
    url_prefix: Annotated[
        str, typer.Option(metavar="URL", help="Address in front of picture paths, with --to labelstudio.")
    ] = "",
    frame: FrameOption = Frame.upright,
    format: Format = None,
    pictures: Pictures = None,
    yes: Replace = False,
    as_json: Json = False,
) -> None:
    """Write another format and count what it cannot say. Example: ocrmaps data convert receipts out.json --to coco"""
    from ocrmaps.store.far.source import open_source

    opened = open_source(source, format=format, pictures=pictures, frame=frame.value)
    from ocrmaps.pipelines import data as pipeline

    done = pipeline.convert(opened, out, format=to, overwrite=yes, url_prefix=url_prefix)
    typer.echo(json.dumps(done.as_json(), indent=2) if as_json else done.sentence())


@app.command()
def merge(
    base: Annotated[Path, typer.Argument(metavar="BASE", help="The annotations that corrections go into.")],
    corrected: Annotated[
        list[Path], typer.Argument(metavar="CORRECTED...", help="What came back: exports of any format, of any part.")
    ],
    out: Annotated[
        Path, typer.Option(metavar="PATH", help="File or folder to write; BASE stays.", rich_help_panel=RESULTS)
    ],
    sent: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="What was sent out: a picture that BASE changed since is a conflict; BASE itself when not given.",
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="FORMAT",
            help="Format to write; that of BASE, or ufo, when not given.",
            rich_help_panel=RESULTS,
        ),
    ] = None,
    corrected_format: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT", help="Format of CORRECTED; found out when not given.", rich_help_panel=ANNOTATIONS
        ),
    ] = None,
    frame: FrameOption = Frame.upright,
    format: Format = None,
    pictures: Pictures = None,
    yes: Replace = False,
    as_json: Json = False,
) -> None:
    """Take corrections back; exit 1 on conflicts. Example: ocrmaps data merge receipts export.json --out new.json"""
    from ocrmaps.kinds import expect_source

    for path in (base, *corrected, *((sent,) if sent is not None else ())):
        expect_source(path)
    from ocrmaps.pipelines.merge import merge as run

    done = run(
        base,
        corrected,
        out,
        sent=sent,
        to=to,
        format=format,
        corrected_format=corrected_format,
        pictures=pictures,
        frame=frame.value,
        overwrite=yes,
    )
    typer.echo(json.dumps(done.as_json(), indent=2, ensure_ascii=False) if as_json else done.sentence())
    raise typer.Exit(1 if done.merge.conflicts else 0)


@app.command()
def synth(
    out: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder to write; must not exist or be empty.")],
    num: Annotated[int, typer.Option(metavar="N", help="How many pictures.", min=0, max=1_000_000)] = 100,
    seed: Annotated[
        int, typer.Option(metavar="N", help="The same seed gives the same bytes.", min=0, max=2**32 - 1)
    ] = 0,
    format: Annotated[
        str,
        typer.Option("--format", metavar="FORMAT", help="Annotation format to write.", rich_help_panel=ANNOTATIONS),
    ] = "ufo",
    level: Annotated[
        Level, typer.Option(help="One outline a line or a word.", rich_help_panel=ANNOTATIONS)
    ] = Level.line,
    frame: FrameOption = Frame.upright,
    height: Annotated[
        int, typer.Option(metavar="PIXELS", help="Largest height of upright pictures.", min=320, max=8192)
    ] = 1280,
    width: Annotated[
        int, typer.Option(metavar="PIXELS", help="Largest width of upright pictures.", min=320, max=8192)
    ] = 640,
    turned: Annotated[
        float,
        typer.Option(
            metavar="SHARE", help="Share stored turned, with an EXIF orientation.", min=0, max=1, rich_help_panel=SHARES
        ),
    ] = 0.25,
    curved: Annotated[
        float, typer.Option(metavar="SHARE", help="Share with curved text.", min=0, max=1, rich_help_panel=SHARES)
    ] = 0.1,
    empty: Annotated[
        float, typer.Option(metavar="SHARE", help="Share without text.", min=0, max=1, rich_help_panel=SHARES)
    ] = 0.03,
    as_json: Json = False,
) -> None:
    """Invent photographs of receipts with exact outlines. Example: ocrmaps data synth receipts --num 200 --seed 1"""
    from ocrmaps.files import refuse_filled

    refuse_filled(out)
    from ocrmaps.pipelines import data as pipeline

    with progress_bar("inventing receipts") as progress:
        done = pipeline.synth(
            out,
            format=format,
            progress=progress,
            num=num,
            seed=seed,
            level=level.value,
            frame=frame.value,
            size=(height, width),
            turned=turned,
            curved=curved,
            empty=empty,
        )
    typer.echo(json.dumps(done.as_json(), indent=2) if as_json else done.sentence())
