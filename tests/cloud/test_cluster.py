"""Two workers of a cluster build into object storage, and a run trains from there: the same version as built alone."""

from __future__ import annotations

from distributed import LocalCluster

from ocrmaps.pipelines.build import build, build_into
from ocrmaps.pipelines.train import train
from ocrmaps.training.folder import read_run
from tests.training.conftest import make_world, recipe, small_run


def test_a_cluster_builds_into_a_bucket_and_a_run_trains_from_it(bucket, tmp_path, monkeypatch):
    monkeypatch.setenv("OCRMAPS_CACHE", str(tmp_path / "shared"))
    world = make_world(tmp_path / "world")
    alone = build(recipe(world), world / "cache")
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, protocol="tcp", host="127.0.0.1",
        dashboard_address="127.0.0.1:0", scheduler_kwargs={"dashboard": False}, worker_dashboard_address=None,
    ) as cluster:  # fmt: skip
        far, sent = build_into(recipe(world), bucket, scheduler=cluster.scheduler_address, wait_workers=600)
    assert sent is not None and sent.committed
    assert far.root_digest == alone.root_digest
    monkeypatch.setenv("OCRMAPS_CACHE", str(tmp_path / "elsewhere"))  # nothing of the build is there
    changes = {"budget__epochs": 1, "watch__pictures": 0}
    train(small_run(data__store=f"{bucket}/tiny", **changes), out=tmp_path / "run", say=lambda line: None)
    assert read_run(tmp_path / "run").root_digest == far.root_digest
