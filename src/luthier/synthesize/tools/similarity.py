"""How alike two tools are: exact fingerprints, near-duplicates by MinHash (Jaccard > 0.8), nearest neighbours by shared rare words.

ToolACE keeps its pool diverse; here that means that no two tools share name and parameters, or nearly all their words.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from luthier.records import Tool

JACCARD = 0.8
BANDS, ROWS = 16, 4  # finds 99.98 % of the pairs at 0.8

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


def jaccard(left: frozenset[str], right: frozenset[str]) -> float:
    """Size of the intersection over size of the union; 1 for two empty sets."""
    shared = len(left & right)
    union = len(left) + len(right) - shared
    return shared / union if union else 1.0


def near_duplicates(sets: Sequence[frozenset[str]], threshold: float = JACCARD) -> list[int | None]:
    """For every set the index of an earlier kept set with a Jaccard index above the threshold, or None if it is kept itself."""
    buckets: dict[tuple[int, bytes], list[int]] = defaultdict(list)
    result: list[int | None] = []
    for index, signature in enumerate(signatures(sets)):
        keys = list(enumerate(signature))
        candidates = sorted({other for key in keys for other in buckets.get(key, ())})
        twin = next((other for other in candidates if jaccard(sets[index], sets[other]) > threshold), None)
        result.append(twin)
        if twin is None:
            for key in keys:
                buckets[key].append(index)
    return result


def signatures(sets: Sequence[frozenset[str]]) -> list[list[bytes]]:
    """MinHash signature of every set, cut into bands. Hashes are fixed: the same sets give the same bytes everywhere."""
    import numpy as np

    vocabulary = {word: row for row, word in enumerate(sorted(set().union(*sets)))} if sets else {}
    hashes = np.array(
        [zlib.crc32(word.encode("utf-8", "surrogatepass")) for word in vocabulary] or [0], dtype=np.uint64
    )
    draw = np.random.default_rng(2409_00920)
    factor = draw.integers(1, 2**63, BANDS * ROWS, dtype=np.uint64) | np.uint64(1)
    offset = draw.integers(0, 2**63, BANDS * ROWS, dtype=np.uint64)
    table = ((hashes[:, None] * factor + offset) >> np.uint64(32)).astype("<u4")
    empty = np.full(BANDS * ROWS, 2**32 - 1, dtype="<u4")
    result = []
    for words in sets:
        smallest = table[[vocabulary[word] for word in words]].min(axis=0) if words else empty
        data = smallest.tobytes()
        step = ROWS * 4
        result.append([data[start : start + step] for start in range(0, len(data), step)])
    return result


class NeighbourIndex:
    """Finds the tools most like a given one by the words of name and description, the rare ones counting most."""

    def __init__(self, tools: Sequence[Tool]) -> None:
        self._tools = tools
        self._words = [
            frozenset(_WORD.findall(f"{tool.name} {tool.description}".lower().replace("_", " "))) for tool in tools
        ]
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
