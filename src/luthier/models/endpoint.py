"""Any OpenAI-compatible server (vLLM, SGLang, llama.cpp, `transformers serve`, hosted ones) as a language model.

The `openai` client does HTTP, retries and back-off; this module keeps the order of the answers, the limit on concurrent requests
and the budget. Tool calls in a reply become text in the bracket syntax of `luthier.records.calls`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from luthier.errors import BudgetError, EngineError, SettingsError
from luthier.models.endpoint_rows import message_rows, prompt_tokens, read_reply
from luthier.models.protocol import GREEDY, Capability, Completion, Progress, Prompt, Sampling, Samplings, Score, Usage, draws
from luthier.records import JSON

if TYPE_CHECKING:
    from openai import AsyncOpenAI

OnAnswer = Callable[[int, Completion], None]
_SHOWN = 200  # characters of a server's own words in an error


class EndpointModel:
    """A model behind `base_url` (`http://host:8000/v1`), asked over chat completions.

    api_key: sent as a bearer token; servers of your own rarely need one. concurrency: requests in flight at once.
    max_calls, max_tokens: budget over the life of this object; tokens are prompt and completion together.
    retries: attempts after a 429, a 5xx or a lost connection, with growing pauses. timeout: seconds for one attempt.
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
    ) -> None:
        if concurrency < 1:
            raise SettingsError(f"concurrency is {concurrency}; it must be at least 1")
        self.base_url, self.name, self.api_key = server_url(base_url), model, api_key
        self.concurrency, self.retries, self.timeout = concurrency, retries, timeout
        self.max_calls, self.max_tokens = max_calls, max_tokens
        self.usage = Usage()

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
                        async with budget.hold(prompt_tokens(request) + int(request["max_tokens"])):
                            completion = await self._ask(client, request)
                            self.usage.add(completion)
                        on_answer(index, completion)
                    except Exception as problem:  # raised below, once the calls in flight have ended
                        failures.append(problem)

            await asyncio.gather(*(work() for _ in range(workers)))
        if failures:
            raise failures[0]

    async def _ask(self, client: AsyncOpenAI, request: JSON) -> Completion:
        from openai import OpenAIError

        try:
            reply = await client.chat.completions.create(**request)
        except (OpenAIError, ValueError) as problem:
            raise EngineError(self._explain(problem)) from problem
        if not getattr(reply, "choices", None):
            raise EngineError(f"{self.base_url} does not answer with chat completions; check the URL (it usually ends in /v1)")
        return read_reply(reply, prompt_tokens(request))

    def _explain(self, problem: Exception) -> str:
        from openai import APIConnectionError, APIStatusError, APITimeoutError

        words = _one_line(problem)
        if isinstance(problem, APITimeoutError):
            told = f"did not answer within {self.timeout:g} s; raise the timeout or lower the concurrency ({self.concurrency})"
        elif isinstance(problem, APIConnectionError):
            cause = _one_line(problem.__cause__ or problem)
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
    """The base URL of a server, without a slash at its end. Raises SettingsError where it is no http address."""
    if not text.startswith(("http://", "https://")):
        raise SettingsError(f"the server's URL is {text!r}; it must start with http:// or https:// and usually ends in /v1")
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


def _one_line(problem: BaseException) -> str:
    words = " ".join(str(problem).split())
    return words if len(words) <= _SHOWN else words[: _SHOWN - 1] + "…"
