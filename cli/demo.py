"""`ocrmaps demo`: the whole chain on generated receipts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for everything that the demo makes.")] = Path(
        "out/demo"
    ),
    num: Annotated[
        int, typer.Option(metavar="N", help="Receipts to train on; a fifth as many more to score.", min=8)
    ] = 320,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the generated receipts.", min=0)] = 0,
    epochs: Annotated[int, typer.Option(metavar="N", help="Epochs of training.", min=1)] = 11,
) -> None:
    """Run the main job on generated receipts. Example: ocrmaps demo --num 160"""
    from ocrmaps.files import refuse_file

    refuse_file(out)
    from ocrmaps.pipelines.demo import demo as run

    run(out, num=num, seed=seed, epochs=epochs, say=typer.echo)
