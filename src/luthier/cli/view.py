"""`luthier view`: all runs below a folder in a browser."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import click

from luthier.cli.commands import COMMANDS, RunCommand
from luthier.cli.running import own_command
from luthier.view.settings import ViewSettings

if TYPE_CHECKING:
    from luthier.report.page import Page
    from luthier.run import RunRecord


def _view(settings: Any) -> None:
    from luthier.view.app import serve

    serve(settings, draw, tell=click.echo)


def draw(run: RunRecord) -> Page | None:
    """The page of a run of any command that has one."""
    made = COMMANDS.get(run.name)
    if not isinstance(made, RunCommand):
        return None
    page: Page = importlib.import_module(made.page).draw(run)
    return page


command = own_command("view", ViewSettings, _view)
