"""`luthier trace models`: evaluation results read as the answers of learners."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from luthier.cli.shared_options import run_options

PATH = click.Path(path_type=str)


@click.command()
@click.argument("more", nargs=-1, metavar="[RESULTS]...")
@click.option(
    "--results",
    multiple=True,
    metavar="[NAME=]PATH",
    help="A file or folder of results; may be given several times. NAME names the learner.",
)
@run_options("runs/trace-models")
@click.option("--items", type=PATH, help="Rows with item, text and concepts, where the results do not say them.")
@click.option(
    "--checkpoints", is_flag=True, help="The learners are checkpoints of one model, in the order read: alarms where a skill was lost."
)
@click.option(
    "--new",
    multiple=True,
    metavar="NAME",
    help="Estimate this learner from what it answered; those with less than half of the items where left out.",
)
@click.option(
    "--calibrated", type=PATH, help="A run folder of this command: its items are used as calibrated there, and all learners are new."
)
@click.option(
    "--ask", type=click.IntRange(min=0), default=50, show_default=True, help="Items to ask a new model, and to try left-out families with."
)
@click.option("--train", type=click.IntRange(min=0), default=50, show_default=True, help="Items to train on next.")
@click.option("--families", type=PATH, help="CSV learner,family: those left out together; by name where left out.")
@click.option(
    "--parameters", type=click.IntRange(1, 2), default=1, show_default=True, help="Of an item: difficulty, or discrimination as well."
)
@click.option("--embedder", default="minilm", show_default=True, help="Reads difficulty from text: minilm, static, a folder, or none.")
@click.option("--cache", type=click.Path(path_type=str, file_okay=False), help="Folder of embeddings; in the user's cache where left out.")
@click.option("--skip-bad", type=PATH, help="Set bad rows aside in this file instead of stopping.")
def models(
    more: tuple[str, ...], results: tuple[str, ...], new: tuple[str, ...], out: Path, as_json: bool, quiet: bool, **settings: Any
) -> None:
    """What models or checkpoints master, skill by skill, from the RESULTS of evaluations.

    Reads BFCL score files, samples of lm-evaluation-harness, logs of Inspect, results of EvalPlus, Luthier's own evaluations, and tables
    with the columns learner, item, correct. A stopped run continues with the same command.
    """
    from luthier.cli.progress import Watch
    from luthier.recipes.trace_models import TraceModelsInputs, run_trace_models

    inputs = TraceModelsInputs((*results, *more), new=new or None, **settings)
    with Watch(quiet) as watch:
        record = run_trace_models(inputs, out, shlex.join(["luthier", *sys.argv[1:]]), watch)
    if as_json:
        click.echo(json.dumps(record, indent=1, ensure_ascii=False))
        return
    made, held = (record["steps"][name]["results"] for name in ("trace", "held-out"))
    for note in made["notes"]:
        click.echo(note, err=True)
    click.echo(f"{len(made['learners'])} learners, {made['items']} items, {made['answers']} answers, {len(made['concepts'])} skills")
    for one in made["learners"]:
        if one["new"]:
            click.echo(
                f"{one['learner']}: {one['accuracy']:.1%} ({one['low']:.1%}–{one['high']:.1%}) of {one['items']} items, from {one['answered']} answers"
            )
    if held["learners"]:
        click.echo(
            f"families left out, {held['asked']} items: mean error {100 * held['error_adaptive']:.1f} points where they are chosen one after another, "
            f"{100 * held['error_random']:.1f} at random, {100 * held['plain_error']:.1f} by the share right; "
            f"{held['covered_random']:.0%} of the intervals hold the truth"
        )
    if inputs.checkpoints:
        for change in made["changes"]:
            if change["narrowest"]:
                click.echo(
                    f"{change['verdict']}: {change['concept']}, {change['before']} → {change['after']}: {change['mastery_before']:.0%} → "
                    f"{change['mastery_after']:.0%} on {change['evidence_after']} answers (p {change['p_all']:.2g} over all tests)"
                )
        if not made["alarms"]:
            click.echo("no skill was lost that the answers can tell")
    click.echo(str(out / "report.html"))
