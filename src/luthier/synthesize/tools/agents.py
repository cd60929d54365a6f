"""Dialogues by agents (ToolACE, arXiv 2409.00920, sec. 3.2): a user, an assistant whose decisions are voted on, and a tool, as one state machine.

USER -> DECIDE -> (CALL -> TOOL -> DECIDE | SUMMARISE | ASK | REFUSE | CHAT) -> USER | END. `dialogue` is a generator: it yields what it asks of a model
and is sent the answers, so it knows neither models nor budgets (`writing` does). What each dialogue shall be is fixed before (`briefs`).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

from luthier.models.asking import Ask
from luthier.models.protocol import Completion, Prompt, Sampling
from luthier.records import JSON, Conversation, Message
from luthier.synthesize.tools import agent_prompts as prompts
from luthier.synthesize.tools.asks import OUT_OF_BUDGET, Asks, DroppedError, asked_once, drawn_by
from luthier.synthesize.tools.briefs import Brief, Topic
from luthier.synthesize.tools.decisions import Action, BadDecisionError, Decision, Poll, decision_schema, read_decision
from luthier.synthesize.tools.executors import Executor
from luthier.synthesize.tools.mocks import tool_text

VOTES, MANY_VOTES = 3, 5  # the second where several calls must agree
MOST_QUESTIONS = 2  # of the assistant on one request
HEAT, HOTTER = 0.7, 1.0
USER_TOKENS, DECISION_TOKENS = 256, 768


Steps = Generator[Any, Any, Any]


@dataclass(frozen=True)
class Made:
    """What came of a brief: a dialogue, or why there is none. counts: votes, repairs and questions on the way."""

    conversation: Conversation | None
    dropped: str = ""
    counts: Counter[str] = field(default_factory=Counter, hash=False)


def dialogue(brief: Brief, execute: Executor, *, structured: bool = True) -> Generator[Any, Any, Made]:
    """One dialogue after a brief. execute: answers calls as the tools; structured: the engine keeps answers to a JSON Schema.

    Yields `Asks` (and what the executor yields), is sent their answers.
    """
    talk = _Talk(brief, execute, structured)
    try:
        for topic in brief.topics:
            yield from talk.about(topic)
    except DroppedError as problem:
        return Made(None, str(problem), talk.counts)
    return Made(talk.conversation(), "", talk.counts)


class _Talk:
    """One dialogue as it grows."""

    def __init__(self, brief: Brief, execute: Executor, structured: bool) -> None:
        self.brief, self.execute, self.structured = brief, execute, structured
        self.messages: list[Message] = []
        self.thoughts: list[JSON] = []
        self.counts: Counter[str] = Counter()
        self._asked = 0

    def about(self, topic: Topic) -> Steps:
        """One request, and all that follows it until it is done."""
        yield from self._user(prompts.request(topic, self.messages))
        questions = called = 0
        while True:
            decision = yield from self._decide(topic)
            expected = _expected(topic, called)
            if decision.action == "ask" and expected == "call" and questions < MOST_QUESTIONS and not called:
                questions += 1
                self.counts["questions of the assistant"] += 1
                yield from self._user(prompts.reply(topic, self.messages))
                continue
            if decision.action != expected:
                self._drop(f"{topic.kind}: the assistant decides to {decision.action}, not to {expected}")
            if decision.action != "call":
                self._check_missing(topic, decision)
                return
            if (problem := _wrong_calls(topic, decision)) is not None:
                self._drop(f"{topic.kind}: {problem}")
            called += 1
            answers = yield from self.execute(decision.calls)
            self.messages += [Message("tool", tool_text(one), name=call.name) for call, one in zip(decision.calls, answers, strict=True)]

    def conversation(self) -> Conversation:
        brief, topics = self.brief, self.brief.topics
        kind = topics[0].kind if len(topics) == 1 else "several"
        digest = hashlib.sha256(f"{kind}\n{self.messages[0].content}\n{[tool.name for tool in brief.tools]}".encode()).hexdigest()[:12]
        about = brief.tools[0]
        extra: JSON = {"id": digest, "type": kind, "source": about.source, "license": about.license, "worded": "agents"}
        if len(topics) > 1:
            extra["types"] = [topic.kind for topic in topics]
        if topics[-1].withheld:
            extra["missing"] = [topics[-1].withheld]
        return Conversation(tuple(self.messages), brief.tools, {**extra, "thought": self.thoughts})

    def _user(self, prompt: Prompt) -> Steps:
        for heat in (HEAT, HOTTER):
            answer = yield from asked_once(prompt, self._sampling(USER_TOKENS, heat), "user")
            said = prompts.spoken(answer.text)
            if not said:
                problem = "the user says nothing"
            elif answer.finish != "stop":
                problem = "the user's words were cut off"
            else:
                problem = "the user speaks as an assistant" if prompts.is_no_person(said) else ""
            if not problem:
                break
        if problem:
            self._drop(problem)
        self.messages.append(Message("user", said))

    def _decide(self, topic: Topic) -> Generator[Any, Any, Decision]:
        """The decision that enough votes agree on; voted on once more, hotter, where too few do."""
        most = MANY_VOTES if topic.kind in ("parallel", "dependent") else VOTES
        actions: tuple[Action, ...] = (
            ("summarise", "call", "ask") if self.messages[-1].role == "tool" else ("call", "ask", "refuse", "chat")
        )
        for heat in (HEAT, HOTTER):
            poll = Poll(most, self.brief.tools)
            while poll.wanted:
                poll.votes += yield from self._votes(poll.wanted, actions, heat)
            self.counts["votes"] += len(poll.votes)
            if (decision := poll.adopted) is not None:
                said = Message("assistant", decision.text or None, decision.calls)
                self.thoughts.append({"turn": len(self.messages), "votes": poll.told, **decision.thought, "action": decision.action})
                self.messages.append(said)
                return decision
            self.counts["decisions without agreement"] += 1
        self._drop("the assistant's votes do not agree")

    def _votes(self, count: int, actions: tuple[Action, ...], heat: float) -> Generator[Any, Any, list[Decision | None]]:
        """So many decisions, asked for side by side; one that cannot be read may be mended once."""
        prompt = prompts.decision(self.brief.tools, self.messages, actions)
        if self.structured:
            prompt = replace(prompt, json_schema=decision_schema(self.brief.tools, actions))
        asks = tuple(Ask(prompt, self._sampling(DECISION_TOKENS, heat)) for _ in range(count))
        answers: Sequence[Completion | None] = yield Asks(asks, "assistant")
        votes: list[Decision | None] = []
        for answer in answers:
            if answer is None:
                self._drop(OUT_OF_BUDGET)
            try:
                votes.append(read_decision(answer.text, self.brief.tools, actions))
            except BadDecisionError as problem:
                votes.append((yield from self._mended(prompt, answer.text, problem, actions)))
        return votes

    def _mended(
        self, prompt: Prompt, text: str, problem: BadDecisionError, actions: tuple[Action, ...]
    ) -> Generator[Any, Any, Decision | None]:
        self.counts["decisions that needed repair"] += 1
        again = replace(prompt, messages=(*prompt.messages, Message("assistant", text), Message("user", prompts.repair(str(problem)))))
        answer = yield from asked_once(again, self._sampling(DECISION_TOKENS, 0.0), "repair")
        try:
            return read_decision(answer.text, self.brief.tools, actions)
        except BadDecisionError:
            self.counts["decisions that could not be read"] += 1
            return None

    def _check_missing(self, topic: Topic, decision: Decision) -> None:
        """Rule X2: what is asked for is what is missing."""
        if not topic.withheld:
            return
        asked = {str(name).rsplit(".", 1)[-1] for name in decision.thought.get("missing") or ()}
        if asked != {topic.withheld}:
            self._drop("missing_argument: other things are asked for than what is missing")

    def _sampling(self, tokens: int, heat: float) -> Sampling:
        self._asked += 1
        return Sampling(tokens, heat, 0.95 if heat else 1.0, seed=drawn_by(self.brief.seed, self._asked))

    def _drop(self, why: str) -> NoReturn:
        raise DroppedError(why)


def _expected(topic: Topic, called: int) -> Action:
    """What a dialogue of this kind must do next, after so many turns with calls."""
    without: dict[str, Action] = {"irrelevant": "refuse", "missing_argument": "ask", "chat": "chat"}
    if topic.kind in without:
        return without[topic.kind]
    return "call" if called < (2 if topic.kind == "dependent" else 1) else "summarise"


def _wrong_calls(topic: Topic, decision: Decision) -> str | None:
    count = len(decision.calls)
    if topic.kind == "parallel":
        return None if count > 1 else "the assistant makes one call, not several"
    return None if count == 1 else f"the assistant makes {count} calls, not one"
