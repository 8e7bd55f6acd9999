"""The main job on data made for the occasion: generate, check, oracle, recommend, build, verify, status."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ocrmaps.annotations import open_source, read
from ocrmaps.errors import RunError, SpecError
from ocrmaps.recipe import load_recipe
from ocrmaps.store.status import cache_status
from ocrmaps.store.verify import verify
from pipelines import data, data_page, oracle, oracle_report, recommend
from pipelines.build import build

Say = Callable[[str], None]


def demo(out: Path, *, num: int, seed: int, say: Say) -> None:
    """Everything into the folder `out`, which must be new or a demo's own; raises if a step does not hold."""
    mark = out / ".ocrmaps-demo"
    if out.exists() and any(out.iterdir()) and not mark.exists():
        raise SpecError(f"{out} is not empty and holds no demo", hint="name another folder with --out")
    out.mkdir(parents=True, exist_ok=True)
    mark.touch()
    receipts, cache = out / "receipts", out / "cache"

    with _step(say, f"generate {num} receipts"):
        if receipts.exists():
            source = open_source(receipts)
            found = len(read(source))
            if found != num:
                raise SpecError(f"{receipts} holds {found} receipts, asked were {num}", hint="name another --out")
            say(f"  {receipts} is there already")
        else:
            made = data.synth(receipts, format="ufo", num=num, seed=seed)
            source = made.source
            say(f"  {made.sentence()}")

    with _step(say, "check them"):
        checkup = data.check([source], spec=oracle.Chain.longest(640).canonical)
        (out / "check.html").write_text(data_page.health_page(checkup), encoding="utf-8")
        if not checkup.ok:
            raise RunError("generated receipts have problems", hint=f"look at {out / 'check.html'}")
        say(f"  no problems; the report is {out / 'check.html'}")

    samples = list(read(source))
    heads = oracle.headers(source, samples)
    with _step(say, "score perfect maps (the ceiling of any network)"):
        for name, chain in (("published", oracle.Chain.published(640)), ("exact", oracle.Chain.longest(640))):
            result = oracle.run_oracle(samples, heads, chain)
            hmean = ", ".join(f"{value:.4f} at IoU {t:g}" for t, value in result.hmean.items())
            say(f"  {name:9s} maps and extraction: hmean {hmean}; {result.mpx_per_image:.2f} Mpx a picture")
        oracle_report.write_page(source, samples, heads, result, out / "oracle.html")

    recipe = out / "demo.toml"
    with _step(say, "recommend a recipe for 0.30 Mpx a picture"):
        chosen = recommend.recommend(samples, heads, budget_mpx=0.30, judged_on=16)
        recommend.write_recipe(chosen, source, recipe)
        oracle_report.plot_tradeoff(chosen, out / "tradeoff.png")
        say(f"  {chosen.chosen.canonical.side} px longest side, r = {chosen.chosen.maps.shrink_ratio:g}: {recipe}")

    with _step(say, "build the store"):
        report = build(load_recipe(recipe), cache)
        say(f"  {report.state} {report.store}/{report.version}, {report.counts['rows']} rows")
        say(f"  root digest {report.root_digest}")

    with _step(say, "verify every byte"):
        found_sound = verify(report.folder, level="digest")
        if not found_sound.ok:
            raise RunError(f"the store is damaged: {found_sound.problems[0]}", hint="ocrmaps repair demo")
        say("  every byte agrees with its digest")

    with _step(say, "cache status"):
        for record in cache_status(cache):
            word = "current with its sources" if record["current"] else "stale"
            say(f"  {record['store']}/{record['version']}: {word}, {record['counts']['rows']} rows")


@contextmanager
def _step(say: Say, title: str) -> Iterator[None]:
    say(title)
    start = time.perf_counter()
    yield
    say(f"  {time.perf_counter() - start:.1f} s")
