"""Starting from another detector's weights: what is taken, what is new, what stays, how fast stages learn."""

from __future__ import annotations

import math

import pytest
import torch

from ocrmaps.detect.trained import load_detector, read_checkpoint
from ocrmaps.errors import DataError, SpecError
from ocrmaps.model import DetectorSpec, build_detector
from ocrmaps.model.stages import encoder_stages, freeze_stages, frozen_norms
from ocrmaps.pipelines.train import train
from ocrmaps.training.optimization import OptimizerSpec
from ocrmaps.training.spec import load_run, run_from_dict
from ocrmaps.training.warm import follow_weights, warm_start
from tests.training.conftest import small_run

QUIET = {"watch__pictures": 0}
SMALL = {"channels": [8, 8, 16, 16]}


@pytest.fixture(scope="module")
def origin(world, tmp_path_factory):
    return train(small_run(**QUIET), out=tmp_path_factory.mktemp("origin") / "o", cache=world / "cache").last


def detector(**changes):
    options = {"encoder": "light", "encoder_options": SMALL, "decoder_options": {"width": 16}, "seed": 9}
    return build_detector(DetectorSpec(**{**options, **changes}))


def test_the_same_detector_says_what_the_checkpoint_says(origin):
    mine, theirs = detector(), load_detector(origin)
    found = warm_start(mine, str(origin))
    assert (found.missing, found.other_shape, found.left) == ((), (), ()) and found.taken == len(mine.state_dict())
    picture = torch.randint(0, 255, (1, 64, 64, 3), dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.equal(mine.eval()(picture).probability, theirs.detector(picture).probability)


def test_a_deeper_encoder_starts_by_saying_what_the_shallow_one_said(origin):
    mine = detector(encoder_options={**SMALL, "blocks": [1, 2, 1, 3]})
    found = warm_start(mine, str(origin))
    assert found.missing and all(name.startswith("encoder.stages.") for name in found.missing)
    picture = torch.randint(0, 255, (1, 64, 64, 3), dtype=torch.uint8)
    with torch.inference_mode():
        wanted = load_detector(origin).detector(picture).probability
        assert torch.allclose(mine.eval()(picture).probability, wanted, atol=1e-5)


def test_other_parts_start_anew_and_are_named(origin):
    mine = detector(decoder="pan", decoder_options={"width": 32})
    before = {name: value.clone() for name, value in mine.state_dict().items()}
    found = warm_start(mine, str(origin))
    assert any(name.startswith("decoder.lateral") for name in found.other_shape)
    assert any(name.startswith("decoder.climb") for name in found.missing) and not found.left
    theirs = load_detector(origin).detector.state_dict()
    for name, value in mine.state_dict().items():
        new = name in found.missing or name in found.other_shape
        assert torch.equal(value, before[name] if new else theirs[name])
    line = found.sentence()
    assert f"{found.taken} tensors taken" in line and "of another shape" in line and "..." in line


def test_what_cannot_help_is_refused(origin, tmp_path):
    with pytest.raises(SpecError, match=r"none of the encoder's weights fit: .* holds Light, this run has ResNet"):
        warm_start(build_detector(DetectorSpec(encoder="resnet18")), str(origin))
    with pytest.raises(DataError, match=r"was trained with mean .* this run has \[0.0, 0.0, 0.0\]"):
        warm_start(detector(mean=(0, 0, 0)), str(origin))
    with pytest.raises(SpecError, match="no such"):
        warm_start(detector(), str(tmp_path / "none.ckpt"))
    content = read_checkpoint(origin)
    key = next(k for k, v in content["state_dict"].items() if "encoder" in k and v.is_floating_point())
    content["state_dict"][key].fill_(math.nan)
    torch.save(content, tmp_path / "nan.ckpt")
    with pytest.raises(DataError, match="not finite"):
        warm_start(detector(), str(tmp_path / "nan.ckpt"))


def test_a_run_starts_from_weights_says_so_and_resumes_without_them(origin, world, tmp_path):
    (tmp_path / "kept.ckpt").write_bytes(origin.read_bytes())
    (tmp_path / "run.toml").write_text(
        'name = "tuned"\n[data]\nstore = "tiny"\nbatch_size = 2\n[model]\nweights = "kept.ckpt"\n'
        "freeze = 1\n[optimizer]\nlr = 1e-4\n[budget]\nepochs = 2\nsteps = 4\n[watch]\npictures = 0\n"
    )
    said: list[str] = []
    report = train(load_run(tmp_path / "run.toml"), out=tmp_path / "o", cache=world / "cache", say=said.append)
    assert any(line.startswith("weights from kept.ckpt (") and "tensors taken" in line for line in said)
    assert any(line.startswith("frozen: the first 1 stages") for line in said)
    card = read_checkpoint(report.last)["ocrmaps"]
    assert card["started"]["name"] == "kept.ckpt" and len(card["started"]["sha256"]) == 64
    assert card["model"]["weights"] == "kept.ckpt" and str(tmp_path) not in str(card)
    first, now = (load_detector(path).detector for path in (origin, report.last))
    fixed = {f"encoder.{name}" for name in encoder_stages(first)[0]}
    after = now.state_dict()
    for name, value in first.state_dict().items():
        if name in fixed or name.startswith(("encoder.stem.1.running", "encoder.stages.0.1.running")):
            assert torch.equal(value, after[name]), name
    assert not torch.equal(first.state_dict()["head.probability.0.weight"], after["head.probability.0.weight"])
    (tmp_path / "kept.ckpt").unlink()
    longer = load_run(tmp_path / "run.toml")
    again = train(longer, out=tmp_path / "o", cache=world / "cache", resume="auto", say=said.append)
    assert read_checkpoint(again.last)["ocrmaps"]["started"] == card["started"]


def test_parts_that_a_run_does_not_name_are_those_of_its_weights(origin):
    def followed(**model):
        data = {"name": "a", "data": {"store": "tiny"}, "model": {"weights": str(origin), **model}}
        return follow_weights(run_from_dict(data), None).model

    theirs = load_detector(origin).model
    mine = followed(decoder="pan", seed=4)
    assert (mine.encoder, dict(mine.encoder_options)) == ("light", theirs.encoder_options)
    assert (mine.decoder, dict(mine.decoder_options), mine.seed) == ("pan", {}, 4)
    assert followed(encoder="light").encoder_options == {}


def test_stages_share_out_every_weight_of_any_encoder():
    for encoder, options in (("light", SMALL), ("mobilenetv3_small", {}), ("resnet18", {})):
        built = build_detector(DetectorSpec(encoder=encoder, encoder_options=options))
        stages = encoder_stages(built)
        names = [name for stage in stages for name in stage]
        assert len(stages) == 4 and sorted(names) == sorted(name for name, _ in built.encoder.named_parameters())
    assert not frozen_norms(built)


def test_stages_learn_slower_the_earlier_they_come():
    built = detector()
    one = OptimizerSpec(lr=0.01).build(built, fused=False)
    assert [group["lr"] for group in one.param_groups] == [0.01]
    several = OptimizerSpec(lr=0.01, layer_decay=0.5).build(built, fused=False)
    rates = {id(p): group["lr"] for group in several.param_groups for p in group["params"]}
    named = dict(built.named_parameters())
    assert len(rates) == len(named)
    found = [rates[id(named[f"encoder.{stage[0]}"])] for stage in encoder_stages(built)]
    assert found == pytest.approx([0.000625, 0.00125, 0.0025, 0.005])
    assert rates[id(named["head.probability.0.weight"])] == rates[id(named["decoder.lateral.0.weight"])] == 0.01


def test_settings_that_do_nothing_are_refused():
    data = {"name": "a", "data": {"store": "tiny"}}
    with pytest.raises(SpecError, match=r"freeze: found 2, expected weights or encoder_weights beside it"):
        run_from_dict({**data, "model": {"freeze": 2}})
    with pytest.raises(SpecError, match="expected one of the two"):
        run_from_dict({**data, "model": {"weights": "receipts", "encoder_weights": "r18.pth"}})
    with pytest.raises(SpecError, match="found 9, this encoder has 4 stages"):
        freeze_stages(detector(), 9)
