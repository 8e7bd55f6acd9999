"""Faults seeded into runs are found at their stage: augmentation, network, the way back."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from ocrmaps.geometry import Affine
from ocrmaps.pipelines.build import build
from ocrmaps.pipelines.doctor import examine
from ocrmaps.pipelines.train import train
from tests.debug.conftest import AUGMENT
from tests.debug.test_doctor import said, stage
from tests.training.conftest import small_run


def test_a_run_that_learnt_has_no_problem(learnt, world):
    report = examine(str(learnt.folder), cache=world / "cache")
    assert report.ok, said(report)
    assert [s.state for s in report.stages] == ["holds"] * 8


def test_a_run_of_a_handful_of_steps_is_told_so(ran, world):
    report = examine(str(ran.folder), cache=world / "cache")
    assert not report.ok and report.first is stage(report, "prediction"), said(report)
    assert "optimizer steps were taken" in said(report)


def operated(learnt, tmp_path, change) -> Path:
    """The run's checkpoint after `change(content)`; the store is found as before."""
    content = torch.load(learnt.last, weights_only=True)
    change(content)
    path = tmp_path / "checkpoints" / "changed.ckpt"
    path.parent.mkdir()
    torch.save(content, path)
    return path


def of_head(content, factor, shift=0.0, branch="probability"):
    """Scale and shift the logits of a branch: its last convolution."""
    names = [n for n in content["state_dict"] if branch in n and n.endswith(("weight", "bias"))]
    last = names[-1].rpartition(".")[0]
    content["state_dict"][f"{last}.weight"].mul_(factor)
    if f"{last}.bias" in content["state_dict"]:
        content["state_dict"][f"{last}.bias"].mul_(factor).add_(shift)


def nan(content):
    next(v for n, v in content["state_dict"].items() if n.endswith("weight")).fill_(float("nan"))


def reset_statistics(content):
    for name, value in content["state_dict"].items():
        if name.endswith(("running_mean", "running_var")):
            value.fill_(float(name.endswith("var")))


def normalized(mean, std):
    def change(content):
        content["ocrmaps"]["model"]["mean"], content["ocrmaps"]["model"]["std"] = list(mean), list(std)
        for name in ("mean", "std"):
            value = mean if name == "mean" else std
            content["state_dict"][f"detector.{name}"] = torch.tensor(value).view(1, 3, 1, 1)

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: of_head(c, 0.0), "everywhere, whatever it is shown"),
        (nan, "not finite"),
        (lambda c: of_head(c, -1.0), "the wrong way round"),
        (normalized((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), "not for pixels of 0 to 255"),
        (lambda c: of_head(c, 1.0, -50.0), "everywhere, whatever it is shown"),
        (lambda c: of_head(c, 0.3, -2.0), "nothing is found: the highest probability is"),
        (lambda c: of_head(c, 0.2, 3.0), "it fires on"),
        (reset_statistics, "with statistics of each picture it tells text"),
        (lambda c: of_head(c, -1.0, branch="threshold"), "the predicted threshold is the wrong way round"),
    ],
    ids=[
        "constant",
        "nan",
        "inverted",
        "normalization",
        "silent",
        "faint",
        "everywhere",
        "statistics",
        "threshold",
    ],
)
def test_a_network_that_answers_nonsense_breaks_at_prediction(learnt, world, tmp_path, change, words):
    path = operated(learnt, tmp_path, change)
    report = examine(str(path), cache=world / "cache")
    assert report.first is stage(report, "prediction"), said(report)
    assert words in said(report)


def test_a_cut_above_nearly_all_of_what_is_known_breaks_at_prediction(learnt, world, monkeypatch):
    from ocrmaps.debug.doctor import network as doctor_network

    honest = doctor_network._predict

    def faint(detector, image):
        """Less than the cut everywhere but at three pixels."""
        probability, border = honest(detector, image)
        above = np.argsort(probability, axis=None)[-3:]
        probability = 0.4 * probability
        probability.flat[above] = 0.9
        return probability, border

    monkeypatch.setattr(doctor_network, "_predict", faint)
    report = examine(str(learnt.folder), cache=world / "cache")
    assert report.first is stage(report, "prediction"), said(report)
    assert "next to nothing is found" in said(report)


def test_a_network_that_is_shown_inverted_pictures_is_told_what_it_understands(learnt, world, monkeypatch):
    from ocrmaps.debug.doctor import network as doctor_network

    honest = doctor_network._predict
    monkeypatch.setattr(doctor_network, "_predict", lambda d, image: honest(d, 255 - image))
    report = examine(str(learnt.folder), cache=world / "cache")
    assert report.first is stage(report, "prediction"), said(report)
    assert "with colors inverted" in said(report)


def test_a_checkpoint_of_another_canvas_breaks_at_prediction(learnt, world, tmp_path):
    """The store was built again with another canvas after the run; its run file means the new one."""
    from tests.training.conftest import recipe as training_recipe

    build(training_recipe(world, sides=(160, 128)), tmp_path / "cache", workers=1)
    path = operated(learnt, tmp_path, lambda c: None)
    report = examine(str(path), cache=tmp_path / "cache")
    assert report.first is stage(report, "prediction"), said(report)
    assert "canvases" in said(report) and "another way" in said(report)


def test_maps_read_otherwise_than_drawn_break_at_original(learnt, world, tmp_path):
    def change(content):
        content["ocrmaps"]["extract"]["shrink_ratio"] = 0.3

    report = examine(str(operated(learnt, tmp_path, change)), cache=world / "cache")
    assert report.first is stage(report, "original"), said(report)


def test_a_wrong_way_back_breaks_at_original(learnt, world, monkeypatch):
    """Polygons come back scaled, as by a second implementation of the inverse that knows another size."""
    from ocrmaps.debug.doctor import originals as doctor_originals

    honest = doctor_originals.match_iou

    def scaled(truth, found, thresholds):
        if truth.frame != "canonical":
            found = found.transform(Affine.scaling(0.8, 0.8), found.frame)
        return honest(truth, found, thresholds=thresholds)

    monkeypatch.setattr(doctor_originals, "match_iou", scaled)
    report = examine(str(learnt.folder), cache=world / "cache")
    assert report.first is stage(report, "original"), said(report)
    assert "the way back is wrong" in said(report)


def half_a_pixel(image):
    """Pixels moved as by a resampling that takes centers for corners."""
    warp = np.array([[1, 0, 0.5], [0, 1, 0.5]], dtype=np.float32)
    return torch.from_numpy(cv2.warpAffine(image.numpy(), warp, image.shape[1::-1], borderMode=cv2.BORDER_REPLICATE))


WRONG = {
    "picture": lambda out: out._replace(image=out.image.flip(1)),
    "maps": lambda out: out._replace(
        probability=out.probability.flip(2), threshold=out.threshold.flip(2), mask=out.mask.flip(2)
    ),
    "mask": lambda out: out._replace(mask=out.mask ^ 1),
    "threshold": lambda out: out._replace(threshold=254 - out.threshold),
    "half": lambda out: out._replace(image=torch.stack([half_a_pixel(image) for image in out.image])),
}
TOLD = {
    "picture": "the picture is not moved", "maps": "the maps are not moved", "mask": "the masks are not those",
    "threshold": "the threshold maps are not those", "half": "px beside where the matrix puts them",
}  # fmt: skip


@pytest.fixture(scope="module")
def augmenting(world, tmp_path_factory):
    return train(
        small_run(watch__pictures=0, augment=AUGMENT), out=tmp_path_factory.mktemp("a") / "run", cache=world / "cache"
    ).folder


def test_an_augmentation_by_one_matrix_holds(augmenting, world):
    assert stage(examine(str(augmenting), cache=world / "cache"), "augmented").state == "holds"


@pytest.mark.parametrize("what", WRONG)
def test_an_augmentation_that_goes_wrong_breaks_at_augmented(augmenting, world, what, monkeypatch):
    import ocrmaps.training.parts as pipeline

    honest = pipeline.augment
    monkeypatch.setattr(pipeline, "augment", lambda *args, **settings: WRONG[what](honest(*args, **settings)))
    report = examine(str(augmenting), cache=world / "cache")
    assert report.first is stage(report, "augmented"), said(report)
    assert TOLD[what] in said(report)


@pytest.mark.parametrize("size", [(160, 224), (608, 672), (320, 352)], ids=str)
def test_a_picture_lies_where_it_lies_whatever_its_sides(size):
    """For spectra OpenCV makes 225 of 224, 625 of 608 and 675 of 672: odd sides have no middle between pixels."""
    from ocrmaps.debug.doctor.augmented import _shift

    print_ = cv2.GaussianBlur(np.random.default_rng(0).normal(size=size), (0, 0), 1.2)
    assert _shift(print_, print_) == pytest.approx(0, abs=0.02)
    assert _shift(print_, np.roll(print_, (3, 4), axis=(0, 1))) == pytest.approx(5, abs=0.1)


def test_annotations_that_changed_since_are_told_and_break_nothing_that_was_learnt(learnt, world, tmp_path):
    """The run learnt from what they said then."""
    copy = shutil.copytree(world, tmp_path / "world")
    report = examine(str(learnt.folder), cache=copy / "cache")
    assert "annotated otherwise" not in said(report)
    changed = Path(next(p for p in world.rglob("annotations.json")))
    before = changed.read_bytes()
    try:
        changed.write_bytes(before.replace(b'"points": [[', b'"points": [[1', 1))
        again = examine(str(learnt.folder), cache=world / "cache", samples=200)
    finally:
        changed.write_bytes(before)
    assert again.first is not stage(again, "file")
    assert "annotated otherwise" in said(again)
