"""Any OpenAI-compatible server (vLLM, SGLang, llama.cpp, `transformers serve`, hosted ones) as a language model.

The `openai` client does HTTP, retries and back-off; this module keeps the order of the answers, the limit on concurrent requests
and the budget. Tool calls in a reply become text in the bracket syntax of `luthier.records.calls`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from luthier.errors import BudgetError, EngineError, LuthierError, SettingsError
from luthier.models.endpoint_refusals import refused_field, refuses_prompt, without_field
from luthier.models.endpoint_rows import SHOWN, message_rows, prompt_tokens, read_reply
from luthier.models.protocol import GREEDY, Capability, Completion, Progress, Prompt, Sampling, Samplings, Score, Usage, draws
from luthier.records import JSON
from luthier.records.account import note
from luthier.texts.secrets import without_secrets

if TYPE_CHECKING:
    from openai import AsyncOpenAI

OnAnswer = Callable[[int, Completion], None]


class EndpointModel:
    """A model behind `base_url` (`http://host:8000/v1`), asked over chat completions.

    api_key: sent as a bearer token; servers of your own rarely need one. concurrency: requests in flight at once.
    max_calls, max_tokens: budget over the life of this object; tokens are prompt and completion together.
    retries: attempts after a 429, a 5xx or a lost connection, with growing pauses. timeout: seconds for one attempt.
    fields: other names of fields of a request, None for those to leave out (`{"max_tokens": "max_completion_tokens", "seed": None}`); those that
    the server refuses by name are learned. A prompt that it refuses for good gets an empty answer whose `finish` is "refused".
    """

    supports: frozenset[Capability] = frozenset({"generate", "json_schema"})

    def __init__(
        self,
        base_url: str,
        model: str,
        api_key: str | None = None,
        *,
        concurrency: int = 8,
        max_calls: int | None = None,
        max_tokens: int | None = None,
        retries: int = 4,
        timeout: float = 60.0,
        fields: Mapping[str, str | None] | None = None,
    ) -> None:
        if concurrency < 1:
            raise SettingsError(f"concurrency is {concurrency}; it must be at least 1")
        self.base_url, self.name, self.api_key = server_url(base_url), model, api_key
        self.concurrency, self.retries, self.timeout = concurrency, retries, timeout
        self.max_calls, self.max_tokens = max_calls, max_tokens
        self.usage = Usage()
        self.fields: dict[str, str | None] = dict(fields or {})

    def generate(self, prompts: Sequence[Prompt], sampling: Samplings = GREEDY, progress: Progress | None = None) -> list[Completion]:
        """Answer every prompt, in order.

        Raises BudgetError before the first call that would exceed the budget, EngineError where the server cannot answer;
        calls in flight end first, and count.
        """
        answers: dict[int, Completion] = {}

        def keep(index: int, completion: Completion) -> None:
            answers[index] = completion
            if progress is not None:
                progress(1)

        self.generate_each(list(enumerate(prompts)), sampling, keep)
        return [answers[index] for index in range(len(prompts))]

    def generate_each(self, prompts: Sequence[tuple[int, Prompt]], sampling: Samplings, on_answer: OnAnswer) -> None:
        """Answer numbered prompts in any order, each handed to `on_answer` as it arrives.

        sampling: one for all, where the number fixes a prompt's seed, or one a prompt, whose own seed does.
        """
        for index, prompt in prompts:
            if prompt.grammar is not None:
                raise EngineError(f"prompt {index + 1}: an endpoint takes no grammar; use a JSON Schema, or a local model")
        one = isinstance(sampling, Sampling)
        requests = [
            (index, self._request(prompt, drawn, index if one else 0))
            for (index, prompt), (drawn, _) in zip(prompts, draws(sampling, len(prompts)), strict=True)
        ]
        _run(self._ask_all(requests, on_answer))

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[Score]:
        raise EngineError(f"{self.base_url} cannot score given continuations: chat completions do not offer it; use a local model")

    def _request(self, prompt: Prompt, sampling: Sampling, index: int) -> JSON:
        request: JSON = {
            "model": self.name,
            "messages": message_rows(prompt.messages),
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
        }
        if sampling.temperature > 0:  # some servers refuse a seed, and greedy decoding needs none
            request["seed"] = sampling.seed + index
        if sampling.top_p < 1:
            request["top_p"] = sampling.top_p
        if sampling.top_k > 0:  # not in OpenAI's API; vLLM, SGLang and llama.cpp read it from the body
            request["extra_body"] = {"top_k": sampling.top_k}
        if sampling.stop:
            request["stop"] = list(sampling.stop)
        if prompt.tools:
            request["tools"] = [tool.to_row() for tool in prompt.tools]
        if prompt.json_schema is not None:
            request["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": prompt.json_schema}}
        return request

    async def _ask_all(self, requests: Sequence[tuple[int, JSON]], on_answer: OnAnswer) -> None:
        """As many workers as requests may be in flight. After the first failure none takes another request."""
        from openai import AsyncOpenAI

        waiting, failures = iter(requests), list[Exception]()
        budget = _Budget(self.usage, self.max_calls, self.max_tokens)
        # The client insists on a key; one found in the environment must not reach an arbitrary server.
        key, workers = self.api_key or "none", min(self.concurrency, len(requests))
        async with AsyncOpenAI(base_url=self.base_url, api_key=key, max_retries=self.retries, timeout=self.timeout) as client:

            async def work() -> None:
                while not failures and (item := next(waiting, None)) is not None:
                    index, request = item
                    try:
                        async with budget.hold(prompt_tokens(request) + int(request["max_tokens"])):  # before it is renamed
                            completion = await self._ask(client, request)
                            self.usage.add(completion)
                        on_answer(index, completion)
                    except Exception as problem:  # raised below, once the calls in flight have ended
                        failures.append(problem)

            await asyncio.gather(*(work() for _ in range(workers)))
        if failures:
            raise failures[0] if isinstance(failures[0], LuthierError) else EngineError(self._explain(failures[0])) from failures[0]

    async def _ask(self, client: AsyncOpenAI, request: JSON) -> Completion:
        """One answer. A field that the server refuses is left out from then on; each can be refused once."""
        from openai import APIStatusError, OpenAIError

        tokens = prompt_tokens(request)
        for _ in range(len(request)):
            sent = request
            for field, other in self.fields.items():
                sent = without_field(sent, field, other)
            try:
                return self._read(await client.chat.completions.create(**sent), tokens)
            except APIStatusError as problem:
                words = self._told(problem)
                reason = refuses_prompt(problem.status_code, words, problem.body)
                if reason is not None:
                    return self._refused(reason, tokens)
                found = refused_field(problem.status_code, words, problem.body, sent)
                if found is None or found[1] in self.fields:
                    raise EngineError(self._explain(problem)) from problem
                self.fields = {**self.fields, found[0]: found[1]}
                note("left out", f"the setting {found[0]!r}, which {self.base_url} does not take")
            except (OpenAIError, ValueError, TypeError) as problem:
                raise EngineError(self._explain(problem)) from problem
        raise EngineError(f"{self.base_url} refuses one field of the request after another; set them by hand (fields)")

    def _read(self, reply: Any, tokens: int) -> Completion:
        error = getattr(reply, "error", None)
        reason = refuses_prompt(400, str(error), {"error": error}) if error else None
        if reason is not None:
            return self._refused(reason, tokens)
        try:
            answer = read_reply(reply, tokens)
        except EngineError as problem:
            words = without_secrets(str(problem), self.api_key)
            raise EngineError(f"{self.base_url} {words}; check the model {self.name!r} and the URL (it usually ends in /v1)") from None
        if answer.finish == "refused":
            note("refused", "prompts that the server refuses (content_filter)")
        return answer

    def _refused(self, reason: str, tokens: int) -> Completion:
        note("refused", f"prompts that the server refuses ({reason})")
        return Completion("", "refused", tokens, 0)

    def _told(self, problem: BaseException) -> str:
        """The words of a problem on one line, without secrets."""
        words = " ".join(without_secrets(str(problem), self.api_key).split())
        return words if len(words) <= SHOWN else words[: SHOWN - 1] + "…"

    def _explain(self, problem: Exception) -> str:
        from openai import APIConnectionError, APIStatusError, APITimeoutError

        words = self._told(problem)
        if isinstance(problem, APITimeoutError):
            told = f"did not answer within {self.timeout:g} s; raise the timeout or lower the concurrency ({self.concurrency})"
        elif isinstance(problem, APIConnectionError):
            cause = self._told(problem.__cause__ or problem)
            return f"cannot reach {self.base_url} ({cause}); check that the server runs and that the URL is right"
        elif isinstance(problem, APIStatusError):
            told = self._explain_status(problem.status_code, words)
        else:
            told = f"sent an answer that cannot be read ({words}); check the URL (it usually ends in /v1)"
        return f"{self.base_url} {told}"

    def _explain_status(self, code: int, words: str) -> str:
        if code in (401, 403):
            return f"refuses the API key ({words}); pass the key this server expects"
        if code == 404:
            return f"does not know the model {self.name!r} ({words}); check the name and the URL (it usually ends in /v1)"
        if code == 429:
            return f"limits the rate even after {self.retries} retries ({words}); lower the concurrency ({self.concurrency}) or wait"
        if code >= 500:
            return f"still fails after {self.retries} retries ({words}); look at the server's log"
        return f"refuses the request ({words}); change what it names"


class _Budget:
    """What may still be spent. A call in flight holds its estimate until its real cost is in `usage`."""

    def __init__(self, usage: Usage, max_calls: int | None, max_tokens: int | None) -> None:
        self.usage, self.max_calls, self.max_tokens = usage, max_calls, max_tokens
        self.calls_held = self.tokens_held = 0
        self.settled = asyncio.Condition()

    @asynccontextmanager
    async def hold(self, tokens: int) -> AsyncIterator[None]:
        """Room for one call of about that many tokens; waits while calls in flight may leave some of their estimate over."""
        async with self.settled:
            await self.settled.wait_for(lambda: self.calls_held == 0 or tokens <= self._tokens_left())
        if self.max_calls is not None and self.usage.calls + self.calls_held >= self.max_calls:
            raise BudgetError(f"the budget of {self.max_calls} calls is spent; raise it to go on")
        if tokens > self._tokens_left():
            left = f"{max(0, self._tokens_left()):.0f} of {self.max_tokens} tokens are left"
            raise BudgetError(f"{left} in the budget and the next call may take {tokens}; raise it to go on")
        self.calls_held += 1
        self.tokens_held += tokens
        try:
            yield
        finally:
            self.calls_held -= 1
            self.tokens_held -= tokens
            async with self.settled:
                self.settled.notify_all()

    def _tokens_left(self) -> float:
        spent = self.usage.prompt_tokens + self.usage.completion_tokens + self.tokens_held
        return float("inf") if self.max_tokens is None else self.max_tokens - spent


def server_url(text: str) -> str:
    """The base URL of a server, without a slash at its end.

    Raises SettingsError where it is no http address, or carries a password or a query, which would be written where others read it.
    """
    shown = without_secrets(text)
    try:
        parts = urlsplit(text)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # half an address of IPv6, a port that is none
        whole = False
    if not whole or any(sign.isspace() or ord(sign) < 32 for sign in text):
        raise SettingsError(f"the server's URL is {shown!r}; it must start with http:// or https:// and usually ends in /v1")
    if parts.username is not None or parts.password is not None:
        raise SettingsError(f"the server's URL {shown!r} carries a user or password; pass a key as LUTHIER_API_KEY instead")
    if parts.query or parts.fragment:
        base = shown.partition("?")[0].partition("#")[0]
        raise SettingsError(f"the server's URL ends in a query ({base}?…); give the base URL alone, and a key as LUTHIER_API_KEY")
    return text.rstrip("/")


def _run(work: Coroutine[Any, Any, None]) -> None:
    """One event loop for one call; in a thread of its own where a loop runs already (a notebook)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work)
        return
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()
