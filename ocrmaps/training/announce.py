"""What a run says of itself before the first step and beside its numbers, on the screen and in its log."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ocrmaps.errors import OcrmapsError
from ocrmaps.evaluation.oracle.chain import BENT_SHARE, bent_share
from ocrmaps.store.several import Stored
from ocrmaps.training.budget import Budget
from ocrmaps.training.resume import Resumed
from ocrmaps.training.sharing import devices_of
from ocrmaps.training.spec import RunSpec
from ocrmaps.training.stores import Weights, shares_of
from ocrmaps.training.warm import WarmStart

Say = Callable[[str], None]
_LOOKED_AT = 200
"""Rows whose outlines are looked at before the first step."""


def identity(card: Mapping[str, Any]) -> dict[str, Any]:
    """What produced the numbers of a run, besides how far it came."""
    return {"root_digest": card["store"]["root_digest"], "seed": card["seed"], "precision": card["precision"]}


def caption(i: Mapping[str, Any]) -> str:
    """What belongs beside a number of a finished run."""
    return (
        f"{i['steps']} steps, {i['samples']} samples, root {i['root_digest'][:12]}, seed {i['seed']}, {i['precision']}"
    )


def announce(
    spec: RunSpec,
    reader: Stored,
    card: Mapping[str, Any],
    budget: Budget,
    tell: Say,
    *,
    weights: Weights | None,
    resumed: Resumed | None,
    started: WarmStart | None,
) -> None:
    """Say what is trained, on what, for how long, and where it goes on."""
    built = card["built"]
    store = f"{card['store']['name']}/{card['store']['version']}"
    counts = {split: len(reader.select(split)) for split in (spec.data.train, spec.data.val)}
    parts = ", ".join(f"{p} {built[p]['class']} {built[p]['parameters']:,}" for p in ("encoder", "decoder", "head"))
    if spec.data.stores:
        store = f"of {len(spec.data.stores)}"
    tell(f"run {spec.name}: store {store}, root {reader.root_digest[:12]}, rows {counts}")
    if spec.data.stores or weights is not None:
        shares = shares_of(spec, reader, weights)
        total = sum(share.shown for share in shares)
        tell(f"an epoch shows {total} rows; by store, in epoch 1 (a row more or less in others):")
        for share in shares:
            tell(
                f"  {share.title}, weight {share.weight:g}: {share.shown} ({share.shown / total:.0%}), "
                f"{share.distinct} of {share.rows} rows at least once; {share.val} validated"
            )
    if spec.trusted.names:
        tell(f"trusted, because the run file names it: {spec.trusted}")
    size = "x".join(map(str, built["flops_size"]))
    taps = " ".join(f"{c}@{s}" for c, s in zip(built["channels"], built["strides"], strict=True))
    tell(
        f"built: {parts}; {built['parameters']:,} parameters, {built['flops'] / 1e9:.2f} GFLOPs at {size}; "
        f"channels@stride {taps} into {built['decoder_channels']}"
    )
    if started is not None:
        tell(started.sentence())
    if spec.model.freeze:
        tell(f"frozen: the first {spec.model.freeze} stages of the encoder; {built['trainable']:,} parameters learn")
    if budget.devices > 1 or spec.hardware.compile:
        machines = f" on {spec.hardware.nodes} machines" if spec.hardware.nodes > 1 else ""
        tell(f"devices: {budget.devices}{machines}{budget.shared}; compile: {spec.hardware.compile or 'off'}")
    tell(f"budget: {budget.sentence(spec)}; seed {spec.seed}, {spec.precision}")
    extract = card["extract"]
    tell(
        f"maps are read with: {extract['unclip']} unclip, r {extract['shrink_ratio']:g}, binarize "
        f"{extract['binarize']}, score at least {extract['score_min']:g}"
    )
    if extract["shape"] == "boxes":
        sets = [reader.polygon_set(row) for row in reader.select(spec.data.train)[:_LOOKED_AT].tolist()]
        if (bent := bent_share(sets)) > BENT_SHARE:
            tell(
                f"WARNING: {bent:.0%} of the outlines in split {spec.data.train} are bent, and boxes cannot follow "
                "them: --set extract.shape=polygons reads and scores outlines"
            )
    if resumed is None:
        return
    for word in resumed.passed_over:
        tell(f"WARNING: not resumed from the latest state: {word}")
    tell(f"resumed from {resumed.path}, step {resumed.steps}")
    before = devices_of(resumed.card["run"])
    if before != budget.devices:
        batches = budget.devices * budget.accumulate
        tell(
            f"steps are of {batches} batches as before: devices {before}, {batches // before} batches on each; now "
            f"devices {budget.devices}, {budget.accumulate} on each"
        )


@contextmanager
def log(path: Path, say: Say, *, append: bool, first: bool) -> Iterator[Say]:
    """What is said is also written, line by line; only the first process says anything."""
    if not first:
        yield lambda line: None
        return
    with path.open("a" if append else "w", encoding="utf-8") as file:

        def tell(line: str) -> None:
            say(line)
            file.write(line + "\n")
            file.flush()

        try:
            yield tell
        except OcrmapsError as error:  # said by whoever catches it
            file.write(f"{error}\n")
            raise
