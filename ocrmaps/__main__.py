"""Begins the command line: the script `ocrmaps`, and `python -m ocrmaps` for where that is not on the path."""

import sys


def main() -> None:
    """Run the command that was typed. Ctrl-C while commands are imported ends it as Ctrl-C in a command does."""
    try:
        from ocrmaps.cli.app import main as run
    except KeyboardInterrupt:
        sys.stderr.write("ocrmaps: interrupted\n")
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
