"""The leaderboard's sums equal the benchmark's own computation, and appear only where all their categories were scored."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.evaluate.bfcl import benchmark_modules
from luthier.evaluate.leaderboard import SIMPLE, sums
from luthier.statistics.rates import wilson

NON_LIVE = (*SIMPLE, "multiple", "parallel", "parallel_multiple")
LIVE = ("live_simple", "live_multiple", "live_parallel", "live_parallel_multiple")


def row(category: str, correct: int, items: int, decoding: str = "free") -> dict[str, object]:
    rate = wilson(correct, items).to_row()
    return {"category": category, "decoding": decoding, "items": items, "official": rate, "strict": rate}


counts = st.integers(1, 300).flatmap(lambda items: st.tuples(st.integers(0, items), st.just(items)))


@given(st.lists(counts, min_size=10, max_size=10))
def test_sums_are_those_of_the_benchmark(found: list[tuple[int, int]]) -> None:
    with benchmark_modules():
        from bfcl_eval.eval_checker.eval_runner_helper import calculate_unweighted_accuracy, calculate_weighted_accuracy
    scores = {
        name: {"accuracy": right / items, "total_count": items, "display_accuracy": right / items}
        for name, (right, items) in zip((*NON_LIVE, *LIVE), found, strict=True)
    }
    simple = calculate_unweighted_accuracy([scores[name] for name in SIMPLE])
    non_live = calculate_unweighted_accuracy([simple, *(scores[name] for name in NON_LIVE[3:])])
    live = calculate_weighted_accuracy([scores[name] for name in LIVE])
    rows = [row(name, right, items) for name, (right, items) in zip((*NON_LIVE, *LIVE), found, strict=True)]
    random.Random(0).shuffle(rows)
    first, second = sums(rows)
    assert (first.name, second.name) == ("non-live AST", "live AST")
    assert first.official.rate == pytest.approx(non_live["accuracy"])
    assert second.official.rate == pytest.approx(live["accuracy"])
    for one in (first, second):
        assert 0 <= one.official.low <= one.official.rate <= one.official.high <= 1
    assert second.official.items == sum(items for _, items in found[6:])


def test_a_sum_needs_all_of_its_categories() -> None:
    assert sums([row(name, 1, 2) for name in NON_LIVE[:-1]]) == []
    assert [one.decoding for one in sums([row(name, 1, 2, way) for way in ("free", "constrained") for name in NON_LIVE])] == [
        "free",
        "constrained",
    ]
    own = {**row("simple_python", 1, 2)}
    own["right"] = own.pop("official")
    assert sums([own, *(row(name, 1, 2) for name in NON_LIVE[1:])]) == []


def test_many_items_have_the_width_of_one_binomial() -> None:
    [one] = sums([row(name, 500, 1000) for name in NON_LIVE])
    assert one.official.high - one.official.rate == pytest.approx(
        1.96 * (sum((1 / 12) ** 2 for _ in SIMPLE) + 3 / 16) ** 0.5 * 0.5 / 1000**0.5, rel=0.01
    )
