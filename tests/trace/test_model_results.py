from __future__ import annotations

import gzip
import json
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from luthier.errors import BadRowError, FetchError, MissingFileError, SettingsError
from luthier.evaluate.choice import ChoiceScore
from luthier.records import write_jsonl, write_parquet
from luthier.records.choices import ChoiceQuestion
from luthier.records.files import SkippedRows, mapping
from luthier.records.inspect_logs import write_inspect_log
from luthier.trace.answers import AnswerLog
from luthier.trace.results import read_results
from luthier.trace.settings import ModelsSettings

ZEROEVAL = Path(__file__).parents[3] / "shared" / "data" / "zeroeval"


def told(log: AnswerLog) -> list[tuple[str, str, float]]:
    return [(row["learner"], row["item"], row["correct"]) for row in log.rows()]


# --- the long table -----------------------------------------------------------------------------------------------------------

ROWS = [("small", "a", 1), ("small", "b", 0), ("large", "a", 1), ("large", "b", 0.25)]


def table(path: Path, rows: Any = ROWS) -> Path:
    if ".csv" in path.name:
        text = "learner,item,correct\n" + "".join(f"{a},{b},{c}\n" for a, b, c in rows)
        path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    else:
        writer = write_parquet if path.suffix == ".parquet" else write_jsonl
        writer(path, [{"learner": a, "item": b, "correct": float(c)} for a, b, c in rows])
    return path


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.jsonl", "t.jsonl.gz", "t.parquet"])
def test_a_long_table_is_read_from_every_kind_of_file(tmp_path: Path, name: str) -> None:
    assert told(read_results([table(tmp_path / name)])) == ROWS


def test_quoted_headers_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('\ufeff"learner","item","correct","timestamp"\n"a, b","x",1,5\n"a, b","y",0,4\n', encoding="utf-8")
    log = read_results([tmp_path / "t.csv"])
    assert told(log) == [("a, b", "y", 0), ("a, b", "x", 1)]
    assert log.moved == 1


def test_items_bring_texts_and_concepts_and_a_name_goes_before_the_files(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "items.jsonl", [{"item": "a", "text": "one", "concepts": ["x", "y"]}, {"item": "new", "concepts": "x"}])
    file = table(tmp_path / "t.csv")
    log = read_results([f"mine={file}"], tmp_path / "items.jsonl")
    assert log.learners == ("mine",)
    assert [tuple(item) for item in log.catalogue.items] == [("a", "one", ("x", "y")), ("b", "", ()), ("new", "", ("x",))]


@pytest.mark.parametrize(
    ("name", "row", "line", "words"),
    [
        ("t.csv", "small,c,2", 6, "between 0 and 1"),
        ("t.csv", "small,c,nan", 6, "between 0 and 1"),
        ("t.csv", "small,c,maybe", 6, "give true or false"),
        ("t.csv", "small,c", 6, "expected are the columns"),
        ("t.jsonl", '{"learner": "a", "item": "b", "correct": 3}', 5, "between 0 and 1"),
        ("t.jsonl", '{"learner": "a", "correct": 1}', 5, "no item"),
        ("t.jsonl", '{"learner": "a", "item": "b", "correct": "maybe"}', 5, "give true or false"),
        ("t.jsonl", '{"learner": "a", "item": "b", "correct": 1, "timestamp": "now"}', 5, "timestamp"),
        ("t.jsonl", "{", 5, "not JSON"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(tmp_path: Path, name: str, row: str, line: int, words: str) -> None:
    file = table(tmp_path / name)
    with file.open("a") as stream:
        stream.write(row + "\n")
    with pytest.raises(BadRowError, match=words) as raised:
        read_results([file])
    assert (raised.value.path, raised.value.line) == (file, line)


def test_bad_rows_can_be_set_aside(tmp_path: Path) -> None:
    file = table(tmp_path / "t.jsonl")
    with file.open("a") as stream:
        stream.write('{"learner": "a", "item": "b", "correct": 3}\n')
    skipped = SkippedRows(tmp_path / "bad.jsonl")
    assert told(read_results([file], skipped=skipped)) == ROWS
    assert skipped.count == 1


def test_what_is_no_result_is_named_with_the_known_layouts(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    write_jsonl(tmp_path / "other.jsonl", [{"a": 1}])
    for path, kind in ((tmp_path, MissingFileError), (tmp_path / "notes.txt", BadRowError), (tmp_path / "other.jsonl", BadRowError)):
        with pytest.raises(kind, match="lm-evaluation-harness"):
            read_results([path])
    with pytest.raises(MissingFileError, match="does not exist"):
        read_results([tmp_path / "none"])


def test_learners_of_a_folder_stand_in_natural_order(tmp_path: Path) -> None:
    for step in (10, 2, 1):
        (tmp_path / f"step-{step}").mkdir()
        table(tmp_path / f"step-{step}" / "t.csv", [(f"step-{step}", "a", 1)])
    assert read_results([tmp_path]).learners == ("step-1", "step-2", "step-10")


@pytest.mark.skipif(not ZEROEVAL.is_dir(), reason=f"the models' answers are not here ({ZEROEVAL})")
def test_zeroeval_is_read_whole() -> None:
    log = read_results([ZEROEVAL / "events.csv.gz"], ZEROEVAL / "items.jsonl.gz")
    assert (len(log.learners), len(log.catalogue.items), len(log)) == (60, 2840, 128890)
    assert {concept.concept for concept in log.catalogue.concepts} == {"gsm", "crux", "math-l5"}
    assert all(item.text for item in log.catalogue.items)


# --- BFCL ---------------------------------------------------------------------------------------------------------------------


def bfcl_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The benchmark's own function that writes a score file."""
    from luthier.evaluate import bfcl

    monkeypatch.setenv("BFCL_PROJECT_ROOT", str(tmp_path / "bfcl"))  # it makes its folders when imported
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # a file more in the cache would be damage
    try:
        bfcl._load()
    except FetchError as problem:
        pytest.skip(str(problem))
    if "dotenv" not in sys.modules:
        monkeypatch.setitem(sys.modules, "dotenv", types.SimpleNamespace(load_dotenv=lambda *_, **__: None))
    helper = pytest.importorskip(
        "bfcl_eval.eval_checker.eval_runner_helper", reason="its dependencies are not installed", exc_type=ImportError
    )
    return helper.save_eval_results


def test_a_score_file_of_bfcl_gives_passes_and_failures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = bfcl_writer(tmp_path, monkeypatch)
    failures = [
        {"id": f"multiple_{at}", "model_name": "m", "test_category": "multiple", "valid": False, "error": ["wrong"], "prompt": {}}
        for at in (3, 17)
    ]
    write(failures, 198, [{}] * 200, "multiple", "my-model", tmp_path / "score")
    log = read_results([tmp_path])
    assert log.learners == ("my-model",)
    assert len(log) == 200
    assert {row["item"] for row in log.rows() if not row["correct"]} == {"bfcl/multiple_3", "bfcl/multiple_17"}
    assert log.catalogue.items[0].concepts == ("multiple",)
    assert "triangle" in log.catalogue.items[0].text


def score_file(folder: Path, total: int, failed: tuple[str, ...], answered: tuple[str, ...] = ()) -> Path:
    """As BFCL writes them; `answered` are the ids of the result file."""
    file = folder / "score" / "m" / "agentic" / "memory" / "kv" / "BFCL_v4_memory_kv_score.json"
    file.parent.mkdir(parents=True)
    head = {"accuracy": 0.5, "correct_count": total - len(failed), "total_count": total}
    file.write_text("".join(json.dumps(row) + "\n" for row in [head, *({"id": name, "valid": False} for name in failed)]))
    if answered:
        other = folder / "result" / "m" / "agentic" / "memory" / "kv" / "BFCL_v4_memory_kv_result.json"
        other.parent.mkdir(parents=True)
        other.write_text("".join(json.dumps({"id": name, "result": ""}) + "\n" for name in answered))
    return file


def test_bfcl_ids_come_from_the_result_file_where_the_package_has_none(tmp_path: Path) -> None:
    score_file(tmp_path, 3, ("kv_1",), ("kv_0", "kv_1", "kv_2"))
    assert told(read_results([tmp_path])) == [("m", "bfcl/kv_0", 1), ("m", "bfcl/kv_1", 0), ("m", "bfcl/kv_2", 1)]


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("packed", ["score", "result", "both"])
def test_packed_score_and_result_files_of_bfcl_are_read(tmp_path: Path, packed: str, beside: bool) -> None:
    file = score_file(tmp_path, 3, ("kv_1",), ("kv_0", "kv_1", "kv_2"))
    (results,) = tmp_path.rglob("*_result.json")
    results = results.replace(file.with_name(results.name)) if beside else results
    for kind, one in (("score", file), ("result", results)):
        if packed in (kind, "both"):
            one.with_name(f"{one.name}.gz").write_bytes(gzip.compress(one.read_bytes()))
            one.unlink()
    wanted = [("m", "bfcl/kv_0", 1), ("m", "bfcl/kv_1", 0), ("m", "bfcl/kv_2", 1)]
    assert told(read_results([tmp_path])) == wanted
    assert told(read_results([next(file.parent.glob("*_score.json*"))])) == wanted


@pytest.mark.parametrize("packed", [False, True])
def test_a_score_file_that_does_not_add_up_is_refused(tmp_path: Path, packed: bool) -> None:
    file = score_file(tmp_path, 3, ("kv_1",))
    if packed:
        file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
        file = file.with_name(f"{file.name}.gz")
    with pytest.raises(BadRowError, match=r"keep the `result` folder .* or BFCL_v4_memory_kv_result\.json beside it"):
        read_results([file])


# --- lm-evaluation-harness, Inspect, EvalPlus ---------------------------------------------------------------------------------


def test_samples_of_the_harness(tmp_path: Path) -> None:
    folder = tmp_path / "org__model"
    folder.mkdir()
    when = "2026-01-02T03-04-05.678901"
    rows = [
        {
            "doc_id": at,
            "doc": {"question": f"q{at}", "subject": "algebra" if at else ""},
            "target": "1",
            "arguments": {"gen_args_0": {"arg_0": "p"}},
            "resps": [["1"]],
            "filtered_resps": ["1"],
            "filter": name,
            "metrics": ["exact_match"],
            "doc_hash": "h",
            "exact_match": score,
        }
        for at, score in ((0, 1.0), (1, 0.0))
        for name in ("strict-match", "flexible-extract")
    ]
    write_jsonl(folder / f"samples_gsm8k_cot_{when}.jsonl", rows)
    log = read_results([tmp_path])
    assert told(log) == [("org__model", "gsm8k_cot/0", 1), ("org__model", "gsm8k_cot/1", 0)]
    assert [tuple(item)[1:] for item in log.catalogue.items] == [("q0", ("gsm8k_cot",)), ("q1", ("algebra",))]
    (folder / f"results_{when}.json").write_text(json.dumps({"model_name": "org/model"}))
    assert read_results([folder]).learners == ("org/model",)
    write_jsonl(folder / f"samples_gsm8k_cot_{when}.jsonl", [{**rows[0], "exact_match": None, "metrics": []}])
    with pytest.raises(BadRowError, match="no scored answer"):
        read_results([folder])


def test_logs_of_inspect(tmp_path: Path) -> None:
    samples = [
        {"question": f"q{at}", "options": ["x", "y"], "answer": "A", "chain": "so", "score": score, "held": "A", "metadata": {}}
        for at, score in enumerate((1, "I", "C", "P", 0.25))
    ]
    write_inspect_log(tmp_path / "log.json", samples, task="org/sums", model="mine", created="2026-01-01T00:00:00Z")
    log = read_results([tmp_path / "log.json"])
    assert log.learners == ("mine",)
    assert log.correct.tolist() == [1, 0, 1, 0.5, 0.25]
    assert log.catalogue.items[1] == ("sums/2", "q1", ("sums",))


def archive(path: Path, samples: list[Any]) -> Path:
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("header.json", json.dumps({"eval": {"task": "sums", "model": "hf/ckpt-1"}}))
        for at, sample in enumerate(samples):
            packed.writestr(f"samples/{at}_epoch_1.json", json.dumps(sample))
    return path


def test_an_archive_of_inspect_with_skills_and_samples_without_a_score(tmp_path: Path) -> None:
    sample = {"epoch": 1, "input": [{"role": "user", "content": "3 + 4?"}], "metadata": {"category": "carry"}}
    scored = [{**sample, "id": "a", "scores": {"match": {"value": "C"}, "other": {"value": "I"}}}, {**sample, "id": "b"}]
    log = read_results([archive(tmp_path / "log.eval", scored)])
    assert told(log) == [("hf/ckpt-1", "sums/a", 1)]
    assert log.catalogue.items[0] == ("sums/a", "3 + 4?", ("carry",))
    assert "1 of 2 samples were not scored" in log.notes[0]
    with pytest.raises(BadRowError, match="no scored answer"):
        read_results([archive(tmp_path / "none.eval", scored[1:])])
    with pytest.raises(BadRowError, match="neither a number nor one of C, I, P, N"):
        read_results([archive(tmp_path / "odd.eval", [{**sample, "id": "a", "scores": {"match": {"value": "maybe"}}}])])


def test_results_of_evalplus(tmp_path: Path) -> None:
    status = [("pass", "pass"), ("pass", "fail"), ("fail", "fail"), ("pass", None)]
    tasks = {
        "HumanEval/0": [{"base_status": a, "plus_status": b} for a, b in status],
        "HumanEval/1": [{"base_status": "pass", "plus_status": "pass"}],
    }
    (tmp_path / "model_eval_results.json").write_text(json.dumps({"date": "", "hash": "", "eval": tasks}))
    log = read_results([tmp_path])
    assert told(log) == [("model", "HumanEval/0", 0.5), ("model", "HumanEval/1", 1)]
    (tmp_path / "model_eval_results.json").write_text('{"eval": 3}')
    with pytest.raises(BadRowError, match="not results of EvalPlus"):
        read_results([tmp_path])


def test_annotations_of_alpaca_eval(tmp_path: Path) -> None:
    def annotated(model: str, preferences: list[object]) -> None:
        rows = [
            {
                "instruction": f"Ask {at}",
                "output_1": "r",
                "generator_1": "ref",
                "output_2": f"{model} {at}",
                "generator_2": model,
                "dataset": "koala",
                "annotator": "judge",
                "preference": preference,
                "time_per_example": 1.0,
            }
            for at, preference in enumerate(preferences)
        ]
        (tmp_path / model).mkdir(exist_ok=True)
        (tmp_path / model / "annotations.json").write_text(json.dumps(rows))

    annotated("small", [1, 2.0, "1.25", None])
    annotated("large", [2, 2, 1.5, 2])
    log = read_results([tmp_path / "small", tmp_path / "large"])
    assert [(learner, share) for learner, _, share in told(log)] == [
        *[("small", x) for x in (0, 1, 0.25)],
        *[("large", x) for x in (1, 1, 0.5, 1)],
    ]
    assert {item.text for item in log.catalogue.items} == {f"Ask {at}" for at in range(4)}
    assert {item.concepts for item in log.catalogue.items} == {("koala",)}
    for preference, problem in ((2.5, "it lies between 1"), (0, "it lies between 1")):
        annotated("odd", [preference])
        with pytest.raises(BadRowError, match=problem):
            read_results([tmp_path / "odd"])
    (tmp_path / "odd" / "annotations.json").write_text('[{"instruction": "x", "preference": 1}]')
    with pytest.raises(BadRowError, match=r"annotations\.json:1: no annotation of AlpacaEval: 'generator_1', 'generator_2' is missing"):
        read_results([tmp_path / "odd"])


# --- Luthier's own ------------------------------------------------------------------------------------------------------------


def test_scores_of_options(tmp_path: Path) -> None:
    questions = [ChoiceQuestion(f"q{at}", ("x", "y"), answer, group="ecqa", place=f"f:{at}") for at, answer in enumerate((0, 1, None))]
    write_jsonl(tmp_path / "scores.jsonl", [ChoiceScore(question, (-1.0, -2.0), (1, 1), (1, 1)).to_row() for question in questions])
    (tmp_path / "run.json").write_text(json.dumps({"settings": {"model": "bundled", "adapter": "runs/a"}}))
    log = read_results([tmp_path])
    assert log.learners == ("runs/a",)
    assert log.correct.tolist() == [1, 0]
    assert [item.text for item in log.catalogue.items] == ["q0", "q1"]
    assert log.notes


def test_judged_answers_keep_free_and_constrained_decoding_apart(tmp_path: Path) -> None:
    rows = [
        {
            "id": f"multiple_{at}",
            "category": "multiple",
            "decoding": decoding,
            "question": "?",
            "answer": "",
            "official": bool(at),
            "strict": False,
            "model": "m",
        }
        for at in (0, 1)
        for decoding in ("free", "constrained")
    ]
    for when in ("after", "before"):
        (tmp_path / when).mkdir()
        write_jsonl(tmp_path / when / "answers.jsonl", rows)
    (tmp_path / "run.json").write_text("{}")
    write_jsonl(tmp_path / "answers.jsonl", rows)
    log = read_results([tmp_path / "answers.jsonl", tmp_path])
    assert log.learners == ("m", f"{tmp_path.name} before", f"{tmp_path.name} after")
    assert {(item.item, item.concepts[0]) for item in log.catalogue.items} == {
        ("bfcl/multiple_0", "multiple"),
        ("bfcl/multiple_1", "multiple"),
        ("bfcl/multiple_0 constrained", "multiple, constrained"),
        ("bfcl/multiple_1 constrained", "multiple, constrained"),
    }
    assert np.bincount(log.learner).tolist() == [8, 4, 4]  # the folder holds answers.jsonl too


def test_columns_of_a_table_are_named(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("who,what,ok\na,x,1\nb,x,0\n")
    named = ("learner=who", "item=what", "correct=ok")
    settings = ModelsSettings(more=(str(tmp_path / "table.csv"),), mapped=named)
    log = read_results(settings.paths, columns=mapping(settings.mapped))
    assert (log.learners, [item.item for item in log.catalogue.items], log.correct.tolist()) == (("a", "b"), ["x"], [1.0, 0.0])
    with pytest.raises(SettingsError, match=r"--map lerner=…: a table of results has no such field"):
        ModelsSettings(more=("table.csv",), mapped=("lerner=who",))
