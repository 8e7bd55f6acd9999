"""What prepared data there is, where it comes from, whether it is current and healthy, and how versions differ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ocrmaps.cli import complete
from ocrmaps.cli.options import FarRoot, Json, OnlyStore, Root, Version, cache_root, far_root, reading_root
from ocrmaps.errors import StoreNotFound
from ocrmaps.text import visible_lines

app = typer.Typer()


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


def _far_folder(root: Path | None, version: str) -> Path:
    from ocrmaps.store.places.cache import find_version

    store, name = find_version(reading_root(root), version)
    return store.version(name)
