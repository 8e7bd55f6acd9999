"""The small store of the training room, a run on it, and one that has learnt its pictures by heart."""

from __future__ import annotations

import pytest

from ocrmaps.pipelines.train import train
from tests.training.conftest import cache, one_thread, small_run, world  # noqa: F401

AUGMENT = {"flip": 0.5, "rotate": 5.0, "scale": [0.8, 1.2], "brightness": 0.2}


class Boom(RuntimeError):
    """A mistake in somebody's layer."""


@pytest.fixture(scope="session")
def ran(world, tmp_path_factory):  # noqa: F811
    """A run that went through, and learnt little."""
    runs = tmp_path_factory.mktemp("debug") / "runs"
    spec = small_run(watch__pictures=0, augment=AUGMENT)
    return train(spec, out=runs / "whole", cache=world / "cache")


@pytest.fixture(scope="session")
def learnt(world, tmp_path_factory):  # noqa: F811
    """A run that knows text when it sees it."""
    out = tmp_path_factory.mktemp("learnt") / "run"
    spec = small_run(
        watch__pictures=0, budget__epochs=50, budget__validate_every=50, optimiser__lr=0.01, augment={"flip": 0.5},
        model__encoder_options={"channels": [16, 16, 24, 24]}, model__decoder_options={"width": 24},
    )  # fmt: skip
    return train(spec, out=out, cache=world / "cache")
