"""Checkpoints that say what they are and hold everything that predicting needs; only plain data and tensors inside.

`load_detector(path)` gives the detector, the canonical spec its pictures need and the settings its maps are read with.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Checkpoint

from ocrmaps.canonical import CanonicalSpec
from ocrmaps.errors import DataError, SpecError
from ocrmaps.extract import ExtractSpec
from ocrmaps.model import Detector, DetectorSpec, build_detector
from ocrmaps.store.manifest import Manifest
from ocrmaps.training.module import DetectorModule

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


def make_card(
    manifest: Manifest,
    *,
    store: str,
    model: DetectorSpec,
    extract: ExtractSpec,
    seed: int,
    precision: str,
    run: Mapping[str, Any],
    built: Mapping[str, Any],
) -> dict[str, Any]:
    """What a checkpoint says about itself before anything was learnt."""
    recipe = manifest.recipe
    card = {
        "format": FORMAT,
        # Their weights are inside; where the first ones came from is this machine's business.
        "model": model.as_dict() | {"encoder_weights": Path(model.encoder_weights).name},
        "canonical": asdict(recipe.canonical),
        "extract": asdict(extract),
        "store": {
            "name": store,
            "version": manifest.version,
            "root_digest": manifest.root_digest,
            "recipe": recipe.identity(),
        },
        "seed": seed,
        "precision": precision,
        "run": run,
        "built": built,
    }
    # Through JSON: what is no plain data is found here, not when somebody wants to read the checkpoint.
    return json.loads(json.dumps(card))


def read_checkpoint(path: Path | str) -> dict[str, Any]:
    """A whole checkpoint on the host, or a refusal that says what the file is not."""
    path = Path(path)
    if path.is_dir():
        inside = sorted(path.glob("checkpoints/*.ckpt")) or sorted(path.glob("*.ckpt"))
        raise SpecError(
            f"{path}: found a folder, expected a checkpoint",
            hint=f"it holds {', '.join(str(p) for p in inside[:4])}" if inside else "name a .ckpt file",
        )
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise SpecError(
            f"{path}: no such checkpoint", hint="checkpoints are in the run's folder, under checkpoints/"
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


def load_detector(path: Path | str, *, device: torch.device | str = "cpu") -> Trained:
    """The detector of a checkpoint, built from the spec inside and ready to predict."""
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
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: its description is not complete ({type(error).__name__}: {error})") from error
    detector = build_detector(model, pretrained=False)
    try:
        detector.load_state_dict(weights)
    except RuntimeError as error:
        lines = str(error).splitlines()
        raise DataError(
            f"{path}: its weights do not fit the model it describes ({' '.join(line.strip() for line in lines[:3])})"
        ) from error
    detector.to(device).eval().requires_grad_(False)
    return Trained(detector=detector, model=model, canonical=canonical, extract=extract, card=card)


class Keeper(Checkpoint):
    """Keeps the latest state and the best ones by val/hmean, under names that say epoch, step and score.

    Only complete validations are compared: a partial score never becomes a best checkpoint. Files appear whole.
    `every_steps` also saves the latest state between epochs; 0 does not.
    """

    def __init__(self, folder: Path, *, top: int = 1, every_steps: int = 0) -> None:
        self.folder, self.top, self.every_steps = folder, top, every_steps
        self.best: list[tuple[float, str]] = []
        """(hmean, file name), the best first."""
        self._lost: list[tuple[float, str]] = []

    @property
    def best_path(self) -> Path | None:
        return self.folder / self.best[0][1] if self.best else None

    def state_dict(self) -> dict[str, Any]:
        return {"best": [list(pair) for pair in self.best]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        pairs = [(score, name) for score, name in state_dict["best"]]
        self.best = [pair for pair in pairs if (self.folder / pair[1]).is_file()]
        self._lost = [pair for pair in pairs if pair not in self.best]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A run that was killed right after it saved had no time to name that state one of the best ones."""
        for score, name in self._lost:
            if trainer.ckpt_path and trainer.is_global_zero and f"-step{trainer.global_step:06d}-" in name:
                keep_copy(Path(trainer.ckpt_path), self.folder / name)
                self.best = sorted([*self.best, (score, name)], key=lambda pair: -pair[0])
        self._lost = []

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step
        if not self.every_steps or step % self.every_steps or not step or step == getattr(self, "_saved", None):
            return
        if not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:  # the epoch's own save follows
            self.save_last(trainer)

    def save_last(self, trainer: pl.Trainer) -> Path:
        self._saved = trainer.global_step
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / LAST
        temporary = self.folder / f".{LAST}.part"
        trainer.save_checkpoint(temporary)
        if trainer.is_global_zero:
            _to_disk(temporary)
            os.replace(temporary, path)
        return path

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, DetectorModule)
        dropped: list[str] = []
        score, pl_module_score = None, pl_module.score
        if pl_module_score is not None and pl_module_score.complete:
            score = pl_module_score.hmean()
            name = f"best-epoch{trainer.current_epoch + 1:03d}-step{trainer.global_step:06d}-hmean{score:.4f}.ckpt"
            # Equal scores keep the earlier one.
            ranked = sorted([*self.best, (score, name)], key=lambda pair: -pair[0])
            self.best, dropped = ranked[: self.top], [n for _, n in ranked[self.top :]]
        path = self.save_last(trainer)
        if not trainer.is_global_zero:
            return
        if score is not None and any(n == name for _, n in self.best):
            keep_copy(path, self.folder / name)
        for name in dropped:
            (self.folder / name).unlink(missing_ok=True)


def _to_disk(path: Path) -> None:
    """Return when the bytes would outlive a power cut: a new name must not become visible before them."""
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def keep_copy(path: Path, copy: Path) -> None:
    """A second name for the file's bytes, which stay when the first name gets new ones; `copy` appears whole."""
    temporary = copy.with_name(f".{copy.name}.part")
    temporary.unlink(missing_ok=True)
    try:
        os.link(path, temporary)
    except OSError:  # some file systems have no second names
        shutil.copyfile(path, temporary)
    os.replace(temporary, copy)
