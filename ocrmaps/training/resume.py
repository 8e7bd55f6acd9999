"""Going on: which checkpoint a run goes on from, and that it is one of the same run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ocrmaps.detect.trained import LAST, read_checkpoint
from ocrmaps.errors import DataError, Problem, RunError, SpecError
from ocrmaps.training.differences import differences, is_operational
from ocrmaps.training.folder import CHECKPOINTS, is_run
from ocrmaps.training.sharing import SHARING, batches_of_step
from ocrmaps.training.spec import HardwareSpec, portable

Say = Callable[[str], None]
BEFORE = {"hardware": asdict(HardwareSpec())}
"""Settings that runs of earlier releases did not have: what they did is what the defaults say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """Where a run goes on."""

    path: Path
    card: Mapping[str, Any]
    """What the checkpoint says about itself."""
    passed_over: tuple[str, ...] = ()
    """Newer checkpoints that could not be read, each with the reason."""

    @property
    def steps(self) -> int:
        return int(self.card["steps"])


def find_checkpoint(out: Path, resume: str | None) -> Resumed | None:
    """The checkpoint that `resume` means: a path, or for `auto` the newest of `out` that is whole, or None.

    Every kept checkpoint is a whole state, so where the latest is damaged the best ones are a way to go on. Where none
    can be read `auto` is refused: to begin anew is not what was asked for.
    """
    if resume is None:
        return None
    if resume != "auto":
        path = Path(resume)
        if not path.is_file():
            raise SpecError(f"--resume {resume}: no such checkpoint", hint="--resume auto takes the latest of --out")
        return Resumed(path=path, card=read_checkpoint(path)["ocrmaps"])
    found: list[Resumed] = []
    damaged: list[Problem] = []
    for path in _newest_first(out / CHECKPOINTS):
        try:
            card = read_checkpoint(path)["ocrmaps"]
        except DataError as error:
            damaged.append(Problem(path.name, str(error).removeprefix(f"{path}: ")))
            continue
        found.append(Resumed(path=path, card=card, passed_over=tuple(map(str, damaged))))
        break
    if damaged and not found:
        raise RunError(
            f"--resume auto: none of the checkpoints in {out / 'checkpoints'} can be read:",
            problems=damaged,
            hint="a new --out starts anew; or take these files away",
        )
    return found[0] if found else None


def check_folder(out: Path, resume: str | None) -> None:
    """Refuse to begin in a folder with something in it, but for a run that was killed before it could save anything."""
    if not out.exists() or not any(out.iterdir()):
        return
    if resume == "auto" and is_run(out):
        return
    hint = "name another --out" if resume else "name another --out, or go on with what is there by --resume auto"
    raise SpecError(f"{out} is not empty", hint=hint)


def _newest_first(folder: Path) -> list[Path]:
    """The latest state, then those that were kept for their score, by the steps in their names."""
    kept = sorted(folder.glob("best-*.ckpt"), key=lambda p: p.name.partition("-step")[2], reverse=True)
    return [p for p in (folder / LAST, *kept) if p.is_file()]


def check_same_run(theirs: Mapping[str, Any], mine: Mapping[str, Any], path: Path) -> None:
    """Refuse to go on from a checkpoint of another run: only settings that do not decide weights may differ."""
    old, new = (portable(run, Path.home()) for run in (theirs["run"], mine["run"]))
    same_steps = batches_of_step(old) == batches_of_step(new)
    problems = [
        Problem(f"run.{found.key}", f"the checkpoint has {found.a!r}, this run {found.b!r}")
        for found in differences({**old, "hardware": {**BEFORE["hardware"], **old.get("hardware", {})}}, new)
        if not is_operational(found.key) and not (same_steps and found.key in SHARING)
    ]
    hint = "resume with the settings of that run, or start another one with another --out"
    pairs = list(zip(*(card.get("stores") or [card["store"]] for card in (theirs, mine)), strict=False))
    for number, (a, b) in enumerate(pairs):
        if a["root_digest"] == b["root_digest"]:
            continue
        place = "store" if len(pairs) == 1 else f"stores[{number}].store"
        learnt, found_here = (f"{s['name']}/{s['version']} (root {s['root_digest'][:12]})" for s in (a, b))
        problems.append(Problem(place, f"the checkpoint learnt from {learnt}, this is {found_here}"))
        asks = f"{a['name']}/{a['version']}"
        hint += f"; {'--set ' if len(pairs) == 1 else ''}data.{place}={asks} asks for the version it learnt from"
    if theirs.get("shown") != mine.get("shown"):
        problems.append(
            Problem("data.sampling", "rows are shown in other shares than the checkpoint's: is a texts.csv another?")
        )
    if problems:
        raise RunError(f"{path}: this checkpoint is of another run:", problems=problems, hint=hint)
