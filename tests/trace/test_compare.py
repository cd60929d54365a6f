"""Two models on the items that both answered: paired tests beside independent ones, what is left out, what is shown, what fails a bound."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from command import luthier
from luthier.errors import SettingsError
from luthier.records import write_jsonl
from luthier.trace.compare import compare, named_results, unpaired
from luthier.trace.results import read_results


def table(path: Path, **scores: list[float]) -> Path:
    """A long table: the scores of learners on items t/0, t/1 …, of subjects even and odd."""
    rows = [
        {"learner": name, "item": f"t/{at}", "correct": score, "concepts": ["odd" if at % 2 else "even"]}
        for name, some in scores.items()
        for at, score in enumerate(some)
    ]
    write_jsonl(path, rows)
    return path


def of(path: Path) -> Any:
    return compare(read_results([path]), "a", "b")


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_right_and_wrong_answers_get_mcnemars_exact_test(tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[bool, bool]]) -> None:
    path = table(tmp_path_factory.mktemp("t") / "t.jsonl", a=[float(one) for one, _ in pairs], b=[float(two) for _, two in pairs])
    total = compare(read_results([path]), "a", "b", draws=50).total
    gained = sum(two > one for one, two in pairs)
    lost = sum(one > two for one, two in pairs)
    expected = stats.binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    assert (total.gained, total.lost, total.by) == (gained, lost, "McNemar")
    assert total.p == pytest.approx(expected)
    assert total.difference == pytest.approx((gained - lost) / len(pairs))


def test_fractions_get_a_paired_bootstrap_within_a_tenth_of_a_point_of_another(tmp_path: Path) -> None:
    draw = np.random.default_rng(3)
    one = draw.integers(0, 5, 4000) / 4
    other = np.clip(one + draw.choice([-0.25, 0, 0, 0.25, 0.5], 4000), 0, 1)
    total = of(table(tmp_path / "t.jsonl", a=one.tolist(), b=other.tolist())).total
    found = stats.bootstrap((other - one,), np.mean, n_resamples=10_000, method="percentile", rng=draw).confidence_interval
    assert total.by == "flipped signs"
    assert abs(total.low - found.low) < 0.001
    assert abs(total.high - found.high) < 0.001
    assert total.p < 0.001


def test_forgetting_the_pairing_hides_what_is_there(tmp_path: Path) -> None:
    """Most items are easy or hard for both; of 40 that changed, 31 were gained."""
    a = [1.0] * 300 + [0.0] * 160 + [0.0] * 31 + [1.0] * 9
    b = [1.0] * 300 + [0.0] * 160 + [1.0] * 31 + [0.0] * 9
    total = of(table(tmp_path / "t.jsonl", a=a, b=b)).total
    assert total.p == pytest.approx(stats.binomtest(9, 40).pvalue)
    assert total.p < 0.001
    assert total.unpaired == pytest.approx(stats.ttest_ind(a, b, equal_var=False).pvalue, abs=0.002)
    assert total.unpaired > 0.1
    assert unpaired(np.array([1.0]), np.array([0.0])) == 1.0
    assert unpaired(np.array([1.0, 1.0]), np.array([1.0, 1.0])) == 1.0


def test_subjects_are_corrected_together_and_have_masteries(tmp_path: Path) -> None:
    a = [float(at % 2 == 0) for at in range(80)]
    found = of(table(tmp_path / "t.jsonl", a=a, b=[1.0] * 80))
    lines = {line.name: line for line in found.lines}
    assert set(lines) == {"even", "odd"}  # one task says what the total says
    assert (lines["odd"].gained, lines["odd"].p_all) == (40, pytest.approx(2 * lines["odd"].p))
    assert lines["even"].p_all == 1.0
    assert lines["odd"].mastery_before is not None
    assert lines["odd"].mastery_after is not None
    assert lines["odd"].mastery_before < 0.3
    assert lines["odd"].mastery_after > 0.8


def test_items_of_one_side_are_counted_and_say_nothing(tmp_path: Path) -> None:
    found = of(table(tmp_path / "t.jsonl", a=[1.0, 0.0, 1.0], b=[1.0, 1.0, 0.0, 0.0, 0.0]))
    assert (found.only_before, found.only_after, found.total.items) == (0, 2, 3)
    log = read_results([table(tmp_path / "u.jsonl", a=[1.0]), f"c={table(tmp_path / 'v.jsonl', b=[1.0])}"])
    assert compare(log, "a", "c").total.items == 1


def test_paths_are_called_by_what_tells_them_apart() -> None:
    assert named_results(["runs/x/before", "runs/x/after"]) == ["before=runs/x/before", "after=runs/x/after"]
    assert named_results(["runs/a/answers.jsonl", "runs/b/answers.jsonl"]) == ["a=runs/a/answers.jsonl", "b=runs/b/answers.jsonl"]
    assert named_results(["base=runs/a", "runs/b"]) == ["base=runs/a", "b=runs/b"]
    assert named_results(["runs/a"]) == ["runs/a"]
    with pytest.raises(SettingsError, match="runs/a: given twice"):
        named_results(["runs/a", "runs/a"])


def answers(folder: Path, right: list[bool]) -> Path:
    rows = [
        {
            "id": f"d{at}",
            "category": "single",
            "decoding": "free",
            "model": "m",
            "question": f"Question {at}",
            "answer": f"say {one}",
            "right": one,
            "strict": one,
        }
        for at, one in enumerate(right)
    ]
    folder.mkdir(parents=True)
    write_jsonl(folder / "answers.jsonl", rows)
    return folder


def test_the_command_shows_both_answers_and_fails_where_it_is_told_to(tmp_path: Path) -> None:
    old, new = answers(tmp_path / "old", [True] * 40), answers(tmp_path / "new", [True] * 28 + [False] * 12)
    words = ("compare", old, new, "--out", tmp_path / "run", "--quiet")
    said = luthier(*words).stdout
    assert "old → new: 100 % → 70 % of 40 items that both answered" in said
    assert "McNemar p = 0.0005 (0 gained, 12 lost)" in said
    page = (tmp_path / "run" / "report.html").read_text()
    assert "say False" in page
    flips = [json.loads(line) for line in (tmp_path / "run" / "flips.jsonl").read_text().splitlines()]
    assert [row["item"] for row in flips] == [f"own/d{at}" for at in range(28, 40)]
    assert flips[0] | {"question": "Question 28", "change": "lost", "said_before": "say True", "said_after": "say False"} == flips[0]
    failed = luthier(*words, "--fail-if-worse", "5", "--replace", ok=False)
    assert "fail-if-worse 5: FAILED" in failed.stdout
    assert "passed" in luthier(*words, "--fail-if-worse", "30", "--replace").stdout
    noisy = answers(tmp_path / "noisy", [True] * 37 + [False] * 3)
    words = ("compare", old, noisy, "--out", tmp_path / "other", "--quiet", "--fail-if-worse", "1")
    assert "FAILED" in luthier(*words, ok=False).stdout
    assert "passed" in luthier(*words, "--sure", "--replace").stdout


def test_what_cannot_be_compared_is_one_line(tmp_path: Path) -> None:
    one = answers(tmp_path / "one", [True])
    assert "answers of one model" in luthier("compare", one, "--out", tmp_path / "run", ok=False).stderr
    other = table(tmp_path / "t.jsonl", x=[1.0])
    assert "no item that both" in luthier("compare", one, other, "--out", tmp_path / "run", ok=False).stderr
    assert "--sure belongs to --fail-if-worse" in luthier("compare", one, other, "--sure", ok=False).stderr
    assert "nowhere does not exist" in luthier("compare", one, tmp_path / "nowhere", ok=False).stderr
    assert not (tmp_path / "run").exists()
