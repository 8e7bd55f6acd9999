"""Starts a run from the weights of another detector: what fits is taken, and what happened to all of it is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ocrmaps.detect.trained import read_checkpoint
from ocrmaps.errors import DataError, SpecError
from ocrmaps.files import digest_of
from ocrmaps.model import Detector, DetectorSpec
from ocrmaps.model.encoders.registry import Residual
from ocrmaps.shipped import NAMES, checkpoint_path
from ocrmaps.training.spec import RunSpec

PARTS = (("encoder", "encoder_options"), ("decoder", "decoder_options"), ("head", "head_options"), ("mean",), ("std",))
"""Settings of a model that belong together: said by a run, or taken from the weights it starts from."""
SHOWN = 4
"""Names of weights that a line shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmStart:
    """What became of the weights that a run started from."""

    name: str
    """The shipped detector or the file's name."""
    sha256: str
    taken: int
    """Tensors that both have, with one shape."""
    missing: tuple[str, ...]
    """The run's, that the file lacks: they start at random, new residual blocks as if they were not there."""
    other_shape: tuple[str, ...]
    """In both, with different shapes: the run's start at random."""
    left: tuple[str, ...]
    """The file's, that the run has no place for."""

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "sha256": self.sha256,
            "taken": self.taken,
            "missing": list(self.missing),
            "other_shape": list(self.other_shape),
            "left": list(self.left),
        }

    def sentence(self) -> str:
        """One line for the screen and the log."""
        parts = {
            "new": self.missing,
            "of another shape, so new": self.other_shape,
            "left out": self.left,
        }
        more = [f"; {len(names)} {what} ({_few(names)})" for what, names in parts.items() if names]
        return f"weights from {self.name} ({self.sha256[:12]}): {self.taken} tensors taken{''.join(more)}"


def _few(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown}, ..."


def follow_weights(spec: RunSpec, resumed: Mapping[str, Any] | None) -> RunSpec:
    """The run with the parts of the detector that it starts from, where it names none of its own.

    `resumed` is the card of a checkpoint of this very run, whose origin may be gone by now.
    """
    if not spec.model.weights:
        return spec
    card = resumed or read_checkpoint(checkpoint_path(spec.model.weights))["ocrmaps"]
    try:
        theirs = DetectorSpec.of(card["model"])
    except (KeyError, TypeError, SpecError) as error:
        raise DataError(f"model.weights: {spec.model.weights}: its description is not complete ({error})") from error
    taken = {
        name: getattr(theirs, name)
        for group in PARTS
        if not any(f"model.{name}" in spec.said for name in group)
        for name in group
    }
    return replace(spec, model=replace(spec.model, **taken))


def warm_start(detector: Detector, weights: str) -> WarmStart:
    """Copy into `detector` what it shares with the detector that `weights` names: a checkpoint, or a shipped one.

    Any store, canvases, decoder and head: only names and shapes decide. Refused where the encoder has nothing of it,
    or where pictures are normalized differently.
    """
    path = checkpoint_path(weights)
    content = read_checkpoint(path)
    found = _weights(content, path)
    own = detector.state_dict()
    for name in ("mean", "std"):
        theirs = found.get(name)
        if theirs is None or not torch.equal(theirs.float().cpu(), own[name].float().cpu()):
            raise DataError(
                f"model.weights: {weights} was trained with {name} "
                f"{None if theirs is None else theirs.flatten().tolist()}, this run has {own[name].flatten().tolist()}",
                hint=f"set model.{name} to what the weights know",
            )
    both = [name for name in own if name in found]
    fitting = {name: found[name] for name in both if found[name].shape == own[name].shape}
    learnt = {name for name, _ in detector.named_parameters()}
    if not any(name.startswith("encoder.") and name in learnt for name in fitting):
        raise SpecError(
            f"model.weights: none of the encoder's weights fit: {weights} holds {_built(content)}, "
            f"this run has {type(detector.encoder).__name__}",
            hint="name the same encoder, with the same channels",
        )
    broken = [name for name, value in fitting.items() if not bool(value.float().isfinite().all())]
    if broken:
        raise DataError(f"model.weights: {weights}: {_few(tuple(broken))} hold values that are not finite")
    detector.load_state_dict({**own, **{name: value.to(own[name].dtype) for name, value in fitting.items()}})
    for name, module in detector.named_modules():
        inside = [f"{name}.{inner}" for inner, _ in module.named_parameters()]
        if isinstance(module, Residual) and not any(inner in fitting for inner in inside):
            module.start_as_identity()
    return WarmStart(
        name=weights if weights in NAMES else Path(weights).name,
        sha256=digest_of(path),
        taken=len(fitting),
        missing=tuple(name for name in own if name not in found),
        other_shape=tuple(name for name in both if name not in fitting),
        left=tuple(name for name in found if name not in own),
    )


def _weights(content: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    prefix = f"{content['ocrmaps'].get('weights')}."
    state = content["state_dict"]
    found = {
        key.removeprefix(prefix): value
        for key, value in (state.items() if isinstance(state, Mapping) else ())
        if isinstance(key, str) and key.startswith(prefix) and isinstance(value, Tensor)
    }
    if not found:
        raise DataError(f"{path}: holds no weights under {prefix!r}, its description is not complete")
    return found


def _built(content: Mapping[str, Any]) -> str:
    built = content["ocrmaps"].get("built")
    encoder = built.get("encoder") if isinstance(built, Mapping) else None
    return str(encoder.get("class")) if isinstance(encoder, Mapping) else "another encoder"
