"""From measures to probabilities: a softmax over piecewise linear measures, and how common each kind really is.

The model is convex, so the same rows give the same model. It is learnt on errors that were put in on purpose, which are
far more common than real ones; `common` then finds by expectation maximization how common each kind is here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ocrmaps.geometry import FloatArray, IntArray

CLEAN = "clean"
_KNOTS = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)
_GUESS = 20
_BLOCK = 256
"""Rows at a time: they stay in the processor's cache on the way there and back."""
_RARE = 1e-4
"""No kind is thought to be rarer than this."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Odds:
    """A fitted model: rows of measures in, probabilities of kinds out."""

    kinds: tuple[str, ...]
    """The classes, `clean` first."""
    knots: tuple[FloatArray, ...]
    """For each measure the places where its line may bend."""
    scale: tuple[FloatArray, FloatArray]
    weights: FloatArray
    """(1 + columns, kinds)"""
    prior: FloatArray
    """(kinds): how common each was when it was learnt."""

    def __call__(self, rows: FloatArray) -> FloatArray:
        """(n, kinds): probabilities where kinds are as common as they were when it was learnt."""
        if not len(rows):
            return np.zeros((0, len(self.kinds)))
        logits = _design(rows, self.knots, self.scale) @ self.weights
        logits -= logits.max(axis=1, keepdims=True)
        odds = np.exp(logits)
        return np.asarray(odds / odds.sum(axis=1, keepdims=True))

    def likeness(self, rows: FloatArray, kinds: Sequence[str]) -> FloatArray:
        """(n, 1 + kinds): how much the rows look like `clean` and each kind, however common it is; 0 if unknown."""
        out = np.zeros((len(rows), 1 + len(kinds)))
        columns = [0, *(1 + list(kinds).index(kind) for kind in self.kinds[1:])]
        out[:, columns] = self(rows) / self.prior
        return out


def posterior(likeness: FloatArray, prior: FloatArray) -> FloatArray:
    """(n, 1 + kinds): probabilities where kinds are as common as `prior` says."""
    joint = likeness * prior
    return np.asarray(joint / np.maximum(joint.sum(axis=1, keepdims=True), 1e-300))


def common(likeness: FloatArray, start: FloatArray) -> FloatArray:
    """(1 + kinds): how common each kind is among these rows, from where the likelihood stops rising.

    >>> common(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]] * 100), np.array([0.9, 0.1])).round(2).tolist()
    [0.68, 0.32]
    """
    prior = start
    for _ in range(50 if len(likeness) else 0):
        # A few rows' worth of the starting guess, so that little data moves it little.
        counted = posterior(likeness, prior).sum(axis=0) + _GUESS * start
        following = np.maximum(counted / counted.sum(), _RARE)
        following /= following.sum()
        if np.abs(following - prior).max() < 1e-6:
            break
        prior = following
    return prior


def fit(
    rows: FloatArray,
    labels: Sequence[str],
    kinds: Sequence[str],
    *,
    weight: FloatArray | None = None,
    strength: float = 1.0,
    steps: int = 100,
) -> Odds:
    """Learn which measures go with which kind; kinds that do not occur are left out. `weight`: what a row counts."""
    present = [CLEAN, *(kind for kind in kinds if kind in set(labels))]
    index = {kind: i for i, kind in enumerate(present)}
    target = np.array([index[label] for label in labels])
    knots = tuple(np.unique(np.quantile(rows[:, c], _KNOTS)) for c in range(rows.shape[1]))
    scale = _scale(_bends(rows, knots))
    x = _design(rows, knots, scale)
    counts = np.ones(len(rows)) if weight is None else weight
    share = counts / counts.sum()
    weights = torch.zeros(x.shape[1], len(present), dtype=torch.float64)
    weights.grad = torch.zeros_like(weights)
    slope = weights.grad.numpy()
    solver = torch.optim.LBFGS([weights], max_iter=steps, history_size=20, line_search_fn="strong_wolfe")
    pull = strength / len(rows)

    def loss() -> float:
        now = weights.numpy()
        value, slope[:] = _cross_entropy(x, now, target, share)
        slope[1:] += pull * now[1:]
        return value + pull * float((now[1:] ** 2).sum()) / 2

    solver.step(loss)
    prior = np.bincount(target, counts, minlength=len(present)) / counts.sum()
    return Odds(kinds=tuple(present), knots=knots, scale=scale, weights=weights.numpy(), prior=prior)


def _cross_entropy(x: FloatArray, weights: FloatArray, target: IntArray, share: FloatArray) -> tuple[float, FloatArray]:
    """The loss of a softmax over all rows, and its slope by the weights."""
    value, slope = 0.0, np.zeros(weights.shape[::-1])
    for at in range(0, len(x), _BLOCK):
        rows, right, part = x[at : at + _BLOCK], target[at : at + _BLOCK], share[at : at + _BLOCK]
        each = np.arange(len(rows))
        logits = rows @ weights
        logits -= logits.max(axis=1, keepdims=True)
        odds = np.exp(logits)
        total = odds.sum(axis=1)
        value += float((np.log(total) - logits[each, right]) @ part)
        odds *= (part / total)[:, None]
        odds[each, right] -= part
        slope += odds.T @ rows
    return value, slope.T


def _bends(rows: FloatArray, knots: Sequence[FloatArray]) -> FloatArray:
    """Every measure, and how far it is beyond each knot."""
    columns = [rows]
    for c, places in enumerate(knots):
        columns.append(np.maximum(rows[:, c : c + 1] - places[None, :], 0.0))
    return np.concatenate(columns, axis=1)


def _scale(bends: FloatArray) -> tuple[FloatArray, FloatArray]:
    return bends.mean(axis=0), np.maximum(bends.std(axis=0), 1e-6)


def _design(rows: FloatArray, knots: Sequence[FloatArray], scale: tuple[FloatArray, FloatArray]) -> FloatArray:
    """In place: of ten thousand pictures it is most of a gigabyte."""
    mean, spread = scale
    bent = _bends(rows, knots)
    bent -= mean
    bent /= spread
    np.clip(bent, -8, 8, out=bent)
    return np.concatenate([np.ones((len(rows), 1)), bent], axis=1)
