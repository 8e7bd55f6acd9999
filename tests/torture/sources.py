"""Pictures and tables in an S3 server are drawn by a cluster's workers, while a proxy does all that networks do."""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from ocrmaps.errors import OcrmapsError
from ocrmaps.pipelines.build import build
from ocrmaps.recipe import Recipe, SourceRecipe, dump_recipe, load_text
from ocrmaps.store.places import objects
from ocrmaps.store.places.objects import ObjectPlace
from tests.cloud.server import BUCKET, Proxy, environment, missing, s3_server, sometimes
from tests.torture.cluster import source_world


def lay_tables(folder: Path, pictures: list[bytes]) -> None:
    """Rows as Hugging Face writes them: in row groups of two, bare in an Arrow stream, packed in an Arrow file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def table(some: list[bytes]) -> Any:
        quads = [[[[4.0, 4.0], [30.0, 4.0], [30.0, 14.0], [4.0, 14.0]]]] * len(some)
        return pa.table({"image": [{"bytes": p, "path": None} for p in some], "polygons": quads})

    folder.mkdir()
    third = max(1, len(pictures) // 3)
    pq.write_table(table(pictures[: 2 * third]), folder / "a.parquet", row_group_size=2)
    bare, packed = table(pictures[2 * third : -1]), table(pictures[-1:])
    with pa.OSFile(str(folder / "b.arrow"), "wb") as out, pa.ipc.new_stream(out, bare.schema) as stream:
        stream.write_table(bare)
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with (
        pa.OSFile(str(folder / "c.arrow"), "wb") as out,
        pa.ipc.new_file(out, packed.schema, options=options) as stream,
    ):
        stream.write_table(packed)


def drawn_through_faults(root: Path, faults: int) -> dict[str, Any]:
    """Builds of a source of files and of one of tables, by two workers, until so many faults were done."""
    reason = missing()
    if reason:
        return {"skipped": reason}
    recipe, _ = source_world(root / "files", samples=24)
    pictures = sorted((root / "files" / "train").iterdir())
    lay_tables(root / "tables", [p.read_bytes() + random.Random(p.name).randbytes(20_000) for p in pictures])
    tables = replace(recipe, sources=(SourceRecipe(path=root / "tables", split="train"),))
    before = dict(os.environ)
    pauses = objects.FIRST_PAUSE, objects.LONGEST_PAUSE
    objects.FIRST_PAUSE, objects.LONGEST_PAUSE = 0.001, 0.02
    counts: Counter[str] = Counter()
    try:
        with s3_server() as port:
            proxy = Proxy(port)
            os.environ |= {**environment(proxy.port), "OCRMAPS_CACHE": str(root / "near")}
            try:
                _builds((recipe, tables), root, proxy, faults, counts)
                kinds, requests = dict(sorted(proxy.faults.items())), dict(sorted(proxy.requests.items()))
            finally:
                proxy.close()
    finally:
        objects.FIRST_PAUSE, objects.LONGEST_PAUSE = pauses
        os.environ.clear()
        os.environ.update(before)
    found = {"wrong_digests": 0, "gave_up": 0, **counts}
    return {"faults": sum(kinds.values()), "by_kind": kinds, "requests": requests, **found}


def _builds(recipes: tuple[Recipe, ...], root: Path, proxy: Proxy, faults: int, counts: Counter[str]) -> None:
    from distributed import LocalCluster

    place, url = ObjectPlace(f"s3://{BUCKET}/sources"), f"s3://{BUCKET}/sources"
    for path in (*(root / "files").rglob("*.*"), *(root / "tables").iterdir()):
        place.put(path.relative_to(root).as_posix(), path.read_bytes())
    wanted = [build(recipe, root / "here").root_digest for recipe in recipes]
    asked = [load_text(dump_recipe(recipe).replace(f'"{root}/', f'"{url}/')) for recipe in recipes]
    proxy.forget()
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, protocol="tcp", host="127.0.0.1",
        dashboard_address="127.0.0.1:0", scheduler_kwargs={"dashboard": False}, worker_dashboard_address=None,
    ) as cluster:  # fmt: skip
        while sum(proxy.faults.values()) < faults:
            number = counts["builds"]
            for cache in ("cache", "near"):
                shutil.rmtree(root / cache, ignore_errors=True)
            proxy.plan = sometimes(random.Random(number).choice((0.1, 0.25, 0.4)), number)
            recipe, digest = asked[number % 2], None
            while digest is None:  # it resumes
                try:
                    digest = build(recipe, root / "cache", scheduler=cluster.scheduler_address).root_digest
                except OcrmapsError as error:
                    counts["gave_up"] += 1
                    print(f"  build {number} gave up: {error}", flush=True)
            proxy.plan = lambda method, path: None
            counts["builds"] += 1
            counts["wrong_digests"] += digest != wanted[number % 2]
