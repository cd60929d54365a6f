"""From questions to a preferred model on the command line: answers, bridges, training, evaluation; stopped, killed and misused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest

from command import luthier
from interruption import kill_after
from luthier.records import read_rows, write_jsonl
from luthier.synthesize.pairs import final_answer

COLOURS = ["red", "green", "blue", "grey"]
QUICK = [
    "--set",
    "training.per_device_train_batch_size=2",
    "--set",
    "training.gradient_accumulation_steps=1",
    "--set",
    "training.save_steps=2",
    "--set",
    "training.lr_scheduler_type=constant",
    "--learning-rate",
    "5e-3",
    "--quiet",
]


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("questions") / "rows.jsonl"
    rows = [
        {
            "problem": f"Which colour, {number}?",
            "solution": f"It is {COLOURS[number % 4]}.\nThe answer is {COLOURS[number % 4]}",
            "answer": COLOURS[number % 4],
        }
        for number in range(24)
    ]
    write_jsonl(path, rows)
    return path


@pytest.fixture(scope="module")
def tuned(questions: Path, tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, taught to answer in this form and not much more."""
    out = tmp_path_factory.mktemp("tuned")
    rows = [
        {"messages": [{"role": "user", "content": row["problem"]}, {"role": "assistant", "content": row["solution"]}]}
        for _, row in read_rows(questions)
    ]
    write_jsonl(out / "rows.jsonl", rows)
    luthier(
        "train",
        "sft",
        str(out / "rows.jsonl"),
        "--model",
        str(tiny_model_folder),
        "--out",
        str(out),
        "--method",
        "none",
        "--quiet",
        "--epochs",
        "10",
        "--learning-rate",
        "1e-2",
        "--set",
        "sft.gradient_accumulation_steps=1",
    )
    return out / "adapter"


@pytest.fixture(scope="module")
def made(questions: Path, tuned: Path, tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made")
    words = [
        "synthesize",
        "pairs",
        str(questions),
        "--model",
        str(tiny_model_folder),
        "--adapter",
        str(tuned),
        "--out",
        str(out),
        "--samples",
        "4",
        "--temperature",
        "1.2",
        "--max-tokens",
        "24",
        "--quiet",
    ]
    said = luthier(*words).stdout
    assert "bridged" in said.splitlines()[0]
    assert len(said.splitlines()) >= 12  # the two histograms
    before = (out / "pairs.jsonl").read_bytes()
    assert luthier(*words).stdout == said  # kept, not asked again
    (out / "pairs.jsonl").unlink()
    luthier(*words)
    assert (out / "pairs.jsonl").read_bytes() == before  # from the recorded answers
    return out


def test_pairs_are_the_models_own_mistakes_put_right(made: Path, questions: Path):
    rows = [row for _, row in read_rows(made / "pairs.jsonl")]
    results = json.loads((made / "run.json").read_text())["steps"]["pairs"]["results"]
    assert len(rows) == results["pairs"] >= 3
    right = {row["problem"]: row["answer"] for _, row in read_rows(questions)}
    samples = {row["text"].strip() for _, row in read_rows(made / "samples.jsonl")}
    for row in rows:
        assert row["answer"] == right[row["prompt"][0]["content"]]
        assert row["rejected_answer"] != row["answer"]
        assert row["rejected"][0]["content"] in samples
        stated = final_answer(row["chosen"][0]["content"])
        assert stated is not None
        assert stated.text.rstrip(".") == row["answer"]
    assert results["mean_after"] < results["mean_before"]


def test_an_editor_that_cannot_edit_bridges_nothing_and_the_pairs_stay(made: Path, tiny_model_folder: Path, tmp_path: Path):
    words = ["synthesize", "pairs", str(made / "pairs.jsonl"), "--bridge", "model", "--editor", str(tiny_model_folder)]
    luthier(*words, "--limit", "3", "--out", str(tmp_path), "--quiet")
    rows = [row for _, row in read_rows(tmp_path / "pairs.jsonl")]
    assert [row["bridged"] for row in rows] == [False] * 3
    before = {row["rejected"][0]["content"]: row for _, row in read_rows(made / "pairs.jsonl")}
    for row in rows:  # the reference is the answer as it was, not what an earlier bridge made of it
        assert row["original_chosen"] == before[row["rejected"][0]["content"]]["original_chosen"] == row["chosen"]
    results = json.loads((tmp_path / "run.json").read_text())["steps"]["pairs"]["results"]
    assert results["bridger"].startswith("model:")
    assert len(results["instruction_sha256"]) == 64
    assert sum(results["refused"].values()) == 3


@pytest.mark.parametrize("method", ["dpo", "mc", "bc", "bmc"])
def test_each_arm_prefers_what_it_was_shown(made: Path, tuned: Path, tiny_model_folder: Path, tmp_path: Path, method: str):
    pairs = str(made / "pairs.jsonl")
    said = luthier(
        "train",
        "preference",
        pairs,
        "--eval",
        pairs,
        "--model",
        str(tiny_model_folder),
        "--adapter",
        str(tuned),
        "--out",
        str(tmp_path),
        "--method",
        method,
        "--epochs",
        "3",
        *QUICK,
    ).stdout
    assert f"of {method} on" in said
    results = json.loads((tmp_path / "run.json").read_text())["steps"]["train"]["results"]
    assert results["before"]["rewards/margins"] == pytest.approx(0, abs=1e-4)
    assert results["after"]["rewards/margins"] > 0.1
    assert results["evaluated"]["kept"] == results["pairs"]["kept"]
    assert (results["bridged"] > 0) is (method in ("bc", "bmc"))
    weights = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[0])["weights/chosen"]
    assert (weights > 1) is (method in ("mc", "bmc"))
    assert (tmp_path / "adapter" / "adapter_model.safetensors").is_file()
    page = (tmp_path / "report.html").read_bytes()
    luthier("report", tmp_path)
    assert (tmp_path / "report.html").read_bytes() == page


def test_all_weights_can_be_trained(made: Path, tiny_model_folder: Path, tmp_path: Path):
    words = [
        "train",
        "preference",
        str(made / "pairs.jsonl"),
        "--model",
        str(tiny_model_folder),
        "--out",
        str(tmp_path),
        "--full",
        "--loss",
        "simpo",
        *QUICK,
    ]
    luthier(*words)
    from luthier.models.local import LocalModel

    before, after = (LocalModel(folder).module.state_dict()["lm_head.weight"] for folder in (tiny_model_folder, tmp_path / "model"))
    assert not before.equal(after)
    assert not (tmp_path / "reference").exists()  # this loss has none
    record = (tmp_path / "run.json").read_text()
    luthier(*words)
    assert json.loads((tmp_path / "run.json").read_text())["steps"] == json.loads(record)["steps"]  # kept, not trained again


def test_a_killed_run_continues_to_the_same_adapter(made: Path, tiny_model_folder: Path, tmp_path: Path):
    def words(name: str) -> list[str]:
        return [
            "train",
            "preference",
            str(made / "pairs.jsonl"),
            "--model",
            str(tiny_model_folder),
            "--out",
            str(tmp_path / name),
            "--flat",
            "--epochs",
            "12",
            *QUICK,
        ]

    luthier(*words("whole"))
    kill_after(words("cut"), tmp_path / "cut" / "metrics.jsonl")
    luthier(*words("cut"))
    whole, cut = ((tmp_path / name / "adapter" / "adapter_model.safetensors").read_bytes() for name in ("whole", "cut"))
    assert whole == cut
    losses = [
        [json.loads(line)["loss"] for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()] for name in ("whole", "cut")
    ]
    assert losses[0] == losses[1]


def test_the_choices_of_the_commands_are_those_of_the_library():
    from luthier.train.preference import LOSSES, WEIGHTINGS
    from luthier.train.preference.forward import SHARED_ATTENTION
    from luthier.train.preference.tuning import METHODS
    from luthier.train.settings import Attention, Loss, PreferenceMethod, Weighting

    ours = [set(get_args(choices)) for choices in (PreferenceMethod, Loss, Weighting)]
    assert ours == [set(METHODS), set(LOSSES), set(WEIGHTINGS)]
    assert set(get_args(Attention)) - set(SHARED_ATTENTION) == {"flash_attention_2"}  # under which pairs are read apart


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "preference", "missing.jsonl"], "missing.jsonl does not exist"),
        (["train", "preference", "{bad}"], "bad.jsonl:2: not a preference pair: prompt, chosen and rejected are expected"),
        (["train", "preference", "{pairs}", "--set", "training.betta=1"], "did you mean beta?"),
        (["train", "preference", "{pairs}", "--set", "training.max_length=4"], "no pair is left; left out:"),
        (["train", "preference", "{pairs}", "--full", "--rank", "4"], "leave lora settings and flat noise out"),
        (["train", "preference", "{pairs}", "--beta", "-1"], "--beta is -1.0; give a number above 0"),
        (["train", "preference", "{pairs}", "--eval", "{same}"], "no pair is left; left out: 1 with identical answers (the first: pair 1)"),
        (["synthesize", "pairs", "{pairs}", "--bridge", "model"], "name it with --editor"),
        (["synthesize", "pairs", "{open}"], "open.jsonl:1: no final answer to check drafts against"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(made: Path, tiny_model_folder: Path, tmp_path: Path, words: list[str], message: str):
    good = {"prompt": "p", "chosen": "c", "rejected": "r"}
    write_jsonl(tmp_path / "bad.jsonl", [good, {"prompt": "p", "chosen": "c"}])
    write_jsonl(tmp_path / "open.jsonl", [{"problem": "p", "solution": "Nobody knows"}])
    write_jsonl(tmp_path / "same.jsonl", [{**good, "rejected": "c"}])
    places = {
        "same": tmp_path / "same.jsonl",
        "pairs": made / "pairs.jsonl",
        "bad": tmp_path / "bad.jsonl",
        "open": tmp_path / "open.jsonl",
    }
    filled = [word.format(**places) for word in words]
    done = luthier(*filled, "--model", str(tiny_model_folder), "--out", str(tmp_path / "run"), "--quiet", ok=False)
    assert done.code == 2
    assert message in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr
