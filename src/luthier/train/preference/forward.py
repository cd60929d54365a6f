"""Log-probabilities of both answers of each pair from one row a pair: the prompt, and what the answers begin with in common, are read once.

A row is [prompt and common beginning | rest of chosen | rest of rejected]. The rests do not see each other and both count their positions
from the end of the common part, so values and gradients are those of two separate sequences. Only positions that predict a token of an
answer go through the vocabulary head.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from luthier.models.branches import attention_window, is_exact, mask_for_kernel
from luthier.models.hardware import KERNELS, attention_kernel
from luthier.train.preference.pairs import EncodedPair
from luthier.train.shared_prompts import PADDING

if TYPE_CHECKING:
    from torch import Tensor

SHARED_ATTENTION = (*KERNELS, "flex_attention")  # kernels that take a mask by position
SIDES = ("chosen", "rejected")
TRIAL = 40  # tokens of a sequence long enough to show what sees through a mask


@dataclass
class PairCollator:
    """Pairs as a batch. shared: one row a pair, else two; padding: the id that fills rows up to a multiple of `multiple`.

    The batch holds `input_ids` and `position_ids`, (rows, length), `branch` (0 common, 1 chosen, 2 rejected, -1 padding); `heads`, the
    positions that predict (in the flattened rows); and for each side, (pairs, tokens): `*_head` (which of `heads` predicts a token),
    `*_ids`, `*_mask`, `*_diff`, where all pairs have it `*_reference`, and where any has some `*_weights`, of 1 for the others. So is
    `weight`, (pairs,).
    """

    padding: int = 0
    shared: bool = True
    multiple: int = 8

    def __call__(self, pairs: Sequence[EncodedPair]) -> dict[str, Any]:
        import torch

        layouts = [_shared_row(pair) for pair in pairs] if self.shared else [_two_rows(pair) for pair in pairs]
        rows = [row for layout in layouts for row in layout.rows]
        width = -(-max(len(row.ids) for row in rows) // self.multiple) * self.multiple
        heads: list[int] = []
        places: dict[str, list[list[int]]] = {side: [] for side in SIDES}
        at_row = 0
        for layout in layouts:
            flat = [(at_row + row) * width + column for row, column in layout.heads]
            for side in SIDES:
                places[side].append([len(heads) + index for index in layout.places[side]])
            heads += flat
            at_row += len(layout.rows)
        batch = {
            "input_ids": torch.tensor([_filled(row.ids, width, self.padding) for row in rows]),
            "position_ids": torch.tensor([_filled(row.positions, width, 0) for row in rows]),
            "branch": torch.tensor([_filled(row.branch, width, PADDING) for row in rows]),
            "heads": torch.tensor(heads),
        }
        for side in SIDES:
            longest = max(map(len, places[side]))
            batch[f"{side}_head"] = torch.tensor([_filled(each, longest, 0) for each in places[side]])
            batch[f"{side}_mask"] = torch.tensor([_filled([1.0] * len(each), longest, 0.0) for each in places[side]], dtype=torch.float32)
            if any(f"{side}_weights" in pair for pair in pairs):
                each = [pair.get(f"{side}_weights") or [1.0] * len(pair[f"{side}_ids"]) for pair in pairs]
                batch[f"{side}_weights"] = torch.tensor([_filled(list(weights), longest, 0.0) for weights in each])
            for name in ("ids", "diff", "reference"):
                column = f"{side}_{name}"
                if all(column in pair for pair in pairs):
                    batch[column] = torch.tensor([_filled(list(pair[column]), longest, 0) for pair in pairs])
        if any("weight" in pair for pair in pairs):
            batch["weight"] = torch.tensor([pair.get("weight", 1.0) for pair in pairs])
        return batch


def answer_logps(model: Any, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Log-probabilities (nats, float32) of the tokens of the chosen and of the rejected answers, (pairs, tokens); padding is 0.

    model: the causal language model, or a wrapper of it (PEFT, DistributedDataParallel).
    """
    import torch

    attention = _attention(model, batch["branch"])
    with _heads_only(model, batch["heads"]):
        outputs = model(input_ids=batch["input_ids"], position_ids=batch["position_ids"], attention_mask=attention, use_cache=False)
    logits = outputs.logits[0].float()
    normaliser = logits.logsumexp(-1)

    def of(side: str) -> Tensor:
        head, ids = batch[f"{side}_head"], batch[f"{side}_ids"].long()
        chosen = logits[head.flatten(), ids.flatten()] - normaliser[head.flatten()]
        return torch.where(batch[f"{side}_mask"] > 0, chosen.view(head.shape), 0.0)

    return of("chosen"), of("rejected")


def takes_shared_rows(model: Any, longest: int) -> str:
    """Why the model cannot read rows that hold two answers; empty where it can.

    longest: tokens of the longest prompt with an answer. FlashAttention ignores masks by position, a mask by position replaces a sliding
    window, and layers that mix neighbours (convolutions, recurrences) or count columns (ALiBi) see through it: a trial tells.
    """
    base = _base(model)
    kernel = attention_kernel(base)
    if kernel not in SHARED_ATTENTION:
        return f"attention kernel {kernel} takes no mask by position"
    window = attention_window(base)
    if window and longest > window:
        return f"a sliding window of {window} tokens is shorter than the longest answer with its prompt"
    return _trial(model, min(TRIAL, window or TRIAL))


def _trial(model: Any, length: int) -> str:
    """Whether one row gives what two give, on a made-up pair of sequences of that length."""
    import torch

    size = _base(model).config.get_text_config().vocab_size
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(size, (2 * length,), generator=draw).tolist()
    start, common = length // 5, length // 10
    pair = {
        "prompt_ids": ids[:start],
        "chosen_ids": ids[start:length],
        "rejected_ids": ids[start : start + common] + ids[length + start + common :],
    }
    parameter = next(model.parameters())
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            one, two = (
                torch.cat(answer_logps(model, _on(parameter.device, PairCollator(shared=shared)([pair]))), dim=1)
                for shared in (True, False)
            )
    except (RuntimeError, TypeError, ValueError) as problem:
        return f"a trial failed: {str(problem).splitlines()[0]}"
    finally:
        model.train(training)
    apart = float((one - two).abs().max())
    allowed = 1e-3 if is_exact(_base(model)) else 0.25  # bf16 itself rounds by some hundredths
    return "" if apart <= allowed else f"on a trial pair its log-probabilities moved by {apart:.2g} nats"


def _on(device: Any, batch: dict[str, Any]) -> dict[str, Any]:
    return {name: value.to(device) for name, value in batch.items()}


@dataclass
class _Row:
    ids: list[int]
    positions: list[int]
    branch: list[int]


@dataclass
class _Layout:
    """A pair's rows; `heads`: (row, column) of each position that predicts; `places`: for each token of a side, its entry in `heads`."""

    rows: list[_Row]
    heads: list[tuple[int, int]]
    places: dict[str, list[int]]


def _shared_row(pair: EncodedPair) -> _Layout:
    prompt, chosen, rejected = pair["prompt_ids"], pair["chosen_ids"], pair["rejected_ids"]
    start, common = len(prompt), _common(chosen, rejected)
    end = start + len(chosen)  # where the rest of the rejected answer begins
    row = _Row(
        prompt + chosen + rejected[common:],
        list(range(end)) + list(range(start + common, start + len(rejected))),
        [0] * (start + common) + [1] * (len(chosen) - common) + [2] * (len(rejected) - common),
    )
    first = max(len(chosen), common + 1)  # the last common token predicts both rests, also where one is empty
    columns = [*range(start - 1, start - 1 + first), *range(end, end + len(rejected) - common - 1)]
    beyond = [first + k for k in range(len(rejected) - common - 1)]
    places = {"chosen": list(range(len(chosen))), "rejected": [*range(min(common + 1, len(rejected))), *beyond]}
    return _Layout([row], [(0, column) for column in columns], places)


def _two_rows(pair: EncodedPair) -> _Layout:
    start = len(pair["prompt_ids"])
    heads: list[tuple[int, int]] = []
    rows, places = [], {}
    for number, side in enumerate(SIDES):
        ids = pair["prompt_ids"] + pair[f"{side}_ids"]
        rows.append(_Row(ids, list(range(len(ids))), [0] * len(ids)))
        places[side] = list(range(len(heads), len(heads) + len(ids) - start))
        heads += [(number, column) for column in range(start - 1, len(ids) - 1)]
    return _Layout(rows, heads, places)


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    return sum(1 for _ in takewhile(lambda both: both[0] == both[1], zip(a, b, strict=False)))


def _filled(values: list[Any], width: int, filler: Any) -> list[Any]:
    return values + [filler] * (width - len(values))


def _attention(model: Any, branch: Tensor) -> Any:
    """What the model takes as `attention_mask`: by token where rows hold one answer, else by position, in the form of its kernel."""
    import torch

    if not bool((branch > 0).any()):
        return (branch != PADDING).long()
    base = _base(model)
    kernel = base.config._attn_implementation
    width = branch.shape[1]
    if kernel == "flex_attention":
        return _block_mask(branch)
    sees = (branch[:, None, :] == 0) | (branch[:, None, :] == branch[:, :, None])
    mask = (sees & torch.ones(width, width, dtype=torch.bool, device=branch.device).tril())[:, None]
    return mask_for_kernel(base, mask)


def _block_mask(branch: Tensor) -> Any:
    """FlexAttention's form of the mask: blocks in which nothing is seen are skipped."""
    from torch.nn.attention.flex_attention import create_block_mask

    def sees(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        common = branch[row, key] == 0
        return (query >= key) & (common | (branch[row, key] == branch[row, query]))

    rows, width = branch.shape
    return create_block_mask(sees, rows, None, width, width, device=str(branch.device))


def _base(model: Any) -> Any:
    """The causal language model inside wrappers of data parallelism and PEFT."""
    while hasattr(model, "module"):
        model = model.module
    return model.get_base_model() if hasattr(model, "get_base_model") else model


@contextmanager
def _heads_only(model: Any, places: Tensor) -> Iterator[None]:
    """Within, the vocabulary head sees the given places of the flattened rows only, as one row."""
    head = _base(model).get_output_embeddings()

    def pick(module: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:
        return (given[0].flatten(0, 1)[places][None], *given[1:])

    hook = head.register_forward_pre_hook(pick)
    try:
        yield
    finally:
        hook.remove()
