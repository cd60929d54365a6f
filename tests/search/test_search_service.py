"""The service as clients see it: the unmodified `openai` client, streams, tests in the request and in the prompt, errors, a full queue."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from scripted_models import Doubler

from luthier.errors import EngineError, PromptError
from luthier.models.protocol import Completion, Progress, Prompt, Samplings
from luthier.sandbox import Sandbox
from served_completions import Served, openai, wait_for

PROMPT = 'Write this:\n\n```python\ndef double(x):\n    """Twice x.\n\n    >>> double(3)\n    6\n    >>> double(-2)\n    -4\n    """\n```'


class Slow(Doubler):
    """Waits for the gate before each answer."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.fails = threading.Event(), False
        self.gate.set()

    def generate(self, prompts: list[Prompt], sampling: Samplings = (), progress: Progress | None = None) -> list[Completion]:  # type: ignore[override]
        self.gate.wait(20)
        if self.fails:
            raise EngineError("http://nowhere: the server does not answer")
        return super().generate(prompts, sampling, progress)


@pytest.fixture
def model() -> Slow:
    return Slow()


@pytest.fixture
def served(model: Slow, box: Sandbox) -> Iterator[Served]:
    service = serving(model, box)
    yield service
    service.close()


def serving(model: Slow, box: Sandbox) -> Served:
    from luthier.search.service import search_application
    from luthier.search.service_settings import ServeSettings

    return Served(search_application(model, box, ServeSettings(queue=1, budget="12 calls")), "luthier/rethink-16:doubler", model.gate)


def test_the_openai_client_gets_a_program_and_all_that_was_spent(served: Served, box: Sandbox) -> None:
    made = served.ask(PROMPT)
    assert made.choices[0].message.content.startswith("```python\ndef double")
    told = made.usage.luthier
    assert told["searched"]
    assert told["calls"] <= 16
    assert made.usage.total_tokens == told["tokens"] > 0
    assert told["passes_tests"]


def test_tests_come_in_the_request_and_n_programs_go_out(served: Served) -> None:
    made = served.ask("Write a function double(x).", n=3, extra_body={"tests": ["assert double(2) == 4", "assert double(5) == 10"]})
    texts = [choice.message.content for choice in made.choices]
    assert len(set(texts)) == len(texts) == 3
    assert [choice.index for choice in made.choices] == [0, 1, 2]


def test_a_stream_tells_its_progress_in_comments_that_clients_skip(served: Served) -> None:
    import httpx2 as http

    pieces = list(served.ask(PROMPT, stream=True, stream_options={"include_usage": True}))
    assert "def double" in "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
    assert pieces[-1].usage.luthier["searched"]
    body = {"model": "luthier/best-of-n-4:doubler", "messages": [{"role": "user", "content": PROMPT}], "stream": True}
    text = http.post(f"{served.url}/chat/completions", json=body, timeout=60).text
    assert ": " in text.splitlines()[0]
    assert "programs" in text.splitlines()[0]
    assert text.rstrip().endswith("data: [DONE]")


def test_without_tests_the_model_answers_itself(served: Served) -> None:
    made = served.ask("How are you?")
    assert made.usage.luthier == {"searched": False, "calls": 1}
    assert made.choices[0].message.content.startswith("Remember number")


def test_the_models_are_listed(served: Served) -> None:
    names = [model.id for model in served.client.models.list()]
    assert "luthier/rethink-16:doubler" in names


@pytest.mark.parametrize(
    ("more", "error", "part"),
    [
        ({"model": "gpt-5"}, "NotFoundError", "is not served"),
        ({"model": "luthier/fly-16:doubler"}, "NotFoundError", "rethink"),
        ({"n": 99}, "BadRequestError", "n is 99"),
        ({"extra_body": {"tests": "assert"}}, "BadRequestError", "tests is no list"),
        ({"extra_body": {"tests": ["assert ("]}}, "BadRequestError", "tests is no list"),
        ({"extra_body": {"n": "three"}}, "BadRequestError", "n is 'three'"),
    ],
)
def test_what_is_wrong_is_told_by_its_field(served: Served, more: dict[str, Any], error: str, part: str) -> None:
    with pytest.raises(getattr(openai, error), match=part):
        served.ask(PROMPT, **more)


def test_a_foreign_host_and_a_large_body_are_refused(served: Served) -> None:
    import httpx2 as http

    assert http.get(f"{served.url}/models", headers={"host": "evil.example"}).status_code == 400
    assert http.post(f"{served.url}/chat/completions", content=b"x" * (1 << 21)).status_code == 413
    assert http.post(f"{served.url}/chat/completions", content=b"{").status_code == 400


def test_beyond_loopback_a_key_is_asked_of_everybody(model: Slow, box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx2 as http

    from luthier.errors import SettingsError
    from luthier.search.service_settings import ServeSettings

    monkeypatch.delenv("LUTHIER_API_KEY", raising=False)
    with pytest.raises(SettingsError, match="set LUTHIER_API_KEY to a key"):
        ServeSettings(host="0.0.0.0")  # noqa: S104
    monkeypatch.setenv("LUTHIER_API_KEY", "schlüssel")
    with pytest.raises(SettingsError, match="--key-from NAME"):  # that key is of the model's server
        ServeSettings(host="0.0.0.0", endpoint="http://127.0.0.1:1/v1")  # noqa: S104
    assert ServeSettings(endpoint="http://127.0.0.1:1/v1").key() is None
    monkeypatch.setenv("OF_CLIENTS", "other")
    assert ServeSettings(host="0.0.0.0", endpoint="http://127.0.0.1:1/v1", key_from="OF_CLIENTS").key() == "other"  # noqa: S104
    service = serving(model, box)
    try:
        sent = "schlüssel".encode()
        for wrong in (None, b"Bearer other", b"Bearer", b"Basic " + sent, b"Bearer schl"):
            headers = {} if wrong is None else {b"authorization": wrong}
            for path in ("/models", "/../health"):
                refused = http.get(f"{service.url}{path}", headers=headers)
                assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
                assert refused.json()["error"] == {
                    "message": "send the key of this service as `Authorization: Bearer KEY`",
                    "type": "invalid_request_error",
                    "param": None,
                    "code": "invalid_api_key",
                }
        assert http.get(f"{service.url}/models", headers={b"authorization": b"bearer " + sent}).status_code == 200
        with pytest.raises(openai.AuthenticationError):
            service.ask(PROMPT)
    finally:
        service.close()


def test_a_full_queue_says_so_and_a_dead_model_too(served: Served, model: Slow) -> None:
    served.gate.clear()
    threads = [threading.Thread(target=lambda: served.ask(PROMPT, model="luthier/single-1:doubler")) for _ in range(2)]
    for thread, there in zip(threads, (lambda: served.worker.now, served.worker.waiting.qsize), strict=True):
        thread.start()
        wait_for(there)
    with pytest.raises(openai.InternalServerError, match="too many requests wait"):
        served.ask(PROMPT)
    served.gate.set()
    for thread in threads:
        thread.join()
    model.fails = True
    with pytest.raises(openai.InternalServerError, match="does not answer"):
        served.ask(PROMPT)


def test_a_service_that_stops_ends_its_search(served: Served) -> None:
    served.gate.clear()
    failed: list[Exception] = []

    def ask() -> None:
        try:
            served.ask(PROMPT)
        except openai.OpenAIError as problem:
            failed.append(problem)

    thread = threading.Thread(target=ask)
    thread.start()
    wait_for(lambda: served.worker.now)
    served.server.should_exit = True
    wait_for(lambda: served.worker.stopping)
    served.gate.set()
    thread.join(20)
    assert not thread.is_alive()


class Reading(Slow):
    """Tells how it reads prompts, as engines of this machine do."""

    room = 40

    def render(self, prompt: Prompt) -> str:
        if [message.role for message in prompt.messages] == ["user", "user"]:
            raise PromptError("doubler: the chat template refuses the messages: roles must alternate")
        return " ".join(str(message.content) for message in prompt.messages)

    def encode(self, text: str) -> list[int]:
        return [len(word) for word in text.split()]


def test_what_the_model_cannot_read_is_the_clients_to_mend(box: Sandbox) -> None:
    service = serving(Reading(), box)
    try:
        for messages, part, code in (
            ("word " * 50, "has room for 40", "context_length_exceeded"),
            ([{"role": "user", "content": "One?"}, {"role": "user", "content": "Two?"}], "roles must alternate", "invalid_prompt"),
        ):
            with pytest.raises(openai.BadRequestError, match=part) as told:
                service.ask(messages)
            assert told.value.code == code
        assert service.client.models.retrieve("luthier/rethink-16:doubler").id == "luthier/rethink-16:doubler"
        assert service.ask(PROMPT + "\n" + "word " * 50).usage.luthier["searched"]  # a search writes prompts of its own
    finally:
        service.close()
