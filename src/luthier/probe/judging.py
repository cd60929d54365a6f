"""What is done with probed chains: fit a tree that judges them, apply it, compare ways of choosing among them, write them for Inspect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.errors import SettingsError
from luthier.probe.runs import journal_name, read_traces
from luthier.probe.settings import ChoosingSettings, ExportSettings, TreeApplySettings, TreeFitSettings
from luthier.progress import Progress, quiet
from luthier.records import JSON, write_jsonl
from luthier.records.files import refuse_taken
from luthier.report.wording import Told, points, rate
from luthier.run.record import RunRecord

if TYPE_CHECKING:
    from luthier.probe.chain_trace import ChainTrace, ScoreKind
    from luthier.probe.choosing import Tokens
    from luthier.statistics.rates import Rate
    from luthier.statistics.resampling import Difference


def fit_tree(settings: TreeFitSettings, progress: Progress = quiet) -> Told:
    """Fit a tree on the chains of a probed run, save it as JSON, and tell what it measured on questions it had not seen.

    labels: `recorded` (a field `wrong` of the chains, as `--inject` writes it), `equations` (those of a chain, re-computed) or `judge`
    (another model's verdict). Chains without a label are left out and counted. Raises SettingsError.
    """
    from luthier.probe.choosing import held
    from luthier.probe.judge import ChainJudge, Growth
    from luthier.statistics.ranks import area_under_curve
    from luthier.statistics.rates import wilson

    refuse_taken(settings.out, replace=progress.replace)
    traces = read_traces(Path(settings.run))
    wrong = _labels(traces, settings, progress)
    kept = [(trace, bool(mark)) for trace, mark in zip(traces, wrong, strict=True) if mark is not None]
    if not kept:
        ways = {
            "recorded": "probe with --inject, or give the chains a field `wrong`",
            "equations": "no chain has an equation to re-compute",
        }
        raise SettingsError(f"{settings.run}: no chain has a label; {ways.get(settings.labels, 'the judge gave no verdict')}")
    marks = [mark for _, mark in kept]
    growth = Growth(depth=settings.depth, least=settings.least, seed=settings.seed)
    tree = ChainJudge.fit([trace for trace, _ in kept], marks, growth=growth)
    tree.save(Path(settings.out))
    right = [mark for trace, mark in kept if trace.question.answer is not None and held(trace) == trace.question.answer]
    checked = tree.validation
    found = {
        "labels": settings.labels,
        "chains": len(kept),
        "without_label": len(traces) - len(kept),
        "wrong": sum(marks),
        "threshold": tree.threshold,
        "f1": checked["f1"],
        "area": area_under_curve(tree.held_out or [], marks),
        "precision": wilson(checked["flagged_wrong"], checked["flagged"]).to_row(),
        "recall": wilson(checked["flagged_wrong"], checked["wrong"]).to_row(),
        "flagged": wilson(checked["flagged"], checked["chains"]).to_row(),
        "base_rate": sum(marks) / len(marks),
        "wrong_of_right": wilson(sum(right), len(right)).to_row(),
        "rules": tree.rules(),
    }
    return Told(_told_tree(found, settings.out), found)


def _told_tree(found: JSON, out: str) -> list[str]:
    area = "–" if found["area"] is None else f"{found['area']:.2f}"
    counts = f"{found['chains']} chains, {found['wrong']} wrong ({found['without_label']} without a label left out)"
    unseen = f"flagged {rate(found['flagged'])}, precision {rate(found['precision'])}, recall {rate(found['recall'])}, F1 {found['f1']:.2f}"
    said = [str(found["rules"]), f"{counts}; on unseen questions: {unseen}, area under the curve {area}   {out}"]
    if found["wrong_of_right"]["items"]:
        said.append(f"of the chains with right answers, wrong in themselves: {rate(found['wrong_of_right'])}")
    return said


def apply_tree(settings: TreeApplySettings, progress: Progress = quiet) -> Told:
    """Write for each chain of a run the tree's probability of "wrong" and whether it is flagged; tells the counts."""
    from luthier.probe.judge import ChainJudge
    from luthier.statistics.rates import wilson

    refuse_taken(settings.out, [settings.tree], replace=progress.replace)
    judge, traces = ChainJudge.load(Path(settings.tree)), read_traces(Path(settings.run))
    rows = [
        {
            "question": trace.question.question,
            "number": trace.number,
            "wrong": judge.predict(trace),
            "flagged": not judge.accepts(trace),
            "right_answer": trace.right,
            "chain": trace.chain,
        }
        for trace in traces
    ]
    write_jsonl(settings.out, rows)
    flagged, accepted = ([row for row in rows if row["flagged"] is side] for side in (True, False))
    found = {
        "chains": len(rows),
        "flagged": len(flagged),
        "right_flagged": wilson(sum(bool(row["right_answer"]) for row in flagged), len(flagged)).to_row(),
        "right_accepted": wilson(sum(bool(row["right_answer"]) for row in accepted), len(accepted)).to_row(),
    }
    right = f"of flagged {rate(found['right_flagged'])}, of accepted {rate(found['right_accepted'])}"
    return Told([f"{len(flagged)} of {len(rows)} chains flagged; answers right {right}   {settings.out}"], found)


def choose_chains(settings: ChoosingSettings, progress: Progress = quiet) -> Told:
    """Every strategy on the chains of a run, or with `strategy` its answers in the file `out`."""
    run, tree = Path(settings.run), None if settings.tree is None else Path(settings.tree)
    if settings.out is not None:
        refuse_taken(settings.out, filter(None, [settings.tree]), replace=progress.replace)
        count = write_jsonl(settings.out, answers(run, settings.strategy, score=settings.score, tree=tree))
        return Told([f"{count} answers   {settings.out}"], {"answers": count, "out": settings.out})
    rows = compare_strategies(run, score=settings.score, tree=tree, seed=settings.seed)
    said = []
    for row in rows:
        against = "" if row.strategy == "vote" else f"   against vote {points(row.against_vote.to_row())}"
        spent = f"{row.tokens.generated:>9,} tokens written, {row.tokens.probed:>9,} probed"
        said.append(f"{row.strategy:11} {rate(row.right.to_row())}   {spent}{against}")
    return Told(said, [row.to_row() for row in rows])


@dataclass(frozen=True)
class StrategyRow:
    """How often one way of choosing among chains is right, how much oftener than majority vote, and what it reads. score: the one it uses."""

    strategy: str
    score: ScoreKind | None
    right: Rate
    against_vote: Difference
    tokens: Tokens

    def to_row(self) -> JSON:
        return asdict(self) | {"tokens": self.tokens._asdict()}


def compare_strategies(run: Path, *, score: ScoreKind = "mean", tree: Path | None = None, seed: int = 0) -> list[StrategyRow]:
    """Every strategy on the chains of a run: accuracy with its interval, the paired difference from majority vote, and tokens.

    `cop-mix` is the fitted score, each half of the questions with weights from the other. Raises SettingsError where no answer is known, or
    no question has two chains.
    """
    import numpy as np

    from luthier.probe.choosing import STRATEGIES, by_question, chosen_right, tokens_spent
    from luthier.probe.judge import ChainJudge
    from luthier.statistics.rates import wilson
    from luthier.statistics.resampling import paired

    traces = [trace for trace in read_traces(run) if trace.question.answer is not None]
    questions = by_question(traces)
    if not any(len(each) > 1 for each in questions):
        raise SettingsError(f"{run}: no question with a known answer has two chains; probe with --samples 5, say")
    judge = None if tree is None else ChainJudge.load(tree)
    judged: list[tuple[str, list[bool], Tokens]] = []
    for strategy in STRATEGIES:
        if strategy in ("tree", "resample") and judge is None:
            continue
        judged.append((strategy, chosen_right(questions, strategy, score=score, judge=judge), tokens_spent(questions, strategy, judge)))
    mixed = _mixed(questions, seed)
    if mixed is not None:
        judged.append(("cop-mix", mixed, tokens_spent(questions, "cop")))
    vote = np.array(next(right for name, right, _ in judged if name == "vote"), dtype=float)
    return [
        StrategyRow(
            strategy=name,
            score=score if name in ("cop", "weighted") else None,
            right=wilson(sum(right), len(right)),
            against_vote=paired(vote, np.array(right, dtype=float), seed=seed),
            tokens=tokens,
        )
        for name, right, tokens in judged
    ]


def answers(run: Path, strategy: Any, *, score: ScoreKind = "mean", tree: Path | None = None) -> list[JSON]:
    """The strategy's answer to each question of a run, in the questions' order."""
    from luthier.probe.choosing import by_question, choose
    from luthier.probe.judge import ChainJudge

    judge = None if tree is None else ChainJudge.load(tree)
    rows = []
    for each in by_question(read_traces(run)):
        place = choose(each, strategy, score=score, judge=judge)
        asked = each[0].question
        right = None if asked.answer is None else place == asked.answer
        rows.append(
            {
                "question": asked.question,
                "options": list(asked.options),
                "chosen": place,
                "text": asked.options[place],
                "answer": asked.answer,
                "right": right,
                "chains": len(each),
            }
        )
    return rows


def inspect_log(settings: ExportSettings, progress: Progress = quiet) -> Told:
    """Write the chains of a run as a log of Inspect, whose score is the CoP score `mean`."""
    from luthier.probe.chain import letter
    from luthier.probe.chain_trace import measures
    from luthier.records.inspect_logs import write_inspect_log

    refuse_taken(settings.out, replace=progress.replace)
    record, traces = RunRecord.read(settings.run, "probe run"), read_traces(Path(settings.run))
    samples = [
        {
            "question": trace.question.question,
            "options": trace.question.options,
            "chain": trace.chain,
            "held": letter(trace.final),
            "answer": None if trace.question.answer is None else letter(trace.question.answer),
            "score": trace.score("mean"),
            "metadata": {**measures(trace).to_row(), "conf": trace.conf.tolist(), "mass": trace.mass.tolist(), "steps": list(trace.steps)},
        }
        for trace in traces
    ]
    out = Path(settings.out)
    write_inspect_log(out, samples, task="chain_of_probe", model=record.settings["model"], created=record.record["started"])
    return Told([f"{len(samples)} samples   {out}"], {"samples": len(samples), "out": settings.out})


def _mixed(questions: Sequence[Sequence[ChainTrace]], seed: int) -> list[bool] | None:
    from luthier.probe.choosing import chosen_right, fit_mix
    from luthier.probe.judge import grouped_folds

    folds = grouped_folds([each[0].question.question for each in questions], 2, seed)
    right: dict[int, bool] = {}
    for fold in (0, 1):
        train = [trace for each, at in zip(questions, folds, strict=True) if at != fold for trace in each]
        test = [number for number, at in enumerate(folds) if at == fold]
        try:
            mix = fit_mix(train)
        except SettingsError:
            return None
        right |= dict(zip(test, chosen_right([questions[number] for number in test], "cop", score="mix", mix=mix), strict=True))
    return [right[number] for number in range(len(questions))]


def _labels(traces: Sequence[ChainTrace], settings: TreeFitSettings, progress: Progress) -> list[bool | None]:
    from luthier.probe.labels import equations_hold

    if settings.labels == "recorded":
        return [trace.extra.get("wrong") if isinstance(trace.extra.get("wrong"), bool) else None for trace in traces]
    if settings.labels == "equations":
        holds = [equations_hold(trace.chain) for trace in traces]
        return [None if each is None else not each for each in holds]
    if settings.judge is None:
        raise SettingsError("labels by a judge need a model: name it with --judge (a folder, or a served model)")
    return _judged(traces, settings, progress)


def _judged(traces: Sequence[ChainTrace], settings: TreeFitSettings, progress: Progress) -> list[bool | None]:
    from luthier.models.opening import open_model
    from luthier.models.replay import RecordingModel
    from luthier.probe.labels import judged_wrong

    run, asked = Path(settings.run), settings.beside(settings.judge_endpoint)
    engine = open_model(settings.judge or "", endpoint=settings.judge_endpoint, **asked)
    journal = (run if run.is_dir() else run.parent) / journal_name("verdicts", engine.name)
    progress.step("Judging chains", len(traces))
    with RecordingModel(engine, journal) as recording:
        return judged_wrong(recording, [trace.question for trace in traces], [trace.chain for trace in traces], progress.advance)
