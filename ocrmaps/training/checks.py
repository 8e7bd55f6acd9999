"""What must hold before the first step: sound data, honest splits with text in them, sides that fit."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from ocrmaps.errors import Problem, RunError, SpecError
from ocrmaps.geometry import Size
from ocrmaps.model import Detector
from ocrmaps.model.stages import encoder_stages
from ocrmaps.store.far.version import mending
from ocrmaps.store.reader import Reader
from ocrmaps.store.several import NO_ROWS, Stored, readers_of
from ocrmaps.store.upkeep.verify import verify
from ocrmaps.training.spec import RunSpec, resolve
from ocrmaps.training.stores import check_alike


def check_store(spec: RunSpec, reader: Stored) -> RunSpec:
    """Refuse data that a run cannot be trusted on; the run with what follows from its store."""
    for each in readers_of(reader):
        found = verify(each.folder, level="quick")
        if not found.ok:
            raise RunError(f"{each.folder}: the store is damaged:", problems=found.problems, hint=mending(each.folder))
    check_alike(reader)
    spec = resolve(spec, reader.recipe)
    _check_parts(spec, reader)
    rows = {name: reader.select(split) for name, split in (("train", spec.data.train), ("val", spec.data.val))}
    empty = [name for name, r in rows.items() if not len(r)]
    if empty:
        found_splits = " and ".join(map(_splits, readers_of(reader)))
        raise SpecError(
            "the store has no rows for this run:",
            problems=[
                Problem(f"data.{n}", f"split {getattr(spec.data, n)!r} is empty; found {found_splits}") for n in empty
            ],
            hint="a source of the recipe says its split; build a version that has both",
        )
    textless = [name for name, r in rows.items() if all(reader.polygon_set(row).ignore.all() for row in r.tolist())]
    if textless:
        raise SpecError(
            "a run needs text that counts to learn from, and to be scored on:",
            problems=[
                Problem(f"data.{n}", f"all text of split {getattr(spec.data, n)!r} ({len(rows[n])} rows) is ignored")
                for n in textless
            ],
            hint="a network that finds nothing would score 1.0; is the text marked as illegible on purpose?",
        )
    digests = reader.rows["picture"]
    known = {digests[row].tobytes(): row for row in rows["train"].tolist()}
    both = [(row, known[key]) for row in rows["val"].tolist() if (key := digests[row].tobytes()) in known]
    if both:
        raise SpecError(
            f"{len(both)} of {len(rows['val'])} validation pictures are also trained on, byte for byte:",
            problems=[Problem(reader.name(v), f"the same picture as {reader.name(t)}") for v, t in both],
            hint="a score on pictures that were learnt says nothing: take them out of one split and build again",
        )
    return spec


def _check_parts(spec: RunSpec, reader: Stored) -> None:
    """Refuse one of several stores that lacks a split which the run wants of it."""
    problems = [
        Problem(
            f"data.stores[{number}].{name}", f"split {wanted!r} of {own.title} is empty; found {_splits(own)}"
        )
        for number, (part, own) in enumerate(zip(spec.data.stores, readers_of(reader), strict=False))
        for name, wanted in (("train", part.train), ("val", part.val))
        if wanted != NO_ROWS and not len(own.select(wanted))
    ]  # fmt: skip
    if problems:
        raise SpecError(
            "these stores have no rows for this run:",
            problems=problems,
            hint=f"name a split that it has, or {NO_ROWS!r} to take no rows of it",
        )


def _splits(reader: Reader) -> str:
    return ", ".join(f"{k or 'no split'} {v}" for k, v in reader.manifest.written["counts"]["splits"].items())


def check_sides(spec: RunSpec, reader: Stored, multiple: int) -> None:
    sizes = {f"canvas {h}x{w}": (h, w) for h, w in reader.canvases}
    if spec.augment.size is not None:
        sizes["augment.size"] = spec.augment.size
    problems = [
        Problem(name, f"found {h}x{w}, this model needs sides that are multiples of {multiple}")
        for name, (h, w) in sizes.items()
        if h % multiple or w % multiple
    ]
    if problems:
        raise SpecError("the model does not take pictures of these sizes:", problems=problems)


def check_batches(spec: RunSpec, counts: Mapping[Size, int], detector: Detector) -> None:
    """Refuse a batch of which one value a channel is left: batch normalization would end the run when it comes.

    `counts`: rows of every epoch by canvas.
    """
    least, size = (detector.multiple, detector.multiple), spec.data.batch_size
    problems = [
        Problem(f"canvas {h}x{w}", f"{count} rows of an epoch in batches of {size} leave one alone in a batch")
        for (h, w), count in counts.items()
        if (spec.augment.size or (h, w)) == least
        and count
        and (size == 1 or (count % size == 1 and not spec.data.drop_last))
    ]
    frozen = spec.model.freeze and spec.model.freeze == len(encoder_stages(detector))  # no norm learns at such a size
    if problems and not frozen and any(isinstance(part, nn.BatchNorm2d) for part in detector.modules()):
        raise SpecError(
            f"one picture of {least[0]}x{least[1]} alone leaves batch normalization a single value to learn from:",
            problems=problems,
            hint="another data.batch_size, drop_last = true, or a larger canvas or augment.size",
        )
