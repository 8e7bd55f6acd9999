"""`ocrmaps data` as a person uses it: what is printed where, exit codes, files that are never replaced unasked."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ocrmaps.cli.app import main

ROOT = Path(__file__).resolve().parents[2]
LINES = [[[10, 10], [90, 10], [90, 30], [10, 30]], [[10, 40], [70, 40], [70, 60], [10, 60]]]


def picture(width=200, height=150, seed=0, orientation=None) -> bytes:
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, 255, (max(2, height // 16), max(2, width // 16), 3), dtype=np.uint8)
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(cells).resize((width, height), Image.Resampling.BICUBIC).save(buffer, "PNG", exif=exif)
    return buffer.getvalue()


def write_source(root: Path, outlines: dict[str, list], pictures: dict[str, bytes]) -> Path:
    (root / "images").mkdir(parents=True)
    for name, data in pictures.items():
        (root / "images" / name).write_bytes(data)
    images = {
        name: {"words": {f"{i:04d}": {"points": points, "transcription": f"t{i}"} for i, points in enumerate(lines)}}
        for name, lines in outlines.items()
    }
    (root / "labels.json").write_text(json.dumps({"images": images}), encoding="utf-8")
    return root


@pytest.fixture
def sound(tmp_path) -> Path:
    return write_source(
        tmp_path / "sound",
        {"a.png": LINES, "b.png": LINES[:1], "c.png": []},
        {"a.png": picture(), "b.png": picture(seed=1, orientation=6), "c.png": picture(seed=2)},
    )


@pytest.fixture
def broken(tmp_path) -> Path:
    """Everything at once, under a name that would like to be markup."""
    evil = "x<img src=x onerror=alert(1)>&[bold]\u202e.png"
    outlines = [*LINES, LINES[0], [[10, 80], [90, 120], [90, 80], [10, 120]], [[900, 10], [990, 10], [990, 30]]]
    return write_source(
        tmp_path / "broken",
        {evil: outlines, "cut.png": LINES, "gone.png": LINES, "dot.png": []},
        {evil: picture(), "cut.png": picture(seed=1)[:900], "dot.png": picture(1, 1), "nobody.png": picture(seed=4)},
    )


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs the command in this process: (exit code, stdout, stderr)."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ocrmaps", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        captured = capsys.readouterr()
        return int(stopped.value.code or 0), captured.out, captured.err

    return call


def test_a_sound_source_exits_zero_with_its_figures_on_stdout(run, sound):
    code, out, err = run("data", "check", sound)
    assert (code, err) == (0, "")
    assert "annotated pictures" in out and "text under 8 px" in out and "no problem found" in out


def test_text_too_small_for_the_size_is_no_good_news(run, sound, tmp_path):
    """The same files at two sizes: terminal, page and JSON say the same first sentence."""
    for longest, level in ((2000, "good"), (32, "note")):
        page = tmp_path / f"{longest}.html"
        code, out, _ = run("data", "check", sound, "--longest", longest, "--page", page)
        said = json.loads(run("data", "check", sound, "--longest", longest, "--json")[1])["verdict"]
        text = " ".join(out.replace("\N{NO-BREAK SPACE}", " ").split())
        assert code == 0 and said["level"] == level and text.startswith(said["text"])
        assert f"longest side {longest} px" in said["text"] and 0 <= said["legible_share"] <= 1
        html = page.read_text(encoding="utf-8").replace("\N{NO-BREAK SPACE}", " ")
        assert f'callout {level}"' in html and said["text"][1:] in html
        assert text.endswith("no problem found") == (level == "good")
    assert said["text"].startswith("no problem in the files, but 100 % of the texts are under 4 px")


def test_problems_exit_one_and_are_named(run, broken):
    code, out, _ = run("data", "check", broken)
    assert code == 1
    for words in ("cannot be read", "do not exist", "given twice", "cross or touch", "outside their picture"):
        assert words in " ".join(out.split()), words
    assert "kinds of problems found" in out
    assert "\u202e" not in out and "[bold]" in out


def test_json_is_one_document_that_says_the_same(run, broken):
    code, out, err = run("data", "check", broken, "--json")
    document = json.loads(out)
    assert (code, err, document["ok"]) == (1, "", False)
    source = document["sources"][0]
    kinds = {f["kind"]: f for f in source["findings"]}
    assert {"corrupt-picture", "missing-picture", "duplicate-outline", "crossing-outline", "outside-picture"} <= set(
        kinds
    )
    assert source["pictures"] | {"formats": 0, "modes": 0, "orientation_tags": 0, "megabytes": 0} == {
        "annotated": 4, "found": 3, "missing": 1, "unannotated": 1, "damaged": 1, "without_outlines": 1,
        "formats": 0, "modes": 0, "orientation_tags": 0, "megabytes": 0,
    }  # fmt: skip
    assert document["problems"] == sum(f["severity"] == "problem" for f in source["findings"])


def test_the_figures_are_what_was_annotated(run, sound):
    source = json.loads(run("data", "check", sound, "--json", "--longest", 100)[1])["sources"][0]
    assert source["outlines"]["total"] == source["outlines"]["with_text"] == 3
    assert source["outlines"]["vertices"] == {"4": 3}
    assert source["pictures"]["orientation_tags"] == {"6": 1, "none": 2}
    assert source["text"]["height_annotated"]["median"] == pytest.approx(20)
    assert source["text"]["height"]["median"] == pytest.approx(10, abs=0.1)
    assert source["text"]["under"] == {"4": 0.0, "8": 0.0, "12": 1.0}
    assert source["kernels"]["0.6"]["under_3px"] == 0.0
    assert sum(c["pictures"] for c in source["canvases"]) == 3


def test_two_splits_are_columns_and_a_shared_picture_is_a_leak(run, sound, tmp_path):
    other = write_source(tmp_path / "other", {"z.png": LINES}, {"z.png": picture()})
    code, out, _ = run("data", "check", f"train={sound}", f"val={other}", "--json")
    document = json.loads(out)
    assert code == 1
    assert [s["split"] for s in document["sources"]] == ["train", "val"]
    assert document["copies"]["pairs"] == [
        {"first": {"source": "train sound", "sample": "a.png"}, "second": {"source": "val other", "sample": "z.png"},
         "exact": True, "likeness": 1.0}
    ]  # fmt: skip


def test_a_contradicted_frame_prints_the_table_and_the_fix(run, tmp_path):
    low = [*LINES, [[20, 170], [90, 170], [90, 190], [20, 190]]]
    pictures = {f"{i}.png": picture(seed=i, orientation=6) for i in range(3)}
    path = write_source(tmp_path / "turned", dict.fromkeys(pictures, low), pictures)
    assert run("data", "check", path)[0] == 0
    code, out, _ = run("data", "check", path, "--frame", "raw")
    assert code == 1
    assert "fits upright only" in out and "declare it: --frame upright" in out
    assert max(len(line) for line in out.splitlines() if "fits upright only" in line) <= 80
    row = next(line.split() for line in out.splitlines() if line.split()[:1] == ["6"])
    assert row == ["6", "0", "3", "0", "0", "0"]


def test_the_page_is_written_once_and_replaced_only_when_told(run, broken, tmp_path):
    page = tmp_path / "deep" / "report.html"
    code, _, err = run("data", "check", broken, "--page", page)
    assert (code, err) == (1, f"wrote {page}\n")
    text = page.read_text(encoding="utf-8")
    assert "<img src=x" not in text and "&lt;img src=x onerror=alert(1)&gt;" in text
    assert text.count("data:image/jpeg;base64,") >= 4
    code, out, err = run("data", "check", broken, "--page", page)
    assert code == 2 and "exists already" in err and "--yes" in err and out == ""
    assert run("data", "check", broken, "--page", page, "--yes")[0] == 1
    assert page.read_text(encoding="utf-8") == text, "nothing in it depends on when it was made"
    assert [p.name for p in page.parent.iterdir()] == ["report.html"]


def test_annotations_without_pictures_are_checked_alone(run, tmp_path):
    path = write_source(tmp_path / "alone", {"a.png": LINES, "b.png": [LINES[0], LINES[0]]}, {})
    code, out, _ = run("data", "check", path, "--page", tmp_path / "p.html")
    assert code == 1 and "checked on their own" in " ".join(out.split()) and "given twice" in out
    assert "checked on their own" in (tmp_path / "p.html").read_text(encoding="utf-8")


def test_a_source_without_samples_is_a_problem_and_still_has_a_page(run, tmp_path):
    path = write_source(tmp_path / "none", {}, {"a.png": picture()})
    code, out, _ = run("data", "check", path / "labels.json", "--format", "ufo", "--page", tmp_path / "p.html")
    assert code == 1 and "no sample could be read" in out
    assert json.loads(run("data", "check", path / "labels.json", "--format", "ufo", "--json")[1])["ok"] is False


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["data", "check", "nowhere"], 3, "nowhere"),
        (["data", "check", "{tmp}"], 3, "no known annotations"),
        (["data", "check", "dev={sound}"], 2, "expected one of train, val, test"),
        (["data", "check", "{sound}", "{sound}", "--pictures", "{sound}"], 2, "one at a time"),
        (["data", "check", "{sound}", "--format", "synthtext"], 2, "expected one of ufo"),
        (["data", "check", "{sound}", "--page", "{sound}"], 2, "is a folder"),
        (["data", "check", "{sound}", "--longest", "4"], 2, "longest"),
        (["data", "check"], 2, "Missing argument"),
        (["data", "show", "{sound}", "zzz"], 2, "no sample 'zzz'"),
        (["data", "show", "{sound}", "7"], 2, "3 samples"),
        (["data", "show", "{sound}", "a.png", "--view", "sideways"], 2, "sideways"),
        (["data", "convert", "{sound}", "{tmp}/x", "--to", "labelme"], 2, "expected one of ufo"),
        (["data", "synth", "{sound}", "--num", "1"], 2, "not an empty folder"),
        (["data", "synth", "{tmp}/new", "--num", "1", "--format", "dota"], 2, "dota"),
    ],
    ids=lambda value: " ".join(value[1:]) if isinstance(value, list) else "",
)
def test_wrong_wishes_are_refused_with_a_reason(run, sound, tmp_path, arguments, code, said):
    (tmp_path / "empty").mkdir()
    filled = [a.format(sound=sound, tmp=tmp_path / "empty") for a in arguments]
    found, out, err = run(*filled)
    assert (found, out) == (code, "")
    assert said in " ".join(err.split())
    assert "Traceback" not in err


@pytest.mark.parametrize(("frame", "size"), [("raw", (200, 150)), ("upright", (150, 200)), ("canonical", (480, 640))])
def test_show_draws_a_sample_in_any_frame(run, sound, tmp_path, frame, size):
    out = tmp_path / "x.png"
    code, said, _ = run("data", "show", sound, "b.png", "--view", frame, "--out", out)
    assert code == 0 and str(out) in said and f"{frame} {size[0]} x {size[1]} px" in said
    with Image.open(out) as image:
        assert image.size == size


def test_show_finds_samples_by_name_stem_and_position_and_keeps_files(run, sound, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for wanted in ("b.png", "b", "1"):
        code, said, _ = run("data", "show", sound, wanted, "--yes", "--json")
        document = json.loads(said)
        assert (code, document["sample"], document["written"]) == (0, "b.png", "b-upright.png")
        assert document["transform"]["orientation"] == 6
    assert run("data", "show", sound, "b")[0] == 2, "never replaced unasked"


def test_show_says_which_picture_is_damaged(run, broken):
    code, out, err = run("data", "show", broken, "cut.png")
    assert (code, out) == (3, "") and "cut.png" in err


def test_convert_writes_another_format_and_counts_what_it_cannot_say(run, sound, tmp_path):
    target = tmp_path / "coco.json"
    code, said, _ = run("data", "convert", sound, target, "--to", "coco", "--json")
    document = json.loads(said)
    assert code == 0
    assert (document["from"], document["to"], document["pictures"], document["outlines"]) == ("ufo", "coco", 3, 3)
    assert isinstance(document["lost"], dict)
    code, out, err = run("data", "convert", sound, target, "--to", "coco")
    assert (code, out) == (2, "") and "--yes" in err
    assert run("data", "convert", sound, target, "--to", "coco", "--yes")[0] == 0


def test_a_conversion_keeps_every_point(run, sound, tmp_path):
    for target in ("ufo", "coco", "mmocr", "paddle"):
        out = tmp_path / f"there.{'txt' if target == 'paddle' else 'json'}"
        assert run("data", "convert", sound, out, "--to", target, "--yes")[0] == 0
        back = tmp_path / "back.json"
        arguments = ("--format", target, "--pictures", sound / "images", "--yes")
        assert run("data", "convert", out, back, "--to", "ufo", *arguments)[0] == 0
        words = json.loads(back.read_text())["images"]["a.png"]["words"]
        assert [word["points"] for word in words.values()] == LINES, target


def test_pictures_of_label_studio_get_an_address_in_front(run, sound, tmp_path):
    out = tmp_path / "tasks.json"
    address = "https://host/pictures/"
    assert run("data", "convert", sound, out, "--to", "labelstudio", "--url-prefix", address)[0] == 0
    assert all(task["data"]["ocr"].startswith(address) for task in json.loads(out.read_text()))
    code, _, said = run("data", "convert", sound, tmp_path / "o.json", "--to", "coco", "--url-prefix", address)
    assert code == 2 and "--url-prefix goes with --to labelstudio" in said


def test_what_cannot_be_read_is_not_converted_by_half(run, tmp_path):
    path = write_source(tmp_path / "bad", {"a.png": LINES, "b.png": [[["x", 1], [2, 3], [4, 5]]]}, {"a.png": picture()})
    code, _, err = run("data", "convert", path, tmp_path / "out.json", "--to", "coco")
    assert code == 3 and "labels.json" in err
    assert not (tmp_path / "out.json").exists()


def test_synth_gives_the_same_bytes_for_the_same_seed_and_passes_its_own_check(run, tmp_path):
    def digests(folder):
        return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()}

    options = ("--num", 4, "--seed", 5, "--height", 480, "--width", 320)
    code, said, _ = run("data", "synth", tmp_path / "one", *options, "--json")
    assert code == 0 and json.loads(said)["pictures"] == 4
    assert run("data", "synth", tmp_path / "two", *options)[0] == 0
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    assert run("data", "check", tmp_path / "one")[0] == 0


LOOKING = """
import sys
from pathlib import Path
from ocrmaps.cli.app import main
from ocrmaps.annotations.checks import survey

begun, look = Path(sys.argv.pop(1)), survey.look

def telling(*args, **settings):
    begun.touch()
    return look(*args, **settings)

survey.look = telling
sys.exit(main())
"""
"""The command line, which says when it looks at the first picture."""


def test_interruption_ends_a_check_with_a_line(tmp_path):
    names = [f"{i}.png" for i in range(3000)]
    path = write_source(tmp_path / "long", dict.fromkeys(names, LINES), {"0.png": picture(1600, 1200)})
    for name in names[1:]:  # one picture under many names: half a minute of decoding
        os.link(path / "images" / "0.png", path / "images" / name)
    begun = tmp_path / "begun"
    # A test run in the background of a shell ignores interruptions, and its children would inherit that.
    with subprocess.Popen(
        [sys.executable, "-c", LOOKING, str(begun), "data", "check", str(path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:  # fmt: skip
        while not begun.exists() and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        try:
            out, errors = process.communicate(timeout=600)
        finally:
            process.kill()
    assert (process.returncode, out, errors) == (130, "", "ocrmaps: interrupted\n")


def test_check_says_what_annotations_hold_and_samples_do_not(run, tmp_path):
    word = '{"transcription": "a", "points": [[10, 10], [90, 10], [90, 30], [10, 30]], "difficult": %s}'
    (tmp_path / "a.png").write_bytes(picture())
    label = f"a.png\t[{word % 'true'}, {word % 'false'}]\n"
    (tmp_path / "Label.txt").write_text(label, encoding="utf-8")
    _, out, _ = run("data", "check", tmp_path)
    assert "understood, but not kept: word difficult (1)" in " ".join(out.split())


def test_a_long_message_keeps_its_middle(run, tmp_path):
    word = "middle " * 40
    (tmp_path / "a.png").write_bytes(picture())
    (tmp_path / "gt_a.txt").write_text(f"10,10,90,10,90,30,10,30,12,{word},x\n1,2,3,{word}", encoding="utf-8")
    code, out, _ = run("data", "check", tmp_path, "--format", "sroie")
    assert code == 1
    assert "expected 8 numbers, then the text" in " ".join(out.split())
    assert "…" not in out


def test_what_convert_wrote_is_found_again_or_it_says_how(run, sound, tmp_path):
    code, out, _ = run("data", "convert", sound, sound / "written", "--to", "icdar")
    assert (code, "--pictures" in out) == (0, False)
    assert run("data", "check", sound / "written")[0] == 0
    code, out, _ = run("data", "convert", sound / "labels.json", tmp_path / "far" / "written", "--to", "icdar")
    assert code == 0
    assert f"name their folder with --pictures {sound / 'images'}" in out
    assert run("data", "check", tmp_path / "far" / "written", "--pictures", sound / "images")[0] == 0


@pytest.mark.parametrize("target", ["icdar", "yolo", "alto-lines"])
def test_convert_names_the_folder_of_pictures_that_are_named_with_one(run, tmp_path, target):
    """Files for one picture each are written into the folder that is part of the pictures' names."""
    word = json.dumps([{"transcription": "a", "points": [[10, 10], [90, 10], [90, 30], [10, 30]]}])
    (tmp_path / "set" / "inner").mkdir(parents=True)
    (tmp_path / "set" / "inner" / "a.png").write_bytes(picture())
    (tmp_path / "set" / "Label.txt").write_text(f"inner/a.png\t{word}\n", encoding="utf-8")
    written = tmp_path / "far" / "written"
    _, out, _ = run("data", "convert", tmp_path / "set" / "Label.txt", written, "--to", target)
    folder = out.split("name their folder with --pictures ")[1].strip()
    assert run("data", "check", written, "--pictures", folder)[0] == 0
