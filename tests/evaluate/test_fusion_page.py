"""The page of a fusion evaluation: every arm and scenario is there, everything is escaped, nothing is loaded."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from luthier.evaluate.fusion.page import WORST, draw
from luthier.records import JSON
from run_folders import drawn, run_folder


def rate(value: float) -> JSON:
    return {"rate": value, "low": value - 0.05, "high": value + 0.05, "items": 40, "questions": 20}


def scenario(value: float, *, gold: bool) -> JSON:
    made: JSON = {
        "right": rate(value),
        "cover": rate(value),
        "refused": rate(0.1),
        "misled": rate(0.2),
        "questions": 20,
        "noise_drop": {},
        "by_noise": {"0": rate(value), "5": rate(value - 0.1)},
        "by_form": {"single": rate(value)},
    }
    return made | ({"by_place": {name: rate(value) for name in ("first", "middle", "last")}} if gold else {})


def arm(value: float, collapsed: str | None = None) -> JSON:
    return {
        "items": 160,
        "truncated": 3,
        "retention": rate(value),
        "scenarios": {name: scenario(value, gold=name in ("S1", "S2")) for name in ("S1", "S2", "S3", "S4")},
        "retained": {"S2": {"right": rate(value)}, "S3": {"right": rate(value)}},
        "gap": {"rate": 0.25, "low": 0.1, "high": 0.4},
        "refusing": {"precision": rate(0.5), "recall": rate(0.75), "f1": rate(0.6), "share": 0.3, "collapsed": collapsed},
        "sources": {"external": rate(0.5), "memory": rate(0.5)},
        "abstention": {"points": [{"coverage": 0.5, **rate(0.9)}, {"coverage": 1.0, **rate(0.5)}], "area": 0.7},
    }


SUITE = {"infused": 12, "questions": {"S1": 20, "S2": 20, "S3": 20, "S4": 20, "C": 0}}
ITEM = {
    "scenario": "S1",
    "question": "When was <Nova> released?",
    "answer": "It was 2025 & late.",
    "context": [{"text": "<b>Nova</b> came in 2025.", "role": "gold"}, {"text": "Orion came in 2024.", "role": "distractor"}],
    "said": {"base": {"text": "2025", "right": True, "misled": False}, "after": {"text": "2024 <!--", "right": False, "misled": True}},
}


def page(folder: Path, arms: dict[str, JSON], differences: JSON, worst: list[JSON], suite: str = "s") -> str:
    steps = {f"arm {name}": one for name, one in arms.items()}
    results = {**steps, "comparison": {"differences": differences, "suite": SUITE}}
    return drawn(run_folder(folder, "evaluate fusion", results, {"suite": f"runs/{suite}"}, {WORST: worst}), draw)


def test_every_arm_and_scenario_is_shown_and_everything_escaped(tmp_path: Path):
    differences = {"after": {name: {"mean": 0.4, "low": 0.3, "high": 0.5} for name in ("S1", "S2", "S3", "S4")}}
    judge = {"judge": "J", "sample": 100, "unreadable": 2, "agreement": rate(0.93), "kappa": 0.81}
    arms = {"base": arm(0.2, "never"), "after": {**arm(0.6), "judge": judge}}
    text = page(tmp_path, arms, differences, [ITEM], "<suite>")
    assert text.count("<td>after</td>") == 4 + 1 + 2  # scenarios, refusing, places
    assert text.count('class="plot"') == 4 + 1
    for shown in (
        "&lt;suite&gt;",
        "When was &lt;Nova&gt; released?",
        "2025 &amp; late",
        'class="gold">&lt;b&gt;Nova',
        "2024 &lt;!--",
        "<b>base</b> never refuses",
        "+0.40",
        "κ 0.81",
        '<span class="tag">misled</span>',
    ):
        assert shown in text
    assert not re.search(r"src=|href=\"http|@import|url\(|<script", text)


@pytest.mark.parametrize("bare", ["retention", "abstention", "gap"])
def test_what_was_not_measured_is_left_out(tmp_path: Path, bare: str):
    made = {**arm(0.2), bare: None}
    if bare == "retention":
        made["retained"] = {}
    text = page(tmp_path, {"only": made}, {}, [])
    word = {"retention": "On retained facts only", "abstention": "Abstention", "gap": "Fusion gap"}[bare]
    assert word not in text
    assert "The last arm gets every item right." in text
