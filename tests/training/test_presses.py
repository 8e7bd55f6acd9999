"""Ctrl-C pressed again while Python cannot listen, because a step is in the middle of something long."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time

import pytest

from ocrmaps.training.callbacks.stop import Interrupted, Stop
from ocrmaps.training.checkpoint import Keeper


@pytest.fixture(autouse=True)
def a_terminal():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def _deaf_until(done: threading.Thread) -> None:
    """Work in which no handler of Python's runs, until the other thread has pressed."""
    done.start()
    while done.is_alive():
        hashlib.pbkdf2_hmac("sha256", b"x", b"y", 1_000_000)


def _press(number: int, times: int) -> None:
    for _ in range(times):
        time.sleep(0.01)  # fingers are slower
        os.kill(os.getpid(), number)


def test_five_in_one_long_step_are_more_than_one(tmp_path):
    handled, stop = [], Stop(Keeper(tmp_path))
    real = stop._pressed
    stop._pressed = lambda *given: (handled.append(given[0]), real(*given))  # type: ignore[method-assign]
    pressing = threading.Thread(target=_press, args=(signal.SIGINT, 5))
    with pytest.raises(Interrupted, match="interrupted at once") as caught, stop.listening():
        _deaf_until(pressing)
    pressing.join()
    assert caught.value.at_once and len(handled) < 5


def test_one_is_one_and_a_scheduler_may_repeat_itself(tmp_path):
    stop = Stop(Keeper(tmp_path))
    with stop.listening():
        _deaf_until(threading.Thread(target=_press, args=(signal.SIGINT, 1)))
        assert stop.asked == signal.SIGINT
    stop = Stop(Keeper(tmp_path))
    with stop.listening():
        _deaf_until(threading.Thread(target=_press, args=(signal.SIGTERM, 5)))
        assert stop.asked == signal.SIGTERM


def test_what_was_listening_before_listens_again(tmp_path):
    reading, writing = os.pipe2(os.O_NONBLOCK)
    before = signal.set_wakeup_fd(writing)
    try:
        handles = len(os.listdir("/proc/self/fd"))
        with Stop(Keeper(tmp_path)).listening():
            pass
        assert signal.set_wakeup_fd(writing) == writing and len(os.listdir("/proc/self/fd")) == handles
    finally:
        signal.set_wakeup_fd(before)
        os.close(reading)
        os.close(writing)
