"""What was once written stays readable, and pixels do not change behind an unchanged algorithm number."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import xxhash

from ocrmaps.errors import StoreFormat
from ocrmaps.store.format.identity import ALGORITHMS, canonical_json
from ocrmaps.store.format.layout import MANIFEST
from ocrmaps.store.reader import Reader
from ocrmaps.store.upkeep.transfer import unpack
from ocrmaps.store.upkeep.verify import verify
from tests.store.world import make_world

ARCHIVE = Path(__file__).parent / "golden" / "format-1.tar"
ROOT_DIGEST = "bbab645709d88dca18bca4515427b7503d4d0f4179e6974f305dcfa8d46eebfc"
ROWS = {
    "train/01.png": ("67cdfd88831578d8", "5cb977f2df0d73e2", "345dee7230ebad49", "0b2321428c5561bb"),
    "train/02.png": ("45b15520768252a0", "1b5f5e395abdccd4", "05a582435b6cd51b", "24192cdd0b83ea13"),
    "val/00.png": ("0f5cf1409defbb51", "26bfece295a70198", "ccd805ad3771d6a0", "3350ac23483890f2"),
}
"""XXH3-64 of image, probability, threshold and mask."""


def digests(folder: Path) -> dict[str, tuple[str, ...]]:
    with Reader(folder) as reader:
        return {
            reader.name(row): tuple(xxhash.xxh3_64_hexdigest(array) for array in reader.read_row(row).values())
            for row in range(len(reader))
        }


def test_the_store_of_format_1_is_sound_and_reads_the_same_rows(tmp_path: Path):
    folder = unpack(ARCHIVE, tmp_path, "golden")
    report = verify(folder)
    assert report.ok and report.root_digest == ROOT_DIGEST
    assert digests(folder) == ROWS
    with Reader(folder) as reader:
        assert reader.polygon_set(0).texts == (None, "text 1 é")
        assert reader.outcomes(0) == ("drawn", "ignored")
        assert reader.transform(2).raw_size == (48, 40)


def test_todays_code_draws_what_its_algorithm_numbers_promise(quick_folder: Path):
    """If this fails, pixels changed: raise the number in `identity.ALGORITHMS` or `maps`, then the digests here."""
    world = make_world(quick_folder, samples=3, rows_per_shard=2)
    assert ALGORITHMS == {"pictures": 1, "canonical": 1}
    assert world.recipe.maps.algorithm == 1
    world.build()
    assert digests(world.folder) == ROWS


def test_a_newer_format_is_refused_by_number(tmp_path: Path):
    folder = unpack(ARCHIVE, tmp_path, "golden")
    body = json.loads((folder / MANIFEST).read_bytes())
    body["format"] = 2
    body["something"] = "new"
    del body["digest"]
    import hashlib

    body["digest"] = hashlib.sha256(canonical_json(body)).hexdigest()
    (folder / MANIFEST).unlink()
    (folder / MANIFEST).write_text(json.dumps(body))
    with pytest.raises(StoreFormat, match="format 2"):
        Reader(folder)
