"""What is taught follows what the model can do, and what the command says comes first."""

import pytest

from luthier.recipes.settings import ToolsSettings
from luthier.recipes.tools_mix import CALLS_ALREADY, LIGHT, USUAL, Mix, is_open, mix
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
