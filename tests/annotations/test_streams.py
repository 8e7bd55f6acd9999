"""Json files read piece by piece: the same as a whole, in pieces of any size, without holding the file."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ocrmaps.annotations import scan
from ocrmaps.annotations.gather import Gather
from ocrmaps.annotations.grammar import stream
from tests.annotations import test_data_sets, test_doctr, test_labelstudio, test_mmocr, test_ufo, test_via
from tests.contracts.mutations import mutated
from tests.contracts.reader import ReaderContract, lay, source_of

MODULES = (test_data_sets, test_doctr, test_labelstudio, test_mmocr, test_ufo, test_via)
CONTRACTS = {
    contract.format: contract
    for module in MODULES
    for contract in vars(module).values()
    if isinstance(contract, type) and issubclass(contract, ReaderContract) and contract is not ReaderContract
}
STREAMED = ("doctr", "hiertext-lines", "hiertext-words", "labelstudio", "lsvt", "mmocr", "ufo", "via")


@pytest.mark.parametrize("format", STREAMED)
@pytest.mark.parametrize("size", [1, 7, 2**20])
def test_a_sound_file_is_never_held_as_a_whole(tmp_path, monkeypatch, format, size):
    contract = CONTRACTS[format]
    monkeypatch.setattr(stream, "CHUNK", size)
    monkeypatch.setattr(Gather, "json", None)
    lay(tmp_path, {contract.file: contract.example, "a.jpg": contract.picture})
    reading = scan(source_of(tmp_path / contract.file, format))
    assert reading.problems == ()
    assert [p.tolist() for p in reading.samples[0].polygons] == list(contract.points)


@pytest.mark.parametrize("format", STREAMED)
@settings(max_examples=20, suppress_health_check=list(HealthCheck))
@given(draw=st.data())
def test_a_damaged_file_is_read_as_if_whole(tmp_path, format, draw):
    contract = CONTRACTS[format]
    path = (
        lay(tmp_path, {contract.file: draw.draw(mutated(contract.example)), "a.jpg": contract.picture}) / contract.file
    )
    pieces = scan(source_of(path, format))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "members", _never)
        whole = scan(source_of(path, format))
    assert [(s.id, s.polygons, s.loc) for s in pieces.samples] == [(s.id, s.polygons, s.loc) for s in whole.samples]
    assert (pieces.problems, pieces.notes, pieces.unused) == (whole.problems, whole.notes, whole.unused)


def _never(*args):
    raise stream.Unstreamable


def test_memory_follows_the_samples(tmp_path):
    word = '{"points": [[1, 2], [30, 2], [30, 12], [1, 12]], "transcription": "%s"}'
    picture = "[" + ", ".join([word % ("x" * 500)] * 4) + "]"
    lay(tmp_path, {"l.json": "{" + ", ".join(f'"gt_{i}": {picture}' for i in range(2000)) + "}"})
    source = source_of(tmp_path / "l.json", "lsvt")
    tracemalloc.start()
    samples = scan(source).samples
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(samples) == 2000
    assert peak - held < 4 * stream.CHUNK < (tmp_path / "l.json").stat().st_size + 2**20
