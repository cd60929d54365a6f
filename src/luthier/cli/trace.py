"""`luthier trace`: what learners know, and what they will answer right next."""

from __future__ import annotations

import click

from luthier.cli import trace_learners
from luthier.cli.trace_models import models


@click.group()
def command() -> None:
    """Follow learners, pupils or models: what they know, what comes next."""


for learners_command in (
    trace_learners.import_answers,
    trace_learners.fit,
    trace_learners.evaluate,
    trace_learners.mastery,
    trace_learners.recommend,
    trace_learners.explain,
    trace_learners.export,
    trace_learners.serve,
    trace_learners.relate,
):
    command.add_command(learners_command)
command.add_command(models)
