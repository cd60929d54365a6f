"""Models that answer searches by a rule, without weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from luthier.models.protocol import Completion, Progress, Prompt, Samplings, Score, Usage, draws

WRONG = ("return x + x + 1", "return x * x", "return x", "return abs(x) * 2", "return [x] * 2", "raise ValueError(x)")


class Doubler:
    """Answers the problem `double`: mostly wrong programs, now and then the right one, by the hash of what is asked."""

    supports = frozenset({"generate"})

    def __init__(self, *, dies_after: int | None = None) -> None:
        self.name, self.usage, self.asked, self.dies_after = "doubler", Usage(), list[str](), dies_after

    def generate(self, prompts: Sequence[Prompt], sampling: Samplings = (), progress: Progress | None = None) -> list[Completion]:
        answers = []
        for prompt, drawn in zip(prompts, draws(sampling, len(prompts)), strict=True):
            if self.dies_after is not None and len(self.asked) >= self.dies_after:
                raise KeyboardInterrupt
            text = prompt.messages[-1].content or ""
            self.asked.append(f"{drawn.sampling.seed} {text}")
            answers.append(Completion(self.said(text, drawn.sampling.seed), "stop", len(text) // 4, 30))
        return answers

    def said(self, text: str, seed: int) -> str:
        number = int.from_bytes(hashlib.sha256(f"{seed} {text}".encode()).digest()[:4], "big")
        if "JSON list only" in text and "For each block" in text:
            return json.dumps([{"name": "BLOCK-1", "correct": False, "explanation": "it is not twice x"}])
        if "JSON list only" in text:
            return json.dumps([{"thought": f"Idea {number % 997} number {n}.", "score": 0.2 + n / 10} for n in range(3)])
        if "JSON only" in text:
            return json.dumps({"reason": "looks right", "score": (number % 20 - 10) / 10})
        if "better thought" in text:
            return f"Add x to itself, way {number % 991}."
        if "block of code" in text:
            body = "return x + x" if number % 5 == 0 else WRONG[number % len(WRONG)]
            return f"```python\ndef double(x):\n    {body}\n\nassert double(1) == 7\n```"
        return f"Remember number {number % 89}."

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[Score]:
        raise NotImplementedError


class Says:
    """A model that gives these answers in turn."""

    name, supports, usage = "says", frozenset({"generate"}), Usage()

    def __init__(self, *answers: str) -> None:
        self.answers, self.asked = answers, list[str]()

    def generate(self, prompts: Sequence[Prompt], sampling: Samplings = (), progress: Progress | None = None) -> list[Completion]:
        made = []
        for prompt in prompts:
            made.append(Completion(f"```python\n{self.answers[len(self.asked) % len(self.answers)]}\n```", "stop", 10, 10))
            self.asked.append(prompt.messages[-1].content or "")
        return made
