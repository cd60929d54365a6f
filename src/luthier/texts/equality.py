"""Whether two answers say the same: as words, as the letter of an option, as quantities with units, or as formulas.

There are three verdicts. Where one cannot be sure the verdict is `unclear`, and whoever needs a wrong answer does not take such a one.
Formulas are read by latex2sympy2, which parses and does not evaluate.
"""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction
from typing import Any, Literal, NamedTuple

from luthier.texts.latex import plain_math
from luthier.texts.values import keys_of, same, unit_of

Verdict = Literal["same", "different", "unclear"]
_OPTION = re.compile(r"\(?([a-z])[).:]\)?\s++(?=\S)")
_LETTER = re.compile(r"(?:(?:option|choice)\s++)?[(\[]?([a-z])[)\]]?[.:]?")
_LEAD = re.compile(
    r"(?:(?:approximately|about|around|roughly|nearly|exactly|approx\.?|simply|just|equal to|[≈~=])\s*+|[a-z](?:\([a-z]\))?\s*+=\s*+)++"
)
_ARTICLE = re.compile(r"(?:a|an|the)\s++")
_WORD = re.compile(r"[^\W_]++[+#]*+")
_NUMBER = re.compile(
    r"(?P<sign>[-+]?)\s?(?P<money>[$€£¥₹]?)\s?(?P<whole>\d{1,3}(?:[, '\u00a0\u202f]\d{3})++(?![\d,])|\d++)?(?P<part>\.\d++)?"
    r"(?:e(?P<power>[-+]?\d{1,3})(?!\w))?"
)
_OVER = re.compile(r"\s?/\s?(\d++)(?![\d.,])")
_MIXED = re.compile(r"\s(\d++)\s?/\s?(\d++)(?![\d.,])")
_TIMES_TEN = re.compile(r"\s?[*×x·]\s?10\s?\^\s?\(?([-+]?\d{1,3})\)?(?!\d)")
_POWER = re.compile(r"\s?(?:\^|\*\*)\s?\(?([-+]?\d{1,3})\)?(?!\d)")
_SCALE = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_UNIT = re.compile(r"\s?([%°]?[^\W\d_]*+(?:[\s/.^*²³-][^\W\d_]++[²³]?)*+[²³]?)\.?")
_UNCLEAR_DIGITS = re.compile(r"\d{1,3}(?:\.\d{3})+|\d++,\d++")  # 1.000 and 1,2 are read one way here and another there
_FORMULA = re.compile(r"\\[a-z]|\d\s*+[\^*/+·×]|[\^√π]|[a-z]\s*+[-+*/=]\s*+\d|sqrt|\d\s*+-\s*+\d|\d\(")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_LONGEST_FORMULA, _DEEPEST = 80, 5  # signs, and brackets within one another
_TOWER = re.compile(r"\d{13}|!|\^[^\^]*+\^[^\^]*+\^|\^\s*+\{?\(?-?\d{4}|mod|log_|int|sum|prod|binom|begin")
_ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_COUNTS = {**{word: n for n, word in enumerate(_ONES)}, **{word: 10 * (n + 2) for n, word in enumerate(_TENS)}, "half": None}
_OPPOSITES = ({"yes", "no"}, {"true", "false"}, {"right", "wrong"}, {"correct", "incorrect"})
_ORDINALS, _SHORT_UNITS = ("st", "nd", "rd", "th"), "gmshwvlcfkjn"
_SPELLINGS = ({"%", "percent", "per cent"},)
_SAME_MONEY = {
    "$": {"$", "usd", "dollar", "dollars", "us dollars"},
    "€": {"€", "eur", "euro", "euros"},
    "£": {"£", "gbp", "pound", "pounds"},
}


class _Quantity(NamedTuple):
    value: Fraction
    unit: str
    decimals: int  # as it was written; -1 for a fraction


def compare_answers(one: str, two: str) -> Verdict:
    """What two answers say beside each other. Letter case, outer punctuation, articles, marks of LaTeX, an option's letter before its text and
    the writing of numbers do not count; nor does a unit, where the other is the bare number."""
    a, b = _normal(one), _normal(two)
    if not a or not b:
        return "same" if one.strip() == two.strip() else "unclear"
    if a == b or _squeezed(a) == _squeezed(b):
        return "same"
    for judge in (_by_letter, _by_quantity, _by_date, _by_list, _by_formula):
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
    return _quantity(_normal(answer)) is not None


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
    return "unclear" if (one or two) and not (_quantity(a) or _quantity(b)) and max(len(a), len(b)) > 3 else None


def _by_quantity(a: str, b: str) -> Verdict | None:
    one, two = _quantity(a), _quantity(b)
    if one is None or two is None:
        if (one is None) == (two is None):
            return None
        other = b if one is not None else a
        return (
            None if _FORMULA.search(other) else "unclear" if re.search(r"\d", other) or set(other.split()) & _COUNTS.keys() else "different"
        )
    if any(_UNCLEAR_DIGITS.fullmatch(text.strip("-+$€£ ")) for text in (a, b)) and one.value != two.value:
        return "unclear"
    units = _units(one, two)
    if one.value == two.value:
        return units
    if units == "unclear" or _rounded(one, two) or Fraction(100) in (abs(one.value / (two.value or 1)), abs(two.value / (one.value or 1))):
        return _converted(a, b) or "unclear"
    return _converted(a, b) or "different"


def _quantity(text: str) -> _Quantity | None:
    """A number with a unit or without: digits with thousands, fractions, powers of ten, or words."""
    spelled = _spelled(text)
    if spelled is not None:
        return spelled
    match = _NUMBER.match(text)
    if match is None or not (match["whole"] or match["part"]):
        return None
    value = Fraction(re.sub(r"\D", "", match["whole"] or "0") + (match["part"] or ""))
    decimals, at = len((match["part"] or ".")[1:]), match.end()
    value *= Fraction(10) ** int(match["power"] or 0)
    plain = match["part"] is None and match["power"] is None
    for pattern in (_OVER, _MIXED, _TIMES_TEN, _POWER):
        found = pattern.match(text, at)
        if found is None or (pattern in (_OVER, _MIXED) and not plain):
            continue
        if pattern is _POWER and (abs(int(found[1])) > 60 or value == 0 or len(str(value)) > 20):
            return None
        if pattern in (_OVER, _MIXED) and int(found[found.lastindex or 1]) == 0:
            return None
        value = {
            _OVER: lambda v=value, f=found: v / int(f[1]),
            _MIXED: lambda v=value, f=found: v + Fraction(int(f[1]), int(f[2])),
            _TIMES_TEN: lambda v=value, f=found: v * Fraction(10) ** int(f[1]),
            _POWER: lambda v=value, f=found: v ** int(f[1]),
        }[pattern]()
        decimals, at = -1, found.end()
        break
    rest = text[at:]
    scale, _, more = rest.strip().partition(" ")
    if scale in _SCALE:
        value, rest = value * _SCALE[scale], more
    unit = _UNIT.fullmatch(rest)
    if unit is None or (rest[:1].isalpha() and (unit[1] in _ORDINALS or (len(unit[1]) == 1 and unit[1] not in _SHORT_UNITS))):
        return None
    value = -value if match["sign"] == "-" else value
    return _Quantity(value, f"{match['money']}{unit[1]}".strip(), decimals)


def _spelled(text: str) -> _Quantity | None:
    """Numbers in words, up to hundreds of thousands, and fractions of one half."""
    words = text.replace("-", " ").replace(" and ", " ").split()
    total, current, used = 0, 0, 0
    for word in words:
        if word in _COUNTS and _COUNTS[word] is not None:
            current += _COUNTS[word] or 0
        elif word == "hundred" and used:
            current *= 100
        elif word in _SCALE and used:
            total, current = total + current * _SCALE[word], 0
        else:
            break
        used += 1
    if text in ("half", "one half"):
        return _Quantity(Fraction(1, 2), "", -1)
    return _Quantity(Fraction(total + current), " ".join(words[used:]), 0) if used and len(words) - used <= 2 else None


def _units(one: _Quantity, two: _Quantity) -> Verdict:
    a, b = one.unit, two.unit
    if a == b or any({a, b} <= spellings for spellings in (*_SPELLINGS, *_SAME_MONEY.values())) or a.rstrip("s") == b.rstrip("s"):
        return "same"
    if not a or not b:
        return "unclear" if "%" in (a, b) or "percent" in (a, b) else "same"
    money = [next((sign for sign, spellings in _SAME_MONEY.items() if unit in spellings), None) for unit in (a, b)]
    return "different" if None not in money and money[0] != money[1] else "unclear"


def _converted(a: str, b: str) -> Verdict | None:
    """Quantities in units that `luthier.texts.values` converts: 1 km is 1000 m."""
    one, two = keys_of(a, "number"), keys_of(b, "number")
    if not unit_of(one) or unit_of(one) != unit_of(two):
        return None
    return "same" if same(one, two) else "different"


def _rounded(one: _Quantity, two: _Quantity) -> bool:
    """Whether one may be the other, rounded to the decimals it is written with."""
    for rough, exact in ((one, two), (two, one)):
        finer = rough.decimals >= 1 and (exact.decimals < 0 or exact.decimals > rough.decimals)
        if finer and abs(rough.value - exact.value) <= Fraction(1, 10**rough.decimals):
            return True
    return False


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


def _by_formula(a: str, b: str) -> Verdict | None:
    """Formulas that have one value, or are the same for all values of their letters."""
    if not (_FORMULA.search(a) or _FORMULA.search(b)):
        return None
    if any(len(text) > _LONGEST_FORMULA or _TOWER.search(text) or not _is_shallow(text) or _has_words(text) for text in (a, b)):
        return "unclear"
    try:
        return _compared(_parsed(a), _parsed(b))
    except Exception:  # what a parser of free text raises has no end; all of it means: nobody can tell
        return "unclear"


def _is_shallow(text: str) -> bool:
    """Whether all brackets are closed and few stand within one another: parsers take long over others."""
    opened = list[str]()
    for sign in text:
        if sign in "({[":
            opened.append(sign)
        elif sign in ")}]" and (not opened or opened.pop() + sign not in ("()", "{}", "[]")):
            return False
        if len(opened) > _DEEPEST:
            return False
    return not opened


def _has_words(text: str) -> bool:
    return bool(re.search(r"[a-z]{2}", re.sub(r"\\[a-z]++", "", text).replace("sqrt", "").replace("pi", "")))


def _parsed(text: str) -> Any:
    from latex2sympy2_extended import latex2sympy

    formula = re.sub(
        r"(?<!\\)sqrt\(([^()]*+)\)",
        r"\\sqrt{\1}",
        text.replace("**", "^").replace("·", "*").replace("×", "*").replace("√", "\\sqrt ").replace("π", "\\pi "),
    )
    formula = re.sub(r"(?<![\\a-z])pi(?![a-z])", r"\\pi ", formula)
    return latex2sympy(re.sub(r"\^\(([^()]*+)\)", r"^{\1}", formula))


def _compared(one: Any, two: Any) -> Verdict:
    if one == two:
        return "same"
    if one.free_symbols != two.free_symbols or one.count_ops() + two.count_ops() > 60:
        return "unclear"
    if not one.free_symbols:
        x, y = complex(one.evalf(20)), complex(two.evalf(20))
        if abs(x - y) <= 1e-9 * max(1.0, abs(x), abs(y)):
            return "same"
        return "unclear" if abs(x - y) <= 1e-2 * max(abs(x), abs(y)) else "different"
    points = [{symbol: value + at for at, symbol in enumerate(sorted(one.free_symbols, key=str))} for value in (0.37, 1.91, 2.73, 5.11)]
    gaps = [abs(complex(one.subs(point).evalf(20)) - complex(two.subs(point).evalf(20))) for point in points]
    return "same" if max(gaps) < 1e-9 else "unclear" if min(gaps) < 1e-6 else "different"


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
