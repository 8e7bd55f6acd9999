"""Describes the machine that runs and the code that runs on it: cores, memory, libraries, commit."""

from __future__ import annotations

import gc
import os
import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[1]
"""The folder that holds the library: a checkout's top, or site-packages."""
LIBRARIES = ("lightning", "numba", "numcodecs", "numpy", "pillow", "pyclipper", "shapely", "torch", "zarr")
OPENCV = ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless", "opencv-contrib-python")
"""Distributions that bring the same module; which one is the user's choice."""
ABSENT = "not installed"


def prepare_process() -> None:
    """Set up a process that is all ours, before anything large is imported: how threads wait, how garbage is sought."""
    # Torch's threads wait for each other by spinning, and so take the core that the other one needs: with other work
    # beside it a step took five to ten times as long. Read when torch is first imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # What a command imports stays: looking through it every few hundred objects, as Python does unless told otherwise,
    # is a seventh of the time until a training starts.
    gc.set_threshold(100_000, 10, 10)


def keep_freed_memory() -> bool:
    """Let this process take freed memory again in place of giving it back to the system; False where that is unknown.

    A training step takes and frees the same large blocks each time. Left alone, the GNU C library gives them back, and
    the system clears every page anew: some ten thousand pages a step of a light network in fp32.
    """
    import ctypes

    options = getattr(ctypes.CDLL(None), "mallopt", None)
    if options is None:  # another C library
        return False
    trim, mapped = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h
    return bool(options(mapped, 1 << 30) and options(trim, (1 << 31) - 1))


def cores(most: int | None = None) -> int:
    """How many threads can run at once in this process, at most `most`."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return found if most is None else min(most, found)


@contextmanager
def threads_within(number: int | None) -> Iterator[None]:
    """PyTorch with so many threads inside of a call, and OpenCV with one: pictures are what is handled side by side.

    None changes nothing.
    """
    if number is None:
        yield
        return
    import cv2
    import torch

    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(number)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


def has_bf16() -> bool:
    """Whether this processor multiplies in bfloat16 by itself, so that training in it is faster."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:  # another system, which does not say
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def machine() -> dict[str, Any]:
    """What a reader of figures needs to know about the hardware and the libraries."""
    import psutil

    return {
        "processor": _processor(),
        "cores": cores(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpu": _gpu(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "libraries": _libraries(),
    }


def _libraries() -> dict[str, str]:
    found = {name: _version(name) for name in (*LIBRARIES, *OPENCV)}
    absent = [name for name in OPENCV if found[name] == ABSENT]
    if len(absent) == len(OPENCV):
        found["opencv"] = f"no distribution of {', '.join(OPENCV)}"
    return dict(sorted((name, version) for name, version in found.items() if name not in absent))


def _version(name: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ABSENT


def _gpu() -> str | None:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


@cache
def commit() -> str:
    """The commit of the checkout that runs, with `+changes` when files differ; `unknown` outside a checkout.

    Asked once: what was imported stays as it is, whatever becomes of its files.
    """
    try:
        if not in_checkout():
            return "unknown"
        head, changes = git("rev-parse", "--short=12", "HEAD"), git("status", "--porcelain")
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return head + ("+changes" if changes else "")


def in_checkout() -> bool:
    """Whether the code runs from its own checkout, not from an environment inside another project's."""
    return Path(git("rev-parse", "--show-toplevel")).resolve() == CHECKOUT


def git(*words: str) -> str:
    """What git says about the folder that holds the code."""
    command = ["git", "-C", str(CHECKOUT), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
