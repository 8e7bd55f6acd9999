"""Propose a recipe: canvases, scale and shrink ratio that keep the oracle high under a pixel budget.

Candidates are scored by the oracle on a subset of pictures; the winner is scored again on all of them. The value
that ranks candidates is stated (`value`), because no single number is right for everybody.
"""

from __future__ import annotations

import io
import os
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ocrmaps.annotations import Sample, Source, read
from ocrmaps.annotations.samples import headers, subset
from ocrmaps.canonical import CanonicalSpec, plan
from ocrmaps.errors import AnnotationError, SpecError
from ocrmaps.evaluation.oracle.chain import Chain, fitting_shape
from ocrmaps.evaluation.oracle.judge import OracleResult, run_oracle
from ocrmaps.extract.spec import Shape
from ocrmaps.files import write_new
from ocrmaps.geometry import Size
from ocrmaps.machine import has_bf16
from ocrmaps.maps import MapSpec
from ocrmaps.pictures import Header
from ocrmaps.progress import Progress
from ocrmaps.recipe import FORM, Recipe, SourceRecipe, Split, dump_recipe
from ocrmaps.settings.files import file_name
from ocrmaps.settings.schema import schema_file, schema_line, schema_text
from ocrmaps.store.far.source import copy_of, place_of

STRIDE = 32
"""Canvas sides are multiples of this: what a detector with five halvings takes without padding of its own."""
SHRINK_RATIOS = (0.4, 0.5, 0.6)
"""Ratios that have been learnt from; thicker kernels than r = 0.6 leave touching lines too little room."""
SIDES = tuple(range(256, 2049, STRIDE))
CHEAPEST = 0.4
"""Scales are compared from this share of the dearest one that fits, so that a generous budget is not simply spent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One point of the trade-off: settings, their price and what the oracle says of them."""

    canonical: CanonicalSpec
    maps: MapSpec
    mpx: float
    """Mean canvas area over all pictures, in million pixels."""
    hmean: dict[float, float]
    kernels: dict[str, float]
    """Shares of kernels under 2 and 3 pixels."""

    @property
    def value(self) -> float:
        """Mean hmean at IoU 0.5 and 0.7, less a tenth of the share of kernels under 2 px and a twentieth of those
        of 2 to 3 px: kernels that thin took about three times as long to learn."""
        thin, medium = self.kernels["under_2px"], self.kernels["under_3px"] - self.kernels["under_2px"]
        return (self.hmean[0.5] + self.hmean[0.7]) / 2 - 0.10 * thin - 0.05 * medium

    def as_json(self) -> dict[str, Any]:
        return {
            "side": self.canonical.side,
            "canvases": [f"{h}x{w}" for h, w in self.canonical.canvases],
            "style": self.maps.style,
            "shrink_ratio": self.maps.shrink_ratio,
            "mpx_per_image": self.mpx,
            "hmean": {f"{t:g}": h for t, h in self.hmean.items()},
            "kernels": self.kernels,
            "value": self.value,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """The chosen candidate on all pictures, and the trade-off it was chosen from."""

    chosen: Candidate
    full: OracleResult
    candidates: tuple[Candidate, ...]
    budget_mpx: float
    judged_on: int
    """Pictures that candidates were compared on."""

    @property
    def shape(self) -> Shape:
        """What extraction fitted to the kernels of all candidates."""
        return self.full.chain.extract.shape

    def as_json(self) -> dict[str, Any]:
        return {
            "budget_mpx": self.budget_mpx,
            "shape": self.shape,
            "chosen": self.chosen.as_json(),
            "candidates": [c.as_json() for c in self.candidates],
            "judged_on": self.judged_on,
            "pictures": len(self.full.pictures),
        }


def propose_canvases(sizes: Sequence[Size], side: int, number: int) -> tuple[Size, ...]:
    """At most `number` canvases of longest side `side` with the least padding for these upright (height, width).

    The square is always among them, so that a picture of any shape keeps its scale.
    """
    if number < 1:
        raise SpecError(f"canvases: found {number}, expected at least 1")
    widths: dict[bool, Counter[int]] = {True: Counter(), False: Counter()}
    for height, width in sizes:
        short = max(1, round(min(height, width) * side / max(height, width)))
        needed = min(side, -(-short // STRIDE) * STRIDE)
        if needed < side:  # squarer pictures go to the square
            widths[height > width][needed] += 1
    square = (side, side)
    best_cost = float("inf")
    best: tuple[Size, ...] = (square,)
    for tall in range(number):
        tall_cost, tall_widths = _fewest_pixels(widths[True], tall, side)
        wide_cost, wide_widths = _fewest_pixels(widths[False], number - 1 - tall, side)
        if tall_cost + wide_cost < best_cost:
            best_cost = tall_cost + wide_cost
            best = (square, *((side, w) for w in tall_widths), *((h, side) for h in wide_widths))
    return best


_Choice = tuple[float, tuple[int, ...]]
"""What these short sides cost in pixels (per canvas row), and the sides."""


def _fewest_pixels(widths: Counter[int], number: int, side: int) -> _Choice:
    """Which `number` short sides cover these needs with the least sum; what they do not cover costs `side`."""
    needs = sorted(widths)
    # best[k][i]: least cost of the first i needs with k choices, and those choices.
    nothing: _Choice = (0.0, ())
    impossible: _Choice = (float("inf"), ())
    layers = [[nothing] + [impossible] * len(needs)]
    for _ in range(number):
        previous, current = layers[-1], [nothing]
        for i in range(1, len(needs) + 1):
            options = [previous[i]]
            for j in range(i):
                covered = sum(widths[n] for n in needs[j:i])
                cost, chosen = previous[j]
                options.append((cost + covered * needs[i - 1], (*chosen, needs[i - 1])))
            current.append(min(options, key=lambda option: option[0]))
        layers.append(current)
    final = layers[-1]
    # The widest needs may be left to the square.
    ends = [
        (final[i][0] + side * sum(widths[n] for n in needs[i:]), final[i][1])
        for i in range(len(needs) + 1)
        if final[i][0] < float("inf")
    ]
    return min(ends, key=lambda end: end[0])


def mean_mpx(heads: Sequence[Header], spec: CanonicalSpec) -> float:
    """Mean canvas area in million pixels, exactly as `plan` will choose."""
    canvases = [plan(h.size, h.orientation, spec).canvas for h in heads]
    return float(np.mean([height * width for height, width in canvases])) / 1e6


def recommend(
    samples: Sequence[Sample],
    heads: Sequence[Header],
    *,
    budget_mpx: float,
    canvases: int = 5,
    judged_on: int = 48,
    shape: Shape | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Recommendation:
    """The best candidate whose mean canvas area stays within the budget, all extracted as `shape`.

    Without a shape it is what the outlines need: judged by boxes, curved text scores best where it is least seen.
    """
    if not 0 < budget_mpx < 1000:
        raise SpecError(f"budget-mpx: found {budget_mpx}, expected million pixels per picture, such as 0.3")
    shape = shape or fitting_shape(samples)
    specs = _affordable(heads, budget_mpx, canvases)
    pairs = subset(zip(samples, heads, strict=True), judged_on)
    few, few_heads = [s for s, _ in pairs], [h for _, h in pairs]
    jobs = [(spec, mpx, MapSpec(shrink_ratio=r)) for spec, mpx in specs for r in SHRINK_RATIOS]
    jobs.append((*specs[-1], MapSpec(style="official", shrink_ratio=0.4)))
    candidates = []
    for number, (spec, mpx, maps) in enumerate(jobs):
        result = run_oracle(few, few_heads, Chain.of(spec, maps, shape), workers=workers)
        candidates.append(_candidate(result, mpx))
        if progress is not None:
            progress(number + 1, len(jobs) + 1)
    # Equal to a thousandth is equal: the cheaper one wins then.
    winner = max(candidates, key=lambda c: (round(c.value, 3), -c.mpx))
    full = run_oracle(samples, heads, Chain.of(winner.canonical, winner.maps, shape), workers=workers)
    if progress is not None:
        progress(len(jobs) + 1, len(jobs) + 1)
    return Recommendation(
        chosen=_candidate(full, winner.mpx),
        full=full,
        candidates=tuple(candidates),
        budget_mpx=budget_mpx,
        judged_on=len(few),
    )


def _affordable(heads: Sequence[Header], budget_mpx: float, canvases: int) -> list[tuple[CanonicalSpec, float]]:
    """Up to six scales within the budget, the dearest included, each with its best canvases and its price."""
    sizes = [h.upright for h in heads]
    found = []
    for side in SIDES:
        spec = CanonicalSpec(canvases=propose_canvases(sizes, side, canvases), scale="longest", side=side)
        mpx = mean_mpx(heads, spec)
        if mpx > budget_mpx:
            break
        found.append((spec, mpx))
    if not found:
        least = CanonicalSpec(canvases=propose_canvases(sizes, SIDES[0], canvases), scale="longest", side=SIDES[0])
        raise SpecError(
            f"no scale fits {budget_mpx} Mpx per picture: a longest side of {SIDES[0]} already needs "
            f"{mean_mpx(heads, least):.3f}",
            hint="raise --budget-mpx",
        )
    first = int(np.searchsorted(SIDES[: len(found)], CHEAPEST * SIDES[len(found) - 1]))
    keep = np.unique(np.linspace(first, len(found) - 1, 6).round().astype(int))
    return [found[i] for i in keep]


def _candidate(result: OracleResult, mpx: float) -> Candidate:
    return Candidate(
        canonical=result.chain.canonical,
        maps=result.chain.maps,
        mpx=mpx,
        hmean=result.hmean,
        kernels=result.kernel_shares(),
    )


def read_all(sources: Sequence[Source], *, threads: int | None = None) -> tuple[list[Sample], list[Header]]:
    """The samples of all sources with the headers of their pictures; those of a test split are not looked at."""
    samples: list[Sample] = []
    heads: list[Header] = []
    for source in [s for s in sources if s.split != "test"] or sources:
        mine = read(source)
        if not mine:
            raise AnnotationError(f"{source.annotations}: the source holds no samples")
        # Two sources may call their pictures alike.
        samples += [replace(sample, id=f"{source.split or source.name}/{sample.id}") for sample in mine]
        heads += headers(source, mine, workers=threads)
    return samples, heads


def write_recipe(found: Recommendation, sources: Sequence[Source], out: Path) -> None:
    """The chosen settings as a recipe file, ready to build, its schema beside it; a source without a split is one to
    train on. Paths in the file count from its own folder."""
    # The system follows a link before it goes up: "..", counted from the link's own place, would lead elsewhere.
    folder = out.parent.resolve()

    def relative(path: Path) -> Path:
        if copy_of(path) is not None:
            return Path(place_of(path))
        return Path(os.path.relpath(path.resolve() if ".." in path.parts else path.absolute(), folder))

    recipe = Recipe(
        name=file_name(out, "default"),
        sources=tuple(
            SourceRecipe(
                path=relative(source.annotations),
                format=source.format,
                pictures=relative(source.pictures),
                frame="raw" if source.frame == "raw" else "upright",
                split=_split(source),
            )
            for source in sources
        ),
        canonical=found.chosen.canonical,
        maps=found.chosen.maps,
    )
    head = f"# Recommended for {found.budget_mpx:g} Mpx per picture: {_praise(found.chosen)}.\n"
    if found.shape == "polygons":
        head += '# Judged with polygons, which these outlines need: set extract.shape = "polygons" in the run file.\n'
    write_new(folder / schema_file(FORM), schema_text(FORM).encode(), replace_existing=True)
    write_new(out, (schema_line(FORM) + head + dump_recipe(recipe)).encode(), replace_existing=True)


RUN_FILE = """\
# A start on the store that {recipe} describes: a light network, which a processor can train.
# {pictures} pictures to train on make about {steps} steps an epoch. A score leaves 0 after some hundred steps, so a
# small set needs more epochs. On a GPU take encoder = "resnet18", more pictures in a batch and 100 epochs.
name = "{name}"
ema = 0.95
{precision}
[data]
store = "{name}"
batch_size = {batch}

[model]
encoder = "light"

[optimizer]
lr = 4e-3

[budget]
epochs = 24
"""
BF16 = 'precision = "bf16"  # this processor multiplies in it by itself; leave it out for fp32\n'
BATCH = 4


def write_run(found: Recommendation, sources: Sequence[Source], out: Path, *, recipe: Path) -> None:
    """A run file that trains on the store of `recipe`."""
    pictures = sum(len(read(source)) for source in sources if _split(source) == "train")
    text = RUN_FILE.format(
        recipe=recipe.name,
        name=file_name(recipe, "default"),
        pictures=pictures,
        steps=-(-pictures // BATCH),
        batch=BATCH,
        precision=BF16 if has_bf16() else "",
    )
    if found.shape == "polygons":
        text += '\n[extract]\nshape = "polygons"\n'
    write_new(out, text.encode(), replace_existing=True)


def next_steps(sources: Sequence[Source], recipe: Path, run_file: Path) -> list[str]:
    """What was written and what to type next."""
    recipe_, run_ = shlex.quote(str(recipe)), shlex.quote(str(run_file))
    lines = [
        f"wrote {recipe}, the recipe, and {run_file}, a run on its store; next:",
        f"  ocrmaps build {recipe_}",
        f"  ocrmaps train {run_} --out runs/first",
    ]
    missing = [split for split in ("train", "val") if split not in map(_split, sources)]
    lines += [
        f"a run needs pictures of split {split}, and none were named: recommend train=PATH val=PATH, "
        f"or add them to {recipe}"
        for split in missing
    ]
    return lines


def _split(source: Source) -> Split:
    named: dict[str, Split] = {"val": "val", "test": "test"}
    return named.get(source.split, "train")


def _praise(c: Candidate) -> str:
    return (
        f"oracle hmean {c.hmean[0.5]:.4f} at IoU 0.5 and {c.hmean[0.7]:.4f} at 0.7, "
        f"{c.mpx:.3f} Mpx, {c.kernels['under_3px']:.1%} of kernels under 3 px"
    )


def table(found: Recommendation) -> str:
    """The trade-off for people, dearest last; the choice is marked."""
    lines = ["   side  Mpx    style     r     hmean .5  .7      <2px   <3px   value"]
    chosen = found.chosen
    for c in sorted(found.candidates, key=lambda c: (c.mpx, c.maps.style, c.maps.shrink_ratio)):
        same = (c.canonical, c.maps) == (chosen.canonical, chosen.maps)
        lines.append(
            f"{'->' if same else '  '} {c.canonical.side:4d}  {c.mpx:.3f}  {c.maps.style:8s}  "
            f"{c.maps.shrink_ratio:.1f}  "
            f"{c.hmean[0.5]:.4f}    {c.hmean[0.7]:.4f}  {c.kernels['under_2px']:5.1%}  {c.kernels['under_3px']:5.1%}  "
            f"{c.value:.4f}"
        )
    judged = f"extracted as {found.shape}; compared on {found.judged_on} pictures"
    lines.append(f"{judged}; the choice on all {len(found.full.pictures)}:")
    lines.append(f"   {_praise(chosen)}; canvases {', '.join(f'{h}x{w}' for h, w in chosen.canonical.canvases)}")
    return "\n".join(lines)


def plot_tradeoff(found: Recommendation, path: Path) -> None:
    """Oracle score against pixels for every candidate, the choice marked, as PNG or SVG by the file's ending."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    groups = sorted({(c.maps.style, c.maps.shrink_ratio) for c in found.candidates})
    for i, (style, ratio) in enumerate(groups):
        mine = sorted(
            (c for c in found.candidates if (c.maps.style, c.maps.shrink_ratio) == (style, ratio)), key=lambda c: c.mpx
        )
        for threshold, line in ((0.5, "-"), (0.7, "--")):
            axes.plot(
                [c.mpx for c in mine],
                [c.hmean[threshold] for c in mine],
                line,
                marker="os^Dv"[i % 5],
                color=f"C{i}",
                label=f"{style}, r = {ratio:g}, IoU {threshold:g}",
            )
    chosen = found.chosen
    axes.plot(chosen.mpx, chosen.hmean[0.5], marker="*", markersize=18, color="black", linestyle="", label="chosen")
    axes.axvline(found.budget_mpx, color="gray", linewidth=1)
    axes.annotate("budget", (found.budget_mpx, 0.02), xycoords=("data", "axes fraction"), ha="right", color="gray")
    axes.set_xlabel("million pixels per picture")
    axes.set_ylabel("oracle hmean")
    axes.set_title(f"What perfect maps score on {found.judged_on} pictures")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=120, format=path.suffix.removeprefix(".") or "png")
    write_new(path, drawn.getvalue(), replace_existing=True)
