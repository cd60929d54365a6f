"""Tokens that a model has a row for and never learned.

A tokenizer knows tokens that pre-training never saw; their rows of the output matrix stay one and the same vector. Nothing tells such a token
from thousands of others, so no adapter on the layers can make a model say it: the marks of tool calls in Qwen2.5-Coder are of this kind. (Land and
Bartolo, arXiv 2405.05417, find such tokens by the same likeness.)
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

OUTPUTS = (
    "lm_head.weight",
    "embed_tokens.weight",
    "wte.weight",
)  # ends of names, the output's own before an embedding that is also the output
ALIKE = 0.02  # distance, as a share of the row's length; quantised weights differ by about half of it
MANY = 16  # rows that are as like as that: a pair may have been learned together


class Unlearned(NamedTuple):
    """A token, and how many have its row, itself among them."""

    token: int
    alike: int


def unlearned(output: Tensor, ids: Iterable[int]) -> list[Unlearned]:
    """Those of the ids whose rows are the same as many others. output: the matrix (vocabulary, width) that gives the logits."""
    import torch

    with torch.no_grad():
        lengths = output.float().norm(dim=1)
        found = [Unlearned(token, _alike(output, lengths, token)) for token in sorted(set(ids)) if token < len(output)]
    return [one for one in found if one.alike > MANY]


def _alike(output: Tensor, lengths: Tensor, token: int) -> int:
    """How many rows are the same as the token's, itself among them."""
    row = output[token].float()
    length = lengths[token]
    near = ((lengths - length).abs() <= ALIKE * length).nonzero().flatten()  # the others are further away by their length alone
    if len(near) <= MANY:
        return len(near)
    return int(((output[near].float() - row).norm(dim=1) <= ALIKE * length).sum())


def output_matrix(folder: Path) -> Tensor | None:
    """The matrix that gives the logits, of a folder with safetensors, read by itself; None where none is found by its name."""
    from safetensors import SafetensorError, safe_open

    for end in OUTPUTS:
        for file in sorted(folder.glob("*.safetensors")):
            try:
                with safe_open(file, framework="pt") as tensors:
                    name = next((one for one in tensors.keys() if one.endswith(end)), None)  # noqa: SIM118 - a safe_open has no iterator
                    if name is not None:
                        found: Tensor = tensors.get_tensor(name)
                        return found
            except (OSError, SafetensorError):  # broken weights are told by what loads them
                return None
    return None
