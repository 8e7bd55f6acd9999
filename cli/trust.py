"""Turns `--trust` and `--trust-code`, the only ways by which code that a file names comes to run, into a record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from ocrmaps.trust import Trusted


def allowed(names: Sequence[str] | None, digest: str | None = None) -> Trusted:
    """What the options allow, said on stderr where they allow anything."""
    from ocrmaps.trust import Trusted

    trusted = Trusted.of(names or (), () if digest is None else (digest,))
    if trusted.names or trusted.digests:
        typer.echo(f"trusted by you, so its code may run: {trusted}", err=True)
    return trusted
