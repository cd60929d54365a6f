"""A temperature for each request to an OpenAI-compatible server: the score is taken here, the text is made there.

A local copy of the served model reads the contexts once, without generating; only the sequence level can be served this way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from luthier.decode.processor import DDS
from luthier.errors import SettingsError
from luthier.models.endpoint import EndpointModel
from luthier.models.local import LocalModel
from luthier.models.protocol import Capability, Completion, Progress, Prompt, Sampling, Score


class DynamicEndpoint:
    """A served model whose requests carry temperatures of their own; a `LanguageModel`.

    local: reads the contexts; the model the head was fitted on. temperatures: those of the last `generate`, by prompt.
    Raises SettingsError where the level is not sequence, or the head is another model's.
    """

    supports: frozenset[Capability] = frozenset({"generate", "json_schema"})

    def __init__(self, server: EndpointModel, dds: DDS, local: LocalModel) -> None:
        if dds.share < 1 and dds.rule.reads_states:
            raise SettingsError(f"level is {dds.level!r}; a request has one temperature, so a server is asked at level sequence")
        self.server, self.dds, self.local = server, dds, local
        self.name, self.usage = server.name, server.usage
        self.processor = dds.processor(local.module)
        self.temperatures: list[float] = []

    def choose(self, prompts: Sequence[Prompt]) -> list[float]:
        """The temperature of each prompt: one pass over its text."""
        import torch

        made = []
        for prompt in prompts:
            text = self.local.render(prompt)
            ids = self.local.tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"].to(self.local.device)
            with torch.inference_mode():
                logits = self.local.module(input_ids=ids, use_cache=False, logits_to_keep=1).logits[:, -1]
                self.processor(ids, logits.float())
            made.append(float(self.dds.trace[-1].temperatures[0]))
        return made

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling | None = None, progress: Progress | None = None) -> list[Completion]:
        """Answer every prompt, in order. sampling: all but its temperature is used. Raises as `EndpointModel.generate` does."""
        plain = sampling or Sampling()
        self.temperatures = self.choose(prompts)
        answers: dict[int, Completion] = {}

        def keep(index: int, completion: Completion) -> None:
            answers[index] = completion
            if progress is not None:
                progress(1)

        each = [replace(plain, temperature=value, seed=plain.seed + index) for index, value in enumerate(self.temperatures)]
        self.server.generate_each(list(enumerate(prompts)), each, keep)
        return [answers[index] for index in range(len(prompts))]

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[Score]:
        """A server cannot; raises EngineError."""
        return self.server.score(prompts, continuations)
