"""By what an answer was scored, where its file has several scores: one rule for each task, over all files, out of those that all learners share.

lm-evaluation-harness scores a task by several metrics under several filters, Inspect by several scorers whose scores may have keys, EvalPlus by
base tests and by further ones. Two learners differ by what they can only where both were scored by the same rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from luthier.errors import BadRowError, SettingsError

METRICS = ("exact_match", "acc", "pass@1", "pass_at_1", "em", "f1", "acc_norm", "prompt_level_strict_acc", "mc2")
_FIRST = (*METRICS, "plus", "correct", "correctness", "accuracy", "score", "overall")  # what counts where several are shared
_FILTERS = ("none", "strict-match")  # before others; the order of a file says nothing
LOWER = frozenset(
    [
        "wer",
        "cer",
        "ter",
        "mer",
        "brier_score",
        "perplexity",
        "word_perplexity",
        "byte_perplexity",
        "bits_per_byte",
        "loss",
        "nll",
        "mse",
        "mae",
        "rmse",
    ]
)


class Rule(NamedTuple):
    """By what a score was given. metric: of lm-evaluation-harness, a scorer of Inspect, or `plus` and `base` of EvalPlus; key: where a score of
    Inspect has several values."""

    task: str
    metric: str
    filter: str = ""
    key: str = ""

    @property
    def name(self) -> str:
        return f"{self.metric}.{self.key}" if self.key else self.metric

    def __str__(self) -> str:
        return f"{self.name} of the filter {self.filter!r}" if self.filter not in ("", "none") else self.name


Value = float | BadRowError | None  # a score, what is wrong with it, or nothing where it was not scored


class Choice(NamedTuple):
    """The rule that counts for a task. lower: whether less is better, so that an answer is as right as 1 less its value; others: those that
    every learner has too."""

    rule: Rule
    lower: bool = False
    others: tuple[Rule, ...] = ()

    def __str__(self) -> str:
        return f"1 less {self.rule}, of which less is better" if self.lower else str(self.rule)

    def to_row(self) -> dict[str, object]:
        return {**self.rule._asdict(), "lower": self.lower, "others": [str(other) for other in self.others]}


@dataclass(frozen=True)
class Rules:
    """choices: by task; notes: what is to be said of tasks that none counts for."""

    choices: Mapping[str, Choice] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """What counts, in words: the tasks of each rule together."""
        tasks: dict[str, list[str]] = {}
        for task, choice in self.choices.items():
            tasks.setdefault(str(choice), []).append(task)
        return [f"{_some(some)}: scored by {what}" for what, some in tasks.items()]


def _some(tasks: Sequence[str]) -> str:
    return ", ".join(tasks[:3]) + (f" and {len(tasks) - 3} more" if len(tasks) > 3 else "")


class Scored(NamedTuple):
    """Scores of an answer by rule, as a reader gives them."""

    learner: str
    values: Mapping[Rule, Value]


class Wanted(NamedTuple):
    """What the user names, for all tasks that have it or as TASK=NAME: metrics and filters."""

    metrics: tuple[str, ...] = ()
    filters: tuple[str, ...] = ()


NOTHING_WANTED = Wanted()


@dataclass
class _Offer:
    """A rule that was met. scored: by learner how many values lie in [0, 1]; beyond: the value that lies furthest beyond it."""

    rule: Rule
    place: int
    scored: dict[str, int] = field(default_factory=dict)
    wrong: int = 0
    beyond: float | None = None

    def take(self, learner: str, value: Value) -> None:
        if isinstance(value, BadRowError):
            self.wrong += 1
        elif value is not None and 0 <= value <= 1:
            self.scored[learner] = self.scored.get(learner, 0) + 1
        elif value is not None and abs(value) > abs(self.beyond or 0.0):
            self.beyond = value

    @property
    def rank(self) -> tuple[int, ...]:
        """The least comes first: known filters and metrics, then what a file has first."""
        name = self.rule.key or self.rule.metric
        filters = _FILTERS.index(self.rule.filter) if self.rule.filter in _FILTERS else len(_FILTERS)
        metrics = _FIRST.index(name) if name in _FIRST else len(_FIRST)
        return (self.wrong > 0, filters, metrics, not name.endswith("_acc"), self.place)


def choose(answers: Iterable[Scored], directions: Iterable[tuple[Path, str, str, bool]] = (), wanted: Wanted = NOTHING_WANTED) -> Rules:
    """The rule of each task. directions: (file, task, metric, whether higher is better), as the programs' records say.

    Raises SettingsError where learners share no rule, where a name that is wanted is nowhere, and where records disagree.
    """
    offers: dict[str, dict[Rule, _Offer]] = {}
    for one in answers:
        for rule, value in one.values.items():
            of_task = offers.setdefault(rule.task, {})
            if rule not in of_task:
                of_task[rule] = _Offer(rule, len(of_task))
            of_task[rule].take(one.learner, value)
    _check_wanted(wanted, offers)
    lower = _lower(directions)
    choices, notes = dict[str, Choice](), list[str]()
    for task, of_task in offers.items():
        found = _chosen(task, list(of_task.values()), wanted)
        if found is None:
            beyond = [f"{offer.rule} reaches {offer.beyond:g}" for offer in of_task.values() if offer.beyond is not None]
            notes += [f"{task}: {_some(beyond)}, and scores must lie between 0 and 1"] if beyond else []
            continue
        rule = found[0].rule
        known = lower.get((task, rule.metric))
        choices[task] = Choice(rule, rule.metric in LOWER if known is None else known, tuple(other.rule for other in found[1:]))
    return Rules(choices, tuple(notes))


def _chosen(task: str, offers: list[_Offer], wanted: Wanted) -> list[_Offer] | None:
    """The offer that counts, then the others that every learner has; None where none is a score between 0 and 1."""
    learners = dict.fromkeys(name for offer in offers for name in offer.scored if offer.beyond is None)
    fit = [offer for offer in offers if offer.beyond is None]
    named = False
    for kind, names, of in (("--metric", wanted.metrics, _metric_is), ("--filter", wanted.filters, _filter_is)):
        for name in _for_task(task, names):
            if not any(of(offer.rule, name) for offer in offers):
                continue
            if not any(of(offer.rule, name) for offer in fit):
                beyond = next((offer.beyond for offer in offers if of(offer.rule, name) and offer.beyond is not None), None)
                why = "goes with no such metric here" if beyond is None else f"reaches {beyond:g}; scores must lie between 0 and 1"
                raise SettingsError(f"{task}: {kind} {name} {why}")
            fit, named = [offer for offer in fit if of(offer.rule, name)], True
            break
    if not learners:
        wrong = sorted((offer for offer in fit if offer.wrong), key=lambda offer: offer.rank)
        return wrong or None  # its reader says what is wrong with each
    shared = sorted((offer for offer in fit if learners.keys() <= offer.scored.keys()), key=lambda offer: offer.rank)
    if not shared:
        has = {name: [str(offer.rule) for offer in offers if name in offer.scored and offer.beyond is None] for name in learners}
        told = "; ".join(f"{name} by {_some(some)}" for name, some in list(has.items())[:4])
        what = f"what --metric or --filter names does not score all of {_some(list(learners))}" if named else "no score that all share"
        raise SettingsError(f"{task}: {what}; scored are {told}. Leave the task out, or score the models alike")
    return shared


def _metric_is(rule: Rule, name: str) -> bool:
    return name in (rule.metric, rule.name, rule.key)


def _filter_is(rule: Rule, name: str) -> bool:
    return rule.filter == name


def _for_task(task: str, names: Sequence[str]) -> Iterator[str]:
    """The names that are meant for a task, those for it alone first."""
    yield from (name.removeprefix(f"{task}=") for name in names if name.startswith(f"{task}="))
    yield from (name for name in names if "=" not in name)


def _check_wanted(wanted: Wanted, offers: Mapping[str, Mapping[Rule, _Offer]]) -> None:
    """Raises SettingsError for a name that no task has, or not the task it is for."""
    for kind, names, of in (("--metric", wanted.metrics, _metric_is), ("--filter", wanted.filters, _filter_is)):
        for given in names:
            task, equals, name = given.rpartition("=")
            if equals and task not in offers:
                raise SettingsError(
                    f"{kind} {given}: no task {task!r} here that was scored in several ways; tasks are {_some(list(offers))}"
                )
            rules = [rule for each in ([task] if equals else offers) for rule in offers[each]]
            if not any(of(rule, name) for rule in rules):
                known = list(dict.fromkeys(rule.name if kind == "--metric" else rule.filter or "none" for rule in rules))
                has = f"there are {', '.join(known[:8])}" if known else "the results say none"
                raise SettingsError(f"{kind} {given}: nothing here was scored by it; {has}")


def _lower(directions: Iterable[tuple[Path, str, str, bool]]) -> dict[tuple[str, str], bool]:
    """Whether less is better, by task and metric."""
    found: dict[tuple[str, str], tuple[bool, Path]] = {}
    for path, task, metric, higher in directions:
        known, where = found.setdefault((task, metric), (higher, path))
        if known != higher:
            raise SettingsError(
                f"{task}: higher_is_better of {metric} is {str(known).lower()} in {where} and {str(higher).lower()} in {path}"
            )
    return {key: not higher for key, (higher, _) in found.items()}
