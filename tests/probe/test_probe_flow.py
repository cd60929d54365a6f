"""Probing on the command line: chains written and stored, errors put in, trees, choosing, early exit; stopped, killed and misused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chat_server import ChatServer, completion
from command import luthier as command
from interruption import kill_after
from luthier.models.gguf_writing import write_gguf
from luthier.records import read_rows, write_jsonl

COLOURS = ("red", "green", "blue", "grey")


def luthier(*words: object, ok: bool = True) -> str:
    """What the command prints, or with ok=False what it complains of."""
    said = command(*words, ok=ok)
    return said.stdout if ok else said.stderr


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("questions") / "colours.jsonl"
    write_jsonl(
        path,
        [
            {
                "question": f"Which colour has number {number}?",
                "options": list(COLOURS),
                "answer": number % 4,
                "solution": f"We count to {number} here.\nThen it is {COLOURS[number % 4]} for sure.\nThe answer is {COLOURS[number % 4]}",
            }
            for number in range(24)
        ],
    )
    return path


@pytest.fixture(scope="module")
def run(questions: Path, tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("probe") / "run"
    said = luthier(
        "probe", "run", questions, "--model", tiny_model_folder, "-k", 3, "--max-tokens", 40, "--temperature", 1.2, "--out", out, "--quiet"
    )
    assert "72 chains of 24 questions" in said
    assert "tokens through the model" in said
    return out


def test_a_run_keeps_traces_record_and_page(run: Path):
    rows = [row for _, row in read_rows(run / "traces.jsonl")]
    assert [row["number"] for row in rows[:6]] == [0, 1, 2, 0, 1, 2]
    assert all(len(row["conf"]) == len(row["steps"]) + 1 == len(row["ends"]) + 1 for row in rows)
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "done"
    found = record["steps"]["statistics"]["results"]["all"]
    assert found["early"]["items"] == 72
    assert found["right_after"]["low"] <= found["right_after"]["rate"] <= found["right_after"]["high"]
    assert "Which colour has number" in (run / "report.html").read_text()


def test_a_finished_run_is_kept_and_a_killed_one_continues(questions: Path, run: Path, tiny_model_folder: Path, tmp_path: Path):
    words = [
        "probe",
        "run",
        str(questions),
        "--model",
        str(tiny_model_folder),
        "-k",
        "3",
        "--max-tokens",
        "40",
        "--temperature",
        "1.2",
        "--quiet",
        "--out",
    ]
    before = (run / "traces.jsonl").stat().st_mtime_ns
    luthier(*words, run)
    assert (run / "traces.jsonl").stat().st_mtime_ns == before
    out = tmp_path / "killed"
    traces = out / "traces.jsonl"
    kill_after([*words, str(out)], traces, 20)
    assert 20 <= traces.read_bytes().count(b"\n") < 72
    luthier(*words, out)
    again, whole = ([row for _, row in read_rows(folder / "traces.jsonl")] for folder in (out, run))
    assert [(row["question"], row["number"], row["chain"], row["steps"]) for row in again] == [
        (row["question"], row["number"], row["chain"], row["steps"]) for row in whole
    ]
    for one, other in zip(again, whole, strict=True):
        assert [share for conf in one["conf"] for share in conf] == pytest.approx(
            [share for conf in other["conf"] for share in conf], abs=1e-5
        )


def test_errors_put_in_are_judged_by_a_tree(questions: Path, tiny_model_folder: Path, tmp_path: Path, run: Path):
    out, tree = tmp_path / "injected", tmp_path / "tree.json"
    luthier("probe", "run", "--inject", questions, "--model", tiny_model_folder, "--out", out, "--quiet")
    rows = [row for _, row in read_rows(out / "traces.jsonl")]
    assert [row["extra"]["wrong"] for row in rows] == [False, True] * 24
    assert all(rows[at]["chain"] != rows[at + 1]["chain"] for at in range(0, 48, 2))
    said = luthier("probe", "tree", "fit", out, "--out", tree, "--least", 3)
    assert "precision" in said
    assert "48 chains, 24 wrong" in said
    found = json.loads(luthier("probe", "tree", "fit", out, "--out", tree, "--least", 3, "--json", "--replace"))
    assert 0 <= found["precision"]["low"] <= found["precision"]["high"] <= 1
    assert "of 72 chains flagged" in luthier("probe", "tree", "apply", run, tree, "--out", tmp_path / "judged.jsonl")
    assert len(list(read_rows(tmp_path / "judged.jsonl"))) == 72
    rows = json.loads(luthier("probe", "select", run, "--tree", tree, "--json"))
    assert {row["strategy"] for row in rows} >= {"vote", "cop", "weighted", "tree", "no-cot"}
    assert next(row for row in rows if row["strategy"] == "vote")["against_vote"]["mean"] == 0


def test_strategies_and_their_answers(run: Path, tmp_path: Path):
    said = luthier("probe", "select", run)
    assert "against vote" in said
    luthier("probe", "select", run, "--strategy", "cop", "--out", tmp_path / "answers.jsonl")
    rows = [row for _, row in read_rows(tmp_path / "answers.jsonl")]
    assert len(rows) == 24
    assert all(row["text"] == COLOURS[row["chosen"]] for row in rows)


def test_stored_chains_and_logs_go_in_and_come_out(run: Path, tiny_model_folder: Path, tmp_path: Path):
    log, out = tmp_path / "log.json", tmp_path / "again"
    assert "72 samples" in luthier("probe", "export", run, "--out", log)
    luthier("probe", "run", "--chains", log, "--model", tiny_model_folder, "--limit", 5, "--out", out, "--quiet")
    first = [row for _, row in read_rows(out / "traces.jsonl")]
    assert len(first) == 15
    assert first[0]["chain"] == next(iter(read_rows(run / "traces.jsonl")))[1]["chain"]


def test_online_chains_stop_early_and_are_compared(questions: Path, tiny_model_folder: Path, tmp_path: Path):
    words = (
        "probe",
        "online",
        questions,
        "--model",
        tiny_model_folder,
        "--limit",
        4,
        "--max-tokens",
        80,
        "--temperature",
        1.2,
        "--same",
        1,
        "--margin",
        0,
        "--out",
        tmp_path,
        "--quiet",
    )
    said = luthier(*words)
    assert "4 chains" in said
    assert "saved" in said
    cut, whole = ([row for _, row in read_rows(tmp_path / name)] for name in ("online.jsonl", "whole.jsonl"))
    assert all(one["chain"].startswith(short["chain"]) for one, short in zip(whole, cut, strict=True))


def test_a_stopped_online_run_continues(questions: Path, tiny_model_folder: Path, tmp_path: Path):
    words = [
        "probe",
        "online",
        str(questions),
        "--model",
        str(tiny_model_folder),
        "--max-tokens",
        "60",
        "--temperature",
        "1.2",
        "--quiet",
        "--out",
    ]
    luthier(*words, tmp_path / "whole")
    kill_after([*words, str(tmp_path / "cut")], tmp_path / "cut" / "online.jsonl", 5)
    luthier(*words, tmp_path / "cut")
    for name in ("online.jsonl", "whole.jsonl"):
        one, other = ([row for _, row in read_rows(tmp_path / folder / name)] for folder in ("whole", "cut"))
        assert [(row["question"], row["chain"], row["ends"]) for row in one] == [
            (row["question"], row["chain"], row["ends"]) for row in other
        ]


def test_a_served_judge_labels_chains_and_is_asked_once(run: Path, tmp_path: Path):
    """The server calls a chain wrong by its length, so the labels are there to be found in the record of verdicts."""

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        chain = request["messages"][-1]["content"].split("Solution:\n")[1]
        return completion("wrong" if len(chain) % 2 else "right")

    with ChatServer(answer) as server:
        words = (
            "probe",
            "tree",
            "fit",
            run,
            "--labels",
            "judge",
            "--judge",
            "judge",
            "--judge-endpoint",
            server.url,
            "--least",
            5,
            "--quiet",
        )
        found = json.loads(luthier(*words, "--out", tmp_path / "tree.json", "--json"))
        again = json.loads(luthier(*words, "--out", tmp_path / "again.json", "--json"))
        assert len(server.requests) == 72
    expected = sum(len(row["chain"]) % 2 for _, row in read_rows(run / "traces.jsonl"))
    assert found["wrong"] == again["wrong"] == expected
    assert found["wrong_of_right"]["items"] > 0


def test_the_page_is_written_again(run: Path):
    before = (run / "report.html").read_bytes()
    (run / "report.html").unlink()
    luthier("report", run)
    assert (run / "report.html").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("run",), "no data: give files of questions"),
        (("run", "{questions}", "-k", "3", "--temperature", "0"), "at temperature 0 are all the same"),
        (("run", "{folder}/none.jsonl"), "none.jsonl"),
        (("run", "--chains", "{questions}"), "no chain there"),
        (("run", "{questions}", "--probe", " "), "probe text is empty"),
        (("export", "{folder}", "--out", "{folder}/log.json"), "give the folder of a run"),
        (("select", "{folder}"), "no traces there"),
        (("tree", "fit", "{run}"), "no chain has a label; probe with --inject"),
        (("tree", "fit", "{run}", "--labels", "judge"), "need a model: name it with --judge"),
        (("tree", "apply", "{run}", "{questions}", "--out", "{folder}/x"), "not JSON"),
        (("select", "{run}", "--strategy", "cop"), "go together"),
    ],
)
def test_misuse_gets_one_line(words: tuple[str, ...], complaint: str, questions: Path, run: Path, tiny_model_folder: Path, tmp_path: Path):
    places = {"questions": questions, "run": run, "folder": tmp_path}
    told = [word.format(**places) for word in words]
    if words[0] == "run":
        told += ["--model", str(tiny_model_folder), "--out", str(tmp_path / "out"), "--quiet"]
    said = luthier("probe", *told, ok=False)
    assert complaint in said
    assert len(said.strip().splitlines()) == 1


@pytest.mark.parametrize("way", ["run", "online"])
def test_an_engine_without_logits_is_refused_by_name(way: str, questions: Path, tiny_model_folder: Path, tmp_path: Path):
    pytest.importorskip("xllamacpp", reason="the extra luthier[llamacpp] is not installed")
    write_gguf(tiny_model_folder, tmp_path / "model.gguf", weights="f32")
    words = ["probe", way, questions, "--model", tmp_path / "model.gguf", "--engine", "llamacpp", "--out", tmp_path / "run", "--quiet"]
    said = luthier(*words, ok=False).strip().splitlines()
    assert len(said) == 1
    assert "probing needs more of a model than" in said[0]
    assert "leave --engine" in said[0]
    assert not (tmp_path / "run").exists()
