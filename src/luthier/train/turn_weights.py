"""Weights that rows bring along, as weights of tokens: of a turn (`weight` of a message), of a whole row, or token by token.

A weight of 0 takes the token out of the targets, which every trainer knows; other weights make the loss a weighted mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from luthier.errors import BadRowError
from luthier.records import JSON, Conversation, Message
from luthier.records.numbers import finite_number, shown, written_number

IGNORED = -100  # a label that trains nothing


def row_weight(extra: JSON) -> float:
    """The weight of a whole row, 1 where it has none. Raises BadRowError where it is no number from 0."""
    value = extra.get("weight")
    if value is None:
        return 1.0
    number = finite_number(written_number(value))
    if number is None or number < 0:
        raise BadRowError(f"the row's weight is {shown(value)}; give a number from 0")
    return number


def answer_weight(messages: Sequence[Message]) -> float:
    """The weight of an answer, which is that of its turns. Raises BadRowError where these differ."""
    found = {1.0 if message.weight is None else float(message.weight) for message in messages}
    if len(found) > 1:
        raise BadRowError("the turns of an answer have different weights; give the answer one weight")
    return found.pop() if found else 1.0


def token_weights(
    conversation: Conversation, mask: Sequence[int], prefix: Callable[[int], Sequence[int]], ids: Sequence[int]
) -> list[float] | None:
    """The weight of each token, None where the row brings none along.

    mask: 1 for what the assistant says, of as many tokens as ids. prefix: the ids of the first so many messages, asked where the runs of the mask
    do not tell the turns apart. Raises BadRowError where nothing does.
    """
    whole = row_weight(conversation.extra)
    turns = [1.0 if m.weight is None else float(m.weight) for m in conversation.messages if m.role == "assistant"]
    if whole == 1 and set(turns) <= {1.0}:
        return None
    if len(set(turns)) <= 1:
        return [whole * (turns[0] if turns else 1.0)] * len(ids)
    runs = _runs(mask)
    if len(runs) != len(turns):
        return [whole * weight for weight in _by_prefix(conversation, prefix, ids)]
    weights = [1.0] * len(ids)
    for (start, end), weight in zip(runs, turns, strict=True):
        weights[start:end] = [whole * weight] * (end - start)
    return weights


def weighted_row(ids: Sequence[int], labels: Sequence[int], weights: Sequence[float] | None) -> JSON:
    """`input_ids` and `labels` without the targets of weight 0, and `weights` where others than 0 and 1 are left."""
    if weights is None:
        return {"input_ids": list(ids), "labels": list(labels)}
    kept = [label if weight > 0 else IGNORED for label, weight in zip(labels, weights, strict=True)]
    row: JSON = {"input_ids": list(ids), "labels": kept}
    if any(weight != 1 for label, weight in zip(kept, weights, strict=True) if label != IGNORED):
        row["weights"] = list(weights)
    return row


def with_weights(rows: Sequence[JSON]) -> list[JSON]:
    """All rows with `weights`, of 1 where they have none, if any row has some."""
    if not any("weights" in row for row in rows):
        return list(rows)
    return [row if "weights" in row else {**row, "weights": [1.0] * len(row["input_ids"])} for row in rows]


def weighing_collator(collate: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A collator whose batches also hold `weights`, (rows, length), 0 where a row is filled up on the right."""
    import torch

    def weighed(rows: Sequence[JSON]) -> Any:
        batch = collate([{name: value for name, value in row.items() if name != "weights"} for row in rows])
        width = batch["input_ids"].shape[1]
        batch["weights"] = torch.tensor([list(row["weights"]) + [0.0] * (width - len(row["weights"])) for row in rows])
        return batch

    return weighed


def _runs(mask: Sequence[int]) -> list[tuple[int, int]]:
    """Where the ones begin and end."""
    found: list[tuple[int, int]] = []
    for at, value in enumerate(mask):
        if value and found and found[-1][1] == at:
            found[-1] = (found[-1][0], at + 1)
        elif value:
            found.append((at, at + 1))
    return found


def _by_prefix(conversation: Conversation, prefix: Callable[[int], Sequence[int]], ids: Sequence[int]) -> list[float]:
    weights = [1.0] * len(ids)
    start = 0
    for number, message in enumerate(conversation.messages, 1):
        before = list(ids) if number == len(conversation.messages) else list(prefix(number))
        if list(ids[: len(before)]) != before:
            raise BadRowError(
                "the chat template does not tell the turns apart, which have weights of their own; use a template with generation marks"
            )
        if message.role == "assistant" and message.weight is not None:
            weights[start : len(before)] = [float(message.weight)] * (len(before) - start)
        start = max(start, len(before))
    return weights
