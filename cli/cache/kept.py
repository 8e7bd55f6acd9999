"""What stays and what may go: pinned and signed versions, cleared ones, debris."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ocrmaps.cli import complete
from ocrmaps.cli.options import Act, FarRoot, Json, OnlyStore, Root, Version, cache_root, far_root
from ocrmaps.errors import StoreNotFound

app = typer.Typer()


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
    from ocrmaps.store.places.cache import Store
    from ocrmaps.store.upkeep.removal import plan_gc

    cache = cache_root(root)
    if store is not None and not Store(cache, store).folder.is_dir():
        raise StoreNotFound(f"{store}: no such store in {cache}", hint="`ocrmaps cache list` shows all")
    limit = None if quota is None else quota * 1_000_000
    _carry_out(plan_gc(cache, keep=keep, age_hours=age_hours, quota=limit, only=store), yes, as_json)


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
