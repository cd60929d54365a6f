"""`luthier decode`: label contexts, fit a diversity head, measure it, talk with it, export it."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from luthier.cli.shared_options import decoding_options, run_options

METHODS = ("ridge", "network")
SOURCES = ("samples", "references", "task", "blend")


@click.group()
def command() -> None:
    """A temperature that knows when variety is wanted."""


@command.command()
@click.argument("data", nargs=-1, type=click.Path(path_type=str))
@run_options("runs/decode/labels")
@click.option("--model", default="bundled", show_default=True, help="Who replies: 'bundled', a transformers folder, or a served model.")
@click.option("--adapter", type=click.Path(path_type=str), help="A PEFT adapter of it.")
@click.option("--endpoint", metavar="URL", help="Base URL of an OpenAI-compatible server that serves --model; needs --encoder.")
@click.option(
    "--encoder",
    type=click.Path(path_type=str),
    help="A transformers folder (BERT) that compares replies; the model's own states where left out.",
)
@click.option(
    "--chat", type=click.IntRange(min=0), default=170, show_default=True, help="Built-in contexts of chat, where no DATA is given."
)
@click.option("--facts", type=click.IntRange(min=0), default=170, show_default=True, help="Built-in questions of fact, likewise.")
@click.option("--m", type=int, default=8, show_default=True, help="Replies sampled to each context.")
@click.option("--max-tokens", type=click.IntRange(min=1), default=32, show_default=True)
@click.option("--temperature", type=float, default=1.0, show_default=True)
@click.option("--top-p", type=float, default=0.95, show_default=True)
@click.option("--samples/--no-samples", default=True, show_default=True, help="Sample replies, or measure human references only.")
def label(data: tuple[str, ...], out: Path, as_json: bool, quiet: bool, **settings: Any) -> None:
    """Measure how diverse replies to the contexts of DATA are: rows with `messages` or `prompt`, `answers` of facts, human `references`.

    Without DATA a built-in mixture of chat and facts is labelled. A key for --endpoint is read from the environment variable
    LUTHIER_API_KEY. A stopped run continues with the same command.
    """
    from luthier.cli.progress import Watch
    from luthier.recipes.decoding import LabelInputs, run_label

    with Watch(quiet) as watch:
        record = run_label(LabelInputs(data, **settings), out, _command(), watch, api_key=os.environ.get("LUTHIER_API_KEY"))
    if as_json:
        click.echo(json.dumps(record, indent=1, ensure_ascii=False))
        return
    made = record["steps"]["labels"]["results"]
    told = [
        f"{name} diversity: " + ", ".join(f"{kind} {mean:.3f}" for kind, mean in means.items() if mean is not None)
        for name, means in made["means"].items()
        if any(mean is not None for mean in means.values())
    ]
    click.echo(f"{made['contexts']} contexts ({made['kinds']['chat']} chat, {made['kinds']['fact']} facts)   {out / 'labels.jsonl'}")
    for line in told:
        click.echo(f"  {line}")


@command.command()
@click.argument("labels", type=click.Path(path_type=str))
@run_options("runs/decode/head")
@click.option("--model", default="bundled", show_default=True, help="'bundled', or a transformers folder.")
@click.option("--adapter", type=click.Path(path_type=str), help="A PEFT adapter of it.")
@click.option("--source", type=click.Choice(SOURCES), default="blend", show_default=True, help="Which label is learned.")
@click.option(
    "--method",
    type=click.Choice(METHODS),
    default="ridge",
    show_default=True,
    help="network trains --hidden units, and wants thousands of contexts.",
)
@click.option("--folds", type=int, default=5, show_default=True)
@click.option("--hidden", type=click.IntRange(min=1), default=256, show_default=True, help="Units of --method network.")
@click.option(
    "--along", type=click.IntRange(min=0), default=6, show_default=True, help="Places of a reply that are learned too, for the token level."
)
def fit(labels: str, out: Path, as_json: bool, quiet: bool, **settings: Any) -> None:
    """Fit a diversity head on LABELS, a file that `luthier decode label` wrote; tells how it orders contexts beside entropy."""
    from luthier.cli.progress import Watch
    from luthier.recipes.decoding import FitInputs, run_fit

    with Watch(quiet) as watch:
        record = run_fit(FitInputs(labels, **settings), out, _command(), watch)
    if as_json:
        click.echo(json.dumps(record, indent=1, ensure_ascii=False))
        return
    made = record["steps"]["fit"]["results"]
    click.echo(f"{made['contexts']} contexts, labels {made['source']}, mean absolute error {made['mean_absolute_error']:.3f}   {out}")
    for name, cell in made["agreement"].items():
        click.echo(f"  {name:14} " + "   ".join(f"{who} {_interval(one)}" for who, one in cell.items()))


@command.command("eval")
@click.argument("heads", nargs=-1, required=True, type=click.Path(path_type=str))
@run_options("runs/decode/eval")
@click.option("--labels", required=True, type=click.Path(path_type=str), help="The file the heads were fitted on.")
@click.option("--model", default="bundled", show_default=True, help="'bundled', or a transformers folder.")
@click.option("--adapter", type=click.Path(path_type=str), help="A PEFT adapter of it.")
@click.option("--target", type=float, default=0.8, show_default=True, help="Mean temperature that every way is brought to.")
@click.option("--m", type=click.IntRange(min=2), default=3, show_default=True, help="Replies to each context.")
@click.option("--max-tokens", type=click.IntRange(min=1), default=24, show_default=True)
@click.option("--limit", type=click.IntRange(min=2), default=300, show_default=True, help="Contexts.")
@click.option(
    "--extra", type=click.IntRange(min=0), default=80, show_default=True, help="Contexts that try other mappings and samplers too."
)
@click.option(
    "--sampler",
    "samplers",
    multiple=True,
    default=("temperature", "top_k", "min_p", "typical_p"),
    show_default=True,
    metavar="NAME[=VALUE]",
)
def evaluate(heads: tuple[str, ...], out: Path, as_json: bool, quiet: bool, **settings: Any) -> None:
    """Compare HEADS with fixed and entropy-only temperatures at one mean temperature; the first is tried in every way.

    Each context is judged by the head as fitted without its fold. A stopped run continues with the same command.
    """
    from luthier.cli.progress import Watch
    from luthier.recipes.decoding_trial import TrialInputs, run_trial

    with Watch(quiet) as watch:
        record = run_trial(TrialInputs(heads, **settings), out, _command(), watch)
    if as_json:
        click.echo(json.dumps(record, indent=1, ensure_ascii=False))
        return
    made = record["steps"]["compare"]["results"]
    for arm in (*made["arms"], *made["extra"]):
        told = "  ".join(f"{name} {_interval(one)}" for name, one in arm["measures"].items() if one is not None)
        click.echo(f"{arm['name']}: T {arm['temperature']['realised']:.2f} on {arm['contexts']} contexts  {told}")
    for pair in made["comparisons"]:
        told = "  ".join(f"{name} {_interval(one, '+')}" for name, one in pair["measures"].items() if one is not None)
        click.echo(f"{pair['one']} less {pair['other']}: {told}")
    click.echo(str(out / "report.html"))


@command.command()
@click.argument("head", type=click.Path(path_type=Path))
@decoding_options
@click.option("--tokens", is_flag=True, help="Show the temperature of each token.")
def chat(head: Path, model: str, adapter: str | None, max_tokens: int, seed: int, tokens: bool, **settings: Any) -> None:
    """Talk with a model; beside each reply stands the temperature that HEAD chose. An empty line ends."""
    from luthier.recipes.decoding_use import Speaker, with_temperatures

    speaker = Speaker(head, model, adapter, max_tokens=max_tokens, seed=seed, **settings)
    while line := click.prompt("you", default="", show_default=False, err=True).strip():
        reply = speaker.say(line)
        click.echo(f"[T {reply.mean_temperature:.2f}] {with_temperatures(speaker.pieces(reply)) if tokens else reply.text}")


@command.command()
@click.argument("head", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
def export(head: Path, out: Path) -> None:
    """Write the part of HEAD that needs logits only to OUT, a JSON file, for vLLM and others."""
    from luthier.recipes.decoding import export_head

    click.echo(str(export_head(head, out)))


def _interval(one: dict[str, Any], sign: str = "") -> str:
    if one["value"] is None:
        return "–"
    span = "" if one["low"] is None else f" ({one['low']:{sign}.3f} to {one['high']:{sign}.3f})"
    return f"{one['value']:{sign}.3f}{span}"


def _command() -> str:
    return shlex.join(["luthier", *sys.argv[1:]])
