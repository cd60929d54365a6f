"""Whether two answers say the same: as words, as the letter of an option, as quantities with units, or as formulas.

There are three verdicts. Where one cannot be sure the verdict is `unclear`, and whoever needs a wrong answer does not take such a one.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from luthier.texts.clock import is_named, times_of_day
from luthier.texts.counts import is_count, is_nothing, is_part, ordinal, roman, spelled
from luthier.texts.formulas import compare_formulas
from luthier.texts.latex import plain_math
from luthier.texts.quantities import Verdict, compare_quantities, quantity
from luthier.texts.signs import MOST_RELATIONS, Members, brackets, canonical, excludes, is_prose, members, relation, told
from luthier.texts.values import mentions

_OPTION = re.compile(r"(?:([a-z])[).:]|\(([a-z])\)(?!\s*+(?:[+*/^=<>≤≥≠·×|!&]|-\s)))\s++(?=\S)")
_LETTER = re.compile(r"(?:(?:option|choice)\s++)?[(\[]?([a-z])[)\]]?[.:]?")
_LEAD = re.compile(
    r"(?:(?:approximately|about|around|roughly|nearly|exactly|approx\.?|simply|just|equal to)\s++|(?:[≈=]|~(?=\s*+[\d.]))\s*+"
    r"|[a-z](?:\([a-z]\))?\s*+[=≈]\s*+)++"
)
_NAMED = re.compile(r"[a-z](?:\([a-z]\))?(?=\s*+[=≈])")
_ARTICLE = re.compile(r"(?:an|the)\s++|a\s++(?=[^\W\d_]{2})")
_BOLD = re.compile(r"(?<![\w*])(\*\*|__)(?=[^\s*_])([^*_\n]++)\1(?![\w*])")
_SPACED = re.compile(r"(\d)\s*+([.,])\s++(?=\d)|\s*+([^\w\s])\s*+")
_AROUND_DATES = re.compile(r"\b(?:on|the|of|(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?)\b")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_OPPOSITES = ({"yes", "no"}, {"true", "false"}, {"right", "wrong"}, {"correct", "incorrect"})


def compare_answers(one: str, two: str) -> Verdict:
    """What two answers say beside each other. Letter case, outer punctuation, articles, marks of LaTeX, an option's letter before its text and
    the writing of numbers do not count; nor does a unit, where the other is the bare number."""
    (a, name_a), (b, name_b) = _normal(one), _normal(two)
    if not a or not b:
        return "same" if one.strip() == two.strip() else "unclear"
    if name_a and name_b and name_a != name_b:
        return "unclear"  # x = 5 and y = 5
    if a == b or _squeezed(a) == _squeezed(b):
        return "same"
    for judge in (_by_letter, _by_clock, _by_ordinal, compare_quantities, _by_date, _by_list, _by_relation, compare_formulas, _by_kind):
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
    return quantity(_normal(answer).text) is not None


class _Answer(NamedTuple):
    """What an answer says, and the name that it says it of: `5` and `x` of `x = 5`."""

    text: str
    name: str


def _normal(answer: str) -> _Answer:
    words = canonical(" ".join(canonical(unicodedata.normalize("NFKC", canonical(plain_math(answer[:1_000])))).casefold().split()))
    words = _BOLD.sub(r"\2", words)
    for _ in range(4):  # quotes within stars, a point within quotes
        bare = _bare(words)
        if bare == words:
            break
        words = bare
    if (brackets(words) == "()" and "," not in words) or (brackets(words) == "[]" and all(map(is_prose, told(words[1:-1])))):
        words = words[1:-1].strip()
    words = _ARTICLE.sub("", words, count=1) if _ARTICLE.match(words) and len(words) > 2 else words
    lead = _LEAD.match(words)
    if lead is None or lead.end() >= len(words):
        return _Answer(words, "")
    name = _NAMED.search(lead[0])
    return _Answer(words[lead.end() :], name[0] if name else "")


def _bare(words: str) -> str:
    """Without what stands round an answer in a text: quotes, stars, points. A sign that the last letter or number may have stays: n!, x', 5"."""
    words = words.strip(" \t`_;").lstrip("*")
    stars = len(words) - len(words.rstrip("*"))
    if stars > 1 or (stars and _ends_in_word(words[:-1], digits=True)):
        words = words.rstrip("*")
    if words[:1] in ("'", '"') and (words.count(words[0]) != 1 or words[-1:] != words[0]):
        words = words[1:].removesuffix(words[0]) if words[-1:] == words[0] else words[1:]
    if words[-1:] in ("'", '"', "!") and _ends_in_word(words.rstrip("'\"!")):
        words = words.rstrip("'\"!")
    return words.strip(" .,:?") if not words.startswith(".") else words.rstrip(" .,:?")


def _ends_in_word(text: str, *, digits: bool = False) -> bool:
    last = re.split(r"[\W_]", text)[-1]
    return is_prose(last) or text[-1:] in (".", "!", "?") or (digits and last[-1:].isdigit())


def _squeezed(text: str) -> str:
    """Without spaces next to signs: `( 1, 2 )` is `(1,2)`; but `1, 234` is not `1,234`."""
    return _SPACED.sub(lambda match: match[3] or f"{match[1]}{match[2]} ", text)


def _by_letter(a: str, b: str) -> Verdict | None:
    """Letters of options, alone or before a text. A letter beside a text without one says nothing."""
    one, two = _LETTER.fullmatch(a), _LETTER.fullmatch(b)
    first, second = _OPTION.match(a), _OPTION.match(b)
    if one and two:
        return "same" if one[1] == two[1] else "different"
    if (one or first) and (two or second):
        letters = [alone[1] if alone else before[1] or before[2] for alone, before in ((one, first), (two, second)) if alone or before]  # type: ignore[index]
        if letters[0] == letters[1]:
            return "same" if one or two or compare_answers(a[first.end() :], b[second.end() :]) == "same" else "unclear"  # type: ignore[union-attr]
        return "different" if one or two else "unclear"
    if first or second:
        rest, other = (a[first.end() :], b) if first else (b[second.end() :], a)  # type: ignore[union-attr]
        return "same" if compare_answers(rest, other) == "same" else "unclear"
    return "unclear" if (one or two) and not (quantity(a) or quantity(b)) and max(len(a), len(b)) > 3 else None


def _by_clock(a: str, b: str) -> Verdict | None:
    """Times of day. One that may be morning or evening is unclear beside one that is not; and a ratio may look like one."""
    one, two = times_of_day(a), times_of_day(b)
    if not one or not two:
        return None
    if one == two:
        return "same"
    ratios = [re.fullmatch(r"(\d+):(\d+)", text) for text in (a, b)]
    if all(ratios) and int(ratios[0][1]) * int(ratios[1][2]) == int(ratios[0][2]) * int(ratios[1][1]):  # type: ignore[index]
        return "unclear"
    return "unclear" if one & two else "different"


def _by_ordinal(a: str, b: str) -> Verdict | None:
    one, two = ordinal(a), ordinal(b)
    if one is None or two is None:
        return None
    return "same" if one == two else "different"


def _by_kind(a: str, b: str) -> Verdict | None:
    """A number beside a text that is none: another thing, unless the text holds a number too, in whatever writing."""
    one, two = quantity(a), quantity(b)
    number, other = (one, b) if one is not None else (two, a)
    if number is None or (one is not None and two is not None):
        return None
    value = roman(other)
    if value is not None and value == number.value and not number.unit:
        return "same" if len(other) > 1 else "unclear"  # a letter alone is as often a name
    if re.search(r"\d", other) or any(map(is_count, other.split())) or ordinal(other) is not None or is_named(other):
        return "unclear"
    return "unclear" if (is_nothing(other) and number.value == 0) or any(map(is_part, other.split())) else "different"


def _by_date(a: str, b: str) -> Verdict | None:
    one, two = _day_of(a), _day_of(b)
    if one is None or two is None:
        return None
    if one.keys & two.keys:
        return "same" if len(one.keys) == len(two.keys) == 1 and one.alone and two.alone else "unclear"
    return "different"


class _Dated(NamedTuple):
    """The day that a text names, and whether it says nothing else: no time of it, no "before"."""

    keys: frozenset[str]
    alone: bool


def _day_of(text: str) -> _Dated | None:
    found = mentions(text, "date")
    if not found or not all(_DAY.fullmatch(key) for key in found[0].keys):
        return None
    around = f"{text[: found[0].start]} {text[found[0].end :]}"
    return _Dated(found[0].keys, len(found) == 1 and ":" not in text and not re.sub(_AROUND_DATES, "", around).strip(" ,."))


def _by_list(a: str, b: str) -> Verdict | None:
    """Lists, tuples and sets are the same where their brackets and their members are, one by one; else nobody knows what their order means. Of two
    intervals one may hold its ends and the other not; a list without brackets may be a tuple or a set."""
    one, two = _members(a), _members(b)
    if len(one.parts) < 2 and len(two.parts) < 2:
        return None
    if len(one.parts) != len(two.parts) or len(one.parts) > 50 or one.either != two.either:
        return "unclear"
    if not all(compare_answers(x, y) == "same" for x, y in zip(one.parts, two.parts, strict=True)):
        return "unclear"
    if one.brackets == two.brackets or {one.brackets, two.brackets} in ({"", "()"}, {"", "{}"}):
        return "same"
    return "different" if one.brackets and two.brackets and {one.brackets, two.brackets} & {"(]", "[)"} else "unclear"


def _members(text: str) -> Members:
    return Members("", (text,), False) if quantity(text) is not None else members(text)


def _by_relation(a: str, b: str) -> Verdict | None:
    """Equations and inequalities, read from either side. Where only the sign between equal sides is another, they differ."""
    one, two = relation(a), relation(b)
    if not one.signs and not two.signs:
        return None
    if len(one.signs) != len(two.signs) or len(one.signs) > MOST_RELATIONS:
        return "unclear"
    for other in (two, two.turned()):
        if all(x == y or compare_answers(x, y) == "same" for x, y in zip(one.sides, other.sides, strict=True)):
            if one.signs == other.signs:
                return "same"
            if len(one.signs) == 1 and excludes(one.signs[0], other.signs[0]):
                return "different"
    return "unclear"


def _by_words(a: str, b: str) -> Verdict:
    """Texts differ only where no word of one says what the other says: not shorter, not an abbreviation, not another spelling. They are the same
    where their signs are too, save those that only part words."""
    if any({a, b} == pair for pair in _OPPOSITES):
        return "different"
    signed = told(a), told(b)
    one, two = ([word for word in each if word[0].isalnum()] for each in signed)
    if not one or not two:
        return "unclear"
    if _is_told_alike(*signed):
        return "same"
    if set(one) <= set(two) or set(two) <= set(one) or "".join(one) == "".join(two):
        return "unclear"
    if any({a, b} & pair for pair in _OPPOSITES):
        return "unclear"
    short, long = sorted((one, two), key=len)
    initials = "".join(word[0] for word in long)
    if len(long) > 1 and "".join(short) in (initials, initials.removesuffix("s")):
        return "unclear"
    if len(one) == len(two) and all(x == y or _near(x, y) or _counts_alike(x, y) for x, y in zip(one, two, strict=True)):
        return "unclear"
    return "different"


def _is_told_alike(one: list[str], two: list[str]) -> bool:
    """Whether all words and signs are the same, or in texts of several words the same number in digits, words or Roman numerals."""
    if one == two:
        return True
    spoken = any(is_prose(word) and not is_count(word) and x == word for word, x in zip(one, two, strict=False))
    return spoken and len(one) == len(two) and all(x == y or _counts_alike(x, y) == "same" for x, y in zip(one, two, strict=True))


def _counts_alike(one: str, two: str) -> Verdict | None:
    """What two words are that may be one number: Henry IV and Henry 4; None where they are no numbers, or two."""
    if (first := ordinal(one)) is not None:
        return "same" if first == ordinal(two) else None
    values = [{int(word)} if word.isdecimal() and len(word) < 10 else _counted(word) for word in (one, two)]
    if not values[0] & values[1]:
        return None
    return (
        "unclear" if any(len(word) == 1 and word.isalpha() for word in (one, two)) or not (one.isdecimal() or two.isdecimal()) else "same"
    )


def _counted(word: str) -> set[int]:
    words = spelled(word)
    found = {int(words.value)} if words is not None and words.exact and not words.rest else set[int]()
    return found | {value} if (value := roman(word)) is not None else found


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
