"""What people look at in a run's folder: the first batch, the curves, truth beside prediction."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ocrmaps.detect.trained import load_detector
from ocrmaps.extract import extract
from ocrmaps.geometry import Affine
from ocrmaps.loader.batch import Batch
from ocrmaps.maps.records import PROBABILITY_COUNTS, THRESHOLD_COUNTS
from ocrmaps.pagekit.pictures import Canvas, Pixels, beside, enlarged, overlay, png, shrink, titled
from ocrmaps.store.several import Stored
from ocrmaps.trust import Trusted

KERNEL, BAND, UNLEARNT = (31, 111, 235), (0, 158, 115), (217, 119, 0)
LEGIBLE = 900
"""Pictures of truth beside prediction are enlarged to at least this height."""


def draw_batch(batch: Batch, path: Path, side: int = 420) -> None:
    """The pictures of a batch as they are learnt: kernels blue, threshold bands green, what is not learnt orange."""
    tiles = []
    for image, kernel, threshold, mask in zip(*(t.cpu().numpy() for t in batch[:4]), strict=True):
        band = ((threshold > 0) & (mask & THRESHOLD_COUNTS > 0)) * (threshold / 254.0)
        shown = _tint(image.astype(np.float32), 0.6 * band, BAND)
        shown = _tint(shown, 0.6 * (kernel > 0), KERNEL)
        shown = _tint(shown, 0.7 * (mask & PROBABILITY_COUNTS == 0), UNLEARNT)
        tiles.append(shrink(shown.astype(np.uint8), side))
    height = max(t.shape[0] for t in tiles)
    width = max(t.shape[1] for t in tiles)
    columns = min(4, len(tiles))
    rows = -(-len(tiles) // columns)
    sheet = np.full((rows * (height + 6), columns * (width + 6), 3), 128, dtype=np.uint8)
    for i, tile in enumerate(tiles):
        y, x = i // columns * (height + 6), i % columns * (width + 6)
        sheet[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    path.write_bytes(png(sheet))


def _tint(pixels: Any, share: Any, color: tuple[int, int, int]) -> Any:
    weight = np.asarray(share, dtype=np.float32)[..., None]
    return pixels * (1 - weight) + np.array(color, dtype=np.float32) * weight


def draw_curves(rows: Sequence[Mapping[str, Any]], path: Path, caption: str) -> None:
    """Losses and scores over the steps of the run."""
    if not rows:
        return
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4))
    FigureCanvasAgg(figure)
    # Margins and heights of titles that fit, told: to find them matplotlib would draw all of it once before.
    left, right = figure.subplots(1, 2, gridspec_kw={"left": 0.06, "right": 0.99, "bottom": 0.12, "top": 0.83})
    for axes, keys in ((left, ("train/loss", "val/loss")), (right, ("val/hmean", "val/precision", "val/recall"))):
        for key in keys:
            points = [(row["step"], row[key]) for row in rows if key in row]
            if points:
                axes.plot(*zip(*points, strict=True), marker=".", label=key)
        axes.set_xlabel("optimizer step")
        axes.set_ylim(bottom=0.0)
        axes.locator_params(nbins=6)  # each mark costs as much as a curve
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend()
    left.set_title("loss", y=1.0)
    right.set_title("validation, IoU 0.5", y=1.0)
    figure.suptitle(caption, fontsize=9)
    figure.savefig(path, dpi=110, pil_kwargs={"compress_level": 3})


def draw_pairs(reader: Stored, report: Any, folder: Path, number: int, split: str, trusted: Trusted) -> None:
    """Truth on the left, what the best checkpoint finds on the right, for the first samples of a split."""
    if not number:
        return
    trained = load_detector(report.best or report.last, trusted=trusted)
    folder.mkdir(exist_ok=True)
    for row in reader.select(split)[:number].tolist():
        image = reader.read_row(row, ("image",))["image"]
        probability, level = trained.maps(image[None], threshold=trained.extract.binarize == "learned")
        found = extract(probability[0], trained.extract, threshold=None if level is None else level[0]).polygons
        transform = reader.transform(row)
        # Lines are as thick at any size: on a small canvas they would cover the text that they enclose.
        times = -(-LEGIBLE // image.shape[0])
        canvas = enlarged(Canvas(pixels=image, frame="canonical", transform=transform), times)
        truth = canvas.transform.apply(reader.polygon_set(row), "canonical")
        found = found.transform(Affine.scaling(times, times), "canonical")
        sides = (titled(overlay(canvas, truth), "truth"), titled(overlay(canvas, found), f"found: {len(found)}"))
        pair: Pixels = beside(*sides, height=sides[0].shape[0])
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", reader.id(row))[-80:]
        (folder / f"{row:05d}-{name}.png").write_bytes(png(pair))
