"""The page of multiple choice: what was missed by most, escaped."""

from __future__ import annotations

from pathlib import Path

from luthier.evaluate.choice_page import SCORES, draw, worst
from run_folders import drawn, run_folder


def test_the_page_of_choices_lists_what_was_missed(tmp_path: Path):
    def scored(name: str, right: float) -> dict[str, object]:
        return {
            "question": f"<q> {name}",
            "options": ["a", "b"],
            "answer": 0,
            "group": "g",
            "place": "",
            "logprobs": [right, -1.0],
            "tokens": [1, 1],
            "bytes": [2, 2],
            "chosen": {"none": int(right < -1), "token": int(right < -1), "byte": int(right < -1)},
        }

    rows = [scored("near", -2.0), scored("far", -9.0), scored("hit", -0.5)]
    assert [one["question"] for one in worst(rows)] == ["<q> far", "<q> near"]
    one = {"correct": 1, "items": 3, "rate": 1 / 3, "low": 0.06, "high": 0.79}
    results = {"questions": 3, "known": 3, "chance": 0.5, "none": one, "token": one, "byte": one}
    settings = {"model": "m", "adapter": None, "by": "texts"}
    run = run_folder(tmp_path, "evaluate choice", {"scores": {"groups": {"g": results}, "all": results}}, settings, {SCORES: rows})
    text = drawn(run, draw)
    assert "&lt;q&gt; far" in text
    assert "hit" not in text.split("Missed by most")[1]


def test_a_run_without_scores_has_a_page(tmp_path: Path):
    assert "This run was stopped" in drawn(run_folder(tmp_path, "evaluate choice", {}, status="running"), draw)
