"""The doctor on the network: whether it is one for these pictures, and knows text from background."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import torch

from ocrmaps.debug import pictures as debug_pictures
from ocrmaps.debug.doctor.records import Case, Stage
from ocrmaps.detect.trained import Trained, maps_of
from ocrmaps.errors import OcrmapsError
from ocrmaps.maps.records import PROBABILITY_COUNTS, THRESHOLD_COUNTS
from ocrmaps.model import Detector
from ocrmaps.recipe import Recipe

NORMAL_MEAN, NORMAL_SPREAD = 10.0, (0.02, 10.0)
"""What normalized pictures may have as mean and standard deviation: anything else was made for other inputs."""
CONSTANT = 0.02
"""A network whose probabilities all lie within this range says nothing."""
BLIND, REVERSED = 0.7, 0.35
"""Chance that a kernel's pixel gets a higher probability than one beside: below the first it hardly knows text, below
the second it knows it, but the wrong way round."""
SILENT = 0.05
"""Share of the kernels' area below which what is above the cut is next to nothing."""
FEW_STEPS = 200
VARIANTS: dict[str, str] = {
    "colors inverted": "dark text on light was learnt as its opposite, or pictures are inverted somewhere",
    "red and blue swapped": "pictures are read as BGR somewhere",
    "published normalization": "model.mean and model.std are not those that the weights were trained with",
    "no normalization but 0 to 1": "model.mean and model.std are not those that the weights were trained with",
    "statistics of each picture": "the running statistics of batch normalization are not those of these weights: they "
    "were not learnt, not saved, or reset",
}
"""Other ways to show pictures to the network, and what it means if it understands those better."""
IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


def look_at_predictions(cases: Sequence[Case], stage: Stage, trained: Trained, recipe: Recipe) -> None:
    """The network is one for these pictures, and its probabilities know text from background."""
    _check_card(stage, trained, recipe)
    _check_steps(stage, trained)
    usable = [c for c in cases if c.image is not None and c.maps and not c.lost]
    _check_normalization(usable, stage, trained.detector)
    try:
        for case in usable:
            case.probability, case.border = _predict(trained.detector, case.image)
            case.level = case.border if trained.extract.binarize == "learned" else None
    except OcrmapsError as error:
        stage.problem(str(error).splitlines()[0], error.hint or "train on this store")
        stage.said = "the network does not take these pictures"
        return
    maps = np.concatenate(
        [np.zeros(0, np.float32), *(c.probability.ravel() for c in usable if c.probability is not None)]
    )
    for case in usable:
        assert case.image is not None and case.probability is not None
        case.seen["prediction"] = partial(debug_pictures.heat, case.image, case.probability)
    if not len(maps):
        stage.skipped = "no sample could be followed so far"
        return
    bad = int((~np.isfinite(maps)).sum())
    if bad:
        weights = [
            n for n, w in trained.detector.state_dict().items() if w.is_floating_point() and not w.isfinite().all()
        ]
        said = f"; {len(weights)} weights are not finite, the first {weights[0]}" if weights else ""
        stage.said = f"{bad} of {len(maps)} probabilities are not finite"
        stage.problem(
            f"{bad} of {len(maps)} probabilities are not finite{said}",
            "go back to an earlier checkpoint; watch.guard = true ends a run at the first such step",
        )
        return
    _check_probabilities(usable, maps, stage, trained)
    _check_borders(usable, stage)


def _check_card(stage: Stage, trained: Trained, recipe: Recipe) -> None:
    """What the weights were trained for against what they are shown."""
    mine, theirs = asdict(recipe.canonical), asdict(trained.canonical)
    differing = {k: (theirs[k], mine[k]) for k in mine if _plain(theirs[k]) != _plain(mine[k])}
    if differing and not trained.learnt_from(recipe.canonical):
        said = "; ".join(f"{k}: {_short(a)} then, {_short(b)} here" for k, (a, b) in differing.items())
        stage.problem(
            f"these weights were trained on pictures prepared in another way ({said})",
            "train on this store, or examine the store that the checkpoint names",
        )
    learnt = trained.card["store"]["recipe"]["maps"]
    drawn = recipe.maps.identity()
    wrong = {k: (learnt[k], drawn[k]) for k in drawn if k in learnt and learnt[k] != drawn[k]}
    if wrong:
        said = "; ".join(f"{k}: {a} then, {b} here" for k, (a, b) in wrong.items())
        stage.problem(f"these weights learnt maps of another recipe ({said})", "train on this store")


def _plain(value: Any) -> Any:
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _check_steps(stage: Stage, trained: Trained) -> None:
    steps = int(trained.card["steps"])
    stage.numbers["steps"] = steps
    if steps < FEW_STEPS:
        stage.note(
            f"only {steps} optimizer steps were taken, on {trained.card['samples']} samples: a network knows little by "
            "then, whatever its data",
            "a larger budget.epochs; ocrmaps debug grep 'kind=metrics' shows whether the loss fell",
        )


def _check_normalization(cases: Sequence[Case], stage: Stage, detector: Detector) -> None:
    if not cases:
        return
    mean, std = detector.mean.view(3).numpy(), detector.std.view(3).numpy()
    inside = []
    for case in cases:
        assert case.image is not None
        (x, y), (h, w) = case.transform.offset, case.transform.resized
        inside.append(case.image[y : y + h, x : x + w].reshape(-1, 3)[::7])
    values = (np.concatenate(inside).astype(np.float32) - mean) / std
    found, spread = float(values.mean()), float(values.std())
    stage.numbers |= {"input_mean": found, "input_spread": spread}
    low, high = NORMAL_SPREAD
    if abs(found) > NORMAL_MEAN or not low <= spread <= high:
        stage.problem(
            f"normalized pictures have mean {found:.3g} and deviation {spread:.3g}, expected about 0 and 1: mean "
            f"{mean.round(3).tolist()} and std {std.round(3).tolist()} are not for pixels of 0 to 255",
            "model.mean and model.std count pixel values from 0 to 255; the defaults are those of published weights",
        )


def _predict(detector: Detector, image: Any) -> tuple[Any, Any]:
    """Probability and threshold of one canonical picture."""
    probability, threshold = maps_of(detector, image[None])
    assert threshold is not None
    return probability[0], threshold[0]


def _check_probabilities(cases: Sequence[Case], maps: Any, stage: Stage, trained: Trained) -> None:
    low, high = float(maps.min()), float(maps.max())
    cut = trained.extract.binarize if isinstance(trained.extract.binarize, float) else 0.5
    with_text = [c for c in cases if (c.maps["probability"] > 0).any()]
    firing = float((maps > cut).mean())
    wanted = float(np.mean(np.concatenate([c.maps["probability"].ravel() for c in cases]) > 0))
    knows = _knows(with_text, [c.probability for c in with_text])
    stage.numbers |= {"lowest": low, "highest": high, "firing": firing, "wanted": wanted, "knows_text": knows}
    stage.said = f"probabilities {low:.3f} to {high:.3f}; {firing:.1%} above {cut:g}, kernels are {wanted:.1%}" + (
        "" if knows is None else f"; a kernel's pixel is above one beside it in {knows:.0%}"
    )
    if low < 0 or high > 1:
        stage.problem(f"found probabilities from {low:g} to {high:g}, expected 0 to 1", "report this")
    steps = f" after {trained.card['steps']} steps"
    if high - low < CONSTANT:
        stage.problem(
            f"the network answers {low:.3f} everywhere, whatever it is shown{steps}",
            "compare the loss with the first epoch's: if it never fell, try another optimizer.lr or other weights",
        )
    elif knows is not None and knows < REVERSED:
        stage.problem(
            f"the network knows text, but the wrong way round: background is above kernels in {1 - knows:.0%} of pairs",
            "targets or pictures were inverted in training; " + _better(cases, knows, trained.detector),
        )
    elif knows is not None and knows < BLIND:
        stage.problem(
            f"the network hardly tells text from background{steps}: a kernel's pixel is above one beside it in only "
            f"{knows:.0%} of pairs, chance is 50%",
            _better(cases, knows, trained.detector) or "train longer; look at the loss of each epoch in metrics.csv",
        )
    elif with_text and not any(np.any(np.greater(c.probability, cut)) for c in with_text):  # type: ignore[arg-type]
        stage.problem(
            f"nothing is found: the highest probability is {high:.3f}, text begins above {cut:g}{steps}",
            f"train longer, or binarize lower: it does know text ({knows:.0%})" if knows else "train longer",
        )
    elif wanted and firing < SILENT * wanted and knows is not None:
        stage.problem(
            f"next to nothing is found: {firing:.2%} of all pixels are above {cut:g}, kernels are {wanted:.1%}{steps}",
            f"it does tell text from background ({knows:.0%}): ocrmaps tune finds the value to cut at",
        )
    elif firing > 0.5 and firing > 3 * wanted:
        stage.problem(
            f"it fires on {firing:.0%} of all pixels, kernels are {wanted:.1%}{steps}",
            _better(cases, knows or 0.0, trained.detector) or "train longer; check that negatives are learnt",
        )


def _check_borders(cases: Sequence[Case], stage: Stage) -> None:
    """The predicted threshold rises towards borders, as the one that was learnt does."""
    high, low = [], []
    for case in cases:
        counts, stored = case.maps["mask"] & THRESHOLD_COUNTS > 0, case.maps["threshold"]
        assert case.border is not None
        high.append(case.border[counts & (stored >= 200)][:20_000])
        low.append(case.border[counts & (stored < 60)][::3][:50_000])
    knows = _above(high, low)
    stage.numbers["knows_borders"] = knows
    # A network that does not know text yet need not know where it ends.
    if knows is not None and knows < REVERSED and (stage.numbers.get("knows_text") or 0.0) > BLIND:
        stage.problem(
            f"the predicted threshold is the wrong way round: lower on borders than beside them in {1 - knows:.0%} of "
            "pairs",
            "thresholds were inverted in training, or between the checkpoint and here",
        )


def _knows(cases: Sequence[Case], maps: Sequence[Any]) -> float | None:
    """How often a kernel's pixel has a higher probability than a counted pixel beside; None without text."""
    inside, outside = [], []
    for case, probability in zip(cases, maps, strict=True):
        counts = case.maps["mask"] & PROBABILITY_COUNTS > 0
        (x, y), (h, w) = case.transform.offset, case.transform.resized
        here = np.zeros(counts.shape, bool)
        here[y : y + h, x : x + w] = True  # padding is too easy
        kernel = case.maps["probability"] > 0
        inside.append(probability[kernel & counts][:20_000])
        outside.append(probability[~kernel & counts & here][::3][:50_000])
    return _above(inside, outside)


def _above(inside: Sequence[Any], outside: Sequence[Any]) -> float | None:
    """How often a value of the first is above one of the second; None where either has none."""
    if not sum(map(len, inside)) or not sum(map(len, outside)):
        return None
    a, b = np.sort(np.concatenate(inside)), np.sort(np.concatenate(outside))
    below = np.searchsorted(b, a, "left") + np.searchsorted(b, a, "right")
    return float(below.mean() / 2 / len(b))


def _better(cases: Sequence[Case], knows: float, detector: Detector) -> str:
    """Whether the network understands the same pictures when they are shown otherwise."""
    cases = [c for c in cases if (c.maps["probability"] > 0).any()][:6]
    found: dict[str, float] = {}
    for name in VARIANTS:
        other = deepcopy(detector)
        maps = []
        for case in cases:
            assert case.image is not None
            image = case.image
            if name == "colors inverted":
                image = 255 - image
            elif name == "red and blue swapped":
                image = image[..., ::-1]
            elif name.startswith("statistics"):
                for module in other.modules():
                    if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                        module.train().momentum = 0.0
            else:
                mean, std = IMAGENET if name.startswith("published") else ((0.0,) * 3, (255.0,) * 3)
                other.mean.copy_(torch.tensor(mean).view(1, 3, 1, 1))
                other.std.copy_(torch.tensor(std).view(1, 3, 1, 1))
            maps.append(_predict(other, image)[0])
        value = _knows(cases, maps)
        if value is not None and np.isfinite(value):
            found[name] = value
    best = max(found, key=lambda n: found[n], default="")
    if best and found[best] > max(BLIND, knows + 0.15):
        return f"with {best} it tells text in {found[best]:.0%} of pairs: {VARIANTS[best]}"
    return ""
