"""The `ocrmaps` command: groups, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
from collections.abc import Sequence
from threading import Timer, main_thread
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer
from typer.main import get_command_name

from ocrmaps import __version__
from ocrmaps.cli import (
    audit,
    bench,
    build,
    cache,
    data,
    debug,
    demo,
    diagnose,
    evaluate,
    models,
    oracle,
    plain,
    predict,
    report,
    schema,
    train,
)
from ocrmaps.cli.progress import say
from ocrmaps.errors import OcrmapsError, Problem, RunError
from ocrmaps.machine import prepare_process
from ocrmaps.progress import listen
from ocrmaps.text import visible_lines

app = plain.PlainTyper(
    name="ocrmaps",
    cls=plain.PlainGroup,
    help="Train OCR text detectors on prepared data that can be trusted.\n\nStart with: ocrmaps demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("demo")(demo.demo)
app.add_typer(data.app, name="data")
app.command("audit")(audit.audit)
app.command("oracle")(oracle.oracle)
app.command("recommend")(oracle.recommend)
app.command("schema")(schema.schema)
app.command("build")(build.build)
app.command("verify")(build.verify)
app.command("repair")(build.repair)
app.add_typer(cache.app, name="cache")
app.command("train")(train.train)
app.command("precision-check")(train.precision_check)
app.command("evaluate")(evaluate.evaluate)
app.command("diagnose")(diagnose.diagnose)
app.command("tune")(evaluate.tune)
app.command("models")(models.models)
app.command("reproduce")(models.reproduce)
app.command("predict")(predict.predict)
app.command("export")(predict.export)
app.command("report")(report.report)
app.command("compare")(report.compare)
app.add_typer(bench.app, name="bench")
app.add_typer(debug.app, name="debug")
for _group in (app, data.app, cache.app, bench.app, debug.app):
    # Lists of commands show whole sentences; left alone they are cut after some forty letters.
    for _command in _group.registered_commands:
        assert _command.callback is not None
        _command.name = _command.name or get_command_name(_command.callback.__name__)
        _text = _command.help or _command.callback.__doc__ or ""
        _command.short_help, _command.cls = " ".join(_text.split()).partition(" Example:")[0], plain.PlainCommand
    for _sub in _group.registered_groups:
        _sub.cls = plain.PlainGroup
        _sub.short_help = str(_sub.typer_instance.info.help if _sub.typer_instance else "").partition(" Example:")[0]

SYSTEM_SAYS: dict[int | None, str] = {
    errno.ENOSPC: "free some space, or write to another disk",
    errno.EDQUOT: "free some space, or write to another disk",
    errno.EFBIG: "free some space, or write to another disk",
    errno.EROFS: "work in a folder that may be written to, or name one with --out or --root",
    errno.EACCES: "check the rights of the file and its folder",
    errno.EPERM: "check the rights of the file and its folder",
    errno.EEXIST: "name another path",
    errno.ENOENT: "check the path, and that the current folder still exists",
    errno.ENOTDIR: "name a folder where a folder is asked for",
    errno.EISDIR: "name a file where a file is asked for",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "allow more open files (ulimit -n), or use fewer --workers",
    errno.EIO: "check the disk",
}
"""What to try where the system refuses; any other refusal is a fault of this program and shows its traceback."""

# Typer carries a private copy of click; the base of its usage errors is reached through a public class.
_WrongUsage: Any = typer.BadParameter.__mro__[2]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ocrmaps {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Train OCR text detectors on prepared data that can be trusted.

    Start with: ocrmaps demo
    """


def main() -> None:
    """Console entry: expected failures end with one message, a next step and their exit code."""
    prepare_process()
    _speak_anywhere()
    listen(lambda line: say(visible_lines(line), err=True))
    interruption = _Interruption()
    try:
        code = app(standalone_mode=False)
    except OcrmapsError as error:
        fail(error)
    except _WrongUsage as error:
        plain.say_what_was_found(error)
        error.show()
        _as_json("UsageError", error.format_message(), f"{error.ctx.command_path} --help" if error.ctx else "")
        code = error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except BrokenPipeError:
        # The reader of our output went away (`| head`); that is its right. Nothing more may be written to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:
        # An interruption that arrives in the middle of somebody else's import or clean-up comes out as something else.
        if interruption.happened:
            code = 130
        elif isinstance(error, OSError) and error.errno in SYSTEM_SAYS:
            where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
            fail(RunError(f"{where}{error.strerror}", hint=SYSTEM_SAYS[error.errno]))
        else:
            raise
    if code == 130:  # also what Typer turns an interruption inside a command into
        typer.echo("ocrmaps: interrupted", err=True)
    sys.exit(code if isinstance(code, int) else 0)


class _Interruption:
    """Ctrl-C does what it always does, and is remembered; in the middle of an import it waits for the import's end.

    Compiled modules (numpy's among them) clear whatever is raised while they set themselves up, and the command would
    go on as if nobody had pressed. So does the compiler of kernels when it calls back.
    """

    def __init__(self) -> None:
        self.happened = False
        self._again: Timer | None = None
        # A shell that starts jobs in the background has them ignore it; that stays.
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._pressed)

    def _pressed(self, number: int, frame: FrameType | None) -> None:
        self.happened = True
        if not _would_be_lost(frame):
            signal.default_int_handler(number, frame)
        if self._again:
            self._again.cancel()  # one press and ten end the command once
        self._again = Timer(0.05, signal.pthread_kill, (main_thread().ident, number))
        self._again.daemon = True
        self._again.start()


def _would_be_lost(frame: FrameType | None) -> bool:
    while frame is not None:
        file = frame.f_code.co_filename
        if file == "<frozen importlib._bootstrap>" or "llvmlite" in file:
            return True
        frame = frame.f_back
    return False


def _speak_anywhere() -> None:
    """What a terminal cannot show is written as an escape instead of ending the command; JSON is UTF-8 everywhere."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    if "--json" in sys.argv and hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")


def fail(error: OcrmapsError) -> NoReturn:
    """Say what went wrong on stderr, and as the one JSON document on stdout when `--json` was asked."""
    # Names and texts of other people are in it: none of them may steer the terminal.
    typer.echo(visible_lines(f"ocrmaps: {error}"), err=True)
    if error.hint:
        typer.echo(visible_lines(f"  try: {error.hint}"), err=True)
    _as_json(type(error).__name__, error.args[0], error.hint, error.problems)
    sys.exit(error.exit_code)


def _as_json(kind: str, message: str, hint: str, problems: Sequence[Problem] = ()) -> None:
    """The error as the one document of `--json`, where that was asked."""
    if "--json" in sys.argv:
        listed = [{"loc": p.loc, "message": p.message, "kind": p.kind} for p in problems]
        document = {"kind": kind, "message": message, "hint": hint, "problems": listed}
        typer.echo(json.dumps({"error": document}, ensure_ascii=False))


if __name__ == "__main__":
    main()
