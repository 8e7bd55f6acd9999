"""Stages of an encoder: which weights belong to which, how fast each learns, which stay as they are.

They are found by following gradients from the features that an encoder declares, so for any encoder.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import nn

from ocrmaps.errors import SpecError
from ocrmaps.model.detector import Detector, declarations


def encoder_stages(detector: Detector) -> list[list[str]]:
    """Names of the encoder's weights, stage by stage: those that the first feature needs, those that the next adds.

    A stage is what lies between two features that the encoder declares; the stem belongs to the first.
    """
    encoder = deepcopy(detector.encoder).train().requires_grad_(True)
    _, strides = declarations(encoder)
    names = {id(parameter): name for name, parameter in encoder.named_parameters()}
    weights = list(encoder.parameters())
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        features = encoder(torch.randn(2, 3, 2 * strides[-1], 2 * strides[-1]))
        stages: list[list[str]] = []
        seen: set[str] = set()
        for feature in features:
            needed = torch.autograd.grad(feature.sum(), weights, retain_graph=True, allow_unused=True)
            reached = [names[id(w)] for w, g in zip(weights, needed, strict=True) if g is not None]
            stages.append([name for name in reached if name not in seen])
            seen.update(reached)
    return stages


def freeze_stages(detector: Detector, stages: int) -> None:
    """Fix the weights of the encoder's first stages."""
    found = encoder_stages(detector) if stages else []
    if stages > len(found):
        raise SpecError(f"model.freeze: found {stages}, this encoder has {len(found)} stages")
    fixed = {f"encoder.{name}" for stage in found[:stages] for name in stage}
    for name, parameter in detector.named_parameters():
        if name in fixed:
            parameter.requires_grad_(False)


def frozen_norms(detector: Detector) -> tuple[nn.Module, ...]:
    """Norms whose weights are fixed: their running statistics must stay too."""
    return tuple(
        module
        for module in detector.modules()
        if getattr(module, "running_mean", None) is not None
        and any(True for _ in module.parameters())
        and not any(parameter.requires_grad for parameter in module.parameters())
    )


def layer_groups(detector: Detector, lr: float, decay: float) -> list[dict[str, Any]]:
    """Parameters with their learning rates: decoder and head at `lr`, each encoder stage before it at `decay` times
    the rate of the stage that follows."""
    learnt = {name: p for name, p in detector.named_parameters() if p.requires_grad}
    if decay == 1:
        return [{"params": list(learnt.values()), "lr": lr}]
    stages = encoder_stages(detector)
    groups = []
    for depth, stage in enumerate(reversed(stages), start=1):
        groups.append({"params": [learnt.pop(f"encoder.{n}") for n in stage if f"encoder.{n}" in learnt],
                       "lr": lr * decay**depth})  # fmt: skip
    groups.append({"params": list(learnt.values()), "lr": lr})
    return [group for group in groups if group["params"]]
