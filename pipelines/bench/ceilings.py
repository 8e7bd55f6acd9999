"""Achieved over ceiling: the share that each stage reaches of the measured limit that bounds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Figures = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """One stage and what bounds it."""

    figure: str
    """The figure that the achieved rate is read from."""
    ceiling: str
    """The figure that bounds it."""
    achieved: Callable[[Figures], float]
    """The rate, in the ceiling's unit."""
    cores: Callable[[Figures], float]
    """How many times the ceiling, which is of one thread, may be reached."""
    what: str


def _one(figures: Figures) -> float:
    return 1.0


def _loader_gb_s(figures: Figures) -> float:
    """Tensor bytes a second: the bare decode loop's, times the share of it that the loader reaches."""
    return float(figures["loader/decode_gb_s"]["value"] * figures["loader/vs_decode"]["value"])


BOUNDS: dict[str, Bound] = {
    "ceiling/decode_vs_jpeg": Bound(
        figure="decode/full_vs_opencv",
        ceiling="machine/jpeg_mpx_s",
        achieved=lambda f: f["decode/full_vs_opencv"]["mpx"] / f["decode/full_vs_opencv"]["milliseconds"] * 1e3,
        cores=_one,
        what="Mpx/s of a scan to its canonical picture, over bare JPEG decoding",
    ),
    "ceiling/build_vs_jpeg": Bound(
        figure="build/vs_decode_resize",
        ceiling="machine/jpeg_mpx_s",
        achieved=lambda f: f["build/vs_decode_resize"]["mpx"] / f["build/vs_decode_resize"]["seconds"]["below"],
        cores=lambda f: float(f["build/vs_decode_resize"]["workers"]),
        what="Mpx/s of pictures built, over bare JPEG decoding on as many threads as the build had workers",
    ),
    "ceiling/loader_vs_unpacking": Bound(
        figure="loader/vs_decode",
        ceiling="loader/decode_gb_s",
        achieved=_loader_gb_s,
        cores=_one,
        what="tensor bytes/s of the loader, over bare unpacking of the same chunks",
    ),
    "ceiling/loader_vs_memcpy": Bound(
        figure="loader/vs_decode",
        ceiling="loader/memcpy_gb_s",
        achieved=_loader_gb_s,
        cores=_one,
        what="tensor bytes/s of the loader, over copying as many bytes between batches on the same core",
    ),
    "ceiling/store_disk_vs_sequential": Bound(
        figure="loader/disk_gb_s",
        ceiling="machine/disk_sequential_gb_s",
        achieved=lambda f: float(f["loader/disk_gb_s"]["value"]),
        cores=_one,
        what="packed bytes/s of reading shards that no cache holds, over reading one file",
    ),
    "ceiling/verify_vs_read": Bound(
        figure="store/verify_gb_s",
        ceiling="store/read_gb_s",
        achieved=lambda f: float(f["store/verify_gb_s"]["value"]),
        cores=_one,
        what="bytes/s of proving digests, over bare reading of the same files",
    ),
}
"""Every stage with a ceiling. `maps/exact_share_of_minimum` is such a share by itself; extraction, matching and a
step have no limit that a simple measurement gives, so they are only held against their plain references."""


def of_ceilings(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The share of its ceiling for every bound both of whose sides were measured."""
    figures = {str(result["name"]): result for result in results}
    out = []
    for name, bound in BOUNDS.items():
        if bound.figure not in figures or bound.ceiling not in figures:
            continue
        achieved = bound.achieved(figures)
        limit = float(figures[bound.ceiling]["value"]) * bound.cores(figures)
        share = achieved / limit
        # The spread is that of both sides, as shares of them; the two were measured at different times.
        spreads = [figures[side]["spread"] / figures[side]["value"] for side in (bound.figure, bound.ceiling)]
        out.append(
            {
                "name": name,
                "value": share,
                "unit": "share",
                "reference": f"{bound.what}: {achieved:.3g} of {limit:.3g} {figures[bound.ceiling]['unit']}",
                "spread": share * sum(spreads),
                "figure": bound.figure,
                "ceiling": bound.ceiling,
                "source": figures[bound.figure].get("source", ""),
            }
        )
    return out
