"""`luthier synthesize`: tool dialogues with known truth, preference pairs from a model's own mistakes, and fusion suites (`luthier.cli.fusion`)."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from luthier.cli.fusion import synthesize_fusion
from luthier.cli.shared_options import run_options


@click.group()
def command() -> None:
    """Make training data."""


@command.command()
@click.argument("data", nargs=-1, required=True, type=click.Path(path_type=str))
@run_options("runs/pairs")
@click.option(
    "--model",
    default="bundled",
    show_default=True,
    help="Whose wrong answers are taken: 'bundled', a transformers folder, or a served model.",
)
@click.option("--adapter", type=click.Path(path_type=str), help="A PEFT adapter of it.")
@click.option("--endpoint", metavar="URL", help="Base URL of an OpenAI-compatible server that serves --model.")
@click.option("--limit", type=click.IntRange(min=1), help="Questions taken, evenly spaced; all where left out.")
@click.option("--samples", type=click.IntRange(min=1), default=2, show_default=True, help="Answers to each question.")
@click.option("--per-question", type=click.IntRange(min=1), default=1, show_default=True, help="Pairs of each at most.")
@click.option("--ask", default="", help="Put after each question, for models that do not state an answer: 'End with: The answer is …'.")
@click.option("--temperature", type=float, default=0.8, show_default=True)
@click.option("--max-tokens", type=click.IntRange(min=1), default=192, show_default=True, help="Longest answer of the model.")
@click.option(
    "--bridge",
    type=click.Choice(["answer-swap", "splice", "model", "none"]),
    default="answer-swap",
    show_default=True,
    help="How a wrong answer is made right with few changes; two ways need no model.",
)
@click.option("--editor", help="The model of --bridge model: 'bundled', a transformers folder, or a served model.")
@click.option("--editor-endpoint", metavar="URL", help="Base URL of the server of --editor.")
@click.option(
    "--farthest",
    type=click.FloatRange(0, 1),
    default=0.8,
    show_default=True,
    help="Largest edit distance of a bridged answer, in words over the longer length.",
)
def pairs(data: tuple[str, ...], out: Path, as_json: bool, quiet: bool, **settings: Any) -> None:
    """Make preference pairs from DATA, files of questions with right answers, or bridge pairs that are there.

    The rejected answers are the model's own wrong ones; the chosen ones are those, bridged, where the bridge holds. A key for the
    endpoints is read from the environment variable LUTHIER_API_KEY. A stopped run continues with the same command.
    """
    from luthier.cli.progress import Watch
    from luthier.recipes.pairs import PAIRS, PairInputs, run_pairs

    with Watch(quiet) as watch:
        command_line = shlex.join(["luthier", *sys.argv[1:]])
        record = run_pairs(PairInputs(data, **settings), out, command_line, watch, api_key=os.environ.get("LUTHIER_API_KEY"))
    if as_json:
        click.echo(json.dumps(record, indent=1, ensure_ascii=False))
        return
    made = record["steps"]["pairs"]["results"]
    click.echo(
        f"{made['pairs']} pairs of {made['questions']} questions ({made['answers']} answers: {made['wrong']} wrong, {made['right']} right,"
        f" {made['without_answer']} without a final answer, {made['cut_off']} cut off, {made['unclear']} unclear); {made['bridged']} bridged ({made['acceptance']:.0%})   {out / PAIRS}"
    )
    for reason, count in made["refused"].items():
        click.echo(f"  not bridged, {reason}: {count}")
    click.echo(f"distance of the two answers   original chosen, mean {made['mean_before']:.2f}   bridged, mean {made['mean_after']:.2f}")
    widest = max(*made["before"], *made["after"], 1)
    for at, (before, after) in enumerate(zip(made["before"], made["after"], strict=True)):
        bars = [f"{count:>6} {'█' * round(20 * count / widest):<20}" for count in (before, after)]
        click.echo(f"  {at / 10:.1f}–{(at + 1) / 10:.1f} {bars[0]} {bars[1]}".rstrip())


command.add_command(synthesize_fusion, "fusion")
