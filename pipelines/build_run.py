"""Runs the shards of a build with Dask: on threads of this process, on processes, or on any cluster.

Only kilobyte receipts come back, and the client alone records them. A task may run twice and a worker may die: a shard
is written whole, under another temporary name each time, and its bytes are the same.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

from ocrmaps.errors import OcrmapsError, StoreError
from ocrmaps.store.asking import Progress
from ocrmaps.store.building import Building
from ocrmaps.store.tasks import ShardTask, build_shard

ANSWER_SECONDS = 10
"""How long a named scheduler may take to answer."""


def run_tasks(
    building: Building, *, workers: int, scheduler: str = "threads", progress: Progress | None = None
) -> None:
    """Run every shard that is still missing and record its receipt as it arrives."""
    tasks = building.tasks()
    total = sum(len(rows) for rows in building.plan.shards().values())
    done = sum(len(receipt["rows"]) for receipt in building.receipts.values())
    nbytes = failed = 0

    def say() -> None:
        if progress is not None:
            progress(f"drawing, {nbytes / 1e6:.0f} MB, {failed} failed", done, total)

    def record(receipt: dict[str, Any]) -> None:
        nonlocal done, nbytes, failed
        building.record(receipt)
        done += len(receipt["rows"])
        nbytes += sum(n for n, _ in receipt["files"].values())
        failed += sum(row["how"] == "failed" for row in receipt["rows"])
        say()

    links = [task for task in tasks if task.linked]
    # Giving files a second name takes no time worth a task, and the receipts share one sync.
    building.record(*(build_shard(task) for task in links))
    done += sum(len(task.rows) for task in links)
    rest = [task for task in tasks if not task.linked]
    say()
    if not rest:
        return
    if scheduler == "threads":
        _on_threads(rest, min(workers, len(rest)), record)
    else:
        with _cluster(scheduler, min(workers, len(rest))) as client:
            _on_cluster(client, rest, record)


def _on_threads(tasks: Sequence[ShardTask], workers: int, record: Callable[[dict[str, Any]], None]) -> None:
    from dask.callbacks import Callback
    from dask.threaded import get

    stop = threading.Event()
    # Keys in the order of the tasks: independent tasks of one graph run in the order of their keys.
    graph = {f"shard-{i:08d}": (partial(build_shard, stop=stop), task) for i, task in enumerate(tasks)}
    arrived = Callback(posttask=lambda key, result, graph, state, worker: record(result))
    pool = ThreadPoolExecutor(workers)
    try:
        with arrived:
            get(graph, list(graph), pool=pool, num_workers=workers)
    except BaseException:
        stop.set()  # rows in progress are finished, shards in progress are not
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _on_cluster(client: Any, tasks: Sequence[ShardTask], record: Callable[[dict[str, Any]], None]) -> None:
    from distributed import as_completed

    futures = [
        client.submit(build_shard, task, key=f"{task.asked[:16]}-{task.key}", pure=False, retries=2, priority=-i)
        for i, task in enumerate(tasks)
    ]
    try:
        for future in as_completed(futures):
            record(future.result())
            future.release()
    except BaseException as error:
        client.cancel(futures, force=True)
        if isinstance(error, OcrmapsError | KeyboardInterrupt) or not isinstance(error, Exception):
            raise
        raise StoreError(
            f"the cluster gave up on a shard: {type(error).__name__}: {error}",
            hint="look at the workers' logs (memory?); the same command resumes with what is proven",
        ) from error


@contextmanager
def _cluster(scheduler: str, workers: int) -> Iterator[Any]:
    from distributed import Client, LocalCluster

    if scheduler != "processes":
        try:
            client = Client(scheduler, timeout=ANSWER_SECONDS)
        except (OSError, ValueError) as error:
            raise StoreError(
                f"no dask scheduler answers at {scheduler} ({error})", hint="start one with `dask scheduler`"
            ) from error
        with client:
            yield client
        return
    try:
        cluster = LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=logging.ERROR
        )
    except RuntimeError as error:
        raise StoreError(
            f"the worker processes did not start ({error})", hint="run it again, or use --scheduler threads"
        ) from error
    with cluster, Client(cluster) as client:
        yield client
