"""A source as a page: the whole data check, and every sample with its outlines as a viewer shows it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from ocrmaps.annotations import Source
from ocrmaps.annotations.checks.checkup import check
from ocrmaps.annotations.checks.findings import Finding
from ocrmaps.annotations.checks.health import Health
from ocrmaps.canonical import CanonicalSpec, turn_upright
from ocrmaps.errors import PictureError
from ocrmaps.geometry import PolygonSet, Size
from ocrmaps.pagekit import explorer
from ocrmaps.pagekit import page as html
from ocrmaps.pagekit.explorer import DrawnOutlines, Entry, Kind, Layer
from ocrmaps.pagekit.pictures import shrink
from ocrmaps.pictures import decode
from ocrmaps.report.checkup import health_parts
from ocrmaps.report.layers import PICTURE
from ocrmaps.report.samples import PageRequest, Shown, Written, collect, photo, publish, size_name, text_facets
from ocrmaps.text import number

KINDS = (
    Kind(code="t", name="text", color="#1f6feb"),
    Kind(code="i", name="ignored", color="#d97700", dashed=True),
    Kind(code="f", name="found wanting", color="#d6006e", dashed=True),
)
_LAYERS = (PICTURE, Layer(key="truth", name="outlines", letter="o", kind="outline", color="#1f6feb", on=True))


def source_page(sources: Sequence[Source], spec: CanonicalSpec, asked: PageRequest) -> Written:
    """The page of one or several sources; `spec` is the scale that texts are measured at."""
    asked.check()
    checkup = check(sources, spec=spec, workers=asked.workers, stage=asked.stage)
    places = [(health, i) for health in checkup.healths for i in range(len(health.facts.samples))]
    found = {health.name: _by_sample(health.findings) for health in checkup.healths}
    several = len(checkup.healths) > 1
    album, plan = collect(
        asked,
        _LAYERS,
        KINDS,
        {"findings": "high", "outlines": "high", "smallest text, px": "low", "ignored": "high"},
        len(places),
        lambda k, side: show_sample(*places[k], side, found[places[k][0].name], several=several),
    )
    with asked.stage("drawing findings") as progress:
        parts = health_parts(checkup, progress)
    pictures = html.Section(
        title="Samples",
        mark=number(len(places)),
        body=(
            album.html("Samples with the most findings"),
            html.paragraph(
                f"{plan.sentence(asked.files.name)} Pictures are upright; text heights are at the scale above. Each "
                "kind of finding is shown with its worst examples, so a sample without one may still have it."
            ),
        ),
    )
    names = ", ".join(health.name for health in checkup.healths)
    text = html.page(
        f"Source {names}",
        [parts.sections[0], pictures, *parts.sections[1:]],
        lead=parts.lead,
        top=parts.top,
        script=explorer.script(),
        style=explorer.style(),
        data=album.data(),
        files=not plan.inline,
    )
    return publish(asked, text, kind="source", album=album, plan=plan)


Found = dict[str, list[tuple[Finding, int | None, str]]]


def _by_sample(findings: Sequence[Finding]) -> Found:
    out: Found = defaultdict(list)
    for finding in findings:
        for example in finding.examples:
            out[example.sample].append((finding, example.polygon, example.detail))
    return out


def show_sample(health: Health, i: int, side: int, found: Found, *, several: bool) -> Shown:
    """One sample as a viewer shows it, where there is a picture to see."""
    facts = health.facts
    sample, look, transform, header = facts.samples[i], facts.looks[i], facts.transforms[i], facts.headers[i]
    mine = found.get(sample.id, [])
    wanting = {polygon for _, polygon, _ in mine if polygon is not None}
    pictures = {}
    problem = "" if look is None else look.error
    if header is not None and not problem:
        try:
            picture = decode(facts.source.pictures / sample.picture, at_least=_enough(header.size, side))
            pictures["image"] = photo(turn_upright(shrink(picture.pixels, side), header.orientation), side)
        except PictureError as error:
            problem = str(error)
    if transform is not None:
        polygons, size = transform.apply(sample.polygons, "upright"), transform.upright_size
    else:
        polygons, size = sample.polygons, _reach(sample.polygons)
    scaled = sample.polygons if transform is None else transform.apply(sample.polygons, "canonical")
    heights = scaled.equivalent_sides()[:, 0]
    entry = Entry(
        name=sample.id,
        size=size,
        figures={
            "findings": len(mine),
            "outlines": len(polygons),
            "smallest text, px": round(float(heights.min()), 1) if len(heights) and transform is not None else None,
            "ignored": int(polygons.ignore.sum()),
        },
        facets={
            **({"source": [health.name]} if several else {}),
            "EXIF orientation": ["unknown" if header is None else str(header.orientation)],
            "canvas": ["unknown" if transform is None else size_name(transform.canvas)],
            **(text_facets(scaled) if transform is not None else {}),
            "finding": sorted({finding.kind for finding, _, _ in mine}) or ["none shown"],
            "picture": ["damaged" if problem else "missing" if header is None else "sound"],
        },
        outlines={
            "truth": DrawnOutlines(
                polygons=polygons,
                kinds=[
                    "f" if k in wanting else "i" if skip else "t" for k, skip in enumerate(polygons.ignore.tolist())
                ],
                words=[
                    ", ".join(part for part in (text or "", f"{h:.1f} px high at scale" if transform else "") if part)
                    for text, h in zip(polygons.texts, heights.tolist(), strict=True)
                ],
            )
        },
        notes=[
            *([problem] if problem else []),
            *(
                f"{f.kind}{'' if p is None else f', outline {p}'}{f': {detail}' if detail else ''}"
                for f, p, detail in mine
            ),
        ],
    )
    return entry, pictures


def _enough(size: Size, side: int) -> Size:
    """A reduced decode that still has this longest side."""
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _reach(polygons: PolygonSet) -> Size:
    """A size that holds the outlines, for a sample whose picture nobody knows."""
    if not len(polygons.points):
        return 1, 1
    x, y = polygons.points.max(axis=0).clip(1, 1e5)
    return round(float(y)), round(float(x))
