"""The signs in an answer that say something: relations, brackets, operators. A comma between words does not; a bar round a letter does."""

from __future__ import annotations

import re
from typing import NamedTuple

_SIGNS = """<-> ↔ <=> ⇔ -> → => ⇒ <= ≤ >= ≥ =/= ≠ != ≠ == = && ∧ || ∥ ≦ ≤ ≧ ≥ ⩽ ≤ ⩾ ≥ − - – - ⁄ / ’ ' ‘ ' ′ ' ″ " “ " ” " „ " « " » " ∨ ∥""".split()  # noqa: SIM905
_CANONICAL = dict(zip(_SIGNS[::2], _SIGNS[1::2], strict=True))
_SPELLING = re.compile("|".join(re.escape(sign) for sign in sorted(_CANONICAL, key=len, reverse=True)))
_RELATION = re.compile(r"[<>=≤≥≠≈≡≅∼∝∈∉⊂⊃⊆⊇→←↔⇒⇐⇔]")
_TURNED = dict(zip("<>≤≥→←⇒⇐⊂⊃⊆⊇", "><≥≤←→⇐⇒⊃⊂⊇⊆", strict=True))
_EXCLUSIVE = frozenset("<>≤≥=≠")  # one of them said between two sides means that another one is wrong, or says more or less
_BRACKET = re.compile(r"[()\[\]{}]")
_SEPARATOR = re.compile(r"[()\[\]{}]|,\s?+(?:and|or)\s|[,;]\s?+|\s(?:and|or)\s")
_TOKEN = re.compile(r"(?P<word>[^\W_]++)(?P<name>[+#]++(?!\s?\w))?|(?P<sign>[^\w\s]|_)")
_SHORT = "no so he we it is in on of to at by or an as be do go if me my ok oh up us am"
_SHORT_WORDS = frozenset(_SHORT.split())
_NAMES = "sin cos tan cot sec csc sinh cosh tanh arcsin arccos arctan log exp sqrt max min mod gcd lcm deg inf abs det"
FUNCTIONS = frozenset(_NAMES.split())
MOST_RELATIONS = 6  # in one answer: more are a text


class Relation(NamedTuple):
    """What stands round the signs of relations, and these."""

    sides: tuple[str, ...]
    signs: tuple[str, ...]

    def turned(self) -> Relation:
        """The same, read from the right: `x < 2` is `2 > x`."""
        return Relation(self.sides[::-1], tuple(_TURNED.get(sign, sign) for sign in reversed(self.signs)))


class Members(NamedTuple):
    """The members of a list, tuple, set or interval, the brackets round them, and whether `or` stands between them."""

    brackets: str
    parts: tuple[str, ...]
    either: bool


def canonical(text: str) -> str:
    """One spelling a sign: `<=` is `≤`, curly quotes are straight."""
    return _SPELLING.sub(lambda match: _CANONICAL[match[0]], text)


def relation(text: str) -> Relation:
    """A text parted at its signs of relations; one side and no signs where it has none."""
    return Relation(tuple(side.strip() for side in _RELATION.split(text)), tuple(_RELATION.findall(text)))


def excludes(one: str, two: str) -> bool:
    """Whether two signs of relations cannot be meant by each other."""
    return one != two and {one, two} <= _EXCLUSIVE


def brackets(text: str) -> str:
    """The two brackets round a whole text, of which an interval may have two kinds; empty where none are."""
    if text[:1] not in ("(", "[", "{") or text[-1:] not in (")", "]", "}") or len(text) < 2:
        return ""
    depth = 0
    for match in _BRACKET.finditer(text):
        depth += 1 if match[0] in "([{" else -1
        if depth == 0:
            return text[0] + text[-1] if match.end() == len(text) else ""
    return ""


def members(text: str) -> Members:
    """What stands between the commas, semicolons, `and` and `or` of a list, but not of the lists within it."""
    around = brackets(text)
    inner = text[1:-1] if around else text
    parts, depth, begun, either = list[str](), 0, 0, False
    for match in _SEPARATOR.finditer(inner):
        if match[0] in "([{":
            depth += 1
        elif match[0] in ")]}":
            depth -= 1
        elif depth == 0:
            parts.append(inner[begun : match.start()])
            begun, either = match.end(), either or "or" in match[0]
    parts.append(inner[begun:])
    return Members(around, tuple(part.strip() for part in parts if part.strip()), either)


def is_prose(word: str) -> bool:
    """Whether a word is one of a language, not letters or names of a formula."""
    return word.isalpha() and (len(word) > 2 or word in _SHORT_WORDS) and word not in FUNCTIONS


def told(text: str) -> list[str]:
    """The words of a text and the signs that say something, in their order."""
    found = list(_TOKEN.finditer(text))
    kept: list[str] = []
    for at, match in enumerate(found):
        before, after = found[at - 1] if at else None, found[at + 1] if at + 1 < len(found) else None
        if match["sign"] is None:
            if not _is_article(match, before, after):
                kept.append(match[0])
        elif not _is_punctuation(match, before, after):
            kept.append(match[0])
    return kept


def _is_article(match: re.Match[str], before: re.Match[str] | None, after: re.Match[str] | None) -> bool:
    """`a` before a word is one; beside a sign, or at the end, it is a letter of a formula or of a name."""
    if match[0] != "a":
        return match[0] in ("an", "the", "of")
    return after is not None and after["word"] is not None and is_prose(after[0]) and (before is None or before["word"] is not None)


def _is_punctuation(match: re.Match[str], before: re.Match[str] | None, after: re.Match[str] | None) -> bool:
    """Whether a sign only parts words: next to a word of a language, or where no formula has it."""
    left, right = before is not None and is_prose(before[0]), after is not None and is_prose(after[0])
    glued_left = before is not None and before.end() == match.start()
    glued_right = after is not None and after.start() == match.end()
    match match[0]:
        case "-" | "_":
            return (left or right) and glued_left and glued_right and _is_plain(before) and _is_plain(after)
        case "(":
            return right and not glued_left
        case ")":
            return left
        case ".":
            return not (glued_right and after is not None and after[0].isdigit()) and not (before is not None and before[0] == ".")
        case "," | ":" | ";" | "?" | "…" | "—":
            return left or right or before is None or after is None
        case "!":
            return left and not glued_right
        case '"':
            return (not glued_left and glued_right) or left
        case "'":
            return (not glued_left and right) or (left and (right or not glued_right or (after is not None and after[0] == "s")))
        case _:
            return False


def _is_plain(token: re.Match[str] | None) -> bool:
    """Whether a token is a word that is no function's name."""
    return token is not None and token["word"] is not None and token[0] not in FUNCTIONS
