"""The parts by name, and the building of a detector or a loss from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from ocrmaps.errors import SpecError
from ocrmaps.model.decoder import ASF, FPN, PAN
from ocrmaps.model.detector import Detector, declarations
from ocrmaps.model.encoders.mobilenet import mobilenetv3_large, mobilenetv3_small
from ocrmaps.model.encoders.registry import Light, load_encoder_weights
from ocrmaps.model.encoders.resnet import resnet18, resnet34, resnet50
from ocrmaps.model.encoders.timm import TimmEncoder
from ocrmaps.model.head import DBHead
from ocrmaps.model.loss import DBLoss, FocalDBLoss
from ocrmaps.model.parts import build_part, check_trusted
from ocrmaps.model.spec import DetectorSpec
from ocrmaps.trust import NOTHING, Trusted

ENCODERS: dict[str, Callable[..., nn.Module]] = {
    "light": Light,
    "mobilenetv3_large": mobilenetv3_large,
    "mobilenetv3_small": mobilenetv3_small,
    "resnet18": resnet18,
    "resnet34": resnet34,
    "resnet50": resnet50,
}
DECODERS: dict[str, Callable[..., nn.Module]] = {"asf": ASF, "fpn": FPN, "pan": PAN}
HEADS: dict[str, Callable[..., nn.Module]] = {"db": DBHead}
LOSSES: dict[str, Callable[..., nn.Module]] = {"db": DBLoss, "db-focal": FocalDBLoss}


def build_detector(spec: DetectorSpec, *, pretrained: bool = True, trusted: Trusted = NOTHING) -> Detector:
    """The detector that a spec describes, the same weights for the same spec; the global random state is untouched.

    `pretrained=False` leaves out `encoder_weights`, for a detector whose weights come from a checkpoint.
    `trusted` names the parts from outside the registries that may be imported.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        encoder = _build_encoder(spec, pretrained, trusted)
        channels, strides = declarations(encoder)
        decoder = build_part(
            "decoder", spec.decoder, DECODERS, channels, strides, options=spec.decoder_options, trusted=trusted
        )
        width, stride = getattr(decoder, "channels", None), getattr(decoder, "stride", None)
        if not isinstance(width, int) or not isinstance(stride, int):
            raise SpecError(
                f"decoder {spec.decoder!r} declares channels {width!r} and stride {stride!r}, expected two integers"
            )
        head = build_part("head", spec.head, HEADS, width, stride, options=spec.head_options, trusted=trusted)
    if spec.encoder_weights and pretrained:
        load_encoder_weights(encoder, spec.encoder_weights)
    detector = Detector(encoder, decoder, head, mean=spec.mean, std=spec.std)
    # The layout that stored bytes arrive in; on processors and tensor cores also the faster one.
    return detector.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _build_encoder(spec: DetectorSpec, pretrained: bool, trusted: Trusted) -> nn.Module:
    family, colon, name = spec.encoder.partition(":")
    if family == "timm" and colon:
        options: dict[str, Any] = dict(spec.encoder_options)
        if not pretrained and options.get("pretrained"):
            options["pretrained"] = False
        return build_part("encoder", "timm", {"timm": TimmEncoder}, name, options=options)
    return build_part("encoder", spec.encoder, ENCODERS, options=spec.encoder_options, trusted=trusted)


def check_parts(model: DetectorSpec, loss: str, trusted: Trusted) -> None:
    """Refuse what building would refuse as not trusted; nothing is built or imported."""
    parts = {"encoder": model.encoder, "decoder": model.decoder, "head": model.head, "loss": loss}
    for kind, name in parts.items():
        check_trusted(kind, name, trusted)


def build_loss(name: str = "db", options: Mapping[str, Any] | None = None, *, trusted: Trusted = NOTHING) -> nn.Module:
    """The loss called `name`: a key of `LOSSES` or a trusted `package.module:Name`; every option must be one it takes.

    >>> build_loss("db", {"gamma": 2.0})
    Traceback (most recent call last):
    ocrmaps.errors.SpecError: ...
    """
    return build_part("loss", name, LOSSES, options=options or {}, trusted=trusted)
