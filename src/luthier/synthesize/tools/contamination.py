"""Rule C1: training data must not repeat evaluation data, neither its questions (13-word grams) nor its tools."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from luthier.records import Conversation, Tool
from luthier.synthesize.tools.lint import Finding
from luthier.texts.grams import GRAM, SHORTEST_INSIDE, normalised_words, windows

Signature = tuple[str, tuple[str, ...]]


class Contamination:
    """Knows the user texts and tools of evaluation items; finds them again in conversations."""

    def __init__(self, items: Iterable[tuple[str, Sequence[Tool]]]) -> None:
        """items: (user text, tools on offer) of every evaluation item."""
        self._grams: set[tuple[str, ...]] = set()
        self._tools: set[Signature] = set()
        for text, tools in items:
            words = normalised_words(text)
            self._grams.update(windows(words, GRAM) if len(words) >= GRAM else [words] if words else [])
            self._tools.update(signature(tool) for tool in tools)
        self._sizes = sorted({len(gram) for gram in self._grams if len(gram) >= SHORTEST_INSIDE})

    def findings(self, conversation: Conversation) -> list[Finding]:
        """One finding for every user turn and every tool that is shared with the evaluation data."""
        turns = [
            Finding("C1", "a user turn repeats evaluation data", f"messages[{index}]")
            for index, message in enumerate(conversation.messages)
            if message.role == "user" and self._repeats(message.content or "")
        ]
        tools = [
            Finding("C1", "a tool is one of the evaluation data", f"tools[{index}]")
            for index, tool in enumerate(conversation.tools)
            if signature(tool) in self._tools
        ]
        return turns + tools

    def _repeats(self, text: str) -> bool:
        words = normalised_words(text)
        return words in self._grams or any(gram in self._grams for size in self._sizes for gram in windows(words, size))


def signature(tool: Tool) -> Signature:
    """Name and sorted parameter names."""
    return tool.name, tuple(sorted(tool.parameters.get("properties", {})))


def benchmark_leaks() -> Contamination:
    """The rule's memory of the benchmark that Luthier scores by: every item of its categories, those left out of a subset too."""
    from luthier.records.bfcl import CATEGORIES, load_questions

    return Contamination(item for category in CATEGORIES for item in load_questions(category))
