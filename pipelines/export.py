"""`ocrmaps export`: a checkpoint as one file that other programs run, and the proof that it gives the same boxes.

The graph takes bytes as they are decoded, uint8 (N, H, W, 3) RGB, and gives probabilities, float32 (N, H, W);
normalization and sigmoid are inside. How pictures are prepared and how maps are read is embedded beside the graph, so
that `ocrmaps predict` needs nothing but the file.
"""

from __future__ import annotations

import io
import json
import logging
import os
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from ocrmaps import __version__
from ocrmaps.annotations import Source, open_source
from ocrmaps.annotations.samples import subset
from ocrmaps.detect.int8 import LEAST_AGREEMENT, PICTURES, PIXELS, Int8Agreement, agreement, round_to_int8
from ocrmaps.detect.load import EXTRA, FORMAT, PROGRAMS, SUFFIXES, WEIGHTS, kind_of, load_any
from ocrmaps.detect.pages import prepare
from ocrmaps.detect.parity import Parity, compare
from ocrmaps.detect.trained import Trained, load_detector
from ocrmaps.errors import RunError, SpecError
from ocrmaps.evaluation import EvaluationSpec
from ocrmaps.evaluation.detectors import evaluate_checkpoint
from ocrmaps.evaluation.sources import file_of, samples_of
from ocrmaps.files import digest_of, refuse_existing, writing
from ocrmaps.geometry import Size
from ocrmaps.maps.records import U8Array
from ocrmaps.model.detector import START
from ocrmaps.scratch import beside
from ocrmaps.trust import NOTHING, Trusted

MAX_SIDE = 16_384
MAX_BATCH = 4096


class Graph(nn.Module):
    """What is exported: uint8 (N, H, W, 3) -> probability (N, H, W), and threshold where maps are read with it."""

    def __init__(self, trained: Trained) -> None:
        super().__init__()
        self.detector = deepcopy(trained.detector).eval()
        # Its questions about shapes would become part of the graph; whoever runs the file pads to the multiple.
        self.detector.check_input = lambda image: None  # type: ignore[method-assign]
        self.learned = trained.extract.binarize == "learned"

    def forward(self, image: Tensor) -> Any:
        logits = self.detector(image, threshold=self.learned)
        probability = torch.sigmoid(logits.probability)
        return (probability, torch.sigmoid(logits.threshold)) if self.learned else probability


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounded:
    """What rounding to int8 cost and brought."""

    calibrated_on: str
    agreement: Int8Agreement
    scored_on: str
    before: Mapping[str, float]
    """Scores of the checkpoint, by name."""
    after: Mapping[str, float]

    def as_json(self) -> dict[str, Any]:
        return {
            "calibrated_on": self.calibrated_on,
            "agreement": self.agreement.as_json(),
            "scored_on": self.scored_on,
            "before": dict(self.before),
            "after": dict(self.after),
        }

    def sentence(self) -> str:
        scores = ", ".join(f"{name} {self.before[name]:.4f} to {self.after[name]:.4f}" for name in self.before)
        return f"{self.agreement.sentence()}; scores on {self.scored_on}: {scores}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was written, and how well it agrees."""

    path: Path
    format: str
    size: Size | None
    """(height, width), or None for any."""
    bytes: int
    sha256: str
    """What `--trust-code` takes, where the file is a program."""
    parity: Parity
    """Of the graph before any rounding."""
    int8: Rounded | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "out": str(self.path),
            "format": self.format,
            "size": "dynamic" if self.size is None else list(self.size),
            "bytes": self.bytes,
            "sha256": self.sha256,
            "parity": self.parity.as_json(),
            "int8": None if self.int8 is None else self.int8.as_json(),
        }

    def sentence(self) -> str:
        size = "any size" if self.size is None else f"{self.size[0]}x{self.size[1]}"
        trust = "" if self.format not in PROGRAMS else f"; ocrmaps predict runs it with --trust-code {self.sha256}"
        rounded = "" if self.int8 is None else f"; as int8 {self.int8.sentence()}"
        return (
            f"wrote {self.path} ({self.format}, {size}, {self.bytes / 1e6:.1f} MB): "
            f"{self.parity.sentence()}{rounded}{trust}"
        )


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


def export(
    checkpoint: Path,
    out: Path,
    *,
    format: str = "onnx",
    size: Size | None = None,
    pictures: Sequence[Path] = (),
    int8: Path | None = None,
    score_on: Path | None = None,
    overwrite: bool = False,
    trusted: Trusted = NOTHING,
) -> Exported:
    """Write the file, load it back, compare it with the checkpoint; a file that differs never gets its name.

    `int8` is a source whose pictures rounding is calibrated on; scores before and after are measured on `score_on`, or
    on that source too.
    """
    if format not in FORMATS:
        raise SpecError(f"found format {format!r}, expected one of {', '.join(FORMATS)}")
    if kind_of(out) != format:
        suffixes = " or ".join(suffix for suffix, other in SUFFIXES.items() if other == format)
        raise SpecError(
            f"{out}: found a name that does not say {format}, expected one that ends in {suffixes}",
            hint="`ocrmaps predict` opens a file as what its name says",
        )
    if int8 is not None and format not in ("onnx", "openvino"):
        raise SpecError(f"found --int8 for {format}, expected onnx or openvino", hint="torch's formats stay in float32")
    if score_on is not None and int8 is None:
        raise SpecError("--score-on measures what rounding costs: --int8 is missing", hint="--int8 SOURCE")
    targets = (out, out.with_suffix(".bin")) if format == "openvino" else (out,)
    for target in targets:
        refuse_existing(target, replace_existing=overwrite)
    if format in ("onnx", "openvino"):
        _require("onnx", "onnxscript", "onnxruntime", *(["openvino"] if format == "openvino" else []))
    trained = load_detector(checkpoint, trusted=trusted)
    multiple = int(trained.detector.multiple)
    if size is not None:
        _check_size(size, multiple)
        # Every picture now goes to this canvas; the rest of the policy stays.
        trained = replace(trained, canonical=replace(trained.canonical, canvases=(size,)))
    with writing(out), beside(out) as workplace:
        part = workplace / out.name
        with _quiet():
            FORMATS[format](Graph(trained), trained, part, size)
        try:
            # Written a moment ago from a detector that is already built.
            own = Trusted.of(digests=[digest_of(part)] if format in PROGRAMS else ())
            again = load_any(part, trusted=own)
            parity = compare(trained, again, size=size, multiple=multiple, pictures=pictures)
        except SpecError as error:
            raise RunError(
                f"the exported file does not run and was not kept: {error}",
                hint="--format onnx has no limits of its own; or name one canvas with --size",
            ) from error
        if parity.faults:
            raise RunError(
                f"the exported file differs from the checkpoint and was not kept: {'; '.join(parity.faults)}",
                hint="another --format may do; say which torch and onnxruntime this is in a report",
            )
        rounded = None if int8 is None else _rounded(trained, part, size, int8, score_on or int8)
        number, digest = sum(part.with_name(path.name).stat().st_size for path in targets), digest_of(part)
        for path in reversed(targets):
            os.replace(part.with_name(path.name), path)
    return Exported(path=out, format=format, size=size, bytes=number, sha256=digest, parity=parity, int8=rounded)


def _rounded(trained: Trained, part: Path, size: Size | None, calibration: Path, scoring: Path) -> Rounded:
    """Replace the exported file by one in whole numbers, and say what that costs."""
    sources = {path: open_source(path) for path in (calibration, scoring)}
    images = _prepared(trained, sources[calibration])
    whole, small = part.with_name("whole.onnx"), part.with_name("small.onnx")
    told = replace(trained, card={**trained.card, "precision": "int8"})
    with _quiet():
        _onnx(Graph(trained), told, whole, size)
    with _written_by("onnxruntime", part):
        round_to_int8(whole, small, images)
    if part.suffix == ".xml":
        _as_openvino(small, part, description(told, size))
    else:
        os.replace(small, part)
    found = agreement(load_any(whole, threads=1), load_any(part, threads=1), images)
    if found.agree_50 is not None and found.agree_50 < LEAST_AGREEMENT:
        raise RunError(
            f"in whole numbers this is another detector, and it was not kept: {found.sentence()}",
            hint=f"boxes have to agree on {LEAST_AGREEMENT:.0%}; calibrate on pictures like those it will see",
        )
    before, after = (_scores(path, sources[scoring]) for path in (whole, part))
    return Rounded(
        calibrated_on=f"{len(images)} pictures of {calibration.absolute().name}",
        agreement=found,
        scored_on=scoring.absolute().name,
        before=before,
        after=after,
    )


def _prepared(trained: Trained, source: Source) -> list[U8Array]:
    """Pictures of a source as the network sees them: an even draw that fits into memory."""
    largest = max(height * width for height, width in trained.canonical.canvases)
    chosen = subset(samples_of(source)[0], max(1, min(PICTURES, PIXELS // largest)))
    return [prepare(file_of(source, sample), trained.canonical).pixels for sample in chosen]


def _scores(path: Path, source: Source) -> dict[str, float]:
    """IoU hmean at 0.5 and 0.7 on all pictures of a source."""
    spec = EvaluationSpec(protocols=("iou",), cuts=())
    values = evaluate_checkpoint(path, source=source, spec=spec).scores["iou"].values
    return {f"IoU {t}": float(values[f"hmean@{t}"]) for t in spec.thresholds}


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
        run["data"] |= {"cache": None, "store": f"{store['name']}/{store['version']}"}
    for model in (found.get("model"), run.get("model")):
        if model:
            model |= {name: Path(model.get(name) or "").name for name in START}
    return found


def _check_size(size: Size, multiple: int) -> None:
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
    _as_openvino(whole, path, description(trained, size))


def _as_openvino(onnx: Path, path: Path, told: str) -> None:
    """The same graph as OpenVINO's two files; the first holds the description and the digest of the second."""
    import openvino

    with _written_by("openvino", path):
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


def _require(*modules: str) -> None:
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise SpecError(
            f"this export needs {', '.join(missing)}, not installed here",
            hint=f'pip install "ocrmaps[{"openvino" if "openvino" in missing else "onnx"}]"',
        )


@contextmanager
def _written_by(library: str, path: Path) -> Iterator[None]:
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
def _quiet() -> Iterator[None]:
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
