"""Does a dynamic temperature help at equal mean temperature? Samples every arm on the same contexts with the same draws, and compares in pairs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from luthier.decode.arms import Arm, Bench, dds_for, expected, matched
from luthier.decode.labels import Label
from luthier.decode.measures import measure
from luthier.decode.samplers import read_sampler
from luthier.decode.sampling import sample_replies
from luthier.decode.similarity import StateEncoder, mean_similarity
from luthier.models.local import LocalModel
from luthier.models.protocol import Prompt
from luthier.records import JSON, Journal
from luthier.statistics.ranks import area_under_curve, spearman
from luthier.statistics.resampling import Estimate, bootstrap_statistic

if TYPE_CHECKING:
    import numpy as np

CHAT, FACT = ("distinct_2", "diversity", "self_bleu"), ("correct", "consistency", "likeness")
CONTEXTS_AT_ONCE = 16  # drawn and then written down


@dataclass(frozen=True)
class Draws:
    """How replies are drawn: m to each context, at an expected mean temperature."""

    target: float = 0.8
    m: int = 3
    max_tokens: int = 24
    seed: int = 0


@dataclass(frozen=True)
class ArmResult:
    """One arm: its base temperature, and a row of measures for each context, by the context's place."""

    arm: Arm
    t0: float
    rows: dict[int, JSON]

    def mean_temperature(self, labels: Sequence[Label], kind: str | None = None) -> float:
        """Realised, over tokens of a context, then over contexts (of one kind)."""
        chosen = [at for at in self.rows if kind is None or labels[at].context.kind == kind]
        return sum(float(self.rows[at]["temperature"]) for at in chosen) / max(1, len(chosen))


@dataclass(frozen=True)
class ArmSummary:
    """Of one arm: means with intervals over `contexts` of them (None where a measure has no values), expected and realised mean temperature,
    and the realised one on each kind of context."""

    arm: Arm
    t0: float
    contexts: int
    measures: dict[str, Estimate | None]
    expected: float
    realised: float
    by_kind: dict[str, float]

    def to_row(self) -> JSON:
        return {
            "name": self.arm.name,
            **asdict(self.arm),
            "t0": self.t0,
            "contexts": self.contexts,
            "measures": _rows(self.measures),
            "temperature": {"expected": self.expected, "realised": self.realised, **self.by_kind},
        }


@dataclass(frozen=True)
class ArmDifference:
    """Mean of each measure of arm `one` less arm `other` on the same contexts; None where they share none."""

    one: str
    other: str
    measures: dict[str, Estimate | None]

    def to_row(self) -> JSON:
        return {"one": self.one, "other": self.other, "measures": _rows(self.measures)}


class Order(NamedTuple):
    """How a head and the entropy of the first token order contexts, by Spearman's rank correlation; lead: head less entropy."""

    head: Estimate
    entropy: Estimate
    lead: Estimate


@dataclass(frozen=True)
class Agreement:
    """How contexts are ordered, by what they are compared with and the part of them (`target/chat`); and how the kinds are told apart,
    by the area under the curve of the head and of the entropy."""

    orders: dict[str, Order]
    auc: dict[str, Estimate]

    def to_row(self) -> JSON:
        orders = {name: {side: one._asdict() for side, one in order._asdict().items()} for name, order in self.orders.items()}
        return orders | {"auc": _rows(self.auc)}


@dataclass(frozen=True)
class Trial:
    """The model whose replies are judged, what compares them, the contexts with their features, and how replies are drawn."""

    model: LocalModel
    encoder: StateEncoder
    bench: Bench
    draws: Draws


def run_arm(trial: Trial, arm: Arm, places: Sequence[int], journal: Path, progress: Callable[[int], None] | None = None) -> ArmResult:
    """Sample and measure the contexts at `places`; what the journal holds already is not drawn again."""
    bench = trial.bench
    t0 = matched(arm, bench, trial.draws.target, places)
    told = json.dumps([asdict(arm), asdict(trial.draws), round(t0, 6), trial.model.name], sort_keys=True)
    key = hashlib.sha256(told.encode()).hexdigest()[:16]
    rows: dict[int, JSON] = {}
    with Journal(journal, ("arm", "name", "context", "measures")) as kept:
        found = {row["context"]: row["measures"] for row in kept if row["arm"] == key}
        rows |= {at: found[name] for at in places if (name := bench.labels[at].context.key) in found}
        if progress is not None and rows:
            progress(len(rows))
        for group in _groups(arm, bench, places):
            for start in range(0, len(group), CONTEXTS_AT_ONCE):
                chosen = group[start : start + CONTEXTS_AT_ONCE]
                fresh = [at for at in chosen if at not in rows]
                if not fresh:
                    continue
                # Drawn with all its batch wherever a run was stopped: the last digits depend on what is computed beside.
                for at, measures in zip(chosen, _draw(trial, arm, t0, chosen), strict=True):
                    if at in fresh:
                        rows[at] = measures
                        name = bench.labels[at].context.key
                        kept.append({"arm": key, "name": arm.name, "context": name, "measures": measures})
                if progress is not None:
                    progress(len(fresh))
    return ArmResult(arm, t0, rows)


def _groups(arm: Arm, bench: Bench, places: Sequence[int]) -> list[list[int]]:
    """Places that are decoded alike: the folds of a head, the kinds of the oracle."""
    groups: dict[object, list[int]] = {}
    for at in places:
        context = bench.labels[at].context
        outcome = bench.heads[arm.head].outcome if arm.source == "head" else None
        same = context.kind if arm.source == "oracle" else None if outcome is None else outcome.folds.get(context.key)
        groups.setdefault(same, []).append(at)
    return list(groups.values())


def _draw(trial: Trial, arm: Arm, t0: float, places: Sequence[int]) -> list[JSON]:
    bench, draws = trial.bench, trial.draws
    prompts = [Prompt(bench.labels[at].context.messages) for at in places for _ in range(draws.m)]
    replies = sample_replies(
        trial.model,
        prompts,
        dds_for(arm, bench, t0, places[0]),
        max_tokens=draws.max_tokens,
        truncation=read_sampler(arm.sampler),
        seed=draws.seed,
        numbers=[at * draws.m + one for at in places for one in range(draws.m)],
    )
    made = []
    for number, at in enumerate(places):
        mine = replies[number * draws.m : (number + 1) * draws.m]
        texts, context = [reply.text for reply in mine], bench.labels[at].context
        told: JSON = measure(context, texts)
        likeness = mean_similarity(trial.encoder.encode(texts))
        told |= {"diversity": 1 - likeness} if context.kind == "chat" else {"likeness": likeness}
        told["temperature"] = sum(reply.mean_temperature for reply in mine) / len(mine)
        told["tokens"] = sum(len(reply.tokens) for reply in mine) / len(mine)
        told["replies"] = texts
        made.append(told)
    return made


def summarise(result: ArmResult, bench: Bench) -> ArmSummary:
    """What an arm did, over its contexts."""
    measures: dict[str, Estimate | None] = {}
    for name in (*CHAT, *FACT, "repetition"):
        values = [row[name] for row in result.rows.values() if name in row]
        measures[name] = mean_interval(values) if values else None
    places = list(result.rows)
    return ArmSummary(
        arm=result.arm,
        t0=result.t0,
        contexts=len(places),
        measures=measures,
        expected=float(expected(result.arm, bench, result.t0)[places].mean()),
        realised=result.mean_temperature(bench.labels),
        by_kind={kind: result.mean_temperature(bench.labels, kind) for kind in ("chat", "fact")},
    )


def compare(one: ArmResult, other: ArmResult) -> ArmDifference:
    """Paired differences `one` less `other` on the contexts both have, with bootstrap intervals."""
    measures: dict[str, Estimate | None] = {}
    for name in (*CHAT, *FACT):
        pairs = [row[name] - other.rows[at][name] for at, row in one.rows.items() if at in other.rows and name in row]
        measures[name] = mean_interval(pairs) if pairs else None
    return ArmDifference(one.arm.name, other.arm.name, measures)


def _rows(estimates: Mapping[str, Estimate | None]) -> JSON:
    return {name: None if one is None else one._asdict() for name, one in estimates.items()}


def mean_interval(values: Sequence[float]) -> Estimate:
    import numpy as np

    numbers = np.array(values)
    return bootstrap_statistic(lambda at: float(numbers[at].mean()), range(len(numbers)))


def agreement(scores: Sequence[float], labels: Sequence[Label], wanted: Sequence[float], entropy: Sequence[float]) -> Agreement:
    """How a head's out-of-fold scores and the entropy of the first token order the contexts: within each kind, in all, between kinds.

    wanted: the targets the head was fitted to. Spearman against them and against the diversity of the sampled replies; intervals over
    contexts; `lead` is head less entropy.
    """
    import numpy as np

    kinds = np.array([label.context.kind == "chat" for label in labels])
    sampled = [label.sampled for label in labels]
    sides = {"target": np.array(wanted)}
    if all(value is not None for value in sampled):
        sides["sampled"] = np.array(sampled, dtype=float)
    by = {"head": np.array(scores), "entropy": np.array(entropy)}
    orders: dict[str, Order] = {}
    for side, values in sides.items():
        for part, rows in (("chat", kinds), ("fact", ~kinds), ("all", np.ones(len(kinds), dtype=bool))):
            ranked = {name: _rank(each[rows], values[rows]) for name, each in by.items()}
            orders[f"{side}/{part}"] = Order(**ranked, lead=_lead(by["head"][rows], by["entropy"][rows], values[rows]))
    return Agreement(orders, {name: bootstrap_statistic(_auc_of(each, kinds), range(len(kinds))) for name, each in by.items()})


def _rank(scores: np.ndarray, values: np.ndarray) -> Estimate:
    return bootstrap_statistic(lambda at: spearman(scores[at], values[at]), range(len(scores)))


def _lead(one: np.ndarray, other: np.ndarray, values: np.ndarray) -> Estimate:
    def difference(at: np.ndarray) -> float | None:
        a, b = spearman(one[at], values[at]), spearman(other[at], values[at])
        return None if a is None or b is None else a - b

    return bootstrap_statistic(difference, range(len(values)))


def _auc_of(scores: np.ndarray, kinds: np.ndarray) -> Callable[[np.ndarray], float | None]:
    return lambda at: area_under_curve(scores[at], kinds[at])
