"""The other sides of a parity check: a server that is asked over HTTP, llama.cpp with a GGUF file in this process, or another engine of Luthier."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from luthier.errors import EngineError
from luthier.models.endpoint_rows import message_rows
from luthier.models.protocol import Prompt, Sampling
from luthier.records import JSON
from luthier.records.calls import render_calls
from luthier.records.conversations import ToolCall

if TYPE_CHECKING:
    from luthier.models.openvino import OpenVinoModel

_UNREAD = "does not match the expected"  # what llama.cpp's server says of an answer that its parser of calls cannot read
CONTEXT = 8192  # tokens of a conversation with its answer


class Answered(NamedTuple):
    """An answer: its text (calls in brackets where the server parsed them), how it ended, the log-probability of each token, the prompt's tokens,
    and the ids of its own tokens, its stop token among them, where they are told. parsed: whether the text is of calls that the server told."""

    text: str
    finish: str
    logprobs: list[float]
    prompt_tokens: int | None
    ids: tuple[int, ...] = ()
    parsed: bool = False


class Side(Protocol):
    """What answers beside the trained model. None: it does not tell. remarks: what whoever serves it must know."""

    name: str
    remarks: list[str]

    def prompt(self, prompt: Prompt) -> str | None:
        """The prompt as it reads it."""
        ...

    def tokens(self, text: str) -> list[int] | None:
        """A prompt's token ids as it reads them."""
        ...

    def names(self, ids: Sequence[int]) -> list[str] | None:
        """What each of its tokens says."""
        ...

    def answer(self, prompt: Prompt, sampling: Sampling) -> Answered:
        """Its greedy answer. Raises EngineError."""
        ...


class ServerSide:
    """An OpenAI-compatible server; llama.cpp's also tells its prompts (`/apply-template`) and tokens (`/tokenize`)."""

    def __init__(self, url: str, model: str = "model", key: str | None = None) -> None:
        self.remarks = list[str]()
        self._ask_at(url, model, key)

    def _ask_at(self, url: str, model: str, key: str | None = None) -> None:
        from openai import OpenAI

        parts = urlsplit(url)
        self.name, self.model = url, model
        self.root, self.base = f"{parts.scheme}://{parts.netloc}", url.rstrip("/")
        self.client = OpenAI(base_url=self.base, api_key=key or "none", timeout=600, max_retries=2)

    def prompt(self, prompt: Prompt) -> str | None:
        found = self._told(f"{self.root}/apply-template", self._request(prompt))
        return None if found is None else found.get("prompt")

    def tokens(self, text: str) -> list[int] | None:
        found = self._told(f"{self.root}/tokenize", {"content": text, "add_special": True, "parse_special": True})
        tokens = None if found is None else found.get("tokens")
        return tokens if isinstance(tokens, list) else None

    def names(self, ids: Sequence[int]) -> list[str] | None:
        return None

    def answer(self, prompt: Prompt, sampling: Sampling) -> Answered:
        request = {**self._request(prompt), "model": self.model, "temperature": 0, "max_tokens": sampling.max_tokens, "logprobs": True}
        found = self._told(f"{self.base}/chat/completions", request, needed=True)
        try:
            choice: JSON = found["choices"][0]  # type: ignore[index]
            message: JSON = choice["message"]
            text = said_text(message, cut=choice.get("finish_reason") == "length")
            usage: JSON = (found or {}).get("usage") or {}
            logprobs, ids = told_tokens(choice, usage.get("completion_tokens"))
            parsed = bool(message.get("tool_calls"))
            return Answered(text, str(choice.get("finish_reason")), logprobs, usage.get("prompt_tokens"), ids, parsed)
        except (KeyError, TypeError, IndexError, ValueError) as problem:
            raise EngineError(f"{self.name}: does not answer with chat completions ({str(found)[:200]})") from problem

    def _request(self, prompt: Prompt) -> JSON:
        tools = [tool.to_row() for tool in prompt.tools]
        return {"messages": message_rows(prompt.messages), **({"tools": tools} if tools else {})}

    def _told(self, url: str, body: JSON, *, needed: bool = False) -> JSON | None:
        """The server's answer to a path that not every server has; None where it has not."""
        from openai import APIError, APIStatusError

        try:
            found = self.client.post(url, cast_to=object, body=body)
        except APIStatusError as problem:
            if needed:
                raise EngineError(f"{self.name}: refuses a conversation ({' '.join(str(problem).split())[:300]})") from problem
            return None
        except APIError as problem:
            raise EngineError(f"{self.name}: cannot be asked ({' '.join(str(problem).split())})") from problem
        return found if isinstance(found, dict) else None


class LlamaCppSide(ServerSide):
    """llama.cpp's own server on a GGUF file, in this process: its template, its tokenizer, its weights.

    Where its parser of calls gives a conversation up, as it does with calls in a form that it does not know, it goes on as a server that is
    started with `--skip-chat-parsing`: all that the model says is text, from which a client reads the calls. `remarks` tells so.
    """

    def __init__(self, file: Path) -> None:
        if find_spec("xllamacpp") is None:
            raise EngineError("parity with llamacpp needs: pip install 'luthier[llamacpp]'")
        self.file, self.as_text, self.remarks = file, False, list[str]()
        self._start()

    def answer(self, prompt: Prompt, sampling: Sampling) -> Answered:
        try:
            return super().answer(prompt, sampling)
        except EngineError as problem:
            if self.as_text or _UNREAD not in str(problem):
                raise
        self.as_text = True
        self.remarks.append(
            "llama.cpp cannot read this model's calls itself: serve it with --skip-chat-parsing, and read them from the text"
            " (luthier.records.call_forms.read_calls)"
        )
        self._start()
        return super().answer(prompt, sampling)

    def _start(self) -> None:
        from luthier.models.llamacpp import binding, choose_threads

        xllamacpp = binding()
        self._server: Any = None  # the one before lets go of its weights first
        params = xllamacpp.CommonParams()
        params.model.path, params.n_parallel, params.n_ctx = str(self.file), 1, CONTEXT
        params.hostnames, params.port, params.warmup, params.verbosity, params.use_jinja = ["127.0.0.1"], 0, False, 0, True
        params.force_pure_content_parser = self.as_text
        choose_threads(params)
        try:
            self._server = xllamacpp.Server(params)
        except Exception as problem:  # the binding raises nothing narrower
            raise EngineError(f"{self.file}: llama.cpp cannot load it ({problem})") from problem
        self._ask_at(f"{self._server.listening_address}/v1", self.file.stem)
        self.name = f"llama.cpp on {self.file.name}"

    def close(self) -> None:
        self._server = None


@contextmanager
def llamacpp_side(file: Path) -> Iterator[LlamaCppSide]:
    """llama.cpp with a GGUF file, closed in the end. Raises EngineError."""
    side = LlamaCppSide(file)
    try:
        yield side
    finally:
        side.close()


class EngineSide:
    """Another engine of Luthier, which reads prompts as the trained model does; what it says may differ."""

    def __init__(self, model: Any) -> None:
        self.model, self.name = model, f"{type(model).__name__} on {model.name}"
        self.remarks = list[str]()

    def prompt(self, prompt: Prompt) -> str | None:
        return str(self.model.render(prompt))

    def tokens(self, text: str) -> list[int] | None:
        return list(self.model.tokenizer(text, add_special_tokens=False)["input_ids"])

    def names(self, ids: Sequence[int]) -> list[str] | None:
        return [str(self.model.tokenizer.decode([token])) for token in ids]

    def answer(self, prompt: Prompt, sampling: Sampling) -> Answered:
        made = self.model.generate([prompt], sampling)[0]
        known = self.model.score([prompt], [made.text])[0].logprobs if made.text and "score" in self.model.supports else ()
        return Answered(made.text, made.finish, list(known), made.prompt_tokens)


class OpenVinoSide(EngineSide):
    """OpenVINO, which tells the log-probabilities of its answers as it generates them: with an adapter in the graph, as it is served."""

    def __init__(self, model: OpenVinoModel) -> None:
        super().__init__(model)
        self.name = f"OpenVINO ({model.weights}) on {model.name}"

    def answer(self, prompt: Prompt, sampling: Sampling) -> Answered:
        made, ids, logprobs = self.model.speak([prompt], sampling, logprobs=True)[0]
        return Answered(made.text, made.finish, list(logprobs), made.prompt_tokens, ids)


def told_tokens(choice: JSON, count: int | None) -> tuple[list[float], tuple[int, ...]]:
    """The log-probabilities of an answer's tokens, and their ids where they are told. None of them where some are left out: llama.cpp tells nothing of
    a token that ends within a letter, and the rest would be held against other tokens."""
    told = (choice.get("logprobs") or {}).get("content") or []
    if not told:
        return [], ()
    logprobs, ids = [float(each["logprob"]) for each in told], tuple(int(each["id"]) for each in told if "id" in each)
    if len(ids) == len(told) != count:
        return [], ()
    return logprobs, ids if len(ids) == len(told) else ()


def said_text(message: JSON, *, cut: bool) -> str:
    """What was said, calls in brackets. cut: the answer broke off, and its last call with it, which is no call yet. Raises ValueError for arguments
    that are no JSON."""
    calls: Sequence[Any] = message.get("tool_calls") or []
    if not calls:
        return str(message.get("content") or "")
    made = []
    for place, each in enumerate(calls, 1):
        try:
            made.append(ToolCall(each["function"]["name"], json.loads(each["function"]["arguments"] or "{}")))
        except ValueError:
            if not cut or place < len(calls):
                raise
    return render_calls(made) if made else ""
