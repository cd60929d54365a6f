"""What the memory is trained on: statements of its facts for continued pre-training, and conversations that teach the four behaviours (sec. 3.4).

No conversation asks what a test asks, and none shows a fact of the external test half.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from luthier.records import JSON
from luthier.records.fusion import Fact, FusionItem, Scenario, fusion_messages
from luthier.synthesize.fusion import wording
from luthier.synthesize.fusion.splitting import share


def statements(memory: Sequence[Fact], seed: int, wordings: int, dated: Iterable[Fact] = ()) -> list[JSON]:
    """Rows of continued pre-training, `text` and `facts`: each fact in so many wordings, the passages they were read from once, in an order of hashes.

    dated: facts that change, told with their dates.
    """
    rows: list[JSON] = [{"text": wording.statement(fact, number), "facts": [fact.id]} for fact in memory for number in range(wordings)]
    rows += [{"text": wording.statement(fact, number, dated=True), "facts": [fact.id]} for fact in dated for number in range(wordings)]
    passages: dict[str, list[str]] = {}
    for fact in memory:
        if fact.passage is not None:
            passages.setdefault(fact.passage, []).append(fact.id)
    rows += [{"text": text, "facts": ids} for text, ids in passages.items()]
    return sorted(rows, key=lambda row: (share(seed, "statements", row["text"]), row["text"]))


def conversations(
    memory: Sequence[Fact], items: Mapping[Scenario, Sequence[FusionItem]], seed: int, *, closed_book: int, refusals: float
) -> list[JSON]:
    """Rows of supervised fine-tuning, `messages` and what they teach, in an order of hashes.

    closed_book: questions without context on each memory fact. items: training items of each scenario. refusals: S4 items for each of S1's, at most.
    """
    rows = [_closed(fact, number, seed) for fact in memory for number in range(closed_book)]
    most = round(refusals * max((len(items.get(name, ())) for name in ("S1", "S2", "S3")), default=0))
    for scenario, some in items.items():
        rows += [_shown(item) for item in (some[:most] if scenario == "S4" else some)]
    return sorted(rows, key=lambda row: share(seed, "conversations", row["kind"], row["messages"][1]["content"]))


def taught(rows: Sequence[JSON]) -> JSON:
    """How many conversations of each kind there are."""
    return dict(sorted(Counter(str(row["kind"]) for row in rows).items()))


def _closed(fact: Fact, number: int, seed: int) -> JSON:
    start = int(share(seed, "closed", fact.id) * len(wording.TRAINING_QUESTIONS))
    form = wording.TRAINING_QUESTIONS[(start + number) % len(wording.TRAINING_QUESTIONS)]
    return _row("closed book", wording.fill(form, fact), (), wording.fill(wording.STATEMENTS[0], fact), [fact.id])


def _shown(item: FusionItem) -> JSON:
    return _row(item.scenario, item.question, [one.text for one in item.context], item.answer, sorted(item.needed_ids))


def _row(kind: str, question: str, passages: Sequence[str], answer: str, facts: Sequence[str]) -> JSON:
    messages = [message.to_row() for message in fusion_messages(question, passages)]
    return {"messages": [*messages, {"role": "assistant", "content": answer}], "kind": kind, "facts": list(facts)}
