"""Which code from outside may run: parts that a person allowed by name, exported programs by the digest of their file.

Files never extend this record. It is filled from the run file that a person names and from `--trust`,
`--trust-code`, and handed down to whatever builds parts; what hands nothing down trusts nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ocrmaps.errors import Problem, SpecError


@dataclass(frozen=True, slots=True, kw_only=True)
class Trusted:
    """Names and digests that a person allowed; each counts by exact match only."""

    names: frozenset[str] = frozenset()
    """`package.module:Name`: imported and called."""
    digests: frozenset[str] = frozenset()
    """SHA-256 of whole files, lower-case hex: their program is run."""

    @classmethod
    def of(cls, names: Iterable[str] = (), digests: Iterable[str] = ()) -> Trusted:
        """From what a person wrote; what could never match anything is refused.

        >>> Trusted.of(["my_parts:Encoder"]).names
        frozenset({'my_parts:Encoder'})
        """
        names, digests = list(names), list(digests)
        problems = [
            Problem(f"--trust {name}", "expected package.module:Name, exactly as the file says it")
            for name in names
            if not is_own(name)
        ]
        problems += [
            Problem(f"--trust-code {digest}", "expected the SHA-256 of the file, 64 hexadecimal digits")
            for digest in digests
            if not re.fullmatch("[0-9a-fA-F]{64}", digest)
        ]
        if problems:
            raise SpecError("this cannot be trusted, because it names nothing:", problems=problems)
        return cls(names=frozenset(names), digests=frozenset(digest.lower() for digest in digests))

    def __str__(self) -> str:
        return ", ".join(sorted({*self.names, *self.digests})) or "nothing"


NOTHING = Trusted()


def is_own(name: str) -> bool:
    """Whether a name is a `package.module:Name`, rather than a key of a registry.

    >>> is_own("my.parts:Encoder"), is_own("resnet18"), is_own("timm:resnet18.a1_in1k")
    (True, False, False)
    """
    module, colon, attribute = name.partition(":")
    if module == "timm":
        return False
    return bool(colon) and all(part.isidentifier() for part in [*module.split("."), attribute])
