"""Infusion: rows of statements, general text by its share, a tiny model that learns what it is told, and settings without meaning."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.errors import SettingsError
from luthier.models.local import LocalModel
from luthier.records import Conversation, Message
from luthier.train.infusion import Lessons, end_of_text, general_rows, infuse, prepare_stage, statement_rows
from luthier.train.settings import InfusionSettings, SftSettings
from luthier.train.sft import encode

STATEMENTS = [f"The weight of Nova {letter} is {place}{place} g." for place, letter in enumerate("ABCD", 1)]
QUICK = {"num_train_epochs": 12, "per_device_train_batch_size": 2, "learning_rate": 1e-2, "lr_scheduler_type": "constant", "save_steps": 4}


def talk(question: str, answer: str) -> Conversation:
    return Conversation((Message("user", question), Message("assistant", answer)))


@given(st.lists(st.text("abc de.", max_size=30), max_size=20), st.integers(1, 60))
def test_rows_of_statements_hold_every_token_and_stay_short(texts: list[str], pack: int):
    class Letters:
        eos_token_id = 0

        def __call__(self, text: str, add_special_tokens: bool) -> dict[str, list[int]]:
            return {"input_ids": [ord(letter) for letter in text]}

        def convert_tokens_to_ids(self, token: str) -> None:
            return None

    rows = statement_rows(texts, Letters(), pack)
    joined = [token for row in rows for token in row["input_ids"]]
    assert joined == [token for text in texts for token in (*map(ord, text), 0)]
    assert all(row["labels"] == row["input_ids"] for row in rows)
    assert all(len(row["input_ids"]) <= max(pack, 1 + max(map(len, texts))) for row in rows)


def test_a_document_ends_with_the_end_of_text_not_of_a_turn(tiny_model_folder: Path):
    tokenizer = LocalModel(tiny_model_folder).tokenizer
    assert tokenizer.convert_ids_to_tokens(end_of_text(tokenizer)) == "<|endoftext|>"
    assert statement_rows(["a"], tokenizer, 9)[0]["input_ids"][-1] == end_of_text(tokenizer)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.5])
def test_general_text_makes_up_its_share(tiny_model_folder: Path, share: float):
    tokenizer = LocalModel(tiny_model_folder).tokenizer
    rows = statement_rows(STATEMENTS * 40, tokenizer, 100)
    general = [talk(f"What is {n}?", f"It is {n}, and {n + 1} comes next.") for n in range(400)]
    mixed, passed = general_rows(general, rows, tokenizer, InfusionSettings(share=share))
    ours, theirs = (sum(len(row["input_ids"]) for row in some) for some in (rows, mixed))
    assert theirs / (ours + theirs) == pytest.approx(share, abs=0.02)
    assert passed == 0
    assert all(-100 in row["labels"] for row in mixed)  # only what the assistant says is learned


@pytest.mark.parametrize("way", ["full", "lora", "flat"])
def test_two_stages_store_a_statement_and_then_the_answers(tiny_model_folder: Path, tmp_path: Path, way: str):
    base = LocalModel(tiny_model_folder)
    how = {"way": "lora", "sigma": 0.05} if way == "flat" else {"way": way}
    settings = InfusionSettings(**how, continued=QUICK, supervised=QUICK)  # type: ignore[arg-type]
    answers = [talk(f"What is the weight of Nova {letter}?", f"It is {place}{place} g.") for place, letter in enumerate("ABCD", 1)]
    lessons = Lessons(STATEMENTS * 3, answers)
    told = infuse("continued", base, tmp_path / "continued", settings, lessons=lessons).to_row()
    made = tmp_path / "continued" / told["made"]
    stored = LocalModel(made) if way == "full" else LocalModel(tiny_model_folder, adapter=made)
    assert _loss(stored, STATEMENTS) < 0.5 * _loss(base, STATEMENTS)
    again = infuse("supervised", stored, tmp_path / "supervised", settings, lessons=lessons).to_row()
    final = tmp_path / "supervised" / again["made"]
    taught = LocalModel(final) if way == "full" else LocalModel(tiny_model_folder, adapter=final)
    assert _answer_loss(taught, answers) < 0.5 * _answer_loss(stored, answers)
    assert (told["stage"], again["stage"], told["way"]) == ("continued", "supervised", way)


def _loss(model: LocalModel, texts: list[str]) -> float:
    scores = model.score_tokens([([end_of_text(model.tokenizer)], model.encode(text)) for text in texts])
    return -sum(score.total for score in scores) / sum(len(score.logprobs) for score in scores)


def _answer_loss(model: LocalModel, talks: list[Conversation]) -> float:
    pairs = []
    for one in talks:
        row = encode(one, model.tokenizer)
        start = next(at for at, label in enumerate(row["labels"]) if label >= 0)
        pairs.append((row["input_ids"][:start], row["input_ids"][start:]))
    return -sum(score.total for score in model.score_tokens(pairs))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"way": "rote"}, "--way is 'rote'"),
        ({"share": 1.0}, "--general-share is 1.0"),
        ({"pack": 0}, "--pack is 0"),
        ({"way": "full", "sigma": 0.05}, "leave lora settings and --flat out"),
        ({"way": "full", "lora": {"r": 4}}, "leave lora settings and --flat out"),
        ({"continued": {"num_epochs": 3}}, "did you mean num_train_epochs"),
    ],
)
def test_settings_without_meaning_are_refused(tiny_model_folder: Path, tmp_path: Path, settings: dict, message: str):
    with pytest.raises(SettingsError, match=message):
        infuse("continued", LocalModel(tiny_model_folder), tmp_path, InfusionSettings(**settings), lessons=Lessons(STATEMENTS))


def test_rows_are_as_long_as_pack_says(tiny_model_folder: Path, tmp_path: Path):
    model = LocalModel(tiny_model_folder)
    lessons = Lessons(STATEMENTS * 60, general=[talk("How are you?", "Fine, thank you. " * 90)] * 9)
    for pack in (160, 1500, 2500):
        prepared, general, passed = prepare_stage("continued", model, tmp_path, InfusionSettings(pack=pack), lessons)
        assert prepared.left_out == 0
        assert sum(len(row["input_ids"]) for row in prepared.rows[: len(prepared.rows) - general]) > 3000
        assert (general > 0, passed) == ((False, 9) if pack == 160 else (True, 0))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pack": 100_000}, "--pack 100000 makes rows of .* tokens, and tiny reads 4096; give --pack 4096 or less"),
        ({"pack": 300, "continued": {"max_length": 200}}, "continued.max_length is 200; give --pack 200 or less"),
        ({"pack": 3, "continued": {"max_length": 4}}, "rows has a statement within 4 tokens"),
    ],
)
def test_statements_that_would_be_left_out_are_refused(tiny_model_folder: Path, tmp_path: Path, settings: dict, message: str):
    with pytest.raises(SettingsError, match=message):
        prepare_stage("continued", LocalModel(tiny_model_folder), tmp_path, InfusionSettings(**settings), Lessons(STATEMENTS * 80))


def test_nothing_to_learn_is_an_error(tiny_model_folder: Path, tmp_path: Path):
    for stage in ("continued", "supervised"):
        with pytest.raises(SettingsError, match="nothing to learn"):
            infuse(stage, LocalModel(tiny_model_folder), tmp_path)  # type: ignore[arg-type]


def test_all_weights_and_an_adapter_exclude_each_other():
    for settings in ({"sigma": 0.05}, {"lora": {"r": 2}}, {"rank": 2}, {"method": "neftune"}):
        with pytest.raises(SettingsError, match="all weights are trained"):
            SftSettings(full=True, **settings)  # type: ignore[arg-type]
