"""Whether two answers say the same: as words, as the letter of an option, as quantities with units, or as formulas.

There are three verdicts. Where one cannot be sure the verdict is `unclear`, and whoever needs a wrong answer does not take such a one.
"""

from __future__ import annotations

import re
import unicodedata

from luthier.texts.formulas import compare_formulas
from luthier.texts.latex import plain_math
from luthier.texts.quantities import Verdict, compare_quantities, is_count, quantity
from luthier.texts.values import keys_of

_OPTION = re.compile(r"\(?([a-z])[).:]\)?\s++(?=\S)")
_LETTER = re.compile(r"(?:(?:option|choice)\s++)?[(\[]?([a-z])[)\]]?[.:]?")
_LEAD = re.compile(
    r"(?:(?:approximately|about|around|roughly|nearly|exactly|approx\.?|simply|just|equal to|[≈~=])\s*+|[a-z](?:\([a-z]\))?\s*+=\s*+)++"
)
_ARTICLE = re.compile(r"(?:a|an|the)\s++")
_WORD = re.compile(r"[^\W_]++[+#]*+")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_OPPOSITES = ({"yes", "no"}, {"true", "false"}, {"right", "wrong"}, {"correct", "incorrect"})


def compare_answers(one: str, two: str) -> Verdict:
    """What two answers say beside each other. Letter case, outer punctuation, articles, marks of LaTeX, an option's letter before its text and
    the writing of numbers do not count; nor does a unit, where the other is the bare number."""
    a, b = _normal(one), _normal(two)
    if not a or not b:
        return "same" if one.strip() == two.strip() else "unclear"
    if a == b or _squeezed(a) == _squeezed(b):
        return "same"
    for judge in (_by_letter, compare_quantities, _by_date, _by_list, compare_formulas, _by_kind):
        judged = judge(a, b)
        if judged is not None:
            return judged
    return _by_words(a, b)


def same_answer(one: str, two: str) -> bool:
    """Whether two answers say the same for sure."""
    return compare_answers(one, two) == "same"


def may_be_same(one: str, two: str) -> bool:
    """Whether two answers may say the same: nobody can tell that they do not."""
    return compare_answers(one, two) != "different"


def is_number(answer: str) -> bool:
    """Whether an answer is a number and nothing else, save its unit."""
    return quantity(_normal(answer)) is not None


def _normal(answer: str) -> str:
    words = " ".join(unicodedata.normalize("NFKC", plain_math(answer[:1_000])).casefold().split())
    words = words.replace("−", "-").replace("–", "-").replace("⁄", "/").strip(" \t`\"'*_;!")
    words = words.strip(" .,:?") if not words.startswith(".") else words.rstrip(" .,:?")
    if words[:1] + words[-1:] in ("()", "[]") and "," not in words and words.count(words[0]) == 1:
        words = words[1:-1].strip()
    words = _ARTICLE.sub("", words, count=1) if _ARTICLE.match(words) and len(words) > 2 else words
    lead = _LEAD.match(words)
    return words[lead.end() :] if lead and lead.end() < len(words) else words


def _squeezed(text: str) -> str:
    """Without spaces next to signs: `( 1, 2 )` is `(1,2)`."""
    return re.sub(r"\s*+([^\w\s])\s*+", r"\1", text)


def _by_letter(a: str, b: str) -> Verdict | None:
    """Letters of options, alone or before a text. A letter beside a text without one says nothing."""
    one, two = _LETTER.fullmatch(a), _LETTER.fullmatch(b)
    first, second = _OPTION.match(a), _OPTION.match(b)
    if one and two:
        return "same" if one[1] == two[1] else "different"
    if (one or first) and (two or second):
        letters = [(alone or before)[1] for alone, before in ((one, first), (two, second)) if alone or before]  # type: ignore[index]
        if letters[0] == letters[1]:
            return "same" if one or two or compare_answers(a[first.end() :], b[second.end() :]) == "same" else "unclear"  # type: ignore[union-attr]
        return "different" if one or two else "unclear"
    if first or second:
        rest, other = (a[first.end() :], b) if first else (b[second.end() :], a)  # type: ignore[union-attr]
        return "same" if compare_answers(rest, other) == "same" else "unclear"
    return "unclear" if (one or two) and not (quantity(a) or quantity(b)) and max(len(a), len(b)) > 3 else None


def _by_kind(a: str, b: str) -> Verdict | None:
    """A number beside a text that is none: another thing, unless the text holds a number too."""
    if (quantity(a) is None) == (quantity(b) is None):
        return None
    other = a if quantity(a) is None else b
    return "unclear" if re.search(r"\d", other) or any(map(is_count, other.split())) else "different"


def _by_date(a: str, b: str) -> Verdict | None:
    one, two = keys_of(a, "date"), keys_of(b, "date")
    if any(not all(_DAY.fullmatch(key) for key in keys) for keys in (one, two)):
        return None
    return ("same" if len(one) == len(two) == 1 else "unclear") if one & two else "different"


def _by_list(a: str, b: str) -> Verdict | None:
    """Lists, tuples and sets are the same where their members are, one by one; else nobody knows what their order means."""
    one, two = _members(a), _members(b)
    if len(one) < 2 and len(two) < 2:
        return None
    if len(one) != len(two) or len(one) > 50:
        return "unclear"
    return "same" if all(compare_answers(x, y) == "same" for x, y in zip(one, two, strict=True)) else "unclear"


def _members(text: str) -> list[str]:
    inner = text.strip("()[]{} ")
    parts = re.split(r",\s?+and\s|;\s?+|,\s?+|\sand\s|\sor\s", inner)
    return [part for part in parts if part.strip()]


def _by_words(a: str, b: str) -> Verdict:
    """Texts differ only where no word of one says what the other says: not shorter, not an abbreviation, not another spelling."""
    one, two = ([word for word in _WORD.findall(text) if word not in ("a", "an", "the", "of")] for text in (a, b))
    if any({a, b} == pair for pair in _OPPOSITES):
        return "different"
    if not one or not two:
        return "unclear"
    if one == two:
        return "same"
    if set(one) <= set(two) or set(two) <= set(one) or "".join(one) == "".join(two):
        return "unclear"
    if any({a, b} & pair for pair in _OPPOSITES):
        return "unclear"
    short, long = sorted((one, two), key=len)
    initials = "".join(word[0] for word in long)
    if len(long) > 1 and "".join(short) in (initials, initials.removesuffix("s")):
        return "unclear"
    if len(one) == len(two) and all(x == y or _near(x, y) for x, y in zip(one, two, strict=True)):
        return "unclear"
    return "different"


def _near(one: str, two: str) -> bool:
    """Whether two words are spellings of one: accents, or one letter more, less or other in a longer word."""
    x, y = ("".join(c for c in unicodedata.normalize("NFKD", word) if not unicodedata.combining(c)) for word in (one, two))
    if x == y:
        return True
    if min(len(x), len(y)) < 5 or abs(len(x) - len(y)) > 2:
        return False
    head = next((at for at, (p, q) in enumerate(zip(x, y, strict=False)) if p != q), min(len(x), len(y)))
    tail = next(
        (at for at, (p, q) in enumerate(zip(reversed(x[head:]), reversed(y[head:]), strict=False)) if p != q), min(len(x), len(y)) - head
    )
    return max(len(x), len(y)) - head - tail <= 2
