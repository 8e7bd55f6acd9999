"""The whole declarative input of a training run, parsed strictly from TOML: every problem at once, each with its place.

Relative paths count from the run file's folder. What is not said follows from the store (how maps are read, the
padding colour) or has the default that is written here; the resolved run says everything.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from ocrmaps.augment import AugmentSpec
from ocrmaps.errors import Problem, SpecError
from ocrmaps.extract import ExtractSpec
from ocrmaps.model import DetectorSpec
from ocrmaps.recipe import Recipe
from ocrmaps.training.settings import OptimiserSpec, Precision, ScheduleSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSpec:
    """Which prepared data, and how much of it at a time."""

    store: str
    """STORE, STORE/VERSION or a version's folder; a store alone means its newest version."""
    cache: Path | None = None
    """The cache folder; None takes the command's."""
    train: Literal["train", "val", "test", ""] = "train"
    """The split that is learnt from."""
    val: Literal["train", "val", "test", ""] = "val"
    """The split that is scored after epochs."""
    batch: int = 8
    """Samples at a time on each device."""
    drop_last: bool = False
    """Leave out the batches that the end of a canvas does not fill."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LossSpec:
    """What is learnt."""

    name: str = "db"
    """A key of `LOSSES`, or `package.module:Name`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the loss, such as its weights; one that it does not take is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetSpec:
    """How long to train; the schedule is stretched over exactly this."""

    epochs: int = 30
    """Passes over the train split."""
    steps: int | None = None
    """End after so many optimiser steps, if that comes first; an epoch that this cuts short is not validated."""
    validate_every: int = 1
    """Epochs from one validation to the next; divides `epochs`, so that the last one is validated."""
    patience: int | None = None
    """End after so many validations without a better val/hmean; None never does."""
    patience_delta: float = 0.001
    """A val/hmean is better if it is higher by more than this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepSpec:
    """Which checkpoints stay; the latest always does."""

    top: int = 1
    """How many of the best by val/hmean."""
    every_steps: int = 0
    """Also save the latest state every so many steps within an epoch; 0 does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchSpec:
    """What looks on; together they cost less than 1 % of a step (`ocrmaps bench step`)."""

    throughput: bool = True
    """Samples a second, step times, share of waiting for data."""
    resources: bool = True
    """Processor, memory, disk."""
    guard: bool = True
    """End the run at the first loss or gradient that is not finite, and leave a bundle to repeat it from."""
    guard_every: int = 20
    """Steps from one look of the guard to the next."""
    gradients: bool = True
    """Median, 95th percentile and maximum of the gradient norm, and the share of steps that were clipped."""
    profile_steps: int = 0
    """Trace so many optimiser steps into the run's folder; 0 traces none."""
    profile_from: int = 10
    """The first step that is traced, counted from 0: those before warm up."""
    tensorboard: bool = False
    """Also write the rows of metrics.csv for TensorBoard; needs the extra."""
    wandb: str = ""
    """Also log the rows of metrics.csv to this Weights & Biases project; needs the extra."""
    pictures: int = 4
    """Validation samples that are drawn, truth beside prediction; 0 draws none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HardwareSpec:
    """On how many devices of this machine, and whether the network is compiled for them."""

    devices: int = 1
    """Processes with a device each; a step learns from `data.batch` samples on every one."""
    compile: str = ""
    """A backend of torch.compile such as inductor; empty compiles nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """What to train, on what, how.

    >>> spec = run_from_dict({"name": "a", "data": {"store": "receipts"}, "model": {"encoder": "light"}})
    >>> spec.optimiser.lr, spec.precision, spec.model.encoder
    (0.001, 'fp32', 'light')
    """

    name: str
    """How the run's folder and its reports call it."""
    data: DataSpec
    model: DetectorSpec = field(default_factory=DetectorSpec)
    loss: LossSpec = field(default_factory=LossSpec)
    augment: AugmentSpec = field(default_factory=AugmentSpec)
    optimiser: OptimiserSpec = field(default_factory=OptimiserSpec)
    schedule: ScheduleSpec = field(default_factory=ScheduleSpec)
    budget: BudgetSpec = field(default_factory=BudgetSpec)
    keep: KeepSpec = field(default_factory=KeepSpec)
    watch: WatchSpec = field(default_factory=WatchSpec)
    hardware: HardwareSpec = field(default_factory=HardwareSpec)
    extract: ExtractSpec = field(default_factory=ExtractSpec)
    seed: int = 0
    """Of the order of samples and of augmentation; of weights too, unless model.seed says otherwise."""
    precision: Precision = "fp32"
    """Arithmetic of the network; losses are fp32 in all of them. fp16-safe needs a CUDA device."""
    average: float | None = None
    """Decay of a running mean of the weights, which is then what is validated and kept; None has none."""
    deterministic: bool = False
    """Only algorithms that give the same bits every time; slower on a GPU."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: a CUDA device where there is one."""
    said: frozenset[str] = field(default=frozenset(), compare=False)
    """Which settings the file gave, as `table.key`: the others may follow the store."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data, everything said."""
        data = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "said"}
        plain = {key: asdict(value) if is_dataclass(value) else value for key, value in data.items()}  # type: ignore[arg-type]
        return json.loads(json.dumps(plain, default=str))


TABLES: dict[str, Any] = {
    "data": DataSpec,
    "model": DetectorSpec,
    "loss": LossSpec,
    "augment": AugmentSpec,
    "optimiser": OptimiserSpec,
    "schedule": ScheduleSpec,
    "budget": BudgetSpec,
    "keep": KeepSpec,
    "watch": WatchSpec,
    "hardware": HardwareSpec,
    "extract": ExtractSpec,
}
PROFILE_MOST, DEVICES_MOST = 20, 64
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_STRICT = ConfigDict(frozen=True, extra="forbid", strict=True, protected_namespaces=())


def load_run(path: Path | str, settings: Sequence[str] = ()) -> RunSpec:
    """Read a run file; `settings` are `key=value` changes such as `optimiser.lr=0.003`, values in TOML."""
    path = Path(path)
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SpecError(f"{path}: no such run file", hint="docs/explanation/training.md shows one") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: the run file cannot be read as UTF-8 text ({error})") from error
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{path}: not valid TOML: {error}") from error
    for setting in settings:
        _override(data, setting)
    data.setdefault("name", re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._") or "run")
    if isinstance(data.get("data"), dict) and isinstance(data["data"].get("cache"), str):
        data["data"]["cache"] = str(path.absolute().parent / data["data"]["cache"])
    weights = data["model"].get("encoder_weights") if isinstance(data.get("model"), dict) else None
    if isinstance(weights, str) and weights:
        data["model"]["encoder_weights"] = str(path.absolute().parent / weights)
    return run_from_dict(data, where=str(path))


def run_from_dict(data: Mapping[str, Any], *, where: str = "run") -> RunSpec:
    """A run from plain data, refused with all its problems at once."""
    try:
        parsed = _file_model().model_validate_json(json.dumps(data, default=str))
    except ValidationError as error:
        raise _refused([_problem(where, e) for e in error.errors(include_url=False)], where) from error
    problems: list[Problem] = []
    records: dict[str, Any] = {}
    said = {f"{key}.{name}" for key in TABLES for name in getattr(parsed, key).model_fields_set}
    for key, record in TABLES.items():
        values = dict(getattr(parsed, key))
        if key == "model" and "model.seed" not in said:
            values["seed"] = parsed.seed
        try:
            records[key] = record(**values)
        except SpecError as error:
            found = error.problems or (Problem(loc=key, message=str(error)),)
            problems += [Problem(f"{where}:{p.loc}", p.message) for p in found]
    rest = {f.name: getattr(parsed, f.name) for f in fields(RunSpec) if f.name not in (*TABLES, "said")}
    spec = RunSpec(**records, **rest, said=frozenset(said)) if not problems else None
    problems += _beyond_types(parsed, where)
    if problems or spec is None:
        raise _refused(problems, where)
    return spec


def resolve(spec: RunSpec, recipe: Recipe) -> RunSpec:
    """The run with everything said that follows from its store: how maps are read, the colour beside a picture."""
    augment = spec.augment
    if "augment.fill" not in spec.said:
        augment = replace(augment, fill=recipe.canonical.fill)
    return replace(spec, augment=augment, extract=resolve_extract(spec, recipe))


def resolve_extract(spec: RunSpec, recipe: Recipe) -> ExtractSpec:
    """How maps are read, by the run where it says so and by the recipe that drew them otherwise.

    A run that reads maps as something else than they were drawn is refused: its scores would mean nothing.
    """
    drawn = {"kernel": recipe.maps.style, "shrink_ratio": recipe.maps.shrink_ratio}
    given = {name: getattr(spec.extract, name) for name in ExtractSpec.__slots__ if f"extract.{name}" in spec.said}
    problems = [
        Problem(f"extract.{name}", f"found {given[name]!r}, the store's maps were drawn with {value!r}")
        for name, value in drawn.items()
        if name in given and given[name] != value
    ]
    if problems:
        raise SpecError(
            "the run reads maps in another way than they were drawn:",
            problems=problems,
            hint="leave these settings out, they follow the store",
        )
    return ExtractSpec(**(drawn | given))


def _beyond_types(parsed: Any, where: str) -> list[Problem]:
    data, budget, keep, watch, hardware = parsed.data, parsed.budget, parsed.keep, parsed.watch, parsed.hardware
    rules = (
        (bool(_NAME.fullmatch(parsed.name)), "name", parsed.name, "letters, digits, '.', '_' and '-', at most 64"),
        (0 <= parsed.seed < 2**32, "seed", parsed.seed, "a whole number from 0 to 4294967295"),
        (parsed.average is None or 0 < parsed.average < 1, "average", parsed.average, "a decay between 0 and 1"),
        (bool(data.store), "data.store", data.store, "the name of a store"),
        (data.train != data.val, "data.val", data.val, "another split than data.train"),
        (data.batch >= 1, "data.batch", data.batch, "a whole number of 1 or more"),
        (budget.epochs >= 1, "budget.epochs", budget.epochs, "a whole number of 1 or more"),
        (budget.steps is None or budget.steps >= 1, "budget.steps", budget.steps, "a whole number of 1 or more"),
        (
            budget.validate_every >= 1 and budget.epochs % max(1, budget.validate_every) == 0,
            "budget.validate_every",
            budget.validate_every,
            f"a whole number that divides the {budget.epochs} epochs",
        ),
        (budget.patience is None or budget.patience >= 1, "budget.patience", budget.patience, "1 or more"),
        (budget.patience_delta >= 0, "budget.patience_delta", budget.patience_delta, "0 or more"),
        (
            budget.patience is not None or budget.patience_delta == BudgetSpec().patience_delta,
            "budget.patience_delta",
            budget.patience_delta,
            "budget.patience beside it: alone it has no effect",
        ),
        (keep.top >= 1, "keep.top", keep.top, "a whole number of 1 or more"),
        (keep.every_steps >= 0, "keep.every_steps", keep.every_steps, "a whole number of 0 or more"),
        (watch.guard_every >= 1, "watch.guard_every", watch.guard_every, "a whole number of 1 or more"),
        (
            watch.guard or watch.guard_every == WatchSpec().guard_every,
            "watch.guard_every",
            watch.guard_every,
            "watch.guard = true beside it",
        ),
        (watch.pictures >= 0, "watch.pictures", watch.pictures, "a whole number of 0 or more"),
        (
            0 <= watch.profile_steps <= PROFILE_MOST,
            "watch.profile_steps",
            watch.profile_steps,
            f"a whole number from 0 to {PROFILE_MOST}, for the size of the trace",
        ),
        (watch.profile_from >= 0, "watch.profile_from", watch.profile_from, "a whole number of 0 or more"),
        (
            watch.profile_steps > 0 or watch.profile_from == WatchSpec().profile_from,
            "watch.profile_from",
            watch.profile_from,
            "watch.profile_steps beside it: alone it has no effect",
        ),
        (
            budget.steps is None or not watch.profile_steps or watch.profile_from + watch.profile_steps <= budget.steps,
            "watch.profile_from",
            watch.profile_from,
            f"a last traced step among the {budget.steps} of the budget",
        ),
        (
            hardware.devices >= 1 and hardware.devices <= DEVICES_MOST,
            "hardware.devices",
            hardware.devices,
            f"a whole number from 1 to {DEVICES_MOST}",
        ),
    )
    return [
        Problem(f"{where}:{name}", f"found {value!r}, expected {expected}")
        for good, name, value, expected in rules
        if not good
    ]


def _file_model() -> Any:
    """The pydantic model of a run file, derived from the records so that a field is declared once."""
    return _model(RunSpec, leave_out=("said",))


def _model(record: type[Any], leave_out: Sequence[str] = ()) -> type[BaseModel]:
    hints = get_type_hints(record)
    declared: dict[str, Any] = {}
    for f in fields(record):
        if f.name in leave_out:
            continue
        kind: Any = hints[f.name]
        default: Any = ...
        if is_dataclass(kind):
            kind = _model(hints[f.name])
            default = ... if f.default_factory is MISSING else Field(default_factory=kind)
        elif f.default is not MISSING:
            default = f.default
        elif f.default_factory is not MISSING:
            default = Field(default_factory=f.default_factory)
        declared[f.name] = (kind, default)
    return create_model(record.__name__, __config__=_STRICT, **declared)


def _problem(where: str, error: Any) -> Problem:
    loc = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"]).lstrip(".")
    message = error["msg"]
    if error["type"] == "extra_forbidden":
        record = TABLES.get(str(error["loc"][0]), RunSpec) if len(error["loc"]) > 1 else RunSpec
        message = f"unknown key; known here: {', '.join(f.name for f in fields(record) if f.name != 'said')}"
    elif error["type"] == "missing":
        message = "missing, and it has no default"
    elif not isinstance(error["input"], dict | list):
        message = f"{message}, found {error['input']!r}"
    return Problem(loc=f"{where}:{loc}", message=message)


def _refused(problems: Sequence[Problem], where: str) -> SpecError:
    count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
    return SpecError(f"{where}: the run has {count}:", problems=problems)


def _override(data: dict[str, Any], setting: str) -> None:
    """Apply one `a.b=value` to nested tables; a value that is not TOML is taken as a string."""
    key, equals, value = setting.partition("=")
    path = key.strip().split(".")
    if not equals or not all(path):
        raise SpecError(f"--set {setting}: found {setting!r}, expected key=value such as optimiser.lr=0.003")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    table = data
    for part in path[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise SpecError(f"--set {setting}: {part} is not a table")
    table[path[-1]] = parsed
