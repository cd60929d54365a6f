"""`luthier synthesize tools`: tool dialogues with known truth, checked, as TRL rows."""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def command() -> None:
    """Make training data."""


@command.command()
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--api",
    "apis",
    multiple=True,
    required=True,
    metavar="FILE|module:NAME",
    help="OpenAPI file, MCP tools/list file, or Python module.",
)
@click.option("--count", type=int, default=200, show_default=True)
@click.option(
    "--real-share",
    type=float,
    default=1.0,
    show_default=True,
    help="Share of dialogues about your APIs; the rest are everyday tools.",
)
@click.option("--seed", type=int, default=0, show_default=True)
def tools(out: Path, apis: tuple[str, ...], count: int, real_share: float, seed: int) -> None:
    """Write COUNT checked dialogues about your APIs to OUT (.jsonl, .jsonl.gz)."""
    from luthier.recipes.parts import checked_dialogues

    made, dropped = checked_dialogues(out, apis, count, real_share=real_share, seed=seed)
    click.echo(f"{out}: {made} dialogues; {dropped} did not pass the checks")
