"""After how many epochs a store has paid for its build, on this data set and this machine.

Per sample, in seconds of processor time on one core, so that neither side gains by more threads:

    epochs = build / (on the fly - loading)

Two ways without a store are timed: the published chain (decode, resize, draw the maps plainly) and the same chain with
this project's own drawing, which is the harder rival. All start from the picture files and end with a batch in memory.
"""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ocrmaps.annotations import WRITERS, Sample, open_source, picture_path, read
from ocrmaps.annotations.records import Source
from ocrmaps.annotations.samples import subset
from ocrmaps.canonical import plan, render
from ocrmaps.errors import DataError
from ocrmaps.geometry import PolygonSet, Size
from ocrmaps.loader import MapLoader
from ocrmaps.machine import threads_within
from ocrmaps.maps import draw_maps
from ocrmaps.pictures import decode
from ocrmaps.pipelines.bench.references.maps import draw_plain
from ocrmaps.pipelines.bench.source import material
from ocrmaps.pipelines.bench.times import cpu_seconds, figure
from ocrmaps.pipelines.build import build
from ocrmaps.recipe import Recipe, SourceRecipe, default_recipe, load_recipe
from ocrmaps.scratch import scratch

SAMPLES, BATCH = 64, 16
PLAIN = 8
"""Samples of the published chain in each round, evenly drawn from the others."""
Draw = Callable[[PolygonSet, Size], tuple[npt.NDArray[Any], ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Seconds for one sample."""

    build: float
    load: float
    on_the_fly: float


def break_even(costs: Costs) -> float | None:
    """Epochs after which building and loading have cost less than preparing anew; None where they never will.

    >>> break_even(Costs(build=0.030, load=0.001, on_the_fly=0.021))
    1.5
    >>> break_even(Costs(build=0.030, load=0.002, on_the_fly=0.002)) is None
    True
    """
    saved = costs.on_the_fly - costs.load
    return costs.build / saved if saved > 0 else None


def sentence(epochs: float | None, against: str) -> str:
    """The answer for people.

    >>> sentence(1.3, "the published chain")
    'the build pays for itself after 1.3 epochs (against the published chain)'
    """
    if epochs is None:
        return f"the build never pays for itself: loading takes as long as {against}"
    return f"the build pays for itself after {epochs:.1f} epochs (against {against})"


def bench_break_even(repeats: int = 3, *, source: Path | None = None, quick: bool = False) -> list[dict[str, Any]]:
    """Both break-even epochs on up to 64 samples of `source`: a source, a recipe file, or receipts when not given."""
    with scratch("bench") as room, threads_within(1):
        recipe, what = _recipe(source, room, 8 if quick else SAMPLES)
        work = [pair for asked in recipe.sources for pair in _pairs(asked)]
        # Everything that is compiled or imported once in a process happens here.
        build(recipe, room / "warm", workers=1)
        _on_the_fly(work[:1], recipe, _published)
        _on_the_fly(work[:1], recipe, _own(recipe))
        few = subset(work, PLAIN)
        costs: dict[str, list[Costs]] = {"published": [], "own": []}
        for number in range(max(1, repeats)):
            cache = room / f"cache-{number}"
            folder = None

            def built(cache: Path = cache) -> None:
                nonlocal folder
                folder = build(recipe, cache, workers=1).folder

            building = cpu_seconds(built) / len(work)
            assert folder is not None
            with MapLoader(folder, split="train", batch_size=BATCH, shuffle=True, threads=1) as loader:
                _pass(loader)  # opens files, fills the page cache
                loading = statistics.median(cpu_seconds(lambda: _pass(loader)) / len(work) for _ in range(3))
            chains = {"published": (_published, few), "own": (_own(recipe), work)}
            for name, (draw, samples) in chains.items():
                anew = cpu_seconds(lambda: _on_the_fly(samples, recipe, draw)) / len(samples)  # noqa: B023
                costs[name].append(Costs(build=building, load=loading, on_the_fly=anew))
            shutil.rmtree(cache)
        return _figures(costs, f"{len(work)} samples of {what}")


CHAINS = {"published": "the published chain", "own": "the same chain with this project's drawing"}


def _figures(costs: dict[str, list[Costs]], what: str) -> list[dict[str, Any]]:
    """`epochs` for each chain where there is such an epoch, and the milliseconds that they come from."""
    own, published = costs["own"], costs["published"]
    out = []
    for name, against in CHAINS.items():
        known = [break_even(c) for c in costs[name]]
        found = [epochs for epochs in known if epochs is not None]
        if len(found) == len(known):
            said = sentence(statistics.median(found), against)
            out.append(
                figure(
                    f"break-even/epochs_vs_{name}",
                    found,
                    "epochs",
                    f"build / (on the fly - loading), {what}",
                    note=said,
                )
            )
        else:
            what = f"{what}; {sentence(None, against)}"
    out += [
        figure("break-even/build_ms", [1e3 * c.build for c in own], "ms", f"processor time a sample, {what}"),
        figure("break-even/load_ms", [1e3 * c.load for c in own], "ms", f"processor time a sample, {what}"),
        figure("break-even/on_the_fly_own_ms", [1e3 * c.on_the_fly for c in own], "ms", CHAINS["own"]),
        figure(
            "break-even/on_the_fly_published_ms", [1e3 * c.on_the_fly for c in published], "ms", CHAINS["published"]
        ),
    ]
    return out


def _recipe(source: Path | None, room: Path, most: int) -> tuple[Recipe, str]:
    """A recipe over an even choice of the samples, and what they are."""
    if source is None:
        asked, what = material(None, room / "receipts", most)
        recipe = default_recipe([asked], name="bench")
    elif source.suffix == ".toml":
        recipe, what = replace(load_recipe(source), name="bench"), source.name
    else:
        recipe, what = default_recipe([SourceRecipe(path=source)], name="bench"), source.name
    each = max(1, most // len(recipe.sources))
    chosen = [_part(asked, room / f"part-{i}", each) for i, asked in enumerate(recipe.sources)]
    return replace(recipe, sources=tuple(chosen)), what


def _part(asked: SourceRecipe, folder: Path, most: int) -> SourceRecipe:
    """An annotation file over some of a source's samples; the pictures stay where they are."""
    opened = _open(asked)
    samples = subset(list(read(opened)), most)
    if not samples:
        raise DataError(f"{opened.annotations}: no samples to measure with")
    folder.mkdir(parents=True)
    report = WRITERS["ufo"](samples, folder / "labels.json")
    return SourceRecipe(
        path=report.path, format="ufo", pictures=opened.pictures, frame=asked.frame, split="train", name=folder.name
    )


def _open(asked: SourceRecipe) -> Source:
    return open_source(asked.path, format=asked.format, pictures=asked.pictures, frame=asked.frame)


def _pairs(asked: SourceRecipe) -> list[tuple[Path, Sample]]:
    opened = _open(asked)
    return [(picture_path(opened, sample), sample) for sample in read(opened)]


def _published(polygons: PolygonSet, size: Size) -> tuple[npt.NDArray[Any], ...]:
    maps = draw_plain(list(polygons), polygons.ignore, size)
    return maps.probability, maps.threshold, maps.probability_mask, maps.threshold_mask


def _own(recipe: Recipe) -> Draw:
    def draw(polygons: PolygonSet, size: Size) -> tuple[npt.NDArray[Any], ...]:
        maps = draw_maps(polygons, recipe.maps, size)
        return maps.probability, maps.quantized, maps.probability_mask, maps.threshold_mask

    return draw


def _on_the_fly(work: Sequence[tuple[Path, Sample]], recipe: Recipe, draw: Draw) -> None:
    """Each picture to its arrays, each canvas' arrays to tensors, as a loader without a store would."""
    batches: dict[Size, list[tuple[npt.NDArray[Any], ...]]] = {}
    for path, sample in work:
        picture = decode(path.read_bytes(), name=sample.id)
        transform = plan(picture.header.size, picture.header.orientation, recipe.canonical)
        pixels = render(picture, transform, recipe.canonical)
        maps = draw(transform.apply(sample.polygons, "canonical"), transform.canvas)
        batches.setdefault(transform.canvas, []).append((pixels, *maps))
    for rows in batches.values():
        for i in range(0, len(rows), BATCH):
            _ = [torch.from_numpy(np.stack(column)) for column in zip(*rows[i : i + BATCH], strict=True)]


def _pass(loader: MapLoader) -> None:
    for _ in loader:
        pass
