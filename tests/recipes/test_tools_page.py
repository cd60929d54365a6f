from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from report_run import AFTER, BEFORE, RESULTS, SECONDS, STEPS, run, wilson, write_records, write_rows, write_run

from luthier.errors import BadRowError, MissingFileError
from luthier.recipes.tools_page import draw
from luthier.recipes.tools_scores import Flow, headline
from luthier.report.page import write_page
from luthier.run import RunRecord
from pages import LOADS, Page
from trace_pages import change

HOSTILE = "</pre></style><script>alert(1)</script>\"'><img src=http://evil.example/x onerror=alert(1)>{{ 7*7 }}&amp;"
BENIGN = "x" * len(HOSTILE)
SECTIONS = ["results", "training", "dialogues", "selection", "checks", "wins", "failures", "use", "record"]


def write_report(folder: Path) -> Path:
    record = RunRecord.read(folder)
    return write_page(draw(record), record)


def page(folder: Path) -> Page:
    return Page(write_report(folder))


def in_every_text(value: Any, poison: str, keep: frozenset[str] = frozenset({"role", "decoding", "status", "files"})) -> Any:
    """The value with `poison` after every string in it, but for the fields that choose the layout."""
    if isinstance(value, str):
        return value + poison
    if isinstance(value, list):
        return [in_every_text(item, poison) for item in value]
    if isinstance(value, dict):
        return {key: item if key in keep else in_every_text(item, poison) for key, item in value.items()}
    return value


def rewrite(folder: Path, change: Callable[[Any], Any]) -> None:
    for file in folder.rglob("*.jsonl"):
        write_rows(file, [change(json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines()])
    for file in folder.rglob("run.json"):
        file.write_text(json.dumps(change(json.loads(file.read_text(encoding="utf-8")))), encoding="utf-8")


def test_the_page_is_one_file_beside_run_json(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    assert write_report(folder) == folder / "report.html"
    assert [file.name for file in folder.iterdir() if file.name.startswith((".", "report"))] == ["report.html"]
    assert page(folder).source.startswith("<!doctype html>")


def test_the_same_run_gives_the_same_bytes_and_another_seed_other_dialogues(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    first = write_report(folder).read_bytes()
    assert write_report(folder).read_bytes() == first
    records = run()
    records[""]["seed"] = 1
    write_records(folder, records)
    shown = re.findall(r"d-\d{5}", first.decode())
    assert len(shown) == 10
    assert re.findall(r"d-\d{5}", write_report(folder).read_text()) != shown


def test_the_headline_tells_the_main_result(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    said = str(headline(Flow(RunRecord.read(folder)))).replace("\u202f", " ")
    assert said == "Free decoding on BFCL simple_python: 0 % → 52 % of 100 items"
    read = page(folder)
    assert said in read.text
    assert f"<title>{headline(Flow(RunRecord.read(folder)))} · Luthier</title>" in read.source


def test_own_dialogues_come_first_and_are_told_strictly(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    for part, right, strict in (("before", 40, 10), ("after", 70, 60)):
        record = json.loads((folder / part / "run.json").read_text())
        line = {"category": "own dialogues", "decoding": "free", "items": 80, "right": wilson(right, 80), "strict": wilson(strict, 80)}
        record["steps"]["answers"]["results"]["scores"].insert(0, line)
        (folder / part / "run.json").write_text(json.dumps(record))
    said = str(headline(Flow(RunRecord.read(folder)))).replace("\u202f", " ")
    assert said == "Free decoding on your APIs: 12.5 % → 75 % of 80 decisions"
    read = page(folder)
    assert read.text.index("Your APIs") < read.text.index("The Berkeley Function-Calling Leaderboard")
    assert "On BFCL simple_python, which is about other APIs: 0 % → 52 %" in read.text.replace("\u202f", " ")


def test_every_section_is_there_in_order(tmp_path: Path) -> None:
    read = page(write_run(tmp_path / "run"))
    ids = [value for name, value in read.attributes if name == "id"]
    assert ids == SECTIONS
    assert [value for name, value in read.attributes if name == "href" and value and value[0] == "#"] == [f"#{i}" for i in SECTIONS]


@pytest.mark.parametrize("step", STEPS)
def test_the_numbers_are_those_of_run_json(tmp_path: Path, step: str) -> None:
    read, results = page(write_run(tmp_path / "run")).text, RESULTS[step]
    plain = {
        "pool": [
            results.get("tools"),
            results.get("duplicates"),
            *results.get("sources", {}).values(),
            *results.get("rejected", {}).values(),
        ],
        "dialogues": [results.get("made")],
        "check": [results.get("checked"), results.get("passed")],
        "select": [results.get("pool"), results.get("picked")],
        "train": [results.get("steps"), results.get("planned_steps"), results.get("tokens"), results.get("rows")],
    }.get(step, [])
    for number in plain:
        assert f"{number:,}" in read
    for name in ("ratio_pool", "ratio_picked", "ratio_random", "strength"):
        assert name not in results or str(results[name]) in read


def test_the_bars_and_their_table_hold_every_score(tmp_path: Path) -> None:
    read = page(write_run(tmp_path / "run"))
    for before, after in zip(BEFORE, AFTER, strict=True):
        for rule in ("official", "strict"):
            row = f"{after['category']}{after['decoding']}{rule}"
            cells = [f"{side[rule]['correct']} of {side['items']} = {side[rule]['rate'] * 100:.0f} %" for side in (before, after)]
            at = read.text.replace(" ", "").index(row)
            line = read.text.replace(" ", "")[at : at + 150]
            assert all(cell.replace(" ", "") in line for cell in cells)
            for side in (before, after):
                assert f'x1="{100 * side[rule]["low"]:.2f}%" x2="{100 * side[rule]["high"]:.2f}%"' in read.source
                assert f'width="{100 * side[rule]["rate"]:.2f}%"' in read.source


def test_the_strict_rule_is_drawn_only_where_it_differs(tmp_path: Path) -> None:
    read = page(write_run(tmp_path / "run"))
    differing = sum(b["official"] != b["strict"] or a["official"] != a["strict"] for b, a in zip(BEFORE, AFTER, strict=True))
    assert read.source.count('<svg class="bars"') == len(AFTER) + differing == 10
    assert "scores 100 %" in read.text


def test_timings_settings_versions_inputs_and_memory(tmp_path: Path) -> None:
    read = page(write_run(tmp_path / "run")).text
    for seconds in (SECONDS["select"], SECONDS["evaluate-before"], SECONDS["train"], SECONDS["evaluate-after"]):
        told = f"{seconds:g} s" if seconds < 60 else f"{round(seconds) // 60} min {round(seconds) % 60} s"
        assert told in read
    for words in (
        "2,913 MiB",
        "23.4 GiB",
        "train.learning_rate",
        "0.0002",
        "2.13.0",
        "AMD EPYC 7B13",
        "5f" * 32,
        "luthier run tools --limit 100",
    ):
        assert words in read


def test_the_adapter_is_loaded_in_three_lines(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    code = re.search(r'<pre class="code">(from transformers.*?)</pre>', page(folder).source, re.DOTALL)
    assert code is not None
    lines = code.group(1).splitlines()
    assert len(lines) == 3
    assert "runs/tools/sft/adapter" in lines[1]


def test_wins_and_failures_are_word_for_word(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    read = page(folder)
    assert read.tags.count("article") == 10
    wins, failures = read.text.split("What still fails")[-2:]
    assert "15 in all" in wins
    assert '[weather.forecast(city="Kraków", days=3, unit="celsius")]' in wins
    assert "no call could be read" in wins
    assert "9 questions are still answered wrong" in failures
    assert failures.count("missing required argument city") == 5


def test_a_question_right_under_both_decodings_counts_once_and_only_when_free(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    rows = [{"id": "a", "category": "c", "question": "q", "answer": "z", "truth": "t", "reason": ""}]
    write_rows(
        folder / "before/answers.jsonl", [{**rows[0], "decoding": d, "official": True, "strict": False} for d in ("free", "constrained")]
    )
    write_rows(
        folder / "after/answers.jsonl", [{**rows[0], "decoding": d, "official": True, "strict": True} for d in ("free", "constrained")]
    )
    read = page(folder)
    assert read.tags.count("article") == 1
    assert "1 in all" in read.text
    assert "No failures are on file" in read.text


def test_hostile_text_changes_no_element(tmp_path: Path) -> None:
    """The page of poisoned data has the very elements of the page of harmless data of the same length."""
    pages = {}
    for name, poison in (("hostile", HOSTILE), ("benign", BENIGN)):
        folder = write_run(tmp_path / name)
        rewrite(folder, lambda value, poison=poison: in_every_text(value, poison))
        whole, below = (json.loads((folder / part / "run.json").read_text()) for part in ("", "dialogues"))
        for part in ("versions", "inputs", "settings"):
            whole[part] = {key + poison: value for key, value in whole[part].items()}
        pool = below["steps"]["pool"]["results"]
        pool["sources"] = {key + poison: value for key, value in pool["sources"].items()}
        below["steps"]["check"]["results"]["rules"][poison] = poison
        write_records(folder, {"": whole, "dialogues": below})
        pages[name] = page(folder)
    assert pages["hostile"].tags == pages["benign"].tags
    assert [name for name, _ in pages["hostile"].attributes] == [name for name, _ in pages["benign"].attributes]
    assert "<script" not in pages["hostile"].source
    assert pages["hostile"].text.count("<script>alert(1)</script>") == pages["benign"].text.count(BENIGN) > 100
    assert "49" not in re.findall(r"\{\{ (.*?) \}\}", pages["hostile"].text)


def test_nothing_is_loaded_from_anywhere(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    rewrite(folder, lambda value: in_every_text(value, " https://example.org/a.png url(http://x) @import 'y'"))
    read = page(folder)
    assert all(value is None or value.startswith(("#", "data:")) for name, value in read.attributes if name in LOADS)
    styles = "".join(re.findall(r"<style>(.*?)</style>", read.source, re.DOTALL))
    assert not re.search(r"url\(|@import|http", styles)
    assert not any(name.startswith("on") for name, _ in read.attributes)
    assert {"script", "iframe", "img", "object", "embed"}.isdisjoint(read.tags)
    assert "default-src 'none'" in read.source


@pytest.mark.parametrize("done", range(len(STEPS)))
def test_an_unfinished_run_says_what_is_to_come(tmp_path: Path, done: int) -> None:
    read = page(write_run(tmp_path / "run", STEPS[:done]))
    assert "This run is not finished." in read.text
    assert [value for name, value in read.attributes if name == "id"] == SECTIONS
    if done < 5:
        assert f"{done} of 7 steps are done; nothing is scored yet" in read.text
    else:
        assert "Free decoding on BFCL simple_python: 0 % of 100 items before training" in read.text
    assert "missing" not in read.text.split("Before and after")[0]


def test_the_least_that_a_run_can_be(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    assert "0 of 7 steps are done" in page(tmp_path).text


@pytest.mark.parametrize("name", ["selected.jsonl", "left.jsonl", "sft/metrics.jsonl", "before/answers.jsonl", "after/answers.jsonl"])
def test_a_missing_artefact_is_named(tmp_path: Path, name: str) -> None:
    folder = write_run(tmp_path / "run")
    (folder / name).unlink()
    read = page(folder)
    assert f"{name} is missing" in read.text
    assert "This run is not finished." not in read.text


def test_a_missing_adapter_is_named(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "sft" / "adapter").rmdir()
    assert "sft/adapter/ is missing" in page(folder).text


def test_a_damaged_row_is_left_out_and_counted(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    with (folder / "sft/metrics.jsonl").open("a") as file:
        file.write('{"step": 101, "lo')
    assert "sft/metrics.jsonl has 1 damaged row, which is left out" in page(folder).text


def test_rows_that_are_not_as_expected_do_not_stop_the_page(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    odd: list[dict[str, Any]] = [
        {},
        {"messages": "no list"},
        {"messages": [{"role": "user", "content": None}, "text", {"tool_calls": [{"function": 1}, 2]}], "tools": [3, {}]},
        {
            "messages": json.dumps([{"role": "user", "content": "kept as text"}]),
            "tools": '[{"function": {"name": "f", "parameters": {"properties": 1, "required": true}}}]',
        },
        {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "g", "arguments": '{"a": 1}'}}]}]},
    ]
    write_rows(folder / "selected.jsonl", odd)
    write_rows(folder / "sft/metrics.jsonl", [{"step": "one"}, {"loss": 2}, {}])
    read = page(folder)
    assert "kept as text" in read.text
    assert "g(a=1)" in read.text
    assert "no training curve" in read.text


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"run\.json: cannot be read .*give the folder of a run"):
        write_report(tmp_path)
    (tmp_path / "run.json").write_text('{"luthier":\n oops}')
    with pytest.raises(BadRowError, match=r"run\.json:2: not JSON"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_training_that_is_going_on_shows_its_curve(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", STEPS[:5])
    (folder / "sft").mkdir()
    write_rows(folder / "sft/metrics.jsonl", [{"step": step, "loss": 2 - step / 10} for step in range(1, 6)])
    assert 'class="smooth"' in page(folder).source


def test_the_tool_run_tells_its_skills_where_it_compared_them(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    assert "By skill" not in page(folder).text
    record = json.loads((folder / "run.json").read_text())
    changes = [change(), change("irrelevance, constrained", verdict="gained", difference=0.2, low=None, high=None, p_all=0.012)]
    record["steps"]["skills"] = {"key": "k", "seconds": 1.0, "results": {"changes": changes}}
    (folder / "run.json").write_text(json.dumps(record))
    made = page(folder)
    for words in ("By skill", "Lost: <b>sums</b>.", "irrelevance, constrained", "+20", "0.012"):
        assert words in made.text
