"""Scores a model on function calling: items of the leaderboard (BFCL) or a person's own dialogues, under free, guided or constrained decoding.

What is right is the business of `tool_verdicts`. Calls are read in whatever form the model's family writes them, which is told; a tool that
the prompt does not name is never scored. Answers go to a journal chunk by chunk, so that a stopped evaluation continues, with the same
batches and the same result.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from luthier.errors import EngineError, SettingsError
from luthier.evaluate.own_items import OwnItem
from luthier.evaluate.settings import Decoding
from luthier.evaluate.tool_verdicts import judge
from luthier.evaluate.tools_page import OWN
from luthier.models import LanguageModel, Prompt, Sampling
from luthier.models.grammar import calls_grammar, own_form
from luthier.records import JSON, Message, Tool
from luthier.records.bfcl import Item
from luthier.records.calls import render_calls
from luthier.records.journal import Journal
from luthier.statistics.rates import Rate, wilson

FIELDS = ("id", "category", "decoding")  # that every row of answers has
MAX_TOKENS = 64
MAX_JSON_TOKENS = 160  # the same calls as JSON, often spread over lines
SEVERAL = 3  # times as many for an answer of several calls
MOST_CALLS = 8  # of an answer under a grammar
CHUNK = 32
AnyItem = Item | OwnItem


@dataclass(frozen=True)
class Score:
    """One line of the score table. official: of benchmark items, right: of own ones; the other is None. forms: answers by the form of their
    calls; unread: attempts at a call in no known form. dialogues: of own items, those in which every decision is right, where some have more
    than one. failures: of multi-turn dialogues, how many broke which rule."""

    category: str
    decoding: str
    official: Rate | None
    right: Rate | None
    strict: Rate
    forms: JSON
    unread: int
    dialogues: Rate | None = None
    failures: JSON = field(default_factory=dict)

    def to_row(self) -> JSON:
        rates = {name: rate.to_row() for name in ("official", "right", "strict", "dialogues") if (rate := getattr(self, name)) is not None}
        told = {"category": self.category, "decoding": self.decoding, "items": self.strict.items}
        return {**told, **rates, "forms": self.forms, "unread": self.unread} | ({"failures": self.failures} if self.failures else {})


@dataclass(frozen=True)
class Balance:
    """How well a model knows when to call: calls made where one was asked for, and sentences where none was (strictly), and their mean.

    Either alone is won by always calling, or by never doing so.
    """

    decoding: str
    called: Rate
    abstained: Rate

    def to_row(self) -> JSON:
        mean = (self.called.rate + self.abstained.rate) / 2
        return {"decoding": self.decoding, "called": self.called.to_row(), "abstained": self.abstained.to_row(), "mean": mean}


def evaluate_tools(
    model: LanguageModel,
    items: Sequence[AnyItem],
    journal: Path,
    *,
    decodings: Sequence[Decoding] = ("free", "constrained"),
    max_tokens: int | None = None,
    form: str = "brackets",
    progress: Callable[[int], None] | None = None,
) -> list[Score]:
    """Answer and judge every item under every decoding; rows go to `journal`, and what is there already is not asked again.

    form: that calls under a grammar are written in, of `grammar.FORMS`. Raises EngineError where the engine cannot follow a grammar and a decoding
    needs one, and where a prompt does not name a tool on offer; SettingsError where the journal holds another model's answers.
    """
    twice = next((name for name, count in Counter(item.id for item in items).items() if count > 1), None)
    if twice is not None:
        raise SettingsError(f"two items are called {twice}, so their answers could not be told apart; give own dialogues other ids")
    check_prompts(model, items)
    single = max_tokens or (MAX_TOKENS if own_form(model) == "brackets" == form else MAX_JSON_TOKENS)
    done: dict[tuple[str, str], JSON] = {}
    with Journal(journal, FIELDS) as rows:
        done = {(row["decoding"], row["id"]): row for row in rows}
        strangers = {row.get("model") for row in done.values()} - {model.name}
        if strangers:
            raise SettingsError(f"{journal}: holds answers of {strangers.pop()}, not of {model.name}; choose another file")
        for chunk in _chunks(items, decodings):
            if any((decoding, item.id) not in done for decoding, item in chunk):
                prompts = [prompt_for(item, decoding, form) for decoding, item in chunk]
                rooms = [Sampling(max_tokens=max_tokens or _room(item, single)) for _, item in chunk]
                answers = model.generate(prompts, rooms)
                for (decoding, item), completion in zip(chunk, answers, strict=True):
                    row = {**judge(item, completion, decoding).to_row(), "model": model.name}
                    if (decoding, item.id) not in done:
                        rows.append(row)
                    done[decoding, item.id] = row
            if progress is not None:
                progress(len(chunk))
    return scores([done[decoding, item.id] for decoding in decodings for item in items])


def _room(item: AnyItem, single: int) -> int:
    """Tokens that an answer may have: those of one call or of several, and enough for what an own dialogue has at that place."""
    if isinstance(item, Item):
        return SEVERAL * single if item.several else single
    written = len(render_calls(item.calls) if item.calls else item.said)
    return max(single, single // 2 + written // 2)  # a token is seldom less than two letters


def _chunks(items: Sequence[AnyItem], decodings: Sequence[Decoding]) -> Iterator[list[tuple[Decoding, AnyItem]]]:
    """Fixed groups of prompts of like length: the batches, and so the numbers, do not depend on where a run was stopped.

    An item's decodings stand in one group, so that an engine which reads equal prompts once does so.
    """
    order = sorted(items, key=lambda item: (item.category, len(str(item.tools)) + len(str(item.messages)), item.id))
    size = max(1, CHUNK // len(decodings))
    for start in range(0, len(order), size):
        yield [(decoding, item) for item in order[start : start + size] for decoding in decodings]


class Offering(Protocol):
    """What has messages and tools on offer."""

    @property
    def id(self) -> str: ...

    @property
    def messages(self) -> tuple[Message, ...]: ...

    @property
    def tools(self) -> tuple[Tool, ...]: ...


def check_prompts(model: LanguageModel, items: Sequence[Offering]) -> None:
    """Raises EngineError where the prompt of an item does not name a tool on offer, since no answer to it could be right; of a server, which keeps its
    prompts to itself, where one is as long without the tools."""
    render = getattr(model, "render", None)
    if render is None:
        if items and hasattr(model, "base_url"):
            _check_served(model, items[0])
        return
    for item in items:
        prompt = render(Prompt(item.messages, item.tools))
        missing = next((tool.name for tool in item.tools if tool.name not in prompt), None)
        if missing is not None:
            raise EngineError(
                f"{model.name}: the prompt of item {item.id} does not name the tool {missing}; mend the model's chat template"
            )


def _check_served(model: LanguageModel, item: Offering) -> None:
    asked = [Prompt(item.messages, item.tools), Prompt(item.messages)]
    shown, bare = model.generate(asked, Sampling(max_tokens=1))
    if "refused" not in (shown.finish, bare.finish) and shown.prompt_tokens <= bare.prompt_tokens:
        told = f"its prompt has {shown.prompt_tokens} tokens with tools and {bare.prompt_tokens} without"
        raise EngineError(f"{model.name}: the server does not show the tools to the model ({told}); give it a chat template that does")


def prompt_for(item: AnyItem, decoding: Decoding, form: str = "brackets") -> Prompt:
    """The item as a prompt. Constrained: one call where the benchmark's category asks for one, several where it may; a call or a sentence where
    nothing tells which is wanted, and only a sentence where there are no tools. Guided: whatever the model wants to say or call, but every call
    as the tool's schema has it."""
    if decoding == "free" or not item.tools:
        return Prompt(item.messages, item.tools)
    if decoding == "guided":
        return Prompt(item.messages, item.tools, grammar=calls_grammar(item.tools, calls=(1, MOST_CALLS), text=True, whole=True, form=form))
    own = isinstance(item, OwnItem)
    calls = (1, MOST_CALLS) if own or item.several else (1, 1)
    grammar = calls_grammar(item.tools, calls=calls, sentence=own or "relevance" in item.category, form=form)
    return Prompt(item.messages, item.tools, grammar=grammar)


def scores(rows: Sequence[JSON]) -> list[Score]:
    """The table of judged rows: one line per category and decoding, in order of appearance; before them one of all own dialogues, where these
    are of several types. A type that is called as a category of the benchmark that stands beside it (parallel) is "own parallel"."""
    groups: dict[tuple[str, str], list[JSON]] = defaultdict(list)
    own = [row for row in rows if "right" in row]
    if len({row["category"] for row in own}) > 1:
        for row in own:
            groups[OWN, row["decoding"]].append(row)
    benchmark = {row["category"] for row in rows if "right" not in row}
    for row in rows:
        category = f"own {row['category']}" if "right" in row and row["category"] in benchmark else row["category"]
        groups[category, row["decoding"]].append(row)
    return [_score(category, decoding, group) for (category, decoding), group in groups.items()]


def _score(category: str, decoding: str, rows: Sequence[JSON]) -> Score:
    forms = Counter(row["form"] for row in rows if row.get("form"))
    unread = sum(bool(row.get("attempted")) and not row.get("form") for row in rows)
    official, right = (_rate(rows, rule) if all(rule in row for row in rows) else None for rule in ("official", "right"))
    failures = Counter(row["failure"] for row in rows if row.get("failure"))
    strict, told = _rate(rows, "strict"), dict(failures.most_common())
    return Score(category, decoding, official, right, strict, dict(forms.most_common()), unread, _dialogues(rows), told)


def _dialogues(rows: Sequence[JSON]) -> Rate | None:
    groups: dict[str, list[bool]] = defaultdict(list)
    for row in rows:
        if "dialogue" in row:
            groups[row["dialogue"]].append(bool(row["right"]))
    return wilson(sum(map(all, groups.values())), len(groups)) if len(groups) < len(rows) and groups else None


def balances(rows: Sequence[JSON]) -> list[Balance]:
    """One for each decoding that has judged rows of both kinds."""
    found = []
    for decoding in dict.fromkeys(str(row["decoding"]) for row in rows):
        mine = [row for row in rows if row["decoding"] == decoding and "abstain" in row]
        asked, unasked = ([row for row in mine if row["abstain"] is abstain] for abstain in (False, True))
        if asked and unasked:
            found.append(Balance(decoding, _rate(asked, "called"), _rate(unasked, "strict")))
    return found


def _rate(rows: Sequence[JSON], verdict: str) -> Rate:
    return wilson(sum(bool(row[verdict]) for row in rows), len(rows))
