"""Precisions are compared by pairs, with what so few pairs can tell; runs that are there are used only if alike."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest

from ocrmaps.cli.app import main
from ocrmaps.errors import RunError, SpecError
from ocrmaps.pipelines.precision import plan, precision_check
from ocrmaps.training.paired import UNKNOWN, compare, detectable, t_power, t_quantile
from tests.training.conftest import small_run


def pairs(*losses: float, base: float = 0.9):
    return [(base, base - loss) for loss in losses]


@pytest.mark.parametrize(
    ("losses", "verdict"),
    [
        ((0.001, 0.002, 0.0), "acceptable"),
        ((-0.02, -0.021, -0.019), "acceptable"),  # better than the baseline is no loss
        ((0.0134, 0.0135, 0.0136), "marginal"),
        ((0.05, 0.052, 0.049), "unacceptable"),
        ((0.001, 0.03, -0.02), UNKNOWN),  # the spread hides everything
        ((0.0089, 0.0091, 0.0090), UNKNOWN),  # across a border
        ((0.05,), UNKNOWN),
    ],
)
def test_a_verdict_holds_for_the_whole_interval_or_is_not_given(losses, verdict):
    assert compare(pairs(*losses)).verdict == verdict


def test_two_baselines_that_learnt_nothing_are_no_proof():
    """Museum B32: 'zero impact' was once shown on networks that scored zero."""
    found = compare([(0.0, 0.0), (0.0, 0.0), (0.01, 0.01)])
    assert found.verdict == UNKNOWN and "learnt nothing" in found.why
    json.dumps(found.as_dict(), allow_nan=False)


def test_equal_scores_on_few_texts_are_no_proof_either():
    same = [(0.9, 0.9)] * 3
    assert compare(same).verdict == "acceptable" and compare(same).detectable == 0
    coarse = compare(same, resolution=0.05)
    assert coarse.verdict == UNKNOWN and coarse.detectable_percent > 5


def test_known_numbers():
    """Student's table; and the textbook sample size of 34 pairs for an effect of half a deviation at power 0.8."""
    assert [round(t_quantile(0.975, df), 3) for df in (1, 2, 4, 9, 30)] == [12.706, 4.303, 2.776, 2.262, 2.042]
    assert t_power(0.5, 34) > 0.8 > t_power(0.5, 33)
    assert t_power(0.0, 5) == pytest.approx(0.05, abs=1e-9)
    assert detectable(0.01, 1) == math.inf and detectable(0.01, 3) == pytest.approx(0.032640, abs=1e-5)


STUDENT = {
    2: ((0.324919696233, 3.07768353718, 12.7062047362, 318.308838986), (0.0504971079, 0.0577587333, 0.0928091551)),
    3: ((0.288675134595, 1.88561808316, 4.30265272975, 22.3271247701), (0.0513883595, 0.0719719259, 0.179255394)),
    4: ((0.276670662333, 1.6377443537, 3.18244630528, 10.2145318524), (0.0524440474, 0.0892064655, 0.288752416)),
    5: ((0.270722294708, 1.53320627406, 2.7764451052, 7.17318221978), (0.0535554379, 0.107663567, 0.401389917)),
    12: ((0.259555860476, 1.36343031802, 2.20098516009, 4.02470103763), (0.0616079815, 0.244625481, 0.882891638)),
    60: ((0.254492534345, 1.29606572512, 2.00099537809, 3.23420734445), (0.118719221, 0.861617431, 0.999999992)),
}
"""By number of pairs: Student's quantiles at .6, .9, .975, .999; the power at effects of .1, .4, 1 (scipy 1.17.1)."""


@pytest.mark.parametrize("count", STUDENT)
def test_quantiles_and_power_are_those_of_scipy(count):
    quantiles, powers = STUDENT[count]
    assert [t_quantile(share, count - 1) for share in (0.6, 0.9, 0.975, 0.999)] == pytest.approx(quantiles, rel=1e-8)
    assert [t_power(size, count) for size in (0.1, 0.4, 1.0)] == pytest.approx(powers, abs=1e-6)


def test_members_differ_in_precision_alone():
    """fp16-safe asks for two batches a step and clip 5: then every member has them."""
    spec = small_run(optimizer={"clip": 9.0}, seed=4)
    members = plan(spec, Path("o"), ("fp32", "fp16-safe"), 2, 7)
    assert [(m.precision, m.seed, m.spec.model.seed) for m in members] == [
        ("fp32", 4, 4), ("fp16-safe", 4, 4), ("fp32", 5, 5), ("fp16-safe", 5, 5)
    ]  # fmt: skip
    one, other = members[0].spec.as_dict(), members[1].spec.as_dict()
    assert {key for key in one if one[key] != other[key]} == {"name", "precision"}
    assert (one["optimizer"]["accumulate"], one["optimizer"]["clip"], one["budget"]["epochs"]) == (2, 5.0, 7)


@pytest.mark.parametrize(
    ("changes", "asked", "found"),
    [
        ({}, {"precisions": ("bf16",)}, "fp32 and another"),
        ({}, {"precisions": ("fp32", "fp8")}, "some of fp32, fp16-safe, bf16"),
        ({}, {"seeds": 0}, "--seeds"),
        ({"budget": {"patience": 2}}, {}, "unequal budgets"),
        ({"budget": {"steps": 2}}, {}, "budget.steps"),
        ({}, {"precisions": ("fp32", "fp16-safe")}, "no 16-bit float training"),
    ],
)
def test_comparisons_that_mean_nothing_are_refused_before_any_run(cache, tmp_path, changes, asked, found):
    with pytest.raises(SpecError, match=found):
        precision_check(small_run(seed=0, **changes), out=tmp_path / "o", cache=cache, **asked)
    assert not (tmp_path / "o").exists()


@pytest.fixture(scope="module")
def checked(world, tmp_path_factory):
    out = tmp_path_factory.mktemp("precision") / "o"
    report = precision_check(small_run(seed=0, watch__pictures=0), out=out, cache=world / "cache", seeds=2, epochs=1)
    return out, report


def test_the_record_has_every_pair_and_what_could_be_found(checked):
    out, report = checked
    record = json.loads((out / "precision.json").read_text())
    assert record == json.loads(json.dumps(report.as_dict()))
    assert [(m["precision"], m["seed"]) for m in record["members"]] == [
        ("fp32", 0), ("bf16", 0), ("fp32", 1), ("bf16", 1)
    ]  # fmt: skip
    found = record["comparisons"]["bf16"]
    assert (
        len(found["differences"]) == 2
        and found["verdict"] == UNKNOWN
        and (found["alpha"], found["power"]) == (0.05, 0.8)
    )
    assert record["identity"]["steps"] == 3 and "smallest detectable" in (out / "precision.txt").read_text()
    weights = [(out / f"{p}-seed0" / "checkpoints" / "last.ckpt").read_bytes() for p in ("fp32", "bf16")]
    assert weights[0] != weights[1]


def test_finished_members_are_used_again_and_more_seeds_join_them(checked, cache, tmp_path):
    out, first = checked
    shutil.copytree(out, tmp_path / "o")
    lines: list[str] = []
    report = precision_check(
        small_run(seed=0, watch__pictures=0), out=tmp_path / "o", cache=cache, seeds=3, epochs=1, say=lines.append
    )
    assert [m.reused for m in report.members] == [True] * 4 + [False] * 2
    assert [m.hmean for m in report.members[:4]] == [m.hmean for m in first.members]


def test_members_of_another_run_are_refused(checked, cache, tmp_path):
    out, _ = checked
    shutil.copytree(out, tmp_path / "o")
    with pytest.raises(RunError, match=r"run\.optimizer\.lr: the checkpoint has 0\.001, this run 0\.5"):
        precision_check(
            small_run(seed=0, watch__pictures=0, optimizer={"lr": 0.5}),
            out=tmp_path / "o",
            cache=cache,
            seeds=2,
            epochs=1,
        )


def test_members_of_another_machine_are_refused(checked, cache, tmp_path):
    out, _ = checked
    shutil.copytree(out, tmp_path / "o")
    file = tmp_path / "o" / "bf16-seed1" / "environment.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"torch": "1.0"}))
    with pytest.raises(RunError, match=r"torch: the member ran on '1\.0'"):
        precision_check(small_run(seed=0, watch__pictures=0), out=tmp_path / "o", cache=cache, seeds=2, epochs=1)


def test_an_interrupted_member_goes_on(checked, cache, tmp_path):
    out, first = checked
    shutil.copytree(out, tmp_path / "o")
    (tmp_path / "o" / "bf16-seed1" / "result.json").unlink()
    report = precision_check(small_run(seed=0, watch__pictures=0), out=tmp_path / "o", cache=cache, seeds=2, epochs=1)
    assert [m.reused for m in report.members] == [True, True, True, False]
    assert [m.hmean for m in report.members] == [m.hmean for m in first.members]


def test_the_command_prints_one_document(checked, world, tmp_path, monkeypatch, capfd):
    out, _ = checked
    (tmp_path / "small.toml").write_text(
        'device = "cpu"\n[data]\nstore = "tiny"\nbatch_size = 2\n[model]\nencoder = "light"\n'
        "encoder_options = {channels = [8, 8, 16, 16]}\ndecoder_options = {width = 16}\n"
        "[budget]\nepochs = 2\n[watch]\npictures = 0\n"
    )
    shutil.copytree(out, tmp_path / "o")
    words = ["precision-check", str(tmp_path / "small.toml"), "--seeds", "2", "--epochs", "1", "--json"]
    places = ["--out", str(tmp_path / "o"), "--root", str(world / "cache")]
    monkeypatch.setattr("sys.argv", ["ocrmaps", *words, *places])
    with pytest.raises(SystemExit) as end:
        main()
    said, errors = capfd.readouterr()
    assert end.value.code == 0, errors
    assert json.loads(said)["comparisons"]["bf16"]["verdict"] == UNKNOWN
    assert errors.count("already finished") == 4
