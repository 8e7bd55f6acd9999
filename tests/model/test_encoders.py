"""Encoders do what they declare; those with published weights are laid out as published."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from ocrmaps.errors import DataError, SpecError
from ocrmaps.model import ENCODERS, DetectorSpec, build_detector
from ocrmaps.model.encoders.registry import Light, load_encoder_weights
from tests.model.contracts import EncoderContract, PublishedEncoderContract

LAYOUTS = Path(__file__).parent / "layouts"

# What torchvision 0.29.2 computes with `published_state` for `picture`: per feature its mean, its standard
# deviation and the value at channel 1 of the last pixel. The layouts beside this file are its state dicts.
FEATURES = {
    "resnet18": ((0.941154, 0.340129, 0.749084), (1.346512, 1.622032, 0.120879),
                 (1.006398, 1.1044, 0.07714), (1.082667, 1.264497, 3.320945)),
    "resnet34": ((0.942331, 0.33296, 0.715109), (1.417505, 1.48511, 0.908986),
                 (0.548437, 0.442222, 0.0), (1.674057, 1.906265, 4.210974)),
    "resnet50": ((3.203994, 3.678297, 0.472939), (3.098208, 4.325765, 0.0),
                 (16.303613, 20.801487, 27.783981), (33.89295, 48.079466, 34.902821)),
    "mobilenetv3_small": ((1.136251, 5.95317, -3.998717), (-14.615859, 221.193728, 93.314545),
                          (-16.785803, 1543.885343, -161.997253), (2706.594082, 3604.766811, 0.0)),
    "mobilenetv3_large": ((-10.343095, 163.504021, -128.849045), (-5.267695, 452.540129, 74.984505),
                          (-28.187988, 33633.278759, 11824.231445), (179.383611, 241.875252, 543.997192)),
}  # fmt: skip


class TestLight(EncoderContract):
    @classmethod
    def build(cls):
        return Light()

    def test_the_whole_detector_stays_light(self):
        detector = build_detector(DetectorSpec(encoder="light"))
        assert sum(p.numel() for p in detector.parameters()) < 700_000


class TestResNet18(PublishedEncoderContract):
    name, parameters = "resnet18", 11_176_512


class TestResNet34(PublishedEncoderContract):
    name, parameters = "resnet34", 21_284_672


class TestResNet50(PublishedEncoderContract):
    name, parameters = "resnet50", 23_508_032


class TestMobileNetV3Small(PublishedEncoderContract):
    name, parameters = "mobilenetv3_small", 927_008


class TestMobileNetV3Large(PublishedEncoderContract):
    name, parameters = "mobilenetv3_large", 2_971_952


def published_state(name):
    """A complete state dict, classifier and all, with weights that follow from their names and places."""
    layout = {}
    for line in (LAYOUTS / f"{name}.txt").read_text().splitlines():
        key, shape = line.split()
        layout[key] = () if shape == "-" else tuple(map(int, shape.split(",")))
    encoder_keys = sorted(k for k in layout if not k.startswith(("fc.", "classifier.")))
    state = {}
    for key, shape in layout.items():
        if key.endswith("num_batches_tracked"):
            state[key] = torch.zeros((), dtype=torch.int64)
            continue
        phase = encoder_keys.index(key) if key in encoder_keys else 0
        wave = torch.sin(torch.arange(math.prod(shape), dtype=torch.float64) * 0.37 + phase).view(shape)
        if len(shape) == 4:
            wave = wave * math.sqrt(4 / math.prod(shape[1:]))
        elif key.endswith("running_var"):
            wave = 1 + 0.5 * wave
        elif key.endswith("weight") and len(shape) == 1:
            wave = 1 + 0.1 * wave
        else:
            wave = 0.1 * wave
        state[key] = wave.float()
    return state


@pytest.fixture
def picture():
    return torch.sin(torch.arange(3 * 64 * 96, dtype=torch.float64) * 0.11).view(1, 3, 64, 96).float()


@pytest.mark.parametrize("name", FEATURES)
def test_published_files_load_and_give_the_published_features(name, picture, tmp_path):
    torch.save(published_state(name), tmp_path / "w.pth")
    encoder = ENCODERS[name]().eval()
    load_encoder_weights(encoder, tmp_path / "w.pth")
    with torch.no_grad():
        features = encoder(picture)
    for expected, feature in zip(FEATURES[name], features, strict=True):
        found = (float(feature.mean()), float(feature.std()), float(feature[0, 1, -1, -1]))
        assert found == pytest.approx(expected, rel=2e-3, abs=2e-3 * expected[1])


@pytest.fixture
def light_file(tmp_path):
    path = tmp_path / "light.pth"
    torch.save(Light().state_dict(), path)
    return path


def test_weights_are_loaded_through_the_spec(light_file):
    built = build_detector(DetectorSpec(encoder="light", encoder_weights=str(light_file), seed=7))
    stored = torch.load(light_file, weights_only=True)
    assert all(torch.equal(stored[k], v) for k, v in built.encoder.state_dict().items())


def test_a_checkpoint_needs_no_weights_file():
    spec = DetectorSpec(encoder="light", encoder_weights="/nowhere/at/all.pth")
    build_detector(spec, pretrained=False)
    with pytest.raises(SpecError, match="no such weights file"):
        build_detector(spec)


def test_older_files_without_batch_counters_load(light_file):
    state = {k: v for k, v in torch.load(light_file, weights_only=True).items() if not k.endswith("tracked")}
    torch.save(state, light_file)
    load_encoder_weights(Light(), light_file)


def test_weights_that_do_not_fit_are_refused_all_at_once_and_change_nothing(light_file):
    state = torch.load(light_file, weights_only=True)
    del state["stages.1.0.weight"]
    state["stem.0.weight"] = state["stem.0.weight"][:, :1]
    state["stages.0.1.bias"] = state["stages.0.1.bias"] * float("nan")
    state["neck.weight"] = torch.zeros(1)
    torch.save(state, light_file)
    encoder = Light()
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    with pytest.raises(DataError) as refused:
        load_encoder_weights(encoder, light_file)
    assert 4 == len(refused.value.problems)
    for piece in ("no such weight", "missing", "(8, 1, 3, 3), expected (8, 3, 3, 3)", "not finite"):
        assert piece in str(refused.value)
    assert all(torch.equal(before[k], v) for k, v in encoder.state_dict().items())


def test_a_file_with_code_in_it_is_refused(tmp_path):
    torch.save(Light(), tmp_path / "model.pth")
    with pytest.raises(DataError, match="cannot be read as weights") as refused:
        load_encoder_weights(Light(), tmp_path / "model.pth")
    assert "never code" in refused.value.hint


@pytest.mark.parametrize("content", [b"", b"not a torch file", b"PK\x03\x04 half a zip"])
def test_a_file_that_is_no_weights_file_is_refused(content, tmp_path):
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(DataError, match="cannot be read as weights"):
        load_encoder_weights(Light(), tmp_path / "w.pth")


def test_a_wrapped_state_dict_is_named(tmp_path):
    torch.save({"state_dict": Light().state_dict(), "epoch": 3}, tmp_path / "w.pth")
    with pytest.raises(DataError, match="found state_dict, epoch, expected a flat state dict"):
        load_encoder_weights(Light(), tmp_path / "w.pth")


def test_light_options_are_checked():
    assert (8, 16, 24, 32) == Light(channels=(8, 16, 24, 32), blocks=(1, 2, 1, 1)).channels
    with pytest.raises(SpecError, match="four positive numbers"):
        Light(channels=(8, 16))
