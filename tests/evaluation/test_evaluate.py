"""One score however it is asked for: while training, from the store, from the pictures, from a file of predictions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageOps

from ocrmaps.annotations import open_source, read
from ocrmaps.canonical import CanonicalSpec
from ocrmaps.detect.trained import read_checkpoint
from ocrmaps.errors import AnnotationError, DataError, FrameError, SpecError
from ocrmaps.evaluation import EvaluationSpec, evaluate, judge_picture, result_document
from ocrmaps.evaluation.detectors import evaluate_checkpoint, evaluate_predictions
from ocrmaps.evaluation.predictions import match_names
from ocrmaps.evaluation.submitted import PredictionOptions
from ocrmaps.evaluation.summary import table
from ocrmaps.geometry import PolygonSet
from ocrmaps.pipelines.build import build
from ocrmaps.pipelines.predict import run as predict
from ocrmaps.recipe import Recipe, SourceRecipe

EXACT = ("json", "ufo", "coco", "paddle", "csv")


@pytest.fixture(scope="module")
def from_store(checkpoint, version):
    return evaluate_checkpoint(checkpoint, version=version)


@pytest.fixture(scope="module")
def predicted(checkpoint, world, tmp_path_factory):
    """The val pictures predicted into a file of every format that keeps all digits."""
    folder = tmp_path_factory.mktemp("predicted")
    picture_folder = str(open_source(world / "val").pictures)
    return {
        name: predict(checkpoint, [picture_folder], out=folder / f"{name}{ending}", format=name).out
        for name, ending in {"json": ".json", "ufo": ".json", "coco": ".json", "paddle": ".txt", "csv": ".csv"}.items()
    }


def test_the_store_gives_the_score_of_the_training(checkpoint, from_store):
    said = read_checkpoint(checkpoint)["ocrmaps"]["score"]["hmean"]
    assert from_store.complete and from_store.hmean == pytest.approx(said["0.5"], abs=1e-6)
    assert from_store.totals[0.7].hmean == pytest.approx(said["0.7"], abs=1e-6)


def test_the_pictures_give_the_score_of_the_store(checkpoint, from_store, val):
    found = evaluate_checkpoint(checkpoint, source=val)
    assert found.hmean == pytest.approx(from_store.hmean, abs=1e-6)
    assert {k: pytest.approx(v, abs=1e-6) for k, v in found.seen["cleval"].items()} == from_store.seen["cleval"]
    assert [p.text_reason for p in found.pictures] == [p.text_reason for p in from_store.pictures]


@pytest.mark.parametrize("format", EXACT)
def test_predictions_in_a_file_give_the_score_of_the_training(predicted, from_store, val, format):
    found = evaluate_predictions(predicted[format], val)
    assert found.hmean == pytest.approx(from_store.hmean, abs=1e-6)
    assert dict(found.seen["deteval"]) == pytest.approx(dict(from_store.seen["deteval"]), abs=1e-6)
    assert ("average_precision@0.5" in found.seen["iou"]) is (format != "csv"), "scores are kept where they can be"


def test_predictions_in_raw_coordinates_are_brought_to_the_frame_of_the_annotations(
    checkpoint, from_store, val, tmp_path
):
    turned = [p.orientation for p in from_store.pictures]
    assert any(o >= 2 for o in turned), "no picture is stored turned: this test says nothing"
    for format, frame in (("json", None), ("coco", "raw")):
        out = predict(checkpoint, [str(val.pictures)], out=tmp_path / f"{format}.json", format=format, frame="raw").out
        found = evaluate_predictions(out, val, options=PredictionOptions(frame=frame))
        assert found.hmean == pytest.approx(from_store.hmean, abs=1e-6)


@pytest.mark.parametrize("format", ["json", "coco"])
def test_predictions_against_the_store_give_the_score_of_the_training(predicted, from_store, version, format):
    found = evaluate_predictions(predicted[format], version=version)
    assert found.hmean == pytest.approx(from_store.hmean, abs=1e-6)
    assert found.identity["store"] == from_store.identity["store"]
    heights = [p.text_measures.canonical_height.tolist() for p in found.pictures]
    assert heights == [p.text_measures.canonical_height.tolist() for p in from_store.pictures]
    with pytest.raises(DataError, match="do not belong to the source"):
        evaluate_predictions(predicted[format], version=version, split="test")
    with pytest.raises(SpecError, match="name one of the two"):
        evaluate_predictions(predicted[format])


def test_pages_that_were_predicted_are_scored_as_the_pages_that_were_annotated(checkpoint, val, tmp_path):
    """Pictures of the set as one TIFF: predicted, scored from the files, and scored with the checkpoint."""
    samples = read(val)[:3]
    sheets = [ImageOps.exif_transpose(Image.open(val.pictures / s.picture)).convert("RGB") for s in samples]
    (tmp_path / "images").mkdir()
    sheets[0].save(tmp_path / "images" / "all.tif", save_all=True, append_images=sheets[1:])
    names = ["all.tif", *(f"all.tif#{i}" for i in range(2, len(samples) + 1))]
    images = {
        name: {"words": {str(i): {"points": outline.tolist()} for i, outline in enumerate(sample.polygons)}}
        for name, sample in zip(names, samples, strict=True)
    }
    (tmp_path / "ufo.json").write_text(json.dumps({"images": images}))
    source = open_source(tmp_path / "ufo.json")
    by_model = evaluate_checkpoint(checkpoint, source=source)
    assert [p.picture for p in by_model.pictures] == names and by_model.count("failed") == 0
    for format in ("json", "icdar-zip", "coco", "paddle", "csv"):
        out = predict(checkpoint, [str(tmp_path / "images")], out=tmp_path / format, format=format).out
        found = evaluate_predictions(out, source)
        assert found.complete and found.count("unpredicted") == 0
        assert found.totals[0.5].detection_care == by_model.totals[0.5].detection_care
        if format != "icdar-zip":
            assert found.totals[0.5].matched == by_model.totals[0.5].matched
    (tmp_path / "more.json").write_text(json.dumps({"images": {**images, "all.tif#9": {"words": {}}}}))
    with pytest.raises(DataError, match=r"1 of 3 further pages cannot be read"):
        evaluate_predictions(out, open_source(tmp_path / "more.json"))


def test_a_frame_that_the_file_contradicts_is_refused(predicted, val):
    with pytest.raises(FrameError, match="says that its coordinates are upright, declared is raw"):
        evaluate_predictions(predicted["json"], val, options=PredictionOptions(frame="raw"))


def test_a_picture_without_prediction_counts_as_empty(predicted, from_store, val, tmp_path):
    content = json.loads(predicted["ufo"].read_text())
    name = max(content["images"], key=lambda n: len(content["images"][n]["words"]))
    lost = next(p for p in from_store.pictures if p.picture.endswith(name))
    del content["images"][name]
    file = tmp_path / "fewer.json"
    file.write_text(json.dumps(content))
    found = evaluate_predictions(file, val)
    assert found.complete and found.count("unpredicted") == 1
    assert found.totals[0.5].truth_care == from_store.totals[0.5].truth_care
    assert found.totals[0.5].matched == from_store.totals[0.5].matched - lost.match.counts(0.5).matched
    assert "1 without a prediction, counted as empty" in table(found)


def test_a_picture_that_the_source_lacks_is_refused_by_name(predicted, val, tmp_path):
    content = json.loads(predicted["ufo"].read_text())
    content["images"]["stranger.jpg"] = {"words": {}}
    file = tmp_path / "more.json"
    file.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"(?s)1 of 5 predicted pictures.*more\.json: stranger\.jpg"):
        evaluate_predictions(file, val)


def test_names_are_matched_by_path_then_name_then_stem_and_never_ambiguously():
    ids = ["a/1.jpg", "b/1.jpg", "b/2.png", "gt.v2.tif"]
    assert match_names(["b/1.jpg", "2.png", "gt.v2"], ids, "f").ids == ("b/1.jpg", "b/2.png", "gt.v2.tif")
    with pytest.raises(DataError, match=r"2 pictures that it could mean: a/1\.jpg, b/1\.jpg"):
        match_names(["1.jpg"], ids, "f")
    with pytest.raises(DataError, match=r"a second time, first as b/2\.png"):
        match_names(["b/2.png", "res_2.txt"], ids, "f")


def test_no_predictions_at_all_are_a_score_of_nothing(val, tmp_path):
    file = tmp_path / "none.json"
    file.write_text(json.dumps({"images": {s.id: {"words": {}} for s in read(val)}}))
    found = evaluate_predictions(file, val)
    assert found.complete and found.hmean == 0.0 and found.totals[0.5].detection_care == 0
    assert found.totals[0.5].matched == 0 and "missed" in table(found)


@pytest.mark.parametrize(
    ("score", "message"),
    [(float("nan"), "nan"), ("0.5", "'0.5'"), (True, "True"), (float("inf"), "inf"), (None, "scores for")],
)
def test_scores_that_cannot_be_ranked_are_refused(predicted, val, tmp_path, score, message):
    content = json.loads(predicted["coco"].read_text())
    content["annotations"][0]["score"] = score
    file = tmp_path / "odd.json"
    file.write_text(json.dumps(content))
    with pytest.raises(DataError, match=message):
        evaluate_predictions(file, val)


def test_crossing_and_flat_predictions_are_counted_and_not_scored(predicted, val, tmp_path, from_store):
    content = json.loads(predicted["ufo"].read_text())
    words = next(iter(content["images"].values()))["words"]
    words["x1"] = {"points": [[0, 0], [9, 9], [9, 0], [0, 9]], "confidence": 0.5}
    words["x2"] = {"points": [[0, 0], [5, 0], [9, 0]], "confidence": 0.5}
    file = tmp_path / "crossing.json"
    file.write_text(json.dumps(content))
    found = evaluate_predictions(file, val)
    assert found.totals[0.5].detection_invalid == 2 and found.hmean == pytest.approx(from_store.hmean, abs=1e-6)
    assert "2 detections that are no polygon" in table(found)


def test_a_limit_is_a_partial_evaluation_without_a_score(checkpoint, version, val, predicted):
    for found in (
        evaluate_checkpoint(checkpoint, version=version, limit=3),
        evaluate_checkpoint(checkpoint, source=val, limit=3),
        evaluate_predictions(predicted["json"], val, limit=3),
    ):
        assert (found.state, found.hmean, len(found.pictures)) == ("partial 3/4", None, 3)
        document = result_document(found)
        assert document["protocols"]["iou"]["values"] == {} and document["protocols"]["iou"]["seen"]
        assert len(document["pictures"]["missing"]) == 1
        assert table(found).count("partial 3/4") >= 4, "each line of scores says it"


def test_curves_pass_through_the_operating_point(from_store, checkpoint, val):
    for found in (from_store, evaluate_checkpoint(checkpoint, source=val)):
        cut = found.sweep.cuts.index(0.6)
        for t, threshold in enumerate(found.spec.thresholds):
            counts, there = found.totals[threshold], found.sweep.counts(cut, t)
            assert (there.matched, there.detection_care) == (counts.matched, counts.detection_care)
        assert found.sweep.detection_care[0] > found.sweep.detection_care[cut]


def test_what_learns_its_threshold_is_evaluated_from_pictures_too(checkpoint, val, tmp_path):
    """Pages keep no threshold maps: nothing is looked for below the least score."""
    content = torch.load(checkpoint, weights_only=False)
    content["ocrmaps"]["extract"]["binarize"] = "learned"
    torch.save(content, tmp_path / "learned.ckpt")
    found = evaluate_checkpoint(tmp_path / "learned.ckpt", source=val)
    assert found.complete and found.identity["extract"]["binarize"] == "learned"
    assert len(set(found.sweep.detection_care[: found.sweep.cuts.index(0.6)])) == 1


def test_a_damaged_picture_counts_as_empty_and_is_named(checkpoint, world, tmp_path, from_store):
    shutil.copytree(world / "val", tmp_path / "val")
    source = open_source(tmp_path / "val")
    victim = source.pictures / read(source)[0].picture
    data = victim.read_bytes()
    victim.write_bytes(data[: len(data) * 2 // 3])
    found = evaluate_checkpoint(checkpoint, source=source)
    assert found.complete and found.count("failed") == 1
    assert victim.name in found.pictures[0].problem
    assert found.totals[0.5].truth_care == from_store.totals[0.5].truth_care
    assert found.hmean < from_store.hmean or from_store.pictures[0].match.counts(0.5).matched == 0
    victim.unlink()
    with pytest.raises(DataError, match=victim.name):
        evaluate_checkpoint(checkpoint, source=source)


def test_an_empty_split_and_an_unknown_one_are_refused(checkpoint, world, tmp_path):
    lone = Recipe(
        name="lone",
        sources=(SourceRecipe(path=world / "train", split="train"),),
        canonical=CanonicalSpec(canvases=((128, 96), (96, 128)), scale="fit"),
    )
    folder = build(lone, tmp_path, workers=1).folder
    with pytest.raises(SpecError, match="'val' has no rows; it has 'train' 6"):
        evaluate_checkpoint(checkpoint, version=folder)
    with pytest.raises(SpecError, match="split 'dev' has no rows"):
        evaluate_checkpoint(checkpoint, version=folder, split="dev")


def test_a_store_that_was_prepared_in_another_way_is_refused(checkpoint, world, tmp_path):
    other = Recipe(
        name="other",
        sources=(SourceRecipe(path=world / "val", split="val"),),
        canonical=CanonicalSpec(canvases=((128, 96), (96, 128)), scale="fit", anchor="center"),
    )
    folder = build(other, tmp_path, workers=1).folder
    with pytest.raises(SpecError, match=r"canonical\.anchor: the checkpoint needs 'top-left', the store has 'center'"):
        evaluate_checkpoint(checkpoint, version=folder)


def test_pictures_without_text_have_no_score(tmp_path, predicted):
    line = PolygonSet.of([[(0, 0), (9, 0), (9, 2), (0, 2)]], frame="upright")
    nothing = PolygonSet.empty("upright")
    spec = EvaluationSpec()
    found = evaluate([judge_picture("a", nothing, line, spec=spec)], ["a"], spec=spec)
    assert found.complete and found.hmean is None and found.scores["iou"].status == "empty"
    assert "no text to be found" in table(found)
    assert result_document(found)["reasons"]["detections"]["false_alarm"] == 1


def test_results_that_are_unexpected_or_come_twice_are_refused():
    spec = EvaluationSpec()
    one = judge_picture("a", PolygonSet.empty("raw"), PolygonSet.empty("raw"), spec=spec)
    with pytest.raises(DataError, match="judged twice"):
        evaluate([one, one], ["a"], spec=spec)
    with pytest.raises(DataError, match="not among the expected"):
        evaluate([one], ["b"], spec=spec)
    with pytest.raises(SpecError, match="repeated"):
        evaluate([one], ["a", "a"], spec=spec)


def test_a_source_without_samples_is_refused(checkpoint, tmp_path):
    (tmp_path / "images").mkdir()
    file = tmp_path / "ufo.json"
    file.write_text('{"images": {}}')
    source = open_source(file, format="ufo", pictures=tmp_path / "images")
    with pytest.raises(AnnotationError, match="holds no samples"):
        evaluate_checkpoint(checkpoint, source=source)


def test_a_checkpoint_that_is_none_is_refused(tmp_path, version):
    with pytest.raises(SpecError, match="no such checkpoint"):
        evaluate_checkpoint(tmp_path / "no.ckpt", version=version)
    (tmp_path / "text.ckpt").write_text("hello")
    with pytest.raises(DataError, match="found a file that begins with b'hello', expected a checkpoint"):
        evaluate_checkpoint(tmp_path / "text.ckpt", version=version)


def test_every_number_says_what_produced_it(from_store, checkpoint, version):
    identity = from_store.identity
    assert identity["checkpoint"]["steps"] > 0 and len(identity["checkpoint"]["sha256"]) == 64
    assert identity["store"]["split"] == "val" and identity["store"]["version"] == Path(version).name
    assert identity["extract"]["score_min"] == 0.6 and identity["precision"] == "fp32"
    assert json.dumps(result_document(from_store))
