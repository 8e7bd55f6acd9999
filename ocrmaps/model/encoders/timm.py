"""Any convolutional network of timm as an encoder, where timm is installed."""

from __future__ import annotations

import re

from torch import Tensor, nn

from ocrmaps.errors import SpecError
from ocrmaps.model.encoders.registry import AbstractEncoder


class TimmEncoder(AbstractEncoder):
    """The features of `timm:NAME` from stride 4 on."""

    def __init__(self, name: str, *, pretrained: bool = False) -> None:
        super().__init__()
        try:
            import timm  # type: ignore[import-not-found,unused-ignore]
        except ModuleNotFoundError as error:
            raise SpecError(
                f"encoder timm:{name} needs timm, which is not installed",
                hint="install it with the extra: pip install 'ocrmaps[timm]', or choose a built-in encoder",
            ) from error
        # A name alone: with a prefix timm would take it for a folder or a place on the network to load from.
        if not re.fullmatch(r"[A-Za-z0-9_.\-]+", name) or not timm.is_model(name):
            family = name.split("_")[0].split(".")[0]
            near = ", ".join(timm.list_models(f"*{family}*")[:12]) or "none; see timm.list_models()"
            raise SpecError(f"timm has no model {name!r}", hint=f"near it: {near}")
        try:
            every = timm.create_model(name, features_only=True, pretrained=False).feature_info.reduction()
        except (RuntimeError, AttributeError, TypeError, AssertionError) as error:
            raise SpecError(f"timm:{name} cannot give features at several strides ({error})") from error
        taps = tuple(i for i, stride in enumerate(every) if stride >= 4)
        if not taps:
            raise SpecError(f"timm:{name} has features at strides {every}, expected some at 4 or more")
        self.body: nn.Module = timm.create_model(name, features_only=True, pretrained=pretrained, out_indices=taps)
        self.channels = tuple(self.body.feature_info.channels())
        self.strides = tuple(self.body.feature_info.reduction())

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.body(x))
