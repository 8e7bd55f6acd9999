"""The whole declarative input of a training run, parsed strictly from TOML: every problem at once, each with its place.

Relative paths count from the run file's folder. What is not said follows from the store (how maps are read, the
padding color) or has the default that is written here; the resolved run says everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from ocrmaps.augment import AugmentSpec
from ocrmaps.errors import Problem, SpecError
from ocrmaps.extract import ExtractSpec
from ocrmaps.model import DetectorSpec
from ocrmaps.model.spec import START
from ocrmaps.settings.files import Draft, Form, file_name, plain, read_file
from ocrmaps.settings.ranges import NO_SETTING, AtLeast0, Name, Range, Rule, Whole0, Whole1, check, hints
from ocrmaps.shipped import NAMES
from ocrmaps.store.places.urls import url_of
from ocrmaps.text import typed
from ocrmaps.training.optimization import OptimizerSpec, Precision, ScheduleSpec
from ocrmaps.trust import NOTHING, Trusted, is_own

if TYPE_CHECKING:
    from ocrmaps.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSpec:
    """One of several stores that a run learns from."""

    store: Annotated[str, Rule("the name of a store", least=1)]
    """STORE, STORE/VERSION or a version's folder or URL; a store alone means its newest version."""
    train: Literal["train", "val", "test", "", "none"] = "train"
    """Its split that is learnt from; none learns from nothing of it."""
    val: Literal["train", "val", "test", "", "none"] = "val"
    """Its split that is scored after epochs; none scores nothing of it."""
    weight: Annotated[float, Range(gt=0, le=1000)] = 1.0
    """How often an epoch shows each of its rows: 2 twice, 0.25 every fourth one; validation shows each once."""

    def __post_init__(self) -> None:
        check(self, "stores", _one_split)


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingSpec:
    """Rows that an epoch shows more or less often: those for which all that is said here holds."""

    weight: Annotated[float, Range(ge=0, le=1000)]
    """What the weights of these rows are multiplied by; 0 leaves them out."""
    store: str = ""
    """Only rows of this one of the run's stores, as the run names it."""
    source: str = ""
    """Only rows of the source with this name in its recipe."""
    text_height: tuple[AtLeast0, AtLeast0] | None = None
    """Only rows whose median text is from the first to below the second number of canonical pixels high."""
    texts: Path | None = None
    """Only hard rows: a texts.csv of `ocrmaps evaluate` tells which texts of a row were missed."""
    missed: Annotated[float, Range(gt=0, le=1)] = 0.5
    """A row is hard if at least this share of its texts that count was missed."""

    def __post_init__(self) -> None:
        check(self, "sampling", _sampling_faults)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSpec:
    """Which prepared data, and how much of it at a time."""

    store: str = ""
    """STORE, STORE/VERSION or a version's folder or URL; a store alone means its newest version. Empty only where
    `[[data.stores]]` names several."""
    cache: Path | None = None
    """The cache folder, or the URL of a place in object storage; None takes the command's."""
    train: Literal["train", "val", "test", ""] = "train"
    """The split that is learnt from."""
    val: Literal["train", "val", "test", ""] = "val"
    """The split that is scored after epochs."""
    batch_size: Whole1 = 8
    """Samples at a time on each device."""
    drop_last: bool = False
    """Leave out the batches that the end of a canvas does not fill."""
    stores: tuple[StoreSpec, ...] = ()
    """Several stores in place of one: [[data.stores]]."""
    sampling: tuple[SamplingSpec, ...] = ()
    """Rows that an epoch shows more or less often: [[data.sampling]]."""

    def __post_init__(self) -> None:
        check(self, "data", _data_faults)


@dataclass(frozen=True, slots=True, kw_only=True)
class LossSpec:
    """What is learnt."""

    name: Annotated[str, Rule("a name", least=1)] = "db"
    """A key of `LOSSES`, or `package.module:Name`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the loss, such as its weights; one that it does not take is refused."""

    def __post_init__(self) -> None:
        check(self, "loss")


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetSpec:
    """How long to train; the schedule is stretched over exactly this."""

    epochs: Whole1 = 30
    """Passes over the train split."""
    steps: Whole1 | None = None
    """End after so many optimizer steps, if that comes first; an epoch that this cuts short is not validated."""
    validate_every: Whole1 = 1
    """Epochs from one validation to the next; divides `epochs`, so that the last one is validated."""
    patience: Whole1 | None = None
    """End after so many validations without a better val/hmean; None never does."""
    patience_delta: AtLeast0 = 0.001
    """A val/hmean is better if it is higher by more than this."""

    def __post_init__(self) -> None:
        check(self, "budget", _budget_faults)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepSpec:
    """Which checkpoints stay; the latest always does."""

    top: Whole1 = 1
    """How many of the best by val/hmean."""
    every_steps: Whole0 = 0
    """Also save the latest state every so many steps within an epoch; 0 does not."""

    def __post_init__(self) -> None:
        check(self, "keep")


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchSpec:
    """What looks on; together they cost less than 1 % of a step (`ocrmaps bench step`)."""

    throughput: bool = True
    """Samples a second, step times, share of waiting for data."""
    resources: bool = True
    """Processor, memory, disk."""
    guard: bool = True
    """End the run at the first loss or gradient that is not finite, and leave a bundle to repeat it from."""
    guard_every: Whole1 = 20
    """Steps from one look of the guard to the next."""
    gradients: bool = True
    """Median, 95th percentile and maximum of the gradient norm, and the share of steps that were clipped."""
    profile_steps: Annotated[int, Range(ge=0, le=20)] = 0
    """Trace so many optimizer steps into the run's folder; 0 traces none, more than 20 make too large a trace."""
    profile_from: Whole0 = 10
    """The first step that is traced, counted from 0: those before warm up."""
    tensorboard: bool = False
    """Also write the rows of metrics.csv for TensorBoard; needs the extra."""
    wandb: str = ""
    """Also log the rows of metrics.csv to this Weights & Biases project; needs the extra."""
    pictures: Whole0 = 4
    """Validation samples that are drawn, truth beside prediction; 0 draws none."""

    def __post_init__(self) -> None:
        check(self, "watch", _watch_faults)


@dataclass(frozen=True, slots=True, kw_only=True)
class HardwareSpec:
    """On how many devices, and whether the network is compiled for them."""

    devices: Annotated[int, Range(ge=1, le=64)] = 1
    """Processes with a device each, on every machine; a step learns from `data.batch_size` samples on every one."""
    nodes: Annotated[int, Range(ge=1, le=1024)] = 1
    """Machines, with as many devices each; torchrun or srun starts the processes of more than one."""
    compile: str = ""
    """A backend of torch.compile such as inductor; empty compiles nothing."""

    def __post_init__(self) -> None:
        check(self, "hardware")

    @property
    def world(self) -> int:
        """Devices of all machines."""
        return self.devices * self.nodes


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """What to train, on what, how.

    >>> spec = run_from_dict({"name": "a", "data": {"store": "receipts"}, "model": {"encoder": "light"}})
    >>> spec.optimizer.lr, spec.precision, spec.model.encoder
    (0.001, 'fp32', 'light')
    """

    name: Name
    """How the run's folder and its reports call it."""
    data: DataSpec
    model: DetectorSpec = field(default_factory=DetectorSpec)
    loss: LossSpec = field(default_factory=LossSpec)
    augment: AugmentSpec = field(default_factory=AugmentSpec)
    optimizer: OptimizerSpec = field(default_factory=OptimizerSpec)
    schedule: ScheduleSpec = field(default_factory=ScheduleSpec)
    budget: BudgetSpec = field(default_factory=BudgetSpec)
    keep: KeepSpec = field(default_factory=KeepSpec)
    watch: WatchSpec = field(default_factory=WatchSpec)
    hardware: HardwareSpec = field(default_factory=HardwareSpec)
    extract: ExtractSpec = field(default_factory=ExtractSpec)
    seed: Annotated[int, Range(ge=0, le=2**32 - 1)] = 0
    """Of the order of samples and of augmentation; of weights too, unless model.seed says otherwise."""
    precision: Precision = "fp32"
    """Arithmetic of the network; losses are fp32 in all of them. fp16-safe needs a CUDA device."""
    ema: Annotated[float, Range(gt=0, lt=1, noun="decay")] | None = None
    """Decay of a running mean of the weights, which is then what is validated and kept; None has none."""
    deterministic: bool = False
    """Only algorithms that give the same bits every time; slower on a GPU."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: a CUDA device where there is one."""
    said: frozenset[str] = field(default=frozenset(), compare=False, metadata=NO_SETTING)
    """Which settings the file gave, as `table.key`: the others may follow the store."""
    trusted: Trusted = field(default=NOTHING, compare=False, metadata=NO_SETTING)
    """Parts from outside that may be built: those that `load_run` found in the run file, none of a run in a card."""

    def __post_init__(self) -> None:
        check(self, "", _run_faults)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, everything said."""
        found: dict[str, Any] = plain(self)
        return found


def _one_split(data: DataSpec | StoreSpec) -> Iterator[tuple[str, str]]:
    if data.train == data.val:
        table = "data." if isinstance(data, DataSpec) else ""
        yield "val", f"found {data.val!r}, expected another split than {table}train"


def _data_faults(data: DataSpec) -> Iterator[tuple[str, str]]:
    yield from _one_split(data)
    if not data.stores:
        if not data.store:
            yield "store", "missing: the name of a store, or several by [[data.stores]]"
        return
    if data.store:
        yield "store", f"found {data.store!r} beside [[data.stores]], expected one or the other"
    for name, own in (("train", "train"), ("val", "val")):
        yield from _idle(data, name, f"{own} in each of [[data.stores]]: here it has no effect beside them")
    for name in ("train", "val"):
        if all(getattr(part, name) == "none" for part in data.stores):
            yield (
                "stores",
                f"found {name} none in all of them, expected one that gives rows",
            )
    for i, part in enumerate(data.stores):
        same = [part.store == other.store for other in data.stores[:i]]
        if any(same):
            yield f"stores[{i}].store", f"found {part.store!r} twice, expected each store once: weight shows it oftener"


def _sampling_faults(rule: SamplingSpec) -> Iterator[tuple[str, str]]:
    if not (rule.store or rule.source or rule.text_height or rule.texts):
        yield "weight", "says of no row that it is meant: name a store, source, text_height or texts"
    if rule.text_height is not None and rule.text_height[0] >= rule.text_height[1]:
        yield "text_height", f"found {list(rule.text_height)}, expected the smaller number first"
    if rule.texts is None:
        yield from _idle(rule, "missed", "texts beside it: alone it has no effect")


def _budget_faults(budget: BudgetSpec) -> Iterator[tuple[str, str]]:
    if budget.epochs % budget.validate_every:
        expected = f"a whole number that divides the {budget.epochs} epochs"
        yield "validate_every", f"found {budget.validate_every}, expected {expected}"
    if budget.patience is None:
        yield from _idle(budget, "patience_delta", "budget.patience beside it: alone it has no effect")


def _watch_faults(watch: WatchSpec) -> Iterator[tuple[str, str]]:
    if not watch.guard:
        yield from _idle(watch, "guard_every", "watch.guard = true beside it")
    if not watch.profile_steps:
        yield from _idle(watch, "profile_from", "watch.profile_steps beside it: alone it has no effect")


def _run_faults(run: RunSpec) -> Iterator[tuple[str, str]]:
    steps, watch = run.budget.steps, run.watch
    if steps is not None and watch.profile_steps and watch.profile_from + watch.profile_steps > steps:
        expected = f"a last traced step among the {steps} of the budget"
        yield "watch.profile_from", f"found {watch.profile_from}, expected {expected}"


def _idle(table: Any, key: str, expected: str) -> Iterator[tuple[str, str]]:
    """A setting that does nothing as things are, unless it is left at its default."""
    value = getattr(table, key)
    if value != next(f.default for f in fields(table) if f.name == key):
        yield key, f"found {value!r}, expected {expected}"


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
        if key in START:
            return Path(value).name
        inside = home != Path(home.anchor) and Path(value).is_relative_to(home)
        return str(Path("~") / Path(value).relative_to(home)) if inside else value

    return {name: plain(value, name) for name, value in run.items()}


TABLES: dict[str, Any] = {
    name: kind for name, kind in hints(RunSpec).items() if is_dataclass(kind) and kind is not Trusted
}
FORM = Form(
    what="run",
    record=RunSpec,
    example="optimizer.lr=0.003",
    hint="docs/explanation/training.md shows one",
    filled=("name",),
    renamed={
        "optimiser": "optimizer",
        "average": "ema",
        "data.batch": "data.batch_size",
        "extract.binarise": "extract.binarize",
    },
)


def load_run(path: Path | str, settings: Sequence[str] = ()) -> RunSpec:
    """Read a run file; `settings` are `key=value` changes such as `optimizer.lr=0.003`, values in TOML.

    A problem is told at the place it was given: the line of the file, or `--set`.
    """
    path = Path(path)
    draft = read_file(FORM, path, settings)
    data = draft.data
    if "sources" in data and "data" not in data:
        raise SpecError(
            f"{path}: this is the recipe of a store, expected a run file",
            hint=f"{typed('ocrmaps', 'build', path)} builds it; "
            "docs/reference/run.md shows the run file that trains on it",
        )
    data.setdefault("name", file_name(path, "run"))
    for table, key in (("data", "cache"), *(("model", name) for name in START)):
        inside = data.get(table)
        if isinstance(inside, dict) and isinstance(inside.get(key), str) and inside[key] not in ("", *NAMES):
            if table == "data" and url_of(inside[key]) is not None:
                continue
            inside[key] = str(path.absolute().parent / inside[key])
    inside = data.get("data")
    rules = inside.get("sampling") if isinstance(inside, dict) else None
    for rule in rules if isinstance(rules, list) else ():
        if isinstance(rule, dict) and isinstance(rule.get("texts"), str):
            rule["texts"] = str(path.absolute().parent / rule["texts"])
    return with_own_parts(_checked(draft))


def with_own_parts(spec: RunSpec) -> RunSpec:
    """The run with the parts it names trusted. Only for a run that a person wrote, never for one read from a card."""
    named = (spec.model.encoder, spec.model.decoder, spec.model.head, spec.loss.name)
    return replace(spec, trusted=Trusted(names=frozenset(name for name in named if is_own(name))))


def run_from_dict(data: Mapping[str, Any], *, where: str = "run") -> RunSpec:
    """A run from plain data, refused with all its problems at once."""
    return _checked(Draft(form=FORM, data=dict(data), where=where))


def _checked(draft: Draft) -> RunSpec:
    run: RunSpec = draft.record()
    said = frozenset(f"{table}.{key}" for table in TABLES for key in draft.data.get(table, ()))
    model = run.model if "model.seed" in said else replace(run.model, seed=run.seed)
    return replace(run, model=model, said=said)


def resolve(spec: RunSpec, recipe: Recipe) -> RunSpec:
    """The run with everything said that follows from its store: how maps are read, the color beside a picture."""
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
