"""Exported files from a stranger: programs run only by their digest, a name decides what a file is opened as."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import shutil
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ocrmaps.detect import load
from ocrmaps.detect.export import description as describe_export
from ocrmaps.detect.load import EXTRA, load_any
from ocrmaps.detect.trained import load_detector
from ocrmaps.errors import DataError, SpecError
from ocrmaps.pipelines.export import export
from ocrmaps.shipped import shipped
from ocrmaps.trust import Trusted
from tests.trust.conftest import Evil

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated:DeprecationWarning")
needs_onnx = pytest.mark.skipif(
    not all(find_spec(name) for name in ("onnx", "onnxruntime", "onnxscript")), reason="needs the extra onnx"
)


class Writes(torch.nn.Module):
    """A program without Python that makes a file."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path: str = path

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        made = torch.from_file(self.path, shared=True, size=8)
        return image[..., 0].float() / 255 + made.sum() * 0


@pytest.fixture(scope="module")
def program(ran, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("program") / "text.pt2"
    export(ran.last, out, format="program")
    return out


def hostile_program(program: Path, out: Path, trace: Path) -> None:
    """The sound export with its example inputs replaced by an object that does something when it is read."""
    evil = io.BytesIO()
    torch.save(Evil(trace), evil)
    with zipfile.ZipFile(program) as old, zipfile.ZipFile(out, "w") as new:
        for entry in old.infolist():
            data = old.read(entry)
            sample = "sample_inputs" in entry.filename
            new.writestr(zipfile.ZipInfo(entry.filename), evil.getvalue() if sample else data)


def hostile_script(ran, out: Path, trace: Path) -> None:
    scripted = torch.jit.script(Writes(str(trace)))
    torch.jit.save(scripted, str(out), _extra_files={EXTRA: describe_export(load_detector(ran.last), None)})


@pytest.fixture(params=["text.pt2", "text.pt"])
def hostile(request, program, ran, tmp_path, trace) -> Path:
    out = tmp_path / request.param
    if out.suffix == ".pt2":
        hostile_program(program, out, trace)
    else:
        hostile_script(ran, out, trace)
    Image.new("RGB", (64, 64)).save(tmp_path / "page.png")
    return out


def test_a_program_runs_only_by_its_digest(hostile, trace, tmp_path, ocrmaps):
    digest = hashlib.sha256(hostile.read_bytes()).hexdigest()
    words = ["predict", hostile, tmp_path / "page.png", "--out", tmp_path / "p.json"]
    code, said = ocrmaps(*words)
    assert code == 3 and f"--trust-code {digest};" in said, said
    other = hashlib.sha256(b"other").hexdigest()
    code, said = ocrmaps(*words, "--trust-code", other, "--trust", "os:mkdir")
    assert code == 3 and f"--trust-code {digest};" in said, said
    assert not trace.exists()
    # The payload works: that is what trusting a file means.
    ocrmaps(*words, "--trust-code", digest)
    assert trace.exists()


@pytest.mark.parametrize("name", ["best.ckpt", "best", "best.bin", "best.CKPT", "best.onnx"])
def test_a_program_by_another_name_is_refused_even_if_it_is_trusted(name, hostile, trace, tmp_path, ocrmaps):
    digest = hashlib.sha256(hostile.read_bytes()).hexdigest()
    named = Path(shutil.copy(hostile, tmp_path / name))
    words = ["predict", named, tmp_path / "page.png", "--out", tmp_path / "p.json", "--trust-code", digest]
    code, said = ocrmaps(*words)
    assert code == 3 and "by its name" in said and hostile.suffix in said, said
    assert not trace.exists()


def test_a_checkpoint_by_the_name_of_a_program_is_refused(ran, tmp_path):
    for name in ("x.pt", "x.pt2", "x.onnx"):
        shutil.copy(ran.last, tmp_path / name)
        with pytest.raises(DataError, match="found a checkpoint inside"):
            load_any(tmp_path / name)


@pytest.mark.parametrize("name", ["x.pt", "x.pt2", "x.onnx", "x.ckpt"])
def test_a_bare_pickle_by_any_name_is_refused(name, trace, tmp_path):
    (tmp_path / name).write_bytes(pickle.dumps(Evil(trace)))
    with pytest.raises(DataError):
        load_any(tmp_path / name)
    assert not trace.exists()


def test_commands_for_checkpoints_open_no_program(hostile, trace, world, tmp_path, ocrmaps):
    cache = world / "cache"
    for words in (
        ["tune", hostile, "--store", "tiny", "--root", cache, "--out", tmp_path / "t.ckpt"],
        ["export", hostile, "--format", "program", "--out", tmp_path / "again.pt2"],
    ):
        code, said = ocrmaps(*words)
        assert code == 3 and "cannot be read as a checkpoint" in said, said
    assert not trace.exists()


def test_evaluating_a_program_needs_trust_as_predicting_does(hostile, trace, world, ocrmaps):
    code, said = ocrmaps("evaluate", hostile, "--store", "tiny", "--root", world / "cache")
    assert code == 3 and "--trust-code" in said, said
    assert not trace.exists()


def test_a_digest_for_a_checkpoint_is_refused_because_it_would_do_nothing(ran):
    with pytest.raises(SpecError, match="this is a checkpoint, which needs no trust"):
        load_any(ran.last, trusted=Trusted.of(digests=["0" * 64]))


def test_an_export_gets_a_name_that_says_what_it_is(ran, tmp_path):
    for format, name in (("program", "a.pt"), ("torchscript", "a.pt2"), ("program", "a.ckpt")):
        with pytest.raises(SpecError, match="expected one that ends in"):
            export(ran.last, tmp_path / name, format=format)


@pytest.fixture(scope="module")
def outside(ran, tmp_path_factory):
    """A folder with an ONNX file as strangers write it, and with the same one, its weights in a file of their own."""
    import onnx
    from onnx import helper, numpy_helper

    folder = tmp_path_factory.mktemp("onnx")
    weights = np.random.default_rng(0).normal(0, 0.01, (3, 128)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["image"], ["colors"], to=onnx.TensorProto.FLOAT),
        helper.make_node("MatMul", ["colors", "weights"], ["seen"]),
        helper.make_node("ReduceMean", ["seen", "last"], ["mean"], keepdims=0),
        helper.make_node("Sigmoid", ["mean"], ["probability"]),
    ]
    graph = helper.make_graph(
        nodes,
        "by hand",
        [helper.make_tensor_value_info("image", onnx.TensorProto.UINT8, ["n", "h", "w", 3])],
        [helper.make_tensor_value_info("probability", onnx.TensorProto.FLOAT, ["n", "h", "w"])],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(np.array([-1]), "last")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, {EXTRA: describe_export(load_detector(ran.last), None)})
    onnx.save_model(model, folder / "text.onnx")
    onnx.save_model(
        model, folder / "parts.onnx", save_as_external_data=True, location="weights.bin", size_threshold=1024
    )
    return folder


def moved(outside: Path, folder: Path, location: str) -> Path:
    """The model with its weights said to be elsewhere."""
    import onnx

    model = onnx.load(outside / "parts.onnx", load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    folder.mkdir(exist_ok=True)
    (folder / "text.onnx").write_bytes(model.SerializeToString())
    return folder / "text.onnx"


@needs_onnx
def test_weights_beside_an_onnx_file_are_read(outside, tmp_path):
    path = moved(outside, tmp_path / "in", "weights.bin")
    shutil.copy(outside / "weights.bin", path.parent)
    mine, theirs = load_any(path), load_any(outside / "text.onnx")
    image = torch.from_numpy(np.full((1, 64, 64, 3), 200, dtype=np.uint8))
    assert torch.equal(mine.detector(image).probability, theirs.detector(image).probability)


@needs_onnx
@pytest.mark.parametrize(
    "how", ["absolute", "absolute inside", "above", "above and back", "link", "linked folder", "missing", "folder"]
)
def test_weights_outside_the_folder_of_an_onnx_file_are_not_read(how, outside, tmp_path):
    """The weights are sound and readable: only where they are makes the difference."""
    weights, folder = outside / "weights.bin", tmp_path / "in"
    folder.mkdir()
    shutil.copy(weights, tmp_path / "weights.bin")
    shutil.copy(weights, folder / "weights.bin")
    location = {
        "absolute": str(weights),
        "absolute inside": str(folder / "weights.bin"),
        "above": "../weights.bin",
        "above and back": "../in/weights.bin",
        "link": "link.bin",
        "linked folder": "link/weights.bin",
        "missing": "none.bin",
        "folder": ".",
    }[how]
    (folder / "link.bin").symlink_to(weights)
    (folder / "link").symlink_to(outside)
    path = moved(outside, folder, location)
    with pytest.raises(DataError, match="expected them in the file or in a file of its own folder"):
        load_any(path)


@needs_onnx
def test_weights_outside_are_found_wherever_in_the_model_they_are(outside, tmp_path):
    """In a constant of a branch of a function, where runtimes look for tensors too."""
    import onnx
    from onnx import helper

    tensor = onnx.TensorProto(name="w", data_type=1, dims=[1], data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="/etc/hostname")
    branch = helper.make_graph([helper.make_node("Constant", [], ["c"], value=tensor)], "branch", [], [])
    node = helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)
    model = onnx.load(outside / "text.onnx")
    model.functions.append(helper.make_function("own", "F", ["x"], ["y"], [node], [helper.make_opsetid("", 18)]))
    (tmp_path / "text.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(DataError, match="found weights in '/etc/hostname'"):
        load_any(tmp_path / "text.onnx")


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"format": 1, "card": ' + "[" * 50_000 + "]" * 50_000 + "}", "null", "1e999"], ids=len
)
def test_a_description_that_is_none_is_refused_in_a_sentence(text):
    with pytest.raises(DataError, match=r"x\.onnx: its description is not complete"):
        load._trained(Path("x.onnx"), lambda image: (image,), text)


@pytest.mark.parametrize("multiple", [0, -32, "Infinity", "NaN", '"a"', "[]", "null"])
def test_sides_that_are_multiples_of_nothing_are_refused(multiple):
    whole = json.loads(describe_export(load_detector(shipped("receipts")), None))
    text = json.dumps(whole | {"input": {**whole["input"], "multiple": "?"}}).replace('"?"', str(multiple))
    with pytest.raises(DataError, match=r"x\.onnx: its description is not complete"):
        load._trained(Path("x.onnx"), lambda image: (image,), text)
