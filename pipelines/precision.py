"""What half precision costs in val hmean: the same run, seed by seed, once in fp32 and once in each other precision.

OUT/fp32-seed0 ... OUT/bf16-seed2   one ordinary run folder each
OUT/precision.json  OUT/precision.txt   the record and its table
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ocrmaps.detect.trained import LAST, read_checkpoint
from ocrmaps.errors import Problem, RunError, SpecError
from ocrmaps.files import write_json, write_new
from ocrmaps.machine import commit, machine
from ocrmaps.pipelines.train import train
from ocrmaps.store.several import Stored, opened
from ocrmaps.training.callbacks.stop import Interrupted
from ocrmaps.training.checkpoint import stores_card
from ocrmaps.training.checks import check_store
from ocrmaps.training.folder import CHECKPOINTS, METRICS, read_metrics
from ocrmaps.training.optimization import SAFE_CLIP, Precision, accumulation, check_precision
from ocrmaps.training.paired import BASELINE, PairedComparison, compare, compared
from ocrmaps.training.place import place_of
from ocrmaps.training.prepare import device_of
from ocrmaps.training.resume import check_same_run
from ocrmaps.training.spec import RunSpec
from ocrmaps.training.stores import weights_of

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One of the runs."""

    precision: Precision
    seed: int
    folder: Path
    spec: RunSpec
    hmean: float = 0.0
    """At IoU 0.5, of the validation after the last step: the best one of a run would favour the noisier."""
    reused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecisionReport:
    """What the check came to."""

    folder: Path
    members: tuple[Member, ...]
    comparisons: Mapping[str, PairedComparison]
    """By candidate precision."""
    identity: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "baseline": BASELINE,
            "comparisons": {name: found.as_dict() for name, found in self.comparisons.items()},
            "members": [
                {"precision": m.precision, "seed": m.seed, "hmean": m.hmean, "folder": m.folder.name}
                for m in self.members
            ],
            "identity": dict(self.identity),
        }

    def table(self) -> str:
        """One line a seed, and the verdict of each candidate."""
        others = list(self.comparisons)
        scores: dict[tuple[str, int], float] = {(m.precision, m.seed): m.hmean for m in self.members}
        seeds = sorted({m.seed for m in self.members})
        lines = [" ".join(["seed      ", f"{BASELINE:>9}", *(f"{o:>9} {'loss':>8}" for o in others)])]
        for seed in seeds:
            base = scores[BASELINE, seed]
            cells = (f"{scores[o, seed]:9.4f} {base - scores[o, seed]:+8.4f}" for o in others)
            lines.append(" ".join([f"{seed:<10}", f"{base:9.4f}", *cells]))
        for name, found in self.comparisons.items():
            lines.append(
                f"{name} against {BASELINE}: {found.verdict} ({found.why}); mean loss {found.loss_percent:.2f} %, "
                f"smallest detectable with {len(seeds)} pairs {found.detectable_percent:.2f} % (paired t, alpha 0.05, "
                "power 0.8)"
            )
        i = self.identity
        lines.append(f"val hmean at IoU 0.5 after {i['steps']} steps, {i['samples']} samples, root "
                     f"{i['root_digest'][:12]}, {i['device']}, commit {i['commit']}")  # fmt: skip
        return "\n".join(lines)


def precision_check(
    spec: RunSpec,
    *,
    out: Path,
    cache: Path | None = None,
    precisions: Sequence[str] = ("fp32", "bf16"),
    seeds: int = 3,
    epochs: int | None = None,
    say: Say = lambda line: None,
) -> PrecisionReport:
    """Train `seeds` runs in each precision, alike but for that, and compare their val hmean pair by pair.

    Members that are finished in `out` are taken as they are if they are the same runs, and refused otherwise; one
    that was interrupted goes on.
    """
    chosen = compared(spec, precisions, seeds, epochs)
    members = plan(spec, out, chosen, seeds, epochs)
    for member in members[: len(chosen)]:
        check_precision(member.spec.optimizer, member.precision, device_of(member.spec))
    where = spec.data.cache or cache or Path(".ocrmaps")
    with opened(place_of(spec.data, where)) as reader:
        root, truth = reader.root_digest, _scored_texts(reader, spec.data.val)
        for member in members:
            _check_member(replace(member, spec=check_store(member.spec, reader)), reader)
    done: list[Member] = []
    for number, member in enumerate(members, 1):
        reused = (member.folder / "result.json").is_file()
        say(f"run {number}/{len(members)}: {member.folder.name}" + (", already finished" if reused else ""))
        if not reused:
            _train(member, where, say)
        done.append(replace(member, hmean=_final(member), reused=reused))
    scores = {(m.precision, m.seed): m.hmean for m in done}
    first = list(dict.fromkeys(m.seed for m in done))
    comparisons: dict[str, PairedComparison] = {
        name: compare([(scores[BASELINE, s], scores[name, s]) for s in first], resolution=1 / max(1, truth))
        for name in chosen
        if name != BASELINE
    }
    report = PrecisionReport(folder=out, members=tuple(done), comparisons=comparisons, identity=_identity(done, root))
    write_json(out / "precision.json", report.as_dict())
    write_new(out / "precision.txt", f"{report.table()}\n".encode(), replace_existing=True)
    return report


def _train(member: Member, cache: Path, say: Say) -> None:
    try:
        train(member.spec, out=member.folder, cache=cache, resume="auto", say=lambda line: say(f"  {line}"))
    except Interrupted as error:
        hint = "the same command goes on with what is there"
        raise Interrupted(str(error), hint=hint, signal=error.signal) from error


def plan(
    spec: RunSpec, out: Path, precisions: Sequence[Precision], seeds: int, epochs: int | None
) -> tuple[Member, ...]:
    """The runs, pair after pair, so that whatever is done so far can be compared.

    Batches in a step and clipping are the same in all: the safety of half precision asks for some, and a baseline
    without it would differ in more than precision.
    """
    batches = max(accumulation(spec.optimizer, p) for p in precisions)
    clip = min(spec.optimizer.clip, SAFE_CLIP) if "fp16-safe" in precisions else spec.optimizer.clip
    budget = spec.budget
    if epochs is not None:
        every = budget.validate_every if epochs % budget.validate_every == 0 else epochs
        budget = replace(budget, epochs=epochs, validate_every=every)
    alike = replace(
        spec, optimizer=replace(spec.optimizer, accumulate=batches, clip=clip), budget=budget,
        watch=replace(spec.watch, wandb=""),
    )  # fmt: skip
    members = []
    for seed in range(spec.seed, spec.seed + seeds):
        model = alike.model if "model.seed" in spec.said else replace(alike.model, seed=seed)
        for name in precisions:
            label = f"{name}-seed{seed}"
            member = replace(alike, name=f"{spec.name[:40]}-{label}", seed=seed, precision=name, model=model)
            members.append(Member(precision=name, seed=seed, folder=out / label, spec=member))
    return tuple(members)


def _check_member(member: Member, reader: Stored) -> None:
    """Refuse a folder that holds another run, or one of another machine, before hours are spent on the rest."""
    path = member.folder / CHECKPOINTS / LAST
    if not path.exists():
        if member.folder.exists() and any(member.folder.iterdir()):
            raise SpecError(
                f"{member.folder}: holds something, but no checkpoint to go on from", hint="name another --out"
            )
        return
    now_card = {"run": member.spec.as_dict(), **stores_card(reader, member.spec.data, weights_of(member.spec, reader))}
    check_same_run(read_checkpoint(path)["ocrmaps"], now_card, path)
    then = json.loads((member.folder / "environment.json").read_text(encoding="utf-8"))
    now = _arithmetic(member.spec)
    problems = [
        Problem(key, f"the member ran on {then.get(key)!r}, this is {value!r}")
        for key, value in now.items()
        if then.get(key) != value
    ]
    if problems:
        raise RunError(
            f"{member.folder}: this member was trained elsewhere, so a difference may not be one of precision:",
            problems=problems, hint="name another --out",
        )  # fmt: skip


def _arithmetic(spec: RunSpec) -> dict[str, Any]:
    """What else than precision changes sums: as `environment.json` of a run says it."""
    device = torch.cuda.get_device_name() if device_of(spec) == "cuda" else "cpu"
    return {"torch": torch.__version__, "device": device, "processor": machine()["processor"]}


def _final(member: Member) -> float:
    rows = read_metrics(member.folder / METRICS)
    if not rows or "val/hmean" not in rows[-1]:
        state = rows[-1].get("val/state", "not validated") if rows else "no epoch"
        raise RunError(f"{member.folder}: the last epoch has no complete validation ({state}), so nothing to compare")
    return float(rows[-1]["val/hmean"])


def _scored_texts(reader: Stored, split: str) -> int:
    return sum(int((~reader.polygon_set(row).ignore).sum()) for row in reader.select(split).tolist())


def _identity(members: Sequence[Member], root: str) -> dict[str, Any]:
    results = [json.loads((m.folder / "result.json").read_text(encoding="utf-8")) for m in members]
    shown = {(r["steps"], r["samples"]) for r in results}
    if len(shown) != 1:
        raise RunError(f"the members took different budgets (steps, samples): {sorted(shown)}")
    steps, samples = shown.pop()
    return {
        "steps": steps,
        "samples": samples,
        "root_digest": root,
        "seeds": sorted({m.seed for m in members}),
        "device": _arithmetic(members[0].spec)["device"],
        "torch": torch.__version__,
        "python": platform.python_version(),
        "commit": commit(),
    }
