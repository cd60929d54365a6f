"""Tools that are made of tools (ToolACE, arXiv 2409.00920, sec. 2.1): a set of nodes of the context tree and an example become a definition, operators
change it, and what is sound and new joins the examples of the next generation.

Without a model the definition of the first node is widened by what the others ask for; a model writes one freely, and the rules hold it to account.
"""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from luthier.errors import BadRowError
from luthier.models.protocol import Completion, Prompt, Sampling
from luthier.records import JSON, Message, Tool
from luthier.records.lines import parse_row
from luthier.synthesize.tools.asks import OUT_OF_BUDGET, DroppedError, asked_once, drawn_by
from luthier.synthesize.tools.callable_tools import callable_tools
from luthier.synthesize.tools.context_tree import ContextTree, Functionality, mined, node_sets, speciate
from luthier.synthesize.tools.lint import lint
from luthier.synthesize.tools.meanings import words_of
from luthier.synthesize.tools.operators import MOST_PARAMETERS, OF_ARGUMENTS, OPERATORS, Bank, joined
from luthier.synthesize.tools.similarity import JACCARD, fingerprint, tool_words
from luthier.texts.grams import word_hashes
from luthier.texts.minhash import jaccard, signature

GENERATION = 64  # APIs at most that are made of one state of the buffer, and a quarter of those asked for
_IDLE = 8  # generations in a row that bring nothing new: the tree is used up
_SAME_DOMAIN, _MADE = 0.5, 0.5  # shares of the examples
_BORROWED = 2  # parameters of each further node
_TOKENS = 700
_HEAT = 0.8


@dataclass(frozen=True)
class Draft:
    """What an API is made of. parent: an example of the buffer; operators: by name, in order; seed: of every draw."""

    nodes: tuple[Functionality, ...]
    parent: Tool
    operators: tuple[str, ...]
    seed: int


@dataclass(frozen=True)
class Grown:
    """A definition that came of a draft, with the operators that changed it, or why none did."""

    tool: Tool | None
    reason: str = ""
    operators: tuple[str, ...] = ()


@dataclass
class Evolution:
    """What became of an evolution. tools: in the order they were made; reasons: why drafts came to nothing; operators: of those that are kept;
    generations: how long the longest line of parents is."""

    tools: list[Tool] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    operators: Counter[str] = field(default_factory=Counter)
    nodes: Counter[int] = field(default_factory=Counter)
    generations: int = 0


Grow = Callable[[Sequence[Draft]], list[Grown]]


def evolve(
    tools: Sequence[Tool], count: int, *, seed: int = 0, grow: Grow | None = None, ended: Callable[[int], None] | None = None
) -> Evolution:
    """`count` new tools of the given ones, fewer where no more are found; the same arguments give the same tools.

    grow: makes definitions of drafts, by rule where it is left out. ended: told how many were kept, after each generation. No two have the same
    nodes, none is a near duplicate of another or of a given one, each passes the lint and has arguments that can be drawn.
    """
    tree, bank, random = speciate(tools), mined(tools), Random(seed)
    made, seen, used = Evolution(), _Seen(tools), set[frozenset[str]]()
    buffer = _Buffer(tools)
    depth: dict[str, int] = {}
    idle = 0
    while len(made.tools) < count and idle < _IDLE:
        before = len(made.tools)
        drafts = list(_drafts(tree, buffer, random, used, min(GENERATION, max(4, count // 4))))
        for draft, grown in zip(drafts, (grow or (lambda some: [by_rule(one, bank) for one in some]))(drafts), strict=True):
            reason = grown.reason if grown.tool is None else _unsound(grown.tool, draft, seen)
            if grown.tool is None or reason:
                made.reasons[reason] += 1
                continue
            if len(made.tools) == count:
                break
            tool = replace(grown.tool, lineage=_lineage(draft, grown))
            seen.add(tool)
            buffer.add(tool)
            made.tools.append(tool)
            made.operators.update(grown.operators)
            made.nodes[len(draft.nodes)] += 1
            depth[tool.name] = depth.get(draft.parent.name, 0) + 1
        if ended is not None:
            ended(len(made.tools) - before)
        idle = 0 if len(made.tools) > before else idle + 1
    made.generations = max(depth.values(), default=0)
    return made


def by_rule(draft: Draft, bank: Bank) -> Grown:
    """The definition of the first node, with parameters of the others, named in the style of the parent; then the operators."""
    random = Random(draft.seed)
    tool = _widened(draft, random)
    done: list[str] = []
    for name in draft.operators:
        other = OPERATORS[name](tool, random, bank)
        if other is not None:
            tool = other
            done.append(name)
    return Grown(tool, operators=tuple(done)) if done else Grown(None, "no operator found anything to change")


def by_model(draft: Draft, *, structured: bool = True) -> Generator[Any, Any, Grown]:
    """The definition that a model writes for the nodes after the example, changed by one request for each operator."""
    tool: Tool | None = None
    asked = [_write(draft), *(_change(name) for name in draft.operators)]
    for number, text in enumerate(asked):
        told = text if tool is None else f"{text}\n\n{_shown(tool)}"
        prompt = Prompt((Message("system", _RULES), Message("user", told)), json_schema=_SCHEMA if structured else None)
        try:
            answer: Completion = yield from asked_once(prompt, Sampling(_TOKENS, _HEAT, 0.95, seed=drawn_by(draft.seed, number)), "tool")
        except DroppedError:
            return Grown(None, OUT_OF_BUDGET)
        read = _read(answer, draft)
        if read is None:
            return Grown(None, "the model wrote no definition")
        tool = read
    return Grown(tool, operators=draft.operators)


# --- drafts -------------------------------------------------------------------------------------------------------------------


class _Buffer:
    """Examples for the next generation: half of them tools that were made, so that generations build on one another; the least used ones first."""

    def __init__(self, tools: Sequence[Tool]) -> None:
        self._uses = [[0, number] for number in range(len(tools))]
        self._tools, self._given = list(tools), len(tools)

    def add(self, tool: Tool) -> None:
        self._uses.append([0, len(self._tools)])
        self._tools.append(tool)

    def sample(self, nodes: Sequence[Functionality], random: Random) -> Tool:
        own = random.random() < _SAME_DOMAIN
        made = random.random() < _MADE and len(self._uses) > self._given
        uses = self._uses[self._given :] if made else self._uses[: self._given]
        some = random.sample(uses, min(32, len(uses)))
        near = [one for one in some if own and self._tools[one[1]].source == nodes[0].tool.source] or some
        best = min(near)
        best[0] += 1
        return self._tools[best[1]]


def _drafts(tree: ContextTree, buffer: _Buffer, random: Random, used: set[frozenset[str]], most: int) -> Iterator[Draft]:
    names = list(OPERATORS)
    for _ in range(most):
        nodes = node_sets(tree, random, used)
        if nodes is None:
            return
        chosen = random.sample(names, random.randint(1, 3))
        if not OF_ARGUMENTS & set(chosen):
            chosen[0] = random.choice(sorted(OF_ARGUMENTS))
        if len(nodes) == 1 and "rename" not in chosen:
            chosen.append("rename")  # its one node has the name already
        yield Draft(nodes, buffer.sample(nodes, random), tuple(chosen), random.randrange(2**31))


def _widened(draft: Draft, random: Random) -> Tool:
    first, others = draft.nodes[0], draft.nodes[1:]
    base = first.tool
    properties = copy.deepcopy(base.parameters.get("properties") or {})
    told, words = base.description.strip().rstrip("."), words_of(base.name.rsplit(".", 1)[-1]).split()
    for node in others:
        own = [(name, schema) for name, schema in (node.tool.parameters.get("properties") or {}).items() if name not in properties]
        for name, schema in random.sample(own, min(_BORROWED, len(own), max(0, MOST_PARAMETERS - len(properties)))):
            properties[name] = copy.deepcopy(schema)
    more = "; ".join(f"{node.gloss[:1].lower()}{node.gloss[1:]}" for node in others)
    extra = [word for node in others for word in node.subject.split() if word not in words]
    named = [*words, "with", *dict.fromkeys(extra[:4])] if extra else words
    parameters = {**copy.deepcopy(base.parameters), "properties": properties}
    sources = sorted({node.tool.source for node in draft.nodes if node.tool.source})
    return Tool(
        _in_style(base.name, named, draft.parent.name),
        f"{told}. Also: {more}." if more else f"{told}.",
        parameters,
        copy.deepcopy(base.returns),
        sources[0] if sources else base.source,
        _license(draft),
    )


def _license(draft: Draft) -> str:
    """Of all definitions that a tool was made of."""
    return " AND ".join(sorted({node.tool.license for node in draft.nodes if node.tool.license}))


def _in_style(name: str, words: Sequence[str], like: str) -> str:
    """The words as the example writes its own: `a.b_c`, `aB`, `a_b`."""
    place, dot, last = name.rpartition(".")
    if "." not in like:
        place, dot = "", ""
    return f"{place}{dot}{joined(words, like) or last}"


def _lineage(draft: Draft, grown: Grown) -> JSON:
    return {"parent": draft.parent.name, "operators": list(grown.operators), "nodes": [node.path for node in draft.nodes]}


# --- what is kept -------------------------------------------------------------------------------------------------------------


class _Seen:
    """The tools so far, by fingerprint, name, and MinHash of their words."""

    def __init__(self, tools: Sequence[Tool]) -> None:
        import numpy as np

        self._marks = {fingerprint(tool) for tool in tools}
        self._names = {tool.name for tool in tools}
        self._words = [tool_words(tool) for tool in tools]
        self._signatures = np.array([signature(word_hashes(sorted(words))) for words in self._words], dtype=np.uint32)

    def like(self, tool: Tool) -> str:
        """What stands against a tool, in words; empty where it is new."""
        if fingerprint(tool) in self._marks:
            return "the same as another tool"
        if tool.name in self._names:
            return "another tool has its name"
        words = tool_words(tool)
        if len(self._words):
            shares = (self._signatures == signature(word_hashes(sorted(words)))).mean(axis=1)
            for at in (shares > JACCARD - 0.15).nonzero()[0].tolist():
                if jaccard(words, self._words[at]) > JACCARD:
                    return "nearly the words of another tool"
        return ""

    def add(self, tool: Tool) -> None:
        import numpy as np

        self._marks.add(fingerprint(tool))
        self._names.add(tool.name)
        self._words.append(tool_words(tool))
        row = signature(word_hashes(sorted(self._words[-1])))[None]
        self._signatures = np.concatenate([self._signatures, row]) if len(self._signatures) else row


def _unsound(tool: Tool, draft: Draft, seen: _Seen) -> str:
    """Why a definition is not taken, in words; empty where it is."""
    if findings := lint(tool):
        return f"{findings[0].rule} {findings[0].message}"
    if any(tool.parameters == node.tool.parameters for node in draft.nodes) or tool.parameters == draft.parent.parameters:
        return "its parameters are those of what it was made of"
    if like := seen.like(tool):
        return like
    return "" if callable_tools([tool])[0] else "no arguments are found that its parameters allow"


# --- the model's version ------------------------------------------------------------------------------------------------------

_RULES = (
    'You design functions that an assistant may call. Answer with one JSON object and nothing else: "name" (letters, digits, _ and points), '
    '"description" (what it does, in one to three sentences), "parameters" (a JSON Schema: type object, properties with type and description each, '
    "required). Say every limit of a parameter in its description too."
)
_SCHEMA: JSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "description": {"type": "string"},
        "parameters": {
            "type": "object",
            "properties": {
                "type": {"const": "object"},
                "properties": {"type": "object", "additionalProperties": {"type": "object"}},
                "required": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["type", "properties", "required"],
            "additionalProperties": False,
        },
    },
    "required": ["name", "description", "parameters"],
    "additionalProperties": False,
}
_REQUESTS = {
    "add parameter": "Add one parameter that callers of this function would want.",
    "add constraint": "Add a constraint to one parameter: options, a range, a pattern or a length. Say it in the description too.",
    "change type": "Change the type of one parameter: a list in place of one value, an object in place of several, a list of objects.",
    "change need": "Make one optional parameter required, or a required one optional with its default said.",
    "change answer": "Change what the function answers, and say in its description what comes back.",
    "rename": "Give the function another name that says the same, and word its description anew.",
}


def _write(draft: Draft) -> str:
    nodes = "\n".join(f"- {node.path}: {node.gloss}" for node in draft.nodes)
    return f"Write one new function that does this and nothing else:\n{nodes}\n\nAn example of such a definition, of another function:\n{_shown(draft.parent)}"


def _change(operator: str) -> str:
    return f"{_REQUESTS[operator]} Keep the rest of the definition as it is."


def _shown(tool: Tool) -> str:
    return json.dumps({"name": tool.name, "description": tool.description, "parameters": tool.parameters}, ensure_ascii=False)


def _read(answer: Completion, draft: Draft) -> Tool | None:
    text = answer.text[answer.text.find("{") : answer.text.rfind("}") + 1]
    try:
        row = parse_row(text.encode(errors="replace"))
    except BadRowError:
        return None
    name, told, parameters = (row.get(key) for key in ("name", "description", "parameters"))
    if not (isinstance(name, str) and isinstance(told, str) and isinstance(parameters, dict)):
        return None
    return Tool(name, told, parameters, source=draft.nodes[0].tool.source, license=_license(draft))
