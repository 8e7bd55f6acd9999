"""The same bytes from any thread, any processor and any day: pinned digests, and the code that they rest on."""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import subprocess
import sys
import time
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numba
import numpy as np
import pytest
from numba.core.caching import CompileResultCacheImpl
from numba.core.registry import CPUDispatcher

from ocrmaps import compiled as compiling
from ocrmaps.compiled import compiled
from ocrmaps.geometry import PolygonSet
from ocrmaps.maps import Maps, MapSpec, draw_maps
from ocrmaps.maps import kernels as maps_kernels
from ocrmaps.maps import official as maps_official
from ocrmaps.maps import rings as maps_rings

MODULES = (maps_kernels, maps_official, maps_rings)
ROOT = Path(__file__).resolve().parents[2]

PINNED = {
    "exact": "eaa56a51ebd27228a39bb5f082b4cf37b607c7b5c98f592267960b0f8e0b8bc3",
    "official": "ce30b61c50c1f18eb2403874b6d2faaa844f15bb410081919189ff3413960d76",
}
"""Change one only together with `ALGORITHMS`: other bytes under the same number make stores lie."""


def fixed_page() -> PolygonSet:
    """Sixty polygons from whole-number arithmetic alone, so that no library's sine decides their bits."""
    state, polygons, ignore = 12345, [], []

    def number(limit: int) -> float:
        nonlocal state
        state = (state * 1103515245 + 12345) % 2**31
        return (state >> 8) % (limit * 1024) / 1024

    for i in range(60):
        x, y, u, v, t = number(240) - 20, number(180) - 20, number(60) + 6, number(24) + 4, number(30) - 15
        corners = [(x, y), (x + u, y + t), (x + u - t / 2, y + t + v), (x - t / 2, y + v)]
        if i % 5 == 0:
            corners[2:2] = [(x + u + 3, y + t + v / 3), (x + 0.75 * u, y + t + v / 2)]
        polygons.append(corners)
        ignore.append(i % 7 == 0)
    return PolygonSet.of(polygons, frame="canonical", ignore=ignore)


def digest(maps: Maps) -> str:
    seen = hashlib.sha256()
    for array in (maps.probability, maps.threshold, maps.probability_mask, maps.threshold_mask, maps.distances):
        seen.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
    seen.update("|".join(maps.outcomes).encode())
    return seen.hexdigest()


def draw(style: str) -> str:
    return digest(draw_maps(fixed_page(), MapSpec(style=style), (160, 240)))  # type: ignore[arg-type]


@pytest.mark.parametrize("style", PINNED)
def test_the_bytes_are_the_pinned_ones(style):
    assert draw(style) == PINNED[style]


@pytest.mark.parametrize("style", PINNED)
def test_threads_change_nothing(style):
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(draw, [style] * 16)) == {PINNED[style]}


def test_a_processor_without_vector_or_fused_instructions_draws_the_same_bytes():
    code = "from tests.maps.test_determinism import draw; print(draw('exact'))"
    # The machine code is kept beside that for this processor: until the source changes it is compiled once.
    env = {**os.environ, "NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == PINNED["exact"]


def fresh(module: types.ModuleType) -> dict[str, object]:
    """The compiled functions of a module without their cache, so that their assembly can be read."""
    names = dict(vars(module))
    for name, value in vars(module).items():
        if isinstance(value, CPUDispatcher):
            f = value.py_func
            names[name] = numba.njit(nogil=True)(types.FunctionType(f.__code__, names, name))
    return names


def fused(assembly: str) -> list[str]:
    """Fused multiply-add instructions of x86 (vfmadd, vfnmsub...) and of ARM (fmadd, fmla...)."""
    return re.findall(r"\s(v?fn?m(?:add|sub|la|ls)\w*)\s", assembly)


def test_no_product_is_fused_with_a_sum():
    assert fused("\tvfmadd231pd\t%ymm1, %ymm2, %ymm3\n") and fused("\tfmla\tv0.2d, v1.2d, v2.2d\n")
    run = fresh(maps_kernels)["_measure_run"]
    run(np.ones(8), np.ones(8), 1.0, 1.0, 1.0, 1.0, 1.0)  # type: ignore[operator]
    (assembly,) = run.inspect_asm().values()  # type: ignore[attr-defined]
    assert "mul" in assembly and not fused(assembly)


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.__name__)
def test_compiled_functions_hold_no_lock_and_keep_ieee_arithmetic(module):
    found = [value for value in vars(module).values() if isinstance(value, CPUDispatcher)]
    assert found
    for function in found:
        assert function.targetoptions.get("nogil") is True
        assert not function.targetoptions.get("fastmath") and not function.targetoptions.get("parallel")


def strangers(module: types.ModuleType) -> list[str]:
    """Compiled functions of other files that this module's compiled functions call."""
    names = {n for v in vars(module).values() if isinstance(v, CPUDispatcher) for n in v.py_func.__code__.co_names}
    here = vars(module)
    return [n for n in names if isinstance(here.get(n), CPUDispatcher) and here[n].__module__ != module.__name__]


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.__name__)
def test_compiled_code_depends_on_its_own_file_only(module):
    assert strangers(module) == []


def test_the_check_for_other_files_can_fail():
    module = types.ModuleType("other")
    vars(module).update(thickness=maps_kernels.thickness)
    exec("def f(a, b):\n    return thickness(a, b)", vars(module))
    vars(module)["f"] = numba.njit(vars(module)["f"])
    assert strangers(module) == ["thickness"]


def test_code_is_compiled_where_no_cache_folder_can_be_written(monkeypatch):
    monkeypatch.setattr(CompileResultCacheImpl, "_locator_classes", [])

    def twice(x: float) -> float:
        return x + x

    with pytest.raises(RuntimeError, match="cannot cache"):
        numba.njit(cache=True)(twice)
    assert compiled(twice)(2.0) == 4.0


def test_importing_the_public_names_loads_no_compiler():
    code = "import sys, ocrmaps.maps; print([m for m in ('numba', 'cv2', 'shapely', 'pyclipper') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert importlib.import_module("ocrmaps.maps").draw_maps is draw_maps


TWO = """
import os, sys, time
from ocrmaps.compiled import compiled

@compiled
def inner(x):
    return x + 1

@compiled
def outer(x):
    return inner(x) * 2
"""

TOGETHER = f"""{TWO}
def work():
    while time.time() < float(os.environ["START"]):
        time.sleep(0.01)
    assert outer(3) == 8
    os.write(1, b"%d " % sum(outer.stats.cache_misses.values()))
    os._exit(0)

for child in [os.fork() or work() for _ in range(3)]:
    assert os.waitpid(child, 0)[1] == 0
"""


def test_processes_that_need_a_function_at_once_compile_it_once(tmp_path):
    module = tmp_path / "together.py"
    module.write_text(TOGETHER, encoding="utf-8")
    environ = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "kept"), "START": str(time.time() + 1)}
    done = subprocess.run([sys.executable, module], cwd=ROOT, env=environ | {"PYTHONPATH": str(ROOT)},
                          capture_output=True, text=True)  # fmt: skip
    assert not done.returncode, done.stderr
    assert sorted(done.stdout.split()) == ["0", "0", "1"]


KEPT = f"""{TWO}
for called in map(globals().get, sys.argv[1:]):
    print(called(3), sum(called.stats.cache_hits.values()), "numba.np.linalg" in sys.modules)
"""


def test_what_is_kept_is_used_without_the_compiler_and_by_what_is_compiled_later(tmp_path):
    module, kept = tmp_path / "kept.py", tmp_path / "files"
    module.write_text(KEPT, encoding="utf-8")
    environ = {**os.environ, "NUMBA_CACHE_DIR": str(kept), "PYTHONPATH": str(ROOT)}

    def said(*called: str) -> list[str]:
        """Of each call its result, how many were kept, and whether the compiler was made ready."""
        done = subprocess.run([sys.executable, module, *called], cwd=ROOT, env=environ, capture_output=True, text=True)
        assert not done.returncode, done.stderr
        return done.stdout.splitlines()

    assert said("outer") == ["8 0 True"]
    assert said("outer", "inner") == ["8 1 False", "4 1 False"]
    for file in kept.rglob("kept.outer-*"):
        file.unlink()
    assert said("inner", "outer") == ["4 1 False", "8 0 True"]


def test_a_process_that_died_while_it_compiled_holds_nobody_up(tmp_path):
    turn = compiling._Turn(str(tmp_path))
    assert compiling._Turn(str(tmp_path))._handle is None  # for the sake of the first
    turn.end()
    turn = compiling._Turn(str(tmp_path))
    assert not compiling._is_locked(os.open(tmp_path, os.O_RDONLY))
    os.close(turn._handle)  # as the kernel does
    assert compiling._is_locked(os.open(tmp_path, os.O_RDONLY))
    compiling._Turn._taken = None


def test_compiling_is_told_once_where_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("ocrmaps.compiled._told", set())
    told: list[str] = []
    monkeypatch.setattr("ocrmaps.progress._listener", told.append)

    def half(x):
        return x / 2

    def double(x):
        return x * 2

    assert compiled(half)(3.0) + compiled(double)(1.0) == 3.5
    assert told == [f"compiling once for this machine: {__name__} (about 1 s)"]
    monkeypatch.setattr("ocrmaps.compiled._told", set())
    assert compiled(half)(3.0) == 1.5
    assert len(told) == 1
