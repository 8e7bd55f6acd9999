"""What looks on, on request: gradient norms, traces, other loggers; and a compiled network is the same network."""

from __future__ import annotations

import gzip
import json
import statistics
import sys

import pytest
import torch
from lightning.pytorch.callbacks import Callback

from ocrmaps.detect.trained import load_detector, read_checkpoint
from ocrmaps.errors import RunError, SpecError
from ocrmaps.pipelines.train import train
from ocrmaps.training.callbacks import trace
from ocrmaps.training.folder import read_metrics
from tests.training.conftest import small_run


class Norms(Callback):
    """Reads the gradient norm of every step the slow way."""

    def __init__(self) -> None:
        self.found: list[float] = []

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        grads = [w.grad for w in pl_module.detector.parameters() if w.grad is not None]
        self.found.append(float(torch.nn.utils.get_total_norm(grads)))


def test_gradient_norms_of_an_epoch_are_those_of_its_steps(cache, tmp_path):
    norms, clip = Norms(), 1.0
    spec = small_run(data__batch_size=1, watch__pictures=0, optimizer={"clip": clip, "accumulate": 2})
    report = train(spec, out=tmp_path / "o", cache=cache, extra=(norms,))
    assert len(norms.found) == 6
    for row, found in zip(report.rows, (norms.found[:3], norms.found[3:]), strict=True):
        assert row["gradient_p50"] == pytest.approx(statistics.median(found))
        assert row["gradient_max"] == pytest.approx(max(found))
        assert row["clipped_share"] == sum(n > clip for n in found) / 3


def test_without_gradients_there_are_no_columns_of_them(cache, tmp_path):
    report = train(small_run(watch__gradients=False, watch__pictures=0), out=tmp_path / "o", cache=cache)
    assert not [name for name in report.rows[0] if name.startswith(("gradient", "clipped"))]


def test_a_trace_holds_the_steps_that_were_asked_for(cache, tmp_path):
    spec = small_run(watch={"pictures": 0, "profile_from": 1, "profile_steps": 2})
    lines: list[str] = []
    train(spec, out=tmp_path / "o", cache=cache, say=lines.append)
    (path,) = (tmp_path / "o").glob("trace-*")
    assert path.name == "trace-steps000001-000002.json.gz"
    events = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
    steps = [e for e in events if e.get("name", "").startswith("Optimizer.step") and e.get("ph") == "X"]
    assert len(steps) == 2
    assert any(line.startswith("traced steps 1 to 2:") for line in lines)


def test_no_trace_unless_asked_for(cache, tmp_path):
    train(small_run(watch__pictures=0, budget__epochs=1), out=tmp_path / "o", cache=cache)
    assert not list((tmp_path / "o").glob("trace-*"))


def test_a_trace_behind_the_end_of_the_run_is_refused_before_the_first_step(cache, tmp_path):
    spec = small_run(watch={"pictures": 0, "profile_from": 5, "profile_steps": 2})
    with pytest.raises(SpecError, match="found 5 and 2 steps, the run has only 6"):
        train(spec, out=tmp_path / "o", cache=cache)
    assert not (tmp_path / "o" / "metrics.csv").exists()


def test_a_trace_that_is_too_large_is_dropped_and_said(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(trace, "LARGEST", 1000)
    spec = small_run(watch={"pictures": 0, "profile_from": 1, "profile_steps": 1})
    lines: list[str] = []
    train(spec, out=tmp_path / "o", cache=cache, say=lines.append)
    assert not list((tmp_path / "o").glob("trace-*")) and any("was dropped" in line for line in lines)


@pytest.mark.parametrize(
    "change",
    [
        {"watch": {"profile_from": 3}},
        {"watch": {"profile_steps": 21}},
        {"watch": {"profile_steps": 3, "profile_from": 8}, "budget": {"steps": 10}},
        {"hardware": {"devices": 0}},
        {"hardware": {"device": 2}},
        {"hardware": {"compile": True}},
    ],
)
def test_settings_without_effect_or_sense_are_refused(change):
    with pytest.raises(SpecError):
        small_run(**change)


@pytest.mark.parametrize(("library", "asked"), [("tensorboard", True), ("wandb", "ocr")])
def test_a_logger_that_is_not_installed_is_refused_by_the_name_of_its_extra(
    cache, tmp_path, monkeypatch, library, asked
):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(SpecError, match=rf"watch\.{library}: needs {library}") as refused:
        train(small_run(watch={library: asked}), out=tmp_path / "o", cache=cache)
    assert f"ocrmaps[{library}]" in refused.value.hint
    assert not (tmp_path / "o").exists()


def test_tensorboard_gets_the_numbers_of_every_row(cache, tmp_path):
    pytest.importorskip("tensorboard", reason="needs the extra [tensorboard]")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(small_run(watch={"pictures": 0, "tensorboard": True}), out=tmp_path / "o", cache=cache)
    events = EventAccumulator(str(tmp_path / "o" / "tensorboard"))
    events.Reload()
    rows = read_metrics(tmp_path / "o" / "metrics.csv")
    found = [(e.step, e.value) for e in events.Scalars("train/loss")]
    assert found == [(r["step"], pytest.approx(r["train/loss"], rel=1e-6)) for r in rows]


def test_wandb_gets_the_numbers_of_every_row(cache, tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb", reason="needs the extra [wandb]")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    train(small_run(watch={"pictures": 0, "wandb": "ocr"}), out=tmp_path / "o", cache=cache)
    assert wandb.run is None  # closed with the run
    assert list((tmp_path / "o").rglob("*.wandb"))


class Types(Callback):
    """Whether the network is compiled, and what it said about each batch."""

    def __init__(self) -> None:
        self.compiled: bool | None = None
        self.losses: list[float] = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.compiled = pl_module.detector._compiled_call_impl is not None
        self.losses.append(float(pl_module.last_loss))


def test_a_compiled_network_learns_the_same_and_its_checkpoints_need_no_compiling(cache, tmp_path):
    """Bound: 1e-4 of the loss in each of six steps; graphs are traced, differentiated ahead of time and counted."""
    torch._dynamo.reset()
    runs = {}
    for name in ("", "aot_eager"):
        types, lines = Types(), []
        spec = small_run(hardware={"compile": name}, ema=0.9, watch__pictures=0)
        report = train(spec, out=tmp_path / (name or "plain"), cache=cache, extra=(types,), say=lines.append)
        runs[name] = (types, lines, report)
    (plain, _, first), (compiled, lines, second) = runs.values()
    assert (plain.compiled, compiled.compiled) == (False, True)
    assert compiled.losses == pytest.approx(plain.losses, rel=1e-4)
    graphs = next(line for line in lines if line.startswith("compiled by aot_eager: "))
    assert int(graphs.split()[3]) >= 1 and graphs.endswith(" 0 breaks")
    keys = [set(read_checkpoint(r.last)["state_dict"]) for r in (first, second)]
    assert keys[0] == keys[1]
    detector = load_detector(second.last).detector
    assert detector._compiled_call_impl is None
    assert detector(torch.zeros(1, 64, 64, 3, dtype=torch.uint8)).probability.shape == (1, 64, 64)


def test_an_unknown_backend_names_those_there_are(cache, tmp_path):
    with pytest.raises(SpecError, match=r"found 'fast', torch\.compile here has .*inductor"):
        train(small_run(hardware={"compile": "fast"}), out=tmp_path / "o", cache=cache)


def test_a_backend_that_fails_ends_the_run_with_its_name(cache, tmp_path):
    def broken(graph, inputs):
        raise ZeroDivisionError("no compiler")

    torch._dynamo.register_backend(broken, "broken-here")
    with pytest.raises(RunError, match="broken-here could not compile this model"):
        train(small_run(hardware={"compile": "broken-here"}), out=tmp_path / "o", cache=cache)
