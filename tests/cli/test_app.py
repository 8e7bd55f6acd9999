"""The command line as a stranger meets it: help, wrong arguments, errors, interruption."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str, **kwargs) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cli.app", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, **kwargs)


def commands() -> list[tuple[str, ...]]:
    """Every command of the tree, from the tree itself."""
    import typer.main

    from cli.app import app

    def walk(command, path):
        children = getattr(command, "commands", None)
        if not children:
            return [path]
        return [leaf for name, child in sorted(children.items()) for leaf in walk(child, (*path, name))]

    return walk(typer.main.get_command(app), ())


@pytest.mark.parametrize("path", commands(), ids=" ".join)
def test_every_command_explains_itself_in_a_sentence_and_an_example(path):
    import typer.main

    from cli.app import app

    command = typer.main.get_command(app)
    for name in path:
        command = command.commands[name]
    assert command.help, path
    assert "Example: ocrmaps " + " ".join(path) in command.help.replace("\n", " "), path


def test_no_arguments_show_the_help():
    done = run()
    assert "oracle" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["oracle"], ["oracle", "x", "--frame", "sideways"], ["bench", "maps", "--repeats", "0"]]
)
def test_wrong_usage_exits_two_without_a_traceback(arguments):
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "Usage" in done.stderr


def test_bad_data_exits_three_with_one_message_and_a_next_step(tmp_path):
    done = run("oracle", str(tmp_path / "nowhere"))
    assert done.returncode == 3
    assert done.stdout == ""
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_error_with_json_is_one_document_on_stdout(tmp_path):
    done = run("oracle", str(tmp_path / "nowhere"), "--json")
    assert done.returncode == 3
    assert "nowhere" in json.loads(done.stdout)["error"]["message"]


def test_interruption_is_said_in_a_line(tmp_path):
    # A test run in the background of a shell ignores interruptions, and its children would inherit that.
    with subprocess.Popen(
        [sys.executable, "-m", "cli.app", "data", "synth", str(tmp_path / "out"), "--num", "100000"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:  # fmt: skip
        time.sleep(4)
        process.send_signal(signal.SIGINT)
        try:
            out, errors = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, out, errors) == (130, "", "ocrmaps: interrupted\n")
    assert list(tmp_path.iterdir()) == []
