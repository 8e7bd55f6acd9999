"""`import ocrmaps` offers its names without loading what they need, and records show themselves safely."""

from __future__ import annotations

import ast
import inspect
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

import ocrmaps
from ocrmaps import inline
from ocrmaps.annotations import Sample
from ocrmaps.detect.predict import Prediction
from ocrmaps.errors import SpecError, StoreError
from ocrmaps.evaluation import EvaluationSpec, evaluate, judge_picture
from ocrmaps.geometry import PolygonSet
from tests.store.world import make_world

ROOT = Path(__file__).resolve().parents[1]
EVIL = "<script>alert('x')</script>\"&"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 rows: train has 10 of 64x32 and 3 of 64x64."""
    world = make_world(tmp_path_factory.mktemp("door"), samples=20)
    world.build()
    return world.folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """One picture, wider than high, with a text that looks like markup."""
    (tmp_path / "images").mkdir()
    Image.new("RGB", (80, 40), (200, 210, 220)).save(tmp_path / "images" / "a.png")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "gt_a.txt").write_text(f"10,10,60,10,60,30,10,30,{EVIL}\n", encoding="utf-8")
    return tmp_path


def loaded_by(code: str) -> list[str]:
    probe = f"import sys; before = set(sys.modules); {code}; print(*sorted(set(sys.modules) - before))"
    return subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, cwd=ROOT, check=True
    ).stdout.split()


def test_importing_loads_the_package_alone():
    assert [m for m in loaded_by("import importlib, typing, ocrmaps") if m.startswith("ocrmaps")] == ["ocrmaps"]
    # What it needs of the standard library is a handful, whatever the names behind the door need.
    assert len(loaded_by("import importlib, typing; import ocrmaps")) <= 60
    assert len(loaded_by("dir(__import__('ocrmaps'))")) <= 60


def test_the_functions_load_nothing_before_they_are_called():
    assert [m for m in loaded_by("import ocrmaps; ocrmaps.train, ocrmaps.predict") if m.startswith("ocrmaps")] == [
        "ocrmaps",
        "ocrmaps.api",
    ]
    assert {"torch", "numpy"}.isdisjoint(loaded_by("import ocrmaps; ocrmaps.train"))


def test_every_name_is_there_and_says_what_it_does():
    for name in ocrmaps.__all__:
        assert inspect.getdoc(getattr(ocrmaps, name)), name
    assert set(ocrmaps.__all__) <= set(dir(ocrmaps))


def test_type_checkers_see_the_same_names():
    tree = ast.parse(Path(ocrmaps.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {a.asname or a.name for node in block.body if isinstance(node, ast.ImportFrom) for a in node.names}
    assert seen == set(ocrmaps.__all__)
    assert (ROOT / "ocrmaps" / "py.typed").is_file()


def test_help_names_everything():
    assert [name for name in ocrmaps.__all__ if name not in (ocrmaps.__doc__ or "")] == ["load_detector"]


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(AttributeError, match="open_source, read_samples"):
        _ = ocrmaps.open_sauce


def test_maps_of_a_sample_give_its_polygons_back(source):
    (sample,) = ocrmaps.read_samples(source)
    found = ocrmaps.extract_polygons(ocrmaps.draw_maps(sample, longest=80))
    assert len(found) == 1
    np.testing.assert_allclose(found.polygons.bounds()[0], [10, 10, 60, 30], atol=1.0)
    assert ocrmaps.oracle(source, longest=96).hmean[0.5] == 1.0


def test_maps_of_a_sample_without_a_picture_are_refused(source):
    (sample,) = ocrmaps.read_samples(source)
    with pytest.raises(SpecError, match="where its picture is"):
        ocrmaps.draw_maps(replace(sample, folder=None))


def test_an_open_version_stands_for_its_folder(folder):
    with ocrmaps.open_version(folder) as version, ocrmaps.open_version(version) as again:
        assert again.folder == version.folder == folder


# -- MapDataset


def test_items_are_the_rows_of_the_loader(folder):
    rows = ocrmaps.MapDataset(folder, split="train")
    assert len(rows) == 13
    by_row = {int(rows[i].row): rows[i] for i in range(len(rows))}
    with ocrmaps.MapLoader(folder, split="train", batch_size=4, shuffle=False) as loader:
        for batch in loader:
            for k, row in enumerate(batch.row.tolist()):
                assert all(torch.equal(a, b[k]) for a, b in zip(by_row[row][:4], batch[:4], strict=True))
    assert rows.id(0) == rows.id(-len(rows)) and rows.polygons(0).frame == "canonical"
    with pytest.raises(IndexError, match="item 13 of 13"):
        _ = rows[13]
    rows.close()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_data_loader_gives_the_batches_of_the_loader(folder, workers):
    rows = pickle.loads(pickle.dumps(ocrmaps.MapDataset(folder, split="train")))
    _ = rows[0]  # open in this process before workers begin
    batches = DataLoader(rows, batch_sampler=rows.batches(4, shuffle=True, seed=3), num_workers=workers)
    with ocrmaps.MapLoader(folder, split="train", batch_size=4, shuffle=True, seed=3) as loader:
        for epoch in range(2):
            loader.set_epoch(epoch)
            for mine, theirs in zip(batches, loader, strict=True):
                assert type(mine) is type(theirs)
                assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))
                assert mine.targets.probability_mask.dtype == torch.bool
    rows.close()


def test_a_dataset_refuses_a_version_that_was_replaced(folder, monkeypatch):
    rows = ocrmaps.MapDataset(folder)
    monkeypatch.setattr(rows, "root_digest", "0" * 64)
    with pytest.raises(StoreError, match="was replaced"):
        _ = rows[0]


def test_a_loss_falls_in_a_plain_loop(folder):
    detector, loss = ocrmaps.new_detector("light"), ocrmaps.new_loss()
    optimizer = torch.optim.SGD(detector.parameters(), lr=0.01)
    rows = ocrmaps.MapDataset(folder, split="train")
    batch = next(iter(DataLoader(rows, batch_sampler=rows.batches(4))))
    totals = []
    for _ in range(4):
        total = loss(detector(batch.image), batch.targets).total
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(total.item())
    rows.close()
    assert totals[-1] < totals[0]


# -- how records show themselves


def test_a_sample_shows_its_picture_and_escapes_its_text(source):
    (sample,) = ocrmaps.read_samples(source)
    assert repr(sample) == "Sample('a.png', PolygonSet(1 polygons, upright))"
    page = sample._repr_html_()
    assert 'viewBox="0 0 80 40"' in page and "data:image/jpeg;base64," in page
    assert 'points="10.0,10.0 60.0,10.0 60.0,30.0 10.0,30.0"' in page
    assert "<script" not in page and "&lt;script&gt;" in page


def test_a_sample_whose_picture_is_gone_says_so(source):
    (sample,) = ocrmaps.read_samples(source)
    (source / "images" / "a.png").unlink()
    page = sample._repr_html_()
    assert "data:image" not in page and "the picture is not shown" in page and "<polygon" in page


def test_a_name_like_markup_is_escaped():
    box = PolygonSet.of([[(0, 0), (4, 0), (4, 2)]], frame="raw", ignore=[True])
    page = Sample(id=f"{EVIL}.png", polygons=box, loc=EVIL)._repr_html_()
    assert "<script" not in page and inline.IGNORED in page
    assert "<script" not in inline.facts(EVIL, {EVIL: EVIL}) + inline.table([EVIL], [[EVIL]])


def test_a_version_and_a_batch_show_what_they_hold(folder):
    with ocrmaps.open_version(folder) as version:
        assert repr(version) == f"Reader({folder.parent.name}/{folder.name}): 20 rows"
        page = version._repr_html_()
        assert version.root_digest in page and "train 13" in page and "64x32" in page
    with ocrmaps.MapLoader(folder, split="train", batch_size=6, shuffle=False) as loader:
        batch = max(loader, key=lambda b: len(b.row))
    assert repr(batch) == "Batch(6 of 64x32 on cpu; rows 0, 2, 4, 6, 8, 10)"
    before = batch.image.clone()
    assert batch._repr_html_().count("<img") == 4
    assert torch.equal(batch.image, before)


def test_an_evaluation_shows_its_scores_and_says_when_they_are_partial():
    box = PolygonSet.of([[(0, 0), (40, 0), (40, 10), (0, 10)]], frame="upright")
    seen = judge_picture("a.png", box, box, spec=EvaluationSpec(), scores=np.array([0.9]))
    whole = evaluate([seen], ["a.png"], spec=EvaluationSpec())
    assert repr(whole) == "Evaluation(1 pictures, complete, hmean 1.0000 at IoU 0.5)"
    assert "<th>IoU 0.5</th><td>1.0000</td>" in whole._repr_html_()
    part = evaluate([seen], ["a.png", "b.png"], spec=EvaluationSpec())
    assert repr(part) == "Evaluation(1 pictures, partial 1/2, no hmean)"
    assert part._repr_html_().count("partial 1/2") > 1
    none = evaluate([], [], spec=EvaluationSpec())
    assert "<tbody></tbody>" in none._repr_html_()


def test_a_prediction_shows_what_was_found_or_why_nothing_was(source):
    box = PolygonSet.of([[(5, 5), (40, 5), (40, 10), (5, 10)]], frame="upright")
    path = source / "images" / "a.png"
    made = Prediction(
        name="a.png", path=path, page=1, size=(40, 80), polygons=box, scores=np.ones(1, np.float32), probability=None,
        transform=None,
    )  # fmt: skip
    assert repr(made) == "Prediction('a.png', PolygonSet(1 polygons, upright))"
    assert "data:image/jpeg" in made._repr_html_() and 'points="5.0,5.0' in made._repr_html_()
    failed = replace(made, polygons=PolygonSet.empty("upright"), path=source / "gone.png", error=EVIL)
    assert "<script" not in failed._repr_html_() and "not read: &lt;script" in failed._repr_html_()
