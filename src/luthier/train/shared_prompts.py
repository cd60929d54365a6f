"""Training rows that read a common prompt once: conversations on the same tools become branches of one row.

A row is the common prompt followed by what each conversation says after it. A branch sees the prompt and itself, never another
branch, and counts its positions from the prompt's end: loss and gradients are those of separate rows, at a fraction of the tokens.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from itertools import takewhile
from typing import Any

from luthier.models.branches import mask_as
from luthier.train.turn_weights import IGNORED

Encoded = dict[str, Any]  # lists of whole numbers, and `weights`, of numbers, where rows bring some along
PADDING = -1  # the branch of a position that only fills a batch


def share_prompts(rows: Sequence[Encoded], keys: Sequence[Hashable], *, branches: int, tokens: int) -> list[Encoded]:
    """Rows of up to `branches` conversations with equal keys and up to `tokens` tokens, in order of first appearance.

    rows: `input_ids` and `labels`; a result also has `position_ids` and `branch` (0 for the common prompt, then 1, 2, …).
    A conversation that alone has more than `tokens` gets a row of its own.
    """
    groups: dict[Hashable, list[Encoded]] = {}
    for row, key in zip(rows, keys, strict=True):
        groups.setdefault(key, []).append(row)
    return [packed for group in groups.values() for packed in _packed(group, branches, tokens)]


def _packed(group: list[Encoded], branches: int, tokens: int) -> Iterable[Encoded]:
    start = 0
    while start < len(group):
        end = start + 1
        while end < min(len(group), start + branches) and _size(group[start : end + 1]) <= tokens:
            end += 1
        yield _branched(group[start:end])
        start = end


def _size(rows: list[Encoded]) -> int:
    common = _common(rows)
    return common + sum(len(row["input_ids"]) - common for row in rows)


def _common(rows: list[Encoded]) -> int:
    """Tokens that all rows begin with. A branch keeps at least one token ahead of its first target, which must predict it."""
    if len(rows) == 1:
        return len(rows[0]["input_ids"])
    same = takewhile(lambda column: len(set(column)) == 1, zip(*(row["input_ids"] for row in rows), strict=False))
    untrained = min(sum(1 for _ in takewhile(lambda label: label == IGNORED, row["labels"])) for row in rows)
    return max(0, min(sum(1 for _ in same), untrained - 1))


def _branched(rows: list[Encoded]) -> Encoded:
    common = _common(rows)
    first = rows[0]
    packed = {
        "input_ids": first["input_ids"][:common],
        "labels": first["labels"][:common],
        "position_ids": list(range(common)),
        "branch": [0] * common,
        **({"weights": first["weights"][:common]} if "weights" in first else {}),
    }
    for number, row in enumerate(rows, 1):
        length = len(row["input_ids"])
        packed["input_ids"] += row["input_ids"][common:]
        packed["labels"] += row["labels"][common:]
        packed["position_ids"] += range(common, length)
        packed["branch"] += [number] * (length - common)
        if "weights" in packed:
            packed["weights"] += row["weights"][common:]
    return packed


def collate(rows: Sequence[Encoded], *, padding: int = 0, multiple: int = 1, kernel: str | None = "sdpa") -> dict[str, Any]:
    """A batch of such rows, padded on the right: `input_ids`, `labels`, `position_ids` (rows, length), and `attention_mask`
    (rows, 1, length, length), true where a position may look, or as that attention kernel takes it.

    Raises EngineError for a kernel that takes no mask by position.
    """
    import torch

    width = -(-max(len(row["input_ids"]) for row in rows) // multiple) * multiple
    fillers: dict[str, float] = {"input_ids": padding, "labels": IGNORED, "position_ids": 0, "branch": PADDING}
    if "weights" in rows[0]:
        fillers["weights"] = 0.0
    batch = {name: torch.tensor([row[name] + [filler] * (width - len(row[name])) for row in rows]) for name, filler in fillers.items()}
    branch = batch.pop("branch")
    same = (branch[:, None, :] == 0) | (branch[:, None, :] == branch[:, :, None])
    mask = (same & torch.ones(width, width, dtype=torch.bool).tril())[:, None]
    batch["attention_mask"] = mask_as(kernel, mask)
    return batch
