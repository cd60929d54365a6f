"""`luthier train infuse`."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import click

from luthier.cli.shared_options import run_options, section_options

STAGES, WAYS = ("continued", "supervised"), ("lora", "flat", "full")


@click.command()
@click.argument("suite", type=click.Path(path_type=str))
@run_options("runs/infusion")
@click.option("--model", default="bundled", show_default=True, help="'bundled', or a transformers folder.")
@click.option(
    "--stage",
    "stages",
    multiple=True,
    type=click.Choice(STAGES),
    help="Both where left out: continued pre-training, then supervised fine-tuning.",
)
@click.option("--way", type=click.Choice(WAYS), default="lora", show_default=True, help="LoRA, LoRA towards flat minima, or all weights.")
@click.option(
    "--general", "general", multiple=True, metavar="FILE", help="Conversations mixed into continued pre-training, against forgetting."
)
@click.option(
    "--general-share", type=click.FloatRange(0, 1, max_open=True), default=0.2, show_default=True, help="Their share of its tokens."
)
@section_options(
    "continued, supervised (any field of trl.SFTConfig) and lora (peft.LoraConfig)",
    "--set continued.num_train_epochs=20 --set supervised.learning_rate=5e-5",
)
def infuse(
    suite: str,
    out: Path,
    model: str,
    stages: tuple[str, ...],
    way: str,
    general: tuple[str, ...],
    general_share: float,
    config: Path | None,
    changes: tuple[str, ...],
    seed: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Infuse the memory facts of SUITE, a folder of `luthier synthesize fusion`, into a model's weights.

    A stopped run continues with the same command.
    """
    from luthier.cli.progress import Watch
    from luthier.recipes.infusion import InfusionInputs, run_infusion
    from luthier.recipes.sections import read_sections
    from luthier.train.infusion import InfusionSettings

    sections = read_sections(config, changes, {"continued": {}, "supervised": {}, "lora": {}})
    settings = InfusionSettings(way, general_share, **sections, seed=seed)  # type: ignore[arg-type]
    with Watch(quiet) as watch:
        record = run_infusion(
            InfusionInputs(suite, model, stages or STAGES, general, settings),  # type: ignore[arg-type]
            out,
            _command(),
            watch,
        )
    if as_json:
        click.echo(json.dumps(record, indent=1, ensure_ascii=False))
        return
    for stage, step in record["steps"].items():
        made = step["results"]
        click.echo(
            f"{stage}: {made['steps']} steps on {made['rows']} rows, {made['general_rows']} of them general; loss {made['loss']:.3f}   {out / stage / made['adapter']}"
        )


def _command() -> str:
    return shlex.join(["luthier", *sys.argv[1:]])
