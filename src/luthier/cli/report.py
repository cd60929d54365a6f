"""`luthier report RUN`: the page of a run folder, finished or not."""

from __future__ import annotations

import importlib
from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
def command(run: Path) -> None:
    """Write RUN/report.html, the page of a run of any command: one file, without outside requests."""
    from luthier.cli.commands import COMMANDS, RunCommand
    from luthier.errors import SettingsError
    from luthier.report.page import write_page
    from luthier.run import RunRecord

    record = RunRecord.read(run)
    made = COMMANDS.get(record.name)
    if not isinstance(made, RunCommand):
        raise SettingsError(f"{run}: a run of {record.name or 'no command'}, which has no page here")
    click.echo(str(write_page(importlib.import_module(made.page).draw(record), record)))
