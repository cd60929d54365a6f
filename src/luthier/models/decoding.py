"""Token by token: reads a batch of prompts, lets the processors choose, and drops the rows that are done.

Rows that are equal are read once; a row whose answer has ended soon leaves the batch instead of being computed to the end of the
longest one. Nothing but the logits and the given processors decides: a model's own generation settings (penalties and the like) do not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from luthier.errors import EngineError
from luthier.models.hardware import is_spread

if TYPE_CHECKING:
    import torch

DONE_SHARE = 0.2  # of a batch that has ended before it is made smaller; doing so copies all keys and values


class RowProcessor(Protocol):
    """Chooses among the next tokens of each row, as a transformers logits processor does, and can be left with fewer rows."""

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """input_ids: (rows, length); scores: (rows, vocabulary), float32. Returns scores; the highest is taken."""
        ...

    def keep(self, rows: Sequence[int]) -> None:
        """Only these rows go on, in this order."""
        ...


def decode(
    module: Any,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    *,
    max_tokens: int,
    stop_ids: Sequence[int],
    processors: Sequence[RowProcessor] = (),
    ended: Callable[[list[int], Any], bool] | None = None,
) -> list[list[int]]:
    """The tokens of each row's answer, up to and including a stop token.

    input_ids, attention_mask: (rows, length), padded on the left. ended: whether an answer is over for another reason, asked after
    each token with the answer so far and the cache, which does not hold the last token yet and is to be left as it is.
    """
    import torch

    answers: list[list[int]] = [[] for _ in input_ids]
    rows = list(range(len(answers)))  # which answer each row of the batch belongs to
    open_rows = set(rows)
    logits, cache = _read(module, input_ids, attention_mask)
    may_shrink = not any(cache.is_linear)
    for _ in range(max_tokens):
        scores = logits.float()
        refuse_overflow(module, scores.amax(-1))
        for processor in processors:
            scores = processor(input_ids, scores)
        tokens = scores.argmax(-1)
        input_ids = torch.cat([input_ids, tokens[:, None]], 1)
        for row, token in zip(rows, tokens.tolist(), strict=True):
            if row in open_rows:
                answers[row].append(token)
                if token in stop_ids or (ended is not None and ended(answers[row], cache)) or len(answers[row]) == max_tokens:
                    open_rows.remove(row)
        if not open_rows:
            break
        attention_mask = torch.cat([attention_mask, attention_mask.new_ones(len(rows), 1)], 1)
        if may_shrink and len(open_rows) <= (1 - DONE_SHARE) * len(rows):
            kept = [at for at, row in enumerate(rows) if row in open_rows]
            rows = [rows[at] for at in kept]
            for processor in processors:
                processor.keep(kept)
            _select(module, cache, torch.tensor(kept, device=input_ids.device))
            input_ids, attention_mask = input_ids[kept], attention_mask[kept]
        output = module(
            input_ids=input_ids[:, -1:],
            attention_mask=attention_mask,
            position_ids=attention_mask.sum(1, keepdim=True) - 1,
            cache=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits = output.logits[:, -1]
    return answers


def refuse_overflow(module: Any, numbers: torch.Tensor) -> None:
    """Raises EngineError where what a model computed, one number a row, is infinite or none at all: float16 ends at 65,504."""
    if bool(numbers.isfinite().all()):
        return
    form = str(getattr(module, "dtype", "")).removeprefix("torch.")
    cure = "give --dtype float32 or bfloat16, which hold larger ones" if form == "float16" else "look for a damaged model or adapter"
    raise EngineError(f"the model computes numbers that are not finite{f' in {form}' if form else ''}, so no token can be chosen; {cure}")


def _select(module: Any, cache: Any, rows: torch.Tensor) -> None:
    """Leave these rows in a cache; where its layers lie on several devices, the rows are named from the CPU, which all of them take."""
    cache.batch_select_indices(rows.cpu() if is_spread(module) else rows)


def _read(module: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, Any]:
    """Logits of the first answer token, (rows, vocabulary), and the keys and values of all rows; equal rows are computed once."""
    import torch

    unique, place = input_ids.unique(dim=0, return_inverse=True)
    if len(unique) < len(input_ids):
        order = torch.arange(len(place), device=place.device)
        first = torch.empty(len(unique), dtype=torch.long, device=place.device).scatter_(0, place, order)
        logits, cache = _forward(module, input_ids[first], attention_mask[first])
        if not any(cache.is_linear):  # a state, unlike keys and values, cannot be copied to other rows
            _select(module, cache, place)
            return logits[place], cache
    return _forward(module, input_ids, attention_mask)


def _forward(module: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, Any]:
    positions = (attention_mask.cumsum(-1) - 1).clamp(min=0)
    output = module(input_ids=input_ids, attention_mask=attention_mask, position_ids=positions, use_cache=True, logits_to_keep=1)
    return output.logits[:, -1], output.cache
