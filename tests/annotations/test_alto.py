"""ALTO XML, by line and by word."""

from __future__ import annotations

import pytest

from ocrmaps.annotations import open_source, scan
from ocrmaps.errors import AnnotationError
from tests.contracts.reader import ReaderContract, blank, kinds, lay, scanned, source_of

HEAD = '<alto xmlns="http://www.loc.gov/standards/alto/ns-v4#"><Description><MeasurementUnit>{}</MeasurementUnit>'
WORDS = """<TextLine HPOS="1" VPOS="2" WIDTH="29.5" HEIGHT="10">
<String CONTENT="Total" HPOS="1" VPOS="2" WIDTH="10" HEIGHT="10"/><SP/>
<String CONTENT="am" HPOS="12" VPOS="2" WIDTH="18.5" HEIGHT="10"/><HYP CONTENT="-"/></TextLine>"""


def alto(*lines, unit="pixel", sides='WIDTH="40" HEIGHT="30"', name=""):
    source = f"<sourceImageInformation><fileName>{name}</fileName></sourceImageInformation>" if name else ""
    layout = f"<Layout><Page {sides}><PrintSpace><TextBlock>\n{''.join(lines)}</TextBlock></PrintSpace></Page></Layout>"
    return f"{HEAD.format(unit)}{source}</Description>\n{layout}</alto>"


class TestContract(ReaderContract):
    format = "alto-lines"
    file = "a.xml"
    per_picture = True
    example = alto(
        '<TextLine><Shape><Polygon POINTS="1,2 30.5,2 30.5,12.25 1,12"/></Shape><String CONTENT="x"/></TextLine>\n',
        '<TextLine HPOS="1" VPOS="20" WIDTH="8" HEIGHT="5"/>',
    )
    points = ([[1, 2], [30.5, 2], [30.5, 12.25], [1, 12]], [[1, 20], [9, 20], [9, 25], [1, 25]])
    broken = ('WIDTH="8"', 'WIDTH="x"', "a.xml:4")


class TestWords(ReaderContract):
    format = "alto-words"
    file = "a.xml"
    per_picture = True
    example = alto(WORDS)
    points = ([[1, 2], [11, 2], [11, 12], [1, 12]], [[12, 2], [30.5, 2], [30.5, 12], [12, 12]])
    broken = ('WIDTH="18.5"', "", "a.xml:5")

    def test_is_recognized(self, tmp_path):
        """A file of lines and words is both: the level is asked for."""
        lay(tmp_path, {self.file: self.example, "a.jpg": b""})
        with pytest.raises(AnnotationError) as caught:
            open_source(tmp_path)
        assert [p.message.split(":")[0] for p in caught.value.problems] == ["alto-lines", "alto-words"]


def test_the_text_of_a_line_is_that_of_its_words(tmp_path):
    (sample,) = scanned(tmp_path, "alto-lines", alto(WORDS), "a.xml").samples
    assert (sample.polygons.texts, sample.size) == (("Total am-",), (30, 40))
    (sample,) = scanned(tmp_path, "alto-words", alto(WORDS), "a.xml").samples
    assert sample.polygons.texts == ("Total", "am")


@pytest.mark.parametrize("unit", ["mm10", "inch1200"])
def test_other_units_are_shares_of_the_page(tmp_path, unit):
    lay(tmp_path, {"a.jpg": blank(200, 100), "a.xml": alto(WORDS, unit=unit, sides='WIDTH="100" HEIGHT="25"')})
    (sample,) = scan(source_of(tmp_path, "alto-lines")).samples
    assert sample.size == (100, 200)
    assert sample.polygons[0].tolist() == [[2, 8], [61, 8], [61, 48], [2, 48]]


def test_other_units_need_the_picture_and_the_page(tmp_path):
    for level in ("alto-lines", "alto-words"):  # nor are words missing that only cannot be placed
        assert kinds(scanned(tmp_path, level, alto(WORDS, unit="mm10"), "a.xml")) == ["missing-picture"]
    lay(tmp_path, {"a.jpg": blank(200, 100)})
    assert kinds(scanned(tmp_path, "alto-lines", alto(WORDS, unit="mm10", sides=""), "a.xml")) == ["size"]
    assert kinds(scanned(tmp_path, "alto-lines", alto(WORDS, unit="mm"), "a.xml")) == ["unsupported-shape"]


def test_the_picture_that_the_file_names_where_none_has_its_name(tmp_path):
    lay(tmp_path, {"scan_1.png": b"", "1.xml": alto(WORDS, name="/data/in/scan_1.png")})
    (sample,) = scan(source_of(tmp_path, "alto-lines")).samples
    assert sample.id == "scan_1.png"


def test_words_without_place_are_named(tmp_path):
    assert kinds(scanned(tmp_path, "alto-words", TestContract.example, "a.xml")) == ["wrong-type", "invalid"]
