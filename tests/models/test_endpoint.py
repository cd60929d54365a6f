from __future__ import annotations

import asyncio
import json
import socket
import threading

import pytest

from chat_server import ChatServer, Reply, completion, echo
from luthier.errors import BudgetError, EngineError, SettingsError
from luthier.models.endpoint import EndpointModel
from luthier.models.endpoint_rows import message_rows
from luthier.models.opening import open_model, require
from luthier.models.protocol import GREEDY, LanguageModel, Prompt, Sampling
from luthier.records import Message, Tool, ToolCall

WEATHER = Tool("get_weather", "Weather of a city", {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})


def ask(text: str, **more: object) -> Prompt:
    return Prompt((Message("user", text),), **more)  # type: ignore[arg-type]


def texts(model: EndpointModel, prompts: list[Prompt], sampling: Sampling = GREEDY) -> list[str]:
    return [answer.text for answer in model.generate(prompts, sampling)]


def test_it_is_a_language_model() -> None:
    model = EndpointModel("http://127.0.0.1:1/v1", "m")
    assert isinstance(model, LanguageModel)
    assert model.supports == {"generate", "json_schema"}


def test_answers_keep_the_order_of_the_prompts() -> None:
    first_may_end = threading.Event()

    def answer(request: Reply) -> Reply:
        """The first prompt is answered last."""
        if request["messages"][-1]["content"] == "0":
            assert first_may_end.wait(10)
        if request["messages"][-1]["content"] == "9":
            first_may_end.set()
        return echo(request)

    steps: list[int] = []
    with ChatServer(answer) as server:
        model = EndpointModel(server.url, "m", concurrency=3)
        answers = model.generate([ask(str(n)) for n in range(10)], progress=steps.append)
    assert [a.text for a in answers] == [f"echo {n}" for n in range(10)]
    assert steps == [1] * 10
    assert (model.usage.calls, model.usage.prompt_tokens, model.usage.completion_tokens) == (10, 70, 30)


@pytest.mark.parametrize("concurrency", [1, 4])
def test_concurrency_is_reached_and_never_passed(concurrency: int) -> None:
    with ChatServer(barrier=threading.Barrier(concurrency)) as server:
        EndpointModel(server.url, "m", concurrency=concurrency, retries=0).generate([ask(str(n)) for n in range(12)])
        assert server.peak == concurrency


def test_no_prompts_ask_nothing() -> None:
    assert EndpointModel("http://127.0.0.1:1/v1", "m").generate([]) == []


def test_the_request_holds_what_was_set_and_nothing_else() -> None:
    with ChatServer() as server:
        model = EndpointModel(server.url, "some-model", "secret", concurrency=1)
        model.generate([ask("a")], Sampling(max_tokens=9))
        model.generate([ask("a"), ask("b")], Sampling(temperature=0.5, top_p=0.9, top_k=5, seed=40, stop=("X",)))
    assert server.headers[0]["authorization"] == "Bearer secret"
    assert server.requests[0] == {
        "model": "some-model",
        "messages": [{"role": "user", "content": "a"}],
        "max_tokens": 9,
        "temperature": 0.0,
    }
    sampled = server.requests[2]
    assert {key: sampled[key] for key in ("temperature", "top_p", "top_k", "seed", "stop")} == {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 5,
        "seed": 41,
        "stop": ["X"],
    }


def test_a_key_in_the_environment_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "private")
    with ChatServer() as server:
        EndpointModel(server.url, "m").generate([ask("a")])
    assert "private" not in server.headers[0]["authorization"]


def test_tools_go_out_as_openai_tools_and_calls_come_back_as_text() -> None:
    def answer(_: Reply) -> Reply:
        return completion(calls=[("get_weather", '{"city": "Łódź"}'), ("get_weather", '{"city": "Rome", "days": 2}')], finish="tool_calls")

    with ChatServer(answer) as server:
        answers = EndpointModel(server.url, "m").generate([ask("weather?", tools=(WEATHER,))])
    assert server.requests[0]["tools"] == [WEATHER.to_row()]
    assert answers[0].text == '[get_weather(city="Łódź"), get_weather(city="Rome", days=2)]'
    assert answers[0].finish == "stop"


@pytest.mark.parametrize("arguments", ['{"city": ', "[1]"])
def test_broken_arguments_stay_as_the_model_wrote_them(arguments: str) -> None:
    with ChatServer(lambda _: completion(calls=[("f", arguments)])) as server:
        assert texts(EndpointModel(server.url, "m"), [ask("a")]) == [f"[f({arguments})]"]


def test_a_json_schema_goes_out_as_response_format() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    with ChatServer(lambda _: completion('{"n": 1}')) as server:
        assert texts(EndpointModel(server.url, "m"), [ask("a", json_schema=schema)]) == ['{"n": 1}']
    assert server.requests[0]["response_format"]["type"] == "json_schema"
    assert server.requests[0]["response_format"]["json_schema"]["schema"] == schema


def test_a_grammar_is_refused_before_anything_is_sent() -> None:
    with ChatServer() as server:
        with pytest.raises(EngineError, match="prompt 2: an endpoint takes no grammar"):
            EndpointModel(server.url, "m").generate([ask("a"), ask("b", grammar='start: "x"')])
        assert server.requests == []


def test_length_and_missing_usage() -> None:
    with ChatServer(lambda _: completion("long answer!", finish="length", usage=False)) as server:
        model = EndpointModel(server.url, "m")
        answer = model.generate([ask("a")])[0]
    assert answer.finish == "length"
    assert answer.prompt_tokens > 0
    assert answer.completion_tokens == 4
    assert model.usage.completion_tokens == 4


@pytest.mark.parametrize("statuses", [(429, 500), (503, 429, 500, 502)])
def test_passing_failures_are_tried_again(statuses: tuple[int, ...]) -> None:
    with ChatServer(statuses=statuses) as server:
        assert texts(EndpointModel(server.url, "m", concurrency=1), [ask("a"), ask("b")]) == ["echo a", "echo b"]
        assert len(server.requests) == len(statuses) + 2


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "refuses the API key .*failure 401.*pass the key"),
        (404, "does not know the model 'm' .*check the name"),
        (429, "limits the rate even after 1 retries .*lower the concurrency"),
        (500, "still fails after 1 retries .*look at the server's log"),
        (400, "refuses the request .*failure 400"),
    ],
)
def test_lasting_failures_are_one_clear_line(status: int, words: str) -> None:
    with ChatServer(statuses=(status,) * 9) as server:
        with pytest.raises(EngineError, match=words) as caught:
            EndpointModel(server.url, "m", retries=1, concurrency=1).generate([ask("a"), ask("b")])
        assert server.url in str(caught.value)
        assert "\n" not in str(caught.value)
        assert len(server.requests) == (2 if status in (429, 500) else 1)  # and the second prompt was not sent


def test_an_unreachable_server_names_its_url() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with pytest.raises(EngineError, match=f"cannot reach {url} .*check that the server runs"):
            EndpointModel(url, "m", retries=0).generate([ask("a")])


def test_a_silent_server_runs_into_the_timeout() -> None:
    release = threading.Event()

    def answer(request: Reply) -> Reply:
        release.wait(10)
        return echo(request)

    with ChatServer(answer) as server:
        with pytest.raises(EngineError, match=r"did not answer within 0\.05 s"):
            EndpointModel(server.url, "m", retries=0, timeout=0.05).generate([ask("a")])
        release.set()


@pytest.mark.parametrize("body", ["<html>welcome</html>", {"hello": "world"}])
def test_a_server_of_another_kind(body: object) -> None:
    with ChatServer(lambda _: body) as server, pytest.raises(EngineError, match=r"does not answer with chat completions.*/v1"):
        EndpointModel(server.url, "m", retries=0).generate([ask("a")])


def test_the_budget_in_calls_lasts_over_generate_calls() -> None:
    with ChatServer() as server:
        model = EndpointModel(server.url, "m", concurrency=2, max_calls=5)
        model.generate([ask("a")] * 3)
        seen: list[int] = []
        with pytest.raises(BudgetError, match="budget of 5 calls"):
            model.generate([ask("b")] * 3, progress=seen.append)
        assert len(server.requests) == 5
        assert sum(seen) == 2  # what was in flight ended and was handed on
        assert model.usage.calls == 5


def test_the_budget_in_tokens_counts_real_costs_as_they_come() -> None:
    """Each call may take 20 + a few tokens and takes 10; with room for about two estimates the others wait instead of failing."""
    with ChatServer() as server:
        model = EndpointModel(server.url, "m", concurrency=8, max_tokens=80)
        with pytest.raises(BudgetError, match=r"\d+ of 80 tokens are left in the budget and the next call may take \d+"):
            model.generate([ask("a")] * 20, Sampling(max_tokens=20))
        spent = model.usage.prompt_tokens + model.usage.completion_tokens
        assert 40 <= spent <= 80
        assert len(server.requests) == model.usage.calls == spent // 10


def test_it_works_inside_a_running_loop() -> None:
    async def notebook() -> list[str]:
        return texts(model, [ask("a")])

    with ChatServer() as server:
        model = EndpointModel(server.url, "m")
        assert asyncio.run(notebook()) == ["echo a"]


def test_scoring_is_refused() -> None:
    with pytest.raises(EngineError, match="cannot score"):
        EndpointModel("http://127.0.0.1:1/v1", "m").score([ask("a")], ["b"])


def test_settings_without_meaning() -> None:
    with pytest.raises(SettingsError, match="must start with http"):
        EndpointModel("localhost:8000", "m")
    with pytest.raises(SettingsError, match="at least 1"):
        EndpointModel("http://localhost", "m", concurrency=0)


def test_calls_and_their_answers_get_matching_ids() -> None:
    talk = (
        Message("user", "weather in Rome and Oslo"),
        Message("assistant", None, (ToolCall("f", {"city": "Rome"}), ToolCall("f", {"city": "Oslo"}))),
        Message("tool", "sun", name="f"),
        Message("tool", "snow", name="f"),
        Message("assistant", "Sun and snow."),
    )
    rows = message_rows(talk)
    ids = [call["id"] for call in rows[1]["tool_calls"]]
    assert rows[1]["content"] is None
    assert json.loads(rows[1]["tool_calls"][1]["function"]["arguments"]) == {"city": "Oslo"}
    assert [row["tool_call_id"] for row in rows[2:4]] == ids
    assert len(set(ids)) == 2


def test_given_ids_are_kept() -> None:
    calls = (ToolCall("f", {}, "one"), ToolCall("f", {}, "two"))
    rows = message_rows((Message("assistant", "", calls), Message("tool", "b", tool_call_id="two"), Message("tool", "a")))
    assert [row["tool_call_id"] for row in rows[1:]] == ["two", "one"]


def test_an_answer_to_no_call_is_named() -> None:
    with pytest.raises(EngineError, match="message 2 is a tool's answer"):
        message_rows((Message("user", "a"), Message("tool", "b")))


def test_work_that_needs_more_than_a_server_gives_is_refused_in_one_line() -> None:
    served = open_model("tiny", endpoint="http://127.0.0.1:9/v1")
    assert require(served, "generate", "asking") is served
    with pytest.raises(EngineError, match=r"fitting a head needs more of a model than tiny gives here \(generate, json_schema\)"):
        require(served, "module", "fitting a head")
