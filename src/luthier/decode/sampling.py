"""Sampling with dynamic temperatures from a local model: batches, each row with a generator of its own, and the temperature of each token."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from luthier.decode.processor import DDS, DynamicTemperature
from luthier.decode.samplers import SAMPLERS
from luthier.errors import SettingsError
from luthier.models.decoding import RowProcessor, decode
from luthier.models.local import BATCH_TOKENS, LocalModel, SeededDraw
from luthier.models.protocol import Prompt, Sampling

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Reply:
    """A sampled reply: its text without the stop token, its token ids with it, the temperature each was drawn at, and whether it ended."""

    text: str
    tokens: tuple[int, ...]
    temperatures: tuple[float, ...]
    ended: bool

    @property
    def mean_temperature(self) -> float:
        return sum(self.temperatures) / max(1, len(self.temperatures))


class Truncation:
    """One of transformers' truncations as a step of `models.decoding.decode`."""

    def __init__(self, name: str, value: float) -> None:
        from transformers import MinPLogitsWarper, TopKLogitsWarper, TopPLogitsWarper, TypicalLogitsWarper

        made: dict[str, Callable[[], Any]] = {
            "top_k": lambda: TopKLogitsWarper(int(value)),
            "top_p": lambda: TopPLogitsWarper(value),
            "min_p": lambda: MinPLogitsWarper(value),
            "typical_p": lambda: TypicalLogitsWarper(value),
        }
        try:
            self.warper = made[name]()
        except (KeyError, ValueError) as problem:
            raise SettingsError(f"sampler {name}={value:g}: {problem}; samplers are {', '.join(SAMPLERS)}") from problem

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        cut: torch.Tensor = self.warper(input_ids, scores)
        return cut

    def keep(self, rows: Sequence[int]) -> None:
        """It holds nothing about rows."""


def sample_replies(
    model: LocalModel,
    prompts: Sequence[Prompt],
    dds: DDS,
    *,
    max_tokens: int,
    truncation: dict[str, float] | None = None,
    seed: int = 0,
    numbers: Sequence[int] | None = None,
    batch: int = 64,
    progress: Callable[[int], None] | None = None,
) -> list[Reply]:
    """One reply to each prompt, in order. numbers: fix the draw of each prompt with the seed, whatever its batch; its index where left out.

    truncation: {"top_p": 0.95} and the like, applied after the temperature. Raises SettingsError where the head is another model's, PromptError where
    one is too long for the model.
    """
    encoded = [model.encode(model.render(one)) for one in prompts]
    numbers = range(len(prompts)) if numbers is None else numbers
    warpers = [Truncation(name, value) for name, value in (truncation or {}).items()]
    processor = dds.processor(model.module)
    made: dict[int, Reply] = {}
    try:
        for rows in _batches(encoded, batch):
            draw = SeededDraw(Sampling(max_tokens, 1.0, seed=seed), [numbers[at] for at in rows])
            replies = _sample(model, [encoded[at] for at in rows], processor, [*warpers, draw], max_tokens)
            made |= dict(zip(rows, replies, strict=True))
            if progress is not None:
                progress(len(rows))
    finally:
        processor.close()
    return [made[at] for at in range(len(prompts))]


def _batches(encoded: Sequence[list[int]], batch: int) -> Iterator[list[int]]:
    """Indices, long to short, in batches that fit."""
    order = sorted(range(len(encoded)), key=lambda at: (-len(encoded[at]), encoded[at]))
    while order:
        size = max(1, min(batch, BATCH_TOKENS // max(1, len(encoded[order[0]]))))
        yield order[:size]
        order = order[size:]


def _sample(
    model: LocalModel, encoded: list[list[int]], processor: DynamicTemperature, after: Sequence[RowProcessor], max_tokens: int
) -> list[Reply]:
    import torch

    inputs = model.tokenizer.pad({"input_ids": encoded}, return_tensors="pt").to(model.device)
    with torch.inference_mode():
        answers = decode(
            model.module,
            inputs["input_ids"],
            inputs["attention_mask"],
            max_tokens=min(max_tokens, model.room_behind(max(map(len, encoded)))),
            stop_ids=model.stop_ids,
            processors=[processor, *after],
        )
    temperatures: list[list[float]] = [[] for _ in encoded]
    for step in processor.dds.trace:
        for row, value in zip(step.rows, step.temperatures.tolist(), strict=True):
            temperatures[row].append(value)
    return [_reply(model, ids, drawn[: len(ids)]) for ids, drawn in zip(answers, temperatures, strict=True)]


def _reply(model: LocalModel, ids: list[int], temperatures: list[float]) -> Reply:
    ended = bool(ids) and ids[-1] in model.stop_ids
    text = model.tokenizer.decode(ids[:-1] if ended else ids, skip_special_tokens=True)
    return Reply(text.strip(), tuple(ids), tuple(temperatures), ended)
