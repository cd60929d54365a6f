"""Tool dialogues whose truth is known beforehand: tool and arguments are drawn first, the user's text is written around them.

Types (arXiv 2409.00920, sec. 3.2): single, parallel, missing_argument (the assistant asks for exactly what is missing) and
irrelevant (no tool on offer fits). Distractors are near neighbours of the right tool or of its request.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from luthier.records import JSON, Conversation, Message, Tool, ToolCall
from luthier.synthesize.tools.blueprints import Blueprint
from luthier.synthesize.tools.everyday import everyday_blueprint, ideas, plain_ideas
from luthier.synthesize.tools.parallel_requests import parallel_request
from luthier.synthesize.tools.real_tools import real_blueprints
from luthier.synthesize.tools.requests import draw_arguments, request
from luthier.synthesize.tools.values import Source, topic_text

DialogueType = Literal["single", "parallel", "missing_argument", "irrelevant"]
TYPE_SHARES: Mapping[DialogueType, float] = {"single": 0.57, "parallel": 0.09, "missing_argument": 0.06, "irrelevant": 0.28}
REAL_SHARE = 0.25
NEAR_SHARE, OPEN_SHARE = 0.35, 0.15
OPTIONAL_SHARE = 0.75  # of the optional parameters a request mentions: people list a parameter because they use it
PER_LIST = 6
_DISTRACTORS = (0, 0, 0, 0, 0, 0, 1, 1, 2)
_PARALLEL_DISTRACTORS = (0, 0, 1, 1, 2, 3)  # for a list with several such requests: half of those are of several tools
_OPEN_KINDS = ("topic", "event", "substance", "animal", "organ", "sport", "country", "author", "coding", "genre")
_OPEN = (
    "What is {topic}?",
    "Who is the most important person in {topic}?",
    "How does {topic} work?",
    "Why do people care about {topic}?",
    "Explain {topic} to me.",
    "What are the newest trends in {topic}?",
    "What should I know about {topic}?",
    "How many kinds of {topic} are there?",
    "Write a short poem about {topic}.",
)
# A greedy decoder takes the likeliest token. Where each wording began otherwise, a call would win against all of them together: these all begin alike.
REFUSALS = (
    "I can't {ask} with these functions.",
    "I have no function to {ask}.",
    "I see no function here that can {ask}.",
    "I cannot {ask}: none of the available functions does that.",
    "I can't {ask}; the functions on offer do other things.",
    "I do not have a suitable function to {ask}.",
)
QUESTIONS = (
    "I need the {missing} for that. Could you tell me?",
    "I need one more detail: the {missing}.",
    "I still need the {missing}.",
    "I can do that once I know the {missing}.",
    "I don't know the {missing} yet. Could you tell me?",
)
SEVERAL = tuple(one for one in QUESTIONS if "one more" not in one)


def synthesize_dialogues(
    count: int,
    tools: Sequence[Tool] = (),
    *,
    seed: int = 0,
    shares: Mapping[DialogueType, float] = TYPE_SHARES,
    real_share: float = REAL_SHARE,
    per_list: int = PER_LIST,
    plain: bool = False,
) -> Iterator[Conversation]:
    """`count` dialogues over everyday tools and, for `real_share` of the lists, over facets of the given real tools.

    `per_list` dialogues in a row stand on one list of tools, some that a tool answers and some that none does: the contrast teaches
    when to call, and training reads the list once. plain: no objects, lists of objects and names of variables as arguments of everyday
    tools. Each row's `extra` has id, type, and the source of its tools. The same arguments give the same dialogues.
    """
    source = Source(seed)
    real = real_blueprints(list(tools), source) if tools else iter(())
    known = plain_ideas() if plain else ideas()
    recent: list[Blueprint] = [everyday_blueprint(idea, source) for idea in source.random.sample(known, 40)]
    made = 0
    while made < count:
        blueprint = (next(real, None) if source.random.random() < real_share else None) or everyday_blueprint(
            source.random.choice(known), source
        )
        others = [other for other in recent if other.tool.name != blueprint.tool.name and other.ask != blueprint.ask]
        for row in _on_one_list(blueprint, others, spread(shares, per_list, source), source, paired=not plain)[: count - made]:
            yield row
            made += 1
        recent = [*recent[-200:], blueprint]


def spread(shares: Mapping[DialogueType, float], count: int, source: Source) -> list[DialogueType]:
    """`count` types in the given shares: evenly spaced points on their cumulative line, so that every list gets its mix."""
    total, start = sum(shares.values()), source.random.random()
    points = [(start + number) / count * total for number in range(count)]
    types: list[DialogueType] = []
    for point in points:
        for name, share in shares.items():  # noqa: B007
            if (point := point - share) < 0:
                break
        types.append(name)
    source.random.shuffle(types)
    return types


def _on_one_list(
    blueprint: Blueprint, others: list[Blueprint], types: list[DialogueType], source: Source, *, paired: bool
) -> list[Conversation]:
    """Dialogues of the given types, with different requests, on one list: the blueprint's tool and some distractors."""
    listed = _listed(
        blueprint, others, source.random.choice(_PARALLEL_DISTRACTORS if types.count("parallel") > 1 else _DISTRACTORS), source
    )
    names = {one.tool.name for one in listed}
    asks = {one.ask for one in listed}
    absent = [other for other in others if other.tool.name not in names and other.ask not in asks]
    rows: dict[str, Conversation] = {}
    able = [one for one in listed if _askable(one)]
    whole: list[Conversation] = []  # requests that lacked something, in full
    for number, kind in enumerate(sorted(types, key=lambda kind: kind != "missing_argument")):
        asked = blueprint if number == 0 else source.random.choice(listed)
        if kind == "missing_argument" and able:
            row, complete = _missing_argument(asked if asked in able else source.random.choice(able), [one.tool for one in listed], source)
            whole += (
                [complete] if paired else []
            )  # one run with them taught the bundled model less, or had bad luck; it asks for nothing either way
        else:
            row = whole.pop() if kind == "single" and whole else _dialogue(kind, asked, listed, absent, source)
        rows.setdefault(str(row.messages[0].content), row)
    return list(rows.values())


def _listed(blueprint: Blueprint, others: list[Blueprint], count: int, source: Source) -> list[Blueprint]:
    """The blueprint and `count` distractors, of the same domain half of the time, with different names and different purposes."""
    near = [other for other in others if other.domain == blueprint.domain]
    pool = near if len(near) >= count and source.random.random() < 0.5 else others
    listed = [blueprint]
    for other in source.random.sample(pool, len(pool)):
        if len(listed) > count:
            break
        if all(other.tool.name != one.tool.name and other.ask != one.ask for one in listed):
            listed.append(other)
    source.random.shuffle(listed)
    return listed


def _dialogue(kind: DialogueType, blueprint: Blueprint, listed: list[Blueprint], absent: list[Blueprint], source: Source) -> Conversation:
    tools = [one.tool for one in listed]
    if kind == "irrelevant":
        return _irrelevant(blueprint, absent, tools, source)
    if kind == "parallel" and (row := _parallel(blueprint, listed, tools, source)) is not None:
        return row
    arguments = draw_arguments(blueprint, source, OPTIONAL_SHARE)
    asked = request(blueprint, arguments, source)
    return _row("single", asked.text, _calls([(blueprint.tool.name, arguments)]), tools, blueprint)


def _askable(blueprint: Blueprint) -> list[str]:
    """Required parameters whose absence can be seen: no other parameter's value could be taken for theirs."""
    types = [slot.schema.get("type") for slot in blueprint.slots]
    return [slot.name for slot in blueprint.slots if slot.required and types.count(slot.schema.get("type")) == 1]


def _parallel(blueprint: Blueprint, listed: list[Blueprint], tools: list[Tool], source: Source) -> Conversation | None:
    made = parallel_request(blueprint, listed, source)
    return made and _row("parallel", made.text, _calls(made.calls), tools, blueprint)


def _missing_argument(blueprint: Blueprint, tools: list[Tool], source: Source) -> tuple[Conversation, Conversation]:
    """A request that lacks a value, which the assistant asks for, and the same request with it: the value alone decides whether to call."""
    missing = source.random.choice(_askable(blueprint))
    arguments = draw_arguments(blueprint, source, 0.4)
    wording = source.random.getrandbits(32)
    asked = request(blueprint, arguments, Source(wording), without=missing)
    whole = request(blueprint, arguments, Source(wording))
    words = next(slot.words for slot in blueprint.slots if slot.name == missing)
    answer = Message("assistant", source.random.choice(QUESTIONS).format(missing=words))
    row = _row("missing_argument", asked.text, answer, tools, blueprint)
    row.extra["missing"] = [missing]
    return row, _row("single", whole.text, _calls([(blueprint.tool.name, arguments)]), tools, blueprint)


def _irrelevant(blueprint: Blueprint, absent: list[Blueprint], tools: list[Tool], source: Source) -> Conversation:
    """A request for a tool that is not on the list, often one of the blueprint's domain, or a question that needs no tool."""
    near = [other for other in absent if other.domain == blueprint.domain]
    wanted = source.random.choice(near if near and source.random.random() < NEAR_SHARE else absent)
    if source.random.random() < OPEN_SHARE:
        topic = topic_text(source.random.choice(_OPEN_KINDS), source)
        text, ask = source.random.choice(_OPEN).format(topic=topic), f"answer questions about {topic}"
    else:
        text, ask = request(wanted, draw_arguments(wanted, source), source).text, wanted.ask
    answer = Message("assistant", source.random.choice(REFUSALS).format(ask=ask))
    return _row("irrelevant", text, answer, tools, blueprint)


def _calls(pairs: Sequence[tuple[str, JSON]]) -> Message:
    return Message("assistant", None, tuple(ToolCall(name, arguments) for name, arguments in pairs))


def _row(kind: DialogueType, text: str, answer: Message, tools: list[Tool], blueprint: Blueprint) -> Conversation:
    digest = hashlib.sha256(f"{kind}\n{text}\n{[tool.name for tool in tools]}".encode()).hexdigest()[:12]
    extra = {"id": digest, "type": kind, "source": blueprint.tool.source, "license": blueprint.tool.license}
    return Conversation((Message("user", text), answer), tuple(tools), extra)
