"""The rule layer of ToolACE's dual-layer verification (arXiv 2409.00920, sec. 2.4): every rule has an id and is a pure function.

`check` runs them all. Rules never change a conversation and never look at each other's findings, so their order does not matter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from luthier.records import Conversation
from luthier.synthesize.tools import rules_calls, rules_text, rules_turns
from luthier.synthesize.tools.contamination import Contamination
from luthier.synthesize.tools.lint import Finding

__all__ = ["RULES", "Contamination", "Finding", "Rule", "check"]


@dataclass(frozen=True)
class Rule:
    """A rule's id, what it demands, and the function that finds its violations."""

    id: str
    description: str
    find: Callable[[Conversation], list[Finding]]


RULES: dict[str, Rule] = {
    rule.id: rule
    for rule in (
        Rule("A1", "tool definitions are valid JSON Schema 2020-12", rules_calls.valid_definitions),
        Rule("A2", "tool definitions are complete, their names unique", rules_calls.complete_definitions),
        Rule("F1", "called tools are on offer", rules_calls.known_tools),
        Rule("F2", "required arguments are given", rules_calls.required_arguments),
        Rule("F3", "arguments obey types, formats, patterns and limits; none is unknown", rules_calls.valid_arguments),
        Rule("G1", "argument values are grounded in what was said before", rules_calls.grounded_arguments),
        Rule("R1", "no call is repeated within a turn", rules_calls.distinct_calls),
        Rule("D1", "every message has what its role needs", rules_turns.needed_fields),
        Rule("S1", "a tool's response carries the name of the call it answers", rules_turns.response_names),
        Rule("S2", "the type label agrees with the calls; prose holds no calls", rules_turns.type_label),
        Rule("S3", "roles follow each other: user, assistant, tool after calls, assistant last", rules_turns.role_order),
        Rule("S4", "every call is answered, every tool response answers a call", rules_turns.responses_follow_calls),
        Rule("D2", "replies are not too long", rules_text.reply_length),
        Rule("D3", "no broken characters and no template tokens", rules_text.clean_characters),
        Rule("D4", "the assistant writes in a script that was used before", rules_text.same_script),
        Rule("D5", "replies are complete", rules_text.complete_replies),
    )
}


def check(conversation: Conversation, contamination: Contamination | None = None) -> list[Finding]:
    """All findings of all rules, and of C1 where evaluation data is given. An empty list is a clean conversation."""
    findings = [finding for rule in RULES.values() for finding in rule.find(conversation)]
    return findings if contamination is None else findings + contamination.findings(conversation)
