"""What a client can mend is told it before its request waits, as its own fault: status 400 in OpenAI's words, never one that clients ask again."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from luthier.errors import EngineError, PromptError
from luthier.models.chat_service import ChatServeSettings, chat_application
from luthier.models.local import LocalModel
from luthier.models.protocol import Prompt
from luthier.records import Message
from served_completions import Served, openai
from stock_templates import stock, write_architecture

SCHEMAS = {
    "a type that is none": {"type": "strin"},
    "a keyword that cannot be followed": {"type": "object", "properties": {"a": {"not": {}}}},
    "a reference to nowhere": {"$ref": "#/nowhere"},
    "no list of names": {"type": "object", "required": "a"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = write_architecture("llama", tmp_path_factory.mktemp("checks") / "tiny")
    (place / "chat_template.jinja").write_text(stock("mistral_v3"), encoding="utf-8")
    config = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 128}))
    return place


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Served]:
    model = LocalModel(folder)
    service = Served(chat_application(model, ChatServeSettings()), "luthier", threading.Event())
    yield service
    service.close()


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_without_room_is_told_in_openais_words(served: Served, stream: bool) -> None:
    with pytest.raises(openai.BadRequestError, match="tiny has room for 128; shorten") as told:
        served.ask("word " * 400, stream=stream)
    assert (told.value.code, told.value.param, told.value.type) == ("context_length_exceeded", "messages", "invalid_request_error")


def test_an_answer_is_cut_to_the_room_there_is(served: Served) -> None:
    made = served.ask("Hello", max_tokens=4000)
    assert made.usage.total_tokens <= 128
    assert made.choices[0].finish_reason in ("length", "stop")


@pytest.mark.parametrize("kind", SCHEMAS)
def test_a_schema_that_is_none_or_cannot_be_followed(served: Served, kind: str) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMAS[kind]}}
    with pytest.raises(openai.BadRequestError, match="response_format: the schema"):
        served.ask("Hello", response_format=wanted)


def test_a_tool_whose_schema_is_none_where_it_binds(served: Served) -> None:
    parameters = {"type": "object", "properties": {"city": {"type": "strin"}}}
    tool = {"type": "function", "function": {"name": "weather", "description": "W.", "parameters": parameters}}
    with pytest.raises(openai.BadRequestError, match="tools: weather: the schema is no JSON Schema at properties/city/type"):
        served.ask("Hello", tools=[tool], tool_choice="required")


def test_messages_that_the_template_refuses(served: Served) -> None:
    with pytest.raises(openai.BadRequestError, match=r"the chat template refuses the messages: .*roles must alternate") as told:
        served.ask([{"role": "user", "content": "One?"}, {"role": "user", "content": "Two?"}])
    assert (told.value.code, told.value.param) == ("invalid_prompt", "messages")


@pytest.mark.parametrize("place", ["content", "stop", "user"])
def test_half_of_a_surrogate_pair(served: Served, place: str) -> None:
    import httpx2 as http

    body: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}]}
    if place == "content":
        body["messages"][0]["content"] = "Hello \ud83d"
    else:
        body[place] = "\ud83d"
    told = http.post(f"{served.url}/chat/completions", content=json.dumps(body), timeout=30)
    assert (told.status_code, "surrogate" in told.json()["error"]["message"]) == (400, True)


def test_models_are_told_one_by_one_and_what_is_not_there_in_openais_form(served: Served) -> None:
    import httpx2 as http

    assert served.client.models.retrieve("luthier").id == "luthier"
    with pytest.raises(openai.NotFoundError, match="is not served; ask tiny, luthier") as told:
        served.client.models.retrieve("org/other")
    assert told.value.code == "model_not_found"
    for method, path, status in (("POST", "/embeddings", 404), ("GET", "/chat/completions", 405)):
        found = http.request(method, served.url + path)
        assert (found.status_code, found.json()["error"]["type"]) == (status, "invalid_request_error")
        assert path in found.json()["error"]["message"]


def test_nothing_of_it_keeps_the_service_from_answering(served: Served) -> None:
    assert served.ask("Hello", max_tokens=3).usage.completion_tokens <= 3
    assert served.worker.waiting.qsize() == 0


def test_a_prompt_that_is_refused_is_told_apart_from_a_template_that_is_broken(folder: Path) -> None:
    twice, once = Prompt((Message("user", "One?"), Message("user", "Two?"))), Prompt((Message("user", "One?"),))
    model = LocalModel(folder)
    with pytest.raises(PromptError, match="tiny: the chat template refuses the messages"):
        model.render(twice)
    broken = LocalModel(folder)
    broken.tokenizer.chat_template = "{{ raise_exception('never') }}"
    with pytest.raises(EngineError, match="the chat template cannot be loaded: never; mend the template") as told:
        broken.render(once)
    assert not isinstance(told.value, PromptError)
