"""`luthier run [tools]`: whole flows. Bare `luthier run` is the main job with the bundled model."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import click


class _DefaultFlow(click.Group):
    """A group whose first flow runs when none is named."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ("-h", "--help")):
            args = ["tools", *args]
        return super().parse_args(context, args)


@click.group(cls=_DefaultFlow)
def command() -> None:
    """Run a whole flow: data, selection, training, evaluation, report. Without a name: tools."""


@command.command()
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("runs/tools"), show_default=True, help="Run folder.")
@click.option(
    "--api", "apis", multiple=True, metavar="FILE|module:NAME", help="Your APIs: OpenAPI file, MCP tools/list file, or Python module."
)
@click.option("--builtin-apis/--no-builtin-apis", default=True, help="Also use the cloud APIs that the package index ships.")
@click.option("--model", default="bundled", show_default=True, help="'bundled', or a transformers folder.")
@click.option("--dialogues", type=int, default=4800, show_default=True, help="Dialogues to make.")
@click.option("--selected", type=int, default=1600, show_default=True, help="Dialogues ZIP picks for training.")
@click.option("--sigma", type=float, default=0.05, show_default=True, help="Strength of the Flat-LoRA noise; 0 is plain LoRA.")
@click.option("--learning-rate", type=float, default=1.5e-3, show_default=True)
@click.option(
    "--minutes",
    type=float,
    show_default="17, or no limit with --full",
    help="Time the run may take: training gets what evaluation leaves. 0 for no limit.",
)
@click.option("--items", type=int, default=100, show_default=True, help="simple_python items to score; a third as many of the others.")
@click.option("--full", is_flag=True, help="Score every item of every category.")
@click.option("--constrained/--free-only", default=True, help="Also score decoding under a grammar of the tools.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print run.json on standard output.")
@click.option("--quiet", is_flag=True, help="No progress.")
def tools(out: Path, full: bool, as_json: bool, quiet: bool, items: int, minutes: float | None, **settings: Any) -> None:
    """Teach a small model to call tools, and measure it before and after with BFCL's own checker.

    A stopped run continues with the same command.
    """
    from luthier.cli.progress import Watch
    from luthier.recipes.tools import ToolsSettings, run_tools

    chosen = {**settings, "items": None if full else items, "minutes": minutes or None}
    if minutes is None and not full:
        chosen["minutes"] = ToolsSettings.minutes
    made = ToolsSettings(**{field.name: chosen[field.name] for field in fields(ToolsSettings)})
    with Watch(quiet) as watch:
        record = run_tools(made, out, shlex.join(["luthier", *sys.argv[1:]]), watch)
    if as_json:
        click.echo(json.dumps(record, indent=1, ensure_ascii=False))
    else:
        _print_scores(record, out)


def _print_scores(record: dict[str, Any], out: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("category", "decoding", "items", "official", "strict", title="BFCL, share of items right, before → after")
    before, after = (record["steps"][name]["results"]["scores"] for name in ("evaluate-before", "evaluate-after"))
    for old, new in zip(before, after, strict=True):
        rates = [f"{old[kind]['rate']:6.1%} → {new[kind]['rate']:6.1%}" for kind in ("official", "strict")]
        table.add_row(old["category"], old["decoding"], str(old["items"]), *rates)
    console = Console()
    console.print(table)
    console.print(f"Report: {out / 'report.html'}   Adapter: {out / 'adapter'}")
