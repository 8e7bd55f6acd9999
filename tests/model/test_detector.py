"""Detectors: built as asked, from bytes to logits, refusing what they would misread."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from ocrmaps.errors import DataError, SpecError
from ocrmaps.model import DECODERS, ENCODERS, DetectorSpec, Targets, build_detector, build_loss, describe
from ocrmaps.trust import Trusted
from tests.model.contracts import some_targets

LIGHT = DetectorSpec(encoder="light")


def pictures(batch=2, height=64, width=96, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (batch, height, width, 3), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("encoder", ["light", "mobilenetv3_small", "resnet18"])
def test_every_combination_gives_logits_of_the_pictures_size(encoder, decoder):
    detector = build_detector(DetectorSpec(encoder=encoder, decoder=decoder)).eval()
    with torch.no_grad():
        logits = detector(pictures())
    assert (2, 64, 96) == logits.probability.shape == logits.threshold.shape


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("encoder", ["light", "mobilenetv3_small", "resnet18"])
@pytest.mark.parametrize("seed", range(3))
def test_an_untrained_detector_fires_nowhere(encoder, seed, training):
    detector = build_detector(DetectorSpec(encoder=encoder, seed=seed)).train(training)
    flat = torch.stack([torch.zeros(64, 64, 3), torch.full((64, 64, 3), 255.0)]).to(torch.uint8)
    with torch.no_grad():
        for image in (pictures(2, 64, 64, seed), flat):
            fired = torch.sigmoid(detector(image).probability) > 0.2
            assert fired.float().mean() < 0.02


def test_the_threshold_branch_can_be_left_out():
    detector = build_detector(LIGHT).eval()
    calls = []
    detector.head.threshold.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        both, alone = detector(pictures()), detector(pictures(), threshold=False)
    assert torch.equal(both.probability, alone.probability)
    assert alone.threshold is None and 1 == len(calls)


def test_normalization_is_part_of_the_model():
    detector = build_detector(DetectorSpec(encoder="light", mean=(10, 20, 30), std=(1, 2, 4))).eval()
    seen = []
    detector.encoder.register_forward_hook(lambda module, given, out: seen.append(given[0]))
    with torch.no_grad():
        detector(torch.tensor([11, 24, 22], dtype=torch.uint8).expand(1, 32, 32, 3))
    assert [1.0, 2.0, -2.0] == seen[0][0, :, 5, 7].tolist()


def test_stored_bytes_become_channels_last_without_a_copy():
    detector = build_detector(LIGHT).eval()
    seen = []
    detector.encoder.register_forward_hook(lambda module, given, out: seen.append(given[0]))
    with torch.no_grad():
        detector(pictures())
    assert seen[0].is_contiguous(memory_format=torch.channels_last)


def test_weights_bring_their_normalization():
    state = build_detector(DetectorSpec(encoder="light", mean=(1, 2, 3))).state_dict()
    assert [1, 2, 3] == state["mean"].flatten().tolist()
    with pytest.raises(DataError, match="trained with mean"):
        build_detector(LIGHT).load_state_dict(state)


def test_weights_go_through_a_file_and_change_nothing(tmp_path):
    one = build_detector(DetectorSpec(encoder="light", seed=1)).eval()
    torch.save({"spec": one.state_dict()}, tmp_path / "x.pt")
    other = build_detector(DetectorSpec(encoder="light", seed=2)).eval()
    other.load_state_dict(torch.load(tmp_path / "x.pt", weights_only=True)["spec"])
    with torch.no_grad():
        assert torch.equal(one(pictures()).probability, other(pictures()).probability)


@pytest.mark.parametrize(
    "size, padded", [((70, 96), "96x96"), ((64, 97), "64x128"), ((1, 1), "32x32"), ((0, 64), "32x64")]
)
def test_a_wrong_size_says_what_to_pad_to(size, padded):
    with pytest.raises(SpecError, match="multiples of 32") as refused:
        build_detector(LIGHT)(torch.zeros(1, *size, 3, dtype=torch.uint8))
    assert f"pad to {padded}" == refused.value.hint


@pytest.mark.parametrize(
    "image",
    [
        torch.zeros(1, 64, 64, 3),
        torch.zeros(1, 3, 64, 64, dtype=torch.uint8),
        torch.zeros(64, 64, 3, dtype=torch.uint8),
    ],
)
def test_anything_but_stored_bytes_is_refused(image):
    with pytest.raises(SpecError, match=r"expected uint8 \(B, H, W, 3\)"):
        build_detector(LIGHT)(image)


def test_a_spec_gives_the_same_weights_and_leaves_the_random_state_alone():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one, two = (build_detector(LIGHT).state_dict() for _ in range(2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(one[k], two[k]) for k in one)
    other = build_detector(DetectorSpec(encoder="light", seed=1)).state_dict()
    assert not torch.equal(one["encoder.stem.0.weight"], other["encoder.stem.0.weight"])


def test_a_spec_survives_plain_data():
    spec = DetectorSpec(encoder="light", decoder="pan", decoder_options={"width": 32}, mean=(1, 2, 3))
    assert spec == DetectorSpec.of(spec.as_dict())


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"encoder": "resnet19"}, "expected one of light, mobilenetv3_large, .*resnet50, or package.module:Name"),
        ({"decoder": "fnp"}, "expected one of asf, fpn, pan, or"),
        ({"head": "pse"}, "expected one of db, or"),
        ({"encoder_options": {"depth": 3}}, "encoder 'resnet18' takes no option 'depth'; it takes none"),
        ({"decoder_options": {"widht": 3}}, "decoder 'fpn' takes no option 'widht'; it takes width"),
        ({"decoder_options": {"channels": 3}}, "takes no option 'channels'"),
        ({"head_options": {"bias": 3}}, "head 'db' takes no option 'bias'; it takes prior"),
        ({"backbone": "resnet18"}, "model.backbone: unknown; known here: encoder,"),
        ({"mean": (0.4, 0.4)}, r"model.mean: found \(0.4, 0.4\), expected three numbers"),
        ({"std": (0, 1, 1)}, "model.std"),
        ({"mean": (float("nan"), 1, 1)}, "model.mean"),
        ({"seed": -1}, "model.seed"),
        ({"encoder": ""}, "model.encoder"),
        ({"encoder_options": [1]}, "encoder_options: found .*, expected a table"),
        ({"encoder": "no.such.module:Net"}, "there is no module no"),
        ({"encoder": "ocrmaps.model.encoders.registry:Lihgt"}, "has no class or function Lihgt; it has .*Light"),
        ({"encoder": "a:b:c"}, "expected one of"),
        ({"encoder": "os.path:join"}, "cannot be called as encoder"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(settings, message):
    with pytest.raises(SpecError, match=message):
        build_detector(DetectorSpec.of(settings), trusted=Trusted(names=frozenset([settings.get("encoder", "")])))


def test_all_problems_of_a_spec_are_named_at_once():
    with pytest.raises(SpecError) as refused:
        DetectorSpec(mean=(1, 2), std=(1, 2), seed=-1)  # type: ignore[arg-type]
    assert 3 == len(refused.value.problems)


OWN = """
from torch import nn
class Own(nn.Module):
    channels, strides = (4, 8), (4, 8)
    def __init__(self, *, lies=0, strides=(4, 8)):
        super().__init__()
        self.strides = tuple(strides)
        self.a, self.b = nn.Conv2d(3, 4, 4, 4), nn.Conv2d(4, 8 + lies, 2, 2)
    def forward(self, x):
        a = self.a(x)
        return a, self.b(a)
"""


MINE = Trusted.of(["my_parts:Own"])


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    (tmp_path / "my_parts.py").write_text(OWN)
    (tmp_path / "my_broken.py").write_text("import a_library_nobody_has\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "my_parts:Own"
    sys.modules.pop("my_parts", None)


def test_ones_own_encoder_is_built_by_name_with_its_options(own_module):
    detector = build_detector(DetectorSpec(encoder=own_module, encoder_options={"lies": 0}), trusted=MINE)
    assert (2, 64, 96) == detector(pictures()).probability.shape
    assert {"class": "Own", "parameters": 196 + 136} == describe(detector, (64, 64))["encoder"]


@pytest.mark.parametrize("names", [[], ["my_parts:Other"], ["my_parts:Own2", "my_parts.x:Own"]])
def test_ones_own_encoder_is_not_imported_unless_its_exact_name_is_trusted(own_module, names):
    with pytest.raises(SpecError, match="encoder my_parts:Own: this is code from outside") as refused:
        build_detector(DetectorSpec(encoder=own_module), trusted=Trusted.of(names))
    assert "--trust my_parts:Own;" in refused.value.hint
    assert "my_parts" not in sys.modules


def test_ones_own_encoder_takes_no_unknown_option(own_module):
    with pytest.raises(SpecError, match="takes no option 'depth'; it takes lies, strides"):
        build_detector(DetectorSpec(encoder=own_module, encoder_options={"depth": 1}), trusted=MINE)


def test_a_declaration_that_does_not_double_is_refused(own_module):
    with pytest.raises(SpecError, match="each stride twice the one before"):
        build_detector(DetectorSpec(encoder=own_module, encoder_options={"strides": (4, 16)}), trusted=MINE)


def test_a_declaration_that_the_features_contradict_is_found(own_module):
    detector = build_detector(DetectorSpec(encoder=own_module, encoder_options={"strides": (8, 16)}), trusted=MINE)
    with pytest.raises(SpecError, match="but gives features of shapes"):
        describe(detector, (64, 64))


def test_a_module_that_misses_a_library_says_which(own_module):
    with pytest.raises(SpecError, match="my_broken needs a_library_nobody_has, which is not installed"):
        build_detector(DetectorSpec(encoder="my_broken:Net"), trusted=Trusted.of(["my_broken:Net"]))


def test_the_description_is_of_what_was_built():
    detector = build_detector(DetectorSpec(encoder="resnet18"))
    for p in detector.encoder.conv1.parameters():
        p.requires_grad_(False)
    found = describe(detector, (64, 128))
    assert {"class": "ResNet", "parameters": 11_176_512} == found["encoder"]
    assert ([64, 128, 256, 512], [4, 8, 16, 32], 256) == (
        found["channels"], found["strides"], found["decoder_channels"],
    )  # fmt: skip
    assert sum(p.numel() for p in detector.parameters()) == found["parameters"]
    assert 64 * 3 * 7 * 7 == found["parameters"] - found["trainable"]
    detector.head = build_detector(DetectorSpec(encoder="resnet18", decoder_options={"width": 256})).head
    detector.encoder.layer4 = nn.Sequential(nn.Conv2d(256, 512, 1, 2))
    assert 256 * 512 + 512 == describe(detector, (64, 64))["encoder"]["parameters"] - (11_176_512 - 8_393_728)


def test_flops_are_two_for_each_multiply_add():
    """Counted by hand: what three more channels in one stage add."""

    def flops(widths):
        detector = build_detector(DetectorSpec(encoder="light", encoder_options={"channels": widths}))
        return describe(detector, (64, 64))["flops"]

    # Three more channels at stride 4 are one more in the stem. Multiply-adds, by the places that have them:
    stem = 32 * 32 * 27 + 16 * 16 * 9 * (9 * 27 - 8 * 24)
    stage = 16 * 16 * 2 * 9 * (27 * 27 - 24 * 24)
    onwards = 8 * 8 * 9 * 48 * 3 + 16 * 16 * 64 * 3
    assert flops((27, 48, 80, 128)) - flops((24, 48, 80, 128)) == 2 * (stem + stage + onwards)


def test_describing_changes_nothing():
    detector = build_detector(LIGHT)
    before = {k: v.clone() for k, v in detector.state_dict().items()}
    describe(detector)
    assert detector.training
    assert all(torch.equal(before[k], v) for k, v in detector.state_dict().items())


class Waits(TorchDispatchMode):
    """Collects operators that make the host wait for a device or shapes depend on data."""

    NAMES = ("_local_scalar_dense", "item", "is_nonzero", "nonzero", "masked_select", "unique", "equal", "bincount")

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        by_mask = name.startswith("index") and any(
            isinstance(i, torch.Tensor) and i.dtype == torch.bool for i in args[1] if isinstance(args[1], (list, tuple))
        )
        if by_mask or name in self.NAMES or name.startswith(("unique", "_unique", "nonzero")):
            self.found.append(name)
        return func(*args, **(kwargs or {}))


def training_step(detector, loss, image, targets):
    step = torch.optim.SGD(detector.parameters(), lr=0.1, foreach=True)
    terms = loss(detector(image), targets)
    terms.total.backward()
    step.step()
    return terms


@pytest.mark.parametrize("name", ["db", "db-focal"])
def test_a_training_step_never_waits(name):
    detector, loss, image, targets = build_detector(LIGHT), build_loss(name), pictures(2, 64, 64), big_targets()
    with Waits() as waits:
        training_step(detector, loss, image, targets)
    assert [] == waits.found


def test_the_check_for_waiting_can_fail():
    with Waits() as waits:
        torch.ones(3).sum().item()
        bool(torch.ones(()) > 0)
        torch.ones(3)[torch.ones(3) > 0]
        torch.ones(3).nonzero()
    assert ["_local_scalar_dense", "_local_scalar_dense", "index", "nonzero"] == waits.found


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_training_step_runs_on_tensors_without_data(encoder):
    """Nothing can be read back from such tensors, so nothing was."""
    detector = build_detector(DetectorSpec(encoder=encoder)).to("meta")
    targets = Targets(*(t.to("meta") for t in big_targets()))
    terms = training_step(detector, build_loss(), pictures(2, 64, 64).to("meta"), targets)
    assert terms.total.is_meta


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_training_step_never_waits_for_a_gpu():
    detector, image = build_detector(LIGHT).cuda(), pictures(2, 64, 64).cuda()
    targets = Targets(*(t.cuda() for t in big_targets()))
    training_step(detector, build_loss(), image, targets)
    torch.cuda.set_sync_debug_mode("error")
    try:
        training_step(detector, build_loss(), image, targets)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def big_targets():
    return Targets(*(t.repeat(1, 4, 3)[:, :64, :64] for t in some_targets()))
