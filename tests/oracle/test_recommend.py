"""Recommended recipes respect the budget and can be built as they are written."""

from __future__ import annotations

import itertools
import shlex
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrmaps.annotations import Source
from ocrmaps.canonical import CanonicalSpec
from ocrmaps.errors import SpecError
from ocrmaps.pipelines import data
from ocrmaps.pipelines.recommend import (
    STRIDE,
    mean_mpx,
    next_steps,
    propose_canvases,
    read_all,
    recommend,
    write_recipe,
    write_run,
)
from ocrmaps.recipe import FORM, load_recipe
from ocrmaps.settings.schema import schema_text
from ocrmaps.training.spec import load_run
from tests.oracle.test_oracle import header, lines, sample

sizes = st.lists(st.tuples(st.integers(100, 900), st.integers(100, 900)), min_size=1, max_size=12)


@settings(max_examples=60)
@given(sizes, st.integers(1, 4))
def test_proposed_canvases_waste_least(pictures, number):
    """Against trying every set of canvases, on a small grid."""
    side = 160
    heads = [header(*s) for s in pictures]
    found = propose_canvases(pictures, side, number)
    assert (side, side) in found
    assert len(found) <= number
    options = [c for w in range(STRIDE, side, STRIDE) for c in ((side, w), (w, side))]
    best = min(
        mean_mpx(heads, CanonicalSpec(canvases=((side, side), *chosen), scale="longest", side=side))
        for k in range(number)
        for chosen in itertools.combinations(options, k)
    )
    assert mean_mpx(heads, CanonicalSpec(canvases=found, scale="longest", side=side)) == pytest.approx(best)


def test_a_recommendation_stays_under_its_budget_and_its_recipe_reads_back(tmp_path):
    samples = [sample(lines(), id=f"{i}.png") for i in range(6)]
    heads = [header(400, 300)] * 6
    found = recommend(samples, heads, budget_mpx=0.12, judged_on=3)
    assert found.chosen.mpx <= 0.12
    assert found.chosen.hmean[0.5] == 1
    assert len(found.full.pictures) == 6
    source = Source(annotations=tmp_path / "labels.json", pictures=tmp_path / "images", format="ufo")
    write_recipe(found, [source], tmp_path / "sub" / "mine.toml")
    recipe = load_recipe(tmp_path / "sub" / "mine.toml")
    assert recipe.canonical == found.chosen.canonical
    assert recipe.maps == found.chosen.maps
    assert recipe.sources[0].path.resolve() == (tmp_path / "labels.json").resolve()
    first = (tmp_path / "sub" / "mine.toml").read_text().splitlines()[0]
    assert first == "#:schema recipe.schema.json"
    assert (tmp_path / "sub" / "recipe.schema.json").read_text() == schema_text(FORM)


def test_curved_text_is_judged_with_polygons_and_the_recipe_says_so(tmp_path):
    """Judged by boxes, curved text scored best where it was least seen: the smallest canvases won."""
    x = np.linspace(30, 270, 7)
    bows = [
        np.concatenate(
            [np.stack([x, y + 0.006 * (x - 150) ** 2], 1), np.stack([x, y + 12 + 0.006 * (x - 150) ** 2], 1)[::-1]]
        )
        for y in (40, 120, 200)
    ]
    found = recommend([sample(bows)], [header(400, 300)], budget_mpx=0.12)
    assert found.shape == found.as_json()["shape"] == "polygons"
    assert found.chosen.hmean[0.7] == 1
    source = Source(annotations=tmp_path / "labels.json", pictures=tmp_path, format="ufo")
    write_recipe(found, [source], tmp_path / "mine.toml")
    assert 'extract.shape = "polygons"' in (tmp_path / "mine.toml").read_text()
    assert load_recipe(tmp_path / "mine.toml").maps == found.chosen.maps


def test_a_recipe_written_through_a_linked_folder_leads_to_its_source(tmp_path):
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real" / "deep")
    (tmp_path / "labels.json").write_text("{}")
    found = recommend([sample(lines())], [header(400, 300)], budget_mpx=0.07)
    source = Source(annotations=tmp_path / "labels.json", pictures=tmp_path, format="ufo")
    write_recipe(found, [source], tmp_path / "link" / "mine.toml")
    assert load_recipe(tmp_path / "link" / "mine.toml").sources[0].path.samefile(tmp_path / "labels.json")


def test_the_run_file_beside_the_recipe_trains_on_its_store(tmp_path):
    found = recommend([sample(lines())], [header(400, 300)], budget_mpx=0.07)
    sources = [synth(tmp_path / split, num=num, seed=num) for split, num in (("train", 5), ("val", 1))]
    sources = [replace(source, split=source.name) for source in sources]
    recipe, run = tmp_path / "my receipts.toml", tmp_path / "my receipts-run.toml"
    write_recipe(found, sources, recipe)
    write_run(found, sources, run, recipe=recipe)
    assert [(s.path.parent.name, s.split) for s in load_recipe(recipe).sources] == [("train", "train"), ("val", "val")]
    assert load_run(run).data.store == load_recipe(recipe).name == "my-receipts"
    assert "5 pictures to train on make about 2 steps an epoch" in run.read_text()
    said = next_steps(sources, recipe, run)
    assert [line.split()[:2] for line in said[1:]] == [["ocrmaps", "build"], ["ocrmaps", "train"]]
    assert shlex.split(said[1])[2:] == [str(recipe)]
    assert "of split val" in next_steps(sources[:1], recipe, run)[-1]


@pytest.mark.parametrize(("has", "precision"), [(True, "bf16"), (False, "fp32")])
def test_the_run_file_asks_for_what_the_processor_has(has, precision, tmp_path, monkeypatch):
    monkeypatch.setattr("ocrmaps.pipelines.recommend.has_bf16", lambda: has)
    found = recommend([sample(lines())], [header(400, 300)], budget_mpx=0.07)
    write_run(found, [synth(tmp_path / "a", num=1, seed=1)], tmp_path / "a-run.toml", recipe=tmp_path / "a.toml")
    assert load_run(tmp_path / "a-run.toml").precision == precision


def test_polygons_are_said_in_the_run_file(tmp_path):
    found = recommend([sample(lines())], [header(400, 300)], budget_mpx=0.07, shape="polygons")
    write_run(found, [synth(tmp_path / "a", num=1, seed=1)], tmp_path / "a-run.toml", recipe=tmp_path / "a.toml")
    assert load_run(tmp_path / "a-run.toml").extract.shape == "polygons"


def test_what_is_tested_on_does_not_choose_the_recipe(tmp_path):
    sources = [synth(tmp_path / name, num=num, seed=num) for name, num in (("a", 2), ("b", 3))]
    assert len(read_all([sources[0], replace(sources[1], split="test")])[0]) == 2
    assert len(read_all(sources)[0]) == 5


def synth(folder, *, num, seed):
    return data.synth(folder, format="ufo", num=num, seed=seed, size=(480, 320)).source


def test_a_generous_budget_is_not_simply_spent():
    found = recommend([sample(lines())], [header(400, 300)], budget_mpx=9, canvases=2)
    sides = [c.canonical.side for c in found.candidates]
    assert max(sides) == 2048
    assert found.chosen.canonical.side == min(sides) < 900


def test_thin_kernels_are_weighed():
    samples = [sample(lines(height=9, gap=9), id="a.png")]
    found = recommend(samples, [header(400, 300)], budget_mpx=0.2)
    by_ratio = {
        c.maps.shrink_ratio: c for c in found.candidates if c.maps.style == "exact" and c.mpx == found.chosen.mpx
    }
    assert by_ratio[0.4].kernels["under_3px"] > by_ratio[0.6].kernels["under_3px"]
    assert found.chosen.maps.shrink_ratio == 0.6


@pytest.mark.parametrize("budget", [0, -1, np.nan, 1e-4])
def test_an_impossible_budget_is_refused_with_what_is_needed(budget):
    with pytest.raises(SpecError, match=r"budget|needs"):
        recommend([sample(lines())], [header(400, 300)], budget_mpx=budget)


@pytest.mark.shared
def test_real_receipts_fit_the_budget(shared):
    from ocrmaps.annotations.samples import headers, open_samples

    source, samples = open_samples(shared / "data" / "sroie" / "train", format=None, pictures=None, frame="upright")
    found = recommend(samples, headers(source, samples), budget_mpx=0.30)
    assert found.chosen.mpx <= 0.30
    assert found.chosen.hmean[0.5] >= 0.997
