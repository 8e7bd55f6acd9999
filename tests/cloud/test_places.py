"""Places: which URLs are understood, what is refused before anything is written, and what every place can do."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from ocrmaps.cli import complete
from ocrmaps.cli.app import app
from ocrmaps.errors import SpecError, StoreError, StoreNotFound
from ocrmaps.progress import listen
from ocrmaps.store.places import objects, patience
from ocrmaps.store.places.cache import find_version, reading_folder
from ocrmaps.store.places.objects import ObjectPlace
from ocrmaps.store.places.urls import url_of


def test_a_path_is_no_url_and_a_path_made_of_a_url_is_one():
    assert [url_of(name) for name in ("a/b", "/a/b", ".", "c:/b", Path("x:y"))] == [None] * 5
    assert url_of(Path("s3://bucket/maps")) == url_of("s3://bucket/maps/") == "s3://bucket/maps"
    assert url_of("file:///data/maps") == "file:///data/maps"


@pytest.mark.parametrize("url", ["http://host/b", "ftp://b", "s4://b/c"])
def test_an_unknown_kind_of_place_is_refused_with_the_known_ones(url):
    with pytest.raises(SpecError, match=r"expected a folder or one of s3://, gs://, az://, file://, memory://"):
        url_of(url)


@pytest.mark.parametrize("url", ["s3://KEY:PASSWORD@bucket/maps", "az://a?sig=PASSWORD", "s3://", "gs://b/../PASSWORD"])
def test_credentials_in_a_url_are_refused_and_not_repeated(url):
    with pytest.raises(SpecError) as refusal:
        url_of(url)
    assert "PASSWORD" not in str(refusal.value) + refusal.value.hint


def test_a_file_url_with_a_host_is_refused_and_never_read_as_a_folder_of_the_root():
    with pytest.raises(SpecError, match="does not begin with file:///"):
        url_of("file://maps/receipts")


def test_a_version_that_a_place_lacks_is_missed_there_and_not_in_its_stand_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreNotFound) as missing:
        find_version(reading_folder("memory://lacking"), "receipts")
    assert "no such version in memory://lacking" in str(missing.value)
    assert "--root memory://lacking" in missing.value.hint


@pytest.mark.parametrize(
    ("said", "found", "tries"),
    [
        ("404: <Code>NoSuchBucket</Code>", "there is no such bucket", 1),
        (
            "Generic S3 error: status code: 403 Forbidden: <Code>SignatureDoesNotMatch</Code><Message>does not match"
            "</Message><AWSAccessKeyId>AKID</AWSAccessKeyId>",
            r"list memory://x/a: SignatureDoesNotMatch: does not match$",
            1,
        ),
        ("Received redirect without LOCATION", "in another region$", 1),
        ("error sending request\nDebug source: dns error", r"no address is known here for memory://x \(2", 2),
        ("error sending request\nDebug source: InvalidCertificate(Unknown)", "of memory://x is not trusted here$", 1),
        ("status code: 429 Too Many Requests: slow down", "slow down", 2),
        ("PUT http://169.254.169.254/latest/api/token", "found no credentials in the environment", 2),
    ],
)
def test_what_the_library_says_of_buckets_and_credentials_is_said_plainly(monkeypatch, said, found, tries):
    monkeypatch.setattr(objects, "TRIES", 2)
    calls = []

    def call():
        calls.append(1)
        raise OSError(said)

    with pytest.raises(StoreError, match=found):
        ObjectPlace("memory://x")._again("list", "a", call)
    assert len(calls) == tries


def test_where_nobody_gives_credentials_few_tries_are_enough(monkeypatch):
    calls: list[int] = []

    def call() -> None:
        calls.append(1)
        raise OSError("PUT http://169.254.169.254/latest/api/token")

    with pytest.raises(StoreError, match=r"found no credentials .* \(3 tries\)"):
        ObjectPlace("memory://x")._again("list", "a", call)
    assert len(calls) == 3


def test_a_server_that_is_not_there_is_named(monkeypatch, bucket, proxy):
    monkeypatch.setattr(objects, "TRIES", 2)
    proxy.close()
    with pytest.raises(StoreError, match=rf"nothing listens at 127\.0\.0\.1:{proxy.port} \(2 tries\)") as refused:
        ObjectPlace(bucket).get("a")
    assert "that its server runs" in refused.value.hint


@pytest.mark.parametrize(
    ("url", "name"),
    [("gs://b/x", "GOOGLE_APPLICATION_CREDENTIALS"), ("az://c/x", "AZURE_STORAGE_ACCOUNT_NAME"), ("s3://b/x", "AWS_")],
)
def test_whoever_lacks_credentials_is_told_the_names_of_their_provider(url, name):
    assert name in objects._meaning(OSError("GET http://169.254.169.254/latest"), url)[1]


def test_a_container_without_an_account_is_told_where_to_name_it(monkeypatch):
    for variable in [name for name in os.environ if name.startswith("AZURE_")]:
        monkeypatch.delenv(variable)
    with pytest.raises(SpecError, match="names no account") as refused:
        ObjectPlace("az://container/x")
    assert "AZURE_STORAGE_ACCOUNT_NAME" in refused.value.hint


@pytest.mark.parametrize("root", ["s5://bucket/maps", "s3://bucket/maps"])
@pytest.mark.parametrize("command", ["repair tiny", "cache pin tiny", "cache import a.tar tiny"])
def test_a_command_that_needs_a_folder_refuses_a_url_and_writes_nothing(tmp_path, monkeypatch, root, command):
    recipe = '[[sources]]\npath = "a"\nsplit = "train"\n\n[canonical]\ncanvases = [[64, 64]]\n'
    (tmp_path / "recipe.toml").write_text(recipe)
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, [*command.split(), "--root", root])
    assert isinstance(result.exception, SpecError), result.exception
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.toml"]


@pytest.mark.parametrize("command", ["build recipe.toml", "build recipe.toml --dry-run", "cache list", "cache gc"])
def test_an_unknown_kind_of_place_is_refused_before_anything_is_written(tmp_path, monkeypatch, command):
    recipe = '[[sources]]\npath = "a"\nsplit = "train"\n\n[canonical]\ncanvases = [[64, 64]]\n'
    (tmp_path / "recipe.toml").write_text(recipe)
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, [*command.split(), "--root", "s5://bucket/maps"])
    assert isinstance(result.exception, SpecError), result.exception
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.toml"]


def test_completion_asks_nothing_over_a_network():
    assert complete.stores(SimpleNamespace(params={"root": Path("s3://bucket/maps")}), "") == []


def test_without_obstore_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(SpecError) as refusal:
        ObjectPlace("s3://bucket/maps")
    assert "pip install 'ocrmaps[cloud]'" in refusal.value.hint


@pytest.fixture(params=["memory", "file", "s3"])
def place(request, tmp_path) -> ObjectPlace:
    if request.param == "s3":
        return ObjectPlace(request.getfixturevalue("bucket"))
    return ObjectPlace(f"memory://{tmp_path.name}/below" if request.param == "memory" else f"file://{tmp_path}/new")


def test_every_place_keeps_the_same_promises(place):
    assert (list(place.entries()), place.folders(), place.exists("a/b")) == ([], [], None)
    with pytest.raises(FileNotFoundError):
        place.get("a/b")
    place.put("a/b", b"0123456789")
    assert place.create("a/b", b"other") == b"0123456789"
    assert place.create("a/b", b"0123456789") is None
    assert place.create("a/c/d", b"new") is None
    assert (place.get("a/b"), place.range("a/b", 2, 3)) == (b"0123456789", b"234")
    with pytest.raises(StoreError, match="expected 4"):
        place.range("a/b", 8, 4)
    place.copy("a/b", "e")
    assert sorted((e.key, e.nbytes) for e in place.entries()) == [("a/b", 10), ("a/c/d", 3), ("e", 10)]
    assert (place.folders(), place.folders("a")) == (["a"], ["c"])
    place.delete(["a/b", "e", "never/was"])
    assert [e.key for e in place.entries()] == ["a/c/d"]


def test_a_large_object_travels_in_pieces(proxy, bucket, monkeypatch):
    monkeypatch.setattr(objects, "PIECE", 6 * 2**20)
    place, data = ObjectPlace(bucket), bytes(range(256)) * (2**16)
    place.put("large", data)
    proxy.forget()
    assert place.get("large", len(data)) == data
    assert proxy.requests == {"get": 3}


def test_tries_are_bounded_and_what_is_said_holds_no_secret(proxy, bucket):
    place = ObjectPlace(bucket)
    proxy.plan = lambda method, path: "503"
    with pytest.raises(StoreError, match=rf"503.*\({objects.TRIES} tries\)") as failure:
        place.get("a")
    assert proxy.requests == {"get": objects.TRIES}
    assert "secret" not in str(failure.value) and "AKID" not in str(failure.value)


def test_a_server_that_does_not_answer_is_said_while_it_is_waited_for(tmp_path, monkeypatch):
    place, said, heard = ObjectPlace(f"memory://{tmp_path.name}"), [], threading.Event()
    monkeypatch.setattr(patience, "SAY_SECONDS", 0.0)
    monkeypatch.setattr(patience, "LOOK_SECONDS", 0.01)
    failed = []

    def answer() -> bytes:
        if len(failed) < 2:
            failed.append(1)
            raise OSError("nobody is there")
        assert heard.wait(60)
        return b"late"

    def say(line: str) -> None:
        said.append(line)
        if "(3 of" in line:
            heard.set()

    monkeypatch.setattr(patience, "AGAIN_SECONDS", 0.0)
    listen(say)
    try:
        assert place._again("get", "a", answer) == b"late"
    finally:
        listen(None)
    assert f"no answer from memory://{tmp_path.name} yet, trying again (3 of {objects.TRIES})" in said


def test_who_does_not_answer_is_named_without_what_may_be_secret(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT", "http://KEY:SECRET@minio.local:9000/x?sig=1")
    assert objects._host("s3://bucket/a") == "minio.local:9000"
    monkeypatch.delenv("AWS_ENDPOINT")
    assert objects._host("gs://bucket/a/b") == "gs://bucket"


def test_what_the_system_refuses_is_not_tried_again(tmp_path, monkeypatch):
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "receipts").touch()
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail("it waited for another try"))
    with pytest.raises(StoreError, match="Not a directory") as caught:
        ObjectPlace((tmp_path / "maps").as_uri()).get("receipts/version/manifest.json")
    assert "rights and its space" in caught.value.hint


def test_what_the_system_says_of_a_network_is_not_said_of_a_folder():
    blocked = OSError("client error (Connect): tcp connect error: Operation not permitted (os error 1)")
    assert "folder" not in objects._meaning(blocked, "s3://bucket/a")[1]
    assert "folder" in objects._meaning(blocked, "file:///a")[1]


def test_a_file_is_no_place(tmp_path):
    (tmp_path / "maps").touch()
    with pytest.raises(SpecError, match="found a file, expected a folder"):
        ObjectPlace((tmp_path / "maps").as_uri())
