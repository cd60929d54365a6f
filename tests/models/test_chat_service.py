"""A model behind chat completions as clients see it: calls as `tool_calls`, streams, what a request may hold, batches, errors, a full queue."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from luthier import open_model
from luthier.errors import EngineError, SettingsError
from luthier.models.chat_requests import ChatRequest, chat_answer, chunks, read_chat
from luthier.models.chat_service import SIDE_BY_SIDE, ChatJob, ChatServeSettings, ChatWorker, chat_application
from luthier.models.protocol import Capability, Completion, Progress, Prompt, Sampling, Samplings, Score, Usage
from served_completions import Served, openai, wait_for

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
STRICT = {**WEATHER, "function": {**WEATHER["function"], "strict": True}}  # type: ignore[dict-item]
USER = [{"role": "user", "content": "What is the weather in Oslo?"}]


class Told:
    """Answers what it is told to, and keeps what it was asked."""

    name = "told"
    supports: frozenset[Capability] = frozenset({"generate", "grammar", "json_schema"})

    def __init__(self) -> None:
        self.usage, self.text = Usage(), "All is well."
        self.asked: list[list[tuple[Prompt, Sampling]]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.breaks_on = ""

    def generate(self, prompts: Sequence[Prompt], sampling: Samplings = (), progress: Progress | None = None) -> list[Completion]:
        self.gate.wait(20)
        assert not isinstance(sampling, Sampling)
        self.asked.append(list(zip(prompts, sampling, strict=True)))
        if self.breaks_on and any(self.breaks_on in str(prompt.messages[-1].content) for prompt in prompts):
            raise EngineError("told: a prompt and its answer take 9,000 tokens where there is room for 2,048; shorten it")
        return [Completion(self.text, "stop", 7, 3) for _ in prompts]

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[Score]:
        raise EngineError("told: scores nothing")


def serving(model: Any, **settings: Any) -> Served:
    return Served(chat_application(model, ChatServeSettings(**settings)), "luthier", getattr(model, "gate", threading.Event()))


@pytest.fixture
def model() -> Told:
    return Told()


@pytest.fixture
def served(model: Told) -> Iterator[Served]:
    service = serving(model, queue=1)
    yield service
    service.close()


@pytest.mark.parametrize(
    "text",
    [
        '[weather(city="Oslo")]',
        '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call>',
        '{"name": "weather", "parameters": {"city": "Oslo"}}',
        '<think>Oslo it is.</think>\n[weather(city="Oslo")]',
    ],
)
def test_calls_of_any_form_are_answered_as_tool_calls(served: Served, model: Told, text: str) -> None:
    model.text = text
    (choice,) = served.ask(USER, tools=[WEATHER]).choices
    (call,) = choice.message.tool_calls
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    assert (call.type, call.function.name, json.loads(call.function.arguments)) == ("function", "weather", {"city": "Oslo"})
    assert call.id


def test_a_text_stays_a_text_and_thoughts_stand_apart(served: Served, model: Told) -> None:
    model.text = "<think>Nothing fits.</think>\nI cannot do that."
    message = served.ask(USER, tools=[WEATHER]).choices[0].message
    assert (message.content, message.tool_calls, message.reasoning_content) == ("I cannot do that.", None, "Nothing fits.")


def test_without_tools_nothing_is_read_as_a_call(served: Served, model: Told) -> None:
    model.text = '[weather(city="Oslo")]'
    for more in ({}, {"tools": [WEATHER], "tool_choice": "none"}):
        (choice,) = served.ask(USER, **more).choices
        assert (choice.message.content, choice.finish_reason) == ('[weather(city="Oslo")]', "stop")
        assert model.asked[-1][0][0].tools == ()


def test_a_broken_call_stays_a_text_and_is_counted(served: Served, model: Told) -> None:
    model.text = '<tool_call>\n{"name": "weather", "arguments": {"city": \n</tool_call>'
    made = served.ask(USER, tools=[WEATHER])
    assert made.choices[0].message.content == model.text
    assert made.usage.luthier == {"calls": 1, "calls_not_read": 1}


def test_one_call_where_parallel_ones_are_not_wanted_and_the_others_are_counted(served: Served, model: Told) -> None:
    model.text = '[weather(city="Oslo"), weather(city="Rome")]'
    assert len(served.ask(USER, tools=[WEATHER]).choices[0].message.tool_calls) == 2
    made = served.ask(USER, tools=[WEATHER], parallel_tool_calls=False)
    assert len(made.choices[0].message.tool_calls) == 1
    assert made.usage.luthier["calls_left_out"] == 1


def test_calls_and_results_of_earlier_turns_reach_the_model(served: Served, model: Told) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
    turns = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "What is the weather in Oslo?"}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "rain"},
    ]
    served.ask(turns, tools=[WEATHER])
    messages = model.asked[-1][0][0].messages
    assert [message.role for message in messages] == ["system", "user", "assistant", "tool"]
    assert messages[2].tool_calls[0].arguments == {"city": "Oslo"}
    assert (messages[3].content, messages[3].tool_call_id) == ("rain", "c1")


def test_what_a_schema_binds_is_no_call(served: Served, model: Told) -> None:
    model.text = '{"name": "weather", "arguments": {"city": "Oslo"}}'
    made = served.ask(USER, tools=[WEATHER], response_format={"type": "json_object"})
    assert (made.choices[0].message.content, made.choices[0].message.tool_calls) == (model.text, None)


@pytest.mark.parametrize(
    "more", [{"tools": [WEATHER], "tool_choice": "required"}, {"tools": [STRICT]}, {"response_format": {"type": "json_object"}}]
)
def test_an_engine_that_cannot_be_bound_says_so_before_it_is_asked(served: Served, model: Told, more: dict[str, Any]) -> None:
    model.supports = frozenset({"generate"})
    with pytest.raises(openai.BadRequestError, match=r"cannot be bound.*--engine"):
        served.ask(USER, **more)
    assert model.asked == []


def test_a_stream_brings_the_same(served: Served, model: Told) -> None:
    model.text = '[weather(city="Oslo"), weather(city="Rome")]'
    pieces = list(served.ask(USER, tools=[WEATHER], stream=True, stream_options={"include_usage": True}))
    calls = [call for piece in pieces if piece.choices for call in piece.choices[0].delta.tool_calls or ()]
    assert [(call.index, json.loads(call.function.arguments)["city"]) for call in calls] == [(0, "Oslo"), (1, "Rome")]
    assert [piece.choices[0].finish_reason for piece in pieces if piece.choices][-1] == "tool_calls"
    assert pieces[-1].usage.total_tokens == 10


def test_how_tokens_are_drawn_is_told_to_the_model(served: Served, model: Told) -> None:
    served.ask(USER, n=2, seed=5, temperature=0.7, top_p=0.9, max_tokens=11, stop=["END"], extra_body={"top_k": 40})
    assert [sampling for _, sampling in model.asked[-1]] == [
        Sampling(11, 0.7, 0.9, 40, 5, ("END",)),
        Sampling(11, 0.7, 0.9, 40, 6, ("END",)),
    ]


def test_without_a_seed_drawn_answers_get_a_fresh_one_that_is_told(served: Served, model: Told) -> None:
    told = []
    for _ in range(4):
        made = served.ask(USER, temperature=1, n=2)
        first, second = (sampling for _, sampling in model.asked[-1])
        assert made.usage.luthier["seed"] == first.seed
        assert second.seed == (first.seed + 1) % 2**32
        told.append(first.seed)
    assert len(set(told)) == 4
    assert served.ask(USER, temperature=1, seed=told[0]).usage.luthier["seed"] == told[0] == model.asked[-1][0][1].seed
    assert "seed" not in served.ask(USER).usage.luthier


@pytest.mark.parametrize(
    ("more", "temperature"),
    [({}, 0.0), ({"n": 3}, 1.0), ({"n": 3, "temperature": 0}, 0.0), ({"temperature": 0.3}, 0.3), ({"n": 1, "temperature": 1}, 1.0)],
)
def test_one_answer_is_greedy_and_several_are_drawn_where_no_temperature_is_given(
    served: Served, model: Told, more: dict[str, Any], temperature: float
) -> None:
    served.ask(USER, **more)
    assert {sampling.temperature for _, sampling in model.asked[-1]} == {temperature}


def test_several_answers_of_a_real_model_differ() -> None:
    service = serving(open_model("bundled"))
    try:
        made = service.ask("Name a river.", n=3, max_tokens=12)
        texts = [choice.message.content for choice in made.choices]
        assert len(set(texts)) > 1
        again = service.ask("Name a river.", n=3, max_tokens=12, seed=made.usage.luthier["seed"])
        assert [choice.message.content for choice in again.choices] == texts
    finally:
        service.close()


def test_no_answer_is_longer_than_the_service_allows(model: Told) -> None:
    service = serving(model, max_tokens=20, longest=30)
    try:
        for asked, given in ((None, 20), (25, 25), (4096, 30)):
            service.ask(USER, max_tokens=asked)
            assert model.asked[-1][0][1].max_tokens == given
    finally:
        service.close()
    with pytest.raises(SettingsError, match="--longest 30"):
        ChatServeSettings(max_tokens=31, longest=30)


def test_a_call_that_must_be_and_a_schema_bind_the_answer(served: Served, model: Told) -> None:
    for choice in ("required", {"type": "function", "function": {"name": "weather"}}):
        served.ask(USER, tools=[WEATHER], tool_choice=choice)
        assert "weather(" in str(model.asked[-1][0][0].grammar)
    served.ask(USER, response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "array"}}})
    assert model.asked[-1][0][0].json_schema == {"type": "array"}
    served.ask(USER, response_format={"type": "json_object"})
    assert model.asked[-1][0][0].json_schema == {"type": "object"}


def test_calls_of_a_strict_tool_follow_its_schema_and_the_choice_stays_with_the_model(served: Served, model: Told) -> None:
    served.ask(USER, tools=[STRICT])
    grammar = str(model.asked[-1][0][0].grammar)
    assert "weather(" in grammar
    assert "TEXT" in grammar
    served.ask(USER, tools=[STRICT], tool_choice="required")
    assert "TEXT" not in str(model.asked[-1][0][0].grammar)
    model.text = (
        '{"name": "weather", "arguments": {"place": "Oslo"}}'  # in a form that the grammar does not know, a call may break the schema
    )
    made = served.ask(USER, tools=[STRICT])
    assert (made.choices[0].message.content, made.usage.luthier["calls_not_read"]) == (model.text, 1)
    model.text = '[weather(city="Oslo")]'
    assert served.ask(USER, tools=[STRICT]).choices[0].finish_reason == "tool_calls"
    flat = {"type": "function", **STRICT["function"]}  # type: ignore[dict-item]
    served.ask(USER, tools=[flat])
    assert "TEXT" in str(model.asked[-1][0][0].grammar)
    for more in ({"tools": [WEATHER]}, {"tools": [STRICT], "tool_choice": "none"}):
        served.ask(USER, **more)
        assert model.asked[-1][0][0].grammar is None


def test_what_a_grammar_does_not_describe_makes_no_text_of_a_call_that_it_bound(served: Served, model: Told) -> None:
    """Grammars know no limits of numbers."""
    days = {"type": "object", "properties": {"days": {"type": "integer", "minimum": 1}}, "required": ["days"]}
    tool = {"type": "function", "function": {"name": "forecast", "description": "A forecast.", "parameters": days, "strict": True}}
    model.text = "[forecast(days=0)]"
    for more in ({"tool_choice": "required"}, {}):
        assert served.ask(USER, tools=[tool], **more).choices[0].finish_reason == "tool_calls"
    model.text = '{"name": "forecast", "arguments": {"days": 0}}'  # in another form than the bound one
    assert served.ask(USER, tools=[tool]).choices[0].message.content == model.text


def test_a_family_whose_calls_no_grammar_is_made_of_cannot_be_strict() -> None:
    body = {"messages": USER, "tools": [STRICT]}
    with pytest.raises(SettingsError, match=r"a tool is strict, and of this model's calls \(xml\) no grammar is made"):
        read_chat(body, ["told"], form="xml")
    assert "weather(" in str(read_chat({**body, "tool_choice": "required"}, ["told"], form="xml").prompt.grammar)
    assert read_chat(body, ["told"], form="").prompt.grammar is not None


@pytest.mark.parametrize(
    ("more", "part"),
    [
        ({"n": 0}, "n is 0; give 1 to 16"),
        ({"n": 17}, "n is 17; give 1 to 16"),
        ({"max_tokens": 0}, "max_tokens is 0; give 1 or more"),
        ({"max_completion_tokens": 0}, "max_completion_tokens is 0; give 1 or more"),
        ({"max_tokens": -5}, "max_tokens is -5; give 1 or more"),
        ({"max_completion_tokens": 5, "max_tokens": 0}, "max_tokens is 0; give 1 or more"),
        ({"seed": -1}, "seed is -1; give 0 to 4,294,967,295"),
        ({"seed": 2**32}, "seed is 4294967296; give 0 to"),
        ({"frequency_penalty": 0.5}, "frequency_penalty is 0.5"),
        ({"logprobs": True}, "logprobs is True"),
        ({"verbosity": "low"}, "verbosity is 'low'"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"extra_body": {"beam_width": 4}}, "beam_width is not known"),
        ({"temperature": -1}, "temperature is -1"),
        ({"top_p": 0}, "top_p is 0"),
        ({"stop": [""]}, "stop is no text"),
        ({"tool_choice": "required"}, "there are no tools"),
        ({"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "rain"}}}, "among the tools"),
        ({"tools": [{"type": "function", "function": {}}]}, "messages or tools"),
        ({"tools": [WEATHER], "tool_choice": "required", "response_format": {"type": "json_object"}}, "do not go together"),
        ({"tools": [STRICT], "response_format": {"type": "json_object"}}, "a tool that is strict do not go together"),
        ({"response_format": {"type": "xml"}}, "response_format"),
        ({"messages": []}, "messages is no list"),
        ({"messages": [{"role": "elf", "content": "x"}]}, "elf"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, "image"),
    ],
)
def test_what_it_cannot_do_is_refused_by_its_name(served: Served, more: dict[str, Any], part: str) -> None:
    with pytest.raises(openai.BadRequestError, match=part):
        served.ask(more.pop("messages", USER), **more)


def test_neutral_values_and_what_says_nothing_of_the_answer_pass(served: Served) -> None:
    served.ask(USER, frequency_penalty=0, presence_penalty=0, logprobs=False, user="me", store=False, metadata={"a": "b"})


def test_an_unknown_model_a_foreign_host_and_a_large_body_are_refused(served: Served) -> None:
    import httpx2 as http

    with pytest.raises(openai.NotFoundError, match="is not served"):
        served.ask(USER, model="gpt-5")
    assert [model.id for model in served.client.models.list()] == ["told", "luthier"]
    assert http.get(f"{served.url}/models", headers={"host": "evil.example"}).status_code == 400
    assert http.post(f"{served.url}/chat/completions", content=b"x" * (1 << 21)).status_code == 413


def test_beyond_loopback_a_key_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LUTHIER_API_KEY", raising=False)
    with pytest.raises(SettingsError, match="set LUTHIER_API_KEY to a key"):
        ChatServeSettings(host="0.0.0.0")  # noqa: S104
    monkeypatch.setenv("LUTHIER_API_KEY", "secret")
    service = serving(Told())
    try:
        with pytest.raises(openai.AuthenticationError):
            service.ask(USER)
        service.client.api_key = "secret"
        assert service.ask(USER).choices[0].message.content == "All is well."
    finally:
        service.close()


@pytest.mark.parametrize("name", ["temperature", "top_p", "frequency_penalty"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400, True, "1", [1]])
def test_a_number_that_is_none_is_refused(name: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=name):
        read_chat({"messages": USER, name: value}, ["told"])


def _request(text: str) -> ChatRequest:
    return read_chat({"messages": [{"role": "user", "content": text}]}, ["told"])


def _job(text: str) -> ChatJob:
    return ChatJob(asked=_request(text), streamed=False, with_usage=False)


def test_what_waits_is_answered_side_by_side_and_one_that_fails_fails_alone() -> None:
    model = Told()
    model.gate.clear()
    worker = ChatWorker(model, 64)
    jobs = [_job(text) for text in ("first", *(f"one {number}" for number in range(5)), "too long", "last")]
    gone = _job("gone")
    gone.cancelled = True
    model.breaks_on = "too long"
    for job in (*jobs, gone):
        assert worker.take(job)
    model.gate.set()
    for job in (*jobs, gone):
        assert job.done.wait(20)
    worker.stop()
    assert [job.problem is None for job in jobs] == [True] * 6 + [False, True]
    assert "shorten it" in str(jobs[6].problem)
    assert gone.made is None
    assert len(jobs) - 1 <= max(len(batch) for batch in model.asked) <= SIDE_BY_SIDE  # the first may have gone ahead


def test_a_full_queue_and_a_failing_model_are_told(served: Served, model: Told) -> None:
    model.gate.clear()
    threads = [threading.Thread(target=served.ask, args=[USER]) for _ in range(2)]
    threads[0].start()
    wait_for(lambda: served.worker.now)
    threads[1].start()
    wait_for(served.worker.waiting.qsize)
    with pytest.raises(openai.InternalServerError, match="too many requests wait"):
        served.ask(USER)
    model.gate.set()
    for thread in threads:
        thread.join()
    model.breaks_on = "weather"
    with pytest.raises(openai.InternalServerError, match="shorten it"):
        served.ask(USER)


def test_a_stream_of_pieces_says_what_the_whole_says() -> None:
    asked = _request("Hello")
    made = chat_answer(asked, [Completion("Hi", "length", 5, 1)], {"calls": 1})
    texts = [piece["choices"][0]["delta"].get("content", "") for piece in chunks(made, with_usage=False)]
    assert "".join(texts) == "Hi"
    assert chunks(made, with_usage=True)[-1]["usage"] == made["usage"]
    assert made["choices"][0]["finish_reason"] == "length"


def test_the_bundled_model_calls_when_it_must() -> None:
    service = serving(open_model("bundled"))
    try:
        made = service.ask(USER, tools=[WEATHER], tool_choice="required", parallel_tool_calls=False, max_tokens=48)
        (call,) = made.choices[0].message.tool_calls
        assert call.function.name == "weather"
        assert set(json.loads(call.function.arguments)) == {"city"}
    finally:
        service.close()
