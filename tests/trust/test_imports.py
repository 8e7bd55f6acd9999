"""An archive for `cache import` from a stranger: what it holds is data, also where it names or pickles something."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
from pathlib import Path

import pytest

from tests.trust.conftest import NAME, Evil


@pytest.fixture
def archive(world, tmp_path, ocrmaps) -> Path:
    out = tmp_path / "sound.tar"
    code, said = ocrmaps("cache", "export", "tiny", out, "--root", world / "cache")
    assert code == 0, said
    return out


def rewritten(archive: Path, out: Path, change) -> Path:
    """The archive with `change(name, bytes)` in place of each file's bytes; None leaves the file out."""
    with tarfile.open(archive) as old, tarfile.open(out, "w") as new:
        for entry in old:
            data = change(entry.name, old.extractfile(entry).read())
            if data is not None:
                entry.size = len(data)
                new.addfile(entry, io.BytesIO(data))
    return out


def hostile(how: str, archive: Path, out: Path, trace: Path) -> Path:
    pickled = pickle.dumps(Evil(trace))
    if how == "pickle":
        out.write_bytes(pickled)
        return out
    if how == "manifest":
        return rewritten(archive, out, lambda name, data: pickled if name.endswith("manifest.json") else data)
    if how == "rows":
        return rewritten(archive, out, lambda name, data: data if name.endswith(".json") else pickled)

    def codec(name: str, data: bytes) -> bytes:
        if not name.endswith("zarr.json"):
            return data
        content = json.loads(data)
        if "codecs" in content:
            content["codecs"] = [{"name": NAME, "configuration": {"path": str(trace)}}]
        return json.dumps(content).encode()

    return rewritten(archive, out, codec)


@pytest.mark.parametrize("how", ["pickle", "manifest", "rows", "codec"])
def test_nothing_in_an_archive_runs(how, archive, trace, tmp_path, ocrmaps):
    path = hostile(how, archive, tmp_path / "hostile.tar", trace)
    code, said = ocrmaps("cache", "import", path, "tiny", "--root", tmp_path / "new")
    assert code != 0 and "try:" in said and "Traceback" not in said, said
    assert not trace.exists()
    assert not [p for p in (tmp_path / "new").rglob("manifest.json") if ".staging" not in p.parts]


def test_the_pickle_would_run_in_an_ordinary_reader(trace):
    pickle.loads(pickle.dumps(Evil(trace)))
    assert trace.is_dir()
