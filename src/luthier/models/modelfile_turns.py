"""What a chat template writes between what is said, found out by rendering small conversations, and held against other ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from luthier.errors import EngineError
from luthier.models.chat_template import ChatTemplate
from luthier.models.modelfile_tools import written_arguments, written_tool
from luthier.records import JSON

_TAUGHT = (("user",), ("system", "user", "assistant", "user"))
_TRIALS = (("user",), ("system", "user"), ("user", "assistant", "user"), ("system", "user", "assistant", "user", "assistant", "user"))
_TOOL_TAUGHT = (
    ("user", "call", "tool", "tool", "assistant", "user"),
    ("system", "user", "calls", "tool", "call", "tool", "user"),
    ("user", "said call", "tool"),
)
_TOOL_TRIALS = (
    *_TRIALS,
    ("user", "call", "tool"),
    ("system", "user", "calls", "tool", "tool", "assistant", "user"),
    ("system", "user", "said call", "tool", "call", "tool", "assistant", "user", "assistant", "user"),
    ("user", "assistant", "user", "call", "tool", "user"),
)
_MANY = {"call": 1, "calls": 2, "said call": 1}


@dataclass(frozen=True)
class Turns:
    """The text between two things that are said, by what they are: "" (the beginning), system, offered (a tool), user, assistant, name and arguments (of a
    call), tool, answer (where the model goes on).

    tag: with what every call begins, close: with what it ends. tools: whether tools are among it; why_not: why they are not.
    """

    between: dict[tuple[str, str], str]
    tag: str = ""
    close: str = ""
    why_not: str = ""

    @property
    def tools(self) -> bool:
        return bool(self.tag)

    def into(self, kind: str) -> list[tuple[str, str]]:
        """What may stand before, and the text between."""
        return [(before, text) for (before, to), text in self.between.items() if to == kind]

    def render(self, messages: Sequence[JSON], tools: Sequence[JSON] = ()) -> str:
        """A conversation up to the answer, as Ollama writes it by these turns. Raises KeyError where they do not know a step."""
        said = [*_said(messages, tools), ("answer", "")]
        before = ["", *(kind for kind, _ in said)]
        return "".join(f"{self.between[step]}{text}" for step, (_, text) in zip(pairwise(before), said, strict=True))


def turns_of(template: ChatTemplate) -> Turns:
    """What a template writes between turns. Raises EngineError where that depends on more than what stands before and after. Tools are left out where
    the template does not write them so that Ollama can; `why_not` tells."""
    plain = _learnt(template, _TAUGHT, ())
    _hold(template, Turns(plain), _TRIALS, ())
    try:
        return _with_tools(template, plain)
    except EngineError as problem:
        return Turns(plain, why_not=str(problem))


def _with_tools(template: ChatTemplate, plain: dict[tuple[str, str], str]) -> Turns:
    learnt = _learnt(template, _TOOL_TAUGHT, _tools("xqzvo", "xqzvp"))
    if any(learnt.get(step, text) != text for step, text in plain.items()):
        raise EngineError("the chat template writes turns otherwise where tools are offered")
    between = {**plain, **learnt}
    tag = _suffix([text for (_, to), text in between.items() if to == "name"])
    if not tag.strip() or "{{" in tag or "}}" in tag:
        raise EngineError("the chat template's calls do not begin alike")
    close = between["arguments", "name"].removesuffix(tag)
    if any(not text.startswith(close) for (before, _), text in between.items() if before == "arguments"):
        raise EngineError("the chat template parts calls by more than how each begins and ends")
    turns = Turns(between, tag, close)
    _hold(template, turns, _TOOL_TRIALS, _tools("get_weather", "book_table"))
    return turns


def _learnt(template: ChatTemplate, taught: Sequence[Sequence[str]], tools: Sequence[JSON]) -> dict[tuple[str, str], str]:
    """The text between what is said, from renderings of conversations in which every word is one that stands in no template."""
    between: dict[tuple[str, str], str] = {}
    for number, kinds in enumerate(taught):
        messages = list(_talk(kinds, f"xqzv{'abc'[number]}"))
        rest, before = _rendered(template, messages, tools), ""
        for kind, text in _said(messages, tools):
            piece, found, rest = rest.partition(text)
            if not found:
                raise EngineError(f"the chat template does not write {_WORDS.get(kind, _WORDLESS)}")
            _keep(between, (before, kind), piece)
            before = kind
        _keep(between, (before, "answer"), rest)
    return between


_WORDS = {
    "offered": "tools as JSON",
    "name": "the names of calls",
    "arguments": "the arguments of calls as JSON",
    "tool": "what tools answer",
}
_WORDLESS = "what a turn says as it is, so no Modelfile can be made of it"
_REFUSED = (
    "the chat template writes turns by more than who speaks before and after, which Ollama's templates cannot do the same; "
    "serve the GGUF file with llama.cpp, which reads the template itself"
)


def _keep(between: dict[tuple[str, str], str], step: tuple[str, str], text: str) -> None:
    if between.setdefault(step, text) != text:
        raise EngineError(_REFUSED)


def _hold(template: ChatTemplate, turns: Turns, trials: Sequence[Sequence[str]], tools: Sequence[JSON]) -> None:
    """Raises EngineError where a conversation is rendered otherwise."""
    for kinds in trials:
        messages = list(_talk(kinds, "says"))
        for offered in [tools] if not tools else [tools, tools[:1]]:
            try:
                same = turns.render(messages, offered) == _rendered(template, messages, offered)
            except KeyError:
                same = False
            if not same:
                raise EngineError(_REFUSED)


def _rendered(template: ChatTemplate, messages: Sequence[JSON], tools: Sequence[JSON]) -> str:
    try:
        return template.render(messages, tools, generate=True)
    except Exception as problem:  # Jinja, and whatever an expression in a template raises
        raise EngineError(f"the chat template refuses a small conversation ({problem})") from problem


def _said(messages: Sequence[JSON], tools: Sequence[JSON]) -> Iterator[tuple[str, str]]:
    """What is said, in order: tools stand behind the system turn."""
    offered = [("offered", written_tool(tool)) for tool in tools]
    for at, message in enumerate(messages):
        system = message["role"] == "system"
        if at == 0 and not system:
            yield from offered
        calls = message.get("tool_calls", [])
        if message["content"] or not calls:
            yield message["role"], message["content"]
        for call in calls:
            yield "name", call["function"]["name"]
            yield "arguments", written_arguments(call["function"]["arguments"])
        if at == 0 and system:
            yield from offered


def _talk(kinds: Sequence[str], word: str) -> Iterator[JSON]:
    """A conversation whose every text is another one."""
    for number, kind in enumerate(kinds):
        count = _MANY.get(kind, 0)
        if not count:
            yield {"role": kind, "content": f"{kind} {word} {number}", **({"name": "get_weather"} if kind == "tool" else {})}
            continue
        calls = [
            {
                "type": "function",
                "function": {"name": f"{word}_{number}_{at}", "arguments": {"city": f"{word} {number} {at}", "days": 3, "rain": True}},
            }
            for at in range(count)
        ]
        yield {"role": "assistant", "content": f"assistant {word} {number}" if kind == "said call" else "", "tool_calls": calls}


def _tools(*names: str) -> list[JSON]:
    """Tools that Ollama can write as they are."""
    properties = {
        "city": {"type": "string", "description": "A city."},
        "days": {"type": "integer", "description": "How many.", "enum": [1, 2]},
    }
    return [
        {
            "type": "function",
            "function": {
                "name": name,
                "description": f"Of {name}.",
                "parameters": {"type": "object", "properties": properties, "required": ["city", "days"][:at]},
            },
        }
        for at, name in enumerate(names, 1)
    ]


def _suffix(texts: Sequence[str]) -> str:
    """With what all of them end."""
    shortest = min(texts, key=len)
    return next((shortest[at:] for at in range(len(shortest)) if all(text.endswith(shortest[at:]) for text in texts)), "")
