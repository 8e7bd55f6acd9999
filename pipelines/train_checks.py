"""What must hold before the first step: sound data, honest splits, sides that fit, the same run when it is resumed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ocrmaps.errors import Problem, RunError, SpecError
from ocrmaps.store.reader import Reader
from ocrmaps.store.verify import verify
from pipelines.train_spec import HardwareSpec, RunSpec, resolve

OPERATIONAL = ("name", "watch", "keep", "device", "data.cache", "data.store")
"""Settings that a resumed run may change: they do not decide the weights (the store is compared by its digest)."""


BEFORE = {"hardware": asdict(HardwareSpec())}
"""Tables that runs of earlier releases did not have: what they did is what the defaults say."""


def check_store(spec: RunSpec, reader: Reader) -> RunSpec:
    """Refuse data that a run cannot be trusted on; the run with what follows from its store."""
    found = verify(reader.folder, level="quick")
    if not found.ok:
        raise RunError(
            f"{reader.folder}: the store is damaged:", problems=found.problems, hint=f"ocrmaps repair {reader.folder}"
        )
    spec = resolve(spec, reader.manifest.recipe)
    rows = {name: reader.select(split) for name, split in (("train", spec.data.train), ("val", spec.data.val))}
    empty = [name for name, r in rows.items() if not len(r)]
    if empty:
        splits = ", ".join(f"{k or 'no split'} {v}" for k, v in reader.manifest.written["counts"]["splits"].items())
        raise SpecError(
            "the store has no rows for this run:",
            problems=[Problem(f"data.{n}", f"split {getattr(spec.data, n)!r} is empty; found {splits}") for n in empty],
            hint="a source of the recipe says its split; build a version that has both",
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


def check_same_run(theirs: Mapping[str, Any], mine: Mapping[str, Any], path: Path) -> None:
    """Refuse to go on from a checkpoint of another run: only settings that do not decide weights may differ."""
    problems = [
        Problem(f"run.{key}", f"the checkpoint has {a!r}, this run {b!r}")
        for key, a, b in _differences(BEFORE | theirs["run"], mine["run"])
        if not any(key == o or key.startswith(f"{o}.") for o in OPERATIONAL)
    ]
    a, b = theirs["store"]["root_digest"], mine["store"]["root_digest"]
    if a != b:
        problems.append(Problem("store", f"the checkpoint learnt from root {a[:12]}, this store has root {b[:12]}"))
    if problems:
        raise RunError(
            f"{path}: this checkpoint is of another run:",
            problems=problems,
            hint="resume with the settings of that run, or start a new one from its weights",
        )


def _differences(a: Mapping[str, Any], b: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any, Any]]:
    for key in sorted({*a, *b}):
        left, right = a.get(key), b.get(key)
        if isinstance(left, dict) and isinstance(right, dict) and not key.endswith("options"):
            yield from _differences(left, right, f"{above}{key}.")
        elif left != right:
            yield f"{above}{key}", left, right


def check_compile(spec: RunSpec) -> None:
    """Refuse a backend that torch.compile does not have here."""
    if not spec.hardware.compile:
        return
    known = torch._dynamo.list_backends(exclude_tags=())
    if spec.hardware.compile not in known:
        raise SpecError(
            f"hardware.compile: found {spec.hardware.compile!r}, torch.compile here has {', '.join(known)}",
            hint="inductor is the usual one",
        )


def check_sides(spec: RunSpec, reader: Reader, multiple: int) -> None:
    sizes = {f"canvas {h}x{w}": (h, w) for h, w in reader.manifest.canvases}
    if spec.augment.size is not None:
        sizes["augment.size"] = spec.augment.size
    problems = [
        Problem(name, f"found {h}x{w}, this model needs sides that are multiples of {multiple}")
        for name, (h, w) in sizes.items()
        if h % multiple or w % multiple
    ]
    if problems:
        raise SpecError("the model does not take pictures of these sizes:", problems=problems)
