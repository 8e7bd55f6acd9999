"""Every picture file is looked at once; damage becomes a named fact, never a crash."""

from __future__ import annotations

import os
import threading

import pytest
import xxhash

from ocrmaps.annotations.checks.survey import in_threads, look, survey
from tests.checks.conftest import picture


def test_a_sound_picture_has_header_digest_and_imprint(tmp_path):
    data = picture(90, 60, orientation=6, format="JPEG")
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    found = look(path)
    assert found.header is not None and found.header.size == (60, 90) and found.header.orientation == 6
    assert (found.digest, found.bytes, found.error) == (xxhash.xxh3_128_hexdigest(data), len(data), "")
    assert found.imprint is not None


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b"this is no picture", "not a picture"),
        (picture(300, 200, format="JPEG")[:-400], "truncated"),
        (picture(300, 200)[:900], "damaged or truncated"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "p.png"),
    ],
    ids=["empty", "text", "cut jpeg", "cut png", "png of zeros"],
)
def test_damage_is_named_with_the_file(tmp_path, data, said):
    path = tmp_path / "p.png"
    path.write_bytes(data)
    found = look(path)
    assert said in found.error and "p.png" in found.error
    assert found.imprint is None
    assert found.digest == xxhash.xxh3_128_hexdigest(data)


def test_headers_alone_do_not_see_a_cut_file(tmp_path):
    path = tmp_path / "p.jpg"
    path.write_bytes(picture(300, 200, format="JPEG")[:-400])
    found = look(path, pixels=False)
    assert found.header is not None and found.error == "" and found.imprint is None


def test_a_file_that_cannot_be_opened_is_a_fact_too(tmp_path):
    assert "cannot be opened" in look(tmp_path / "none.png").error
    assert "cannot be opened" in look(tmp_path).error


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_named(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(picture(20, 20))
    path.chmod(0)
    assert "Permission denied" in look(path).error


def test_a_survey_keeps_the_order_and_counts_every_file(tmp_path):
    files = []
    for i in range(7):
        files.append(tmp_path / f"{i}.png")
        files[-1].write_bytes(picture(20 + i, 10) if i != 3 else b"?")
    seen: list[tuple[int, int]] = []
    looks = survey(files, workers=3, progress=lambda done, total: seen.append((done, total)))
    assert [found.header.size[1] if found.header else None for found in looks] == [20, 21, 22, None, 24, 25, 26]
    assert seen == [(i, 7) for i in range(1, 8)]


def test_an_interruption_leaves_few_items_to_wait_for():
    started: list[int] = []
    gate = threading.Event()

    def work(i: int) -> int:
        started.append(i)
        gate.wait(0.05)
        if i == 2:
            raise KeyboardInterrupt
        return i

    with pytest.raises(KeyboardInterrupt):
        for _ in in_threads(work, range(10_000), workers=2):
            pass
    assert len(started) < 20
