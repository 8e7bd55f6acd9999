"""A version of any number of rows without a shard: what tables and manifest cost when there are a million."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ocrmaps.canonical import CanonicalSpec
from ocrmaps.recipe import Recipe, SourceRecipe
from ocrmaps.store.format.identity import file_digest
from ocrmaps.store.format.layout import LEDGER, MANIFEST
from ocrmaps.store.format.manifest import Manifest
from ocrmaps.store.format.tables import TABLES, write_afresh, write_table
from ocrmaps.store.writing.tasks import OUTCOMES


def synthetic_version(cache: Path, name: str, rows: int) -> Path:
    """Write the tables of `rows` samples with ids but no polygons and no shards; sound in all but its content."""
    recipe = Recipe(
        name=name,
        sources=(SourceRecipe(path=Path("nowhere/labels.json"), split="train"),),
        canonical=CanonicalSpec(canvases=((640, 640),), side=640),
    )
    root = cache / name / "building"
    rng = np.random.default_rng(0)
    ids = np.char.zfill(np.arange(rows).astype(str), 11)
    columns: dict[str, dict[str, np.ndarray]] = {}
    for table, spec in TABLES.items():
        n = rows if table == "rows" else 0
        columns[table] = {}
        for column, (dtype, entry) in spec.items():
            extra = 1 if column.endswith("offsets") else 0
            if column == "row_offsets":
                n, extra = 0, rows + 1
            columns[table][column] = np.zeros((n + extra, *entry), dtype=dtype)
            n = rows if table == "rows" else 0
    columns["rows"]["id_bytes"] = np.frombuffer("".join(ids).encode(), np.uint8)
    columns["rows"]["id_offsets"] = np.arange(rows + 1, dtype=np.uint64) * 11
    columns["rows"]["fingerprint"] = rng.integers(0, 255, (rows, 32), dtype=np.uint8)
    written = {table: write_table(root, table, found) for table, found in columns.items()}
    write_afresh(root / LEDGER, b"")
    manifest = Manifest(
        asked={
            "recipe": recipe.identity(),
            "algorithms": {},
            "inputs": {"samples": rows, "digest": file_digest(columns["rows"]["fingerprint"]).hex()},
        },
        written={
            "canvases": [{"size": [640, 640], "positions": rows}],
            "counts": {"rows": rows, "failed": 0, "polygons": 0, "outcomes": {}, "splits": {"train": rows}},
            "ledger": {"lines": 0, "digest": file_digest(b"").hex()},
            "outcomes": list(OUTCOMES),
            "sources": [""],
            "tables": {t: {n: c.as_dict() for n, c in found.items()} for t, found in written.items()},
        },
        recorded={"recipe": recipe.as_dict(), "sources": [], "tools": {}, "code": {}, "built": {}},
    )
    for path, data in manifest.documents().items():
        write_afresh(root / path, data)
    write_afresh(root / MANIFEST, manifest.to_bytes())
    return root.rename(cache / name / manifest.version)
