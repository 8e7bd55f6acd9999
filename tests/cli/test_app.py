"""The command line as a stranger meets it: help, wrong arguments, errors, interruption."""

from __future__ import annotations

import errno
import gc
import importlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def run(server):
    """Run a line in a process that begins as a new one does."""
    with server("") as typed:
        yield lambda *words: typed(words, ROOT)


@cache
def tree():
    """The root of all commands."""
    import typer.main

    from ocrmaps.cli.app import app

    return typer.main.get_command(app)


def commands() -> list[tuple[str, ...]]:
    """Every command of the tree, from the tree itself."""

    def walk(command, path):
        children = getattr(command, "commands", None)
        if not children:
            return [path]
        return [leaf for name, child in sorted(children.items()) for leaf in walk(child, (*path, name))]

    return walk(tree(), ())


@pytest.mark.parametrize("path", commands(), ids=" ".join)
def test_every_command_explains_itself_in_a_sentence_and_an_example(path):
    command = tree()
    for name in path:
        command = command.commands[name]
    assert command.help, path
    assert "Example: ocrmaps " + " ".join(path) in command.help.replace("\n", " "), path


def test_no_arguments_show_the_help():
    command = [sys.executable, "-m", "ocrmaps"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=600)
    assert "oracle" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["oracle"], ["oracle", "x", "--frame", "sideways"], ["bench", "maps", "--repeats", "0"]]
)
def test_wrong_usage_exits_two_without_a_traceback(arguments, run):
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "Usage" in done.stderr


def test_bad_data_exits_three_with_one_message_and_a_next_step(tmp_path, run):
    done = run("oracle", str(tmp_path / "nowhere"))
    assert done.returncode == 3
    assert done.stdout == ""
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_error_with_json_is_one_document_on_stdout(tmp_path, run):
    done = run("oracle", str(tmp_path / "nowhere"), "--json")
    assert done.returncode == 3
    assert "nowhere" in json.loads(done.stdout)["error"]["message"]


def test_interruption_is_said_in_a_line(tmp_path):
    # A test run in the background of a shell ignores interruptions, and its children would inherit that.
    with subprocess.Popen(
        [sys.executable, "-m", "ocrmaps", "data", "synth", str(tmp_path / "out"), "--num", "100000"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:  # fmt: skip
        while not any(path.is_file() for path in tmp_path.rglob("*")) and process.poll() is None:  # a picture is there
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        try:
            out, errors = process.communicate(timeout=600)
        finally:
            process.kill()
    assert (process.returncode, out, errors) == (130, "", "ocrmaps: interrupted\n")
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_while_the_compiler_calls_back_is_not_lost():
    code = """
import ctypes, os, signal, sys, time
from ocrmaps.cli import app as cli
def work(**_):
    calls = {}
    back = "def back():\\n  os.kill(os.getpid(), signal.SIGINT)\\n  for _ in range(9): pass"
    exec(compile(back, "llvmlite/x.py", "exec"), {"os": os, "signal": signal}, calls)
    ctypes.CFUNCTYPE(None)(calls["back"])()
    time.sleep(60)
cli.app, sys.argv = work, ["ocrmaps", "anything"]
cli.main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=20,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (130, "ocrmaps: interrupted\n")


def called(monkeypatch, wrong: BaseException | None = None) -> None:
    """`main` in this process, with a command that ends in this error."""
    from ocrmaps.cli import app as cli

    def command(**_) -> None:
        if wrong is not None:
            raise wrong

    monkeypatch.setattr(cli, "app", command)
    monkeypatch.setattr(sys, "argv", ["ocrmaps", "anything"])
    before = signal.getsignal(signal.SIGINT)
    try:
        cli.main()
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("given", "found"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_waiting_threads_sleep_unless_told_otherwise(monkeypatch, given, found):
    monkeypatch.setenv("OMP_WAIT_POLICY", given or "")  # put back afterwards
    if given is None:
        monkeypatch.delenv("OMP_WAIT_POLICY")
    with pytest.raises(SystemExit):
        called(monkeypatch)
    assert os.environ["OMP_WAIT_POLICY"] == found


def test_what_was_imported_is_seldom_looked_through(monkeypatch):
    before = gc.get_threshold()
    try:
        gc.set_threshold(700, 10, 10)
        with pytest.raises(SystemExit):
            called(monkeypatch)
        assert gc.get_threshold()[0] >= 100 * 700
    finally:
        gc.set_threshold(*before)


@pytest.mark.parametrize("kind", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_refusal_of_the_system_is_one_message_with_the_file_and_a_next_step(monkeypatch, capsys, kind):
    with pytest.raises(SystemExit) as ended:
        called(monkeypatch, OSError(kind, os.strerror(kind), "out/scores"))
    lines = capsys.readouterr().err.splitlines()
    assert ended.value.code == 1
    assert lines[0] == f"ocrmaps: out/scores: {os.strerror(kind)}"
    assert lines[1].startswith("  try: ")
    assert len(lines) == 2


def test_a_fault_of_the_program_keeps_its_traceback(monkeypatch):
    with pytest.raises(OSError, match="no such number"):
        called(monkeypatch, OSError("no such number"))


def assert_interrupted(monkeypatch, capsys, command) -> None:
    """`main` in this process, with a command that is interrupted, ends as interruptions do."""
    from ocrmaps.cli import app as cli

    monkeypatch.setattr(cli, "app", command)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(SystemExit) as ended:
            cli.main()
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended.value.code == 130
    assert capsys.readouterr().err == "ocrmaps: interrupted\n"


def test_an_interruption_that_breaks_an_import_is_still_an_interruption(monkeypatch, capsys):
    def command(**_) -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise RecursionError("a module that was left half imported") from None

    assert_interrupted(monkeypatch, capsys, command)


def test_an_interruption_that_an_import_swallows_is_not_lost(monkeypatch, capsys, tmp_path):
    # What the start of a module compiled by Cython does when something is raised in it.
    module = (
        "import signal\ntry:\n    signal.raise_signal(signal.SIGINT)\nexcept BaseException:\n    pass\nwhole = True\n"
    )
    (tmp_path / "compiled_by_cython.py").write_text(module, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    imported = []

    def command(**_) -> None:
        imported.append(importlib.import_module("compiled_by_cython").whole)
        time.sleep(600)

    try:
        assert_interrupted(monkeypatch, capsys, command)
    finally:
        sys.modules.pop("compiled_by_cython", None)
    assert imported == [True]


def test_an_interrupted_build_is_said_once_with_what_to_do_next(monkeypatch, capsys, tmp_path):
    import ocrmaps.pipelines.build
    from ocrmaps.cli import app as cli

    def stopped(*_, **__):
        raise KeyboardInterrupt

    (tmp_path / "r.toml").write_text('[[sources]]\npath = "a"\n\n[canonical]\ncanvases = [[64, 64]]\n')
    monkeypatch.setattr(ocrmaps.pipelines.build, "build", stopped)
    monkeypatch.setattr(sys, "argv", ["ocrmaps", "build", str(tmp_path / "r.toml")])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 130
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["ocrmaps: interrupted; what is proven is kept", "  try: the same command goes on from there"]


def test_a_line_goes_above_a_bar_that_stands_in_for_the_stream(monkeypatch):
    """A bar on the terminal puts itself in the place of the stream; behind it are the bytes that it is drawn with."""
    from ocrmaps.cli.progress import say

    class Bar(io.TextIOBase):
        lines = ""
        buffer = None

        def write(self, text):
            self.lines += text
            return len(text)

    bar = Bar()
    monkeypatch.setattr(sys, "stdout", bar)
    say("epoch 1/2")
    assert bar.lines == "epoch 1/2\n"


def test_output_that_the_terminal_cannot_show_is_escaped(tmp_path):
    Image.new("RGB", (64, 48)).save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("8,8,40,8,40,24,8,24,text\n", encoding="utf-8")
    command = [sys.executable, "-m", "ocrmaps", "data", "check", str(tmp_path)]
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env, timeout=600)
    assert "p05 \\xb7 median" in done.stdout
    assert "Traceback" not in done.stderr


def test_json_is_utf8_whatever_the_terminal(tmp_path):
    arguments = ["verify", "b\u00e9", "--root", str(tmp_path), "--json"]
    command = [sys.executable, "-m", "ocrmaps", *arguments]
    done = subprocess.run(command, capture_output=True, cwd=ROOT, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert "b\u00e9" in json.loads(done.stdout.decode("utf-8"))["error"]["message"]


def test_lists_of_commands_hold_whole_sentences(run):
    for path in ([], ["cache"]):
        listed = run(*path, "--help").stdout.partition("Commands:")[2]
        assert "..." not in listed
    assert "else exit 1." in " ".join(listed.split())


def test_the_status_of_a_store_that_is_not_there_is_an_error(tmp_path, run):
    done = run("cache", "status", "nowhere", "--root", str(tmp_path))
    assert done.returncode == 4
    assert "nowhere: no such store" in done.stderr


def test_a_folder_where_a_recipe_is_expected_is_called_a_folder(tmp_path, run):
    done = run("build", str(tmp_path))
    assert done.returncode == 2
    assert "found a folder, expected a recipe file" in done.stderr


INTERRUPTED = """import sys
class Press:
    def find_spec(self, name, path=None, target=None):
        if name == "ocrmaps.cli.app":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Press())
from ocrmaps.__main__ import main
main()"""


def test_an_interruption_while_commands_are_imported_leaves_no_traceback():
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "ocrmaps: interrupted\n")
