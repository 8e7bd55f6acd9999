"""Parts of a debug bundle: what the weights see in the batch, log, metrics, store, environment, git state."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ocrmaps.canonical import CanonicalTransform
from ocrmaps.debug import pictures as debug_pictures
from ocrmaps.debug.reading import STEP
from ocrmaps.debug.writing import BundleDraft
from ocrmaps.detect.trained import checkpoint_bytes, maps_of
from ocrmaps.extract import ExtractSpec, extract
from ocrmaps.geometry import PolygonSet
from ocrmaps.loader.batch import Batch
from ocrmaps.machine import git, in_checkout, machine
from ocrmaps.maps.records import PROBABILITY_COUNTS
from ocrmaps.pagekit.pictures import Canvas, overlay, png, shrink
from ocrmaps.store.several import Stored, readers_of
from ocrmaps.training import pictures as train_pictures
from ocrmaps.training.steps.capture import detector_in, load_step
from ocrmaps.trust import Trusted

LOG_LINES, METRIC_ROWS = 400, 2000
"""At most so much of the log and of metrics.csv goes into a bundle, the latest."""
VARIABLES = ("OCRMAPS_", "CUDA_", "NVIDIA_", "TORCH", "PYTORCH_", "OMP_", "MKL_", "NUMBA_", "NCCL_", "PYTHON", "LC_")
"""Environment variables that change what a run does; no others are written down."""
DRAWN = 4
"""Samples of the batch that are drawn."""


def draw_batch(draft: BundleDraft, batch: Batch) -> None:
    """The batch with its targets, as it was learnt from."""
    path = draft.path("batch.png")
    train_pictures.draw_batch(batch, path)
    draft.keep("batch.png")


def predict(draft: BundleDraft, batch: Batch, card: Mapping[str, Any], trusted: Trusted) -> None:
    """What these weights see in this batch: maps, polygons in the batch's own pixels, pictures."""
    detector = detector_in(load_step(draft.folder / STEP), trusted=trusted).eval()
    spec = ExtractSpec(**card["extract"])
    seen, levels_seen = maps_of(detector, batch.image)
    assert levels_seen is not None
    probability, threshold = torch.from_numpy(seen), torch.from_numpy(levels_seen)
    draft.path("predictions.pt").write_bytes(
        checkpoint_bytes({"probability": probability.half(), "threshold": threshold.half()})
    )
    draft.keep("predictions.pt")
    finite = bool(probability.isfinite().all())
    inside = batch.probability > 0
    counts = batch.mask & PROBABILITY_COUNTS > 0
    facts = {
        "finite": finite,
        "lowest": float(probability.min()),
        "highest": float(probability.max()),
        "firing": float((probability > 0.5).float().mean()),
        "firing_wanted": float(inside.float().mean()),
        "mean_in_kernels": float(probability[inside & counts].mean()) if bool((inside & counts).any()) else None,
        "mean_outside": float(probability[~inside & counts].mean()) if bool((~inside & counts).any()) else None,
    }
    draft.entry("info" if finite else "error", "prediction", "what these weights see in this batch", facts)
    if not finite:
        draft.entry("warning", "absent", "predicted polygons: absent, the maps hold values that are not finite")
        draft.bytes(
            "predictions.png", _rows_of([_heat(batch, probability, i) for i in range(min(DRAWN, len(batch.row)))])
        )
        return
    levels = threshold.numpy() if spec.binarize == "learned" else [None] * len(probability)
    found = [extract(p, spec, threshold=t) for p, t in zip(probability.numpy(), levels, strict=True)]
    draft.json(
        "predictions.json",
        [
            {
                "row": int(row),
                "polygons": [p.round(2).tolist() for p in one.polygons],
                "scores": [float(s) for s in one.scores],
            }
            for row, one in zip(batch.row, found, strict=True)
        ],
    )  # fmt: skip
    rows = []
    for i in range(min(DRAWN, len(batch.row))):
        drawn = _outlines(batch.image[i].numpy(), found[i].polygons)
        rows.append(debug_pictures.strip([drawn, _heat(batch, probability, i)]))
    draft.bytes("predictions.png", _rows_of(rows))


def _outlines(pixels: Any, polygons: PolygonSet) -> Any:
    height, width = pixels.shape[:2]
    same = CanonicalTransform(
        orientation=1, raw_size=(height, width), resized=(height, width), offset=(0, 0), canvas=(height, width)
    )
    return overlay(Canvas(pixels=pixels, frame="canonical", transform=same), polygons)


def _heat(batch: Batch, probability: torch.Tensor, i: int) -> Any:
    return debug_pictures.heat(batch.image[i].numpy(), probability[i].numpy())


def _rows_of(pictures: list[Any]) -> bytes:
    return png(debug_pictures.stack([shrink(p, 900) for p in pictures]))


def profile(draft: BundleDraft, batch: Batch, card: Mapping[str, Any], trusted: Trusted) -> None:
    """Where the time of this step goes on this processor."""
    from torch.profiler import ProfilerActivity, profile

    from ocrmaps.training.steps.capture import take_step

    detector = detector_in(load_step(draft.folder / STEP), trusted=trusted)
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as trace:
        take_step(detector, batch, card["run"]["loss"], card["precision"], None, trusted=trusted)
    raw = draft.path("profile.raw")
    try:
        trace.export_chrome_trace(str(raw))
        draft.text("profile.json", raw.read_text(encoding="utf-8", errors="replace"))
    finally:
        raw.unlink(missing_ok=True)
    slow = sorted(trace.key_averages(), key=lambda e: -e.self_cpu_time_total)[:10]
    draft.entry(
        "info", "profile", "the ten dearest operations, in ms", {e.key: e.self_cpu_time_total / 1e3 for e in slow}
    )


def log_tail(draft: BundleDraft, path: Path) -> None:
    """The end of the training log."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    cut = [f"... {len(lines) - LOG_LINES} lines before"] if len(lines) > LOG_LINES else []
    draft.text("run.log.txt", "\n".join([*cut, *lines[-LOG_LINES:]]) + "\n")


def metrics(draft: BundleDraft, path: Path) -> None:
    """The rows of metrics.csv, as a file and as entries to ask for."""
    from ocrmaps.training.folder import read_metrics

    if not path.exists():
        draft.entry("info", "metrics", "no epoch had ended, so there are no metrics")
        return
    draft.text("metrics.csv", path.read_text(encoding="utf-8"))
    rows = read_metrics(path)
    for row in rows[-METRIC_ROWS:]:
        draft.entry("info", "metrics", f"epoch {row.get('epoch')}", row)


def store(card: Mapping[str, Any], reader: Stored | None) -> dict[str, Any]:
    """The version that was learnt from: what the run says, and what is here."""
    out: dict[str, Any] = dict(card["store"])
    if reader is None:
        return out | {"place": None, "absent": "the version was not found when this bundle was made"}
    return out | {
        "place": ", ".join(str(each.folder) for each in readers_of(reader)),
        "root_digest_here": reader.root_digest,
        "rows": len(reader),
        "canvases": [list(c) for c in reader.canvases],
        "tools": readers_of(reader)[0].manifest.recorded.get("tools"),
        **({"stores": card["stores"]} if "stores" in card else {}),
    }


def environment(out: Path) -> dict[str, Any]:
    """Machine and libraries here, what the run wrote down when it began, and variables that change what a run does."""
    recorded = out / "environment.json"
    return {
        "here": {**machine(), "torch_threads": torch.get_num_threads(), "cuda": torch.cuda.is_available()},
        "run": json.loads(recorded.read_text(encoding="utf-8")) if recorded.exists() else None,
        "variables": {k: v for k, v in sorted(os.environ.items()) if k.startswith(VARIABLES)},
    }


def git_state() -> dict[str, Any]:
    """The commit of the code that runs and what differs from it; a stated absence outside a checkout."""
    try:
        if not in_checkout():
            return {"absent": "the code is installed inside another project's checkout"}
        return {
            "commit": git("rev-parse", "HEAD"),
            "changed": git("status", "--porcelain").splitlines()[:200],
            "diff_stat": git("diff", "--stat", "HEAD").splitlines()[-200:],
        }
    except FileNotFoundError:
        return {"absent": "git is not installed here"}
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", "") or str(error)
        return {"absent": f"not a git checkout ({said.strip().splitlines()[0] if said.strip() else 'git failed'})"}
