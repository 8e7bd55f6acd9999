"""Lines of txt results: one layout for all, told by rules that are written down, or refused with a way to say it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrmaps.errors import AnnotationError, SpecError
from ocrmaps.evaluation.predictions.layout import RESTS, SHAPES, LineLayout, decide, take_apart

QUAD = "10,10,50,10,50,30,10,30"
SIX = "10,10,30,8,50,10,50,30,30,28,10,30"


def lines(*texts: str):
    return take_apart([(f"res_1.txt:{i}", text) for i, text in enumerate(texts, start=1)])


def told(*texts: str, scale: str = "probability") -> str:
    return str(decide(lines(*texts), scale))


@pytest.mark.parametrize(
    ("texts", "layout"),
    [
        ([QUAD], "quad"),
        ([f"{QUAD},0.98"], "quad,score"),
        ([f"{QUAD},1", f"{QUAD},0"], "quad,score"),
        (["10,10,50,30"], "box"),
        (["10,10,50,30,0.5"], "box,score"),
        (["10 10 50 30 0.5"], "box,score"),
        (["10, 10, 50, 30, 0.5"], "box,score"),
        ([QUAD, SIX], "polygon"),
        ([f"{QUAD},.5", f"{SIX},1e-3"], "polygon,score"),
        (["1,1,9,1,5,9"], "polygon"),
        ([f"{QUAD},TOTAL"], "quad,text"),
        ([f"{QUAD},0.5,TOTAL"], "quad,score,text"),
        ([f"{QUAD},TOTAL,0.5", f"{QUAD},a, b,0.25"], "quad,text,score"),
        (["10,10,50,30,TOTAL"], "box,text"),
        (["10,10,50,30,0.5,TOTAL"], "box,score,text"),
        (["10,10,50,30,0.5,TOTAL", "10,10,50,30,0.25,"], "box,score,text"),
        ([f"{QUAD},TOTAL", f"{QUAD},2023"], "quad,text"),
        ([f"{QUAD},TOTAL", QUAD], "quad,text"),
        ([f"{QUAD},TOTAL,0.5", f"{QUAD},12.50,0.25"], "quad,text,score"),
        ([f"{QUAD},####TOTAL", f"{SIX},####12"], "polygon,text"),
        ([f'{QUAD},"a"', f'{SIX},"b"'], "polygon,text"),
        ([f"{SIX},TOTAL"], "polygon,text"),
        ([f"{SIX},0.5,TOTAL", f"{QUAD},0.25,b"], "polygon,score,text"),
        ([f"{QUAD},TOTAL,1", f"{QUAD},b,0"], "quad,text"),
    ],
)
def test_layouts_are_told_by_the_lines_alone(texts, layout):
    if layout == "polygon,text" and texts == [f"{SIX},TOTAL"]:
        with pytest.raises(AnnotationError, match="points of an outline or the beginning of the text"):
            told(*texts)
        return
    assert told(*texts) == layout


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([QUAD, f"{QUAD},0.98"], "no layout fits all lines"),
        (["10,10,50,30", QUAD], "no layout fits all lines"),
        (["10,10,50,30,0.5", f"{QUAD},0.5"], "no layout fits all lines"),
        (["1,2"], "no layout fits all lines"),
        (["TOTAL"], "no layout fits all lines"),
        ([f"{QUAD},3.5"], "are outside 0 to 1"),
        ([f"{QUAD},nan", f"{QUAD},0.5"], "are outside 0 to 1"),
        ([f"{QUAD},0.98,0.87"], "a point or two scores"),
        ([f"{QUAD},0.98,TOTAL,0.5"], "can be quad,score,text or quad,text,score"),
        ([f"{QUAD},TOTAL", f"{QUAD},12,50,x"], "points of an outline or the beginning of the text"),
        (["10 10 50 30 0.5", "10,10,50,30,0.5"], "no layout fits all lines"),
    ],
)
def test_lines_that_contradict_each_other_or_say_two_things_are_refused(texts, message):
    with pytest.raises(AnnotationError, match=message) as caught:
        told(*texts)
    assert "--predictions-layout" in caught.value.hint
    assert caught.value.problems[0].loc.startswith("res_1.txt:")


def test_scores_of_another_scale_are_told_where_a_person_says_so():
    assert told(f"{QUAD},-3.5", f"{QUAD},7", scale="rank") == "quad,score"
    assert told(f"{QUAD},97.5", scale="none") == "quad,score"


@pytest.mark.parametrize("text", ["", "quads", "quad,text,text", "quad,confidence", "score", "box,score,text,score"])
def test_a_layout_that_is_none_is_refused_with_those_there_are(text):
    with pytest.raises(SpecError, match="expected box, xywh, quad, polygon"):
        LineLayout.parse(text)


coordinate = st.integers(-50, 4000).map(str) | st.floats(-50, 4000, allow_nan=False).map(repr)
share = st.floats(0.01, 0.99).map(repr)
word = st.text("abcXYZ €!", min_size=1, max_size=8).filter(lambda t: t.strip() == t and t)
NUMBERED = [(shape, rest) for shape, rest in itertools.product(SHAPES, RESTS) if shape != "xywh"]


@settings(max_examples=150)
@given(data=st.data(), case=st.sampled_from(NUMBERED), count=st.integers(2, 6))
def test_what_one_writer_writes_is_never_read_as_something_else(data, case, count):
    """Refused at worst: a reading that is given is the one that was written."""
    shape, rest = case
    made = []
    for _ in range(count):
        k = SHAPES[shape] or 2 * data.draw(st.integers(3, 9))
        front = data.draw(st.lists(coordinate, min_size=k, max_size=k))
        parts = {"score": data.draw(share), "text": data.draw(word)}
        made.append((k, parts, ",".join([*front, *(parts[name] for name in rest)])))
    taken = lines(*(text for _, _, text in made))
    try:
        layout = decide(taken, "probability")
    except AnnotationError:
        # Texts of letters only leave a doubt in these cases alone.
        assert (shape, "text" in rest) == ("polygon", True) or all(0 <= float(v) <= 1 for v in taken[0].fields[-2:])
        return
    for line, (k, parts, _) in zip(taken, made, strict=True):
        assert layout.coordinates(line) == k
        assert layout.score(line, k) == (parts["score"] if "score" in rest else None)
        assert layout.text(line, k) == (parts["text"] if "text" in rest else None)


def test_a_told_layout_says_which_line_is_not_of_it(tmp_path):
    from ocrmaps.evaluation.predictions import read_prediction_file

    (tmp_path / "res_1.txt").write_text(f"{QUAD},12,50 EUR\n{QUAD},7,TOTAL\n")
    found = read_prediction_file(tmp_path / "res_1.txt", layout="quad,text")
    assert found.pictures[0].polygons.texts == ("12,50 EUR", "7,TOTAL")
    (tmp_path / "res_2.txt").write_text("10,10,30,5,0.5\n10,10,30\n10,10,-3,5,0.5\n")
    with pytest.raises(AnnotationError) as caught:
        read_prediction_file(tmp_path / "res_2.txt", layout="box,score")
    said = [str(problem) for problem in caught.value.problems]
    assert "expected left top right bottom" in said[0] and "found 3 numbers, expected box,score" in said[1]
    (tmp_path / "res_3.txt").write_text("10,10,30,5,0.5\n")
    read = read_prediction_file(tmp_path / "res_3.txt", layout="xywh,score").pictures[0]
    assert read.polygons.bounds().tolist() == [[10, 10, 40, 15]] and read.scores.tolist() == [0.5]
