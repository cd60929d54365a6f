"""Trees of tokens: every way of reading them gives the numbers of plain reading."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from luthier.errors import EngineError
from luthier.models import branches
from luthier.models.branches import Head, TokenTree, packed_layout, packed_mask, read_tree, reading_mode


def llama(**changes: object) -> torch.nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.3,
        **changes,
    )
    return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="module")
def module() -> torch.nn.Module:
    return llama()


def test_the_packed_layout_is_the_worked_example() -> None:
    """Four tokens, boundaries 2 and 4, probes of two tokens."""
    tree = TokenTree()
    trunk = tree.add([10, 11, 12, 13])
    tree.add([20, 21], trunk, 2)
    tree.add([20, 21], trunk, 4)
    ids, positions, offsets = packed_layout(tree, range(3))
    assert ids == [10, 11, 12, 13, 20, 21, 20, 21]
    assert positions == [0, 1, 2, 3, 2, 3, 4, 5]
    assert offsets == [0, 4, 6]
    seen = [row.nonzero().flatten().tolist() for row in packed_mask(tree, range(3))]
    assert seen[4:] == [[0, 1, 4], [0, 1, 4, 5], [0, 1, 2, 3, 6], [0, 1, 2, 3, 6, 7]]


@st.composite
def trees(draw: st.DrawFn) -> TokenTree:
    tree = TokenTree()
    token = st.integers(0, 63)
    tree.add(draw(st.lists(token, min_size=1, max_size=12)))
    for _ in range(draw(st.integers(0, 5))):
        parent = draw(st.integers(0, len(tree.segments) - 1))
        at = draw(st.integers(1, len(tree.segments[parent].ids)))
        tree.add(draw(st.lists(token, min_size=1, max_size=4)), parent, at)
    return tree


@given(tree=trees())
def test_all_modes_agree(module: torch.nn.Module, tree: TokenTree) -> None:
    heads = [Head(number, index) for number, one in enumerate(tree.segments) for index in range(len(one.ids))]
    naive, rollback, packed = (read_tree(module, tree, heads, mode) for mode in ("naive", "rollback", "packed"))
    torch.testing.assert_close(rollback.logits, naive.logits, atol=1e-4, rtol=0)
    torch.testing.assert_close(packed.logits, naive.logits, atol=1e-4, rtol=0)
    total = sum(len(one.ids) for one in tree.segments)
    assert packed.tokens == rollback.tokens == total
    assert packed.passes == 1


@given(tree=trees(), share=st.floats(0, 1))
def test_a_cache_gives_the_same_and_is_left_as_it_was(module: torch.nn.Module, tree: TokenTree, share: float) -> None:
    trunk = tree.segments[0].ids
    cached = min(len(trunk) - 1, int(share * len(trunk)))
    tree.segments[1:] = [one._replace(at=len(trunk)) if one.parent == 0 else one for one in tree.segments[1:]]
    heads = [Head(number, len(one.ids) - 1) for number, one in enumerate(tree.segments)]
    expected = read_tree(module, tree, heads, "naive").logits
    for mode in ("packed", "rollback"):
        cache = module(input_ids=torch.tensor([trunk[:cached]]), use_cache=True).cache if cached else None
        before = [layer.keys.clone() for layer in cache.layers] if cached else []
        found = read_tree(module, tree, heads, mode, cache=cache, cached=cached)
        torch.testing.assert_close(found.logits, expected, atol=1e-4, rtol=0)
        if cached:
            assert cache.get_seq_length() == cached
            assert all(torch.equal(layer.keys, kept) for layer, kept in zip(cache.layers, before, strict=True))


def test_a_wide_tree_is_read_in_several_passes(module: torch.nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = torch.Generator().manual_seed(1)
    tree = TokenTree()
    trunk = tree.add(torch.randint(64, (30,), generator=draw).tolist())
    for at in range(3, 31, 3):
        probe = tree.add(torch.randint(64, (4,), generator=draw).tolist(), trunk, at)
        tree.add([at], probe)
    heads = [Head(number, 0) for number in range(len(tree.segments))]
    whole = read_tree(module, tree, heads, "packed")
    monkeypatch.setattr(branches, "MASK_ENTRIES", 800)
    parts = read_tree(module, tree, heads, "packed")
    torch.testing.assert_close(parts.logits, whole.logits, atol=1e-4, rtol=0)
    assert (whole.passes, parts.tokens) == (1, whole.tokens)
    assert parts.passes > 2


def test_what_comes_after_a_branch_does_not_reach_it(module: torch.nn.Module) -> None:
    """Isolation: the trunk after a branch, and other branches, leave its logits as they are."""
    one, other = TokenTree(), TokenTree()
    for tree, tail, second in ((one, [5, 6], [7]), (other, [50, 51], [33])):
        trunk = tree.add([1, 2, 3, *tail])
        tree.add([9, 9], trunk, 3)
        tree.add(second, trunk, 5)
    for mode in ("packed", "rollback", "naive"):
        first, changed = (read_tree(module, tree, [Head(1, 1), Head(2, 0)], mode).logits for tree in (one, other))
        torch.testing.assert_close(first[0], changed[0], atol=1e-5, rtol=0)
        assert not torch.allclose(first[1], changed[1], atol=1e-3)


def test_eager_attention_reads_packed_rows() -> None:
    module = llama(attn_implementation="eager")
    assert reading_mode(module, 100) == ("packed", "")


def test_a_sliding_window_is_read_plainly_beyond_its_length() -> None:
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        sliding_window=64,
        initializer_range=0.3,
    )
    module = MistralForCausalLM(config).eval()
    assert reading_mode(module, 60)[0] == "packed"
    mode, reason = reading_mode(module, 65)
    assert mode == "naive"
    assert "sliding window of 64" in reason


def test_a_recurrent_model_is_not_packed() -> None:
    from transformers import MambaConfig, MambaForCausalLM

    torch.manual_seed(0)
    module = MambaForCausalLM(MambaConfig(vocab_size=64, hidden_size=16, state_size=4, num_hidden_layers=2)).eval()
    mode, reason = reading_mode(module, 50)
    assert mode == "naive"
    assert reason


def test_trees_that_make_no_sense() -> None:
    tree = TokenTree()
    with pytest.raises(ValueError, match="at least one token"):
        tree.add([])
    tree.add([1, 2])
    with pytest.raises(ValueError, match="only the trunk"):
        tree.add([1])
    with pytest.raises(ValueError, match="branch at token 3"):
        tree.add([1], 0, 3)


def test_logits_before_the_end_of_a_cache_are_refused(module: torch.nn.Module) -> None:
    tree = TokenTree()
    tree.add([1, 2, 3])
    cache = module(input_ids=torch.tensor([[1, 2]]), use_cache=True).cache
    with pytest.raises(EngineError, match="already read"):
        read_tree(module, tree, [Head(0, 0)], "packed", cache=cache, cached=2)
