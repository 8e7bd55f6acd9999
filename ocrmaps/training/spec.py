"""The whole declarative input of a training run, parsed strictly from TOML: every problem at once, each with its place.

Relative paths count from the run file's folder. What is not said follows from the store (how maps are read, the
padding colour) or has the default that is written here; the resolved run says everything.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from ocrmaps.augment import AugmentSpec
from ocrmaps.errors import Problem, SpecError
from ocrmaps.extract import ExtractSpec
from ocrmaps.model import DetectorSpec
from ocrmaps.recipe import Recipe
from ocrmaps.training.optimization import OptimiserSpec, Precision, ScheduleSpec
from ocrmaps.training.rules import file_model, problem_of, rules
from ocrmaps.trust import NOTHING, Trusted, is_own

NOT_SETTINGS = ("said", "trusted")
"""What a run knows beside its settings."""


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
    trusted: Trusted = field(default=NOTHING, compare=False)
    """Parts from outside that may be built: those that `load_run` found in the run file, none of a run in a card."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data, everything said."""
        data = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in NOT_SETTINGS}
        plain = {key: asdict(value) if is_dataclass(value) else value for key, value in data.items()}  # type: ignore[arg-type]
        return json.loads(json.dumps(plain, default=str))


def portable(run: Mapping[str, Any], home: Path) -> dict[str, Any]:
    """A run's plain data as it may leave this machine: the home folder is ~, weights are known by their file's name.

    >>> portable({"data": {"cache": "/home/ann/maps"}, "model": {"encoder_weights": "/nfs/r18.pth"}}, Path("/home/ann"))
    {'data': {'cache': '~/maps'}, 'model': {'encoder_weights': 'r18.pth'}}
    """

    def plain(value: Any, key: str = "") -> Any:
        if isinstance(value, Mapping):
            return {name: plain(inner, name) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [plain(inner) for inner in value]
        if not isinstance(value, str):
            return value
        if key == "encoder_weights":
            return Path(value).name
        inside = home != Path(home.anchor) and Path(value).is_relative_to(home)
        return str(Path("~") / Path(value).relative_to(home)) if inside else value

    return {name: plain(value, name) for name, value in run.items()}


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


def load_run(path: Path | str, settings: Sequence[str] = ()) -> RunSpec:
    """Read a run file; `settings` are `key=value` changes such as `optimiser.lr=0.003`, values in TOML.

    A problem is told at the place it was given: the file, or `--set`.
    """
    path = Path(path)
    if path.is_dir():
        raise SpecError(f"{path}: found a folder, expected a run file", hint="docs/reference/run.md lists its keys")
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SpecError(f"{path}: no such run file", hint="docs/explanation/training.md shows one") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: the run file cannot be read as UTF-8 text ({error})") from error
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{path}: not valid TOML: {error}") from error
    if "sources" in data and "data" not in data:
        raise SpecError(
            f"{path}: this is the recipe of a store, expected a run file",
            hint=f"`ocrmaps build {path}` builds it; docs/reference/run.md shows the run file that trains on it",
        )
    changed = tuple(_override(data, setting) for setting in settings)
    data.setdefault("name", re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._") or "run")
    if isinstance(data.get("data"), dict) and isinstance(data["data"].get("cache"), str):
        data["data"]["cache"] = str(path.absolute().parent / data["data"]["cache"])
    weights = data["model"].get("encoder_weights") if isinstance(data.get("model"), dict) else None
    if isinstance(weights, str) and weights:
        data["model"]["encoder_weights"] = str(path.absolute().parent / weights)
    return with_own_parts(run_from_dict(data, where=str(path), changed=changed))


def with_own_parts(spec: RunSpec) -> RunSpec:
    """The run with the parts it names trusted. Only for a run that a person wrote, never for one read from a card."""
    named = (spec.model.encoder, spec.model.decoder, spec.model.head, spec.loss.name)
    return replace(spec, trusted=Trusted(names=frozenset(name for name in named if is_own(name))))


def run_from_dict(data: Mapping[str, Any], *, where: str = "run", changed: Sequence[str] = ()) -> RunSpec:
    """A run from plain data, refused with all its problems at once; `changed` are settings given elsewhere."""
    try:
        parsed: Any = file_model(RunSpec, leave_out=NOT_SETTINGS).model_validate_json(json.dumps(data, default=str))
    except ValidationError as error:
        known = {"": _names(RunSpec), **{key: _names(record) for key, record in TABLES.items()}}
        raise _refused([problem_of(e, known) for e in error.errors(include_url=False)], where, changed) from error
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
            problems += found
    rest = {f.name: getattr(parsed, f.name) for f in fields(RunSpec) if f.name not in (*TABLES, *NOT_SETTINGS)}
    spec = RunSpec(**records, **rest, said=frozenset(said)) if not problems else None
    problems += rules(parsed)
    if problems or spec is None:
        raise _refused(problems, where, changed)
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


def _names(record: type[Any]) -> list[str]:
    return [f.name for f in fields(record) if f.name not in NOT_SETTINGS]


def _refused(problems: Sequence[Problem], where: str, changed: Sequence[str]) -> SpecError:
    count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
    placed = [
        Problem(
            f"{'--set ' if any(f'{c}.'.startswith(f'{p.loc}.') for c in changed) else f'{where}:'}{p.loc}", p.message
        )
        for p in problems
    ]
    return SpecError(f"{where}: the run has {count}:", problems=placed)


def _override(data: dict[str, Any], setting: str) -> str:
    """Apply one `a.b=value` to nested tables and give its key; a value that is not TOML is taken as a string."""
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
    return ".".join(path)
