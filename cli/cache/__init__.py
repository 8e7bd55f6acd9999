"""`ocrmaps cache`: what prepared data there is, whether it is current and healthy, what may go, and where it goes."""

import typer

from ocrmaps.cli.cache import kept, moved, seen

app = typer.Typer(
    help="Look after prepared data: state, health, differences, space. Example: ocrmaps cache status",
    no_args_is_help=True,
)
for _group in (seen, kept, moved):
    app.registered_commands += _group.app.registered_commands
