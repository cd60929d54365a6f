"""What the agents of made dialogues are told. The paper publishes no prompts; these are ours, and everything that a model reads stands here."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from luthier.models.protocol import Prompt
from luthier.records import Message, Tool
from luthier.records.calls import render_calls
from luthier.synthesize.tools.briefs import Topic
from luthier.synthesize.tools.decisions import Action
from luthier.synthesize.tools.meanings import words_of

_USER = (
    "You play a person who writes to an assistant. You do not know what functions are, and never name one. Write the person's next message and nothing"
    " else: no quotes, no explanation. Make up realistic values where some are needed (names, dates, numbers) and say them plainly."
)
_WANTS = {
    "single": "You want one thing done, once: {0}. Say a value for everything it requires.",
    "parallel": "You want two things done that do not need each other: {0}; and: {1}. Say a value for everything they require, different ones for each.",
    "dependent": "You want two steps: first {0}; then, with what comes of it: {1}. You do not know the {given}; the first step finds it. Say"
    " all other values that are required.",
    "missing_argument": "You want this done: {0}. Say all that it requires except the {withheld}: do not mention that, and do not say that it is missing.",
    "irrelevant": "You want this done: {0}. Say a value for everything it requires.",
    "chat": "You want nothing done: greet, thank, or say something friendly that needs no work.",
}
_ASSISTANT = """You decide what an assistant does next in the conversation below. The assistant has these functions, one JSON object a line:
{tools}

Think in this order, and answer with one JSON object that has exactly these fields:
"goal": what the user wants, in a few words.
"known": the values that the user or a function's result has said, by parameter name. Never invent a value.
"missing": the names of required parameters of the fitting function that nobody has said.
"fitting_tools": the functions that do what is wanted; none where none does.
"depends_on_result": true where a call needs what another call gives first.
"action": {actions}.
"calls": with the action call, [{{"name": ..., "arguments": {{...}}}}, ...]: all calls that can be made now; else [].
"text": with any other action, what the assistant says to the user; else ""."""
_MEANING: dict[Action, str] = {
    "call": '"call" where a function fits and nothing required is missing',
    "ask": '"ask" where something required is missing: ask for exactly that',
    "summarise": '"summarise" to tell the user what the results say',
    "refuse": '"refuse" where no function does what is wanted: say so in a sentence',
    "chat": '"chat" where nothing is wanted that needs a function',
}
_WORDS = (
    "Say the request in other words, as a person would write it to an assistant. Keep what is wanted, and keep every name, number, date, code and option as it"
    " stands. Add nothing. Answer with the request alone."
)
_SHOWN = (
    (
        "Could you book a room in Lisbon, for 3 nights, from 4 May 2026, with half board?",
        "I'm coming to Lisbon on 4 May 2026 and need a room for 3 nights, half board please.",
    ),
    ("I need to cancel order A-4417. Reason: it arrived too late.", "Order A-4417 arrived too late, so please cancel it."),
)
_TOLD = (
    "You play the function below and answer a call to it as the real one would: one JSON object, with plausible values that agree with the arguments, and"
    " nothing else.\n{tool}"
)
_QUOTED = re.compile(r'^(["“])(.*)(["”])$', re.DOTALL)
_NO_PERSON = re.compile(r"^(sure|certainly|of course|i'm sorry|here('s| is| are))\b|\bas an ai\b|```|\"type\"\s*:", re.IGNORECASE)
_LEAD = re.compile(r"^(user|person|me|request)\s*:\s*", re.IGNORECASE)


def request(topic: Topic, before: Sequence[Message]) -> Prompt:
    """What the user agent is told before it asks for something."""
    told = [_function_words(tool) for tool in topic.about]
    want = _WANTS[topic.kind].format(*told, given=words_of(topic.given), withheld=words_of(topic.withheld))
    asked = f"{want}\n\nThe conversation so far:\n{transcript(before)}\n\nYour next message:" if before else f"{want}\n\nYour message:"
    return Prompt((Message("system", _USER), Message("user", asked)))


def reply(topic: Topic, before: Sequence[Message]) -> Prompt:
    """What the user agent is told before it answers a question of the assistant."""
    told = "; ".join(_function_words(tool) for tool in topic.about)
    asked = f"You want this done: {told}\n\nThe conversation so far:\n{transcript(before)}\n\nAnswer the assistant's question with a plain value. Your message:"
    return Prompt((Message("system", _USER), Message("user", asked)))


def decision(tools: Sequence[Tool], before: Sequence[Message], actions: Sequence[Action]) -> Prompt:
    """What the assistant agent is told before it decides."""
    listed = "\n".join(_definition(tool) for tool in tools)
    system = _ASSISTANT.format(tools=listed, actions="; ".join(_MEANING[action] for action in actions))
    return Prompt((Message("system", system), Message("user", f"{transcript(before)}\n\nThe decision, as JSON:")))


def repair(problem: str) -> str:
    return f"That cannot be used: {problem}. Answer with the corrected JSON object alone."


def words(text: str) -> Prompt:
    """What a model is told that says a request in other words."""
    shown = [message for plain, other in _SHOWN for message in (Message("user", f"{_WORDS}\n\n{plain}"), Message("assistant", other))]
    return Prompt((*shown, Message("user", f"{_WORDS}\n\n{text}")))


def told(tool: Tool, arguments: str) -> Prompt:
    """What a model is told that answers as a tool."""
    definition = json.dumps(tool.to_row()["function"] | ({"returns": tool.returns} if tool.returns else {}), ensure_ascii=False)
    return Prompt((Message("system", _TOLD.format(tool=definition)), Message("user", arguments)))


def transcript(messages: Sequence[Message]) -> str:
    """A conversation as plain text, calls as they are written in brackets."""
    lines = []
    for message in messages:
        who = f"result of {message.name}" if message.role == "tool" else message.role
        lines.append(f"{who}: {render_calls(message.tool_calls) if message.tool_calls else message.content or ''}")
    return "\n".join(lines)


def spoken(text: str) -> str:
    """What was said, without the quotes and the label that models put around it."""
    said = _LEAD.sub("", text.strip())
    quoted = _QUOTED.match(said)
    return (quoted[2] if quoted and '"' not in quoted[2] else said).strip()


def is_no_person(text: str) -> bool:
    """Whether the user agent forgot that it plays the user: it offers help, excuses itself, or recites a schema."""
    return _NO_PERSON.search(text) is not None


def _function_words(tool: Tool) -> str:
    """A function as a person is told of it: what it does, and the parameters with what they mean."""
    properties = tool.parameters.get("properties") or {}
    needed = tool.parameters.get("required") or ()
    parts = [f"{words_of(name)} ({_one_line(properties.get(name, {}))})" for name in needed]
    return f"{tool.description.strip().rstrip('.')}" + (f"; it requires: {', '.join(parts)}" if parts else "")


def _one_line(schema: object) -> str:
    told = json.dumps(schema, ensure_ascii=False)
    return told if len(told) <= 300 else f"{told[:299]}…"


def _definition(tool: Tool) -> str:
    return json.dumps(tool.to_row()["function"], ensure_ascii=False)
