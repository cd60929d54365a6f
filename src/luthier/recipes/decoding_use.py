"""Use a diversity head: replies to many prompts at once, here or at a server, and a talk that shows its temperatures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.errors import SettingsError
from luthier.models.opening import open_model
from luthier.records import JSON, Message, write_jsonl

if TYPE_CHECKING:
    from luthier.decode.processor import DDS
    from luthier.decode.sampling import Reply
    from luthier.models.protocol import Sampling


def generate(
    prompts: Sequence[str],
    *,
    head: Path | None,
    source: Path | None,
    out: Path | None,
    model: str,
    adapter: str | None,
    t0: float,
    mapping: str,
    level: str,
    sampler: str,
    max_tokens: int,
    seed: int,
    endpoint: str | None = None,
    served: str | None = None,
) -> list[JSON]:
    """A row for each prompt and each context of `source`: `prompt`, `text`, `temperature`. Raises SettingsError where there are none."""
    from luthier.decode.contexts import read_contexts
    from luthier.decode.sampling import read_sampler, sample_replies
    from luthier.decode.serving import DynamicEndpoint
    from luthier.models.endpoint import EndpointModel
    from luthier.models.protocol import Prompt

    asked: list[tuple[Message, ...]] = [(Message("user", text),) for text in prompts]
    asked += [context.messages for context in read_contexts(source)] if source is not None else []
    if not asked:
        raise SettingsError("nothing to reply to: give prompts, or contexts with --file")
    local = open_model(model, None if adapter is None else Path(adapter))
    dds = open_dds(head, local.module, t0=t0, mapping=mapping, level=level)
    truncation, tasks = read_sampler(sampler), [Prompt(messages) for messages in asked]
    if endpoint is not None:
        server = EndpointModel(endpoint, served or model, os.environ.get("LUTHIER_API_KEY"))
        sampling = _sampling(truncation, max_tokens, seed)
        client = DynamicEndpoint(server, dds, local)
        made = client.generate(tasks, sampling)
        answers = list(zip([one.text for one in made], client.temperatures, strict=True))
    else:
        replies = sample_replies(local, tasks, dds, max_tokens=max_tokens, truncation=truncation, seed=seed)
        answers = [(reply.text, reply.mean_temperature) for reply in replies]
    rows = [
        {"prompt": messages[-1].content, "text": text, "temperature": temperature}
        for messages, (text, temperature) in zip(asked, answers, strict=True)
    ]
    if out is not None:
        write_jsonl(out, rows)
    return rows


def open_dds(head: Path | None, module: Any, *, t0: float, mapping: str, level: str) -> DDS:
    """How a head decodes, or a fixed temperature where there is none. Raises SettingsError where it is another model's."""
    from luthier.decode.head import DiversityHead
    from luthier.decode.processor import DDS
    from luthier.decode.rules import Fixed

    if head is None:
        return DDS(Fixed(t0), level="token")
    try:
        when: Any = level if level in ("sequence", "token") else float(level)
    except ValueError:
        raise SettingsError(f"level is {level!r}; it is sequence, token, or a number between 0 and 1") from None
    return DDS(DiversityHead.load(head, module), mapping, t0, when)  # type: ignore[arg-type]


def _sampling(truncation: dict[str, float], max_tokens: int, seed: int) -> Sampling:
    from luthier.models.protocol import Sampling

    known = {"top_p": 1.0, "top_k": 0.0} | truncation
    if set(known) - {"top_p", "top_k"}:
        raise SettingsError("a server is asked with top_p or top_k; choose one of them as the sampler")
    return Sampling(max_tokens, 1.0, known["top_p"], int(known["top_k"]), seed)


class Speaker:
    """A talk with a local model that remembers what was said."""

    def __init__(
        self,
        head: Path | None,
        model: str,
        adapter: str | None,
        *,
        t0: float,
        mapping: str,
        level: str,
        sampler: str,
        max_tokens: int,
        seed: int,
    ) -> None:
        from luthier.decode.sampling import read_sampler

        self.local = open_model(model, None if adapter is None else Path(adapter))
        self.dds = open_dds(head, self.local.module, t0=t0, mapping=mapping, level=level)
        self.truncation, self.max_tokens, self.seed = read_sampler(sampler), max_tokens, seed
        self.messages: list[Message] = []

    def say(self, text: str) -> Reply:
        """The model's reply."""
        from luthier.decode.sampling import sample_replies
        from luthier.models.protocol import Prompt

        self.messages.append(Message("user", text))
        (reply,) = sample_replies(
            self.local,
            [Prompt(tuple(self.messages))],
            self.dds,
            max_tokens=self.max_tokens,
            truncation=self.truncation,
            seed=self.seed,
            numbers=[len(self.messages)],
        )
        self.messages.append(Message("assistant", reply.text))
        return reply

    def pieces(self, reply: Reply) -> list[tuple[str, float]]:
        """Each token's text and the temperature it was drawn at."""
        texts = [self.local.tokenizer.decode([token], skip_special_tokens=True) for token in reply.tokens]
        return list(zip(texts, reply.temperatures, strict=True))


def with_temperatures(pieces: Sequence[tuple[str, float]]) -> str:
    """Tokens with their temperatures, as text: `The(0.84) capital(0.41)`."""
    return "".join(f"{text}({temperature:.2f})" for text, temperature in pieces if text)
