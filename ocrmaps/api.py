"""The functions behind the front door: each takes plain arguments and calls the part of the library that does it.

`import ocrmaps` offers them; what a name needs is imported when it is called.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import nn

    from ocrmaps.annotations import Sample, Source
    from ocrmaps.detect.predict import Prediction
    from ocrmaps.detect.trained import Trained
    from ocrmaps.evaluation import Evaluation
    from ocrmaps.evaluation.oracle.judge import OracleResult
    from ocrmaps.extract import Extraction, ExtractSpec
    from ocrmaps.geometry import Frame
    from ocrmaps.maps import Maps, MapSpec
    from ocrmaps.model import Detector
    from ocrmaps.pipelines.build import BuildReport
    from ocrmaps.pipelines.train import TrainReport
    from ocrmaps.recipe import Recipe
    from ocrmaps.store.reader import Reader
    from ocrmaps.training.spec import RunSpec

Anywhere = str | os.PathLike[str]
"""A path, or anything that stands for one."""


def open_source(
    path: Anywhere,
    *,
    format: str | None = None,
    pictures: Anywhere | None = None,
    frame: Frame = "upright",
    split: str = "",
) -> Source:
    """Find the annotations in a folder or file, their format and their pictures.

    `format` and `pictures` overrule what would be detected. `frame` declares whether coordinates count stored pixels
    (`raw`) or what a viewer shows (`upright`). `s3://BUCKET/FOLDER` is brought to this machine first.
    """
    from ocrmaps.store.far.source import open_source as go

    return go(path, format=format, pictures=pictures, frame=frame, split=split)


def read_samples(source: Source | Anywhere) -> tuple[Sample, ...]:
    """Read every sample of a source: one picture as annotated each. Anything that does not parse is an error."""
    from ocrmaps import annotations

    return annotations.read(source if isinstance(source, annotations.Source) else open_source(source))


def draw_maps(sample: Sample, *, longest: int = 640, spec: MapSpec | None = None) -> Maps:
    """Draw the four target maps of a sample on the canvas that its picture gets at this longest side.

    `spec` says how (`ocrmaps.maps.MapSpec`). `ocrmaps.maps.draw_maps` draws polygons that are in canonical pixels.
    """
    from ocrmaps.canonical import CanonicalSpec, plan
    from ocrmaps.errors import SpecError
    from ocrmaps.maps import MapSpec
    from ocrmaps.maps import draw_maps as draw
    from ocrmaps.pictures import read_header

    if sample.folder is None:
        raise SpecError(
            f"{sample.id}: this sample does not say where its picture is", hint="take it from ocrmaps.read_samples"
        )
    head = read_header(sample.folder / sample.picture)
    transform = plan(head.size, head.orientation, CanonicalSpec.longest(longest))
    return draw(transform.apply(sample.polygons, "canonical"), spec or MapSpec(), transform.canvas)


def extract_polygons(
    probability: npt.ArrayLike | Maps, spec: ExtractSpec | None = None, *, threshold: npt.ArrayLike | None = None
) -> Extraction:
    """Extract polygons with scores from an (H, W) probability map, or from drawn maps, in canonical pixels.

    `spec` (`ocrmaps.extract.ExtractSpec`) must belong to the maps: its shrink ratio is what grows them back.
    """
    from ocrmaps.extract import extract
    from ocrmaps.maps import Maps

    values = probability.probability.astype(bool) if isinstance(probability, Maps) else probability
    return extract(values, spec, threshold=threshold)


def build(recipe: Recipe | Anywhere, *, cache: Anywhere | None = None, workers: int | None = None) -> BuildReport:
    """Build the version that a recipe (or its file) means, or find it unchanged.

    `cache` is OCRMAPS_CACHE, or `.ocrmaps` here, when not given; into `s3://BUCKET/FOLDER` it is pushed when built.
    """
    from ocrmaps.pipelines.build import build as go
    from ocrmaps.pipelines.build import build_into
    from ocrmaps.recipe import Recipe, load_recipe
    from ocrmaps.store.places.cache import cache_folder, far_cache

    loaded = recipe if isinstance(recipe, Recipe) else load_recipe(Path(recipe))
    url = far_cache(cache)
    if url is not None:
        return build_into(loaded, url, workers=workers)[0]
    return go(loaded, cache_folder(None if cache is None else Path(cache)), workers=workers)


def open_version(name: Anywhere, *, cache: Anywhere | None = None) -> Reader:
    """Open a version for reading: `STORE` (its newest), `STORE/VERSION`, or a version's folder.

    `cache` is OCRMAPS_CACHE, or `.ocrmaps` here, when not given; `s3://BUCKET/FOLDER` reads from object storage.
    What comes back is a context manager, and stands for its folder wherever a path is expected.
    """
    from ocrmaps.store.places.cache import find_version
    from ocrmaps.store.reader import Reader

    store, version = find_version(_cache(cache), os.fspath(name))
    return Reader(store.version(version))


def new_detector(encoder: str = "resnet18", **settings: Any) -> Detector:
    """Make an untrained detector: stored bytes in, logits out. `settings` are keys of `[model]` in a run file."""
    from ocrmaps.model import DetectorSpec, build_detector

    return build_detector(DetectorSpec.of({"encoder": encoder, **settings}))


def new_loss(name: str = "db", **options: Any) -> nn.Module:
    """Make a loss: `loss(detector(batch.image), batch.targets).total` is what to descend."""
    from ocrmaps.model import build_loss

    return build_loss(name, options)


def train(
    run: RunSpec | Anywhere,
    *,
    out: Anywhere | None = None,
    cache: Anywhere | None = None,
    resume: str | None = None,
) -> TrainReport:
    """Train as a run (or its file) says, into the folder `out`; `runs/NAME` when not given.

    `resume="auto"` goes on from the folder's latest checkpoint, if there is one.
    """
    from ocrmaps.pipelines.train import train as go
    from ocrmaps.training.spec import RunSpec, load_run

    spec = run if isinstance(run, RunSpec) else load_run(Path(run))
    return go(spec, out=Path("runs", spec.name) if out is None else Path(out), cache=_cache(cache), resume=resume)


def load_detector(path: Anywhere, *, goal: str | None = None) -> Trained:
    """Load a trained detector, with how its pictures and maps are read: a checkpoint, an exported file, or the name of
    a shipped one such as `receipts`.

    `goal`: read maps as they were tuned for it, such as `deteval`.
    """
    from ocrmaps.detect.load import load_any
    from ocrmaps.shipped import checkpoint_path

    return load_any(checkpoint_path(os.fspath(path))).reading(goal)


def predict(
    detector: Trained | Anywhere,
    pictures: Anywhere | Iterable[Anywhere],
    *,
    batch: int = 8,
    device: str = "cpu",
    frame: Frame = "upright",
    tile: int | Literal["auto"] | None = None,
    scales: Sequence[float] = (1.0,),
) -> list[Prediction]:
    """Find text in pictures: files, folders or patterns. A picture that cannot be read says so in its `error`.

    `tile` goes over large pages in windows of so many pixels, "auto" at a scale that suits the height of their texts;
    `scales` averages maps at several multiples of the scale.
    """
    from ocrmaps.detect.inputs import find_inputs
    from ocrmaps.detect.predict import predict_pictures
    from ocrmaps.detect.trained import Trained
    from ocrmaps.detect.view import PageView
    from ocrmaps.errors import DataError
    from ocrmaps.store.far.source import bring_all

    named: Sequence[Anywhere] = [pictures] if isinstance(pictures, str | os.PathLike) else list(pictures)
    inputs = find_inputs(bring_all([os.fspath(name) for name in named]))
    if inputs.refused:
        raise DataError(": ".join(inputs.refused[0]))
    trained = detector if isinstance(detector, Trained) else load_detector(detector)
    view = PageView(tile=tile, scales=tuple(scales))
    found = predict_pictures(
        trained, inputs.files, batch=batch, device=device, frame=frame, on_error="report", view=view
    )
    return list(found)


def evaluate(
    checkpoint: Anywhere,
    data: Source | Reader | Anywhere | Sequence[Reader | Anywhere] | None = None,
    *,
    split: str | None = None,
    cache: Anywhere | None = None,
    device: str = "auto",
    limit: int | None = None,
    goal: str | None = None,
    tile: int | Literal["auto"] | None = None,
    scales: Sequence[float] = (1.0,),
) -> Evaluation:
    """Score a checkpoint on one split of a version (open, or by name), or on all pictures of a `Source`.

    Several versions count as one, and `.stores` of the result has each alone. Without `data` they are those that the
    checkpoint learnt from; without `split` it is what its run validated on, or `val`.
    `limit` looks at so many pictures only; the scores then say that they are partial. `goal` reads maps as
    they were tuned for it, such as `deteval`. `tile` and `scales` are those of `predict`, for a `Source`.
    """
    from ocrmaps.annotations import Source
    from ocrmaps.detect.load import load_any
    from ocrmaps.detect.view import PageView
    from ocrmaps.evaluation.detectors import evaluate_checkpoint
    from ocrmaps.shipped import checkpoint_path
    from ocrmaps.training.folder import rows_asked

    path = checkpoint_path(os.fspath(checkpoint))
    how: dict[str, Any] = {"device": device, "limit": limit, "goal": goal}
    how["view"] = PageView(tile=tile, scales=tuple(scales))
    if isinstance(data, Source):
        return evaluate_checkpoint(path, source=data, **how)
    versions = [data] if isinstance(data, str | os.PathLike) else data or ()
    names = [os.fspath(each) for each in versions]
    card = {} if names else load_any(path).card
    version, split = rows_asked(names, split, cache=_cache(cache), checkpoint=path, card=card)
    return evaluate_checkpoint(path, version=version, split=split, **how)


def oracle(source: Source | Anywhere, *, longest: int = 640, limit: int | None = None) -> OracleResult:
    """Score perfect maps of a source: what a faultless network could reach at this longest side."""
    from ocrmaps.annotations import Source
    from ocrmaps.annotations.samples import headers, subset
    from ocrmaps.evaluation.oracle.chain import Chain, fitting_shape
    from ocrmaps.evaluation.oracle.judge import run_oracle

    opened = source if isinstance(source, Source) else open_source(source)
    samples = subset(read_samples(opened), limit)
    return run_oracle(samples, headers(opened, samples), Chain.longest(longest, shape=fitting_shape(samples)))


def _cache(given: Anywhere | None) -> Path:
    from ocrmaps.store.places.cache import reading_folder

    return reading_folder(given)
