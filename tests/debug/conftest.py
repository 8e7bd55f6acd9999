"""A small store of marked receipts, a run on it that learnt little, and one that knows text when it sees it."""

from __future__ import annotations

import pytest

from ocrmaps.pipelines.train import train
from tests.known import KNOWN
from tests.training.conftest import cache, make_world, small_run  # noqa: F401

AUGMENT = {"flip": 0.5, "rotate": 5.0, "scale": [0.8, 1.2], "brightness": 0.2}


class Boom(RuntimeError):
    """A mistake in somebody's layer."""


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A folder with `train`, `val` and a cache that holds the store `tiny`, its texts marked for `tests.known`."""
    return make_world(tmp_path_factory.mktemp("marked"), marked=True)


@pytest.fixture(scope="session")
def ran(world, tmp_path_factory):
    """A run that went through, and learnt little."""
    runs = tmp_path_factory.mktemp("debug") / "runs"
    spec = small_run(watch__pictures=0, augment=AUGMENT)
    return train(spec, out=runs / "whole", cache=world / "cache")


@pytest.fixture(scope="session")
def learnt(world, tmp_path_factory):
    """A run that knows text when it sees it: its network's weights are written by hand."""
    out = tmp_path_factory.mktemp("learnt") / "run"
    spec = small_run(**KNOWN, watch__pictures=0, budget__epochs=1, augment={"flip": 0.5})
    return train(spec, out=out, cache=world / "cache")
