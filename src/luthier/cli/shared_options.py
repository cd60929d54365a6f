"""Options that commands share, so that they are named and explained alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Command = Callable[..., Any]


def run_options(folder: str, *, seeded: bool = True) -> Callable[[Command], Command]:
    """Of every command that keeps a run folder: --out, --json, --quiet, and --seed where anything is drawn."""

    def add(command: Command) -> Command:
        for option in (
            click.option("--quiet", is_flag=True, help="No progress."),
            click.option("--json", "as_json", is_flag=True, help="Print run.json on standard output."),
            *([click.option("--seed", type=int, default=0, show_default=True)] if seeded else []),
            click.option(
                "--out", type=click.Path(path_type=Path, file_okay=False), default=Path(folder), show_default=True, help="Run folder."
            ),
        ):
            command = option(command)
        return command

    return add
