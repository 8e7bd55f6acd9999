"""What a detector is built from: the settings alone, without a network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Annotated, Any

from ocrmaps.errors import Problem, SpecError
from ocrmaps.settings.ranges import Range, Rule, Whole0, check

PartName = Annotated[str, Rule("a name", least=1)]
START = ("encoder_weights", "weights")
"""Settings that name a file of this machine."""
_Level = Annotated[float, Range(ge=0, le=255)]
_Spread = Annotated[float, Range(ge=1e-3, le=255)]


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorSpec:
    """What a detector is built from; stored in its checkpoints, so that the same one can be built again.

    >>> DetectorSpec.of({"encoder": "light", "decoder_options": {"width": 48}}).decoder_options
    {'width': 48}
    """

    encoder: PartName = "resnet18"
    """A key of `ENCODERS`, `timm:NAME`, or `package.module:Name`."""
    encoder_options: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the encoder; one that it does not take is refused."""
    encoder_weights: str = ""
    """A state-dict file of published weights to start from; empty starts from random ones."""
    weights: str = ""
    """A checkpoint or a shipped detector such as `receipts`, whose weights are taken where they fit; parts that are not
    said are its parts."""
    freeze: Whole0 = 0
    """How many of the encoder's first stages stay as they were started; needs weights to start from."""
    decoder: PartName = "fpn"
    """A key of `DECODERS`, or `package.module:Name`."""
    decoder_options: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the decoder, such as `width`."""
    head: PartName = "db"
    """A key of `HEADS`, or `package.module:Name`."""
    head_options: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the head."""
    mean: Annotated[tuple[_Level, _Level, _Level], Rule("three numbers (R, G, B) from 0 to 255")] = (
        123.675,
        116.28,
        103.53,
    )
    """RGB of 0 to 255 that becomes 0; the default is what published weights were trained with."""
    std: Annotated[tuple[_Spread, _Spread, _Spread], Rule("three numbers (R, G, B) from 0.001 to 255")] = (
        58.395,
        57.12,
        57.375,
    )
    """RGB distance from the mean that becomes 1."""
    seed: Annotated[int, Range(ge=0, le=2**63 - 1)] = 0
    """Of the random weights."""

    def __post_init__(self) -> None:
        check(self, "model", _start)

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> DetectorSpec:
        """From plain data; unknown settings are refused."""
        known = [f.name for f in fields(cls)]
        unknown = [key for key in data if key not in known]
        if unknown:
            raise SpecError(
                "unknown model settings:",
                problems=[Problem(f"model.{key}", f"unknown; known here: {', '.join(known)}") for key in unknown],
            )
        return cls(**data)

    def as_dict(self) -> dict[str, Any]:
        """Plain data that `of` reads back."""
        return asdict(self)


def _start(model: DetectorSpec) -> Iterator[tuple[str, str]]:
    """Weights have one origin, and only those that have one can stay."""
    if model.weights and model.encoder_weights:
        yield "weights", f"found {model.weights!r} beside model.encoder_weights, expected one of the two"
    if model.freeze and not (model.weights or model.encoder_weights):
        yield "freeze", f"found {model.freeze}, expected weights or encoder_weights beside it: random ones must learn"
