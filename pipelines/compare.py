"""`ocrmaps compare`: reads two run folders and says how the runs differ; unlike runs are refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ocrmaps.report.compare.runs import Comparison, check_words, compare_runs, evaluation_of
from ocrmaps.training.folder import read_run


def compare(first: Path, second: Path, *, allow: Sequence[str] = ()) -> Comparison:
    """Compare two run folders; unlike runs are refused unless every word of what differs is allowed."""
    check_words(allow)
    runs = read_run(first), read_run(second)
    evaluations = evaluation_of(runs[0]), evaluation_of(runs[1])
    return compare_runs(*runs, evaluations, allow=allow)
