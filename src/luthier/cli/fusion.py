"""The three commands of knowledge fusion: `luthier synthesize fusion`, `luthier train infuse`, `luthier evaluate fusion`."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from luthier.cli.shared_options import run_options, section_options

SPLITS = ("date", "subject", "random")
STAGES, WAYS = ("continued", "supervised"), ("lora", "flat", "full")


@click.command()
@click.argument("documents", nargs=-1, required=True, type=click.Path(path_type=str))
@run_options("runs/fusion")
@click.option(
    "--subject",
    "subject",
    multiple=True,
    metavar="COLUMN",
    help="Columns that name what a row is about, joined; 'a|b' takes the first that is filled. The first column where left out.",
)
@click.option(
    "--attribute",
    "attributes",
    multiple=True,
    metavar="COLUMN[=NAME]",
    help="A column of values, and what people call it; all columns where left out.",
)
@click.option("--date", "date", metavar="COLUMN", help="Column of the row's date; one of the usual names where left out.")
@click.option("--where", "where", multiple=True, metavar="COLUMN=TEXT", help="Only rows that have this.")
@click.option(
    "--split-by",
    "by",
    type=click.Choice(SPLITS),
    default="date",
    show_default=True,
    help="What decides between memory and external knowledge.",
)
@click.option("--split-date", "at", metavar="DATE", help="Older facts are memory, newer ones external; the median where left out.")
@click.option("--holdout", type=click.FloatRange(0, 1, max_open=True), default=0.1, show_default=True, help="Share of subjects in neither.")
@click.option("--per-scenario", type=click.IntRange(min=1), default=200, show_default=True, help="Test questions of each scenario.")
@click.option("--training-per-scenario", type=click.IntRange(min=1), help="Training conversations of each; as many where left out.")
@click.option("--distractors", default="0,1,3", show_default=True, metavar="N,N,…", help="Noise levels.")
@click.option("--memory", type=click.IntRange(min=1), help="Facts that are infused at most; all where left out.")
@click.option(
    "--forms", default="two-part,comparison,bridge", show_default=True, metavar="FORM,…", help="Questions that need both sources."
)
@click.option("--wordings", type=click.IntRange(min=1), default=5, show_default=True, help="Statements of each infused fact.")
@click.option(
    "--refusals",
    type=click.FloatRange(min=0),
    default=1.5,
    show_default=True,
    help="Training refusals for each item of the largest other scenario.",
)
@click.option(
    "--retriever", metavar="NAME", help="Contexts from bm25, bm25:word or bm25:stem, with its misses, in place of chosen distractors."
)
@click.option("--depth", type=click.IntRange(min=1), default=3, show_default=True, help="Passages it finds.")
@click.option("--reader", metavar="MODEL", help="A model that reads facts from running text: 'bundled', a folder, or a served model.")
@click.option("--writer", metavar="MODEL", help="A model that words the test questions.")
@click.option("--untrained", metavar="MODEL", help="The model to be infused: what it knows already is left out.")
@click.option("--endpoint", metavar="URL", help="Base URL of an OpenAI-compatible server of those models.")
@click.option(
    "--skip-bad", type=click.Path(path_type=str), help="Set bad rows and unreadable files aside in this file instead of stopping."
)
def synthesize_fusion(
    documents: tuple[str, ...],
    out: Path,
    subject: tuple[str, ...],
    attributes: tuple[str, ...],
    date: str | None,
    where: tuple[str, ...],
    per_scenario: int,
    training_per_scenario: int | None,
    distractors: str,
    memory: int | None,
    forms: str,
    wordings: int,
    refusals: float,
    depth: int,
    as_json: bool,
    quiet: bool,
    **settings: Any,
) -> None:
    """Make a fusion suite from DOCUMENTS: text, Markdown, HTML, CSV, JSON and JSONL files, or folders of them.

    Facts are split into memory and external knowledge; every question's scenario follows from the ids of the facts it needs. Tables need no model. A key
    for the endpoint is read from the environment variable LUTHIER_API_KEY. A stopped run continues with the same command.
    """
    from luthier.cli.progress import Watch
    from luthier.recipes.fusion import FusionInputs, run_fusion
    from luthier.synthesize.fusion import Columns, SuiteSettings

    columns = Columns(
        subject,
        tuple((one.partition("=")[0], one.partition("=")[2] or one.partition("=")[0]) for one in attributes),
        date,
        tuple((one.partition("=")[0], one.partition("=")[2]) for one in where),
    )
    suite = SuiteSettings(
        per_scenario,
        training_per_scenario,
        _numbers(distractors, "--distractors"),
        memory,
        tuple(filter(None, forms.split(","))),
        wordings=wordings,
        refusals=refusals,
        depth=depth,
    )
    with Watch(quiet) as watch:
        record = run_fusion(
            FusionInputs(documents, columns, suite, **settings), out, _command(), watch, api_key=os.environ.get("LUTHIER_API_KEY")
        )
    if as_json:
        click.echo(json.dumps(record, indent=1, ensure_ascii=False))
        return
    made = record["steps"]["suite"]["results"]
    parts = ", ".join(f"{made['facts'][name]['train'] + made['facts'][name]['test']} {name}" for name in ("memory", "external", "held"))
    questions = ", ".join(f"{name} {count}" for name, count in made["questions"].items())
    click.echo(f"facts: {parts}, {made['facts']['updates']} with two values; {made['facts']['infused']} are infused")
    click.echo(f"questions: {questions}   items with all noise levels: {sum(made['items'].values())}")
    click.echo(
        f"training: {made['files']['continued.jsonl']['rows']} statements, "
        + ", ".join(f"{count} {kind}" for kind, count in made["taught"].items())
    )
    for reason, count in made["dropped"].items():
        click.echo(f"  left out, {reason}: {count}")
    click.echo(str(out))


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


@click.command()
@click.argument("suite", type=click.Path(path_type=str))
@run_options("runs/fusion-scores")
@click.option(
    "--model",
    default="bundled",
    show_default=True,
    help="'bundled', a transformers folder, a served model, or scripted:reader, memory, both or refuser.",
)
@click.option("--adapter", type=click.Path(path_type=str), help="A PEFT adapter of it.")
@click.option(
    "--infused", type=click.Path(path_type=str), help="Run folder of `luthier train infuse`: each of its stages is an arm beside the model."
)
@click.option("--arm", "arms", multiple=True, metavar="NAME=FOLDER", help="Another arm: a model folder, or an adapter of --model.")
@click.option("--endpoint", metavar="URL", help="Base URL of an OpenAI-compatible server that serves --model.")
@click.option(
    "--kp",
    "memory",
    type=click.Choice(["infused", "measured"]),
    default="infused",
    show_default=True,
    help="What memory holds: what was infused, or what closed-book questions find.",
)
@click.option("--confidence", is_flag=True, help="Score the answers again, for the curve of abstention.")
@click.option("--limit", type=click.IntRange(min=1), help="Questions of each scenario; all where left out.")
@click.option("--max-tokens", type=click.IntRange(min=1), help="Room for an answer; twice the longest right one where left out.")
@click.option("--dtype", type=click.Choice(["auto", "float32", "bfloat16"]), default="auto", show_default=True)
@click.option("--judge", metavar="MODEL", help="A model that judges a sample beside exact matching; its agreement is reported.")
@click.option("--judge-endpoint", metavar="URL", help="Base URL of its server.")
@click.option("--judged", type=click.IntRange(min=1), default=100, show_default=True, help="Answers it judges.")
def evaluate_fusion(
    suite: str, out: Path, model: str, adapter: str | None, arms: tuple[str, ...], as_json: bool, quiet: bool, **settings: Any
) -> None:
    """Score a model, or several arms of it, on SUITE, a folder of `luthier synthesize fusion`: retention, the scenarios under noise, refusing.

    A key for the endpoints is read from the environment variable LUTHIER_API_KEY. A stopped run continues with the same command.
    """
    from luthier.cli.progress import Watch
    from luthier.recipes.fusion_evaluation import BASE, Arm, FusionEvaluation, run_fusion_evaluation

    first = Arm(BASE if adapter is None else "model", model, adapter)
    inputs = FusionEvaluation(suite, (first, *(_arm(text, model) for text in arms)), **settings)
    with Watch(quiet) as watch:
        record = run_fusion_evaluation(inputs, out, _command(), watch, api_key=os.environ.get("LUTHIER_API_KEY"))
    if as_json:
        click.echo(json.dumps(record, indent=1, ensure_ascii=False))
        return
    for name, step in record["steps"].items():
        _tell(name.removeprefix("arm "), step["results"])
    for name, each in record["differences"].items():
        told = ", ".join(f"{scenario} {one['mean']:+.2f} ({one['low']:+.2f} to {one['high']:+.2f})" for scenario, one in each.items())
        click.echo(f"{name} against {next(iter(record['steps'])).removeprefix('arm ')}: {told}")
    click.echo(str(out / "report.html"))


def _tell(name: str, made: dict[str, Any]) -> None:
    """One arm in a few lines."""
    from luthier.report.fusion_page import is_forgetful

    retention = f"   retention {_rate(made['retention'])}" if made["retention"] else ""
    click.echo(f"{name}: {made['items']} items, {made['truncated']} answers cut off{retention}")
    if is_forgetful(made):
        click.echo("  retains next to nothing, so S2 and S3 tell of memory, not of fusion")
    for scenario, one in made["scenarios"].items():
        noise = "  ".join(f"{level}: {rate['rate']:.2f}" for level, rate in one["by_noise"].items())
        kept = f"   on retained facts {_rate(made['retained'][scenario]['right'])}" if scenario in made["retained"] else ""
        click.echo(
            f"  {scenario} R_acc {_rate(one['right'])}   R_cover {one['cover']['rate']:.2f}   refused {one['refused']['rate']:.2f}   by distractors {noise}{kept}"
        )
    refusing = made["refusing"]
    told = "   ".join(f"{part} {_rate(refusing[part])}" for part in ("precision", "recall", "f1"))
    collapsed = f"   refuses {refusing['collapsed']}" if refusing["collapsed"] else ""
    click.echo(f"  refusing: {told}{collapsed}")
    if "judge" in made:
        click.echo(f"  judge {made['judge']['judge']}: agrees with exact matching {_rate(made['judge']['agreement'])}")


def _rate(one: dict[str, Any]) -> str:
    return "none" if one["rate"] is None or one.get("items") == 0 else f"{one['rate']:.2f} ({one['low']:.2f}-{one['high']:.2f})"


def _arm(text: str, model: str) -> Any:
    from luthier.errors import SettingsError
    from luthier.recipes.fusion_evaluation import Arm

    name, equals, folder = text.partition("=")
    if not equals or not folder:
        raise SettingsError(f"--arm {text}: write it as NAME=FOLDER")
    is_adapter = (Path(folder) / "adapter_config.json").is_file()
    return Arm(name, model if is_adapter else folder, folder if is_adapter else None)


def _numbers(text: str, option: str) -> tuple[int, ...]:
    from luthier.errors import SettingsError

    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise SettingsError(f"{option} {text}: give whole numbers with commas between them, as in 0,1,3") from None


def _command() -> str:
    return shlex.join(["luthier", *sys.argv[1:]])
