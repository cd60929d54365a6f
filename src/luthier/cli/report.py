"""`luthier report RUN`: the page of a run folder, finished or not."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
def command(run: Path) -> None:
    """Write RUN/report.html: one page with the run's results, without outside requests."""
    from luthier.report import write_report

    click.echo(str(write_report(run)))
