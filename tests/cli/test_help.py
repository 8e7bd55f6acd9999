"""Help fits a terminal of 80 columns, in groups a person can take in, with the same name for the same thing."""

from __future__ import annotations

import re

import pytest
import typer.main

from ocrmaps.cli import options, reference
from ocrmaps.cli.app import app
from ocrmaps.cli.plain import ARGUMENTS, grouped, named
from tests.cli.test_app import commands, tree

PATHS = sorted({path[:depth] for path in commands() for depth in range(len(path) + 1)})


def found(path):
    """The command at this path of words and a context that asks nothing of it."""
    command = tree()
    for name in path:
        command = command.commands[name]
    return command, command.make_context("ocrmaps " + " ".join(path), [], resilient_parsing=True)


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize("path", PATHS, ids=lambda path: " ".join(path) or "ocrmaps")
def test_no_line_is_wider_than_the_terminal_and_no_sentence_is_cut(path):
    said = found(path)[0].get_help(found(path)[1])
    assert [line for line in said.splitlines() if len(line) > 80] == []
    assert "…" not in said
    assert re.findall(r"\.\.\.(?! |\n|$|\])", said.replace("[ARGS]...", "")) == []
    assert re.findall(r"<(?:list|int|float|str|path)\b[^>]*>", said) == []


@pytest.mark.parametrize("path", commands(), ids=" ".join)
def test_no_group_has_more_than_seven_options(path):
    groups = grouped(*found(path))
    assert {title: len(records) for title, records in groups.items() if len(records) > 7} == {}
    declared = [p for p in found(path)[0].get_params(found(path)[1]) if not p.hidden]
    assert sum(map(len, groups.values())) == len(declared)
    assert next(iter(groups)) in (ARGUMENTS, "Options")


@pytest.mark.parametrize("path", commands(), ids=" ".join)
def test_a_line_makes_the_command_that_it_names_and_no_other(path):
    command = typer.main.get_command(named(app, [*path, "--help"]))
    for name in path:
        assert list(command.commands) == [name]
        command = command.commands[name]
    assert [p.name for p in command.params] == [p.name for p in found(path)[0].params]


@pytest.mark.parametrize("words", [[], ["nonsense"], ["--version", "cache"]])
def test_a_line_that_begins_with_no_command_makes_all_of_them(words):
    assert named(app, words) is app
    (cache,) = named(app, ["cache", *words]).registered_groups
    assert len(cache.typer_instance.registered_commands) > 1


def test_one_thing_has_one_name():
    """Names that were used for the same thing in some commands are gone from all."""
    used = {(p.names, c.name) for c in reference.commands(app, "ocrmaps") for p in c.parameters if not p.argument}
    names = {name for name, _ in used}
    assert not names & {"--declared", "--batch", "--sample", "--binarise"}
    assert {command for name, command in used if name == "--workers"} == {"ocrmaps build", "ocrmaps repair"}


def test_options_that_are_declared_once_say_the_same_everywhere():
    said = {}
    for command in reference.commands(app, "ocrmaps"):
        for p in command.parameters:
            if p.names in ("--root", "--json", "--threads", "--workers", "--device", "--batch-size", "--trust"):
                said.setdefault(p.names, set()).add((p.text, p.default, p.kind))
    assert len(said) == 7
    # A command that only reads takes a URL as its cache, too.
    allowed = {"--root": 2}
    assert {name: uses for name, uses in said.items() if len(uses) > allowed.get(name, 1)} == {}


def test_networks_run_where_there_is_a_device_unless_told_otherwise():
    device = [p.default for c in reference.commands(app, "ocrmaps") for p in c.parameters if p.names == "--device"]
    assert device == ["`auto`"] * 4


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OCRMAPS_CACHE", "kept")
    (tmp_path / "recipe.toml").write_text('[[sources]]\npath = "a"\n')
    (tmp_path / "run.toml").write_text('[data]\nstore = "a"\n')
    (tmp_path / "other.txt").touch()
    (tmp_path / "receipts").mkdir()
    for version in ("0123456789abcdef", "fedcba9876543210"):
        (tmp_path / "kept" / "tickets" / version).mkdir(parents=True)
        (tmp_path / "kept" / "tickets" / version / "manifest.json").touch()
    return tmp_path


@pytest.fixture(scope="module")
def typed(server):
    with server("") as typed:
        yield typed


@pytest.fixture
def completed(typed, folder):
    """What a shell would be offered for the last word, asked as bash asks."""

    def offered(*words: str) -> list[str]:
        asked = {"_OCRMAPS_COMPLETE": "complete_bash", "COMP_WORDS": "ocrmaps " + " ".join(words)}
        done = typed([], folder, COMP_CWORD=str(len(words)), OCRMAPS_CACHE="kept", **asked)
        assert done.stderr == ""
        return done.stdout.split()

    return offered


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("build", ""), ["kept/", "receipts/", "recipe.toml"]),
        (("train", "r"), ["receipts/", "run.toml"]),
        (("verify", ""), ["tickets"]),
        (("verify", "tickets/0"), ["tickets/0123456789abcdef"]),
        (("evaluate", "best.ckpt", "--store", "t"), ["tickets"]),
        (("evaluate", "best.ckpt", "--split", ""), ["train", "val", "test"]),
        (("cache", "status", "ti"), ["tickets"]),
        (("recommend", "train=re"), ["train=receipts/", "train=recipe.toml"]),
        (("recommend", "va"), ["val="]),
    ],
)
def test_shells_are_offered_stores_versions_splits_and_files(completed, words, offered):
    assert completed(*words) == offered


def test_a_root_that_is_typed_before_decides_which_stores_are_offered(completed):
    assert completed("verify", "--root", "elsewhere", "") == []


def test_completion_is_installed_for_a_shell(typed, folder):
    undetected = {"HOME": str(folder), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = typed(["--install-completion", "bash"], folder, **undetected)
    assert done.returncode == 0 and done.stderr == ""
    (script,) = folder.rglob("ocrmaps.sh")
    assert "_OCRMAPS_COMPLETE=complete_bash" in script.read_text()


def test_the_cache_folder_is_the_option_then_the_environment_then_here(folder, monkeypatch):
    assert options.cache_root(folder / "a") == folder / "a"
    assert options.cache_root(None) == folder / "kept"
    monkeypatch.delenv("OCRMAPS_CACHE")
    assert options.cache_root(None) == folder / ".ocrmaps"
