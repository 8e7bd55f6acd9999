"""Exported files give the checkpoint's boxes, from the file alone; one that does not never gets its name."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from ocrmaps.annotations import open_source
from ocrmaps.annotations.synth.receipts import SynthSpec, save
from ocrmaps.canonical import CanonicalSpec
from ocrmaps.detect import export as file_formats
from ocrmaps.detect.export import description, parse_size
from ocrmaps.detect.int8 import Int8Agreement, agreement
from ocrmaps.detect.load import EXTRA, kind_of, load_any
from ocrmaps.detect.parity import compare
from ocrmaps.detect.predict import predict_pictures
from ocrmaps.detect.trained import Trained
from ocrmaps.errors import DataError, RunError, SpecError
from ocrmaps.evaluation.detectors import evaluate_checkpoint
from ocrmaps.extract import ExtractSpec
from ocrmaps.files import digest_of
from ocrmaps.pipelines import export as exporting
from ocrmaps.pipelines import predict as predicting
from ocrmaps.pipelines.build import build
from ocrmaps.pipelines.export import Exported
from ocrmaps.recipe import Recipe, SourceRecipe
from ocrmaps.trust import Trusted
from tests.predict.bright import TEXTS, TRUSTED, bright, light, paint, write_checkpoint
from tests.predict.test_command import ocrmaps, scans  # noqa: F401  # fixtures

HAS_ONNX = all(find_spec(name) for name in ("onnx", "onnxruntime", "onnxscript"))
HAS_OPENVINO = HAS_ONNX and find_spec("openvino") is not None
needs_onnx = pytest.mark.skipif(not HAS_ONNX, reason="needs the extra onnx")
needs_openvino = pytest.mark.skipif(not HAS_OPENVINO, reason="needs the extra openvino")
FORMATS = [
    pytest.param("onnx", marks=needs_onnx),
    pytest.param("openvino", marks=needs_openvino),
    "torchscript",
    "program",
]
NAMES = {"onnx": "text.onnx", "openvino": "text.xml", "torchscript": "text.pt", "program": "text.pt2"}
export = partial(exporting.export, trusted=TRUSTED)


def load_own(path: Path) -> Trained:
    """The detector of a file that is trusted as it is."""
    digests = [] if path.suffix in (".onnx", ".xml") else [digest_of(path)]
    return load_any(path, trusted=Trusted.of(digests=digests))


@pytest.fixture(scope="module")
def page(painted, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.png"
    painted.save(path)
    return path


@pytest.fixture(scope="module", params=FORMATS)
def format(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def exported(page, tmp_path_factory) -> Callable[[Path, str], Exported]:
    """A checkpoint in a format, exported once; nobody changes the file."""

    @cache
    def once(checkpoint: Path, format: str) -> Exported:
        out = tmp_path_factory.mktemp("export") / NAMES[format]
        return export(checkpoint, out, format=format, pictures=[page])

    return once


@pytest.fixture
def traced_once(exported, monkeypatch) -> Callable[[Path], None]:
    """Exports of a checkpoint to ONNX go on from the graph that was written before."""

    def go_on(checkpoint: Path) -> None:
        graph = exported(checkpoint, "onnx").path
        monkeypatch.setitem(exporting.FORMATS, "onnx", lambda _, trained, part, size: shutil.copy(graph, part))

    return go_on


@pytest.fixture(scope="module")
def done(format, checkpoint, exported) -> Exported:
    return exported(checkpoint, format)


def test_a_file_predicts_what_the_checkpoint_predicts(done, trained, page):
    assert (done.parity.boxes, done.parity.faults) == (len(TEXTS), ())
    assert done.parity.maps < 1e-5 and done.parity.least_iou > 0.999
    assert len({shape[0] for shape in done.parity.shapes}) == 2 and len(done.parity.shapes) >= 3
    again = load_own(done.path)
    assert (again.canonical, again.extract, again.identity) == (trained.canonical, trained.extract, trained.identity)
    mine, theirs = (next(predict_pictures(t, [page])) for t in (trained, again))
    assert np.abs(mine.polygons.points - theirs.polygons.points).max() < 1e-3
    weights = {"text.bin"} if done.format == "openvino" else set()
    assert {p.name for p in done.path.parent.iterdir()} == {done.path.name} | weights


def test_nothing_in_a_file_says_where_it_was_made(done, tmp_path):
    """No folder of this machine, no source file: not in the archive, nor in what its records hold when unpacked."""
    parts = [done.path.read_bytes()]
    if zipfile.is_zipfile(done.path):
        with zipfile.ZipFile(done.path) as archive:
            parts += [archive.read(name) for name in archive.namelist()]
    places = {Path(exporting.__file__).parents[1], Path(torch.__file__).parents[1], tmp_path.parent, Path.home()}
    for place in map(str, places - {Path("/")}):
        assert not any(place.encode() in part for part in parts), place


def test_the_description_names_the_store_not_its_place():
    trained = bright()
    data = {"store": "/srv/ann/maps/receipts/0123", "cache": "/srv/ann/maps"}
    run = {"data": data, "model": {"encoder_weights": "/srv/ann/w.pth"}}
    told = description(replace(trained, card={**trained.card, "run": run}), None)
    assert "/srv" not in told
    store = trained.card["store"]
    assert json.loads(told)["card"]["run"]["data"]["store"] == f"{store['name']}/{store['version']}"


def test_a_damaged_file_is_named(done, tmp_path):
    data = done.path.read_bytes()
    cut = tmp_path / f"cut{done.path.suffix}"
    cut.write_bytes(data[: len(data) // 2])
    (tmp_path / "cut.bin").write_bytes(b"")
    with pytest.raises(DataError, match=rf"{cut.name}: cannot be read as"):
        load_own(cut)


def test_a_fixed_size_and_a_learned_threshold_travel(format, page, tmp_path):
    trained = bright(extract=ExtractSpec(shrink_ratio=0.6, binarize="learned"))
    checkpoint = write_checkpoint(tmp_path / "learned.ckpt", trained)
    done = export(checkpoint, tmp_path / NAMES[format], format=format, size=(320, 256), pictures=[page])
    assert (done.parity.canvases, done.parity.boxes) == (((320, 256),), len(TEXTS))
    again = load_own(tmp_path / NAMES[format])
    assert again.canonical.canvases == ((320, 256),)
    assert len(next(predict_pictures(again, [page])).polygons) == len(TEXTS)
    if format in ("onnx", "program"):  # a trace has no sizes of its own, and OpenVINO takes others in silence
        with pytest.raises(SpecError, match="does not take 1 pictures of 64x64"):
            again.detector(torch.zeros(1, 64, 64, 3, dtype=torch.uint8))


def test_the_onnx_file_stands_alone(done):
    if done.format != "onnx":
        return
    import onnx
    import onnxruntime

    session = onnxruntime.InferenceSession(done.path, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    assert (given.name, given.type, given.shape[3]) == ("image", "tensor(uint8)", 3)
    (red,) = session.run(None, {"image": np.full((1, 64, 64, 3), (255, 0, 0), dtype=np.uint8)})
    (blue,) = session.run(None, {"image": np.full((1, 64, 64, 3), (0, 0, 255), dtype=np.uint8)})
    assert red.min() > 0.99 and blue.max() < 0.01  # channels, normalization and sigmoid are inside
    content = json.loads(session.get_modelmeta().custom_metadata_map[EXTRA])
    assert content["canonical"]["side"] == 320 and content["extract"]["shrink_ratio"] == 0.6
    assert content["input"] == {"name": "image", "type": "uint8", "layout": "NHWC", "colors": "RGB", "size": None,
                                "multiple": 32}  # fmt: skip
    model = onnx.load(done.path)
    onnx.checker.check_model(model)
    assert str(Path(__file__).parent).encode() not in (done.path).read_bytes()
    assert not any(node.metadata_props for node in model.graph.node)


def test_a_real_network_runs_at_other_sizes(format, light_checkpoint, exported):
    done = exported(light_checkpoint, format)
    assert done.parity.maps < 1e-4
    maps = load_own(done.path).detector(torch.randint(0, 255, (3, 96, 160, 3), dtype=torch.uint8))
    assert maps.probability.shape == (3, 96, 160) and float(torch.sigmoid(maps.probability).std()) > 0.01


class Skewed(exporting.Graph):
    """A graph with a mistake that peers have made."""

    mistake = "channels"

    def forward(self, image):
        if self.mistake == "channels":
            return super().forward(image.flip(-1))
        if self.mistake == "shift":
            return super().forward(image.roll(1, dims=2))
        return super().forward(image) * 0.999


@pytest.mark.parametrize("mistake", ["channels", "shift", "scale"])
def test_a_graph_that_differs_is_not_kept(mistake, checkpoint, page, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "Graph", Skewed)
    monkeypatch.setattr(Skewed, "mistake", mistake)
    with pytest.raises(RunError, match="was not kept"):
        export(checkpoint, tmp_path / "text.pt", format="torchscript", pictures=[page])
    assert list(tmp_path.iterdir()) == []


def test_boxes_are_compared_by_overlap_and_count(trained, page):
    wider = bright(extract=ExtractSpec(shrink_ratio=0.45))
    assert "IoU" in compare(trained, wider, size=None, multiple=32, pictures=[page]).faults[0]
    fewer = bright(extract=ExtractSpec(shrink_ratio=0.6, score_min=1.0))
    assert "5 boxes, 0" in compare(trained, fewer, size=None, multiple=32, pictures=[page]).faults[0]


def test_the_command_exports_and_predicts_from_the_file(ocrmaps, checkpoint, scans, tmp_path):  # noqa: F811
    out = tmp_path / "text.pt2"
    code, said, err = ocrmaps("export", checkpoint, "--format", "program", "--out", out, "--json")
    assert code == 0, err
    assert json.loads(said)["parity"]["map_difference"] < 1e-5
    assert "no boxes were found" in err  # receipts hold nothing red
    digest = json.loads(said)["sha256"]
    code, said, err = ocrmaps("predict", out, scans, "--out", tmp_path / "p.json", "--trust-code", digest)
    assert code == 0 and "5 polygons in 2 pictures" in said
    code, _, err = ocrmaps("export", checkpoint, "--format", "program", "--out", out)
    assert code == 2 and "--yes" in err


def test_a_difference_ends_the_command_in_1(ocrmaps, checkpoint, page, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(exporting, "Graph", Skewed)
    out = tmp_path / "t.pt"
    code, _, err = ocrmaps("export", checkpoint, "--format", "torchscript", "--out", out, "--check-on", page)
    assert code == 1 and "was not kept" in err and not out.exists()


@pytest.mark.parametrize("size", ["640", "640x", "axb", "100x100", "0x32", "32x99999968"])
def test_sizes_that_cannot_be_are_refused(size, checkpoint, tmp_path):
    with pytest.raises(SpecError, match="size"):
        export(checkpoint, tmp_path / "t.pt2", format="program", size=parse_size(size))


@needs_openvino
def test_weights_of_another_openvino_model_are_refused(checkpoint, page, tmp_path):
    export(checkpoint, tmp_path / "text.xml", format="openvino", pictures=[page])
    weights = tmp_path / "text.bin"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(DataError, match="other weights"):
        load_any(tmp_path / "text.xml")
    weights.unlink()
    with pytest.raises(DataError, match=r"text.bin: cannot be read"):
        load_any(tmp_path / "text.xml")
    (tmp_path.parent / "elsewhere.bin").write_bytes(whole)
    weights.symlink_to(tmp_path.parent / "elsewhere.bin")
    with pytest.raises(DataError, match="link out of the folder"):
        load_any(tmp_path / "text.xml")


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """Two annotated pictures."""
    folder = tmp_path_factory.mktemp("annotated")
    return save(
        SynthSpec(num=2, seed=3, size=(256, 160), lines=(2, 4), text_height=(10.0, 16.0)), folder
    ).source.annotations


@pytest.fixture(scope="module")
def light_checkpoint(tmp_path_factory) -> Path:
    return light(tmp_path_factory.mktemp("light") / "light.ckpt")


@pytest.fixture(scope="module")
def version(source, tmp_path_factory) -> Path:
    """The two as train and as val of a store, prepared as the light checkpoint needs them."""
    sources = tuple(SourceRecipe(path=source, split=split) for split in ("train", "val"))
    recipe = Recipe(name="pair", sources=sources, canonical=CanonicalSpec.longest(128, shapes=(1.0, 0.5)))
    cache = tmp_path_factory.mktemp("cache")
    return cache / "pair" / build(recipe, cache).version


@pytest.mark.parametrize(
    ("name", "calibration", "named"),
    [
        pytest.param("text.onnx", "version", ", train", marks=needs_onnx),
        pytest.param("text.xml", "source", "", marks=needs_openvino),
    ],
)
def test_an_int8_file_stands_alone_and_says_what_it_cost(
    name, calibration, named, light_checkpoint, source, page, tmp_path, request, traced_once
):
    traced_once(light_checkpoint)
    out, pictures = tmp_path / name, request.getfixturevalue(calibration)
    done = export(light_checkpoint, out, format=kind_of(out), pictures=[page], int8=pictures)
    cost = done.as_json()["int8"]
    assert cost["calibrated_on"].startswith("2 pictures of ") and cost["calibrated_on"].endswith(named)
    assert 1e-4 < cost["agreement"]["map_largest"] < 0.5 and cost["agreement"]["pictures"] == 2
    assert set(cost["before"]) == set(cost["after"]) == {"IoU 0.5", "IoU 0.7"}
    again = load_any(out)
    assert again.identity.endswith("int8") and again.canonical == load_any(light_checkpoint).canonical
    weights = 4 * sum(p.numel() for p in load_any(light_checkpoint).detector.parameters())
    assert done.bytes < (0.5 if name == "text.onnx" else 0.7) * weights
    assert evaluate_checkpoint(out, source=open_source(source)).complete


@needs_onnx
def test_what_rounding_breaks_is_not_kept(checkpoint, source, page, tmp_path, monkeypatch, traced_once):
    traced_once(checkpoint)
    broken = Int8Agreement(pictures=2, map_largest=1.0, map_mean=0.2, boxes=9, boxes_int8=3, agree_50=0.4, agree_90=0.1,
                       ms=2.0, ms_int8=1.0)  # fmt: skip
    monkeypatch.setattr(exporting, "agreement", lambda *_: broken)
    with pytest.raises(RunError, match="another detector, and it was not kept"):
        export(checkpoint, tmp_path / "text.onnx", pictures=[page], int8=source)
    assert list(tmp_path.iterdir()) == []


def test_int8_is_refused_where_it_means_nothing(checkpoint, source, tmp_path):
    with pytest.raises(SpecError, match="expected onnx or openvino"):
        export(checkpoint, tmp_path / "t.pt2", format="program", int8=source)
    with pytest.raises(SpecError, match="--int8 is missing"):
        export(checkpoint, tmp_path / "t.onnx", score_on=source)


@needs_onnx
def test_a_store_that_was_prepared_for_another_detector_is_refused_before_the_network_is_traced(
    checkpoint, version, page, tmp_path, monkeypatch
):
    monkeypatch.setitem(exporting.FORMATS, "onnx", lambda *_: pytest.fail("it was traced"))
    with pytest.raises(SpecError, match="canvases of their own"):
        export(checkpoint, tmp_path / "text.onnx", pictures=[page], size=(64, 64), int8=version)
    with pytest.raises(SpecError, match="prepared for another detector"):
        export(checkpoint, tmp_path / "text.onnx", pictures=[page], int8=version)
    assert list(tmp_path.iterdir()) == []


def test_agreement_counts_boxes_with_a_partner(trained):
    picture = paint(
        (320, 320), [[(20, 20), (200, 20), (200, 60), (20, 60)], [(20, 100), (200, 100), (200, 140), (20, 140)]]
    )
    same = agreement(trained, trained, [picture])
    assert (same.boxes, same.boxes_int8, same.agree_50, same.agree_90, same.map_largest) == (2, 2, 1.0, 1.0, 0.0)
    tight = ExtractSpec(shrink_ratio=0.6, unclip="constant", unclip_ratio=0.8)
    narrow = agreement(trained, bright(extract=tight), [picture])
    assert (narrow.agree_50, narrow.agree_90) == (1.0, 0.0)
    fewer = agreement(trained, bright(extract=ExtractSpec(shrink_ratio=0.6, score_min=1.0)), [picture])
    assert (fewer.boxes, fewer.boxes_int8, fewer.agree_50) == (2, 0, 0.0)


def test_a_missing_extra_is_named(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(file_formats, "find_spec", lambda name: None)
    with pytest.raises(SpecError, match="onnx") as caught:
        export(checkpoint, tmp_path / "t.onnx")
    assert "ocrmaps[onnx]" in caught.value.hint


def test_exports_without_a_description_are_refused(tmp_path):
    bare = torch.export.export(nn.Linear(2, 2), (torch.zeros(1, 2),))
    torch.export.save(bare, tmp_path / "bare.pt2")
    with pytest.raises(DataError, match="no description"):
        load_own(tmp_path / "bare.pt2")


def test_a_description_of_another_format_is_refused(checkpoint, exported, tmp_path):
    file = exported(checkpoint, "torchscript").path
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(tmp_path / "new.pt", "w") as new:
        for entry in old.infolist():
            data = old.read(entry)
            new.writestr(entry, data.replace(b'"format": 1', b'"format": 9') if EXTRA in entry.filename else data)
    with pytest.raises(DataError, match="export format 9"):
        load_own(tmp_path / "new.pt")


def test_gray_pictures_without_text_compare_maps_only(checkpoint, tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "black.png")
    done = export(checkpoint, tmp_path / "t.pt", format="torchscript", pictures=[tmp_path / "black.png"])
    assert done.parity.boxes == 0 and "NO BOXES" in done.sentence()


@needs_onnx
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs a system that lists a process's threads")
def test_threads_are_those_of_onnxruntime_too(checkpoint, exported):
    path = exported(checkpoint, "onnx").path
    grown = []
    for number in (1, 4):
        before = len(os.listdir("/proc/self/task"))
        kept = load_any(path, threads=number)
        grown.append(len(os.listdir("/proc/self/task")) - before)
        del kept
    assert grown == [0, 3]  # whoever asks works, too


@pytest.mark.parametrize("number", [1, 3])
def test_a_command_takes_the_threads_it_was_given(number, checkpoint, page, tmp_path, monkeypatch):
    given, seen, before = [], [], torch.get_num_threads()
    opened = predicting.load_any
    monkeypatch.setattr(predicting, "load_any", lambda *a, **k: given.append(k["threads"]) or opened(*a, **k))
    predicting.run(
        checkpoint, [str(page)], out=tmp_path / "found.json", threads=number, trusted=TRUSTED,
        progress=lambda done, total: seen.append(torch.get_num_threads()),
    )  # fmt: skip
    assert (given, seen, torch.get_num_threads()) == ([number], [number], before)
