"""Opens the sources that a command line names: paths, with the split before them or not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ocrmaps.annotations import Source, open_source
from ocrmaps.errors import SpecError
from ocrmaps.geometry import Frame

SPLITS = ("train", "val", "test")


def open_sources(
    named: Sequence[str], *, format: str | None = None, pictures: Path | None = None, frame: Frame = "upright"
) -> list[Source]:
    """The sources that the command line names, each a path or `train=PATH`, `val=PATH`, `test=PATH`."""
    if pictures is not None and len(named) > 1:
        raise SpecError("--pictures names one folder, but there are several sources", hint="check them one at a time")
    sources = []
    for text in named:
        split, path = "", Path(text)
        match = re.fullmatch(r"(\w+)=(.+)", text, re.DOTALL)
        if match and not path.exists():
            split, path = match[1], Path(match[2])
            if split not in SPLITS:
                raise SpecError(f"found split {split!r} in {text!r}, expected one of {', '.join(SPLITS)}")
        sources.append(open_source(path, format=format, pictures=pictures, frame=frame, split=split))
    names = [(source.split, source.name) for source in sources]
    # Reports tell sources apart by name: those that share one are called by their path.
    return [
        replace(source, name=str(source.annotations)) if names.count(name) > 1 else source
        for source, name in zip(sources, names, strict=True)
    ]
