"""Writes a detector as one file that other programs run: onnx, openvino, torchscript or torch's own program.

The graph takes bytes as they are decoded, uint8 (N, H, W, 3) RGB, and gives probabilities, float32 (N, H, W);
normalization and sigmoid are inside, and what can be folded is. How pictures are prepared and how maps are read is
embedded beside the graph, so that `ocrmaps predict` needs nothing but the file.
"""

from __future__ import annotations

import io
import json
import logging
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from ocrmaps import __version__
from ocrmaps.detect.load import EXTRA, FORMAT, WEIGHTS
from ocrmaps.detect.trained import Trained
from ocrmaps.errors import RunError, SpecError
from ocrmaps.files import digest_of
from ocrmaps.geometry import Size
from ocrmaps.model.folded import folded
from ocrmaps.model.spec import START

MAX_SIDE = 16_384
MAX_BATCH = 4096


class Graph(nn.Module):
    """What is exported: uint8 (N, H, W, 3) -> probability (N, H, W), and threshold where maps are read with it."""

    def __init__(self, trained: Trained) -> None:
        super().__init__()
        detector = deepcopy(trained.detector).eval()
        # Its questions about shapes would become part of the graph; whoever runs the file pads to the multiple.
        detector.check_input = lambda image: None  # type: ignore[method-assign]
        self.detector = folded(detector)
        self.learned = trained.extract.binarize == "learned"

    def forward(self, image: Tensor) -> Any:
        logits = self.detector(image, threshold=self.learned)
        probability = torch.sigmoid(logits.probability)
        return (probability, torch.sigmoid(logits.threshold)) if self.learned else probability


def parse_size(text: str) -> Size | None:
    """`dynamic`, or HEIGHTxWIDTH.

    >>> parse_size("640x320"), parse_size("dynamic")
    ((640, 320), None)
    """
    if text == "dynamic":
        return None
    height, x, width = text.partition("x")
    if not (x and height.isdecimal() and width.isdecimal()):
        raise SpecError(f"found size {text!r}, expected HEIGHTxWIDTH such as 640x640, or dynamic")
    return int(height), int(width)


def description(trained: Trained, size: Size | None) -> str:
    """What is embedded beside the graph, as JSON: all that predicting needs."""
    outputs = ["probability", "threshold"] if trained.extract.binarize == "learned" else ["probability"]
    content = {
        "format": FORMAT,
        "ocrmaps": __version__,
        "torch": str(torch.__version__),
        "input": {
            "name": "image",
            "type": "uint8",
            "layout": "NHWC",
            "colors": "RGB",
            "size": None if size is None else list(size),
            "multiple": int(trained.detector.multiple),
        },
        "outputs": outputs,
        "canonical": asdict(trained.canonical),
        "extract": asdict(trained.extract),
        "card": _without_places(trained.card),
    }
    return json.dumps(content, ensure_ascii=False)


def _without_places(card: Mapping[str, Any]) -> dict[str, Any]:
    """What the weights were trained on, by name and digest: where that lay means nothing where the file goes."""
    found = json.loads(json.dumps(card))
    run, store = found.get("run") or {}, found["store"]
    if "data" in run:
        pairs = zip(run["data"].get("stores", ()), found.get("stores", ()), strict=False)
        for said, of in [(run["data"], None if found.get("stores") else store), *pairs]:
            said |= {"store": f"{of['name']}/{of['version']}" if of else ""}
        run["data"] |= {"cache": None}
        for rule in run["data"].get("sampling", ()):
            rule["texts"] = rule["texts"] and Path(rule["texts"]).name
    for model in (found.get("model"), run.get("model")):
        if model:
            model |= {name: Path(model.get(name) or "").name for name in START}
    return found


def check_size(size: Size, multiple: int) -> None:
    if not all(multiple <= side <= MAX_SIDE and side % multiple == 0 for side in size):
        raise SpecError(
            f"found size {size[0]}x{size[1]}, expected sides that are multiples of {multiple} up to {MAX_SIDE}"
        )


def _example(size: Size | None, multiple: int) -> Tensor:
    """Two pictures with sides that coincide with nothing, so that no side is taken for a constant."""
    height, width = size or (4 * multiple, 6 * multiple)
    return torch.randint(0, 256, (2, height, width, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def _shapes(size: Size | None, multiple: int) -> dict[int, Any]:
    batch: dict[int, Any] = {0: Dim("n", min=1, max=MAX_BATCH)}
    if size is not None:
        return batch
    # From two multiples on: torch takes a side of one for a special case and guards against it.
    most = MAX_SIDE // multiple
    return batch | {1: multiple * Dim("h", min=2, max=most), 2: multiple * Dim("w", min=2, max=most)}


def _program_of(graph: Graph, trained: Trained, size: Size | None) -> Any:
    multiple = int(trained.detector.multiple)
    try:
        with torch.no_grad():
            return torch.export.export(
                graph, (_example(size, multiple),), dynamic_shapes=(_shapes(size, multiple),), strict=False
            )
    except (RuntimeError, ValueError, TypeError, torch._dynamo.exc.TorchDynamoException) as error:
        raise RunError(
            f"torch cannot export this model for {'any size' if size is None else f'{size[0]}x{size[1]}'} "
            f"({str(error).splitlines()[0][:200]})",
            hint="--size HEIGHTxWIDTH asks for less; --format torchscript records what runs",
        ) from error


def _forget_lines(program: Any) -> None:
    """Take out which lines of which files on this machine made each operator: nobody's business, and never the same."""
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)


def _onnx(graph: Graph, trained: Trained, path: Path, size: Size | None) -> None:
    multiple = int(trained.detector.multiple)
    names = ["probability", "threshold"] if graph.learned else ["probability"]
    program = torch.onnx.export(
        _program_of(graph, trained, size),
        (_example(size, multiple),),
        input_names=["image"],
        output_names=names,
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    model = program.model
    for node in model.graph.all_nodes():
        node.metadata_props.clear()  # source files and lines of this machine, which are nobody's business
    model.metadata_props[EXTRA] = description(trained, size)
    program.save(path)


def _torchscript(graph: Graph, trained: Trained, path: Path, size: Size | None) -> None:
    with torch.no_grad():
        traced = torch.jit.trace(graph, (_example(size, int(trained.detector.multiple)),), check_trace=False)
    # In memory first: on a full disk torch's own writers of files end the process.
    whole = io.BytesIO()
    torch.jit.save(traced, whole, _extra_files={EXTRA: description(trained, size)})
    # Beside the code lie the lines of source files that it was traced from. Nothing needs them to run.
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(path, "w") as new:
        for record in old.infolist():
            if not record.filename.endswith(".debug_pkl"):
                new.writestr(zipfile.ZipInfo(record.filename), old.read(record))


def _program(graph: Graph, trained: Trained, path: Path, size: Size | None) -> None:
    program = _program_of(graph, trained, size)
    _forget_lines(program)
    whole = io.BytesIO()  # as above
    torch.export.save(program, whole, extra_files={EXTRA: description(trained, size)})
    path.write_bytes(whole.getbuffer())


def _openvino(graph: Graph, trained: Trained, path: Path, size: Size | None) -> None:
    whole = path.with_suffix(".onnx")
    _onnx(graph, trained, whole, size)
    as_openvino(whole, path, description(trained, size))


def as_openvino(onnx: Path, path: Path, told: str) -> None:
    """The same graph as OpenVINO's two files; the first holds the description and the digest of the second."""
    import openvino

    with written_by("openvino", path):
        model = openvino.convert_model(str(onnx))
        model.set_rt_info(told, [EXTRA])
        openvino.save_model(model, str(path), compress_to_fp16=False)
        model.set_rt_info(digest_of(path.with_suffix(".bin")), [WEIGHTS])
        openvino.save_model(model, str(path), compress_to_fp16=False)


FORMATS: dict[str, Callable[[Graph, Trained, Path, Size | None], None]] = {
    "onnx": _onnx,
    "openvino": _openvino,
    "torchscript": _torchscript,
    "program": _program,
}


def require(*modules: str) -> None:
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise SpecError(
            f"this export needs {', '.join(missing)}, not installed here",
            hint=f'pip install "ocrmaps[{"openvino" if "openvino" in missing else "onnx"}]"',
        )


@contextmanager
def written_by(library: str, path: Path) -> Iterator[None]:
    """One message for what a library raises that writes files itself: on a full disk that is anything at all."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise RunError(
            f"{path.name} cannot be written by {library} ({type(error).__name__}: {str(error).strip()[:200]})",
            hint="check the space of its folder and of the temporary folder first; then the versions of the libraries",
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """The exporters talk of their own future and of libraries that a detector does not need."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
