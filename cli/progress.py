"""Draws a progress bar on stderr for whatever takes more than a moment, and writes lines above one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Yields `progress(done, total)`. Nothing is drawn when stderr is no terminal."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def say(line: str, *, err: bool = False) -> None:
    """Write a line. Above a bar on the same terminal: while one is drawn it has put itself in the place of the stream,
    and whoever looks for the bytes behind the stream, as typer.echo does, writes into the bar."""
    stream = sys.stderr if err else sys.stdout
    stream.write(line + "\n")
    stream.flush()
