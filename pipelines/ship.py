"""Makes a detector to ship of a checkpoint: its weights in half precision, and nothing else of the training's state.

    python -m ocrmaps.pipelines.ship CHECKPOINT NAME [HEIGHTxWIDTH,...]

Canvases that are named take the place of those it learnt on, and their longest side that of its pictures: the same
for less padding, a smaller one for less time.

The card beside it (`ocrmaps/shipped/NAME.json`) is written by hand: where the pictures come from and where it fails.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ocrmaps.detect.trained import checkpoint_bytes, load_detector, read_checkpoint
from ocrmaps.files import replacing
from ocrmaps.geometry import Size
from ocrmaps.shipped import shipped

SMALL = 512
"""Values up to which a tensor keeps all its bits."""


def slim(checkpoint: Path, out: Path, canvases: Sequence[Size] = ()) -> int:
    """Write the weights that predict, as float16, with the card of the checkpoint; gives the bytes of the file."""
    content = read_checkpoint(checkpoint)
    card: dict[str, Any] = content["ocrmaps"]
    if canvases:
        card["canonical"] |= {"canvases": [list(size) for size in canvases], "side": max(map(max, canvases))}
    prefix = f"{card['weights']}."
    weights = {key: value for key, value in content["state_dict"].items() if key.startswith(prefix)}
    # Small tensors stay as they are: statistics, and what pictures are normalized with, must be exact.
    halves = {key: value.half() if value.numel() > SMALL else value for key, value in weights.items()}
    with replacing(out) as part:
        part.write_bytes(checkpoint_bytes({"ocrmaps": card, "state_dict": halves}))
        load_detector(part)
    return out.stat().st_size


if __name__ == "__main__":
    target = shipped(sys.argv[2])
    sizes = [tuple(map(int, size.split("x"))) for size in "".join(sys.argv[3:]).split(",") if size]
    print(f"wrote {target}: {slim(Path(sys.argv[1]), target, sizes)} bytes")  # type: ignore[arg-type]
