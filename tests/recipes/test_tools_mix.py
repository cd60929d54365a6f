"""What is taught follows what the model can do, and what the command says comes first."""

from collections.abc import Sequence

import pytest

from gold import gold_calls
from luthier.errors import EngineError, FetchError
from luthier.models import Capability, Completion, Progress, Prompt, Sampling, Score, Usage
from luthier.models.protocol import GREEDY
from luthier.packages import BFCL, fetch_wheel
from luthier.recipes.settings import ToolsSettings
from luthier.recipes.tools_mix import ASKED, CALLS_ALREADY, ITEMS, LIGHT, USUAL, Habit, Mix, habit_of, is_open, mix
from luthier.records.bfcl import load_items
from luthier.records.calls import render_calls
from luthier.synthesize.tools.type_shares import MOST


@pytest.mark.parametrize(
    ("called", "fitting"), [(None, USUAL), (0.0, USUAL), (CALLS_ALREADY - 0.01, USUAL), (CALLS_ALREADY, LIGHT), (1.0, LIGHT)]
)
def test_a_model_that_calls_already_is_taught_lightly(called: float | None, fitting: Mix) -> None:
    assert mix(ToolsSettings(), called) == fitting
    assert is_open(ToolsSettings())


def test_what_is_told_comes_first() -> None:
    settings = ToolsSettings(irrelevant=0.2, missing_argument=0.0, parallel=0.1, learning_rate=1e-4)
    assert USUAL.plain
    assert not LIGHT.plain
    assert mix(settings, 1.0) == mix(settings, 0.0) == Mix(0.2, 0.0, 0.1, 1e-4)
    assert not is_open(settings)
    assert mix(ToolsSettings(irrelevant=0.2), 1.0) == Mix(0.2, LIGHT.missing_argument, LIGHT.parallel, LIGHT.learning_rate)


@pytest.mark.parametrize("told", [{"irrelevant": 0.8}, {"irrelevant": 0.9}, {"missing_argument": 0.6, "irrelevant": 0.3}])
def test_what_is_told_leaves_less_for_what_is_not(told: dict[str, float]) -> None:
    made = mix(ToolsSettings(**told), 1.0)
    assert sum(made.shares.values()) == pytest.approx(MOST)
    assert {kind: made.shares[kind] for kind in told} == told
    assert 0 <= made.shares["parallel"] < LIGHT.shares["parallel"]


def test_dialogues_that_are_there_already_are_taken_as_they_are() -> None:
    settings = ToolsSettings(dialogues="mine.jsonl")
    assert mix(settings, 1.0) == Mix(None, None, None, LIGHT.learning_rate)
    assert is_open(settings)
    assert not is_open(ToolsSettings(dialogues="mine.jsonl", learning_rate=1e-3))


class Said:
    """Stands in for a model: what it answers to the items asked is given."""

    supports: frozenset[Capability] = frozenset({"generate"})

    def __init__(self, answers: Sequence[str]) -> None:
        self.name, self.answers, self.usage = "said", answers, Usage()

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling = GREEDY, progress: Progress | None = None) -> list[Completion]:
        return [Completion(text, "stop", 9, 9) for text, _ in zip(self.answers, prompts, strict=True)]

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[Score]:
        raise EngineError("no log-probabilities")


def test_calls_are_seen_in_any_form_and_answers_in_words_are_not() -> None:
    try:
        fetch_wheel(BFCL)
    except FetchError as problem:
        pytest.skip(str(problem))
    items = load_items(ASKED, ITEMS)
    written = [render_calls(gold_calls(item)) for item in items]
    tagged = [f'<tool_call>\n{{"name": "{item.tools[0].name}", "arguments": {{}}}}\n</tool_call>' for item in items]
    words = [f"I could call {item.tools[0].name} for you." for item in items]
    assert habit_of(Said(written)) == Habit(ITEMS, ITEMS)
    assert habit_of(Said(tagged)) == Habit(ITEMS, ITEMS)
    assert habit_of(Said(words)) == Habit(ITEMS, 0)
    some = habit_of(Said([*written[:4], *words[4:]]))
    assert some.to_row() == {"asked": ITEMS, "called": 4, "rate": pytest.approx(1 / 3)}
