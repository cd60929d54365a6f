"""`luthier select run|compare|ratio|explain`: choose rows from a pool, and show what was chosen and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click


@click.group()
def command() -> None:
    """Choose the rows of a pool that teach most under a budget."""


POOL = click.argument("pool", type=click.Path(path_type=Path))
COLUMNS = [
    click.option("--budget", required=True, help="'1000 rows', '5M tokens', '2M bytes' or '3%'."),
    click.option("--fields", type=click.Choice(["all", "prompt", "response"]), default="all", show_default=True, help="What is measured."),
    click.option("--tokenizer", metavar="PATH", help="tokenizer.json, a transformers folder, or 'bundled'; for budgets in tokens."),
    click.option("--quality", metavar="COLUMN", help="A weight for zip-long, a score for deita and score."),
    click.option("--group", default="source", show_default=True, help="Column that names a row's source."),
    click.option("--max-share", type=float, help="No source gets more of the budget."),
    click.option("--noise", type=float, default=4.0, show_default=True, help="Robust z-score that counts as noise; 0 for no guard."),
    click.option("--near", type=float, default=0.8, show_default=True, help="Jaccard index of near-duplicates; 0 keeps them."),
    click.option("--exclude", multiple=True, metavar="FILE", help="Evaluation data whose texts must not be chosen."),
    click.option("--k1", type=int, default=10_000, show_default=True, help="zip: rows measured a round."),
    click.option("--k2", type=int, default=200, show_default=True, help="zip: rows of a block."),
    click.option("--k3", type=int, default=100, show_default=True, help="zip and zip-long: picks a round."),
    click.option("--shards", type=int, default=0, show_default=True, help="zip-long: pick in so many parts first, then among these."),
    click.option(
        "--model", metavar="PATH", default="bundled", show_default=True, help="perplexity and ifd: a transformers folder, or 'bundled'."
    ),
    click.option(
        "--score-rows", type=int, metavar="N", default=2000, show_default=True, help="perplexity and ifd: rows the model reads; 0 for all."
    ),
    click.option(
        "--band", type=float, nargs=2, metavar="LOW HIGH", default=(0.25, 0.75), show_default=True, help="perplexity: the quantiles kept."
    ),
    click.option("--seed", type=int, default=0, show_default=True),
    click.option("--skip-bad", type=click.Path(path_type=Path), help="Set bad rows aside in this file instead of stopping."),
    click.option("--json", "as_json", is_flag=True, help="For machines."),
    click.option("--quiet", is_flag=True, help="No progress."),
]


def _shared(function: Any) -> Any:
    for option in reversed(COLUMNS):
        function = option(function)
    return function


@command.command()
@POOL
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Chosen rows: .jsonl, .jsonl.gz or .parquet.")
@click.option("--method", default="zip-long", show_default=True)
@click.option("--run", "folder", type=click.Path(path_type=Path), help="Keep the rounds here; the same command continues.")
@click.option("--dry-run", is_flag=True, help="Say what would be done and how long it takes; choose nothing.")
@click.option("--page/--no-page", default=True, show_default=True, help="Draw the selection beside it (.html).")
@click.option("--workers", type=int, default=0, show_default=True, help="Ray processes that measure rows; 0 for this process alone.")
@_shared
def run(
    pool: Path, out: Path, folder: Path | None, dry_run: bool, page: bool, workers: int, as_json: bool, quiet: bool, **options: Any
) -> None:
    """Choose rows of POOL (JSONL, JSONL.gz, JSON, Parquet or a datasets folder) and write them, line for line as they were."""
    from luthier.cli.progress import Watch
    from luthier.recipes.selection import beside, forecast, select_file

    settings, skipped = _settings(options)
    if dry_run:
        plan = forecast(pool, settings, skipped)
        click.echo(json.dumps(plan) if as_json else _plan(plan))
        return
    with Watch(quiet or as_json) as watch:
        report = select_file(pool, out, settings, run=folder, workers=workers, skipped=skipped, progress=watch, page=page)
    click.echo(json.dumps(report, ensure_ascii=False) if as_json else _account(report, out))
    if page and not as_json:
        click.echo(f"drawn, with rows to look at -> {beside(out, '.html')}")


@command.command()
@POOL
@click.option("--method", "methods", multiple=True, default=("random*3", "longest", "zip", "zip-long"), show_default=True)
@_shared
def compare(pool: Path, methods: tuple[str, ...], as_json: bool, quiet: bool, **options: Any) -> None:
    """Several methods on one pool and budget, side by side; random as a band over seeds (random*5)."""
    from luthier.cli.progress import Watch
    from luthier.recipes.selection import compare_methods

    settings, skipped = _settings(options)
    with Watch(quiet or as_json) as watch:
        rows = compare_methods(pool, methods, settings, skipped=skipped, progress=watch)
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("method", "rows", "bytes", "R 32K", "R 1M", "R all", "repeated prompts", "seconds")
    for row in rows:
        ratios = [f"{row['ratio'][name]:.2f}" for name in ("32K", "1M", "all")]
        table.add_row(
            row["method"], f"{row['rows']:,}", f"{row['bytes']:,}", *ratios, str(row["repeated_prompts"]), f"{row['seconds']:.1f}"
        )
    Console().print(table)


@command.command()
@POOL
@click.option("--group", default="source", show_default=True, help="Column that names a row's source.")
@click.option("--fields", type=click.Choice(["all", "prompt", "response"]), default="all", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def ratio(pool: Path, group: str, fields: Any, as_json: bool) -> None:
    """How redundant a data set is: bytes / compressed bytes at three window sizes, whole and by source."""
    from luthier.recipes.selection import pool_ratios

    table = pool_ratios(pool, group, fields)
    if as_json:
        click.echo(json.dumps(table, ensure_ascii=False))
        return
    for name, row in table.items():
        cells = "  ".join(f"{window} {value:6.2f}" for window, value in row["ratio"].items())
        click.echo(f"{name or '(no source)':24} {row['rows']:>9,} rows  {cells}")


@command.command()
@POOL
@click.option("--row", "rows", type=int, multiple=True, help="Line or position of a row; the first ten taken and left where none is given.")
@click.option("--method", default="zip-long", show_default=True)
@_shared
def explain(pool: Path, rows: tuple[int, ...], as_json: bool, quiet: bool, **options: Any) -> None:
    """Why a row was taken or left."""
    from luthier.cli.progress import Watch
    from luthier.recipes.selection import explain_rows

    settings, skipped = _settings(options)
    with Watch(quiet or as_json) as watch:
        told = explain_rows(pool, rows, settings, skipped=skipped, progress=watch)
    for row in told:
        if as_json:
            click.echo(json.dumps(row, ensure_ascii=False))
        else:
            what = (
                f"taken as number {row['rank']} (round {row['round']}, score {row['score']:.3f})"
                if row["taken"]
                else f"left: {row['reason']}"
            )
            click.echo(f"{pool}:{row['row']}: {what}")


def _settings(options: dict[str, Any]) -> tuple[Any, Any]:
    from luthier.records import SkippedRows
    from luthier.select.selection import SelectSettings

    skip = options.pop("skip_bad")
    options.update(noise=options["noise"] or None, near=options["near"] or None)
    return SelectSettings(**options), None if skip is None else SkippedRows(skip)


def _plan(plan: dict[str, Any]) -> str:
    if plan["method"] in ("perplexity", "ifd"):
        return (
            f"{plan['pool_rows']:,} rows, {plan['pool_bytes']:,} bytes; {plan['method']} under {plan['budget']}: the model reads "
            f"{plan['measurements']:,} rows, about {plan['seconds']:.0f} s ({plan['seconds_per_1000']:.0f} s per 1,000 rows)"
        )
    return (
        f"{plan['pool_rows']:,} rows, {plan['pool_bytes']:,} bytes; {plan['method']} under {plan['budget']}: "
        f"at most {plan['measurements']:,} measurements, about {plan['seconds']:.0f} s"
    )


def _account(report: dict[str, Any], out: Path) -> str:
    gone = ", ".join(f"{count:,} {gate}" for gate, count in report["dropped"].items()) or "none"
    ratios = ", ".join(f"{name} {value:.2f}" for name, value in report["ratio"].items())
    return f"{report['rows']:,} of {report['pool_rows']:,} rows -> {out}\nleft out before: {gone}\ncompression ratio by window: {ratios}"


@command.command()
@click.argument("ledger", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE.html", help="Draw it as one page that loads nothing.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def law(ledger: Path, out: Path | None, as_json: bool) -> None:
    """What compression ratio and first-epoch loss say of the versions in LEDGER (arXiv 2407.06645): alarms and prediction."""
    from luthier.recipes.entropy_law import expectation, law_of, noise_words, write_page

    groups = law_of(ledger)
    if out is not None:
        write_page(groups, ledger, out)
    if as_json:
        click.echo(json.dumps(groups, ensure_ascii=False))
        return
    for group in groups:
        click.echo(f"group {group['group']}; {noise_words(group)}")
        wide = max(len(version["name"]) for version in group["versions"])
        click.echo(f"{'version':{wide}} {'seed':>4} {'rows':>10} {'R 32K':>7} {'R all':>7} {'L':>7} {'bits/byte':>9}  metric")
        for version in group["versions"]:
            bits = "–" if version["bits_per_byte"] is None else f"{version['bits_per_byte']:.3f}"
            whole = f"{version['ratio']['all']:.2f}" if "all" in version["ratio"] else "–"
            click.echo(
                f"{version['name']:{wide}} {version['seed']:>4} {version['rows']:>10,} {version['ratio']['32K']:>7.3f} {whole:>7} "
                f"{version['loss']:>7.3f} {bits:>9}  {expectation(version)}"
            )
            for alarm in version["alarms"]:
                click.echo(f"  {alarm['level']} {alarm['rule']}: {alarm['text']}")
    if not groups:
        click.echo(f"{ledger}: no versions yet; train with an EntropyLawCallback")
    if out is not None:
        click.echo(str(out))
