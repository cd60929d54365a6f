"""`luthier select` on files: what it writes, what it says before, side by side and row by row."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from luthier.errors import SettingsError
from luthier.recipes.selection import compare_methods, explain_rows, forecast, pool_ratios, repeated_prompts, select_file
from luthier.records import read_rows, write_jsonl
from luthier.select.selection import SelectSettings, select
from luthier.select.zip import Zip, _Compressed
from select_rows import make_rows

OPEN = {"noise": None, "near": None}


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    path = tmp_path / "pool.jsonl"
    write_jsonl(path, make_rows(150))
    return path


def command(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from luthier.cli import main; main()", "select", *words],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
        env=os.environ,
    )


def test_the_chosen_rows_the_account_and_the_reasons_are_written(pool: Path, tmp_path: Path) -> None:
    done = command("run", "pool.jsonl", "--out", "best.jsonl", "--budget", "10%", "--k3", "5", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report == json.loads((tmp_path / "best.report.json").read_text())
    assert report["rows"] == len((tmp_path / "best.jsonl").read_bytes().splitlines()) == 15
    told = [row for _, row in read_rows(tmp_path / "best.scores.jsonl.gz")]
    assert len(told) == 150
    assert sum(row["taken"] for row in told) == 15
    lines = pool.read_bytes().splitlines()
    assert set((tmp_path / "best.jsonl").read_bytes().splitlines()) == {lines[row["row"] - 1] for row in told if row["taken"]}


def test_the_forecast_counts_what_is_then_measured(pool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = SelectSettings(budget=60, method="zip", k1=50, k2=20, k3=10, **OPEN)
    plan = forecast(pool, settings)
    assert plan["seconds"] > 0
    measured = []
    sizes_with = _Compressed.sizes_with
    monkeypatch.setattr(_Compressed, "sizes_with", lambda self, row: measured.append(1) or sizes_with(self, row))
    search = Zip([row["messages"][0]["content"].encode() for row in make_rows(150)], 50, 20, 10)
    for _, _ in zip(range(6), search.rounds(), strict=False):
        pass
    assert plan["measurements"] == len(measured)
    assert forecast(pool, SelectSettings(budget="9k bytes", **OPEN))["measurements"] >= 150


def test_a_dry_run_writes_nothing(pool: Path, tmp_path: Path) -> None:
    done = command("run", "pool.jsonl", "--out", "best.jsonl", "--budget", "10", "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "150 rows" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["pool.jsonl"]


def test_methods_stand_side_by_side(pool: Path) -> None:
    settings = SelectSettings(budget=20, k3=5, **OPEN)
    table = compare_methods(pool, ["random*2", "longest", "zip-long"], settings)
    assert [row["method"] for row in table] == ["random (seed 0)", "random (seed 1)", "longest", "zip-long"]
    assert all(row["rows"] == 20 and set(row["ratio"]) == {"32K", "1M", "all"} for row in table)
    assert table[3]["ratio"]["all"] < table[2]["ratio"]["all"]
    with pytest.raises(SettingsError, match="best"):
        compare_methods(pool, ["best"], settings)
    with pytest.raises(SettingsError, match="random"):
        compare_methods(pool, ["random*many"], settings)


def test_repeated_prompts_are_counted() -> None:
    rows = make_rows(5)
    assert repeated_prompts(rows) == 0
    assert repeated_prompts([*rows, rows[0], rows[0]]) == 2


def test_ratios_come_whole_and_by_source(pool: Path) -> None:
    table = pool_ratios(pool, "source")
    assert list(table) == ["all rows", "a", "b", "c"]
    assert table["all rows"]["rows"] == 150 == sum(table[name]["rows"] for name in "abc")
    assert list(pool_ratios(pool, "nothing")) == ["all rows"]


def test_a_row_is_explained(pool: Path, tmp_path: Path) -> None:
    settings = SelectSettings(budget=20, k3=5, **OPEN)
    made = select(pool, settings=settings)
    told = explain_rows(pool, [made.indices[0] + 1], settings)
    assert told[0]["taken"]
    assert told[0]["rank"] == 1
    assert len(explain_rows(pool, [], settings)) == 20
    with pytest.raises(SettingsError, match="no row 999; rows are 1 to 150"):
        explain_rows(pool, [999], settings)
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
        (["run", "pool.jsonl", "--out", "o.jsonl", "--budget", "lots"], "budget 'lots' is not understood"),
        (["run", "nowhere.jsonl", "--out", "o.jsonl", "--budget", "5"], "nowhere.jsonl does not exist"),
        (["run", "pool.jsonl", "--out", "o.jsonl", "--budget", "5", "--method", "best"], "method 'best' is not known"),
        (["run", "bad.jsonl", "--out", "o.jsonl", "--budget", "5"], "bad.jsonl:2: not JSON"),
        (["run", "pool.jsonl", "--out", "o.jsonl", "--budget", "5", "--method", "ifd", "--model", "x"], "x: no model here"),
        (["run", "pool.jsonl", "--out", "o.jsonl", "--budget", "5", "--method", "ifd", "--model", "x", "--dry-run"], "x: no model here"),
        (["run", "pool.jsonl", "--out", "o.jsonl", "--budget", "5", "--method", "perplexity", "--band", "1", "0"], "band is 1 to 0"),
        (["compare", "pool.jsonl", "--budget", "5 tokens"], "needs a tokenizer"),
        (["ratio", "bad.jsonl"], "bad.jsonl:2: not JSON"),
        (["explain", "pool.jsonl", "--budget", "5", "--row", "0"], "no row 0"),
    ],
)
def test_bad_input_is_one_line(pool: Path, tmp_path: Path, words: list[str], problem: str) -> None:
    (tmp_path / "bad.jsonl").write_text(json.dumps(make_rows(1)[0]) + '\n{"half": \n')
    done = command(*words, cwd=tmp_path)
    assert done.returncode == 2
    said = [text for text in done.stderr.splitlines() if text.startswith("luthier: ")]
    assert len(said) == 1
    assert problem in said[0] == done.stderr.strip().splitlines()[-1]
    assert not (tmp_path / "o.jsonl").exists()


def test_a_killed_selection_continues_to_the_same_bytes(pool: Path, tmp_path: Path) -> None:
    options = ["--budget", "120", "--k3", "2", "--noise", "0", "--near", "0"]
    words = ["run", "pool.jsonl", "--out", "best.jsonl", "--run", "state", "--quiet", *options]
    first = subprocess.Popen([sys.executable, "-c", "from luthier.cli import main; main()", "select", *words], cwd=tmp_path)
    state = tmp_path / "state" / "selection.state"
    while first.poll() is None and not state.is_file():
        pass
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert state.is_file()
    done = command(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    whole = SelectSettings(budget=120, k3=2, **OPEN)
    select_file(pool, tmp_path / "whole.jsonl", whole)
    assert (tmp_path / "best.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
