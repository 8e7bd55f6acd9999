"""The watch for values that are not finite, and the bundle from which the step that made the first one can be repeated.

Losses and gradient norms go into a ring on the device, which is read every few steps: one wait in so many. With it go
the rows of each batch, so the first bad step is known by its sample ids, and the weights of the last good look.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from ocrmaps.errors import DataError, RunError
from ocrmaps.loader_batch import Batch
from ocrmaps.model import Targets, build_loss
from ocrmaps.store.reader import Reader
from ocrmaps.training.checkpoint import read_checkpoint
from ocrmaps.training.module import DetectorModule


class FiniteGuard(Callback):
    """Ends a run whose loss or gradient is not finite and leaves a bundle; looks every `every` steps."""

    def __init__(self, folder: Path, reader: Reader, *, every: int = 20) -> None:
        self.folder, self.reader, self.every = folder, reader, every
        self._seen: list[tuple[int, list[int]]] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, DetectorModule)
        self._values = torch.zeros(self.every, 2, device=pl_module.device)
        self._weights = {k: v.detach().clone() for k, v in pl_module.detector.state_dict().items()}
        self._seen = []

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, DetectorModule)
        values = self._values[len(self._seen)]
        values[0].copy_(pl_module.last_loss)
        # Scaled gradients overflow now and then by design; the scaler skips those steps.
        values[1].copy_(pl_module.last_loss if pl_module.precision == "fp16-safe" else pl_module.last_norm)
        self._seen.append((pl_module.current_epoch, batch.row.tolist()))
        last = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
        if len(self._seen) == self.every or last:
            self._look(trainer, pl_module)

    def _look(self, trainer: pl.Trainer, module: DetectorModule) -> None:
        values = self._values[: len(self._seen)].cpu()
        bad = ~values.isfinite().all(dim=1)
        if bool(bad.any()):
            self._stop(trainer, module, values, int(bad.nonzero()[0]))
        mine = module.detector.state_dict()
        torch._foreach_copy_(list(self._weights.values()), [mine[k] for k in self._weights])
        self._seen = []

    def _stop(self, trainer: pl.Trainer, module: DetectorModule, values: Tensor, first: int) -> None:
        epoch, rows = self._seen[first]
        names = [self.reader.name(row) for row in rows]
        loss, norm = values[first].tolist()
        path = self.folder / f"nonfinite-step{trainer.global_step:06d}-rank{trainer.global_rank}.pt"
        self.folder.mkdir(parents=True, exist_ok=True)
        card: dict[str, Any] = {}
        module.on_save_checkpoint(card)
        bundle = {
            "ocrmaps": {**card["ocrmaps"], "weights": "detector"},
            "state_dict": {f"detector.{k}": v.cpu() for k, v in self._weights.items()},
            "bundle": {
                "what": "loss" if loss != loss or abs(loss) == float("inf") else "gradient",
                "loss": loss,
                "gradient_norm": norm,
                "first_bad": first,
                "batches": [{"epoch": e, "rows": r} for e, r in self._seen],
                "values": values,
                "samples": names,
                "batch": self._learnt(module, rows, epoch),
            },
        }
        torch.save(bundle, path)
        what = f"loss {loss:g}" if bundle["bundle"]["what"] == "loss" else f"gradient norm {norm:g}"
        raise RunError(
            f"epoch {epoch + 1}: found {what} on {len(rows)} samples: {', '.join(names[:4])}"
            f"{' ...' if len(names) > 4 else ''}; the weights before and the batch are in {path}",
            hint="look at these samples; a lower optimiser.lr or clip, or precision fp32, may help",
        )

    def _learnt(self, module: DetectorModule, rows: list[int], epoch: int) -> dict[str, Tensor]:
        """The batch once more, from the store, as it was learnt from."""
        read = [self.reader.read_row(row) for row in rows]
        arrays = [torch.stack([torch.from_numpy(r[name]) for r in read]) for name in Batch._fields[:4]]
        image, probability, threshold, mask = arrays
        batch = Batch(image, probability, threshold, mask, torch.tensor(rows))
        if module.augment is not None:
            batch = module.augment(batch, epoch)
        return {name: tensor.cpu() for name, tensor in batch._asdict().items()}


def replay(path: Path) -> Mapping[str, Any]:
    """One forward and backward pass of a bundle's batch on its weights, on the host: losses and the gradient norm.

    The weights are of the last good look, up to `every` steps before the bad one: a batch that is bad by itself
    shows here, weights that ran away do not.
    """
    content = read_checkpoint(path)
    if "bundle" not in content:
        raise DataError(f"{path}: this is a checkpoint, not a bundle", hint="bundles are in the run's folder, debug/")
    from ocrmaps.training.checkpoint import load_detector

    trained = load_detector(path)
    detector = trained.detector.train().requires_grad_(True)
    loss = trained.card["run"]["loss"]
    batch = Batch(**content["bundle"]["batch"])
    terms = build_loss(loss["name"], loss["options"])(detector(batch.image), Targets.unpack(*batch[1:4]))
    terms.total.backward()
    norm = torch.nn.utils.get_total_norm([w.grad for w in detector.parameters() if w.grad is not None])
    return {
        "samples": content["bundle"]["samples"],
        "then": {"loss": content["bundle"]["loss"], "gradient_norm": content["bundle"]["gradient_norm"]},
        "now": {
            **{name: float(value.detach()) for name, value in terms._asdict().items()},
            "gradient_norm": float(norm),
        },
    }
