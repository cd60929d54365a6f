"""Logs of evaluations as programs write them, odd ones too: what is scored, what is not, and what is said about the rest."""

from __future__ import annotations

import copy
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.errors import BadRowError, LuthierError
from luthier.records import Account, SkippedRows, write_jsonl, write_parquet
from luthier.records.choices import read_choices
from luthier.trace.readers import read_answers
from luthier.trace.results import read_results

WHEN = "2026-01-02T03-04-05.678901"


def inspect_log(path: Path, *samples: Any, **head: Any) -> Path:
    log = {"version": 2, "status": "success", "eval": {"task": "org/t", "model": "m", **head}, "samples": list(samples)}
    path.write_text(json.dumps(log))
    return path


def sample(value: Any, number: int = 1, **more: Any) -> dict[str, Any]:
    return {"id": number, "epoch": 1, "input": "q", "target": "A", "scores": {"s": {"value": value}}, **more}


def told(path: Path, skipped: SkippedRows | None = None) -> list[tuple[str, float]]:
    return [(row["item"], row["correct"]) for row in read_results([path], skipped=skipped).rows()]


def test_a_score_counts_though_the_answer_beside_it_cannot_be_read(tmp_path: Path) -> None:
    with Account() as account:
        assert told(inspect_log(tmp_path / "log.json", sample("C", output={"choices": "none"}))) == [("t/1", 1)]
    assert "an answer that cannot be read" in "".join(account.lines())


# --- Inspect ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "score"),
    [
        ("C", 1),
        ("I", 0),
        ("P", 0.5),
        ("N", 0),
        ("c", 1),
        (1, 1),
        (0.25, 0.25),
        (True, 1),
        ("yes", 1),
        ("No", 0),
        ("true", 1),
        ("0.5", 0.5),
        ("1", 1),
        ({"acc": 0.5}, 0.5),
    ],
)
def test_values_of_scores(tmp_path: Path, value: Any, score: float) -> None:
    assert told(inspect_log(tmp_path / "log.json", sample(value))) == [("t/1", score)]


@pytest.mark.parametrize("value", [None, float("nan"), {}, {"acc": float("nan")}])
def test_samples_that_were_not_scored_are_left_out_and_counted(tmp_path: Path, value: Any) -> None:
    with Account() as account:
        assert told(inspect_log(tmp_path / "log.json", sample(value), sample("C", 2))) == [("t/2", 1)]
    assert [(entry.reason, entry.rows) for entry in account.of("left out")] == [("samples that were not scored", 1)]


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (sample([1, 0]), "is a list"),
        (sample("maybe"), "neither a number nor one of"),
        (5, "the sample is no object"),
        (None, "the sample is no object"),
        ("text", "the sample is no object"),
        ({**sample("C"), "scores": [1]}, "`scores` is no object"),
        ({**sample("C"), "metadata": "x"}, "`metadata` is no object"),
        ({**sample("C"), "input": 7}, "`input` is neither text nor a list"),
        ({**sample("C"), "input": ["q"]}, "a message of `input` is no object"),
    ],
)
def test_a_bad_sample_is_named_and_the_others_are_read(tmp_path: Path, bad: Any, words: str) -> None:
    path = inspect_log(tmp_path / "log.json", bad, sample("C", 2))
    skipped = SkippedRows(tmp_path / "bad.jsonl")
    assert told(path, skipped) == [("t/2", 1)]
    assert words in skipped.problems[0]
    assert f"{path}:1" in skipped.problems[0]
    with pytest.raises(BadRowError, match=r"log.json:1"):
        read_results([path])


@pytest.mark.parametrize("skipped", [None, SkippedRows()])
def test_scores_of_another_scale_are_none_by_halves(tmp_path: Path, skipped: SkippedRows | None) -> None:
    path = inspect_log(tmp_path / "log.json", sample(1), sample(7, 2), sample("0", 3), sample(10**400, 4))
    with pytest.raises(BadRowError, match=r"no scored answer .* reaches .*, and scores must lie between 0 and 1"):
        read_results([path], skipped=skipped)


def archive(path: Path, **members: Any) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name.replace("__", "/") + ".json", content if isinstance(content, bytes) else json.dumps(content))
    return path


@pytest.mark.parametrize(
    "members",
    [
        {"header": []},
        {"header": {"eval": 5}},
        {"header": b"{"},
        {"header": b"\xff\xfe"},
        {"header": {"eval": {"task": None, "model": 7}}, "samples__1": sample("C")},
        {"header": {"eval": {}}, "samples__1": []},
        {"header": {"eval": {}}, "samples__1": b"{"},
        {"header": {"eval": {}}, "samples__1": b"[" * 10_000},
        {"header": {"eval": {}}, "samples__1": {"output": {"choices": [5]}}},
        {"header": {"eval": {}}, "samples__1": {"output": [], "messages": 3}},
        {"samples__1": sample("C")},
        {},
    ],
)
def test_odd_archives_never_break_a_reader(tmp_path: Path, members: dict[str, Any]) -> None:
    path = archive(tmp_path / "log.eval", **members)
    for read in (
        lambda: list(read_choices(path, SkippedRows())),
        lambda: read_results([path], skipped=SkippedRows()),
        lambda: list(read_choices(path)),
    ):
        try:
            read()
        except LuthierError as problem:
            assert "log.eval" in str(problem)


def test_a_member_that_unpacks_without_an_end_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from luthier.records import inspect_logs

    monkeypatch.setattr(inspect_logs, "LONGEST_LINE", 1 << 20)
    with zipfile.ZipFile(tmp_path / "log.eval", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("header.json", "{}")
        file.writestr("samples/1.json", b" " * (64 << 20))
    skipped = SkippedRows()
    assert list(read_choices(tmp_path / "log.eval", skipped)) == []
    assert "holds more than 1 MiB" in skipped.problems[0]


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "reasoning", "reasoning": "Cork is light."}, {"type": "text", "text": "ANSWER: B"}],
        [{"type": "reasoning", "reasoning": "", "summary": "Cork is light."}, {"type": "text", "text": "ANSWER: B"}],
        ["Cork is light.", {"type": "text", "text": "ANSWER: B"}],
        "Cork is light.\nANSWER: B",
        "attachment://abc",
        [{"type": "text", "text": "attachment://abc"}],
    ],
)
def test_chains_hold_the_reasoning_first(tmp_path: Path, content: Any) -> None:
    one = {
        "id": 1,
        "epoch": 1,
        "input": "What floats?",
        "choices": ["stone", "cork"],
        "target": "B",
        "messages": [],
        "attachments": {"abc": "Cork is light.\nANSWER: B"},
        "output": {"choices": [{"message": {"role": "assistant", "content": content}}]},
    }
    (question,) = read_choices(inspect_log(tmp_path / "log.json", one))
    assert (question.chain, question.answer) == ("Cork is light.\nANSWER: B", 1)


def test_reasoning_of_older_logs_stands_beside_the_content(tmp_path: Path) -> None:
    said = {"role": "assistant", "reasoning": "Cork is light.", "content": "ANSWER: B"}
    one = {
        "id": 1,
        "input": [{"role": "user", "content": "What floats?"}],
        "choices": ["stone", "cork"],
        "target": ["B"],
        "messages": [said],
    }
    (question,) = read_choices(inspect_log(tmp_path / "log.json", one))
    assert question.chain == "Cork is light.\nANSWER: B"


# --- lm-evaluation-harness ----------------------------------------------------------------------------------------------------


def harness(folder: Path, rows: list[dict[str, Any]], task: str = "arc", when: str = WHEN) -> Path:
    folder.mkdir(exist_ok=True)
    write_jsonl(folder / f"samples_{task}_{when}.jsonl", rows)
    return folder


def answered(number: int, **more: Any) -> dict[str, Any]:
    return {"doc_id": number, "doc": {"question": f"q{number}"}, "metrics": ["acc"], "acc": 1.0, **more}


def test_of_several_filters_the_first_counts_and_the_others_are_told(tmp_path: Path) -> None:
    rows = [answered(n, filter=name, acc=score) for n in range(2) for name, score in (("strict", 1.0), ("flexible", 0.0))]
    with Account() as account:
        assert told(harness(tmp_path / "m", rows)) == [("arc/0", 1), ("arc/1", 1)]
    assert ("samples of the filter 'flexible'; those of 'strict' count", 2) in [(e.reason, e.rows) for e in account.of("left out")]


def test_of_a_task_that_was_run_twice_the_last_run_counts(tmp_path: Path) -> None:
    folder = harness(tmp_path / "m", [answered(0, acc=0.0)], when="2026-01-01T00-00-00.0")
    harness(folder, [answered(0, acc=1.0)], when="2026-02-01T00-00-00.0")
    harness(folder, [answered(0, acc=0.0)], task="arc_hard", when="2026-01-01T00-00-00.0")
    with Account() as account:
        assert sorted(told(folder)) == [("arc/0", 1), ("arc_hard/0", 0)]
    assert "an earlier run of a task that was run again" in [entry.reason for entry in account.of("left out")]


@pytest.mark.parametrize(
    "fields",
    [
        {"metrics": ["word_perplexity"], "word_perplexity": [-3.5, 7]},
        {"metrics": [], "acc": None},
        {"acc": float("nan")},
        {"metrics": ["bypass"], "bypass": 999},
        {"metrics": ["bleu"], "bleu": 31.5},
    ],
)
def test_samples_without_a_score_are_not_scored(tmp_path: Path, fields: dict[str, Any]) -> None:
    row = {name: value for name, value in {**answered(0), **fields}.items() if name != "acc" or "acc" in fields}
    folder = tmp_path / "m"
    folder.mkdir()
    lines = [json.dumps(row), json.dumps(answered(1))]
    (folder / f"samples_arc_{WHEN}.jsonl").write_text("\n".join(lines) + "\n")
    assert told(folder, SkippedRows()) == [("arc/1", 1)]


@pytest.mark.parametrize("resps", [[[[-5.1, False]], [[-7.2, True]]], [[["-5.1", "False"]], [["-7.2", "True"]]], [["-5.1", "False"]]])
def test_likelihoods_are_no_chains(tmp_path: Path, resps: Any) -> None:
    write_jsonl(tmp_path / "rows.jsonl", [{"doc": {"question": "q", "choices": ["a", "b"], "answer": 1}, "resps": resps, "doc_id": 0}])
    (question,) = read_choices(tmp_path / "rows.jsonl")
    assert question.chain is None


def test_a_damaged_record_of_the_run_names_no_model(tmp_path: Path) -> None:
    folder = harness(tmp_path / "m", [answered(0)])
    (folder / f"results_{WHEN}.json").write_text("{oops")
    assert read_results([folder]).learners == ("m",)


# --- EvalPlus and BFCL --------------------------------------------------------------------------------------------------------


def test_evalplus_tasks_that_cannot_be_read_are_set_aside(tmp_path: Path) -> None:
    good = [{"base_status": "pass", "plus_status": "fail"}, {"base_status": "pass", "plus_status": None}]
    path = tmp_path / "m_eval_results.json"
    path.write_text(
        json.dumps({"eval": {"HumanEval/0": good, "HumanEval/1": [["pass", []]], "HumanEval/2": 5, "HumanEval/3": [{"odd": 1}]}})
    )
    skipped = SkippedRows()
    assert told(path, skipped) == [("HumanEval/0", 0.5)]
    assert skipped.count == 3
    assert "task 'HumanEval/1'" in skipped.problems[0]


# --- tables -------------------------------------------------------------------------------------------------------------------

TABLE = [("m0", "i0", "code"), ("m0", "i1", "math"), ("m1", "i0", "code")]


@pytest.mark.parametrize("words", [("1", "0"), ("True", "False"), ("true", "FALSE"), ("1.0", "0.0")])
def test_tables_bring_texts_concepts_and_any_writing_of_right_and_wrong(tmp_path: Path, words: tuple[str, str]) -> None:
    lines = [f"{learner},{item},{words[at % 2]},question {item},{concept}" for at, (learner, item, concept) in enumerate(TABLE)]
    (tmp_path / "t.csv").write_text("learner,item,correct,text,concepts\n" + "\n".join(lines) + "\n")
    log = read_results([tmp_path / "t.csv"])
    assert [(row["item"], row["correct"]) for row in log.rows()] == [("i0", 1), ("i1", 0), ("i0", 1)]
    assert [tuple(item) for item in log.catalogue.items] == [("i0", "question i0", ("code",)), ("i1", "question i1", ("math",))]


def test_tables_of_all_kinds_read_alike(tmp_path: Path) -> None:
    rows = [{"learner": a, "item": b, "correct": n % 2 == 0, "text": f"q {b}", "concepts": [c, "all"]} for n, (a, b, c) in enumerate(TABLE)]
    write_jsonl(tmp_path / "t.jsonl", rows)
    write_parquet(tmp_path / "t.parquet", rows)
    cells = [[r["learner"], r["item"], str(r["correct"]), r["text"], json.dumps(r["concepts"]).replace('"', '""')] for r in rows]
    (tmp_path / "t.csv").write_text(
        "learner,item,correct,text,concepts\n" + "".join(",".join(f'"{cell}"' for cell in line) + "\n" for line in cells)
    )
    logs = [read_results([tmp_path / f"t.{kind}"]) for kind in ("jsonl", "parquet", "csv")]
    assert logs[0].catalogue == logs[1].catalogue == logs[2].catalogue
    assert [list(log.rows()) for log in logs[1:]] == [list(logs[0].rows())] * 2


def test_columns_of_tables_under_other_names(tmp_path: Path) -> None:
    names = {"learner": "model", "item": "task", "correct": "ok", "concepts": "skill"}
    (tmp_path / "t.csv").write_text("model,task,ok,skill,note\na,x,True,s,n\n")
    write_jsonl(tmp_path / "t.jsonl", [{"model": "a", "task": "x", "ok": True, "skill": "s", "note": "n"}])
    for name in ("t.csv", "t.jsonl"):
        with Account() as account:
            log = read_results([tmp_path / name], columns=names)
        assert [(row["learner"], row["item"], row["correct"]) for row in log.rows()] == [("a", "x", 1)]
        assert log.catalogue.items[0].concepts == ("s",)
        assert [entry.reason for entry in account.of("left out")] == ["field 'note' of answers of a table"]


@pytest.mark.parametrize("cell", ["2", "nan", "maybe", "", "-1", "inf"])
def test_bad_cells_are_set_aside_by_line_and_the_others_read(tmp_path: Path, cell: str) -> None:
    (tmp_path / "t.csv").write_text(f'learner,item,correct,text\na,x,1,"two\nlines"\na,y,{cell},t\na,z,0,t\n')
    skipped = SkippedRows()
    assert told(tmp_path / "t.csv", skipped) == [("x", 1), ("z", 0)]
    assert len(skipped.problems) == 1
    assert "t.csv:4:" in skipped.problems[0]


# --- the rule -----------------------------------------------------------------------------------------------------------------

LOGS: dict[str, Any] = {
    "log.json": {
        "status": "success",
        "eval": {"task": "t", "model": "m"},
        "samples": [sample("C", metadata={"skill": "s"}, messages=[{"role": "user", "content": [{"type": "text", "text": "x"}]}])],
    },
    f"samples_arc_{WHEN}.jsonl": answered(0),
    "t.jsonl": {"learner": "a", "item": "x", "correct": 1, "concepts": ["s"]},
    "m_eval_results.json": {"eval": {"HumanEval/0": [{"base_status": "pass"}]}},
}


def objects_in(value: Any) -> list[dict[str, Any]]:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return ([value] if isinstance(value, dict) else []) + [found for each in inside for found in objects_in(each)]


@pytest.mark.parametrize("name", LOGS)
@given(data=st.data(), value=st.sampled_from(["sentinel", 7, True, ["sentinel"], {"deep": "sentinel"}]))
@settings(max_examples=60, deadline=None)
def test_a_field_added_to_an_answer_is_told(name: str, data: st.DataObject, value: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    log = copy.deepcopy(LOGS[name])
    inside = log["samples"] if "samples" in log else log["eval"] if name.startswith("m_") else log
    places = [place for place in objects_in(inside) if place is not (log.get("eval"))]
    data.draw(st.sampled_from(places))["zzfield"] = value
    path = tmp_path_factory.mktemp("logs") / name
    path.write_text(json.dumps(log) + "\n")
    skipped = SkippedRows()
    with Account() as account:
        try:
            out = repr(list(read_results([path], skipped=skipped).rows()))
        except BadRowError as problem:
            out = str(problem)
    assert (
        "zzfield" in out
        or any("zzfield" in entry.reason for entry in account.entries)
        or (skipped.count and "zzfield" in skipped.problems[0])
    )


@pytest.mark.parametrize("cell", ["a;b", "a|b", "['a' 'b']", "('a', 'b')", "a~~b"])
@pytest.mark.parametrize("column", ["concepts", "concept"])
def test_concepts_are_read_as_those_of_learners_are(tmp_path: Path, cell: str, column: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f'learner,item,correct,{column}\nA,x,1,"{cell}"\nB,x,0,"{cell}"\n')
    [item] = read_results([path]).catalogue.items
    [same] = read_answers([path]).catalogue.items
    assert item.concepts == same.concepts
    assert item.concepts == (("a", "b") if column == "concepts" or "[" in cell or "(" in cell or "~" in cell else (cell,))
