"""What a page or a data set without truth scores: a division by nothing, which evaluators settle differently.

`ocrmaps`: a page where nothing was to be found and nothing was found is perfect (1), one with false alarms is 0, and
a data set without truth has no score. `db`: as in the evaluators of the DB repository and of CLEval, where a data set
without truth scores 0 throughout, and so do single pages in DetEval: their hmean is 0 whatever was found.
Nothing else depends on the convention: where truth is scored, both give the same numbers.
"""

from __future__ import annotations

from typing import Literal, get_args

from ocrmaps.errors import SpecError
from ocrmaps.metrics.deteval import DetEvalCounts
from ocrmaps.metrics.iou import IouCounts

Convention = Literal["ocrmaps", "db"]
CONVENTIONS: tuple[str, ...] = get_args(Convention)


def checked_convention(name: str) -> None:
    """Refuse a convention that is none."""
    if name not in CONVENTIONS:
        raise SpecError(f"found convention {name!r}, expected one of {', '.join(CONVENTIONS)}")


def page_parts(counts: IouCounts | DetEvalCounts, convention: Convention = "ocrmaps") -> dict[str, float]:
    """Precision, recall and hmean of one picture.

    >>> page_parts(DetEvalCounts()), page_parts(DetEvalCounts(), "db")
    ({'precision': 1.0, 'recall': 1.0, 'hmean': 1.0}, {'precision': 1.0, 'recall': 1.0, 'hmean': 0.0})
    """
    if convention == "db" and isinstance(counts, DetEvalCounts) and not counts.truth_care:
        if counts.detection_care + counts.detection_ignored:
            return {"precision": 0.0, "recall": 1.0, "hmean": 0.0}
        nothing = 0.0 if counts.truth_ignored else 1.0
        return {"precision": nothing, "recall": nothing, "hmean": 0.0}
    return {"precision": counts.precision, "recall": counts.recall, "hmean": counts.hmean}


def total_parts(counts: IouCounts | DetEvalCounts, convention: Convention = "ocrmaps") -> dict[str, float]:
    """Precision, recall and hmean of a data set's sums; empty without truth where that is no score.

    >>> total_parts(IouCounts(detection_care=3)), total_parts(IouCounts(detection_care=3), "db")
    ({}, {'precision': 0.0, 'recall': 0.0, 'hmean': 0.0})
    """
    if counts.truth_care:
        return page_parts(counts)
    return {} if convention == "ocrmaps" else {"precision": 0.0, "recall": 0.0, "hmean": 0.0}
