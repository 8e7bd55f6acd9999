"""One of the processes beside the first of a run on several devices: `python -m ocrmaps.pipelines.rank JOB RANK`."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from ocrmaps.machine import prepare_process


def main(file: Path, rank: int) -> int:
    """Take part in the run that the file describes; a failure is left beside it for the first process to tell."""
    prepare_process()
    import torch

    from ocrmaps.pipelines.train import train
    from ocrmaps.training.callbacks.stop import Interrupted
    from ocrmaps.training.ranks import Rank, join
    from ocrmaps.training.spec import run_from_dict
    from ocrmaps.trust import Trusted

    job, meeting = json.loads(file.read_text(encoding="utf-8")), file.parent
    torch.set_num_threads(job["threads"])
    place = Rank(rank=rank, world=job["world"], local=rank)
    try:
        (meeting / f"ready-{rank}").touch()
        join(place, meeting, job["device"])
        train(
            replace(run_from_dict(job["run"], where="run of the first process"), trusted=Trusted.of(job["trusted"])),
            out=Path(job["out"]),
            cache=Path(job["cache"]),
            resume=job["checkpoint"],
            place=place,
        )
    except Interrupted as error:
        if error.at_once:
            _leave(0)
    except BaseException as error:
        report = {"time": time.time(), "message": f"{type(error).__name__}: {error}"}
        part = meeting / f"failed-{rank}.part"
        part.write_text(json.dumps(report), encoding="utf-8")
        part.rename(meeting / f"failed-{rank}.json")
        _leave(1)
    # Threads of the group that outlive the interpreter may be ended by it within a function that cannot be left so,
    # which ends the process by a signal after all its work is done.
    torch.distributed.destroy_process_group()
    return 0


def _leave(code: int) -> NoReturn:
    """End at once: the group cannot be left while a message to it waits for somebody who may never come."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
