"""Recipes: strict, all problems at once with their places, and written as they are read."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrmaps.canonical import CanonicalSpec
from ocrmaps.errors import SpecError
from ocrmaps.maps import MapSpec
from ocrmaps.recipe import Layout, Recipe, SourceRecipe, default_recipe, dump_recipe, load_recipe, load_text

GOOD = """
name = "receipts"
[[sources]]
path = "labels.json"
split = "train"
[canonical]
canvases = [[640, 640], [640, 320]]
side = 640
"""


def problems(text: str) -> list[str]:
    with pytest.raises(SpecError) as refused:
        load_text(text)
    return [p.loc.rpartition(":")[2] for p in refused.value.problems]


def test_all_problems_come_at_once_with_their_places():
    text = """
    name = "a/b"
    color = 1
    [[sources]]
    path = "a"
    frame = "up"
    [[sources]]
    pth = "b"
    [canonical]
    canvases = [[640, "wide"]]
    side = true
    [layout]
    rows_per_shard = "3"
    """
    assert problems(text) == [
        "name",
        "sources[0].frame",
        "sources[1].path",
        "sources[1].pth",
        "canonical.canvases[0]",
        "canonical.side",
        "layout.rows_per_shard",
        "color",
    ]


@pytest.mark.parametrize(
    ("change", "loc"),
    [
        ("[maps]\nshrink_ratio = 1.5", "maps.shrink_ratio"),
        ("[layout]\nrows_per_shard = 0", "layout.rows_per_shard"),
        ("[layout]\nimage = 'gzip'", "layout.image"),
        ("[layout]\nrows_per_shard = true", "layout.rows_per_shard"),
        ("[maps]\nshrink_ratio = '0.4'", "maps.shrink_ratio"),
        ("[maps]\nshrink_ratio = nan", "maps.shrink_ratio"),
    ],
)
def test_a_value_out_of_range_or_type_is_named(change, loc):
    assert problems(GOOD + change) == [loc]


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "x" * 65, "a b"])
def test_a_store_name_is_a_plain_folder_name(name):
    assert problems(GOOD.replace("receipts", name)) == ["name"]


def test_an_unknown_key_lists_the_known_ones():
    with pytest.raises(SpecError, match="known here: path, format"):
        load_text(GOOD.replace('split = "train"', 'spilt = "train"'))


def test_the_same_source_twice_is_refused():
    source = '[[sources]]\npath = "labels.json"\nsplit = "train"\n'
    assert problems(GOOD.replace("[canonical]", source + "[canonical]")) == ["sources[1]"]


def test_paths_count_from_the_recipe_file(tmp_path: Path):
    (tmp_path / "my recipe.toml").write_text(GOOD.replace('name = "receipts"', ""))
    recipe = load_recipe(tmp_path / "my recipe.toml")
    assert recipe.sources[0].path == tmp_path / "labels.json"
    assert recipe.name == "my-recipe"


def test_a_recipe_that_is_not_there_or_not_toml_is_refused_by_name(tmp_path: Path):
    with pytest.raises(SpecError, match=r"none\.toml"):
        load_recipe(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("name = ")
    with pytest.raises(SpecError, match=r"bad\.toml"):
        load_recipe(tmp_path / "bad.toml")


@pytest.mark.parametrize("setting", ["canonical.side", "=3", "canonical..side=3", "name.x=3"])
def test_a_setting_that_is_not_one_is_refused(setting):
    with pytest.raises(SpecError, match="--set"):
        load_text(GOOD, [setting])


def test_sources_and_names_are_no_part_of_the_identity():
    one, other = load_text(GOOD), load_text(GOOD.replace("labels.json", "x.json").replace("receipts", "r2"))
    assert one.identity() == other.identity()


def test_every_field_of_the_records_is_part_of_the_identity():
    identity = load_text(GOOD).identity()
    for name, record in (("canonical", CanonicalSpec), ("maps", MapSpec), ("layout", Layout)):
        assert set(identity[name]) == {f.name for f in fields(record)}


names = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1, max_size=20)


@given(
    names,
    st.one_of(st.none(), names),
    st.sampled_from(["raw", "upright"]),
    st.sampled_from(["train", "val", "test", ""]),
    st.sampled_from([None, 0.25, 1.0, 3.5]),
    st.sampled_from([("exact", 0.6), ("official", 0.4)]),
)
def test_a_written_recipe_reads_back_equal(path, pictures, frame, split, max_scale, style):
    recipe = Recipe(
        name="x",
        sources=(
            SourceRecipe(
                path=Path(path), pictures=None if pictures is None else Path(pictures), frame=frame, split=split
            ),
        ),
        canonical=CanonicalSpec(canvases=((64, 32),), side=64, max_scale=max_scale, fill=(1, 2, 255)),
        maps=MapSpec(style=style[0], shrink_ratio=style[1]),
        layout=Layout(rows_per_shard=7, image="raw"),
    )
    assert load_text(dump_recipe(recipe)) == recipe


def test_the_default_recipe_reads_back_equal():
    recipe = default_recipe([SourceRecipe(path=Path("a"))], longest=1024)
    assert load_text(dump_recipe(recipe)) == recipe
