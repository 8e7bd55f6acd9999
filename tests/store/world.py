"""Tiny real inputs for the store: pictures on disk, their annotations as records, a build without a scheduler."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from ocrmaps.annotations.records import Reading, Sample, Source
from ocrmaps.canonical import CanonicalSpec
from ocrmaps.geometry import PolygonSet
from ocrmaps.recipe import Layout, Recipe, SourceRecipe
from ocrmaps.store.format.manifest import Manifest
from ocrmaps.store.places.cache import Store, inputs_memory
from ocrmaps.store.writing.build import Building
from ocrmaps.store.writing.inputs import InputPicture, Memory, examine
from ocrmaps.store.writing.parsed import fingerprints
from ocrmaps.store.writing.plan import Plan, ReadSource, make_plan
from ocrmaps.store.writing.reuse import Known
from ocrmaps.store.writing.tasks import build_shard


@dataclass(kw_only=True)
class World:
    """A folder of pictures, what is annotated on them, a cache, and how to build it all."""

    root: Path
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    recipe: Recipe

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def store(self) -> Store:
        return Store(self.cache, "tiny")

    def add(self, split: str, name: str, *, size: tuple[int, int] = (48, 40), seed: int = 0, lines: int = 2) -> Path:
        path = self.root / split / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(seed)
        coarse = rng.integers(0, 255, (size[0] // 8 + 1, size[1] // 8 + 1, 3), dtype=np.uint8)
        Image.fromarray(np.kron(coarse, np.ones((8, 8, 1), np.uint8))[: size[0], : size[1]]).save(path)
        self.annotate(split, name, lines=lines)
        return path

    def annotate(self, split: str, name: str, *, lines: int, shift: float = 0.0, text: str = "text") -> None:
        quads = [
            [(4 + shift, 4 + 14 * i), (34, 4 + 14 * i), (34, 14 + 14 * i), (4 + shift, 14 + 14 * i)]
            for i in range(lines)
        ]
        texts = [None if i == 0 else f"{text} {i} é" for i in range(lines)]
        polygons = PolygonSet.of(quads, frame="upright", texts=texts, ignore=[i == 1 for i in range(lines)])
        sample = Sample(id=name, polygons=polygons, loc=f"labels.json:{name}")
        self.samples[split] = [s for s in self.samples.get(split, []) if s.id != name] + [sample]

    def sources(self) -> list[ReadSource]:
        out = []
        for split, samples in self.samples.items():
            source = Source(
                annotations=self.root / f"{split}.json", pictures=self.root / split, format="mmocr", split=split
            )
            reading = Reading(samples=tuple(samples))
            out.append(ReadSource(source=source, reading=reading, prints=fingerprints(reading)))
        return out

    def plan(self, sources: list[ReadSource] | None = None) -> Plan:
        sources = self.sources() if sources is None else sources
        paths = [s.source.pictures / sample.picture for s in sources for sample in s.reading.samples]
        found: list[InputPicture | object] = list(examine(paths, Memory(inputs_memory(self.cache))))
        return make_plan(self.recipe, sources, dict(zip(paths, found, strict=True)))  # type: ignore[arg-type]

    def build(
        self, plan: Plan | None = None, *, reuse: bool = True, after: Callable[[int], None] | None = None, at: str = ""
    ) -> Manifest:
        with self.building(plan, reuse=reuse) as building:
            for i, task in enumerate(building.tasks()):
                building.record(build_shard(task))
                if after is not None:
                    after(i)
            return building.commit(building.assembled(), {"built": {"at": at}} if at else {})

    @contextmanager
    def building(self, plan: Plan | None = None, *, reuse: bool = True) -> Iterator[Building]:
        plan = plan or self.plan()
        with (
            Known(self.store, (row.fingerprint for row in plan.rows)) as known,
            Building(self.store, plan, known=known if reuse else None) as building,
        ):
            yield building

    @property
    def folder(self) -> Path:
        return self.store.version(self.store.versions()[0])


def make_world(root: Path, samples: int = 7, *, rows_per_shard: int = 3) -> World:
    """Pictures of three shapes on two canvases, two splits, one of them without text."""
    recipe = Recipe(
        name="tiny",
        sources=(SourceRecipe(path=root / "train.json", split="train"),),
        canonical=CanonicalSpec(canvases=((64, 64), (64, 32)), scale="longest", side=64),
        layout=Layout(rows_per_shard=rows_per_shard),
    )
    world = World(root=root, recipe=recipe)
    shapes = [(48, 40), (64, 30), (40, 48)]
    for i in range(samples):
        world.add("train" if i % 3 else "val", f"{i:02d}.png", size=shapes[i % 3], seed=i, lines=0 if i == 4 else 2)
    return world


def with_layout(world: World, **changes: object) -> World:
    """The same inputs under another layout."""
    layout = replace(world.recipe.layout, **changes)  # type: ignore[arg-type]
    return replace(world, recipe=replace(world.recipe, layout=layout))
