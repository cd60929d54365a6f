"""What every strategy is made of: one search as it stands, and the steps that write, judge, explain and keep a program.

A strategy is a generator of wants. It sees a problem without its private tests, and never a model or a sandbox.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from luthier.models.budget import Ledger
from luthier.models.protocol import Completion, Prompt, Sampling
from luthier.search import prompts, replies
from luthier.search.feedback import blocks, failures, feedback, traceable
from luthier.search.problem import Posed
from luthier.search.reward import Candidate, choose, reward
from luthier.search.settings import SearchSettings
from luthier.search.tree import Node
from luthier.search.wants import Behave, Behaviour, Look, Say, Steps, Tried, Try, Watched

SHORT, SHORT_KINDS = 160, ("rethink", "reflect", "estimate", "blame")  # tokens of one or two sentences; a small model never ends by itself
LOOKS = 3  # failing tests that are followed until one shows blocks
RETHOUGHT, WRITTEN, DRAWN, REPAIRED = "rethought", "written", "drawn", "repaired"


@dataclass
class Search:
    """One search: its tree, every program with its reward, what could not be read, and what was spent.

    votes: by candidate, how much it agrees with the others; the answer among those that pass, where it was counted.
    """

    problem: Posed
    settings: SearchSettings
    ledger: Ledger
    root: Node = field(default_factory=lambda: Node(0))
    nodes: int = 1
    rollouts: int = 0
    candidates: list[Candidate] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    votes: dict[int, float] = field(default_factory=dict)
    finished: str = ""

    def node(self, above: Node, edge: Any = None) -> Node:
        """A new node of the tree."""
        made = Node(self.nodes, above, edge)
        self.nodes += 1
        return made

    def say(self, kind: str, prompt: Prompt, *about: str, temperature: float | None = None, draw: int = 0) -> Say:
        """Something to ask. draw: which one of several draws of the same; each has a seed of its own, the same in every strategy."""
        self.kinds[kind] += 1
        settings = self.settings
        heat = settings.temperature if temperature is None else temperature
        seed = int.from_bytes(hashlib.sha256(f"{settings.seed} {draw}".encode()).digest()[:4], "big") >> 1 if heat else settings.seed
        longest = min(settings.max_tokens, SHORT) if kind in SHORT_KINDS else settings.max_tokens
        return Say(prompt, Sampling(longest, heat, settings.top_p if heat else 1.0, seed=seed), kind, about)

    def keep(self, program: str, tried: Tried | None, worth: float, *, node: Node, how: str, estimate: float | None = None) -> Candidate:
        """A program that was written joins the candidates, whatever its worth."""
        spent = self.ledger.spent
        made = Candidate(
            len(self.candidates), program, tried, worth, estimate, node.number, node.depth, how, spent.calls, spent.tokens, spent.seconds
        )
        self.candidates.append(made)
        node.candidates.append(made.number)
        return made

    @property
    def answer(self) -> Candidate | None:
        """The chosen program so far."""
        passing = [one for one in self.candidates if one.passes and one.number in self.votes]
        if passing:
            return max(passing, key=lambda one: (self.votes[one.number], one.reward, -one.thoughts, -one.number))
        return choose(self.candidates, by_reward_alone=self.settings.rules.by_reward_alone)

    @property
    def is_done(self) -> bool:
        """Whether a program is good enough to stop before the budget is spent."""
        settings = self.settings
        if settings.stop == "never":
            return False
        passing = [one for one in self.candidates if one.passes]
        if settings.stop == "passes":
            return bool(passing)
        if settings.strategy not in ESTIMATED:  # more programs help where votes decide among those that pass
            return bool(passing) and settings.strategy != "s-star" and settings.tie_break == "none"
        return any((one.estimate or 0.0) >= settings.confidence for one in passing)


ESTIMATED = ("rethink", "thought-mcts", "rap")  # strategies that ask the model for its estimate


def write(search: Search, thoughts: Sequence[str], draw: int | None = None) -> Steps[str]:
    """A program that follows the thoughts. draw: which draw at the temperature of draws; None: at that of everything else."""
    answer = yield writing(search, thoughts, draw)
    return search.problem.program_in(answer.text)


def writing(search: Search, thoughts: Sequence[str], draw: int | None = None) -> Say:
    heat = None if draw is None else search.settings.draw_temperature
    return search.say("code", prompts.code(search.problem, thoughts), *thoughts, temperature=heat, draw=draw or 0)


def draw_many(search: Search, count: int, first: int = 0, node: Node | None = None) -> Steps[list[Candidate]]:
    """Programs drawn without thoughts, at once; the draw numbered 0 is at temperature 0 where `first` says so by being below 0."""
    says = tuple(writing(search, (), None if place < 0 else place) for place in range(first, first + count))
    answers = yield says
    programs = [search.problem.program_in(answer.text) for answer in answers if answer is not None]
    return (yield from judge_all(search, programs, node or search.root, DRAWN)) if programs else []


def judge_all(search: Search, programs: Sequence[str], node: Node, how: str) -> Steps[list[Candidate]]:
    """Run programs on the public tests, and keep them; their worth is the share of the tests that pass."""
    found = yield tuple(Try(program) for program in programs)
    return [search.keep(program, tried, tried.share, node=node, how=how) for program, tried in zip(programs, found, strict=True)]


def evaluate(search: Search, node: Node, how: str) -> Steps[Candidate]:
    """Write what follows the thoughts of a node, run it, and where it passes ask how likely it is to pass unseen tests."""
    thoughts, settings = node.thoughts, search.settings
    if settings.programs == 1:
        programs = [(yield from write(search, thoughts))]
    else:
        answers = yield tuple(writing(search, thoughts, None if n == 0 else n) for n in range(settings.programs))
        programs = [search.problem.program_in(answer.text) for answer in answers if answer is not None]
    found = yield tuple(Try(program) for program in programs)
    best, tried = max(zip(programs, found, strict=True), key=lambda pair: pair[1].share)
    for program, other in zip(programs, found, strict=True):
        if program is not best:
            search.keep(program, other, reward(other.share, None, settings.weights), node=node, how=how)
    told = (yield from estimated(search, thoughts, best)) if tried.passed else None
    return search.keep(best, tried, reward(tried.share, told, settings.weights), node=node, how=how, estimate=told)


def estimated(search: Search, thoughts: Sequence[str], program: str) -> Steps[float | None]:
    """The model's own estimate of a program that passes, in [-1, 1]."""
    if not search.settings.weight_estimate:
        return None
    prompt = prompts.estimate(search.problem, thoughts, program, constrained=search.settings.constrained)
    answer: Completion = yield search.say("estimate", prompt, *thoughts, program)
    return replies.estimate(answer.text, search.counts)


def explained(search: Search, thoughts: Sequence[str], program: str, tried: Tried, *, by_block: bool | None = None) -> Steps[str]:
    """Verbal feedback on a program that fails; without feedback, the state and the program alone."""
    problem, settings = search.problem, search.settings
    if not settings.feedback:
        return feedback(problem, thoughts, program, "It is wrong.", most_tokens=settings.feedback_tokens)
    failed = failures(problem, tried)
    found: list[replies.BlockVerdict] = []
    if settings.blocks if by_block is None else by_block:
        shown = yield from followed(search, program, tried)
        if shown:
            answer = yield search.say("analysis", prompts.analyse(problem, program, failed, shown), *thoughts, program)
            found = replies.verdicts(answer.text, search.counts)
    return feedback(problem, thoughts, program, failed, found, most_tokens=settings.feedback_tokens)


def followed(search: Search, program: str, tried: Tried) -> Steps[str]:
    """The blocks of the first failing test that shows some; "" where none does, which is counted."""
    for place in traceable(search.problem, tried)[:LOOKS]:
        watched: Watched = yield Look(program, place)
        if watched.blocks:
            most = search.settings.feedback_tokens * 4
            return blocks(program, watched)[:most]
    search.counts["trace: nothing to follow"] += 1
    return ""


def repaired(
    search: Search, program: str, told: str, node: Node, *, lessons: Sequence[str] = (), draw: int | None = None
) -> Steps[Candidate]:
    """A mended program, run and kept."""
    heat = None if draw is None else search.settings.draw_temperature
    say = search.say("repair", prompts.repair(told, search.problem, lessons), program, temperature=heat, draw=draw or 0)
    answer = yield say
    (made,) = yield from judge_all(search, [search.problem.program_in(answer.text)], node, REPAIRED)
    return made


def vote(search: Search, inputs: Sequence[str]) -> Steps[None]:
    """Count for each program that passes on how many inputs how many others give the same (arXiv 2204.11454: least Bayes risk)."""
    passing = [one for one in search.candidates if one.passes]
    programs = tuple(dict.fromkeys(one.program for one in passing))
    if len(programs) < 2 or not inputs:
        return
    found: tuple[Behaviour, ...] = yield tuple(Behave(program, tuple(inputs)) for program in programs)
    values = dict(zip(programs, found, strict=True))
    for one in passing:
        own = values[one.program].values
        agreed = (value and value == other for each in passing for value, other in zip(own, values[each.program].values, strict=True))
        search.votes[one.number] = float(sum(bool(each) for each in agreed))


def together(start: Callable[[], Steps[None] | None], width: int) -> Steps[None]:
    """Several step sequences at once, at most `width`: `start` gives the next one, None where there is none now.

    What they want of the sandbox comes first, so that all wait for the model together; answers are dealt in the order of starting, so
    that the same width gives the same tree whatever the latencies. One that gets no answer, for want of budget, is closed.
    """
    going: list[tuple[Steps[None], Any]] = []
    try:
        while True:
            while len(going) < width and (steps := start()) is not None:
                going += _advanced(steps, None)
            if not going:
                return
            quick = [place for place, (_, want) in enumerate(going) if not _says(want)] or list(range(len(going)))
            flat = [want for place in quick for want in _many(going[place][1])]
            answers = iter((yield tuple(flat)))
            waiting, going = going, []
            chosen = set(quick)
            for place, (steps, want) in enumerate(waiting):
                if place not in chosen:
                    going.append((steps, want))
                    continue
                own = tuple(next(answers) for _ in _many(want))
                if all(answer is None for answer in own):
                    steps.close()
                else:
                    going += _advanced(steps, own if isinstance(want, tuple) else own[0])
    finally:
        for steps, _ in going:
            steps.close()


def _advanced(steps: Steps[None], answer: Any) -> Iterator[tuple[Steps[None], Any]]:
    try:
        yield steps, steps.send(answer)
    except StopIteration:
        return


def _many(want: Any) -> tuple[Any, ...]:
    return want if isinstance(want, tuple) else (want,)


def _says(want: Any) -> bool:
    return isinstance(_many(want)[0], Say)
