"""Whether an answer without a call says something: the strict side of "no tool fits", which gibberish and broken calls must not pass."""

from __future__ import annotations

import re
from itertools import pairwise

WORDS = 3  # fewest of a sentence in a script that writes spaces
SIGNS = 4  # fewest letters where it does not
REPEATED = 0.3  # share of repeated word pairs from which a text is no sentence
_ENDS = frozenset(".!?…。！？؟।:")
_CLOSING = "\"'”’»)]}*_`」』）"
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_LATIN = re.compile(r"[A-Za-zÀ-ɏ]")
# Words that hardly any sentence of these languages does without: what fingers on a keyboard do not write.
_WORDS = """
a an the i i'm i’m you your it this that these those none no not cannot can can't is are was be do does don't have has to of in on for and or with
which what how could would please need there sorry tell me my we if by from as at about give
ich du sie der die das ein eine ist nicht kein keine und zu für mit welche was bitte
je tu vous le la les un une est pas ne aucun et de pour avec quel quelle
yo el los las una es ningún ninguna y para con qué cuál por o os um uma não é e que com qual il lo gli che non è per quale
het een niet geen en van voor met welke ik det er ikke en et og til som jag inte ett är och
"""
_FUNCTION_WORDS = frozenset(_WORDS.split())


def silence(text: str, finish: str) -> str:
    """Why the text is no finished sentence, or "" where it is one. finish: why generation ended.

    Languages are those that share the function words above, and every one that is not written in Latin letters.
    """
    said = text.strip()
    words = _WORD.findall(said)
    if finish != "stop":
        return "the text has no end"
    if "```" in said:
        return "the text is code"
    if not words or said.rstrip(_CLOSING)[-1:] not in _ENDS:
        return "the text is no finished sentence"
    if not _LATIN.search(said):
        return "" if sum(map(len, words)) >= SIGNS else "the text is no finished sentence"
    if len(words) < WORDS:
        return "the text is no finished sentence"
    lowered = [word.lower() for word in words]
    pairs = list(pairwise(lowered))
    if len(pairs) > WORDS and 1 - len(set(pairs)) / len(pairs) > REPEATED:
        return "the text repeats itself"
    return "" if _FUNCTION_WORDS & set(lowered) else "the text has no word of a sentence"
