"""The trainer for pairs: TRL's DPO to the digit without weights, every loss with every weighting, and nothing trained on by accident."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, PromptTuningConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from luthier.errors import SettingsError
from luthier.records.files import draft_name
from luthier.train.flat import FlatLoraCallback
from luthier.train.preference import LOSSES, WEIGHTINGS, PreferenceConfig, PreferenceTrainer
from luthier.train.preference.reference import fingerprint
from preference_rows import ROWS

LORA = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "task_type": "CAUSAL_LM"}
QUIET = {
    "per_device_train_batch_size": 4,
    "learning_rate": 1e-2,
    "max_steps": 3,
    "logging_steps": 1,
    "use_cpu": True,
    "report_to": "none",
    "save_strategy": "no",
    "disable_tqdm": True,
    "seed": 3,
    "dataloader_pin_memory": False,
}


@pytest.fixture(scope="module")
def tokenizer(tiny_model_folder: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny_model_folder)


@pytest.fixture
def base(tiny_model_folder: Path) -> Any:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_pretrained(tiny_model_folder, dtype=torch.float32)


def trainer_of(base: Any, tokenizer: Any, folder: Path, rows: Any = ROWS, lora: bool = True, **settings: Any) -> Any:
    extra = {name: settings.pop(name) for name in ("eval_dataset", "callbacks", "ref_model") if name in settings}
    config = PreferenceConfig(output_dir=str(folder), **{**QUIET, **settings})
    return PreferenceTrainer(base, config, rows, processing_class=tokenizer, peft_config=LoraConfig(**LORA) if lora else None, **extra)


def logged(trainer: Any, name: str) -> list[float]:
    return [line[name] for line in trainer.state.log_history if name in line and "loss" in line]


@pytest.mark.parametrize("full", [False, True], ids=["lora", "full"])
@pytest.mark.parametrize(("loss", "trl_loss"), [("dpo", "sigmoid"), ("ipo", "ipo")])
def test_without_weights_it_is_trls_dpo(tiny_model_folder: Path, tokenizer: Any, tmp_path: Path, full: bool, loss: str, trl_loss: str):
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    def base() -> Any:
        """Where LoRA is trained, with an adapter that is not zero: it is its own reference, in TRL by a copy of it."""
        torch.manual_seed(0)
        plain = AutoModelForCausalLM.from_pretrained(tiny_model_folder, dtype=torch.float32)
        return plain if full else get_peft_model(plain, LoraConfig(**LORA, init_lora_weights=False))

    rate = {"learning_rate": 1e-3 if full else 1e-2}
    ours = trainer_of(base(), tokenizer, tmp_path, lora=False, loss=loss, weighting="none", **rate)
    ours.train()
    config = DPOConfig(
        output_dir=str(tmp_path / "trl"), loss_type=trl_loss, beta=0.1, gradient_checkpointing=False, bf16=False, **{**QUIET, **rate}
    )
    theirs = DPOTrainer(
        base(), args=config, train_dataset=Dataset.from_list(ROWS), processing_class=tokenizer, ref_model=base() if full else None
    )
    theirs.train()
    names = ["loss", "grad_norm", "rewards/chosen", "rewards/rejected", "rewards/margins", "logps/chosen", "logps/rejected"]
    for name in [*names, "rewards/accuracies"]:
        assert logged(ours, name) == pytest.approx(logged(theirs, name), rel=2e-4, abs=2e-5), name
    assert logged(ours, "loss")[-1] != pytest.approx(logged(ours, "loss")[0], abs=1e-3)


@pytest.mark.parametrize("weighting", [name for name in WEIGHTINGS if name != "column"])
@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_falls_under_every_weighting(base: Any, tokenizer: Any, tmp_path: Path, loss: str, weighting: str):
    trainer = trainer_of(
        base, tokenizer, tmp_path, rows=ROWS[:4], loss=loss, weighting=weighting, max_steps=4, lr_scheduler_type="constant"
    )
    trainer.train()
    losses = logged(trainer, "loss")
    assert losses[-1] < losses[0]


def test_shared_rows_and_two_sequences_train_alike(tiny_model_folder: Path, tokenizer: Any, tmp_path: Path):
    found = []
    for shared in (True, False):
        torch.manual_seed(0)
        base = AutoModelForCausalLM.from_pretrained(tiny_model_folder, dtype=torch.float32)
        trainer = trainer_of(base, tokenizer, tmp_path, share_prefix=shared)
        trainer.train()
        found.append(logged(trainer, "loss") + logged(trainer, "grad_norm"))
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def test_before_training_every_pair_costs_log_two_and_plain_rewards_are_logged_beside_weighted(base: Any, tokenizer: Any, tmp_path: Path):
    trainer = trainer_of(base, tokenizer, tmp_path, delta=3.0)
    trainer.train()
    assert logged(trainer, "loss")[0] == pytest.approx(0.693147, abs=1e-5)
    first, last = trainer.state.log_history[0], trainer.state.log_history[2]
    assert 2 <= first["weights/chosen"] <= 4
    assert last["rewards/margins"] == pytest.approx(last["rewards/chosen"] - last["rewards/rejected"], abs=1e-5)
    assert abs(last["weighted/margins"]) > abs(last["rewards/margins"])
    assert last["weighted/margins"] != pytest.approx(last["rewards/margins"], rel=0.2)


def test_evaluation_reports_named_sets_and_leaves_the_model_alone(base: Any, tokenizer: Any, tmp_path: Path):
    trainer = trainer_of(base, tokenizer, tmp_path, eval_dataset={"a": ROWS[:3], "b": ROWS[3:8]})
    before = trainer.evaluate()
    assert before["eval_a_loss"] == pytest.approx(0.693147, abs=1e-5)
    assert before["eval_a_rewards/margins"] == pytest.approx(0, abs=1e-5)
    trainer.train()
    after = trainer.evaluate()
    assert after["eval_b_rewards/margins"] > 0
    assert trainer.evaluate(ROWS[3:8])["eval_rewards/margins"] == pytest.approx(after["eval_b_rewards/margins"])


def test_the_mean_of_evaluation_is_over_pairs_not_batches(base: Any, tokenizer: Any, tmp_path: Path):
    trainer = trainer_of(base, tokenizer, tmp_path, eval_dataset=ROWS[:5], per_device_eval_batch_size=4)
    measured = trainer.evaluate()
    each = [trainer.evaluate([row])["eval_logps/chosen"] for row in ROWS[:5]]
    assert measured["eval_logps/chosen"] == pytest.approx(sum(each) / 5, rel=1e-5)


def test_the_reference_is_read_once_and_found_again(tiny_model_folder: Path, tokenizer: Any, tmp_path: Path):
    cache = tmp_path / "reference"
    reads = []
    for seed, beta in ((1, 0.1), (2, 0.5)):
        torch.manual_seed(seed)
        base = AutoModelForCausalLM.from_pretrained(tiny_model_folder, dtype=torch.float32)
        trainer = trainer_of(base, tokenizer, tmp_path, reference_cache=str(cache), beta=beta, seed=seed)
        trainer.reference_progress = lambda done, total: reads.append(done)
        trainer.train()
    assert reads == [1, 2, 3, 4]  # sixteen pairs, four at a time, in the first run only
    assert sorted(path.suffix for path in cache.iterdir()) == [".safetensors"]


def test_a_cache_of_another_model_is_refused(base: Any, tokenizer: Any, tmp_path: Path):
    cache = tmp_path / "reference"
    trainer_of(base, tokenizer, tmp_path, reference_cache=str(cache), max_steps=1).train()
    with torch.no_grad():
        base.get_input_embeddings().weight[7, 3] += 1e-3
    with pytest.raises(SettingsError, match=r"reference: these reference log-probabilities are of another model"):
        trainer_of(base, tokenizer, tmp_path, lora=False, reference_cache=str(cache))


def test_another_adapter_setting_or_precision_is_another_reference(tiny_model_folder: Path):
    def names(alpha: int, precision: str = "no") -> tuple[str, str]:
        torch.manual_seed(0)
        plain = AutoModelForCausalLM.from_pretrained(tiny_model_folder, dtype=torch.float32)
        tuned = get_peft_model(plain, LoraConfig(**{**LORA, "lora_alpha": alpha}, init_lora_weights=False))
        return fingerprint(tuned, precision), fingerprint(tuned, precision, without_adapter=True)

    assert names(8)[0] == names(8)[0] != names(64)[0]
    assert names(8)[1] == names(64)[1] != names(8, "bf16")[1]
    plain = AutoModelForCausalLM.from_pretrained(tiny_model_folder, dtype=torch.float32)
    assert names(8)[1] == fingerprint(plain, "no", without_adapter=True)


@pytest.mark.parametrize("full", [False, True], ids=["lora", "full"])
def test_in_bf16_the_reference_is_read_as_the_policy_is(tiny_model_folder: Path, tokenizer: Any, tmp_path: Path, full: bool):
    torch.manual_seed(0)
    dtype = torch.float32 if full else torch.bfloat16
    base = AutoModelForCausalLM.from_pretrained(tiny_model_folder, dtype=dtype)
    trainer = trainer_of(
        base, tokenizer, tmp_path, lora=not full, bf16=True, learning_rate=0.0, weighting="none", train_sampling_strategy="sequential"
    )
    trainer.train()
    assert logged(trainer, "loss") == pytest.approx([0.693147] * 3, abs=2e-3)  # padding may round a sum otherwise


def test_dropout_is_off_in_the_policy_too(tiny_model_folder: Path, tokenizer: Any, tmp_path: Path):
    base = AutoModelForCausalLM.from_pretrained(tiny_model_folder, dtype=torch.float32, attention_dropout=0.3)
    config = {**QUIET, "learning_rate": 0.0, "max_steps": 1}
    trainer = PreferenceTrainer(
        base,
        PreferenceConfig(output_dir=str(tmp_path), **config),
        ROWS,
        processing_class=tokenizer,
        peft_config=LoraConfig(**LORA, lora_dropout=0.3),
    )
    trainer.train()
    assert logged(trainer, "loss") == pytest.approx([0.693147], abs=1e-6)


def test_prediction_takes_raw_rows(base: Any, tokenizer: Any, tmp_path: Path):
    measured = trainer_of(base, tokenizer, tmp_path).predict(ROWS[:3]).metrics
    assert measured["test_loss"] == pytest.approx(0.693147, abs=1e-5)
    assert measured["test_rewards/margins"] == pytest.approx(0, abs=1e-5)


def test_text_that_is_not_an_answer_is_not_trained_on(base: Any, tokenizer: Any, tmp_path: Path):
    moved = copy.deepcopy(tokenizer)  # a template that writes the user's turn otherwise once an answer follows it
    moved.chat_template = (
        "{% for m in messages %}{% if m.role == 'user' and not loop.last %}Asked: {% endif %}{{ m.content }}<|im_end|>{% endfor %}"
    )
    with pytest.raises(SettingsError, match="16 whose prompt the chat template renders otherwise"):
        trainer_of(base, moved, tmp_path, lora=False)
    thinking = copy.deepcopy(tokenizer)
    thinking.chat_template = (
        "{% for m in messages %}{% if m.role == 'assistant' %}<think></think>{% endif %}{{ m.content }}<|im_end|>{% endfor %}"
    )
    nothing = {**ROWS[0], "rejected": [{"role": "assistant", "content": " "}]}
    turns = {**ROWS[1], "chosen": [*ROWS[1]["chosen"], {"role": "user", "content": "Sure?"}, *ROWS[1]["chosen"]]}
    trainer = trainer_of(base, thinking, tmp_path, rows=[nothing, turns, *ROWS[2:]], lora=False)
    counts = trainer.train_counts.to_row()
    assert (counts["kept"], counts["empty"], counts["other_turns"]) == (14, 1, 1)


def test_a_damaged_cache_is_named(base: Any, tokenizer: Any, tmp_path: Path):
    cache = tmp_path / "reference"
    trainer_of(base, tokenizer, tmp_path, reference_cache=str(cache), max_steps=1).train()
    (shard,) = cache.iterdir()
    shard.write_bytes(shard.read_bytes()[:-9])
    with pytest.raises(SettingsError, match=f"{shard.stem}.safetensors: a damaged part of a cache .* delete that file, it is made again"):
        trainer_of(base, tokenizer, tmp_path, lora=False, reference_cache=str(cache))


@pytest.mark.parametrize("kind", ["model", "notes", "file", "weights beside", "weights by the name of a shard"])
def test_what_is_no_cache_is_never_to_be_deleted(base: Any, tokenizer: Any, tmp_path: Path, tiny_model_folder: Path, kind: str):
    place = tmp_path / "place"
    if kind == "file":
        place.write_text("Mine.")
    elif kind == "model":
        shutil.copytree(tiny_model_folder, place)
    else:
        place.mkdir()
        (place / "notes.md").write_text("Mine.")
    if kind.startswith("weights"):
        (place / "notes.md").unlink()
        name = "adapter_model" if kind == "weights beside" else "0" * 16
        shutil.copy(tiny_model_folder / "model.safetensors", place / f"{name}.safetensors")
    with pytest.raises(
        SettingsError, match="not a cache of reference log-probabilities; name another place with --reference-cache"
    ) as told:
        trainer_of(base, tokenizer, tmp_path, reference_cache=str(place))
    assert "delete" not in str(told.value)


def test_a_cache_may_be_an_empty_folder_and_what_a_kill_left_is_passed_over(base: Any, tokenizer: Any, tmp_path: Path):
    place = tmp_path / "place"
    place.mkdir()
    (place / draft_name("0" * 16 + ".safetensors")).write_bytes(b"a part")
    trainer_of(base, tokenizer, tmp_path, reference_cache=str(place), max_steps=1).train()
    assert len(list(place.glob("*.safetensors"))) == 1


def test_an_adapter_is_its_own_reference_or_its_base_is(tiny_model_folder: Path, tokenizer: Any, tmp_path: Path):
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_pretrained(tiny_model_folder, dtype=torch.float32)
    first = trainer_of(base, tokenizer, tmp_path)
    first.train()
    first.save_model(str(tmp_path / "adapter"))
    starts = {}
    for reference in ("start", "base"):
        plain = AutoModelForCausalLM.from_pretrained(tiny_model_folder, dtype=torch.float32)
        tuned = PeftModel.from_pretrained(plain, tmp_path / "adapter", is_trainable=True)
        trainer = trainer_of(tuned, tokenizer, tmp_path, lora=False, reference=reference, weighting="none")
        trainer.train()
        starts[reference] = logged(trainer, "loss")[0]
    assert starts["start"] == pytest.approx(0.693147, abs=1e-5)
    assert abs(starts["base"] - 0.693147) > 1e-3


def test_noise_of_flat_lora_never_reaches_the_reference_or_evaluation(base: Any, tokenizer: Any, tmp_path: Path):
    flat = FlatLoraCallback(0.5, schedule=lambda _: 1.0)
    trainer = trainer_of(base, tokenizer, tmp_path, callbacks=[flat], eval_dataset=ROWS[:4], weighting="none")
    clean = trainer.evaluate()["eval_logps/chosen"]
    trainer.train()
    assert abs(logged(trainer, "loss")[0] - 0.693147) > 1e-3  # the policy of a training step is noisy, the reference is not
    with trainer.model.disable_adapter():
        assert trainer.evaluate()["eval_logps/chosen"] == pytest.approx(clean)
        assert trainer.evaluate()["eval_rewards/chosen"] == pytest.approx(0, abs=1e-4)


def test_a_resumed_run_has_the_same_bits(tiny_model_folder: Path, tokenizer: Any, tmp_path: Path):
    def run(folder: Path, steps: int, resume: bool = False) -> Any:
        torch.manual_seed(0)
        base = AutoModelForCausalLM.from_pretrained(tiny_model_folder, dtype=torch.float32)
        trainer = trainer_of(base, tokenizer, folder, max_steps=4, save_strategy="steps", save_steps=2)
        if steps < 4:
            trainer.add_callback(stopper(steps))
        trainer.train(resume_from_checkpoint=resume)
        return trainer

    whole = run(tmp_path / "whole", 4)
    run(tmp_path / "cut", 2)
    cut = run(tmp_path / "cut", 4, resume=True)
    for (name, one), (_, two) in zip(whole.model.named_parameters(), cut.model.named_parameters(), strict=True):
        assert torch.equal(one, two), name


def stopper(step: int) -> Any:
    from transformers import TrainerCallback

    class Stop(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            control.should_training_stop = state.global_step >= step

    return Stop()


def test_a_column_of_weights_is_used(base: Any, tokenizer: Any, tmp_path: Path):
    encoded = trainer_of(base, tokenizer, tmp_path).train_dataset
    rows = [
        {name: row[name] for name in ("prompt_ids", "chosen_ids", "rejected_ids")}
        | {f"{side}_weights": [0.0] * len(row[f"{side}_ids"]) for side in ("chosen", "rejected")}
        for row in encoded
    ]
    trainer = trainer_of(base, tokenizer, tmp_path, rows=rows, lora=False, weighting="column", max_steps=1)
    trainer.train()
    assert logged(trainer, "grad_norm") == [0]
    with pytest.raises(SettingsError, match="weighting is column, but pair 1 has no chosen_weights"):
        trainer_of(base, tokenizer, tmp_path, lora=False, weighting="column")


def test_chosen_answers_hold_up_under_the_penalty(tiny_model_folder: Path, tokenizer: Any, tmp_path: Path):
    ends = {}
    for nll in (0.0, 1.0):
        torch.manual_seed(0)
        base = AutoModelForCausalLM.from_pretrained(tiny_model_folder, dtype=torch.float32)
        trainer = trainer_of(base, tokenizer, tmp_path, nll=nll, max_steps=6)
        trainer.train()
        ends[nll] = logged(trainer, "logps/chosen")[-1]
    assert ends[1.0] > ends[0.0]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{**ROWS[0], "rejected": ROWS[0]["chosen"]}], r"no pair is left; left out: 1 with identical answers \(the first: pair 1\)"),
        ([{**ROWS[0], "chosen": [{"role": "assistant", "content": " "}]}], r"left out: 1 with an empty answer"),
        ([{"prompt": "Say it.", "chosen": " it" * 400, "rejected": " no"}], r"left out: 1 too long \(the first: pair 1\)"),
        ([], "no pair is left; the data are empty"),
    ],
)
def test_what_cannot_be_trained_on_is_named(base: Any, tokenizer: Any, tmp_path: Path, rows: Any, message: str):
    with pytest.raises(SettingsError, match=message):
        trainer_of(base, tokenizer, tmp_path, rows=rows, max_length=200)


def test_pairs_left_out_are_counted(base: Any, tokenizer: Any, tmp_path: Path):
    same = {**ROWS[0], "rejected": ROWS[0]["chosen"]}
    trainer = trainer_of(base, tokenizer, tmp_path, rows=[same, *ROWS, same])
    assert len(trainer.train_dataset) == 16
    counts = trainer.train_counts.to_row()
    assert (counts.pop("kept"), counts.pop("identical"), set(counts.values())) == (16, 2, {0})


def test_truncation_keeps_marks_on_their_tokens_and_drops_pairs_cut_to_the_same(base: Any, tokenizer: Any, tmp_path: Path):
    whole = trainer_of(base, tokenizer, tmp_path, lora=False).train_dataset
    longest = max(len(row["prompt_ids"]) + len(row["rejected_ids"]) for row in whole)
    cut = trainer_of(base, tokenizer, tmp_path, lora=False, max_length=longest - 2, too_long="truncate")
    assert cut.train_counts.truncated > 0
    for row in cut.train_dataset:
        assert len(row["rejected_ids"]) == len(row["rejected_diff"])
        assert len(row["prompt_ids"]) + len(row["rejected_ids"]) <= longest - 2
    prompt = max(len(row["prompt_ids"]) for row in whole)
    with pytest.raises(SettingsError, match=r"no pair is left; left out: .*identical"):
        trainer_of(base, tokenizer, tmp_path, lora=False, rows=ROWS[:1], max_length=prompt + 1, too_long="truncate")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": "dop"}, "loss is 'dop'; choose one of dpo, ipo, rdpo, simpo, orpo"),
        ({"weighting": "tf-idf"}, "weighting is 'tf-idf'; choose one of none, bmc"),
        ({"delta": -1}, "delta is -1; it must be 0 or more"),
        ({"beta": 0}, "beta is 0; it must be above 0"),
        ({"loss": "simpo", "dpop": 1.0}, "dpop goes with the loss dpo, not simpo; use nll"),
        ({"remove_unused_columns": True}, "remove_unused_columns would remove the answers"),
    ],
)
def test_settings_without_meaning_are_refused(tmp_path: Path, settings: dict[str, Any], message: str):
    with pytest.raises(SettingsError, match=message):
        PreferenceConfig(output_dir=str(tmp_path), use_cpu=True, **settings)


def test_a_second_adapter_and_virtual_tokens_are_refused(base: Any, tokenizer: Any, tmp_path: Path):
    tuned = trainer_of(base, tokenizer, tmp_path).model
    with pytest.raises(SettingsError, match="the model has an adapter already"):
        trainer_of(tuned, tokenizer, tmp_path)
    soft = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base.name_or_path), PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    )
    with pytest.raises(SettingsError, match="puts virtual tokens before the prompt"):
        trainer_of(soft, tokenizer, tmp_path, lora=False)


def test_a_reference_that_is_gone_is_asked_for(base: Any, tokenizer: Any, tmp_path: Path):
    trainer = trainer_of(base, tokenizer, tmp_path, lora=False, rows=ROWS[:8], learning_rate=1e-4)
    trainer.train()
    with pytest.raises(SettingsError, match="2 pairs are not in the cache of the reference, and the model has been trained"):
        trainer.evaluate(ROWS[10:12])


def test_logs_are_json(base: Any, tokenizer: Any, tmp_path: Path):
    trainer = trainer_of(base, tokenizer, tmp_path, max_steps=1)
    trainer.train()
    assert json.loads(json.dumps(trainer.state.log_history))[0]["logps/chosen"] < 0


def test_noise_of_negative_strength_is_refused():
    from luthier.train.settings import PreferenceSettings

    with pytest.raises(SettingsError, match=r"--flat is -1; give a number from 0 to 10"):
        PreferenceSettings(sigma=-1)
