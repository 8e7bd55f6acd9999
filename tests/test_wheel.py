"""A wheel installs `ocrmaps` alone and works outside the repository; an sdist gives the same wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from ocrmaps.debug.reading import UNPACKING

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("ocrmaps", "pipelines", "cli", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE")
pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Built:
    wheel: Path
    again: Path
    """The wheel made from the sdist."""
    sdist: Path
    site: Path
    """Where the wheel is installed, alone."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Built in a copy, without network: what earlier builds leave in a checkout would get into the wheel."""
    tmp = tmp_path_factory.mktemp("wheel")
    copy = tmp / "copy"
    copy.mkdir()
    for part in PARTS:
        if (ROOT / part).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(ROOT / part, copy / part, symlinks=True, ignore=ignored)
        else:
            shutil.copy(ROOT / part, copy / part)
    make("sdist", tmp, cwd=copy)
    (sdist,) = tmp.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp / "unpacked", **UNPACKING)
    (unpacked,) = (tmp / "unpacked").iterdir()
    make("wheel", tmp / "first", cwd=copy)
    make("wheel", tmp / "second", cwd=unpacked)
    (wheel,), (again,) = (tmp / "first").glob("*.whl"), (tmp / "second").glob("*.whl")
    site = tmp / "site"
    python("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site), str(wheel), cwd=tmp)
    return Built(wheel=wheel, again=again, sdist=sdist, site=site)


def make(what: str, folder: Path, *, cwd: Path) -> None:
    """What `pip` has the build system do, without a process for each of its questions."""
    python("-c", f"from setuptools import build_meta; build_meta.build_{what}({str(folder)!r})", cwd=cwd)


def python(*words: str, cwd: Path, site: Path | None = None) -> str:
    """What a fresh interpreter prints, with only `site` on the path before what is installed."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "OCRMAPS_CACHE")}
    kept |= {} if site is None else {"PYTHONPATH": str(site)}
    done = subprocess.run([sys.executable, *words], cwd=cwd, env=kept, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_only_ocrmaps_is_installed(built):
    names = sorted(path.name.split("-")[0] for path in built.site.iterdir())
    assert names == ["bin", "ocrmaps", "ocrmaps"]
    assert not [path for path in built.site.rglob("*") if path.is_symlink()]


def test_everything_of_the_checkout_is_in_it(built):
    with zipfile.ZipFile(built.wheel) as wheel:
        inside = {name for name in wheel.namelist() if name.startswith("ocrmaps/")}
    wanted = set()
    for room, prefix in (("ocrmaps", ""), ("pipelines", "ocrmaps/"), ("cli", "ocrmaps/")):
        wanted |= {
            prefix + path.relative_to(ROOT).as_posix()
            for path in (ROOT / room).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
    assert sorted(inside ^ wanted) == []


def test_an_sdist_gives_the_same_wheel(built):
    found = []
    for path in (built.wheel, built.again):
        with zipfile.ZipFile(path) as wheel:
            found.append({i.filename: i.CRC for i in wheel.infolist() if i.filename.startswith("ocrmaps/")})
    assert found[0] == found[1]
    with tarfile.open(built.sdist) as archive:
        assert not [m.name for m in archive if m.issym() or m.islnk() or "/tests/" in m.name]


def test_commands_work_from_it_outside_the_repository(built, tmp_path):
    def ocrmaps(*words: str) -> str:
        return python(str(built.site / "bin" / "ocrmaps"), *words, cwd=tmp_path, site=built.site)

    where = "import ocrmaps.cli.app, ocrmaps.pipelines.demo as d; print(ocrmaps.cli.app.__file__); print(d.RECIPES)"
    files = python("-c", where, cwd=tmp_path, site=built.site).split()
    assert all(Path(file).is_relative_to(built.site) for file in files)
    assert {path.name for path in Path(files[1]).glob("*.toml")} >= {"demo-recipe.toml", "demo-run.toml"}
    assert ocrmaps("--version").strip() == "ocrmaps 0.1.0"
    ocrmaps("data", "synth", "receipts", "--num", "2", "--seed", "1", "--height", "320", "--width", "320")
    ocrmaps("data", "check", "receipts", "--page", "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assets = "from ocrmaps.pagekit import explorer; print(len(explorer.script()), len(explorer.style()))"
    assert all(int(length) > 1000 for length in python("-c", assets, cwd=tmp_path, site=built.site).split())
    guard = "from ocrmaps.pipelines.bench.thresholds import DEFAULT, load_thresholds; load_thresholds(DEFAULT)"
    python("-c", guard, cwd=tmp_path, site=built.site)
