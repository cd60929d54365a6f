"""The front door: gates, budgets, every method, the account of each row, and rows that come out as they went in."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest
from watched import Watched

from luthier.errors import BadRowError, SettingsError
from luthier.records import SkippedRows, read_rows, write_jsonl, write_parquet
from luthier.select.budget import Pick
from luthier.select.resume import STATE
from luthier.select.selection import select
from luthier.select.settings import METHODS, SelectSettings
from select_rows import make_rows

ROWS = make_rows()
OPEN = {"noise": None, "near": None}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_meets_the_budget_with_distinct_rows(method: str, tiny_model_folder: Path, tmp_path: Path) -> None:
    if method in ("k-center", "facility-location", "clusters", "deita"):
        pytest.importorskip("sklearn", reason="needs the extra luthier[select]")
    write_jsonl(tmp_path / "target.jsonl", ROWS[:2])
    given = {"quality": "stars", "target": (str(tmp_path / "target.jsonl"),), "model": str(tiny_model_folder)}
    settings = SelectSettings(budget=20, method=method, k3=8, k2=16, k1=60, **given, **OPEN)
    made = select(ROWS, settings=settings)
    assert len(made.picks) == len(set(made.indices)) == 20
    assert made.rows() == [ROWS[index] for index in made.indices]
    assert select(ROWS, settings=settings).picks == made.picks


def test_every_row_has_an_account() -> None:
    rows = [*ROWS, {"text": ""}, {"text": "  "}, ROWS[3]]
    made = select(rows, budget="10%", k3=5, noise=None)
    told = list(made.scores())
    assert [row["row"] for row in told] == list(range(1, len(rows) + 1))
    assert sorted(row["rank"] for row in told if row["taken"]) == list(range(1, 13))
    reasons = {row["row"]: row["reason"] for row in told if not row["taken"]}
    assert reasons[121] == reasons[122] == "empty: no text"
    assert reasons[123] == "duplicate: the same text as row 4"
    assert made.report["rows"] == 12
    assert sum(made.report["taken_by_source"].values()) == 12
    assert made.report["dropped"]["empty"] == 2


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".json", ".parquet"])
def test_a_row_in_is_a_row_out(tmp_path: Path, suffix: str) -> None:
    pool = tmp_path / f"pool{suffix}"
    if suffix == ".parquet":
        write_parquet(pool, ROWS)
    elif suffix == ".json":
        pool.write_text(json.dumps(ROWS))
    else:
        odd = [json.dumps(row, indent=None, separators=(" ,", ":  ")).encode() for row in ROWS]
        data = b"\r\n".join(odd)
        pool.write_bytes(gzip.compress(data) if suffix.endswith("gz") else data)
    made = select(pool, budget=15, k3=5, **OPEN)
    out = tmp_path / "out.jsonl"
    made.save(out)
    expected = [ROWS[index] for index in made.indices]
    assert [row for _, row in read_rows(out)] == expected
    if suffix.startswith(".jsonl"):
        assert out.read_bytes().splitlines() == [odd[index] for index in made.indices]
    made.save(tmp_path / "out.parquet")
    assert [row for _, row in read_rows(tmp_path / "out.parquet")] == expected
    made.save(tmp_path / "out.jsonl.gz")
    assert gzip.decompress((tmp_path / "out.jsonl.gz").read_bytes()) == out.read_bytes()


@pytest.mark.parametrize("method", ["zip", "zip-long"])
@pytest.mark.parametrize("stop", [1, 2, 4])
def test_a_stopped_selection_continues_to_the_same_rows(tmp_path: Path, method: str, stop: int) -> None:
    settings = SelectSettings(budget=50, method=method, k1=60, k2=20, k3=10, **OPEN)
    whole = select(ROWS, settings=settings)

    class StoppedError(Exception):
        pass

    class Watch(Watched):
        def advance(self, amount: int = 1) -> None:
            super().advance(amount)
            if sum(isinstance(one, int) for one in self.told) == stop:
                raise StoppedError

    with pytest.raises(StoppedError):
        select(ROWS, settings=settings, run=tmp_path, progress=Watch())
    assert select(ROWS, settings=settings, run=tmp_path).picks == whole.picks
    assert select(ROWS, settings=settings, run=tmp_path).picks == whole.picks  # and a finished one is only read
    with pytest.raises(SettingsError, match="other settings"):
        select(ROWS, settings=SelectSettings(budget=51, method=method, **OPEN), run=tmp_path)
    with pytest.raises(SettingsError, match="another pool"):
        select(ROWS[1:], settings=settings, run=tmp_path)


def test_a_duplicate_names_the_line_of_its_twin(tmp_path: Path) -> None:
    pool = tmp_path / "pool.jsonl"
    pool.write_text("\n\n" + json.dumps(ROWS[0]) + "\n\n" + json.dumps(ROWS[1]) + "\n" + json.dumps(ROWS[0]) + "\n")
    told = {row["row"]: row.get("reason") for row in select(pool, budget=2, **OPEN).scores()}
    assert told == {3: None, 5: None, 6: "duplicate: the same text as row 3"}


def test_a_method_without_its_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("luthier.select.selection.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"luthier\[select\]"):
        select(ROWS[:10], budget=2, method="k-center", **OPEN)


def test_half_a_state_is_never_left(tmp_path: Path) -> None:
    settings = SelectSettings(budget=30, k3=10, **OPEN)
    select(ROWS, settings=settings, run=tmp_path)
    head = json.loads((tmp_path / STATE).read_bytes().split(b"\n", 1)[0])
    rounds = [Pick(*one).round for one in head["picks"]]
    assert len(rounds) == 30
    assert rounds == sorted(rounds)
    assert max(Counter(rounds).values()) <= 10
    assert set(rounds) == set(range(1, rounds[-1] + 1))
    assert [path.name for path in tmp_path.iterdir()] == [STATE]


def test_a_source_gets_no_more_than_its_share() -> None:
    for method in ("zip", "zip-long", "longest"):
        made = select(ROWS, budget=30, method=method, max_share=0.4, k3=10, **OPEN)
        assert len(made.picks) == 30
        assert max(made.report["taken_by_source"].values()) <= 12


@pytest.mark.parametrize("method", ["zip", "zip-long", "longest"])
def test_a_row_that_the_cap_kept_out_is_told_so(method: str, tmp_path: Path) -> None:
    settings = SelectSettings(budget=100, method=method, max_share=0.2, k1=60, k2=20, k3=10, **OPEN)
    made = select(ROWS, settings=settings, run=tmp_path)
    reasons = [row["reason"] for row in made.scores() if not row["taken"]]
    capped = [reason for reason in reasons if reason.startswith("source-cap: ")]
    assert len(capped) == sum(made.report["capped"].values()) == 60
    assert "source-cap: a has its share of the budget" in capped
    assert list(select(ROWS, settings=settings, run=tmp_path).scores()) == list(made.scores())


def test_the_cap_is_remembered_when_a_finished_selection_is_read_again(tmp_path: Path) -> None:
    for method in ("zip", "zip-long"):
        settings = SelectSettings(budget=60, method=method, max_share=0.35, k1=60, k2=20, k3=10, **OPEN)
        made = select(ROWS, settings=settings, run=tmp_path / method)
        assert sum(made.report["capped"].values()) > 0
        again = select(ROWS, settings=settings, run=tmp_path / method)
        assert list(again.scores()) == list(made.scores())


def test_rows_without_a_score_are_told_so() -> None:
    rows = [{**row, "stars": None if row["id"] % 2 else row["id"]} for row in ROWS]
    made = select(rows, budget=10, method="score", quality="stars", **OPEN)
    told = {row["row"]: row.get("reason") for row in made.scores()}
    assert all(told[number] == "no score: column stars is empty" for number in range(2, 121, 2))
    assert told[1] == "rank 60: the budget was spent on rows that rank before it"
    assert made.report["no_score"] == 60


def test_a_dropped_row_keeps_its_twin() -> None:
    made = select([*ROWS, ROWS[3], {"text": ""}], budget=2, noise=None)
    assert made.dropped[120].twin == 3
    assert made.dropped[121].twin is None


def test_rows_of_no_quality_are_left_out() -> None:
    made = select(ROWS, budget=40, quality="stars", k3=10, **OPEN)
    assert all(row["stars"] > 0 for row in made.rows())
    assert made.report["dropped"] == {"quality": 24}


def test_token_budgets_are_kept(bundled_model) -> None:
    tokenizer = str(bundled_model.folder)
    made = select(ROWS, budget="1500 tokens", tokenizer=tokenizer, k3=10, **OPEN)
    from luthier.select.rows import row_text

    costs = [len(bundled_model.encode(row_text(row))) for row in made.rows()]
    assert 1300 < sum(costs) <= 1500


def test_evaluation_data_is_kept_out(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "bench.jsonl", [{"text": ROWS[7]["messages"][0]["content"]}])
    made = select(ROWS, budget=119, exclude=(str(tmp_path / "bench.jsonl"),), k3=40, **OPEN)
    assert 7 not in made.indices
    assert list(made.dropped) == [7]
    assert made.dropped[7].gate == "excluded"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"budget": "5", "method": "best"}, "choose one of zip, zip-long"),
        ({"budget": "5", "method": "deita"}, "column"),
        ({"budget": "5 tokens"}, "tokenizer"),
        ({"budget": "5 tokens", "tokenizer": "nowhere"}, "nowhere"),
        ({"budget": "lots"}, "budget"),
        ({"budget": "5", "max_share": 2.0}, "--max-share is '2.0'"),
        ({"budget": "9" * 400 + " rows"}, "more than any pool has"),
        ({"budget": "5", "noise": float("nan")}, "--noise is nan"),
        ({"budget": "5", "seed": -1, "method": "clusters"}, "--seed is -1"),
        ({"budget": "5", "shards": 2, "method": "zip"}, "for zip-long only"),
        ({"budget": "5", "k1": 0, "method": "zip"}, "--k1 is 0"),
        ({"budget": "5", "k3": 0}, "--k3 is 0"),
    ],
)
def test_settings_without_meaning_are_refused(settings: dict, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        select(ROWS[:10], **OPEN | settings)


def test_bad_rows_are_named_or_counted(tmp_path: Path) -> None:
    pool = tmp_path / "pool.jsonl"
    pool.write_text("\n".join([json.dumps(ROWS[0]), '{"half": ', json.dumps(ROWS[1])]))
    with pytest.raises(BadRowError, match=r"pool\.jsonl:2"):
        select(pool, budget=1)
    skipped = SkippedRows()
    made = select(pool, budget=5, skipped=skipped, **OPEN)
    assert made.report["bad_rows"] == skipped.count == 1
    assert sorted(row["id"] for row in made.rows()) == [0, 1]


def test_weights_are_read_as_numbers_or_refused_by_line(tmp_path: Path):
    rows = [{"text": "one two three", "quality": 0.5}, {"text": "four five six", "quality": "0.9"}, {"text": "seven eight", "quality": -1}]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    with pytest.raises(BadRowError, match=r"rows\.jsonl:3: column 'quality' is -1; a weight is 0 or more"):
        select(tmp_path / "rows.jsonl", budget="2 rows", quality="quality", noise=0, near=0)
    skipped = SkippedRows()
    made = select(tmp_path / "rows.jsonl", budget="2 rows", quality="quality", noise=0, near=0, skipped=skipped)
    assert (len(made.rows()), skipped.count) == (2, 1)
