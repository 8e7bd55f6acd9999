"""Every comparison with the plain rules turns red when the rule it guards is broken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ocrmaps.metrics import (
    candidates,
    characters,
    cleval_pairs,
    clipping,
    iou,
    match_cleval,
    match_deteval,
    match_iou,
    matching,
    transcripts,
)
from ocrmaps.pipelines.bench.references.metrics import plain_cleval, plain_deteval, plain_iou
from tests.metrics.pages import trouble, wordless

SEEDS = range(40)


def _iou(seed: int) -> bool:
    truth, found = trouble(seed, polygons=0.4)
    match, plain = match_iou(truth, found), plain_iou(truth, found)
    care = (match.counts(0.5).truth_care, match.counts(0.5).detection_care)
    return match.pairs(0.5).tolist() == plain["pairs"] and care == (plain["truth_care"], plain["detection_care"])


def _deteval(seed: int) -> bool:
    truth, found = trouble(seed, polygons=0.4)
    fast, plain = match_deteval(truth, found), plain_deteval(truth, found)
    return all(abs(getattr(fast, name) - value) < 1e-6 for name, value in plain.items())


def _cleval(seed: int) -> bool:
    truth, found = trouble(seed)
    truth = wordless(truth) if seed % 3 == 0 else truth
    fast, plain = match_cleval(truth, found).counts, plain_cleval(truth, found)
    return all(abs(getattr(fast, name) - value) < 1e-6 for name, value in plain.items())


def _all_valid(points: Any, offsets: Any, cut: bool) -> Any:
    areas, bounds, convex, simple, status, _ = clipping.measure(points, offsets, cut)
    return areas, bounds, np.ones_like(convex), np.ones_like(simple), np.zeros_like(status), 0


def _bigger(*args: Any) -> Any:
    areas, bent = clipping.overlaps(*args)
    return areas * 1.2, bent


def _columns_swapped(*args: Any) -> Any:
    rows, columns = _candidate_pairs(*args)
    return rows, columns[::-1]


class _Kernels:
    """The compiled kernels with some replaced."""

    def __init__(self, **faults: Callable[..., Any]) -> None:
        self.faults = faults

    def __getattr__(self, name: str) -> Any:
        return self.faults.get(name) or getattr(clipping, name)


def _nothing_ignored(*args: Any) -> Any:
    return np.zeros(len(args[1].area), dtype=bool)


def _no_elimination(truth: Any, starts: Any, found: Any, found_starts: Any, rows: Any, *rest: Any) -> Any:
    read, read_by = _spelled(truth, starts, found, found_starts, rows, *rest)
    return read + 1, read_by


def _one_longer(points: Any, offsets: Any, boxes: Any, vertical: float, written: Any, guess: Any, usable: Any) -> Any:
    guessed, _, _ = _placed(points, offsets, boxes, vertical, written, np.ones_like(guess), usable)
    longer = np.where(guess | (written < 0), guessed + 1, written)
    return _placed(points, offsets, boxes, vertical, longer, np.zeros_like(guess), usable)


def _charged_as_guessed(*args: Any) -> Any:
    guess, _ = _sized(*args)
    return guess, guess


def _every_pair(rows: Any, columns: Any, share: Any, holds: Any, care: Any, found_care: Any, limit: float) -> Any:
    return holds & care[rows] & found_care[columns]


FAULTS: dict[str, tuple[Callable[[int], bool], Any, str, Any]] = {
    "areas too big": (_iou, matching, "clipping", _Kernels(overlaps=_bigger)),
    "every polygon called convex": (_iou, matching, "clipping", _Kernels(measure=_all_valid)),
    "pairs mixed up": (_iou, candidates, "candidate_pairs", _columns_swapped),
    "ignored share of nine tenths": (_iou, iou, "IGNORED_SHARE", 0.9),
    "deteval with areas too big": (_deteval, matching, "clipping", _Kernels(overlaps=_bigger)),
    "deteval with pairs mixed up": (_deteval, candidates, "candidate_pairs", _columns_swapped),
    "detections on ignored text scored": (_cleval, cleval_pairs, "on_ignored", _nothing_ignored),
    "every pair that holds a character": (_cleval, cleval_pairs, "taking_part", _every_pair),
    "truths read once too often": (_cleval, transcripts, "spelled", _no_elimination),
    "guessed lengths one too long": (_cleval, characters, "placed", _one_longer),
    "false alarms charged by guessed length": (_cleval, characters, "sized", _charged_as_guessed),
}
# Faults call what they replace by its own name, so they need the originals.
_spelled, _placed, _sized = transcripts.spelled, characters.placed, characters.sized
_candidate_pairs = candidates.candidate_pairs


@pytest.mark.parametrize("check", [_iou, _deteval, _cleval])
def test_the_checks_are_green_without_a_fault(check):
    assert all(check(seed) for seed in SEEDS)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_turns_its_check_red(name, monkeypatch):
    check, where, attribute, fault = FAULTS[name]
    monkeypatch.setattr(where, attribute, fault)
    assert not all(check(seed) for seed in SEEDS)
