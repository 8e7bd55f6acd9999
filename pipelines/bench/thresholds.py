"""Which figures are guarded and how much worse they may get: a strict TOML file, every problem at once."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ocrmaps.errors import Problem, SpecError, reason
from ocrmaps.pipelines.bench.record import BENCHES

DEFAULT = Path(__file__).with_name("thresholds.toml")


class Threshold(BaseModel):
    """How much worse one figure may get."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    bench: str
    better: Literal["higher", "lower"]
    look: Annotated[str, Field(min_length=1)]
    worse: Annotated[float, Field(gt=1.0, allow_inf_nan=False)] | None = None
    limit: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] | None = None
    needs: Literal["gpu"] | None = None

    @model_validator(mode="after")
    def _something_is_guarded(self) -> Threshold:
        if self.worse is None and self.limit is None:
            raise ValueError("guards nothing; give `worse`, `limit` or both")
        if self.bench not in BENCHES:
            raise ValueError(f"no benchmark named {self.bench}; there are: {', '.join(BENCHES)}")
        return self

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


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    figures: Annotated[dict[str, Threshold], Field(min_length=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """The guarded figures by name, and the file they are from."""

    path: Path
    figures: Mapping[str, Threshold]

    @property
    def benches(self) -> tuple[str, ...]:
        """The benchmarks that measure them, in the order in which `all` runs them."""
        wanted = {threshold.bench for threshold in self.figures.values()}
        return tuple(name for name in BENCHES if name in wanted)


def load_thresholds(path: Path | None = None) -> Thresholds:
    """Read a thresholds file, the one that comes with the package when none is named."""
    path = DEFAULT if path is None else path
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: the thresholds cannot be read ({reason(error)})") from error
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{path}: not valid TOML: {error}") from error
    try:
        return Thresholds(path=path, figures=_File.model_validate(data).figures)
    except ValidationError as error:
        problems = [_problem(path, found) for found in error.errors()]
        raise SpecError(f"{path}: {len(problems)} problem(s) in the thresholds:", problems=problems) from error


def _problem(path: Path, error: Any) -> Problem:
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        known = ["figures"] if len(error["loc"]) == 1 else list(Threshold.model_fields)
        message = f"unknown key; known here: {', '.join(known)}"
    elif error["type"] == "missing":
        message = "missing, and it has no default"
    elif not isinstance(error["input"], dict):
        message = f"{message}, found {error['input']!r}"
    return Problem(loc=f"{path}:{'.'.join(str(part) for part in error['loc'])}", message=message)
