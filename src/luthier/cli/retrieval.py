"""`luthier evaluate retrieval`: run, build, audit, compare, search, train, export."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from luthier.cli.shared_options import Command, run_options

RECIPES = ("doc2code", "code2doc", "ccr", "test2code", "usage2definition", "commit2diff", "sql", "pairs", "tools")
TIES = ("trec", "expected", "best", "worst", "merged")


@click.group()
def command() -> None:
    """Code retrieval (CoIR): score, build, audit, compare, search, train, export."""


def task_options(function: Command) -> Command:
    """How a task is read: --split, --reading, --source."""
    for option in (
        click.option("--source", type=click.Path(path_type=str), help="Folder under which CoIR's data sets lie, for coir:NAME."),
        click.option(
            "--reading",
            type=click.Choice(["text", "title+text"]),
            default="text",
            show_default=True,
            help="What is read of a document; the paper reads the text.",
        ),
        click.option("--split", default="test", show_default=True),
    ):
        function = option(function)
    return function


def model_options(function: Command) -> Command:
    """How a model is read: --pooling, --max-length, --query-prompt, --document-prompt, --endpoint, --dimensions, --k1, --b."""
    for option in (
        click.option("--b", type=float, default=0.75, show_default=True, help="Length normalisation of BM25."),
        click.option("--k1", type=float, default=1.5, show_default=True, help="Saturation of BM25."),
        click.option("--dimensions", type=click.IntRange(min=1), help="Asked of a served model that can shorten its vectors."),
        click.option("--endpoint", metavar="URL", help="Base URL of an OpenAI-compatible server that embeds; its key in LUTHIER_API_KEY."),
        click.option("--document-prompt", default="", help="Text before each document."),
        click.option("--query-prompt", default="", help="Text before each query."),
        click.option("--max-length", type=click.IntRange(min=1), help="Tokens read of a text by a transformer."),
        click.option(
            "--pooling", type=click.Choice(["mean", "weighted-mean", "last", "cls"]), help="As the model's folder says where left out."
        ),
    ):
        function = option(function)
    return function


@command.command()
@click.argument("tasks", nargs=-1, required=True)
@run_options("runs/retrieval")
@task_options
@model_options
@click.option(
    "--model",
    "models",
    multiple=True,
    default=("minilm",),
    show_default=True,
    help="minilm, static, bm25, bm25:word, bm25:stem, bundled (the language model), vectors:FOLDER, a folder, or a served model.",
)
@click.option("--top", type=click.IntRange(min=1), default=100, show_default=True, help="Distinct documents kept of a query.")
@click.option("--queries", "limit", type=click.IntRange(min=1), help="Evenly spaced queries of each task; the corpus stays whole.")
@click.option(
    "--adjust",
    "adjustment",
    type=click.Choice(["none", "centre", "whiten"]),
    default="none",
    show_default=True,
    help="Done to vectors, fitted on the documents.",
)
@click.option("--fuse", type=click.Choice(["rrf", "minmax"]), help="Add a run made of all models.")
@click.option("--weight", "weights", type=float, multiple=True, help="Of each model in the fusion.")
@click.option("--rerank", metavar="MODEL", help="A language model that reads the first documents of the last run: 'bundled', or a folder.")
@click.option("--rerank-top", type=click.IntRange(min=1), default=20, show_default=True)
@click.option("--instruct", is_flag=True, help="Put CoIR's instruction of the data set before each query.")
@click.option("--cache", type=click.Path(path_type=str), help="Folder of embeddings; in the user's cache where left out.")
def run(
    tasks: tuple[str, ...],
    out: Path,
    seed: int,
    as_json: bool,
    quiet: bool,
    split: str,
    reading: str,
    source: str | None,
    models: tuple[str, ...],
    top: int,
    limit: int | None,
    adjustment: str,
    fuse: str | None,
    weights: tuple[float, ...],
    rerank: str | None,
    rerank_top: int,
    cache: str | None,
    instruct: bool,
    **options: Any,
) -> None:
    """Score models on TASKS: folders, or coir:NAME. A stopped run continues with the same command."""
    from luthier.cli.progress import Watch
    from luthier.recipes.retrieval import RetrievalInputs, run_retrieval
    from luthier.recipes.retrievers import ModelOptions

    inputs = RetrievalInputs(
        tasks,
        models,
        split,
        reading,
        source,
        top,
        limit,
        adjustment,
        ModelOptions(**options),
        fuse,
        weights,
        rerank,
        rerank_top,
        cache,
        instruct,
        seed,
    )
    with Watch(quiet) as watch:
        record = run_retrieval(inputs, out, _command(), watch, api_key=os.environ.get("LUTHIER_API_KEY"))
    if as_json:
        click.echo(json.dumps(record, indent=1, ensure_ascii=False))
        return
    for step in record["steps"].values():
        row = step["results"]
        ndcg, ceiling = row["metrics"]["ndcg@10"], row["ceiling"]["expected"]["ndcg@10"]
        told = "" if ceiling > 0.9995 else f"  merged {100 * ndcg['merged']['mean']:.2f}  ceiling {100 * ceiling:.2f}"
        click.echo(f"{row['settings']['name']:24} {row['model']:20} NDCG@10 {_percent(ndcg['expected'])}{told}")
    for row in record["means"]:
        coir = "" if row["coir"] is None else f"  CoIR mean {100 * row['coir']:.2f}"
        click.echo(f"mean of {row['tasks']} tasks  {row['model']:20} NDCG@10 {100 * row['mean']:.2f}{coir}")
    click.echo(f"Report: {out / 'report.html'}")


@command.command()
@click.argument("recipe", type=click.Choice(RECIPES))
@click.argument("sources", nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="The task's folder.")
@click.option("--train", type=click.FloatRange(0, 1), default=0.0, show_default=True, help="Share of the queries for training.")
@click.option("--dev", type=click.FloatRange(0, 1), default=0.0, show_default=True, help="Share for development; the rest is test.")
@click.option(
    "--near",
    type=click.Choice(["mark", "exclude", "keep"]),
    default="mark",
    show_default=True,
    help="Near-copies of an answer: answers too, taken out, or distractors.",
)
@click.option("--exclude", multiple=True, metavar="TASK", help="A task that nothing may repeat, e.g. the test task of a training set.")
@click.option("--columns", metavar="QUERY,DOCUMENT", default="query,document", show_default=True, help="Of the recipe pairs.")
@click.option("--name", help="The task's name.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print build.json on standard output.")
def build(
    recipe: str,
    sources: tuple[str, ...],
    out: Path,
    train: float,
    dev: float,
    near: str,
    exclude: tuple[str, ...],
    columns: str,
    name: str | None,
    seed: int,
    as_json: bool,
) -> None:
    """Make a task of SOURCES: folders, installed packages or `stdlib`; for commit2diff a git repository, else files."""
    from luthier.errors import SettingsError
    from luthier.evaluate.retrieval.build.building import BuildSettings, build

    names = columns.split(",")
    if len(names) != 2:
        raise SettingsError(f"--columns is {columns!r}; two names with a comma between them are expected")
    settings = BuildSettings(recipe, sources, train, dev, near, exclude, (names[0], names[1]), name, seed)  # type: ignore[arg-type]
    report = build(settings, out)
    if as_json:
        click.echo(json.dumps(report, indent=1, ensure_ascii=False))
        return
    counts = report["counts"]
    splits = ", ".join(f"{split} {size:,}" for split, size in counts["splits"].items())
    click.echo(
        f"{counts['queries']:,} queries ({splits}), {counts['documents']:,} documents from {counts['pairs']:,} pairs; "
        f"{counts['near_copies']:,} near-copies ({counts['near']})   Task: {out}"
    )
    for reason, count in report["dropped"].items():
        click.echo(f"  left out: {count:6,}  {reason}")


@command.command()
@click.argument("task")
@task_options
@click.option("--model", help="An embedder, for the share of texts that it does not read to the end.")
@click.option("--against", multiple=True, metavar="FILE", help="Training rows (JSONL, Parquet) or a task folder, for contamination.")
@click.option("--tokenizer", type=click.Choice(["code", "word", "stem"]), default="code", show_default=True, help="Of the BM25 baseline.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def audit(
    task: str, split: str, reading: str, source: str | None, model: str | None, against: tuple[str, ...], tokenizer: str, as_json: bool
) -> None:
    """What to know of TASK before trusting a score on it."""
    from luthier.recipes.retrieval_tasks import audit_task

    report = audit_task(task, split, reading, source, model=model, against=against, tokenizer=tokenizer)
    if as_json:
        click.echo(json.dumps(report, indent=1, ensure_ascii=False))
        return
    sizes, copies, ceiling, bm25 = report["sizes"], report["copies"], report["ceiling"], report["baselines"]["bm25"]
    click.echo(
        f"{report['task']['name']} ({report['task']['split']}, {report['task']['reading']}): {sizes['queries']:,} queries of {report['queries']['distinct']:,} texts, "
        f"{sizes['documents']:,} documents of {copies['distinct_documents']:,} texts, {sizes['answers_per_query']:.2f} answers a query"
    )
    click.echo(f"characters: query {sizes['query_characters']['mean']:,}, document {sizes['document_characters']['mean']:,} on average")
    click.echo(
        f"NDCG@10 of a perfect retriever: {100 * ceiling['expected']['ndcg@10']:.2f} in expectation, {100 * ceiling['worst']['ndcg@10']:.2f} at worst"
    )
    click.echo(
        f"NDCG@10 of BM25 ({bm25['tokenizer']}): {_percent(bm25['ndcg@10'])}; of random order: {100 * report['baselines']['random']:.2f}"
    )
    for finding in report["findings"] or ["nothing found that changes what a score means"]:
        click.echo(f"- {finding}")


@command.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--metric", default="ndcg@10", show_default=True)
@click.option("--ties", type=click.Choice(TIES), default="expected", show_default=True)
@click.option("--allow", multiple=True, metavar="SETTING", help="May differ all the same: task, split, reading, depth, max_length.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def compare(runs: tuple[Path, ...], metric: str, ties: str, allow: tuple[str, ...], as_json: bool) -> None:
    """Compare results of RUNS (folders of `run`, or results/NAME.json in them), with paired tests; refuses what does not compare."""
    from luthier.evaluate.retrieval.compare import compare, load_results

    told = compare([result for path in runs for result, _ in load_results(path)], metric=metric, ties=ties, allow=allow)
    if as_json:
        click.echo(json.dumps(told, indent=1, ensure_ascii=False))
        return
    for name, values in told["differ"].items():
        click.echo(f"These differ in {name}: {', '.join(str(value) for value in values)}", err=True)
    for row in told["table"]:
        click.echo(f"{row['model']:24} {metric} {_percent(row)}")
    for pair in told["pairs"]:
        click.echo(
            f"{pair['better']} over {pair['worse']}: {100 * pair['mean']:+.2f} ({100 * pair['low']:+.2f} to {100 * pair['high']:+.2f}), p = {pair['p']:.4f}"
        )


@command.command()
@click.argument("task")
@click.argument("query")
@task_options
@model_options
@click.option("--model", default="minilm", show_default=True)
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--cache", type=click.Path(path_type=str), help="Folder of embeddings; in the user's cache where left out.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def search(
    task: str,
    query: str,
    split: str,
    reading: str,
    source: str | None,
    model: str,
    top: int,
    cache: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Find QUERY in the documents of TASK."""
    from luthier.recipes.retrieval_tasks import search_task
    from luthier.recipes.retrievers import ModelOptions

    rows = search_task(
        task,
        query,
        split,
        reading,
        source,
        model=model,
        options=ModelOptions(**options),
        top=top,
        cache=cache,
        api_key=os.environ.get("LUTHIER_API_KEY"),
    )
    if as_json:
        click.echo(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    for row in rows:
        place = f"  {row['place']}" if row["place"] else ""
        click.echo(f"{row['score']:.3f}  {row['id']}{place}")
        for line in row["text"].splitlines()[:6]:
            click.echo(f"       {line}")


@command.command()
@click.argument("task")
@run_options("runs/retriever")
@click.option("--base", default="static", show_default=True, help="static, minilm, or a folder of either kind.")
@click.option("--test", "tests", multiple=True, metavar="TASK", help="Measured before and after; the task's own test split where left out.")
@click.option("--epochs", type=float, default=5.0, show_default=True)
@click.option("--batch-size", type=click.IntRange(min=2), default=512, show_default=True)
@click.option("--learning-rate", type=float, help="0.02 for static embeddings and 5e-5 for transformers where left out.")
@click.option("--minutes", type=float, help="Stop training after so many.")
@click.option("--max-length", type=click.IntRange(min=1), default=128, show_default=True, help="Tokens read of a text by a transformer.")
def train(
    task: str,
    out: Path,
    seed: int,
    as_json: bool,
    quiet: bool,
    base: str,
    tests: tuple[str, ...],
    epochs: float,
    batch_size: int,
    learning_rate: float | None,
    minutes: float | None,
    max_length: int,
) -> None:
    """Train an embedder on the train split of TASK and measure it again; pairs that repeat a test are left out."""
    from luthier.cli.progress import Watch
    from luthier.recipes.retriever_training import RetrieverInputs, run_training
    from luthier.train.retriever import RetrieverSettings

    settings = RetrieverSettings(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seconds=None if minutes is None else 60 * minutes,
        max_length=max_length,
        seed=seed,
    )
    with Watch(quiet) as watch:
        record = run_training(RetrieverInputs(task, base, tests, settings), out, _command(), watch)
    if as_json:
        click.echo(json.dumps(record, indent=1, ensure_ascii=False))
        return
    trained = record["steps"]["train"]["results"]
    click.echo(
        f"{trained['pairs']:,} pairs, {trained['left_out']:,} left out as they repeat a test; {trained['steps']} steps in {trained['cpu_seconds']} CPU-s   Model: {out / 'model'}"
    )
    for row in record["steps"]["measure"]["results"]["tests"]:
        change = row["change"]
        click.echo(
            f"{row['task']:24} NDCG@10 {100 * row['before']['mean']:.2f} -> {100 * row['after']['mean']:.2f}: {100 * change['mean']:+.2f} "
            f"({100 * change['low']:+.2f} to {100 * change['high']:+.2f}, p = {change['p']:.4f})"
        )


@command.command()
@click.argument("task")
@task_options
@click.option("--to", "layout", type=click.Choice(["beir", "mteb"]), default="beir", show_default=True)
@click.option("--merged", is_flag=True, help="Every document once, answering for its copies.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True)
def export(task: str, split: str, reading: str, source: str | None, layout: str, merged: bool, out: Path) -> None:
    """Write TASK for other tools: a BEIR folder, for mteb with a module that holds the task."""
    from luthier.evaluate.retrieval.export import export
    from luthier.evaluate.retrieval.task import Task

    loaded = Task.load(task, split, reading=reading, source=None if source is None else Path(source))  # type: ignore[arg-type]
    click.echo(str(export(loaded.merged() if merged else loaded, out, layout)))


def _percent(score: dict[str, float]) -> str:
    return f"{100 * score['mean']:.2f} ({100 * score['low']:.2f}-{100 * score['high']:.2f})"


def _command() -> str:
    return shlex.join(["luthier", *sys.argv[1:]])
