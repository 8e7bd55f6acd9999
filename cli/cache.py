"""`ocrmaps cache`: what prepared data there is, whether it is current and healthy, and what may go."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocrmaps.cli import complete
from ocrmaps.cli.options import Act, FarRoot, Json, OnlyStore, RawCsv, Root, Version, cache_root, far_root, reading_root
from ocrmaps.cli.progress import progress_bar
from ocrmaps.errors import StoreNotFound
from ocrmaps.text import visible_lines

if TYPE_CHECKING:
    from ocrmaps.store.upkeep.exchange.push import Exchange

app = typer.Typer(
    help="Look after prepared data: state, health, differences, space. Example: ocrmaps cache status",
    no_args_is_help=True,
)

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
def status(
    store: OnlyStore = None,
    root: FarRoot = None,
    rehash: Annotated[bool, typer.Option("--rehash", help="Read every file again.")] = False,
    as_json: Json = False,
) -> None:
    """Say whether stores are whole and current with their sources; else exit 1. Example: ocrmaps cache status"""
    from ocrmaps.store.upkeep.status import cache_status

    records = cache_status(reading_root(root), only=store, rehash=rehash)
    if store is not None and not records:
        raise StoreNotFound(f"{store}: no such store in {reading_root(root)}", hint="`ocrmaps cache list` shows all")
    if as_json:
        first = records[0] if len(records) == 1 else {}
        document = {
            "version": first.get("version"),
            "root_digest": first.get("root_digest"),
            "counts": first.get("counts", {"stores": len(records)}),
            "problems": [f"{r['store']}: {problem}" for r in records for problem in r["problems"]],
            "stores": records,
        }
        typer.echo(json.dumps(document, ensure_ascii=False))
    else:
        for record in records:
            word = {True: "current", False: "stale", None: "unknown"}[record["current"]]
            if record["whole"] is False:
                word = f"incomplete, {word}"
            typer.echo(f"{record['store']}/{record['version'] or '-'}: {word}, {record['counts'].get('rows', 0)} rows")
            for what, number in record["changed"].items():
                typer.echo(f"  {number} samples by {what}")
            for change in record["changes"][:20]:
                typer.echo(visible_lines(f"    {change['sample']}: {change['what']}"))
            for building in record["building"]:
                typer.echo(f"  unfinished: {building['version']}, builder {building['owner'] or 'gone'}")
            for problem in record["problems"]:
                typer.echo(visible_lines(f"  problem: {problem}"))
        if not records:
            typer.echo(f"no stores in {reading_root(root)}")
    if any(record["current"] is not True or not record["whole"] for record in records):
        raise typer.Exit(1)


@app.command()
def health(root: Root = None, as_json: Json = False) -> None:
    """Report sizes, debris, disk, drift and reuse; exit 1 if something is wrong. Example: ocrmaps cache health"""
    from ocrmaps.store.upkeep.health import health as look

    record = look(cache_root(root))
    if as_json:
        typer.echo(json.dumps(record, ensure_ascii=False))
    else:
        typer.echo(f"{record['cache']}: {record['bytes'] / 1e6:.1f} MB in {len(record['stores'])} stores")
        for store in record["stores"]:
            typer.echo(f"  {store['store']}: {store['bytes'] / 1e6:.1f} MB, {len(store['versions'])} versions")
            for version, rows in store["rows_of_last_builds"].items():
                how = ", ".join(f"{number} {word}" for word, number in rows.items())
                typer.echo(visible_lines(f"    {version}: {how or 'no record of its build'}"))
            for version, drift in store["drift"].items():
                for what in drift:
                    typer.echo(visible_lines(f"    {version}: {what}"))
        machine = record["machine"]
        typer.echo(
            f"  {machine['file_system']}, {machine['free_bytes'] / 1e9:.1f} GB free ({machine['free_share']:.0%}), "
            f"{machine['memory_bytes'] / 1e9:.1f} GB memory, {machine['open_files_limit']} open files"
        )
        for problem in record["problems"]:
            typer.echo(visible_lines(f"  attention: {problem}"))
    if record["problems"]:
        raise typer.Exit(1)


@app.command("list")
def list_all(root: FarRoot = None, as_json: Json = False) -> None:
    """List every version of every store, the newest first. Example: ocrmaps cache list"""
    from ocrmaps.store.upkeep.catalog import list_versions

    records = list_versions(reading_root(root))
    if as_json:
        typer.echo(json.dumps({"versions": records}, ensure_ascii=False))
        return
    if not records:
        typer.echo(f"no versions in {far_root(root) or reading_root(root)}", err=True)
    for record in records:
        name = f"{record['store']}/{record['version']}"
        if "problem" in record:
            typer.echo(visible_lines(f"{name}  damaged: {record['problem']}"))
            continue
        pinned = f"  pinned: {record['pinned']}" if record["pinned"] else ""
        lost = f", {record['failed']} failed" if record["failed"] else ""
        size = f"{record['bytes'] / 1e6:.1f} MB"
        typer.echo(visible_lines(f"{name}  {record['rows']} rows{lost}  {size}  {record['built'] or ''}{pinned}"))


@app.command()
def show(
    version: Version,
    root: FarRoot = None,
    ledger: Annotated[int, typer.Option(metavar="N", help="Lines of the failure ledger to show.", min=0)] = 20,
    as_json: Json = False,
) -> None:
    """Show what a version was built from, what was lost and what was changed. Example: ocrmaps cache show receipts"""
    from ocrmaps.store.upkeep.catalog import show as look

    record = look(_far_folder(root, version), ledger=ledger)
    if as_json:
        typer.echo(json.dumps(record, ensure_ascii=False))
        return
    typer.echo(f"version {record['version']}, root digest {record['root_digest']}")
    for source in record["sources"]:
        what = f"{source['label']} ({source['format']}, {source['frame']})"
        count = f"{source['written']} of {source['expected']} samples, {source['problems']} problems"
        typer.echo(visible_lines(f"  {source['split'] or 'no split'} {what}: {count}"))
    counts = record["counts"]
    typer.echo(f"  {counts['rows']} rows, {counts['failed']} failed, {counts['polygons']} polygons")
    typer.echo(visible_lines("  " + ", ".join(f"{number} {word}" for word, number in counts["outcomes"].items())))
    for line in _drawn_by(record["drawn_by"]):
        typer.echo(visible_lines(f"  {line}"))
    reasons = ", ".join(f"{number} {word}" for word, number in record["ledger"]["by_reason"].items())
    typer.echo(f"  ledger: {reasons or 'empty'}")
    for line in record["ledger_lines"]:
        where = line["sample"] if line["polygon"] is None else f"{line['sample']} polygon {line['polygon']}"
        typer.echo(visible_lines(f"    {line['reason']}: {where}: {line['after']}"))


def _drawn_by(told: list[dict[str, Any]]) -> list[str]:
    from ocrmaps.store.upkeep.verify import described

    if not told:
        return ["drawn by code and libraries that nobody recorded"]
    first, *others = told
    words = ["code and libraries that nobody recorded"]
    if "tools" in first:
        words = [f"{name} {version}" for name, version in first["tools"].items()]
        words += [f"code of {name} {digest}" for name, digest in first["code"].items()]
    return [
        f"{first['rows']} rows drawn by {', '.join(words)}",
        *(f"{other['rows']} rows drawn by {described(other, first)}" for other in others),
    ]


@app.command()
def diff(
    old: Annotated[str, typer.Argument(metavar="OLD", help="A version.", autocompletion=complete.versions)],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Another version.", autocompletion=complete.versions)],
    root: FarRoot = None,
    as_json: Json = False,
) -> None:
    """Say which samples and recipe fields differ between two versions. Example: ocrmaps cache diff 3f2a 9c41"""
    from ocrmaps.store.upkeep.catalog import diff as compare

    record = compare(_far_folder(root, old), _far_folder(root, new))
    if as_json:
        typer.echo(json.dumps(record, ensure_ascii=False))
        return
    for field in record["fields"]:
        typer.echo(visible_lines(f"  field {field}"))
    for change in record["changes"]:
        typer.echo(
            visible_lines(f"  {change['sample']}: {change['what']}{'' if change['redraw'] else ' (same pixels)'}")
        )
    typer.echo(", ".join(f"{number} by {what}" for what, number in record["summary"].items()) or "same samples")


@app.command()
def pin(
    version: Version,
    root: Root = None,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Why; shown wherever it is in the way.")
    ] = "pinned by hand",
    remove: Annotated[bool, typer.Option("--remove", help="Unpin.")] = False,
) -> None:
    """Keep a version whatever gc and clear want. Example: ocrmaps cache pin receipts --reason "paper, table 2" """
    from ocrmaps.store.places.cache import find_version
    from ocrmaps.store.upkeep import catalog

    store, name = find_version(cache_root(root), version)
    if remove:
        catalog.unpin(store, name)
    else:
        catalog.pin(store, name, reason)
    typer.echo(f"{store.name}/{name}: {'unpinned' if remove else 'pinned'}")


@app.command()
def clear(
    versions: Annotated[
        list[str],
        typer.Argument(
            metavar="VERSION...",
            help="Versions, or stores for their newest version.",
            autocompletion=complete.versions,
        ),
    ],
    root: Root = None,
    everything: Annotated[bool, typer.Option("--all-versions", help="All versions of the named stores.")] = False,
    yes: Act = False,
    as_json: Json = False,
) -> None:
    """Remove named versions that are neither pinned nor in use. Example: ocrmaps cache clear receipts/3f2a --yes"""
    from ocrmaps.store.places.cache import find_version
    from ocrmaps.store.upkeep.removal import plan_clear

    found = [find_version(cache_root(root), version) for version in versions]
    if everything:
        found = [(store, version) for store in {s.name: s for s, _ in found}.values() for version in store.versions()]
    _carry_out(plan_clear(found), yes, as_json)


@app.command()
def gc(
    store: OnlyStore = None,
    root: FarRoot = None,
    keep: Annotated[int, typer.Option(metavar="N", help="Newest versions of each store to keep.", min=0)] = 1,
    age_hours: Annotated[
        float, typer.Option(metavar="HOURS", help="Unfinished builds and quarantine younger than this stay.", min=0)
    ] = 24.0,
    quota: Annotated[
        int | None, typer.Option(metavar="MB", help="Remove only until the cache has at most this many MB.", min=0)
    ] = None,
    yes: Act = False,
    as_json: Json = False,
) -> None:
    """Remove debris and superseded versions that nothing holds. Example: ocrmaps cache gc --keep 2 --yes

    With a URL as --root it removes what dead pushes left there, and no version.
    """
    url = far_root(root)
    if url is not None:
        _far_gc(url, store, age_hours, yes, as_json)
        return
    from ocrmaps.store.upkeep.removal import plan_gc

    limit = None if quota is None else quota * 1_000_000
    _carry_out(plan_gc(cache_root(root), keep=keep, age_hours=age_hours, quota=limit, only=store), yes, as_json)


@app.command()
def export(
    version: Version,
    out: Annotated[
        Path, typer.Argument(metavar="FILE", help="FILE.tar packs the version; .json and .csv write its statistics.")
    ],
    raw_csv: RawCsv = False,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Pack a version into one archive, or write its statistics. Example: ocrmaps cache export receipts receipts.tar"""
    from ocrmaps.cells import table
    from ocrmaps.errors import SpecError
    from ocrmaps.files import write_new
    from ocrmaps.store.upkeep import catalog, transfer

    folder = _folder(root, version)
    if out.suffix not in (".tar", ".json", ".csv"):
        raise SpecError(f"found {out.suffix or out.name!r}, expected a name that ends in .tar, .json or .csv")
    if out.suffix == ".tar":
        transfer.pack(folder, out)
    elif out.suffix == ".json":
        text = json.dumps(catalog.statistics(folder), indent=2, ensure_ascii=False) + "\n"
        write_new(out, text.encode(), replace_existing=False)
    else:
        rows = catalog.rows_table(folder)
        columns = list(rows[0]) if rows else ["row"]
        text = table(columns, (row.values() for row in rows), raw=raw_csv)
        write_new(out, text.encode("utf-8", "surrogatepass"), replace_existing=False)
    nbytes = out.stat().st_size
    typer.echo(json.dumps({"file": str(out), "bytes": nbytes}) if as_json else f"{out}: {nbytes / 1e6:.1f} MB")


@app.command()
def sign(
    version: Version,
    key: Annotated[
        Path, typer.Option(metavar="FILE", help="Your ed25519 private key, in PEM or as OpenSSH writes it.")
    ],
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Verify a version and sign every byte of it. Example: ocrmaps cache sign receipts --key key.pem"""
    from ocrmaps.store.places.cache import find_version
    from ocrmaps.store.upkeep.signing import sign as run

    store, name = find_version(cache_root(root), version)
    document = run(store, name, key)
    if as_json:
        record = {"store": store.name, "version": name, "key": document["key"], "statement": document["statement"]}
        typer.echo(json.dumps(record))
    else:
        typer.echo(f"{store.name}/{name}: signed, public key {document['key']}")


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


def _far_gc(url: str, store: str | None, age_hours: float, yes: bool, as_json: bool) -> None:
    """Remove what dead pushes left in object storage; versions there stay."""
    from ocrmaps.store.places.objects import ObjectPlace
    from ocrmaps.store.upkeep.exchange.journal import dead_pushes, remove_push

    place = ObjectPlace(url)
    dead, kept = dead_pushes(place, age_hours=age_hours, only=store)
    gone, stayed = [], []
    for push in dead if yes else ():
        why = remove_push(place, push, age_hours=age_hours)
        if why is None:
            gone.append(push)
        else:
            stayed.append((f"{push.store}/{push.version}", why))
    if as_json:
        record = {
            "remove": [push.as_dict() for push in dead],
            "keep": [{"name": name, "why": why} for name, why in kept],
            "done": yes,
            "removed": [push.as_dict() for push in gone],
            "stayed": [{"name": name, "why": why} for name, why in stayed],
        }
        typer.echo(json.dumps(record, ensure_ascii=False))
    else:
        for push in dead:
            word = "removed" if push in gone else "would remove" if not yes else "left"
            what = "the journal" if push.committed else f"{len(push.keys)} objects"
            typer.echo(
                f"{word} {what} of a push of {push.store}/{push.version} by {', '.join(push.owners) or 'nobody'}"
            )
        for name, why in (*kept, *stayed):
            typer.echo(f"keeps {name}: {why}")
        if not dead:
            typer.echo("nothing to remove")
        elif not yes:
            typer.echo("nothing was changed, run it again with --yes")
    if stayed:
        raise typer.Exit(1)


def _far_folder(root: Path | None, version: str) -> Path:
    from ocrmaps.store.places.cache import find_version

    store, name = find_version(reading_root(root), version)
    return store.version(name)


def _folder(root: Path | None, version: str) -> Path:
    from ocrmaps.store.places.cache import find_version

    store, name = find_version(cache_root(root), version)
    return store.version(name)


def _carry_out(plan: Any, yes: bool, as_json: bool) -> None:
    from ocrmaps.store.upkeep.removal import remove

    gone, stayed = remove(plan) if yes else ([], [])
    record = {
        **plan.as_dict(),
        "done": yes,
        "removed": [item.as_dict() for item in gone],
        "stayed": [{"name": name, "why": why} for name, why in stayed],
    }
    if as_json:
        typer.echo(json.dumps(record, ensure_ascii=False))
    else:
        for item in plan.items:
            word = "removed" if item in gone else "would remove" if not yes else "left"
            typer.echo(f"{word} {item.kind} {item.store.name}/{item.name}  {item.nbytes / 1e6:.1f} MB  {item.why}")
        for name, why in (*plan.kept, *stayed):
            typer.echo(f"keeps {name}: {why}")
        if not plan.items:
            typer.echo("nothing to remove")
        elif not yes:
            typer.echo(f"{plan.nbytes / 1e6:.1f} MB; nothing was changed, run it again with --yes")
    if stayed:
        raise typer.Exit(1)
