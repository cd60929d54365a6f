"""A tree of token sequences read by a causal model: what branches have in common is computed once.

A segment continues its parent's path after some token of it. Three ways give the same logits: `packed` puts the whole tree into one row with
a mask by position, `rollback` walks it with one cache that is cropped at each turn, `naive` reads every path from its beginning.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from luthier.errors import TOO_LONG, EngineError, PromptError
from luthier.models.hardware import attention_kernel, input_device, takes_masks

if TYPE_CHECKING:
    import torch

Mode = Literal["auto", "packed", "rollback", "naive"]
MASK_ENTRIES = 1 << 26  # of one pass: 64 MiB as booleans; a wider tree is read in several passes on one cache
TRIAL_SEED = 0


class Segment(NamedTuple):
    """Tokens that follow the first `at` tokens of the segment `parent`; parent -1 is the beginning."""

    ids: tuple[int, ...]
    parent: int
    at: int


class Head(NamedTuple):
    """A place whose next-token logits are wanted: after that token of a segment."""

    segment: int
    token: int


@dataclass
class TokenTree:
    """Segments, each after its parent; the first one is the trunk."""

    segments: list[Segment] = field(default_factory=list)

    def add(self, ids: Iterable[int], parent: int = -1, at: int | None = None) -> int:
        """Append a segment that branches off after `at` tokens of its parent, all of them where left out. Returns its number."""
        tokens = tuple(ids)
        if not tokens:
            raise ValueError("a segment has at least one token")
        if parent < 0 and self.segments:
            raise ValueError("only the trunk has no parent")
        if parent >= 0:
            length = len(self.segments[parent].ids)
            at = length if at is None else at
            if not 1 <= at <= length:
                raise ValueError(f"a branch at token {at} of a segment of {length}")
        self.segments.append(Segment(tokens, parent, at or 0))
        return len(self.segments) - 1

    def before(self, segment: int) -> Head:
        """The place that predicts a segment's first token."""
        return Head(self.segments[segment].parent, self.segments[segment].at - 1)

    def starts(self) -> list[int]:
        """The position of each segment's first token in its own path."""
        found: list[int] = []
        for segment in self.segments:
            found.append(0 if segment.parent < 0 else found[segment.parent] + segment.at)
        return found

    def path(self, segment: int) -> list[int]:
        """All tokens of a segment's path, from the beginning to the segment's end."""
        ids, parent, at = self.segments[segment]
        return ([] if parent < 0 else self._until(parent, at)) + list(ids)

    def _until(self, segment: int, count: int) -> list[int]:
        ids, parent, at = self.segments[segment]
        return ([] if parent < 0 else self._until(parent, at)) + list(ids[:count])


@dataclass
class Reading:
    """Logits at the heads, (heads, vocabulary), float32, and what they cost: tokens through the model and passes."""

    logits: torch.Tensor
    tokens: int
    passes: int
    mode: Mode


def read_tree(module: Any, tree: TokenTree, heads: Sequence[Head], mode: Mode = "auto", *, cache: Any = None, cached: int = 0) -> Reading:
    """The next-token logits at `heads`.

    cache, cached: keys and values of the first `cached` tokens of the trunk, as generation left them; they are as before afterwards. Heads
    cannot lie among them. mode `auto` takes the cheapest way that gives this model's own numbers. Raises EngineError where a mode cannot, PromptError where a path is longer than the model's context.
    """
    import torch

    if cache is not None and any(head.segment == 0 and head.token < cached for head in heads):
        raise EngineError("logits at places already read cannot be had from a cache")
    longest = max(start + len(one.ids) for start, one in zip(tree.starts(), tree.segments, strict=True))
    if longest > (room := context_room(module.config.get_text_config())):
        raise too_long(str(module.config._name_or_path or module.config.model_type), longest, room)
    if mode == "auto":
        mode = reading_mode(module, longest)[0]
    read = {"packed": _packed, "rollback": _rollback, "naive": _naive}[mode]
    with torch.inference_mode():
        return read(module, tree, heads, cache, cached)


def context_room(config: Any) -> int:
    """Tokens that a model of this configuration, of what reads text, has positions for; a very large number where it tells none."""
    return int(getattr(config, "max_position_embeddings", None) or sys.maxsize)


def too_long(name: str, length: int, room: int) -> PromptError:
    """What is said of a prompt of `length` tokens to a model that has room for fewer."""
    return PromptError(f"{name}: a prompt of {length:,} tokens, and the model has room for {room:,}; shorten it", TOO_LONG)


def reading_mode(module: Any, longest: int) -> tuple[Mode, str]:
    """The cheapest mode that gives the logits of plain reading, and why no cheaper one does; longest: tokens of the longest path.

    Kernels without masks by position, sliding windows, recurrent layers and position codes by column see through a packed row or cannot
    be rolled back: a trial on a small tree tells.
    """
    window = attention_window(module)
    if window and longest > window:
        return "naive", f"a sliding window of {window} tokens is shorter than a path of {longest}"
    if module not in _TRIED:
        _TRIED[module] = _try_modes(module)
    return _TRIED[module]


def attention_window(module: Any) -> int | None:
    """The tokens that an attention layer sees at most, which a mask by position would override; None where it sees all."""
    text = module.config.get_text_config()
    window: int | None = getattr(text, "sliding_window", None)
    return window if window and getattr(text, "use_sliding_window", True) else None


_TRIED: weakref.WeakKeyDictionary[Any, tuple[Mode, str]] = weakref.WeakKeyDictionary()


def _try_modes(module: Any) -> tuple[Mode, str]:
    import torch

    size = module.config.get_text_config().vocab_size
    ids = torch.randint(size, (40,), generator=torch.Generator().manual_seed(TRIAL_SEED)).tolist()
    tree = TokenTree()
    trunk = tree.add(ids[:24])
    first, second = tree.add(ids[24:28], trunk, 9), tree.add(ids[28:34], trunk)
    leaf = tree.add(ids[34:], first)
    heads = [Head(trunk, 23), Head(first, 3), Head(second, 5), Head(leaf, 5)]
    allowed = 1e-4 if is_exact(module) else 0.25  # narrow types round by a tenth themselves; a token out of place moves half a nat and more
    expected = read_tree(module, tree, heads, "naive").logits.log_softmax(-1)
    reasons = []
    kernel = attention_kernel(module)
    for mode in ("packed", "rollback"):
        if mode == "packed" and not takes_masks(kernel):
            reasons.append(f"attention kernel {kernel} takes no mask by position")
            continue
        try:
            found = read_tree(module, tree, heads, mode).logits.log_softmax(-1)
            apart = float((found - expected).square().mean().sqrt())
        except (RuntimeError, TypeError, ValueError, AttributeError) as problem:
            reasons.append(f"{mode}: {str(problem).splitlines()[0]}")
            continue
        if apart <= allowed:
            return mode, "; ".join(reasons)
        reasons.append(f"{mode} moved log-probabilities by {apart:.2g} on a trial")
    return "naive", "; ".join(reasons)


def is_exact(module: Any) -> bool:
    """Whether equal readings of a text give numbers equal but for the order of float32 sums; 8-bit layers scale by what is read beside it."""
    import torch

    return next(module.parameters()).dtype == torch.float32 and not getattr(module, "is_quantized", False)


def drop_last(cache: Any, count: int) -> None:
    """Forget the last `count` tokens of a cache."""
    if count:
        cache.crop(-count)


def _naive(module: Any, tree: TokenTree, heads: Sequence[Head], cache: Any, cached: int) -> Reading:
    """Every path from its beginning; a cache is not looked at."""
    import torch

    logits: dict[Head, torch.Tensor] = {}
    tokens = passes = 0
    starts = tree.starts()
    for segment in sorted({head.segment for head in heads}):
        wanted = sorted({head for head in heads if head.segment == segment})
        path = tree.path(segment)[: starts[segment] + wanted[-1].token + 1]
        keep = torch.tensor([starts[segment] + head.token for head in wanted], device=input_device(module))
        output = module(input_ids=torch.tensor([path], device=input_device(module)), use_cache=False, logits_to_keep=keep)
        logits |= dict(zip(wanted, output.logits[0].float(), strict=True))
        tokens, passes = tokens + len(path), passes + 1
    return Reading(_stacked(module, logits, heads), tokens, passes, "naive")


def _rollback(module: Any, tree: TokenTree, heads: Sequence[Head], cache: Any, cached: int) -> Reading:
    """Depth first with one cache: read up to a branch, read the branch, forget it, go on."""
    import torch

    children: dict[int, list[int]] = {}
    for number, segment in enumerate(tree.segments):
        children.setdefault(segment.parent, []).append(number)
    wanted = {number: sorted({head.token for head in heads if head.segment == number}) for number in range(len(tree.segments))}
    logits: dict[Head, torch.Tensor] = {}
    state = {"cache": cache, "tokens": 0, "passes": 0}

    def feed(number: int, start: int, end: int) -> None:
        if start == end:
            return
        here = [index - start for index in wanted[number] if start <= index < end]
        output = module(
            input_ids=torch.tensor([tree.segments[number].ids[start:end]], device=input_device(module)),
            cache=state["cache"],
            use_cache=True,
            logits_to_keep=torch.tensor(here, dtype=torch.long, device=input_device(module)) if here else 1,
        )
        state["cache"] = output.cache
        state["tokens"] += end - start
        state["passes"] += 1
        if here:
            logits.update({Head(number, start + at): row for at, row in zip(here, output.logits[0].float(), strict=True)})

    def walk(number: int, done: int) -> int:
        """Read a segment from token `done` and its branches; returns how many tokens of it are in the cache then."""
        for child in sorted(children.get(number, ()), key=lambda each: tree.segments[each].at):
            at = tree.segments[child].at
            feed(number, done, max(done, at))
            if at < done:
                raise EngineError("a branch before the cached part of its trunk cannot be read by rollback")
            done = at
            drop_last(state["cache"], walk(child, 0))
        last = wanted[number][-1] + 1 if wanted[number] else 0
        feed(number, done, max(done, last))
        return max(done, last)

    read = walk(0, cached)
    if cache is not None:
        drop_last(cache, read - cached)
    return Reading(_stacked(module, logits, heads), state["tokens"], state["passes"], "rollback")


def _packed(module: Any, tree: TokenTree, heads: Sequence[Head], cache: Any, cached: int) -> Reading:
    """The tree as one row; where its mask would be too large, the trunk first and then its branches in groups on its cache."""
    total = sum(len(segment.ids) for segment in tree.segments)
    if (total - cached) * total <= MASK_ENTRIES:
        return _packed_pass(module, tree, range(len(tree.segments)), heads, cache=cache, cached=cached)
    trunk = len(tree.segments[0].ids)
    first = _packed_pass(module, tree, [0], [head for head in heads if head.segment == 0], cache=cache, cached=cached, keep=True)
    logits = dict(zip([head for head in heads if head.segment == 0], first.logits, strict=True))
    tokens, passes, cache_now = first.tokens, 1, first.cache
    for group in _groups(tree, max(1, MASK_ENTRIES // (2 * trunk))):
        here = [head for head in heads if head.segment in set(group)]
        if here:
            part = _packed_pass(module, tree, [0, *group], here, cache=cache_now, cached=trunk)
            logits |= dict(zip(here, part.logits, strict=True))
            tokens, passes = tokens + part.tokens, passes + 1
    if cache is not None:
        drop_last(cache, trunk - cached)
    return Reading(_stacked(module, logits, heads), tokens, passes, "packed")


def _groups(tree: TokenTree, most: int) -> list[list[int]]:
    """The subtrees of the trunk's branches, gathered up to about `most` tokens."""
    top: list[int] = []
    for number, segment in enumerate(tree.segments):
        top.append(number if segment.parent <= 0 else top[segment.parent])
    groups: list[list[int]] = []
    size = most
    for branch in sorted(set(top) - {0}):
        members = [number for number in range(len(top)) if top[number] == branch]
        length = sum(len(tree.segments[number].ids) for number in members)
        if size + length > most:
            groups.append([])
            size = 0
        groups[-1] += members
        size += length
    return groups


@dataclass
class _Pass(Reading):
    cache: Any = None


def _packed_pass(
    module: Any, tree: TokenTree, members: Sequence[int], heads: Sequence[Head], *, cache: Any, cached: int, keep: bool = False
) -> _Pass:
    """One pass over `members` (the trunk first, of which the first `cached` tokens are in `cache`), which is cropped again unless `keep`."""
    import torch

    ids, positions, offsets = packed_layout(tree, members, cached)
    allowed = packed_mask(tree, members, cached)
    at = dict(zip(members, offsets, strict=True))
    places = sorted({at[head.segment] + head.token for head in heads})
    output = module(
        input_ids=torch.tensor([ids], device=input_device(module)),
        position_ids=torch.tensor([positions], device=input_device(module)),
        attention_mask=mask_for_kernel(module, allowed[None, None].to(input_device(module))),
        cache=cache,
        use_cache=cache is not None or keep,
        logits_to_keep=torch.tensor(places, device=input_device(module)) if places else 1,
    )
    if cache is not None and not keep:
        drop_last(cache, len(ids))
    row = {place: number for number, place in enumerate(places)}
    chosen = [row[at[head.segment] + head.token] for head in heads]
    return _Pass(output.logits[0].float()[chosen], len(ids), 1, "packed", getattr(output, "cache", None) if keep else None)


def packed_layout(tree: TokenTree, members: Sequence[int], cached: int = 0) -> tuple[list[int], list[int], list[int]]:
    """Token ids and positions of the row, and where each member's first token stands in it (the trunk's may be negative: in the cache)."""
    starts = tree.starts()
    ids: list[int] = []
    positions: list[int] = []
    offsets: list[int] = []
    for number in members:
        skip = cached if number == 0 else 0
        tokens = tree.segments[number].ids[skip:]
        offsets.append(len(ids) - skip)
        ids += tokens
        positions += range(starts[number] + skip, starts[number] + skip + len(tokens))
    return ids, positions, offsets


def packed_mask(tree: TokenTree, members: Sequence[int], cached: int = 0) -> torch.Tensor:
    """Which keys each token of the row may see, (row, cached + row), boolean: its ancestors up to their branch, and itself causally."""
    import torch

    ids, _, offsets = packed_layout(tree, members, cached)
    width = cached + len(ids)
    at = {number: cached + offset for number, offset in zip(members, offsets, strict=True)}
    mask = torch.zeros(len(ids), width, dtype=torch.bool)
    for number in members:
        segment = tree.segments[number]
        skip = cached if number == 0 else 0
        first, length = at[number] + skip, len(segment.ids) - skip
        rows = slice(first - cached, first - cached + length)
        if length:
            mask[rows, first : first + length] = torch.ones(length, length, dtype=torch.bool).tril()
        if number == 0:
            mask[rows, :cached] = True
        else:
            parent = segment.parent
            above = at[parent] - cached  # a token of the parent's own, whose view of its ancestors this one shares
            if parent != 0:
                mask[rows, : at[parent]] = mask[above, : at[parent]]
            mask[rows, at[parent] : at[parent] + segment.at] = True
    return mask


def mask_for_kernel(module: Any, mask: torch.Tensor) -> torch.Tensor:
    """A mask by position, (rows, 1, queries, keys), True where a key is seen, as the module's attention kernel takes it."""
    return mask_as(attention_kernel(module), mask, module.dtype)


def mask_as(kernel: str | None, mask: torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
    """The same for a kernel by name; dtype: of a mask that is added, float32 where None. Raises EngineError for one that would pass it over."""
    import torch

    if not takes_masks(kernel):
        raise EngineError(f"attention kernel {kernel} takes no mask by position, which this needs; give --attention sdpa or eager")
    if kernel != "eager":
        return mask
    added = torch.zeros(mask.shape, dtype=dtype or torch.float32, device=mask.device)
    return added.masked_fill(~mask, torch.finfo(added.dtype).min)


def _stacked(module: Any, logits: dict[Head, torch.Tensor], heads: Sequence[Head]) -> torch.Tensor:
    import torch

    if not heads:
        return torch.empty(0, module.config.get_text_config().vocab_size)
    return torch.stack([logits[head] for head in heads])
