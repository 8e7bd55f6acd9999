"""Settings files: what is written reads back equal, and constructor, file and JSON schema take the same values."""

from __future__ import annotations

import json
import math
import os
import re
import tomllib
from dataclasses import MISSING, dataclass, field, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from ocrmaps import recipe
from ocrmaps.cli.app import app
from ocrmaps.errors import SpecError
from ocrmaps.pipelines.bench import thresholds
from ocrmaps.recipe import SourceRecipe, default_recipe, load_recipe
from ocrmaps.settings.files import Form, dump, read_file, read_text
from ocrmaps.settings.ranges import Range, Rule, Whole1, check, choices, hints, keys, parted, told
from ocrmaps.settings.schema import schema, schema_line, schema_text
from ocrmaps.training import spec as run

RECIPES = Path("pipelines/recipes")
FORMS = {form.what: form for form in (recipe.FORM, run.FORM, thresholds.FORM)}


def records_of(record: Any) -> dict[str, Any]:
    """A record and all in it by name."""
    found = {record.__name__: record}
    for key in keys(record):
        kind = parted(hints(record)[key.name])[0]
        for inner in (kind, *get_args(kind)):
            if is_dataclass(inner):
                found |= records_of(inner)
    return found


RECORDS = {name: kind for form in FORMS.values() for name, kind in records_of(form.record).items()}
names = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=12)
plain_values = st.recursive(
    st.one_of(st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), names),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=3)),
    max_leaves=5,
)


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    """Values that fit a type and its marks."""
    parts = choices(hint)
    if len(parts) > 1:
        return st.one_of(*map(values_of, parts))
    kind, marks = parted(parts[0])
    origin, arguments = get_origin(kind), get_args(kind)
    span = next((mark for mark in marks if isinstance(mark, Range)), Range())
    rule = next((mark for mark in marks if isinstance(mark, Rule)), Rule(""))
    if is_dataclass(kind):
        return records(kind)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(values_of(arguments[0]), min_size=rule.least, max_size=3).map(tuple)
    if origin is tuple:
        pairs = st.tuples(*map(values_of, arguments))
        return pairs.map(lambda pair: tuple(sorted(pair))) if rule.test else pairs
    if kind is int:
        return st.integers(span.ge if span.ge is not None else -9, int(span.le) if span.le is not None else 10**9)
    if kind is float:
        low, high = span.ge if span.gt is None else span.gt, span.le if span.lt is None else span.lt
        return st.floats(
            low, high, exclude_min=span.gt is not None, exclude_max=span.lt is not None, allow_infinity=False
        )
    if kind is str and rule.pattern:
        return st.from_regex(rule.pattern, fullmatch=True)
    if kind is str:
        return names.map(lambda text: text or "x") if rule.least else names
    if kind is Path:
        return names.map(Path)
    if kind is bool:
        return st.booleans()
    inner = plain_values if arguments[1] is Any else values_of(arguments[1])
    return st.dictionaries(names, inner, min_size=rule.least, max_size=3)


@st.composite
def records(draw: Any, record: Any) -> Any:
    """Records of any values that go together: a contradiction falls back to the default of the key it names."""
    values = {}
    for key in keys(record):
        fits = values_of(hints(record)[key.name])
        values[key.name] = draw(st.one_of(st.none(), fits) if key.default is None else fits)
    if record is thresholds.Threshold:
        values |= {"bench": draw(st.sampled_from(list(thresholds.BENCHES))), "limit": 1.0}
    if record is run.DataSpec:
        names = draw(st.sets(st.sampled_from(["a", "b", "c"]), min_size=1))
        alone = len(names) == 1
        stores = () if alone else tuple(run.StoreSpec(store=name, weight=0.5) for name in sorted(names))
        values |= {"store": "a" if alone else "", "stores": stores}
        values |= {} if alone else {"train": "train", "val": "val"}
    if record is run.SamplingSpec:
        values |= {"source": "a", "text_height": None, "texts": draw(st.sampled_from([None, Path("texts.csv")]))}
    try:
        return record(**values)
    except SpecError as error:
        named = {word for problem in error.problems for word in re.findall(r"\w+", problem.loc)}
    given = {key.name for key in keys(record) if key.default is MISSING and key.default_factory is MISSING}
    given |= {"store", "stores"} if record is run.DataSpec else set()
    for many in ("canvases", "sources"):
        if many in values:
            values[many] = tuple(dict.fromkeys(values[many]))
    try:
        return record(**{key: value for key, value in values.items() if key in given or key not in named})
    except SpecError:
        return record(**{key: value for key, value in values.items() if key in given})


def problems(form: Form, text: str, settings: list[str] | None = None) -> list[str]:
    with pytest.raises(SpecError) as refused:
        read_text(form, text, settings or [], where="f.toml").record()
    return [str(problem) for problem in refused.value.problems]


@pytest.mark.parametrize("name", RECORDS)
@given(st.data())
@settings(max_examples=30)
def test_a_written_record_reads_back_equal(name, data):
    record = data.draw(records(RECORDS[name]))
    assert read_text(Form(what=name, record=RECORDS[name]), dump(record), where="f.toml").record() == record


def refuses(rules: dict[str, Any], value: Any) -> str:
    """Why a JSON schema refuses a value; empty where it does not."""
    if "anyOf" in rules:
        found = [refuses(part, value) for part in rules["anyOf"]]
        return "" if "" in found else "; ".join(found)
    kinds = {"boolean": bool, "integer": int, "number": int | float, "string": str, "array": list, "object": dict}
    wanted = kinds[rules["type"]] if "type" in rules else object
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted not in (bool, object)):
        return f"{value!r} is no {rules['type']}"
    tests = {
        "enum": lambda words: value in words,
        "minimum": lambda bound: value >= bound,
        "exclusiveMinimum": lambda bound: value > bound,
        "maximum": lambda bound: value <= bound,
        "exclusiveMaximum": lambda bound: value < bound,
        "pattern": lambda pattern: re.search(pattern, value),
        **dict.fromkeys(("minItems", "minLength", "minProperties"), lambda least: len(value) >= least),
        "maxItems": lambda most: len(value) <= most,
        "required": lambda needed: set(needed) <= set(value),
    }
    failed = [f"{value!r}: {word} {bound}" for word, bound in rules.items() if word in tests and not tests[word](bound)]
    if isinstance(value, list):
        failed += [refuses(rules["items"], item) for item in value]
    if isinstance(value, dict):
        known, other = rules.get("properties", {}), rules.get("additionalProperties", True)
        for key, inner in value.items():
            if key in known:
                failed.append(refuses(known[key], inner))
            elif other is False:
                failed.append(f"unknown key {key}")
            elif other is not True:
                failed.append(refuses(other, inner))
    return "; ".join(filter(None, failed))


def borders() -> list[Any]:
    """(record, key, its range, a way to put a number into its place) of every range of every record."""
    found = []
    for name, record in RECORDS.items():
        for key in keys(record):
            for part in choices(hints(record)[key.name]):
                kind, marks = parted(part)
                whole = get_args(kind) if get_origin(kind) is tuple else ()
                if whole and get_origin(parted(whole[0])[0]) is tuple:
                    inner, marks = parted(get_args(parted(whole[0])[0])[0])
                    found += [(name, key.name, mark, inner, lambda v: ((v, v),)) for mark in marks]
                elif whole and parted(whole[0])[1]:
                    inner, marks = parted(whole[0])
                    found += [(name, key.name, m, inner, lambda v, parts=whole: (v,) * len(parts)) for m in marks]
                else:
                    found += [(name, key.name, m, kind, lambda v: v) for m in marks if isinstance(m, Range)]
    return [pytest.param(*case, id=f"{case[0]}.{case[1]}") for case in found]


@pytest.mark.parametrize(("name", "key", "span", "kind", "place"), borders())
def test_borders_are_the_same_in_constructor_file_and_schema(name, key, span, kind, place):
    record = RECORDS[name]
    form = Form(what=name, record=record)
    rules = schema(form)["properties"][key]
    hint = hints(record)[key]
    words = tuple(f"expected {told(part)}" for part in (hint, *choices(hint), *get_args(parted(hint)[0])[:1]))

    def beside(bound: float, way: int) -> float:
        return int(bound) + way if kind is int else math.nextafter(bound, way * math.inf)

    for bound, inclusive, out in (
        (span.ge, True, -1), (span.gt, False, -1), (span.le, True, 1), (span.lt, False, 1),
    ):  # fmt: skip
        if bound is None:
            continue
        inside, outside = (bound, beside(bound, out)) if inclusive else (beside(bound, -out), bound)
        for number, good in ((kind(inside), True), (kind(outside), False)):
            value = place(number)
            with_schema = refuses(rules, json.loads(json.dumps(value))) == ""
            text = f"{key} = {json.dumps(value)}"
            said = [constructed(record, {key: value}), [p for p in from_text(form, text) if key in p]]
            refused = [any(p.endswith(words) for p in s) for s in said]
            assert (with_schema, refused) == (good, [not good, not good]), (value, said)


def constructed(record: Any, values: dict[str, Any]) -> list[str]:
    required: dict[str, Any] = {
        "path": "a", "name": "a", "canvases": ((64, 64),), "store": "a", "bench": "maps", "better": "higher",
        "look": "a", **({"weight": 1.0} if record is run.SamplingSpec else {}),
    }  # fmt: skip
    needed = {k.name: required[k.name] for k in keys(record) if k.name in required and k.default is MISSING}
    needed |= {"data": run.DataSpec(store="a")} if record is run.RunSpec else {}
    needed |= {"texts": "texts.csv"} if record is run.SamplingSpec and "missed" in values else {}
    try:
        record(**(needed | values))
    except SpecError as error:
        return [str(problem) for problem in error.problems]
    return []


def from_text(form: Form, text: str) -> list[str]:
    try:
        read_text(form, text, where="f").record()
    except SpecError as error:
        return [str(problem) for problem in error.problems]
    return []


def shipped() -> list[tuple[Form, Path]]:
    files = sorted(RECIPES.glob("*.toml"))
    found = [(run.FORM if path.stem.endswith("-run") else recipe.FORM, path) for path in files]
    return [*found, (thresholds.FORM, thresholds.DEFAULT)]


@pytest.mark.parametrize(("form", "path"), shipped(), ids=lambda v: v.stem if isinstance(v, Path) else "")
def test_the_schema_takes_shipped_files_and_no_other_key(form, path):
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    assert refuses(schema(form), data) == ""
    assert refuses(schema(form), data | {"color": 1}) == "unknown key color"
    table = next(key for key, value in data.items() if isinstance(value, dict))
    assert "unknown key" in refuses(schema(form), data | {table: {**data[table], "color": {}}}) or table == "figures"


def test_the_schema_refuses_values_out_of_range_and_missing_keys():
    rules = schema(run.FORM)
    assert refuses(rules, {"data": {"store": "a"}}) == ""
    assert "minimum 1" in refuses(rules, {"data": {"store": "a", "batch_size": 0}})
    assert "enum" in refuses(rules, {"data": {"store": "a"}, "precision": "fp8"})
    assert "required" in refuses(rules, {})
    assert "is no table" in refuses(rules, {"data": 3}).replace("object", "table")


def test_the_schema_tells_meanings_and_defaults():
    layout = schema(recipe.FORM)["properties"]["layout"]["properties"]
    assert layout["rows_per_shard"]["default"] == 32
    assert layout["rows_per_shard"]["description"].startswith("Rows in one stored file")


def test_problems_name_line_or_option_and_what_was_meant():
    text = 'name = "a"\n[data]\nstore = "a"\n\n[augment]\nfill = [\n  0,\n  0,\n  256,\n]\nflipp = 1\n'
    text += "[budget]\npatience = 0\n"
    assert problems(run.FORM, text, ["keep.top=0"]) == [
        "f.toml:6:augment.fill: found [0, 0, 256], expected three whole numbers (R, G, B) from 0 to 255",
        "f.toml:11:augment.flipp: unknown key, did you mean augment.flip? known here: "
        + ", ".join(key.name for key in keys(run.TABLES["augment"])),
        "f.toml:13:budget.patience: found 0, expected a whole number of 1 or more",
        "--set keep.top: found 0, expected a whole number of 1 or more",
    ]


def test_lines_are_found_in_any_layout():
    text = '# [data]\r\nname = "a"\r\ndata = { store = """\r\na""", batch_size = 0 }\r\n'
    text += '[ "model" ]\r\nmean = [\r\n[1]]\r\n'
    assert [p.partition(": ")[0] for p in problems(run.FORM, text)] == [
        "f.toml:3:data.batch_size",
        "f.toml:6:model.mean",
    ]


def test_contradictions_of_different_tables_come_at_once():
    text = 'name = "a"\n[data]\nstore = "a"\nval = "train"\n[optimizer]\nmomentum = 0.9\n'
    assert [p.partition(": ")[0] for p in problems(run.FORM, text)] == [
        "f.toml:4:data.val",
        "f.toml:6:optimizer.momentum",
    ]


def test_a_setting_below_something_that_is_no_table_is_refused():
    with pytest.raises(SpecError, match=r"--set name\.x=3: name is not a table; .* are canonical, maps, layout"):
        read_text(recipe.FORM, 'name = "a"', ["name.x=3"], where="f")


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What drives."""

    power: Whole1 = 1
    fuel: Annotated[str, Rule("a fuel", least=1)] = "oil"
    cap: int | None = 5

    def __post_init__(self) -> None:
        check(self, "engine")


@dataclass(frozen=True, slots=True, kw_only=True)
class Car:
    """What is driven."""

    engine: Engine = field(default_factory=Engine)
    doors: Whole1 = 4

    def __post_init__(self) -> None:
        check(self, "")


def test_an_old_key_is_refused_with_the_new_one_named():
    form = Form(what="car", record=Car, renamed={"motor": "engine", "engine.strength": "engine.power"})
    assert problems(form, "doors = 2\n[motor]\npower = 1\n") == ["f.toml:2:motor: unknown key, it is called engine now"]
    assert problems(form, "[engine]\nstrength = 2\n") == [
        "f.toml:2:engine.strength: unknown key, it is called engine.power now"
    ]
    assert problems(form, "", ["engine.strength=2"]) == [
        "--set engine.strength: unknown key, it is called engine.power now"
    ]


@pytest.mark.parametrize(("old", "new"), run.FORM.renamed.items())
def test_the_words_of_former_run_files_are_refused_with_the_new_ones(old, new):
    table, _, key = old.rpartition(".")
    text = 'name = "a"\n' + (f"[{table}]\n" if table else "") + f"{key} = 1\n"
    assert any(p.endswith(f"{old}: unknown key, it is called {new} now") for p in problems(run.FORM, text))


def test_what_toml_has_no_word_for_is_not_written():
    with pytest.raises(SpecError, match="cap: found None"):
        dump(Car(engine=Engine(cap=None)))


def test_a_constructor_tells_all_problems_and_puts_values_into_their_types():
    with pytest.raises(SpecError) as refused:
        Engine(power=True, fuel="")
    assert [str(p) for p in refused.value.problems] == [
        "engine.power: found True, expected a whole number of 1 or more", "engine.fuel: found '', expected a fuel"
    ]  # fmt: skip
    spec = run.AugmentSpec(scale=[1, 2], rotate=3)  # type: ignore[arg-type]
    assert (spec.scale, type(spec.rotate)) == ((1.0, 2.0), float)


@pytest.mark.parametrize("value", [math.nan, math.inf, True, "1", None, 10**400])
def test_only_finite_numbers_are_numbers(value):
    with pytest.raises(SpecError, match=r"optimizer\.lr: found .*, expected a number above 0"):
        run.OptimizerSpec(lr=value)


def test_a_choice_is_quoted_where_it_stands_beside_a_number():
    assert told(hints(run.TABLES["extract"])["binarize"]) == 'a number from 0 to below 1, or "learned"'


@pytest.mark.parametrize("kind", ["recipe", "run"])
def test_schema_prints_or_writes_the_schema(kind, tmp_path):
    printed = CliRunner().invoke(app, ["schema", kind])
    assert printed.exit_code == 0 and json.loads(printed.stdout) == schema(FORMS[kind])
    assert CliRunner().invoke(app, ["schema", kind, "--out", str(tmp_path / "s.json")]).exit_code == 0
    assert (tmp_path / "s.json").read_text() == schema_text(FORMS[kind]) == printed.stdout


def test_a_file_with_a_schema_line_is_read_as_any_other(tmp_path):
    found = default_recipe([SourceRecipe(path=Path("a"))], name="x")
    (tmp_path / "x.toml").write_text(schema_line(recipe.FORM) + dump(found))
    assert read_file(recipe.FORM, tmp_path / "x.toml").record() == found


@pytest.mark.parametrize(
    "text, said",
    [
        ("a" + ".a" * 20_000 + " = 1", "a key of over 64 parts"),
        ("x = {a" + ".a" * 20_000 + " = 1}", "a key of over 64 parts"),
        ("[a" + ".a" * 20_000 + "]", "a key of over 64 parts"),
        ("x = " + "9" * 10_000, "Exceeds the limit"),
    ],
)
def test_toml_that_takes_hours_or_no_number_is_refused(tmp_path, text, said):
    path = tmp_path / "r.toml"
    path.write_text(text)
    with pytest.raises(SpecError, match=f"not valid TOML: .*{said}"):
        load_recipe(path)


def test_points_in_values_are_no_parts_of_keys(tmp_path):
    (tmp_path / "r.toml").write_text(f'# {"." * 99} = 1\nname = "{"." * 99}"\nx = [{"1.5, " * 99}]\n[\n')
    with pytest.raises(SpecError, match="not valid TOML") as caught:
        load_recipe(tmp_path / "r.toml")
    assert "parts" not in str(caught.value)


def test_what_is_no_file_and_what_is_too_long_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(SpecError, match="regular file"):
        load_recipe(tmp_path / "pipe.toml")
    (tmp_path / "long.toml").write_text("#" * (2**20 + 1))
    with pytest.raises(SpecError, match="found over 1048576 bytes"):
        load_recipe(tmp_path / "long.toml")
