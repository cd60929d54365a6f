"""The page of probed chains: what it shows, escaped, with nothing loaded."""

from __future__ import annotations

import re
from pathlib import Path

from luthier.probe.chain_trace import ChainTrace
from luthier.probe.page import draw, heat_map
from luthier.probe.statistics import statistics
from luthier.report.wording import rate
from run_folders import drawn, run_folder

CONF = [[0.40, 0.30, 0.30], [0.35, 0.45, 0.20], [0.20, 0.70, 0.10]]
SETTINGS = {"model": "<m>", "data": ["x/<d>.jsonl"], "stored": [], "injected": [], "probe": "letters"}


def row(**changes: object) -> dict[str, object]:
    return {
        "question": "Is <b> a tag?",
        "options": ["no", "<yes>", "maybe"],
        "answer": 1,
        "group": "g",
        "place": "",
        "number": 0,
        "chain": "c",
        "steps": ["One & two.", "Three."],
        "statement": "The answer is <yes>",
        "stated": 1,
        "ends": [3, 6],
        "conf": CONF,
        "mass": [0.9, 0.8, 0.7],
        "probe": "letters",
        "mode": "packed",
        "tokens": 8,
        "forwarded": 20,
        "naive": 60,
        **changes,
    }


def page(tmp_path: Path, rows: list[dict[str, object]]) -> str:
    found = statistics([ChainTrace.from_row(one) for one in rows]).to_row()
    return drawn(run_folder(tmp_path, "probe run", {"statistics": found}, SETTINGS, {"traces.jsonl": rows}), draw)


def test_it_shows_the_chain_step_by_step(tmp_path: Path):
    text = page(tmp_path, [row(), row(answer=0, group="h")])
    for shown in (
        "Is &lt;b&gt; a tag?",
        "B. &lt;yes&gt;",
        "One &amp; two.",
        ">70<",
        "0.80",
        "&lt;m&gt;",
        "&lt;d&gt;.jsonl",
        "ends right",
        "ends wrong",
    ):
        assert shown in text
    assert not re.search(r"src=|href=\"http|@import|url\(|<script", text)


def test_chains_without_known_answers_have_a_page_too(tmp_path: Path):
    text = page(tmp_path, [row(answer=None, stated=None)])
    assert "right before" not in text.split("By the number of steps")[0]
    assert "If the chains had been cut" not in text


def test_a_probe_that_does_not_ask_for_the_options_is_noticed(tmp_path: Path):
    assert "does not ask for them" in page(tmp_path, [row(mass=[0.1, 0.1, 0.1])])


def test_the_heat_map_is_the_trajectory():
    one = heat_map({**row(), "answers": [0, 1, 1], "final": 1, "right": True}, 7)
    assert [each.text for each in one.rows] == ["before the chain", "One & two.", "Three."]
    assert [each.held for each in one.rows] == [0, 1, 1]
    assert one.early is False


def test_rates_in_words():
    assert rate({"rate": 0.5, "low": 0.25, "high": 0.75, "items": 4}).replace("\u202f", "") == "50% (25–75)"
    assert rate({"rate": 0.0, "low": 0.0, "high": 1.0, "items": 0}) == "–"
