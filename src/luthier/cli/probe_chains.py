"""`luthier probe run|report|tree|select|online|export`: look into chains of thought."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from luthier.cli.options import question_options, run_options

SCORES = ("mean", "gain", "final", "mono")
STRATEGIES = ("first", "no-cot", "vote", "cop", "confidence", "weighted", "tree", "resample")
RUN = click.argument("run", type=click.Path(path_type=Path))
JSON = click.option("--json", "as_json", is_flag=True, help="For machines.")


def _asking(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of the commands that ask a model."""
    for option in (
        click.option(
            "--mode",
            type=click.Choice(["auto", "packed", "rollback", "naive"]),
            default="auto",
            show_default=True,
            help="How probes are read; the numbers are the same.",
        ),
        click.option(
            "--normalise",
            type=click.Choice(["token", "byte", "none"]),
            default="token",
            show_default=True,
            help="How the length of an option's words counts.",
        ),
        click.option(
            "--probe", default="letters", show_default=True, help="'letters', 'texts', or a text after which an answer would stand."
        ),
        click.option("--max-tokens", type=click.IntRange(min=1), default=160, show_default=True, help="Longest chain."),
    ):
        command = option(command)
    return question_options(command)


@click.command()
@click.argument("data", nargs=-1, type=click.Path(path_type=str))
@run_options("runs/probe")
@_asking
@click.option(
    "--chains",
    "stored",
    multiple=True,
    metavar="FILE",
    help="Questions with chains of any model, read as they are: JSONL, lm-eval samples, logs of Inspect.",
)
@click.option(
    "--inject",
    "injected",
    multiple=True,
    metavar="FILE",
    help="Questions with right solutions: each is probed as it is, and with an error put in.",
)
@click.option("--samples", "-k", type=click.IntRange(min=1), default=1, show_default=True, help="Chains a question.")
@click.option("--temperature", type=float, help="0 for one chain a question, 0.8 for several, where left out.")
@click.option("--top-p", type=float, default=0.95, show_default=True)
def run(data: tuple[str, ...], out: Path, as_json: bool, quiet: bool, **settings: Any) -> None:
    """Ask a model for chains of thought on DATA, files of multiple-choice questions, and for its answer before and after each step.

    A stopped run continues with the same command.
    """
    from luthier.cli.progress import Watch
    from luthier.recipes.probing import ProbeInputs, run_probe

    with Watch(quiet) as watch:
        record = run_probe(ProbeInputs(data, **settings), out, shlex.join(["luthier", *sys.argv[1:]]), watch)
    if as_json:
        click.echo(json.dumps(record, indent=1, ensure_ascii=False))
        return
    found = record["steps"]["statistics"]["results"]
    groups = [*found["groups"].items(), ("all", found["all"])]
    for name, one in groups:
        click.echo(f"{name or 'all'}: {one['chains']} chains of {one['questions']} questions, {one['steps']:.1f} steps each")
        told = [
            ("early answering", one["early"]),
            *(
                (title, one[key])
                for key, title in (
                    ("right_before", "right before"),
                    ("right_after", "right after"),
                    ("right_stated", "right as stated"),
                    ("helpful", "helped"),
                    ("harmful", "harmed"),
                )
                if key in one
            ),
        ]
        click.echo("  " + "   ".join(f"{title} {_rate(rate)}" for title, rate in told if rate["items"]))
    spent, naive = found["all"]["forwarded"], found["all"]["naive"]
    if spent:
        click.echo(
            f"probing put {spent:,} tokens through the model, reading each prefix anew {naive:,} ({naive / spent:.1f}x)   {out / 'report.html'}"
        )


@click.command()
@RUN
def report(run: Path) -> None:
    """Count the traces of RUN again and write its report.html."""
    from luthier.recipes.probing import recount

    click.echo(str(recount(run)))


@click.group()
def tree() -> None:
    """A small decision tree that tells wrong chains by how their confidence moves."""


@tree.command()
@RUN
@click.option("--out", type=click.Path(path_type=Path), default=Path("tree.json"), show_default=True, help="The tree, as JSON.")
@click.option(
    "--labels",
    type=click.Choice(["recorded", "equations", "judge"]),
    default="recorded",
    show_default=True,
    help="Who says which chains are wrong: their field `wrong` (as --inject writes it), their equations, or a model.",
)
@click.option("--judge", help="The model of --labels judge: 'bundled', a transformers folder, or a served model.")
@click.option("--judge-endpoint", metavar="URL", help="Base URL of the server of --judge; a key is read from LUTHIER_API_KEY.")
@click.option("--depth", type=click.IntRange(min=1), default=4, show_default=True)
@click.option("--least", type=click.IntRange(min=1), default=20, show_default=True, help="Chains in a leaf.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the folds.")
@JSON
@click.option("--quiet", is_flag=True, help="No progress.")
def fit(
    run: Path,
    out: Path,
    labels: str,
    judge: str | None,
    judge_endpoint: str | None,
    depth: int,
    least: int,
    seed: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Fit a tree on the chains of RUN; precision and recall are on questions that the tree had not seen."""
    from luthier.cli.progress import Watch
    from luthier.probe.judge import Growth
    from luthier.recipes.chain_judges import JudgeModel, fit_judge

    engine = None if judge is None else JudgeModel(judge, judge_endpoint, os.environ.get("LUTHIER_API_KEY"))
    with Watch(quiet) as watch:
        found = fit_judge(run, out, labels, judge=engine, growth=Growth(depth=depth, least=least, seed=seed), progress=watch)
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    click.echo(found["rules"])
    area = "–" if found["area"] is None else f"{found['area']:.2f}"
    click.echo(
        f"{found['chains']} chains, {found['wrong']} wrong ({found['without_label']} without a label left out); on unseen questions: flagged {_rate(found['flagged'])},"
        f" precision {_rate(found['precision'])}, recall {_rate(found['recall'])}, F1 {found['f1']:.2f}, area under the curve {area}   {out}"
    )
    if found["wrong_of_right"]["items"]:
        click.echo(f"of the chains with right answers, wrong in themselves: {_rate(found['wrong_of_right'])}")


@tree.command()
@RUN
@click.argument("judge", metavar="TREE", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="One row a chain, JSONL.")
@JSON
def apply(run: Path, judge: Path, out: Path, as_json: bool) -> None:
    """Judge the chains of RUN with TREE."""
    from luthier.recipes.chain_judges import apply_judge

    found = apply_judge(run, judge, out)
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    click.echo(
        f"{found['flagged']} of {found['chains']} chains flagged; answers right of flagged {_rate(found['right_flagged'])}, of accepted {_rate(found['right_accepted'])}   {out}"
    )


@click.command("select")
@RUN
@click.option("--strategy", type=click.Choice(STRATEGIES), help="Write this one's answers; the table shows all.")
@click.option("--score", type=click.Choice(SCORES), default="mean", show_default=True, help="The CoP score of cop and weighted.")
@click.option(
    "--tree", "judge", type=click.Path(path_type=Path), help="A tree of `luthier probe tree fit`, for the strategies tree and resample."
)
@click.option("--out", type=click.Path(path_type=Path), help="Answers of --strategy, one row a question, JSONL.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the bootstrap.")
@JSON
def select_chains(run: Path, strategy: str | None, score: Any, judge: Path | None, out: Path | None, seed: int, as_json: bool) -> None:
    """Choose among the chains of each question of RUN, by every strategy: accuracy, difference from majority vote, tokens."""
    from luthier.recipes.chain_judges import answers, compare_strategies
    from luthier.records import write_jsonl

    if (strategy is None) != (out is None):
        raise click.UsageError("--strategy and --out go together: whose answers, and where to")
    if strategy is not None and out is not None:
        click.echo(f"{write_jsonl(out, answers(run, strategy, score=score, tree=judge))} answers   {out}")
        return
    rows = compare_strategies(run, score=score, tree=judge, seed=seed)
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        apart = row["against_vote"]
        told = (
            ""
            if row["strategy"] == "vote"
            else f"   against vote {100 * apart['mean']:+.1f} points ({100 * apart['low']:+.1f} to {100 * apart['high']:+.1f})"
        )
        spent = row["tokens"]
        click.echo(
            f"{row['strategy']:11} {_rate(row['right'])}   {spent['generated']:>9,} tokens written, {spent['probed']:>9,} probed{told}"
        )


@click.command()
@click.argument("data", nargs=-1, required=True, type=click.Path(path_type=str))
@run_options("runs/probe-online")
@_asking
@click.option("--same", type=click.IntRange(min=1), default=2, show_default=True, help="Probes in a row with the same answer.")
@click.option("--margin", type=click.FloatRange(0, 1), default=0.5, show_default=True, help="By which it leads.")
@click.option("--temperature", type=float, default=0.0, show_default=True)
@click.option("--top-p", type=float, default=1.0, show_default=True)
@click.option("--whole/--no-whole", default=True, show_default=True, help="Also write the chains to their end, to compare.")
def online(data: tuple[str, ...], out: Path, as_json: bool, quiet: bool, same: int, margin: float, whole: bool, **settings: Any) -> None:
    """Probe while chains are written, and cut each one once its answer is settled: tokens saved and answers changed."""
    from luthier.cli.progress import Watch
    from luthier.probe.online import EarlyExit
    from luthier.recipes.early_exit import run_online
    from luthier.recipes.probing import ProbeInputs

    with Watch(quiet) as watch:
        record = run_online(
            ProbeInputs(data, **settings), EarlyExit(same, margin), out, shlex.join(["luthier", *sys.argv[1:]]), watch, whole=whole
        )
    if as_json:
        click.echo(json.dumps(record, indent=1, ensure_ascii=False))
        return
    found = record["steps"]["online"]["results"]
    click.echo(
        f"{found['chains']} chains, {found['exited']} of them cut: {found['tokens']:,} tokens written, {found['forwarded']:,} probed; right {_rate(found['right'])}"
    )
    full = found["whole"]
    if full is None:
        return
    apart = full["difference"]
    told = (
        "" if apart is None else f"; difference {100 * apart['mean']:+.1f} points ({100 * apart['low']:+.1f} to {100 * apart['high']:+.1f})"
    )
    click.echo(
        f"whole chains: {full['tokens']:,} tokens ({1 - found['tokens'] / max(1, full['tokens']):.0%} saved); right {_rate(full['right'])};"
        f" same answer {_rate(full['same_answer'])}{told}"
    )


@click.command()
@RUN
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A log of Inspect (.json), for `inspect view`.")
def export(run: Path, out: Path) -> None:
    """Write the traces of RUN as a log of Inspect."""
    from luthier.recipes.chain_judges import inspect_log

    click.echo(f"{inspect_log(run, out)} samples   {out}")


def _rate(rate: dict[str, Any]) -> str:
    return f"{rate['rate']:.1%} ({rate['low']:.0%}–{rate['high']:.0%})" if rate["items"] else "–"
