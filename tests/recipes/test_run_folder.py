"""A run folder keeps what is finished, forgets what changed, and is never left half-written."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from luthier.errors import LuthierError, SettingsError
from luthier.recipes.run_folder import RunFolder


def open_run(path: Path) -> RunFolder:
    return RunFolder(path, "tools", "luthier run", {"a": 1}, 0)


def test_a_finished_step_is_kept_and_a_changed_one_is_made_again(tmp_path: Path) -> None:
    calls: list[str] = []

    def work(name: str) -> dict[str, str]:
        calls.append(name)
        (tmp_path / f"{name}.txt").write_text(name)
        return {"made": name}

    def go(size: int) -> None:
        with open_run(tmp_path) as run:
            run.step("one", {"size": 1}, ["one.txt"], lambda: work("one"))
            run.step("two", {"size": size}, ["two.txt"], lambda: work("two"), after=["one"])
            run.step("three", {}, ["three.txt"], lambda: work("three"), after=["two"])
            run.step("aside", {}, ["aside.txt"], lambda: work("aside"))
            run.finish()

    go(1)
    go(1)
    assert calls == ["one", "two", "three", "aside"]
    go(2)
    assert calls[4:] == ["two", "three"]
    (tmp_path / "one.txt").unlink()
    go(2)
    assert calls[6:] == ["one"]


def test_a_stopped_step_keeps_its_files_and_a_new_key_clears_them(tmp_path: Path) -> None:
    def stopped() -> dict[str, int]:
        (tmp_path / "part.txt").write_text("half")
        raise KeyboardInterrupt

    seen: list[bool] = []

    def work() -> dict[str, int]:
        seen.append((tmp_path / "part.txt").exists())
        (tmp_path / "part.txt").write_text("whole")
        return {}

    for size, made in ((1, stopped), (1, work), (2, work)):
        run = open_run(tmp_path)
        try:
            with run:
                run.step("step", {"size": size}, ["part.txt"], made)
        except KeyboardInterrupt:
            assert "results" not in json.loads((tmp_path / "run.json").read_text())["steps"]["step"]
    assert seen == [True, False]


def test_a_second_stop_before_a_finished_step_comes_up_does_not_lose_it(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        run.step("one", {}, [], lambda: {"n": 1})
        run.step("two", {}, [], lambda: {"n": 2})
    with open_run(tmp_path) as run:  # stopped at once
        pass
    with open_run(tmp_path) as run:
        run.step("one", {}, [], lambda: pytest.fail("step one was lost"))
        run.step("two", {}, [], lambda: pytest.fail("step two was lost"))
        assert run.was_kept("two")


def test_two_processes_cannot_share_a_folder(tmp_path: Path) -> None:
    with open_run(tmp_path), pytest.raises(LuthierError, match="another run is using this folder"), open_run(tmp_path):
        pass
    with open_run(tmp_path):
        pass


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(min_size=1).filter(lambda text: not text.strip().startswith("{")))
def test_a_foreign_run_json_is_an_error_or_replaced(text: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(text, encoding="utf-8")
    try:
        json.loads(text)
    except ValueError:
        with pytest.raises(SettingsError, match=r"run\.json"), open_run(tmp_path):
            pass
    else:
        with open_run(tmp_path):
            assert json.loads((tmp_path / "run.json").read_text())["recipe"] == "tools"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="choose another with --out"), open_run(tmp_path / "file" / "run"):
        pass


def test_run_json_says_what_it_ran_on(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        run.finish(peak_memory_mib=1.0)
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["status"] == "done"
    assert record["versions"]["torch"]
    assert record["device"]["cores"] >= 1
    assert record["command"] == "luthier run"
