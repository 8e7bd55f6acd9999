"""`predict_pictures`: order, pages, batches, bounded memory, errors where they belong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ocrmaps.canonical import CanonicalSpec, plan, render
from ocrmaps.detect.predict import PictureFile, predict_pictures, with_score
from ocrmaps.errors import PictureError, SpecError
from ocrmaps.extract import ExtractSpec, extract
from ocrmaps.pictures import decode
from tests.predict.bright import TEXTS, bright, paint


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Nine pictures of three shapes, each with another number of texts."""
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(9):
        height, width = ((400, 300), (300, 400), (400, 160))[i % 3]
        texts = [[(20, y), (120 + 3 * i, y), (120 + 3 * i, y + 16), (20, y + 16)] for y in range(20, 20 + 30 * i, 30)]
        Image.fromarray(paint((height, width), texts)).save(folder / f"p{i}.png")
    return folder


def paths(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def test_results_come_in_the_order_of_the_pictures(trained, folder):
    for batch in (1, 2, 5, 64):
        found = list(predict_pictures(trained, paths(folder), batch=batch, threads=3))
        assert [p.name for p in found] == [f"p{i}.png" for i in range(9)]
        assert [len(p.polygons) for p in found] == list(range(9))


def test_neighbors_in_a_batch_change_nothing(trained, folder):
    alone = [next(predict_pictures(trained, [path], keep_maps=True)) for path in paths(folder)]
    for together in (paths(folder), paths(folder)[::-1]):
        found = {p.name: p for p in predict_pictures(trained, together, batch=4, keep_maps=True)}
        for one in alone:
            assert np.abs(one.probability - found[one.name].probability).max() < 1e-5
            assert np.abs(one.polygons.points - found[one.name].polygons.points).max(initial=0) < 1e-3


@pytest.mark.parametrize("decoding", ["full", "reduced"])
def test_the_network_sees_the_bytes_that_a_store_would_hold(decoding, folder, tmp_path):
    path = tmp_path / "big.jpg"
    Image.fromarray(paint((1600, 1200), [[(100, 100), (900, 100), (900, 180), (100, 180)]])).save(path)
    spec = CanonicalSpec.longest(320, decode=decoding)
    trained = bright(spec)
    seen: list[torch.Tensor] = []
    hook = trained.detector.register_forward_pre_hook(lambda module, given: seen.append(given[0].clone()))
    list(predict_pictures(trained, [path]))
    hook.remove()
    transform = plan((1600, 1200), 1, spec)
    at_least = None if decoding == "full" else (640, 480)
    expected = render(decode(path, at_least=at_least), transform, spec)
    assert np.array_equal(seen[0][0].numpy(), expected)


def test_polygons_are_those_of_the_map_in_another_frame(trained, folder):
    (found,) = predict_pictures(trained, [folder / "p5.png"], keep_maps=True)
    again = extract(found.probability, trained.extract)
    assert np.array_equal(found.polygons.points, found.transform.apply(again.polygons, "upright").points)
    assert np.array_equal(found.scores, again.scores)


def test_kept_maps_are_the_detectors_own_probabilities(trained, folder):
    (found,) = predict_pictures(trained, [folder / "p5.png"], keep_maps=True)
    pixels = render(decode(folder / "p5.png"), found.transform, trained.canonical)
    with torch.inference_mode():
        expected = torch.sigmoid(trained.detector(torch.from_numpy(pixels)[None]).probability[0]).numpy()
    assert np.array_equal(found.probability, expected)
    (found,) = predict_pictures(trained, [folder / "p5.png"])
    assert found.probability is None


def test_polygons_may_reach_beyond_the_picture(trained, tmp_path):
    Image.fromarray(paint((400, 300), [[(-20, 100), (120, 100), (120, 130), (-20, 130)]])).save(tmp_path / "a.png")
    (found,) = predict_pictures(trained, [tmp_path / "a.png"])
    assert len(found.polygons) == 1
    assert found.polygons.points[:, 0].min() < 0


def test_other_settings_of_extraction_may_be_asked_for(trained, folder):
    strict = with_score(trained.extract, 1.0)
    (found,) = predict_pictures(trained, [folder / "p5.png"], extract=strict)
    assert len(found.polygons) == 0
    curved = ExtractSpec(shape="polygons", shrink_ratio=0.6)
    (found,) = predict_pictures(trained, [folder / "p5.png"], extract=curved)
    assert len(found.polygons) == 5


def test_a_learned_threshold_is_used(trained, folder):
    (fixed,) = predict_pictures(trained, [folder / "p5.png"])
    (found,) = predict_pictures(trained, [folder / "p5.png"], extract=ExtractSpec(shrink_ratio=0.6, binarize="learned"))
    # The painted detector's threshold logits are 0: a threshold of one half, as the fixed one.
    assert np.allclose(found.polygons.points, fixed.polygons.points, atol=1e-3)


def test_pages_of_a_tiff_are_pictures_of_their_own(trained, tmp_path):
    sheets = [Image.fromarray(paint((400, 300), [[(20, y), (200, y), (200, y + 30), (20, y + 30)]])) for y in (40, 200)]
    small = Image.fromarray(paint((160, 240), []))
    sheets[0].save(tmp_path / "scan.tif", save_all=True, append_images=[sheets[1], small])
    found = list(predict_pictures(trained, [tmp_path / "scan.tif", tmp_path / "scan.tif"]))
    assert [(p.name, p.page) for p in found[:3]] == [("scan.tif", 1), ("scan.tif#2", 2), ("scan.tif#3", 3)]
    assert [p.size for p in found[:3]] == [(400, 300), (400, 300), (160, 240)]
    tops = [round(float(p.polygons.points[:, 1].min())) for p in found[:2]]
    assert abs(tops[0] - 40) <= 1 and abs(tops[1] - 200) <= 1
    assert len(found) == 6


def test_one_page_may_be_asked_for_by_name(trained, tmp_path):
    sheet = Image.fromarray(paint((400, 300), []))
    sheet.save(tmp_path / "scan.tif", save_all=True, append_images=[sheet])
    (found,) = predict_pictures(trained, [PictureFile(name="a/b", path=tmp_path / "scan.tif", page=2)])
    assert (found.name, found.page) == ("a/b#2", 2)


def test_pages_of_a_tiff_keep_their_own_orientation(trained, tmp_path):
    first, second = Image.fromarray(paint((400, 300), [])), Image.fromarray(paint((400, 300), []))
    second.encoderinfo = {"tiffinfo": {274: 6}}
    first.save(tmp_path / "scan.tif", save_all=True, append_images=[second])
    found = list(predict_pictures(trained, [tmp_path / "scan.tif"]))
    assert [p.transform.orientation for p in found] == [1, 6]


def test_pages_of_a_pdf_are_drawn_or_the_extra_is_named(trained, tmp_path, monkeypatch):
    sheet = Image.fromarray(paint((440, 340), [[(40, 40), (240, 40), (240, 70), (40, 70)]]))
    sheet.save(tmp_path / "scan.pdf", save_all=True, append_images=[sheet], resolution=100)
    monkeypatch.setattr("ocrmaps.detect.pages.find_spec", lambda name: None)
    (missing,) = predict_pictures(trained, [tmp_path / "scan.pdf"], on_error="report")
    assert "ocrmaps[pdf]" in missing.error
    monkeypatch.undo()
    pytest.importorskip("pypdfium2")
    found = list(predict_pictures(trained, [tmp_path / "scan.pdf"]))
    assert [p.name for p in found] == ["scan.pdf", "scan.pdf#2"]
    # Drawn at 200 dots to the inch, twice what the sheet was.
    assert np.abs(np.subtract(found[0].size, (880, 680))).max() <= 1
    low = found[0].polygons.bounds()[0]
    assert np.abs(low - [80, 80, 480, 140]).max() < 4


def test_pictures_are_asked_for_only_a_little_ahead(trained, folder):
    asked = []

    def endless():
        while True:
            asked.append(1)
            yield folder / "p1.png"

    stream = predict_pictures(trained, endless(), batch=2, threads=2)
    for _ in range(20):
        next(stream)
    stream.close()
    assert len(asked) < 20 + 4 * 2 * 3 + 1


def test_an_unreadable_picture_is_raised_in_its_turn(trained, folder, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    stream = predict_pictures(trained, [folder / "p1.png", tmp_path / "bad.jpg", folder / "p2.png"])
    assert next(stream).name == "p1.png"
    with pytest.raises(PictureError, match=r"bad\.jpg"):
        next(stream)


def test_an_unreadable_picture_is_reported_between_the_others(trained, folder, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    given = [folder / "p1.png", tmp_path / "bad.jpg", folder / "p2.png"]
    found = list(predict_pictures(trained, given, on_error="report"))
    assert [(p.name, p.error is None, len(p.polygons)) for p in found] == [
        ("p1.png", True, 1), ("bad.jpg", False, 0), ("p2.png", True, 2),
    ]  # fmt: skip
    assert (found[1].size, found[1].transform) == (None, None)


def test_wrong_calls_are_refused_before_anything_is_read(trained):
    for wrong in ({"frame": "canonical"}, {"batch": 0}, {"threads": 0}, {"on_error": "ignore"}):
        with pytest.raises(SpecError):
            predict_pictures(trained, [], **wrong)


def test_a_detector_in_training_mode_is_refused():
    trained = bright()
    trained.detector.train()
    with pytest.raises(SpecError, match="training mode"):
        predict_pictures(trained, [])


def test_no_pictures_give_no_predictions(trained):
    assert list(predict_pictures(trained, [])) == []


def test_all_texts_of_the_painted_page_are_found(trained, painted, tmp_path):
    painted.save(tmp_path / "a.png")
    (found,) = predict_pictures(trained, [tmp_path / "a.png"])
    assert len(found.polygons) == len(TEXTS)
    assert not found.scores.flags.writeable
