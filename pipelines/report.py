"""`ocrmaps report`: finds out what is asked about and writes its page."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ocrmaps.errors import DataError, SpecError, StoreNotFound
from ocrmaps.geometry import Frame
from ocrmaps.kinds import is_version
from ocrmaps.report.samples import PageRequest, Place, Stage, Written, silent
from ocrmaps.store.places.cache import Store, find_version, stores
from ocrmaps.text import visible
from ocrmaps.training.folder import is_run, read_run
from ocrmaps.trust import NOTHING, Trusted

Kind = Literal["run", "store", "source", "oracle", "bench"]
KINDS: tuple[Kind, ...] = ("run", "store", "source", "oracle", "bench")
"""`oracle` is a source judged with perfect maps; it is only meant where it is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a page is asked about."""

    kind: Kind
    path: Path
    """The run's or version's folder, the source, the record."""
    name: str


def find_target(text: str, cache: Path, *, kind: Kind | None = None) -> Target:
    """The run, store version, benchmark record or source that a word or path means.

    A run, a version and a record are what they are; a word that names a store means the store, also where a folder of
    annotations has the same name (`./NAME` is that folder); any other path is a source.
    """
    path = Path(text)
    if kind == "store" or (kind is None and not path.exists()):
        try:
            store, version = find_version(cache, text)
        except StoreNotFound as error:
            if kind == "store":
                raise
            raise SpecError(
                f"{visible(text)}: found neither a file or folder of this name nor such a store in {cache}",
                hint="name a run folder, a store, a source, or a benchmark record; `ocrmaps cache list` shows stores",
            ) from error
        return Target(kind="store", path=store.version(version), name=store.name)
    if not path.exists():
        raise SpecError(f"{visible(text)}: no such file or folder")
    found = kind or _kind(path)
    if kind is None and found == "source" and path.name == text and any(s.name == text for s in stores(cache)):
        return find_target(text, cache, kind="store")
    if found == "store":
        folder = path.absolute()
        if not is_version(folder):
            store = Store(folder.parent, folder.name)
            folder = store.version(store.versions()[0])
        return Target(kind="store", path=folder, name=folder.parent.name)
    if found == "run":
        read_run(path)
    return Target(kind=found, path=path, name=path.absolute().name if path.is_dir() else path.stem)


def _kind(path: Path) -> Kind:
    """By what is there, beyond doubt; everything else is taken for a source, whose reader says what it misses."""
    if path.is_dir():
        if is_run(path):
            return "run"
        if is_version(path):
            return "store"
        folder = path.absolute()
        return "store" if Store(folder.parent, folder.name).versions() else "source"
    if path.suffix == ".json":
        try:
            content = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError):
            return "source"
        if isinstance(content, dict) and "results" in content and "machine" in content:
            return "bench"
    return "source"


def default_page(target: Target) -> Path:
    """Where a page goes unless it is said: a run's into its folder, others into the current one."""
    if target.kind == "run":
        return target.path / "report.html"
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", target.name).strip("-._")[:80] or target.kind
    return Path(f"{name}-{target.kind}.html")


def report(
    target: Target,
    *,
    cache: Path,
    out: Path | None = None,
    place: Place = "auto",
    side: int | None = None,
    overwrite: bool = False,
    workers: int | None = None,
    checkpoint: Path | None = None,
    quick: bool = False,
    longest: int = 640,
    format: str | None = None,
    pictures: Path | None = None,
    frame: Frame = "upright",
    also: Sequence[str] = (),
    trusted: Trusted = NOTHING,
    stage: Stage = silent,
) -> Written:
    """Write the page of a target. `checkpoint`, `quick` and `trusted` belong to runs; `longest`, `format`, `pictures`
    and `frame` to sources and oracles, `also` (further sources) to sources."""
    _refuse_strays(
        target, checkpoint=checkpoint, quick=quick, format=format, pictures=pictures, also=also, trusted=trusted
    )
    asked = PageRequest(
        out=out or default_page(target), place=place, side=side, overwrite=overwrite, workers=workers, stage=stage
    )
    if target.kind == "bench":
        from ocrmaps.report.bench import bench_page

        return bench_page(target.path, asked)
    if target.kind == "store":
        from ocrmaps.report.store import store_page

        return store_page(target.path, target.name, asked)
    if target.kind == "run":
        from ocrmaps.report.run.page import run_page

        return run_page(target.path, asked, cache=cache, checkpoint=checkpoint, quick=quick, trusted=trusted)
    if target.kind == "oracle":
        return _oracle(target.path, asked, longest=longest, format=format, pictures=pictures, frame=frame)
    from ocrmaps.canonical import CanonicalSpec
    from ocrmaps.report.source import source_page
    from ocrmaps.store.far.source import open_sources

    sources = open_sources([str(target.path), *also], format=format, pictures=pictures, frame=frame)
    if not sources:
        raise DataError(f"{target.path}: no source")
    return source_page(sources, CanonicalSpec.longest(longest), asked)


def _oracle(
    path: Path, asked: PageRequest, *, longest: int, format: str | None, pictures: Path | None, frame: Frame
) -> Written:
    """Perfect maps of a source at the project's defaults; `ocrmaps oracle --page` judges any chain."""
    from ocrmaps.evaluation.oracle.chain import Chain
    from ocrmaps.pipelines.oracle import oracle

    chain = Chain.longest(longest)
    done = oracle(
        path, chain, format=format, pictures=pictures, frame=frame, page=asked, workers=asked.workers, stage=asked.stage
    )
    assert done.page is not None
    return done.page


def _refuse_strays(
    target: Target,
    *,
    checkpoint: Path | None,
    quick: bool,
    format: str | None,
    pictures: Path | None,
    also: Sequence[str],
    trusted: Trusted,
) -> None:
    strays = [
        name
        for name, given, kinds in (
            ("--checkpoint", checkpoint is not None, ("run",)),
            ("--quick", quick, ("run",)),
            ("--trust", bool(trusted.names), ("run",)),
            ("--format", format is not None, ("source", "oracle")),
            ("--pictures", pictures is not None, ("source", "oracle")),
            ("further targets", bool(also), ("source",)),
        )
        if given and target.kind not in kinds
    ]
    if strays:
        raise SpecError(f"{', '.join(strays)}: means nothing for a {target.kind}", hint="leave it out")
