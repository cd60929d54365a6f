"""Training on the chat templates that models come with: what is learned is what TRL learns, token by token and in the loss."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from luthier.errors import BadRowError
from luthier.models.chat_template import ChatTemplate, has_markers, without_markers
from luthier.models.known import chat_template
from luthier.models.local import LocalModel
from luthier.records import Conversation, Message, PreferencePair, Tool, ToolCall
from luthier.records.account import Account
from luthier.train.encoding import encode_parts
from luthier.train.preference.pairs import encode_pairs
from luthier.train.rows import RefusedRowError
from luthier.train.settings import SftSettings
from luthier.train.sft import encode, encode_all, fine_tune, prepare
from stock_templates import ARCHITECTURES, MISTRALS, STOCK, UNKNOWN_TO_TRL, stock, tokenizer_with, write_architecture

TALK = Conversation(
    (
        Message("user", "What is the weather in Lisbon?"),
        Message("assistant", "Please say which day."),
        Message("user", "On Tuesday."),
        Message("assistant", "It will rain."),
    )
)
SHORT = Conversation((Message("user", "Book a table for 12 people"), Message("assistant", "At 19:30 for 12.")))
ROWS = [TALK, SHORT]
WITH_TRL = [name for name in STOCK if name not in UNKNOWN_TO_TRL]
SAID = {
    "llama3_1": "Please say which day.<|eot_id|>It will rain.<|eot_id|>",
    "llama3_2": "Please say which day.<|eot_id|>It will rain.<|eot_id|>",
    "gemma4": "Please say which day.<turn|>\nIt will rain.<turn|>\n",
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("architectures")
    return {kind: write_architecture(kind, place / kind) for kind in ARCHITECTURES}


def with_template(folder: Path, template: str, to: Path) -> Path:
    shutil.copytree(folder, to, dirs_exist_ok=True)
    (to / "chat_template.jinja").write_text(template, encoding="utf-8")
    return to


def said(row: dict[str, Any], tokenizer: Any) -> str:
    return str(tokenizer.decode([label for label in row["labels"] if label >= 0]))


def trl_trainer(folder: Path, out: Path) -> Any:
    """TRL on its own: what the same data teach with `assistant_only_loss`."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = [{"messages": [{"role": m.role, "content": m.content} for m in row.messages]} for row in ROWS]
    config = SFTConfig(
        str(out), assistant_only_loss=True, use_cpu=True, bf16=False, per_device_train_batch_size=2, report_to="none", disable_tqdm=True
    )
    model = AutoModelForCausalLM.from_pretrained(folder)
    return SFTTrainer(model=model, args=config, train_dataset=Dataset.from_list(rows), processing_class=tokenizer)


@pytest.mark.parametrize("kind", ARCHITECTURES)
@pytest.mark.parametrize("name", WITH_TRL)
def test_tokens_marks_and_loss_are_those_of_trl(name: str, kind: str, folders: dict[str, Path], tmp_path: Path) -> None:
    folder = with_template(folders[kind], stock(name), tmp_path / "model")
    theirs = trl_trainer(folder, tmp_path / "trl")
    model = LocalModel(folder, dtype="float32")
    ours = encode_all(ROWS, model)
    for one, other in zip(ours, theirs.train_dataset, strict=True):
        assert one["input_ids"] == other["input_ids"]
        marks = other.get("assistant_masks") or [int(label >= 0) for label in other["labels"]]
        assert [int(label >= 0) for label in one["labels"]] == marks
    batch = theirs.data_collator(list(theirs.train_dataset))
    theirs.model.eval()  # no dropout
    expected = float(theirs.compute_loss(theirs.model, batch).detach())
    made = fine_tune(ROWS, model, tmp_path / "ours", SftSettings(sigma=0.0, method="none", learning_rate=0.0, sft=ONE_STEP))
    assert made.loss == pytest.approx(expected, abs=1e-5 * max(1.0, expected))


ONE_STEP = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 1, "max_steps": 1}


@pytest.mark.parametrize("name", UNKNOWN_TO_TRL)
def test_where_trl_has_no_training_template_prefixes_tell_the_turns_apart(name: str) -> None:
    tokenizer = tokenizer_with(stock(name))
    assert ChatTemplate.of(tokenizer).masks == "prefixes"
    assert said(encode(TALK, tokenizer), tokenizer) == SAID[name].replace("<turn|>\n", "<turn|>")


STABLE = ["gemma", "gemma3", "llama3", "qwen2_5", "lfm2"]


@pytest.mark.parametrize("name", STABLE)
def test_prefixes_agree_with_trl_but_for_white_space_after_the_end(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = tokenizer_with(stock(name))
    known = encode(TALK, tokenizer)
    template = ChatTemplate(tokenizer)
    template.__dict__["masks"] = "prefixes"
    monkeypatch.setitem(tokenizer.__dict__, "_luthier_template", template)
    row = encode(TALK, tokenizer)
    assert row["input_ids"] == known["input_ids"]
    differ = [at for at, (a, b) in enumerate(zip(row["labels"], known["labels"], strict=True)) if a != b]
    assert not tokenizer.decode([row["input_ids"][at] for at in differ]).strip()


def test_a_template_whose_turns_change_is_trained_turn_by_turn(folders: dict[str, Path], tmp_path: Path) -> None:
    changing = "{% for m in messages %}{{ m.role }}: {{ m.content if loop.last or m.role == 'user' else '(said before)' }}\n{% endfor %}"
    model = LocalModel(with_template(folders["llama"], changing, tmp_path / "model"))
    with Account() as account:
        short, first, last = encode_all([SHORT, TALK], model)
    assert [said(row, model.tokenizer).strip() for row in (short, first, last)] == [
        f"assistant: {text}" for text in ("At 19:30 for 12.", "Please say which day.", "It will rain.")
    ]
    assert "Please say" not in model.tokenizer.decode(last["input_ids"])  # as it is asked for
    (told,) = (entry for entry in account.of("understood") if "renders otherwise once others follow" in entry.reason)
    assert told.rows == 1
    with pytest.raises(BadRowError, match="rendered otherwise"):
        encode(TALK, model.tokenizer)


def test_rows_of_one_conversation_share_its_prompt(folders: dict[str, Path], tmp_path: Path) -> None:
    changing = "{% for m in messages %}{{ m.role }}: {{ m.content if loop.last or m.role == 'user' else '-' }}\n{% endfor %}"
    model = LocalModel(with_template(folders["llama"], changing, tmp_path / "model"))
    prepared = prepare([SHORT, TALK], model, tmp_path / "run", SftSettings(branches=2, by_length=True))
    assert [max(row["branch"]) for row in prepared.rows] == [2, 0]  # three rows: of two the beginning is read once


def test_weights_go_with_the_turns_that_are_trained_one_by_one(folders: dict[str, Path], tmp_path: Path) -> None:
    changing = "{% for m in messages %}{{ m.role }}: {{ m.content if loop.last or m.role == 'user' else '-' }}\n{% endfor %}"
    model = LocalModel(with_template(folders["llama"], changing, tmp_path / "model"))
    user, one, again, other = TALK.messages
    half = Conversation((user, replace(one, weight=0.5), again, other), extra={"weight": 4})
    assert [{w for w, label in zip(row["weights"], row["labels"], strict=True) if label >= 0} for row in encode_all([half], model)] == [
        {2.0},
        {4.0},
    ]
    (row,) = encode_all([Conversation((user, replace(one, weight=0), again, other))], model)
    assert "It will rain." in said(row, model.tokenizer)


def test_a_template_that_tells_no_turn_apart_is_refused_by_row(folders: dict[str, Path], tmp_path: Path) -> None:
    counted = "{{ messages | length }}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    model = LocalModel(with_template(folders["llama"], counted, tmp_path / "model"))
    with pytest.raises(RefusedRowError, match=r"row 1: its turns are rendered otherwise .* generation .* add marks"):
        encode_all([TALK], model)


@pytest.mark.parametrize("name", ["mistral_v3", "mistral_nemo"])
def test_rows_whose_tools_move_with_the_last_user_are_trained_as_they_are_asked(name: str) -> None:
    tokenizer = tokenizer_with(stock(name))
    template = ChatTemplate.of(tokenizer)
    row = replace(CALL, messages=(*CALL.messages, Message("user", "And in Porto?"), Message("assistant", "Sun.")))
    turns, tools = row.to_row()["messages"], row.to_row()["tools"]
    parts = encode_parts(row, tokenizer)
    assert len(parts) == 2  # up to the answer before the second user, whose call and answer stand as they were asked for, and the whole
    for part, ends in zip(parts, ((2, 4), (6,)), strict=True):
        learned = [at for at, label in enumerate(part["labels"]) if label >= 0]
        for at in ends:
            asked = template.ids(turns[:at], tools, generate=True)
            assert part["input_ids"][: len(asked)] == asked
            assert len(asked) in learned
            assert len(asked) - 1 not in learned
        assert part["input_ids"] == template.ids(turns[: ends[-1] + 1], tools)
    spoken = "".join(said(part, tokenizer) for part in parts)
    assert [spoken.count(word) for word in ("get_weather", "It will rain.", "Sun.", "</s>")] == [1, 1, 1, 3]


def test_what_is_saved_has_no_marks_and_renders_the_same(folders: dict[str, Path], tmp_path: Path) -> None:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    for number, template in enumerate((stock("qwen2_5"), chat_template())):
        model = LocalModel(with_template(folders["llama"], template, tmp_path / f"model{number}"))
        fine_tune(ROWS, model, tmp_path / f"run{number}", SftSettings(sigma=0.0, method="none", sft=ONE_STEP))
        saved = (tmp_path / f"run{number}" / "adapter" / "chat_template.jinja").read_text(encoding="utf-8")
        assert not has_markers(saved)
        assert saved == template or number == 1
        messages = [{"role": m.role, "content": m.content} for m in TALK.messages]
        plain = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        expected = model.tokenizer.apply_chat_template(messages, tokenize=False)
        assert plain.from_string(saved).render(messages=messages, bos_token="<s>", eos_token="</s>") == expected
        again = tokenizer_with(saved)  # trained further: told apart another way, to the same tokens
        assert encode(TALK, again) == encode(TALK, model.tokenizer)


CALL = Conversation(
    (
        Message("system", "Be brief."),
        Message("user", "What is the weather in Lisbon?"),
        Message("assistant", tool_calls=(ToolCall("get_weather", {"city": "Lisbon", "days": 3}),)),
        Message("tool", "rain", name="get_weather"),
        Message("assistant", "It will rain."),
    ),
    (Tool("get_weather", "Weather of a city.", {"type": "object", "properties": {"city": {"type": "string"}}}),),
)


@pytest.mark.parametrize("name", [*STOCK, *MISTRALS])
def test_nothing_of_a_row_is_left_out_in_silence(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """System turns, tools, calls with their arguments, and answers reach every template, natively or written out."""
    tokenizer = tokenizer_with(stock(name))
    with caplog.at_level(logging.WARNING, "luthier"):
        text = ChatTemplate.of(tokenizer).render(CALL.to_row()["messages"], CALL.to_row()["tools"])
        row = encode(CALL, tokenizer)
    for part in ("Be brief.", "get_weather", "Weather of a city.", "Lisbon", "days", "rain", "It will rain."):
        assert part in text, part
    learned = said(row, tokenizer)
    assert "get_weather" in learned
    assert "days" in learned
    assert "It will rain." in learned
    assert "Be brief." not in learned
    native = {"qwen2_5", "qwen3", "qwen3_6", "llama3_1", "llama3_2", "gemma4", "glm4moe", "gptoss", "mistral_small"}
    assert (caplog.text == "") == (name in native)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == len(set(told))  # once


def test_thoughts_are_rendered_where_the_template_has_a_place_for_them() -> None:
    thought = Message("assistant", "seven", reasoning="the master counts them")
    tokenizer = tokenizer_with(stock("qwen3"))
    assert "<think>\nthe master counts them\n</think>\n\nseven" in said(
        encode(Conversation((Message("user", "?"), thought)), tokenizer), tokenizer
    )


def test_a_template_that_takes_no_system_turn_reads_it_before_the_first_user_turn(caplog: pytest.LogCaptureFixture) -> None:
    tokenizer = tokenizer_with(stock("gemma"))
    row = Conversation((Message("system", "Be brief."), *TALK.messages))
    with caplog.at_level(logging.WARNING, "luthier"):
        rows = [encode(row, tokenizer) for _ in range(3)]
    assert "<start_of_turn>user\nBe brief.\n\nWhat is the weather in Lisbon?<end_of_turn>" in tokenizer.decode(rows[0]["input_ids"])
    assert [record.getMessage() for record in caplog.records if "system turn" in record.getMessage()] == [
        "this model: the chat template takes no system turn, or moves it; what it says stands before the first user turn"
    ]


MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }}[/INST]{% elif m.tool_calls %}[TOOL_CALLS] ["
    "{% for call in m.tool_calls %}{% if call.id is not defined or call.id | length != 9 %}{{ raise_exception('Tool call IDs should be "
    "alphanumeric strings with length 9!') }}{% endif %}{{ call.function | tojson }} {{ call.id }}{% endfor %}]{{ eos_token }}"
    "{% elif m.role == 'tool' %}[TOOL_RESULTS] {{ m.content }} {{ m.tool_call_id }}[/TOOL_RESULTS]{% elif m.role == 'assistant' %}"
    " {{ m.content }}{{ eos_token }}{% else %}{{ raise_exception('Only user, assistant and tool roles') }}{% endif %}{% endfor %}"
)


def test_ids_of_calls_are_made_where_a_template_wants_them() -> None:
    template = ChatTemplate.of(tokenizer_with(MISTRAL))
    text = template.render(CALL.to_row()["messages"], CALL.to_row()["tools"])
    assert text.count("000000001") == 2  # the call and its answer
    assert '"name": "get_weather"' in text.partition("[INST]")[2].partition("[/INST]")[0]  # it shows no tools by itself


def test_a_row_that_a_template_refuses_is_named(folders: dict[str, Path], tmp_path: Path) -> None:
    model = LocalModel(with_template(folders["llama"], stock("gemma"), tmp_path / "model"))
    twice = Conversation((Message("user", "One"), Message("user", "Two"), Message("assistant", "Yes")))
    with pytest.raises(BadRowError, match=r"^row 2: the chat template refuses it: Conversation roles must alternate"):
        encode_all([TALK, twice], model)


@pytest.mark.parametrize("command", ["sft", "preference"])
def test_a_refused_row_is_named_by_its_file_and_line(command: str, folders: dict[str, Path], tmp_path: Path) -> None:
    from luthier.train import runs
    from luthier.train.preference import runs as preference_runs
    from luthier.train.settings import PreferenceRunSettings, SftRunSettings

    model = with_template(folders["llama"], stock("gemma"), tmp_path / "model")
    user, answer = {"role": "user", "content": "One"}, {"role": "assistant", "content": "Yes"}
    good, bad = [user], [user, user]
    if command == "sft":
        rows: list[Any] = [{"messages": [*prompt, answer]} for prompt in (good, bad)]
    else:
        rows = [{"prompt": prompt, "chosen": [answer], "rejected": [{**answer, "content": "No"}]} for prompt in (good, bad)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {"data": (str(tmp_path / "rows.jsonl"),), "model": str(model)}
    kind, run = (SftRunSettings, runs.run) if command == "sft" else (PreferenceRunSettings, preference_runs.run)
    with pytest.raises(BadRowError, match=r"rows\.jsonl:2: the chat template refuses it: Conversation roles"):
        run(kind(**settings), tmp_path / "out")  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_marks_that_leave_out_the_end_of_a_turn_are_told(
    folders: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}"
        "{% else %}{{ m.content }}{% endif %}<|im_end|>\n{% endfor %}"
    )
    model = LocalModel(with_template(folders["llama"], template, tmp_path / "model"))
    with caplog.at_level(logging.WARNING, "luthier"):
        encode_all(ROWS, model)
    assert "leave out the token that ends a turn, so stopping is not learned" in caplog.text
    assert without_markers(template).count("if true") == 1


def test_a_pair_without_a_prompt_is_named_and_one_of_a_system_turn_alone_is_trained_on() -> None:
    pair = PreferencePair((), (Message("assistant", "Yes."),), (Message("assistant", "No."),))
    with pytest.raises(RefusedRowError, match="row 1: a pair without a prompt"):
        encode_pairs([pair], tokenizer_with(stock("llama3_1")))
    rows, counts = encode_pairs([replace(pair, prompt=(Message("system", "Be brief."),))], tokenizer_with(stock("gemma")))
    assert counts.kept == 1
    assert "user\nBe brief.<end_of_turn>" in tokenizer_with(stock("gemma")).decode(rows[0]["prompt_ids"])
