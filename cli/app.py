"""The `ocrmaps` command: groups, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import json
import os
import sys
from typing import Annotated, Any, NoReturn

import typer

from cli import bench, build, cache, data, debug, demo, evaluate, oracle, predict, report, train
from ocrmaps import __version__
from ocrmaps.errors import OcrmapsError

app = typer.Typer(
    name="ocrmaps",
    help="Train OCR text detectors on prepared data that can be trusted.\n\nStart with: ocrmaps demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("demo")(demo.demo)
app.add_typer(data.app, name="data")
app.command("oracle")(oracle.oracle)
app.command("recommend")(oracle.recommend)
app.command("build")(build.build)
app.command("verify")(build.verify)
app.command("repair")(build.repair)
app.add_typer(cache.app, name="cache")
app.command("train")(train.train)
app.command("precision-check")(train.precision_check)
app.command("evaluate")(evaluate.evaluate)
app.command("tune")(evaluate.tune)
app.command("predict")(predict.predict)
app.command("export")(predict.export)
app.command("report")(report.report)
app.command("compare")(report.compare)
app.add_typer(bench.app, name="bench")
app.add_typer(debug.app, name="debug")

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
    try:
        code = app(standalone_mode=False)
    except OcrmapsError as error:
        fail(error)
    except _WrongUsage as error:
        error.show()
        code = error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except BrokenPipeError:
        # The reader of our output went away (`| head`); that is its right. Nothing more may be written to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    if code == 130:  # also what Typer turns an interruption inside a command into
        typer.echo("ocrmaps: interrupted", err=True)
    sys.exit(code if isinstance(code, int) else 0)


def fail(error: OcrmapsError) -> NoReturn:
    """Say what went wrong on stderr, and as the one JSON document on stdout when `--json` was asked."""
    typer.echo(f"ocrmaps: {error}", err=True)
    if error.hint:
        typer.echo(f"  try: {error.hint}", err=True)
    if "--json" in sys.argv:
        document = {
            "kind": type(error).__name__,
            "message": error.args[0],
            "hint": error.hint,
            "problems": [{"loc": p.loc, "message": p.message, "kind": p.kind} for p in error.problems],
        }
        typer.echo(json.dumps({"error": document}, ensure_ascii=False))
    sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
