"""`luthier train sft`: fine-tune a model on conversations with LoRA, plainly or towards flat minima."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path

import click

METHODS = ("flat", "none", "neftune", "lora-sam", "bi-lora")


@click.group()
def command() -> None:
    """Fine-tune a model."""


@command.command()
@click.argument("data", nargs=-1, required=True, type=click.Path(path_type=str))
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs/sft"),
    show_default=True,
    help="Run folder.",
)
@click.option("--model", default="bundled", show_default=True, help="'bundled', or a transformers folder.")
@click.option(
    "--eval", "evaluation", multiple=True, metavar="FILE", help="Conversations whose loss is measured after each epoch."
)
@click.option(
    "--flat",
    "method",
    is_flag=False,
    flag_value="flat",
    default="flat",
    show_default=True,
    type=click.Choice(METHODS),
    help="How flat minima are sought: Flat-LoRA's noise, or a method to compare it with; none is plain LoRA.",
)
@click.option(
    "--strength",
    type=float,
    help="sigma of flat (0.05), alpha of neftune (5), rho of lora-sam (0.003) and bi-lora (0.05).",
)
@click.option(
    "--backend",
    type=click.Choice(["auto", "cached", "recompute", "table", "inplace"]),
    help="How the noise of flat is kept.",
)
@click.option("--epochs", type=float, help="Passes over the data; 1 where nothing else is set.")
@click.option("--learning-rate", type=float, help="5e-4 where nothing else is set.")
@click.option("--rank", type=int, help="Of LoRA; 8 where nothing else is set.")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="YAML with sections sft (any field of trl.SFTConfig), lora (peft.LoraConfig) and flat.",
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="SECTION.NAME=VALUE",
    help="One such setting: --set sft.packing=true --set lora.use_dora=true.",
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print run.json on standard output.")
@click.option("--quiet", is_flag=True, help="No progress.")
def sft(
    data: tuple[str, ...], out: Path, model: str, evaluation: tuple[str, ...], method: str, strength: float | None, backend: str | None,
    epochs: float | None, learning_rate: float | None, rank: int | None, config: Path | None, changes: tuple[str, ...], seed: int,
    as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Train a LoRA adapter on DATA, files of conversations, with TRL's SFTTrainer on what the assistant says.

    A stopped run continues with the same command.
    """
    from luthier.cli.progress import Watch
    from luthier.recipes.fine_tune import TrainingInputs, read_settings, run_fine_tune
    from luthier.train.fine_tune import FineTuneSettings

    short = {
        "flat.backend": backend,
        "sft.num_train_epochs": epochs,
        "sft.learning_rate": learning_rate,
        "lora.r": rank,
    }
    chosen = [f"{name}={value}" for name, value in short.items() if value is not None]
    base = FineTuneSettings(method=method, strength=strength, seed=seed)  # type: ignore[arg-type]
    settings = read_settings(config, [*chosen, *changes], base)
    with Watch(quiet) as watch:
        record = run_fine_tune(
            TrainingInputs(data, evaluation, model, settings), out, shlex.join(["luthier", *sys.argv[1:]]), watch
        )
    if int(os.environ.get("RANK", "0")):
        return  # the first of several processes speaks
    if as_json:
        click.echo(json.dumps(record, indent=1, ensure_ascii=False))
        return
    made = record["steps"]["train"]["results"]
    held = "" if made["eval_loss"] is None else f", evaluation {made['eval_loss']:.3f}"
    click.echo(
        f"{made['steps']} steps of {made['method']} on {made['rows']} rows: loss {made['loss']:.3f}{held}   Adapter: {out / 'adapter'}"
    )
    if made["left_out"]:
        click.echo(f"{made['left_out']} rows were left out: too long, or without an assistant turn", err=True)
