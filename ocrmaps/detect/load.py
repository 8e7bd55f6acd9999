"""A detector from whatever file holds one: a checkpoint of training, or what `ocrmaps export` wrote.

Exports run on the processor. Their file carries how pictures are prepared and how maps are read.
"""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ocrmaps.canonical import CanonicalSpec
from ocrmaps.detect.trained import Trained, load_detector
from ocrmaps.errors import DataError, SpecError
from ocrmaps.extract import ExtractSpec
from ocrmaps.model import DetectorSpec
from ocrmaps.model.head import Logits

FORMAT = 1
EXTRA = "ocrmaps.json"
"""Name of the description beside the graph, in all formats."""
_RUNNING = (RuntimeError, ValueError, TypeError, AssertionError)
_READING = (*_RUNNING, KeyError, AttributeError, OSError, EOFError, IndexError)
"""What torch's loaders raise for files that are damaged or something else."""
_ONNX = b"\x08"
"""First byte of an ONNX file: the tag of its version field. Checkpoints begin as zip archives or pickles do."""
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


def load_any(path: Path) -> Trained:
    """The detector in a file with all that predicting needs; what kind of file it is follows from its content."""
    kind = _kind(path)
    if kind == "checkpoint":
        return load_detector(path)
    run, text = {"onnx": _onnx, "torchscript": _torchscript, "program": _program}[kind](path)
    return _trained(path, run, text)


def _kind(path: Path) -> str:
    try:
        if not path.is_file():
            return "checkpoint"
        if not zipfile.is_zipfile(path):
            with path.open("rb") as file:
                named = path.suffix.lower() == ".onnx"
                return "onnx" if named or file.read(1) == _ONNX else "checkpoint"
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, ValueError, zipfile.BadZipFile):
        return "checkpoint"
    if any(name.endswith("/constants.pkl") for name in names):
        return "torchscript"
    if any(name.endswith("archive_format") for name in names) or "serialized_exported_program.json" in names:
        return "program"
    return "checkpoint"


def _onnx(path: Path) -> tuple[Maps, str | None]:
    if find_spec("onnxruntime") is None:
        raise SpecError(f"{path}: ONNX needs onnxruntime, not installed here", hint='pip install "ocrmaps[onnx]"')
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as faults

    known = (faults.InvalidProtobuf, faults.Fail, faults.InvalidGraph, faults.InvalidArgument, faults.NoSuchFile,
             faults.NoModel, faults.NotImplemented, faults.RuntimeException)  # fmt: skip
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except known as error:
        raise _unreadable(path, "ONNX file", error) from error

    def run(image: Tensor) -> tuple[Tensor, ...]:
        try:
            maps = session.run(None, {"image": image.numpy()})
        except known as error:
            raise RuntimeError(str(error)) from error
        return tuple(torch.from_numpy(np.asarray(m)) for m in maps)

    return run, session.get_modelmeta().custom_metadata_map.get(EXTRA)


def _torchscript(path: Path) -> tuple[Maps, str | None]:
    extra: dict[str, Any] = {EXTRA: ""}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch announces that this format will not grow any more
            module = torch.jit.load(str(path), map_location="cpu", _extra_files=extra)
    except _READING as error:
        raise _unreadable(path, "TorchScript file", error) from error
    text = extra[EXTRA]
    return _tuple(module), text.decode("utf-8", "replace") if isinstance(text, bytes) else text


def _program(path: Path) -> tuple[Maps, str | None]:
    extra: dict[str, Any] = {EXTRA: ""}
    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")
            module = torch.export.load(file, extra_files=extra).module()
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
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise DataError(f"{path}: its description is not complete ({type(error).__name__}: {error})") from error
    return trained


def _unreadable(path: Path, what: str, error: Exception) -> DataError:
    first = (str(error).splitlines() or [type(error).__name__])[0]
    return DataError(f"{path}: cannot be read as an {what} ({first[:300]})", hint="export the checkpoint again")
