"""`luthier evaluate`: function calling with the benchmark's own checker, multiple choice, and knowledge fusion
(`luthier.cli.fusion`)."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from luthier.cli.fusion import evaluate_fusion
from luthier.cli.shared_options import question_options


@click.group()
def command() -> None:
    """Score a model: function calling, multiple choice, code retrieval, knowledge fusion."""


@command.command()
@click.option("--model", default="bundled", show_default=True, help="'bundled', or a transformers folder.")
@click.option("--endpoint", metavar="URL", help="Base URL of an OpenAI-compatible server that serves --model; free decoding only.")
@click.option("--adapter", type=click.Path(path_type=Path), help="A PEFT adapter folder.")
@click.option("--category", "categories", multiple=True, default=("simple_python",), show_default=True)
@click.option("--items", type=click.IntRange(min=1), help="Evenly spaced items of each category; all where left out.")
@click.option(
    "--decoding",
    "decodings",
    multiple=True,
    type=click.Choice(["free", "constrained"]),
    help="Both where left out; a server decodes freely only.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Judged answers, JSONL; a stopped evaluation continues from it."
)
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def tools(
    model: str,
    endpoint: str | None,
    adapter: Path | None,
    categories: tuple[str, ...],
    items: int | None,
    decodings: tuple[str, ...],
    out: Path,
    as_json: bool,
) -> None:
    """Function calling: BFCL simple_python, multiple, irrelevance.

    A key for --endpoint is read from the environment variable LUTHIER_API_KEY.
    """
    from luthier.cli.progress import Watch
    from luthier.recipes.parts import evaluate_model

    with Watch(quiet=as_json) as watch:
        rows = evaluate_model(
            model,
            adapter,
            categories=categories,
            items=items,
            out=out,
            progress=watch,
            decodings=decodings or (("free", "constrained") if endpoint is None else ("free",)),
            endpoint=endpoint,
            api_key=os.environ.get("LUTHIER_API_KEY"),
        )
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        official, strict = row["official"], row["strict"]
        click.echo(
            f"{row['category']:14} {row['decoding']:12} {row['items']:4} items  official {official['rate']:6.1%} "
            f"({official['low']:.1%}-{official['high']:.1%})  strict {strict['rate']:6.1%}"
        )


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


command.add_command(evaluate_fusion, "fusion")
