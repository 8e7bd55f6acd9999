"""The folds of an audit: every label is judged by a detector that did not learn from it."""

from __future__ import annotations

import pytest

from ocrmaps.annotations import open_source, picture_path, read
from ocrmaps.annotations.synth.receipts import SynthSpec, save
from ocrmaps.canonical import CanonicalSpec
from ocrmaps.detect.trained import load_detector, read_checkpoint
from ocrmaps.errors import SpecError
from ocrmaps.extract import ExtractSpec
from ocrmaps.pipelines import audit
from tests.predict.bright import light

PICTURES, FOLDS = 8, 2


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    """Pictures of which the second is the first once more."""
    spec = SynthSpec(num=PICTURES, seed=4, size=(256, 160), lines=(2, 4), text_height=(10.0, 16.0))
    source = save(spec, tmp_path_factory.mktemp("labels")).source
    one, two = (picture_path(source, sample) for sample in list(read(source))[:2])
    two.write_bytes(one.read_bytes())
    return source.annotations


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A network of random weights that looks at tiny canvases."""
    path = tmp_path_factory.mktemp("start") / "start.ckpt"
    canonical = CanonicalSpec.longest(64, shapes=(1.0,))
    return light(path, canonical, ExtractSpec(binarize=0.4))


def test_each_picture_is_judged_by_the_detector_that_did_not_learn_from_it(labels, start, tmp_path, monkeypatch):
    looked = {}
    real = audit.predict_pictures

    def watched(trained, files, **how):
        looked[trained.card["store"]["version"]] = [file.name for file in files]
        return real(trained, files, **how)

    monkeypatch.setattr(audit, "predict_pictures", watched)
    done = audit.run(open_source(labels), [start], folds=FOLDS, epochs=1, out=tmp_path / "a")
    everything = [sample.id for sample in read(open_source(labels))]
    assert sorted(name for names in looked.values() for name in names) == sorted(everything)
    for fold in range(FOLDS):
        last = tmp_path / "a" / "folds" / f"fold-{fold}" / "checkpoints" / "last.ckpt"
        card = read_checkpoint(last)["ocrmaps"]
        learnt = [sample.id for sample in read(open_source(tmp_path / "a" / "folds" / f"train-{fold}.json"))]
        assert card["samples"] == len(learnt) == (3, 5)[fold], "a picture and its double are in one fold"
        assert sorted(learnt + looked[card["store"]["version"]]) == sorted(everything)
        assert load_detector(last).extract.binarize == 0.4
    assert done.identity["folds"] == FOLDS and not (tmp_path / "a" / "folds" / "cache").exists()


def test_folds_that_teach_nothing_or_have_no_place_are_refused(labels, start, tmp_path):
    with pytest.raises(SpecError, match="8 pictures for 3 folds, expected at least 4 for each"):
        audit.run(open_source(labels), [start], folds=3, out=tmp_path / "a")
    with pytest.raises(SpecError, match="--out is missing"):
        audit.run(open_source(labels), [start], folds=2)
