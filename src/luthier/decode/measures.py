"""What sampled replies to a context are worth: variety where it is wanted, the same right answer where it is not."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from luthier.decode.contexts import Context

_WORD = re.compile(r"\w+", re.UNICODE)
_ARTICLES = frozenset({"a", "an", "the"})


def words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def distinct(replies: Sequence[str], n: int = 2) -> float:
    """Distinct-n over a set of replies: different n-grams of words over all of them, in [0, 1]; 0 where there are none."""
    grams = [tuple(said[at : at + n]) for said in map(words, replies) for at in range(len(said) - n + 1)]
    return len(set(grams)) / len(grams) if grams else 0.0


def self_bleu(replies: Sequence[str], most: int = 4) -> float:
    """Mean BLEU-4 of each reply against the others, smoothed by one in each order above the first; 1 for equal replies."""
    if len(replies) < 2:
        return 0.0
    said = [words(reply) for reply in replies]
    return sum(_bleu(one, said[:at] + said[at + 1 :], most) for at, one in enumerate(said)) / len(said)


def _bleu(said: Sequence[str], others: Sequence[Sequence[str]], most: int) -> float:
    import math

    if not said:
        return 0.0
    logs = 0.0
    for n in range(1, most + 1):
        counts = _grams(said, n)
        limit: Counter[tuple[str, ...]] = Counter()
        for other in others:
            limit |= _grams(other, n)
        smooth = int(n > 1)
        hit, total = sum((counts & limit).values()) + smooth, sum(counts.values()) + smooth
        if hit == 0:
            return 0.0
        logs += math.log(hit / total) / most
    nearest = min((len(other) for other in others), key=lambda length: (abs(length - len(said)), length))
    return math.exp(logs + min(0.0, 1 - nearest / len(said)))


def _grams(said: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(said[at : at + n]) for at in range(len(said) - n + 1))


def repetition(reply: str, n: int = 3) -> float:
    """Share of a reply's word n-grams that it has said before: near 0 in good text, near 1 in a loop."""
    said = words(reply)
    grams = [tuple(said[at : at + n]) for at in range(len(said) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def normalised(reply: str) -> str:
    """The first sentence without case, punctuation and articles: what two replies must share to be the same answer."""
    first = re.split(r"(?<=[.!?])\s|\n", reply.strip(), maxsplit=1)[0]
    return " ".join(word for word in words(first) if word not in _ARTICLES)


def consistency(replies: Sequence[str]) -> float:
    """Share of the replies that give the commonest answer, in [1/n, 1]."""
    return max(Counter(map(normalised, replies)).values()) / len(replies) if replies else 0.0


def is_right(reply: str, answers: Sequence[str]) -> bool:
    """Whether any right answer stands in the reply as whole words; symbols such as `Au` and one-letter answers keep their case."""
    for answer in answers:
        flags = 0 if len(answer) <= 2 and not answer.isdigit() else re.IGNORECASE
        if re.search(rf"(?<!\w){re.escape(answer)}(?!\w)", reply, flags):
            return True
    return False


def measure(context: Context, replies: Sequence[str]) -> dict[str, float]:
    """All measures of one context that apply to its kind."""
    common = {"repetition": sum(map(repetition, replies)) / max(1, len(replies))}
    if context.kind == "chat":
        return common | {"distinct_2": distinct(replies), "self_bleu": self_bleu(replies)}
    told = {"consistency": consistency(replies)}
    if context.answers:
        told["correct"] = sum(is_right(reply, context.answers) for reply in replies) / max(1, len(replies))
    return common | told
