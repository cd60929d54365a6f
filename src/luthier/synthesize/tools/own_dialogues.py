"""Dialogues about the user's own tools: every tool and every parameter, on lists as they will be served and on short ones.

Types (arXiv 2409.00920, sec. 3.2): single, parallel, dependent (a later call uses what an earlier one gave), missing_argument, irrelevant, chat, and recovery
from an error that a tool answers with. The arguments are drawn by a plan and the request is written around them, so the truth is known.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any, NamedTuple

from luthier.records import JSON, Conversation, Message, Tool, ToolCall
from luthier.synthesize.tools.callable_tools import callable_tools
from luthier.synthesize.tools.dialogues import PER_LIST, REFUSALS, spread
from luthier.synthesize.tools.drafts import NOTHING, Draft
from luthier.synthesize.tools.everyday import everyday_blueprint, ideas
from luthier.synthesize.tools.grounding import letters, stems
from luthier.synthesize.tools.meaning_values import FIRST_DAY, Scene
from luthier.synthesize.tools.meanings import words_of
from luthier.synthesize.tools.mocks import Fault, Mock, tool_text
from luthier.synthesize.tools.operations import Operation, examples_of, operation
from luthier.synthesize.tools.own_chains import carried, chains, holds_several, that_one, value_in
from luthier.synthesize.tools.own_phrases import CHAT, HELLO, LINKS, OPEN
from luthier.synthesize.tools.own_questions import Questions
from luthier.synthesize.tools.own_requests import request_text
from luthier.synthesize.tools.own_summaries import summary
from luthier.synthesize.tools.own_values import draw_arguments
from luthier.synthesize.tools.plan import OPTIONAL_SHARE, Plan
from luthier.synthesize.tools.requests import draw_arguments as draw_everyday
from luthier.synthesize.tools.similarity import NeighbourIndex
from luthier.synthesize.tools.spoken_values import is_day
from luthier.synthesize.tools.values import Source, topic_text

OWN_SHARES: Mapping[Any, float] = {
    "single": 0.45,
    "parallel": 0.1,
    "dependent": 0.08,
    "missing_argument": 0.1,
    "irrelevant": 0.2,
    "chat": 0.04,
    "recovery": 0.03,
}
LEAST = 2  # calls of each tool and values of each parameter before anything repeats
WHOLE_SHARE = 0.3  # of the lists that hold all tools
MOST_SERVED = 64  # tools of a list; of more, those most like what is asked for are served
ANSWERED_SHARE = 0.25  # of single calls that go on with the tool's answer and a summary
CLARIFIED_SHARE = 0.12  # of single calls whose last value comes after a question
NEAR_SHARE = 0.5  # of irrelevant requests on short lists that another of the user's tools would answer
OPEN_SHARE = 0.2
_FEW = (1, 2, 3, 3, 4, 5, 6, 8)
_TRIES = 6  # requests that are written anew because they were written before
_NEW_LINE = "\n"
_VERBLESS = re.compile(r"^(use|get the) ")


def own_dialogues(
    count: int,
    tools: Sequence[Tool],
    *,
    seed: int = 0,
    least: int = LEAST,
    whole_share: float = WHOLE_SHARE,
    shares: Mapping[Any, float] = OWN_SHARES,
    per_list: int = PER_LIST,
    paired: bool = True,
) -> Iterator[Conversation]:
    """Up to `count` dialogues about the tools, all of which are kept whole; fewer where no other requests can be made.

    least: calls of each tool and values of each parameter before anything repeats. whole_share: of the lists that hold all the tools, as they will be
    served; the others hold a few. paired: whether a request that lacks a value stands beside the same one with it. Each row's `extra` has id, type and the source of its tools. The same arguments give the same dialogues.
    """
    writer = _Writer(tools, seed, least, whole_share, paired=paired)
    made = idle = 0
    while made < count and writer.operations and idle < 40:
        before = made
        for row in writer.on_one_list(spread(shares, per_list, writer.source))[: count - made]:
            yield row
            made += 1
        idle = 0 if made > before else idle + 1


class _Pair(NamedTuple):
    """A call whose request was written without a value that it needs. wording: seed of the request's words."""

    asked: Operation
    call: ToolCall
    wording: float


class _Writer:
    """Writes rows on one list after another; keeps what was planned, and which texts were written."""

    def __init__(self, tools: Sequence[Tool], seed: int, least: int, whole_share: float, *, paired: bool) -> None:
        self.source = Source(seed)
        self.random = self.source.random
        fitting, _ = callable_tools(tools, seed)
        self.operations = [operation(tool) for tool in fitting]
        self._by_name = {one.name: one for one in self.operations}
        self._questions = Questions(self.random)
        self._plan = Plan(self.operations, least, self.random)
        self._examples = examples_of(tools)
        self._whole_share, self._seed = whole_share, seed
        self._index = NeighbourIndex(fitting)
        self._texts: set[str] = set()
        self._turns: list[Operation] = []
        self._pair: _Pair | None = None
        self._paired_too = paired
        self._chains = chains(self.operations)
        self._stems = {one.name: frozenset(stems(f"{words_of(one.name)} {one.tool.description}")) for one in self.operations}
        self._ideas = [(idea, frozenset(stems(f"{idea.ask} {idea.noun}")) - _COMMON) for idea in ideas()]
        self._far: dict[frozenset[str], list[Any]] = {}

    def on_one_list(self, types: list[Any]) -> list[Conversation]:
        """Dialogues of the given types on one list of tools."""
        wants_chain = "dependent" in types and self._chains
        chain = self.random.choice(self._chains) if wants_chain else None
        listed = self._listed(sum(kind in ("single", "parallel", "recovery") for kind in types), chain)
        self._pair = None
        rows = []
        for kind in sorted(types, key=lambda kind: kind != "missing_argument"):  # its single call, with nothing left out, comes after it
            row = self._new_row(kind, listed, chain)
            if row is not None:
                rows.append(row)
        return rows

    def _listed(self, calls: int, chain: tuple[Operation, Operation, str] | None) -> list[Operation]:
        """All the tools as they are served, or a few: those whose turn it is and their nearest neighbours."""
        self._turns = [self._plan.next() for _ in range(max(1, calls))]
        whole = self.random.random() < self._whole_share
        if whole and len(self.operations) <= MOST_SERVED:
            return list(self.operations)
        size = MOST_SERVED if whole else self.random.choice(_FEW)
        self._turns = self._turns[: max(1, min(3, size))] if not whole else self._turns
        wanted = list({one.name: one for one in (*(chain or ())[:2], *self._turns) if isinstance(one, Operation)}.values())
        near = self._index.nearest(self._turns[0].tool, size)
        others = (
            [self._by_name[tool.name] for tool in near]
            if self.random.random() < 0.6
            else self.random.sample(self.operations, min(size, len(self.operations)))
        )
        names = {one.name for one in wanted}
        listed = [*wanted, *[one for one in others if one.name not in names][: max(0, size - len(wanted))]]
        self.random.shuffle(listed)
        return listed

    def _new_row(self, kind: Any, listed: list[Operation], chain: Any) -> Conversation | None:
        """A row whose request was not written before."""
        if kind == "single" and self._pair is not None:
            return self._paired(self._pair, listed)
        turn = self._turns.pop() if kind in ("single", "parallel", "recovery") and self._turns else self.random.choice(listed)
        for _ in range(_TRIES):
            row = self._row(kind, turn, listed, chain)
            if row is None:
                continue
            text = str(row.messages[0].content)
            if text not in self._texts:
                self._texts.add(text)
                return row
        return None

    def _row(self, kind: Any, turn: Operation, listed: list[Operation], chain: Any) -> Conversation | None:
        if kind == "parallel":
            return self._parallel(turn, listed)
        if kind == "dependent" and chain is not None:
            return self._dependent(chain, listed)
        if kind == "missing_argument":
            return self._missing(listed)
        if kind == "irrelevant":
            return self._irrelevant(listed)
        if kind == "chat":
            return self._chat(listed)
        if kind == "recovery" and turn.required:
            return self._recovery(turn, listed)
        return self._single(turn, listed)

    def _call(self, asked: Operation, known: Mapping[str, Any] | None = None) -> ToolCall | None:
        draft = Draft(Scene(self.random), self._plan.wanted(asked), self._examples, known or {})
        arguments = draw_arguments(asked.tool.parameters, draft, asked.words)
        return None if arguments is NOTHING else ToolCall(asked.name, arguments)

    def _single(self, asked: Operation, listed: list[Operation]) -> Conversation | None:
        call = self._call(asked)
        if call is None:
            return None
        told = request_text(asked, call.arguments, self.random)
        turns = [Message("user", told), Message("assistant", None, (call,))]
        subtype = ""
        withheld = self._questions.withheld(asked, call.arguments)
        if withheld and self.random.random() < CLARIFIED_SHARE:
            turns = [*self._questions.asked_without(asked, call, withheld[:1]), self._questions.told(asked, call, withheld[0]), turns[-1]]
            subtype = "clarified"
        if self.random.random() < ANSWERED_SHARE:
            turns += self._answered([call])
            subtype = subtype or "answered"
        self._plan.gave(asked, call.arguments)
        return self._made("single", turns, listed, asked, subtype=subtype)

    def _parallel(self, asked: Operation, listed: list[Operation]) -> Conversation | None:
        """Two or three calls that do not need one another: of the same tool, or of several."""
        several = len(listed) > 1 and self.random.random() < 0.5
        others = self.random.sample([one for one in listed if one is not asked], min(len(listed) - 1, 2)) if several else [asked] * 2
        chosen = [asked, *others[: self.random.choice((1, 1, 2))]]
        calls: list[ToolCall] = []
        texts: list[str] = []
        for one in chosen:
            call = self._call(one)
            if call is None or any((call.name, call.arguments) == (before.name, before.arguments) for before in calls):
                continue
            calls.append(call)
            texts.append(request_text(one, call.arguments, self.random, plain=bool(texts)))
            self._plan.gave(one, call.arguments)
        if len(calls) < 2:
            return None
        text = texts[0]
        for other in texts[1:]:
            link = "{a}\n{B}" if "\n" in text else self.random.choice(LINKS)
            text = link.format(a=text, b=_small(other), B=other)
        return self._made("parallel", [Message("user", text), Message("assistant", None, tuple(calls))], listed, asked)

    def _dependent(self, chain: tuple[Operation, Operation, str], listed: list[Operation]) -> Conversation | None:
        """One call makes or finds what the next one is about."""
        first, then, name = chain
        mock = Mock(self._by_name, self._examples, self._seed)
        call = self._call(first)
        if call is None:
            return None
        answer = mock(call)
        value = value_in(answer, name, then)
        shared = dict(carried(call, then))
        later = None if value is None else self._after(call, then, {**shared, name: value})
        if later is None or later.arguments.get(name) != value:
            return None
        noun = words_of(name).rsplit(" ", 1)[0]
        told = request_text(first, call.arguments, self.random)
        left = [name, *(shared if self.random.random() < 0.5 else ())]  # "that pull request" is of the same repository
        second = request_text(then, later.arguments, self.random, without=left, plain=True)
        text = f"{told}{_NEW_LINE if _NEW_LINE in told else ' '}Then {that_one(_small(second), noun, first=holds_several(answer))}"
        if letters(str(value)) in letters(text):  # it could be known without the answer
            return None
        turns = [
            Message("user", text),
            Message("assistant", None, (call,)),
            Message("tool", tool_text(answer), name=call.name),
            Message("assistant", None, (later,)),
        ]
        if self.random.random() < 0.5:
            turns += self._answered([later], mock)
        for one, made in ((first, call), (then, later)):
            self._plan.gave(one, made.arguments)
        return self._made("dependent", turns, listed, first)

    def _after(self, first: ToolCall, then: Operation, known: JSON) -> ToolCall | None:
        """A later call, none of whose days are before the first day of the earlier one: a stay is not moved to before it was booked for."""
        begun = min(_coming_days(first), default="")
        for _ in range(_TRIES):
            call = self._call(then, known)
            if call is None or all(day > begun for day in _coming_days(call)):
                return call
        return None

    def _missing(self, listed: list[Operation]) -> Conversation | None:
        """Some required values are withheld, and the assistant asks for exactly these."""
        able = [one for one in self._turns if one.required] or [one for one in listed if one.required]
        if not able:
            return None
        asked = self.random.choice(able)
        call = self._call(asked)
        withheld = [] if call is None else self._questions.withheld(asked, call.arguments)
        if call is None or not withheld:
            return None
        missing = withheld[: self.random.choice((1, 1, 1, 2))]
        wording = self.random.random()
        question = self._questions.asked_without(asked, call, missing, wording)
        self._pair = _Pair(asked, call, wording) if self._paired_too else None
        return self._made("missing_argument", question, listed, asked, missing=[name for name in asked.required_order if name in missing])

    def _paired(self, pair: _Pair, listed: list[Operation]) -> Conversation | None:
        """The request of the last question with nothing withheld, in the same words as far as they are the same: the value alone decides whether to call."""
        self._pair = None
        if pair.asked in self._turns:
            self._turns.remove(pair.asked)
        text = request_text(pair.asked, pair.call.arguments, Random(pair.wording))
        if text in self._texts:
            return None
        self._texts.add(text)
        self._plan.gave(pair.asked, pair.call.arguments)
        return self._made(
            "single", [Message("user", text), Message("assistant", None, (pair.call,))], listed, pair.asked, subtype="complete"
        )

    def _irrelevant(self, listed: list[Operation]) -> Conversation | None:
        """What none of the tools on the list can do: another of the user's tools, another trade, or a question that needs no tool."""
        names = {one.name for one in listed}
        absent = [one for one in self.operations if one.name not in names]
        draw = self.random.random()
        if draw < OPEN_SHARE:
            question, topics = self.random.choice(OPEN)
            topic = topic_text(self.random.choice(topics), self.source)
            doing = re.match(r"(?i)(write|tell)\b.* (poem|joke) ", question)
            text, kind = question.format(topic=topic), "open"
            ask = f"{doing[1].lower()} a {doing[2]} about {topic}" if doing else f"answer questions about {topic}"
        elif absent and self.random.random() < NEAR_SHARE:
            wanted = self.random.choice(absent)
            if any(self._stems[wanted.name] <= self._stems[one.name] | _COMMON for one in listed):
                return None
            call = self._call(wanted)
            if call is None:
                return None
            text, ask, kind = request_text(wanted, call.arguments, self.random), wanted.ask, "near"
        else:
            blueprint = everyday_blueprint(self.random.choice(self._far_from(listed)), self.source)
            foreign = replace(operation(blueprint.tool), ask=blueprint.ask)
            arguments = draw_everyday(blueprint, self.source, OPTIONAL_SHARE)
            text, ask, kind = request_text(foreign, arguments, self.random), blueprint.ask, "other trade"
        answer = Message("assistant", self.random.choice(REFUSALS).format(ask=ask))
        return self._made("irrelevant", [Message("user", text), answer], listed, listed[0], subtype=kind)

    def _far_from(self, listed: list[Operation]) -> list[Any]:
        """Everyday ideas that share no word of weight with a tool on the list."""
        names = frozenset(one.name for one in listed)
        if names not in self._far:
            known = frozenset(word for one in listed for word in self._stems[one.name]) - _COMMON
            far = [idea for idea, words in self._ideas if words.isdisjoint(known)]
            if len(self._far) > 256:
                self._far.clear()
            self._far[names] = far or [idea for idea, _ in self._ideas]
        return self._far[names]

    def _chat(self, listed: list[Operation]) -> Conversation | None:
        """A greeting, thanks, or the question what the assistant can do: no call."""
        scene = Scene(self.random)
        text = self.random.choice(CHAT).format(hello=self.random.choice(HELLO), name=" ".join(scene.person()))
        asks = [one.ask for one in listed if not _VERBLESS.match(one.ask)]
        some = self.random.sample(asks, min(3, len(asks)))
        able = (
            f"I can {', '.join(some[:-1])} or {some[-1]}"
            if len(some) > 1
            else f"I can {some[0]}"
            if some
            else "I can help with the functions on offer"
        )
        more = ", among other things." if len(asks) > 3 else "."
        if text.startswith("Thank"):
            answer = self.random.choice(("You are welcome!", "My pleasure. Goodbye!", "Glad I could help."))
        else:
            answer = f"Hello {scene.person()[0]}! {able}{more}"
        return self._made("chat", [Message("user", text), Message("assistant", answer)], listed, listed[0])

    def _recovery(self, asked: Operation, listed: list[Operation]) -> Conversation | None:
        """A tool answers with an error: the call is made again, or the user is asked to look at the value."""
        call = self._call(asked)
        if call is None:
            return None
        mock = Mock(self._by_name, self._examples, self._seed)
        fault: Fault = self.random.choice(
            ("rate_limited", "not_found")
            if any(words_of(name).endswith(" id") for name in call.arguments)
            else ("rate_limited", "rate_limited")
        )
        broken = mock(call, fault)
        turns = [
            Message("user", request_text(asked, call.arguments, self.random)),
            Message("assistant", None, (call,)),
            Message("tool", tool_text(broken), name=call.name),
        ]
        if fault == "rate_limited":
            turns += [Message("assistant", None, (call,)), *self._answered([call], mock)]
        else:
            said_error = str(broken["error"]["message"]).rstrip(".")
            turns.append(Message("assistant", f"That did not work: {_small(said_error)}. Could you check it and tell me again?"))
        self._plan.gave(asked, call.arguments)
        return self._made("recovery", turns, listed, asked, subtype=fault)

    def _answered(self, calls: Sequence[ToolCall], mock: Mock | None = None) -> list[Message]:
        """The tools' answers and a sentence about them."""
        mock = mock or Mock(self._by_name, self._examples, self._seed)
        answers = [(call, mock(call)) for call in calls]
        turns = [Message("tool", tool_text(answer), name=call.name) for call, answer in answers]
        return [
            *turns,
            Message("assistant", " ".join(summary(call, answer, self._by_name[call.name].ask, self.random) for call, answer in answers)),
        ]

    def _made(
        self,
        kind: str,
        turns: Sequence[Message],
        listed: list[Operation],
        about: Operation,
        *,
        subtype: str = "",
        missing: Sequence[str] = (),
    ) -> Conversation:
        tools = tuple(one.tool for one in listed)
        digest = hashlib.sha256(f"{kind}\n{turns[0].content}\n{[tool.name for tool in tools]}".encode()).hexdigest()[:12]
        extra: JSON = {"id": digest, "type": kind, "source": about.tool.source, "license": about.tool.license}
        if subtype:
            extra["subtype"] = subtype
        if missing:
            extra["missing"] = list(missing)
        return Conversation(tuple(turns), tools, extra)


_COMMON = frozenset(
    stems(
        "find get list show book create check search look make compute estimate work tell give name set add change price new day time one all use information details"
    )
)


def _coming_days(call: ToolCall) -> list[str]:
    """The days of its arguments that are still to come; a birthday is none."""
    days = (str(value)[:10] for value in call.arguments.values())
    return [day for day in days if is_day(day) and day >= FIRST_DAY.isoformat()]


def _small(text: str) -> str:
    return text if text[:2] in ("I ", "I'") or text[:2].isupper() else text[:1].lower() + text[1:]
