"""`ocrmaps evaluate` and `ocrmaps tune` as they are typed."""

from __future__ import annotations

import json

import pytest

from ocrmaps.annotations import open_source
from ocrmaps.cli.app import main
from ocrmaps.pipelines.bench.cases.validation import epoch, rows_of
from ocrmaps.pipelines.predict import run as predict


@pytest.fixture
def typed(monkeypatch, capsys, world):
    """(exit code, stdout, stderr) of a command line."""

    def call(*words) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["ocrmaps", *map(str, words)])
        monkeypatch.setenv("OCRMAPS_CACHE", str(world / "cache"))
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


def test_a_checkpoint_on_a_store_gives_a_table_and_files(typed, checkpoint, run, tmp_path):
    code, out, err = typed("evaluate", checkpoint, "--store", "tiny", "--out", tmp_path / "out")
    assert code == 0 and f"IoU 0.5   {run.hmean:.4f}" in out and "not found at IoU 0.5" in out
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"result.json", "images.csv", "texts.csv"}
    code, out, err = typed("evaluate", checkpoint, "--store", "tiny", "--out", tmp_path / "out")
    assert code == 2 and "already holds" in err and not out
    again = ("--out", tmp_path / "out", "--yes", "--protocol", "iou")
    assert typed("evaluate", checkpoint, "--store", "tiny", *again)[0] == 0


def test_json_is_one_document(typed, checkpoint, run):
    code, out, _ = typed("evaluate", checkpoint, "--store", "tiny", "--iou", "0.5,0.6", "--protocol", "iou", "--json")
    document = json.loads(out)
    assert code == 0 and document["hmean"] == pytest.approx(run.hmean, abs=1e-6)
    assert document["thresholds"] == [0.5, 0.6] and list(document["protocols"]) == ["iou"]


def test_what_nothing_scores_is_a_convention_of_its_own(typed, world, tmp_path):
    (tmp_path / "p.json").write_text("[]")
    words = ("evaluate", "--predictions", tmp_path / "p.json", "--source", world / "val", "--json")
    for convention in ("ocrmaps", "db"):
        code, out, err = typed(*words, "--convention", convention)
        assert (code, json.loads(out or "{}").get("convention")) == (0, convention), err


def test_predictions_are_scored_without_a_model(typed, checkpoint, run, world, tmp_path):
    pictures = str(open_source(world / "val").pictures)
    out = predict(checkpoint, [pictures], out=tmp_path / "p.zip", format="icdar-zip").out
    code, said, _ = typed("evaluate", "--predictions", out, "--source", world / "val", "--json")
    # Whole numbers move every corner by up to half a pixel.
    assert code == 0 and json.loads(said)["hmean"] == pytest.approx(run.hmean, abs=0.25)
    assert json.loads(said)["pictures"]["unpredicted"] == 0


def test_options_of_predictions_reach_the_reader(typed, tmp_path):
    (tmp_path / "r.txt").write_text("1,1,9,9,50\n")
    asked = ("evaluate", "--predictions", tmp_path / "r.txt", "--store", "tiny")
    code, _, err = typed(*asked)
    assert code == 3 and "--predictions-scores rank" in err
    code, _, err = typed(*asked, "--predictions-layout", "box,score")
    assert code == 3 and "found scores from 50 to 50" in err
    more = ("--predictions-layout", "box,score", "--predictions-scores", "rank")
    code, _, err = typed(*asked, *more)
    assert code == 3 and "r: found no such picture" in err
    assert typed(*asked, *more, "--leave-out-unknown")[0] == 3, "none of them is expected"


def test_a_limit_says_partial(typed, checkpoint):
    code, out, _ = typed("evaluate", checkpoint, "--store", "tiny", "--limit", "2")
    assert code == 0 and out.count("partial 2/4") >= 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "name a checkpoint"),
        (("CHECKPOINT", "--store", "tiny", "--source", "."), "name --store NAME"),
        (("--predictions", "x"), "name --store NAME"),
        (("CHECKPOINT", "--predictions", "x", "--store", "tiny"), "name a checkpoint"),
        (("CHECKPOINT", "--store", "tiny", "--predictions-layout", "quad"), "only for --predictions"),
        (("CHECKPOINT", "--store", "tiny", "--predictions-scores", "rank"), "only for --predictions"),
        (("CHECKPOINT", "--store", "tiny", "--leave-out-unknown"), "only for --predictions"),
        (("CHECKPOINT", "--source", ".", "--split", "val"), "evaluated as a whole"),
        (("CHECKPOINT", "--store", "tiny", "--frame", "raw"), "a store knows its frame"),
        (("CHECKPOINT", "--store", "tiny", "--iou", "half"), "found 'half'"),
        (("CHECKPOINT", "--store", "tiny", "--iou", "1.5"), "each in [0, 1)"),
        (("CHECKPOINT", "--store", "tiny", "--predictions-format", "coco"), "only for --predictions"),
    ],
)
def test_options_that_do_not_go_together_are_refused(typed, checkpoint, words, message):
    code, out, err = typed("evaluate", *(checkpoint if word == "CHECKPOINT" else word for word in words))
    assert code == 2 and message in err and not out


def test_an_unknown_store_is_a_store_problem(typed, checkpoint):
    assert typed("evaluate", checkpoint, "--store", "nothing")[0] == 4


def test_tune_writes_a_checkpoint_and_says_what_is_no_result(typed, checkpoint, tmp_path):
    new = tmp_path / "new.ckpt"
    grid = ("--binarize", "0.4", "--score", "0.5,0.6", "--ratio", "none", "--margin", "0", "--neck", "0")
    code, out, _ = typed("tune", checkpoint, "--store", "tiny", "--out", new, "--test-split", "test", *grid)
    assert code == 0 and new.is_file() and "not a result" in out
    code, out, _ = typed("tune", checkpoint, "--store", "tiny", "--out", new, *grid, "--yes", "--json")
    assert code == 0 and json.loads(out)["tried"] == 4 and json.loads(out)["test"] is None
    code, out, _ = typed("tune", checkpoint, "--out", new, *grid, "--yes", "--json")
    on = json.loads(out)["chosen_on"]
    assert code == 0 and (on["store"], on["split"]) == ("tiny", "val"), "what its run validated on"


def test_the_benchmark_scores_every_row_as_the_oracle_would(version):
    from ocrmaps.store.reader import Reader

    with Reader(version) as reader, rows_of(version) as loader:
        score = epoch(reader, loader)
        assert epoch(reader, loader) == score, "a loader shows the same rows again"
    assert score.complete and score.hmean() > 0.95


def test_the_plain_chain_of_the_benchmark_finds_the_texts(world):
    from ocrmaps.annotations import read
    from ocrmaps.pipelines.bench.cases.rows import SPEC
    from ocrmaps.pipelines.bench.references.validation import plain_validation

    source = open_source(world / "val")
    found = [plain_validation(source.pictures / s.picture, s.polygons, SPEC) for s in read(source)]
    assert sum(len(f["pairs"]) for f in found) >= 0.7 * sum(f["truth_care"] for f in found) > 0
