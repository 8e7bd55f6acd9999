"""No cell of a csv table that we write is a formula to a spreadsheet, and every text reads back as it was."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ocrmaps.annotations import Sample, Source
from ocrmaps.annotations.formats import submission
from ocrmaps.cells import Numbers, cell, guarded, plain, table
from ocrmaps.evaluation import Evaluation, EvaluationSpec, evaluate, judge_picture, read_evaluation, write_evaluation
from ocrmaps.geometry import PolygonSet
from ocrmaps.training.callbacks.log import read_metrics, write_metrics

FORMULAS = ("=cmd|' /C calc'!A0", "+1+cmd", "-2+3+cmd", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "'=1", "''@x")
START = ("=", "+", "-", "@", "\t", "\r", "\n")


@given(st.one_of(st.text(), st.text(alphabet="'=+-@\t\r\n1.5eax,\"|")))
@example("-1.5")
@example("'-1.5")
@example("-")
@example("+1e5")
def test_any_text_is_no_formula_and_comes_back(text):
    kept = next(csv.reader(io.StringIO(table(["c", "d"], [[text, "x"]]).split("\n", 1)[1], newline="")))[0]
    assert plain(kept) == text
    if kept.startswith(START):
        assert kept == text and float(kept) is not None  # a number, which is no formula


@pytest.mark.parametrize(
    "value", [-1.5, -7, 1e-300, float("-inf"), "-1.5", "-7", "+3", "-1e-5", Numbers("-1.0 2.0|3 4")]
)
def test_numbers_stay_numbers(value):
    assert cell(value) == str(value)


@pytest.mark.parametrize("text", FORMULAS)
def test_what_begins_like_a_formula_gets_an_apostrophe(text):
    assert guarded(text) == "'" + text and cell(text, raw=True) == text


def evaluation_of(text: str) -> Evaluation:
    quad = [[-2.0, 1], [30, 1], [30, 9], [-2.0, 9]]
    truth = PolygonSet.of([quad], frame="raw", texts=[text])
    spec = EvaluationSpec()
    picture = judge_picture(f"{text}.png", truth, PolygonSet.of([quad], frame="raw"), spec=spec, scores=np.ones(1))
    return evaluate([picture], [f"{text}.png"], spec=spec)


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("text", FORMULAS)
def test_the_tables_of_an_evaluation_hold_no_formula_and_read_back(tmp_path, text, raw):
    write_evaluation(evaluation_of(text), tmp_path, raw_csv=raw)
    for name in ("images.csv", "texts.csv"):
        with (tmp_path / name).open(newline="") as file:
            rows = list(csv.reader(file))
        cells = [c for row in rows[1:] for c in row]
        texts = [c for c in cells if c.startswith(START) and not c.startswith("-2.0,")]
        assert bool(texts) is (raw and text.startswith(START)), texts
    stored = read_evaluation(tmp_path)
    assert (stored.texts[0]["text"], stored.texts[0]["picture"]) == (text, f"{text}.png")
    assert stored.images[0]["picture"] == f"{text}.png" and stored.texts[0]["polygon"][0] == [-2.0, 1.0]


def test_tables_from_before_there_was_a_choice_read_as_they_stand(tmp_path):
    write_evaluation(evaluation_of("'=1"), tmp_path, raw_csv=True)
    result = tmp_path / "result.json"
    result.write_text(result.read_text().replace('"raw_csv": true', '"other": true'))
    assert read_evaluation(tmp_path).texts[0]["text"] == "'=1"


@pytest.mark.parametrize("name", ["=1+1.png", "-a.png", "@b.png", "'=c.png", "plain.png"])
def test_names_in_a_table_of_predictions_are_guarded_and_read_back(tmp_path, name):
    quad = PolygonSet.of([[[-2.0, 1], [30, 1], [30, 9], [-2.0, 9]]], frame="upright")
    out = tmp_path / "p.csv"
    submission.write([Sample(id=name, polygons=quad, loc="x")], out)
    with out.open(newline="") as file:
        rows = list(csv.reader(file))
    assert not rows[1][0].startswith(START) and rows[1][1].startswith("-2")
    (read,) = submission.read(Source(annotations=out, pictures=tmp_path, format="submission")).samples
    assert read.id == name and np.array_equal(read.polygons[0], quad[0])
    submission.write([Sample(id=name, polygons=quad, loc="x")], out, overwrite=True, raw_csv=True)
    assert out.read_text().splitlines()[1].startswith(name)


def test_the_rows_of_a_run_read_back(tmp_path):
    rows = [{"epoch": 1, "lr": -1e-05, "note": "=1+1"}, {"epoch": 2, "val/hmean": 0.25}]
    write_metrics(tmp_path / "metrics.csv", rows)
    assert read_metrics(tmp_path / "metrics.csv") == rows
    assert "'=1+1" in (tmp_path / "metrics.csv").read_text()
