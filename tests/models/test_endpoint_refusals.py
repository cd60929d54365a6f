"""Servers that answer half, refuse fields of a request, refuse prompts for good, or repeat secrets."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from chat_server import ChatServer, Reply, completion
from luthier.errors import EngineError, SettingsError
from luthier.models.endpoint import EndpointModel, server_url
from luthier.models.endpoint_embedder import EndpointEmbedder
from luthier.models.protocol import Prompt, Sampling
from luthier.models.replay import RecordingModel, ReplayModel
from luthier.records import Account, Message


class RefusalError(Exception):
    """A status and the body of an error."""

    def __init__(self, status: int, body: Any) -> None:
        self.status, self.body = status, body


class RefusingServer(ChatServer):
    """A chat server whose answer may raise a RefusalError."""

    def handle(self, request: Reply, headers: dict[str, str]) -> tuple[int, Any]:
        try:
            return super().handle(request, headers)
        except RefusalError as refusal:
            return refusal.status, refusal.body


def ask(text: str = "boat?") -> Prompt:
    return Prompt((Message("user", text),))


def reply(**message: Any) -> Reply:
    made = completion("")
    made["choices"][0]["message"] = {"role": "assistant", **message}
    return made


# --- half-valid replies -------------------------------------------------------------------------------------------------------

HALVES: list[tuple[Any, str]] = [
    (completion("x") | {"choices": [{"index": 0, "message": None, "finish_reason": "stop"}]}, "a choice without a message"),
    (completion("x") | {"choices": [None]}, "no choices"),
    (completion("x") | {"choices": []}, "no choices"),
    (completion("x") | {"choices": 5}, "no choices"),
    (reply(content=None, tool_calls=5), "tool calls that are no list"),
    (reply(content=None, tool_calls=[{"id": "c", "type": "custom", "custom": {"name": "sql", "input": "x"}}]), "without a function"),
    (reply(content=None, tool_calls=[{"function": {"arguments": "{}"}}]), "without a function"),
    (reply(content={"odd": 1}), "content is dict"),
    ({"error": {"message": "model is loading", "code": 1}}, "model is loading"),
    ({"error": "overloaded"}, "overloaded"),
    ({"detail": "hello"}, "does not answer with chat completions"),
    ([1, 2], "chat completions|cannot be read"),
    ("<html>", "chat completions|cannot be read"),
    ("", "chat completions|cannot be read"),
    (None, "chat completions|cannot be read"),
    (completion("x") | {"choices": [{"message": "text"}]}, "without a message"),
]


@pytest.mark.parametrize(("made", "words"), HALVES)
def test_half_a_reply_is_one_line(made: Any, words: str) -> None:
    with ChatServer(lambda request: made) as server, pytest.raises(EngineError, match=words) as problem:
        EndpointModel(server.url, "m", retries=0).generate([ask()])
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {"prompt_tokens": None, "completion_tokens": None, "total_tokens": None},
        {},
        {"prompt_tokens": "7"},
        "7",
        {"completion_tokens": -1},
    ],
)
def test_usage_that_says_nothing_is_guessed(usage: Any) -> None:
    with ChatServer(lambda request: completion("Gull") | {"usage": usage}) as server:
        model = EndpointModel(server.url, "m", retries=0)
        (answer,) = model.generate([ask()])
    assert (answer.text, answer.finish) == ("Gull", "stop")
    assert answer.prompt_tokens > 0
    assert model.usage.completion_tokens > 0


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": [{"type": "text", "text": "Gu"}, {"type": "text", "text": "ll"}]}, "Gull"),
        ({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "Gull"}]}, "Gull"),
        ({"content": None, "refusal": "I may not."}, "I may not."),
        ({"content": "Gull", "reasoning_content": "It has wings."}, "Gull"),
        ({"content": None}, ""),
        ({"content": "", "tool_calls": None}, ""),
        ({"content": None, "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]}, "[f(a=1)]"),
        ({"content": None, "tool_calls": [{"function": {"name": "f", "arguments": None}}]}, "[f()]"),
        ({"content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{oops"}}]}, "[f({oops)]"),
    ],
)
def test_structured_replies_are_read(message: Reply, text: str) -> None:
    with ChatServer(lambda request: reply(**message)) as server:
        assert [answer.text for answer in EndpointModel(server.url, "m", retries=0).generate([ask()])] == [text]


# --- refused fields -----------------------------------------------------------------------------------------------------------


def refusing(name: str, words: str, **error: Any) -> Any:
    def answer(request: Reply) -> Reply:
        if name in request and not (name == "temperature" and request[name] == 1):
            raise RefusalError(400, {"error": {"message": words, **error}})
        return completion("Gull")

    return answer


@pytest.mark.parametrize(
    ("name", "words", "error", "instead"),
    [
        (
            "max_tokens",
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
            {"param": "max_tokens", "code": "unsupported_parameter"},
            "max_completion_tokens",
        ),
        (
            "temperature",
            "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is supported.",
            {"param": "temperature", "code": "unsupported_value"},
            None,
        ),
        ("seed", "seed: Extra inputs are not permitted", {}, None),
        ("seed", "Unrecognized request argument supplied: seed", {}, None),
        ("top_p", "`top_p` is deprecated for this model.", {}, None),
        ("stop", "Unsupported parameter: 'stop' is not supported with this model.", {"param": "stop"}, None),
        ("top_k", "Unknown parameter: 'top_k'.", {"param": "top_k", "code": "unknown_parameter"}, None),
    ],
)
def test_a_field_that_is_refused_is_left_out_from_then_on(name: str, words: str, error: Reply, instead: str | None) -> None:
    sampling = Sampling(max_tokens=9, temperature=0.0 if name == "temperature" else 0.5, top_p=0.9, top_k=5, stop=("X",), seed=3)
    with Account() as account, RefusingServer(refusing(name, words, **error)) as server:
        model = EndpointModel(server.url, "m", retries=0, concurrency=1)
        answers = model.generate([ask(str(n)) for n in range(3)], sampling)
    assert [answer.text for answer in answers] == ["Gull"] * 3
    assert len(server.requests) == 4
    assert all(name not in request for request in server.requests[1:])
    assert instead is None or server.requests[-1][instead] == 9
    assert any(repr(name) in entry.reason for entry in account.of("left out"))


def test_fields_are_set_by_hand() -> None:
    with ChatServer() as server:
        model = EndpointModel(server.url, "m", fields={"max_tokens": "max_completion_tokens", "temperature": None})
        model.generate([ask()], Sampling(max_tokens=9))
    assert server.requests[0] == {"model": "m", "messages": [{"role": "user", "content": "boat?"}], "max_completion_tokens": 9}


def test_another_complaint_is_an_error_and_is_asked_once() -> None:
    def answer(request: Reply) -> Reply:
        raise RefusalError(400, {"error": {"message": "the model m is not ready", "param": None}})

    with RefusingServer(answer) as server, pytest.raises(EngineError, match=r"refuses the request .*the model m is not ready"):
        EndpointModel(server.url, "m", retries=0).generate([ask()])
    assert len(server.requests) == 1


def test_a_server_that_refuses_everything_is_an_error() -> None:
    def answer(request: Reply) -> Reply:
        name = next(name for name in ("max_tokens", "max_completion_tokens", "temperature", "seed") if name in request)
        raise RefusalError(400, {"error": {"message": f"Unsupported parameter: '{name}'", "param": name}})

    with RefusingServer(answer) as server, pytest.raises(EngineError):
        EndpointModel(server.url, "m", retries=0).generate([ask()])
    assert len(server.requests) < 10


# --- refused prompts ----------------------------------------------------------------------------------------------------------

REFUSALS: list[Any] = [
    RefusalError(400, {"error": {"code": "content_filter", "message": "filtered by policy"}}),
    RefusalError(400, {"error": {"code": None, "message": "x", "innererror": {"code": "ResponsibleAIPolicyViolation"}}}),
    RefusalError(400, {"error": {"message": "This model's maximum context length is 8192 tokens.", "code": "context_length_exceeded"}}),
    RefusalError(400, {"object": "error", "message": "prompt is too long: 9000 tokens", "type": "invalid_request_error"}),
    RefusalError(403, {"error": {"message": "Your request was flagged by our safety system"}}),
    completion("", finish="content_filter"),
    {"error": {"message": "content policy", "code": "content_policy_violation"}},
]


@pytest.mark.parametrize("refusal", REFUSALS)
def test_one_prompt_that_is_refused_for_good_leaves_the_others(refusal: Any, tmp_path: Path) -> None:
    def answer(request: Reply) -> Any:
        if request["messages"][-1]["content"] != "bad":
            return completion("Gull")
        if isinstance(refusal, RefusalError):
            raise refusal
        return refusal

    prompts = [ask(text) for text in ("a", "b", "bad", "d")]
    with Account() as account, RefusingServer(answer) as server:
        with RecordingModel(EndpointModel(server.url, "m", retries=0, concurrency=1), tmp_path / "kept.jsonl") as model:
            answers = model.generate(prompts)
        asked = len(server.requests)
        with RecordingModel(EndpointModel(server.url, "m", retries=0), tmp_path / "kept.jsonl") as again:
            assert again.generate(prompts) == answers
        assert len(server.requests) == asked
    assert [(one.text, one.finish) for one in answers] == [("Gull", "stop"), ("Gull", "stop"), ("", "refused"), ("Gull", "stop")]
    assert sum(entry.rows for entry in account.of("refused")) == 1
    assert ReplayModel(tmp_path / "kept.jsonl").generate(prompts) == answers


# --- secrets ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://user:HUSHHUSH@127.0.0.1:9/v1", "carries a user or password"),
        ("https://HUSHHUSH@host/v1", "carries a user or password"),
        ("http://127.0.0.1:9/v1?api_key=HUSHHUSH", "ends in a query"),
        ("http://127.0.0.1:9/v1?x=HUSHHUSH", "ends in a query"),
        ("http://127.0.0.1:9/v1#HUSHHUSH", "ends in a query"),
        ("http://[::1", "must start with http"),
        ("http://host:99999/v1", "must start with http"),
        ("http://", "must start with http"),
        ("ftp://user:HUSHHUSH@host", "must start with http"),
        ("http://a b/v1", "must start with http"),
    ],
)
def test_urls_that_carry_secrets_or_are_none_are_refused_without_repeating_them(url: str, words: str) -> None:
    for opened in (lambda: server_url(url), lambda: EndpointModel(url, "m"), lambda: EndpointEmbedder(url, "m")):
        with pytest.raises(SettingsError, match=words) as problem:
            opened()
        assert "HUSH" not in str(problem.value)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500])
def test_a_key_that_the_server_repeats_is_struck_out(status: int) -> None:
    def answer(request: Reply) -> Reply:
        raise RefusalError(status, {"error": {"message": "Incorrect key: sk-HUSH-123, see http://me:HUSH@host/?token=HUSH"}})

    with RefusingServer(answer) as server:
        for ask_it in (
            lambda: EndpointModel(server.url, "m", "sk-HUSH-123", retries=0).generate([ask()]),
            lambda: EndpointEmbedder(server.url, "m", "sk-HUSH-123", retries=0).encode(["x"]),
        ):
            with pytest.raises(EngineError) as problem:
                ask_it()
            assert "HUSH" not in str(problem.value)
            assert "…" in str(problem.value)


def test_a_loop_that_runs_already_changes_nothing() -> None:
    async def within() -> list[str]:
        return [one.text for one in EndpointModel(server.url, "m", retries=0).generate([ask()])]

    with ChatServer(lambda request: completion("Gull")) as server:
        assert asyncio.run(within()) == ["Gull"]
    assert json.dumps(server.requests[0]["messages"])
