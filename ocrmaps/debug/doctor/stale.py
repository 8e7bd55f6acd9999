"""The doctor on stale stores: whether the annotations are still those that the rows were drawn from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from ocrmaps.annotations import open_source, scan
from ocrmaps.debug.doctor.records import Case, Stage
from ocrmaps.errors import OcrmapsError
from ocrmaps.store.far.source import here
from ocrmaps.store.format.identity import annotation_fingerprint
from ocrmaps.store.reader import Reader
from ocrmaps.store.writing.plan import SPLITS

READ = 20_000
"""Samples of a source that are read again to compare a few of them; larger ones are left to `ocrmaps build`."""


def look_at_annotations(cases: Sequence[Case], stage: Stage, reader: Reader, *, learnt: bool) -> None:
    """Annotations that are where they were say what they said. A run has `learnt` from what they said then, so for it
    a change is worth a note; a store should be what its recipe means now."""
    changed: list[str] = []
    compared = 0
    for record, mine in _by_source(cases, reader):
        if not here(record["path"]).exists() or record["expected"] > READ:
            continue
        try:
            source = open_source(
                here(record["path"]),
                format=record["format"],
                pictures=here(record["pictures"]),
                frame=record["frame"],
            )
            now = {sample.id: sample.polygons for sample in scan(source).samples}
        except (OcrmapsError, OSError) as error:
            stage.note(f"the annotations cannot be read any more ({str(error).splitlines()[0]})", "", record["label"])
            continue
        for case in mine:
            assert case.row is not None
            compared += 1
            polygons = now.get(reader.id(case.row))
            drawn = reader.rows["annotation"][case.row].tobytes()
            if polygons is None or annotation_fingerprint(polygons) != drawn:
                changed.append(case.name)
    stage.numbers["annotations"] = {"compared": compared, "changed": len(changed)}
    if changed:
        what = f"{len(changed)} of {compared} samples are annotated otherwise than when the store was built"
        if learnt:
            stage.note(f"{what}: this run learnt from what was there then", "ocrmaps build RECIPE, and train again")
        else:
            stage.problem(f"{what}: it is stale", "ocrmaps build RECIPE draws what changed", changed[0])


def _by_source(cases: Sequence[Case], reader: Reader) -> list[tuple[Mapping[str, Any], list[Case]]]:
    """The recorded sources with the cases that can only be theirs."""
    names, records = reader.manifest.written["sources"], reader.manifest.recorded["sources"]
    groups: dict[int, list[Case]] = defaultdict(list)
    for case in cases:
        if case.row is None:
            continue
        split = SPLITS[int(reader.rows["split"][case.row])]
        name = names[int(reader.rows["source"][case.row])]
        fitting = [i for i, r in enumerate(records) if (r["split"] or "", r["name"]) == (split, name)]
        if len(fitting) == 1:
            groups[fitting[0]].append(case)
    return [(records[i], mine) for i, mine in groups.items()]
