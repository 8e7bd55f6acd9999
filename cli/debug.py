"""`ocrmaps debug`: bundles of what went wrong, steps repeated from them, and the doctor."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ocrmaps.cli import complete
from ocrmaps.cli.options import (
    Act,
    Format,
    Frame,
    FrameOption,
    Json,
    Page,
    Pictures,
    Place,
    Replace,
    Root,
    RunFolder,
    Trust,
    cache_root,
    refuse_missing,
)
from ocrmaps.cli.progress import progress_bar
from ocrmaps.cli.trust import allowed
from ocrmaps.text import typed, visible

app = typer.Typer(
    help="Find out what went wrong: bundles, replays, the doctor. Example: ocrmaps debug doctor runs/first",
    no_args_is_help=True,
)
PlaceArgument = Annotated[
    Path | None, typer.Argument(metavar="FOLDER", help="A run, a folder of runs or of bundles; `runs` here.")
]
Wanted = Annotated[
    str,
    typer.Argument(metavar="BUNDLE", help="A bundle's folder or archive, its name, the start of it, or `last`."),
]


class NoteKind(StrEnum):
    """What a note is."""

    note = "note"
    hypothesis = "hypothesis"
    finding = "finding"


def _place(place: Path | None) -> Path:
    return place if place is not None else Path("runs")


def _dump(data: Any) -> None:
    typer.echo(json.dumps(data, ensure_ascii=False, allow_nan=False))


@app.command()
def bundle(
    run: RunFolder,
    reason: Annotated[str, typer.Option(metavar="WORD", help="Why; becomes part of the bundle's name.")] = "manual",
    profile: Annotated[bool, typer.Option("--profile", help="Also trace where the time of the step goes.")] = False,
    trust: Trust = None,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Keep a run's state and its next step in one folder. Example: ocrmaps debug bundle runs/first --reason slow"""
    from ocrmaps.kinds import expect_run_folder

    expect_run_folder(run)
    from ocrmaps.debug.bundles import one_bundle
    from ocrmaps.pipelines import debug

    folder = debug.bundle_run(run, reason=reason, cache=cache_root(root), profile=profile, trusted=allowed(trust))
    made = one_bundle(str(folder), run)
    if as_json:
        _dump(made.as_dict())
        return
    typer.echo(f"{folder}")
    for entry in debug.entries(made):
        if entry["kind"] == "absent":
            typer.echo(f"  {entry['message']}")
    typer.echo(f"  {made.nbytes / 1e6:.1f} MB; try: {typed('ocrmaps', 'debug', 'show', folder)}")


@app.command("list")
def list_(place: PlaceArgument = None, as_json: Json = False) -> None:
    """List the bundles of a run or a folder of runs, the newest first. Example: ocrmaps debug list runs"""
    from ocrmaps.debug.bundles import find_bundles

    found = find_bundles(_place(place))
    if as_json:
        _dump({"bundles": [b.as_dict() for b in found]})
        return
    if not found:
        typer.echo(f"no bundles in {_place(place)}")
        return
    rows = [("bundle", "run", "step", "state", "MB", "what happened")]
    for b in found:
        message = visible((str(b.facts.get("message", "")).splitlines() or [""])[0], 100)
        step = b.facts.get("step")
        rows.append(
            (b.name, visible(b.facts.get("run"), 60), "" if step is None else visible(step, 20), visible(b.state),
             f"{b.nbytes / 1e6:.1f}", message)
        )  # fmt: skip
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    for row in rows:
        typer.echo("  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[5]]).rstrip())


@app.command()
def show(wanted: Wanted, place: Place = None, as_json: Json = False) -> None:
    """Say what a bundle is, what is noted in it and which files it has. Example: ocrmaps debug show last"""
    from ocrmaps.debug.bundles import one_bundle
    from ocrmaps.debug.entries import entries
    from ocrmaps.debug.reading import damage, files

    found = one_bundle(wanted, _place(place))
    faults = [found.fault] if found.fault else damage(found)
    noted = entries(found) if not found.fault else []
    if as_json:
        _dump({**found.as_dict(), "damage": faults, "entries": noted, "files": files(found)})
    else:
        facts = found.facts
        typer.echo(f"{found.path}  ({visible(found.state)}, {found.nbytes / 1e6:.1f} MB)")
        for line in str(facts.get("message", "")).splitlines():
            typer.echo(f"  {visible(line, 400)}")
        where = f", epoch {facts.get('epoch')}, step {facts['step']}" if facts.get("step") is not None else ""
        typer.echo(visible(f"  run {facts.get('run')}{where}, store {facts.get('store')}, {facts['created']}", 400))
        shown = [e for e in noted if e["kind"] != "metrics"]
        for entry in shown:
            typer.echo(visible(f"  {entry['time']} {entry['level']!s:7s} {entry['kind']}: {entry['message']}", 1000))
            if entry["data"]:
                typer.echo(f"      {visible(json.dumps(entry['data'], ensure_ascii=False), 400)}")
        if len(shown) < len(noted):
            typer.echo(f"  and {len(noted) - len(shown)} entries of metrics")
        for name, size in files(found).items():
            typer.echo(f"  {size:>12,}  {name}")
        for fault in faults:
            typer.echo(f"damaged: {visible(fault.removeprefix('damaged: '))}")
        if "step.pt" in files(found):
            typer.echo(f"  try: {typed('ocrmaps', 'debug', 'replay', found.path)}")
    if faults:
        raise typer.Exit(1)


@app.command()
def replay(wanted: Wanted, place: Place = None, trust: Trust = None, root: Root = None, as_json: Json = False) -> None:
    """Repeat a bundle's step on the processor; exit 1 if it comes out otherwise. Example: ocrmaps debug replay last"""
    from ocrmaps.debug.bundles import one_bundle

    found = one_bundle(wanted, _place(place))
    from ocrmaps.pipelines import debug

    report = debug.replay_bundle(found, cache=cache_root(root), trusted=allowed(trust))
    if as_json:
        _dump(report.as_dict())
    else:
        typer.echo(f"{'reproduces' if report.replay.reproduces else 'does not reproduce'}: {report.replay.why}")
        typer.echo(
            f"  samples: {', '.join(report.replay.samples[:6])}{' ...' if len(report.replay.samples) > 6 else ''}"
        )
        if report.replay.now.terms:
            typer.echo(f"  now: {', '.join(f'{k} {v:.6g}' for k, v in report.replay.now.terms.items())}")
        typer.echo(f"  its tensors and the store's: {report.store}")
    if not report.ok:
        raise typer.Exit(1)


@app.command()
def note(
    wanted: Wanted,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What to remember.")],
    kind: Annotated[NoteKind, typer.Option(help="What it is.")] = NoteKind.note,
    place: Place = None,
    as_json: Json = False,
) -> None:
    """Add to a bundle what you think or found. Example: ocrmaps debug note last "lr too high?" --kind hypothesis"""
    from ocrmaps.debug.bundles import one_bundle

    one_bundle(wanted, _place(place))
    from ocrmaps.pipelines import notes

    found, entry = notes.note(wanted, text, kind=kind.value, place=_place(place))
    if as_json:
        _dump({"bundle": found.name, **entry})
    else:
        typer.echo(f"{entry['time']} {entry['kind']} added to {found.name}")


@app.command()
def grep(
    query: Annotated[
        str,
        typer.Argument(metavar="QUERY", help="Such as 'loss>10 and level=error'; docs/how-to/debug.md has it all."),
    ],
    places: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FOLDER...", help="Runs, folders of runs, bundles; `runs` here."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Find entries in all bundles; exit 1 if there is none. Example: ocrmaps debug grep 'loss=nan' runs"""
    from ocrmaps.debug.bundles import find_bundles
    from ocrmaps.debug.query import parse_query

    parse_query(query)
    for place in places or [_place(None)]:
        find_bundles(place)
    from ocrmaps.pipelines import notes

    answer = notes.grep(query, places or [_place(None)])
    if as_json:
        _dump(
            {
                "query": query, "bundles": answer.bundles, "entries": answer.entries, "unknown": list(answer.unknown),
                "hits": [hit.as_dict() for hit in answer.hits],
            }
        )  # fmt: skip
    else:
        for hit in answer.hits:
            e = hit.entry
            data = f"  {visible(json.dumps(e['data'], ensure_ascii=False), 300)}" if e["data"] else ""
            typer.echo(visible(f"{hit.bundle.name}  {e['level']} {e['kind']}: {e['message']}", 1000) + data)
        typer.echo(f"{len(answer.hits)} of {answer.entries} entries in {answer.bundles} bundles", err=True)
    for field in answer.unknown:
        typer.echo(f"no entry has a field {field!r}; there are: {', '.join(answer.known[:40])}", err=True)
    if not answer.hits:
        raise typer.Exit(1)


@app.command()
def clean(
    place: PlaceArgument = None,
    keep: Annotated[int, typer.Option(metavar="N", help="Bundles of each run that stay as they are.", min=0)] = 10,
    days: Annotated[int, typer.Option(metavar="DAYS", help="Days for which they do.", min=0)] = 30,
    yes: Act = False,
    as_json: Json = False,
) -> None:
    """Compress old bundles and remove the oldest; a plan first. Example: ocrmaps debug clean runs --days 14 --yes"""
    from ocrmaps.debug.bundles import find_bundles

    find_bundles(_place(place))
    from ocrmaps.pipelines import notes

    plan = notes.plan_clean(_place(place), keep=keep, days=days)
    work = [action for action in plan if action.do in ("compress", "remove", "sweep")]
    if yes:
        for action, left in notes.clean(work):
            if not as_json:
                typer.echo(f"{action.do}: {action.path} ({action.why}){f' -> {left}' if left else ''}")
    if as_json:
        actions = [{"do": a.do, "path": str(a.path), "why": a.why, "bytes": a.nbytes} for a in plan]
        _dump({"done": yes, "actions": actions})
        return
    for action in plan:
        if action.do == "leave" or (not yes and action in work):
            typer.echo(f"{'would ' if action in work else ''}{action.do}: {action.path} ({action.why})")
    if not work:
        typer.echo("nothing to clean")
    elif not yes:
        typer.echo("nothing was changed; run it again with --yes")


@app.command()
def doctor(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="A run's folder, a checkpoint, a store, or annotations.",
            autocompletion=complete.targets,
        ),
    ],
    samples: Annotated[int, typer.Option(metavar="N", help="Samples to follow, extremes first.", min=1, max=200)] = 6,
    trust: Trust = None,
    page: Page = None,
    root: Root = None,
    frame: FrameOption = Frame.upright,
    format: Format = None,
    pictures: Pictures = None,
    longest: Annotated[
        int | None,
        typer.Option(
            metavar="PIXELS",
            help="Longest side that annotations are looked at; 640 when not given.",
            min=32,
            max=8192,
        ),
    ] = None,
    yes: Replace = False,
    as_json: Json = False,
) -> None:
    """Follow samples from file to score and name the first stage that breaks. Example: ocrmaps debug doctor runs/first

    Exit 0 if every stage holds, 1 if one does not.
    """
    from ocrmaps.files import refuse_existing

    refuse_missing([target], cache_root(root))
    if page is not None:
        refuse_existing(page, replace_existing=yes)
    from ocrmaps.pipelines import doctor as pipeline

    trusted = allowed(trust)
    with progress_bar("examining") as progress:
        report = pipeline.examine(
            target, samples=samples, cache=cache_root(root), frame=frame.value, format=format, pictures=pictures,
            longest=longest, trusted=trusted, progress=progress,
        )  # fmt: skip
    if page is not None:
        from ocrmaps.report.doctor import write_page

        write_page(report, page, replace_existing=yes)
        typer.echo(f"wrote {page}", err=True)
    if as_json:
        _dump(report.as_dict())
    else:
        for line in report.lines():
            typer.echo(line)
        if not report.ok and page is None:
            typer.echo("  --page doctor.html shows it in pictures")
    if not report.ok:
        raise typer.Exit(1)
