"""A detector from a file: a checkpoint of training, or what `ocrmaps export` wrote; what it is, its name says.

TorchScript and exported programs are programs, run only where the digest of the file is trusted. Exports run on the
processor: ONNX in onnxruntime, OpenVINO's model (`.xml` with its weights, `.bin`) in OpenVINO. Their file carries how
pictures are prepared and how maps are read.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ocrmaps.canonical import CanonicalSpec
from ocrmaps.detect.trained import Trained, load_detector
from ocrmaps.errors import DataError, OcrmapsError, SpecError, reason
from ocrmaps.extract import ExtractSpec
from ocrmaps.files import leads_outside, read_regular
from ocrmaps.model import DetectorSpec
from ocrmaps.model.head import Logits
from ocrmaps.trust import NOTHING, Trusted

FORMAT = 1
EXTRA = "ocrmaps.json"
"""Name of the description beside the graph, in all formats."""
WEIGHTS = "weights.sha256"
"""Name of the digest of OpenVINO's second file in its first."""
_RUNNING = (RuntimeError, ValueError, TypeError, AssertionError)
_READING = (*_RUNNING, KeyError, AttributeError, OSError, EOFError, IndexError)
"""What torch's loaders raise for files that are damaged or something else."""
_ONNX, _XML = b"\x08", b"<"
"""First byte of an ONNX file: the tag of its version field; and of OpenVINO's. Checkpoints begin as zip archives or
pickles do."""
CHECKPOINT = "checkpoint"
SUFFIXES = {".onnx": "onnx", ".xml": "openvino", ".pt": "torchscript", ".ts": "torchscript", ".pt2": "program"}
"""What a file is by its name; any other name is a checkpoint's."""
PROGRAMS = ("torchscript", "program")
_CALLED = {"onnx": "an ONNX file", "openvino": "an OpenVINO model", "torchscript": "TorchScript",
           "program": "an exported program", CHECKPOINT: "a checkpoint"}  # fmt: skip
Maps = Callable[[Tensor], "tuple[Tensor, ...]"]


class Replayed(nn.Module):
    """An exported graph behind the detector's call: its maps as logits again."""

    def __init__(self, run: Maps, multiple: int) -> None:
        super().__init__()
        self.run, self.multiple = run, multiple
        self.eval()

    def forward(self, image: Tensor, *, threshold: bool = True) -> Logits:
        """`threshold` is what the file was exported with: a graph has no options."""
        try:
            maps = self.run(image.cpu())
        except _RUNNING as error:
            height, width = image.shape[1:3]
            raise SpecError(
                f"the exported graph does not take {len(image)} pictures of {height}x{width} "
                f"({(str(error).splitlines() or [''])[0][:200]})",
                hint="export the checkpoint with another --size, or as --format onnx",
            ) from error
        # The logit of 0 and 1 is infinite and its sigmoid 0 and 1 again: nothing is clipped.
        logits = [torch.logit(m.float()) for m in maps]
        return Logits(logits[0], logits[1] if threshold and len(logits) > 1 else None)


def kind_of(path: Path) -> str:
    """What a file is by its name: a key of `export.FORMATS`, or `checkpoint`."""
    return SUFFIXES.get(path.suffix.lower(), CHECKPOINT)


def load_any(path: Path, *, trusted: Trusted = NOTHING, threads: int | None = None) -> Trained:
    """The detector in a file with all that predicting needs. What it is opened as is decided by its name alone.

    `threads` is how many onnxruntime and OpenVINO use, which choose for themselves when it is not given.
    """
    kind, found = kind_of(path), _content(path)
    if found is not None and found != kind:
        suffixes = ", ".join(suffix for suffix, other in SUFFIXES.items() if other == found) or ".ckpt"
        raise DataError(
            f"{path}: found {_CALLED[found]} inside, expected {_CALLED[kind]} by its name",
            hint=f"if you know where it comes from, give it the name of what it is ({suffixes})",
        )
    if trusted.digests and kind not in PROGRAMS:
        raise SpecError(f"{path}: this is {_CALLED[kind]}, which needs no trust", hint="leave --trust-code out")
    if kind == CHECKPOINT:
        return load_detector(path, trusted=trusted)
    try:
        data = read_regular(path)
    except FileNotFoundError as error:
        raise SpecError(f"{path}: no such file", hint="`ocrmaps export` writes one from a checkpoint") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {reason(error)}", hint="check the path and its rights") from error
    if found is None and kind in PROGRAMS:
        raise DataError(
            f"{path}: cannot be read as {_CALLED[kind]} (it is damaged, or something else)",
            hint="export the checkpoint again",
        )
    if kind == "onnx":
        run, text = _onnx(path, data, threads)
    elif kind == "openvino":
        run, text = _openvino(path, data, threads)
    else:
        _check_trusted(path, data, _CALLED[kind], trusted)
        run, text = _torchscript(path, data) if kind == "torchscript" else _program(path, data)
    return _trained(path, run, text)


def device_for(trained: Trained, device: str, path: Path) -> str:
    """Where a detector runs: `auto` is a CUDA device where there is one; exports run on the processor."""
    if isinstance(trained.detector, Replayed):
        if device not in ("auto", "cpu"):
            raise SpecError(f"{path} is an export, which runs on the processor", hint="leave --device out")
        return "cpu"
    there = torch.cuda.is_available()
    if device == "cuda" and not there:
        raise SpecError("device: found cuda, but torch sees no CUDA device here", hint="leave --device out")
    return device if device != "auto" else "cuda" if there else "cpu"


def _check_trusted(path: Path, data: bytes, what: str, trusted: Trusted) -> None:
    """The same bytes are digested and run afterwards: what changes meanwhile changes nothing."""
    digest = hashlib.sha256(data).hexdigest()
    if digest not in trusted.digests:
        raise DataError(
            f"{path}: this is {what}, a program that would run with your rights; its SHA-256 is {digest}",
            hint=f"if you made it or trust who did: --trust-code {digest}; an ONNX file or a checkpoint needs no trust",
        )


def _content(path: Path) -> str | None:
    """What a file looks like inside; None where that says nothing, as for damaged ones."""
    try:
        if not path.is_file():
            return None
        if not zipfile.is_zipfile(path):
            with path.open("rb") as file:
                return {_ONNX: "onnx", _XML: "openvino"}.get(file.read(1))
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, ValueError, zipfile.BadZipFile):
        return None
    if any(name.endswith("/constants.pkl") for name in names):
        return "torchscript"
    if any(name.endswith("archive_format") for name in names) or "serialized_exported_program.json" in names:
        return "program"
    return CHECKPOINT if any(name.endswith("/data.pkl") for name in names) else None


def _onnx(path: Path, data: bytes, threads: int | None) -> tuple[Maps, str | None]:
    missing = [name for name in ("onnx", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise SpecError(
            f"{path}: ONNX needs {', '.join(missing)}, not installed here", hint='pip install "ocrmaps[onnx]"'
        )
    outside = _check_places(path, data)
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as faults

    known = (faults.InvalidProtobuf, faults.Fail, faults.InvalidGraph, faults.InvalidArgument, faults.NoSuchFile,
             faults.NoModel, faults.NotImplemented, faults.RuntimeException)  # fmt: skip
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0  # 0: its own choice
    try:
        # What was looked at is what runs; only weights in files of their own need the path.
        session = onnxruntime.InferenceSession(
            str(path) if outside else data, options, providers=["CPUExecutionProvider"]
        )
    except known as error:
        raise _unreadable(path, "ONNX file", error) from error

    def run(image: Tensor) -> tuple[Tensor, ...]:
        try:
            maps = session.run(None, {"image": image.numpy()})
        except known as error:
            raise RuntimeError(str(error)) from error
        return tuple(torch.from_numpy(np.asarray(m)) for m in maps)

    return run, session.get_modelmeta().custom_metadata_map.get(EXTRA)


def _openvino(path: Path, data: bytes, threads: int | None) -> tuple[Maps, str | None]:
    if find_spec("openvino") is None:
        raise SpecError(f"{path}: needs openvino, which is not installed here", hint='pip install "ocrmaps[openvino]"')
    import openvino

    weights = path.with_suffix(".bin")
    if leads_outside(weights, path.parent):
        raise DataError(
            f"{weights}: found a link out of the folder of {path.name}", hint="keep both files in one folder"
        )
    try:
        # From memory: nothing but the file that belongs to it is read as its weights.
        values = read_regular(weights)
        model = openvino.Core().read_model(data, values)
        settings = {"INFERENCE_PRECISION_HINT": "f32"} | ({"INFERENCE_NUM_THREADS": threads} if threads else {})
        compiled = openvino.Core().compile_model(model, "CPU", settings)
    except OSError as error:
        raise DataError(
            f"{weights}: cannot be read ({error.strerror or error})", hint=f"it holds the weights of {path.name}"
        ) from error
    except RuntimeError as error:
        raise _unreadable(path, "OpenVINO model", error) from error

    def run(image: Tensor) -> tuple[Tensor, ...]:
        found = compiled({"image": image.numpy()})
        return tuple(torch.from_numpy(np.array(found[output])) for output in compiled.outputs)

    told = {key: model.get_rt_info([key]).astype(str) for key in (EXTRA, WEIGHTS) if model.has_rt_info([key])}
    if WEIGHTS in told and told[WEIGHTS] != hashlib.sha256(values).hexdigest():
        raise DataError(f"{weights}: found other weights than {path.name} was written with", hint="export both again")
    return run, told.get(EXTRA)


def _check_places(path: Path, data: bytes) -> bool:
    """Refuse weights outside of the file's folder: whatever is read there could come out again in the results.

    Whether the model has weights in other files at all.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(data)
    except DecodeError as error:
        raise _unreadable(path, "ONNX file", error) from error
    folder = path.parent.resolve()
    places = set(_places(model))
    for place in places:
        try:
            target = (folder / place).resolve()
            inside = not os.path.isabs(place) and ".." not in Path(place).parts and target.is_relative_to(folder)
            sound = inside and target.is_file()
        except (OSError, ValueError, RuntimeError):
            sound = False
        if not sound:
            raise DataError(
                f"{path}: found weights in {place!r}, expected them in the file or in a file of its own folder",
                hint="export the checkpoint again, or keep the files that belong together in one folder, without links",
            )
    return bool(places)


def _places(message: Any) -> Iterator[str]:
    """Where the tensors of an ONNX model say that their values are, wherever in the model they are."""
    if message.DESCRIPTOR.name == "TensorProto":
        yield from (entry.value for entry in message.external_data if entry.key == "location")
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            # A single message has fields of its own, several are a sequence of them.
            for inner in [value] if hasattr(value, "ListFields") else value:
                yield from _places(inner)


def _torchscript(path: Path, data: bytes) -> tuple[Maps, str | None]:
    extra: dict[str, Any] = {EXTRA: ""}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch announces that this format will not grow any more
            module = torch.jit.load(io.BytesIO(data), map_location="cpu", _extra_files=extra)
    except _READING as error:
        raise _unreadable(path, "TorchScript file", error) from error
    text = extra[EXTRA]
    return _tuple(module), text.decode("utf-8", "replace") if isinstance(text, bytes) else text


def _program(path: Path, data: bytes) -> tuple[Maps, str | None]:
    extra: dict[str, Any] = {EXTRA: ""}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = torch.export.load(io.BytesIO(data), extra_files=extra).module()
    except _READING as error:
        raise _unreadable(path, "exported program", error) from error
    return _tuple(module), extra[EXTRA]


def _tuple(module: Any) -> Maps:
    def run(image: Tensor) -> tuple[Tensor, ...]:
        maps = module(image)
        return maps if isinstance(maps, tuple) else (maps,)

    return run


def _trained(path: Path, run: Maps, text: str | None) -> Trained:
    if not text:
        raise DataError(
            f"{path}: found no description of its pictures ({EXTRA})", hint="only files of `ocrmaps export` carry it"
        )
    try:
        content: Mapping[str, Any] = json.loads(text)
        if content["format"] != FORMAT:
            raise DataError(f"{path}: found export format {content['format']!r}, this ocrmaps reads {FORMAT}")
        card = content["card"]
        trained = Trained(
            detector=Replayed(run, int(content["input"]["multiple"])),  # type: ignore[arg-type]  # called alike
            model=DetectorSpec.of(card["model"]),
            canonical=CanonicalSpec(**content["canonical"]),
            extract=ExtractSpec(**content["extract"]),
            card=card,
        )
        _ = trained.identity
        if trained.detector.multiple < 1:
            raise ValueError(f"found sides that are multiples of {trained.detector.multiple}")
    except OcrmapsError:  # some are ValueErrors, too, and say more
        raise
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError, RecursionError) as error:
        raise DataError(f"{path}: its description is not complete ({type(error).__name__}: {error})") from error
    return trained


def _unreadable(path: Path, what: str, error: Exception) -> DataError:
    first = next((line for line in str(error).splitlines() if line and " from src/" not in line), type(error).__name__)
    return DataError(f"{path}: cannot be read as an {what} ({first[:300]})", hint="export the checkpoint again")
