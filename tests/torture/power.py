"""Power cuts: everything that no sync had made durable is lost, kept or torn at random; then the same build again.

A model of a disk follows each step that a build or a removal takes. What a sync promised survives a cut; of the rest
each name of a folder may be old or new, and each file empty, cut short, zeros or whole, whatever the others are.
Stricter than real file systems, which keep some order of their own.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ocrmaps.store.places import posix as disk
from ocrmaps.store.upkeep.removal import plan_clear, remove
from ocrmaps.store.upkeep.verify import verify
from tests.store.world import World, make_world

Event = tuple[Any, ...]
"""(step, path, ...): what was done, in order."""


@dataclass(eq=False)
class File:
    """What a file holds, and what of it a cut cannot take."""

    data: bytes = b""
    kept: bytes = b""

    def after_cut(self, rng: random.Random) -> bytes:
        if self.data == self.kept:
            return self.kept
        torn = self.data[: rng.randrange(len(self.data) + 1)]
        return rng.choice([self.kept, torn, torn + bytes(len(self.data) - len(torn)), self.data])


@dataclass(eq=False)
class Folder:
    """Names, and those that a cut cannot take; `pending` are changes that no sync has seen."""

    names: dict[str, File | Folder] = field(default_factory=dict)
    kept: dict[str, File | Folder] = field(default_factory=dict)
    pending: list[tuple[str, File | Folder | None]] = field(default_factory=list)

    def set(self, name: str, node: File | Folder | None) -> None:
        if node is None:
            self.names.pop(name, None)
        else:
            self.names[name] = node
        self.pending.append((name, node))

    def sync(self) -> None:
        self.kept, self.pending = dict(self.names), []

    def after_cut(self, rng: random.Random) -> dict[str, File | Folder]:
        left = dict(self.kept)
        for name, node in self.pending:
            if rng.random() < 0.5:
                if node is None:
                    left.pop(name, None)
                else:
                    left[name] = node
        return left


class Model:
    """A disk below the folder `root`, which starts as `base` is now and is driven by events."""

    def __init__(self, base: Path, root: Path) -> None:
        self._root = root
        self._top = _loaded(base)

    def apply(self, event: Event) -> None:
        step, path, *rest = event
        if step == "fsync-dir":
            if path.is_relative_to(self._root):
                self._at(path).sync()
            return
        folder, name = self._at(path.parent), path.name
        match step:
            case "mkdir":
                if name not in folder.names:
                    folder.set(name, Folder())
            case "open":
                if name not in folder.names:
                    folder.set(name, File())
            case "write":
                self._file(path).data += rest[0]
            case "truncate":
                file = self._file(path)
                file.data = file.kept = file.data[: rest[0]]
            case "fsync":
                file = self._file(path)
                file.kept = file.data
            case "rename":
                source = self._at(rest[0].parent)
                node = source.names[rest[0].name]
                folder.set(name, node)
                source.set(rest[0].name, None)
            case "link":
                folder.set(name, self._file(rest[0]))
            case "unlink":
                if name in folder.names:
                    folder.set(name, None)
            case "rmtree":
                if name in folder.names:
                    _empty(folder.names[name])
                    folder.set(name, None)
            case _:
                raise AssertionError(f"the model knows no step {step!r}")

    def write_survivors(self, rng: random.Random, target: Path) -> None:
        """A real folder with what a cut might leave."""
        shutil.rmtree(target, ignore_errors=True)
        _write(self._top, target, rng, {})

    def _at(self, path: Path) -> Folder:
        node: File | Folder = self._top
        for part in path.relative_to(self._root).parts:
            assert isinstance(node, Folder)
            node = node.names[part]
        assert isinstance(node, Folder)
        return node

    def _file(self, path: Path) -> File:
        node = self._at(path.parent).names[path.name]
        assert isinstance(node, File)
        return node


def _loaded(path: Path) -> Folder:
    """What is on the disk now, all of it durable; lock files and the memory of inputs may be lost at any time."""
    folder = Folder()
    for entry in sorted(path.iterdir()):
        if entry.is_dir():
            folder.names[entry.name] = _loaded(entry)
        elif entry.suffix != ".sqlite":
            data = entry.read_bytes()
            folder.names[entry.name] = File(data, data)
    folder.sync()
    return folder


def _empty(node: File | Folder) -> None:
    """Take every name out, as deleting a tree does."""
    if isinstance(node, Folder):
        for name, inner in list(node.names.items()):
            _empty(inner)
            node.set(name, None)


def _write(folder: Folder, target: Path, rng: random.Random, written: dict[File, bytes]) -> None:
    target.mkdir(parents=True)
    for name, node in folder.after_cut(rng).items():
        if isinstance(node, Folder):
            _write(node, target / name, rng, written)
        else:
            # Two names of one file hold the same bytes.
            written.setdefault(node, node.after_cut(rng))
            (target / name).write_bytes(written[node])


@contextmanager
def recorded() -> Iterator[list[Event]]:
    """Every change that the store makes to its disk within the block."""
    events: list[Event] = []
    own = {name: getattr(disk, name) for name in ("_write_all", "rename", "link", "truncate")}
    rmtree = shutil.rmtree

    def seam(step: str, path: Path) -> None:
        if step in ("mkdir", "open", "fsync", "unlink", "fsync-dir"):
            events.append((step, path))

    def write_all(handle: int, part: Any, path: Path, step: str = "write") -> None:
        own["_write_all"](handle, part, path, step)
        events.append(("write", path, bytes(part)))

    def rename(source: Path, target: Path) -> None:
        own["rename"](source, target)
        events.append(("rename", target, source))

    def link(source: Path, target: Path) -> None:
        own["link"](source, target)
        events.append(("link", target, source))

    def truncate(path: Path, length: int) -> None:
        own["truncate"](path, length)
        events.append(("truncate", path, length))

    def remove_tree(path: Any, *args: Any, **kwargs: Any) -> None:
        events.append(("rmtree", Path(path)))
        rmtree(path, *args, **kwargs)

    disk.between = seam
    disk._write_all, disk.rename, disk.link, disk.truncate = write_all, rename, link, truncate
    shutil.rmtree = remove_tree  # type: ignore[assignment]
    try:
        yield events
    finally:
        disk.between = None
        for name, function in own.items():
            setattr(disk, name, function)
        shutil.rmtree = rmtree


def cut_power(root: Path, cuts: int, *, seed: int = 0, tell: Callable[[str], None] = print) -> dict[str, int]:
    """Cut the power `cuts` times in first builds, builds after a change and removals; counts what broke a promise."""
    rng = random.Random(seed)
    counts = {"cuts": 0, "events": 0, "wrong": 0, "lost_versions": 0, "wrong_digests": 0}
    scenes = [_first_build(root / "first"), _changed_build(root / "changed"), _removal(root / "removed")]
    counts["events"] = sum(len(scene.events) for scene in scenes)
    while counts["cuts"] < cuts:
        scene = scenes[counts["cuts"] % len(scenes)]
        # A third of the cuts come right after the end: what was told to the user as done must be there.
        number = len(scene.events) if rng.random() < 1 / 3 else rng.randrange(len(scene.events))
        kind, what = _cut(scene, number, rng)
        counts["cuts"] += 1
        if kind:
            counts[kind] += 1
            tell(f"{kind}: {scene.name} cut after {number} of {len(scene.events)} steps: {what}")
    return counts


@dataclass(kw_only=True)
class Scene:
    """Something the store did, step by step, and what must hold after a cut at any of them."""

    name: str
    world: World
    base: Path
    """The cache as it was before."""
    events: list[Event]
    always: tuple[str, ...] = ()
    """Versions that must be there whenever the power is cut."""
    finally_there: tuple[str, ...] = ()
    """Versions that must be there after the last step."""
    root_digest: str = ""
    """What the build comes to when it is run again."""


def _first_build(root: Path) -> Scene:
    world = make_world(root, samples=3, rows_per_shard=1)
    base = _copied(world, root)
    with recorded() as events:
        manifest = world.build()
    return Scene(
        name="a first build", world=world, base=base, events=events, finally_there=(manifest.version,),
        root_digest=manifest.root_digest,
    )  # fmt: skip


def _changed_build(root: Path) -> Scene:
    world = make_world(root, samples=4, rows_per_shard=1)
    before = world.build()
    world.add("train", "01.png", seed=77)
    base = _copied(world, root)
    with recorded() as events:
        manifest = world.build()
    assert any(event[0] == "link" for event in events), "the scene is to share files with an older version"
    return Scene(
        name="a build after a change", world=world, base=base, events=events, always=(before.version,),
        finally_there=(manifest.version,), root_digest=manifest.root_digest,
    )  # fmt: skip


def _removal(root: Path) -> Scene:
    world = make_world(root, samples=4, rows_per_shard=1)
    before = world.build()
    world.add("train", "01.png", seed=77)
    manifest = world.build()
    base = _copied(world, root)
    with recorded() as events:
        gone, _ = remove(plan_clear([(world.store, before.version)]))
    assert [item.name for item in gone] == [before.version]
    return Scene(
        name="a removal", world=world, base=base, events=events, always=(manifest.version,),
        root_digest=manifest.root_digest,
    )  # fmt: skip


def _copied(world: World, root: Path) -> Path:
    """The cache as it is now, kept for later."""
    base = root / "base"
    base.mkdir(parents=True, exist_ok=True)
    if world.cache.exists():
        shutil.copytree(world.cache, base / "cache")
    return base


def _cut(scene: Scene, number: int, rng: random.Random) -> tuple[str, str]:
    """One cut and the next build; ("", "") if all is as promised, else which promise was broken, and how."""
    world = scene.world
    model = Model(scene.base, world.root)
    for event in scene.events[:number]:
        model.apply(event)
    model.write_survivors(rng, world.root / "after")
    shutil.rmtree(world.cache, ignore_errors=True)
    if (world.root / "after" / "cache").exists():
        (world.root / "after" / "cache").rename(world.cache)
    there = world.store.versions()
    needed = {*scene.always, *(scene.finally_there if number == len(scene.events) else ())}
    if not needed <= set(there):
        return "lost_versions", f"found {there}, expected {sorted(needed)} among them"
    for version in there:
        report = verify(world.store.version(version))
        if not report.ok:
            return "wrong", f"version {version} is visible and damaged: {report.problems[0]}"
    found = world.build().root_digest if scene.finally_there and not set(scene.finally_there) <= set(there) else None
    if found not in (None, scene.root_digest):
        return "wrong_digests", f"found root digest {found} after building again, expected {scene.root_digest}"
    return "", ""
