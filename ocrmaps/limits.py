"""What one file, picture or outline may ask for: files that ask for more are refused by name, or read no further.

Each limit lies far above what any data set of text holds, and low enough that what it lets through ends.
"""

from __future__ import annotations

MAX_BYTES = 512 * 2**20
"""Of one annotation file, and of all that a zip unpacks to: a JSON file needs about ten times its size in memory."""
MOST_PROBLEMS = 200_000
"""Of one source: each takes half a kilobyte, and whoever has so many does not read them."""
MOST_LINES = 200_000
"""In a text file about one picture, which has an outline on each."""
MOST_ELEMENTS = 3_000_000
"""In one XML file: 300 bytes each. Half a million outlines of CVAT with their attributes have two million."""
MAX_COORDINATE = 1e7
"""Coordinates and sides beyond this are refused: no picture is so large, and float32 counts pixels no further."""
MOST_VALUES = 100_000_000
"""Numbers and texts in one row group of a table: runs of one value take a few bytes there, however long they are."""
MOST_NUMBERS = 10_000_000
"""In one MATLAB file: as Python's own, each takes eight bytes and more."""
MOST_TEXTS = 100_000
"""Outlines of one picture: a page of a newspaper has some ten thousand words."""
MOST_POINTS = 10_000
"""Of one outline: drawing and comparing take longer than their number grows. Curved text has up to some hundred."""
MOST_PICTURE_POINTS = 1_000_000
"""Of all outlines of one picture."""
MOST_LAYERS = 1000
"""Outlines of one picture that lie over each other, on average over the area that they span."""
MOST_TANGLES = 100_000
"""Places of one picture where outlines may cross themselves beyond one a corner: offsetting takes seconds for them."""

MOST_LOOKS = 5_000_000_000
"""Boxes, or edges, of one picture that may be compared with each other: about ten seconds."""
MOST_PAIRS = 10_000_000
"""Pairs of outlines of one picture that may overlap: 100 bytes each. 100 000 lines of text make a few 100 000."""
MOST_CROSSINGS = 1_000_000
"""Pairs of edges of one picture that may meet beyond ten a corner: a crossing costs 10 us and a kilobyte."""

NEIGHBORS = 500
"""A near duplicate is looked for among this many outlines that begin at about the same height."""
CORNERS = 1_000_000
"""Two outlines whose numbers of corners multiply to more are not compared: they may cross as often."""
COMPARED = 30_000_000
"""Pairs of corners of one source in outlines that may be near duplicates: two million pairs of quads, a quarter of a
minute."""
