"""Options that commands share, so that they are named and explained alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Command = Callable[..., Any]
MAPPINGS = ("linear", "exponential", "inverse_sigmoid", "logit")


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


def decoding_options(command: Command) -> Command:
    """Of commands that decode dynamically: the model, and how a score becomes a temperature."""
    for option in (
        click.option("--seed", type=int, default=0, show_default=True),
        click.option("--max-tokens", type=click.IntRange(min=1), default=128, show_default=True),
        click.option(
            "--sampler",
            default="top_p=0.95",
            show_default=True,
            metavar="NAME[=VALUE]",
            help="temperature, top_k, top_p, min_p or typical_p; applied after the temperature.",
        ),
        click.option("--level", default="sequence", show_default=True, help="sequence, token, or the share of the former between 0 and 1."),
        click.option("--mapping", type=click.Choice(MAPPINGS), default="inverse_sigmoid", show_default=True),
        click.option("--temperature", "t0", type=float, default=0.9, show_default=True, help="At the mean score of the head's contexts."),
        click.option("--adapter", type=click.Path(path_type=str), help="A PEFT adapter of the model."),
        click.option("--model", default="bundled", show_default=True, help="'bundled', or a transformers folder."),
    ):
        command = option(command)
    return command
