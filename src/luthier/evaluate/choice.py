"""Multiple-choice questions scored by the likelihood of their options, all options of a question in one pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from luthier.errors import BadRowError, SettingsError
from luthier.evaluate.settings import Style
from luthier.models.branches import Mode
from luthier.models.options import Normalise, OptionReader, Probe, Targets
from luthier.models.protocol import Prompt
from luthier.records import JSON, Message
from luthier.records.choices import ChoiceQuestion, check_options
from luthier.statistics.rates import Rate, wilson

if TYPE_CHECKING:
    from luthier.models.local import LocalModel

NORMALISATIONS: tuple[Normalise, ...] = ("none", "token", "byte")
PROBES: dict[tuple[Style, Targets], Probe] = {
    ("chat", "texts"): Probe("The answer is", "texts"),
    ("chat", "letters"): Probe("The best option is (", "letters"),
    ("plain", "texts"): Probe("Answer:", "texts"),
    ("plain", "letters"): Probe("Answer: (", "letters"),
}


@dataclass(frozen=True)
class ChoiceScore:
    """Log-probabilities (nats) of a question's options, their lengths in tokens and bytes, and the option each way of counting chooses.

    none: by the whole log-probability; token, byte: by its mean over tokens or bytes of the option.
    """

    question: ChoiceQuestion
    logprobs: tuple[float, ...]
    tokens: tuple[int, ...]
    octets: tuple[int, ...]

    def chosen(self, normalise: Normalise = "token") -> int:
        """The likeliest option; the first of equals."""
        lengths = {"none": (1,) * len(self.tokens), "token": self.tokens, "byte": self.octets}[normalise]
        scores = [value / length for value, length in zip(self.logprobs, lengths, strict=True)]
        return scores.index(max(scores))

    def right(self, normalise: Normalise = "token") -> bool | None:
        """Whether the chosen option is the right one, None where that is not known."""
        return None if self.question.answer is None else self.chosen(normalise) == self.question.answer

    def to_row(self) -> JSON:
        """As one JSON row."""
        asked = self.question
        return {
            "question": asked.question,
            "options": list(asked.options),
            "answer": asked.answer,
            "group": asked.group,
            "place": asked.place,
            "logprobs": list(self.logprobs),
            "tokens": list(self.tokens),
            "bytes": list(self.octets),
            "chosen": {name: self.chosen(name) for name in NORMALISATIONS},
        }

    @classmethod
    def from_row(cls, row: JSON) -> ChoiceScore:
        """Raises BadRowError where the row is no such score."""
        try:
            question = ChoiceQuestion(row["question"], tuple(row["options"]), row["answer"], group=row["group"], place=row["place"])
            return cls(question, tuple(row["logprobs"]), tuple(row["tokens"]), tuple(row["bytes"]))
        except (KeyError, TypeError) as problem:
            raise BadRowError(f"not a score of options ({type(problem).__name__}: {problem})") from None


def score_choices(
    model: LocalModel, questions: Sequence[ChoiceQuestion], by: Targets = "texts", style: Style = "chat", mode: Mode = "auto"
) -> Iterator[ChoiceScore]:
    """Score question by question, in order.

    by: `texts` scores the options' words after the bare question, `letters` their letters after the question with all options. style:
    `chat` asks through the model's template, `plain` as "Question: … Answer:". Raises SettingsError, EngineError or BadRowError.
    """
    if (style, by) not in PROBES:
        raise SettingsError(f"options are scored by texts or letters, in the style chat or plain, not by {by} and {style}")
    probe = PROBES[style, by]
    for question in questions:
        check_options(question.options)
        reader = OptionReader(model, probe, question.options, mode)
        scores, _ = reader.chains(model.encode(_asked(model, question, by, style)), [])
        yield ChoiceScore(question, *(tuple(each.tolist()) for each in (scores.logprobs[0], scores.tokens, scores.octets)))


@dataclass(frozen=True)
class Accuracies:
    """Accuracy for each way of counting, over the `known` questions, whose answers are known; chance: of guessing."""

    questions: int
    known: int
    chance: float
    ways: dict[Normalise, Rate]

    def to_row(self) -> JSON:
        """As one JSON row: the rates stand beside the counts."""
        counts: JSON = {"questions": self.questions, "known": self.known, "chance": self.chance}
        return counts | {name: rate.to_row() for name, rate in self.ways.items()}


def accuracies(scores: Sequence[ChoiceScore]) -> Accuracies:
    """Accuracy with its interval for each way of counting."""
    known = [score for score in scores if score.question.answer is not None]
    chance = sum(1 / len(score.question.options) for score in known) / len(known) if known else 0.0
    ways = {name: wilson(sum(bool(score.right(name)) for score in known), len(known)) for name in NORMALISATIONS}
    return Accuracies(len(scores), len(known), chance, ways)


def _asked(model: LocalModel, question: ChoiceQuestion, by: Targets, style: Style) -> str:
    text = question.lettered() if by == "letters" else question.question
    return f"Question: {text}\n" if style == "plain" else model.render(Prompt((Message("user", text),)))
