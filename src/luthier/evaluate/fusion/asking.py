"""Asking a model the items of a suite, with room for twice the longest right answer; answers cut off all the same are counted.

Also the closed-book test that tells what an untrained or a served model knows already (K_p measured instead of infused).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass

from luthier.errors import SettingsError
from luthier.evaluate.fusion.scoring import Scorer
from luthier.models.protocol import LanguageModel, Progress, Prompt, Sampling
from luthier.records import JSON
from luthier.records.fusion import FusionItem, as_refusal, fusion_messages
from luthier.records.fusion_suite import computed_label

BATCH = 64  # items asked between two lines of the journal
CHARACTERS = 2  # of the shortest token that a served model may have, on average
SAMPLES, KNOWS = 4, 3  # closed-book answers to a question, and how many must be right for a fact to count as known
TEMPERATURE = 0.7


@dataclass(frozen=True)
class Answer:
    """What a model said to an item. confidence: mean log-probability of the answer's tokens, None where it is not measured."""

    item: str
    text: str
    truncated: bool
    confidence: float | None = None

    def to_row(self) -> JSON:
        return asdict(self)


def answers(
    model: LanguageModel,
    items: Sequence[FusionItem],
    *,
    max_tokens: int | None = None,
    confidence: bool = False,
    progress: Progress | None = None,
) -> Iterator[Answer]:
    """The model's greedy answer to every item, in order.

    max_tokens: room for one; None for twice the longest right answer. confidence: score each answer again. Raises SettingsError where the model cannot score.
    """
    if confidence and "score" not in model.supports:
        raise SettingsError(f"{model.name} cannot score its answers, so there is no curve of abstention; use a local model")
    room = max_tokens or answer_room(model, items)
    for start in range(0, len(items), BATCH):
        some = items[start : start + BATCH]
        prompts = [prompt(item) for item in some]
        made = model.generate(prompts, Sampling(max_tokens=room), progress)
        scores = model.score(prompts, [one.text or " " for one in made]) if confidence else [None] * len(made)
        for item, one, score in zip(some, made, scores, strict=True):
            mean = None if score is None else score.total / max(1, len(score.logprobs))
            yield Answer(item.id, one.text, one.finish == "length", mean)


def prompt(item: FusionItem) -> Prompt:
    return Prompt(fusion_messages(item.question, [snippet.text for snippet in item.context]))


def answer_room(model: LanguageModel, items: Sequence[FusionItem]) -> int:
    """Twice the tokens of the longest right answer, so that no right answer is cut off."""
    encode = getattr(getattr(model, "model", model), "encode", None)
    longest = sorted({item.answer for item in items}, key=len)[-20:]
    counts = [len(encode(text)) if encode else len(text) // CHARACTERS for text in longest]
    return 2 * max(counts, default=32)


def known_facts(
    model: LanguageModel,
    questions: Sequence[FusionItem],
    scorer: Scorer,
    *,
    least: int = KNOWS,
    samples: int = SAMPLES,
    seed: int = 0,
    progress: Progress | None = None,
) -> set[str]:
    """Ids of the facts whose closed-book question the model answers rightly in at least so many of its samples."""
    asked = [one for one in questions for _ in range(samples)]
    known: dict[str, int] = {}
    for start in range(0, len(asked), BATCH):
        some = asked[start : start + BATCH]
        sampling = Sampling(max_tokens=answer_room(model, questions), temperature=TEMPERATURE, seed=seed + start)
        for item, one in zip(some, model.generate([prompt(item) for item in some], sampling, progress), strict=True):
            known[item.id] = known.get(item.id, 0) + scorer.judge(item, one.text).right
    return {fact for item in questions if known[item.id] >= least for fact in item.needed_ids}


def with_memory(items: Sequence[FusionItem], memory: AbstractSet[str]) -> tuple[list[FusionItem], int]:
    """The items as they are for a model with this memory: labels computed anew; those that become none of the four are left out and counted.

    An item whose needed facts the model knows, where a refusal was wanted, asks for the answer no suite holds, and is left out as well.
    """
    kept: list[FusionItem] = []
    for item in items:
        label = computed_label(item, memory)
        if label == item.scenario:
            kept.append(item)
        elif label == "S4" and item.scenario in ("S2", "S3"):
            kept.append(as_refusal(item))
    return kept, len(items) - len(kept)
