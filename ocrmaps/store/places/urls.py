"""Names of places that are no folder: which URLs are understood, and what a path that began as one still says.

s3://bucket/prefix  gs://bucket/prefix  az://container/prefix  file:///folder  memory://name
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from ocrmaps.errors import SpecError

SCHEMES = ("s3", "gs", "az", "file", "memory")
# A `Path` made of a URL has lost a slash; one letter before the colon is a drive of another system.
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.*)", re.DOTALL)
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(?:/[A-Za-z0-9_][A-Za-z0-9._=+,@-]*)*")


def url_of(named: str | os.PathLike[str]) -> str | None:
    """The URL that was named, in its one spelling; None for a path. Anything that only looks like one is refused.

    >>> url_of("s3://bucket/maps/"), url_of(Path("gs://bucket/a/b")), url_of("maps/receipts")
    ('s3://bucket/maps', 'gs://bucket/a/b', None)
    """
    text = os.fspath(named)
    match = _URL.fullmatch(text)
    if match is None:
        return None
    scheme, rest = match[1].lower(), match[2].rstrip("/")
    if scheme not in SCHEMES:
        raise SpecError(
            f"found a place of kind {scheme}://, expected a folder or one of {', '.join(f'{s}://' for s in SCHEMES)}",
            hint="name one of these; `ocrmaps cache push --help` shows examples",
        )
    if scheme == "file":
        if text[len("file:") :].startswith("//") and not text[len("file:") :].startswith("///"):
            raise SpecError(
                f"{text}: found a file:// URL that does not begin with file:///, expected the whole path of a folder",
                hint=f"for a folder below this one write its whole path, or the path alone: {rest}",
            )
        return f"file:///{rest}"
    if not _PLAIN.fullmatch(rest):
        # Not repeated here: what stands before an @ is often a password.
        raise SpecError(
            f"found a {scheme}:// URL with something else than a bucket and plain folder names",
            hint=f"write {scheme}://BUCKET/FOLDER; credentials come from the environment, never from a URL",
        )
    return f"{scheme}://{rest}"


def folder_of(url: str) -> Path | None:
    """The folder that a `file://` URL names, None for any other."""
    return Path(url.removeprefix("file://")) if url.startswith("file:///") else None


def bucket_and_key(named: str) -> tuple[str, str] | None:
    """The bucket and the key of an object as a listing names it, spaces and all; None for a path of this machine.

    >>> bucket_and_key("s3://bucket/a b/#1.jpg"), bucket_and_key("a b/1.jpg")
    (('s3://bucket', 'a b/#1.jpg'), None)
    """
    match = _URL.fullmatch(named)
    if match is None or match[1] not in SCHEMES or match[1] == "file":
        return None
    bucket, _, key = match[2].partition("/")
    return f"{match[1]}://{bucket}", key


def join(url: str, *parts: str) -> str:
    """A place below a place."""
    return "/".join((url.rstrip("/"), *parts))
