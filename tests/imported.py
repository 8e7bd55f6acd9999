"""What a process that trains imports: `tests.forks` forks its processes from one that has done so."""

import gc

from ocrmaps.machine import prepare_process

prepare_process()

import torch.distributed.run  # noqa: E402, F401

import ocrmaps.cli.app  # noqa: E402
import ocrmaps.pipelines.rank  # noqa: E402
import ocrmaps.pipelines.train  # noqa: E402, F401

gc.freeze()
