"""Signs a version with an ed25519 key, and proves that signature: every file, with SHA-256, by a key that you know.

The signature is a file beside the manifest and part of no digest of the store. Its statement names the SHA-256 of every
file by way of one digest of them all, because XXH3, which the store's own digests use, stops accidents and no attacker.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocrmaps.errors import Problem, SpecError, StoreCorrupt, StoreError, reason
from ocrmaps.files import digest_of, open_regular
from ocrmaps.store.format.identity import canonical_json
from ocrmaps.store.format.layout import MANIFEST, SIGNATURE, SIGNATURE_BYTES, list_files
from ocrmaps.store.places import lock
from ocrmaps.store.places import posix as disk
from ocrmaps.store.places.cache import Store
from ocrmaps.store.upkeep.verify import verify
from ocrmaps.text import typed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_DOMAIN = "ocrmaps store signature 1"
"""Part of what is signed, so that a key used for other things never vouches for a store by chance."""
_KEY_BYTES = 1 << 16


def sign(store: Store, version: str, key: Path) -> dict[str, Any]:
    """Verify a version, then sign every byte of it; returns what the signature file says."""
    private = private_key(key)
    folder = store.version(version)
    report = verify(folder)
    if not report.ok:
        raise StoreCorrupt(
            f"{folder}: damaged, so not signed", problems=report.problems, hint=typed("ocrmaps", "repair", folder)
        )
    statement = _statement(folder)
    document = {
        "statement": statement,
        "key": private.public_key().public_bytes_raw().hex(),
        "signature": private.sign(canonical_json(statement)).hex(),
    }
    with lock.building(store.lock(version), f"version {version} of store {store.name}"):
        disk.publish(folder / SIGNATURE, [(json.dumps(document, indent=1, sort_keys=True) + "\n").encode()])
    return document


def signature_problems(folder: Path, public: Ed25519PublicKey) -> list[Problem]:
    """What keeps the signature of a version from being proof, by this key, of every byte; only for a sound version."""
    from cryptography.exceptions import InvalidSignature

    wanted = public.public_bytes_raw().hex()
    try:
        with open_regular(folder / SIGNATURE) as file:
            document = json.loads(file.read(SIGNATURE_BYTES))
        found, statement, signature = document["key"], document["statement"], bytes.fromhex(document["signature"])
    except FileNotFoundError:
        return [_problem("the version is not signed")]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        why = reason(error) if isinstance(error, OSError) else type(error).__name__
        return [_problem(f"not a signature as ocrmaps writes it ({why})")]
    if found != wanted:
        return [_problem(f"signed with the key {str(found)[:16]}..., expected {wanted[:16]}...")]
    try:
        public.verify(signature, canonical_json(statement))
    except (InvalidSignature, ValueError, TypeError):
        return [_problem("the signature does not fit its statement and key")]
    now = _statement(folder)
    return [
        _problem(f"{name}: found {now[name]}, signed was {statement.get(name)}")
        for name in now
        if now[name] != statement.get(name)
    ]


def _statement(folder: Path) -> dict[str, Any]:
    """What a signature vouches for."""
    files = sorted(name for name in list_files(folder) if name != SIGNATURE)
    state = hashlib.sha256()
    for name in files:
        state.update(canonical_json([name, digest_of(folder / name)]))
    return {
        "what": _DOMAIN,
        "version": folder.name,
        "manifest": digest_of(folder / MANIFEST),
        "files": len(files),
        "content": state.hexdigest(),
    }


def _problem(message: str) -> Problem:
    return Problem(loc=SIGNATURE, message=message, kind="signature")


def private_key(path: Path) -> Ed25519PrivateKey:
    """The key to sign with, from PEM or an OpenSSH file."""
    from_pem, from_ssh, kinds = _readers("private")
    key = _read_key(path, "private", lambda data: (from_ssh if b"OPENSSH" in data else from_pem)(data, None))
    if not isinstance(key, kinds):
        raise SpecError(f"{path}: found {type(key).__name__}, expected an ed25519 private key")
    return key


def public_key(path: Path) -> Ed25519PublicKey:
    """The key to check with, from PEM or the line that OpenSSH writes."""
    from_pem, from_ssh, kinds = _readers("public")
    key = _read_key(path, "public", lambda data: (from_ssh if data.startswith(b"ssh-") else from_pem)(data))
    if not isinstance(key, kinds):
        raise SpecError(f"{path}: found {type(key).__name__}, expected an ed25519 public key")
    return key


def _readers(which: str) -> tuple[Any, Any, Any]:
    if find_spec("cryptography") is None:
        raise StoreError(
            "signatures need the package cryptography, which is not installed", hint='pip install "ocrmaps[sign]"'
        )
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519

    if which == "private":
        return serialization.load_pem_private_key, serialization.load_ssh_private_key, ed25519.Ed25519PrivateKey
    return serialization.load_pem_public_key, serialization.load_ssh_public_key, ed25519.Ed25519PublicKey


def _read_key(path: Path, which: str, load: Callable[[bytes], Any]) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        with open_regular(path) as file:
            data = file.read(_KEY_BYTES)
        return load(data)
    except OSError as error:
        raise SpecError(f"{path}: cannot be read ({reason(error)})") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        # What the library says may quote the file: a key does not belong into messages.
        raise SpecError(
            f"{path}: not an ed25519 {which} key without a passphrase, in PEM or as OpenSSH writes it",
            hint="`openssl genpkey -algorithm ed25519 -out key.pem` makes a key, "
            "`openssl pkey -in key.pem -pubout -out public.pem` its public half",
        ) from error
