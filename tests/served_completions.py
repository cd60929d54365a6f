"""A service of chat completions in a thread of the test, with the unmodified `openai` client before it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

uvicorn = pytest.importorskip("uvicorn")
openai = pytest.importorskip("openai")

LONGEST = 30.0  # seconds that anything may take to come about


def wait_for(what: Callable[[], object]) -> None:
    """Until it is so; fails where that takes too long."""
    end = time.monotonic() + LONGEST
    while not what():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)


class Served:
    """An application at a free port. model: what is named where a request names none; gate: opened as it closes, so that nothing hangs."""

    def __init__(self, app: Any, model: str, gate: threading.Event) -> None:
        self.app, self.model_name, self.gate = app, model, gate
        self.door = socket.socket()
        self.door.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.door.getsockname()[1]}/v1"
        self.server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=3))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.door]})
        self.thread.start()
        wait_for(lambda: self.server.started)
        self.client = openai.OpenAI(base_url=self.url, api_key="none", max_retries=0)

    @property
    def worker(self) -> Any:
        return self.app.state.worker

    def ask(self, messages: Any, **more: Any) -> Any:
        """messages: or what the user says."""
        said = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
        return self.client.chat.completions.create(model=more.pop("model", self.model_name), messages=said, **more)

    def close(self) -> None:
        self.gate.set()
        self.server.should_exit = True
        self.thread.join(LONGEST)
        self.door.close()
        assert not self.thread.is_alive()
        assert not self.worker.thread.is_alive()
