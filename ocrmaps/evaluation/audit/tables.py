"""An audit as files: `findings.csv` (a row a finding), `audit.json` (everything) and `tasks.json` for Label Studio."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ocrmaps.annotations import Sample
from ocrmaps.annotations.formats import labelstudio
from ocrmaps.cells import table
from ocrmaps.evaluation.audit.decisions import Decided, corrected
from ocrmaps.evaluation.audit.records import MEANINGS, AuditResult, LabelFinding
from ocrmaps.files import replacing
from ocrmaps.kinds import AUDIT

FORMAT = 1
FINDINGS, RESULT, TASKS, PAGE = FILES = AUDIT
COLUMNS = (
    "rank", "picture", "kind", "probability", "kind_probability", "outline", "others", "decision", "text", "remark",
    "polygon", "key",
)  # fmt: skip


def document(result: AuditResult, decided: Decided, identity: Mapping[str, Any]) -> dict[str, Any]:
    """Everything as plain data."""
    return {
        "ocrmaps_audit": FORMAT,
        "identity": dict(identity),
        "outlines": result.outlines,
        "agreement": round(result.agreement, 6),
        "pictures": [
            {
                "picture": p.picture,
                "probability": round(p.probability, 6),
                "expected": round(p.expected, 6),
                "outlines": p.outlines,
                "findings": p.findings,
            }
            for p in result.pictures
        ],
        "expected": {kind: round(value, 6) for kind, value in result.expected.items()},
        "findings": [
            {
                "rank": rank,
                "key": f.key,
                "picture": f.picture,
                "kind": f.kind,
                "meaning": MEANINGS[f.kind],
                "probability": round(f.probability, 6),
                "kinds": {kind: round(share, 6) for kind, share in f.kinds.items() if share >= 0.01},
                "outline": f.outline,
                "others": list(f.others),
                "polygon": None if f.polygon is None else f.polygon.tolist(),
                "proposed": [p.tolist() for p in f.proposed],
                "text": f.text,
                "remark": f.remark,
                "decision": decided.of(f),
            }
            for rank, f in enumerate(result.findings, start=1)
        ],
    }


def rows(findings: Iterable[LabelFinding], decided: Decided) -> Iterable[list[Any]]:
    """One row of cells for each finding."""
    for rank, f in enumerate(findings, start=1):
        share = f.kinds.get(f.kind, f.probability)
        yield [
            rank, f.picture, f.kind, round(f.probability, 6), round(share, 6), f.outline,
            " ".join(str(i) for i in f.others), decided.of(f), f.text, f.remark,
            None if f.polygon is None else f.polygon.tolist(), f.key,
        ]  # fmt: skip


def write_tables(
    result: AuditResult, decided: Decided, identity: Mapping[str, Any], folder: Path, *, raw_csv: bool
) -> None:
    """`findings.csv` and then `audit.json`, each whole or not at all."""
    text = table(COLUMNS, rows(result.findings, decided), raw=raw_csv)
    with replacing(folder / FINDINGS) as part:
        part.write_bytes(text.encode("utf-8", errors="surrogatepass"))
    body = json.dumps(document(result, decided, identity), indent=1, ensure_ascii=False, allow_nan=False)
    with replacing(folder / RESULT) as part:
        part.write_bytes((body + "\n").encode("utf-8", errors="surrogatepass"))


def write_tasks(
    samples: Sequence[Sample], findings: Sequence[LabelFinding], decided: Decided, path: Path, *, prefix: str
) -> int:
    """Label Studio tasks of the pictures with findings, most suspicious first; how many.

    Pre-annotations are the outlines as they are, with the corrections of accepted findings made.
    """
    by_picture: dict[str, list[LabelFinding]] = {}
    for finding in findings:
        by_picture.setdefault(finding.picture, []).append(finding)
    known = {sample.id: sample for sample in samples}
    chosen = [
        corrected(known[name], [f for f in mine if decided.of(f) == "accept"]) for name, mine in by_picture.items()
    ]
    labelstudio.write(chosen, path, overwrite=True, prefix=prefix)
    tasks = json.loads(path.read_text(encoding="utf-8"))
    for task, mine in zip(tasks, by_picture.values(), strict=True):
        task["data"]["findings"] = "; ".join(f"{f.kind} {f.probability:.2f}" for f in mine)
    body = ",\n".join(json.dumps(task, ensure_ascii=False) for task in tasks)
    with replacing(path) as part:
        part.write_text(f"[\n{body}\n]\n", encoding="utf-8")
    return len(tasks)
