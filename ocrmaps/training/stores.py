"""The stores of a run, opened as one: whether they go together, and how often an epoch shows each of their rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ocrmaps.errors import Problem, SpecError
from ocrmaps.evaluation.reasons import NO_LOSS
from ocrmaps.evaluation.tables import RESULT, TEXTS, read_evaluation
from ocrmaps.geometry import FRAMES, PolygonSet
from ocrmaps.loader.loader import order_of
from ocrmaps.loader.order import Order
from ocrmaps.store.reader import Reader
from ocrmaps.store.several import Several, Stored, readers_of
from ocrmaps.training.spec import RunSpec, SamplingSpec, StoreSpec

Weights = npt.NDArray[np.float64]
AT_ONCE = 10_000
"""Rows whose outlines are measured together."""


def check_alike(reader: Stored) -> None:
    """Refuse stores whose maps were drawn in different ways: a network cannot learn two kernels for one text."""
    first, *others = readers_of(reader)
    mine = first.recipe.maps.identity()
    problems = [
        Problem(f"maps.{key}", f"{first.title} has {value!r}, {other.title} has {theirs[key]!r}")
        for other in others
        for theirs in [other.recipe.maps.identity()]
        for key, value in mine.items()
        if theirs[key] != value
    ]
    if problems:
        raise SpecError(
            "the maps of these stores were drawn in different ways:",
            problems=problems,
            hint="build them by recipes with the same [maps]; canvases may differ",
        )


def stores_of(spec: RunSpec) -> tuple[StoreSpec, ...]:
    """The stores of a run as entries; one alone has no weight to say."""
    data = spec.data
    if data.stores:
        return data.stores
    return (StoreSpec(store=data.store, train=data.train, val=data.val),)


def weights_of(spec: RunSpec, reader: Stored) -> Weights | None:
    """How often an epoch shows each row of the train split; None where every row is shown once.

    A row's weight is its store's, times those of all rules of `[[data.sampling]]` that it falls under.
    """
    stores, rules = stores_of(spec), spec.data.sampling
    if all(store.weight == 1 for store in stores) and not rules:
        return None
    rows = reader.select(spec.data.train)
    parts, own = _places(reader, rows)
    weights = np.array([store.weight for store in stores])[parts]
    readers, problems = readers_of(reader), []
    for number, rule in enumerate(rules):
        loc = f"data.sampling[{number}]"
        try:
            here = _falls_under(rule, stores, readers, parts, own)
        except SpecError as error:
            problems.append(Problem(loc, str(error)))
            continue
        if not here.any():
            problems.append(Problem(loc, f"found no row that it means among the {len(rows)} that are learnt from"))
        weights[here] *= rule.weight
    if problems:
        raise SpecError("these rules choose no rows:", problems=problems)
    if not (weights > 0).any():
        raise SpecError(
            f"no row is left to learn from: the weights of all {len(rows)} are 0",
            hint="a rule of weight 0 leaves out every row that it means",
        )
    return weights


def run_order(spec: RunSpec, reader: Stored, weights: Weights | None) -> Order:
    """The batches of every epoch of a run."""
    return order_of(
        reader, reader.select(spec.data.train), weights, batch_size=spec.data.batch_size, shuffle=True, seed=spec.seed,
        drop_last=spec.data.drop_last,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one store gives to a run."""

    title: str
    weight: float
    rows: int
    """Of its train split."""
    shown: int
    """Of them in the first epoch, a row that is shown twice twice; a row more or less in others."""
    distinct: int
    val: int


def shares_of(spec: RunSpec, reader: Stored, weights: Weights | None) -> list[Share]:
    """What each store gives to the first epoch and to validation."""
    shown = np.concatenate([np.empty(0, np.int64), *run_order(spec, reader, weights).batches(0)])
    count = len(readers_of(reader))
    splits = (shown, np.unique(shown % len(reader)), reader.select(spec.data.train), reader.select(spec.data.val))
    times, distinct, train, val = (
        np.bincount(_places(reader, rows % len(reader))[0], minlength=count).tolist() for rows in splits
    )
    return [
        Share(title=r.title, weight=s.weight, rows=train[i], shown=times[i], distinct=distinct[i], val=val[i])
        for i, (r, s) in enumerate(zip(readers_of(reader), stores_of(spec), strict=True))
    ]


def _places(reader: Stored, rows: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(number of the store, row in it) of each row."""
    if not isinstance(reader, Several):
        return np.zeros(len(rows), np.int64), rows
    starts = np.array(reader.starts, np.int64)
    parts = np.searchsorted(starts, rows, side="right") - 1
    return parts, rows - starts[parts]


def _falls_under(
    rule: SamplingSpec,
    stores: Sequence[StoreSpec],
    readers: Sequence[Reader],
    parts: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int64],
) -> npt.NDArray[np.bool_]:
    """Which of the rows a rule means."""
    here = np.ones(len(rows), bool)
    if rule.store:
        names = [store.store for store in stores]
        if rule.store not in names:
            raise SpecError(f"store: found {rule.store!r}, expected one of {', '.join(map(repr, names))}")
        here &= parts == names.index(rule.store)
    if rule.source:
        known = [list(reader.manifest.written["sources"]) for reader in readers]
        if not any(rule.source in names for names in known):
            listed = ", ".join(repr(name) for name in dict.fromkeys(name for names in known for name in names))
            raise SpecError(f"source: found {rule.source!r}, expected one of {listed}")
        for part, names in enumerate(known):
            mine = parts == part
            number = names.index(rule.source) if rule.source in names else -1
            here[mine] &= readers[part].rows["source"][rows[mine]] == number
    if rule.text_height is not None:
        low, high = rule.text_height
        heights = np.empty(len(rows))
        for part, reader in enumerate(readers):
            heights[parts == part] = text_heights(reader, rows[parts == part])
        here &= (heights >= low) & (heights < high)
    if rule.texts is not None:
        hard, scored = _hard(rule.texts, rule.missed)
        meant = [
            any(
                each.get("name") in (None, reader.folder.parent.name) and each.get("split") in (None, store.train)
                for each in scored
            )
            for reader, store in zip(readers, stores, strict=True)
        ]
        if not any(meant):
            said = " and ".join(f"split {each.get('split')!r} of store {each.get('name')!r}" for each in scored)
            raise SpecError(f"texts: found texts of {said}, which this run does not learn")
        here &= [
            meant[p] and not hard.isdisjoint(_called(readers[p], r))
            for p, r in zip(parts.tolist(), rows.tolist(), strict=True)
        ]
    return here


def _called(reader: Reader, row: int) -> tuple[str, ...]:
    """Everything that an evaluation may call a row, of one store or of several."""
    name = reader.name(row)
    return reader.id(row), name, f"{reader.folder.parent.name}: {name}", f"{reader.title}: {name}"


def text_heights(reader: Reader, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Median height of the texts that count in each row, in canonical pixels; NaN where there are none."""
    parts = [_heights(reader, rows[at : at + AT_ONCE]) for at in range(0, len(rows), AT_ONCE)]
    return np.concatenate([np.empty(0), *parts])


def _heights(reader: Reader, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    table, own = reader.polygons, np.arange(len(rows))
    texts, of = _spans(table["row_offsets"], rows)
    row = own[of]
    corners, text = _spans(table["offsets"], texts)
    a, b, c, d, e, f = _matrices(reader, rows)[row[text]].T
    x, y = table["points"][corners].astype(np.float64).T
    outlines = PolygonSet(
        points=np.stack([a * x + b * y + c, d * x + e * y + f], axis=1),
        offsets=np.concatenate([[0], np.cumsum(np.bincount(text, minlength=len(texts)))]),
        ignore=table["ignore"][texts],
        texts=(None,) * len(texts),
        frame="canonical",
    )
    counts = ~outlines.ignore
    row, heights = row[counts], outlines.equivalent_sides()[counts, 0]
    heights = heights[np.lexsort((heights, row))]  # by row, the lowest first
    numbers = np.bincount(row, minlength=len(rows))
    first, some = np.cumsum(numbers) - numbers, numbers > 0
    medians = np.full(len(rows), np.nan)
    low, high = (first[some] + (numbers[some] - odd) // 2 for odd in (1, 0))
    medians[some] = (heights[low] + heights[high]) / 2
    return medians


def _spans(offsets: npt.NDArray[Any], of: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """What the spans from offsets[i] to offsets[i + 1] hold for each i of `of`, one after the other: (item, place in
    `of` of the span that it is in)."""
    first = offsets[of].astype(np.int64)
    lengths = offsets[of + 1].astype(np.int64) - first
    place = np.repeat(np.arange(len(of)), lengths)
    return np.arange(len(place)) + (first - (np.cumsum(lengths) - lengths))[place], place


def _matrices(reader: Reader, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """(n, 6): the map of each row from the frame of its annotation to canonical pixels."""
    orientation, raw_h, raw_w, h, w, x, y = reader.rows["transform"][rows].T.astype(np.int64)
    turned, zero = orientation >= 5, np.zeros(len(rows))
    upright_h, upright_w = np.where(turned, raw_w, raw_h), np.where(turned, raw_h, raw_w)
    found = np.stack([w / upright_w, zero, x, zero, h / upright_h, y], axis=1)
    frame = reader.rows["frame"][rows]
    plain = (frame == FRAMES.index("upright")) | ((frame == FRAMES.index("raw")) & (orientation == 1))
    for at in np.flatnonzero(~plain).tolist():
        said = FRAMES[int(frame[at])]
        found[at] = reader.transform(int(rows[at])).matrix(said, "canonical").matrix[:2].ravel()  # type: ignore[arg-type]
    return found


def _hard(path: Path, share: float) -> tuple[set[str], list[dict[str, Any]]]:
    """Names of the pictures of which at least this share of the texts was lost; the stores and splits they are of."""
    if not path.is_dir() and path.name != TEXTS:
        raise SpecError(f"texts: found {path.name}, expected the {TEXTS} of an evaluation beside its {RESULT}")
    found = read_evaluation(path if path.is_dir() else path.parent)
    identity = found.result.get("identity") or {}
    store = (identity.get("store") or {}) if isinstance(identity, dict) else None
    needed = {"picture", "kind", "ignore", "reason"}
    if not isinstance(store, dict) or not all(needed <= text.keys() for text in found.texts):
        raise SpecError(f"texts: found other columns in {path}, or another identity beside it, than evaluate writes")
    lost: dict[str, list[bool]] = {}
    for text in found.texts:
        if text["kind"] == "text" and not text["ignore"]:
            lost.setdefault(str(text["picture"]), []).append(text["reason"] not in NO_LOSS)
    hard = {name for name, each in lost.items() if sum(each) / len(each) >= share}
    return hard, store.get("stores") or [store]
