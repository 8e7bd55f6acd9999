"""One run on two processes: the same steps and scores as one process, each sample counted once, one folder."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.callbacks import Callback

from ocrmaps.debug.bundles import find_bundles
from ocrmaps.detect.trained import load_detector, read_checkpoint
from ocrmaps.errors import RunError, SpecError
from ocrmaps.loader import MapLoader
from ocrmaps.model import Targets, build_detector, build_loss
from ocrmaps.pipelines.train import train
from ocrmaps.store.places.cache import find_version
from ocrmaps.store.reader import Reader
from ocrmaps.training import ranks
from ocrmaps.training.callbacks.guard import NotFinite
from ocrmaps.training.callbacks.stop import Interrupted, Stop
from ocrmaps.training.folder import read_metrics
from ocrmaps.training.ranks import check_ranks
from ocrmaps.training.scoring import Scorer
from ocrmaps.training.steps.capture import batch_of_rows, load_step
from ocrmaps.training.steps.replay import replay
from tests.forks import fork_rank
from tests.known import KNOWN, SEED
from tests.loader.test_rows import flip
from tests.training.conftest import make_world, small_run
from tests.training.test_interrupt import Press

pytestmark = pytest.mark.slow
SGD = {"name": "sgd", "lr": 0.01}
PLAIN = {part: f"tests.training.plain:{part.title()}" for part in ("encoder", "decoder", "head")}


def two(**changes):
    return small_run(hardware={"devices": 2}, data__batch_size=1, watch__pictures=0, optimizer=SGD, **changes)


@pytest.fixture(scope="module", autouse=True)
def forked_ranks():
    """The second process of a run is forked, so that it need not import everything anew."""
    fresh = ranks._start
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranks, "_start", fork_rank)
        yield fresh


@pytest.fixture
def fresh_ranks(forked_ranks, monkeypatch):
    """The second process of a run is started as it is for everybody."""
    monkeypatch.setattr(ranks, "_start", forked_ranks)


@pytest.fixture(scope="module")
def both(world, tmp_path_factory):
    """The same run on two processes, and on one whose steps are made of two batches."""
    out, lines = tmp_path_factory.mktemp("ranks"), []
    ranks = train(two(ema=0.9), out=out / "two", cache=world / "cache", say=lines.append)
    one = small_run(data__batch_size=1, watch__pictures=0, optimizer=SGD | {"accumulate": 2}, ema=0.9)
    return ranks, train(one, out=out / "one", cache=world / "cache"), lines


def weights(report):
    return read_checkpoint(report.last)["state_dict"]


def test_a_step_of_two_ranks_is_a_step_of_two_batches(both):
    """Bound: what float32 makes of adding two gradients in another order, over six steps."""
    ranks, one, _ = both
    a, b = weights(ranks), weights(one)
    learnt = [k for k in a if k.startswith("detector.") and "running" not in k and "num_batches" not in k]
    assert max(float((a[k] - b[k]).abs().max()) for k in learnt) < 2e-5
    start = build_detector(two().model).state_dict()
    assert max(float((a[k] - start[k.removeprefix("detector.")]).abs().max()) for k in learnt) > 1e-2


class Ask(Callback):
    """Asks for the end of the run, as somebody at the terminal does."""

    def __init__(self, step):
        self.step = step

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_run_goes_on_with_more_and_with_fewer_devices(both, cache, tmp_path):
    """One process, stopped within an epoch, then two, stopped within the next, then one: the run that never stopped."""
    spec = {"data__batch_size": 1, "watch__pictures": 0, "ema": 0.9}
    one, out, lines = small_run(**spec, optimizer=SGD | {"accumulate": 2}), tmp_path / "o", []
    more = small_run(**spec, optimizer=SGD | {"accumulate": 2}, hardware={"devices": 2})
    with pytest.raises(Interrupted, match="after step 1"):
        train(one, out=out, cache=cache, extra=(Ask(0),))
    with pytest.raises(Interrupted, match="after step 5"):
        train(more, out=out, cache=cache, resume="auto", say=lines.append, extra=(Ask(3),))
    assert "steps are of 2 batches as before: devices 1, 2 batches on each; now devices 2, 1 on each" in lines
    saved = read_checkpoint(out / "checkpoints" / "last.ckpt")["ocrmaps"]["run"]
    assert (saved["hardware"]["devices"], saved["optimizer"]["accumulate"]) == (2, 1)
    with pytest.raises(SpecError, match="which 3 cannot share evenly"):
        train(small_run(**spec, optimizer=SGD | {"accumulate": 1}, hardware={"devices": 3}), out=out, cache=cache,
              resume="auto")  # fmt: skip
    with pytest.raises(RunError, match="another run"):
        train(small_run(**spec, optimizer=SGD | {"accumulate": 3}), out=out, cache=cache, resume="auto")
    last = train(small_run(**spec, optimizer=SGD | {"accumulate": 1}), out=out, cache=cache, resume="auto")
    whole = both[1]
    assert [(r["epoch"], r["step"], r["samples"]) for r in last.rows] == [
        (r["epoch"], r["step"], r["samples"]) for r in whole.rows
    ]
    for mine, theirs in zip(last.rows, whole.rows, strict=True):
        assert mine["train/loss"] == pytest.approx(theirs["train/loss"], rel=1e-4)
    a, b = weights(last), weights(whole)
    learnt = [k for k in a if k.startswith("detector.") and "running" not in k and "num_batches" not in k]
    assert max(float((a[k] - b[k]).abs().max()) for k in learnt) < 2e-5


def test_both_stop_at_the_same_step(cache, tmp_path):
    asked = Press(step=3, signal=signal.SIGTERM, beside=True)  # a scheduler may say it to every process, or to any one
    with pytest.raises(Interrupted, match="terminated after step 5"):
        train(two(ema=0.9), out=tmp_path / "o", cache=cache, extra=(asked,))
    assert not torch.distributed.is_initialized()
    assert read_checkpoint(tmp_path / "o" / "checkpoints" / "last.ckpt")["ocrmaps"]["steps"] == 5


def test_who_is_asked_to_stop_while_the_ranks_agree_asks_again(monkeypatch):
    stop, trainer = Stop(keeper=None), SimpleNamespace(world_size=2)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda *_, **__: setattr(stop, "asked", signal.SIGTERM))
    assert not stop._agreed(trainer)  # the others do not know it yet
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda number, *_, **__: None)
    assert stop._agreed(trainer) and stop.asked == signal.SIGTERM


def test_losses_and_counts_are_those_of_all_ranks(both):
    ranks, one, _ = both
    for mine, theirs in zip(ranks.rows, one.rows, strict=True):
        assert (mine["step"], mine["samples"]) == (theirs["step"], theirs["samples"])
        assert mine["train/loss"] == pytest.approx(theirs["train/loss"], rel=1e-4)
    assert ranks.identity["samples"] == 12


@pytest.fixture(scope="module")
def marked(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("marked"), marked=True) / "cache"


@pytest.fixture(scope="module")
def learnt(marked, tmp_path_factory):
    """A run on two processes that has a score: its network's weights are written by hand."""
    spec = small_run(**KNOWN, hardware={"devices": 2}, watch__pictures=0, data__batch_size=1, budget={"epochs": 1})
    return train(spec, out=tmp_path_factory.mktemp("learnt") / "two", cache=marked)


def test_the_score_is_that_of_one_process_with_the_same_weights(learnt, marked):
    """Three rows on two ranks: one is shown twice, and must not count twice."""
    trained = load_detector(learnt.last)
    store, version = find_version(marked, "tiny")
    with Reader(store.version(version)) as reader:
        scorer = Scorer(reader, reader.select("val"), trained.extract)
        scorer.begin()
        for row in reader.select("val").tolist():
            image = torch.from_numpy(reader.read_row(row, ("image",))["image"])[None]
            scorer.add([row], torch.sigmoid(trained.detector(image).probability).numpy())
        alone = scorer.total(scorer.results())
    row = learnt.rows[-1]
    assert row["val/state"] == "complete" and 0 < row["val/hmean"]  # two zeros would be equal, too
    assert (row["val/hmean"], row["val/precision"], row["val/recall"]) == (
        alone.hmean(), alone.totals[0.5].precision, alone.totals[0.5].recall
    )  # fmt: skip
    assert row["val/hmean@0.7"] == alone.hmean(0.7)


def test_the_validation_loss_counts_each_batch_once(both, cache, tmp_path):
    """A run of one process that only validates the weights of the two: the same batches, the same loss."""
    ranks, _, _ = both
    seen = []

    class Swap(Callback):
        def on_validation_start(self, trainer, pl_module):
            pl_module.averaged.load_state_dict(load_detector(ranks.last).detector.state_dict())

        def on_validation_end(self, trainer, pl_module):
            seen.append(pl_module.val_loss)

    one = small_run(data__batch_size=1, watch__pictures=0, ema=0.9, budget={"epochs": 1})
    train(one, out=tmp_path / "o", cache=cache, extra=(Swap(),))
    assert seen == pytest.approx([ranks.rows[-1]["val/loss"]], rel=1e-6)


def test_one_process_writes_and_says(both):
    ranks, one, lines = both
    assert sorted(p.name for p in ranks.folder.rglob("*")) == sorted(p.name for p in one.folder.rglob("*"))
    assert (ranks.folder / "run.log").read_text().splitlines() == lines
    assert [r["epoch"] for r in read_metrics(ranks.folder / "metrics.csv")] == [1, 2]
    assert any(line.startswith("devices: 2") for line in lines)


@pytest.mark.usefixtures("fresh_ranks")
def test_without_batch_statistics_it_is_a_step_of_a_double_batch(cache, tmp_path):
    """Two batches of one row against one of two: equal where the loss is a plain mean over pixels of equal pictures."""
    settings = {"model": PLAIN, "loss": {"name": "tests.training.plain:Loss"}}
    leaving = {"name": "tests.training.plain:Leaving", "options": {"file": str(tmp_path / "left")}}
    ranks = train(two(**settings | {"loss": leaving}, budget={"epochs": 1, "steps": 1}), out=tmp_path / "two",
                  cache=cache)  # fmt: skip
    assert (tmp_path / "left").read_text() == "", "a process ended with threads that it could only end by force"
    shown = []

    class Same(Callback):
        """The double batch of the rows that the two ranks were shown."""

        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            shown.append(batch.row.tolist())

    alone = small_run(**settings, data__batch_size=1, watch__pictures=0, budget={"epochs": 1, "steps": 2})
    order = train(alone, out=tmp_path / "order", cache=cache, extra=(Same(),))
    assert order.identity["steps"] == 2
    store, version = find_version(cache, "tiny")
    detector = build_detector(alone.model, trusted=alone.trusted)
    loss = build_loss(alone.loss.name, trusted=alone.trusted)
    optimizer = torch.optim.SGD(detector.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    with Reader(store.version(version)) as reader:
        batch = batch_of_rows(reader, [row for rows in shown for row in rows], 0, None)
    loss(detector.train()(batch.image), Targets.unpack(*batch[1:4])).total.backward()
    torch.nn.utils.clip_grad_norm_(detector.parameters(), 5.0)
    optimizer.step()
    mine = weights(ranks)
    for name, value in detector.state_dict().items():
        torch.testing.assert_close(mine[f"detector.{name}"], value, rtol=0, atol=1e-6)


def test_a_failure_of_another_rank_is_told_by_its_cause(world, tmp_path):
    """A row that only the second rank reads is damaged: this process would only see the other end hang up."""
    shutil.copytree(world / "cache", tmp_path / "cache")
    store, version = find_version(tmp_path / "cache", "tiny")
    with Reader(store.version(version)) as reader:
        row = int(reader.select("val")[1])
        name = reader.name(row)
        flip(reader, row, "probability")
    with pytest.raises(RunError, match=r"1 of 2 processes failed:\n  rank 1: StoreCorrupt") as caught:
        train(two(), out=tmp_path / "o", cache=tmp_path / "cache")
    assert name in str(caught.value)
    assert not torch.distributed.is_initialized()


def test_the_guard_names_the_samples_of_the_rank_that_was_bad(cache, tmp_path):
    """The mean gradient is bad on every rank; a bundle of the others' samples would repeat nothing."""
    rank, what = 1, "gradient"
    store, version = find_version(cache, "tiny")
    with (
        Reader(store.version(version)) as reader,
        MapLoader(reader.folder, split="train", batch_size=1, shuffle=True, seed=SEED, rank=rank, world=2) as loader,
    ):
        batch = list(loader)[1]
        name = reader.name(int(batch.row[0]))
    pixels = int(Targets.unpack(*batch[1:4]).probability.float().sum())
    spoilt = {"name": "tests.training.plain:Spoilt", "options": {"pixels": pixels, "what": what}}
    with pytest.raises(NotFinite) as caught:
        train(two(model=PLAIN, loss=spoilt), out=tmp_path / "o", cache=cache)
    assert re.match(rf"epoch 1, step 2: found {what}( norm)? nan on 1 samples of rank {rank}: ", str(caught.value))
    assert name in str(caught.value)
    (bundle,) = find_bundles(tmp_path / "o")  # one of the run, not one of each process
    step = load_step(bundle.path / "step.pt")["step"]
    assert step["rows"] == batch.row.tolist() and step["kind"] == what
    assert replay(bundle.path / "step.pt", trusted=two(model=PLAIN, loss=spoilt).trusted).reproduces


def test_rows_that_a_rank_never_sees_make_the_score_partial(cache, tmp_path):
    class Forget(Callback):
        """Loses what this rank has seen: the first and the third row; the other saw the second, and the first again."""

        def on_validation_epoch_end(self, trainer, pl_module):
            pl_module.scorer.begin()

    report = train(two(budget={"epochs": 1}), out=tmp_path / "o", cache=cache, extra=(Forget(),))
    assert report.rows[0]["val/state"] == "partial 2/3" and "val/hmean" not in report.rows[0]
    assert report.best is None


def test_who_ended_without_a_word_is_no_cause_of_what_this_process_found(tmp_path):
    with subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"]) as child:
        child.wait()
    (tmp_path / "said-1").write_text("terminate called")
    (problem,) = ranks._failures(tmp_path, {1: child})
    assert problem.message == "ended with code 3 (terminate called)"
    assert ranks._failures(tmp_path, {1: child}, wordless=False) == []


def test_more_devices_than_there_are_are_refused():
    with pytest.raises(SpecError, match="torch sees 0 CUDA devices" if not torch.cuda.is_available() else "torch sees"):
        check_ranks(64, "cuda")


def test_a_process_that_was_started_as_one_of_several_is_refused(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(SpecError, match="LOCAL_RANK set"):
        check_ranks(1, "cpu")
