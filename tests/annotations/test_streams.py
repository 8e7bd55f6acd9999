"""Json files read piece by piece: the same as a whole, in pieces of any size, without holding the file."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ocrmaps.annotations import scan
from ocrmaps.annotations.columns import Columns, Settled
from ocrmaps.annotations.gather import Gather
from ocrmaps.annotations.grammar import stream
from ocrmaps.annotations.records import Source
from ocrmaps.limits import MOST_POINTS
from tests.annotations import test_coco, test_data_sets, test_doctr, test_labelstudio, test_mmocr, test_ufo, test_via
from tests.contracts.mutations import mutated
from tests.contracts.reader import ReaderContract, lay, source_of

MODULES = (test_coco, test_data_sets, test_doctr, test_labelstudio, test_mmocr, test_ufo, test_via)
CONTRACTS = {
    contract.format: contract
    for module in MODULES
    for contract in vars(module).values()
    if isinstance(contract, type) and issubclass(contract, ReaderContract) and contract is not ReaderContract
}
STREAMED = ("coco", "doctr", "hiertext-lines", "hiertext-words", "labelstudio", "lsvt", "mmocr", "ufo", "via")


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


def _never(*args, **options):
    raise stream.Unstreamable


WORD = '{"points": [[1, 2], [30, 2], [30, 12], [1, 12]], "transcription": "%s"}' % ("x" * 500)
MANY = {
    "lsvt": "{" + ", ".join(f'"gt_{i}": [{", ".join([WORD] * 4)}]' for i in range(2000)) + "}",
    "coco": '{"annotations": ['
    + ", ".join(
        f'{{"image_id": {i % 2000}, "bbox": [1, 2, 3, 4], "area": 12, "segmentation": [[1, 2, 30, 2, 30, 12]], '
        f'"note": "{"x" * 500}"}}'
        for i in range(8000)
    )
    + '], "images": ['
    + ", ".join(f'{{"id": {i}, "file_name": "{i}.jpg"}}' for i in range(2000))
    + "]}",
}


@pytest.mark.parametrize("format", MANY)
def test_memory_follows_the_samples(tmp_path, format):
    source = source_of(lay(tmp_path, {"l.json": MANY[format]}) / "l.json", format)
    tracemalloc.start()
    samples = scan(source).samples
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(samples) == 2000
    assert peak - held < 4 * stream.CHUNK < (tmp_path / "l.json").stat().st_size + 2**20


def test_rows_of_coco_come_in_any_order(tmp_path):
    rows = [
        {"id": i, "image_id": i % 3, "segmentation": [[i, 0, 9, 0, 9, 9]], "utf8_string": f"t{i}"} for i in range(9)
    ]
    images = [{"id": i, "file_name": f"{i}.jpg", "set": "val" if i == 1 else "train"} for i in range(3)]
    for order in (("images", "annotations"), ("annotations", "images")):
        tables = {"images": images, "annotations": [*rows, {"id": 9, "image_id": 1, "bbox": "wrong", "note": 1}]}
        lay(tmp_path, {"c.json": json.dumps({name: tables[name] for name in order})})
        reading = scan(replace(source_of(tmp_path / "c.json", "coco"), split="train"))
        assert [(s.id, s.polygons.texts) for s in reading.samples] == [
            ("0.jpg", ("t0", "t3", "t6")),
            ("2.jpg", ("t2", "t5", "t8")),
        ]
        assert reading.problems == ()
        assert reading.unused == {"pictures of set 'val'": 1}


@pytest.mark.parametrize("text", ["plain", "12:30", 'so \\":'])
@pytest.mark.parametrize("again", ['"text":', '"text" :', '"text"\n\t:'])
@pytest.mark.parametrize("at", [3, 200])
def test_a_key_that_stands_twice_is_found_wherever_it_is(text, again, at):
    rows = [f'{{"a": {{"text": "{text}"}}}}' for _ in range(300)]
    list(stream.members(BytesIO(f"[{', '.join(rows)}]".encode()), list))
    rows[at] = f'{{"a": {{"text": "{text}", {again} ""}}}}'
    with pytest.raises(stream.Unstreamable):
        list(stream.members(BytesIO(f"[{', '.join(rows)}]".encode()), list))


_NUMBER = st.floats() | st.integers(-20, 10**8) | st.booleans()
_OUTLINE = (
    st.lists(st.floats(-1e7, 1e7) | st.integers(-9, 9), min_size=6, max_size=8)
    | st.lists(st.lists(st.floats(-1e7, 1e7), min_size=2, max_size=2), min_size=3, max_size=4)
    | st.lists(_NUMBER, max_size=8)
    | st.lists(st.lists(_NUMBER, max_size=3), max_size=4)
    | st.sampled_from([None, "1,2", [0] * 20_002])
    | st.sampled_from([float("nan"), float("-inf"), 1.1e7, -20_000_000, 10**400]).map(lambda v: [0, 0, 9, v, 9, 9])
)
_ROW = st.tuples(_OUTLINE, st.sampled_from([None, "", "a", "\ud800", 5]), st.sampled_from([False, True, 0, None]))


@given(rows=st.lists(_ROW | st.just(([0, 0, 9, 0, 9, 9], "é", False)), max_size=6), data=st.data())
def test_columns_say_what_is_said_of_outlines_one_by_one(tmp_path_factory, rows, data):
    order = data.draw(st.permutations(range(len(rows))))
    split = data.draw(st.integers(0, len(rows)))
    columns = Columns()
    for outline, text, ignore in rows:
        columns.add(outline, text, ignore, "")
    settled = Settled(columns, np.array(order, dtype=np.int64))
    source = Source(annotations=tmp_path_factory.getbasetemp() / "l", pictures=Path(), format="coco")
    together, alone = Gather(source), Gather(source)
    for name, start, stop in (("a", 0, split), ("b", split, len(rows))):
        since = len(together.problems)
        together.settled(name, settled, start, stop, loc=name, where=str, size=None, since=since)
        mine = [rows[row] for row in order[start:stop]]
        points, texts, ignore = ([row[i] for row in mine] for i in range(3))
        where = [str(row) for row in order[start:stop]]
        alone.sample(name, loc=name, points=points, texts=texts, ignore=ignore, where=where.__getitem__)
    assert together.reading().samples == alone.reading().samples
    # Without the messages: a column turns whole numbers into floats.
    assert [(p.loc, p.kind) for p in together.problems] == [(p.loc, p.kind) for p in alone.problems]


@pytest.mark.parametrize(
    "outline",
    [[0] * (2 * MOST_POINTS + 2), [0, 0, 9, float("nan"), 9, 9], [0, 0, 9, 2e7, 9, 9], [0, 0, 9, 9], [0] * 7, ""],
)
def test_what_is_no_outline_is_none_in_a_column(outline):
    columns = Columns()
    columns.add([0, 0, 9, 0, 9, 9], "a", False, "")
    columns.add(outline, "a", False, "")
    assert Settled(columns).polygons(0, 1, "raw") is not None
    assert Settled(columns).polygons(1, 2, "raw") is None
