"""Threads that draw rows of each other: everything is done once, and what goes wrong is raised by its owner."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ocrmaps.store.writing.team import Team


def test_whoever_has_nothing_to_do_helps():
    team, both, done = Team(2), threading.Barrier(2, timeout=20), []

    def do(part: int) -> None:
        if part < 2:
            both.wait()  # passes only when two threads are at it
        done.append((part, threading.get_ident()))

    with ThreadPoolExecutor(2) as pool:
        begun = threading.Event()
        owner = pool.submit(lambda: team.share(_telling(range(9), begun), do))
        begun.wait(20)
        while not owner.done():
            team.help()
        owner.result()
    assert sorted(part for part, _ in done) == list(range(9)) and len({thread for _, thread in done}) == 2


def test_what_goes_wrong_in_a_helper_is_raised_by_the_owner():
    team, entered, failed = Team(2), threading.Event(), threading.Event()
    owner = threading.get_ident()

    def do(part: int) -> None:
        if threading.get_ident() != owner:
            raise ValueError("in a helper")
        entered.set()
        failed.wait(20)

    def help_once() -> None:
        entered.wait(20)
        team.help()
        failed.set()

    helper = threading.Thread(target=help_once)
    helper.start()
    with pytest.raises(ValueError, match="in a helper"):
        team.share(range(5), do)
    helper.join()


def test_a_thread_that_waits_for_the_disk_leaves_its_place_to_another():
    team, entered = Team(1), threading.Event()

    def other() -> None:
        with team.room:
            entered.set()

    with team.room:
        thread = threading.Thread(target=other)
        thread.start()
        with team.waiting():
            assert entered.wait(20)
    thread.join()


def _telling(parts, begun):
    """Parts as a sequence that says when somebody has begun with them."""
    begun.set()
    return list(parts)
