"""`ocrmaps predict` and `ocrmaps export` as a person uses them."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ocrmaps.cli.app import main
from tests.predict.bright import TEXTS, TRUSTED, card, paint
from tests.predict.test_orientations import stored


@pytest.fixture
def ocrmaps(monkeypatch, capsys):
    """Run a command, the parts of the painted detector trusted: (exit code, stdout, stderr)."""
    trust = [word for name in sorted(TRUSTED.names) for word in ("--trust", name)]

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["ocrmaps", *map(str, arguments), *trust])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out, said.err

    return run


@pytest.fixture
def scans(tmp_path, painted) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    stored(painted, 6, folder / "a.png")
    Image.fromarray(paint((400, 300), [])).save(folder / "b.png")
    return folder


def test_predict_writes_and_says_so(ocrmaps, checkpoint, scans, tmp_path):
    code, out, err = ocrmaps("predict", checkpoint, scans, "--out", tmp_path / "found")
    assert code == 0, err
    assert "5 polygons in 2 pictures, upright coordinates" in out
    content = json.loads((tmp_path / "found/predictions.json").read_text())
    assert len(content["images"]["a.png"]["words"]) == len(TEXTS)
    assert (content["images"]["a.png"]["img_h"], content["images"]["a.png"]["img_w"]) == (800, 600)
    assert content["extract"]["shrink_ratio"] == 0.6


def test_raw_coordinates_state_the_raw_size(ocrmaps, checkpoint, scans, tmp_path):
    ocrmaps("predict", checkpoint, scans, "--out", tmp_path / "r.json", "--frame", "raw")
    content = json.loads((tmp_path / "r.json").read_text())
    assert content["frame"] == "raw"
    assert (content["images"]["a.png"]["img_h"], content["images"]["a.png"]["img_w"]) == (600, 800)


def test_json_is_one_document(ocrmaps, checkpoint, scans, tmp_path):
    (scans / "c.png").write_bytes(b"nothing")
    code, out, err = ocrmaps("predict", checkpoint, scans, "--out", tmp_path / "p.csv", "--format", "csv", "--json")
    document = json.loads(out)
    assert (code, document["pictures"], document["polygons"]) == (1, 2, 5)
    assert [f["name"] for f in document["failed"]] == ["c.png"]
    assert "c.png" in err


def test_unreadable_pictures_end_in_1_and_the_others_are_written(ocrmaps, checkpoint, scans, tmp_path):
    (scans / "a0.png").write_bytes(b"nothing")
    code, _, err = ocrmaps("predict", checkpoint, scans, "--out", tmp_path / "p.json")
    assert code == 1 and "1 picture could not be read:\n  a0.png: not a picture" in err
    assert list(json.loads((tmp_path / "p.json").read_text())["images"]) == ["a.png", "b.png"]


def test_strict_stops_at_the_first(ocrmaps, checkpoint, scans, tmp_path):
    (scans / "a0.png").write_bytes(b"nothing")
    code, _, err = ocrmaps("predict", checkpoint, scans, "--out", tmp_path / "p.json", "--strict")
    assert code == 3 and "a0.png" in err
    assert not (tmp_path / "p.json").exists()


def test_files_are_replaced_only_with_yes(ocrmaps, checkpoint, scans, tmp_path):
    (tmp_path / "p.json").write_text("mine")
    code, _, err = ocrmaps("predict", checkpoint, scans, "--out", tmp_path / "p.json")
    assert code == 2 and "--yes" in err and (tmp_path / "p.json").read_text() == "mine"
    assert ocrmaps("predict", checkpoint, scans, "--out", tmp_path / "p.json", "--yes")[0] == 0


def test_overlays_show_the_outlines_in_the_frame(ocrmaps, checkpoint, scans, tmp_path):
    for frame, size in (("upright", (600, 800)), ("raw", (800, 600))):
        folder = tmp_path / frame
        code, _, err = ocrmaps("predict", checkpoint, scans, "--out", folder / "p.json", "--overlays", folder / "o",
                               "--frame", frame)  # fmt: skip
        assert code == 0, err
        with Image.open(folder / "o/a.png.png") as image:
            assert image.size == size
            drawn = np.asarray(image).astype(int)
        blue = (np.abs(drawn - [31, 111, 235]).sum(axis=2) < 60).sum()
        assert blue > 500
    code, _, err = ocrmaps("predict", checkpoint, scans, "--out", tmp_path / "q.json", "--overlays", tmp_path / "raw/o")
    assert code == 2 and "--yes" in err


def test_a_higher_least_score_leaves_fewer(ocrmaps, checkpoint, scans, tmp_path):
    ocrmaps("predict", checkpoint, scans, "--out", tmp_path / "p.json", "--min-score", 1)
    assert not json.loads((tmp_path / "p.json").read_text())["images"]["a.png"]["words"]


def test_an_empty_folder_is_bad_data(ocrmaps, checkpoint, tmp_path):
    (tmp_path / "empty").mkdir()
    code, _, err = ocrmaps("predict", checkpoint, tmp_path / "empty", "--out", tmp_path / "p.json")
    assert code == 3 and "no pictures" in err


class Bomb:
    def __reduce__(self):
        return (Path("bombed").touch, ())


def test_files_that_are_no_detector_are_named(ocrmaps, scans, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"layer.weight": torch.zeros(3)}, tmp_path / "foreign.ckpt")
    torch.save({"state_dict": {}, "ocrmaps": Bomb()}, tmp_path / "bomb.ckpt")
    (tmp_path / "bomb.pkl").write_bytes(pickle.dumps(Bomb(), protocol=2))
    (tmp_path / "empty.ckpt").write_bytes(b"")
    (tmp_path / "words.onnx").write_bytes(b"words")
    for name in ("foreign.ckpt", "bomb.ckpt", "bomb.pkl", "empty.ckpt", "words.onnx"):
        if name.endswith(".onnx"):
            pytest.importorskip("onnxruntime")
        code, _, err = ocrmaps("predict", tmp_path / name, scans, "--out", tmp_path / "p.json")
        assert (code, name in err) == (3, True), err
        assert "Traceback" not in err
    assert not (tmp_path / "bombed").exists()
    code, _, err = ocrmaps("predict", tmp_path / "missing.ckpt", scans, "--out", tmp_path / "p.json")
    assert code == 2 and "no such checkpoint" in err
    (tmp_path / "folder.ckpt").mkdir()
    code, _, err = ocrmaps("predict", tmp_path / "folder.ckpt", scans, "--out", tmp_path / "p.json")
    assert code == 2 and "found a folder, expected a checkpoint" in err


def test_a_checkpoint_cut_short_is_named(ocrmaps, checkpoint, scans, tmp_path):
    (tmp_path / "cut.ckpt").write_bytes(checkpoint.read_bytes()[:-400])
    code, _, err = ocrmaps("predict", tmp_path / "cut.ckpt", scans, "--out", tmp_path / "p.json")
    assert code == 3 and "cut.ckpt" in err


def test_weights_of_another_model_are_named(ocrmaps, trained, scans, tmp_path):
    said = card(trained.canonical, trained.extract)
    torch.save({"state_dict": {"detector.x": torch.zeros(1)}, "ocrmaps": said}, tmp_path / "other.ckpt")
    code, _, err = ocrmaps("predict", tmp_path / "other.ckpt", scans, "--out", tmp_path / "p.json")
    assert code == 3 and "do not fit" in err


def test_canvases_that_the_model_cannot_take_are_named(ocrmaps, trained, scans, tmp_path):
    said = card(trained.canonical, trained.extract)
    said["canonical"]["canvases"] = [[100, 100]]
    weights = {f"detector.{k}": v for k, v in trained.detector.state_dict().items()}
    torch.save({"state_dict": weights, "ocrmaps": said}, tmp_path / "odd.ckpt")
    code, _, err = ocrmaps("predict", tmp_path / "odd.ckpt", scans, "--out", tmp_path / "p.json")
    assert code == 2 and "multiples of 32" in err


def test_help_begins_with_a_sentence_and_an_example(ocrmaps):
    for command in ("predict", "export"):
        code, out, _ = ocrmaps(command, "--help")
        assert code == 0 and f"Example: ocrmaps {command}" in " ".join(out.split())
