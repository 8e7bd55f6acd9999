"""`python -m ocrmaps`: the command line, for where the `ocrmaps` script is not on the path."""

from ocrmaps.cli.app import main

main()
