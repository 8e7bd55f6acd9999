"""Reads a checkpoint: the detector, the canonical spec its pictures need and the settings its maps are read with.

A checkpoint holds plain data and tensors only.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ocrmaps.canonical import CanonicalSpec
from ocrmaps.errors import DataError, SpecError
from ocrmaps.extract import ExtractSpec
from ocrmaps.kinds import expect_checkpoint
from ocrmaps.maps.records import U8Array
from ocrmaps.model import Detector, DetectorSpec, build_detector
from ocrmaps.model.folded import folded
from ocrmaps.model.head import FloatMap, Logits
from ocrmaps.model.plain import TooMuch, read_plain
from ocrmaps.settings.files import plain
from ocrmaps.trust import NOTHING, Trusted

FORMAT = 1
LAST = "last.ckpt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A detector with all it was trained for."""

    detector: Detector
    """Ready to predict: in evaluation mode, without gradients."""
    model: DetectorSpec
    canonical: CanonicalSpec
    """How its pictures were prepared, and new ones must be."""
    extract: ExtractSpec
    """How its maps are read."""
    card: Mapping[str, Any]
    """Store, recipe, run, steps, samples, seed, precision, score: what produced these weights."""

    @property
    def identity(self) -> str:
        """One line that belongs beside every number made with it."""
        card = self.card
        return (
            f"step {card['steps']}, {card['samples']} samples, root {card['store']['root_digest'][:12]}, "
            f"seed {card['seed']}, {card['precision']}"
        )

    def learnt_from(self, canonical: CanonicalSpec) -> bool:
        """Whether it learnt from pictures prepared like this, in any of the stores that it learnt from."""
        stores = [store["recipe"]["canonical"] for store in self.card.get("stores", ())]
        return plain(canonical) in [plain(self.canonical), *stores]

    def reading(self, goal: str | None) -> Trained:
        """The detector with its maps read as `ocrmaps tune` froze it for a goal; None reads them as it stands."""
        if goal is None:
            return self
        found = self.card.get("readings")
        readings: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
        if goal not in readings:
            has = f"this detector has {', '.join(readings)}" if readings else "this detector was not tuned"
            raise SpecError(
                f"--for: found {goal!r}, {has}",
                hint="leave it out, or freeze a reading by `ocrmaps tune CHECKPOINT --store NAME --for GOAL --out NEW`",
            )
        try:
            return replace(self, extract=ExtractSpec(**readings[goal]))
        except TypeError as error:
            raise DataError(f"its reading for {goal} is not complete ({error})") from error

    def folded(self) -> Trained:
        """The same for predicting only, sooner and in less memory: maps are equal to a rounding."""
        return replace(self, detector=folded(self.detector))  # type: ignore[arg-type]  # called alike

    def maps(self, images: Tensor | U8Array, *, threshold: bool = True) -> tuple[FloatMap, FloatMap | None]:
        """Probability and threshold maps of canonical pictures, as `maps_of` gives them."""
        return maps_of(self.detector, images, threshold=threshold)


def maps_of(
    detector: Detector, images: Tensor | U8Array, *, threshold: bool = True
) -> tuple[FloatMap, FloatMap | None]:
    """The maps that a detector answers with: float32 (B, H, W) in 0 to 1 for uint8 (B, H, W, 3) RGB as stored.

    Computed in full precision on the detector's device, given on the host; `threshold=False` saves the second map.
    """
    if detector.training:
        raise SpecError("the detector is in training mode, where pictures of a batch change each other's maps")
    batch = images if isinstance(images, Tensor) else torch.from_numpy(np.ascontiguousarray(images))
    # An exported graph has no tensors of its own and runs on the host.
    device = next((tensor.device for tensor in detector.parameters()), torch.device("cpu"))
    with torch.inference_mode(), torch.autocast(device.type, enabled=False):
        logits: Logits = detector(batch.to(device), threshold=threshold)
        return logits.maps()


def checkpoint_bytes(content: Mapping[str, Any]) -> bytes:
    """A checkpoint as it is in a file. Torch's own writer says of a full disk that a position was unexpected."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def read_checkpoint(path: Path | str) -> dict[str, Any]:
    """A whole checkpoint on the host, or a refusal that says what the file is not."""
    path = Path(path)
    expect_checkpoint(path)
    try:
        content: Any = read_plain(path)
    except TooMuch as error:
        raise DataError(
            f"{path}: cannot be read as a checkpoint: {error}", hint="`ocrmaps train` writes nothing like it"
        ) from error
    except Exception as error:
        # Any at all: a file that is not ours can fail the reader in any way. Not in the library's own words: they
        # advise to load the file with the check turned off.
        raise DataError(
            f"{path}: cannot be read as a checkpoint ({type(error).__name__})",
            hint="the file may be cut short, or hold code, which is never run from a file",
        ) from error
    card = content.get("ocrmaps") if isinstance(content, dict) else None
    if not isinstance(card, dict) or "format" not in card or "state_dict" not in content:
        shown = ", ".join(map(str, list(content)[:5])) if isinstance(content, dict) else type(content).__name__
        raise DataError(
            f"{path}: found {shown or 'nothing'}, expected a checkpoint written by `ocrmaps train`",
            hint="weights of other projects start a training as model.encoder_weights",
        )
    if card["format"] != FORMAT:
        raise DataError(
            f"{path}: found checkpoint format {card['format']!r}, this ocrmaps reads {FORMAT}",
            hint="use the ocrmaps that wrote it",
        )
    return content


def load_detector(path: Path | str, *, device: torch.device | str = "cpu", trusted: Trusted = NOTHING) -> Trained:
    """The detector of a checkpoint, built from the spec inside and ready to predict.

    Parts come from the registries; a `package.module:Name` in the file is built only where `trusted` has it.
    """
    content = read_checkpoint(path)
    card = content["ocrmaps"]
    try:
        model = DetectorSpec.of(card["model"])
        prefix = card["weights"] + "."
        weights = {
            key.removeprefix(prefix): value for key, value in content["state_dict"].items() if key.startswith(prefix)
        }
        canonical, extract = CanonicalSpec(**card["canonical"]), ExtractSpec(**card["extract"])
        _ = card["store"]["root_digest"], card["steps"], card["samples"], card["seed"], card["precision"]
        for store in card.get("stores", ()):
            _ = [store[key] for key in ("name", "version", "root_digest", "train", "val")]
            _ = store["recipe"]["canonical"]
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: its description is not complete ({type(error).__name__}: {error})") from error
    detector = build_detector(model, pretrained=False, trusted=trusted)
    try:
        detector.load_state_dict(weights)
    except RuntimeError as error:
        lines = str(error).splitlines()
        raise DataError(
            f"{path}: its weights do not fit the model it describes ({' '.join(line.strip() for line in lines[:3])})"
        ) from error
    detector.to(device).eval().requires_grad_(False)
    return Trained(detector=detector, model=model, canonical=canonical, extract=extract, card=card)
