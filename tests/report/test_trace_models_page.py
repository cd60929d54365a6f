"""The page of traced models and the flagship page's skills: what they show, escaped, well formed, with nothing loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from report_run import write_run
from test_page import LOADS, Page

from luthier.report import write_report
from luthier.report.trace_models_page import TALL, WIDE, heat_map, shown_learners, write_trace_models_page

SETTINGS: dict[str, Any] = {"checkpoints": True, "parameters": 1}


def change(concept: str = "<b>sums</b>", **changes: Any) -> dict[str, Any]:
    return {
        "concept": concept,
        "before": "s1",
        "after": "s2",
        "mastery_before": 0.8,
        "mastery_after": 0.41,
        "evidence_before": 30,
        "evidence_after": 31,
        "by": "items",
        "items": 30,
        "difference": -0.4,
        "low": -0.5,
        "high": -0.3,
        "p": 1e-5,
        "p_all": 2e-5,
        "verdict": "lost",
        "narrowest": changes.get("verdict", "lost") != "",
        **changes,
    }


def results(learners: int = 3, concepts: int = 2, **changes: Any) -> dict[str, Any]:
    names, skills = [f"m<{at}>" for at in range(learners)], [f"<i>skill {at}</i>" for at in range(concepts)]
    return {
        "answers": 300,
        "items": 150,
        "concepts": skills,
        "notes": ["<u>one was not scored</u>"],
        "alarms": 2,
        "ability_sd": 1.0,
        "spread": 0.4,
        "rounds": 9,
        "learners": [
            {
                "learner": name,
                "family": "m",
                "new": at == 0,
                "accuracy": 0.1 + 0.8 * at / learners,
                "low": 0.05,
                "high": 0.95,
                "answered": 30,
                "items": 150,
                "observed": 0.5,
                "ability": 0.0,
                "ability_sd": 0.3,
            }
            for at, name in enumerate(names)
        ],
        "mastery": [
            {"learner": name, "concept": skill, "mastery": 0.6, "low": 0.4, "high": 0.8, "answers": 12 + at}
            for name in names[1:]
            for at, skill in enumerate(skills)
        ],
        "changes": [change(), change("dates", verdict="", p_all=0.3), change("slices", by="ability", low=None, high=None, items=0)],
        "ask": [{"learner": names[0], "item": "<a>1", "concepts": "", "difficulty": 1.25}],
        "train": [{"learner": names[0], "item": "b", "concepts": "", "chance": 0.44}],
        "text": {"items": 40, "correlation": 0.52, "within": None, "doubt": 1.5, "points": [(-1.0, -0.5), (0.5, 2.0)]},
        **changes,
    }


def page(tmp_path: Path, found: dict[str, Any], held: dict[str, Any] | None = None, **settings: Any) -> Page:
    write_trace_models_page(tmp_path / "page.html", found, held or {"learners": 0}, settings=SETTINGS | settings)
    return Page(tmp_path / "page.html")


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


def test_the_tool_run_tells_its_skills_where_it_compared_them(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    assert "By skill" not in Page(write_report(folder)).text
    record = json.loads((folder / "run.json").read_text())
    record["steps"]["skills"] = {
        "key": "k",
        "seconds": 1.0,
        "results": {
            "changes": [change(), change("irrelevance, constrained", verdict="gained", difference=0.2, low=None, high=None, p_all=0.012)]
        },
    }
    (folder / "run.json").write_text(json.dumps(record))
    made = Page(write_report(folder))
    for words in ("By skill", "Lost: <b>sums</b>.", "irrelevance, constrained", "+20", "0.012", "Compare skills"):
        assert words in made.text
