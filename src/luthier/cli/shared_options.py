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


def section_options(sections: str, example: str) -> Callable[[Command], Command]:
    """Settings of the libraries below: --config and --set."""

    def add(command: Command) -> Command:
        command = click.option("--set", "changes", multiple=True, metavar="SECTION.NAME=VALUE", help=f"One such setting: {example}.")(
            command
        )
        return click.option("--config", type=click.Path(path_type=Path), help=f"YAML with sections {sections}.")(command)

    return add


def question_options(command: Command) -> Command:
    """Of commands that put a local model before multiple-choice questions."""
    for option in (
        click.option("--skip-bad", type=click.Path(path_type=str), help="Set bad rows aside in this file instead of stopping."),
        click.option("--limit", type=click.IntRange(min=1), help="Questions of each file or task, evenly spaced; all where left out."),
        click.option(
            "--dtype",
            type=click.Choice(["auto", "float32", "bfloat16"]),
            default="auto",
            show_default=True,
            help="float32 reads to the last digit.",
        ),
        click.option("--adapter", type=click.Path(path_type=str), help="A PEFT adapter of the model."),
        click.option("--model", default="bundled", show_default=True, help="'bundled', or a transformers folder."),
    ):
        command = option(command)
    return command
