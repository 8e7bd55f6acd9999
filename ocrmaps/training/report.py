"""Reports a finished run: its curves, truth beside prediction, and what it came to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocrmaps.detect.trained import LAST
from ocrmaps.files import write_json
from ocrmaps.text import typed
from ocrmaps.training.announce import caption, identity
from ocrmaps.training.fit import Fitted
from ocrmaps.training.folder import CHECKPOINTS
from ocrmaps.training.pictures import draw_curves, draw_pairs
from ocrmaps.training.prepare import Prepared


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainReport:
    """What a run came to."""

    folder: Path
    best: Path | None
    """The checkpoint with the best complete validation."""
    last: Path
    hmean: float | None
    """val/hmean at IoU 0.5 of `best`."""
    rows: tuple[Mapping[str, Any], ...]
    """One for each epoch, as in metrics.csv."""
    identity: Mapping[str, Any]
    """Steps, samples, root digest, seed, precision: what produced these numbers."""

    def as_dict(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "best": None if self.best is None else str(self.best),
            "last": str(self.last),
            "hmean": self.hmean,
            "epochs": len(self.rows),
            "final": dict(self.rows[-1]) if self.rows else None,
            **self.identity,
        }


def report(run: Prepared, fitted: Fitted, tell: Callable[[str], None]) -> TrainReport:
    """Write curves.png, val/*.png and result.json; say which checkpoint is the best."""
    found = TrainReport(
        folder=run.out,
        best=fitted.best,
        last=run.out / CHECKPOINTS / LAST,
        hmean=fitted.hmean,
        rows=fitted.rows,
        identity={"steps": fitted.steps, "samples": fitted.samples, **identity(run.card)},
    )
    if run.first:
        draw_curves(found.rows, run.out / "curves.png", caption(found.identity))
        draw_pairs(
            run.reader, found, run.out / "val", run.spec.watch.pictures, run.spec.data.val, run.spec.trusted
        )  # fmt: skip
        write_json(run.out / "result.json", found.as_dict())
    if found.hmean == 0.0:
        tell(
            f"no text was found in validation yet: hmean is 0 in every epoch, {found.best} has the lowest val loss; "
            f"train for more steps, or let {typed('ocrmaps', 'debug', 'doctor', run.out)} say which stage breaks "
            f"[{caption(found.identity)}]"
        )
        return found
    tell(
        f"best val hmean {found.hmean:.4f} at IoU 0.5: {found.best} [{caption(found.identity)}]"
        if found.hmean is not None
        else f"no complete validation, so no best checkpoint; the latest is {found.last}"
    )
    return found
