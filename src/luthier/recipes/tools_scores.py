"""What the run changed, as the report tells it: the headline, the bars, the wins and the remaining failures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

from luthier.evaluate.tools_page import OWN
from luthier.records import JSON
from luthier.report.charts import interval_bars
from luthier.report.talk import question_text
from luthier.report.wording import THIN, number, percent, percent_range, words
from luthier.run import RunRecord

if TYPE_CHECKING:
    from markupsafe import Markup

STEPS = {  # name: where it is kept, the part of the flow and its step, and its title
    "pool": ("dialogues", "pool", "Collect tools"),
    "dialogues": ("dialogues", "dialogues", "Make dialogues"),
    "check": ("dialogues", "check", "Check them"),
    "select": ("", "select", "Choose with ZIP"),
    "evaluate-before": ("before", "answers", "Score the model before"),
    "train": ("sft", "train", "Train"),
    "evaluate-after": ("after", "answers", "Score it after"),
}
RULES = ("official", "right", "strict", "dialogues")  # as far as a score has them
LOOSE = ("official", "right")
_SHOWN = 5


class Flow:
    """A run of the flow, with the steps of its parts under one name each."""

    def __init__(self, run: RunRecord) -> None:
        self.run = run
        names = {part for part, _, _ in STEPS.values() if part}
        self._parts = {"": run, **{name: found for name in names if (found := run.below(name)) is not None}}

    def results(self, step: str) -> JSON:
        """What a step measured; empty where it has not ended."""
        part, name, _ = STEPS.get(step, ("", step, step))
        found = self._parts[part].results(name) if part in self._parts else {}
        return {**found, "seconds": self._parts[part].steps[name]["seconds"]} if found else {}

    @property
    def unfinished(self) -> list[str]:
        """Titles of the steps that have not ended."""
        return [title for name, (_, _, title) in STEPS.items() if not self.results(name)]


@dataclass(frozen=True)
class Comparison:
    """One category under one rule, before and after; either side may be missing. own: of dialogues about the person's own APIs."""

    category: str
    decoding: str
    rule: str
    before: JSON | None
    after: JSON | None
    own: bool = False

    @property
    def told(self) -> str:
        """The rule in words."""
        return "whole dialogues" if self.rule == "dialogues" else self.rule

    @property
    def chart(self) -> Markup:
        return interval_bars([(name, side) for name, side in (("before", self.before), ("after", self.after)) if side])

    @property
    def items(self) -> int:
        side = self.after or self.before or {}
        return int(side.get("items", 0))


def comparisons(flow: Flow) -> list[Comparison]:
    """Every category, decoding and rule that either evaluation has, in the order of the evaluations."""
    before, after = (_by_place(flow.results(step)) for step in ("evaluate-before", "evaluate-after"))
    places = list(dict.fromkeys([*after, *before]))
    found = []
    for category, decoding in places:
        sides = [side.get((category, decoding), {}) for side in (before, after)]
        for rule in RULES:
            old, new = (_score(side, rule) for side in sides)
            if old or new:
                own = any("right" in side.get((category, decoding), {}) for side in (before, after))
                found.append(Comparison(category, decoding, rule, old, new, own))
    return found


def _by_place(results: JSON) -> dict[tuple[str, str], JSON]:
    return {(str(score["category"]), str(score["decoding"])): score for score in results.get("scores", [])}


def _score(side: JSON, rule: str) -> JSON | None:
    score = side.get(rule)
    return {"items": side.get("items", 0), **score} if score else None


@dataclass(frozen=True)
class Headline:
    """The main result in one sentence, its figures apart so that they can be set off, and a second line."""

    lead: str
    change: str = ""
    rest: str = ""
    second_line: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in (self.lead, self.change, self.rest) if part)


def headline(flow: Flow) -> Headline:
    """Free decoding of the held-out dialogues about the APIs, by the strict rule, because silence is right by the other; else of the first
    category of the benchmark that asks for calls, by its own rule; before there are scores, how far the run is."""
    rows = [row for row in comparisons(flow) if row.rule == ("strict" if row.own else "official")]
    free = (row for row in rows if row.decoding == "free" and "irrelevance" not in row.category)
    main = next(free, rows[0] if rows else None)
    if main is None:
        done = len(STEPS) - len(flow.unfinished)
        return Headline(f"{done} of {len(STEPS)} steps are done; nothing is scored yet")
    lead = f"{main.decoding.capitalize()} decoding on {_place(main)}:"
    items = f"of {number(main.items)} {'decisions' if main.own else 'items'}"
    if main.before and main.after:
        change = f"{percent(main.before['rate'])} → {percent(main.after['rate'])}"
        return Headline(lead, change, items, _second_line(main, rows))
    only, when = (main.after, "after training") if main.after else (main.before or {}, "before training")
    return Headline(lead, percent(only.get("rate")), f"{items} {when}")


def _place(row: Comparison) -> str:
    return ("your APIs" if row.category == OWN else f"your APIs, {words(row.category)}") if row.own else f"BFCL {row.category}"


def _second_line(main: Comparison, rows: list[Comparison]) -> str:
    intervals = [percent_range(side["low"], side["high"]) for side in (main.before, main.after) if side]
    told = f"95{THIN}% intervals: {intervals[0]} before, {intervals[1]} after."
    other = next((row for row in rows if row.category == main.category and row.decoding != main.decoding), None)
    if other and other.before and other.after:
        told += f" With {words(other.decoding)} decoding: {_change(other)}."
    bench = next((row for row in rows if not row.own and row.decoding == main.decoding and row.before and row.after), None)
    if main.own and bench:
        told += f" On {_place(bench)}, which is about other APIs: {_change(bench)}."
    return told


def _change(row: Comparison) -> str:
    return " → ".join(percent(side["rate"]) for side in (row.before, row.after) if side)


def charts(rows: Iterable[Comparison]) -> dict[str, list[tuple[str, list[Comparison]]]]:
    """Decoding → categories → comparisons; a rule only where it tells something else than the one before it."""
    grouped: dict[str, dict[str, list[Comparison]]] = {}
    for row in rows:
        shown = grouped.setdefault(row.decoding, {}).setdefault(row.category, [])
        if not any(_same(row, other) for other in shown):
            shown.append(row)
    return {decoding: list(categories.items()) for decoding, categories in grouped.items()}


def _same(one: Comparison, other: Comparison) -> bool:
    return (one.before, one.after) == (other.before, other.after)


@dataclass(frozen=True)
class Answer:
    """One question with what the model said before and after."""

    before: JSON | None
    after: JSON

    @property
    def asked(self) -> str:
        return question_text(self.after.get("question", ""))


def answers(flow: Flow) -> tuple[list[Answer], list[Answer], int, int]:
    """Five wins and five remaining failures under free decoding, spread over the categories, and how many there are of each."""
    before = {str(row.get("id")): row for row in flow.run.rows("before/answers.jsonl") if _free(row)}
    wins: dict[str, list[Answer]] = {}
    failures: dict[str, list[Answer]] = {}
    for row in flow.run.rows("after/answers.jsonl"):
        if not _free(row):
            continue
        old = before.get(str(row.get("id")))
        kind = None if _right(row) and (old is None or _right(old)) else wins if _right(row) else failures
        if kind is not None:
            kind.setdefault(str(row.get("category")), []).append(Answer(old, row))
    return _spread(wins), _spread(failures), _total(wins), _total(failures)


def _free(row: JSON) -> bool:
    return row.get("decoding") == "free"


def _right(row: JSON) -> bool:
    return bool(row.get("strict")) and bool(row.get("official", row.get("right")))


def _spread(groups: dict[str, list[Answer]]) -> list[Answer]:
    return list(_round_robin(groups))[:_SHOWN]


def _round_robin(groups: dict[str, list[Answer]]) -> Iterator[Answer]:
    for turn in zip_longest(*groups.values()):
        yield from (answer for answer in turn if answer is not None)


def _total(groups: dict[str, list[Answer]]) -> int:
    return sum(len(group) for group in groups.values())
