"""The doctor on prepared data: stored maps, and what the loader makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ocrmaps.debug import pictures as debug_pictures
from ocrmaps.debug.doctor.pictures import damaged
from ocrmaps.debug.doctor.records import Case, Specs, Stage
from ocrmaps.errors import OcrmapsError, SpecError, StoreError
from ocrmaps.extract import ExtractSpec, extract
from ocrmaps.geometry import PolygonSet
from ocrmaps.loader import MapLoader
from ocrmaps.maps import DRAWN, MapSpec, Outcome, draw_maps
from ocrmaps.maps.records import PROBABILITY_COUNTS, THRESHOLD_COUNTS
from ocrmaps.metrics import match_iou
from ocrmaps.recipe import ARRAYS
from ocrmaps.store.far.version import mending
from ocrmaps.store.fast import FastReader
from ocrmaps.store.format.layout import row_shape
from ocrmaps.store.reader import Reader

GIVEN_BACK = 0.5
"""At least this share of the drawn outlines must come back from their own maps."""
LOADED = 6
"""Batches of a pass that are compared with the store."""
RATIOS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
LIMITS = {"probability": 1, "threshold": 254, "mask": PROBABILITY_COUNTS | THRESHOLD_COUNTS}
"""The largest value of each stored map."""


def look_at_maps(cases: Sequence[Case], stage: Stage, specs: Specs, reader: Reader | None) -> None:
    """Stored maps are in range, equal to maps drawn from the outlines, and extraction gives the outlines back."""
    if not cases:
        stage.skipped = "no sample could be followed so far"
        return
    equal = compared = drawn_texts = back = 0
    ious: list[float] = []
    undrawn: dict[str, int] = {}
    for case in cases:
        if case.lost:
            continue
        canonical = case.transform.apply(case.polygons, "canonical")
        fresh = draw_maps(canonical, specs.maps, case.transform.canvas)
        mine = {
            "probability": fresh.probability,
            "threshold": fresh.quantized,
            "mask": fresh.mask,
        }
        case.maps = mine
        if reader is not None and case.row is not None:
            try:
                case.maps = reader.read_row(case.row, ARRAYS[1:])
            except StoreError as error:
                damaged(error, case, stage, reader)
                continue
            compared += 1
            equal += _compare_maps(case, mine, canonical, stage, specs)
        if case.image is not None:
            case.seen["maps"] = partial(debug_pictures.targets, case.image, *(case.maps[n] for n in LIMITS))
        for outcome in fresh.outcomes:
            if outcome not in DRAWN and outcome != Outcome.IGNORED:
                undrawn[str(outcome)] = undrawn.get(str(outcome), 0) + 1
        found, best = _given_back(case, canonical, fresh.drawn, specs.maps)
        drawn_texts, back = drawn_texts + len(best), back + found
        ious += best
    share = back / drawn_texts if drawn_texts else 1.0
    mean = float(np.mean(ious)) if ious else 1.0
    lost = sum(undrawn.values())
    same = f"{equal} of {compared} as drawn anew; " if reader is not None else ""
    stage.said = f"{same}{back} of {drawn_texts} outlines come back from them (mean IoU {mean:.2f})"
    stage.numbers = {"equal": equal, "compared": compared, "given_back": share, "mean_iou": mean, "undrawn": undrawn}
    if share < GIVEN_BACK and not stage.breaks:
        stage.problem(
            f"only {share:.0%} of the drawn outlines come back from their own maps",
            "the canvas is too small for this text, or outlines overlap: ocrmaps oracle shows the ceiling of recipes",
        )
    if lost > 0.5 * (drawn_texts + lost):
        said = ", ".join(f"{n} {o}" for o, n in undrawn.items())
        stage.problem(f"most text cannot be drawn on this canvas: {said}", "a larger side: ocrmaps recommend SOURCE")
    elif lost:
        stage.note(f"{lost} of {drawn_texts + lost} outlines are not drawn: {undrawn}")


def _compare_maps(case: Case, mine: Mapping[str, Any], canonical: PolygonSet, stage: Stage, specs: Specs) -> bool:
    for name, limit in LIMITS.items():
        stored = case.maps[name]
        if stored.dtype != np.uint8 or stored.shape != case.transform.canvas:
            stage.problem(
                f"{name} is {stored.dtype} {stored.shape}, expected uint8 {case.transform.canvas}", "", case.name
            )
            return False
        if int(stored.max(initial=0)) > limit:
            stage.problem(
                f"{name} holds {int(stored.max())}, expected at most {limit}",
                "ocrmaps verify STORE --level rebuild, then ocrmaps repair",
                case.name,
            )
            return False
    differ = {name: int((case.maps[name] != mine[name]).sum()) for name in LIMITS}
    if not any(differ.values()):
        return True
    said = ", ".join(f"{name} at {n}" for name, n in differ.items() if n)
    other = _drawn_as(case, canonical, specs.maps)
    looks = f"; they are what {other} gives" if other else _turned_round(case, mine)
    stage.problem(
        f"the stored maps are not what its recipe draws from these outlines: they differ in {said} pixels{looks}",
        "ocrmaps verify STORE --level rebuild lists all such rows; build again with today's code",
        case.name,
    )
    return False


def _turned_round(case: Case, mine: Mapping[str, Any]) -> str:
    """Which of the stored maps are those that are drawn, with high and low swapped."""
    found = [
        name
        for name, limit in LIMITS.items()
        if np.array_equal(case.maps[name], limit - mine[name])
        or (name == "mask" and np.array_equal(case.maps[name] & PROBABILITY_COUNTS, ~mine[name] & PROBABILITY_COUNTS))
    ]
    return f"; high and low are swapped in {' and '.join(found)}" if found else ""


def _drawn_as(case: Case, canonical: PolygonSet, asked: MapSpec) -> str:
    """Which other settings give exactly the stored probability map."""
    styles: tuple[Any, ...] = ("exact", "official")
    for style in styles:
        for ratio in RATIOS:
            spec = MapSpec(style=style, shrink_ratio=ratio)
            if spec == asked:
                continue
            try:
                maps = draw_maps(canonical, spec, case.transform.canvas)
            except SpecError:
                continue
            if np.array_equal(maps.probability, case.maps["probability"]) and maps.probability.any():
                return f"style = {style!r}, shrink_ratio = {ratio:g}"
    return ""


def extraction_of(maps: MapSpec, polygons: PolygonSet) -> ExtractSpec:
    """The extraction that inverts these maps; outlines of many corners need polygons."""
    counts = polygons.counts()
    curved = bool(len(counts)) and float(np.mean(counts > 4)) > 0.2
    return ExtractSpec(
        shape="polygons" if curved else "boxes", kernel=maps.style, shrink_ratio=maps.shrink_ratio, unclip="inverse"
    )


def _given_back(case: Case, canonical: PolygonSet, drawn: Any, maps: MapSpec) -> tuple[int, list[float]]:
    truth = canonical.select(drawn)
    if not len(truth):
        return 0, []
    probability = np.minimum(case.maps["probability"], 1).astype(np.float32)
    found = extract(probability, extraction_of(maps, truth)).polygons
    match = match_iou(truth, found, thresholds=(0.5,))
    care = match.truth_care
    return match.counts(0.5).matched, [float(v) for v in match.best_iou[care]]


def look_at_batches(
    cases: Sequence[Case], stage: Stage, reader: Reader, *, split: str, batch_size: int, seed: int
) -> None:
    """The loader's tensors are the stored rows, byte for byte, for the chosen rows and for the first batches."""
    fast = FastReader(reader)
    rows = differing = 0
    try:
        for case in cases:
            if case.row is None or case.lost:
                continue
            try:
                got = {a: np.empty((1, *row_shape(a, case.transform.canvas)), np.uint8) for a in ARRAYS}
                fast.read_rows([case.row], got)
                stored = {"image": case.image if case.image is not None else got["image"][0], **case.maps}
            except StoreError as error:
                damaged(error, case, stage, reader)
                continue
            rows += 1
            wrong = [a for a in ARRAYS if not np.array_equal(got[a][0], stored[a])]
            if wrong:
                differing += 1
                stage.problem(f"the loader's {', '.join(wrong)} differ from the stored row", "report this", case.name)
    finally:
        fast.close()
    batches = 0
    try:
        settings: dict[str, Any] = {"batch_size": batch_size, "seed": seed, "threads": 1, "ahead": 1}
        with MapLoader(reader.folder, split=split, shuffle=True, **settings) as loader:
            allowed = set(reader.select(split).tolist())
            for batch in loader:
                batches += 1
                rows += len(batch.row)
                differing += _check_batch(batch, allowed, stage, reader)
                if batches == LOADED:
                    break
    except StoreError as error:
        stage.problem(str(error).splitlines()[0], mending(reader.folder, yes=True))
    except OcrmapsError as error:
        stage.problem(str(error).splitlines()[0], error.hint)
    stage.said = f"{rows - differing} of {rows} rows equal to the store, {batches} batches of split {split!r}"
    stage.numbers = {"rows": rows, "differing": differing, "batches": batches}


def _check_batch(batch: Any, allowed: set[int], stage: Stage, reader: Reader) -> int:
    rows = batch.row.tolist()
    if len(set(rows)) != len(rows) or not set(rows) <= allowed:
        stage.problem(f"a batch holds rows {rows}, which are not different rows of its split", "report this")
    differing = 0
    for i, row in enumerate(rows):
        stored = reader.read_row(row)
        wrong = [a for a in ARRAYS if not np.array_equal(getattr(batch, a)[i].numpy(), stored[a])]
        if wrong:
            differing += 1
            stage.problem(
                f"the loader's {', '.join(wrong)} differ from the stored row", "report this", reader.name(row)
            )
    return differing
