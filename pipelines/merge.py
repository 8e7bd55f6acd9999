"""`ocrmaps data merge`: corrected annotations go back into those that they came from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocrmaps.annotations import WRITERS, Source, WriteReport, read
from ocrmaps.annotations.merging import Merge, merge_samples
from ocrmaps.errors import AnnotationError, SpecError
from ocrmaps.files import refuse_existing
from ocrmaps.geometry import Frame
from ocrmaps.pipelines.data import sized
from ocrmaps.store.far.source import open_source
from ocrmaps.text import visible


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeReport:
    """What was merged and written."""

    merge: Merge
    base: Source
    format: str
    written: WriteReport

    def as_json(self) -> dict[str, Any]:
        return {
            "written": str(self.written.path),
            "format": self.format,
            "frame": self.written.frame,
            "pictures": self.written.samples,
            "outlines": self.written.polygons,
            "changed": [change.as_dict() for change in self.merge.changes],
            "unchanged": self.merge.unchanged,
            "conflicts": [{"picture": c.picture, "reason": c.reason} for c in self.merge.conflicts],
            "lost": dict(self.written.lost),
        }

    def sentence(self) -> str:
        changes = self.merge.changes
        lines = [
            f"wrote {self.written.path} ({self.format}): {self.written.samples} pictures, {len(changes)} changed, "
            f"{self.merge.unchanged} came back as they were"
        ]
        for change in changes[:50]:
            what = ", ".join(f"{v} {k}" for k, v in change.as_dict().items() if k != "picture" and v)
            lines.append(f"  {change.picture}: {what}")
        if len(changes) > 50:
            lines.append(f"  and {len(changes) - 50} more; --json lists all")
        lines += [f"  conflict: {c.picture}: {c.reason}; kept as the base has it" for c in self.merge.conflicts]
        lines += [f"  {self.format} cannot say: {what} ({count})" for what, count in self.written.lost.items()]
        return "\n".join(visible(line, 1000) for line in lines)


@contextmanager
def _named(hint: str) -> Iterator[None]:
    """What cannot be read tells what to do about it here: `--format` is that of the base."""
    try:
        yield
    except AnnotationError as error:
        error.hint = hint
        raise


def merge(
    base: Path,
    corrected: Sequence[Path],
    out: Path,
    *,
    sent: Path | None = None,
    to: str | None = None,
    format: str | None = None,
    corrected_format: str | None = None,
    pictures: Path | None = None,
    frame: Frame = "upright",
    overwrite: bool = False,
) -> MergeReport:
    """Merge and write, in the format of the base where that can be written."""
    refuse_existing(out, replace_existing=overwrite)
    source = open_source(base, format=format, pictures=pictures, frame=frame)
    if out.resolve() in (base.resolve(), source.annotations.resolve()):
        raise SpecError(
            f"--out: found {out}, which is BASE, and BASE is never written to",
            hint="name another file, look at it, and copy it over BASE",
        )
    written = to or (source.format if source.format in WRITERS else "ufo")
    if written not in WRITERS:
        raise SpecError(f"--to: found target format {written!r}, expected one of {', '.join(WRITERS)}")
    folder = source.pictures
    with _named("correct the file, or say what it is with --corrected-format"):
        back = [read(open_source(p, format=corrected_format, pictures=folder, frame=frame)) for p in corrected]
    before = None if sent is None else read(open_source(sent, pictures=folder, frame=frame))
    done = merge_samples(read(source), back, sent=before)
    return MergeReport(
        merge=done,
        base=source,
        format=written,
        written=WRITERS[written](sized(source, done.samples), out, overwrite=overwrite),
    )
