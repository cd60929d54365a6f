"""The pages of preference work: what differs is marked, everything is escaped, nothing is loaded."""

from __future__ import annotations

from pathlib import Path

from luthier.report.preference_page import write_preference_page


def say(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def test_the_page_of_a_run_shows_curves_and_what_was_judged(tmp_path: Path):
    names = ("loss", "rewards/margins", "rewards/accuracies", "rewards/chosen")
    steps = [{"step": n, **dict.fromkeys(names, 0.5 + n)} for n in range(1, 6)]
    measured = {"rewards/accuracies": 0.25, "logps/chosen": -12.5, "loss": 0.693}
    results = {
        "steps": 5,
        "bridged": 4,
        "pairs": {"kept": 20, "identical": 1, "empty": 0, "too_long": 2},
        "before": measured,
        "after": {**measured, "rewards/accuracies": 0.75},
    }
    settings = {"method": "bmc", "loss": "dpo", "weighting": "bmc", "delta": 3.0}
    write_preference_page(results, steps, tmp_path / "page.html", data=["<p>.jsonl"], settings=settings)
    text = (tmp_path / "page.html").read_text()
    for shown in ("0.250", "0.750", "-12.500", "&lt;p&gt;.jsonl", "1 pairs with identical answers", "δ 3.0"):
        assert shown in text
    assert text.count('class="plot"') == 4
    results["before"] = results["after"] = None
    write_preference_page(results, steps[:1], tmp_path / "page.html", data=[], settings=settings)
    assert "Too few steps for a curve." in (tmp_path / "page.html").read_text()
