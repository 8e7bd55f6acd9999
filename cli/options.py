"""Declares what several commands share: one name, one placeholder, one sentence and one group for each thing.

A command takes `Root`, `Threads` and so on as the types of its parameters; its own options are declared beside it with
the same groups. Help shows at most seven options in a group.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrmaps.cli import complete
from ocrmaps.shipped import checkpoint_path

if TYPE_CHECKING:
    from ocrmaps.detect.view import PageView

ANNOTATIONS = "Annotations"
"""The group of options that say how annotated pictures are read."""
RESULTS = "Results"
"""The group of options that say what is written, where and how."""
LOOKING = "How pages are looked at"
"""The group of options for large pages and small text."""
RUNNING = "Where and how it runs"
"""The group of options of the machine: cache folder, threads, device, trust."""


class Frame(StrEnum):
    """Frames that annotations and results may be written in."""

    upright = "upright"
    raw = "raw"


class Device(StrEnum):
    """Where a network runs; auto is a CUDA device where there is one."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


# Arguments.
SourcePath = Annotated[
    Path, typer.Argument(metavar="SOURCE", help="Data set folder, annotation folder or annotation file.")
]
Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE...",
        help="Sources; train=PATH, val=PATH, test=PATH name their split.",
        autocompletion=complete.sources,
    ),
]
Recipe = Annotated[
    Path,
    typer.Argument(
        metavar="RECIPE", help="Recipe file; `ocrmaps recommend` writes one.", autocompletion=complete.recipes
    ),
]
RunFile = Annotated[
    Path,
    typer.Argument(
        metavar="RUN_FILE", help="Run file; `ocrmaps recommend` writes one.", autocompletion=complete.run_files
    ),
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="The run's folder.")]
Checkpoint = Annotated[
    Path,
    typer.Argument(
        metavar="CHECKPOINT", parser=checkpoint_path, help="Checkpoint of a run, or a name of `ocrmaps models`."
    ),
]
Version = Annotated[
    str,
    typer.Argument(
        metavar="VERSION",
        help="STORE (its newest version), STORE/VERSION, the start of a version, or a version's folder.",
        autocompletion=complete.versions,
    ),
]
OnlyStore = Annotated[
    str | None, typer.Argument(metavar="STORE", help="Only this store.", autocompletion=complete.stores)
]

# What a command works on.
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the file; as often as needed."),
]
Limit = Annotated[
    int | None, typer.Option(metavar="N", help="Look at so many pictures only; the score is then partial.", min=1)
]
Longest = Annotated[
    int, typer.Option(metavar="PIXELS", help="Longest side of the canonical picture.", min=32, max=8192)
]
StoreName = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="VERSION",
        help="STORE, STORE/VERSION or a version's folder.",
        autocompletion=complete.versions,
    ),
]
StoreNames = Annotated[
    list[str] | None,
    typer.Option(
        "--store",
        metavar="VERSION",
        help="STORE, STORE/VERSION or a version's folder, as often as needed; what it learnt from when not given.",
        autocompletion=complete.versions,
    ),
]


def split_name(text: str) -> str:
    """A split that a store may have; whether this one has it is seen when it is opened."""
    if text and text not in complete.SPLITS:
        raise typer.BadParameter(f"found {text!r}, expected one of {', '.join(complete.SPLITS)}")
    return text


Split = Annotated[
    str | None,
    typer.Option(
        metavar="SPLIT",
        parser=split_name,
        help="Split of the store; val when not given.",
        autocompletion=complete.splits,
    ),
]
Place = Annotated[
    Path | None, typer.Option("--in", metavar="FOLDER", help="Where bundles are looked for by name; `runs` here.")
]

Tile = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Look at large pages in windows of so many pixels, at their own resolution; auto: as texts are high.",
        rich_help_panel=LOOKING,
    ),
]
Scales = Annotated[
    str,
    typer.Option(
        metavar="LIST", help="Average maps over these multiples of the scale, such as 1,1.5.", rich_help_panel=LOOKING
    ),
]

# How annotations are read.
Format = Annotated[
    str | None,
    typer.Option(
        "--format", metavar="FORMAT", help="Annotation format; found out when not given.", rich_help_panel=ANNOTATIONS
    ),
]
Pictures = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Folder that picture names are relative to.", rich_help_panel=ANNOTATIONS),
]
FrameOption = Annotated[
    Frame, typer.Option("--frame", help="Frame the coordinates are written in.", rich_help_panel=ANNOTATIONS)
]

# How predictions of another system are read.
PREDICTIONS = "Predictions of another system"


class Scores(StrEnum):
    """What the scores of predictions are."""

    probability = "probability"
    rank = "rank"
    none = "none"


PredictionsFormat = Annotated[
    str | None,
    typer.Option(
        metavar="FORMAT", help="Format of --predictions; found out when not given.", rich_help_panel=PREDICTIONS
    ),
]
PredictionsFrame = Annotated[
    Frame | None,
    typer.Option(
        help="Frame that --predictions are written in; that of the source when not given.",
        rich_help_panel=PREDICTIONS,
    ),
]
PredictionsLayout = Annotated[
    str | None,
    typer.Option(
        metavar="LAYOUT",
        help="Lines of txt predictions: box, xywh, quad or polygon, then score, text; as quad,score.",
        rich_help_panel=PREDICTIONS,
    ),
]
PredictionsScores = Annotated[
    Scores,
    typer.Option(
        help="probability: 0 to 1; rank: only the order counts; none: leave scores out.",
        rich_help_panel=PREDICTIONS,
    ),
]

# What is written.
Page = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write one self-contained HTML page here.", rich_help_panel=RESULTS),
]
Overlays = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Draw pictures with their outlines into this folder.", rich_help_panel=RESULTS),
]
RawCsv = Annotated[
    bool,
    typer.Option(
        "--raw-csv",
        help="Write text into csv tables as it is, though a spreadsheet may run it.",
        rich_help_panel=RESULTS,
    ),
]
Replace = Annotated[bool, typer.Option("--yes", help="Replace files that exist.", rich_help_panel=RESULTS)]
Act = Annotated[bool, typer.Option("--yes", help="Do it; without it only the plan is shown.", rich_help_panel=RESULTS)]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.", rich_help_panel=RESULTS)]


# Where and how it runs.
def _place(text: str) -> Path:
    """A folder or a URL, looked at as it was typed: a `Path` has lost the slash that tells `file://` from `file:///`."""
    if text.lower().startswith("file://") and not text[7:].startswith("/"):
        raise typer.BadParameter(f"{text}: expected file:///FOLDER with the folder's whole path, or the path alone")
    return Path(text)


Root = Annotated[
    Path | None,
    typer.Option(
        "--root",
        parser=_place,
        metavar="FOLDER",
        help="Cache folder; OCRMAPS_CACHE, or .ocrmaps here, when not given.",
        rich_help_panel=RUNNING,
    ),
]
FarRoot = Annotated[
    Path | None,
    typer.Option(
        "--root",
        parser=_place,
        metavar="FOLDER|URL",
        help="Cache folder, or s3://, gs://, az://; OCRMAPS_CACHE, or .ocrmaps here, when not given.",
        rich_help_panel=RUNNING,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Workers of a build, threads or processes; all cores when not given.",
        min=1,
        max=256,
        rich_help_panel=RUNNING,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Threads at work, also of a network; by the number of cores when not given.",
        min=1,
        max=256,
        rich_help_panel=RUNNING,
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Pictures in the network at once; as in training, or 8, when not given.",
        min=1,
        max=1024,
        rich_help_panel=RUNNING,
    ),
]
DeviceOption = Annotated[
    Device,
    typer.Option(
        "--device",
        help="Where the network runs; auto: a CUDA device where there is one.",
        rich_help_panel=RUNNING,
    ),
]
Goal = Annotated[
    str | None,
    typer.Option("--for", metavar="GOAL", help="Read maps as tuned for iou, iou@T, deteval or cleval."),
]
Trust = Annotated[
    list[str] | None,
    typer.Option(
        "--trust",
        metavar="NAME",
        help="Let the file build its part package.module:NAME, which runs that code; as often as needed.",
        rich_help_panel=RUNNING,
    ),
]
TrustCode = Annotated[
    str | None,
    typer.Option(
        "--trust-code",
        metavar="DIGEST",
        help="Run the TorchScript file or exported program, whose SHA-256 this is.",
        rich_help_panel=RUNNING,
    ),
]


def page_view(tile: str | None, scales: str) -> PageView:
    """How pages are looked at, as a person writes it."""
    from ocrmaps.errors import SpecError
    from ocrmaps.text import numbers

    values = numbers(scales, "--scales")
    if tile is not None and tile != "auto" and not tile.isdecimal():
        raise SpecError(f"--tile: found {tile!r}, expected a number of pixels, or auto")
    from ocrmaps.detect.view import PageView

    side = int(tile) if tile is not None and tile != "auto" else tile
    return PageView(tile=side, scales=values)  # type: ignore[arg-type]  # auto or a number


def cache_root(root: Path | None) -> Path:
    """The cache folder that an option, the environment or the project means, in this order; a folder, no URL."""
    from ocrmaps.store.places.cache import cache_folder

    return cache_folder(root)


def reading_root(root: Path | None) -> Path:
    """The same for a command that only reads, which may also name a place in object storage by its URL."""
    from ocrmaps.store.places.cache import reading_folder

    return reading_folder(root)


def far_root(root: Path | None) -> str | None:
    """The URL of the cache, where the option or the environment names one in object storage."""
    from ocrmaps.store.places.cache import far_cache

    return far_cache(root)


def refuse_missing(targets: Sequence[str], cache: Path) -> None:
    """Refuse what is neither a path nor a store; a name that ends as checkpoints do has to be one."""
    from ocrmaps.errors import SpecError, StoreNotFound
    from ocrmaps.kinds import expect_checkpoint, expect_source
    from ocrmaps.settings.files import is_url
    from ocrmaps.store.places.cache import find_version
    from ocrmaps.text import visible

    for target in targets:
        if target.endswith(".ckpt"):
            expect_checkpoint(Path(target))
        elif not Path(target).exists():
            try:
                find_version(cache, target)
            except StoreNotFound as error:
                raise SpecError(
                    f"{visible(target)}: found neither a file or folder of this name nor such a store in {cache}",
                    hint=f"of a source in object storage `ocrmaps data check {visible(target)} --page FILE` shows all"
                    if is_url(target)
                    else "name a run folder, a source, a file, or a store; `ocrmaps cache list` shows stores",
                ) from error
        elif Path(target).is_file():
            expect_source(Path(target))
