"""Every error a user can meet, grouped by what a handler would do.

    OcrmapsError
    ├── SpecError        (ValueError)         a setting, recipe or option is wrong           exit 2
    ├── DataError        (ValueError)         the user's pictures or annotations are wrong   exit 3
    │   ├── AnnotationError                   an annotation file cannot be read as declared
    │   ├── FrameError                        coordinates are in another frame than declared
    │   └── PictureError                      a picture cannot be decoded
    ├── RunError         (RuntimeError)       a run cannot go on                             exit 1
    └── StoreError       (RuntimeError)       the prepared data is not what it should be     exit 4
        ├── StoreNotFound (FileNotFoundError)
        ├── StoreBusy                         somebody else is building this version
        ├── StoreCorrupt                      bytes differ from their digests
        └── StoreFormat                       a format version this code does not read

Each says what was found, what was expected and where; `hint` says what to try next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with the input, and where.

    >>> str(Problem(loc="labels.json:data_list[3].polygon", message="found 5 numbers, expected pairs"))
    'labels.json:data_list[3].polygon: found 5 numbers, expected pairs'
    """

    loc: str
    """File with line or JSON path, or a sample id."""
    message: str
    """What was found and what was expected."""
    kind: str = "invalid"
    """A stable word to count by: `invalid`, `missing-picture`, `duplicate-id`, ..."""

    def __str__(self) -> str:
        return f"{self.loc}: {self.message}".replace("\n", "\\n")


def reason(error: Exception) -> str:
    """What an exception says to people: of the system's refusals the words, without their number and the path.

    >>> reason(FileNotFoundError(2, "No such file or directory", "a.json")), reason(ValueError("no digits"))
    ('No such file or directory', 'no digits')
    """
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


class OcrmapsError(Exception):
    """Base of all expected failures: one clear message, an optional next step, never a traceback for users."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "", problems: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.hint = hint
        self.problems = tuple(problems)

    def __str__(self) -> str:
        lines = [super().__str__()]
        lines += [f"  {problem}" for problem in self.problems[:20]]
        if len(self.problems) > 20:
            lines.append(f"  ... and {len(self.problems) - 20} more")
        return "\n".join(lines)


class SpecError(OcrmapsError, ValueError):
    """A setting, recipe field or option is wrong."""

    exit_code = 2


class DataError(OcrmapsError, ValueError):
    """The user's pictures or annotations are wrong."""

    exit_code = 3


class AnnotationError(DataError):
    """An annotation file cannot be read as the declared format; carries all problems found."""


class CrowdError(DataError):
    """Outlines of one picture overlap or cross each other more often than any annotation of text does."""


class FrameError(DataError):
    """Coordinates are not in the frame they claim, or two frames were mixed."""


class PictureError(DataError):
    """A picture cannot be decoded, or is refused (too large, truncated, unknown)."""


class RunError(OcrmapsError, RuntimeError):
    """A run cannot start or go on."""


class StoreError(OcrmapsError, RuntimeError):
    """Prepared data is missing, damaged or not what was asked."""

    exit_code = 4


class StoreNotFound(StoreError, FileNotFoundError):
    """No committed version at this place."""


class StoreBusy(StoreError):
    """Another live process is building this version."""


class StoreCorrupt(StoreError):
    """Stored bytes differ from what the manifest recorded."""


class StoreFormat(StoreError):
    """The store has a format version that this code does not read."""
