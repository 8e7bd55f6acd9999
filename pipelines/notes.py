"""Verbs over debug bundles that read and write text alone: annotate, ask, clean. Nothing heavy is imported for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ocrmaps.debug.bundles import find_bundles, one_bundle
from ocrmaps.debug.entries import add_note, entries
from ocrmaps.debug.query import HEAD, fields_of, parse_query
from ocrmaps.debug.reading import Bundle
from ocrmaps.debug.redact import this_machine
from ocrmaps.debug.retention import Action, carry_out, leftovers, plan_retention
from ocrmaps.errors import DataError, Problem


def note(wanted: str, text: str, *, kind: str, place: Path) -> tuple[Bundle, dict[str, Any]]:
    """Append a note, hypothesis or finding to a bundle."""
    bundle = one_bundle(wanted, place)
    return bundle, add_note(bundle, text, kind=kind, now=datetime.now(UTC), redact=this_machine().text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """An entry that a query means."""

    bundle: Bundle
    entry: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        return {"bundle": self.bundle.name, "path": str(self.bundle.path), **self.entry}


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryAnswer:
    """What a query found in all bundles below a place."""

    hits: tuple[Hit, ...]
    bundles: int
    entries: int
    unknown: tuple[str, ...]
    """Fields of the query that no entry has: a spelling mistake finds nothing, too."""
    known: tuple[str, ...]


def grep(query: str, places: Iterable[Path]) -> QueryAnswer:
    """Every entry that the query means, oldest bundle first."""
    parsed = parse_query(query)
    bundles = [b for b in reversed(_all(places)) if not b.fault]
    hits, number, known = [], 0, dict.fromkeys(HEAD)
    for bundle in bundles:
        head = {"bundle": bundle.name, **{k: str(bundle.facts.get(k) or "") for k in ("run", "reason")}}
        for entry in entries(bundle):
            number += 1
            known |= dict.fromkeys(fields_of(entry))
            if parsed.matches(entry, **head):
                hits.append(Hit(bundle=bundle, entry=entry))
    unknown = tuple(f for f in parsed.fields if f not in known)
    return QueryAnswer(
        hits=tuple(hits), bundles=len(bundles), entries=number, unknown=unknown, known=tuple(sorted(known))
    )


def _all(places: Iterable[Path]) -> list[Bundle]:
    found = {bundle.path.absolute(): bundle for place in places for bundle in find_bundles(place)}
    return sorted(found.values(), key=lambda b: (b.facts["created"], b.name), reverse=True)


def plan_clean(place: Path, *, keep: int, days: int) -> list[Action]:
    """What retention would do below a place."""
    now = datetime.now(UTC)
    return plan_retention(find_bundles(place), now=now, keep=keep, days=days, leftovers=leftovers(place, now=now))


def clean(actions: Iterable[Action]) -> Iterator[tuple[Action, Path | None]]:
    """Carry a plan out, one action after the other; each says what its path has become.

    What fails is told at the end, all of it: one bundle that stays must not keep the others from being cleaned.
    """
    problems = []
    for action in actions:
        try:
            left = carry_out(action)
        except DataError as error:
            problems.append(Problem(loc=str(action.path), message=str(error)))
        except OSError as error:
            problems.append(Problem(loc=str(action.path), message=f"{action.do}: {error.strerror}"))
        else:
            yield action, left
    if problems:
        raise DataError(f"{len(problems)} bundles stay as they are:", problems=problems)
