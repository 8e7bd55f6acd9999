"""Versions on their way: into archives and out of them, to object storage and back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrmaps.cli import complete
from ocrmaps.cli.options import Json, RawCsv, Replace, Root, Version, cache_root
from ocrmaps.cli.progress import progress_bar

if TYPE_CHECKING:
    from ocrmaps.store.upkeep.exchange.push import Exchange

app = typer.Typer()

Target = Annotated[str, typer.Argument(metavar="TARGET", help="s3://BUCKET/FOLDER, gs://, az:// or file:///FOLDER.")]
Exchanged = Annotated[
    list[str],
    typer.Argument(
        metavar="VERSION...",
        help="STORE (its newest version), STORE/VERSION or the start of a version.",
        autocompletion=complete.versions,
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be sent or fetched; write nothing.")]


@app.command()
def export(
    version: Version,
    out: Annotated[
        Path, typer.Argument(metavar="FILE", help="FILE.tar packs the version; .json and .csv write its statistics.")
    ],
    raw_csv: RawCsv = False,
    yes: Replace = False,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Pack a version into one archive, or write its statistics. Example: ocrmaps cache export receipts receipts.tar"""
    from ocrmaps.cells import table
    from ocrmaps.errors import SpecError
    from ocrmaps.files import refuse_existing, write_new
    from ocrmaps.store.places.cache import find_version
    from ocrmaps.store.upkeep import catalog, transfer

    store, name = find_version(cache_root(root), version)
    folder = store.version(name)
    if out.suffix not in (".tar", ".json", ".csv"):
        raise SpecError(f"found {out.suffix or out.name!r}, expected a name that ends in .tar, .json or .csv")
    refuse_existing(out, replace_existing=yes)
    if out.suffix == ".tar":
        transfer.pack(folder, out, replace_existing=yes)
    elif out.suffix == ".json":
        text = json.dumps(catalog.statistics(folder), indent=2, ensure_ascii=False) + "\n"
        write_new(out, text.encode(), replace_existing=yes)
    else:
        rows = catalog.rows_table(folder)
        columns = list(rows[0]) if rows else ["row"]
        text = table(columns, (row.values() for row in rows), raw=raw_csv)
        write_new(out, text.encode("utf-8", "surrogatepass"), replace_existing=yes)
    nbytes = out.stat().st_size
    typer.echo(json.dumps({"file": str(out), "bytes": nbytes}) if as_json else f"{out}: {nbytes / 1e6:.1f} MB")


@app.command("import")
def bring_in(
    archive: Annotated[Path, typer.Argument(metavar="ARCHIVE", help="An archive that `cache export` wrote.")],
    store: Annotated[
        str,
        typer.Argument(metavar="STORE", help="Store to put the version in.", autocompletion=complete.stores),
    ],
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Unpack an archived version and check every digest first. Example: ocrmaps cache import r.tar receipts"""
    from ocrmaps.store.format.manifest import read_manifest
    from ocrmaps.store.upkeep.transfer import unpack

    folder = unpack(archive, cache_root(root), store)
    digest = read_manifest(folder).root_digest
    record = {"store": store, "version": folder.name, "root_digest": digest}
    typer.echo(json.dumps(record) if as_json else f"{store}/{folder.name}: imported, root digest {digest}")


@app.command()
def push(
    target: Target, versions: Exchanged, root: Root = None, dry_run: DryRun = False, as_json: Json = False
) -> None:
    """Send versions to object storage, only what it lacks. Example: ocrmaps cache push s3://bucket/maps receipts"""
    from ocrmaps.store.places.cache import find_version
    from ocrmaps.store.places.objects import ObjectPlace
    from ocrmaps.store.upkeep.exchange.push import push as run

    found = [find_version(cache_root(root), version) for version in versions]
    place = ObjectPlace(target)

    def each() -> Iterator[Exchange]:
        for store, version in found:
            with progress_bar(f"pushing {store.name}/{version}") as progress:
                yield run(store.version(version), place, dry_run=dry_run, progress=progress)

    _exchange(each(), as_json)


@app.command()
def pull(
    target: Target, versions: Exchanged, root: Root = None, dry_run: DryRun = False, as_json: Json = False
) -> None:
    """Bring versions from object storage into the cache. Example: ocrmaps cache pull s3://bucket/maps receipts"""
    from ocrmaps.store.places.objects import ObjectPlace
    from ocrmaps.store.upkeep.exchange.pull import pull as run

    place, cache = ObjectPlace(target), cache_root(root)

    def each() -> Iterator[Exchange]:
        for version in versions:
            with progress_bar(f"pulling {version}") as progress:
                yield run(place, version, cache, dry_run=dry_run, progress=progress)

    _exchange(each(), as_json)


@app.command()
def mirror(
    target: Target,
    back: Annotated[bool, typer.Option("--back", help="Bring what the cache lacks instead.")] = False,
    root: Root = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Send every version that object storage lacks; none is removed. Example: ocrmaps cache mirror s3://bucket/maps"""
    from ocrmaps.store.places.objects import ObjectPlace
    from ocrmaps.store.upkeep.exchange.mirror import pull_all, push_all

    place, cache = ObjectPlace(target), cache_root(root)
    if back:
        _exchange(pull_all(place, cache, dry_run=dry_run, stage=progress_bar), as_json)
    else:
        _exchange(push_all(cache, place, dry_run=dry_run, stage=progress_bar), as_json)


_TO_DO = {"sent": "to send", "fetched": "to fetch", "copied": "to copy", "linked": "to link"}
"""How a dry run says what an exchange would do."""


def _exchange(exchanges: Iterator[Exchange], as_json: bool) -> None:
    """Print what each exchange did, as it ends."""
    records = []
    for exchange in exchanges:
        records.append(exchange.as_dict())
        if not as_json:
            said = {} if exchange.done else _TO_DO
            what = ", ".join(
                f"{number} files {said.get(word, word)} ({exchange.nbytes[word] / 1e6:.1f} MB)"
                for word, number in sorted(exchange.files.items())
            )
            dry = "" if exchange.done else ", nothing was written"
            typer.echo(f"{exchange.store}/{exchange.version}: {what}{dry}, root digest {exchange.root_digest}")
    if as_json:
        typer.echo(json.dumps({"exchanges": records}))
    elif not records:
        typer.echo("no versions")
