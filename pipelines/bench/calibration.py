"""Measures the numbers of `ocrmaps.evaluation.audit.calibration`: errors are put in, and a fit weighs their looks.

    tables = [t for rates in several for t in tables_of(samples, seen, rates, seed=1)]
    numbers = fit_numbers(tables)

To be done again where `odds` or `traits` change: the numbers hold for the looks that they were measured on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ocrmaps.annotations import Sample
from ocrmaps.evaluation.audit.calibration import MIDDLE, LookWorth
from ocrmaps.evaluation.audit.faults import put_in
from ocrmaps.evaluation.audit.judge import KINDS_OF, learn, looks_of
from ocrmaps.evaluation.audit.records import OUTLINE_KINDS, Evidence
from ocrmaps.geometry import BoolArray, FloatArray
from ocrmaps.pipelines.bench.audit import Errors

KINDS = ("missing", *OUTLINE_KINDS)
AS_IT_LOOKS = LookWorth(0.0, 0.0, -6.5)
"""What is believed of a kind before it was measured."""
_LOOSE = (0.5, 2.0, 0.5)
"""How much an offset, a slope and failures off what is believed cost, against one row off the truth."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LooksTable:
    """Labels of one of `KINDS_OF` in one source with errors."""

    kinds: tuple[str, ...]
    likeness: FloatArray
    """(n, 1 + kinds)"""
    looks: FloatArray
    """(1 + kinds)"""
    wrong: BoolArray
    """(n): an error of these kinds was put in here."""


def tables_of(
    samples: Sequence[Sample], seen: Mapping[str, Evidence], rates: Mapping[str, float], *, seed: int
) -> list[LooksTable]:
    """What labels look like where errors of these kinds strike these shares of them, and which are wrong."""
    sizes = {s.id: seen[s.id].transform.size(s.polygons.frame) for s in samples}
    faulty = put_in(samples, sizes, rates, seed)
    errors = Errors(faulty, seen)
    measured, likeness = learn([f.sample for f in faulty], seen, seed=seed + 500, belief={})
    out = []
    for name, kinds in KINDS_OF.items():
        wrong: list[bool] = []
        for f in faulty:
            id, m = f.sample.id, measured[f.sample.id]
            if name == "missing":
                placed = seen[id].transform.apply(m.pieces.polygons, f.sample.polygons.frame)
                wrong += [errors.at(id, piece) >= 0 for piece in placed]
            else:
                mine = np.flatnonzero(m.ignore == (name == "ignored")).tolist()
                wrong += [(id, i) in errors.outline for i in mine]
        rows = np.concatenate(list(likeness[name].values()))
        looks = looks_of(name, likeness[name])
        out.append(LooksTable(kinds=kinds, likeness=rows, looks=looks, wrong=np.array(wrong, dtype=bool)))
    return out


def fit_numbers(
    tables: Sequence[LooksTable], *, as_it_looks: Sequence[str] = ("should_ignore",)
) -> dict[str, LookWorth]:
    """The numbers of every kind under which the truth is likeliest; text without an outline has a slope of its own."""
    at = {kind: i for i, kind in enumerate(KINDS)}
    rows: list[FloatArray] = []
    shares: list[FloatArray] = []
    for t in tables:
        columns = [at[kind] for kind in t.kinds]
        row, share = np.zeros((len(t.wrong), len(KINDS))), np.full((len(t.wrong), len(KINDS)), -30.0)
        row[:, columns] = t.likeness[:, 1:] / np.maximum(t.likeness[:, :1], 1e-12)
        share[:, columns] = np.log(np.maximum(t.looks[1:], 1e-12))
        rows.append(row)
        shares.append(share)
    look, common_looks = torch.from_numpy(np.concatenate(rows)), torch.from_numpy(np.concatenate(shares))
    truth = torch.from_numpy(np.concatenate([t.wrong for t in tables]).astype(np.float64))
    free = torch.tensor([kind not in as_it_looks for kind in KINDS], dtype=torch.float64)
    group = torch.tensor([int(kind != "missing") for kind in KINDS])
    common, offset = torch.zeros(1, dtype=torch.float64), torch.zeros(len(KINDS), dtype=torch.float64)
    slope, failures = torch.zeros(2, dtype=torch.float64), torch.zeros(len(KINDS), dtype=torch.float64)
    asked = [common, offset, slope, failures]
    solver = torch.optim.LBFGS([p.requires_grad_() for p in asked], max_iter=300, line_search_fn="strong_wolfe")

    def numbers() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return free * (common + offset), free * slope[group], AS_IT_LOOKS.failures + free * failures

    def loss() -> torch.Tensor:
        solver.zero_grad()
        more, line, fails = numbers()
        likely = torch.exp(more + common_looks + line * (common_looks - MIDDLE))
        odds = (likely * look / (1 + torch.exp(fails) * look)).sum(dim=1)
        value = (torch.log1p(odds) - truth * torch.log(odds.clamp_min(1e-12))).sum()
        for weight, part in zip(_LOOSE, (offset, slope, failures), strict=True):
            value = value + weight * (part**2).sum()
        value.backward()
        return value

    with torch.enable_grad():
        solver.step(loss)
    found = [part.detach().numpy() for part in numbers()]
    return {kind: LookWorth(*(round(float(part[i]), 2) for part in found)) for i, kind in enumerate(KINDS)}
