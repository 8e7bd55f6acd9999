"""Several stores are scored and tuned on as one, and each alone beside it."""

from __future__ import annotations

import json

import pytest

import ocrmaps
from ocrmaps.canonical import CanonicalSpec
from ocrmaps.detect.trained import read_checkpoint
from ocrmaps.errors import DataError, SpecError, StoreNotFound
from ocrmaps.evaluation import EvaluationSpec, evaluate, read_evaluation, result_document, write_evaluation
from ocrmaps.evaluation.detectors import evaluate_checkpoint, evaluate_predictions
from ocrmaps.evaluation.summary import table
from ocrmaps.evaluation.tune.checks import check_apart
from ocrmaps.evaluation.tune.grid import Grid
from ocrmaps.evaluation.tune.summary import table as tuned_table
from ocrmaps.pipelines.build import build
from ocrmaps.pipelines.tune import tune_stored
from ocrmaps.recipe import Layout, Recipe, SourceRecipe
from ocrmaps.store.several import NO_ROWS, StorePart, find_parts, opened
from tests.evaluation.test_command import typed

__all__ = ["typed"]
GRID = Grid(binarize=(0.3,), score_min=(0.4, 0.6), ratios=(), margins=(0.0,), splits=(0.0,))


@pytest.fixture(scope="module")
def more(world):
    """A second store in the same cache: what `tiny` calls test is its val, and it has no test."""
    recipe = Recipe(
        name="more",
        sources=(SourceRecipe(path=world / "test", split="val"),),
        canonical=CanonicalSpec(canvases=((128, 96), (96, 128)), scale="fit"),
        layout=Layout(rows_per_shard=4),
    )
    return build(recipe, world / "cache", workers=1).folder


@pytest.fixture(scope="module")
def both(checkpoint, world, more):
    return evaluate_checkpoint(checkpoint, version=find_parts(world / "cache", ["tiny", "more"]))


def test_the_pooled_score_counts_every_picture_once_and_each_store_has_its_own(both, checkpoint, version, more):
    alone = [evaluate_checkpoint(checkpoint, version=folder) for folder in (version, more)]
    assert [len(each.expected) for each in both.stores] == [4, 3] and both.complete and len(both.expected) == 7
    for mine, theirs in zip(both.stores, alone, strict=True):
        assert mine.hmean == theirs.hmean and {**mine.seen} == {**theirs.seen} and mine.totals == theirs.totals
    for threshold, counts in both.totals.items():
        assert counts == alone[0].totals[threshold] + alone[1].totals[threshold]
    pooled = evaluate([p for each in both.stores for p in each.pictures], both.expected, spec=both.spec)
    assert both.seen == pooled.seen and both.hmean not in (alone[0].hmean, alone[1].hmean)


def test_tables_and_files_name_each_store(both, tmp_path):
    document = result_document(both)
    assert (
        [s["name"] for s in document["stores"]]
        == ["tiny", "more"]
        == [s["name"] for s in document["identity"]["store"]["stores"]]
    )
    assert [s["hmean"] for s in document["stores"]] == [each.hmean for each in both.stores]
    said = table(both)
    assert "on tiny/" in said and "\nall pictures" in said and f"{both.stores[1].hmean:.4f}" in said
    write_evaluation(both, tmp_path)
    images = read_evaluation(tmp_path).images
    assert [row["store"].split("/")[0] for row in images] == ["tiny"] * 4 + ["more"] * 3


def test_one_store_has_no_parts(checkpoint, version):
    document = result_document(evaluate_checkpoint(checkpoint, version=version, limit=1))
    assert document["stores"] == [] and "stores" not in document["identity"]["store"]


def test_a_limit_leaves_each_store_partial(checkpoint, world, more):
    found = evaluate_checkpoint(checkpoint, version=find_parts(world / "cache", ["tiny", "more"]), limit=2)
    assert sum(len(each.pictures) for each in found.stores) == 2 and found.stores[1].hmean is None
    assert "2/7" in table(found)


def test_stores_are_named_once_and_each_must_have_the_split(checkpoint, world, more):
    with pytest.raises(SpecError, match=r"which is more/.* once more"):
        find_parts(world / "cache", ["more", "tiny", "more"])
    with pytest.raises(SpecError, match=r"store more/\w+: split 'test' has no rows; it has 'val' 3"):
        evaluate_checkpoint(checkpoint, version=find_parts(world / "cache", ["tiny", "more"]), split="test")


def test_predictions_are_scored_on_several_stores_where_names_tell_pictures_apart(world, more, tmp_path):
    where = find_parts(world / "cache", ["tiny", "more"])
    (tmp_path / "receipt-000003.txt").write_text("")
    found = evaluate_predictions(tmp_path, version=where)
    assert [each.count("unpredicted") for each in found.stores] == [3, 3] and found.count("scored") == 1
    (tmp_path / "receipt-000000.txt").write_text("")
    with pytest.raises(DataError, match=r"found 2 pictures that it could mean: tiny: .*, more: "):
        evaluate_predictions(tmp_path, version=where)


def test_without_a_store_it_is_what_the_run_validated_on(typed, checkpoint, run, world, tmp_path):
    code, out, _ = typed("evaluate", checkpoint, "--protocol", "iou", "--json")
    document = json.loads(out)
    assert code == 0 and document["hmean"] == pytest.approx(run.hmean, abs=1e-6)
    assert document["identity"]["store"]["split"] == "val"
    assert ocrmaps.evaluate(checkpoint, cache=world / "cache").hmean == document["hmean"]
    lost = tmp_path / "lost.ckpt"
    lost.write_bytes(checkpoint.read_bytes())
    with pytest.raises(
        StoreNotFound, match=r"neither --store nor --source is named, and of what it learnt from .*tiny"
    ):
        ocrmaps.evaluate(lost, cache=tmp_path)


def test_typed_stores_are_as_many_as_are_named(typed, checkpoint, both, world, more):
    code, out, _ = typed("evaluate", checkpoint, "--store", "tiny", "--store", more, "--json")
    assert code == 0 and json.loads(out)["hmean"] == both.hmean and len(json.loads(out)["stores"]) == 2
    found = ocrmaps.evaluate(checkpoint, ["tiny", more], cache=world / "cache")
    assert found.hmean == both.hmean and len(found.stores) == 2


def test_settings_are_chosen_on_all_stores_together(checkpoint, world, more, tmp_path):
    asked = {"cache": world / "cache", "grid": GRID, "split": "val"}
    together = tune_stored(checkpoint, out=tmp_path / "new.ckpt", store=["tiny", "more"], **asked)
    choice, on = together.choices[0], together.chosen_on
    assert on["pictures"] == 7 and [s["pictures"] for s in on["stores"]] == [4, 3]
    assert read_checkpoint(together.out)["ocrmaps"]["tuned"]["on"]["stores"] == on["stores"]
    spec = EvaluationSpec(protocols=("iou",))
    found = evaluate_checkpoint(together.out, version=find_parts(world / "cache", ["tiny", "more"]), spec=spec)
    assert found.hmean == pytest.approx(choice.chosen.hmean)
    assert [s.chosen.hmean for s in choice.stores] == pytest.approx([each.hmean for each in found.stores])
    document = together.as_dict()
    assert [s["store"] for s in document["stores"]] == ["tiny", "more"] and document["stores"][0]["test"] is None
    assert "7 pictures of tiny/" in tuned_table(together) and "  on more/" in tuned_table(together)


def test_pictures_of_another_store_are_not_tested_on(checkpoint, world, version, more):
    card = read_checkpoint(checkpoint)["ocrmaps"]
    with opened([StorePart(folder=version), StorePart(folder=more, splits={"test": "val"})]) as reader:
        check_apart(reader, "val", None, None, card)
        with pytest.raises(SpecError, match=r"the same picture as more/|the same picture as val"):
            check_apart(reader, "val", "test", None, card)
    with (
        opened([StorePart(folder=version, splits={"val": "test"}), StorePart(folder=more)]) as reader,
        pytest.raises(SpecError, match="not chosen on the test split"),
    ):
        check_apart(reader, "val", None, None, card)
    unseen = [StorePart(folder=more), StorePart(folder=version, splits={"val": NO_ROWS, "test": "train"})]
    with opened(unseen) as reader, pytest.raises(SpecError, match="6 test pictures are also learnt"):
        check_apart(reader, "val", "test", None, card)
