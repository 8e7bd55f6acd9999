"""What must hold before settings are chosen: pictures that were not learnt, and a test set that stays out of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ocrmaps.annotations import Source, read
from ocrmaps.errors import Problem, SpecError
from ocrmaps.store.format.identity import picture_fingerprint
from ocrmaps.store.reader import Reader
from ocrmaps.store.several import NO_ROWS, Stored, readers_of, split_in
from ocrmaps.tiff import read_picture


def check_out(checkpoint: Path, out: Path, *, overwrite: bool) -> None:
    """The new checkpoint is another file; one that is there is kept unless told otherwise."""
    if out.exists() and checkpoint.exists() and out.samefile(checkpoint):
        raise SpecError(f"{out} is the checkpoint itself", hint="name another file: the old settings stay readable")
    if out.is_dir() or (out.exists() and not overwrite):
        raise SpecError(f"{out} exists already", hint="name another file, or add --yes to replace it")


def check_splits(split: str, test_split: str | None, test_source: Path | None, card: Mapping[str, Any]) -> None:
    """Settings are never chosen on a test split, nor tested where they were chosen."""
    refuse_test(split)
    if test_split == split:
        raise SpecError(f"split {split!r} is chosen on and tested on", hint="name another --test-split")
    if test_split is not None and test_source is not None:
        raise SpecError("name --test-split or --test-source, not both")


def refuse_test(split: str) -> None:
    """Settings are never chosen on a test split, whatever a run calls it."""
    if split == "test":
        raise SpecError(
            "settings are not chosen on the test split: its score would say nothing afterwards",
            hint="--split val --test-split test",
        )


def learnt_split(card: Mapping[str, Any], root_digest: str) -> str | None:
    """The split of this version that a checkpoint learnt from; None where it did not learn from the version."""
    alone = card["store"] | {"train": card["run"].get("data", {}).get("train", "train")}
    return next((s["train"] for s in card.get("stores") or [alone] if s["root_digest"] == root_digest), None)


def check_apart(
    reader: Stored, split: str, test_split: str | None, test_source: Source | None, card: Mapping[str, Any]
) -> None:
    """No picture that was learnt is chosen on, and none that was learnt or chosen on is tested on, byte for byte."""
    chosen: dict[bytes, str] = {}
    for own, its_split, _ in split_in(reader, split):
        refuse_test(its_split)
        if its_split == learnt_split(card, own.root_digest):
            raise SpecError(
                f"{own.title}: split {its_split!r} is what this checkpoint learnt from: every setting looks good there",
                hint="choose on a split that was held out, such as val",
            )
        chosen |= _pictures(own, its_split)
    for own in readers_of(reader):
        learnt = learnt_split(card, own.root_digest)
        if learnt is not None and learnt != NO_ROWS:
            # Only the version that was learnt from tells which pictures those were.
            chosen |= _pictures(own, learnt)
    both: list[Problem] = []
    if test_split is not None:
        both = [
            Problem(name, f"the same picture as {chosen[key]}")
            for own, its_split, _ in split_in(reader, test_split)
            for key, name in _pictures(own, its_split).items()
            if key in chosen
        ]
    if test_source is not None:
        for sample in read(test_source):
            key = picture_fingerprint(read_picture(test_source.pictures / sample.picture))
            if key in chosen:
                both.append(Problem(sample.loc, f"the same picture as {chosen[key]}"))
    if both:
        raise SpecError(
            f"{len(both)} test pictures are also learnt or chosen on, byte for byte:",
            problems=both,
            hint="a test says something about pictures that nobody has seen: take them out of one of the two",
        )


def _pictures(reader: Reader, split: str) -> dict[bytes, str]:
    """Digest of each picture of a split -> what messages call it."""
    digests = reader.rows["picture"]
    return {digests[row].tobytes(): reader.name(row) for row in reader.select(split).tolist()}
