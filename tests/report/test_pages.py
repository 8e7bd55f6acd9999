"""`ocrmaps report` on a source, a store, a run and a benchmark record: one whole page each, or a clear refusal."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from ocrmaps.errors import DataError, SpecError, StoreNotFound
from ocrmaps.pipelines.report import find_target, report
from tests.report.chromium import act, needs_browser
from tests.report.test_page import Reader


def write(target: str | Path, made: Path, out: Path, *, kind: Any = None, **settings: Any):
    return report(find_target(str(target), made / "cache", kind=kind), cache=made / "cache", out=out, **settings)


def data_of(page: Path) -> dict:
    text = page.read_text(encoding="utf-8")
    return json.loads(re.search(r'id="explorer-data">(.*?)</script>', text, re.DOTALL)[1])


def check_whole(page: Path) -> str:
    """A whole document that fetches nothing."""
    text = page.read_text(encoding="utf-8")
    document = Reader(text)
    assert document.open == []
    assert "default-src 'none'" in text
    for tag, attrs in document.tags:
        for name in ("src", "href"):
            value = attrs.get(name)
            assert value is None or value.startswith(("data:", "#")), (tag, value)
    return text


def test_a_store_is_shown_with_its_rows_maps_ledger_and_digests(made, tmp_path):
    written = write("tiny", made, tmp_path / "p.html")
    text = check_whole(tmp_path / "p.html")
    data = data_of(tmp_path / "p.html")
    assert written.samples == len(data["names"]) == 7
    assert [layer["key"] for layer in data["layers"]] == ["picture", "truth", "probability", "threshold", "mask"]
    assert all(data["media"]["maps"]["of"])
    manifest = json.loads(next((made / "cache" / "tiny").glob("*/manifest.json")).read_text())
    assert manifest["root_digest"] in text
    assert "Failed samples" in text
    assert "bad-picture" in text, "the lost sample is in the ledger's table"
    assert "split" in [f["name"] for f in data["facets"]]


def test_a_source_is_shown_with_the_whole_check_and_its_damaged_picture(made, tmp_path):
    written = write(made / "train", made, tmp_path / "p.html")
    text = check_whole(tmp_path / "p.html")
    data = data_of(tmp_path / "p.html")
    assert written.samples == 5
    state = next(f for f in data["facets"] if f["name"] == "picture")
    assert state["values"] == ["damaged", "sound"]
    assert data["media"]["image"]["of"].count("") == 1, "there is no picture of a damaged file"
    assert "Coordinates" in text and "Findings" in text
    assert all(text for text in data["outlines"]["truth"])


def test_several_sources_share_a_page(made, tmp_path):
    write(made / "train", made, tmp_path / "p.html", also=[f"val={made / 'val'}"])
    names = next(f["values"] for f in data_of(tmp_path / "p.html")["facets"] if f["name"] == "source")
    assert len(names) == 2


def test_a_run_is_shown_with_its_ceiling_causes_and_predictions(made, run_folder, tmp_path):
    written = write(run_folder, made, tmp_path / "p.html")
    text = check_whole(tmp_path / "p.html")
    data = data_of(tmp_path / "p.html")
    assert written.samples == 3
    assert "perfect maps reach" in text
    assert "The training&#x27;s own validation said the same" in text
    assert {layer["key"] for layer in data["layers"]} >= {"truth", "prediction", "seen", "border", "mask"}
    assert [f["name"] for f in data["figures"]][:3] == ["errors", "lost", "wrong"]
    for title in ("Why text is lost", "Score cut", "How it learnt", "How fast it went", "Settings", "Environment"):
        assert f">{title}</h2>" in text
    root = json.loads((run_folder / "result.json").read_text())["root_digest"]
    assert text.count(root[:12]) >= 5, "every section says what produced its numbers"


def test_an_oracle_is_shown_with_every_picture_its_maps_causes_and_losses(made, tmp_path):
    """At 40 px some text is lost, so there are causes."""
    written = write(made / "val", made, tmp_path / "p.html", kind="oracle", longest=40)
    text = check_whole(tmp_path / "p.html")
    data = data_of(tmp_path / "p.html")
    assert written.kind == "oracle" and written.samples == 3
    assert [layer["key"] for layer in data["layers"]] == [
        "picture", "truth", "found", "probability", "threshold", "mask",
    ]  # fmt: skip
    assert all(data["media"]["maps"]["of"]) and all(data["media"]["image"]["of"])
    facets = {f["name"]: f["values"] for f in data["facets"]}
    assert any(value.startswith("text ") for value in facets["error"])
    assert "lost text height" in facets
    lost = next(f["of"] for f in data["figures"] if f["name"] == "lost")
    kinds = [{part[0] for part in outlines.split(";") if part} for outlines in data["outlines"]["truth"]]
    assert [bool(n) for n in lost] == ["l" in found for found in kinds] and any(lost)
    for title in ("Why text is lost", "Where it is lost", "What there is"):
        assert f">{title}</h2>" in text
    assert "<noscript>" in text and "Pictures that lose the most text" in text


def test_an_oracle_of_a_picture_that_is_damaged_is_judged_and_says_so(made, tmp_path):
    """Only headers are read to judge it."""
    source = shutil.copytree(made / "val", tmp_path / "val")
    picture = sorted((source / "images").iterdir())[0]
    picture.write_bytes(picture.read_bytes()[: picture.stat().st_size // 2])
    write(source, made, tmp_path / "p.html", kind="oracle")
    data = data_of(tmp_path / "p.html")
    assert data["media"]["image"]["of"].count("") == 1
    assert all(data["media"]["maps"]["of"]), "maps need no pixels"
    assert any("damaged" in note for notes in data["notes"].values() for note in notes)


def test_an_oracle_page_that_exists_stays(made, tmp_path):
    (tmp_path / "p.html").write_text("mine")
    with pytest.raises(SpecError, match="exists already"):
        write(made / "val", made, tmp_path / "p.html", kind="oracle")
    assert (tmp_path / "p.html").read_text() == "mine"


def test_a_run_that_was_interrupted_has_a_quick_page_without_a_store(run_folder, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run_folder, copy)
    (copy / "result.json").unlink()
    with pytest.raises(StoreNotFound, match="is not here"):
        report(find_target(str(copy), tmp_path), cache=tmp_path, out=tmp_path / "p.html")
    report(find_target(str(copy), tmp_path), cache=tmp_path, out=tmp_path / "p.html", quick=True)
    text = check_whole(tmp_path / "p.html")
    assert "has not come to its end" in text
    assert "<script" not in text


def test_a_store_that_changed_since_the_run_is_refused(made, run_folder, tmp_path):
    from ocrmaps.detect.trained import load_detector
    from ocrmaps.training.folder import find_store, read_run

    run = read_run(run_folder)
    trained = load_detector(run.checkpoint())
    trained.card["store"]["root_digest"] = "0" * 64
    with pytest.raises(StoreNotFound, match=r"\(root 000000000000\) is not here; .* has root"):
        find_store(trained.card, trained.card["store"], cache=made / "cache", run=run.folder)


RECORD = {
    "results": [
        {"name": "maps/vs", "value": 25.0, "unit": "x", "reference": "plain <b>", "spread": 2.0, "images": 10},
        {"name": "maps/ms", "value": 0.84, "unit": "ms", "reference": "plain", "spread": 0.0},
        {"name": "build/two", "value": 0.5, "unit": "ratio", "reference": "one", "spread": 0.1},
    ],
    "machine": {"processor": "p", "cores": 2},
    "command": "ocrmaps bench maps",
    "commit": "abc",
}


def test_a_benchmark_record_is_shown_with_references_and_spread(made, tmp_path):
    path = tmp_path / "r.json"
    path.write_text(json.dumps(RECORD))
    assert write(path, made, tmp_path / "p.html").kind == "bench"
    text = check_whole(tmp_path / "p.html")
    assert "plain &lt;b&gt;" in text
    assert text.count('class="whisker"') == 2
    assert "commit abc" in text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"value": "fast"}, r"results\[0\].value"),
        ({"value": True}, r"results\[0\].value"),
        ({"spread": None}, r"results\[0\].spread"),
        ({"name": 3}, r"results\[0\].name"),
    ],
)
def test_a_record_with_a_wrong_figure_is_refused_by_place(made, tmp_path, change, said):
    path = tmp_path / "r.json"
    path.write_text(json.dumps({**RECORD, "results": [{**RECORD["results"][0], **change}]}))
    with pytest.raises(DataError, match=said):
        write(path, made, tmp_path / "p.html")


def test_a_page_that_exists_stays_unless_replacing_was_agreed_to(made, tmp_path):
    path, out = tmp_path / "r.json", tmp_path / "p.html"
    path.write_text(json.dumps(RECORD))
    out.write_text("mine")
    with pytest.raises(SpecError, match="exists already"):
        write(path, made, out)
    assert out.read_text() == "mine"
    write(path, made, out, overwrite=True)
    assert out.read_text() != "mine"
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == [], "no half-written file stays"


def test_pictures_may_lie_beside_the_page_and_are_replaced_with_it(made, tmp_path):
    out = tmp_path / "p.html"
    written = write("tiny", made, out, place="folder", side=64)
    assert written.folder == tmp_path / "p-files"
    assert len(list((tmp_path / "p-files" / "image").iterdir())) == 7
    assert "img-src data: &#x27;self&#x27; file:" in out.read_text() or "img-src data: 'self' file:" in out.read_text()
    with pytest.raises(SpecError, match="exists already"):
        write("tiny", made, out, place="folder")
    (tmp_path / "p-files" / "stray").write_text("x")
    write("tiny", made, out, place="folder", side=64, overwrite=True)
    assert not (tmp_path / "p-files" / "stray").exists()


def test_the_same_store_gives_the_same_page(made, tmp_path):
    for name in "ab":
        write("tiny", made, tmp_path / f"{name}.html", workers=2)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_what_a_target_is_follows_from_what_is_there(made, run_folder, tmp_path):
    version = next((made / "cache" / "tiny").glob("*/manifest.json")).parent
    record = tmp_path / "r.json"
    record.write_text(json.dumps(RECORD))
    for text, kind in (
        (run_folder, "run"), (made / "train", "source"), (version, "store"), (made / "cache" / "tiny", "store"),
        ("tiny", "store"), (f"tiny/{version.name}", "store"), (record, "bench"),
        (made / "train" / "annotations.json", "source"),
    ):  # fmt: skip
        assert find_target(str(text), made / "cache").kind == kind, text


def test_a_word_that_names_a_store_means_it_also_beside_a_folder_of_that_name(made, tmp_path, monkeypatch):
    shutil.copytree(made / "val", tmp_path / "tiny")
    monkeypatch.chdir(tmp_path)
    assert find_target("tiny", made / "cache").kind == "store"
    assert find_target("./tiny", made / "cache").kind == "source"
    assert find_target("tiny", made / "cache", kind="source").kind == "source"
    assert find_target("tiny", tmp_path).kind == "source"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"checkpoint": Path("x")}, "--checkpoint"),
        ({"quick": True}, "--quick"),
        ({"format": "coco"}, "--format"),
        ({"also": ["y"]}, "further targets"),
        ({"side": 7}, "side"),
    ],
)
def test_settings_that_mean_nothing_are_refused(made, tmp_path, settings, said):
    with pytest.raises(SpecError, match=said):
        write("tiny", made, tmp_path / "p.html", **settings)


def test_targets_and_names_that_do_not_exist_are_refused(made, tmp_path):
    with pytest.raises(SpecError, match="neither a file"):
        find_target("no-such", made / "cache")
    with pytest.raises(SpecError, match=r"run\.json"):
        report(find_target(str(made / "train"), made / "cache", kind="run"), cache=made, out=tmp_path / "p.html")
    with pytest.raises(SpecError, match=r"\.html"):
        write("tiny", made, tmp_path / "p.txt")


class TestInBrowser:
    pytestmark = needs_browser

    @pytest.mark.parametrize("width", [390, 1280])
    def test_the_page_of_a_run_fits_shows_its_layers_and_says_nothing_to_the_console(
        self, made, run_folder, tmp_path, width
    ):
        write(run_folder, made, tmp_path / "p.html")
        found, console = act(
            tmp_path / "p.html",
            """
            const out = { fits: document.documentElement.scrollWidth <= innerWidth, rows: all(".x-row").length };
            if (innerWidth < 500) { all(".x-row")[0].click(); await wait(50); }
            for (const key of "qbptm") await press(key, document.body);
            await wait(200);
            return { ...out, layers: layers(), drawn: all(".x-sheet img").every(i => i.naturalWidth > 0),
                     still: document.documentElement.scrollWidth <= innerWidth };
            """,
            width=width,
        )
        assert found["fits"] and found["still"] and found["drawn"]
        assert found["rows"] == 3
        assert set(found["layers"]) == {
            "picture",
            "truth",
            "prediction",
            "seen",
            "border",
            "probability",
            "threshold",
            "mask",
        }
        assert console == ""

    def test_the_page_of_an_oracle_filters_by_cause_shows_its_layers_and_keeps_quiet(self, made, tmp_path):
        write(made / "val", made, tmp_path / "p.html", kind="oracle", longest=40)
        found, console = act(
            tmp_path / "p.html",
            """
            const out = { first: one(".x-row .x-figures b").textContent, rows: all(".x-row").length };
            for (const key of "ptm") await press(key, document.body);
            await wait(200);
            const cause = one(facet("error"));
            await choose(facet("error"), [...cause.options].find(o => o.textContent.startsWith("text ")).value);
            return { ...out, layers: layers(), left: all(".x-row").length,
                     drawn: all(".x-sheet img").every(i => i.naturalWidth > 0) };
            """,
        )
        assert found["rows"] == 3 and 1 <= found["left"] <= 3 and int(found["first"]) > 0
        assert set(found["layers"]) == {"picture", "truth", "found", "probability", "threshold", "mask"}
        assert found["drawn"] and console == ""

    def test_bench_and_quick_pages_fit_a_phone(self, made, run_folder, tmp_path):
        record = tmp_path / "r.json"
        record.write_text(json.dumps(RECORD))
        write(record, made, tmp_path / "bench.html")
        text = (tmp_path / "bench.html").read_text()
        # A page without a script of its own allows none; the copy allows the driver.
        (tmp_path / "bench.html").write_text(
            text.replace("form-action 'none'", "form-action 'none'; script-src 'none'")
        )
        found, console = act(
            tmp_path / "bench.html", "return document.documentElement.scrollWidth <= innerWidth;", width=390
        )
        assert found is True
        assert console == "" or "script-src" in console
