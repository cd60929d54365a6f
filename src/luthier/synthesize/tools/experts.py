"""The model layer of ToolACE's verification (arXiv 2409.00920, sec. 2.4): three experts, each asked by itself, about what the rules leave open.

Each gives a verdict with a quotation; one that does not stand in the dialogue makes the verdict unsure. What is unsure is asked once more, then it
is a person's to say (`reviews`). A dialogue passes where all that were asked pass: nothing is weighed.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from luthier.errors import BadRowError
from luthier.models.protocol import Prompt, Sampling
from luthier.records import JSON, Conversation, Message
from luthier.records.lines import parse_value
from luthier.synthesize.tools.agent_prompts import transcript
from luthier.synthesize.tools.asks import DroppedError, asked_once, drawn_by
from luthier.synthesize.tools.grounding import letters
from luthier.synthesize.tools.lint import Finding

Expert = Literal["hallucination", "consistency", "tool_response"]
Outcome = Literal["pass", "fail", "unsure"]
TOLD = frozenset(("told", "given"))  # values of `answered`: tool answers that nothing but a model or a person stands behind
_TOKENS = 256
SCHEMA: JSON = {
    "type": "object",
    "properties": {
        "verdict": {"enum": ["pass", "fail", "unsure"]},
        "evidence": {"type": "string", "maxLength": 300},
        "argument": {"type": "string", "maxLength": 120},
    },
    "required": ["verdict", "evidence", "argument"],
    "additionalProperties": False,
}
_QUESTIONS: dict[Expert, str] = {
    "hallucination": "You check one thing: whether the argument values listed below follow from what the user, the system prompt or an earlier result says"
    ' (also by common knowledge: "Apple" gives AAPL). pass: all do; fail: one was invented.',
    "consistency": "You check one thing: whether the assistant does what the user asks for, no more and no less, and keeps to what the user and the system"
    " prompt demand. pass: it does; fail: it does not.",
    "tool_response": "You check one thing: whether the results of the functions agree with the functions' definitions and with the arguments of the"
    " calls. pass: they do; fail: they do not.",
}
_FORM = (
    'Answer with one JSON object: {"verdict": "pass", "fail" or "unsure", "evidence": the words of the conversation that show it, quoted letter by letter,'
    ' "argument": the path of the argument it is about, or ""}.'
)


@dataclass(frozen=True)
class Verdict:
    """What an expert says. evidence: a span of the dialogue; argument: the path that it is about."""

    expert: Expert
    verdict: Outcome
    evidence: str = ""
    argument: str = ""

    def to_row(self) -> JSON:
        return {"expert": self.expert, "verdict": self.verdict, "evidence": self.evidence, "argument": self.argument}


@dataclass(frozen=True)
class Judged:
    """A dialogue with what the experts say of it."""

    conversation: Conversation
    verdicts: tuple[Verdict, ...]

    @property
    def outcome(self) -> Outcome:
        found = {one.verdict for one in self.verdicts}
        return "fail" if "fail" in found else "unsure" if "unsure" in found else "pass"


def applicable(conversation: Conversation, findings: Sequence[Finding] = ()) -> list[Expert]:
    """Who is asked. findings: of rule G1, values that grounding did not find; a dialogue that was drawn and said by rule leaves nothing open."""
    extra = conversation.extra
    asked: dict[Expert, bool] = {
        "hallucination": any(one.rule == "G1" for one in findings),
        "consistency": extra.get("worded") != "template",
        "tool_response": extra.get("answered") in TOLD and any(message.role == "tool" for message in conversation.messages),
    }
    return [expert for expert in get_args(Expert) if asked[expert]]


def judged(
    conversation: Conversation, findings: Sequence[Finding] = (), seed: int = 0, *, structured: bool = True
) -> Generator[Any, Any, Judged]:
    """Ask each expert that is concerned, one after the other; the first who fails a dialogue is the last that is asked. Yields `Asks`."""
    verdicts: list[Verdict] = []
    for expert in applicable(conversation, findings):
        prompt = question(expert, conversation, findings, structured=structured)
        verdict = Verdict(expert, "unsure")
        for attempt, heat in enumerate((0.0, 0.7)):
            try:
                seeded = drawn_by(seed, conversation.extra.get("id"), transcript(conversation.messages), expert, attempt)
                answer = yield from asked_once(prompt, Sampling(_TOKENS, heat, seed=seeded), expert)
            except DroppedError:
                break
            verdict = read_verdict(expert, answer.text, conversation)
            if verdict.verdict != "unsure":
                break
        verdicts.append(verdict)
        if verdict.verdict == "fail":
            break
    return Judged(conversation, tuple(verdicts))


def question(expert: Expert, conversation: Conversation, findings: Sequence[Finding] = (), *, structured: bool = True) -> Prompt:
    """What an expert is asked."""
    parts = [f"Functions:\n{_definitions(conversation, expert)}", f"Conversation:\n{transcript(conversation.messages)}"]
    if expert == "hallucination":
        listed = "\n".join(f"{one.path}: {value_at(conversation, one.path)}" for one in findings if one.rule == "G1")
        parts.append(f"Arguments:\n{listed}")
    asked = (Message("system", f"{_QUESTIONS[expert]}\n{_FORM}"), Message("user", "\n\n".join(parts)))
    return Prompt(asked, json_schema=SCHEMA if structured else None)


def read_verdict(expert: Expert, text: str, conversation: Conversation) -> Verdict:
    """A verdict out of an answer's text; unsure where it cannot be read, or its evidence is not in the dialogue."""
    written = text[text.find("{") : text.rfind("}") + 1]
    try:
        row = parse_value(written.encode("utf-8", "surrogatepass")) if written else None
    except BadRowError:
        row = None
    if not isinstance(row, dict) or row.get("verdict") not in get_args(Outcome):
        return Verdict(expert, "unsure")
    evidence, argument = str(row.get("evidence") or ""), str(row.get("argument") or "")
    shown = letters(evidence)
    stands = bool(shown) and shown in letters(transcript(conversation.messages))
    return Verdict(expert, row["verdict"] if stands else "unsure", evidence, argument)


def value_at(conversation: Conversation, path: str) -> str:
    """The value that a finding's path names, as JSON; empty where there is none."""
    value: Any = conversation.to_row()
    steps = path.replace("]", "").replace("[", ".").replace(".arguments", ".function.arguments", 1).split(".")
    try:
        for step in steps:
            value = value[int(step)] if isinstance(value, list) else value[step]
    except (KeyError, ValueError, IndexError, TypeError):
        return ""
    return json.dumps(value, ensure_ascii=False)


def _definitions(conversation: Conversation, expert: Expert) -> str:
    """Of the tools; with their answers for the expert who looks at these."""
    with_returns = expert == "tool_response"
    rows = [tool.to_row()["function"] | ({"returns": tool.returns} if with_returns and tool.returns else {}) for tool in conversation.tools]
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
