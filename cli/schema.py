"""`ocrmaps schema`: what a recipe or run file may hold, for editors."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ocrmaps.cli.options import Replace


class FileKind(StrEnum):
    """A kind of hand-written file."""

    recipe = "recipe"
    run = "run"


def schema(
    kind: Annotated[FileKind, typer.Argument(metavar="KIND", help="Which kind of file: recipe or run.")],
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it to this file.")] = None,
    yes: Replace = False,
) -> None:
    """Print the JSON schema of recipe or run files, by which editors complete and check them.
    Example: ocrmaps schema recipe --out recipe.schema.json"""
    from ocrmaps.files import write_new
    from ocrmaps.settings.schema import schema_text

    if kind is FileKind.recipe:
        from ocrmaps.recipe import FORM
    else:
        from ocrmaps.training.spec import FORM
    text = schema_text(FORM)
    if out is None:
        typer.echo(text, nl=False)
        return
    write_new(out, text.encode(), replace_existing=yes)
    typer.echo(f"wrote {out}")
