"""A store version as a page: what was asked and written, what was lost, and every row with its maps."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ocrmaps.geometry import PolygonSet
from ocrmaps.pagekit import explorer, plots
from ocrmaps.pagekit import page as html
from ocrmaps.pagekit.explorer import DrawnOutlines, Entry, Kind, Layer
from ocrmaps.report.layers import MAPS, MASKS, PICTURE, map_picture
from ocrmaps.report.samples import PageRequest, Shown, Written, collect, photo, publish, size_name, text_facets
from ocrmaps.report.settings import dotted, plain
from ocrmaps.store.reader import Reader
from ocrmaps.store.upkeep import catalog
from ocrmaps.store.writing.plan import SPLITS
from ocrmaps.text import number, percent

LINES = 200
"""Lines of the ledger on the page."""
TRUTH = Layer(key="truth", name="polygons", letter="o", kind="outline", color="#1f6feb", on=True)
KINDS = (
    Kind(code="t", name="text", color="#1f6feb"),
    Kind(code="i", name="ignored", color="#d97700", dashed=True),
    Kind(code="l", name="text without a kernel", color="#d6006e", dashed=True),
)
_DRAWN = ("drawn", "ignored")


def store_page(folder: Path, name: str, asked: PageRequest) -> Written:
    """The page of one version."""
    asked.check()
    with Reader(folder) as reader:
        ledger = list(reader.ledger())
        lines = by_row(reader, ledger)
        album, plan = collect(
            asked,
            (PICTURE, TRUTH, *MAPS),
            KINDS,
            {"in the ledger": "high", "polygons": "high", "smallest text, px": "low", "ignored": "high"},
            len(reader),
            lambda row, side: show_row(reader, row, side, lines.get(row, ())),
        )
        shown = catalog.show(folder)
        figures = catalog.statistics(folder)
        identity = f"{name}/{reader.manifest.version}, root digest {reader.root_digest}"
        sections = [
            html.Section(
                title="Pictures",
                mark=number(len(reader)),
                body=(
                    album.html("Rows with the most lines in the ledger"),
                    html.paragraph(f"{plan.sentence(asked.files.name)} {MASKS}"),
                ),
            ),
            html.Section(title="Sources and splits", body=(_sources(shown), _splits(reader))),
            html.Section(title="Text", body=(_text(reader),)),
            html.Section(title="Failure ledger", mark=number(len(ledger)), body=_ledger(ledger)),
            html.Section(title="Sizes", body=(_sizes(figures),)),
            html.Section(title="Recipe and identity", body=_identity(shown, reader)),
        ]
        counts = shown["counts"]
        top = [
            html.cards(
                [
                    html.Card(label="Rows", value=number(counts["rows"]), remark=_words(counts["splits"])),
                    html.Card(
                        label="Failed samples",
                        value=number(counts["failed"]),
                        tone="problem" if counts["failed"] else "good",
                        remark="in the ledger" if counts["failed"] else "every sample is here",
                    ),
                    html.Card(label="Polygons", value=number(counts["polygons"]), remark=_words(counts["outcomes"])),
                    html.Card(label="Canvases", value=number(len(figures["canvases"]))),
                    html.Card(
                        label="Size",
                        value=f"{catalog.size_of(folder) / 1e6:.1f} MB",
                        remark=f"{percent(figures['share_of_raw'])} of raw" if figures["share_of_raw"] else "",
                    ),
                ]
            ),
            html.paragraph(identity),
        ]
        text = html.page(
            f"Store {name}",
            sections,
            lead="Canonical pictures and target maps as they are stored, read and proven.",
            top=top,
            script=explorer.script(),
            style=explorer.style(),
            data=album.data(),
            files=not plan.inline,
        )
    return publish(asked, text, kind="store", album=album, plan=plan)


def show_row(reader: Reader, row: int, side: int, lines: Sequence[Mapping[str, Any]]) -> Shown:
    """One row: its picture and maps as stored, its polygons on the canonical picture."""
    arrays = reader.read_row(row)
    canonical = reader.transform(row).apply(reader.polygon_set(row), "canonical")
    outcomes = reader.outcomes(row)
    kinds = ["i" if skip else "t" if o in _DRAWN else "l" for skip, o in zip(canonical.ignore, outcomes, strict=True)]
    canvas = reader.canvas(row)
    split = SPLITS[int(reader.rows["split"][row])] or "no split"
    heights = canonical.equivalent_sides()[:, 0]
    entry = Entry(
        name=reader.id(row),
        size=canvas,
        figures={
            "in the ledger": len(lines),
            "polygons": len(canonical),
            "smallest text, px": round(float(heights.min()), 1) if len(heights) else None,
            "ignored": int(canonical.ignore.sum()),
        },
        facets={
            "split": [split],
            "source": [_label(reader, row)],
            "canvas": [size_name(canvas)],
            **text_facets(canonical),
            "EXIF orientation": [str(reader.transform(row).orientation)],
            "drawn as": sorted(set(outcomes)),
            "ledger": sorted({f"{line['reason']}: {line['after']}" for line in lines}) or ["no entry"],
        },
        outlines={
            "truth": DrawnOutlines(polygons=canonical, kinds=kinds, words=_said(canonical, outcomes, heights.tolist()))
        },
        notes=[f"{_place(line)}: {line['reason']}, {line['after']}" for line in lines],
    )
    return entry, {"image": photo(arrays["image"], side), "maps": map_picture(arrays, side)}


def _said(polygons: PolygonSet, outcomes: Sequence[str], heights: Sequence[float]) -> list[str]:
    return [
        ", ".join(part for part in (text or "", f"{h:.1f} px high", "" if o in _DRAWN else o) if part)
        for text, o, h in zip(polygons.texts, outcomes, heights, strict=True)
    ]


def by_row(reader: Reader, ledger: Sequence[Mapping[str, Any]]) -> dict[int, list[Mapping[str, Any]]]:
    """The ledger's lines of each row that exists."""
    sources = reader.manifest.written["sources"]
    split, source = reader.rows["split"].tolist(), reader.rows["source"].tolist()
    place = {(SPLITS[split[i]], sources[source[i]], id): i for i, id in enumerate(reader.ids())}
    out: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for line in ledger:
        row = place.get((line["split"], line["source"], line["sample"]))
        if row is not None:
            out[row].append(line)
    return out


def _label(reader: Reader, row: int) -> str:
    return reader.manifest.written["sources"][int(reader.rows["source"][row])] or "unnamed"


def _place(line: Mapping[str, Any]) -> str:
    return "picture" if line["polygon"] is None else f"polygon {line['polygon']}"


def _words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number(n)} {name or 'no split'}" for name, n in counts.items())


def _sources(shown: Mapping[str, Any]) -> html.Html:
    rows = [
        (
            s["label"],
            s["split"] or "none",
            s["format"],
            s["frame"],
            number(s["expected"]),
            number(s["written"]),
            number(s["problems"]),
        )
        for s in shown["sources"]
    ]
    head = ("source", "split", "format", "frame", "expected", "written", "problems")
    return html.table(head, rows, caption="Samples expected and written, by source", text_columns=(0, 1, 2, 3))


def _splits(reader: Reader) -> html.Html:
    splits = [SPLITS[i] or "no split" for i in reader.rows["split"].tolist()]
    canvases = [size_name(reader.canvas(row)) for row in range(len(reader))]
    pairs = Counter(zip(canvases, splits, strict=True))
    names = sorted(set(splits))
    rows = [
        (canvas, *(number(pairs[canvas, s]) for s in names), number(sum(pairs[canvas, s] for s in names)))
        for canvas in dict.fromkeys(map(size_name, reader.manifest.canvases))
    ]
    return html.table(("canvas (height x width)", *names, "all"), rows, caption="Rows by canvas and split")


def _text(reader: Reader) -> html.Html:
    sets = [reader.transform(row).apply(reader.polygon_set(row), "canonical") for row in range(len(reader))]
    sides = np.concatenate([s.equivalent_sides()[~s.ignore] for s in sets] or [np.zeros((0, 2))])
    return html.grid(
        [
            plots.histogram(sides[:, 0], "Text height on the canvas", unit="px", marks=(8, 12)),
            plots.histogram(sides[:, 1] / np.maximum(sides[:, 0], 1e-9), "Text length over height", unit=""),
            plots.histogram([len(s) for s in sets], "Polygons a picture", unit="polygons", whole=True),
        ]
    )


def _ledger(ledger: Sequence[Mapping[str, Any]]) -> tuple[html.Html, ...]:
    if not ledger:
        return (html.callout("good", "Nothing was skipped, repaired, masked or clipped."),)
    counts = Counter((line["reason"], _said_after(line)) for line in ledger)
    table = html.table(
        ("what", "why", "lines"),
        [(reason, why, number(n)) for (reason, why), n in counts.most_common(50)],
        caption="What was changed or lost while building",
        text_columns=(0, 1),
    )
    # Whole samples that are missing come before outlines that were touched.
    first = sorted(ledger, key=lambda line: line["reason"] != "skipped")[:LINES]
    lines = html.table(
        ("sample", "split", "where", "what", "why"),
        [(x["sample"] or x["file"], x["split"] or "none", _place(x), x["reason"], _said_after(x)) for x in first],
        caption=f"The first {len(first)} of {len(ledger)} lines",
        text_columns=(0, 1, 2, 3, 4),
    )
    return (table, html.details("Line by line", [lines], open=len(first) <= 12))


def _said_after(line: Mapping[str, Any]) -> str:
    """A lost sample says why in `before` and its message in `after`; a touched polygon only has the latter."""
    return str(line["before"] if line["reason"] == "skipped" and isinstance(line["before"], str) else line["after"])


def _sizes(figures: Mapping[str, Any]) -> html.Html:
    rows = [
        (
            array,
            f"{a['bytes'] / 1e6:.2f}",
            f"{a['raw_bytes'] / 1e6:.2f}",
            "–" if a["ratio"] is None else f"{a['ratio']:.1f}",
        )
        for array, a in figures["arrays"].items()
    ]
    return html.table(("array", "stored MB", "raw MB", "times smaller"), rows, caption="Stored and raw bytes by array")


def _identity(shown: Mapping[str, Any], reader: Reader) -> tuple[html.Html, ...]:
    recipe = {k: v for k, v in shown["recipe"].items() if k != "sources"}
    digests = [
        ("version", shown["version"]),
        ("fingerprint of what was asked", reader.manifest.fingerprint),
        ("root digest of what was written", shown["root_digest"]),
        ("digest of the inputs", reader.manifest.asked["inputs"]["digest"]),
        ("digest of the ledger", reader.manifest.written["ledger"]["digest"]),
        *((f"algorithm {name}", f"version {value}") for name, value in shown["algorithms"].items()),
    ]
    built = [*shown["built"].items(), *shown["tools"].items()]
    return (
        html.table(("setting", "value"), list(dotted(recipe).items()), caption="Recipe", text_columns=(0, 1)),
        html.table(("what", "digest"), digests, caption="Digests", text_columns=(0, 1)),
        html.details(
            "How and with what it was built",
            [html.table(("what", "value"), [(k, plain(v)) for k, v in built], caption="Build", text_columns=(0, 1))],
        ),
    )
