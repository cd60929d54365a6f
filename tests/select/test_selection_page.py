"""The page of a selection: its figures are those of the account, texts are escaped, odd pools draw, and a browser is content with it."""

from __future__ import annotations

import html
import json
import re
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from luthier.records import JSON, write_jsonl
from luthier.run import Run, RunRecord
from luthier.select.page import draw, gates, shares
from luthier.select.profile import ratio_profile
from luthier.select.runs import run
from luthier.select.selection import Selection, select
from luthier.select.settings import SelectionSettings
from luthier.select.shown import NOT_REACHED, from_difference, gather, head, ratios, shown_picks
from run_folders import drawn, run_folder
from select_rows import make_rows

HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(2)>&{{ 7 * 7 }}'


def near_twin(row: dict, word: str) -> dict:
    """The row with one word more at its end; long enough that it is a near-duplicate."""
    user, assistant = row["messages"]
    return {**row, "messages": [user, {**assistant, "content": f"{assistant['content']} {word}"}]}


def long_rows(count: int) -> list[dict]:
    rows = make_rows(count * 6)
    for at, row in enumerate(rows[:count]):
        others = [each["messages"][0]["content"] for each in rows[count + 5 * at : count + 5 * at + 5]]
        row["messages"][1]["content"] = ". ".join(others)
    return rows[:count]


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    rows = long_rows(60)
    rows += [near_twin(rows[3], word) for word in ("once", "twice", "thrice")] + [near_twin(rows[9], "again"), rows[12]]
    write_jsonl(tmp_path / "pool.jsonl", [*rows, {"text": " ", "source": "a"}])
    return tmp_path / "pool.jsonl"


def select_file(pool: Path, out: Path, **settings: Any) -> Run:
    return run(SelectionSettings(str(pool), noise=None, **settings), out)


def recorded(made: Selection, folder: Path) -> RunRecord:
    """The run of a selection of rows in memory."""
    settings = {**asdict(made.settings), "pool": "rows"}
    return run_folder(folder, "select run", {"choose": made.report, "shown": gather(made).to_row()}, settings)


def counted(made: Selection) -> dict[str, Any]:
    return {gate["name"]: gate["rows"] for gate in gates(made.report, asdict(made.settings))}


def text_of(page: str) -> str:
    """What a reader sees, white space aside."""
    body = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def test_the_figures_are_those_of_the_account(pool: Path, tmp_path: Path) -> None:
    made = select_file(pool, tmp_path / "best", budget=20, k3=5, max_share=0.4)
    report: JSON = made.results("choose")
    seen = text_of((tmp_path / "best" / "report.html").read_text())
    assert f"{report['rows']} of {report['pool_rows']} rows" in seen
    assert f"{report['bytes']:,} bytes of {report['pool_bytes']:,}" in seen
    assert "zip-long method 20 rows budget" in seen
    for window, value in report["ratio"].items():
        assert re.search(rf"R {window} .*? [\d.]+(–[\d.]+)? {value:.2f} ", seen)
    for source, count in report["pool_by_source"].items():
        assert f"{report['taken_by_source'].get(source, 0)} of {count} rows" in seen
    counts = {gate["name"]: gate["rows"] for gate in gates(report, made.settings)}
    look = made.results("shown")
    assert counts["near-duplicate"] == report["dropped"]["near-duplicate"] == 4
    assert counts["duplicate"] == counts["empty"] == 1
    assert counts["source cap"] == sum(report["capped"].values())
    assert counts["noise"] is counts["excluded"] is counts["no score"] is None
    assert sum(count or 0 for count in counts.values()) + report["rows"] == report["pool_rows"]
    assert sum(look["pool_sizes"].values()) == report["pool_rows"]
    assert sum(look["taken_sizes"].values()) == report["rows"]
    assert look["scores"]["count"] == report["rows"]


@pytest.mark.parametrize("method", ["perplexity", "ifd"])
def test_what_a_model_left_out_is_counted_too(method: str, tiny_model_folder: Path, tmp_path: Path) -> None:
    made = select(make_rows(30), budget=4, method=method, model=str(tiny_model_folder), score_rows=12, near=None)
    counts = counted(made)
    assert sum(count or 0 for count in counts.values()) + len(made.picks) == 30
    assert counts["not scored"] == 18
    assert counts[method] == made.report["dropped"].get(method, 0)
    assert draw(recorded(made, tmp_path)).values["score_meaning"]


def test_chance_has_as_many_bytes_from_the_same_rows(pool: Path) -> None:
    made = select(pool, budget=20, k3=5, noise=None)
    ratio, randoms, measured = ratios(made)
    assert (ratio, measured, len(randoms)) == (made.report["ratio"], None, 3)
    assert len({tuple(each.values()) for each in randoms}) == 3
    again = select(pool, budget=20, k3=5, noise=None)
    assert ratios(again)[1] == randoms
    whole = select(pool, budget="100%", method="random", noise=None)
    kept = [whole.pool[index] for index in whole.indices]
    assert {len(kept)} == {60}
    assert ratios(whole)[1][0]["all"] == pytest.approx(ratio_profile(kept)["all"], rel=0.02)


def test_a_large_selection_is_measured_on_a_sample(pool: Path) -> None:
    made = select(pool, budget=20, k3=5, noise=None)
    ratio, randoms, measured = ratios(made, most=made.report["bytes"] // 2)
    assert measured is not None
    assert 0.3 * made.report["bytes"] < measured <= 0.5 * made.report["bytes"]
    assert ratio != made.report["ratio"]
    assert len(randoms) == 3


def test_the_largest_cluster_comes_first_with_its_twins(pool: Path) -> None:
    found = gather(select(pool, budget=20, k3=5, noise=None)).clusters
    assert [(cluster["size"], cluster["kept"]["number"]) for cluster in found] == [(4, 4), (2, 10), (2, 13)]
    assert [twin["number"] for twin in found[0]["twins"]] == [61, 62]
    assert [twin["text"].split()[-1] for twin in found[0]["twins"]] == ["once", "twice"]
    assert found[2]["twins"][0]["fate"] == "duplicate"


def test_the_rows_to_look_at_are_spread(pool: Path) -> None:
    made = select(pool, budget=25, k3=5, noise=None)
    look = gather(made).to_row()
    ranks = [int(row["fate"].split(",")[0].removeprefix("number ")) for row in look["picks"]]
    assert ranks == [1, 2, 3, 4, 5, 9, 13, 17, 21, 25]
    assert [row["number"] for row in look["picks"]] == [made.numbers[made.indices[rank - 1]] for rank in ranks]
    told = {row["row"]: row.get("reason") for row in made.scores()}
    assert [row["fate"] for row in look["rejects"]] == [told[row["number"]] for row in look["rejects"]]
    assert len({row["number"] for row in look["rejects"]}) == 10
    assert {row["fate"].split(":")[0].split()[0] for row in look["rejects"][:4]} == {"duplicate", "empty", "near-duplicate", "rank"}
    assert len(shown_picks(select(pool, budget=11, noise=None))) == 10


def test_the_smallest_sources_are_put_together() -> None:
    by_source = {f"s{at}": 20 - at for at in range(15)}
    shown = shares(by_source, {"s0": 3, "s13": 1, "s14": 2}, "(no source)")
    assert [row["name"] for row in shown] == [*(f"s{at}" for at in range(12)), "3 others"]
    assert (shown[-1]["pool"], shown[-1]["taken"]) == (8 + 7 + 6, 3)
    assert sum(row["pool"] for row in shown) == sum(by_source.values())
    assert shares({"": 2}, {}, "(no source)")[0]["name"] == "(no source)"


def test_texts_begin_on_one_line_and_twins_where_they_part() -> None:
    assert head("a\n  b\tc") == "a b c"
    assert head("x" * 161) == "x" * 160 + "…"
    assert head("a\x00b\x1b") == "a\ufffdb\ufffd"
    same = "word " * 100
    assert from_difference(f"{same}here", f"{same}there").endswith("word here")
    assert from_difference(f"{same}here", f"{same}there").startswith("…")
    assert from_difference(same, same) == head(same)
    assert from_difference("short", "other") == "short"


def test_hostile_texts_are_escaped_and_nothing_is_loaded(tmp_path: Path) -> None:
    rows = long_rows(12)
    for row in rows:
        row["source"] = HOSTILE + str(row["id"] % 2)
        row["messages"][0]["content"] = f"{HOSTILE} {row['messages'][0]['content']}"
    rows += [near_twin(rows[0], HOSTILE)]
    pool = tmp_path / "pool<b>&.jsonl"
    write_jsonl(pool, rows)
    for row in rows:
        row["<i>stars"] = 1
    write_jsonl(pool, rows)
    select_file(pool, tmp_path / "out", budget=4, k3=2, quality="<i>stars")
    page = (tmp_path / "out" / "report.html").read_text()
    assert not re.search(r"<(script|img|i>stars|b>&)", page)
    assert "&lt;script&gt;alert(1)" in page
    assert "{{ 7 * 7 }}" in page
    assert "pool&lt;b&gt;&amp;.jsonl" in page
    assert re.findall(r'(?:src|href)="(?!data:)([^"]*)"', page) == []
    assert "http" not in page.replace("http-equiv", "")
    assert "@import" not in page
    assert "url(" not in page


@pytest.mark.parametrize("method", ["zip-long", "random", "score"])
@pytest.mark.parametrize("rows", [[], [{"text": " "}], [{"text": "one row"}], [{"text": "one row"}] * 3])
def test_the_smallest_pools_have_a_page(method: str, rows: list[dict], tmp_path: Path) -> None:
    rows = [row | {"stars": None} for row in rows]
    made = select(rows, budget=2, method=method, quality="stars" if method == "score" else None)
    seen = text_of(drawn(recorded(made, tmp_path), draw))
    assert f"{len(made.picks)} of {len(rows)} rows" in seen
    assert ("No row was taken." in seen) == (not made.picks)
    assert "nan" not in seen.lower()


def test_an_empty_budget_takes_nothing(pool: Path, tmp_path: Path) -> None:
    made = select_file(pool, tmp_path / "best", budget=0)
    assert made.results("choose")["rows"] == 0
    assert "0 of 66 rows" in text_of((tmp_path / "best" / "report.html").read_text())
    again = select_file(pool, tmp_path / "best", budget=0)
    assert all(again.was_kept(name) for name in ("choose", "rows", "shown"))


def test_a_run_that_goes_on_has_the_shell_of_its_page(tmp_path: Path) -> None:
    assert "stopped" in drawn(run_folder(tmp_path, "select run", {}, {"pool": "x/<p>.jsonl"}, status="running"), draw)


def test_a_row_that_was_not_reached_is_told_from_one_without_a_score() -> None:
    rows = [{"text": f"text number {n}", "stars": None if n % 2 else n} for n in range(10)]
    made = select(rows, budget=2, method="score", quality="stars", noise=None, near=None)
    counts = counted(made)
    assert (counts["no score"], counts[NOT_REACHED]) == (5, 3)
    assert [each[4] for each in gather(made).scores.deciles] == [8.0, 6.0]


@pytest.mark.skipif(
    shutil.which("chromium") is None or shutil.which("chromedriver") is None,
    reason="chromium and chromedriver are not installed (Debian: chromium, chromium-driver)",
)
def test_the_page_fits_a_phone_and_a_desk_and_loads_nothing(pool: Path, tmp_path: Path) -> None:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    unbroken = "unbroken_" * 60
    rows = [json.loads(line) for line in pool.read_text().splitlines()]
    for row in rows[:40:3]:
        row["source"] = unbroken
        row["messages"][0]["content"] = unbroken + row["messages"][0]["content"]
    write_jsonl(tmp_path / f"{unbroken[:100]}.jsonl", rows)
    for name, chosen in (("plain", pool), ("long", tmp_path / f"{unbroken[:100]}.jsonl")):
        select_file(chosen, tmp_path / name, budget=30, k3=5, max_share=0.4)
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver: Any = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        for name in ("plain", "long"):
            page = tmp_path / name / "report.html"
            for width in (1280, 390):
                size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
                driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
                driver.get(page.as_uri())
                driver.execute_script("document.querySelectorAll('details').forEach(each => each.open = true)")
                assert driver.execute_script("return innerWidth") == width
                assert driver.execute_script("return document.scrollingElement.scrollWidth") <= width
                assert driver.execute_script("return performance.getEntriesByType('resource').length") == 0
                assert driver.get_log("browser") == []
            assert driver.title.endswith(" rows · Luthier")
        told = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
        asked = {
            each["params"]["request"]["url"]
            for each in told
            # The browser's own start page asks for its own parts.
            if each["method"] == "Network.requestWillBeSent" and each["params"]["documentURL"].startswith("file:")
        }
        asked = {url for url in asked if not url.startswith("data:")}
        assert asked == {(tmp_path / name / "report.html").as_uri() for name in ("plain", "long")}
    finally:
        driver.quit()
