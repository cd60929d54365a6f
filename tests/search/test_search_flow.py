"""The commands on a small set of problems with a scripted model: runs, comparisons, pages, exports, continuing and replaying."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from scripted_models import Doubler

from command import luthier
from luthier.errors import EngineError, SettingsError
from luthier.sandbox import Sandbox
from luthier.search import comparison_page, page, runs
from luthier.search.commands import SearchCompareSettings, SearchExportSettings, SearchRunSettings
from luthier.search.exporting import export
from luthier.search.problem import Held, Posed
from luthier.search.scoring import apart, score
from luthier.search.settings import SearchSettings
from luthier.search.solving import solve

DOUBLE = 'def double(x):\n    """Twice x{n}. <b>&\n\n    >>> double(3)\n    6\n    >>> double(-2)\n    -4\n    """\n'
CHECK = "def check(candidate):\n    assert candidate(3) == 6\n    assert candidate(21) == 42\n"


@pytest.fixture
def problems(tmp_path: Path, box: Sandbox) -> str:
    path = tmp_path / "problems.jsonl"
    made = [{"task_id": f"d/{n}", "prompt": DOUBLE.replace("{n}", str(n)), "entry_point": "double", "test": CHECK} for n in range(4)]
    path.write_text("".join(json.dumps(row) + "\n" for row in made))
    return str(path)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Doubler:
    made = Doubler()
    monkeypatch.setattr(SearchRunSettings, "open", lambda self: made)
    monkeypatch.setattr(SearchCompareSettings, "open", lambda self: made)
    return made


def test_a_run_keeps_every_program_and_its_page_shows_the_tree(problems: str, model: Doubler, tmp_path: Path) -> None:
    settings = SearchRunSettings((problems,), test_seconds=0.5, budget="30 calls", stop="never", curve=True)
    made = runs.run(settings, tmp_path / "run")
    assert "page_problem" not in made.record
    found = made.results("search")
    assert found["spent"]["calls"] == 120
    assert len(list(made.rows("programs.jsonl"))) == found["programs"] == found["spent"]["programs"] - found["asked"]["analysis"]
    text = (tmp_path / "run" / "report.html").read_text()
    assert not re.search(r"src=|href=\"http|@import|url\(|<script", text)
    assert "<del>" in text  # a thought that was rethought
    assert "Block by block" in text
    assert re.search(r"Twice x\d\. &lt;b&gt;&amp;", text)
    assert "<b>&" not in text
    lines = page.lines(made)
    assert lines[0] == f"{found['passes_public']} of 4 answers pass the public tests"
    assert found["passes_public"] >= 2
    scores = list(made.rows("scores.jsonl"))
    assert all(row["private"] == row["apart"] == row["curve"][-1][3] == row["public"] for row in scores)
    asked = len(model.asked)
    again = runs.run(settings, tmp_path / "run")
    assert len(model.asked) == asked
    assert again.steps == made.steps


def test_a_replay_needs_no_model_and_says_what_is_missing(problems: str, model: Doubler, tmp_path: Path) -> None:
    runs.run(SearchRunSettings((problems,), test_seconds=0.5, budget="8 calls"), tmp_path / "run")
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    del record["steps"]["search"]["results"]  # as a run that was killed leaves it
    (tmp_path / "run" / "run.json").write_text(json.dumps(record | {"status": "running"}))
    asked = len(model.asked)
    runs.run(SearchRunSettings((problems,), test_seconds=0.5, budget="8 calls", replay=True), tmp_path / "run")
    assert len(model.asked) == asked
    with pytest.raises(EngineError, match="holds no answer"):
        runs.run(SearchRunSettings((problems,), test_seconds=0.5, budget="8 calls", replay=True), tmp_path / "other")


def test_strategies_at_equal_budget_with_curves_and_paired_tests(problems: str, model: Doubler, tmp_path: Path) -> None:
    settings = SearchCompareSettings((problems,), test_seconds=0.5, budget="12 calls", strategies="rethink, best-of-n,single", stop="never")
    made = runs.compare(settings, tmp_path / "run")
    assert "page_problem" not in made.record
    assert [pair["other"] for pair in made.results("comparison")["pairs"]] == ["best-of-n", "single"]
    text = (tmp_path / "run" / "report.html").read_text()
    assert text.count('class="line line') == 6  # three strategies over calls and over tokens
    assert any(line.startswith("rethink less best-of-n:") for line in comparison_page.lines(made))
    kept = [json.loads(line)["key"] for line in (tmp_path / "run" / "answers.jsonl").read_text().splitlines()]
    assert len(set(kept)) == len(kept)  # what two strategies ask alike is answered once


@pytest.mark.parametrize("names", ["fly", "rethink,rethink", ","])
def test_strategies_that_are_none_are_one_line(names: str) -> None:
    with pytest.raises(SettingsError, match="--strategies"):
        SearchCompareSettings(("p",), strategies=names)


def test_exports_are_rows_that_trainers_read(problems: str, model: Doubler, tmp_path: Path) -> None:
    runs.run(SearchRunSettings((problems,), test_seconds=0.5, budget="40 calls", stop="never"), tmp_path / "run")
    made = {}
    for kind in ("sft", "repairs", "pairs"):
        out = tmp_path / f"{kind}.jsonl"
        export(SearchExportSettings(str(tmp_path / "run"), out=str(out), kind=kind))  # type: ignore[arg-type]
        made[kind] = [json.loads(line) for line in out.read_text().splitlines()]
    assert all("return x + x" in row["completion"][0]["content"] for row in made["sft"] + made["repairs"])
    assert all("This program was written" in row["prompt"][0]["content"] for row in made["repairs"])
    assert all(row["chosen"] != row["rejected"] for row in made["pairs"])
    assert not any("candidate(21)" in json.dumps(row) or "42" in json.dumps(row["prompt"]) for rows in made.values() for row in rows)


def test_private_tests_are_run_once_on_the_answer_alone(doubling: Posed, box: Sandbox) -> None:
    solved = solve(doubling, Doubler(), box, SearchSettings(budget="20 calls"))
    (scored,) = score([(Held(doubling, ("assert double(3) == 6\nassert double(50) == 100",)), solved)], box)
    assert (scored.private, scored.apart, scored.curve) == (True, True, ())


def test_private_assertions_that_the_public_tests_make_as_well_are_told_apart() -> None:
    left = apart([CHECK, "assert double(3) == 6"], ["assert double(3) == 6"], "double")
    assert len(left) == 1
    assert "candidate(21)" in left[0]
    assert "candidate(3)" not in left[0]


def test_a_dead_endpoint_is_one_line_and_nothing_is_lost(problems: str, tmp_path: Path) -> None:
    words = ["search", "run", problems, "--endpoint", "http://127.0.0.1:9/v1", "--model", "m", "--out", tmp_path / "run", "--quiet"]
    told = luthier(*words, ok=False)
    assert told.code == 2
    assert len(told.stderr.strip().splitlines()) == 1
    assert "127.0.0.1:9" in told.stderr
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "failed"
