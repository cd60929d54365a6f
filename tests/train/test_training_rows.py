"""What training reads is in the account, what is marked as bad is not trained on, and a folder goes on with what it was begun with."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from luthier.errors import BadRowError, SettingsError
from luthier.models.local import LocalModel
from luthier.records import Conversation, Message, SkippedRows, to_pair
from luthier.records.account import Account
from luthier.train.preference.tuning import chosen_by_method
from luthier.train.rows import RefusedRowError, conversations_in, placing, read_training, read_training_pairs
from luthier.train.sft import SftSettings, fine_tune
from luthier.train.turn_weights import row_weight

SETTINGS = SftSettings(rank=2, method="none", sft={"max_steps": 2, "save_steps": 1, "per_device_train_batch_size": 2}, seed=1)


def rows_file(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def conversations(word: str) -> list[Conversation]:
    return [Conversation((Message("user", f"{word} {n}?"), Message("assistant", f"{word} is {n}."))) for n in range(4)]


def test_every_field_is_in_the_account(tmp_path: Path) -> None:
    row = {"prompt": "tea?", "response": "four", "source": "shop"}
    mute = {"prompt": "tea?", "response": ""}
    with Account() as account:
        assert len(list(read_training([rows_file(tmp_path / "a.jsonl", row, mute)]))) == 2
        pair = {"prompt": "tea?", "chosen": "four", "rejected": "ten", "rank": 3}
        assert len(list(read_training_pairs([rows_file(tmp_path / "b.jsonl", pair)]))) == 1
    told = "\n".join(account.lines())
    for part in ("field 'source' (1 row", "field 'rank' (1 row", "says and calls nothing", "pairs of chosen and rejected"):
        assert part in told


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "tea?", "completion": "ten", "label": False},
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "kto_tag": False},
    ],
)
def test_an_answer_that_is_marked_as_bad_is_refused(row: dict[str, Any], tmp_path: Path) -> None:
    path = rows_file(tmp_path / "kto.jsonl", row | {next(reversed(row)): True}, row)
    with pytest.raises(BadRowError, match=r"kto\.jsonl:2: .* says that this answer is a bad one"):
        list(read_training([path]))


def test_python_refuses_what_the_command_refuses_and_names_the_row() -> None:
    with pytest.raises(BadRowError, match=r"the rows:2: 'label' says that this answer is a bad one"):
        conversations_in([{"prompt": "a", "completion": "b"}, {"prompt": "a", "completion": "b", "label": False}])
    assert len(conversations_in([{"prompt": "a", "completion": "b", "label": 0}])) == 1  # a class, not a verdict


def test_a_label_of_another_layout_may_mean_anything(tmp_path: Path) -> None:
    row = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "label": False}
    assert len(list(read_training([rows_file(tmp_path / "a.jsonl", row)]))) == 1


@pytest.mark.parametrize(("bridged", "chosen"), [(True, "before"), (False, "before"), (None, "four"), ("swapped", "four")])
def test_only_our_own_pairs_have_an_answer_before_bridging(bridged: object, chosen: str) -> None:
    row = {"prompt": "tea?", "chosen": "four", "rejected": "ten", "original_chosen": "before", "bridged": bridged}
    assert chosen_by_method(to_pair(row), bridged=False).chosen[0].content == chosen
    assert chosen_by_method(to_pair(row), bridged=True).chosen[0].content == "four"


@pytest.mark.parametrize(("value", "weight"), [("0.5", 0.5), (2, 2.0), (None, 1.0)])
def test_weights_of_tables_are_text(value: object, weight: float) -> None:
    assert row_weight({"weight": value}) == weight
    with pytest.raises(BadRowError, match="the row's weight is 'much'"):
        row_weight({"weight": "much"})


def test_a_folder_goes_on_with_what_it_was_begun_with(tiny_model_folder: Path, tmp_path: Path) -> None:
    model = LocalModel(tiny_model_folder)
    made = fine_tune(conversations("tea"), model, tmp_path, SETTINGS)
    assert fine_tune(conversations("tea"), model, tmp_path, SETTINGS).loss == made.loss
    for rows, settings, other in (
        (conversations("bun"), SETTINGS, "rows"),
        (conversations("tea"), replace(SETTINGS, rank=4), "settings"),
        (conversations("tea"), replace(SETTINGS, learning_rate=1e-3), "settings"),
    ):
        with pytest.raises(SettingsError, match=f"holds the checkpoints of a training with other {other}"):
            fine_tune(rows, model, tmp_path, settings)
    rows = [one.to_row() for one in conversations("tea")]
    assert fine_tune(rows, model, str(tmp_path), replace(SETTINGS, least_steps=2)).loss == made.loss


def test_bad_rows_are_set_aside_and_columns_named(tmp_path: Path) -> None:
    good, bad = {"Question": "tea?", "Reply": "four"}, {"Question": "tea?"}
    path = rows_file(tmp_path / "a.jsonl", good, bad, good)
    skipped = SkippedRows(tmp_path / "bad.jsonl")
    read = read_training([path], {"question": "Question", "answer": "Reply"}, skipped)
    assert [one.messages[-1].content for one in read] == ["four", "four"]
    assert [number for _, number in read.places] == [1, 3]
    assert skipped.count == 1
    with pytest.raises(BadRowError, match=r"a\.jsonl:3: too odd"), placing(read):
        raise RefusedRowError("too odd", 2, read[1])


def test_the_command_sets_rows_aside(tiny_model_folder: Path, tmp_path: Path) -> None:
    from luthier.train.runs import run
    from luthier.train.settings import SftRunSettings

    path = rows_file(tmp_path / "a.jsonl", *({"q": f"tea {n}?", "a": "four"} for n in range(3)), {"q": 5})
    settings = SftRunSettings(
        (str(path),),
        model=str(tiny_model_folder),
        mapped=("question=q", "answer=a"),
        skip_bad=str(tmp_path / "bad.jsonl"),
        rank=2,
        method="none",
        sft={"max_steps": 1},
    )
    made = run(settings, tmp_path / "run")
    assert made.results("train")["rows"] == 3
    assert (tmp_path / "bad.jsonl").read_text().count("\n") == 1
