"""One training run: prepare (everything that could be refused is), fit, report. All it leaves is in one folder.

run.json  environment.json  metrics.csv  curves.png  batch.png  run.log  result.json
checkpoints/{last,best-...}.ckpt   val/*.png   debug/<bundles>
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lightning.pytorch.callbacks import Callback

from ocrmaps.debug.collect import on_crash
from ocrmaps.training.announce import log
from ocrmaps.training.fit import fit
from ocrmaps.training.launch import Launch, agree, check_launch, joined
from ocrmaps.training.prepare import device_of, meant, prepare
from ocrmaps.training.ranks import Rank
from ocrmaps.training.report import TrainReport, report
from ocrmaps.training.spec import RunSpec


def train(
    spec: RunSpec,
    *,
    out: Path,
    cache: Path | None = None,
    resume: str | None = None,
    say: Callable[[str], None] = lambda line: None,
    progress: bool = False,
    extra: tuple[Callback, ...] = (),
    place: Rank | None = None,
    launch: Launch | None = None,
) -> TrainReport:
    """Train as `spec` says into the folder `out`; `resume` is a checkpoint, or `auto` for the folder's own latest.

    `cache` is where the store is looked for when the run does not say; `extra` callbacks look on, in this process.
    `place` is given to the processes that a run on several devices starts beside this one, `launch` (of `launched`) to
    those that torchrun or srun started.
    Ctrl-C and SIGTERM are `Interrupted`, raised when the state was saved.
    """
    if launch is not None:
        device = device_of(spec)
        check_launch(spec.hardware, launch, device)
        with joined(launch, device):
            return _train(spec, out, cache, resume, say, progress, extra, launch.place, launch)
    return _train(spec, out, cache, resume, say, progress, extra, place, None)


def _train(
    spec: RunSpec,
    out: Path,
    cache: Path | None,
    resume: str | None,
    say: Callable[[str], None],
    progress: bool,
    extra: tuple[Callback, ...],
    place: Rank | None,
    launch: Launch | None,
) -> TrainReport:
    with prepare(spec, out=out, cache=cache, resume=resume, place=place) as run:
        if launch is not None:
            agree(launch, meant(run))
        settings, resumed = run.spec.as_dict(), run.resumed is not None
        with log(out / "run.log", say, append=resumed, first=run.first) as tell:
            with on_crash(settings, out, run.reader, run.augment, tell, trusted=run.spec.trusted) as witness:
                fitted = fit(run, tell, witness=witness, extra=extra, progress=progress and run.first)
                if fitted.interrupted is None:
                    return report(run, fitted, tell)
            # Out of reach of what looks for crashes: an interruption is none.
            raise fitted.interrupted
