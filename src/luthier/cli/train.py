"""`luthier train`: fine-tune a model on conversations or on preference pairs, or infuse facts into it (`luthier.cli.fusion`)."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from luthier.cli.fusion import infuse
from luthier.cli.shared_options import run_options, section_options

METHODS = ("flat", "none", "neftune", "lora-sam", "bi-lora")
PREFERENCE_METHODS = ("bmc", "dpo", "mc", "bc")
LOSSES = ("dpo", "ipo", "rdpo", "simpo", "orpo")
WEIGHTINGS = ("none", "bmc", "ld", "d2po", "column")
ATTENTION = ("sdpa", "eager", "flex_attention")


@click.group()
def command() -> None:
    """Fine-tune a model."""


@command.command()
@click.argument("data", nargs=-1, required=True, type=click.Path(path_type=str))
@run_options("runs/sft")
@click.option("--model", default="bundled", show_default=True, help="'bundled', or a transformers folder.")
@click.option("--eval", "evaluation", multiple=True, metavar="FILE", help="Conversations whose loss is measured after each epoch.")
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
@click.option("--strength", type=float, help="sigma of flat (0.05), alpha of neftune (5), rho of lora-sam (0.003) and bi-lora (0.05).")
@click.option("--backend", type=click.Choice(["auto", "cached", "recompute", "table", "inplace"]), help="How the noise of flat is kept.")
@click.option("--epochs", type=float, help="Passes over the data; 1 where nothing else is set.")
@click.option("--learning-rate", type=float, help="5e-4 where nothing else is set.")
@click.option("--rank", type=int, help="Of LoRA; 8 where nothing else is set.")
@section_options("sft (any field of trl.SFTConfig), lora (peft.LoraConfig) and flat", "--set sft.packing=true --set lora.use_dora=true")
def sft(
    data: tuple[str, ...],
    out: Path,
    model: str,
    evaluation: tuple[str, ...],
    method: str,
    strength: float | None,
    backend: str | None,
    epochs: float | None,
    learning_rate: float | None,
    rank: int | None,
    config: Path | None,
    changes: tuple[str, ...],
    seed: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Train a LoRA adapter on DATA, files of conversations, with TRL's SFTTrainer on what the assistant says.

    A stopped run continues with the same command.
    """
    from luthier.cli.progress import Watch
    from luthier.recipes.fine_tune import TrainingInputs, read_settings, run_fine_tune
    from luthier.train.fine_tune import FineTuneSettings

    short = {"flat.backend": backend, "sft.num_train_epochs": epochs, "sft.learning_rate": learning_rate, "lora.r": rank}
    chosen = [f"{name}={value}" for name, value in short.items() if value is not None]
    base = FineTuneSettings(method=method, strength=strength, seed=seed)  # type: ignore[arg-type]
    settings = read_settings(config, [*chosen, *changes], base)
    with Watch(quiet) as watch:
        record = run_fine_tune(TrainingInputs(data, evaluation, model, settings), out, shlex.join(["luthier", *sys.argv[1:]]), watch)
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


@command.command()
@click.argument("data", nargs=-1, required=True, type=click.Path(path_type=str))
@run_options("runs/preference")
@click.option("--model", default="bundled", show_default=True, help="'bundled', or a transformers folder.")
@click.option("--adapter", type=click.Path(path_type=str), help="A PEFT adapter of it that is trained further.")
@click.option("--eval", "evaluation", multiple=True, metavar="FILE", help="Pairs that are judged before and after, and each epoch.")
@click.option(
    "--method",
    type=click.Choice(PREFERENCE_METHODS),
    default="bmc",
    show_default=True,
    help="bmc: bridged answers and weights; dpo: neither; mc: weights only; bc: bridged answers only.",
)
@click.option("--loss", type=click.Choice(LOSSES), help="dpo where nothing else is set.")
@click.option("--weighting", type=click.Choice(WEIGHTINGS), help="Weights of tokens, other than the method's.")
@click.option("--beta", type=float, help="Scale of the rewards: 0.1, for simpo 2.")
@click.option("--delta", type=float, help="Cap of the weights of what differs; 2 where nothing else is set.")
@click.option("--flat", "sigma", is_flag=False, flag_value=0.05, default=0.0, type=float, help="Flat-LoRA's noise, of this sigma.")
@click.option(
    "--attention",
    type=click.Choice(ATTENTION),
    help="Attention kernel; the model's own where left out. On a GPU, flex_attention skips what a pair's answers do not see.",
)
@click.option("--full", is_flag=True, help="Train all weights, not an adapter.")
@click.option("--epochs", type=float, help="Passes over the pairs; 1 where nothing else is set.")
@click.option("--learning-rate", type=float, help="5e-5 where nothing else is set.")
@click.option("--rank", type=int, help="Of LoRA; 8 where nothing else is set.")
@click.option(
    "--reference-cache",
    type=click.Path(path_type=str, file_okay=False),
    help="Folder for what the reference model says, to share between runs; else in the run folder.",
)
@section_options(
    "training (any field of transformers.TrainingArguments, and those of pairs) and lora", "--set training.nll=0.1 --set lora.use_dora=true"
)
def preference(
    data: tuple[str, ...],
    out: Path,
    model: str,
    adapter: str | None,
    evaluation: tuple[str, ...],
    method: str,
    loss: str | None,
    weighting: str | None,
    beta: float | None,
    delta: float | None,
    sigma: float,
    attention: str | None,
    full: bool,
    epochs: float | None,
    learning_rate: float | None,
    rank: int | None,
    reference_cache: str | None,
    config: Path | None,
    changes: tuple[str, ...],
    seed: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Tune a model on DATA, files of preference pairs (prompt, chosen, rejected), with DPO-BMC or any of its parts.

    `luthier synthesize pairs` makes such files. A stopped run continues with the same command.
    """
    from luthier.cli.progress import Watch
    from luthier.recipes.preference import PreferenceInputs, run_preference
    from luthier.recipes.sections import read_sections
    from luthier.train.preference.tuning import PreferenceSettings

    given: dict[str, dict[str, Any]] = {
        "training": {
            "loss": loss,
            "beta": beta,
            "delta": delta,
            "num_train_epochs": epochs,
            "learning_rate": learning_rate,
            "reference_cache": reference_cache,
        },
        "lora": {"r": rank},
    }
    options = {section: {name: value for name, value in part.items() if value is not None} for section, part in given.items()}
    sections = read_sections(config, changes, {"training": {}, "lora": {}}, options)
    settings = PreferenceSettings(method, weighting, sigma, full, attention, **sections, seed=seed)  # type: ignore[arg-type]
    with Watch(quiet) as watch:
        record = run_preference(
            PreferenceInputs(data, evaluation, model, adapter, settings), out, shlex.join(["luthier", *sys.argv[1:]]), watch
        )
    if int(os.environ.get("RANK", "0")):
        return  # the first of several processes speaks
    if as_json:
        click.echo(json.dumps(record, indent=1, ensure_ascii=False))
        return
    made = record["steps"]["train"]["results"]
    click.echo(
        f"{made['steps']} steps of {made['method']} on {made['pairs']['kept']} pairs: loss {made['loss']:.3f}   {out / made['made']}"
    )
    for title, counts in (("pairs", made["pairs"]), ("evaluation pairs", made["evaluated"] or {})):
        told = [f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if name != "kept" and count]
        if told:
            click.echo(f"{title} left out or cut: {', '.join(told)}", err=True)
    if made["before"] is not None:
        for name in ("rewards/accuracies", "rewards/margins", "logps/chosen"):
            click.echo(f"  {name}: {made['before'][name]:.3f} → {made['after'][name]:.3f}")


command.add_command(infuse, "infuse")
