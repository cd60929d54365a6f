"""How hard a dialogue is for the model that shall learn it, by the model's own loss; and which losses are worth training on.

H of arXiv 2409.00920 (sec. 3.3) is the mean negative log-probability of what the assistant says. The mean is a token, so a second call that
copies the first one's form lowers it; `arguments` reads the values alone, `total` the sum. The range (sec. 3.4) begins where the learner already
answers right and ends where even training leaves the loss high.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from luthier.errors import EngineError
from luthier.models.protocol import Prompt, Sampling
from luthier.records import JSON, Conversation, ToolCall
from luthier.records.call_forms import read_calls
from luthier.records.call_matching import calls_differ
from luthier.records.calls import render_literal

if TYPE_CHECKING:
    from luthier.models.local import LocalModel

PRIOR = 200  # dialogues that the range is read from
LEAST_SOLVED = 20  # fewer say too little of what is solved
SOLVED, UNLEARNT = 0.9, 0.1  # quantiles of H over what is solved, and over what stays hard
FALLBACK = (0.2, 0.8)  # quantiles of H over all, where the two bounds cross
ANSWER_TOKENS = 160


@dataclass(frozen=True)
class Complexity:
    """mean: H, nats a token over what the assistant says; arguments: the same over argument values, None without any; total: mean times tokens."""

    mean: float
    arguments: float | None
    total: float
    tokens: int

    def to_row(self) -> JSON:
        return {"H": self.mean, "H_args": self.arguments, "S": self.total, "tokens": self.tokens}


@dataclass(frozen=True)
class ComplexityRange:
    """Losses worth training on. low_by, high_by: which rule gave the bounds, in words."""

    low: float
    high: float
    low_by: str
    high_by: str

    def distance(self, value: float) -> float:
        """How far outside a loss lies, 0 inside."""
        return max(self.low - value, value - self.high, 0.0)

    def to_row(self) -> JSON:
        return {"low": self.low, "high": self.high, "low_by": self.low_by, "high_by": self.high_by}


def complexities(dialogues: Sequence[Conversation], learner: LocalModel) -> list[Complexity]:
    """Of each dialogue, through the learner's own chat template; nothing is cut. Raises BadRowError where the template cannot tell what the
    assistant says, EngineError where nothing stands before it or a loss is not finite.
    """
    readings = [_reading(dialogue, learner) for dialogue in dialogues]
    scores = learner.score_tokens([(reading.ids[: reading.first], reading.ids[reading.first :]) for reading in readings])
    found = [reading.complexity([-one for one in score.logprobs]) for reading, score in zip(readings, scores, strict=True)]
    if not all(math.isfinite(one.total) for one in found):
        raise EngineError(f"{learner.name}: gives losses that are not finite; take --dtype float32, or mend its weights")
    return found


@dataclass(frozen=True)
class _Reading:
    """A dialogue as token ids. said: 1 where the assistant speaks; values: 1 where it writes an argument's value; first: where it begins."""

    ids: list[int]
    said: list[int]
    values: list[bool]

    @property
    def first(self) -> int:
        return next((at for at, speaks in enumerate(self.said) if speaks), len(self.ids))

    def complexity(self, losses: Sequence[float]) -> Complexity:
        spoken = [loss for loss, speaks in zip(losses, self.said[self.first :], strict=True) if speaks]
        valued = [
            loss for loss, speaks, value in zip(losses, self.said[self.first :], self.values[self.first :], strict=True) if speaks and value
        ]
        total = math.fsum(spoken)
        return Complexity(total / max(1, len(spoken)), math.fsum(valued) / len(valued) if valued else None, total, len(spoken))


def _reading(dialogue: Conversation, learner: LocalModel) -> _Reading:
    row = dialogue.to_row()
    template = learner.template
    made = template.masked(row["messages"], row.get("tools"))
    text = template.trained(row["messages"], row.get("tools"))
    read = learner.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    values = [False] * len(made.ids)
    if list(read["input_ids"]) == made.ids:  # else the text does not tell where its tokens stand, and `arguments` is None
        start = next((left for (left, _), speaks in zip(read["offset_mapping"], made.mask, strict=True) if speaks), len(text))
        spans = list(_value_spans(text, start, dialogue))
        values = [any(left < end and begin < right for begin, end in spans) for left, right in read["offset_mapping"]]
    return _Reading(made.ids, made.mask, values)


def _value_spans(text: str, at: int, dialogue: Conversation) -> Iterator[tuple[int, int]]:
    """Where the values of the arguments stand in a rendered dialogue, from `at` on, each behind its tool's name and its own; quotes are left out."""
    for message in dialogue.messages:
        for call in message.tool_calls:
            at = _behind(text, call.name, at)
            for name, value in call.arguments.items():
                at = _behind(text, name, at)
                for leaf in _leaves(value):
                    found = min(((place, form) for form in _forms(leaf) if (place := text.find(form, at)) >= 0), default=None)
                    if found is None:
                        continue
                    yield found[0], found[0] + len(found[1])
                    at = found[0] + len(found[1])


def _behind(text: str, word: str, at: int) -> int:
    place = text.find(word, at)
    return at if place < 0 else place + len(word)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for inside in value.values():
            yield from _leaves(inside)
    elif isinstance(value, list):
        for inside in value:
            yield from _leaves(inside)
    else:
        yield value


def _forms(leaf: Any) -> list[str]:
    """How a value may be written, the text of a string without its quotes."""
    forms = {render_literal(leaf), json.dumps(leaf, ensure_ascii=False), json.dumps(leaf)}
    return [inside for form in sorted(forms) if (inside := form[1:-1] if isinstance(leaf, str) else form)]


# --- the range ----------------------------------------------------------------------------------------------------------------


def solved(dialogues: Sequence[Conversation], learner: LocalModel) -> list[bool]:
    """Whether the learner's greedy answer to the first question is the dialogue's: the same calls, or none where there are none."""
    prompts = [Prompt(dialogue.messages[: _first_answer(dialogue)], dialogue.tools) for dialogue in dialogues]
    answers = learner.generate(prompts, Sampling(max_tokens=ANSWER_TOKENS))
    found = []
    for dialogue, answer in zip(dialogues, answers, strict=True):
        wanted: tuple[ToolCall, ...] = dialogue.messages[_first_answer(dialogue)].tool_calls
        read = read_calls(answer.text, [tool.name for tool in dialogue.tools])
        right = not calls_differ(read.calls or (), wanted, dialogue.tools) if wanted else not read.attempted and answer.finish == "stop"
        found.append(right)
    return found


def _first_answer(dialogue: Conversation) -> int:
    return next(at for at, message in enumerate(dialogue.messages) if message.role == "assistant")


def appropriate_range(before: Sequence[float], right: Sequence[bool], after: Sequence[float] | None = None) -> ComplexityRange:
    """The losses worth training on (sec. 3.4), of a prior set of dialogues.

    before: H of each under the learner; right: whether it answers it; after: H under the learner once trained on them, None where it has not
    been. Low is the 90 % quantile of what is answered right, or the 10 % quantile of all where that is less than 20 dialogues. High is the
    10 % quantile of what still has at least the median of `before` after training, or the 95 % quantile of all.
    """
    done = [value for value, one in zip(before, right, strict=True) if one]
    if len(done) >= LEAST_SOLVED:
        low, low_by = quantile(done, SOLVED), f"90 % of the {len(done)} dialogues that are answered right lie below"
    else:
        low, low_by = quantile(before, 1 - SOLVED), f"10 % of all lie below; only {len(done)} are answered right"
    middle = quantile(before, 0.5)
    hard = [] if after is None else [value for value, later in zip(before, after, strict=True) if later >= middle]
    if hard:
        high, high_by = quantile(hard, UNLEARNT), f"90 % of the {len(hard)} dialogues that training leaves hard lie above"
    else:
        why = "no training was tried" if after is None else "training leaves none hard"
        high, high_by = quantile(before, 0.95), f"95 % of all lie below; {why}"
    if low < high:
        return ComplexityRange(low, high, low_by, high_by)
    told = f"the bounds crossed ({low:.2f} and {high:.2f})"
    bounds = [quantile(before, share) for share in FALLBACK]
    return ComplexityRange(bounds[0], bounds[1], f"20 % of all lie below; {told}", f"80 % of all lie below; {told}")


def quantile(values: Sequence[float], share: float) -> float:
    """Linear between the two nearest."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
