"""Which of the user's tools and parameters dialogues call, how often, and what was left out and why: the account of a set of dialogues."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from luthier.records import JSON, Conversation, Tool
from luthier.synthesize.tools.drafts import given, parameters_of


class Coverage:
    """Counts calls of tools, and the parameters they give, nested ones too."""

    def __init__(self, tools: Sequence[Tool], left_out: Mapping[str, str] | None = None) -> None:
        """left_out: tools that no dialogue can call, and why."""
        self._parameters = {tool.name: tuple(parameters_of(tool.parameters)) for tool in tools}
        self._left_out = dict(left_out or {})
        self._calls: Counter[str] = Counter()
        self._offers: Counter[str] = Counter()
        self._values: dict[str, Counter[str]] = {name: Counter() for name in self._parameters}

    def add(self, conversation: Conversation) -> None:
        self._offers.update({tool.name for tool in conversation.tools} & self._parameters.keys())
        for message in conversation.messages:
            for call in message.tool_calls:
                if call.name in self._parameters:
                    self._calls[call.name] += 1
                    self._values[call.name].update(set(given(call.arguments)))

    def to_row(self) -> JSON:
        """tools, parameters: [called, all]; least: the fewest calls of a tool and values of a parameter; missing: what no dialogue has, and why."""
        everything = [(name, path) for name, paths in self._parameters.items() for path in paths]
        had = [(name, path) for name, path in everything if self._values[name][path]]
        missing = [{"tool": name, "parameter": "", "why": self._why(name)} for name in self._parameters if not self._calls[name]]
        missing += [
            {"tool": name, "parameter": path, "why": self._why(name)}
            for name, path in everything
            if self._calls[name] and not self._values[name][path]
        ]
        return {
            "tools": [sum(self._calls[name] > 0 for name in self._parameters), len(self._parameters)],
            "parameters": [len(had), len(everything)],
            "least": {
                "calls": min((self._calls[name] for name in self._parameters), default=0),
                "values": min((self._values[name][path] for name, path in everything), default=0),
            },
            "missing": missing,
            "by_tool": [self._tool_row(name, paths) for name, paths in self._parameters.items()],
        }

    def _tool_row(self, name: str, paths: Iterable[str]) -> JSON:
        listed = list(paths)
        return {
            "tool": name,
            "offered": self._offers[name],
            "calls": self._calls[name],
            "parameters": [sum(self._values[name][path] > 0 for path in listed), len(listed)],
            "fewest": min((self._values[name][path] for path in listed), default=0),
        }

    def _why(self, name: str) -> str:
        return self._left_out.get(name, "there are too few dialogues; raise --count")
