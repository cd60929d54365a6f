"""Searches with the real sandbox: what comes of them, that a stopped one goes on as if it had not been, and what is out of reach."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scripted_models import Doubler

from luthier.errors import EngineError, SettingsError
from luthier.records.problems import Problem
from luthier.sandbox import InputOutput, Sandbox
from luthier.search import Posed, SearchSettings, solve
from luthier.search.journals import Answers, Verdicts
from luthier.search.problem import held
from luthier.search.strategies import STRATEGIES
from luthier.search.wants import Behave, Look, Trials, Try


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_runs_real_programs(strategy: str, doubling: Posed, box: Sandbox) -> None:
    solved = solve(doubling, Doubler(), box, SearchSettings(strategy=strategy, budget="24 calls"))  # type: ignore[arg-type]
    assert "def double" in solved.program
    assert "assert double(1) == 7" not in solved.program  # a demonstration that would end the program
    if solved.passes:
        assert box.judge(solved.program, "assert double(21) == 42", entry_point="double")


def test_feedback_names_the_failing_test_and_the_blocks(doubling: Posed, box: Sandbox) -> None:
    model = Doubler()
    solve(doubling, model, box, SearchSettings(budget="40 calls", stop="never"))
    analyses = [text for text in model.asked if "These blocks were executed" in text]
    assert any("assert double(" in text and "[BLOCK-1]" in text and "x = " in text for text in analyses)
    rethinks = [text for text in model.asked if "better thought" in text]
    assert any("Block by block:" in text and "wrong. it is not twice x" in text for text in rethinks)


@pytest.mark.parametrize("strategy", ["rethink", "s-star", "lats", "ab-mcts"])
def test_killed_after_any_call_it_continues_to_the_same_tree_and_asks_nothing_twice(
    strategy: str, doubling: Posed, box: Sandbox, tmp_path: Path
) -> None:
    settings = SearchSettings(strategy=strategy, budget="18 calls", stop="never", parallel=2)  # type: ignore[arg-type]
    whole_model = Doubler()
    whole = solve(doubling, whole_model, box, settings, folder=tmp_path / "whole")
    for events in range(0, len(whole_model.asked), 3):
        folder = tmp_path / f"{strategy}-{events}"
        folder.mkdir()
        for name in ("answers.jsonl", "verdicts.jsonl"):  # what is on disk when it is killed: whole rows and a torn one
            rows = (tmp_path / "whole" / name).read_bytes().splitlines(keepends=True)
            (folder / name).write_bytes(b"".join(rows[:events]) + (rows[events][:20] if events < len(rows) else b""))
        model = Doubler()
        continued = solve(doubling, model, box, settings, folder=folder)
        kept = [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]
        assert len({row["key"] for row in kept}) == len(kept) == len(whole_model.asked)
        assert len(model.asked) == len(whole_model.asked) - events
        assert continued.to_row()["tree"] == whole.to_row()["tree"]
        assert [one.program for one in continued.candidates] == [one.program for one in whole.candidates]


def test_a_model_that_dies_loses_nothing_of_what_it_said(doubling: Posed, box: Sandbox, tmp_path: Path) -> None:
    settings = SearchSettings(budget="20 calls", stop="never")
    with pytest.raises(KeyboardInterrupt):
        solve(doubling, Doubler(dies_after=9), box, settings, folder=tmp_path)
    model = Doubler()
    solve(doubling, model, box, settings, folder=tmp_path)
    assert len(model.asked) == len((tmp_path / "answers.jsonl").read_text().splitlines()) - 9


def test_a_strict_replay_asks_and_runs_nothing(doubling: Posed, box: Sandbox, tmp_path: Path) -> None:
    settings = SearchSettings(budget="12 calls", stop="never")
    whole = solve(doubling, Doubler(), box, settings, folder=tmp_path)
    model = Doubler()
    again = solve(doubling, model, box, settings, folder=tmp_path, strict=True)
    assert (again.to_row(), model.asked) == (whole.to_row(), [])
    with pytest.raises(EngineError, match="holds no answer to"):
        solve(doubling, model, box, SearchSettings(budget="16 calls", stop="never"), folder=tmp_path, strict=True)


def test_private_tests_are_out_of_reach(doubling: Posed) -> None:
    problem = Problem("double", doubling.text, "double", ("assert double(7) == 14",), doubling.public)  # type: ignore[arg-type]
    made = held(problem)
    assert made.private == ("assert double(7) == 14",)
    assert "14" not in repr(made.posed)


def test_a_problem_without_public_tests_is_one_line(box: Sandbox) -> None:
    problem = Problem("double", "def double(x):\n", "double", ("assert double(7) == 14",))
    with pytest.raises(SettingsError, match="double: has no public tests"):
        solve(problem, Doubler(), box)


def test_tests_that_hang_end_and_are_told(doubling: Posed, box: Sandbox) -> None:
    with Verdicts(box) as verdicts:
        program = "def double(x):\n    while True: pass\n"
        ((tried, watched),) = verdicts.answer([Trials(doubling, (Try(program), Look(program, 0)))])
    assert {test.kind for test in tried.answer.tests} == {"timeout"}
    assert watched.answer.blocks


def test_what_programs_give_for_other_inputs(doubling: Posed, box: Sandbox) -> None:
    with Verdicts(box) as verdicts:
        program = "def double(x):\n    return [x][0] * 2\n"
        ((found,),) = verdicts.answer([Trials(doubling, (Behave(program, ("double(4)", "double('ab')", "double()")),))])
    assert found.answer.values == ("8", "'abab'", "")


def test_scripts_are_searched_by_what_they_print(box: Sandbox) -> None:
    script = Posed("sum", "Print the sum of two numbers.", "", (InputOutput("1 2\n", "3\n"), InputOutput("5 5\n", "10\n")))

    class Writer(Doubler):
        def said(self, text: str, seed: int) -> str:
            if "block of code" in text:
                return "```python\na, b = map(int, input().split())\nprint(a + b)\n```"
            return super().said(text, seed)

    assert solve(script, Writer(), box, SearchSettings(budget="6 calls")).passes


def test_answers_of_another_model_are_not_taken(doubling: Posed, box: Sandbox, tmp_path: Path) -> None:
    settings = SearchSettings(strategy="single")
    solve(doubling, Doubler(), box, settings, folder=tmp_path)
    other = Doubler()
    other.name = "another"
    solve(doubling, other, box, settings, folder=tmp_path)
    assert len(other.asked) == 1
    with Answers(other, tmp_path / "answers.jsonl") as answers:
        assert len(answers.rows) == 2
