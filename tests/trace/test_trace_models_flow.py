"""`luthier trace models` on the command line: leaderboards, new models, checkpoints; stopped, repeated and misused."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command import luthier as command
from luthier.records import write_jsonl
from luthier.trace.answers import AnswerLog
from model_answers import planted

HOSTILE = "<script>alert(1)</script>\"'&{{ 7*7 }}"


def luthier(*words: object, ok: bool = True) -> str:
    said = command("trace", "models", "--quiet", "--embedder", "none", *words, ok=ok)
    return said.stdout if ok else said.stderr


def write(folder: Path, log: AnswerLog, **names: str) -> None:
    write_jsonl(folder / "answers.jsonl", [{**row, "learner": names.get(row["learner"], row["learner"])} for row in log.rows()])
    write_jsonl(
        folder / "items.jsonl",
        [
            {"item": item.item, "text": item.text, "concepts": [f"{HOSTILE}{name}" for name in item.concepts]}
            for item in log.catalogue.items
        ],
    )


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 models on 120 items of two skills, and one that answered 40 of them."""
    folder = tmp_path_factory.mktemp("results")
    log = planted(31, 120, concepts=2, spread=0.4).log
    asked = np.random.default_rng(0).permutation(120)[:40]
    write(folder, log.where((log.learner != 30) | np.isin(log.item, asked)), **{log.learners[30]: "newcomer"})
    return folder


@pytest.fixture(scope="module")
def run(results: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("runs") / "models"
    said = command(
        "trace",
        "models",
        results / "answers.jsonl",
        "--items",
        results / "items.jsonl",
        "--ask",
        20,
        "--out",
        out,
        "--embedder",
        "static",
        "--cache",
        out.parent / "cache",
        "--quiet",
    ).stdout
    return out, said


def test_a_new_model_is_estimated_and_families_are_left_out(run: tuple[Path, str]) -> None:
    out, said = run
    record = json.loads((out / "run.json").read_text())
    learners = {row["learner"]: row for row in table(out / "learners.csv")}
    assert [name for name, row in learners.items() if row["new"] == "True"] == ["newcomer"]
    truth = planted(31, 120, concepts=2, spread=0.4).log
    accuracy = float(truth.correct[truth.of_learner(30)].mean())
    new = learners["newcomer"]
    assert float(new["low"]) < accuracy < float(new["high"])
    assert abs(float(new["accuracy"]) - accuracy) < 0.1
    assert (new["answered"], new["items"]) == ("40", "120")
    assert "newcomer: " in said
    held = record["steps"]["held-out"]["results"]
    assert (held["learners"], held["families"], held["asked"]) == (30, 10, 20)
    assert held["error_random"] < held["plain_error"]
    assert len(table(out / "held_out.csv")) == 30 * 3 * 2
    assert "families left out, 20 items" in said


def test_the_tables_say_what_to_ask_and_train_and_how_hard_items_are(run: tuple[Path, str]) -> None:
    out, _ = run
    items = table(out / "items.csv")
    made = planted(31, 120, concepts=2, spread=0.4)
    assert np.corrcoef([float(row["difficulty"]) for row in items], made.difficulty)[0, 1] > 0.9
    text = json.loads((out / "run.json").read_text())["steps"]["trace"]["results"]["text"]
    assert text["correlation"] > 0.7  # lengths were planted
    asked = {row["item"] for row in table(out / "ask.csv")}
    done = {f"item-{at}" for at in np.random.default_rng(0).permutation(120)[:40]}
    assert len(asked) == 20
    assert not asked & done
    assert all(0.3 <= float(row["chance"]) <= 0.7 for row in table(out / "train.csv"))
    mastery = [row for row in table(out / "mastery.csv") if row["learner"] == "newcomer"]
    assert sum(int(row["answers"]) for row in mastery) == 40
    assert all(float(row["low"]) <= float(row["mastery"]) <= float(row["high"]) for row in mastery)


def test_the_page_escapes_names_and_shows_what_was_found(run: tuple[Path, str]) -> None:
    page = (run[0] / "report.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "{{ 7*7 }}" in page
    for words in ("31 models", "newcomer", "Difficulty from text", "Skill by model", "To ask newcomer: 20 items", "10 families"):
        assert words in page
    (run[0] / "report.html").unlink()
    command("report", run[0])
    assert (run[0] / "report.html").read_text() == page


def test_changed_results_are_refused_and_other_counts_keep_the_families(results: Path, tmp_path: Path) -> None:
    (tmp_path / "answers.jsonl").write_bytes((results / "answers.jsonl").read_bytes())
    words = [tmp_path / "answers.jsonl", "--ask", 20, "--out", tmp_path / "run"]
    luthier(*words)
    before = json.loads((tmp_path / "run" / "run.json").read_text())["steps"]
    assert "train was 50, is 10" in luthier(*words, "--train", 10, ok=False)
    luthier(*words, "--train", 10, "--replace")
    after = json.loads((tmp_path / "run" / "run.json").read_text())["steps"]
    assert after["held-out"] == before["held-out"]
    assert len(after["trace"]["results"]["train"]) == 10
    (tmp_path / "answers.jsonl").write_bytes((results / "answers.jsonl").read_bytes() + b'{"learner": "x", "item": "y", "correct": 1}\n')
    assert "answers.jsonl has changed" in luthier(*words, "--train", 10, ok=False)


def test_the_same_command_keeps_what_is_done_and_gives_the_same_bytes(run: tuple[Path, str], results: Path, tmp_path: Path) -> None:
    out, _ = run
    words = [results / "answers.jsonl", "--items", results / "items.jsonl", "--ask", 20]
    for _ in range(2):
        luthier(*words, "--out", tmp_path / "again")
    other = tmp_path / "other"
    luthier(*words, "--out", other)
    for name in ("learners.csv", "mastery.csv", "ask.csv", "held_out.csv"):
        assert (other / name).read_bytes() == (tmp_path / "again" / name).read_bytes() == (out / name).read_bytes()


def test_a_killed_run_continues(results: Path, tmp_path: Path) -> None:
    words = ["trace", "models", str(results / "answers.jsonl"), "--embedder", "none", "--out", str(tmp_path / "run"), "--ask", "20"]
    with subprocess.Popen([sys.executable, "-m", "luthier", *words], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for text in process.stderr:
            if text.startswith("Leaving families out"):
                break
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "running"
    assert not list((tmp_path / "run").glob("*.part"))
    assert "newcomer" in luthier(*words[2:])
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "done"


def test_checkpoints_raise_an_alarm_with_its_evidence(tmp_path: Path) -> None:
    log = planted(4, 150, concepts=3, sd=0.01).log
    draw = np.random.default_rng(0)
    lost = (log.learner >= 2) & (log.item % 3 == 1)
    log = replace(log, correct=np.where(lost, draw.random(len(log)) < 0.05, log.correct).astype(np.float32))
    for step, name in enumerate(log.learners):
        part = log.of_learner(step)
        rows = [{**row, "learner": name} for row in log.rows() if row["learner"] == name]
        write_jsonl(tmp_path / f"step-{100 * step}.jsonl", rows)
        assert part.stop - part.start == 150
    write(tmp_path / "items", log)
    given: list[Any] = []
    for step in range(4):
        given += ["--results", f"step {100 * step}={tmp_path / f'step-{100 * step}.jsonl'}"]
    said = luthier(*given, "--items", tmp_path / "items" / "items.jsonl", "--checkpoints", "--out", tmp_path / "run")
    assert f"lost: {HOSTILE}skill-1, step 100 → step 200" in said
    changes = table(tmp_path / "run" / "changes.csv")
    assert len(changes) == 3 * 5  # neighbours, and two apart
    assert [(row["concept"], row["after"]) for row in changes if row["narrowest"] == "True"] == [(f"{HOSTILE}skill-1", "step 200")]
    page = (tmp_path / "run" / "report.html").read_text()
    assert "1 skill lost" in page
    assert "Lost and gained" in page


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ([], "no results"),
        (["--new", "nobody"], "no learner 'nobody'"),
        (["--embedder", "bm25"], "bm25: no such model"),
        (["--families", "families.csv"], "families.csv:3: a row needs learner and family"),
    ],
)
def test_misuse_is_said_in_one_line(words: list[str], problem: str, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("families.csv").write_text("learner,family\naaa-0b,x\n,y\n")
    given = [results / "answers.jsonl", "--items", results / "items.jsonl"] if words else []
    said = luthier(*given, *words, "--out", tmp_path / "run", ok=False)
    assert problem in said
    assert len(said.strip().splitlines()) == 1


def test_a_new_model_is_estimated_from_calibrated_items_alone(run: tuple[Path, str], results: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (results / "answers.jsonl").read_text().splitlines()]
    mine = [row for row in rows if row["learner"] == "newcomer"]
    write_jsonl(tmp_path / "new.jsonl", [*mine, {"learner": "newcomer", "item": "other", "correct": 1}])
    said = luthier(tmp_path / "new.jsonl", "--calibrated", run[0], "--ask", 20, "--out", tmp_path / "run")
    whole = next(row for row in table(run[0] / "learners.csv") if row["learner"] == "newcomer")
    alone = table(tmp_path / "run" / "learners.csv")[0]
    for name in ("accuracy", "low", "high", "ability"):
        assert float(alone[name]) == pytest.approx(float(whole[name]), abs=1e-9)
    assert alone["answered"] == "40"
    assert (tmp_path / "run" / "ask.csv").read_bytes() == (run[0] / "ask.csv").read_bytes()
    assert f"newcomer: {float(whole['accuracy']):.1%}" in said
    assert "1 answer to an item that is not calibrated is left out" in (tmp_path / "run" / "report.html").read_text()
    write_jsonl(tmp_path / "none.jsonl", [{"learner": "a", "item": "other", "correct": 1}])
    assert "none of the items is calibrated" in luthier(tmp_path / "none.jsonl", "--calibrated", run[0], "--out", tmp_path / "no", ok=False)
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    for path, words in ((tmp_path / "bad.safetensors", "not calibrated items"), (tmp_path, "give a run folder")):
        assert words in luthier(tmp_path / "new.jsonl", "--calibrated", path, "--out", tmp_path / "no", ok=False)


def test_bad_rows_are_set_aside_and_told(results: Path, tmp_path: Path) -> None:
    (tmp_path / "answers.jsonl").write_text((results / "answers.jsonl").read_text() + '{"learner": "a"}\n')
    words = [tmp_path / "answers.jsonl", "--ask", 0, "--out", tmp_path / "run"]
    assert "answers.jsonl:3641: the row has no item" in luthier(*words, ok=False)
    command("trace", "models", "--quiet", "--embedder", "none", *words, "--skip-bad", tmp_path / "bad.jsonl")
    assert len((tmp_path / "bad.jsonl").read_text().splitlines()) == 1
    assert "1 bad row is set aside" in (tmp_path / "run" / "report.html").read_text()


def test_families_from_a_table_and_only_new_learners(results: Path, tmp_path: Path) -> None:
    log = planted(31, 120, concepts=2, spread=0.4).log
    (tmp_path / "families.csv").write_text(
        "learner,family\n" + "".join(f"{name},{'xyz'[at % 3]}\n" for at, name in enumerate(log.learners[:30]))
    )
    luthier(results / "answers.jsonl", "--families", tmp_path / "families.csv", "--ask", 20, "--out", tmp_path / "run")
    assert {row["family"] for row in table(tmp_path / "run" / "held_out.csv")} == {"x", "y", "z"}
    everyone = [word for name in (*log.learners[:30], "newcomer") for word in ("--new", name)]
    assert "every learner is new" in luthier(results / "answers.jsonl", *everyone, "--out", tmp_path / "none", ok=False)
