"""`ocrmaps build`, `verify` and `repair`: prepared data made, proven and mended."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ocrmaps.cli.options import (
    RUNNING,
    Act,
    FarRoot,
    Json,
    Recipe,
    Root,
    Settings,
    Version,
    Workers,
    cache_root,
    far_root,
    reading_root,
)
from ocrmaps.cli.progress import progress_bar
from ocrmaps.errors import RunError
from ocrmaps.text import visible_lines


class LevelName(StrEnum):
    """How closely verify looks."""

    quick = "quick"
    digest = "digest"
    rebuild = "rebuild"


def build(
    recipe: Recipe,
    root: FarRoot = None,
    workers: Workers = None,
    scheduler: Annotated[
        str,
        typer.Option(
            metavar="SCHEDULER",
            help="threads, processes, or the address of a dask scheduler.",
            rich_help_panel=RUNNING,
        ),
    ] = "threads",
    wait_workers: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            help="How long a dask scheduler may be without a worker that can draw.",
            min=0,
            rich_help_panel=RUNNING,
        ),
    ] = 60.0,
    mounts: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="/HERE=/THERE",
            help="What the workers of a cluster call a folder of pictures or the cache; may be repeated.",
            rich_help_panel=RUNNING,
        ),
    ] = None,
    settings: Settings = None,
    allow_failures: Annotated[
        int, typer.Option(metavar="N", help="Samples that may be lost before the build is refused.", min=0)
    ] = 0,
    rehash: Annotated[
        bool, typer.Option("--rehash", help="Read every file again, whatever its time stamps say.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be drawn and why; write nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Build the version that a recipe means, or find it unchanged. Example: ocrmaps build receipts.toml --workers 8

    With a URL as --root it is built on this machine and then pushed there.
    """
    from ocrmaps.kinds import expect_recipe

    expect_recipe(recipe)
    from ocrmaps.recipe import load_recipe

    loaded = load_recipe(recipe, settings or ())
    from ocrmaps.pipelines.build import build as run
    from ocrmaps.pipelines.build import build_into

    url, pushed = far_root(root), None
    with _stage_bar() as bar:
        options: dict[str, Any] = {
            "workers": workers, "scheduler": scheduler, "wait_workers": wait_workers, "mounts": mounts or (),
            "rehash": rehash, "allow_failures": allow_failures, "dry_run": dry_run, "progress": bar,
            "announce": lambda line: typer.echo(line, err=True),
        }  # fmt: skip
        try:
            if url is None:
                report = run(loaded, cache_root(root), **options)
            else:
                report, pushed = build_into(loaded, url, **options)
        except KeyboardInterrupt:
            stopped = RunError("interrupted; what is proven is kept", hint="the same command goes on from there")
            stopped.exit_code = 130
            raise stopped from None
    if as_json:
        far = {} if pushed is None else {"pushed": pushed.as_dict()}
        typer.echo(json.dumps({**report.as_dict(), **far}, ensure_ascii=False))
        return
    typer.echo(f"{report.state}: {report.store}/{report.version}")
    if report.root_digest:
        typer.echo(f"root digest {report.root_digest}")
    _print_counts(report.counts)
    for what, number in report.changed.items():
        typer.echo(f"  changed: {number} by {what}")
    for change in report.details[:20]:
        typer.echo(visible_lines(f"    {change.sample}: {change.what}"))
    for problem in report.problems[:20]:
        typer.echo(visible_lines(f"  failed: {problem}"))
    if report.memory_per_worker:
        typer.echo(f"  memory per worker: at most {report.memory_per_worker / 1e6:.0f} MB")
    rate = report.counts.get("drawn", 0) / report.seconds if report.seconds else 0.0
    typer.echo(f"  {report.seconds:.2f} s" + (f", {rate:.0f} samples/s" if rate else ""))
    if pushed is not None:
        what = ", ".join(f"{number} files {word}" for word, number in sorted(pushed.files.items()))
        typer.echo(f"  pushed to {pushed.place}: {what}")


def verify(
    version: Version,
    root: FarRoot = None,
    level: Annotated[
        LevelName, typer.Option(help="quick: files; digest: every byte; rebuild: rows drawn again.")
    ] = LevelName.digest,
    subset: Annotated[str, typer.Option(metavar="N/T", help="n/t: look into the n-th of t equal parts.")] = "1/1",
    redraw: Annotated[int, typer.Option(metavar="N", help="Rows drawn again at level rebuild.", min=1)] = 16,
    key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The ed25519 public key that must have signed every byte.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare a version with its digests; exit 1 if anything is damaged. Example: ocrmaps verify receipts"""
    from ocrmaps.errors import SpecError
    from ocrmaps.store.places.cache import find_version

    n, slash, t = subset.partition("/")
    if not slash or not n.isdecimal() or not t.isdecimal():
        raise SpecError(f"--subset {subset}: found {subset!r}, expected n/t such as 1/10")
    if key is not None and (level is LevelName.quick or int(n) != 1 or int(t) != 1):
        raise SpecError(
            "a signature is for every byte: found --key with --level quick or --subset", hint="leave those out"
        )
    store, name = find_version(reading_root(root) if key is None else cache_root(root), version)
    from ocrmaps.store.far.version import mending
    from ocrmaps.store.upkeep.signing import public_key, signature_problems
    from ocrmaps.store.upkeep.verify import verify as run

    public = None if key is None else public_key(key)
    with progress_bar("verifying") as bar:
        report = run(store.version(name), level=level.value, subset=(int(n), int(t)), redraw=redraw, progress=bar)
    if public is not None and report.ok:
        report = replace(report, problems=tuple(signature_problems(store.version(name), public)))
    if as_json:
        typer.echo(json.dumps({"store": store.name, **report.as_dict()}, ensure_ascii=False))
    else:
        for problem in report.problems:
            typer.echo(visible_lines(f"{problem.kind}: {problem}"))
        for warning in report.warnings:
            typer.echo(visible_lines(f"warning: {warning}"))
        state = "sound" if report.ok else f"{len(report.problems)} problems"
        signed = ", signed by the key" if key is not None and report.ok else ""
        typer.echo(f"{store.name}/{name}: {state} at level {report.level}, subset {report.subset}{signed}")
        typer.echo(f"root digest {report.root_digest or 'unknown: the manifest is damaged'}")
        _print_counts(report.as_dict()["counts"])
        if any(problem.kind != "signature" for problem in report.problems):
            typer.echo(f"  try: {mending(store.version(name))}")
    if not report.ok:
        raise typer.Exit(1)


def repair(
    version: Version,
    root: Root = None,
    recipe: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The recipe, where the version's manifest is lost.")
    ] = None,
    workers: Workers = None,
    yes: Act = False,
    as_json: Json = False,
) -> None:
    """Rebuild what is damaged, bit for bit, and keep the damaged files aside. Example: ocrmaps repair receipts --yes"""
    from ocrmaps.kinds import expect_recipe
    from ocrmaps.store.places.cache import find_version

    if recipe is not None:
        expect_recipe(recipe)
    store, name = find_version(cache_root(root), version)
    from ocrmaps.recipe import load_recipe

    given = None if recipe is None else load_recipe(recipe)
    from ocrmaps.machine import cores
    from ocrmaps.pipelines.build import repair as run
    from ocrmaps.store.upkeep.verify import verify as look

    if not yes:
        before = look(store.version(name))
        if as_json:
            typer.echo(json.dumps({"store": store.name, **before.as_dict(), "planned": True}, ensure_ascii=False))
        else:
            for problem in before.problems:
                typer.echo(visible_lines(f"would mend {problem.kind}: {problem}"))
            typer.echo("nothing to mend" if before.ok else "nothing was changed; run it again with --yes")
        raise typer.Exit(0 if before.ok else 1)
    with _stage_bar() as bar:
        report = run(
            store,
            name,
            given,
            workers=workers or cores(),
            progress=bar,
        )
    if as_json:
        typer.echo(json.dumps({"store": store.name, **report.as_dict()}, ensure_ascii=False))
        return
    for path in report.replaced:
        typer.echo(visible_lines(f"replaced {path}"))
    for path in report.removed:
        typer.echo(visible_lines(f"removed {path}"))
    if report.quarantine is not None:
        typer.echo(f"damaged files are kept in {report.quarantine}")
    typer.echo(f"{store.name}/{name}: sound, root digest {report.after.root_digest}")


@contextmanager
def _stage_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Yields `progress(stage, done, total)`: samples per second and the time left, on stderr if that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda stage, done, total: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.1f} samples/s" if task.speed else "")

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, Any] = {}

        def progress(stage: str, done: int, total: int) -> None:
            kind = stage.partition(",")[0]
            if kind not in tasks:
                tasks[kind] = bar.add_task(stage, total=total)
            bar.update(tasks[kind], description=stage, completed=done, total=total)

        yield progress


def _print_counts(counts: Any) -> None:
    for key, value in counts.items():
        if isinstance(value, dict):
            value = ", ".join(f"{name or 'no split'} {number}" for name, number in value.items()) or "none"
        elif key.endswith("bytes") or key == "bytes":
            value = f"{value / 1e6:.1f} MB"
        typer.echo(f"  {key.replace('_', ' ')}: {value}")
