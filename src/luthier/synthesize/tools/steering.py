"""Dialogues made harder or easier until the learner's loss on them lies in the range that is worth training on (arXiv 2409.00920, sec. 3.4).

Harder: one more tool that could be meant, one more call, a value that must not be used, a value without its parameter's name, arguments inside an
object. Easier: one tool less, an object's fields as parameters, or the last step taken back. Every operator is a pure function of a dialogue that keeps it true: what comes out passes the rules, or is not taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from luthier.records import JSON, Conversation, Tool, ToolCall
from luthier.synthesize.tools.checks import check
from luthier.synthesize.tools.complexity import Complexity, ComplexityRange
from luthier.synthesize.tools.complications import flattened, nested, without_names
from luthier.synthesize.tools.similarity import NeighbourIndex

MOST_STEPS = 3  # of a dialogue
NEIGHBOURS = 12  # tools that are considered as one more
MOST_CALLS = 4
_JOINS = (" Also, ", " And then: ", "\n")
_ASIDES = ("Last time it was {value}, but not this time.", "Forget the {value} that I named before.", "It is not about {value} any more.")

Measure = Callable[[Sequence[Conversation]], Sequence[Complexity]]


@dataclass(frozen=True)
class Steered:
    """A dialogue with its complexity, the steps that led there, (operator, H after it), and whether it lies in the range."""

    dialogue: Conversation
    complexity: Complexity
    steps: tuple[tuple[str, float], ...]
    inside: bool

    def to_row(self, bounds: ComplexityRange, learner: str) -> JSON:
        told = {**self.complexity.to_row(), "range": [bounds.low, bounds.high], "learner": learner}
        steps = [[name, value] for name, value in self.steps]
        return {**self.dialogue.to_row(), "complexity": {**told, "steps": steps, "out_of_range": not self.inside}}


def steer(
    dialogues: Sequence[Conversation], bounds: ComplexityRange, measure: Measure, *, seed: int = 0, most: int = MOST_STEPS
) -> list[Steered]:
    """Each dialogue as near to the range as `most` steps bring it; of all its versions the nearest is kept, so none ends farther than it began.

    measure: the complexities of dialogues under the learner; asked once a step, with all that still lie outside. The same arguments give
    the same dialogues.
    """
    paths = [_Path(dialogue, one) for dialogue, one in zip(dialogues, measure(dialogues), strict=True)]
    changers = _Operators(dialogues)
    for step in range(most):
        waiting: list[tuple[_Path, str, Conversation]] = []
        for number, path in enumerate(paths):
            if not path.stuck and bounds.distance(path.last.complexity.mean):
                random = Random(f"{seed} {step} {number}")
                made = changers.harder(path, random) if path.last.complexity.mean < bounds.low else changers.easier(path, random)
                if made is None:
                    path.stuck = True
                else:
                    waiting.append((path, *made))
        found = measure([dialogue for *_, dialogue in waiting]) if waiting else []
        for (path, name, dialogue), complexity in zip(waiting, found, strict=True):
            path.versions.append(_Version(name, dialogue, complexity))
    return [path.best(bounds) for path in paths]


@dataclass(frozen=True)
class _Version:
    step: str
    dialogue: Conversation
    complexity: Complexity


class _Path:
    """The versions of one dialogue, the first as it came."""

    def __init__(self, dialogue: Conversation, complexity: Complexity) -> None:
        self.versions = [_Version("", dialogue, complexity)]
        self.stuck = False

    @property
    def last(self) -> _Version:
        return self.versions[-1]

    def best(self, bounds: ComplexityRange) -> Steered:
        nearest = min(range(len(self.versions)), key=lambda at: (bounds.distance(self.versions[at].complexity.mean), at))
        chosen = self.versions[nearest]
        steps = tuple((one.step, one.complexity.mean) for one in self.versions[1:])
        return Steered(chosen.dialogue, chosen.complexity, steps, bounds.distance(chosen.complexity.mean) == 0)


class _Operators:
    """What can be done to dialogues of a set: tools and values come from the others."""

    def __init__(self, dialogues: Sequence[Conversation]) -> None:
        tools = {tool.name: tool for dialogue in dialogues for tool in dialogue.tools}
        self.index = NeighbourIndex(list(tools.values()))
        self.singles = [dialogue for dialogue in dialogues if _calls(dialogue) is not None and len(_calls(dialogue) or ()) == 1]

    def harder(self, path: _Path, random: Random) -> tuple[str, Conversation] | None:
        ways: list[tuple[str, Callable[[Conversation, Random], Conversation | None]]] = [
            ("+candidate", self.more_candidates),
            ("+call", self.more_calls),
            ("+distractor value", self.other_value),
            ("+paraphrase", lambda dialogue, random: without_names(dialogue, random) if _calls(dialogue) else None),
            ("+nested", lambda dialogue, random: nested(dialogue, random) if _calls(dialogue) else None),
        ]
        random.shuffle(ways)
        for name, way in ways:
            made = way(path.last.dialogue, random)
            if made is not None and not check(made):
                return name, made
        return None

    def easier(self, path: _Path, random: Random) -> tuple[str, Conversation] | None:
        dialogue = path.last.dialogue
        for name, made in (
            ("-candidate", fewer_candidates(dialogue, random)),
            ("-nested", flattened(dialogue, random) if _calls(dialogue) else None),
        ):
            if made is not None and not check(made):
                return name, made
        return None

    def more_candidates(self, dialogue: Conversation, random: Random) -> Conversation | None:
        """One more tool that is like the one that is called."""
        called = next((call.name for message in dialogue.messages for call in message.tool_calls), None)
        like = next((tool for tool in dialogue.tools if tool.name == called), dialogue.tools[0] if dialogue.tools else None)
        if like is None or called is None:
            return None  # a tool that fits would make a refusal untrue
        names = {tool.name for tool in dialogue.tools}
        found = [tool for tool in self.index.nearest(like, NEIGHBOURS) if tool.name not in names and not _serves(tool, like)]
        if not found:
            return None
        return replace(dialogue, tools=_inserted(dialogue.tools, random.choice(found[:4]), random))

    def more_calls(self, dialogue: Conversation, random: Random) -> Conversation | None:
        """The request of another dialogue as well, and its call."""
        calls = _calls(dialogue)
        if calls is None or not 1 <= len(calls) < MOST_CALLS or not self.singles:
            return None
        other = random.choice(self.singles)
        more = _calls(other) or ()
        names = {tool.name: tool for tool in dialogue.tools}
        if any(call in calls for call in more) or any(names.get(tool.name, tool) != tool for tool in other.tools):
            return None
        asked, wanted = str(dialogue.messages[-2].content), str(other.messages[-2].content)
        user = replace(dialogue.messages[-2], content=asked.rstrip() + random.choice(_JOINS) + wanted[:1].lower() + wanted[1:])
        said = replace(dialogue.messages[-1], tool_calls=(*calls, *more))
        extra = {**dialogue.extra, "type": "parallel"}
        tools = (*dialogue.tools, *(tool for tool in other.tools if tool.name not in names))
        return Conversation((*dialogue.messages[:-2], user, said), tools, extra)

    def other_value(self, dialogue: Conversation, random: Random) -> Conversation | None:
        """A value of the same parameter that must not be used."""
        calls = _calls(dialogue)
        slots = [(call.name, name, value) for call in calls or () for name, value in call.arguments.items() if _nameable(value)]
        if not slots:
            return None
        tool, name, value = random.choice(slots)
        others = {
            json_value
            for one in self.singles
            for call in _calls(one) or ()
            if call.name == tool and _nameable(json_value := call.arguments.get(name)) and json_value != value
        }
        asked = str(dialogue.messages[-2].content)
        usable = sorted((one for one in others if str(one) not in asked), key=str)
        if not usable:
            return None
        aside = random.choice(_ASIDES).format(value=random.choice(usable))
        user = replace(dialogue.messages[-2], content=f"{asked.rstrip()} {aside}")
        return replace(dialogue, messages=(*dialogue.messages[:-2], user, dialogue.messages[-1]))


def fewer_candidates(dialogue: Conversation, random: Random) -> Conversation | None:
    """One tool less that is not called, as long as one is left."""
    called = {call.name for message in dialogue.messages for call in message.tool_calls}
    idle = [tool for tool in dialogue.tools if tool.name not in called]
    if not idle or len(dialogue.tools) < 2:
        return None
    gone = random.choice(idle)
    return replace(dialogue, tools=tuple(tool for tool in dialogue.tools if tool is not gone))


def _calls(dialogue: Conversation) -> tuple[ToolCall, ...] | None:
    """The calls of a dialogue that is one question and its answer; None for any other."""
    messages = dialogue.messages
    spoken = [message for message in messages if message.role != "system"]
    if len(spoken) != 2 or spoken[0].role != "user" or spoken[1].role != "assistant" or not spoken[1].tool_calls:
        return None
    return spoken[1].tool_calls


def _serves(tool: Tool, like: Tool) -> bool:
    """Whether a tool could be called in another's place: the same description, or the same words in its name."""
    return tool.description == like.description or _plain(tool.name) == _plain(like.name)


def _plain(name: str) -> str:
    return "".join(letter for letter in name.rsplit(".", maxsplit=1)[-1].casefold() if letter.isalnum())


def _inserted(tools: Sequence[Tool], tool: Tool, random: Random) -> tuple[Tool, ...]:
    place = random.randint(0, len(tools))
    return (*tools[:place], tool, *tools[place:])


def _nameable(value: Any) -> bool:
    """Whether a value can be named in passing: a number or a short text."""
    return (isinstance(value, int | float) and not isinstance(value, bool)) or (isinstance(value, str) and 0 < len(value) <= 40)
