"""Knowledge fusion on the command line: documents to suite, suite to infused model, both to scores; kept, killed, measured, judged, misused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from chat_server import ChatServer, completion
from command import luthier
from fusion_catalogue import write_catalogue
from interruption import kill_after
from luthier.records import read_rows
from luthier.records.fusion_suite import read_suite

QUICK = [
    "--set",
    "continued.num_train_epochs=2",
    "--set",
    "continued.save_steps=2",
    "--set",
    "supervised.num_train_epochs=2",
    "--set",
    "supervised.save_steps=2",
    "--quiet",
]


def build(documents: Path, out: Path, *more: str) -> str:
    return luthier(
        "synthesize",
        "fusion",
        str(documents),
        "--subject",
        "device",
        "--split-by",
        "random",
        "--holdout",
        "0.25",
        "--per-scenario",
        "6",
        "--distractors",
        "0,2",
        "--memory",
        "12",
        "--wordings",
        "2",
        "--out",
        str(out),
        "--quiet",
        *more,
    ).stdout


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_catalogue(tmp_path_factory.mktemp("documents") / "devices.jsonl", 120)


@pytest.fixture(scope="module")
def suite(documents: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("suite")
    said = build(documents, out)
    assert "12 are infused" in said
    assert "questions: S1 6, S2 6, S3 6, S4 6, C 0" in said
    return out


@pytest.fixture(scope="module")
def infused(suite: Path, tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("infused")
    words = [
        "train",
        "infuse",
        str(suite),
        "--model",
        str(tiny_model_folder),
        "--way",
        "lora",
        "--out",
        str(out),
        "--set",
        "lora.r=4",
        *QUICK,
    ]
    said = luthier(*words).stdout
    assert said.splitlines()[0].startswith("continued: ")
    assert said.splitlines()[1].startswith("supervised: ")
    before = (out / "run.json").read_text()
    luthier(*words)
    assert json.loads((out / "run.json").read_text())["steps"] == json.loads(before)["steps"]  # kept, not trained again
    page = (out / "report.html").read_bytes()
    luthier("report", out)
    assert (out / "report.html").read_bytes() == page
    return out


def test_a_suite_is_the_same_again_and_kept_where_it_is(documents: Path, suite: Path, tmp_path: Path):
    build(documents, tmp_path)
    names = list(json.loads((suite / "manifest.json").read_text())["files"])
    assert len(names) == 5
    assert all((tmp_path / name).read_bytes() == (suite / name).read_bytes() for name in [*names, "manifest.json"])
    stamp = (tmp_path / "items.jsonl").stat().st_mtime_ns
    build(documents, tmp_path)
    assert (tmp_path / "items.jsonl").stat().st_mtime_ns == stamp
    page = (tmp_path / "report.html").read_bytes()
    assert b"context and memory, half each" in page
    luthier("report", str(tmp_path))
    assert (tmp_path / "report.html").read_bytes() == page


def test_arms_are_scored_with_retention_first_and_one_page(suite: Path, infused: Path, tiny_model_folder: Path, tmp_path: Path):
    words = [
        "evaluate",
        "fusion",
        str(suite),
        "--model",
        str(tiny_model_folder),
        "--infused",
        str(infused),
        "--limit",
        "2",
        "--max-tokens",
        "8",
        "--confidence",
        "--out",
        str(tmp_path),
        "--quiet",
    ]
    said = luthier(*words).stdout
    assert [line.split(":")[0] for line in said.splitlines() if "cut off" in line] == ["base", "continued", "supervised"]
    assert "supervised against base: S1 " in said
    record = json.loads((tmp_path / "run.json").read_text())
    for name in ("base", "continued", "supervised"):
        results = record["steps"][f"arm {name}"]["results"]
        assert results["items"] == 16
        assert results["retention"]["items"] >= 2
        assert results["truncated"] > 0
        assert results["abstention"]["points"][-1]["items"] == 16
        answers = [row for _, row in read_rows(tmp_path / f"answers-{name}.jsonl")]
        assert all(row["confidence"] < 0 for row in answers)
    said_by = {name: (tmp_path / f"answers-{name}.jsonl").read_text() for name in ("base", "continued", "supervised")}
    assert len(set(said_by.values())) == 3  # each arm is another model
    page = (tmp_path / "report.html").read_text()
    assert all(f"<td>{name}</td>" in page for name in said_by)
    luthier(*words)
    assert json.loads((tmp_path / "run.json").read_text())["steps"] == record["steps"]
    luthier("report", str(tmp_path))
    assert (tmp_path / "report.html").read_text() == page


def test_a_killed_evaluation_and_a_killed_training_continue_to_the_same_end(
    suite: Path, infused: Path, tiny_model_folder: Path, tmp_path: Path
):
    train = ["train", "infuse", str(suite), "--model", str(tiny_model_folder), "--way", "lora", "--set", "lora.r=4", *QUICK]
    kill_after([*train, "--out", str(tmp_path / "cut")], tmp_path / "cut" / "supervised" / "metrics.jsonl", 3)
    luthier(*train, "--out", str(tmp_path / "cut"))
    for stage in ("continued", "supervised"):
        whole, cut = (folder / stage / "adapter" / "adapter_model.safetensors" for folder in (infused, tmp_path / "cut"))
        assert whole.read_bytes() == cut.read_bytes()
    score = ["evaluate", "fusion", str(suite), "--model", str(tiny_model_folder), "--max-tokens", "24", "--quiet"]
    luthier(*score, "--out", str(tmp_path / "whole"))
    kill_after([*score, "--out", str(tmp_path / "killed")], tmp_path / "killed" / "answers-base.jsonl", 3)
    luthier(*score, "--out", str(tmp_path / "killed"))
    for name in ("answers-base.jsonl", "retention-base.jsonl"):
        assert sorted((tmp_path / "killed" / name).read_text().splitlines()) == sorted((tmp_path / "whole" / name).read_text().splitlines())


def test_a_scripted_model_and_a_served_one_are_scored_alike(suite: Path, tmp_path: Path):
    said = luthier("evaluate", "fusion", str(suite), "--model", "scripted:both", "--out", str(tmp_path / "a"), "--quiet").stdout
    assert said.count("R_acc 1.00") == 4
    items = {item.question: item for item in read_suite(suite).items}
    retention = {item.question: item.answer for item in read_suite(suite).retention}

    def answer(request: dict) -> str:
        asked = request["messages"][-1]["content"].splitlines()[-1]
        return retention.get(asked) or items[asked].answer

    with ChatServer(lambda request: completion(answer(request))) as server:
        words = ["evaluate", "fusion", str(suite), "--model", "served", "--endpoint", server.url, "--kp", "measured", "--quiet"]
        luthier(*words, "--out", str(tmp_path / "b"))
    results = json.loads((tmp_path / "b" / "run.json").read_text())["steps"]["arm base"]["results"]
    assert len(results["known"]) == len(retention)
    assert all(one["right"]["rate"] == 1 for one in results["scenarios"].values())


def test_texts_give_facts_through_a_model_and_a_schema(tmp_path: Path):
    for year in range(2015, 2027):
        for letter in "ABCD":
            (tmp_path / "docs").mkdir(exist_ok=True)
            (tmp_path / "docs" / f"{letter}-{year}-05-05.txt").write_text(
                f"The Nova {letter}{year} was built by hand. It weighs {year - 1900} g, they say."
            )

    def answer(request: dict) -> str:
        system, text = (message["content"] for message in request["messages"])
        assert request["response_format"]["type"] == "json_schema"
        if system.startswith("Write one question"):
            subject = text.split(" of ")[1].split(" is ")[0]
            return json.dumps({"question": f"How heavy is the {subject}?" if subject.startswith("Nova A") else f"Is {text}?"})
        subject, weight = " ".join(text.split()[1:3]), text.split("weighs ")[1].split(",")[0]
        return json.dumps(
            {
                "facts": [
                    {"subject": subject, "attribute": "Weight", "value": weight},
                    {"subject": subject, "attribute": "price", "value": "5 USD"},
                ]
            }
        )

    with ChatServer(lambda request: completion(answer(request))) as server:
        words = [
            "synthesize",
            "fusion",
            str(tmp_path / "docs"),
            "--reader",
            "served",
            "--writer",
            "served",
            "--endpoint",
            server.url,
            "--split-date",
            "2021-01-01",
            "--holdout",
            "0.2",
            "--per-scenario",
            "8",
            "--distractors",
            "0,1",
            "--out",
            str(tmp_path / "suite"),
            "--quiet",
        ]
        said = luthier(*words).stdout
    assert "left out, extracted fact: value not in the passage: 48" in said
    assert "question of the model: gives the answer away" in said
    made = read_suite(tmp_path / "suite")
    assert {fact.attribute for fact in made.facts.values() if fact.passage is not None} == {"weight"}
    assert {item.scenario for item in made.items} >= {"S1", "S2", "S3", "S4"}
    assert any(item.question.startswith("How heavy is the Nova A") for item in made.items)
    assert not any(item.question.startswith("Is ") for item in made.items)
    gold = next(item.context[item.gold_place or 0].text for item in made.items if item.scenario == "S1")
    assert "was built by hand" in gold


def test_a_real_retriever_misses_what_it_misses(documents: Path, tmp_path: Path):
    said = build(documents, tmp_path, "--retriever", "bm25:word", "--depth", "2")
    assert "questions: " in said
    made = read_suite(tmp_path)
    assert made.manifest["retriever"] is True
    assert all(len(item.context) <= 2 for item in made.items)
    assert any(item.scenario == "S1" for item in made.items)


def test_a_judge_stands_beside_exact_matching(suite: Path, tmp_path: Path):
    with ChatServer(lambda _: completion('{"right": true}')) as server:
        said = luthier(
            "evaluate",
            "fusion",
            str(suite),
            "--model",
            "scripted:both",
            "--judge",
            "served",
            "--judge-endpoint",
            server.url,
            "--judged",
            "10",
            "--out",
            str(tmp_path),
            "--quiet",
        ).stdout
    assert "judge served: agrees with exact matching 1.00" in said


@pytest.mark.weights
def test_what_the_bundled_model_knows_is_left_out(documents: Path, bundled_model: object, tmp_path: Path):
    said = build(documents, tmp_path, "--untrained", "bundled", "--per-scenario", "1", "--forms", "two-part")
    assert "questions: S1 1" in said
    asked = [row for _, row in read_rows(tmp_path / "untrained.jsonl")]
    assert len(asked) == 3 * 1 * 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["synthesize", "fusion", "gone.csv"], "gone.csv does not exist"),
        (["synthesize", "fusion", "{documents}", "--distractors", "a,b"], "--distractors a,b: give whole numbers"),
        (["synthesize", "fusion", "{documents}", "--forms", "riddle"], "riddle is not among them"),
        (["synthesize", "fusion", "{text}"], "running text only; name a model that reads facts from it"),
        (["synthesize", "fusion", "{latin}"], "latin.csv:2: not UTF-8 text"),
        (["synthesize", "fusion", "{documents}", "--retriever", "static"], "'static' is not one of 'bm25'"),
        (["synthesize", "fusion", "{documents}", "--where", "maker"], "--where maker: write each as COLUMN=TEXT"),
        (["synthesize", "fusion", "{documents}", "--split-date", "July"], "--split-date is 'July'"),
        (["synthesize", "fusion", "{documents}", "--split-date", "2024-13-45"], "--split-date is '2024-13-45'"),
        (["synthesize", "fusion", "{documents}", "--holdout", "nan"], "--holdout is nan; give a number from 0"),
        (["synthesize", "fusion", "{here}"], "which is read; choose another --out"),
        (["train", "infuse", "{here}"], "no fusion suite here"),
        (["train", "infuse", "{suite}", "--set", "continued.epochs=1"], "continued.epochs is not a setting"),
        (["evaluate", "fusion", "{here}"], "no fusion suite here"),
        (["evaluate", "fusion", "{suite}", "--judged", "0"], "--judged is 0; give a whole number from 1"),
        (["evaluate", "fusion", "{suite}", "--model", "scripted:both", "--adapter", "x"], "scripted:both is a script"),
        (["evaluate", "fusion", "{suite}", "--arm", "other={here}"], "config.json is missing"),
        (["evaluate", "fusion", "{suite}", "--model", "scripted:guesser"], "choose one of reader"),
        (["evaluate", "fusion", "{suite}", "--model", "scripted:both", "--arm", "x"], "write it as NAME=FOLDER"),
        (["evaluate", "fusion", "{suite}", "--model", "scripted:both", "--arm", "base=x"], "arms need different names"),
        (["evaluate", "fusion", "{suite}", "--model", "scripted:both", "--infused", "{here}"], "no finished stage"),
        (
            ["evaluate", "fusion", "{suite}", "--model", "x", "--endpoint", "http://127.0.0.1:9/v1", "--confidence"],
            "leave --confidence out",
        ),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(documents: Path, suite: Path, tmp_path: Path, words: list[str], message: str):
    (tmp_path / "text.txt").write_text("Nothing but words.")
    (tmp_path / "latin.csv").write_bytes("name,released\nNa\u00efve,2024".encode("latin-1"))
    places = {"documents": documents, "suite": suite, "text": tmp_path / "text.txt", "latin": tmp_path / "latin.csv", "here": tmp_path}
    done = luthier(*(word.format(**places) for word in words), "--out", str(tmp_path / "run"), "--quiet", ok=False)
    assert done.code == 2
    assert message in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert words[0] == "train" or not (tmp_path / "run").exists()


def test_a_retrained_arm_is_scored_again_and_the_others_are_kept(suite: Path, infused: Path, tiny_model_folder: Path, tmp_path: Path):
    adapter, out = tmp_path / "adapter", tmp_path / "run"
    shutil.copytree(infused / "continued" / "adapter", adapter)
    words = ["evaluate", "fusion", str(suite), "--model", str(tiny_model_folder), "--arm", f"tuned={adapter}", "--limit", "1"]
    words += ["--max-tokens", "4", "--out", str(out), "--quiet"]
    luthier(*words)
    first = json.loads((out / "run.json").read_text())["steps"]
    weights = adapter / "adapter_model.safetensors"
    weights.write_bytes((infused / "supervised" / "adapter" / "adapter_model.safetensors").read_bytes())
    assert "adapter has changed" in luthier(*words, ok=False).stderr
    luthier(*words, "--replace")
    again = json.loads((out / "run.json").read_text())["steps"]
    assert again["arm base"] == first["arm base"]
    assert again["arm tuned"]["key"] != first["arm tuned"]["key"]
    assert again["comparison"]["key"] != first["comparison"]["key"]
