"""Whether an answer refuses: it says that it does not know, and does not give a value of the kind that was asked for all the same."""

from __future__ import annotations

import re
from collections.abc import Iterable

from luthier.texts.values import Kind, blank, mentions

_SAYS_NO = re.compile(
    r"""
    \b(?:i|we)\s(?:really\s|just\s|simply\s|honestly\s|currently\s)?(?:do\snot|don't|dont|did\snot|didn't|cannot|can't|can\snot|could\snot|couldn't|am\snot|are\snot|was\snot|'m\snot)
        \s(?:\w+\s){0,3}?(?:know|have|find|tell|say|answer|determine|sure|aware|certain|able|provide|recall|see|access|confirm|give)\b
    | \bi'm\s(?:\w+\s)?(?:not\s(?:sure|aware|certain|able|familiar)|unable|unaware)\b
    | \bi\s(?:am|was)\s(?:unable|unaware)\b
    | \bi\shave\sno\s(?:idea|information|knowledge|record|data|way|memory)\b
    | \bno\sidea\b
    | \b(?:is|are|was|were|remains?)\s(?:currently\s|still\s|simply\s|to\sme\s)?(?:unknown|not\s(?:known|given|stated|mentioned|specified|provided|available|listed|included|disclosed|in\sthe|something|clear|told)|unspecified|unclear|missing|unavailable)\b
    | \b(?:does|do|did)(?:\snot|n't)\s(?:\w+\s){0,2}?(?:say|mention|state|contain|include|give|provide|specify|tell|list|cover|reveal|indicate|help)\b
    | \b(?:isn't|aren't|wasn't|weren't)\s(?:\w+\s)?(?:known|given|stated|mentioned|specified|provided|available|listed|in\sthe|clear)\b
    | \bneither\b.*\b(?:says?|tells?|mentions?|states?|knows?)\b
    | \b(?:no|not\senough|insufficient)\s(?:\w+\s)?(?:information|data|details?|record|mention|passage|answer)\b
    | \b(?:cannot|can't|can\snot|could\snot|couldn't)\sbe\s(?:\w+\s)?(?:determined|answered|found|known|told|established|inferred)\b
    | \bnot\s(?:sure|certain|known|found|available|mentioned|stated|specified)\b
    | \bunknown\b
    | \bunable\sto\s(?:\w+\s)?(?:answer|find|say|tell|determine|provide|locate)\b
    | \b(?:sorry|apologi[sz]e),?\s(?:but\s)?(?:i|we)\s(?:do\snot|don't|cannot|can't|have\sno)\b
    | \bbeyond\s(?:my|what\si)\b
    | \bi\s(?:lack|must\sdecline|have\sto\spass)\b
    """,
    re.IGNORECASE | re.VERBOSE,
)


def says_no(text: str) -> bool:
    """Whether a text holds a phrase of not knowing."""
    return bool(_SAYS_NO.search(text.replace("’", "'")))


def refuses(text: str, kinds: Iterable[Kind], names: Iterable[str]) -> bool:
    """Whether an answer refuses: a phrase of not knowing, and no value of these kinds.

    names: subjects and other words whose digits are no values. An empty answer refuses nothing. Text has no values that can be told from words.
    """
    if not text.strip() or not says_no(text):
        return False
    bare = blank(text, names)
    return not any(mentions(bare, kind) for kind in set(kinds))
