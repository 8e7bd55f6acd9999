"""`ocrmaps models`: the detectors that come with the package."""

from __future__ import annotations

import json

import typer

from ocrmaps.cli.options import Json


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
