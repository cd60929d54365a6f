"""`luthier trace`: follow learners, pupils or language models."""

from __future__ import annotations

import click

from luthier.cli.trace_models import models


@click.group()
def command() -> None:
    """Follow learners: what they master, and on what evidence."""


command.add_command(models)
