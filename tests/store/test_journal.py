"""The journal of receipts: torn tails, damaged lines, and nothing acknowledged lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrmaps.store.writing.journal import Journal

RECEIPTS = [{"shard": f"canvas-64x64/{i}", "text": "é\n" * i} for i in range(4)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def told(path: Path) -> list[object]:
    return [receipt for _, receipt in Journal(path).replay()]


def test_receipts_come_back_in_order(path: Path):
    Journal(path).append(RECEIPTS[:2])
    Journal(path).append(RECEIPTS[2:])
    assert told(path) == RECEIPTS


def test_no_journal_is_no_receipts(path: Path):
    assert told(path) == []


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_torn_last_line_costs_only_itself_and_no_later_one(path: Path, cut: int):
    Journal(path).append(RECEIPTS[:2])
    path.write_bytes(path.read_bytes()[:-cut])
    Journal(path).append(RECEIPTS[2:])
    assert told(path) == [RECEIPTS[0], *RECEIPTS[2:]]


def test_an_append_that_fails_half_way_is_cut_off_by_the_next(path: Path, monkeypatch):
    from ocrmaps.errors import StoreError
    from ocrmaps.store.places import posix as disk

    journal = Journal(path)
    journal.append(RECEIPTS[:1])
    calls = 0

    def seam(step: str, at: Path) -> int | None:
        nonlocal calls
        calls += step == "append"
        if step == "append" and calls == 2:
            raise OSError(5, "Input/output error")
        return 5

    monkeypatch.setattr(disk, "between", seam)
    with pytest.raises(StoreError):
        journal.append(RECEIPTS[1:2])
    monkeypatch.setattr(disk, "between", None)
    journal.append(RECEIPTS[2:])
    assert told(path) == [RECEIPTS[0], *RECEIPTS[2:]]


@given(st.data())
def test_a_damaged_byte_costs_at_most_the_lines_it_touches(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    Journal(path).append(RECEIPTS)
    content = bytearray(path.read_bytes())
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    found = told(path)
    assert all(receipt in RECEIPTS for receipt in found)
    assert len(found) >= len(RECEIPTS) - 2
