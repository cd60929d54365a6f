"""Options scored in one pass, against one prompt an option."""

from __future__ import annotations

from pathlib import Path

import pytest

from luthier.errors import BadRowError, SettingsError
from luthier.evaluate.choice import ChoiceScore, accuracies, score_choices
from luthier.models.local import LocalModel
from luthier.records.choices import ChoiceQuestion

QUESTIONS = [
    ChoiceQuestion("What is the weather in Lisbon?", ("fine weather", "a table for 12", "no function fits here"), 0),
    ChoiceQuestion("Who books?", ("user", "assistant"), 1),
]


@pytest.fixture(scope="module")
def model(tiny_model_folder: Path) -> LocalModel:
    return LocalModel(tiny_model_folder)


@pytest.mark.parametrize("style", ["chat", "plain"])
@pytest.mark.parametrize("mode", ["auto", "rollback", "naive"])
def test_scores_are_those_of_separate_prompts(model: LocalModel, style: str, mode: str):
    """The independent oracle is the engine's own scoring of a text after a text."""
    found = list(score_choices(model, QUESTIONS, style=style, mode=mode))  # type: ignore[arg-type]
    for question, score in zip(QUESTIONS, found, strict=True):
        start = (
            f"Question: {question.question}\n"
            if style == "plain"
            else f"<|im_start|>user\n{question.question}<|im_end|>\n<|im_start|>assistant\n"
        )
        rendered = start if style == "plain" else model.render(_prompt(question))
        before = _ids(model, rendered) + _ids(model, "Answer:" if style == "plain" else "The answer is")
        expected = [one.total for one in model.score_tokens([(before, _ids(model, f" {option}")) for option in question.options])]
        assert list(score.logprobs) == pytest.approx(expected, abs=1e-3)
        assert score.octets == tuple(len(f" {option}".encode()) for option in question.options)


def test_letters_are_scored_after_all_options(model: LocalModel):
    score = next(iter(score_choices(model, QUESTIONS[:1], by="letters")))
    assert score.tokens == (1, 1, 1)
    assert score.chosen("none") == score.chosen("token") == score.chosen("byte")


def test_ways_of_counting_choose_otherwise():
    score = ChoiceScore(ChoiceQuestion("?", ("a", "bb cc dd"), 1), (-2.0, -3.0), (1, 3), (2, 9))
    assert (score.chosen("none"), score.chosen("token"), score.chosen("byte")) == (0, 1, 1)
    found = accuracies([score])
    assert (found.ways["none"].correct, found.ways["token"].correct, found.chance) == (0, 1, 0.5)
    assert ChoiceScore.from_row(score.to_row()) == score
    with pytest.raises(BadRowError, match="not a score"):
        ChoiceScore.from_row({})


def test_what_cannot_be_scored(model: LocalModel):
    with pytest.raises(SettingsError, match="texts or letters"):
        list(score_choices(model, QUESTIONS, by="words"))  # type: ignore[arg-type]
    with pytest.raises(BadRowError, match="twice"):
        list(score_choices(model, [ChoiceQuestion("?", ("a", "a"))]))


def _ids(model: LocalModel, text: str) -> list[int]:
    return list(model.tokenizer(text, add_special_tokens=False)["input_ids"])


def _prompt(question: ChoiceQuestion) -> object:
    from luthier.models.protocol import Prompt
    from luthier.records import Message

    return Prompt((Message("user", question.question),))
