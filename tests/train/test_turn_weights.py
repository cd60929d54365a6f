"""Weights that rows bring along reach the loss: of turns, of rows and pairs, and token by token."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from luthier.errors import BadRowError, SettingsError
from luthier.models.local import LocalModel
from luthier.records import Conversation, Message, to_conversation, to_pair
from luthier.train.answer_head import answer_loss, target_weight
from luthier.train.preference.config import PreferenceConfig
from luthier.train.preference.forward import PairCollator, answer_logps
from luthier.train.preference.objective import pair_losses
from luthier.train.preference.pairs import encode_pair, encode_pairs
from luthier.train.sft import SftSettings, encode, fine_tune, fine_tune_rows
from luthier.train.turn_weights import token_weights

SFT = {
    "per_device_train_batch_size": 3,
    "max_length": 200,
    "max_steps": 1,
    "warmup_steps": 0,
    "optim": "sgd",
    "max_grad_norm": 0,
    "lr_scheduler_type": "constant",
}
SETTINGS = SftSettings(rank=4, learning_rate=1.0, sft=SFT, seed=1)


@pytest.fixture(scope="module")
def model(tiny_model_folder: Path) -> LocalModel:
    return LocalModel(tiny_model_folder, dtype="float32")


def dialogue(*weights: float | None, row: float | None = None) -> Conversation:
    turns = [
        turn
        for number, weight in enumerate(weights)
        for turn in (Message("user", f"Ask {number}."), Message("assistant", f"Say {number}.", weight=weight))
    ]
    return Conversation(tuple(turns), (), {} if row is None else {"weight": row})


def taught(row: dict[str, Any], model: LocalModel) -> str:
    return model.tokenizer.decode([label for label in row["labels"] if label >= 0])


def test_a_turn_of_weight_zero_is_no_target(model: LocalModel) -> None:
    assert "Say 0" in taught(encode(dialogue(None, None), model.tokenizer), model)
    for given in ((0, 1), (0, None), (0.0, 1.0)):
        row = encode(dialogue(*given), model.tokenizer)
        assert "Say 0" not in taught(row, model)
        assert "Say 1" in taught(row, model)
        assert "weights" not in row
    assert row["input_ids"] == encode(dialogue(None, None), model.tokenizer)["input_ids"]


def test_weights_of_one_change_nothing(model: LocalModel) -> None:
    assert encode(dialogue(1, 1, row=1), model.tokenizer) == encode(dialogue(None, None), model.tokenizer)


def test_other_weights_stand_beside_the_tokens_of_their_turn(model: LocalModel) -> None:
    row = encode(dialogue(0.5, 2, row=3), model.tokenizer)
    of = {
        weight: model.tokenizer.decode(
            [i for i, w, label in zip(row["input_ids"], row["weights"], row["labels"], strict=True) if w == weight and label >= 0]
        )
        for weight in (1.5, 6.0)
    }
    assert "Say 0" in of[1.5]
    assert "Say 1" in of[6.0]
    assert set(encode(dialogue(None, row=0.25), model.tokenizer)["weights"]) == {0.25}


def test_a_row_of_weight_zero_teaches_nothing(model: LocalModel) -> None:
    assert all(label < 0 for label in encode(dialogue(None, row=0), model.tokenizer)["labels"])


@pytest.mark.parametrize("weight", ["much", -1, True, float("nan"), "nan"])
def test_weights_of_rows_that_are_none_are_refused(model: LocalModel, weight: Any) -> None:
    with pytest.raises(BadRowError, match="the row's weight is"):
        encode(replace(dialogue(None), extra={"weight": weight}), model.tokenizer)


def test_turns_are_told_apart_by_beginnings_where_their_marks_run_together() -> None:
    conversation = Conversation((Message("user", "a"), Message("assistant", "b", weight=0), Message("assistant", "c")))
    ids = [1, 2, 3, 4, 5]
    assert token_weights(conversation, [0, 1, 1, 1, 1], lambda count: ids[: 2 * count - 1], ids) == [1, 0, 0, 1, 1]
    with pytest.raises(BadRowError, match="does not tell the turns apart"):
        token_weights(conversation, [0, 1, 1, 1, 1], lambda count: [9] * count, ids)


def test_the_loss_is_the_weighted_mean(model: LocalModel) -> None:
    rows = [encode(dialogue(0.5, 2), model.tokenizer), encode(dialogue(1, 3), model.tokenizer)]
    width = max(len(row["input_ids"]) for row in rows)
    batch = {
        name: torch.tensor([row[name] + [filler] * (width - len(row[name])) for row in rows])
        for name, filler in (("input_ids", 0), ("labels", -100), ("weights", 0.0))
    }
    loss, _ = answer_loss(model.module, dict(batch))
    logprobs = model.module(input_ids=batch["input_ids"]).logits.float().log_softmax(-1)
    total = weight = 0.0
    for at, row in enumerate(rows):
        for place in range(1, len(row["input_ids"])):
            if row["labels"][place] >= 0:
                total -= row["weights"][place] * float(logprobs[at, place - 1, row["labels"][place]].detach())
                weight += row["weights"][place]
    assert float(loss) == pytest.approx(total / weight, rel=1e-5)
    assert float(target_weight([batch])) == pytest.approx(weight)


def adapter(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(folder / "adapter" / "adapter_model.safetensors")


@pytest.mark.parametrize("ordered", [False, True])
def test_a_row_of_weight_two_teaches_as_two_rows_do(model: LocalModel, tmp_path: Path, ordered: bool) -> None:
    settings = replace(SETTINGS, by_length=ordered)
    one, two = dialogue(None), dialogue(None, None)
    fine_tune([one, one, two], model, tmp_path / "twice", settings)
    fine_tune([replace(one, extra={"weight": 2.0}), two], model, tmp_path / "weighed", settings)
    fine_tune([one, two], model, tmp_path / "plain", settings)
    twice, weighed, plain = (adapter(tmp_path / name) for name in ("twice", "weighed", "plain"))
    assert all(torch.allclose(twice[name], weighed[name], atol=1e-6) for name in twice)
    assert not all(torch.allclose(plain[name], weighed[name], atol=1e-6) for name in plain)


def test_weights_token_by_token_are_taken_from_rows_of_ids(model: LocalModel, tmp_path: Path) -> None:
    row = encode(dialogue(None), model.tokenizer)
    silent = row | {"weights": [0.5] * len(row["input_ids"])}
    fine_tune_rows([row], model, tmp_path / "plain", SETTINGS)
    fine_tune_rows([silent], model, tmp_path / "half", SETTINGS)  # a mean does not change where all weights are the same
    plain, half = adapter(tmp_path / "plain"), adapter(tmp_path / "half")
    assert all(torch.allclose(plain[name], half[name], atol=1e-6) for name in plain)


def test_a_loss_that_knows_no_weights_refuses_them(model: LocalModel, tmp_path: Path) -> None:
    settings = replace(SETTINGS, sft={**SFT, "label_smoothing_factor": 0.1})
    with pytest.raises(SettingsError, match="rows have weights other than 0 and 1"):
        fine_tune([dialogue(0.5)], model, tmp_path / "run", settings)
    fine_tune([dialogue(0, 1)], model, tmp_path / "run", settings)


# --- preference ---------------------------------------------------------------------------------------------------------------


def pair(**more: Any) -> dict[str, Any]:
    return {
        "prompt": "Ask.",
        "chosen": [{"role": "assistant", "content": "Yes it is."}],
        "rejected": [{"role": "assistant", "content": "No."}],
        **more,
    }


def losses(model: LocalModel, tmp_path: Path, *rows: dict[str, Any], **settings: Any) -> Any:
    encoded, counts = encode_pairs([to_pair(row) for row in rows], model.tokenizer)
    assert counts.kept == len(rows)
    config = PreferenceConfig(output_dir=str(tmp_path), loss="simpo", use_cpu=True, **settings)
    batch = PairCollator()(encoded)
    return pair_losses(config, batch, *answer_logps(model.module, batch))[0].detach()


@pytest.mark.parametrize("weighting", ["none", "bmc"])
def test_the_weight_of_a_pair_multiplies_its_loss(model: LocalModel, tmp_path: Path, weighting: str) -> None:
    plain = losses(model, tmp_path, pair(), pair(), weighting=weighting)
    weighed = losses(model, tmp_path, pair(weight=0.25), pair(), weighting=weighting)
    assert torch.allclose(weighed, plain * torch.tensor([0.25, 1.0]))


@pytest.mark.parametrize("weighting", ["none", "bmc", "ld", "d2po"])
def test_weights_of_turns_and_tokens_reach_the_loss_under_every_weighting(model: LocalModel, tmp_path: Path, weighting: str) -> None:
    plain = losses(model, tmp_path, pair(), weighting=weighting)
    turn = losses(model, tmp_path, pair(chosen=[{"role": "assistant", "content": "Yes it is.", "weight": 0.5}]), weighting=weighting)
    row = encode_pair(to_pair(pair()), model.tokenizer)
    assert row is not None
    tokens = pair(chosen_weights=[0.5] * len(row["chosen_ids"]), rejected_weights=[1.0] * len(row["rejected_ids"]))
    assert torch.allclose(turn, losses(model, tmp_path, tokens, weighting=weighting))
    assert not torch.allclose(turn, plain)


def test_pairs_without_weights_count_as_ever_beside_those_with(model: LocalModel, tmp_path: Path) -> None:
    half = pair(chosen=[{"role": "assistant", "content": "Yes it is.", "weight": 0.5}])
    mixed = losses(model, tmp_path, pair(), half, weighting="none")
    assert torch.allclose(mixed[:1], losses(model, tmp_path, pair(), weighting="none"), atol=1e-6)
    assert torch.allclose(mixed[1:], losses(model, tmp_path, half, weighting="none"), atol=1e-6)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"weight": "2x"}, "the row's weight is '2x'"),
        ({"chosen_weights": [1.0]}, "chosen_weights has 1 numbers"),
        (
            {"chosen": [{"role": "assistant", "content": "a", "weight": 0}, {"role": "assistant", "content": "b"}]},
            "the turns of an answer have different weights",
        ),
    ],
)
def test_weights_of_pairs_that_cannot_be_placed_are_refused(model: LocalModel, more: dict[str, Any], words: str) -> None:
    with pytest.raises(BadRowError, match=words):
        encode_pair(to_pair(pair(**more)), model.tokenizer)


def test_rows_bring_reasoning_and_weights_from_files_to_targets(tmp_path: Path, model: LocalModel) -> None:
    row = {
        "messages": [
            {"role": "user", "content": "Ask."},
            {"role": "assistant", "content": "wrong", "weight": 0},
            {"role": "user", "content": "again"},
            {"role": "assistant", "content": "right", "weight": 1},
        ]
    }
    assert taught(encode(to_conversation(row), model.tokenizer), model).strip().startswith("right")
