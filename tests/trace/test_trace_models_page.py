"""The page of traced models: what they show, escaped, well formed, with nothing loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from luthier.trace.models_page import TALL, WIDE, draw, heat_map, shown_learners
from pages import LOADS, Page
from run_folders import drawn
from trace_pages import models_run, results


def page(tmp_path: Path, found: dict[str, Any], held: dict[str, Any] | None = None, **settings: Any) -> Page:
    drawn(models_run(tmp_path, found, held, **settings), draw)
    return Page(tmp_path / "report.html")


def test_checkpoints_with_alarms_and_evidence(tmp_path: Path) -> None:
    made = page(tmp_path, results())
    assert "2 skills lost" in made.text
    for words in (
        "<b>sums</b>",
        "80 % → 41 %",
        "30, 31",
        "-50 to -30",
        "< 0.001",
        "30, 31 (other items)",
        "3 comparisons",
        "<u>one was not scored</u>",
    ):
        assert words in made.text
    assert "dates" not in made.text  # not sure enough
    assert not [value for name, value in made.attributes if name in LOADS and value != "data:,"]
    assert "script" not in made.tags


def test_models_with_families_left_out(tmp_path: Path) -> None:
    held = {
        "learners": 20,
        "families": 7,
        "asked": 50,
        "error_random": 0.031,
        "error_adaptive": 0.024,
        "plain_error": 0.052,
        "covered_random": 0.94,
        "covered_adaptive": 0.92,
        "inflation": 1.13,
    }
    made = page(tmp_path, results(), held, checkpoints=False)
    for words in (
        "3 models",
        "7 families",
        "3.1 points",
        "2.4 where each few",
        "(5.2 by the plain share",
        "94 % and 92 %",
        "widened by 1.13",
        "estimated",
        "To ask m<0>: 1 item that would tell most",
    ):
        assert words in made.text
    assert "Lost and gained" not in made.text


def test_a_page_without_anything_to_compare_or_read(tmp_path: Path) -> None:
    made = page(tmp_path, results(concepts=0, changes=[], text=None, ask=[], train=[], notes=[], mastery=[]))
    assert "No change that these answers can tell from chance" in made.text
    assert "No item names a skill" in made.text
    assert "Difficulty from text" not in made.text


def test_many_learners_and_skills_are_thinned_and_new_ones_stay() -> None:
    many = results(100, 90)
    shown = shown_learners(many["learners"], ordered=True)
    assert len(shown) == WIDE
    assert shown[0]["learner"] == "m<0>"
    accuracies = [one["accuracy"] for one in shown[1:]]
    assert accuracies == sorted(accuracies, reverse=True)
    assert [one["learner"] for one in shown_learners(many["learners"], ordered=False)] == [f"m<{at}>" for at in range(100 - WIDE, 100)]
    rows = heat_map(many, [one["learner"] for one in shown])
    assert len(rows) == TALL
    assert rows[0]["cells"][0]["share"] is None
    assert rows[0]["cells"][1]["answers"] > 0
