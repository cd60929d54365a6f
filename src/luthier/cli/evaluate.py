"""`luthier evaluate`: function calling with the benchmark's own checker, multiple choice, code retrieval (`luthier.cli.retrieval`), and knowledge fusion
(`luthier.cli.fusion`)."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from luthier.cli.fusion import evaluate_fusion
from luthier.cli.retrieval import command as retrieval
from luthier.cli.shared_options import question_options


@click.group()
def command() -> None:
    """Score a model: function calling, multiple choice, code retrieval, knowledge fusion."""


@command.command()
@click.argument("data", nargs=-1, required=True, type=click.Path(path_type=str))
@question_options
@click.option("--by", type=click.Choice(["texts", "letters"]), default="texts", show_default=True, help="What of the options is scored.")
@click.option(
    "--style",
    type=click.Choice(["chat", "plain"]),
    default="chat",
    show_default=True,
    help="Through the chat template, or as 'Question: … Answer:'.",
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("runs/choice"), show_default=True, help="Run folder.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@click.option("--quiet", is_flag=True, help="No progress.")
def choice(data: tuple[str, ...], out: Path, as_json: bool, quiet: bool, **settings: Any) -> None:
    """Multiple-choice questions of DATA by the likelihood of their options, all of a question in one pass.

    A stopped run continues with the same command.
    """
    from luthier.cli.progress import Watch
    from luthier.recipes.choice import ChoiceInputs, run_choice

    with Watch(quiet) as watch:
        record = run_choice(ChoiceInputs(data, **settings), out, shlex.join(["luthier", *sys.argv[1:]]), watch)
    if as_json:
        click.echo(json.dumps(record, indent=1, ensure_ascii=False))
        return
    results = record["steps"]["scores"]["results"]
    for name, one in [*results["groups"].items(), ("all", results["all"])]:
        told = "   ".join(
            f"{title} {one[way]['rate']:.1%} ({one[way]['low']:.0%}–{one[way]['high']:.0%})"
            for way, title in (("none", "whole"), ("token", "by token"), ("byte", "by byte"))
        )
        click.echo(f"{name}: {one['known']} questions, chance {one['chance']:.0%}   {told}")
    click.echo(str(out / "report.html"))


command.add_command(retrieval, "retrieval")
command.add_command(evaluate_fusion, "fusion")
