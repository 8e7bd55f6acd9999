"""A detector and a loss without anything that looks at a batch as a whole: no batch norm, no mining, plain means."""

from __future__ import annotations

import atexit
from pathlib import Path

import torch
from torch import nn

from ocrmaps.model import Logits, LossTerms


class Encoder(nn.Module):
    channels = (4, 4)
    strides = (4, 8)

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 5, 4, 2), nn.Conv2d(4, 4, 3, 2, 1)

    def forward(self, x):
        fine = torch.relu(self.first(x))
        return fine, torch.relu(self.second(fine))


class Decoder(nn.Module):
    def __init__(self, channels, strides) -> None:
        super().__init__()
        self.channels, self.stride = channels[0], strides[0]
        self.up = nn.ConvTranspose2d(channels[1], channels[0], 2, 2)

    def forward(self, features):
        return features[0] + self.up(features[1])


class Head(nn.Module):
    def __init__(self, channels, stride) -> None:
        super().__init__()
        self.both = nn.ConvTranspose2d(channels, 2, stride, stride)

    def forward(self, x, *, threshold=True):
        out = self.both(x)
        return Logits(out[:, 0], out[:, 1] if threshold else None)


class Loss(nn.Module):
    def forward(self, logits, targets):
        p = (torch.sigmoid(logits.probability.float()) - targets.probability.float()).square().mean()
        t = (torch.sigmoid(logits.threshold.float()) - targets.threshold.float() / 254).abs().mean()
        return LossTerms(p + t, p.detach(), t.detach(), torch.zeros(()))


class Leaving(Loss):
    """Writes, where a process beside the first ends, which threads of the group of processes are still there."""

    def __init__(self, file: str) -> None:
        super().__init__()
        if torch.distributed.is_initialized() and torch.distributed.get_rank() > 0:
            atexit.register(self.tell, Path(file))

    @staticmethod
    def tell(file: Path) -> None:
        threads = [(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]
        file.write_text(" ".join(name for name in threads if "gloo" in name))


class Spoilt(Loss):
    """Not finite, or with a gradient that is not, on the one batch whose kernels have so many pixels."""

    def __init__(self, pixels: int, what: str = "loss") -> None:
        super().__init__()
        self.pixels, self.what = pixels, what

    def forward(self, logits, targets):
        terms = super().forward(logits, targets)
        if int(targets.probability.float().sum()) != self.pixels:
            return terms
        if self.what == "loss":
            return terms._replace(total=terms.total * float("nan"))
        return terms._replace(total=terms.total + (0 * logits.probability.float()).abs().sqrt().sum())
