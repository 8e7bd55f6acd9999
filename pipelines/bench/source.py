"""What benchmarks are measured on: a source that somebody names, or receipts that are generated on the spot."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ocrmaps.annotations import WRITERS, Sample, open_source, picture_path, read
from ocrmaps.annotations.samples import subset
from ocrmaps.annotations.synth.receipts import SynthSpec, save
from ocrmaps.canonical import CanonicalSpec, plan
from ocrmaps.errors import AnnotationError, DataError, SpecError
from ocrmaps.geometry import PolygonSet, Size
from ocrmaps.pictures import read_header
from ocrmaps.recipe import SourceRecipe, load_recipe

GENERATED = "generated receipts"


def named(source: Path | None) -> str:
    """How records and tables call it: the last part of its path, which tells nothing of the machine.

    >>> named(Path("/data/ann/receipts")), named(None)
    ('receipts', 'generated receipts')
    """
    return GENERATED if source is None else source.absolute().name


def described(source: Path | None) -> str:
    """What tells it from another of its name: records of other data are not compared."""
    if source is None:
        return "invented"
    digest = hashlib.sha256()
    pairs = samples_of(source)
    for _, sample in pairs:
        digest.update(sample.id.encode() + np.ascontiguousarray(sample.polygons.points).tobytes())
    return f"{len(pairs)} samples of {named(source)}, annotations {digest.hexdigest()[:12]}"


def samples_of(source: Path, number: int | None = None) -> list[tuple[Path, Sample]]:
    """Pictures with their annotation, all or an even draw, of a source or of all sources of a recipe file."""
    asked = load_recipe(source).sources if source.suffix == ".toml" else (SourceRecipe(path=source),)
    pairs = []
    for one in asked:
        opened = open_source(one.path, format=one.format, pictures=one.pictures, frame=one.frame)
        pairs += [(picture_path(opened, sample), sample) for sample in read(opened)]
    if not pairs:
        raise AnnotationError(f"{source}: no samples to measure with")
    frames = sorted({sample.polygons.frame for _, sample in pairs})
    if len(frames) > 1:
        raise SpecError(f"{source}: its sources count in {' and '.join(frames)} pixels", hint="measure on one of them")
    return subset(pairs, number)


def material(source: Path | None, folder: Path, number: int | None) -> tuple[SourceRecipe, str]:
    """A copy of up to `number` samples (None: all) that may be changed, or as many generated ones; and their name."""
    if source is None:
        made = save(SynthSpec(num=number or 200), folder).source
        return SourceRecipe(path=made.annotations, pictures=made.pictures, format=made.format, split="train"), GENERATED
    pairs = samples_of(source, number)
    pictures = folder / "images"
    pictures.mkdir(parents=True)
    copies = []
    for i, (path, sample) in enumerate(pairs):
        copies.append(replace(sample, id=f"{i:06d}{path.suffix}"))
        try:
            shutil.copyfile(path, pictures / copies[-1].id)
        except OSError as error:
            raise DataError(
                f"{path}: cannot be read ({error.strerror})", hint="`ocrmaps data check` names all such pictures"
            ) from error
    frame = "raw" if copies[0].polygons.frame == "raw" else "upright"
    labels = WRITERS["ufo"](copies, folder / "labels.json").path
    return SourceRecipe(path=labels, pictures=pictures, format="ufo", frame=frame, split="train"), named(source)  # type: ignore[arg-type]


def canonical_pages(source: Path, longest: int, number: int) -> list[tuple[PolygonSet, Size]]:
    """Outlines of some pictures as they lie on canvases of this longest side, and the canvases' sizes."""
    spec = CanonicalSpec.longest(longest)
    pages = []
    for path, sample in samples_of(source, number):
        head = read_header(path)
        transform = plan(head.size, head.orientation, spec)
        pages.append((transform.apply(sample.polygons, "canonical"), transform.canvas))
    return pages


def soft(drawn: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Kernels as a network answers them: with soft and uneven edges."""
    import cv2

    uneven = cv2.GaussianBlur(rng.normal(size=drawn.shape).astype(np.float32), (0, 0), 2.0)
    return np.clip(cv2.GaussianBlur(drawn, (0, 0), 1.0) + 0.8 * uneven * (drawn > 0), 0, 1)
