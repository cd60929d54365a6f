"""What every language model in Luthier can do: generate text, and score given continuations.

Benches that only need text take any engine; benches that need more ask `model.supports` and refuse the rest with one line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from luthier.errors import EngineError
from luthier.records import Message, Tool

Capability = Literal["generate", "grammar", "json_schema", "score", "module"]
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Prompt:
    """What a model is asked: messages, the tools on offer and, optionally, a grammar its answer must follow.

    grammar: a Lark grammar as `llguidance` reads it. json_schema: a JSON Schema the answer must satisfy. At most one of them.
    """

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    grammar: str | None = None
    json_schema: dict[str, Any] | None = None


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn. temperature 0 is greedy; seed fixes the draw of each prompt by its index."""

    max_tokens: int = 128
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0
    stop: tuple[str, ...] = ()


GREEDY = Sampling()
Samplings = Sampling | Sequence[Sampling]


class Draw(NamedTuple):
    """How the tokens of one prompt are drawn; seed and place fix its draw together."""

    sampling: Sampling
    place: int


def draws(sampling: Samplings, count: int) -> list[Draw]:
    """Of `count` prompts. One sampling for all: their order tells their draws apart. One a prompt: each draws by its own seed alone, so
    that its answer does not depend on what else is asked.

    Raises EngineError where there is not one a prompt.
    """
    if isinstance(sampling, Sampling):
        return [Draw(sampling, place) for place in range(count)]
    if len(sampling) != count:
        raise EngineError(f"{count} prompts but {len(sampling)} samplings; give one for all, or one a prompt")
    return [Draw(one, 0) for one in sampling]


@dataclass(frozen=True)
class Completion:
    """An answer: its text without stop tokens, why it ended, and the tokens it cost. One that was refused for good is empty."""

    text: str
    finish: Literal["stop", "length", "refused"]
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True)
class Score:
    """Log-probabilities (nats) of the tokens of one continuation; prompt positions are not included."""

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]

    @property
    def total(self) -> float:
        return float(sum(self.logprobs))


@dataclass
class Usage:
    """What a model has cost so far."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    extra: dict[str, Any] = field(default_factory=dict)

    def add(self, completion: Completion) -> None:
        self.calls += 1
        self.prompt_tokens += completion.prompt_tokens
        self.completion_tokens += completion.completion_tokens


@runtime_checkable
class LanguageModel(Protocol):
    """One protocol for every engine: `local`, `bundled`, `endpoint`, `replay`, `openvino`."""

    name: str
    supports: frozenset[Capability]
    usage: Usage

    def generate(self, prompts: Sequence[Prompt], sampling: Samplings = ..., progress: Progress | None = None) -> list[Completion]:
        """Answer every prompt, in order. sampling: one for all, or one a prompt (`draws`). progress is called with the number of newly finished prompts.

        Raises EngineError where the engine cannot do what a prompt asks (a grammar, say).
        """
        ...

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[Score]:
        """Log-probabilities of `continuations[i]` after `prompts[i]`. Raises EngineError where unsupported."""
        ...
