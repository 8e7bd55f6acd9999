"""PAGE XML, by line and by word."""

from __future__ import annotations

import pytest

from ocrmaps.annotations import open_source, read
from ocrmaps.errors import AnnotationError
from tests.contracts.reader import ReaderContract, kinds, lay, scanned, source_of

HEAD = '<PcGts xmlns="http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15">'


class TestContract(ReaderContract):
    format = "page-lines"
    file = "a.xml"
    example = f"""<?xml version="1.0" encoding="UTF-8"?>
{HEAD}<Metadata><Creator>x</Creator></Metadata>
<Page imageFilename="a.jpg" imageWidth="40" imageHeight="30">
<TextRegion id="r"><Coords points="0,0 40,0 40,30 0,30"/>
<TextLine id="l"><Coords points="1,2 30,2 30,12 1,12"/><Baseline points="1,10 30,10"/>
<TextEquiv index="1"><Unicode>Tofal</Unicode></TextEquiv>
<TextEquiv index="0"><Unicode>Total &lt;1&gt;</Unicode></TextEquiv>
</TextLine></TextRegion></Page></PcGts>"""
    points = ([[1, 2], [30, 2], [30, 12], [1, 12]],)
    broken = ("30,12 1,12", "30,12 x,12", "a.xml:5")


class TestWords(ReaderContract):
    format = "page-words"
    file = "a.xml"
    example = f"""{HEAD}<Page imageFilename="a.jpg" imageWidth="40" imageHeight="30"><TextRegion><TextLine>
<Word><Coords points="1,2 9,2 9,12 1,12"/></Word><Word><Coords points="10,2 30,2 30,12"/></Word>
</TextLine></TextRegion></Page></PcGts>"""
    points = ([[1, 2], [9, 2], [9, 12], [1, 12]], [[10, 2], [30, 2], [30, 12]])
    broken = ("10,2 30,2 30,12", "10,2 30,2", "a.xml:2")
    detected_as = "page-words"

    def test_is_recognized(self, tmp_path):
        """A file of lines and words is both: the level is asked for."""
        lay(tmp_path, {self.file: self.example, "a.jpg": b""})
        with pytest.raises(AnnotationError) as caught:
            open_source(tmp_path)
        assert [p.message.split(":")[0] for p in caught.value.problems] == ["page-lines", "page-words"]
        assert open_source(tmp_path, format="page-words").annotations == tmp_path


def test_text_and_size(tmp_path):
    (sample,) = scanned(tmp_path, "page-lines", TestContract.example, "a.xml").samples
    assert (sample.polygons.texts, sample.size) == (("Total <1>",), (30, 40))


def test_points_as_elements_of_old_versions_and_prefixed_names(tmp_path):
    points = "".join(f'<Point x="{x}" y="{y}"/>' for x, y in ((1, 2), (9, 2), (9, 5)))
    text = f'<PcGts><Page imageFilename="a.jpg"><TextLine><Coords>{points}</Coords></TextLine></Page></PcGts>'
    text = text.replace("</", "</pc:").replace("<P", "<pc:P").replace("<T", "<pc:T").replace("<C", "<pc:C")
    (sample,) = scanned(tmp_path, "page-lines", text, "a.xml").samples
    assert sample.polygons[0].tolist() == [[1, 2], [9, 2], [9, 5]]


def test_lines_without_any_word_are_named(tmp_path):
    reading = scanned(tmp_path, "page-words", TestContract.example, "a.xml")
    assert [(p.loc, "page-lines" in p.message) for p in reading.problems] == [("a.xml:3", True)]


def test_regions_without_lines_are_no_empty_page(tmp_path):
    text = '<PcGts><Page imageFilename="a.jpg"><TextRegion><Coords points="0,0 9,0 9,9"/></TextRegion></Page></PcGts>'
    reading = scanned(tmp_path, "page-lines", text, "a.xml")
    assert reading.samples == ()
    assert [p.message for p in reading.problems] == [
        "found 1 regions of text without lines, expected a <TextLine> for each line"
    ]


def test_the_picture_may_stand_in_another_folder_than_the_file_says(tmp_path):
    text = TestContract.example.replace("a.jpg", "OCR-D-IMG/a.jpg")
    lay(tmp_path, {"page/a.xml": text, "img/a.jpg": b""})
    (sample,) = read(source_of(tmp_path / "page", "page-lines", pictures=tmp_path / "img"))
    assert sample.id == "a.jpg"


def test_entities_are_refused(tmp_path):
    text = '<!DOCTYPE x [<!ENTITY a "a.jpg">]><PcGts><Page imageFilename="&a;"/></PcGts>'
    assert kinds(scanned(tmp_path, "page-lines", text, "a.xml")) == ["xml-entities"]
