"""`ocrmaps diagnose`: each seeded fault is named first, sound output is called sound, files are read as they are."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from ocrmaps.annotations import open_source
from ocrmaps.evaluation.diagnose import frames
from ocrmaps.evaluation.diagnose.rank import diagnose, first_finding
from ocrmaps.evaluation.diagnose.reading import read_outputs
from ocrmaps.evaluation.diagnose.records import KINDS, PageOutput
from ocrmaps.evaluation.diagnose.seeded import FAULTS, on_any_page, seeded
from ocrmaps.evaluation.diagnose.summary import EMPTY, NOTHING, as_json, headline, text
from ocrmaps.evaluation.submitted import PredictionOptions
from ocrmaps.geometry import Affine, PolygonSet

SIZES = ((600, 400), (520, 420), (640, 380))


def named_first(name: str, seed: int) -> str | None:
    found = first_finding(seeded(name, seed))
    return None if found is None else found.cure.kind


def test_seeded_faults_are_named_first():
    """`ocrmaps bench diagnose` does the same with 200 cases."""
    cases = [(name, 100 + n // len(FAULTS)) for n, name in enumerate([*FAULTS, *FAULTS][:40])]
    wrong = {(name, seed): got for name, seed in cases if (got := named_first(name, seed)) != FAULTS[name].kind}
    assert len(wrong) <= 0.05 * len(cases), wrong
    named = {FAULTS[name].kind for name, seed in cases if (name, seed) not in wrong}
    assert named == {None, *KINDS} - {"names"}, "no kind may be lost behind the 5 %"


def test_every_kind_has_a_fault_that_is_seeded():
    # Names are only in files; they have tests of their own below.
    assert {fault.kind for fault in FAULTS.values()} == {None, *KINDS} - {"names"}


def test_faults_are_seeded_on_annotations_too():
    on = [(page.size, page.truth) for page in seeded("none-upright", 7, pages=6)]
    for name in ("none", "shifted", "sizes-as-corners"):
        made = seeded(name, 1, pages=4, on=on)
        assert all(any(page.truth == truth for _, truth in on) for page in made)
        found = first_finding(made)
        assert (None if found is None else found.cure.kind) == FAULTS[name].kind
    assert not on_any_page("words") and on_any_page("shifted")


def test_axes_and_scale_may_be_wrong_at_once():
    pages = seeded("none", 3)
    wrong = [
        page.moved(Affine.scaling(1 / page.size[0], 1 / page.size[1]).apply(page.found.points[:, ::-1]))
        for page in pages
    ]
    found = first_finding(wrong)
    assert found is not None and found.cure.values["orientation"] == 5
    assert found.counts.hmean == pytest.approx(diagnose(pages).hmean, abs=0.01)
    assert "swapped" in found.cure.wrong and "shares of the sides" in found.cure.wrong


def test_changes_come_one_after_the_other():
    pages = [page.moved(page.found.points + (30, -20)) for page in seeded("low-threshold", 2)]
    found = diagnose(pages)
    assert [step.cure.kind for step in found.steps] == ["offset", "threshold-low"]
    assert found.steps[0].counts.hmean == pytest.approx(found.steps[1].before)
    assert found.steps[1].counts.hmean > found.steps[0].counts.hmean + 0.1 > found.hmean


def test_a_scale_is_found_to_a_thousandth():
    (cure,) = (c for c in frames.scales(seeded("doubled", 1)) if "factor" in c.values)
    assert cure.values["factor"] == pytest.approx(0.5, rel=1e-3)


def test_nothing_wrong_is_said_plainly():
    found = diagnose(seeded("none", 0))
    assert found.first is None and NOTHING in headline(found) and NOTHING in text(found)
    assert as_json(found)["first"] is None and as_json(found)["findings"] == []


def test_an_output_without_detections_is_not_called_sound():
    none = [replace(p, found=PolygonSet.empty("upright"), scores=np.zeros(0)) for p in seeded("none", 0)[:3]]
    assert EMPTY in headline(diagnose(none)) and NOTHING not in headline(diagnose(none))


def test_output_that_is_the_truth_has_nothing_to_mend():
    pages = [replace(p, found=p.truth, scores=np.ones(len(p.truth))) for p in seeded("none", 1)]
    found = diagnose(pages)
    assert (found.hmean, found.findings) == (1.0, ())
    assert dict(found.protocols)["DetEval"] == pytest.approx(1.0)


def test_pages_without_anything_are_no_fault_of_this_command():
    nothing = PolygonSet.empty("upright")
    page = PageOutput(id="a", size=(10, 10), orientation=1, truth=nothing, found=nothing, scores=np.zeros(0))
    found = diagnose([page, replace(page, id="b")])
    assert found.first is None and "hmean" in text(found)
    rules = text(found).partition("(hmean):\n")[2].partition("\n\n")[0].splitlines()
    assert len(rules) > 4 and len({line.rindex(" ") for line in rules}) == 1, "the values stand in one column"


@pytest.fixture
def receipts(tmp_path):
    """Three white pictures with twelve annotated lines each, as one COCO file."""
    (tmp_path / "src" / "images").mkdir(parents=True)
    images, annotations = [], []
    rng = np.random.default_rng(0)
    for i, (height, width) in enumerate(SIZES):
        Image.new("L", (width, height), 255).save(tmp_path / "src" / "images" / f"page_{i + 1}.png")
        images.append({"id": i, "file_name": f"page_{i + 1}.png"})
        for row in range(12):
            x, y, w = 10 + 60 * rng.random(), 10 + 40 * row, 120 + 150 * rng.random()
            quad = [x, y, x + w, y, x + w, y + 20, x, y + 20]
            annotations.append({"id": len(annotations), "image_id": i, "category_id": 1, "segmentation": [quad]})
    labels = {"images": images, "annotations": annotations}
    (tmp_path / "src" / "labels.json").write_text(json.dumps(labels))
    return tmp_path


def write(folder, change=lambda x, y: (x, y), name=lambda i: f"page_{i}.png"):
    """The annotations again as predictions of ours to be, with changed points and names."""
    labels = json.loads((folder / "src" / "labels.json").read_text())
    rows = []
    for image in labels["images"]:
        mine = [a["segmentation"][0] for a in labels["annotations"] if a["image_id"] == image["id"]]
        polygons = [np.stack(change(*np.reshape(q, (4, 2)).T), axis=1).ravel().tolist() for q in mine]
        rows.append({"img_path": name(image["id"] + 1), "polygons": polygons, "scores": [0.9] * len(polygons)})
    (folder / "found.json").write_text(json.dumps(rows))
    return folder / "found.json"


def outputs(folder, path):
    return read_outputs(path, open_source(folder / "src"), options=PredictionOptions())


def test_coordinates_that_evaluation_refuses_are_diagnosed(receipts):
    path = write(receipts)
    rows = json.loads(path.read_text())
    for row, (height, width) in zip(rows, SIZES, strict=True):
        row["polygons"] = [(np.reshape(p, (4, 2)) / (width, height)).ravel().tolist() for p in row["polygons"]]
    path.write_text(json.dumps(rows))
    found = diagnose(outputs(receipts, path).pages)
    assert (found.hmean, found.first.cure.kind, found.first.counts.hmean) == (0.0, "normalized", 1.0)


@pytest.mark.parametrize(
    ("name", "compared"),
    [
        (lambda i: f"PAGE_{i}.JPG", "without case and ending"),
        (lambda i: f"scan-{i:04}-v.png", "by the numbers in them"),
        (lambda i: f"2026-{i}.png", "by their last number"),
        (lambda i: "abc"[i - 1] + ".png", "by their order"),
    ],
)
def test_names_nobody_knows_are_the_first_thing(receipts, name, compared):
    read = outputs(receipts, write(receipts, name=name))
    found = diagnose(read.pages, named_otherwise=read.renamed, notes=read.notes)
    assert found.hmean == 0.0 and found.first.cure.kind == "names"
    assert found.first.cure.values["compared"] == compared and found.first.counts.hmean == 1.0
    assert "3 predicted pictures are not in the source" in text(found)


@pytest.mark.parametrize(
    ("stated", "other"),
    [(lambda h, w: (h, w), 0), (lambda h, w: (w, h), 0), (lambda h, w: (h // 2, w // 2), 0),
     (lambda h, w: (640, 640), 0), (lambda h, w: (h // 64 * 32, -(w // -64) * 32), 0), (lambda h, w: (h, 2 * w), 3),
     (lambda h, w: (h, 2 * w if h == 600 else w), 0)],
)  # fmt: skip
def test_predictions_of_other_pictures_are_told_by_the_sizes_they_state(receipts, stated, other):
    labels = json.loads((receipts / "src" / "labels.json").read_text())
    images = {}
    for image, size in zip(labels["images"], SIZES, strict=True):
        mine = [a["segmentation"][0] for a in labels["annotations"] if a["image_id"] == image["id"]]
        words = {str(i): {"points": np.reshape(q, (4, 2)).tolist(), "score": 0.9} for i, q in enumerate(mine)}
        height, width = stated(*size)
        images[image["file_name"]] = {"img_h": height, "img_w": width, "words": words}
    (receipts / "found.json").write_text(json.dumps({"images": images}))
    said = [note for note in outputs(receipts, receipts / "found.json").notes if "of other pictures" in note]
    assert [note.partition(" predictions")[0] for note in said] == [f"{other} of 3"] * bool(other)


def test_a_picture_that_is_not_named_is_an_empty_page(receipts):
    path = write(receipts)
    path.write_text(json.dumps(json.loads(path.read_text())[:2]))
    found = diagnose(outputs(receipts, path).pages)
    assert found.first.cure.kind == "empty-pages" and found.first.estimate
    assert found.first.cure.values["pictures"] == ["page_3.png"]
    assert "about 1.000" in text(found)


def test_the_command_says_it_and_writes_a_page(receipts, typed):
    path, page = write(receipts, lambda x, y: (y, x)), receipts / "why.html"
    words = ("diagnose", "--predictions", path, "--source", receipts / "src")
    code, out, err = typed(*words, "--out", page)
    assert code == 0, err
    assert "Change first: X and y are swapped" in out.splitlines()[0] and "-> 1.000" in out.splitlines()[0]
    html = page.read_text()
    assert html.index("Change first: X and y are swapped") < html.index('id="what-was-looked-for"')
    assert html.count("<img") == 6 and "mended" in html and "http" not in html.replace("http-equiv", "")
    code, out, err = typed(*words, "--out", page)
    assert code == 2 and "exists" in err
    code, out, _ = typed(*words, "--json")
    document = json.loads(out)
    assert (code, document["first"], document["hmean"]) == (0, "turned", 0.0)
    assert document["findings"][0]["hmean_after"] == 1.0 and document["protocols"]["DetEval"] == 0.0


def test_a_page_needs_a_name_of_its_kind(receipts, typed):
    code, _, err = typed("diagnose", "--predictions", write(receipts), "--source", receipts / "src", "--out", "why.txt")
    assert code == 2 and ".html" in err


def test_evaluation_names_the_command_where_a_score_is_low(receipts, typed):
    words = ("--source", receipts / "src", "--protocol", "iou")
    for shift, hinted in ((0, False), (14, True)):
        path = write(receipts, lambda x, y, by=shift: (x, y + by))
        code, _, err = typed("evaluate", "--predictions", path, *words)
        assert code == 0, err
        assert (f"ocrmaps diagnose --predictions {path} --source {receipts / 'src'}" in err) is hinted
