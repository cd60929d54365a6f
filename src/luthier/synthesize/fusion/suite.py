"""A suite: items at every noise level with labels by computation, the questions of the retention check, the infusion sets, and a manifest."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from luthier.errors import SettingsError
from luthier.records import JSON, write_jsonl
from luthier.records.files import atomic_write
from luthier.records.fusion import SCENARIOS, Fact, FusionItem, Scenario, Snippet, as_refusal
from luthier.records.fusion_suite import CONVERSATIONS, FACTS, ITEMS, MANIFEST, RETENTION, STATEMENTS, computed_label, problems
from luthier.records.lines import to_text
from luthier.synthesize.fusion import infusion_sets, wording
from luthier.synthesize.fusion.contexts import Passages, Search, Shelf, retrieved, shuffled
from luthier.synthesize.fusion.questions import FORMS, Draft, Pool, drafts, needed, retention_question, sides
from luthier.synthesize.fusion.splitting import Half, Split


@dataclass(frozen=True)
class SuiteSettings:
    """per_scenario: test questions of each scenario; training_per_scenario: those of the supervised set, None for as many.
    distractors: noise levels, one item each. memory: how many facts are infused at most, the tested ones first; None for all.
    forms: of S2. absent: share of S4 whose attribute no document tells. wordings: statements of each infused fact. closed_book: training
    questions without context on each. refusals: training refusals for each item of the largest other scenario. depth: passages that a retriever finds."""

    per_scenario: int = 200
    training_per_scenario: int | None = None
    distractors: tuple[int, ...] = (0, 1, 3)
    memory: int | None = None
    forms: tuple[str, ...] = FORMS
    absent: float = 0.25
    wordings: int = 5
    closed_book: int = 1
    refusals: float = 1.5
    depth: int = 3


@dataclass(frozen=True)
class FusionSuite:
    """facts: all that items and infusion name, by id; memory: ids of the infused ones. retention: closed-book questions on those that tests need."""

    facts: dict[str, Fact]
    memory: frozenset[str]
    items: tuple[FusionItem, ...]
    retention: tuple[FusionItem, ...]
    statements: tuple[JSON, ...]
    conversations: tuple[JSON, ...]
    report: JSON = field(default_factory=dict)

    @classmethod
    def build(
        cls,
        split: Split,
        settings: SuiteSettings = SuiteSettings(),
        *,
        known: AbstractSet[str] = frozenset(),
        tested: AbstractSet[str] | None = None,
        search: Search | None = None,
        written: Mapping[str, str] | None = None,
    ) -> FusionSuite:
        """The suite of a split. known: ids of facts that the untrained model answers already, left out; tested: those
        that tests may ask for, None for all. search: a retriever in place of chosen
        distractors; what it misses decides the label. written: test questions by fact id that a model wrote.

        Raises SettingsError where a setting has no meaning or no scenario gets an item.
        """
        return _build(_unknown(split, known), settings, tested, search, written)

    def save(self, folder: Path) -> JSON:
        """Write the suite's files, the manifest last; the same suite gives the same bytes. Returns the manifest."""
        rows = {
            FACTS: [fact.to_row() | {"memory": fact.id in self.memory} for fact in self.facts.values()],
            ITEMS: [item.to_row() for item in self.items],
            RETENTION: [item.to_row() for item in self.retention],
            STATEMENTS: list(self.statements),
            CONVERSATIONS: list(self.conversations),
        }
        manifest: JSON = {**self.report, "files": {}}
        for name, some in rows.items():
            write_jsonl(folder / name, some)
            manifest["files"][name] = {"rows": len(some), "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest()}
        with atomic_write(folder / MANIFEST) as stream:
            stream.write(to_text(manifest) + "\n")
        return manifest


def _build(
    split: Split, settings: SuiteSettings, tested: AbstractSet[str] | None, search: Search | None, written: Mapping[str, str] | None
) -> FusionSuite:
    check_suite(settings)
    infused, test, train = _pools(split, settings, tested)
    test = replace(test, written=written)
    changing = [sides(update, split.seed)[1] for update in (*split.conflicts[0], *split.conflicts[1])]
    facts = [*split.memory.all, *split.external.all, *split.held.all]
    memory, dropped = frozenset(fact.id for fact in (*infused, *changing)), Counter(split.dropped)
    passages = Passages(facts, split.seed, frozenset(fact.id for fact in changing))
    bench = _Bench(passages, settings, memory, dropped)
    shelf = Shelf(test.external, passages)
    searched = Shelf([*test.external, *(sides(update, split.seed)[0] for update in test.updates)], passages)
    items = {
        name: bench.retrieved(some, searched, search) if search is not None else bench.items(some, shelf)
        for name, some in drafts(test, settings.per_scenario, dropped).items()
    }
    flat = tuple(item for name in SCENARIOS for item in items[name])
    if not flat:
        raise SettingsError(f"no scenario gets an item ({_told(dropped)}); move the date of the split, or give more documents")
    retention = _retention(flat, {fact.id: fact for fact in infused})
    talks = infusion_sets.conversations(
        infused, _taught(train, bench, settings), split.seed, closed_book=settings.closed_book, refusals=settings.refusals
    )
    report: JSON = {
        "split": split.settings,
        "settings": asdict(settings) | {"distractors": list(settings.distractors), "forms": list(settings.forms)},
        "facts": {
            "memory": _sizes(split.memory),
            "external": _sizes(split.external),
            "held": _sizes(split.held),
            "updates": len(changing),
            "infused": len(infused),
        },
        "items": {name: len(some) for name, some in items.items()},
        "questions": {name: len({one.base for one in some}) for name, some in items.items()},
        "retention": len(retention),
        "taught": infusion_sets.taught(talks),
        "dropped": dict(sorted(dropped.items())),
        "retriever": search is not None,
    }
    statements = infusion_sets.statements(infused, split.seed, settings.wordings, changing)
    return FusionSuite({fact.id: fact for fact in (*facts, *changing)}, memory, flat, retention, tuple(statements), tuple(talks), report)


def _taught(train: Pool, bench: _Bench, settings: SuiteSettings) -> dict[Scenario, list[FusionItem]]:
    """Training items of each scenario; refusals may be more than the others."""
    count = settings.per_scenario if settings.training_per_scenario is None else settings.training_per_scenario
    shelf, uncounted = Shelf(train.external, bench.passages), replace(bench, dropped=Counter())
    made = drafts(train, round(count * max(1.0, settings.refusals)), Counter())
    return {name: uncounted.one_each(some if name == "S4" else some[:count], shelf) for name, some in made.items()}


@dataclass(frozen=True)
class _Bench:
    """Gives questions their contexts and keeps those whose computed label is the intended one."""

    passages: Passages
    settings: SuiteSettings
    memory: frozenset[str]
    dropped: Counter[str]

    def items(self, some: Sequence[Draft], shelf: Shelf) -> list[FusionItem]:
        """Every question at every noise level."""
        made = [self._with_noise(draft, shelf, noise) for draft in some for noise in self.settings.distractors]
        return [item for item in made if item is not None]

    def one_each(self, some: Sequence[Draft], shelf: Shelf) -> list[FusionItem]:
        """Every question once, the noise levels in turn."""
        levels = self.settings.distractors
        made = [self._with_noise(draft, shelf, levels[at % len(levels)]) for at, draft in enumerate(some)]
        return [item for item in made if item is not None]

    def _with_noise(self, draft: Draft, shelf: Shelf, noise: int) -> FusionItem | None:
        gold = [self.passages.snippet(fact, "gold") for fact in draft.gold]
        others = shelf.distractors(draft.base, draft.about, draft.guarded, noise)
        if others is None:
            self.dropped[f"{draft.scenario}: too few distractors without the answer"] += 1
            return None
        return self._item(draft, shuffled(draft.base, [*gold, *others], self.passages.seed), noise, draft.scenario)

    def retrieved(self, some: Sequence[Draft], shelf: Shelf, search: Search) -> list[FusionItem]:
        """Every question with what the retriever finds for it."""
        facts = [fact for each in shelf.by_attribute.values() for fact in each]
        found = retrieved(
            [d.question for d in some],
            facts,
            [frozenset(one.fact for one in d.needed) for d in some],
            self.passages,
            search=search,
            depth=self.settings.depth,
        )
        made = [
            self._item(draft, context, sum(one.role == "distractor" for one in context), None)
            for draft, context in zip(some, found, strict=True)
        ]
        return [item for item in made if item is not None]

    def _item(self, draft: Draft, context: Sequence[Snippet], noise: int, wanted: Scenario | None) -> FusionItem | None:
        """The item with its computed label. wanted: the label it must have; None takes whichever it has, as a retriever's misses decide."""
        name = f"{draft.base}-{'r' if wanted is None else 'd'}{noise}"
        item = FusionItem(
            name,
            draft.base,
            draft.scenario,
            draft.form,
            draft.question,
            draft.answer,
            draft.needed,
            tuple(context),
            noise,
            draft.conclusion,
            draft.stale,
        )
        label = computed_label(item, self.memory)
        if label is None or (wanted is not None and label != wanted):
            self.dropped[f"{draft.scenario}: the facts at hand make it {label or 'no scenario'}"] += 1
            return None
        item = _relabelled(item, label)
        problem = next(problems([item], self.memory), None)
        if problem is not None:
            self.dropped[f"{draft.scenario}: the context lacks or leaks a value"] += 1
            return None
        return item


def _relabelled(item: FusionItem, label: Scenario) -> FusionItem:
    """An item whose gold passage a retriever missed asks for a refusal."""
    if label == item.scenario:
        return item
    return as_refusal(item) if label == "S4" else replace(item, scenario=label)


def check_suite(settings: SuiteSettings) -> None:
    """Raises SettingsError where a setting has no meaning."""
    if settings.per_scenario < 1:
        raise SettingsError(f"per_scenario is {settings.per_scenario}; it must be at least 1")
    if not settings.distractors or min(settings.distractors) < 0 or len(set(settings.distractors)) < len(settings.distractors):
        raise SettingsError("distractors are different numbers from 0, at least one: 0,1,3")
    unknown = set(settings.forms) - set(FORMS)
    if unknown or not settings.forms:
        raise SettingsError(f"forms of S2 are {', '.join(FORMS)}; {', '.join(sorted(unknown)) or 'none'} is not among them")
    if settings.wordings < 1 or (settings.memory is not None and settings.memory < 1):
        raise SettingsError("wordings and memory must be at least 1")


def _unknown(split: Split, known: AbstractSet[str]) -> Split:
    """Without the facts that the untrained model knows."""
    if not known:
        return split

    def left(half: Half) -> Half:
        return Half(*(tuple(fact for fact in some if fact.id not in known) for some in (half.train, half.test)))

    memory, external, held = left(split.memory), left(split.external), left(split.held)
    lost = sum(len(one.all) for one in (split.memory, split.external, split.held)) - sum(len(one.all) for one in (memory, external, held))
    dropped = {**split.dropped, "the untrained model knows it": lost}
    return replace(split, memory=memory, external=external, held=held, dropped=dropped)


def _pools(split: Split, settings: SuiteSettings, tested: AbstractSet[str] | None) -> tuple[list[Fact], Pool, Pool]:
    """The facts that are trained into the weights, those that tests ask for first, and the pools of tests and of training."""
    test, train = (Pool.of(split, use, forms=settings.forms, absent=settings.absent) for use in ("test", "train"))
    if tested is not None:
        memory, external, held = (tuple(fact for fact in some if fact.id in tested) for some in (test.memory, test.external, test.held))
        test = replace(test, memory=memory, external=external, held=held)
    if settings.memory is None:
        return [*split.memory.test, *split.memory.train], test, train
    asked = test.memory[: max(1, settings.memory // 2)]
    shown = train.memory[: settings.memory - len(asked)]
    return [*asked, *shown], replace(test, memory=asked), replace(train, memory=shown)


def closed_book(facts: Iterable[Fact]) -> tuple[FusionItem, ...]:
    """A closed-book question on each fact: what is retained after infusion, or known before it."""
    return tuple(
        FusionItem(
            f"K-{fact.id}",
            f"K-{fact.id}",
            "S3",
            "retention",
            retention_question(fact),
            wording.fill(wording.STATEMENTS[0], fact),
            (needed(fact, "memory"),),
            (),
            0,
        )
        for fact in facts
    )


def _retention(items: Sequence[FusionItem], memory: Mapping[str, Fact]) -> tuple[FusionItem, ...]:
    """The closed-book questions on the infused facts that items need."""
    asked = dict.fromkeys(one.fact for item in items for one in item.needed if one.fact in memory and not item.stale)
    return closed_book(memory[place] for place in asked)


def _sizes(half: Half) -> JSON:
    return {"train": len(half.train), "test": len(half.test)}


def _told(dropped: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in dropped.items()) or "no facts on a side of the split"
