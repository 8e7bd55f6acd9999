"""`--trust` and `--trust-code`: the only ways by which code that a file names comes to run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ocrmaps.trust import Trusted

Trust = Annotated[
    list[str] | None,
    typer.Option(
        "--trust",
        metavar="NAME",
        help="Let the file build its part package.module:NAME, which runs that code; may be given several times.",
    ),
]
TrustCode = Annotated[
    str | None,
    typer.Option(
        "--trust-code", metavar="DIGEST", help="Run the TorchScript file or exported program, whose SHA-256 this is."
    ),
]


def allowed(names: Sequence[str] | None, digest: str | None = None) -> Trusted:
    """What the options allow, said on stderr where they allow anything."""
    from ocrmaps.trust import Trusted

    trusted = Trusted.of(names or (), () if digest is None else (digest,))
    if trusted.names or trusted.digests:
        typer.echo(f"trusted by you, so its code may run: {trusted}", err=True)
    return trusted
