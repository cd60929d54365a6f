"""How alike two tools are: exact fingerprints, near-duplicates by MinHash (Jaccard > 0.8), nearest neighbours by shared rare words.

ToolACE keeps its pool diverse; here that means that no two tools share name and parameters, or nearly all their words.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from luthier.records import Tool
from luthier.texts.grams import word_hashes
from luthier.texts.minhash import SIZE, first_twins, jaccard, signature

JACCARD = 0.8

_WORD = re.compile(r"[a-z0-9]+")
_COMMON = 2000  # tools; words found in more say little and cost much


def fingerprint(tool: Tool) -> str:
    """SHA-256 of the name and the canonical form of the parameters: equal for tools a caller cannot tell apart."""
    text = json.dumps([tool.name, tool.parameters], sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def tool_words(tool: Tool) -> frozenset[str]:
    """Words of the name and the description, and the names of the parameters (marked, as they are not words)."""
    words = _WORD.findall(f"{tool.name} {tool.description}".lower().replace("_", " "))
    return frozenset([*words, *(f"{name}=" for name in tool.parameters.get("properties", {}))])


def near_duplicates(sets: Sequence[frozenset[str]], threshold: float = JACCARD) -> list[int | None]:
    """For every set the index of an earlier kept set with a Jaccard index above the threshold, or None if it is kept itself."""
    import numpy as np

    signatures = np.array([signature(word_hashes(sorted(words))) for words in sets], dtype=np.uint32).reshape(-1, SIZE)
    twins = first_twins(signatures, threshold, lambda later, earlier: jaccard(sets[later], sets[earlier]) > threshold)
    return [twins.get(index) for index in range(len(sets))]


class NeighbourIndex:
    """Finds the tools most like a given one by the words of name and description, the rare ones counting most."""

    def __init__(self, tools: Sequence[Tool]) -> None:
        self._tools = tools
        self._words = [frozenset(_WORD.findall(f"{tool.name} {tool.description}".lower().replace("_", " "))) for tool in tools]
        count = Counter(word for words in self._words for word in words)
        self._weight = {word: math.log((1 + len(tools)) / number) for word, number in count.items()}
        self._holders: dict[str, list[int]] = defaultdict(list)
        for index, words in enumerate(self._words):
            for word in words:
                if count[word] <= _COMMON:
                    self._holders[word].append(index)
        self._length = [math.sqrt(sum(self._weight[word] ** 2 for word in words)) or 1.0 for words in self._words]

    def nearest(self, tool: Tool, k: int) -> list[Tool]:
        """The k most alike tools, best first; never the tool itself, nor one with the same operation name (`s3.get_acl`, `b2.get_acl`)."""
        words = frozenset(_WORD.findall(f"{tool.name} {tool.description}".lower().replace("_", " ")))
        scores: dict[int, float] = defaultdict(float)
        for word in sorted(words):
            weight = self._weight.get(word, 0.0)
            for index in self._holders.get(word, ()):
                scores[index] += weight * weight
        ranked = sorted(scores, key=lambda index: (-scores[index] / self._length[index], index))
        operation = _operation(tool)
        others = (self._tools[index] for index in ranked if _operation(self._tools[index]) != operation)
        return _first(others, k)


def _operation(tool: Tool) -> str:
    return tool.name.rsplit(".", 1)[-1]


def _first(tools: Any, k: int) -> list[Tool]:
    return [tool for tool, _ in zip(tools, range(k), strict=False)]
