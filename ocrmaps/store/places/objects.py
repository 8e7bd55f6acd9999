"""A place in object storage, by obstore: the only file that imports it.

Objects are written whole and never changed; `create` writes only what is not there yet. Every request is tried a
bounded number of times with growing pauses; a lost answer to `create` is resolved by reading the object back. Nothing
here lists or asks for lengths unless `entries` or `folders` is called.
Credentials come from where the provider's own tools take them (environment, identity of the machine), and stay there.
"""

from __future__ import annotations

import errno
import os
import random
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from ocrmaps.errors import OcrmapsError, SpecError, StoreError
from ocrmaps.files import refuse_file
from ocrmaps.store.places.patience import patience
from ocrmaps.store.places.urls import folder_of, url_of

T = TypeVar("T")
TRIES = 10
"""Of one request, with pauses that double from FIRST_PAUSE to LONGEST_PAUSE: half a minute in all."""
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 10.0
PIECE = 16 * 2**20
"""Bytes of one request; larger objects travel in several."""
IN_FLIGHT = 16
"""Whole objects on their way at a time."""
_FEW = 3
"""Tries where nobody gives credentials: a machine without a role waits seconds for each."""
_HINT = "check the URL, the network and the credentials that the environment gives, and run the same command again"
_REFUSED = ("PermissionDeniedError", "UnauthenticatedError", "NotSupportedError", "InvalidPathError",
            "UnknownConfigurationKeyError")  # fmt: skip
_DENIED = re.compile(
    r"NoSuchBucket|redirect without LOCATION|InvalidCertificate|status code: 4(?!0[489]|12|25|29)[0-9]{2}\b"
)
_SYSTEM = re.compile(r"\(os error (?:1|13|20|21|28|30|36|122)\)")
"""What no second try changes: kinds of errors, what the answer says, and what the system says of a folder's rights,
kinds, names and space."""
_KNOWN = {
    "NoSuchBucket": ("there is no such bucket", "check its name, or make it with the provider's tools"),
    "http://169.254.169.254/": (
        "found no credentials in the environment, and this machine has no role that gives any",
        "",
    ),
    "Account must be specified": ("the environment names no account", ""),
    "dns error": ("no address is known here for {host}", "check the network, and AWS_ENDPOINT or its like"),
    "ConnectionRefused": ("nothing listens at {host}", "check AWS_ENDPOINT or its like, and that its server runs"),
    "InvalidCertificate": (
        "the certificate of {host} is not trusted here",
        "name the file of the authority that signed it in SSL_CERT_FILE",
    ),
    "redirect without LOCATION": ("the bucket is in another region", "set AWS_REGION to the bucket's region"),
}
"""What obstore says only to those who know the provider: a piece of it -> what it means, what to do but set names."""
_NAMES = {
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
"""Where the environment names who asks; of S3 if not here."""
_ENDPOINTS = {
    "s3": ("AWS_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"),
    "az": ("AZURE_ENDPOINT", "AZURE_STORAGE_ENDPOINT"),
}
"""Where the environment names a server."""
_memories: dict[str, Any] = {}
"""The stores of `memory://` of this process by name."""
_buckets: dict[str, ObjectPlace] = {}
"""Buckets that single objects were read from: connections stay open."""
_opening = threading.Lock()
_process: int | None = None
"""The process in which obstore's threads run: a fork of it has none, and would wait for them for ever."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One object of a listing."""

    key: str
    nbytes: int
    modified: float
    """Seconds since 1970, by the clock of the place."""
    etag: str = ""
    """Another one where the bytes are others."""


class ObjectPlace:
    """Objects below one URL, by keys with forward slashes; safe to share between threads."""

    def __init__(self, url: str) -> None:
        found = url_of(url)
        if found is None:
            raise SpecError(f"{url}: expected a URL such as s3://BUCKET/FOLDER")
        folder = folder_of(found)
        if folder is not None:
            refuse_file(folder)
        self.url = found
        self._obstore = _library(found)
        self._store, self._above = _open(found, self._obstore)
        self._host = _host(found)
        self.proven = found.startswith(("file:", "memory:")) or not _plain_http()
        """Whether bytes cannot arrive otherwise than they were sent: not over a connection without TLS."""

    def __repr__(self) -> str:
        return f"ObjectPlace({self.url})"

    def get(self, key: str, nbytes: int | None = None) -> bytes:
        """All bytes of an object; FileNotFoundError where there is none. Large ones of known length come in pieces."""
        if nbytes is None or nbytes <= PIECE:
            return self._again("get", key, lambda: bytes(self._obstore.get(self._store, self._above + key).bytes()))
        return b"".join(self.range(key, at, min(PIECE, nbytes - at)) for at in range(0, nbytes, PIECE))

    def range(self, key: str, start: int, nbytes: int) -> bytes:
        """Exactly these bytes of an object."""

        def read() -> bytes:
            data = bytes(self._obstore.get_range(self._store, self._above + key, start=start, length=nbytes))
            if len(data) != nbytes:
                raise _Short(f"found {len(data)} bytes from {start}, expected {nbytes}")
            return data

        return self._again("get", key, read)

    def put(self, key: str, data: bytes) -> None:
        """Write an object, whatever was there."""
        large = len(data) > PIECE
        self._again(
            "put", key,
            lambda: self._obstore.put(
                self._store, self._above + key, data, use_multipart=large, chunk_size=PIECE, max_concurrency=4
            ),
        )  # fmt: skip

    def create(self, key: str, data: bytes) -> bytes | None:
        """Write an object unless there is one: None if the place now has our bytes, else the bytes that it has.

        An answer that was lost leaves open who wrote: the object itself says it.
        """
        try:
            self._again("create", key, lambda: self._obstore.put(
                self._store, self._above + key, data, mode="create", use_multipart=False))  # fmt: skip
        except self._obstore.exceptions.AlreadyExistsError:
            there = self.get(key)
            return None if there == data else there
        return None

    def copy(self, source: str, target: str) -> None:
        """Give an object's bytes a second key, without their passing through this machine."""
        self._again("copy", source, lambda: self._obstore.copy(self._store, self._above + source, self._above + target))

    def exists(self, key: str) -> float | None:
        """When an object was last written, None where there is none."""
        try:
            head = self._again("head", key, lambda: self._obstore.head(self._store, self._above + key))
        except FileNotFoundError:
            return None
        return float(head["last_modified"].timestamp())

    def entry(self, key: str) -> Listed | None:
        """What a listing says of one object, None where there is none."""
        try:
            meta = self._again("head", key, lambda: self._obstore.head(self._store, self._above + key))
        except FileNotFoundError:
            return None
        return self._listed(meta)

    def entries(self, prefix: str = "") -> Iterator[Listed]:
        """Every object below a folder; keys are relative to this place."""

        def read() -> list[Any]:
            below = self._obstore.list(self._store, (self._above + prefix) or None, chunk_size=1000)
            return [meta for chunk in below for meta in chunk]

        try:
            found = self._again("list", prefix, read)
        except FileNotFoundError:  # a folder of `file://` that nobody made
            return
        yield from map(self._listed, found)

    def _listed(self, meta: Any) -> Listed:
        return Listed(
            key=meta["path"].removeprefix(self._above),
            nbytes=int(meta["size"]),
            modified=float(meta["last_modified"].timestamp()),
            etag=str(meta["e_tag"] or ""),
        )

    def folders(self, prefix: str = "") -> list[str]:
        """Names directly below a folder that hold objects of their own."""
        try:
            found = self._again(
                "list", prefix, lambda: self._obstore.list_with_delimiter(self._store, (self._above + prefix) or None)
            )
        except FileNotFoundError:
            return []
        return sorted(str(path).rstrip("/").rpartition("/")[2] for path in found["common_prefixes"])

    def delete(self, keys: Iterable[str]) -> int:
        """Remove objects; ones that are gone already are what was wanted. Returns how many were asked for."""

        def one(key: str) -> int:
            with suppress(FileNotFoundError):
                self._again("delete", key, lambda: self._obstore.delete(self._store, self._above + key))
            return 1

        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            return sum(pool.map(one, keys))

    def _again(self, what: str, key: str, call: Callable[[], T]) -> T:
        """Try until it works or TRIES is reached; what a second try cannot change is raised at once."""
        _check_process()
        last: Exception | None = None
        with patience(self._host, TRIES) as request:
            for attempt in range(TRIES):
                request.number = attempt + 1
                if attempt:
                    time.sleep(min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (attempt - 1)) * random.uniform(0.5, 1.0))
                try:
                    return call()
                except (FileNotFoundError, self._obstore.exceptions.AlreadyExistsError):
                    raise
                except (self._obstore.exceptions.BaseError, _Short, OSError) as error:
                    last = error
                    refused = type(error).__name__ in _REFUSED or isinstance(error, PermissionError)
                    few = "http://169.254.169.254/" in str(error) and attempt + 1 >= _FEW
                    if refused or few or _DENIED.search(str(error)) or _is_of_folder(error, self.url):
                        break
        assert last is not None
        tried = f" ({attempt + 1} tries)" if attempt else ""
        said, hint = _meaning(last, self.url)
        raise StoreError(f"{what} {self.url}/{key}: {said}{tried}", hint=hint) from None


def read_object(bucket: str, key: str, nbytes: int | None = None, *, start: int = 0) -> bytes:
    """All bytes of an object, or so many from `start`."""
    with _opening:
        place = _buckets.get(bucket)
    if place is None:
        place = ObjectPlace(bucket)
        with _opening:
            _buckets[bucket] = place
    try:
        if nbytes is None:
            return place.get(key)
        pieces = range(start, start + nbytes, PIECE)
        return b"".join(place.range(key, at, min(PIECE, start + nbytes - at)) for at in pieces)
    except FileNotFoundError:
        raise FileNotFoundError(errno.ENOENT, "no such object", f"{bucket}/{key}") from None


class _Short(Exception):
    """Fewer bytes than asked for."""


def _library(url: str) -> Any:
    try:
        import obstore
        import obstore.store
    except ImportError as error:
        raise SpecError(
            f"{url}: object storage needs obstore", hint="install it with: pip install 'ocrmaps[cloud]'"
        ) from error
    _check_process()
    return obstore


def _check_process() -> None:
    global _process
    if _process is None:
        _process = os.getpid()
    if _process != os.getpid():
        raise StoreError(
            "this process was forked from one that reads object storage, and cannot",
            hint="MapLoader needs no worker processes; for a DataLoader choose multiprocessing_context='spawn'",
        )


def _open(url: str, obstore: Any) -> tuple[Any, str]:
    """The store of obstore that holds a place, and what stands before the place's keys in it."""
    scheme, _, rest = url.partition("://")
    if scheme == "file":  # seen from the root, so that nothing is made before something is written
        return obstore.store.LocalStore(), f"{rest.strip('/')}/"
    if scheme == "memory":
        name, _, below = rest.partition("/")
        with _opening:
            return _memories.setdefault(name, obstore.store.MemoryStore()), f"{below}/" if below else ""
    try:
        store = obstore.store.from_url(
            url,
            # Requests are tried again here, where every kind of them is; the two would multiply.
            retry_config={"max_retries": 0},
            client_options={
                "timeout": "60s", "connect_timeout": "5s", "allow_http": _plain_http(), "pool_max_idle_per_host": "256",
            },
        )  # fmt: skip
    except (obstore.exceptions.BaseError, ValueError) as error:
        said, hint = _meaning(error, url)
        raise SpecError(f"{url}: cannot be opened ({said})", hint=hint) from None
    return store, ""


def _plain_http() -> bool:
    """Whether the environment names an endpoint without TLS, as test servers and stores in a closed network have."""
    return os.environ.get("AWS_ALLOW_HTTP") == "true" or any(
        os.environ.get(name, "").startswith("http://") for names in _ENDPOINTS.values() for name in names
    )


def _host(url: str) -> str:
    """Whom requests go to, for people: the endpoint of the environment, else the bucket."""
    named = [os.environ.get(name) for name in _ENDPOINTS.get(url.partition(":")[0], ())]
    endpoint = next(filter(None, named), "")
    return re.sub(r"^https?://|[/?].*$|[^/@]*@", "", endpoint) or "/".join(url.split("/")[:3])


def _meaning(error: Exception, url: str) -> tuple[str, str]:
    """What an error of obstore means, and what to do."""
    hint = "" if re.search(r"status code: 40[013]\b", str(error)) else _HINT
    if _is_of_folder(error, url):
        return _said(error), "check the folder, its rights and its space, and run the same command again"
    said, hint = next((known for mark, known in _KNOWN.items() if mark in str(error)), (_said(error), hint))
    names = _NAMES.get(url.partition(":")[0], "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    said = said.replace("{host}", _host(url))
    return said, hint or f"check {names}, or what else the provider's own tools take, and run the same command again"


def _is_of_folder(error: Exception, url: str) -> bool:
    """Whether the system refuses something of a folder; of a network it may say the same, for another reason."""
    return folder_of(url) is not None and _SYSTEM.search(str(error)) is not None


def _said(error: Exception) -> str:
    """What obstore says, without its debugging part and without queries, which may hold a signature."""
    if isinstance(error, OcrmapsError):
        return str(error)
    text = re.split(r"\n\s*Debug source", str(error))[0]
    told = [re.search(f"<{name}>([^<]*)</{name}>", text) for name in ("Code", "Message")]
    if all(told):  # the rest of the answer repeats who asked, and with which signature
        text = ": ".join(found[1] for found in told if found)
    return re.sub(r"\?\S+", "?...", " ".join(text.split()))[:400] or type(error).__name__
