"""`luthier trace import|fit|evaluate|mastery|recommend|explain|export|serve|relate`."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from luthier.cli.shared_options import run_options

LAYOUTS = ("auto", "long", "assistments", "datashop", "akt", "dkt", "pykt", "xapi")
TRACER = click.argument("tracer", type=click.Path(path_type=Path))
DATA = click.argument("data", nargs=-1, required=True, type=click.Path(path_type=str))
JSON = click.option("--json", "as_json", is_flag=True, help="For machines.")
FILES = ("layout", "items", "concepts", "edges", "names", "skip_bad")


def answer_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Of commands that read answers."""
    for option in (
        click.option("--skip-bad", type=click.Path(path_type=str), help="Set bad rows aside in this file instead of stopping."),
        click.option("--names", type=click.Path(path_type=str), help="JSON of concept name to number, for layouts of numbers only."),
        click.option(
            "--edges", type=click.Path(path_type=str), help="Relations between concepts: source, target, relation, weight, provenance."
        ),
        click.option("--concepts", type=click.Path(path_type=str), help="Concepts: concept, text."),
        click.option("--items", type=click.Path(path_type=str), help="Items: item, text, concepts."),
        click.option(
            "--format",
            "layout",
            type=click.Choice(LAYOUTS),
            default="auto",
            show_default=True,
            help="Layout of DATA; found from its beginning where left out.",
        ),
    ):
        command = option(command)
    return command


def model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Of commands that train a tracer."""
    for option in (
        click.option(
            "--evidence/--no-evidence", default=True, show_default=True, help="Counts of a learner's own answers beside the state."
        ),
        click.option(
            "--item-residual/--no-item-residual", default=True, show_default=True, help="A vector of its own for every trained item."
        ),
        click.option(
            "--least", type=click.IntRange(min=1), default=10, show_default=True, help="Learners with fewer answers do not train."
        ),
        click.option("--window", type=click.IntRange(min=2), default=200, show_default=True, help="Last answers of a learner that train."),
        click.option("--batch", type=click.IntRange(min=1), default=32, show_default=True, help="Learners in a step."),
        click.option("--learning-rate", type=float, default=2e-3, show_default=True),
        click.option("--epochs", type=click.IntRange(min=1), default=5, show_default=True),
        click.option("--layers", type=click.IntRange(min=0), default=2, show_default=True, help="Graph layers; 0 reads texts alone."),
        click.option("--dim", type=click.IntRange(min=1), default=64, show_default=True),
        click.option(
            "--graph",
            multiple=True,
            type=click.Choice(["qmatrix", "expert", "knn"]),
            default=("qmatrix", "expert"),
            show_default=True,
            help="Where edges come from: items' concepts, --edges, nearest texts.",
        ),
        click.option("--encoder", default="minilm", show_default=True, help="'minilm', 'static', or the folder of a text encoder."),
    ):
        command = option(command)
    return command


@click.command("import")
@DATA
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder of the long table.")
@answer_options
@JSON
def import_answers(data: tuple[str, ...], out: Path, as_json: bool, **files: Any) -> None:
    """Read answers of a tutoring system or another tracer and write them as a long table: events, items, concepts, edges."""
    from luthier.recipes.tracing import AnswerFiles, import_answers

    found = import_answers(AnswerFiles(data, **files), out)
    click.echo(json.dumps(found, ensure_ascii=False) if as_json else f"{_told(found)}   {out}")


@click.command()
@DATA
@run_options("runs/trace")
@answer_options
@model_options
def fit(data: tuple[str, ...], out: Path, seed: int, as_json: bool, quiet: bool, **options: Any) -> None:
    """Fit a tracer on answers; OUT/tracer is what the other commands use. A stopped run continues with the same command."""
    from luthier.cli.progress import Watch
    from luthier.recipes.tracing import fit_run

    files, settings = _split(data, options)
    with Watch(quiet) as watch:
        record = fit_run(files, settings, out, _command(), seed=seed, progress=watch)
    if as_json:
        click.echo(json.dumps(record, indent=1, ensure_ascii=False))
        return
    click.echo(_told(record["data"]))
    last = max(record["steps"]["fit"]["results"]["epochs"], key=lambda each: each["auc"] or 0)
    auc = "AUC is not defined on the validation answers" if last["auc"] is None else f"AUC {last['auc']:.4f} on validation learners"
    click.echo(f"{auc}   {out / 'tracer'}")


@click.command()
@DATA
@run_options("runs/trace-evaluation")
@click.option(
    "--hold",
    type=click.Choice(["none", "concepts", "items"]),
    default="none",
    show_default=True,
    help="Hold out a quarter of these from training.",
)
@click.option("--draws", type=click.IntRange(min=1), default=1, show_default=True, help="Splits, each with a seed of its own.")
@click.option("--resamples", type=click.IntRange(min=20), default=200, show_default=True, help="Of learners, for intervals.")
@answer_options
@model_options
def evaluate(
    data: tuple[str, ...], out: Path, seed: int, as_json: bool, quiet: bool, hold: str, draws: int, resamples: int, **options: Any
) -> None:
    """Split by learner, fit the tracer and every baseline, and score them question by question.

    A stopped run continues with the same command.
    """
    from luthier.cli.progress import Watch
    from luthier.recipes.tracing import Protocol, evaluate_run

    files, settings = _split(data, options)
    with Watch(quiet) as watch:
        record = evaluate_run(files, settings, Protocol(hold, draws, resamples), out, _command(), seed=seed, progress=watch)
    if as_json:
        click.echo(json.dumps(record, indent=1, ensure_ascii=False))
        return
    click.echo(_told(record["data"]))
    found = record["over_draws"]
    for model, parts in found["auc"].items():
        shown = "   ".join(f"{part} {_range(each)}" for part, each in parts.items())
        error = found["ece"][model]["all"]["mean"]
        click.echo(f"{model:<20} AUC {shown}   calibration error {error:.3f}")
    click.echo(str(out / "report.html"))


@click.command()
@TRACER
@DATA
@click.option("--learner", "learners", multiple=True, help="Only this one; may be given again.")
@run_options("runs/trace-mastery", seeded=False)
@answer_options
def mastery(tracer: Path, data: tuple[str, ...], out: Path, as_json: bool, quiet: bool, learners: tuple[str, ...], **files: Any) -> None:
    """Follow the learners of DATA with TRACER: mastery.csv, and a page with the class, concepts over time and learners one by one."""
    from luthier.cli.progress import Watch
    from luthier.recipes.trace_learners import mastery_run, read_learners
    from luthier.recipes.tracing import AnswerFiles

    with Watch(quiet) as watch:
        record = mastery_run(tracer, AnswerFiles(data, **files), out, _command(), learners=learners, progress=watch)
    if as_json:
        click.echo(json.dumps(record, indent=1, ensure_ascii=False))
        return
    for row in read_learners(out)[:5] if learners else []:
        click.echo(f"{row['learner']}: {row['answers']} answers, {row['right']:.0%} right")
        for name, (chance, low, high, count) in sorted(row["mastery"].items(), key=lambda pair: pair[1][0]):
            click.echo(f"  {chance:4.0%} ({low:.0%}-{high:.0%}), {count:g} answers: {name}")
    new = record["data"]["attached"]
    told = f", {new} items and concepts that training did not know" if new else ""
    click.echo(f"{record['steps']['mastery']['results']['learners']} learners{told}   {out / 'report.html'}")


@click.command()
@TRACER
@DATA
@click.option("--learner", required=True, help="Whose next items.")
@click.option("-n", "count", type=click.IntRange(min=1), default=10, show_default=True)
@click.option("--target", type=(float, float), default=(0.4, 0.7), show_default=True, help="Chances between which an item is worth asking.")
@click.option("--ignore-prerequisites", is_flag=True, help="Also items whose concepts have a prerequisite that is not mastered.")
@answer_options
@JSON
def recommend(
    tracer: Path,
    data: tuple[str, ...],
    learner: str,
    count: int,
    target: tuple[float, float],
    ignore_prerequisites: bool,
    as_json: bool,
    **files: Any,
) -> None:
    """Items that a learner of DATA should be asked next."""
    from luthier.recipes.trace_learners import recommend_items
    from luthier.recipes.tracing import AnswerFiles

    found = recommend_items(tracer, AnswerFiles(data, **files), learner, count, target, respect_prerequisites=not ignore_prerequisites)
    if as_json:
        click.echo(json.dumps([each._asdict() for each in found], ensure_ascii=False))
        return
    if not found:
        click.echo(f"no item has a chance between {target[0]:g} and {target[1]:g}; widen --target, or add items")
    for each in found:
        waits = f"   waits for {', '.join(each.waits_for)}" if each.waits_for else ""
        click.echo(f"{each.chance:4.0%}   {each.item}   {', '.join(each.concepts)}{waits}")


@click.command()
@TRACER
@DATA
@click.option("--learner", required=True)
@click.option("--item", required=True, help="Whose chance is explained.")
@answer_options
@JSON
def explain(tracer: Path, data: tuple[str, ...], learner: str, item: str, as_json: bool, **files: Any) -> None:
    """Which past answers of a learner move the chance of an item: each is left out in turn."""
    from luthier.recipes.trace_learners import explain_item
    from luthier.recipes.tracing import AnswerFiles

    chance, moved = explain_item(tracer, AnswerFiles(data, **files), learner, item)
    if as_json:
        click.echo(json.dumps({"chance": chance, "answers": [each._asdict() for each in moved]}, ensure_ascii=False))
        return
    click.echo(f"{item}: {chance:.0%}")
    for each in moved[:10]:
        click.echo(f"  {100 * each.change:+5.1f} points by answer {each.place + 1}, {each.item}, {each.correct:g}")


@click.command()
@TRACER
@click.argument("target", type=click.Path(path_type=Path))
def export(tracer: Path, target: Path) -> None:
    """Write one step of TRACER as an ONNX graph, TARGET."""
    from luthier.recipes.tracing import open_tracer

    click.echo(str(open_tracer(tracer).export(target)))


@click.command()
@TRACER
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs/trace-service"),
    show_default=True,
    help="Where learners and added items are kept.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Others than this machine can ask only if you say so here.")
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0 takes a free one.")
def serve(tracer: Path, out: Path, host: str, port: int) -> None:
    """Serve TRACER over HTTP to a tutoring system: answers in; predictions, mastery and next items out, as JSON.

    Learners' names are kept as salted hashes, and DELETE /learners/NAME forgets one.
    """
    from luthier.recipes.tracing import open_tracer
    from luthier.trace.service import serve

    serve(open_tracer(tracer), out, host, port, tell=click.echo)


@click.command()
@DATA
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("edges.jsonl"),
    show_default=True,
    help="Edges, for --edges of the other commands.",
)
@click.option("--model", default="bundled", show_default=True, help="'bundled', a transformers folder, or with --endpoint a served model.")
@click.option("--endpoint", metavar="URL", help="Base URL of an OpenAI-compatible server; a key is read from LUTHIER_API_KEY.")
@click.option(
    "--ask",
    type=click.Choice(["numbers", "yes_no"]),
    default="numbers",
    show_default=True,
    help="Numbers of a list, or yes or no for every pair (local models).",
)
@click.option("--candidates", type=click.IntRange(1, 30), default=30, show_default=True, help="Nearest concepts that are shown for each.")
@click.option("--encoder", default="minilm", show_default=True, help="Finds the candidates.")
@answer_options
@JSON
@click.option("--quiet", is_flag=True, help="No progress.")
def relate(
    data: tuple[str, ...],
    out: Path,
    model: str,
    endpoint: str | None,
    ask: Any,
    candidates: int,
    encoder: str,
    as_json: bool,
    quiet: bool,
    **files: Any,
) -> None:
    """Let a language model choose which concepts must be known before which, among the nearest by text.

    Edges given with --edges are an expert's, which the choice is scored against. A stopped run continues with the same command.
    """
    from luthier.cli.progress import Watch
    from luthier.recipes.trace_relations import Chooser, relate_concepts
    from luthier.recipes.tracing import AnswerFiles

    chooser = Chooser(model, endpoint, os.environ.get("LUTHIER_API_KEY"))
    with Watch(quiet) as watch:
        found = relate_concepts(AnswerFiles(data, **files), chooser, out, ask=ask, candidates=candidates, encoder=encoder, progress=watch)
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    extra = [f"{len(found['unread'])} concepts kept their nearest texts, because the reply could not be read"] if found["unread"] else []
    extra += [f"{found['dropped']} edges left out, because prerequisites went round in a circle"] if found["dropped"] else []
    scored = found.get("against_expert")
    extra += [f"against the expert's edges: precision {scored['precision']:.2f}, recall {scored['recall']:.2f}"] if scored else []
    click.echo("; ".join([f"{found['edges']} edges into {found['concepts']} concepts", *extra]) + f"   {out}")


def _split(data: tuple[str, ...], options: dict[str, Any]) -> tuple[Any, Any]:
    """What is read, and how the tracer is built."""
    from luthier.recipes.tracing import AnswerFiles, TraceSettings

    files = {name: options.pop(name) for name in FILES}
    return AnswerFiles(data, **files), TraceSettings(**options)


def _command() -> str:
    return shlex.join(["luthier", *sys.argv[1:]])


def _told(found: dict[str, Any]) -> str:
    extra = [f"{found[key]:,} {what}" for key, what in (("merged_rows", "rows merged"), ("moved_rows", "sorted by time")) if found[key]]
    text = f"{found['answers']:,} answers of {found['learners']:,} learners to {found['items']:,} items of {found['concepts']:,} concepts, {found['right']:.0%} right"
    return "; ".join([text, *extra, *found["notes"]])


def _range(spread: dict[str, Any]) -> str:
    if spread["mean"] is None:
        return "not defined"
    one = f"{spread['mean']:.4f}"
    return one if spread["low"] == spread["high"] else f"{one} ({spread['low']:.4f}-{spread['high']:.4f})"
