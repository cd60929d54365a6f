"""Labels of chains: equations re-computed, errors put in, verdicts read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_server import ChatServer, completion
from luthier.models.endpoint import EndpointModel
from luthier.probe.labels import corrupt, equations_hold, judged_wrong
from luthier.records.choices import ChoiceQuestion

SWORD = ChoiceQuestion("What is sharp?", ("a spoon", "a sword", "a cup"), 1)


@pytest.mark.parametrize(
    ("chain", "holds"),
    [
        ("So 3 + 4 = 7, and 7 * 2 = 14.", True),
        ("First 3 + 4 = 7.\nThen 7 * 2 = 15.", False),
        ("(-5 * 8) - 2 = -40 - 2 = -42", True),
        ("Let's see: 12 / 4 = 3 = 6 / 2", True),
        ("1,200 + 300 = 1500", True),
        ("not True and False = False and False = False. So the answer is False.", True),
        ("A = not False = False", False),
        ("A = B + 2 and C = A", None),
        ("It is a fine day.", None),
        ("1 / 0 = 1", None),
        ("(3 = 4", None),
        ("True = 1", None),
        ("9 ** 9 ** 9 = 1", None),
        ("x + 3 = 5", None),
        ("2x = 6 and y2 = 7", None),
        ("That is 5 apples + 2 = 7", None),
        ("He pays 4 * 3 = 12 dollars", True),
        ("He pays 4 * 3 = 13 dollars", False),
        ("half of 8 = 50% of 8", None),
    ],
)
def test_equations(chain: str, holds: bool | None):
    assert equations_hold(chain) is holds


@given(st.integers(-50, 50), st.integers(-50, 50), st.integers(1, 9))
def test_sums_hold_and_slips_do_not(a: int, b: int, slip: int):
    assert equations_hold(f"We add: {a} + {b} = {a + b}.") is True
    assert equations_hold(f"{a} + {b} = {a + b + slip}") is False


@given(st.text(max_size=80))
def test_any_text_gets_a_verdict_or_none(text: str):
    assert equations_hold(text) in (True, False, None)


@pytest.mark.parametrize(
    ("chain", "kind"),
    [
        ("There are 5 of them.\nThe answer is a sword", "number"),
        ("Think of a sword, with an edge.\nThe answer is a sword", "swap"),
        ("Metal is hard.\nThe answer is a sword", "negation"),
        ("Metal is not soft.\nThe answer is a sword", "negation"),
    ],
)
def test_one_error_before_the_answer(chain: str, kind: str):
    made = corrupt(chain, SWORD, 0)
    assert made is not None
    assert made.kind == kind
    assert made.chain != chain
    assert made.chain.endswith("The answer is a sword")
    assert made == corrupt(chain, SWORD, 0)


def test_a_chain_without_hold_is_left():
    assert corrupt("Hm.\nThe answer is a sword", SWORD, 0) is None
    assert corrupt("The answer is a sword", SWORD, 0) is None


def test_a_judge_is_asked_over_http_and_its_verdicts_are_read():
    """A server whose verdict depends on the chain that it is shown, through the engine for served models."""
    verdicts = {
        "Chain a": "right",
        "Chain b": "Wrong, because",
        "Chain c": "The solution is incorrect.",
        "Chain d": "hm",
        "Chain e": "You're right, I will",
    }

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        asked = request["messages"][-1]["content"]
        return completion(next(said for chain, said in verdicts.items() if chain in asked))

    with ChatServer(answer) as server:
        marks = judged_wrong(EndpointModel(server.url, "judge"), [SWORD] * 5, list(verdicts))
    assert marks == [False, True, True, None, None]
    told = server.requests[0]["messages"]
    assert "every step" in told[0]["content"]
    assert "B. a sword" in told[-1]["content"]
    assert "Right answer: B. a sword" in told[-1]["content"]
