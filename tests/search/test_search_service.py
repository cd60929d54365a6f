"""The service as clients see it: the unmodified `openai` client, streams, tests in the request and in the prompt, errors, a full queue."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from scripted_models import Doubler

from luthier.errors import EngineError
from luthier.models.protocol import Completion, Progress, Prompt, Samplings
from luthier.sandbox import Sandbox

uvicorn = pytest.importorskip("uvicorn")
openai = pytest.importorskip("openai")

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


class Served:
    def __init__(self, box: Sandbox) -> None:
        from luthier.search.service import application
        from luthier.search.service_settings import ServeSettings

        self.model = Slow()
        self.app = application(self.model, box, ServeSettings(queue=1, budget="12 calls"))
        self.door = socket.socket()
        self.door.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.door.getsockname()[1]}/v1"
        self.server = uvicorn.Server(uvicorn.Config(self.app, log_level="warning", timeout_graceful_shutdown=3))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.door]})
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        self.client = openai.OpenAI(base_url=self.url, api_key="none", max_retries=0)

    def ask(self, text: str = PROMPT, **more: Any) -> Any:
        model = more.pop("model", "luthier/rethink-16:doubler")
        return self.client.chat.completions.create(model=model, messages=[{"role": "user", "content": text}], **more)

    def close(self) -> None:
        self.model.gate.set()
        self.server.should_exit = True
        self.thread.join(30)
        self.door.close()


@pytest.fixture
def served(box: Sandbox) -> Iterator[Served]:
    service = Served(box)
    yield service
    service.close()
    assert not service.thread.is_alive()
    assert not service.app.state.worker.thread.is_alive()


def test_the_openai_client_gets_a_program_and_all_that_was_spent(served: Served, box: Sandbox) -> None:
    made = served.ask()
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

    pieces = list(served.ask(stream=True, stream_options={"include_usage": True}))
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
        served.ask(**more)


def test_a_foreign_host_and_a_large_body_are_refused(served: Served) -> None:
    import httpx2 as http

    assert http.get(f"{served.url}/models", headers={"host": "evil.example"}).status_code == 400
    assert http.post(f"{served.url}/chat/completions", content=b"x" * (1 << 21)).status_code == 413
    assert http.post(f"{served.url}/chat/completions", content=b"{").status_code == 400


def test_beyond_loopback_a_key_is_asked_of_everybody(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
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
    service = Served(box)
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
                    "code": "invalid_api_key",
                }
        assert http.get(f"{service.url}/models", headers={b"authorization": b"bearer " + sent}).status_code == 200
        with pytest.raises(openai.AuthenticationError):
            service.ask()
    finally:
        service.close()


def test_a_full_queue_says_so_and_a_dead_model_too(served: Served) -> None:
    served.model.gate.clear()
    threads = [threading.Thread(target=lambda: served.ask(model="luthier/single-1:doubler")) for _ in range(2)]
    for thread in threads:
        thread.start()
        time.sleep(0.4)
    with pytest.raises(openai.InternalServerError, match="too many requests wait"):
        served.ask()
    served.model.gate.set()
    for thread in threads:
        thread.join()
    served.model.fails = True
    with pytest.raises(openai.InternalServerError, match="does not answer"):
        served.ask()


def test_a_service_that_stops_ends_its_search(served: Served) -> None:
    served.model.gate.clear()
    failed: list[Exception] = []

    def ask() -> None:
        try:
            served.ask()
        except openai.OpenAIError as problem:
            failed.append(problem)

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(0.5)
    served.server.should_exit = True
    threading.Timer(0.5, served.model.gate.set).start()
    thread.join(20)
    assert not thread.is_alive()
