"""The oracle as a page: what perfect maps reach, where and why the rest is lost, every picture with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from ocrmaps.annotations import Sample, Source
from ocrmaps.canonical import needed_resolution, render
from ocrmaps.errors import FrameError, PictureError
from ocrmaps.evaluation import ERRORS
from ocrmaps.evaluation.oracle.chain import Chain
from ocrmaps.evaluation.oracle.judge import LEVEL, OracleResult, PerfectPicture, perfect_maps
from ocrmaps.evaluation.oracle.summary import as_json
from ocrmaps.evaluation.reasons import NO_LOSS, words
from ocrmaps.maps import DRAWN
from ocrmaps.pagekit import explorer, plots
from ocrmaps.pagekit import page as html
from ocrmaps.pagekit.explorer import DrawnOutlines, Entry, Kind, Layer
from ocrmaps.pictures import Header, decode
from ocrmaps.report.layers import MAPS, MASKS, PICTURE, map_picture
from ocrmaps.report.samples import HEIGHTS, PageRequest, Shown, Written, buckets, collect, photo, publish, size_name
from ocrmaps.report.samples import text_facets as facets_of
from ocrmaps.text import number, percent

KINDS = (
    Kind(code="m", name="text, found", color="#1f6feb"),
    Kind(code="l", name="text, lost", color="#d6006e", dashed=True),
    Kind(code="i", name="ignored", color="#d97700", dashed=True),
    Kind(code="r", name="extracted, right", color="#0b8a4b"),
    Kind(code="w", name="extracted, wrong", color="#e02b1d", dashed=True),
    Kind(code="g", name="extracted, not scored", color="#8a7a00", dashed=True),
)
LAYERS = (
    PICTURE,
    Layer(key="truth", name="truth", letter="o", kind="outline", color="#1f6feb", on=True),
    Layer(key="found", name="extracted", letter="d", kind="outline", color="#0b8a4b", on=True),
    *MAPS,
)
_WORST: dict[str, Literal["high", "low"]] = {
    "lost": "high",
    "wrong": "high",
    "hmean": "low",
    "lost at IoU 0.7": "high",
    "texts": "high",
    "thinnest kernel": "low",
}
_BY = {
    "height": "text height on the canvas, px",
    "aspect": "length over height",
    "direction": "direction",
    "orientation": "EXIF orientation",
    "canvas": "canvas",
    "style": "style of maps",
}


def oracle_page(
    source: Source, samples: Sequence[Sample], heads: Sequence[Header], result: OracleResult, asked: PageRequest
) -> Written:
    """The page of a result; samples and headers are those that it was judged on, in their order."""
    asked.check()
    album, plan = collect(
        asked,
        LAYERS,
        KINDS,
        _WORST,
        len(samples),
        lambda i, side: show_perfect(source, samples[i], heads[i], result.pictures[i], result.chain, side),
    )
    record = as_json(result)
    pictures = html.Section(
        title="Worst pictures",
        mark=number(len(samples)),
        body=(
            album.html("Pictures that lose the most text"),
            html.paragraph(
                f"{plan.sentence(asked.files.name)} Everything is on the canonical picture: the maps are those that a "
                f"faultless network would answer with; what is extracted comes back from them. {MASKS} A lost text "
                "says why when it is pointed at."
            ),
        ),
    )
    text = html.page(
        f"Oracle {source.name}",
        [pictures, *_sections(result, record)],
        lead=_lead(source, record),
        top=[_cards(record)],
        script=explorer.script(),
        style=explorer.style(),
        data=album.data(),
        files=not plan.inline,
    )
    return publish(asked, text, kind="oracle", album=album, plan=plan)


def show_perfect(
    source: Source, sample: Sample, head: Header, picture: PerfectPicture, chain: Chain, side: int
) -> Shown:
    """One picture: truths with what became of them, and what perfect maps gave, all on the canonical picture."""
    result, match = picture.result, picture.result.match
    transform, truth, drawn = perfect_maps(sample, head, chain)
    found = transform.apply(result.detections, "canonical")
    counts = match.counts(LEVEL)
    lost = picture.lost
    wrong = [reason in ERRORS["detection"] for reason in result.detection_reason]
    heights = picture.canonical.height
    mask = drawn.probability_mask + 2 * drawn.threshold_mask
    arrays = {"probability": drawn.probability, "threshold": drawn.quantized, "mask": mask}
    pictures = {"maps": map_picture(arrays, side)}
    problem = ""
    try:
        # Rendered from a reduced decode where that is enough: this is looked at, nothing is judged by it.
        whole = decode(source.pictures / sample.picture, at_least=needed_resolution(transform))
        pictures["image"] = photo(render(whole, transform, chain.canonical), side)
    except (PictureError, FrameError) as error:
        problem = str(error)
    causes = {f"text {words(result.text_reason[i])}" for i in lost.tolist()}
    causes |= {f"extracted {words(r)}" for r in result.detection_reason if r in ERRORS["detection"]}
    kernel = picture.kernel[match.truth_care]
    entry = Entry(
        name=sample.id,
        size=transform.canvas,
        figures={
            "lost": len(lost),
            "wrong": sum(wrong),
            "hmean": round(counts.hmean, 3) if counts.truth_care + counts.detection_care else None,
            "lost at IoU 0.7": int((match.layer(0.7)[match.truth_care] < 0).sum()),
            "texts": counts.truth_care,
            "thinnest kernel": round(float(kernel.min()), 1) if len(kernel) else None,
        },
        facets={
            "error": sorted(causes) or ["none"],
            "lost text height": sorted(set(buckets(heights[lost].tolist(), HEIGHTS, " px"))) or ["none lost"],
            **facets_of(truth),
            "EXIF orientation": [str(head.orientation)],
            "canvas": [size_name(transform.canvas)],
            "not drawn": sorted({str(o) for o in drawn.outcomes if o not in DRAWN and o != "ignored"}) or ["all drawn"],
            "picture": ["damaged" if problem else "sound"],
        },
        outlines={
            "truth": DrawnOutlines(
                polygons=truth,
                kinds=["m" if r == "matched" else "i" if r in NO_LOSS else "l" for r in result.text_reason],
                words=[
                    ", ".join(p for p in (text or "", words(reason), f"IoU {iou:.2f}", f"{h:.1f} px high") if p)
                    for text, reason, iou, h in zip(
                        truth.texts, result.text_reason, result.text_iou, heights, strict=True
                    )
                ],
            ),
            "found": DrawnOutlines(
                polygons=found,
                kinds=[
                    "w" if bad else "r" if reason == "matched" else "g"
                    for bad, reason in zip(wrong, result.detection_reason, strict=True)
                ],
                words=[
                    f"{words(reason)}, {h:.1f} px high"
                    for reason, h in zip(result.detection_reason, found.equivalent_sides()[:, 0], strict=True)
                ],
            ),
        },
        notes=[problem] if problem else [],
    )
    return entry, pictures


def _lead(source: Source, record: dict[str, Any]) -> str:
    truths, chain = record["truths"], record["chain"]
    return (
        f"What a faultless network could reach on {source.name}: {number(record['pictures'])} pictures, "
        f"{number(truths['scored'])} scored polygons, {number(truths['ignored'])} ignored, {number(truths['invalid'])} "
        f"invalid. Maps are drawn in style {chain['style']} with r = {chain['shrink_ratio']:g} and read with "
        f"{chain['unclip']} unclip as {chain['shape']}, on canvases of {', '.join(chain['canvases'])} (height x width)."
    )


def _cards(record: dict[str, Any]) -> html.Html:
    thin = record["kernels"]["under_3px"]
    lost = sum(record["lost"].values())
    cards = [
        html.Card(
            label=f"hmean at IoU {t}",
            value=f"{value:.4f}",
            remark=f"recall {record['recall'][t]:.4f}, precision {record['precision'][t]:.4f}",
        )
        for t, value in record["hmean"].items()
    ]
    cards += [
        html.Card(label="Texts lost", value=number(lost), remark=f"of {number(record['truths']['scored'])} at IoU 0.5"),
        html.Card(
            label="Price",
            value=f"{record['mpx_per_image']:.3f} Mpx",
            remark=f"a picture, {record['content_mpx_per_image']:.3f} covered",
        ),
        html.Card(
            label="Thin kernels",
            value=percent(thin),
            remark="under 3 px: they learn slowly",
            tone="note" if thin > 0.2 else "plain",
        ),
    ]
    return html.cards(cards)


def _sections(result: OracleResult, record: dict[str, Any]) -> list[html.Section]:
    lost = record["lost"]
    why: tuple[html.Html, ...] = (html.callout("good", "Nothing is lost at IoU 0.5."),)
    if lost:
        scored = record["truths"]["scored"]
        rows = [(words(reason), number(n), percent(n / scored)) for reason, n in lost.items()]
        why = (
            html.table(("cause", "texts lost", "of all texts"), rows, caption="Lost at IoU 0.5 by cause"),
            plots.bars([(words(reason), n) for reason, n in lost.items()], "Texts lost", unit="texts"),
            html.paragraph("A cause is told from the shapes that overlap a lost text, on perfect maps."),
        )
    what = html.grid(
        [
            plots.histogram(result.column("height"), "Text height", unit="px", marks=(8, 12)),
            plots.histogram(result.column("kernel"), "Kernel thickness", unit="px", marks=(2, 3)),
            plots.histogram(result.column("aspect"), "Aspect", unit="length / height"),
            plots.histogram(result.column("best_iou"), "Best IoU", unit="IoU", marks=(0.5, 0.7, 0.9)),
        ]
    )
    return [
        html.Section(title="Why text is lost", mark=number(sum(lost.values())), body=why),
        html.Section(title="Where it is lost", body=tuple(_tables(record["buckets"]))),
        html.Section(title="What there is", body=(what,)),
    ]


def _tables(groups: Sequence[dict[str, Any]]) -> list[html.Html]:
    tables = []
    for by in dict.fromkeys(group["by"] for group in groups):
        mine = [group for group in groups if group["by"] == by]
        thresholds = list(mine[0]["recall"])
        rows = [(g["bucket"], number(g["truths"]), *(f"{g['recall'][t]:.4f}" for t in thresholds)) for g in mine]
        head = (_BY[by], "texts", *(f"recall at {t}" for t in thresholds))
        tables.append(html.table(head, rows, caption=f"Recall by {_BY[by]}"))
    return tables
