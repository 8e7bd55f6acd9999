"""The main job on data made for the occasion, from generated receipts to a trained detector and a page about it."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ocrmaps.annotations import Source, open_source, read
from ocrmaps.annotations.checks.checkup import check
from ocrmaps.annotations.samples import headers
from ocrmaps.errors import RunError, SpecError
from ocrmaps.evaluation.oracle.chain import Chain
from ocrmaps.evaluation.oracle.judge import run_oracle
from ocrmaps.files import write_new
from ocrmaps.machine import has_bf16
from ocrmaps.pipelines import data, recommend
from ocrmaps.pipelines.build import build
from ocrmaps.recipe import FORM, load_recipe
from ocrmaps.report import checkup as data_page
from ocrmaps.report.oracle import oracle_page
from ocrmaps.report.samples import PageRequest
from ocrmaps.settings.schema import schema_file, schema_line, schema_text
from ocrmaps.shipped import DEFAULT, shipped
from ocrmaps.store.upkeep.status import cache_status
from ocrmaps.store.upkeep.verify import verify

Say = Callable[[str], None]
RECIPES = Path(__file__).parent / "recipes"
SIDE = 320
"""Longest side of the demo's store: what two processor cores train on while one looks on."""


def demo(out: Path, *, num: int, seed: int, epochs: int, say: Say) -> None:
    """Everything into the folder `out`, which must be new or a demo's own; raises if a step does not hold."""
    mark = out / ".ocrmaps-demo"
    if out.exists() and any(out.iterdir()) and not mark.exists():
        raise SpecError(f"{out} is not empty and holds no demo", hint="name another folder with --out")
    out.mkdir(parents=True, exist_ok=True)
    mark.touch()
    cache = out / "cache"

    with _step(say, "generate receipts"):
        train = _receipts(out / "train", "train", num, seed + 1, say)
        val = _receipts(out / "val", "val", max(4, num // 5), seed + 2, say)

    with _step(say, "check them"):
        checkup = check([train, val], spec=Chain.longest(640).canonical)
        write_new(out / "check.html", data_page.health_page(checkup).encode(), replace_existing=True)
        if not checkup.ok:
            raise RunError("generated receipts have problems", hint=f"look at {out / 'check.html'}")
        say(f"  no problems; the report is {out / 'check.html'}")

    samples = list(read(val))
    heads = headers(val, samples)
    with _step(say, "score perfect maps of the val receipts (the ceiling of any network)"):
        for name, side, chain in (
            ("published", 640, Chain.published(640)),
            ("exact", 640, Chain.longest(640)),
            ("exact", SIDE, Chain.longest(SIDE)),
        ):
            result = run_oracle(samples, heads, chain)
            hmean = ", ".join(f"{value:.4f} at IoU {t:g}" for t, value in result.hmean.items())
            say(f"  {name:9s} maps, longest side {side}: hmean {hmean}; {result.mpx_per_image:.2f} Mpx a picture")
        oracle_page(val, samples, heads, result, PageRequest(out=out / "oracle.html", place="inline", overwrite=True))

    with _step(say, "recommend a recipe for 0.30 Mpx a picture"):
        chosen = recommend.recommend(samples, heads, budget_mpx=0.30, judged_on=12)
        recommend.write_recipe(chosen, [train, val], out / "recommended.toml")
        recommend.plot_tradeoff(chosen, out / "tradeoff.png")
        spec = chosen.chosen.canonical
        say(f"  longest side {spec.side}, r = {chosen.chosen.maps.shrink_ratio:g}: {out / 'recommended.toml'}")

    with _step(say, f"build the store (longest side {SIDE}, so that two cores can train on it)"):
        write_new(out / schema_file(FORM), schema_text(FORM).encode(), replace_existing=True)
        recipe = (RECIPES / "demo-recipe.toml").read_text(encoding="utf-8")
        write_new(out / "demo.toml", (schema_line(FORM) + recipe).encode(), replace_existing=True)
        report = build(load_recipe(out / "demo.toml"), cache)
        say(f"  {report.state} {report.store}/{report.version}, {report.counts['rows']} rows")
        say(f"  root digest {report.root_digest}")

    with _step(say, "verify every byte"):
        sound = verify(report.folder, level="digest")
        if not sound.ok:
            raise RunError(f"the store is damaged: {sound.problems[0]}", hint="ocrmaps repair demo")
        say("  every byte agrees with its digest")

    with _step(say, "cache status"):
        for record in cache_status(cache):
            word = "current with its sources" if record["current"] else "stale"
            say(f"  {record['store']}/{record['version']}: {word}, {record['counts']['rows']} rows")

    with _step(say, f"train a light network for {epochs} epochs"):
        from ocrmaps.pipelines.train import train as run
        from ocrmaps.training.callbacks.stop import Interrupted
        from ocrmaps.training.spec import load_run

        changes = [*(["precision=bf16"] if has_bf16() else []), f"budget.epochs={epochs}"]
        spec_of_run = load_run(RECIPES / "demo-run.toml", changes)
        folder = _fresh(out / "runs")
        try:
            run(spec_of_run, out=folder, cache=cache, say=lambda line: say(f"  {line}"))
        except Interrupted as stop:
            # What goes on with it is `train`; a second demo would start a second run.
            again = ["ocrmaps", "train", str(RECIPES / "demo-run.toml"), *(w for c in changes for w in ("--set", c))]
            again += ["--root", str(cache), "--out", str(folder), "--resume", "auto"]
            stop.hint = f"go on by {shlex.join(again)}"
            raise

    with _step(say, "write a page about it"):
        from ocrmaps.pipelines.report import find_target
        from ocrmaps.pipelines.report import report as write_page

        target = find_target(str(folder), cache, kind="run")
        written = write_page(target, cache=cache, out=out / "report.html", place="inline", overwrite=True)
        say(f"  open {written.page} in a browser: scores, curves, every picture with what was found and missed")

    with _step(say, f"find text with the shipped detector `{DEFAULT}`, which never saw such receipts"):
        from ocrmaps.pipelines.predict import run as predict

        one = val.pictures / samples[0].picture
        overlays = out / "found"
        done = predict(shipped(DEFAULT), [str(one)], out=out / "found.json", overlays=overlays, overwrite=True)
        say(f"  {done.sentence()}")
        say(f"  look at {overlays}; `ocrmaps predict PICTURES --out found` does this with yours")


def _receipts(folder: Path, split: str, num: int, seed: int, say: Say) -> Source:
    """The receipts of one split, made unless they are there."""
    if not folder.exists():
        say(f"  {data.synth(folder, format='ufo', num=num, seed=seed).sentence()}")
    source = open_source(folder, split=split)
    if (found := len(read(source))) != num:
        raise SpecError(f"{folder} holds {found} receipts, asked were {num}", hint="name another folder with --out")
    return source


def _fresh(runs: Path) -> Path:
    """A folder for one more run."""
    number = 1
    while (runs / f"{number:03d}").exists():
        number += 1
    return runs / f"{number:03d}"


@contextmanager
def _step(say: Say, title: str) -> Iterator[None]:
    say(title)
    start = time.perf_counter()
    yield
    say(f"  {time.perf_counter() - start:.1f} s")
