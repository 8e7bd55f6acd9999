"""An evaluation for people: scores with their state, why texts were not found, where recall is lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ocrmaps.evaluation import Evaluation, groups
from ocrmaps.evaluation.reasons import words
from ocrmaps.evaluation.submitted import left_out
from ocrmaps.evaluation.tables import store_title
from ocrmaps.evaluation.totals import reason_counts
from ocrmaps.text import typed

Row = tuple[str, ...]
_PARTS = ("hmean", "precision", "recall")


def table(evaluation: Evaluation) -> str:
    """Everything on one screen; each line of scores says if it is of a part of the pictures only."""
    parts = [_about(evaluation), *_scores(evaluation), *_nothing(evaluation), *_stores(evaluation), ""]
    parts += [*_reasons(evaluation), "", *_heights(evaluation)]
    return "\n".join(parts)


def _about(evaluation: Evaluation) -> str:
    identity = evaluation.identity
    lines = []
    if "checkpoint" in identity:
        lines.append(f"{identity['checkpoint']['path']}: {identity['checkpoint']['identity']}")
    if "predictions" in identity:
        found = identity["predictions"]
        read_as = found["format"] + (f" ({found['layout']})" if found["layout"] else "")
        scores = {False: "no scores", "rank": "scores as ranks"}.get(found["scores"], "scores")
        held = f"{found['detections']} detections in {found['pictures']} pictures"
        lines += [f"{found['path']}: {held}, {read_as}, {scores}", *left_out(found)]
    if "store" in identity:
        store = identity["store"]
        lines += [
            f"on {each['name']}/{each['version']}, {each['split']}, root {each['root_digest'][:12]}"
            for each in store.get("stores", [store])
        ]
    if "source" in identity:
        lines.append(f"on {identity['source']['annotations']}, coordinates {identity['source']['frame']}")
    state = evaluation.state if not evaluation.complete else f"all {len(evaluation.expected)}"
    said = f"pictures: {state}"
    for status, what in (("unpredicted", "without a prediction"), ("failed", "that could not be read")):
        number = evaluation.count(status)  # type: ignore[arg-type]
        if number:
            said += f"; {number} {what}, counted as empty"
    return "\n".join([*lines, said])


def _scores(evaluation: Evaluation) -> list[str]:
    if all(not values for values in evaluation.seen.values()):
        return ["no text to be found in these pictures: there is no score"]
    return _aligned(score_rows(evaluation))


def _stores(evaluation: Evaluation) -> list[str]:
    """The hmean of each of several stores alone, under every protocol; then of all pictures together."""
    if not evaluation.stores:
        return []
    names = [name for name, *_ in score_rows(evaluation)[1:]]
    rows: list[Row] = [("hmean of each store", "pictures", *names)]
    for title, of in (*((store_title(each), each) for each in evaluation.stores), ("all pictures", evaluation)):
        scored = {name: hmean for name, hmean, *_ in score_rows(of)[1:]}
        pictures = str(len(of.expected)) if of.complete else f"{len(of.pictures)}/{len(of.expected)}"
        rows.append((title, pictures, *(scored.get(name, "no text") for name in names)))
    return ["", *_aligned(rows, words=(0,))]


def _nothing(evaluation: Evaluation) -> list[str]:
    """What to do where not one text was found."""
    total = evaluation.totals[evaluation.spec.iou]
    if total.matched or not total.truth_care:
        return []
    checkpoint = evaluation.identity.get("checkpoint")
    look = (
        f"{typed('ocrmaps', 'debug', 'doctor', checkpoint['path'])} says which stage breaks"
        if checkpoint
        else "look at frame and size of the predictions: --predictions-frame, and `ocrmaps data check` on the source"
    )
    return [f"no text is found at IoU {evaluation.spec.iou:g}: {look}"]


def score_rows(evaluation: Evaluation) -> list[Row]:
    """A head and one row for each protocol and threshold; only the head where there was no text to be found."""
    rows: list[Row] = [("protocol", "hmean", "precision", "recall", "")]
    note = "" if evaluation.complete else evaluation.state
    for name, values in evaluation.seen.items():
        if not values:
            continue
        if name == "iou":
            for t in evaluation.spec.thresholds:
                ap = values.get(f"average_precision@{t}")
                said = note if ap is None else f"AP {ap:.4f} {note}".rstrip()
                rows.append((f"IoU {t:g}", *(_share(values[f"{p}@{t}"]) for p in _PARTS), said))
        elif name == "deteval":
            rows.append(("DetEval", *(_share(values[p]) for p in _PARTS), note))
        else:
            rows.append(("CLEval", *(_share(values[f"dataset.{p}"]) for p in _PARTS), note))
            if "dataset.read_hmean" in values:
                read = (_share(values[f"dataset.read_{p}"]) for p in _PARTS)
                rows.append(("CLEval, read", *read, note))
    return rows


def _reasons(evaluation: Evaluation) -> list[str]:
    counts = reason_counts(evaluation.pictures)
    at = evaluation.spec.iou
    total = evaluation.totals[at]
    lines = []
    for kind, scored in (("text", total.truth_care), ("detection", total.detection_care)):
        wrong = sorted(((n, reason) for reason, n in counts[kind].items() if n), key=lambda pair: -pair[0])
        what = "not found" if kind == "text" else "too many"
        said = ", ".join(f"{n} {words(reason)}" for n, reason in wrong)
        lines.append(f"{scored - total.matched} of {scored} {kind}s {what} at IoU {at:g}{': ' + said if said else ''}")
    aside = [
        f"{number} {what}"
        for number, what in (
            (total.truth_ignored, "texts ignored"),
            (total.truth_invalid, "texts that are no polygon"),
            (total.detection_ignored, "detections on ignored regions"),
            (total.detection_invalid, "detections that are no polygon"),
        )
        if number
    ]
    return lines + ([f"not scored: {', '.join(aside)}"] if aside else [])


def _heights(evaluation: Evaluation) -> list[str]:
    at = f"{evaluation.spec.iou:g}"
    known = any(picture.transform is not None for picture in evaluation.pictures)
    by = "canonical_height" if known else "height"
    found: Sequence[dict[str, Any]] = [row for row in groups(evaluation, by) if row["texts"]]
    name = "text height, px as the model sees it" if known else "text height, px"
    rows: list[Row] = [(name, "texts", "recall")]
    rows += [(row["group"], str(row["texts"]), _share(row["recall"][at])) for row in found]
    return _aligned(rows)


def _share(value: float) -> str:
    return f"{value:.4f}"


def _aligned(rows: Sequence[Row], words: Sequence[int] = (0, 4)) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(row[i].ljust(w) if i in words else row[i].rjust(w) for i, w in enumerate(widths)).rstrip()
        for row in rows
    ]
