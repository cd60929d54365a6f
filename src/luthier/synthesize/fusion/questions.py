"""Questions of each scenario from the parts of a split, before they get contexts: what is asked, what is needed, and who holds it (sec. 3)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from luthier.records.fusion import REFUSAL, Fact, Needed, Part, Scenario
from luthier.synthesize.fusion import wording
from luthier.synthesize.fusion.contexts import Guarded
from luthier.synthesize.fusion.facts import Update, fact_id
from luthier.synthesize.fusion.splitting import Split, share
from luthier.texts.values import blank, comparable, keys_of, plain_words, same, states

Use = Literal["train", "test"]
FORMS = ("two-part", "comparison", "bridge")
MORE = {"date": "earlier", "number": "greater"}


@dataclass(frozen=True)
class Draft:
    """A question without its context. gold: the facts its context must hold; about: what distractors should resemble."""

    base: str
    scenario: Scenario
    form: str
    question: str
    answer: str
    needed: tuple[Needed, ...]
    gold: tuple[Fact, ...]
    about: tuple[Fact, ...]
    conclusion: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()

    @property
    def guarded(self) -> list[Guarded]:
        """What no distractor may say."""
        return [Guarded(one.kind, one.values) for one in self.needed] + [
            Guarded(one.kind, self.stale) for one in self.needed[:1] if self.stale
        ]


@dataclass(frozen=True)
class Pool:
    """The facts of one half, in the order they are used. written: questions by fact id that a model wrote, in place of templates."""

    memory: tuple[Fact, ...]
    external: tuple[Fact, ...]
    held: tuple[Fact, ...]
    updates: tuple[Update, ...]
    use: Use
    seed: int
    forms: tuple[str, ...] = FORMS
    absent: float = 0.25
    written: Mapping[str, str] | None = None

    @classmethod
    def of(cls, split: Split, use: Use, *, forms: Sequence[str] = FORMS, absent: float = 0.25) -> Pool:
        side = 0 if use == "train" else 1
        memory, external, held = (getattr(half, use) for half in (split.memory, split.external, split.held))
        return cls(memory, external, held, split.conflicts[side], use, split.seed, tuple(forms), absent)

    @property
    def attributes(self) -> set[str]:
        return {fact.attribute for fact in (*self.memory, *self.external, *self.held)}


def drafts(pool: Pool, count: int, dropped: Counter[str]) -> dict[Scenario, list[Draft]]:
    """At most `count` questions of each scenario; what the filters leave out is counted by reason."""
    makers: dict[Scenario, Iterator[Draft | None]] = {
        "S1": (_single(fact, "S1", pool) for fact in pool.external),
        "S2": _combined(pool),
        "S3": (_single(fact, "S3", pool) for fact in pool.memory),
        "S4": _unanswerable(pool, count),
        "C": (_conflict(update, pool) for update in pool.updates),
    }
    return {scenario: list(_kept(made, scenario, count, dropped)) for scenario, made in makers.items()}


def retention_question(fact: Fact) -> str:
    """The closed-book question by which a fact counts as retained; no other question has its form."""
    return wording.fill(wording.RETENTION_QUESTION, fact)


def needed(fact: Fact, part: Part) -> Needed:
    return Needed(fact.id, part, fact.subject, fact.attribute, fact.values, fact.kind)


def _kept(made: Iterable[Draft | None], scenario: str, count: int, dropped: Counter[str]) -> Iterator[Draft]:
    left = count
    for draft in made:
        if left == 0:
            return
        if draft is None:
            continue
        if draft.scenario != "S4" and any(_in_question(draft, one) for one in draft.needed):
            dropped[f"{scenario}: the answer stands in the question"] += 1
            continue
        left -= 1
        yield draft


def _in_question(draft: Draft, one: Needed) -> bool:
    if draft.form == "bridge" and one.part == "external":
        return False  # its value is the hint, its subject the answer
    asked = blank(draft.question, [other.subject for other in draft.needed]) if one.kind != "text" else draft.question
    return any(states(asked, value, one.kind) is not None for value in one.values)


def _single(fact: Fact, scenario: Scenario, pool: Pool) -> Draft:
    part: Part = "external" if scenario == "S1" else "memory" if scenario == "S3" else "nowhere"
    base = f"{scenario}-{fact.id}"
    question = (pool.written or {}).get(fact.id) or wording.fill(
        _form(base, pool, wording.TRAINING_QUESTIONS, wording.TEST_QUESTIONS), fact
    )
    answer = wording.fill(REFUSAL if scenario == "S4" else wording.STATEMENTS[0], fact)
    return Draft(base, scenario, "single", question, answer, (needed(fact, part),), (fact,) if scenario == "S1" else (), (fact,))


def _form(name: str, pool: Pool, train: Sequence[str], test: Sequence[str]) -> str:
    forms = train if pool.use == "train" else test
    return forms[int(share(pool.seed, "form", name) * len(forms))]


def _combined(pool: Pool) -> Iterator[Draft | None]:
    """Bridges where there are any, for a third at most; else an external and a memory fact, of one attribute where that can be."""
    bridges = list(_bridges(pool)) if "bridge" in pool.forms else []
    waiting: dict[str, list[Fact]] = defaultdict(list)
    for fact in pool.memory:
        waiting[fact.attribute].append(fact)
    others = list(pool.memory)
    for number, ours in enumerate(pool.external):
        if number % 3 == 2 and bridges:
            yield bridges.pop(0)
        twin = next((fact for fact in waiting[ours.attribute] if _apart(ours, fact)), None)
        theirs = twin or next((fact for fact in others if _apart(ours, fact)), None)
        if theirs is None:
            continue
        waiting[theirs.attribute].remove(theirs) if theirs in waiting[theirs.attribute] else None
        others.remove(theirs)
        yield _pair(ours, theirs, pool, number)
    yield from bridges


def _apart(ours: Fact, theirs: Fact) -> bool:
    """Whether an answer can tell the two facts apart."""
    same_value = ours.kind == theirs.kind and same(keys_of(ours.value, ours.kind), keys_of(theirs.value, theirs.kind))
    if same_value or not wording.unique_pairs(ours.subject, theirs.subject):
        return False
    texts = [fact.value for fact in (ours, theirs) if fact.kind == "text"]
    if len(texts) == 2 and not all(states(one, two, "text") is None for one, two in (texts, texts[::-1])):
        return False
    if any(states(fact.subject, value, "text") is not None for fact in (ours, theirs) for value in texts):
        return False
    return not any(wording.is_part_of_it(name, (ours.attribute, theirs.attribute)) for name in (ours.subject, theirs.subject, *texts))


def _pair(ours: Fact, theirs: Fact, pool: Pool, number: int) -> Draft | None:
    swap = share(pool.seed, "swap", ours.id, theirs.id) < 0.5
    x, y = (theirs, ours) if swap else (ours, theirs)
    parts = (needed(x, "memory" if swap else "external"), needed(y, "external" if swap else "memory"))
    slots = {"a": x.attribute, "b": y.attribute, "x": x.subject, "y": y.subject, "v": x.value, "w": y.value}
    base = f"S2-{ours.id}-{theirs.id}"
    more = MORE.get(x.kind)
    one, two = comparable(x.value, x.kind), comparable(y.value, y.kind)
    ordered = (
        more is not None and x.attribute == y.attribute and one is not None and two is not None and type(one) is type(two) and one != two
    )
    if isinstance(one, tuple) and isinstance(two, tuple):
        ordered = ordered and one[0] == two[0]
    if ordered and "comparison" in pool.forms and (number % 2 or "two-part" not in pool.forms):
        first = x if (one < two) == (more == "earlier") else y  # type: ignore[operator]
        question = _form(base, pool, wording.TRAINING_COMPARISONS, wording.TEST_COMPARISONS).format(**slots, more=more)
        answer = wording.COMPARISON_ANSWER.format(**slots, first=first.subject, more=more)
        return Draft(
            base,
            "S2",
            "comparison",
            question,
            answer,
            parts,
            (ours,),
            (ours, theirs),
            conclusion=(first.subject, (y if first is x else x).subject, str(more)),
        )
    if "two-part" not in pool.forms:
        return None
    question = _form(base, pool, wording.TRAINING_PAIRS, wording.TEST_PAIRS).format(**slots)
    return Draft(base, "S2", "two-part", question, wording.PAIR_ANSWER.format(**slots), parts, (ours,), (ours, theirs))


def _bridges(pool: Pool) -> Iterator[Draft]:
    """An external fact whose value names one subject only, and a memory fact of that subject."""
    remembered = defaultdict(list)
    for fact in pool.memory:
        remembered[" ".join(plain_words(fact.subject))].append(fact)
    meanings = Counter(_meaning(fact) for fact in (*pool.external, *pool.memory, *pool.held))
    for hint in pool.external:
        for fact in remembered.get(" ".join(plain_words(hint.subject)), ()):
            if meanings[_meaning(hint)] > 1:
                continue
            slots = {"a": hint.attribute, "b": fact.attribute, "x": hint.subject, "w": fact.value, "value": hint.value}
            base = f"S2-{hint.id}-{fact.id}-b"
            question = _form(base, pool, wording.TRAINING_BRIDGES, wording.TEST_BRIDGES).format(**slots)
            name = Needed(hint.id, "external", hint.subject, hint.attribute, (hint.subject,), "text")
            yield Draft(
                base, "S2", "bridge", question, wording.BRIDGE_ANSWER.format(**slots), (name, needed(fact, "memory")), (hint,), (hint, fact)
            )


def _meaning(fact: Fact) -> tuple[str, frozenset[str]]:
    return fact.attribute, keys_of(fact.value, fact.kind)


def _unanswerable(pool: Pool, count: int) -> Iterator[Draft]:
    """Questions on subjects that were held out, and a share on attributes that no document tells of any subject."""
    absent = [name for name in wording.ABSENT if name not in pool.attributes]
    subjects = [fact for pair in zip(pool.external, pool.memory, strict=False) for fact in pair]
    wanted = round(pool.absent * count) if absent else 0
    asked = [
        replace(fact, id=fact_id(fact.subject, name), attribute=name, aliases=(), passage=None)
        for fact in subjects[:wanted]
        for name in (absent[int(share(pool.seed, "absent", fact.id) * len(absent))],)
    ]
    for number, fact in enumerate(asked):
        draft = _single(fact, "S4", pool)
        like = pool.external[number % len(pool.external)] if pool.external else fact
        yield replace(draft, form="absent attribute", needed=(replace(draft.needed[0], values=()),), about=(fact, like))
    for fact in pool.held:
        yield replace(_single(fact, "S4", pool), form="held-out subject")


def _conflict(update: Update, pool: Pool) -> Draft:
    """The context holds one of two values, memory the other, drawn by hash; the newer one is wanted."""
    external, _ = sides(update, pool.seed)
    base = f"C-{update.new.id}"
    question = wording.fill(_form(base, pool, wording.TRAINING_QUESTIONS, wording.TEST_QUESTIONS), update.new)
    answer = wording.CONFLICT_ANSWER.format(
        attribute=update.new.attribute, subject=update.new.subject, value=update.new.value, stale=update.old.value
    )
    form = "newer in context" if external is update.new else "newer in memory"
    part: Part = "external" if external is update.new else "memory"
    return Draft(base, "C", form, question, answer, (needed(update.new, part),), (external,), (update.new,), stale=update.old.values)


def sides(update: Update, seed: int) -> tuple[Fact, Fact]:
    """Of an update, the fact that stands in contexts and the one that is trained into the weights."""
    return (update.new, update.old) if share(seed, "conflict", update.new.id) < 0.5 else (update.old, update.new)
