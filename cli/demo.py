"""`ocrmaps demo`: the whole chain on generated receipts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything that the demo makes.")] = Path("out/demo"),
    num: Annotated[int, typer.Option(help="Receipts to generate.", min=1, max=10_000)] = 48,
    seed: Annotated[int, typer.Option(help="Seed of the generated receipts.", min=0)] = 0,
) -> None:
    """Run the main job on generated receipts. Example: ocrmaps demo --num 48"""
    from pipelines.demo import demo as run

    run(out, num=num, seed=seed, say=typer.echo)
