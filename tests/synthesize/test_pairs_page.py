"""The page of preference pairs: what differs is marked, everything is escaped, nothing is loaded."""

from __future__ import annotations

import re
from pathlib import Path

from luthier.synthesize.pairs.page import PAIRS, draw
from run_folders import drawn, run_folder


def say(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def test_the_page_of_pairs_marks_and_escapes(tmp_path: Path):
    row = {
        "prompt": [{"role": "user", "content": "Is <b> a tag?"}],
        "rejected": say("No, <b> is a bird."),
        "chosen": say("No, <b> is a tag."),
        "original_chosen": say("A tag & nothing else."),
        "bridged": True,
    }
    report = {
        "questions": 3,
        "answers": 6,
        "right": 2,
        "wrong": 3,
        "without_answer": 1,
        "unclear": 0,
        "cut_off": 0,
        "pairs": 1,
        "bridged": 1,
        "refused": {"empty": 2},
        "before": [0] * 9 + [1],
        "after": [1] + [0] * 9,
        "mean_before": 0.95,
        "mean_after": 0.05,
        "acceptance": 1.0,
    }
    text = drawn(run_folder(tmp_path, "synthesize pairs", {"pairs": report}, {"data": ["x/rows.jsonl"]}, {PAIRS: [row]}), draw)
    assert "<mark>bird.</mark>" in text
    assert "<mark>tag.</mark>" in text
    assert "Is &lt;b&gt; a tag?" in text
    assert "A tag &amp; nothing else." in text
    assert "empty 2" in text
    assert not re.search(r"src=|href=\"http|@import|url\(", text)
