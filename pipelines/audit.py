"""`ocrmaps audit`: a detector looks at every picture of a source, and its labels are ranked by how wrong they look."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ocrmaps import __version__
from ocrmaps.annotations import Sample, Source, picture_path, read
from ocrmaps.annotations.samples import subset
from ocrmaps.detect.load import device_for, load_any
from ocrmaps.detect.pages import PictureFile
from ocrmaps.detect.predict import predict_pictures, with_score
from ocrmaps.errors import AnnotationError, SpecError
from ocrmaps.evaluation.audit.decisions import Decided, read_decisions
from ocrmaps.evaluation.audit.judge import audit
from ocrmaps.evaluation.audit.records import MEANINGS, AuditResult, Evidence, LabelFinding
from ocrmaps.evaluation.audit.tables import FILES, PAGE, TASKS, document, write_tables, write_tasks
from ocrmaps.kinds import expect_no_audit
from ocrmaps.machine import threads_within
from ocrmaps.pipelines.folds import fold_of, train_folds
from ocrmaps.progress import Stage, silent
from ocrmaps.report.audit import audit_page
from ocrmaps.text import visible

FOLDS, EPOCHS = "folds", 6
LEAST_SCORE = 0.3
"""Detections down to this score are evidence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """What was found and where it was written."""

    result: AuditResult
    decided: Decided
    identity: dict[str, Any]
    listed: tuple[LabelFinding, ...]
    """The findings on the page: the first that were not rejected."""
    failed: tuple[tuple[str, str], ...]
    out: Path | None

    def as_json(self) -> dict[str, Any]:
        return {
            **document(self.result, self.decided, self.identity),
            "out": None if self.out is None else str(self.out),
            "failed": [{"picture": name, "error": why} for name, why in self.failed],
        }

    def sentence(self) -> str:
        counted = {kind: value for kind, value in self.result.expected.items() if value >= 0.5}
        total = sum(self.result.expected.values())
        lines = [
            f"{self.result.outlines} outlines in {len(self.result.pictures)} pictures; about {total:.0f} labels are "
            f"wrong, as {self.identity['detector']} sees it"
        ]
        lines += [f"  {value:5.0f}  {kind}: {MEANINGS[kind]}" for kind, value in counted.items()]
        for f in self.listed[:10]:
            where = "" if f.outline is None else f" outline {f.outline}"
            what = f" {f.text!r}" if f.text else ""
            lines.append(visible(f"  {f.probability:.2f} {f.kind} {f.picture}{where}{what} {f.remark}".rstrip(), 200))
        if self.out is not None:
            lines.append(f"wrote {self.out}: {', '.join(FILES)}; open {self.out / PAGE} and decide with a, r and l")
        return "\n".join(lines)


def run(
    source: Source,
    detectors: Sequence[Path],
    *,
    folds: int = 1,
    epochs: int = EPOCHS,
    state: Path | None = None,
    top: int = 200,
    limit: int | None = None,
    out: Path | None = None,
    prefix: str = "",
    raw_csv: bool = False,
    batch: int = 8,
    threads: int | None = None,
    device: str = "auto",
    seed: int = 0,
    overwrite: bool = False,
    say: Callable[[str], None] = lambda line: None,
    stage: Stage = silent,
) -> AuditReport:
    """Audit a source and write its four files; pictures that cannot be read are reported, not judged.

    With `folds`, so many detectors are trained from the first one before, each on the other pictures.
    """
    if out is not None and not overwrite:
        expect_no_audit(out)
    decided = Decided() if state is None else read_decisions(state)
    samples = subset(read(source), limit)
    if not samples:
        raise AnnotationError(f"{source.annotations}: the source holds no samples")
    looks = None
    if folds > 1:
        if out is None:
            raise SpecError("folds are trained into the folder of the audit: --out is missing")
        looks = fold_of(source, samples, folds)
        detectors = train_folds(
            source, samples, detectors[0], folds=folds, epochs=epochs, out=out / FOLDS, seed=seed, say=say, stage=stage
        )
    with stage("looking at pictures") as progress, threads_within(threads):
        seen, failed, names = gather(
            source, samples, detectors, looks, batch=batch, threads=threads, device=device, progress=progress
        )
    judged = [replace(s, size=s.size or seen[s.id].transform.size(s.polygons.frame)) for s in samples if s.id in seen]
    with stage("judging labels") as progress:
        result = audit(judged, seen, seed=seed, belief=decided.belief(), progress=progress)
    listed = tuple(f for f in result.findings if decided.of(f) != "reject")[:top]
    identity = {
        "ocrmaps": __version__,
        "source": source.name,
        "frame": source.frame,
        "detector": "; ".join(names),
        "folds": folds,
        "seed": seed,
        "decisions": len(decided.decisions),
    }
    report = AuditReport(
        result=result, decided=decided, identity=identity, listed=listed, failed=tuple(failed), out=out
    )
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_tables(result, decided, identity, out, raw_csv=raw_csv)
        write_tasks(judged, listed, decided, out / TASKS, prefix=prefix)
        with stage("drawing the page") as progress:
            audit_page(source, judged, result, listed, decided, identity, out / PAGE, progress=progress)
    return report


def gather(
    source: Source,
    samples: Sequence[Sample],
    detectors: Sequence[Path],
    looks: Sequence[int] | None = None,
    *,
    batch: int,
    threads: int | None,
    device: str,
    progress: Any = None,
) -> tuple[dict[str, Evidence], list[tuple[str, str]], list[str]]:
    """What detectors see: the evidence by picture, what could not be read, and who looked.

    `looks` says which detector looks at each picture; of K, number i modulo K looks at picture i when not given. So
    each can judge pictures that it did not learn from.
    """
    seen: dict[str, Evidence] = {}
    failed: list[tuple[str, str]] = []
    names: list[str] = []
    done = 0
    for fold, checkpoint in enumerate(detectors):
        trained = load_any(checkpoint, threads=threads)
        names.append(f"{checkpoint.name} ({trained.identity})")
        mine = [s for i, s in enumerate(samples) if (i % len(detectors) if looks is None else looks[i]) == fold]
        files = [PictureFile(name=s.id, path=picture_path(source, s), page=1) for s in mine]
        found = predict_pictures(
            trained,
            files,
            batch=batch,
            threads=threads,
            device=device_for(trained, device, checkpoint),
            extract=with_score(trained.extract, min(LEAST_SCORE, trained.extract.score_min)),
            keep_maps=True,
            on_error="report",
        )
        for prediction in found:
            done += 1
            if progress is not None:
                progress(done, len(samples))
            if prediction.error is not None or prediction.transform is None or prediction.probability is None:
                failed.append((prediction.name, prediction.error or "no map"))
                continue
            seen[prediction.name] = Evidence(
                picture=prediction.name,
                detections=prediction.transform.apply(prediction.polygons, "canonical"),
                scores=prediction.scores,
                # Half precision: the maps of a thousand pictures stay in memory.
                probability=prediction.probability.astype(np.float16),
                transform=prediction.transform,
            )
    return seen, failed, names
