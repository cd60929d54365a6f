"""The search of problems, side by side: strategies yield what they want, and one model and one sandbox answer it.

Nothing is asked that the budget does not allow. Answers and verdicts go through journals where a folder is given, so the same call replays
to where it was stopped and goes on. Private tests are not here: a strategy is given a `Posed` problem, which has none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.models.asking import Answerer, Talk, side_by_side
from luthier.models.budget import Ledger, Spent, most_tokens
from luthier.models.protocol import Completion, LanguageModel
from luthier.records import JSON
from luthier.records.problems import Problem
from luthier.search.inputs import varied
from luthier.search.journals import Answers, Verdicts
from luthier.search.problem import Posed, posed
from luthier.search.reward import Candidate
from luthier.search.settings import SearchSettings
from luthier.search.steps import Search, vote
from luthier.search.strategies import STRATEGIES
from luthier.search.tree import Node, tree_row
from luthier.search.wants import Asks, Say, Steps, Timed, Trials

if TYPE_CHECKING:
    from luthier.sandbox import Sandbox

ANSWERS, VERDICTS = "answers.jsonl", "verdicts.jsonl"


@dataclass(frozen=True)
class Solved:
    """What a search came to. program: the chosen one, "" where none was written; candidates: every program, with its reward.

    stopped: why it ended; counts: what of the model's answers could not be read; asked: calls by kind.
    """

    task: str
    program: str
    answer: Candidate | None
    tree: Node
    candidates: tuple[Candidate, ...]
    spent: Spent
    stopped: str
    counts: Mapping[str, int]
    asked: Mapping[str, int]

    @property
    def passes(self) -> bool:
        """Whether the chosen program passes the public tests."""
        return self.answer is not None and self.answer.passes

    def to_row(self) -> JSON:
        return {
            "task": self.task,
            "program": self.program,
            "answer": self.answer.number if self.answer else None,
            "passes_public": self.passes,
            "candidates": len(self.candidates),
            "spent": self.spent.to_row(),
            "stopped": self.stopped,
            "counts": dict(self.counts),
            "asked": dict(self.asked),
            "tree": tree_row(self.tree),
        }


def solve(
    problem: Posed | Problem,
    model: LanguageModel,
    sandbox: Sandbox,
    settings: SearchSettings | None = None,
    *,
    folder: Path | str | None = None,
    strict: bool = False,
) -> Solved:
    """Search a program for one problem. folder: where answers and verdicts are kept, so that a stopped search continues; strict: only they are used.

    Raises SettingsError for a problem without public tests, EngineError where the model cannot answer, SandboxError.
    """
    return solve_all([problem], model, sandbox, settings, folder=folder, strict=strict)[0]


def solve_all(
    problems: Iterable[Posed | Problem],
    model: LanguageModel,
    sandbox: Sandbox,
    settings: SearchSettings | None = None,
    *,
    folder: Path | str | None = None,
    strict: bool = False,
    at_once: int = 16,
    ended: Callable[[int, Solved], None] | None = None,
) -> list[Solved]:
    """Search programs for many problems, `at_once` at a time, in their order. ended: called with the place and result of each that ends."""
    chosen = settings or SearchSettings()
    given = [posed(problem) if isinstance(problem, Problem) else problem for problem in problems]
    places = [Path(folder) / name if folder else None for name in (ANSWERS, VERDICTS)]
    with Answers(model, places[0], strict=strict) as answers, Verdicts(sandbox, places[1], strict=strict) as verdicts:
        return search_all(given, chosen, answers.answer, verdicts.answer, at_once=at_once, ended=ended, count=answers.count)


def search_all(
    problems: Sequence[Posed],
    settings: SearchSettings,
    ask: Callable[[Sequence[Say]], Sequence[Timed]],
    run: Callable[[Sequence[Trials]], Sequence[Sequence[Timed]]],
    *,
    at_once: int = 16,
    ended: Callable[[int, Solved], None] | None = None,
    count: Callable[[Say], int] | None = None,
    steps: Callable[[Search], Steps[None]] | None = None,
) -> list[Solved]:
    """The same with the answers of anything: `ask` answers what is said, `run` what is tried on a problem.

    count: the most tokens that a prompt can be. steps: in place of those of the settings' strategy.
    """
    own = steps or STRATEGIES[settings.strategy]
    talks = (_metered(Search(problem, settings, Ledger(settings.limits, settings.prices)), own, count) for problem in problems)
    answerers: dict[type, Answerer] = {Trials: run, Asks: lambda wants: _ask(wants, ask)}
    return side_by_side(talks, answerers, at_once=at_once, ended=ended)


def _ask(wants: Sequence[Asks], ask: Callable[[Sequence[Say]], Sequence[Timed]]) -> list[list[Timed]]:
    answers = iter(ask([say for want in wants for say in want.says]))
    return [[next(answers) for _ in want.says] for want in wants]


def _metered(search: Search, own: Callable[[Search], Steps[None]], count: Callable[[Say], int] | None) -> Talk[Solved]:
    """A strategy within its budget: it is closed when nothing more of what it wants can be paid for."""
    yield from _within(search, own(search), count or _most)
    if search.settings.tie_break == "inputs" and not search.votes:
        yield from _within(search, vote(search, varied(search.problem)), count or _most)
    return _solved(search)


def _most(say: Say) -> int:
    return most_tokens(say.prompt)


def _within(search: Search, steps: Steps[None], count: Callable[[Say], int]) -> Steps[None]:
    answer: Any = None
    try:
        while True:
            try:
                wanted = steps.send(answer)
            except StopIteration:
                return
            wants = wanted if isinstance(wanted, tuple) else (wanted,)
            if all(isinstance(want, Say) for want in wants):
                answers = yield from _asked(search, wants, count)
            else:
                timed = yield Trials(search.problem, wants)
                for each in timed:
                    search.ledger.run(each.seconds)
                answers = [each.answer for each in timed]
            if wants and all(each is None for each in answers):
                return
            answer = tuple(answers) if isinstance(wanted, tuple) else answers[0]
    finally:
        steps.close()


def _asked(search: Search, says: Sequence[Say], count: Callable[[Say], int]) -> Steps[list[Completion | None]]:
    """Ask what can be paid for, in its order; None for the rest."""
    ledger = search.ledger
    bounds = [count(say) + ledger.extra for say in says]
    granted = [place for place, say in enumerate(says) if ledger.reserve(bounds[place], say.sampling.max_tokens)]
    for place, say in enumerate(says):
        if place not in granted:
            search.kinds[say.kind] -= 1
    if not granted:
        return [None] * len(says)
    timed: Sequence[Timed] = yield Asks(tuple(says[place] for place in granted))
    answers: list[Completion | None] = [None] * len(says)
    for place, each in zip(granted, timed, strict=True):
        answers[place] = each.answer
        ledger.settle(bounds[place], says[place].sampling.max_tokens, each.answer, each.seconds)
        if each.answer.finish == "length":
            search.counts[f"{says[place].kind}: cut off"] += 1
        ledger.extra += max(0, each.answer.prompt_tokens - bounds[place])
    ledger.end_of_round(max(each.seconds for each in timed))
    return answers


def _solved(search: Search) -> Solved:
    answer = search.answer
    stopped = search.finished or (f"budget: {search.ledger.stopped}" if search.ledger.stopped else "nothing more to do")
    return Solved(
        search.problem.task,
        answer.program if answer else "",
        answer,
        search.root,
        tuple(search.candidates),
        replace(search.ledger.spent),
        stopped,
        dict(search.counts),
        {kind: number for kind, number in search.kinds.items() if number > 0},
    )
