"""Fixtures of the room: places in memory for whatever needs no server, one real server for the rest."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cloud import server
from tests.store.world import World, make_world


@pytest.fixture(scope="session", autouse=True)
def _obstore() -> None:
    pytest.importorskip("obstore", reason="needs the extra [cloud]")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A cache with one version of seven rows. Nobody changes it."""
    world = make_world(tmp_path_factory.mktemp("built"))
    world.build()
    return world


@pytest.fixture(scope="session")
def s3_port() -> Iterator[int]:
    """The port of a real S3 server in its own process."""
    reason = server.missing()
    if reason:
        pytest.skip(reason)
    with server.s3_server() as port:
        yield port


@pytest.fixture
def proxy(s3_port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[server.Proxy]:
    """A proxy before that server; whoever opens an s3:// place reaches it."""
    before = server.Proxy(s3_port)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in server.environment(before.port).items():
        monkeypatch.setenv(name, value)
    yield before
    before.close()


@pytest.fixture
def bucket(proxy: server.Proxy, tmp_path: Path) -> str:
    """The URL of a folder in the bucket that no other test has."""
    return f"s3://{server.BUCKET}/{tmp_path.parent.name}/{tmp_path.name}"


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries follow each other quickly; how many there are is what is tested."""
    from ocrmaps.store.places import objects

    monkeypatch.setattr(objects, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(objects, "LONGEST_PAUSE", 0.02)
