"""`luthier generate`: replies to prompts, at temperatures that a diversity head chooses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from luthier.cli.shared_options import decoding_options


@click.command()
@click.argument("prompts", nargs=-1)
@click.option(
    "--dynamic", "head", type=click.Path(path_type=Path), help="A head of `luthier decode fit`; a fixed temperature where left out."
)
@click.option("--file", "source", type=click.Path(path_type=Path), help="Contexts, as `luthier decode label` reads them.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write replies and temperatures here, as JSONL.")
@click.option("--endpoint", metavar="URL", help="Base URL of a server that serves the same model: it replies, at temperatures chosen here.")
@click.option("--served", help="The model's name at the server; that of --model where left out.")
@click.option("--json", "as_json", is_flag=True, help="For machines: one line a reply.")
@decoding_options
def command(prompts: tuple[str, ...], as_json: bool, **settings: Any) -> None:
    """Reply to PROMPTS, or to the contexts of --file. A key for --endpoint is read from LUTHIER_API_KEY."""
    from luthier.recipes.decoding_use import generate

    rows = generate(prompts, **settings)
    if settings["out"] is not None:
        click.echo(f"{len(rows)} replies   {settings['out']}")
        return
    for row in rows:
        click.echo(json.dumps(row, ensure_ascii=False) if as_json else f"[T {row['temperature']:.2f}] {row['text']}")
