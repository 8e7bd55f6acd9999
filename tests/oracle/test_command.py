"""`ocrmaps oracle` and `recommend` from the command line, on a small curved data set."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image


def width(path) -> int:
    with Image.open(path) as image:
        return image.width


@pytest.fixture(scope="module")
def curved(tmp_path_factory):
    """One picture, two arcs of text, in Total-Text style."""
    root = tmp_path_factory.mktemp("curved")
    Image.new("RGB", (400, 300), "white").save(root / "a.jpg")
    angle = np.linspace(np.pi * 1.1, np.pi * 1.9, 8)
    words = {}
    for i, radius in enumerate((150, 90)):
        outer = np.stack([200 + radius * np.cos(angle), 220 + radius * np.sin(angle)], 1)
        inner = np.stack([200 + (radius - 26) * np.cos(angle), 220 + (radius - 26) * np.sin(angle)], 1)
        words[f"{i:04d}"] = {"points": np.concatenate([outer, inner[::-1]]).tolist()}
    (root / "labels.json").write_text(json.dumps({"images": {"a.jpg": {"words": words}}}))
    return root


def test_curved_text_needs_polygons(typed, curved):
    found = {}
    for shape in ("boxes", "polygons"):
        code, out, err = typed("oracle", curved, "--longest", 640, "--shape", shape, "--json")
        assert code == 0, err
        found[shape] = json.loads(out)["hmean"]
    assert found["polygons"]["0.9"] == 1
    assert found["boxes"]["0.7"] == 0


def test_the_shape_is_found_out_when_not_given(typed, curved):
    _, out, _ = typed("oracle", curved, "--longest", 640, "--json")
    record = json.loads(out)
    assert record["chain"]["shape"] == "polygons"
    assert record["hmean"]["0.9"] == 1


def test_page_overlays_recipe_and_plot_are_written(typed, curved, tmp_path):
    page, overlays = tmp_path / "page.html", tmp_path / "worst"
    code, _, err = typed("oracle", curved, "--shape", "boxes", "--page", page, "--overlays", overlays)
    assert code == 0, err
    assert "Worst pictures" in page.read_text()
    (picture,) = overlays.iterdir()
    assert width(picture) > 640
    recipe, plot = tmp_path / "my.toml", tmp_path / "curve.png"
    words = ("recommend", curved, "--budget-mpx", 0.2, "--out", recipe, "--plot", plot)
    code, _, err = typed(*words)
    assert code == 0, err
    assert width(plot) > 400
    _, out, _ = typed("oracle", curved, "--recipe", recipe, "--json")
    assert json.loads(out)["mpx_per_image"] <= 0.2
    code, _, err = typed(*words)
    assert code == 2
    assert "--yes" in err


def test_contradictory_options_are_refused(typed, curved, tmp_path):
    (tmp_path / "x.toml").write_text("")
    code, _, err = typed("oracle", curved, "--recipe", tmp_path / "x.toml", "--longest", 640)
    assert code == 2
    assert "drop --longest" in err
    assert typed("oracle", curved, "--chain", "published", "--shrink-ratio", 0.5)[0] == 2
