"""One answer against what its item needs: which facts it states, whether it asserts anything wrong, whether it refuses (sec. 3.5's R_acc and R_cover).

Exact: dates, numbers, units and versions are compared by what they mean, names by their words. No model judges here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from luthier.evaluate.fusion.refusals import refuses
from luthier.records import JSON
from luthier.records.fusion import Fact, FusionItem, Needed
from luthier.texts.values import Kind, Mention, agrees, blank, keys_of, mentions, plain_words, same, states, unit_of

_CITED = re.compile(r"\[\d+\]|\bpassages?\s+\d+(?:\s*(?:,|and)\s*\d+)*", re.IGNORECASE)
_CLAUSE = re.compile(r"[,;:.!?]\s|\n")
_MORE = {
    "earlier": ("earlier", "earliest", "first", "before", "older"),
    "greater": ("greater", "greatest", "larger", "largest", "higher", "highest", "bigger", "more"),
}


@dataclass(frozen=True)
class Verdict:
    """What an answer does. stated: for each needed fact, whether it is stated; right: R_acc of the item; cover: R_cover.

    wrong: a value of the same attribute is asserted that is not a needed one; misled: that of a passage on something else.
    """

    stated: tuple[bool, ...]
    right: bool
    cover: float
    refused: bool
    wrong: bool
    misled: bool

    def to_row(self) -> JSON:
        return asdict(self) | {"stated": list(self.stated)}

    @classmethod
    def from_row(cls, row: JSON) -> Verdict:
        return cls(**{**row, "stated": tuple(row["stated"])})


class Scorer:
    """Judges answers to the items of a suite. facts: by id; they tell which other values an attribute can have, and what subjects are called."""

    def __init__(self, facts: Mapping[str, Fact]) -> None:
        self.facts = facts
        self._names: dict[str, dict[tuple[str, ...], str]] = {}  # attribute: words of a text value -> the value
        for fact in facts.values():
            if fact.kind == "text":
                known = self._names.setdefault(fact.attribute, {})
                known.update((tuple(plain_words(value)), value) for value in fact.values)

    def judge(self, item: FusionItem, answer: str) -> Verdict:
        """The verdict on one answer. A refusal states nothing, so that it counts as 0 wherever there is something to say."""
        names = self._subjects(item)
        kinds = {one.kind for one in item.needed if one.kind != "text"}
        bare = blank(_CITED.sub(lambda match: " " * len(match[0]), answer), names)
        refused = refuses(answer, kinds, names) and not self._other_name(item, answer)
        if item.scenario == "S4":
            return Verdict(
                tuple(False for _ in item.needed), refused, float(refused), refused, not refused, self._misled(item, bare, answer)
            )
        if refused and not any(self._place(one, bare, answer) is not None for one in item.needed):
            return Verdict(tuple(False for _ in item.needed), False, 0.0, True, False, False)
        places = [self._place(one, bare, answer) for one in item.needed]
        stated = tuple(place is not None for place in places)
        wrong = self._wrong(item, bare, answer)
        in_place = all(stated) and _in_order(item, answer, [place for place in places if place is not None])
        right = in_place and not wrong and _concluded(item, answer)
        return Verdict(stated, right, sum(stated) / len(stated), False, wrong, wrong and self._misled(item, bare, answer))

    def _subjects(self, item: FusionItem) -> list[str]:
        shown = {fact for snippet in item.context for fact in snippet.facts}
        return [
            *(one.subject for one in item.needed),
            *(self.facts[fact].subject for fact in shown if fact in self.facts),
            *item.conclusion[:2],
        ]

    def _place(self, one: Needed, bare: str, answer: str) -> int | None:
        """Where a needed fact is stated. bare: the answer without names whose digits mislead; text is looked for in the whole of it."""
        found = [place for value in one.values if (place := states(answer if one.kind == "text" else bare, value, one.kind)) is not None]
        return min(found, default=None)

    def _wrong(self, item: FusionItem, bare: str, answer: str) -> bool:
        if self._other_name(item, answer):
            return True
        for kind in {one.kind for one in item.needed if one.kind != "text"}:
            good = [keys_of(value, kind) for one in item.needed if one.kind == kind for value in one.values]
            good += [keys_of(value, kind) for value in item.stale]  # the newer one, with mention of the older
            others = [value for one in item.needed if one.kind != kind for value in one.values]
            told = _comparable(blank(bare, others), kind, good)  # ">=7.4" is no version where it is the other answer
            if any(not any(same(one.keys, keys) or agrees(one.keys, keys) for keys in good) for one in told):
                return True
        return False

    def _other_name(self, item: FusionItem, answer: str) -> bool:
        """Whether a text value of the same attribute is named that is none of the needed ones, nor a part of one, nor in the question."""
        words = plain_words(answer)
        for one in item.needed:
            known = self._names.get(one.attribute, {}) if one.kind == "text" and item.form != "bridge" else {}
            if not known:
                continue
            fine = [plain_words(text) for text in (*one.values, *item.stale, item.question, *self._subjects(item))]
            fine += [plain_words(value) for other in item.needed for value in other.values]
            longest = max(len(name) for name in known)
            for size in range(1, longest + 1):
                for at in range(len(words) - size + 1):
                    name = tuple(words[at : at + size])
                    if name in known and not any(_within(name, text) for text in fine):
                        return True
        return False

    def _misled(self, item: FusionItem, bare: str, answer: str) -> bool:
        """Whether the answer gives a value of the asked attribute that a distractor told of something else."""
        asked = {one.attribute for one in item.needed}
        told = [
            self.facts[fact] for snippet in item.context if snippet.role == "distractor" for fact in snippet.facts if fact in self.facts
        ]
        return any(
            states(answer if fact.kind == "text" else bare, value, fact.kind) is not None
            for fact in told
            if fact.attribute in asked or item.scenario == "S4"
            for value in fact.values
        )


def _comparable(text: str, kind: Kind, good: Sequence[frozenset[str]]) -> list[Mention]:
    """Mentions that could be a value of the attribute: where its values have a unit, numbers of another unit are about something else."""
    found = mentions(text, kind)
    if kind != "number":
        return found
    units = {unit_of(keys) for keys in good}
    return [one for one in found if units == {""} or unit_of(one.keys) in {*units, ""}]


def _within(name: tuple[str, ...], words: Sequence[str]) -> bool:
    return any(tuple(words[at : at + len(name)]) == name for at in range(len(words) - len(name) + 1))


def _in_order(item: FusionItem, answer: str, places: Sequence[int]) -> bool:
    """Whether two values stand in the order of their subjects: as the answer names these, or as the question does."""
    if len(item.needed) != 2 or item.form == "bridge" or item.needed[0].kind != item.needed[1].kind:
        return True
    named = [_first(answer, one.subject) for one in item.needed]
    if named[0] is None or named[1] is None:
        named = [_first(item.question, one.subject) for one in item.needed]
    if named[0] is None or named[1] is None:
        return True
    return (named[0] < named[1]) == (places[0] < places[1])


def _first(text: str, name: str) -> int | None:
    found = re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE)
    return None if found is None else found.start()


def _concluded(item: FusionItem, answer: str) -> bool:
    """Whether the answer says of the right subject that it is the earlier or greater one: the first that the last such clause names."""
    if not item.conclusion:
        return True
    first, other, more = item.conclusion
    said = re.compile(rf"\b(?:{'|'.join(_MORE[more])})\b", re.IGNORECASE)
    masked = _masked(answer, (first, other))  # names have commas, full stops, and words like "before" in them
    bounds = [0, *(bound for mark in _CLAUSE.finditer(masked) for bound in mark.span()), len(answer)]
    clauses = [answer[start:end] for start, end in zip(bounds[::2], bounds[1::2], strict=True) if said.search(masked[start:end])]
    for clause in reversed(clauses):
        ours, theirs = _first(clause, first), _first(clause, other)
        if ours is not None or theirs is not None:
            return ours is not None and (theirs is None or ours < theirs)
    return False


def _masked(text: str, names: Sequence[str]) -> str:
    """The text with a letter for each character of these names."""
    for name in sorted(names, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", lambda match: "x" * len(match[0]), text, flags=re.IGNORECASE)
    return text
