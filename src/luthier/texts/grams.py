"""Runs of words: what two texts have in common when one repeats a part of the other."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

GRAM = 13  # words in common from which a text counts as repeated (GPT-3, arXiv 2005.14165, app. C)
SHORTEST_INSIDE = 8  # words; a whole text of fewer says nothing when it is found inside another

_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"  # kana and Han are written without spaces: each letter is a word
_SIGNS = "+-*/=<>^%&|~#@$€£¥°±×÷≤≥≠≈√∞∈∉⊂∪∩∧∨¬→−"
_SIGNED = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+|[{re.escape(_SIGNS)}]+")
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")


def normalised_words(text: str) -> tuple[str, ...]:
    """Lower-case words without punctuation."""
    return tuple(_WORD.findall(text.lower()))


def signed_words(text: str) -> tuple[str, ...]:
    """Lower-case words, and the signs that say something: 3 + 4 is not 3 - 4, C++ not C#, a < b not a > b; hyphens and Markdown's marks say nothing."""
    found = []
    text = text.lower()
    for match in _SIGNED.finditer(text):
        start, end = match.span()
        if match[0][0] not in _SIGNS or _says(match[0], text[start - 1 : start], text[end : end + 1]):
            found.append(match[0])
    return tuple(found)


def _says(sign: str, before: str, after: str) -> bool:
    """Whether a sign between these two characters is more than punctuation. Empty, and a line's end, is where a text begins or ends."""
    begins, ends = not before or before == "\n", not after or after == "\n"
    if begins:
        return after.isdigit()
    if before == after == " ":
        return True
    if before.isalpha() and after.isalpha():
        return sign not in ("-", "/")
    if before.isspace() or before in "([{\"'":
        return after.isdigit() or (after.isalnum() and not set(sign) <= set("*#-~"))
    if ends or after.isspace() or after in ".,;:!?)]}\"'":
        return before.isalnum() and not set(sign) <= set("*-/=~<>|")
    return True


def windows(words: tuple[str, ...], size: int) -> Iterator[tuple[str, ...]]:
    """All runs of `size` words, in order."""
    return (words[start : start + size] for start in range(len(words) - size + 1))


def word_hashes(words: Sequence[str]) -> NDArray[np.uint64]:
    """A hash of each word, (words,), the same everywhere."""
    import numpy as np

    codes = (zlib.crc32(word.encode("utf-8", "surrogatepass")) for word in words)
    return np.fromiter(codes, dtype=np.uint64, count=len(words))


def gram_hashes(hashes: NDArray[np.uint64], size: int) -> NDArray[np.uint64]:
    """A 64-bit hash of each run of `size` words, (words - size + 1,), empty where there are fewer words."""
    import numpy as np

    count = max(0, len(hashes) - size + 1)
    grams = np.zeros(count, dtype=np.uint64)
    for start in range(size if count else 0):
        grams *= _FACTOR
        grams += hashes[start : start + count]
        grams ^= grams >> np.uint64(29)
    return grams


_FACTOR = 0x9E3779B97F4A7C15  # odd, so that no bit is lost
