"""One rule for each task, over all files: the same rows in another order are the same comparison, and what cannot be held against each other is named."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from command import luthier
from luthier.errors import BadRowError, SettingsError
from luthier.records import Account, write_jsonl
from luthier.trace.compare import CompareSettings, run
from luthier.trace.result_rules import Rule, Scored, Value, Wanted, choose
from luthier.trace.results import read_results
from luthier.trace.settings import ModelsSettings

WHEN = "2026-01-02T03-04-05.678901"


def scored(learner: str, task: str = "t", **values: Value) -> Scored:
    """Scores by `metric`, or by `filter__metric`."""
    return Scored(
        learner, {Rule(task, name.split("__")[-1], name.split("__")[0] if "__" in name else ""): one for name, one in values.items()}
    )


def chosen(*answers: Scored, metrics: tuple[str, ...] = (), filters: tuple[str, ...] = ()) -> str:
    return str(choose(answers, wanted=Wanted(metrics, filters)).choices["t"])


@pytest.mark.parametrize(
    ("answers", "rule"),
    [
        ([scored("a", x=0.5, y=1.0), scored("b", y=0.0, x=0.5)], "x"),
        ([scored("a", x=0.5, y=1.0), scored("b", y=0.0)], "y"),
        ([scored("a", x=0.1, y=1.0), scored("b", x=12.0, y=0.0)], "y"),
        ([scored("a", x_max=0.1, x_acc=1.0), scored("b", x_max=0.2, x_acc=0.0)], "x_acc"),
        ([scored("a", acc_norm=0.1, acc=1.0), scored("b", acc_norm=0.2, acc=0.0)], "acc"),
        ([scored("a", x=None, y=1.0), scored("b", x=None, y=0.0)], "y"),
        ([scored("a", x=BadRowError("odd"), y=1.0), scored("b", x=0.5, y=0.0)], "y"),
        ([scored("a", loose__acc=1.0), scored("a", strict__acc=0.0), scored("b", strict__acc=1.0)], "acc of the filter 'strict'"),
        ([scored("a", wer=0.2)], "1 less wer, of which less is better"),
    ],
)
def test_the_rule_that_all_share_counts(answers: list[Scored], rule: str) -> None:
    assert chosen(*answers) == rule


@given(
    st.permutations(
        [
            scored("a", loose__acc=1.0),
            scored("a", **{"strict-match__acc": 0.0}),
            scored("b", loose__acc=1.0),
            scored("b", **{"strict-match__acc": 1.0}),
        ]
    )
)
def test_known_filters_count_in_any_order_of_rows(answers: list[Scored]) -> None:
    assert chosen(*answers) == "acc of the filter 'strict-match'"


def test_names_choose_for_all_tasks_or_for_one() -> None:
    answers = [scored("a", acc=1.0, acc_norm=0.0), scored("a", "u", acc=1.0, acc_norm=0.0), scored("a", "v", em=1.0)]
    for metrics, names in ((("acc_norm",), ["acc_norm", "acc_norm", "em"]), (("u=acc_norm",), ["acc", "acc_norm", "em"])):
        assert [str(one) for one in choose(answers, wanted=Wanted(metrics)).choices.values()] == names
    assert [str(one) for one in choose(answers, wanted=Wanted(("acc", "u=acc_norm"))).choices.values()] == ["acc", "acc_norm", "em"]


@pytest.mark.parametrize(
    ("answers", "wanted", "words"),
    [
        ([scored("a", acc=1.0), scored("b", acc_norm=1.0)], Wanted(), "t: no score that all share; scored are a by acc; b by acc_norm"),
        (
            [scored("a", acc=1.0, x=1.0), scored("b", acc=1.0)],
            Wanted(("x",)),
            "t: what --metric or --filter names does not score all of a, b",
        ),
        ([Scored("a", {Rule("t", "s", key="x"): 1.0})], Wanted(("z",)), "--metric z: nothing here was scored by it; there are s.x"),
        ([scored("a", x=1.0)], Wanted(("y",)), "--metric y: nothing here was scored by it; there are x"),
        ([scored("a", none__x=1.0)], Wanted((), ("strict",)), "--filter strict: nothing here was scored by it; there are none"),
        ([scored("a", x=1.0)], Wanted(("u=x",)), "--metric u=x: no task 'u' here"),
        ([scored("a", x=31.5, y=1.0)], Wanted(("x",)), "t: --metric x reaches 31.5; scores must lie between 0 and 1"),
        ([scored("a", f__x=1.0, g__y=1.0)], Wanted(("x",), ("g",)), "t: --filter g goes with no such metric here"),
        ([], Wanted(("x",)), "--metric x: nothing here was scored by it; the results say none"),
    ],
)
def test_what_cannot_be_held_against_each_other_is_named(answers: list[Scored], wanted: Wanted, words: str) -> None:
    with pytest.raises(SettingsError) as raised:
        choose(answers, wanted=wanted)
    assert words in str(raised.value)


@pytest.mark.parametrize("name", ["y", "s.y", "t=y"])
def test_a_value_of_a_scorer_is_named_by_itself_or_with_its_scorer(name: str) -> None:
    answers = [Scored("a", {Rule("t", "s", key=key): 1.0 for key in "xy"})]
    assert chosen(*answers, metrics=(name,)) == "s.y"


def test_records_say_which_way_is_up() -> None:
    answers = [scored("a", odd=0.5), scored("b", "u", wer=0.5)]
    found = choose(answers, [(Path("r"), "t", "odd", False), (Path("r"), "u", "wer", True)]).choices
    assert (found["t"].lower, found["u"].lower) == (True, False)
    with pytest.raises(SettingsError, match="higher_is_better of odd is true in r and false in s"):
        choose(answers, [(Path("r"), "t", "odd", True), (Path("s"), "t", "odd", False)])


def test_a_task_without_a_score_between_0_and_1_is_told() -> None:
    found = choose([scored("a", bleu=31.5), scored("a", "u", acc=1.0), scored("a", "v", perplexity=None)])
    assert (list(found.choices), found.notes) == (["u"], ("t: bleu reaches 31.5, and scores must lie between 0 and 1",))


def test_many_tasks_of_one_rule_are_one_line() -> None:
    found = choose([scored("a", f"t{at}", acc=1.0) for at in range(57)])
    assert found.lines() == ["t0, t1, t2 and 54 more: scored by acc"]


# --- in files -----------------------------------------------------------------------------------------------------------------


def harness(folder: Path, *rows: dict[str, Any], task: str = "gsm8k", suffix: str = "") -> Path:
    """Samples: each row the scores of one item under one filter; items are counted by filter."""
    folder.mkdir(parents=True, exist_ok=True)
    met: dict[str, int] = {}
    lines = []
    for row in rows:
        values = {key: value for key, value in row.items() if key != "filter"}
        name = row.get("filter", "none")
        met[name] = met.get(name, -1) + 1
        lines.append(
            {"doc_id": met[name], "doc": {"question": "q"}, "filter": name, "metrics": list(values), "filtered_resps": [name], **values}
        )
    write_jsonl(folder / f"samples_{task}_{WHEN}.jsonl{suffix}", lines)
    return folder


def inspect(path: Path, *scores: dict[str, Any], model: str = "m", status: str = "success", **head: Any) -> Path:
    samples = [
        {"id": at, "epoch": 1, "input": "q", "scores": {name: {"value": value} for name, value in one.items()}}
        for at, one in enumerate(scores)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    log = {"version": 2, "status": status, "eval": {"task": "t", "model": model, **head}, "samples": samples}
    path.write_bytes(gzip.compress(json.dumps(log).encode()) if path.suffix == ".gz" else json.dumps(log).encode())
    return path


def evalplus(path: Path, *status: tuple[str, str | None]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tasks = {f"HumanEval/{at}": [{"base_status": base, "plus_status": plus}] for at, (base, plus) in enumerate(status)}
    path.write_text(json.dumps({"eval": tasks}))
    return path


def scores(*paths: Path, **options: Any) -> list[tuple[str, list[float]]]:
    log = read_results([str(path) for path in paths], **options)
    return [(name, log.correct[log.of_learner(at)].round(4).tolist()) for at, name in enumerate(log.learners)]


STRICT = [{"filter": "strict-match", "exact_match": one} for one in (0.0, 1.0)]
LOOSE = [{"filter": "flexible-extract", "exact_match": 1.0} for _ in range(2)]


def pair(folder: Path, kind: str) -> tuple[Path, Path]:
    """Two sides with the same scores, told in another order or with something more."""
    if kind == "filters":
        return harness(folder / "a", *STRICT, *LOOSE), harness(folder / "b", *LOOSE, *STRICT)
    if kind == "packed":
        return harness(folder / "a", *STRICT), harness(folder / "b", *STRICT, suffix=".gz")
    if kind == "metrics":
        rows = [{"bleu_max": 0.3, "bleu_acc": one} for one in (0, 1)]
        return harness(folder / "a", *rows), harness(folder / "b", *({**row, "bleu_max": 30.0} for row in rows))
    if kind == "scorers":
        rows = [{"exact": one, "graded": "C"} for one in "IC"]
        return inspect(folder / "a.json", *rows, model="a"), inspect(
            folder / "b.json.gz", *({"graded": "C", "exact": one} for one in "IC"), model="b"
        )
    if kind == "keys":
        rows = [{"s": {"correct": one, "format": 1}} for one in (0, 1)]
        return inspect(folder / "a.json", *rows, model="a"), inspect(
            folder / "b.json", *({"s": {"format": 1, "correct": one}} for one in (0, 1)), model="b"
        )
    return (
        evalplus(folder / "a_eval_results.json", ("fail", "fail"), ("pass", "fail")),
        evalplus(folder / "b_eval_results.json", ("fail", None), ("pass", None)),
    )


@pytest.mark.parametrize("kind", ["filters", "packed", "metrics", "scorers", "keys", "plus"])
@pytest.mark.parametrize("turned", [False, True])
def test_the_same_answers_told_otherwise_do_not_differ(tmp_path: Path, kind: str, turned: bool) -> None:
    sides = sorted(pair(tmp_path, kind), reverse=turned)
    found = scores(*sides)
    assert [name for name, _ in found] == (["b", "a"] if turned else ["a", "b"])
    if kind != "scorers" or not turned:  # of scorers the first one of the first file counts
        assert [one for _, one in found] == [[0.0, 1.0]] * 2
    assert found[0][1] == found[1][1]


def test_the_answer_beside_a_flip_is_that_of_the_filter_that_counts(tmp_path: Path) -> None:
    one = harness(tmp_path / "a", *LOOSE, *STRICT)
    other = harness(tmp_path / "b", *LOOSE, *({"filter": "strict-match", "exact_match": 1.0} for _ in range(2)))
    made = run(CompareSettings((str(one), str(other))), tmp_path / "run")
    (flip,) = made.rows("flips.jsonl")
    assert (flip["item"], flip["said_before"], flip["said_after"]) == ("gsm8k/0", "strict-match", "strict-match")
    assert made.results("compare")["scored_by"] == ["gsm8k: scored by exact_match of the filter 'strict-match'"]
    assert made.results("compare")["rules"][0]["others"] == ["exact_match of the filter 'flexible-extract'"]


def test_less_is_better_where_the_record_says_so(tmp_path: Path) -> None:
    for name, value in (("a", 0.9), ("b", 0.1)):
        harness(tmp_path / name, *({"rate": value} for _ in range(4)), task="asr")
        (tmp_path / name / f"results_{WHEN}.json").write_text(json.dumps({"higher_is_better": {"asr": {"rate": False}}}))
    said = luthier("compare", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "run", "--quiet", "--fail-if-worse", "1").stdout
    assert "asr: scored by 1 less rate, of which less is better" in said
    assert "a → b: 10 % → 90 % of 4 items" in said
    assert "passed" in said
    assert "less is better" in (tmp_path / "run" / "report.html").read_text()
    assert (
        "FAILED"
        in luthier(
            "compare", tmp_path / "b", tmp_path / "a", "--out", tmp_path / "other", "--quiet", "--fail-if-worse", "1", ok=False
        ).stdout
    )


@pytest.mark.parametrize("name", [f"results_{WHEN}.json", f"results_{WHEN}.json.gz", "results_2025.json", "results.json"])
def test_records_lie_beside_samples_packed_or_of_another_time(tmp_path: Path, name: str) -> None:
    harness(tmp_path / "a", {"rate": 0.75}, task="asr", suffix=".gz" if name.endswith(".gz") else "")
    record = json.dumps({"model_name": "org/model", "higher_is_better": {"asr": {"rate": False}}}).encode()
    (tmp_path / "a" / name).write_bytes(gzip.compress(record) if name.endswith(".gz") else record)
    assert scores(tmp_path / "a") == [("org/model" if WHEN in name else "a", [0.25])]


def test_options_name_what_counts(tmp_path: Path) -> None:
    sides = [str(path) for path in pair(tmp_path, "filters")]
    found = run(CompareSettings(tuple(sides), filters=("flexible-extract",)), tmp_path / "run").results("compare")
    assert found["comparisons"][0]["total"]["before"] == 1.0
    assert ModelsSettings(tuple(sides), metrics=("gsm8k=exact_match",)).metrics == ("gsm8k=exact_match",)
    assert "there are exact_match" in luthier("compare", *sides, "--metric", "acc", "--out", tmp_path / "none", ok=False).stderr
    assert (
        "no score that all share"
        in luthier(
            "compare",
            harness(tmp_path / "c", {"acc": 1.0}),
            harness(tmp_path / "d", {"acc_norm": 1.0}),
            "--out",
            tmp_path / "none",
            ok=False,
        ).stderr
    )


@pytest.mark.parametrize("status", ["error", "success"])
def test_a_log_and_its_retry_are_one_run(tmp_path: Path, status: str) -> None:
    inspect(tmp_path / "1_t.json", {"s": "I"}, {"s": "I"}, status=status, created="2026-01-01T00:00:00")
    inspect(tmp_path / "2_t.json", {"s": "C"}, {"s": "I"}, created="2026-01-02T00:00:00")
    inspect(tmp_path / "3_t.json", {"s": "I"}, {"s": "I"}, status="cancelled", created="2026-01-03T00:00:00")
    inspect(tmp_path / "4_t.json", {"s": "C"}, {"s": "C"}, created="2026-01-03T00:00:00", model="other")
    inspect(tmp_path / "5_t.json", {"s": "C"}, {"s": "C"}, created="2026-01-04T00:00:00", model="third", task_args={"subject": "x"})
    inspect(tmp_path / "6_t.json", {"s": "I"}, {"s": "C"}, created="2026-01-05T00:00:00", model="third", task_args={"subject": "y"})
    with Account() as account:
        found = dict(scores(tmp_path))
    assert found == {"m": [1.0, 0.0], "other": [1.0, 1.0], "third": [1.0, 1.0, 0.0, 1.0]}
    assert ("an earlier run of a task that was run again", 2) in [(entry.reason, entry.rows) for entry in account.of("left out")]


def test_a_run_that_was_broken_off_counts_where_it_is_all_there_is_and_is_told(tmp_path: Path) -> None:
    with Account() as account:
        assert scores(inspect(tmp_path / "1_t.json", {"s": "C"}, status="error")) == [("m", [1.0])]
    assert "a log whose run ended as 'error'; the samples that it scored count" in [entry.reason for entry in account.of("understood")]
