"""`ocrmaps models` and `ocrmaps reproduce`: the detectors that come with the package, and how they came about."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ocrmaps.cli.options import ANNOTATIONS, RESULTS, Json
from ocrmaps.cli.progress import say


def models(as_json: Json = False) -> None:
    """List the detectors that come with the package, each with its card. Example: ocrmaps models"""
    from ocrmaps.shipped import DEFAULT, NAMES, card_of

    cards = {name: card_of(name) for name in NAMES}
    if as_json:
        typer.echo(json.dumps(cards, indent=2, ensure_ascii=False))
        return
    for name, card in cards.items():
        typer.echo(f"{name}{' (predicts where no checkpoint is named)' if name == DEFAULT else ''}")
        typer.echo(f"  {card['what']}")
        for key in ("learnt_from", "licence", "run", "scores", "fails"):
            typer.echo(f"  {key.replace('_', ' ')}:")
            found = card[key]
            lines = found if isinstance(found, list) else [f"{k}: {v}" for k, v in found.items()]
            for line in lines:
                typer.echo(f"    {line}")


def reproduce(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name of `ocrmaps models`.")],
    train: Annotated[
        Path,
        typer.Option(metavar="SOURCE", help="Annotated pictures to learn from.", rich_help_panel=ANNOTATIONS),
    ],
    val: Annotated[
        Path,
        typer.Option(metavar="SOURCE", help="Annotated pictures to score on.", rich_help_panel=ANNOTATIONS),
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of stores and runs.", rich_help_panel=RESULTS)],
    epochs: Annotated[
        int | None, typer.Option(metavar="N", help="Epochs of every stage, for a try; nothing is judged then.", min=1)
    ] = None,
    as_json: Json = False,
) -> None:
    """Train a shipped detector again as its card says, and compare; exit 1 if it differs.

    The same command goes on after an interruption. Example: ocrmaps reproduce receipts --train T --val V --out again
    """
    from ocrmaps.kinds import expect_source

    for path in (train, val):
        expect_source(path)
    from ocrmaps.pipelines.reproduce import reproduce as go

    found = go(
        name,
        train_source=train,
        val_source=val,
        out=out,
        epochs=epochs,
        say=partial(say, err=as_json),
    )
    typer.echo(json.dumps(found.as_dict(), ensure_ascii=False) if as_json else found.sentence())
    raise typer.Exit(0 if found.reproduced or epochs is not None else 1)
