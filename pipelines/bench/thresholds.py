"""Which figures are guarded and how much worse they may get: a strict TOML file, every problem at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

from ocrmaps.pipelines.bench.record import BENCHES
from ocrmaps.settings.files import Form, read_file
from ocrmaps.settings.ranges import NO_SETTING, AtLeast0, Range, Rule, check

DEFAULT = Path(__file__).with_name("thresholds.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """How much worse one figure may get."""

    bench: str
    """The benchmark that measures it."""
    better: Literal["higher", "lower"]
    """Which way is an improvement."""
    look: Annotated[str, Rule("where to look first", least=1)]
    """Where to look first when it fails."""
    worse: Annotated[float, Range(gt=1)] | None = None
    """At most this many times worse than the baseline."""
    limit: AtLeast0 | None = None
    """Never beyond this, whatever the baseline says."""
    needs: Literal["gpu"] | None = None
    """Only compared where both records come from machines with one."""

    def __post_init__(self) -> None:
        check(self, "", _threshold_faults)

    def allowed(self, baseline: float) -> float:
        """The last value that is not worse than allowed.

        >>> Threshold(bench="maps", better="higher", worse=2.0, look="maps").allowed(30.0)
        15.0
        >>> Threshold(bench="step", better="lower", worse=2.0, limit=0.01, look="watchers").allowed(0.006)
        0.01
        """
        bounds = [] if self.limit is None else [self.limit]
        if self.worse is not None:
            bounds.append(baseline / self.worse if self.better == "higher" else baseline * self.worse)
        return max(bounds) if self.better == "higher" else min(bounds)

    def beyond(self, value: float, bound: float) -> bool:
        """Whether a value is worse than a bound."""
        return value < bound if self.better == "higher" else value > bound


def _threshold_faults(threshold: Threshold) -> Iterator[tuple[str, str]]:
    if threshold.worse is None and threshold.limit is None:
        yield "", "guards nothing; give `worse`, `limit` or both"
    if threshold.bench not in BENCHES:
        yield "bench", f"no benchmark named {threshold.bench}; there are: {', '.join(BENCHES)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """The guarded figures by name, and the file they are from."""

    figures: Annotated[Mapping[str, Threshold], Rule("at least 1 figure", least=1)]
    path: Path = field(default=DEFAULT, metadata=NO_SETTING)

    def __post_init__(self) -> None:
        check(self, "")

    @property
    def benches(self) -> tuple[str, ...]:
        """The benchmarks that measure them, in the order in which `all` runs them."""
        wanted = {threshold.bench for threshold in self.figures.values()}
        return tuple(name for name in BENCHES if name in wanted)


FORM = Form(what="thresholds", record=Thresholds)


def load_thresholds(path: Path | None = None) -> Thresholds:
    """Read a thresholds file, the one that comes with the package when none is named."""
    path = DEFAULT if path is None else path
    found: Thresholds = read_file(FORM, path).record()
    return replace(found, path=path)
