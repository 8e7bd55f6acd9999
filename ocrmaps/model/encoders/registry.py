"""Encoders turn a normalized picture into features at strides 4, 8, 16 and 32, and say so before anything runs.

An encoder is a module with two declarations, `channels` and `strides` (finest first, each stride twice the one
before), whose forward maps float (B, 3, H, W) to that many features of shape (B, channels[i], H / strides[i],
W / strides[i]). Decoders are built from the declarations alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn

from ocrmaps.errors import DataError, Problem, SpecError
from ocrmaps.model.plain import read_plain


class AbstractEncoder(nn.Module):
    """What every encoder declares; own encoders may subclass it or simply have the same two attributes."""

    channels: tuple[int, ...]
    strides: tuple[int, ...] = (4, 8, 16, 32)
    classifier_keys: ClassVar[tuple[str, ...]] = ()
    """Prefixes of weights that a published classifier has and an encoder has no use for."""


def conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    """Convolution and batch norm that keep the size, or divide it by the stride."""
    return [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
    ]


class Residual(nn.Module):
    """Two 3x3 convolutions added to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        first, second = conv_bn(channels, channels, 3), conv_bn(channels, channels, 3)
        self.body = nn.Sequential(*first, nn.ReLU(inplace=True), *second)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.body(x) + x)

    def start_as_identity(self) -> None:
        """Add nothing at first: a trained network that grows by this block says what it said before."""
        nn.init.zeros_(self.body[-1].weight)  # type: ignore[arg-type]


class Light(AbstractEncoder):
    """A small residual encoder that trains on a processor: 0.6 million parameters, no depthwise convolutions.

    Depthwise convolutions save arithmetic but not memory traffic, which is what a processor runs out of first:
    at equal parameters this one takes two thirds of the time of inverted residuals.
    """

    def __init__(self, channels: Sequence[int] = (24, 48, 80, 128), blocks: Sequence[int] = (1, 1, 1, 1)) -> None:
        super().__init__()
        if len(channels) != 4 or len(blocks) != 4 or min(*channels, *blocks) < 1:
            raise SpecError(
                f"found channels {tuple(channels)} and blocks {tuple(blocks)}, expected four positive numbers each"
            )
        self.channels = tuple(channels)
        stem = max(8, channels[0] // 3)
        self.stem = nn.Sequential(*conv_bn(3, stem, 3, 2), nn.ReLU(inplace=True))
        stages = []
        previous = stem
        for width, count in zip(channels, blocks, strict=True):
            down = [*conv_bn(previous, width, 3, 2), nn.ReLU(inplace=True)]
            stages.append(nn.Sequential(*down, *(Residual(width) for _ in range(count))))
            previous = width
        self.stages = nn.ModuleList(stages)
        initialize(self)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = self.stem(x)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return tuple(features)


def initialize(module: nn.Module) -> None:
    """Kaiming weights for convolutions, identity for norms: the usual start of a network trained from nothing."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.BatchNorm2d):
            nn.init.ones_(part.weight)
            nn.init.zeros_(part.bias)


def load_encoder_weights(encoder: nn.Module, path: Path | str) -> None:
    """Copy published weights from a state-dict file into an encoder, completely or not at all.

    Weights of a classifier (`classifier_keys`) are left out and batch-norm counters may be absent, as they are in
    older files; any other missing, unknown or differently shaped weight is refused, all of them at once.
    """
    path = Path(path)
    found = _read_weights(path)
    own = encoder.state_dict()
    dropped = tuple(getattr(encoder, "classifier_keys", ()))
    problems = []
    for key, tensor in found.items():
        if key in own:
            if tensor.shape != own[key].shape:
                shapes = f"found shape {tuple(tensor.shape)}, expected {tuple(own[key].shape)}"
                problems.append(Problem(loc=f"{path}:{key}", message=shapes))
            elif tensor.is_floating_point() and not bool(tensor.isfinite().all()):
                problems.append(Problem(loc=f"{path}:{key}", message="holds values that are not finite"))
        elif not key.startswith(dropped):
            problems.append(Problem(loc=f"{path}:{key}", message="this encoder has no such weight"))
    missing = (key for key in own if key not in found and not key.endswith("num_batches_tracked"))
    problems += [Problem(loc=f"{path}:{key}", message="missing") for key in missing]
    if problems:
        raise DataError(
            f"{path}: these weights do not fit encoder {type(encoder).__name__} ({len(problems)} problems):",
            problems=problems,
            hint="the file must be a state dict as torchvision publishes it, of the same architecture",
        )
    encoder.load_state_dict({**own, **{key: tensor for key, tensor in found.items() if key in own}})


def _read_weights(path: Path) -> Mapping[str, Tensor]:
    try:
        content: Any = read_plain(path)
    except FileNotFoundError as error:
        raise SpecError(f"{path}: no such weights file") from error
    except Exception as error:  # a file that is not ours can fail the reader in any way
        raise DataError(
            f"{path}: cannot be read as weights ({str(error).splitlines()[0] if str(error) else type(error).__name__})",
            hint="only files of plain tensors are read, never code: save a state dict, not a whole model",
        ) from error
    if not isinstance(content, Mapping) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        shown = ", ".join(map(str, list(content)[:5])) if isinstance(content, Mapping) else type(content).__name__
        raise DataError(f"{path}: found {shown or 'nothing'}, expected a flat state dict of tensors")
    return content
