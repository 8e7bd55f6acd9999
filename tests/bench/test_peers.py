"""`bench loader --peers`: the same rows from everybody, and those that are not installed are named."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from ocrmaps.loader import ARRAYS
from ocrmaps.pipelines.bench.cases import peers
from ocrmaps.pipelines.data import synth

# WebDataset leaves the archives that it has read to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
NAMES = {name: modules for name, (modules, _) in peers._PEERS.items()}


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    shapes = {"image": (32, 24, 3), **dict.fromkeys(ARRAYS[1:], (32, 24))}
    return [{name: rng.integers(0, 255, shape, dtype=np.uint8) for name, shape in shapes.items()} for _ in range(5)]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "zarr"])
def test_a_peer_gives_the_rows_that_it_was_given(name, rows, tmp_path):
    missing = [module for module in NAMES[name] if find_spec(module) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}, which no part of ocrmaps needs")
    batches, nbytes = peers._PEERS[name][1](rows, None, tmp_path / "data")
    seen = [tuple(part[i].numpy().tobytes() for part in batch) for batch in batches for i in range(len(batch[0]))]
    assert sorted(seen) == sorted(tuple(row[array].tobytes() for array in ARRAYS) for row in rows)
    assert nbytes > 1000


def test_a_peer_that_leaves_rows_out_is_no_reference():
    with pytest.raises(AssertionError, match="short: found 2 rows, expected 3"):
        peers._timed({"short": [[[1, 2]]]}, 3, 1)


def test_the_record_names_what_was_measured_and_what_is_absent(tmp_path, monkeypatch):
    synth(tmp_path / "src", format="ufo", num=3, seed=0, size=(256, 160), lines=(2, 4), text_height=(10.0, 14.0))
    monkeypatch.setattr(peers, "_PEERS", {**peers._PEERS, "nobody's": (("no_such_module_here",), None)})
    found = {r["name"]: r for r in peers.bench_peers(1, quick=True, source=tmp_path / "src")}
    own = found["loader/ms_per_row"]
    assert own["unit"] == "ms" and own["value"] > 0 and "nobody's" in own["not_installed"]
    assert found["loader/vs_npy_mapped"]["bytes"] > own["raw_bytes"] > own["bytes"] == found["loader/vs_zarr"]["bytes"]
