"""The Dask stage: a recipe becomes a committed version, one task per shard, on threads, processes or a cluster.

Tasks are pure and write whole files; only kilobyte receipts come back, and the client alone keeps the journal. So a
task may run twice, a worker may die and the client may be killed: the next build takes over every shard that verifies.
"""

from __future__ import annotations

import math
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from ocrmaps.errors import DataError, Problem, StoreError
from ocrmaps.machine import cores
from ocrmaps.pipelines.crew import WAIT_SECONDS
from ocrmaps.pipelines.executors import run_tasks
from ocrmaps.pipelines.mounts import read_mounts
from ocrmaps.recipe import Recipe
from ocrmaps.store.far.source import bring_recipe
from ocrmaps.store.format.manifest import Manifest
from ocrmaps.store.places.cache import Store, building_folder
from ocrmaps.store.places.objects import ObjectPlace
from ocrmaps.store.reader import Reader
from ocrmaps.store.upkeep.exchange.push import Exchange, push
from ocrmaps.store.upkeep.explain import Change, changes, summary
from ocrmaps.store.upkeep.repair import RepairReport
from ocrmaps.store.upkeep.repair import repair as repair_version
from ocrmaps.store.writing.build import Building, refuse_damaged
from ocrmaps.store.writing.plan import Failure, Plan, PlannedRow
from ocrmaps.store.writing.reuse import Known
from ocrmaps.store.writing.sources import Answer, Progress, Shortcut, ask
from ocrmaps.store.writing.tasks import memory_bound

LEAST_SHARE, MOST_SHARE = 0.12, 0.40
"""Bytes on disk for one raw byte: scans on white need the least, grainy photographs about the most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildReport:
    """What a build did, or with `dry_run` would do."""

    state: str
    """`built`, `unchanged` or `planned`."""
    store: str
    version: str
    folder: Path
    root_digest: str | None
    counts: Mapping[str, Any]
    """rows, failed, drawn, reused, resumed (shards), bytes, by split."""
    seconds: float
    problems: tuple[Problem, ...] = ()
    memory_per_worker: int = 0
    changed: Mapping[str, int] = field(default_factory=dict)
    """Against the newest version of the store: samples by what changed."""
    details: tuple[Change, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {
            "state": self.state,
            "store": self.store,
            "version": self.version,
            "root_digest": self.root_digest,
            "folder": str(self.folder),
            "counts": dict(self.counts),
            "seconds": round(self.seconds, 3),
            "memory_per_worker": self.memory_per_worker,
            "changed": dict(self.changed),
            "changes": [change.as_dict() for change in self.details[:1000]],
            "problems": [{"loc": p.loc, "kind": p.kind, "message": p.message} for p in self.problems],
        }


def build(
    recipe: Recipe,
    cache: Path,
    *,
    workers: int | None = None,
    scheduler: str = "threads",
    wait_workers: float = WAIT_SECONDS,
    mounts: Sequence[str] = (),
    allow_failures: int = 0,
    rehash: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
    announce: Callable[[str], None] | None = None,
) -> BuildReport:
    """Build, resume or find the version that a recipe means. `scheduler`: `threads`, `processes` or an address.

    `mounts` has `/here=/there` for each folder that the workers of a cluster call otherwise.
    """
    start = time.perf_counter()
    named = read_mounts(mounts, scheduler)
    workers = workers or cores()
    recipe = bring_recipe(recipe, progress)
    store = Store(cache, recipe.name)
    shortcut = Shortcut(recipe, cache)
    answer = None if rehash or dry_run else shortcut.answer()
    if answer is not None and store.version(answer.version).exists():
        manifest = refuse_damaged(store, answer.version, proven=answer.manifest)
        _within_budget(_failures_of(manifest), manifest.written["counts"]["failed"], manifest.rows, allow_failures)
        return _unchanged(store, manifest, start)
    shortcut.watch(recipe)
    plan = ask(recipe, cache, opened=shortcut.opened, rehash=rehash, threads=workers, progress=progress)
    if dry_run:
        return _planned(store, plan, start)
    _within_budget(_problems(plan.failures), len(plan.failures), len(plan.rows), allow_failures)
    if store.version(plan.version).exists():
        manifest = refuse_damaged(store, plan.version)
        failed = manifest.written["counts"]["failed"]
        _within_budget(_failures_of(manifest), failed, manifest.rows, allow_failures)
        shortcut.remember(Answer(version=plan.version, manifest=manifest.sha256))
        return _unchanged(store, manifest, start)
    with Known(store, (row.fingerprint for row in plan.rows)) as known:
        new = [row for row in plan.rows if row.fingerprint not in known]
        _enough_space(store, new)
        if announce is not None:
            announce(_announcement(store, plan, len(new), workers))
            for note in plan.notes:
                announce(f"WARNING: {note}")
            for version, why in known.passed_over.items():
                announce(f"nothing is taken from version {version}: {why}")
        with Building(store, plan, known=known) as building:
            if building.committed:  # by another process, between our look and our lock
                return _unchanged(store, refuse_damaged(store, plan.version), start)
            run_tasks(
                building, workers=workers, scheduler=scheduler, wait_workers=wait_workers, mounts=named,
                progress=progress, announce=announce,
            )  # fmt: skip
            assembled = building.assembled()
            failures = assembled.failures
            _within_budget(_problems(failures), len(failures), assembled.counts["rows"], allow_failures)
            seconds = time.perf_counter() - start
            recorded = {
                "built": {
                    "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}Z",
                    "seconds": round(seconds, 3),
                    "scheduler": scheduler,
                    "workers": workers,
                    "rows": dict(assembled.how),
                    "shards_resumed": building.resumed,
                    "allowed_failures": allow_failures,
                }
            }
            manifest = building.commit(assembled, recorded)
    shortcut.remember(Answer(version=plan.version, manifest=manifest.sha256))
    return BuildReport(
        state="built",
        store=store.name,
        version=manifest.version,
        folder=store.version(manifest.version),
        root_digest=manifest.root_digest,
        counts={
            **manifest.written["counts"],
            "drawn": assembled.how.get("drawn", 0),
            "reused": assembled.how.get("copied", 0) + assembled.how.get("linked", 0),
            "shards_resumed": building.resumed,
            "bytes": int(assembled.tables["shards"]["nbytes"].sum()),
            "raw_bytes": plan.raw_bytes,
        },
        seconds=time.perf_counter() - start,
        problems=_problems(failures),
        memory_per_worker=memory_per_worker(plan),
    )


def repair(
    store: Store, version: str, recipe: Recipe | None = None, *, workers: int = 1, progress: Progress | None = None
) -> RepairReport:
    """Make a version whole again; `recipe` is needed only where the version's own manifest cannot be read."""

    def planner(recorded: Recipe | None) -> Plan:
        chosen = recorded or recipe
        if chosen is None:
            raise StoreError(
                f"{store.version(version)}: its manifest is damaged, so it cannot say what it was built from",
                hint="give the recipe: ocrmaps repair ... --recipe FILE",
            )
        return ask(chosen, store.cache, threads=workers, progress=progress)

    def runner(building: Building) -> None:
        run_tasks(building, workers=workers, progress=progress)

    return repair_version(store, version, planner, runner)


def build_into(
    recipe: Recipe, url: str, *, dry_run: bool = False, progress: Progress | None = None, **options: Any
) -> tuple[BuildReport, Exchange | None]:
    """Build a version on this machine and push it to a place in object storage, where it appears only complete.

    What was built stays here, for the next build to start from; `Exchange` is what the push did, None of a dry run.
    """
    place = ObjectPlace(url)
    place.folders()  # a place that cannot be reached is found before the work
    report = build(recipe, building_folder(url), dry_run=dry_run, progress=progress, **options)
    if dry_run:
        return report, None
    return report, push(report.folder, place, progress=None if progress is None else partial(progress, "pushing"))


def _announcement(store: Store, plan: Plan, new: int, workers: int) -> str:
    """One line on what is about to be built; the time follows the store's last build, which nobody knows before it."""
    splits = ", ".join(f"{split or 'no split'} {n}" for split, n in Counter(row.split for row in plan.rows).items())
    time_needed = "unknown before the first build"
    for version in store.versions()[:1]:
        built = refuse_damaged(store, version).recorded.get("built", {})
        drawn = built.get("rows", {}).get("drawn", 0)
        if drawn:
            time_needed = f"about {built['seconds'] * built['workers'] / drawn * new / workers:.0f} s"
    least, most = (plan.raw_bytes * share / 1e6 for share in (LEAST_SHARE, MOST_SHARE))
    return (
        f"{plan.recipe.name}/{plan.version}: {len(plan.rows)} rows ({splits}), {new} new, "
        f"{least:.0f} to {most:.0f} MB of {_free(store.cache) / 1e9:.1f} GB free, "
        f"{memory_per_worker(plan) / 1e6:.0f} MB memory for each of {workers} workers, time {time_needed}"
    )


def _planned(store: Store, plan: Plan, start: float) -> BuildReport:
    """What a build would draw and reuse, and why."""
    found: list[Change] = []
    versions = store.versions()
    exists = store.version(plan.version).exists()
    if versions and not exists:
        with Reader(store.version(versions[0])) as base:
            found = changes(plan, base)
    with Known(store, (row.fingerprint for row in plan.rows)) as known:
        new = [row for row in plan.rows if row.fingerprint not in known]
    raw = plan.raw_bytes
    return BuildReport(
        state="unchanged" if exists else "planned",
        store=store.name,
        version=plan.version,
        folder=store.version(plan.version),
        root_digest=refuse_damaged(store, plan.version).root_digest if exists else None,
        counts={
            "rows": len(plan.rows),
            "failed": len(plan.failures),
            "draw": len(new),
            "reuse": len(plan.rows) - len(new),
            "splits": dict(Counter(row.split for row in plan.rows)),
            "canvases": {f"{h}x{w}": n for (h, w), n in zip(plan.canvases, plan.positions, strict=True)},
            "shards": len(plan.shards),
            "raw_bytes": raw,
            "estimated_bytes": int(raw * MOST_SHARE),
            "free_bytes": _free(store.cache),
        },
        seconds=time.perf_counter() - start,
        problems=_problems(plan.failures),
        memory_per_worker=memory_per_worker(plan),
        changed=summary(found),
        details=tuple(found),
    )


def _unchanged(store: Store, manifest: Manifest, start: float) -> BuildReport:
    return BuildReport(
        state="unchanged",
        store=store.name,
        version=manifest.version,
        folder=store.version(manifest.version),
        root_digest=manifest.root_digest,
        counts={**manifest.written["counts"], "drawn": 0, "reused": manifest.rows, "shards_resumed": 0},
        seconds=time.perf_counter() - start,
    )


def _within_budget(problems: Sequence[Problem], failed: int, written: int, allowed: int) -> None:
    if failed > allowed:
        raise DataError(
            f"{failed} of {failed + written} samples cannot be built, allowed are {allowed}",
            problems=problems,
            hint=f"correct them, or accept the loss with --allow-failures {failed}: what is built so far is kept",
        )


def _problems(failures: Sequence[Failure]) -> tuple[Problem, ...]:
    return tuple(
        Problem(loc="/".join(p for p in (f.split, f.source, f.sample) if p), message=f.message, kind=f.reason)
        for f in failures
    )


def _failures_of(manifest: Manifest) -> tuple[Problem, ...]:
    return tuple(
        Problem(
            loc=s["label"],
            message=f"{s['written']} of {s['expected']} samples, {s['problems']} problems",
            kind="shortfall",
        )
        for s in manifest.recorded["sources"]
        if s["written"] < s["expected"] or s["problems"]
    )


def _enough_space(store: Store, new: Sequence[PlannedRow]) -> None:
    pixels = sum(math.prod(row.transform.canvas) for row in new)
    needed, free = int(6 * pixels * LEAST_SHARE), _free(store.cache)
    if needed > free:
        raise StoreError(
            f"{store.cache}: at least {needed / 1e6:.0f} MB are needed, {free / 1e6:.0f} MB are free",
            hint="free some space (`ocrmaps cache gc` shows what can go) or choose another cache with --root",
        )


def _free(cache: Path) -> int:
    place = cache.absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def memory_per_worker(plan: Plan) -> int:
    """Bytes that a worker needs at most: for the picture that takes most, and the rows of a shard."""
    decoding = max((row.picture.decoding for row in plan.rows), default=0)
    return memory_bound(plan.recipe.canonical, plan.recipe.layout.rows_per_shard, decoding)
