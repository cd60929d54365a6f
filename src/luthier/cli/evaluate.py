"""`luthier evaluate`: a model or adapter on BFCL items, with the benchmark's own checker; retrievers on code (`luthier.cli.retrieval`)."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from luthier.cli.retrieval import command as retrieval


@click.group()
def command() -> None:
    """Score a model: function calling, code retrieval."""


@command.command()
@click.option("--model", default="bundled", show_default=True, help="'bundled', or a transformers folder.")
@click.option(
    "--endpoint", metavar="URL", help="Base URL of an OpenAI-compatible server that serves --model; free decoding only."
)
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
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="Judged answers, JSONL; a stopped evaluation continues from it.",
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
            model, adapter, categories=categories, items=items, out=out, progress=watch,
            decodings=decodings or (("free", "constrained") if endpoint is None else ("free",)),
            endpoint=endpoint, api_key=os.environ.get("LUTHIER_API_KEY"),
        )  # fmt: skip
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        official, strict = row["official"], row["strict"]
        click.echo(
            f"{row['category']:14} {row['decoding']:12} {row['items']:4} items  official {official['rate']:6.1%} "
            f"({official['low']:.1%}-{official['high']:.1%})  strict {strict['rate']:6.1%}"
        )


command.add_command(retrieval, "retrieval")
