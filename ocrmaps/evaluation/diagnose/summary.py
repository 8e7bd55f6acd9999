"""A diagnosis in sentences, and as one JSON document."""

from __future__ import annotations

from typing import Any

from ocrmaps.evaluation.diagnose.records import KINDS, Diagnosis, TriedCure, stricter
from ocrmaps.evaluation.reasons import words
from ocrmaps.text import visible

NOTHING = "Nothing systematic was found: no single change that was tried brings 0.02 of hmean."

EMPTY = "There is no detection at all: look whether the predictions are empty, or what threshold they were made with."


def headline(diagnosis: Diagnosis) -> str:
    """The score and the first thing to change, in one or two sentences."""
    counts, first = diagnosis.counts, diagnosis.first
    score = (
        f"hmean {counts.hmean:.3f} at IoU {diagnosis.iou:g} (recall {counts.recall:.3f}, precision "
        f"{counts.precision:.3f}; {counts.matched} of {counts.truth_care} texts found, {counts.detection_care} "
        f"detections, {len(diagnosis.pages)} pictures)."
    )
    if first is None:
        return f"{score} {EMPTY if counts.truth_care and not counts.detection_care else NOTHING}"
    return f"{score} Change first: {sentence(first)}"


def sentence(tried: TriedCure) -> str:
    """What is wrong, what to do and what it brings."""
    wrong = visible(tried.cure.wrong, 600)
    return f"{wrong[:1].upper()}{wrong[1:]}. To mend it: {visible(tried.cure.change, 400)}. {effect(tried)}"


def effect(tried: TriedCure) -> str:
    """The score before and after."""
    about = "about " if tried.estimate else ""
    said = f"hmean {tried.before:.3f} -> {about}{tried.counts.hmean:.3f}"
    if tried.strict is not None and tried.gain < (tried.strict.hmean - tried.strict_before) / 2:
        said += f", at the stricter IoU {tried.strict_before:.3f} -> {tried.strict.hmean:.3f}"
    return f"{said}."


def text(diagnosis: Diagnosis) -> str:
    """Everything for a terminal: the first thing to change on top."""
    lines = [headline(diagnosis)]
    if len(diagnosis.steps) > 1:
        lines += ["", "One after the other:"]
        lines += [f"  {i}. {sentence(one)}" for i, one in enumerate(diagnosis.steps, 1)]
    others = [one for one in diagnosis.findings[1:] if one.cure.kind not in {s.cure.kind for s in diagnosis.steps}]
    if others:
        lines += ["", "These would help by themselves too, and may be the same fault seen otherwise:"]
        lines += [f"  {KINDS[one.cure.kind]}: {effect(one)}" for one in others]
    lines += ["", "The same output under other rules (hmean):"]
    wide = max((len(name) for name, _ in diagnosis.protocols), default=0)
    lines += [f"  {name:{wide}}  {'–' if value is None else f'{value:.3f}'}" for name, value in diagnosis.protocols]
    lost = {
        kind: ", ".join(f"{words(reason)} {n}" for reason, n in reasons.items() if n)
        for kind, reasons in diagnosis.losses.items()
    }
    lines += ["", f"Texts that cost recall now: {lost['text'] or 'none'}"]
    lines += [f"Detections that cost precision now: {lost['detection'] or 'none'}"]
    lines += [f"Note: {visible(note, 400)}" for note in diagnosis.notes]
    return "\n".join(lines)


def as_json(diagnosis: Diagnosis) -> dict[str, Any]:
    """One document: what is found by itself, and step after step."""
    return {
        "iou": diagnosis.iou,
        "stricter_iou": stricter(diagnosis.iou),
        "pictures": len(diagnosis.pages),
        "hmean": diagnosis.counts.hmean,
        "recall": diagnosis.counts.recall,
        "precision": diagnosis.counts.precision,
        "hmean_stricter": diagnosis.strict.hmean,
        "first": None if diagnosis.first is None else diagnosis.first.cure.kind,
        "findings": [_one(tried) for tried in diagnosis.findings],
        "steps": [_one(tried) for tried in diagnosis.steps],
        "protocols": dict(diagnosis.protocols),
        "losses": {kind: dict(reasons) for kind, reasons in diagnosis.losses.items()},
        "looked_for": list(KINDS),
        "notes": list(diagnosis.notes),
    }


def _one(tried: TriedCure) -> dict[str, Any]:
    return {
        "kind": tried.cure.kind,
        "wrong": tried.cure.wrong,
        "change": tried.cure.change,
        "hmean": tried.before,
        "hmean_after": tried.counts.hmean,
        "gain": tried.gain,
        "estimate": tried.estimate,
        "hmean_stricter_after": None if tried.strict is None else tried.strict.hmean,
        "values": dict(tried.cure.values),
    }
