"""Reads the folder of a run: settings, numbers, checkpoints, and where the store is that it learnt from."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocrmaps.cells import plain, table
from ocrmaps.detect.trained import LAST
from ocrmaps.errors import DataError, RunError, SpecError, StoreError, StoreNotFound, reason
from ocrmaps.files import leads_outside, open_regular, read_regular, write_new
from ocrmaps.kinds import RUN_SETTINGS
from ocrmaps.store.far.version import bring_version
from ocrmaps.store.places.cache import place_above, reading_folder
from ocrmaps.store.places.urls import url_of
from ocrmaps.store.reader import Reader
from ocrmaps.store.several import StorePart, Where, find_parts
from ocrmaps.text import number

CHECKPOINTS, SETTINGS, METRICS = "checkpoints", RUN_SETTINGS, "metrics.csv"
NO_CHECKPOINT = "a run writes its first one at the end of its first epoch"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFolder:
    """What a run's folder says, before any checkpoint is looked at."""

    folder: Path
    settings: Mapping[str, Any]
    """run.json"""
    environment: Mapping[str, Any]
    result: Mapping[str, Any]
    """result.json; empty for a run that did not come to its end."""
    rows: tuple[Mapping[str, Any], ...]
    """metrics.csv"""

    @property
    def name(self) -> str:
        return str(self.settings.get("name", self.folder.name))

    @property
    def finished(self) -> bool:
        return bool(self.result)

    @property
    def budget(self) -> dict[str, int]:
        """Steps and samples of the last epoch that is written down."""
        last = self._last
        return {"steps": int(last.get("steps", last.get("step", 0))), "samples": int(last.get("samples", 0))}

    @property
    def root_digest(self) -> str | None:
        """Of the stored bytes that it learnt from; None where no epoch has ended."""
        found = self._last.get("root_digest")
        return None if found is None else str(found)

    @property
    def _last(self) -> Mapping[str, Any]:
        return self.result or (self.rows[-1] if self.rows else {})

    @property
    def identity(self) -> str:
        """The line that belongs beside every number of the run."""
        return (
            f"{number(self.budget['steps'])} steps, {number(self.budget['samples'])} samples, "
            f"root {(self.root_digest or 'unknown')[:12]}, seed {self.settings.get('seed', 'unknown')}, "
            f"{self.settings.get('precision', 'unknown precision')}"
        )

    @property
    def checkpoints(self) -> Path:
        return self.folder / CHECKPOINTS

    def latest(self) -> Path:
        """The latest state."""
        path = self.checkpoints / LAST
        if not path.is_file():
            raise RunError(f"{self.folder}: no {CHECKPOINTS}/{LAST} in it", hint=NO_CHECKPOINT)
        return path

    def checkpoint(self) -> Path:
        """The best checkpoint, else the last. Folders may have been moved since, so only names are trusted."""
        folder = self.checkpoints
        names = [Path(str(self.result[key])).name for key in ("best", "last") if self.result.get(key)]
        best = sorted((p.name for p in folder.glob("best-*.ckpt")), key=_score, reverse=True) if folder.is_dir() else []
        for name in (*names, *best, LAST):
            if (folder / name).is_file():
                return folder / name
        raise RunError(f"{folder}: no checkpoint", hint=NO_CHECKPOINT)


def is_run(folder: Path) -> bool:
    """Whether this is the folder of a run."""
    return (folder / SETTINGS).is_file()


def find_data(card: Mapping[str, Any], *, cache: Path | None = None, run: Path | None = None) -> Where:
    """The version that a checkpoint learnt from, or the parts of several, as `ocrmaps.store.several.opened` takes them.

    Looked for where the caller says, where the run says, and in cache folders beside and above the run.
    """
    places = {"cache": cache, "run": run}
    if "stores" not in card:
        found = find_store(card, card["store"], **places)
        return [StorePart(folder=found)] if "shown" in card else found
    data = card["run"]["data"]
    return [
        StorePart(folder=find_store(card, s, **places), splits={data["train"]: s["train"], data["val"]: s["val"]})
        for s in card["stores"]
    ]


def rows_asked(
    names: Sequence[str], split: str | None, *, cache: Path, checkpoint: Path, card: Mapping[str, Any]
) -> tuple[Where, str]:
    """The named versions and the split that is meant, `val` where none is said.

    Where no version is named, those that the checkpoint learnt from, and the split that its run validated on.
    """
    if names:
        return find_parts(cache, names), split or "val"
    run = next((folder for folder in checkpoint.absolute().parents[:2] if is_run(folder)), None)
    try:
        where = find_data(card, cache=cache, run=run)
    except StoreNotFound as error:
        raise StoreNotFound(
            f"{checkpoint}: neither --store nor --source is named, and of what it learnt from {error}",
            hint="--store NAME or --source DIR scores it elsewhere; --root names the cache folder of its own stores",
        ) from error
    return where, split or str((card["run"].get("data") or {}).get("val", "val"))


def find_store(
    card: Mapping[str, Any], store: Mapping[str, Any], *, cache: Path | None = None, run: Path | None = None
) -> Path:
    """One version that a checkpoint learnt from, found by its name and proven by its root digest."""
    others = []
    for place in places_of(card, cache=cache, run=run):
        version = place / store["name"] / store["version"]
        if not version.is_dir() and not bring_version(place, store["name"], store["version"]):
            continue
        try:
            with Reader(version) as reader:
                if reader.root_digest == store["root_digest"]:
                    return version
                others.append(f"{version} has root {reader.root_digest[:12]}")
        except StoreError as error:
            others.append(f"{version}: {error}")
    found = f"; {'; '.join(others)}" if others else ""
    raise StoreNotFound(
        f"store {store['name']}/{store['version']} (root {store['root_digest'][:12]}) is not here{found}",
        hint="--root names the cache folder it is in; or build it again from its recipe and sources",
    )


def places_of(card: Mapping[str, Any], *, cache: Path | None, run: Path | None) -> list[Path]:
    """The cache folders in which the store of a checkpoint may be, the likeliest first."""
    data = card["run"].get("data") or {}
    given = [data["cache"]] if data.get("cache") else []
    for said in (data, *data.get("stores", ())):
        if url_of(str(said.get("store"))) is not None:  # the URL of a store or version: its place is above
            given.insert(0, place_above(str(said["store"])))
    above = [] if run is None else [run.absolute(), *run.absolute().parents][:5]
    places = [
        *([cache] if cache else []),
        *(Path(each).expanduser() if url_of(each) is None else reading_folder(each) for each in given),
        *(folder / name for folder in above for name in (".ocrmaps", "cache")),
        Path(".ocrmaps"),
    ]
    return list(dict.fromkeys(places))


def standing(hmean: float, loss: float | None) -> tuple[float, float]:
    """Orders the validations of a run, the best first: by val/hmean, equal ones by val/loss, an unknown loss last."""
    return -hmean, math.inf if loss is None or math.isnan(loss) else loss


def _score(name: str) -> str:
    return name.rpartition("hmean")[2]


def read_run(folder: Path) -> RunFolder:
    """What the folder says; a run that was interrupted has no result."""
    settings = _json(folder / SETTINGS)
    if settings is None:
        raise SpecError(f"{folder}: no run.json, so this is no run's folder", hint="`ocrmaps train` makes run folders")
    return RunFolder(
        folder=folder,
        settings=settings,
        environment=_json(folder / "environment.json") or {},
        result=_json(folder / "result.json") or {},
        rows=tuple(read_metrics(folder / METRICS)),
    )


def _json(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(read_regular(_inside(path)))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read ({reason(error)})") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: found {type(content).__name__}, expected an object")
    return content


def _inside(path: Path) -> Path:
    """The path, refused where a link leads out of the run's folder: what is there would be shown as the run's own."""
    if leads_outside(path, path.parent):
        raise DataError(f"{path}: found a link out of the run's folder, expected a file")
    return path


def write_metrics(path: Path, rows: list[dict[str, Any]]) -> None:
    """All rows, under every column that any of them has; the file appears whole."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    write_new(path, table(columns, ([row.get(key) for key in columns] for row in rows)).encode(), replace_existing=True)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The rows of a run, numbers as numbers; no rows where the run had not come so far."""
    if not path.exists():
        return []
    try:
        with io.TextIOWrapper(open_regular(_inside(path)), encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file, restkey="")  # of a line that is longer than its head
            return [{k: _value(v) for k, v in row.items() if k and v} for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RunError(f"{path}: cannot be read as the metrics of a run ({reason(error)})") from error


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return plain(text)
