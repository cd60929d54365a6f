"""`luthier select` on files: what it writes, what it says before, side by side and row by row."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from luthier.errors import BadRowError, SettingsError
from luthier.records import read_rows, write_jsonl, write_parquet
from luthier.records.account import Account
from luthier.select.answers import explain, forecast, ratio
from luthier.select.runs import compare, repeated_prompts, run
from luthier.select.selection import select
from luthier.select.settings import ComparisonSettings, ExplainSettings, RatioSettings, SelectionSettings, SelectSettings
from luthier.select.zip import Zip, _Compressed
from select_rows import make_rows

OPEN = {"noise": None, "near": None}


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    path = tmp_path / "pool.jsonl"
    write_jsonl(path, make_rows(150))
    return path


def command(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return luthier("select", *words, cwd=cwd)


def luthier(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from luthier.cli import main; main()", *words],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
        env=os.environ,
    )


def test_the_chosen_rows_the_account_and_the_reasons_are_written(pool: Path, tmp_path: Path) -> None:
    words = ["run", "pool.jsonl", "--out", "best", "--budget", "10%", "--k3", "5", "--quiet"]
    done = command(*words, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    report = record["steps"]["choose"]["results"]
    assert record == json.loads((tmp_path / "best" / "run.json").read_text())
    assert report["rows"] == len((tmp_path / "best" / "selected.jsonl").read_bytes().splitlines()) == 15
    told = [row for _, row in read_rows(tmp_path / "best" / "scores.jsonl.gz")]
    assert len(told) == 150
    assert sum(row["taken"] for row in told) == 15
    lines = pool.read_bytes().splitlines()
    by_rank = sorted((row["rank"], row["row"]) for row in told if row["taken"])
    assert (tmp_path / "best" / "selected.jsonl").read_bytes().splitlines() == [lines[number - 1] for _, number in by_rank]
    said = command(*words, cwd=tmp_path).stdout
    assert "15 of 150 rows -> best/selected.jsonl" in said
    assert f"32K {report['ratio']['32K']:.2f}" in said
    page = (tmp_path / "best" / "report.html").read_bytes()
    assert luthier("report", "best", cwd=tmp_path).returncode == 0
    assert (tmp_path / "best" / "report.html").read_bytes() == page


def test_a_finished_run_is_kept_and_another_format_chooses_nothing_again(pool: Path, tmp_path: Path) -> None:
    out, words = tmp_path / "best", ["run", "pool.jsonl", "--out", "best", "--budget", "12", "--k3", "5", "--quiet"]
    assert command(*words, cwd=tmp_path).returncode == 0
    kept = {name: (out / name).stat().st_mtime_ns for name in ("selected.jsonl", "scores.jsonl.gz")}
    assert command(*words, cwd=tmp_path).returncode == 0
    assert {name: (out / name).stat().st_mtime_ns for name in kept} == kept
    refused = command(*words, "--format", "parquet", cwd=tmp_path)
    assert refused.returncode == 2
    assert "(format was" in refused.stderr
    assert command(*words, "--format", "parquet", "--replace", cwd=tmp_path).returncode == 0
    steps, before = (json.loads((folder / "run.json").read_text())["steps"] for folder in (out, tmp_path / "best.1"))
    assert {name: steps[name] for name in ("choose", "shown")} == {name: before[name] for name in ("choose", "shown")}
    rows = [[row for _, row in read_rows(path)] for path in (out / "selected.parquet", tmp_path / "best.1" / "selected.jsonl")]
    assert rows[0] == rows[1]
    pool.write_bytes(pool.read_bytes().replace(b"a", b"b", 1))
    changed = command(*words, "--format", "parquet", cwd=tmp_path)
    assert "pool.jsonl has changed" in changed.stderr
    assert (out / "selected.parquet").exists()


def test_an_input_is_never_written_over(pool: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    inside = tmp_path / "mine" / "selected.jsonl"
    inside.write_bytes(pool.read_bytes())
    before = inside.read_bytes()
    done = command("run", "mine/selected.jsonl", "--budget", "3", "--out", "mine", cwd=tmp_path)
    assert done.returncode == 2
    assert "selected.jsonl: is there already and is not of this run" in done.stderr
    assert command("run", "pool.jsonl", "--budget", "3", "--out", "made", "--quiet", cwd=tmp_path).returncode == 0
    chosen = (tmp_path / "made" / "selected.jsonl").read_bytes()
    for words in (["made/selected.jsonl"], ["pool.jsonl", "--exclude", "made/selected.jsonl"]):
        done = command("run", *words, "--budget", "2", "--out", "made", "--replace", cwd=tmp_path)
        assert done.returncode == 2
        assert "lies in the run that would be moved aside" in done.stderr
    for words in (
        ["pool.jsonl", "--skip-bad", "pool.jsonl"],
        ["pool.jsonl", "--exclude", "mine/selected.jsonl", "--skip-bad", "mine/selected.jsonl"],
    ):
        done = command("run", *words, "--budget", "3", "--out", "other", cwd=tmp_path)
        assert "is read and would be written over" in done.stderr
    assert inside.read_bytes() == pool.read_bytes() == before
    assert (tmp_path / "made" / "selected.jsonl").read_bytes() == chosen


def test_the_forecast_counts_what_is_then_measured(pool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = SelectionSettings(str(pool), budget=60, method="zip", k1=50, k2=20, k3=10, **OPEN)
    plan = forecast(settings)
    assert plan.seconds > 0
    measured = []
    sizes_with = _Compressed.sizes_with
    monkeypatch.setattr(_Compressed, "sizes_with", lambda self, row: measured.append(1) or sizes_with(self, row))
    search = Zip([row["messages"][0]["content"].encode() for row in make_rows(150)], 50, 20, 10)
    for _, _ in zip(range(6), search.rounds(), strict=False):
        pass
    assert plan.measurements == len(measured)
    assert forecast(SelectionSettings(str(pool), budget="9k bytes", **OPEN)).measurements >= 150


def test_a_dry_run_writes_nothing(pool: Path, tmp_path: Path) -> None:
    done = command("run", "pool.jsonl", "--out", "best", "--budget", "10", "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "150 rows" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["pool.jsonl"]


def test_methods_stand_side_by_side(pool: Path, tmp_path: Path) -> None:
    settings = ComparisonSettings(str(pool), budget=20, k3=5, methods=("random*2", "longest", "zip-long"), **OPEN)
    made = compare(settings, tmp_path / "table")
    table = {name: made.results(name) for name in made.steps}
    assert list(table) == ["random (seed 0)", "random (seed 1)", "longest", "zip-long"]
    assert all(row["rows"] == 20 and set(row["ratio"]) == {"32K", "1M", "all"} for row in table.values())
    assert table["zip-long"]["ratio"]["all"] < table["longest"]["ratio"]["all"]
    one = run(SelectionSettings(str(pool), budget=20, k3=5, **OPEN), tmp_path / "one").results("choose")
    assert {name: one[name] for name in ("rows", "bytes", "ratio")} == {
        name: table["zip-long"][name] for name in ("rows", "bytes", "ratio")
    }
    for names in (("best",), ("random*many",), ("random*0",), ()):
        with pytest.raises(SettingsError, match=r"known|no method"):
            ComparisonSettings(str(pool), budget=20, methods=names)


def test_a_comparison_keeps_its_rows_and_its_page(pool: Path, tmp_path: Path) -> None:
    words = ["compare", "pool.jsonl", "--budget", "9", "--near", "0", "--noise", "0", "--out", "table", "--quiet"]
    some = ["--method", "random*2", "--method", "longest"]
    said = command(*words, *some, cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    assert [line.split()[0] for line in said.stdout.splitlines()[:4]] == ["method", "random", "random", "longest"]
    before = json.loads((tmp_path / "table" / "run.json").read_text())["steps"]
    page = (tmp_path / "table" / "report.html").read_bytes()
    assert b"random (seed 1)" in page
    assert luthier("report", "table", cwd=tmp_path).returncode == 0
    assert (tmp_path / "table" / "report.html").read_bytes() == page
    assert "--replace" in command(*words, *some, "--method", "own-ratio", cwd=tmp_path).stderr
    assert command(*words, *some, "--method", "own-ratio", "--replace", cwd=tmp_path).returncode == 0
    after = json.loads((tmp_path / "table" / "run.json").read_text())["steps"]
    assert list(after) == [*before, "own-ratio"]
    assert {name: after[name] for name in before} == before


def test_repeated_prompts_are_counted() -> None:
    rows = make_rows(5)
    assert repeated_prompts(rows) == 0
    assert repeated_prompts([*rows, rows[0], rows[0]]) == 2


def test_ratios_come_whole_and_by_source(pool: Path) -> None:
    table = ratio(RatioSettings(str(pool))).value
    assert list(table) == ["all rows", "a", "b", "c"]
    assert table["all rows"]["rows"] == 150 == sum(table[name]["rows"] for name in "abc")
    assert list(ratio(RatioSettings(str(pool), group="nothing")).value) == ["all rows"]


def test_a_row_is_explained(pool: Path, tmp_path: Path) -> None:
    made = select(pool, settings=SelectSettings(budget=20, k3=5, **OPEN))

    def told_of(*rows: int) -> list[dict]:
        return explain(ExplainSettings(str(pool), budget=20, k3=5, rows=rows, **OPEN)).value

    told = told_of(made.indices[0] + 1)
    assert told[0]["taken"]
    assert told[0]["rank"] == 1
    assert len(told_of()) == 20
    with pytest.raises(SettingsError, match="no row 999; rows are 1 to 150"):
        told_of(999)
    done = command(
        "explain",
        "pool.jsonl",
        "--budget",
        "20",
        "--row",
        str(made.indices[0] + 1),
        "--noise",
        "0",
        "--near",
        "0",
        "--k3",
        "5",
        cwd=tmp_path,
    )
    assert "taken as number 1" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["run", "pool.jsonl", "--out", "o", "--budget", "lots"], "budget 'lots' is not understood"),
        (["run", "nowhere.jsonl", "--out", "o", "--budget", "5"], "nowhere.jsonl: cannot be read (No such file or directory)"),
        (["run", "pool.jsonl", "--out", "o", "--budget", "5", "--method", "best"], "'best' is not one of 'zip', 'zip-long'"),
        (["run", "pool.jsonl", "--out", "o", "--budget", "9" * 400 + " rows"], "is more than any pool has"),
        (["run", "pool.jsonl", "--out", "o", "--budget", "9" * 5000], "is more than any pool has"),
        (["run", "pool.jsonl", "--out", "o", "--budget", "9 tokens", "--tokenizer", "pool.jsonl"], "not a tokenizer that can be read"),
        (["run", "pool.jsonl", "--out", "o", "--budget", "9", "--method", "clusters", "--seed", "-1"], "--seed is -1; give a whole number"),
        (["run", "pool.jsonl", "--out", "o", "--budget", "9", "--method", "zip", "--k1", "0"], "--k1 is 0; give a whole number from 1"),
        (["run", "pool.jsonl", "--out", "o", "--budget", "9", "--noise", "nan"], "--noise is nan; give a number from 0"),
        (["run", "pool.jsonl", "--out", "o", "--budget", "9", "--near", "2"], "--near is 2.0; give a number from 0 to 1"),
        (["run", "pool.jsonl", "--out", "o", "--budget", "9", "--max-share", "0"], "--max-share is '0'"),
        (["run", "pool.jsonl", "--out", "o", "--budget", "9", "--exclude", "nowhere.jsonl"], "nowhere.jsonl: cannot be read"),
        (["run", "bad.jsonl", "--out", "o", "--budget", "5"], "bad.jsonl:2: not JSON"),
        (["run", "pool.jsonl", "--out", "o", "--budget", "5", "--method", "ifd", "--model", "x"], "x: no model here"),
        (["run", "pool.jsonl", "--out", "o", "--budget", "5", "--method", "ifd", "--model", "x", "--dry-run"], "x: no model here"),
        (["run", "pool.jsonl", "--out", "o", "--budget", "5", "--method", "perplexity", "--band", "1", "0"], "band is 1 to 0"),
        (["compare", "pool.jsonl", "--budget", "5 tokens"], "needs a tokenizer"),
        (["ratio", "bad.jsonl"], "bad.jsonl:2: not JSON"),
        (["explain", "pool.jsonl", "--budget", "5", "--row", "0"], "--row is 0; give a whole number from 1"),
        (["explain", "pool.jsonl", "--budget", "5", "--row", "151"], "no row 151; rows are 1 to 150"),
    ],
)
def test_bad_input_is_one_line(pool: Path, tmp_path: Path, words: list[str], problem: str) -> None:
    (tmp_path / "bad.jsonl").write_text(json.dumps(make_rows(1)[0]) + '\n{"half": \n')
    done = command(*words, cwd=tmp_path)
    assert done.returncode == 2
    said = [text for text in done.stderr.splitlines() if text.startswith("luthier: ")]
    assert len(said) == 1
    assert problem in said[0] == done.stderr.strip().splitlines()[-1]
    assert not (tmp_path / "o").exists()


def test_a_killed_selection_continues_to_the_same_bytes(pool: Path, tmp_path: Path) -> None:
    options = ["--budget", "120", "--k3", "2", "--noise", "0", "--near", "0"]
    words = ["run", "pool.jsonl", "--out", "best", "--quiet", *options]
    first = subprocess.Popen([sys.executable, "-c", "from luthier.cli import main; main()", "select", *words], cwd=tmp_path)
    state = tmp_path / "best" / "selection.state"
    while first.poll() is None and not state.is_file():
        pass
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert state.is_file()
    done = command(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run(SelectionSettings(str(pool), budget=120, k3=2, **OPEN), tmp_path / "whole")
    for name in ("selected.jsonl", "scores.jsonl.gz"):
        assert (tmp_path / "best" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_out_of_columns_come_the_rows_that_were_put_in(tmp_path: Path) -> None:
    """Arrow gives each object of a column the fields of any; in a line of JSON a null that nobody gave would be an argument."""

    def talk(name: str, arguments: dict[str, object]) -> dict[str, object]:
        call = {"function": {"name": name, "arguments": arguments}}
        return {"messages": [{"role": "user", "content": name}, {"role": "assistant", "content": "", "tool_calls": [call]}], "note": None}

    rows = [talk("f", {"a": 1}), talk("g", {"b": "x"})]
    for row in rows:
        row["tools"] = json.dumps([{"name": "f", "parameters": {"type": "object", "properties": {}, "required": True}}])  # of an old draft
        row["query"] = {"k": None}
    write_parquet(tmp_path / "rows.parquet", rows)
    made = select(tmp_path / "rows.parquet", settings=SelectSettings(budget="2 rows", method="random", noise=None, near=None))
    made.save(tmp_path / "train.jsonl")
    written = [row for _, row in read_rows(tmp_path / "train.jsonl")]
    for found in (written, made.rows()):
        calls = [row["messages"][1]["tool_calls"][0]["function"] for row in found]
        assert sorted(json.dumps(call["arguments"]) for call in calls) == ['{"a": 1}', '{"b": "x"}']
        assert all("note" in row and "k" in row["query"] for row in found)  # what a row only carries along stays as it is


def test_a_null_that_was_meant_stays(tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"a": {"type": ["integer", "null"]}, "b": {"type": "integer"}}, "required": ["a"]}
    tool = {"type": "function", "function": {"name": "f", "description": "Does f.", "parameters": schema}}
    calls = [[{"function": {"name": "f", "arguments": arguments}}] for arguments in ({"a": None, "b": 1}, {"a": 2, "b": 1})]
    rows = [
        {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "", "tool_calls": each}], "tools": [tool]}
        for each in calls
    ]
    write_parquet(tmp_path / "rows.parquet", rows)
    made = select(tmp_path / "rows.parquet", settings=SelectSettings(budget="2 rows", method="random", noise=None, near=None))
    arguments = [row["messages"][1]["tool_calls"][0]["function"]["arguments"] for row in made.rows()]
    assert sorted(map(json.dumps, arguments)) == ['{"a": 2, "b": 1}', '{"a": null, "b": 1}']


def test_a_selection_of_nothing_is_no_success(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "pool.jsonl", [{"text": f"row {n} of the pool", "stars": 0} for n in range(3)])
    done = command("run", "pool.jsonl", "--budget", "2 rows", "--quality", "stars", "--out", "none", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout.splitlines()[:3] == ["no row was chosen", "0 of 3 rows -> none/selected.jsonl", "left out before: 3 quality"]
    assert json.loads((tmp_path / "none" / "run.json").read_text())["status"] == "done"


def test_an_empty_pool_is_no_pool(tmp_path: Path) -> None:
    (tmp_path / "none.jsonl").touch()
    done = command("run", "none.jsonl", "--out", "best", "--budget", "1 rows", "--quiet", cwd=tmp_path)
    assert done.returncode == 2
    assert "none.jsonl: no rows there to choose from" in done.stderr


def test_nan_of_a_table_is_no_value_and_an_infinity_is_named(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "pool.parquet"
    texts = [f"row {n} says {word}" for n, word in enumerate(("tea", "buns", "four"))]
    pq.write_table(pa.table({"text": texts, "q": pa.array([0.5, float("nan"), 2.0])}), path)
    with Account() as account:
        select(path, budget="3 rows").save(tmp_path / "out.jsonl")
    assert [row["q"] for _, row in read_rows(tmp_path / "out.jsonl")].count(None) == 1
    assert "NaN in column 'q' as no value" in "\n".join(account.lines())
    assert len(list(select(path, budget="3 rows", method="score", quality="q").picks)) <= 3
    pq.write_table(pa.table({"text": texts, "q": pa.array([0.5, float("inf"), 2.0])}), path)
    with pytest.raises(BadRowError, match=r"pool\.parquet:2: field 'q' holds NaN or infinity"):
        select(path, budget="3 rows").save(tmp_path / "other.jsonl")


def test_rows_in_which_nobody_answers_are_empty() -> None:
    silent = [
        {"messages": [{"role": "user", "content": ""}, {"role": "assistant", "content": ""}]},
        {"conversations": [{"from": "human", "value": "tea?"}, {"from": "gpt", "value": "  "}]},
    ]
    rows = [{"messages": [{"role": "user", "content": f"tea {n}?"}, {"role": "assistant", "content": f"It is {n * 7}."}]} for n in range(9)]
    made = select([*silent, *rows], budget="11 rows")
    assert {made.dropped[0].detail, made.dropped[1].detail} == {"no text", "the assistant says and calls nothing"}
    assert len(made.picks) == 9


def test_a_few_rows_of_another_script_are_no_noise() -> None:
    english = [
        {"text": f"The shop opens at {n} in the morning and sells tea, bread and number {n * 3} of the local paper."} for n in range(120)
    ]
    japanese = [{"text": f"この店は朝{n}時に開いて、お茶とパンと地元の新聞を売っています。"} for n in range(8)]
    made = select([*english, *japanese], budget="128 rows", noise=5.0)
    assert [index for index, why in made.dropped.items() if why.gate == "noise"] == []
