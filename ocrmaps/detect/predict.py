"""Pictures in, polygons in the coordinates of the original pictures out.

Everything that decides the result comes from the checkpoint: how pictures are prepared, normalized and how maps are
read. Decoding runs in threads ahead of the network and extraction in threads beside it; memory does not grow with the
number of pictures.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from ocrmaps import inline
from ocrmaps.canonical import CanonicalTransform
from ocrmaps.detect.pages import PictureFile, PreparedPage, open_page, pages, prepare
from ocrmaps.detect.tiles import Viewer
from ocrmaps.detect.trained import Trained
from ocrmaps.detect.view import PageView
from ocrmaps.errors import DataError, SpecError
from ocrmaps.extract import ExtractSpec
from ocrmaps.extract import extract as read_polygons
from ocrmaps.geometry import PolygonSet, Size, read_only
from ocrmaps.machine import cores

FloatMap = npt.NDArray[np.float32]
OnError = Literal["raise", "report"]
AHEAD_PIXELS = 32_000_000
"""Canvas pixels that may wait for the network, unless one batch is more: 128 MB of maps."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Prediction:
    """What was found in one picture, or why nothing could be."""

    name: str
    """As given; further pages of a file are `name#2`, `name#3`."""
    path: Path
    page: int
    """Counted from 1."""
    size: Size | None
    """(height, width) of the raw picture; None if it could not be read."""
    polygons: PolygonSet
    """In the frame that was asked for, clockwise on the screen, by the top of their canonical polygon.

    Not cut to the picture: a box reaches as far beyond the border as its text does, and scores count it so.
    """
    scores: npt.NDArray[np.float32]
    """(k), read-only."""
    probability: FloatMap | None
    """(H, W) map on the canvas, where maps are kept."""
    transform: CanonicalTransform | None
    error: str | None = None
    """Why the picture could not be read."""
    note: str = ""
    """What a person should know about the result: a picture that this detector's canvases suit badly."""

    def __repr__(self) -> str:
        what = repr(self.polygons) if self.error is None else f"not read: {self.error}"
        return f"Prediction({self.name!r}, {what})"

    def _repr_html_(self) -> str:
        """The picture under what was found in it, for notebooks; the first page only of a file with several."""
        return inline.over_file(self.path if self.page == 1 else None, self.polygons, self.size, repr(self))


def predict_pictures(
    trained: Trained,
    pictures: Iterable[Path | PictureFile],
    *,
    batch: int = 8,
    threads: int | None = None,
    device: torch.device | str = "cpu",
    extract: ExtractSpec | None = None,
    frame: str = "upright",
    keep_maps: bool = False,
    on_error: OnError = "raise",
    view: PageView | None = None,
) -> Iterator[Prediction]:
    """Predictions in the order of the pictures; every page of a TIFF or PDF is one.

    A picture named by a plain path is called by its file name; a `PictureFile` says another, or one page only.
    `extract` replaces the checkpoint's own settings. An unreadable picture raises when its turn comes, or is reported
    as a prediction with an `error`. The detector is moved to the device. `view` says how pages are looked at that are
    too large for a canvas: one at a time then, whatever the batch.
    """
    spec = trained.extract if extract is None else extract
    if frame not in ("upright", "raw"):
        raise SpecError(f"found frame {frame!r}, expected upright or raw")
    if on_error not in ("raise", "report"):
        raise SpecError(f"found on_error {on_error!r}, expected raise or report")
    if batch < 1 or (threads is not None and threads < 1):
        raise SpecError(f"found batch {batch} and {threads} threads, expected 1 or more")
    if trained.detector.training:
        raise SpecError("the detector is in training mode, where pictures of a batch change each other's maps")
    trained.detector.to(device)
    trained = trained.folded()
    largest = max(h * w for h, w in trained.canonical.canvases)
    ahead = max(batch, min(4 * batch, AHEAD_PIXELS // largest))
    work = _Work(
        trained=trained,
        spec=spec,
        batch=batch,
        threads=threads or available_cores(),
        device=torch.device(device),
        frame=frame,
        keep_maps=keep_maps,
        raises=on_error == "raise",
    )
    if view is not None and not view.plain:
        return work.view(pages(pictures), Viewer.of(trained, view, spec))
    return work.predict(pages(pictures), ahead)


def available_cores() -> int:
    """Cores this process may use, 16 at most: more threads only hold more decoded pictures."""
    return cores(most=16)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """One call of `predict_pictures`, checked."""

    trained: Trained
    spec: ExtractSpec
    batch: int
    threads: int
    device: torch.device
    frame: str
    keep_maps: bool
    raises: bool

    def predict(self, files: Iterator[PictureFile], ahead: int) -> Iterator[Prediction]:
        """Three stages at once: the next chunk is decoded, this one is in the network, the last one is read."""
        hands = ThreadPoolExecutor(self.threads, thread_name_prefix="decode")
        readers = ThreadPoolExecutor(self.threads, thread_name_prefix="extract")
        try:
            waiting: Sequence[Future[Prediction]] = ()
            coming = self._decode(hands, islice(files, ahead))
            while coming:
                chunk, coming = coming, self._decode(hands, islice(files, ahead))
                running = self._run(readers, chunk)
                for done in waiting:
                    yield done.result()
                waiting = running
            for done in waiting:
                yield done.result()
        finally:
            hands.shutdown(wait=True, cancel_futures=True)
            readers.shutdown(wait=True, cancel_futures=True)

    def view(self, files: Iterator[PictureFile], viewer: Viewer) -> Iterator[Prediction]:
        """One page after the other, each in its windows."""
        for file in files:
            try:
                looked = viewer.look(open_page(file, gray=True))
            except DataError as error:
                yield self._unread(file, error).result()
                continue
            found = self._read(file, looked.transform, looked.note, looked.probability, looked.threshold)
            del looked  # maps of this page and pixels of the next would lie side by side
            yield found
            del found

    def _decode(
        self, hands: ThreadPoolExecutor, files: Iterable[PictureFile]
    ) -> list[tuple[PictureFile, Future[PreparedPage | DataError]]]:
        return [(file, hands.submit(self._prepare, file)) for file in files]

    def _prepare(self, file: PictureFile) -> PreparedPage | DataError:
        try:
            return prepare(file, self.trained.canonical)
        except DataError as error:
            return error

    def _run(
        self, readers: ThreadPoolExecutor, chunk: Sequence[tuple[PictureFile, Future[PreparedPage | DataError]]]
    ) -> list[Future[Prediction]]:
        """The chunk through the network, pictures of one canvas together; what batches hold depends on order alone."""
        results: dict[int, Future[Prediction]] = {}
        groups: dict[Size, list[tuple[int, PictureFile, PreparedPage]]] = {}
        for index, (file, future) in enumerate(chunk):
            prepared = future.result()
            if isinstance(prepared, DataError):
                results[index] = self._unread(file, prepared)
                continue
            group = groups.setdefault(prepared.transform.canvas, [])
            group.append((index, file, prepared))
            if len(group) == self.batch:
                self._network(readers, groups.pop(prepared.transform.canvas), results)
        for group in groups.values():
            self._network(readers, group, results)
        return [results[index] for index in range(len(chunk))]

    def _network(
        self,
        readers: ThreadPoolExecutor,
        group: Sequence[tuple[int, PictureFile, PreparedPage]],
        results: dict[int, Future[Prediction]],
    ) -> None:
        images = np.stack([prepared.pixels for _, _, prepared in group])
        maps, levels = self.trained.maps(images, threshold=self.spec.binarize == "learned")
        for i, (index, file, prepared) in enumerate(group):
            # Copies: a map that is kept must not keep its whole batch alive.
            level = None if levels is None else levels[i].copy()
            results[index] = readers.submit(self._read, file, prepared.transform, prepared.note, maps[i].copy(), level)

    def _read(
        self, file: PictureFile, transform: CanonicalTransform, note: str, map: FloatMap, level: FloatMap | None
    ) -> Prediction:
        found = read_polygons(map, self.spec, threshold=level)
        return Prediction(
            name=file.name,
            path=file.path,
            page=file.page or 1,
            size=transform.raw_size,
            polygons=_in_frame(found.polygons, transform, self.frame),
            scores=found.scores,
            probability=map if self.keep_maps else None,
            transform=transform,
            note=note,
        )

    def _unread(self, file: PictureFile, error: DataError) -> Future[Prediction]:
        done: Future[Prediction] = Future()
        if self.raises:
            done.set_exception(error)
            return done
        prediction = Prediction(
            name=file.name,
            path=file.path,
            page=file.page or 1,
            size=None,
            polygons=PolygonSet.empty(self.frame),  # type: ignore[arg-type]  # checked at the door
            scores=read_only([], np.float32),
            probability=None,
            transform=None,
            error=str(error) + (f" ({error.hint})" if error.hint else ""),
        )
        done.set_result(prediction)
        return done


def _in_frame(polygons: PolygonSet, transform: CanonicalTransform, frame: str) -> PolygonSet:
    """Seen in another frame, still clockwise: a mirrored picture would turn the vertices around."""
    seen = transform.apply(polygons, frame)  # type: ignore[arg-type]
    if np.linalg.det(transform.matrix("canonical", seen.frame).matrix[:2, :2]) > 0:
        return seen
    return PolygonSet.of(
        [np.concatenate([p[:1], p[:0:-1]]) for p in seen], frame=seen.frame, ignore=seen.ignore, texts=seen.texts
    )


def with_score(spec: ExtractSpec, least: float | None) -> ExtractSpec:
    """The same reading of maps with another least score, if one is given."""
    if least is None:
        return spec
    if not math.isfinite(least):
        raise SpecError(f"found a least score of {least}, expected a number from 0 to 1")
    return replace(spec, score_min=least)
