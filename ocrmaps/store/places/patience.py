"""How long and how often a place is asked; says that it does not answer to whoever listens (`progress.listen`)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ocrmaps import progress

LOOKS = 6
"""How often bytes are fetched before they are called wrong: a connection may have changed them."""
SAY_SECONDS, AGAIN_SECONDS, LOOK_SECONDS = 2.0, 10.0, 0.5
"""Until the first word, between two words, and between two looks."""


@dataclass(slots=True)
class Request:
    """A request that has not been answered."""

    host: str
    tries: int
    since: float
    number: int = 1
    """Which try it is at."""


_waiting: dict[int, Request] = {}
_lock = threading.Lock()
_watching = False


@contextmanager
def patience(host: str, tries: int) -> Iterator[Request]:
    """Watch over one request with all its tries."""
    request = Request(host, tries, time.monotonic())
    if progress.listener() is None:
        yield request
        return
    global _watching
    with _lock:
        _waiting[id(request)] = request
        begin, _watching = not _watching, True
    if begin:
        threading.Thread(target=_watch, daemon=True).start()
    try:
        yield request
    finally:
        with _lock:
            del _waiting[id(request)]


def _watch() -> None:
    """Look now and then while anything waits; the request that has waited longest speaks for all."""
    global _watching
    said = 0.0
    while True:
        time.sleep(LOOK_SECONDS)
        with _lock:
            if not _waiting:
                _watching = False
                return
            oldest = min(_waiting.values(), key=lambda request: request.since)
            now = time.monotonic()
            due = now - oldest.since >= SAY_SECONDS and (not said or now - said >= AGAIN_SECONDS)
            line = f"no answer from {oldest.host} yet, trying again ({oldest.number} of {oldest.tries})"
        say = progress.listener()
        if due and say is not None:
            said = now
            say(line)
