"""Knowledge tracing on the command line: import, fit, evaluate, mastery, advice; stopped, killed and misused."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from chat_server import ChatServer, completion
from command import luthier as command
from interruption import kill_after
from luthier.records import read_rows, write_jsonl
from luthier.trace.answers import AnswerCollector, Catalogue, Edge, Item
from luthier.trace.readers import read_answers, write_long_table
from luthier.trace.settings import TracerSettings, TrainingSettings, encoder_on
from luthier.trace.tracer import Tracer
from retrieval_tasks import static_folder

SKILLS = ("adding numbers", "adding fractions", "multiplying numbers", "drawing graphs")


def luthier(*words: object, ok: bool = True) -> str:
    said = command("trace", *words, ok=ok)
    return said.stdout if ok else said.stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the long table of 160 learners and an encoder of the words in it."""
    folder, random = tmp_path_factory.mktemp("trace"), np.random.default_rng(0)
    items = [Item(f"{skill} {n}", f"{skill} question {n}", (skill,)) for skill in SKILLS for n in range(4)]
    collector = AnswerCollector()
    for learner in range(160):
        ability = random.normal(0, 1.2)
        for time in range(int(random.integers(10, 20))):
            item = items[int(random.integers(len(items)))]
            collector.add(f"pupil {learner}", item.item, float(random.random() < 1 / (1 + np.exp(-ability))), float(time))
    log = collector.log(Catalogue.of(items, (), [Edge(SKILLS[0], SKILLS[1])]))
    write_long_table(log, folder / "answers")
    static_folder(folder / "encoder", ["adding", "numbers", "fractions", "multiplying", "drawing", "graphs", "question"], 24)
    return folder


def drawn_again(folder: Path) -> bool:
    """Whether `luthier report` draws the page that the command itself wrote."""
    page = (folder / "report.html").read_bytes()
    (folder / "report.html").unlink()
    command("report", folder)
    return (folder / "report.html").read_bytes() == page


def settings(place: Path) -> list[object]:
    return ["--encoder", place / "encoder", "--dim", 8, "--epochs", 2, "--quiet"]


@pytest.fixture(scope="module")
def run(place: Path) -> Path:
    said = luthier("fit", place / "answers", "--out", place / "run", *settings(place))
    assert "160 learners" in said
    assert "AUC" in said
    return place / "run"


def test_a_fit_leaves_a_tracer_and_a_record_and_is_kept(place: Path, run: Path):
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "done"
    assert record["data"]["learners"] == 160
    assert len(record["inputs"]) == 5  # four files and the encoder's folder
    state = Tracer.load(run / "tracer").start()
    assert state.answers == 0
    before = (run / "tracer" / "tracer.safetensors").stat().st_mtime_ns
    luthier("fit", place / "answers", "--out", run, *settings(place))
    assert (run / "tracer" / "tracer.safetensors").stat().st_mtime_ns == before
    assert drawn_again(run)


def test_a_changed_byte_of_data_or_encoder_is_noticed(place: Path, tmp_path: Path):
    shutil.copytree(place / "answers", tmp_path / "answers")
    shutil.copytree(place / "encoder", tmp_path / "encoder")
    words = [
        "fit",
        tmp_path / "answers",
        "--encoder",
        tmp_path / "encoder",
        "--dim",
        4,
        "--epochs",
        1,
        "--out",
        tmp_path / "run",
        "--quiet",
    ]
    luthier(*words)
    tracer = tmp_path / "run" / "tracer" / "tracer.safetensors"
    for number, name in enumerate(("answers/events.jsonl", "encoder/model.safetensors"), 1):
        before, content = tracer.read_bytes(), bytearray((tmp_path / name).read_bytes())
        content[-2 if number == 2 else re.search(rb"correct\D+1", content).end() - 1] ^= 1
        (tmp_path / name).write_bytes(content)
        assert "holds a run of other data or settings" in luthier(*words, ok=False)
        assert tracer.read_bytes() == before
        luthier(*words, "--replace")
        assert tracer.read_bytes() != before
        assert (tmp_path / f"run.{number}" / "tracer" / "tracer.safetensors").read_bytes() == before


def test_more_draws_keep_those_that_are_done(place: Path, tmp_path: Path):
    words = ["evaluate", place / "answers", "--resamples", 20, "--out", tmp_path / "run", *settings(place)]
    luthier(*words)
    first = json.loads((tmp_path / "run" / "run.json").read_text())
    luthier(*words, "--draws", 2, "--replace")
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["steps"]["draw-0"] == first["steps"]["draw-0"]
    assert record["over_draws"]["draws"] == 2


def test_a_killed_fit_continues_to_the_same_tracer(place: Path, run: Path, tmp_path: Path):
    words = [str(word) for word in ["trace", "fit", place / "answers", "--out", tmp_path / "run", *settings(place)]]
    kill_after(words, tmp_path / "run" / "epochs" / "epochs.json", 1)
    luthier(*words[1:])
    one, two = (folder / "tracer" / "tracer.safetensors" for folder in (run, tmp_path / "run"))
    assert one.read_bytes() == two.read_bytes()


def test_an_evaluation_scores_everything_and_draws_its_page(place: Path, tmp_path: Path):
    words = ["evaluate", place / "answers", "--hold", "concepts", "--draws", 2, "--resamples", 20, "--out", tmp_path, *settings(place)]
    said = luthier(*words)
    assert {"sinkt", "dkt", "dkt-known", "irt", "bkt", "running", "running+difficulty", "mean"} <= {
        line.split(" ")[0] for line in said.splitlines()
    }
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["over_draws"]["draws"] == 2
    page = (tmp_path / "report.html").read_text()
    for title in ("Beside what it has to beat", "Over 2 draws", "Cold start", "Do the chances mean what they say?"):
        assert title in page
    assert "<script" not in page
    for draw in ("draw-0", "draw-1"):
        assert (tmp_path / draw / "audit.csv").read_text().startswith("user_id,timestamp,split")
        assert len(json.loads((tmp_path / draw / "split.json").read_text())["held_concepts"]) == 1
    assert json.loads(luthier(*words, "--json"))["over_draws"] == record["over_draws"]
    assert drawn_again(tmp_path)


def test_mastery_is_a_table_and_a_page(place: Path, run: Path, tmp_path: Path):
    luthier("mastery", run, place / "answers", "--out", tmp_path / "all", "--quiet")
    rows = list(csv.DictReader((tmp_path / "all" / "mastery.csv").open()))
    log = read_answers([place / "answers"])
    assert sum(float(row["answers"]) for row in rows) == len(log)
    assert all(float(row["low"]) <= float(row["mastery"]) <= float(row["high"]) for row in rows)
    page = (tmp_path / "all" / "report.html").read_text()
    for title in ("Concepts over time", "The class", "Learners one by one", "How concepts hang together"):
        assert title in page
    assert drawn_again(tmp_path / "all")
    said = luthier("mastery", run, place / "answers", "--learner", "pupil 3", "--out", tmp_path / "one", "--quiet")
    assert "pupil 3:" in said
    assert "1 learners" in said


def test_a_killed_mastery_run_continues_to_the_same_rows(place: Path, run: Path, tmp_path: Path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    luthier("mastery", run, place / "answers", "--out", whole, "--quiet")
    kill_after(["trace", "mastery", str(run), str(place / "answers"), "--out", str(cut), "--quiet"], cut / "learners.jsonl", 20)
    luthier("mastery", run, place / "answers", "--out", cut, "--quiet")
    for name in ("learners.jsonl", "mastery.csv"):
        assert (whole / name).read_bytes() == (cut / name).read_bytes(), name


def test_new_items_find_their_place_by_text_and_bare_ones_are_refused(place: Path, run: Path, tmp_path: Path):
    path = tmp_path / "new.csv"
    path.write_text("learner,item,correct,concept\nnew,week 9 a,1,adding numbers\nnew,week 9 b,0,dividing numbers\n")
    said = luthier("mastery", run, path, "--learner", "new", "--out", tmp_path / "out", "--quiet")
    assert "3 items and concepts that training did not know" in said
    assert "dividing numbers" in said
    path.write_text("learner,item,correct\nnew,week 9 a,1\n")
    said = luthier("mastery", run, path, "--out", tmp_path / "bare", "--quiet", ok=False)
    assert not (tmp_path / "bare").exists()
    assert "new.csv: the item 'week 9 a' was not trained and has neither text nor concepts" in said


def test_names_are_escaped_on_pages(place: Path, run: Path, tmp_path: Path):
    items = [row for _, row in read_rows(place / "answers" / "items.jsonl")]
    write_jsonl(tmp_path / "answers.jsonl", [{"learner": "<img src=x>", "item": items[n]["item"], "correct": n % 2} for n in range(6)])
    luthier("mastery", run, tmp_path / "answers.jsonl", "--out", tmp_path / "out", "--quiet")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<img" not in page
    assert "&lt;img src=x&gt;" in page


def test_advice_and_explanations(place: Path, run: Path):
    found = json.loads(
        luthier(
            "recommend", run, place / "answers", "--learner", "pupil 5", "-n", 3, "--target", 0.05, 0.95, "--ignore-prerequisites", "--json"
        )
    )
    assert len(found) == 3
    assert all(0.05 <= one["chance"] <= 0.95 for one in found)
    assert "widen --target" in luthier("recommend", run, place / "answers", "--learner", "pupil 5", "--target", 0.998, 0.999)
    told = luthier("explain", run, place / "answers", "--learner", "pupil 5", "--item", found[0]["item"])
    assert "points by answer" in told


def test_import_writes_what_it_read(place: Path, tmp_path: Path):
    path = tmp_path / "assist.csv"
    path.write_text("order_id,user_id,problem_id,correct,skill_name\n3,a,7,1,Mean\n1,a,8,0,Mode\n3,a,7,1,Range\n")
    said = luthier("import", path, "--out", tmp_path / "long")
    assert "2 answers of 1 learners to 2 items of 3 concepts" in said
    assert "1 rows merged" in said
    assert "1 sorted by time" in said
    assert len(read_answers([tmp_path / "long"])) == 2
    assert "1 rows merged" in (tmp_path / "long" / "report.html").read_text()
    assert drawn_again(tmp_path / "long")
    path.write_text("learner,item,correct\na,7,1\na,8,0\n")
    luthier("import", path, "--out", tmp_path / "timeless")
    assert "2 answers, drawn by the seed" in (tmp_path / "timeless" / "report.html").read_text()


def test_a_step_is_exported(run: Path, tmp_path: Path):
    pytest.importorskip("onnx")
    assert "step.onnx" in luthier("export", run, tmp_path / "step.onnx")
    assert (tmp_path / "step.onnx").stat().st_size > 1000


def test_a_served_model_chooses_relations_that_a_fit_takes(place: Path, tmp_path: Path):
    with ChatServer(lambda request: completion('{"before": [1], "related": [2]}')) as server:
        words = [
            "relate",
            place / "answers",
            "--model",
            "any",
            "--endpoint",
            server.url,
            "--encoder",
            place / "encoder",
            "--out",
            tmp_path / "relations",
            "--quiet",
        ]
        said = luthier(*words)
        asked = len(server.requests)
        luthier(*words)
        assert len(server.requests) == asked  # every reply is kept
    assert "edges into 4 concepts" in said
    assert "against the expert's edges" in said
    assert {row["provenance"] for _, row in read_rows(tmp_path / "relations" / "edges.jsonl")} == {"llm"}
    assert drawn_again(tmp_path / "relations")
    luthier("fit", place / "answers", "--edges", tmp_path / "relations" / "edges.jsonl", "--out", tmp_path / "run", *settings(place))


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ("learner,item,correct\na,q,2\n", "2: correct is 2; it must lie between 0 and 1"),
        ("learner,item,correct\na,q,maybe\n", "2: the label 'maybe'"),
        ("learner,item,correct\na,,1\n", "2: the item is missing"),
        ("learner,thing\na,q\n", "1: the layout of the answers is not clear"),
        ("learner,item,correct\n", "no answer"),
    ],
)
def test_bad_answers_are_named_by_file_and_line(tmp_path: Path, rows: str, told: str):
    (tmp_path / "bad.csv").write_text(rows)
    said = luthier("fit", tmp_path / "bad.csv", "--out", tmp_path / "run", ok=False)
    assert told in said
    assert "bad.csv" in said
    assert len(said.strip().splitlines()) == 1


def test_other_misuse_is_one_line(place: Path, run: Path, tmp_path: Path):
    for words, told in (
        (["fit", tmp_path / "none.csv", "--out", tmp_path / "a"], "does not exist"),
        (
            ["fit", place / "answers", "--learning-rate", "nan", "--out", tmp_path / "f"],
            "--learning-rate is nan; give a number above 0 to 1",
        ),
        (
            ["fit", place / "answers", "--learning-rate", "inf", "--out", tmp_path / "f"],
            "--learning-rate is inf; give a number above 0 to 1",
        ),
        (["recommend", run, place / "answers", "--learner", "pupil 5", "--target", "nan", 1], "--target is nan"),
        (["recommend", run, place / "answers", "--learner", "pupil 5", "--target", 0.8, 0.2], "is not a range"),
        (["export", run, run / "tracer" / "tracer.json"], "is read and would be written over"),
        (["mastery", tmp_path, place / "answers", "--out", tmp_path / "b"], "no tracer.json"),
        (["mastery", run, place / "answers", "--learner", "nobody", "--out", tmp_path / "c", "--quiet"], "has no answers"),
        (["fit", place / "answers", "--encoder", "nothing", "--out", tmp_path / "d", "--quiet"], "nothing: no such model"),
        (
            ["fit", place / "answers", "--device", "tpu", "--out", tmp_path / "g", "--quiet"],
            "--device is 'tpu'; give cpu, cuda, cuda:N or mps",
        ),
        (["mastery", run, place / "answers", "--device", "tpu", "--out", tmp_path / "h", "--quiet"], "--device is 'tpu'"),
        (["recommend", run, place / "answers", "--learner", "pupil 5", "--device", "tpu"], "--device is 'tpu'"),
        (["models", place / "answers", "--embedder", "none", "--device", "cpu", "--out", tmp_path / "i"], "--device is of a text encoder"),
        (["fit", place / "answers", "--least", 500, *settings(place), "--out", tmp_path / "e"], "no learner has 500 answers"),
    ):
        said = luthier(*words, ok=False)
        assert told in said
        assert len(said.strip().splitlines()) == 1


def test_the_device_reaches_the_encoder(tiny_model_folder: Path, run: Path):
    assert vars(TrainingSettings(data=("x",), device="cpu").open_encoder(str(tiny_model_folder)))["device"] == "cpu"
    assert vars(Tracer(TracerSettings(encoder=str(tiny_model_folder)), device="cpu").embedder)["device"] == "cpu"
    assert vars(encoder_on(str(tiny_model_folder), "auto"))["device"] == "auto"


@pytest.mark.weights
def test_the_bundled_encoder_reads_skills(place: Path, tmp_path: Path):
    from luthier.errors import FetchError
    from luthier.models.minilm import pull

    try:
        pull()
    except FetchError as problem:
        pytest.skip(str(problem))
    luthier("fit", place / "answers", "--epochs", 1, "--dim", 8, "--out", tmp_path / "run", "--quiet")
    assert Tracer.load(tmp_path / "run" / "tracer").settings.encoder == "minilm"


def test_answers_without_concepts_are_evaluated_fairly_and_mastery_is_refused(place: Path, tmp_path: Path):
    rows = [row for _, row in read_rows(place / "answers" / "events.jsonl")]
    write_jsonl(tmp_path / "answers.jsonl", rows)
    words = ["evaluate", tmp_path / "answers.jsonl", "--resamples", 20, "--out", tmp_path / "run", *settings(place)]
    said = luthier(*words)
    assert "no item has a concept: BKT is left out, and DKT reads items" in said.splitlines()[0]
    assert {"sinkt", "dkt", "irt", "running", "running+difficulty", "mean"} == {line.split(" ")[0] for line in said.splitlines()[1:-1]}
    scores = json.loads((tmp_path / "run" / "run.json").read_text())["steps"]["draw-0"]["results"]["scores"]
    assert scores["running+difficulty"]["all"] != scores["running"]["all"]
    assert "BKT is left out" in (tmp_path / "run" / "report.html").read_text()
    assert "there is nothing to hold out" in luthier(*words[:-1], "--hold", "concepts", "--out", tmp_path / "held", ok=False)
    luthier("fit", tmp_path / "answers.jsonl", "--out", tmp_path / "fit", *settings(place))
    said = luthier("mastery", tmp_path / "fit", tmp_path / "answers.jsonl", "--out", tmp_path / "mastery", ok=False)
    assert "mastery is told by concept, and no item has one" in said


def test_columns_are_named_on_the_command_line(tmp_path: Path):
    (tmp_path / "t.csv").write_text("who,what,verdict,area\n7,q,1,a\n7,r,0,b\n")
    words = ["import", tmp_path / "t.csv", "--map", "learner=who", "--map", "item=what", "--map", "correct=verdict", "--quiet"]
    said = luthier(*words, "--out", tmp_path / "long")
    assert "2 answers of 1 learners to 2 items of 0 concepts, 50% right; columns that are not read: area" in said
    data = json.loads((tmp_path / "long" / "run.json").read_text())["data"]
    assert data["notes"] == ["columns that are not read: area"]
    for more, told in (
        ("concept", "write it as FIELD=COLUMN"),
        ("item=area", "item is 'what' already"),
        ("grade=area", "no field 'grade'"),
    ):
        assert told in luthier(*words, "--map", more, "--out", tmp_path / "no", ok=False)
