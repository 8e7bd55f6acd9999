"""Writes checkpoints that say what they are: the latest state of a run, and the best ones by val/hmean."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Checkpoint

from ocrmaps.detect.trained import FORMAT, LAST
from ocrmaps.errors import DataError, RunError
from ocrmaps.extract import ExtractSpec
from ocrmaps.loader.weights import in_units
from ocrmaps.model import DetectorSpec
from ocrmaps.model.spec import START
from ocrmaps.store.format.identity import file_digest
from ocrmaps.store.several import Stored, readers_of
from ocrmaps.training.folder import standing
from ocrmaps.training.module import DetectorModule
from ocrmaps.training.spec import DataSpec
from ocrmaps.training.stores import Weights


def make_card(
    reader: Stored,
    *,
    data: DataSpec,
    weights: Weights | None,
    model: DetectorSpec,
    extract: ExtractSpec,
    seed: int,
    precision: str,
    run: Mapping[str, Any],
    built: Mapping[str, Any],
    started: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What a checkpoint says about itself before anything was learnt."""
    recipe = reader.recipe
    card = {
        "format": FORMAT,
        # Their weights are inside; where the first ones came from is this machine's business.
        "model": model.as_dict() | {name: Path(getattr(model, name)).name for name in START},
        "canonical": asdict(recipe.canonical),
        "extract": asdict(extract),
        **stores_card(reader, data, weights),
        "seed": seed,
        "precision": precision,
        "run": run,
        "built": built,
        **({"started": started} if started else {}),
    }
    # Through JSON: what is no plain data is found here, not when somebody wants to read the checkpoint.
    return json.loads(json.dumps(card))


def stores_card(reader: Stored, data: DataSpec, weights: Weights | None) -> dict[str, Any]:
    """What is learnt from: a store, or several as one and each of them, and a digest over how often rows are shown."""
    found: dict[str, Any] = {
        "store": {
            "name": "+".join(each.folder.parent.name for each in readers_of(reader)),
            "version": reader.version,
            "root_digest": reader.root_digest,
            "recipe": reader.recipe.identity(),
        }
    }
    stores = [
        {
            "name": own.folder.parent.name,
            "version": own.version,
            "root_digest": own.root_digest,
            "recipe": own.recipe.identity(),
            "train": part.train,
            "val": part.val,
            "weight": part.weight,
        }
        for part, own in zip(data.stores, readers_of(reader), strict=False)
    ]
    if stores:
        found["stores"] = stores
    if weights is not None:
        found["shown"] = file_digest(in_units(weights).data).hex()
    return found


class Keeper(Checkpoint):
    """Keeps the latest state and the best ones by val/hmean, under names that say epoch, step and score.

    Of equal scores the lower val loss is the better: while nothing is found yet, every hmean is 0 and the loss falls.
    Only complete validations are compared: a partial score never becomes a best checkpoint. Files appear whole.
    `every_steps` also saves the latest state between epochs; 0 does not.
    """

    def __init__(self, folder: Path, *, top: int = 1, every_steps: int = 0) -> None:
        self.folder, self.top, self.every_steps = folder, top, every_steps
        self.best: list[tuple[float, str]] = []
        """(hmean, file name), the best first."""
        self.losses: dict[str, float] = {}
        """val/loss by file name."""
        self._lost: list[tuple[float, str]] = []

    @property
    def best_path(self) -> Path | None:
        return self.folder / self.best[0][1] if self.best else None

    def state_dict(self) -> dict[str, Any]:
        return {"best": [list(pair) for pair in self.best], "losses": dict(self.losses)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        pairs = [(score, name) for score, name in state_dict["best"]]
        # These names are written to and removed: a file must not choose where.
        if not all(re.fullmatch(r"best-[A-Za-z0-9.-]+\.ckpt", str(name)) for _, name in pairs):
            raise DataError(
                f"found best checkpoints {[name for _, name in pairs]}, expected names such as best-....ckpt"
            )
        self.losses = {str(name): float(loss) for name, loss in state_dict.get("losses", {}).items()}
        self.best = [pair for pair in pairs if (self.folder / pair[1]).is_file()]
        self._lost = [pair for pair in pairs if pair not in self.best]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._name_lost(trainer)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A run with no epoch left never starts to train."""
        self._name_lost(trainer)

    def _name_lost(self, trainer: pl.Trainer) -> None:
        """Name the state of a run that was killed right after it saved one of the best, as it had no time to."""
        for score, name in self._lost:
            if trainer.ckpt_path and trainer.is_global_zero and f"-step{trainer.global_step:06d}-" in name:
                keep_copy(Path(trainer.ckpt_path), self.folder / name)
                self.best = sorted([*self.best, (score, name)], key=self._rank)
        self._lost = []

    def _rank(self, pair: tuple[float, str]) -> tuple[float, float]:
        return standing(pair[0], self.losses.get(pair[1]))

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
        if not trainer.is_global_zero:
            trainer.save_checkpoint(temporary)  # takes part; the first rank writes
            return path
        with _appearing(path, temporary):
            trainer.save_checkpoint(temporary)
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
            self.losses[name] = float(pl_module.val_loss)
            # Of equal scores and losses the earlier one stays.
            ranked = sorted([*self.best, (score, name)], key=self._rank)
            self.best, dropped = ranked[: self.top], [n for _, n in ranked[self.top :]]
            self.losses = {n: self.losses[n] for _, n in self.best if n in self.losses}
        path = self.save_last(trainer)
        if not trainer.is_global_zero:
            return
        if score is not None and any(n == name for _, n in self.best):
            keep_copy(path, self.folder / name)
        for name in dropped:
            (self.folder / name).unlink(missing_ok=True)


@contextmanager
def _appearing(path: Path, temporary: Path) -> Iterator[None]:
    """Leave the file of `path` as it was, and no half of a new one, where the block fails."""
    try:
        yield
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            kept = "; the one that was there is as it was" if path.exists() else ""
            raise RunError(
                f"{path}: cannot be saved ({error.strerror or error}){kept}",
                hint="free some space and check the folder's rights, then go on with --resume auto",
            ) from error
        raise


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
    with _appearing(copy, temporary):
        try:
            os.link(path, temporary)
        except OSError:  # some file systems have no second names
            shutil.copyfile(path, temporary)
        os.replace(temporary, copy)
