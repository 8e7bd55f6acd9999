"""A run as a page: what it reached beside what is reachable, why texts are lost, the worst pictures, how it went."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ocrmaps.detect.trained import Trained, load_detector
from ocrmaps.evaluation import DETECTION_REASONS, ERRORS, Evaluation, PictureResult, result_document
from ocrmaps.evaluation.detectors import evaluate_checkpoint
from ocrmaps.evaluation.reasons import words
from ocrmaps.pagekit import explorer
from ocrmaps.pagekit import page as html
from ocrmaps.pagekit.explorer import Album, DrawnOutlines, Entry, Kind, Layer, PicturePlan
from ocrmaps.pagekit.page import Html, Section
from ocrmaps.pagekit.pictures import Pixels
from ocrmaps.report.layers import MAPS, MASKS, PICTURE, map_picture
from ocrmaps.report.run.judge import Ceiling, judge_ceiling, predicted
from ocrmaps.report.run.score import error_count, quick_cards, reasons, same_score, score_cards, sweeps
from ocrmaps.report.run.training import curves, environment, epochs, pace, settings
from ocrmaps.report.samples import (
    HEIGHTS,
    PageRequest,
    Shown,
    Written,
    buckets,
    collect,
    maps,
    photo,
    publish,
    size_name,
)
from ocrmaps.report.samples import text_facets as facets_of
from ocrmaps.report.store import by_row
from ocrmaps.store.several import Several, Stored, opened, readers_of
from ocrmaps.text import number
from ocrmaps.training.folder import RunFolder, find_data, read_run
from ocrmaps.trust import NOTHING, Trusted

KINDS = (
    Kind(code="m", name="text, found", color="#1f6feb"),
    Kind(code="l", name="text, lost", color="#d6006e", dashed=True),
    Kind(code="i", name="ignored", color="#d97700", dashed=True),
    Kind(code="r", name="prediction, right", color="#0b8a4b"),
    Kind(code="w", name="prediction, wrong", color="#e02b1d", dashed=True),
    Kind(code="g", name="prediction, not scored", color="#8a7a00", dashed=True),
)
LAYERS = (
    PICTURE,
    Layer(key="truth", name="truth", letter="o", kind="outline", color="#1f6feb", on=True),
    Layer(key="prediction", name="prediction", letter="d", kind="outline", color="#0b8a4b", on=True),
    Layer(key="seen", name="predicted probability", letter="q", kind="map", medium="found", channel=0, color="#ff5fa2"),
    Layer(key="border", name="predicted threshold", letter="b", kind="map", medium="found", channel=1, color="#9fe870"),
    *MAPS,
)
_WORST: dict[str, Literal["high", "low"]] = {
    "errors": "high",
    "lost": "high",
    "wrong": "high",
    "hmean": "low",
    "texts": "high",
    "lost with perfect maps": "high",
}
_UNSCORED = frozenset(DETECTION_REASONS) - frozenset(ERRORS["detection"]) - {"matched"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """A run's checkpoint looked at on the pictures it was validated on."""

    trained: Trained
    evaluation: Evaluation
    ceiling: Ceiling
    album: Album
    plan: PicturePlan
    store: str


def run_page(
    folder: Path,
    asked: PageRequest,
    *,
    cache: Path,
    checkpoint: Path | None = None,
    quick: bool = False,
    trusted: Trusted = NOTHING,
) -> Written:
    """The page of a run; `quick` shows what its folder says and leaves checkpoint and store alone."""
    asked.check()
    run = read_run(folder)
    judged = None if quick else judge_run(run, asked, cache=cache, checkpoint=checkpoint, trusted=trusted)
    said = Html(f'<p class="remark">{html.safe(run.identity)}</p>')
    state = (
        []
        if run.finished
        else [html.callout("note", "This run has not come to its end: its numbers are those of its last epoch.")]
    )
    top: list[Html] = [*state]
    sections: list[Section] = []
    if judged is not None:
        identity = f"{judged.trained.identity}, on {judged.store}"
        line = Html(f'<p class="remark">{html.safe(identity)}</p>')
        document = result_document(judged.evaluation)
        top += [score_cards(judged.ceiling.hmean, document), line, *same_score(run, judged.evaluation, checkpoint)]
        sections += [
            Section(
                title="Worst pictures", mark=number(len(judged.album.entries)), body=_pictures(judged, asked, line)
            ),
            Section(title="Why text is lost", mark=error_count(document), body=(*reasons(document), line)),
            Section(title="Score cut", body=(*sweeps(judged.trained, document), line)),
        ]
    else:
        top += [quick_cards(run), said]
    sections += [
        Section(title="How it learnt", body=(curves(run), *epochs(run), said)),
        Section(title="How fast it went", body=(pace(run), said)),
        Section(
            title="Settings",
            body=settings(run, judged.trained if judged else None, judged.evaluation if judged else None),
        ),
        Section(title="Environment", body=(environment(run),)),
    ]
    text = html.page(
        f"Run {run.name}",
        sections,
        top=top,
        lead="What it reached, what was reachable, and what is between the two.",
        script=explorer.script() if judged else "",
        style=explorer.style() if judged else "",
        data=judged.album.data() if judged else None,
        files=judged is not None and not judged.plan.inline,
    )
    return publish(
        asked, text, kind="run", album=judged.album if judged else None, plan=judged.plan if judged else None
    )


def judge_run(
    run: RunFolder, asked: PageRequest, *, cache: Path, checkpoint: Path | None, trusted: Trusted = NOTHING
) -> Judged:
    """Evaluate the checkpoint on the run's validation rows, and judge perfect maps of the same rows."""
    path = checkpoint or run.checkpoint()
    trained = load_detector(path, trusted=trusted)
    version = find_data(trained.card, cache=cache, run=run.folder)
    split = str(run.settings.get("data", {}).get("val", "val"))
    with asked.stage("evaluating") as progress:
        evaluation = evaluate_checkpoint(path, version=version, split=split, trusted=trusted, progress=progress)
    with opened(version) as reader:
        rows = reader.select(split).tolist()
        with asked.stage("judging perfect maps") as progress:
            ceiling = judge_ceiling(reader, rows, trained, workers=asked.workers, progress=progress)
        lines, name = _ledger(reader, rows), reader.title
        results = dict(zip(rows, evaluation.pictures, strict=True))
        lost = dict(zip(rows, ceiling.lost, strict=True))
        see = lru_cache(maxsize=12)(lambda row: predicted(reader, row, trained))
        album, plan = collect(
            asked,
            LAYERS,
            KINDS,
            _WORST,
            len(rows),
            lambda i, side: show_result(
                reader, rows[i], side, results[rows[i]], see(rows[i]), lost[rows[i]], lines[rows[i]]
            ),
        )
    return Judged(
        trained=trained, evaluation=evaluation, ceiling=ceiling, album=album, plan=plan, store=f"{name} {split}"
    )


def show_result(
    reader: Stored,
    row: int,
    side: int,
    result: PictureResult,
    found: tuple[Pixels, Pixels],
    ceiling: int,
    lines: Sequence[Mapping[str, Any]],
) -> Shown:
    """One picture with what was to be found and what was found, both on the canonical picture."""
    arrays = reader.read_row(row)
    transform = reader.transform(row)
    truth, predictions = (transform.apply(p, "canonical") for p in (result.truth, result.detections))
    lost = [reason in ERRORS["text"] for reason in result.text_reason]
    wrong = [reason in ERRORS["detection"] for reason in result.detection_reason]
    heights = truth.equivalent_sides()[:, 0]
    causes = {f"text {words(r)}" for r in result.text_reason if r in ERRORS["text"]}
    causes |= {f"prediction {words(r)}" for r in result.detection_reason if r in ERRORS["detection"]}
    counts = result.match.counts(result.match.thresholds[0])
    scores = [None] * len(predictions) if result.scores is None else result.scores.tolist()
    entry = Entry(
        name=reader.id(row),
        size=reader.canvas(row),
        figures={
            "errors": sum(lost) + sum(wrong),
            "lost": sum(lost),
            "wrong": sum(wrong),
            "hmean": round(counts.hmean, 3),
            "texts": counts.truth_care,
            "lost with perfect maps": ceiling,
        },
        facets={
            "error": sorted(causes) or ["none"],
            "lost text height": sorted(set(buckets(heights[np.array(lost, dtype=bool)].tolist(), HEIGHTS, " px")))
            or ["none lost"],
            **facets_of(truth),
            "EXIF orientation": [str(transform.orientation)],
            "canvas": [size_name(reader.canvas(row))],
            "ledger": sorted({f"{line['reason']}: {line['after']}" for line in lines}) or ["no entry"],
        },
        outlines={
            "truth": DrawnOutlines(
                polygons=truth,
                kinds=[
                    "l" if bad else "m" if reason == "matched" else "i"
                    for bad, reason in zip(lost, result.text_reason, strict=True)
                ],
                words=[
                    ", ".join(
                        part for part in (text or "", words(reason), f"IoU {iou:.2f}", f"{h:.1f} px high") if part
                    )
                    for text, reason, iou, h in zip(
                        truth.texts, result.text_reason, result.text_iou, heights, strict=True
                    )
                ],
            ),
            "prediction": DrawnOutlines(
                polygons=predictions,
                kinds=[
                    "w" if bad else "g" if reason in _UNSCORED else "r"
                    for bad, reason in zip(wrong, result.detection_reason, strict=True)
                ],
                words=[
                    ", ".join(p for p in (words(reason), f"IoU {iou:.2f}", "" if s is None else f"score {s:.2f}") if p)
                    for reason, iou, s in zip(result.detection_reason, result.detection_iou, scores, strict=True)
                ],
            ),
        },
        notes=[
            f"{'picture' if x['polygon'] is None else 'polygon {}'.format(x['polygon'])}: {x['reason']}, {x['after']}"
            for x in lines
        ],
    )
    return entry, {
        "image": photo(arrays["image"], side),
        "maps": map_picture(arrays, side),
        "found": maps(found, side),
    }


def _ledger(reader: Stored, rows: Sequence[int]) -> dict[int, list[Mapping[str, Any]]]:
    starts = reader.starts if isinstance(reader, Several) else [0]
    lines = {
        start + row: told
        for start, each in zip(starts, readers_of(reader), strict=False)
        for row, told in by_row(each, list(each.ledger())).items()
    }
    return defaultdict(list, {row: lines[row] for row in rows if row in lines})


def _pictures(judged: Judged, asked: PageRequest, line: Html) -> tuple[Html, ...]:
    return (
        judged.album.html("Pictures with the most errors"),
        html.paragraph(
            f"{judged.plan.sentence(asked.files.name)} Everything is on the canonical picture. {MASKS} A lost text and "
            "a wrong prediction say why when they are pointed at."
        ),
        line,
    )
