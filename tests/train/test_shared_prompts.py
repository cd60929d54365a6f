"""Rows that share a prompt: what each branch sees, and that loss and gradients are those of separate rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.models.local import LocalModel
from luthier.records import Conversation, Message, Tool, ToolCall
from luthier.train.answer_head import answer_loss
from luthier.train.sft import encode
from luthier.train.shared_prompts import IGNORED, collate, share_prompts

TOOL = Tool("get_weather", "", {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})


def encoded(prompt: list[int], said: list[int], answer: list[int]) -> dict[str, list[int]]:
    return {"input_ids": [*prompt, *said, *answer], "labels": [IGNORED] * (len(prompt) + len(said)) + answer}


tokens = st.lists(st.integers(1, 5), min_size=1, max_size=6)


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), tokens, tokens), min_size=1, max_size=12), st.integers(1, 5), st.integers(4, 60))
def test_every_conversation_can_be_read_back(drawn: list[tuple[str, list[int], list[int]]], branches: int, limit: int) -> None:
    prompts = {"a": [7, 7, 7], "b": [8, 9]}
    rows = [encoded(prompts[key], said, answer) for key, said, answer in drawn]
    keys = [key for key, _, _ in drawn]
    packed = share_prompts(rows, keys, branches=branches, tokens=limit)
    back = []
    for row in packed:
        common = row["branch"].count(0)
        count = max(row["branch"], default=0) or 1
        assert count <= branches
        assert count == 1 or len(row["input_ids"]) <= limit
        for number in range(1, count + 1):
            places = [at for at, branch in enumerate(row["branch"]) if branch in (0, number)]
            assert [row["position_ids"][at] for at in places] == list(range(len(places)))
            assert count == 1 or row["labels"][common:][[b for b in row["branch"] if b].index(number)] == IGNORED
            back.append({name: [row[name][at] for at in places] for name in ("input_ids", "labels")})
    order = sorted(range(len(rows)), key=lambda at: keys.index(keys[at]))
    assert back == [rows[at] for at in order]


def test_a_branch_sees_the_prompt_and_itself() -> None:
    rows = [encoded([7, 7], [1, 2], [3]), encoded([7, 7], [4, 5], [6])]
    (row,) = share_prompts(rows, ["k", "k"], branches=2, tokens=100)
    assert row["input_ids"] == [7, 7, 1, 2, 3, 4, 5, 6]
    assert row["position_ids"] == [0, 1, 2, 3, 4, 2, 3, 4]
    mask = collate([row], multiple=4)["attention_mask"][0, 0]
    assert mask.shape == (8, 8)
    seen = [[int(column) for column in range(8) if mask[line, column]] for line in range(8)]
    assert seen == [[0], [0, 1], [0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3, 4], [0, 1, 5], [0, 1, 5, 6], [0, 1, 5, 6, 7]]


@pytest.fixture(scope="module")
def rows(tiny_model_folder: Path) -> list[dict[str, list[int]]]:
    tokenizer = LocalModel(tiny_model_folder, dtype="float32").tokenizer
    cities = ["Oslo", "Zürich", "a town that has a long name", "日本", "Rome"]
    conversations = [
        Conversation(
            (Message("user", f"How is {city}?"), Message("assistant", tool_calls=(ToolCall("get_weather", {"city": city}),))), (TOOL,)
        )
        for city in cities
    ]
    return [encode(conversation, tokenizer) for conversation in conversations]


def gradients(model: Any, batches: list[Any], items: int) -> dict[str, Any]:
    model.zero_grad(set_to_none=True)
    for batch in batches:
        answer_loss(model, batch, items)[0].backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


def test_loss_and_gradients_are_those_of_separate_rows(tiny_model_folder: Path, rows: list[dict[str, list[int]]]) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_model_folder, dtype=torch.float64).train()
    items = sum(label >= 0 for row in rows for label in row["labels"])
    apart = share_prompts(rows, range(len(rows)), branches=1, tokens=1000)
    shared = share_prompts(rows, [0] * len(rows), branches=3, tokens=1000)
    assert [max(row["branch"]) for row in shared] == [3, 2]
    assert sum(len(row["input_ids"]) for row in shared) < 0.8 * sum(len(row["input_ids"]) for row in apart)
    plain = {
        name: torch.tensor([row[name] for row in apart[:1]]) for name in ("input_ids", "labels")
    }  # no mask, no positions: the model's own
    torch.testing.assert_close(answer_loss(model, plain)[0], answer_loss(model, collate(apart[:1], multiple=16))[0])
    ours = gradients(model, [collate(shared, multiple=16)], items)
    theirs = gradients(model, [collate([row]) for row in apart], items)
    assert ours.keys() == theirs.keys()
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, theirs[name], msg=name)
