"""Signed versions: who changed a byte, and recomputed every digest, is found by the public key."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from ocrmaps.cli import build as build_commands
from ocrmaps.cli import cache as cache_commands
from ocrmaps.errors import SpecError, StoreCorrupt, StoreError
from ocrmaps.store.format.layout import LEDGER, MANIFEST, SIGNATURE
from ocrmaps.store.format.manifest import Manifest, read_manifest
from ocrmaps.store.upkeep import signing
from ocrmaps.store.upkeep.repair import repair
from ocrmaps.store.upkeep.signing import private_key, public_key, sign, signature_problems
from ocrmaps.store.upkeep.transfer import pack, unpack
from ocrmaps.store.upkeep.verify import verify
from ocrmaps.store.writing.tasks import build_shard
from tests.store.world import World

app = typer.Typer()
app.command()(build_commands.verify)
app.add_typer(cache_commands.app, name="cache")


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    """A private key and its public half."""
    return write_keys(tmp_path, "key")


def write_keys(folder: Path, name: str) -> tuple[Path, Path]:
    pytest.importorskip("cryptography", reason="the extra `sign` is not installed")
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private, public = folder / f"{name}.pem", folder / f"{name}.pub.pem"
    private.write_bytes(key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo))
    return private, public


def rewrite(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


def problems(world: World, public: Path) -> list[str]:
    return [problem.message for problem in signature_problems(world.folder, public_key(public))]


def forged(manifest: Manifest) -> bytes:
    """A manifest with all its digests right, which no build wrote."""
    return replace(manifest, recorded={**manifest.recorded, "tools": {"numpy": "0"}}).to_bytes()


def test_a_signed_version_is_sound_and_proven_by_its_key(world: World, keys):
    root = world.build().root_digest
    folder = world.folder
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    sign(world.store, folder.name, keys[0])
    assert problems(world, keys[1]) == []
    assert verify(folder).ok and verify(folder, level="quick").ok and read_manifest(folder).root_digest == root
    assert {path: path.read_bytes() for path in before} == before


def test_a_forged_version_passes_verify_and_not_the_key(world: World, keys):
    world.build()
    sign(world.store, world.folder.name, keys[0])
    rewrite(world.folder / MANIFEST, forged(read_manifest(world.folder)))
    assert verify(world.folder).ok
    said = problems(world, keys[1])
    assert [message.split(":")[0] for message in said] == ["manifest", "content"]


def test_a_byte_that_only_the_key_notices(world: World, keys):
    """As if somebody found other bytes with the digest that the manifest states."""
    world.build()
    sign(world.store, world.folder.name, keys[0])
    shard = next(iter(sorted(world.folder.glob("canvas-*/image/c.*"))))
    rewrite(shard, bytes([shard.read_bytes()[0] ^ 1]) + shard.read_bytes()[1:])
    assert [message.split(":")[0] for message in problems(world, keys[1])] == ["content"]


def test_another_key_no_signature_and_a_changed_statement_prove_nothing(world: World, keys, tmp_path):
    world.build()
    assert problems(world, keys[1]) == ["the version is not signed"]
    sign(world.store, world.folder.name, keys[0])
    path = world.folder / SIGNATURE
    whole = json.loads(path.read_text())
    assert "signed with the key" in problems(world, write_keys(tmp_path, "other")[1])[0]
    for change in ({"statement": {**whole["statement"], "files": 1}}, {"signature": "00" * 64}, {"signature": "00"}):
        rewrite(path, json.dumps({**whole, **change}).encode())
        assert problems(world, keys[1]) == ["the signature does not fit its statement and key"]
    for rubbish in (b"", b"[]", b"{}", b"\xff", b'{"key": 1, "statement": 2, "signature": 3}', b"[" * 4000):
        rewrite(path, rubbish)
        assert "not a signature as ocrmaps writes it" in problems(world, keys[1])[0]


def test_a_signature_of_another_version_proves_nothing(world: World, keys):
    world.build()
    sign(world.store, world.folder.name, keys[0])
    old = world.folder / SIGNATURE
    world.add("train", "99.png", seed=99)
    world.build()
    (world.folder / SIGNATURE).write_bytes(old.read_bytes())
    assert {message.split(":")[0] for message in problems(world, keys[1])} >= {"version", "content"}


def test_a_damaged_version_is_not_signed(world: World, keys):
    world.build()
    rewrite(world.folder / LEDGER, b"{}\n")
    with pytest.raises(StoreCorrupt, match="not signed"):
        sign(world.store, world.folder.name, keys[0])
    assert not (world.folder / SIGNATURE).exists()


def test_repair_keeps_the_signature_and_gives_back_what_was_signed(world: World, keys):
    world.build()
    sign(world.store, world.folder.name, keys[0])
    rewrite(world.folder / LEDGER, b"{}\n")

    def runner(building):
        building.record(*(build_shard(task) for task in building.tasks()))

    report = repair(world.store, world.folder.name, lambda recipe: world.plan(), runner)
    assert report.replaced == (LEDGER,) and problems(world, keys[1]) == []


def test_an_archive_takes_the_signature_along(world: World, keys, tmp_path):
    world.build()
    sign(world.store, world.folder.name, keys[0])
    pack(world.folder, tmp_path / "a.tar")
    folder = unpack(tmp_path / "a.tar", tmp_path / "cache", "other")
    assert signature_problems(folder, public_key(keys[1])) == []


def test_the_commands_sign_and_prove(world: World, keys):
    world.build()
    name, root = str(world.folder), ["--root", str(world.cache)]

    def run(*words: object, code: int = 0) -> str:
        result = CliRunner().invoke(app, [*map(str, words), *root])
        assert result.exit_code == code, result.output
        return result.output

    unsigned = run("verify", name, "--key", keys[1], code=1)
    assert "signature: signature.json: the version is not signed" in unsigned and "repair" not in unsigned
    key = json.loads(run("cache", "sign", name, "--key", keys[0], "--json"))["key"]
    assert f"signed, public key {key}" in run("cache", "sign", name, "--key", keys[0])
    assert "signed by the key" in run("verify", name, "--key", keys[1])
    for words in (["--level", "quick"], ["--subset", "1/2"]):
        with pytest.raises(SpecError, match="every byte"):
            CliRunner().invoke(app, ["verify", name, "--key", str(keys[1]), *words, *root], catch_exceptions=False)


def test_keys_of_openssh_work_and_other_keys_are_refused_without_quoting_them(tmp_path, keys):
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    key = ed25519.Ed25519PrivateKey.generate()
    ssh, line = tmp_path / "id", tmp_path / "id.pub"
    ssh.write_bytes(key.private_bytes(s.Encoding.PEM, s.PrivateFormat.OpenSSH, s.NoEncryption()))
    line.write_bytes(key.public_key().public_bytes(s.Encoding.OpenSSH, s.PublicFormat.OpenSSH))
    assert private_key(ssh).public_key() == public_key(line)
    other, secret = tmp_path / "ec.pem", tmp_path / "secret.pem"
    pem = (s.Encoding.PEM, s.PrivateFormat.PKCS8)
    other.write_bytes(ec.generate_private_key(ec.SECP256R1()).private_bytes(*pem, s.NoEncryption()))
    secret.write_bytes(key.private_bytes(*pem, s.BestAvailableEncryption(b"word")))
    with pytest.raises(SpecError, match="expected an ed25519 private key"):
        private_key(other)
    public = tmp_path / "ec.pub"
    public.write_bytes(
        ec.generate_private_key(ec.SECP256R1())
        .public_key()
        .public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo)
    )
    with pytest.raises(SpecError, match="expected an ed25519 public key"):
        public_key(public)
    for path, load in ((secret, private_key), (keys[0], public_key), (keys[1], private_key), (tmp_path, private_key)):
        with pytest.raises(SpecError) as caught:
            load(path)
        assert path.name in str(caught.value)
        assert path.is_dir() or path.read_text().splitlines()[1] not in str(caught.value)


def test_without_the_package_the_extra_is_named(world: World, tmp_path, monkeypatch):
    world.build()
    monkeypatch.setattr(signing, "find_spec", lambda name: None)
    with pytest.raises(StoreError, match="cryptography") as caught:
        sign(world.store, world.folder.name, tmp_path / "key.pem")
    assert "ocrmaps[sign]" in caught.value.hint
