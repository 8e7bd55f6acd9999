"""The declared frame against the pictures: museum B1, B3 and B4, and what bounds can and cannot tell."""

from __future__ import annotations

import pytest

from ocrmaps.annotations.checks.frames import FrameTable, check_frame, explain, require_frame
from ocrmaps.annotations.records import Sample
from ocrmaps.errors import FrameError
from ocrmaps.geometry import PolygonSet, upright_affine
from ocrmaps.pictures import Header

# A stored landscape picture; with orientation 6 a viewer shows 960 x 1280.
SIZE = (960, 1280)


def header(orientation: int, size=SIZE, tag: int | None = -2) -> Header:
    return Header(size=size, orientation=orientation, orientation_tag=orientation if tag == -2 else tag,
                  format="JPEG", mode="RGB")  # fmt: skip


def line(x: float, y: float, w: float = 200, h: float = 30):
    return [(x, y), (x + w, y), (x + w, y + h), (x, y + h)]


COMMON = [line(100, 100), line(300, 500), line(600, 800)]
"""Text in the area that both frames share."""
LOW = [*COMMON, line(100, 1200)]
"""Text that only fits a picture 1280 high."""
RIGHT = [*COMMON, line(1000, 100)]
"""Text that only fits a picture 1280 wide."""


def source(*groups):
    """Samples and headers of (number, orientation, outlines[, size]) groups."""
    samples, headers = [], {}
    for number, orientation, outlines, *size in groups:
        for _ in range(number):
            name = f"{len(samples):04d}.jpg"
            samples.append(Sample(id=name, polygons=PolygonSet.of(outlines, frame="upright"), loc=name))
            headers[name] = header(orientation, *size)
    return samples, headers


def test_b1_upright_polygons_declared_raw_are_refused_with_the_table_and_the_fix():
    samples, headers = source((23, 1, RIGHT), (8, 6, LOW), (1, 6, COMMON))
    table = check_frame(samples, headers, "raw")
    assert table.verdict == "contradicted"
    with pytest.raises(FrameError) as caught:
        require_frame(table, "train")
    said = str(caught.value)
    assert "declared raw" in said and "8 pictures fit only upright" in said
    assert [line.split() for line in said.splitlines() if line.split()[0] == "6"] == [["6", "0", "8", "1", "0", "0"]]
    assert caught.value.hint == "declare it: --frame upright"


def test_b1_the_right_declaration_is_confirmed_for_both_frames():
    upright, headers = source((5, 6, LOW), (9, 1, RIGHT))
    assert check_frame(upright, headers, "upright").verdict == "confirmed"
    raw = [
        Sample(id=s.id, polygons=s.polygons.transform(turn.inverse(), "raw"), loc=s.loc)
        for s in upright
        for turn in [upright_affine(headers[s.id].orientation, SIZE)]
    ]
    table = check_frame(raw, headers, "raw")
    assert table.verdict == "confirmed"
    require_frame(table)


def test_b3_a_handful_of_sloppy_labels_does_not_turn_the_verdict():
    # 1281.9 on a picture 1280 high, and worse: single labels that stick out of the declared frame only.
    sloppy = [*COMMON, line(800, 300, 170)]  # reaches x = 970 of 960
    samples, headers = source((40, 6, LOW), (2, 6, sloppy), (100, 1, [*RIGHT, line(300, 952, 50)]))
    table = check_frame(samples, headers, "upright")
    assert table.verdict in ("confirmed", "mixed")
    require_frame(table)


def test_b3_sloppy_labels_alone_are_no_majority_of_the_pictures_that_could_tell():
    far = [*COMMON, line(800, 300, 260)]
    samples, headers = source((10, 6, COMMON), (2, 6, far))
    table = check_frame(samples, headers, "upright")
    assert table.verdict == "mixed"
    require_frame(table)


def test_one_stray_outline_in_a_dense_picture_is_no_evidence():
    dense = [line(100, 20 + 30 * i, 400, 20) for i in range(29)]
    samples, headers = source((6, 6, [*dense, line(1000, 100)]))
    assert check_frame(samples, headers, "upright").verdict == "undecided"


def test_b3_the_tolerance_is_stated_where_the_verdict_is():
    samples, headers = source((1, 6, LOW))
    said = "\n".join(explain(check_frame(samples, headers, "upright")))
    assert "3 px" in said and "1%" in said and "2 to 4" in said


def test_b4_the_joint_distribution_shows_one_orientation_struck():
    # 875 pictures of orientation 6, 867 of them with y beyond the stored height, among 3272.
    samples, headers = source((235, 1, RIGHT), (87, 6, LOW), (1, 6, COMMON))
    table = check_frame(samples, headers, "raw")
    assert table.rows[1]["both"] == 235 and table.rows[1]["neither"] == 0
    assert table.rows[6] == {"raw": 0, "upright": 87, "both": 1, "neither": 0, "sideways": 0}
    assert len(table.against) == 87


@pytest.mark.parametrize("orientation", [1, 2, 3, 4])
def test_mirrored_and_half_turned_pictures_cannot_decide(orientation):
    samples, headers = source((20, orientation, RIGHT))
    for declared in ("raw", "upright"):
        assert check_frame(samples, headers, declared).verdict == "undecided"


def test_square_pictures_cannot_decide():
    samples, headers = source((20, 6, LOW, (1300, 1300)))
    assert check_frame(samples, headers, "raw").verdict == "undecided"


def test_a_source_of_both_frames_is_mixed_and_names_the_pictures():
    samples, headers = source((20, 6, LOW), (10, 8, RIGHT))
    table = check_frame(samples, headers, "upright")
    assert table.verdict == "mixed"
    assert table.against == tuple(s.id for s in samples[20:])


def test_labels_that_fit_only_a_turned_picture_without_a_tag_are_sideways():
    samples, headers = source((3, 1, LOW), (5, 1, RIGHT))
    table = check_frame(samples, headers, "upright")
    assert table.sideways == tuple(s.id for s in samples[:3])
    assert table.verdict == "undecided"


def test_pictures_without_header_or_outlines_do_not_vote():
    samples, headers = source((4, 6, LOW), (2, 6, []))
    del headers[samples[0].id]
    table = check_frame(samples, headers, "upright")
    assert sum(table.rows[6].values()) == 3


def test_nonsense_coordinates_do_not_vote():
    samples, headers = source((4, 6, [*LOW, line(1e9, 1e9)]))
    assert check_frame(samples, headers, "upright").verdict == "confirmed"


def test_nothing_to_judge_is_undecided():
    assert check_frame([], {}, "upright").verdict == "undecided"
    assert FrameTable(declared="raw", rows={}, against=()).other == "upright"
