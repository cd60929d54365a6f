"""Thoughts, and text beside calls: written where a template has a place for them, else left out, said once and counted."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from luthier.models.chat_template import ChatTemplate
from luthier.models.local import LocalModel
from luthier.models.turn_places import CALL_TEXTS, CALL_THOUGHTS, THOUGHTS
from luthier.records import Conversation, Message, PreferencePair, ToolCall
from luthier.records.account import Account
from luthier.train.preference.pairs import encode_pairs
from luthier.train.sft import encode_all
from stock_templates import MISTRALS, STOCK, stock, tokenizer_with, write_architecture

THINKING = {"qwen3", "qwen3_6", "glm4moe", "gptoss"}
PLACES = {name: (name in THINKING, name in THINKING or name == "gemma4") for name in (*STOCK, *MISTRALS)}
DROPS_TEXT = {"llama3_1", "llama3_2", "mistral_v3", "mistral_nemo"}
CALL = (ToolCall("weather", {"city": "Lisbon"}),)


def answered(**more: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": "How many?"}, {"role": "assistant", "content": "Seven.", **more}]


def called(**more: Any) -> list[dict[str, Any]]:
    call = Message("assistant", tool_calls=CALL).to_row()
    return [{"role": "user", "content": "How many?"}, {**call, **more}, {"role": "tool", "name": "weather", "content": "rain"}]


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "thinking", "thought"])
@pytest.mark.parametrize("name", PLACES)
def test_thoughts_are_written_or_named(name: str, field: str, caplog: pytest.LogCaptureFixture) -> None:
    template = ChatTemplate.of(tokenizer_with(stock(name)))
    before_answers, before_calls = PLACES[name]
    tags = not template.calls.arguments  # calls are text there, so what stands before them stands before an answer
    for turns, kind, written in (
        (answered(**{field: "counted them"}), THOUGHTS, before_answers),
        (called(**{field: "counted them"}), THOUGHTS if tags else CALL_THOUGHTS, before_calls),
    ):
        caplog.clear()
        template._said.clear()
        with caplog.at_level(logging.WARNING, "luthier"):
            texts = {template.render(turns) for _ in range(2)}
        assert [("counted them" in text) for text in texts] == [written]
        told = [one for one in caplog.messages if "no place" in one]
        assert told == ([] if written else [f"this model: the chat template has no place for {kind}; left out"])


@pytest.mark.parametrize("name", PLACES)
def test_text_beside_a_call_is_written_or_named(name: str, caplog: pytest.LogCaptureFixture) -> None:
    template = ChatTemplate.of(tokenizer_with(stock(name)))
    rendered = template.render(called(content="I will look."))
    assert ("I will look." in rendered) == (name not in DROPS_TEXT)
    assert (CALL_TEXTS in caplog.text) == (name in DROPS_TEXT)
    assert "Lisbon" in rendered


def test_thoughts_that_a_template_refuses_beside_text_are_left_out_and_the_row_stays(caplog: pytest.LogCaptureFixture) -> None:
    template = ChatTemplate.of(tokenizer_with(stock("gptoss")))
    assert not template.places.both
    rendered = template.render(called(content="I will look.", reasoning_content="counted them"))
    assert ("I will look." in rendered, "counted them" in rendered) == (True, False)
    assert CALL_THOUGHTS in caplog.text


def test_a_template_without_places_renders_rows_without_thoughts_as_before(caplog: pytest.LogCaptureFixture) -> None:
    tokenizer = tokenizer_with(stock("llama3_1"))
    for turns in (answered(), called(), answered(reasoning_content=""), answered(reasoning_content=None)):
        ChatTemplate.of(tokenizer).render(turns)
    assert "no place" not in caplog.text


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LocalModel:
    folder = write_architecture("llama", tmp_path_factory.mktemp("places") / "model")
    (folder / "chat_template.jinja").write_text(stock("llama3_1"), encoding="utf-8")
    return LocalModel(folder)


ROWS = [
    Conversation(
        (Message("user", "One?"), Message("assistant", "Uno.", reasoning="first"), Message("user", "Two?"), Message("assistant", "Dos."))
    ),
    Conversation(
        (Message("user", "One?"), Message("assistant", "I look.", CALL, reasoning="it rains"), Message("tool", "rain", name="weather"))
    ),
    Conversation(
        (
            *(Message("user", "One?"), Message("assistant", "Uno.", reasoning="first")),
            *(Message("user", "Two?"), Message("assistant", "Dos.", reasoning="second")),
        )
    ),
]


def test_what_is_left_out_of_training_is_counted_and_said_once(model: LocalModel, caplog: pytest.LogCaptureFixture) -> None:
    for again in (True, True, False):  # rows without thoughts have nothing to tell
        caplog.clear()
        with caplog.at_level(logging.WARNING, "luthier"):
            encode_all(ROWS if again else [Conversation((Message("user", "One?"), Message("assistant", "Uno.")))], model)
        assert [one.partition(": ")[2] for one in caplog.messages] == again * [
            "the chat template has no place for thoughts before answers: 3 in 2 rows, left out",
            "the chat template has no place for thoughts before calls: 1 in 1 row, left out",
            "the chat template has no place for text beside calls: 1 in 1 row, left out",
        ]


def test_the_account_of_a_command_has_it(model: LocalModel, caplog: pytest.LogCaptureFixture) -> None:
    with Account() as account:
        encode_all(ROWS, model)
    assert caplog.messages == []
    assert {(entry.reason.partition(",")[0], entry.rows) for entry in account.of("left out")} == {
        (THOUGHTS, 2),
        (CALL_THOUGHTS, 1),
        (CALL_TEXTS, 1),
    }


def test_pairs_are_counted_too(model: LocalModel, caplog: pytest.LogCaptureFixture) -> None:
    pair = PreferencePair(
        (Message("user", "One?"),), (Message("assistant", "Uno.", reasoning="a"),), (Message("assistant", "Dos.", reasoning="b"),)
    )
    encode_pairs([pair, pair], model.tokenizer)
    assert [one.partition(": ")[2] for one in caplog.messages] == [
        "the chat template has no place for thoughts before answers: 4 in 2 rows, left out"
    ]


def test_what_is_counted_is_of_the_template_that_trains(tmp_path: Path) -> None:
    template = ChatTemplate.of(tokenizer_with(stock("qwen3")))
    left = template.counting()
    template.count([message.to_row() for message in ROWS[0].messages], left, trained=True)
    assert left.turns == {}
    assert "first" in template.trained([message.to_row() for message in ROWS[0].messages])
