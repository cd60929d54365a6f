"""What is done with probed chains: fit a tree that judges them, apply it, compare ways of choosing among them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.errors import SettingsError
from luthier.recipes.probing import read_record, read_traces
from luthier.recipes.progress import Progress, quiet
from luthier.records import JSON, write_jsonl

if TYPE_CHECKING:
    from luthier.probe.judge import Growth
    from luthier.probe.trace import ChainTrace, ScoreKind

LABELS = ("recorded", "equations", "judge")


@dataclass(frozen=True)
class JudgeModel:
    """The model that labels chains: a transformers folder, or with `endpoint` a served one. api_key is not written anywhere."""

    model: str
    endpoint: str | None = None
    api_key: str | None = None


def fit_judge(
    run: Path,
    out: Path,
    labels: str = "recorded",
    *,
    judge: JudgeModel | None = None,
    growth: Growth | None = None,
    progress: Progress = quiet,
) -> JSON:
    """Fit a tree on the chains of a probed run, save it as JSON, and return what it measured on questions it had not seen.

    labels: `recorded` (a field `wrong` of the chains, as `--inject` writes it), `equations` (those of a chain, re-computed) or `judge`
    (another model's verdict). Chains without a label are left out and counted.
    Raises SettingsError.
    """
    from luthier.probe.choosing import held
    from luthier.probe.judge import ChainJudge
    from luthier.statistics.ranks import area_under_curve
    from luthier.statistics.rates import wilson

    traces = read_traces(run)
    wrong = _labels(traces, labels, run, judge, progress)
    kept = [(trace, bool(mark)) for trace, mark in zip(traces, wrong, strict=True) if mark is not None]
    if not kept:
        ways = {
            "recorded": "probe with --inject, or give the chains a field `wrong`",
            "equations": "no chain has an equation to re-compute",
        }
        raise SettingsError(f"{run}: no chain has a label; {ways.get(labels, 'the judge gave no verdict')}")
    marks = [mark for _, mark in kept]
    tree = ChainJudge.fit([trace for trace, _ in kept], marks, growth=growth)
    tree.save(out)
    found = tree.validation
    right = [mark for trace, mark in kept if trace.question.answer is not None and held(trace) == trace.question.answer]
    return {
        "labels": labels,
        "chains": len(kept),
        "without_label": len(traces) - len(kept),
        "wrong": sum(marks),
        "threshold": tree.threshold,
        "f1": found["f1"],
        "area": area_under_curve(tree.held_out or [], marks),
        "precision": wilson(found["flagged_wrong"], found["flagged"]).to_row(),
        "recall": wilson(found["flagged_wrong"], found["wrong"]).to_row(),
        "flagged": wilson(found["flagged"], found["chains"]).to_row(),
        "base_rate": sum(marks) / len(marks),
        "wrong_of_right": wilson(sum(right), len(right)).to_row(),
        "rules": tree.rules(),
    }


def apply_judge(run: Path, tree: Path, out: Path) -> JSON:
    """Write for each chain of a run the tree's probability of "wrong" and whether it is flagged; returns the counts."""
    from luthier.probe.judge import ChainJudge
    from luthier.statistics.rates import wilson

    judge, traces = ChainJudge.load(tree), read_traces(run)
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
    write_jsonl(out, rows)
    flagged = [row for row in rows if row["flagged"]]
    accepted = [row for row in rows if not row["flagged"]]
    return {
        "chains": len(rows),
        "flagged": len(flagged),
        "right_flagged": wilson(sum(bool(row["right_answer"]) for row in flagged), len(flagged)).to_row(),
        "right_accepted": wilson(sum(bool(row["right_answer"]) for row in accepted), len(accepted)).to_row(),
    }


def compare_strategies(run: Path, *, score: ScoreKind = "mean", tree: Path | None = None, seed: int = 0) -> list[JSON]:
    """Every strategy on the chains of a run: accuracy with its interval, the paired difference from majority vote, and tokens.

    `cop-mix` is the fitted score, each half of the questions with weights from the other. Raises SettingsError where no answer is known, or
    no question has two chains.
    """
    import numpy as np

    from luthier.probe.choosing import STRATEGIES, Tokens, by_question, chosen_right, tokens_spent
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
        {
            "strategy": name,
            "score": score if name in ("cop", "weighted") else None,
            "right": wilson(sum(right), len(right)).to_row(),
            "against_vote": paired(vote, np.array(right, dtype=float), seed=seed).to_row(),
            "tokens": tokens._asdict(),
        }
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


def inspect_log(run: Path, out: Path) -> int:
    """The chains of a run as a log of Inspect, whose score is the CoP score `mean`; returns their number."""
    from luthier.probe.chain import letter
    from luthier.probe.trace import measures
    from luthier.records.inspect_logs import write_inspect_log

    record, traces = read_record(run), read_traces(run)
    samples = [
        {
            "question": trace.question.question,
            "options": trace.question.options,
            "chain": trace.chain,
            "held": letter(trace.final),
            "answer": None if trace.question.answer is None else letter(trace.question.answer),
            "score": trace.score("mean"),
            "metadata": {**measures(trace), "conf": trace.conf.tolist(), "mass": trace.mass.tolist(), "steps": list(trace.steps)},
        }
        for trace in traces
    ]
    write_inspect_log(out, samples, task="chain_of_probe", model=record["settings"]["model"], created=record["started"])
    return len(samples)


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


def _labels(traces: Sequence[ChainTrace], labels: str, run: Path, judge: JudgeModel | None, progress: Progress) -> list[bool | None]:
    from luthier.probe.labels import equations_hold

    if labels not in LABELS:
        raise SettingsError(f"labels are {labels!r}; choose one of {', '.join(LABELS)}")
    if labels == "recorded":
        return [trace.extra.get("wrong") if isinstance(trace.extra.get("wrong"), bool) else None for trace in traces]
    if labels == "equations":
        holds = [equations_hold(trace.chain) for trace in traces]
        return [None if each is None else not each for each in holds]
    if judge is None:
        raise SettingsError("labels by a judge need a model: name it with --judge (a folder, or a served model)")
    return _judged(traces, run, judge, progress)


def _judged(traces: Sequence[ChainTrace], run: Path, judge: JudgeModel, progress: Progress) -> list[bool | None]:
    from luthier.models.endpoint import EndpointModel
    from luthier.models.replay import RecordingModel
    from luthier.probe.labels import judged_wrong
    from luthier.recipes.tools import open_model

    engine = open_model(judge.model) if judge.endpoint is None else EndpointModel(judge.endpoint, judge.model, judge.api_key)
    journal = (run if run.is_dir() else run.parent) / f"verdicts-{hashlib.sha256(engine.name.encode()).hexdigest()[:8]}.jsonl"
    progress.step("judge", len(traces))
    with RecordingModel(engine, journal) as recording:
        return judged_wrong(recording, [trace.question for trace in traces], [trace.chain for trace in traces], progress.advance)
